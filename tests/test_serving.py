"""The recorder process from inside, where one of its threads, or the script, is held up between two steps."""

from __future__ import annotations

import os
import resource
import socket
import threading

import pytest
from commands import until

from kleio.core import messages
from kleio.core.channels import Channel, Pump
from kleio.core.experiments import Recording
from kleio.core.journal import open_journal
from kleio.core.journals import Journals
from kleio.core.recorder import Recorder
from kleio.core.serving import Server
from kleio.core.spool import Spool
from kleio.core.streams import Source
from kleio.core.trial import Status, Trial

SECONDS = 600.0


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind("socket")
        listening.listen(8)
        yield listening


def test_who_has_been_answered_is_told_that_nobody_takes_its_output(listener, monkeypatch):
    server, (script, ours) = Server(listener), socket.socketpair()
    send, telling = messages.send, []

    def answer(*arguments):
        send(*arguments)
        telling.append(threading.Thread(target=server._output_broken, args=(1,)))
        telling[0].start()
        telling[0].join(0.5)  # time to do wrong

    monkeypatch.setattr(messages, "send", answer)
    watching = threading.Thread(target=server._watch, args=(ours, 1), daemon=True)
    watching.start()
    script.settimeout(SECONDS)
    assert messages.receive(script)[0]["version"] == messages.VERSION
    assert script.recv(1) == b"!"
    script.close()
    watching.join(SECONDS)
    ours.close()
    assert server._here == {}


def test_who_comes_when_the_recorder_is_leaving_is_not_left_without_an_answer(listener):
    """Others that it has just let in may stay for days."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as before:
        before.settimeout(SECONDS)
        before.connect("socket")
        seen = os.open("socket", os.O_PATH)  # as the kernel has found it for who is held up in connecting
        leaving = threading.Thread(target=Server(listener)._leave, daemon=True)
        leaving.start()
        messages.send(before, {"op": "hello", "pid": os.getpid()})
        assert messages.receive(before) is not None
        until(lambda: listener.fileno() < 0)  # what comes before that is still let in
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as late, pytest.raises(ConnectionRefusedError):
            late.connect(f"/proc/self/fd/{seen}")
        os.close(seen)
        assert leaving.is_alive()
    leaving.join(SECONDS)
    assert not leaving.is_alive()



def test_what_is_said_while_the_experiment_ends_does_not_go_elsewhere():
    class Late(dict):
        """The thread that speaks is held up when it has looked, and the experiment ends."""

        def __contains__(self, name):
            found = super().__contains__(name)
            if ending.ident is None:
                ending.start()
                ending.join(0.5)  # time to do wrong
            return found

    script, ours = os.pipe()
    recording = Recording({"descriptors": ["messages"]}, [ours], Journals(), {}, bool, bool)
    recording._open, recording._descriptors = True, Late(recording._descriptors)
    ending = threading.Thread(target=recording._let_go, args=("messages",))
    recording.say("said")
    ending.join(SECONDS)
    with open(script, "rb") as told:
        assert told.read() == b"kleio: said\n"


@pytest.fixture
def many_files():
    """More of them are open than select(2) can tell apart."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for one in opened:
        os.close(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_an_experiment_beside_a_hundred_others_is_recorded(tmp_path):
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db")
    trial = Trial(id="a" * 32, work_key="w", project="p", command=("python",), cwd=".", created=0.0)
    journal.create(trial)
    journal.claim(trial.id, "e" * 32, {}, SECONDS)
    launch = {"trial": trial.as_dict(), "execution": {}, "number": 1, "started": 0.0}
    spool, *locks = Spool.create(str(tmp_path / "spool"), "e" * 32, launch)
    recorder = Recorder(Source(spool, trial.id, spool.execution), journal, 1, SECONDS, pytest.fail)
    recorder.start()
    assert recorder.finish(SECONDS, {"time": 1.0, "data": {"status": "completed", "exit_code": 0}})
    recorder.close()
    assert journal.entry(trial.id).status is Status.COMPLETED
    journal.close()
    for lock in locks:
        os.close(lock)


@pytest.mark.usefixtures("many_files")
def test_what_is_passed_on_beside_a_hundred_others_waits_for_who_takes_it():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over, source = os.pipe()
    pump, data = Pump(Channel("output", (1,), writing), source, lambda _: None, over), b"a" * (1 << 20)

    def pass_on():
        try:
            assert pump._pass_on(data)
        finally:
            os.close(writing)

    passing = threading.Thread(target=pass_on)
    passing.start()
    with open(reading, "rb") as taken:
        assert len(taken.read()) == len(data)
    passing.join()
    os.close(source)
    os.close(over)
