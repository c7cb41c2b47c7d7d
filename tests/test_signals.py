"""Signals from outside: each handler of the command runs as often as without kleio, whoever was signalled."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time

import pytest
from commands import KLEIO, PYTHON, printed, trials
from processes import QUIET, SECONDS, children_of, line, lines, python, run, started, state, until, with_and_without

from kleio.core.config import Config, spool_root
from kleio.core.signals import name_of, number_of
from kleio.core.spool import spools

# Says each signal it handles, counted where the handler runs, and ends with the status in its argument at SIGUSR2.
COUNTING = """
import os, signal, sys
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
for number in map(int, sys.argv[2:]):
    signal.signal(number, lambda *_: None)
signal.signal(signal.SIGUSR2, lambda *_: None)
os.write(1, b"ready\\n")
while (number := os.read(reading, 1)[0]) != signal.SIGUSR2:
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
os.write(1, b"end\\n")
sys.exit(int(sys.argv[1]))
"""
FROM_OUTSIDE = ("SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT", "SIGALRM", "SIGCONT", "SIGWINCH", "SIGRTMIN", "SIGRTMAX")
NUMBERS = [str(number_of(name)) for name in FROM_OUTSIDE]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def counting(*prefix, status=0):
    return started(*prefix, *python(COUNTING), str(status), *NUMBERS)


def told(process):
    """What is left: signals that came more often than they were answered."""
    *rest, last = lines(process)
    assert last == "end"
    return rest


def with_times(module="signals", **seconds):
    """kleio that takes others than the usual ones, of a module of its core."""
    text = f"import kleio.core.{module} as module; vars(module).update({seconds}); from kleio.cli.main import main; main()"
    return [PYTHON, "-c", text, "-q", "--"]


GRACE = 1.0
PATIENT = with_times(GRACE=GRACE)
"""It waits longer for a sender to send the same signal to others as well."""


def rounds(number, prefix, one, kleio):
    """``one`` so many times. It returns False if a sender was held up, so that kleio rightly takes its signals for several;
    nothing can be said of this process any more then, and another goes on. ``kleio`` gives the pid of who is asked to end.
    """
    done = 0
    while done < number:
        with counting(*prefix) as process:
            assert line(process) == "ready"
            while done < number and one(process):
                done += 1
            if done == number:
                os.kill(kleio(process), signal.SIGUSR2)
                assert told(process) == []


@with_and_without
def test_a_signal_to_the_process_alone_is_passed_on_once(prefix):
    with counting(*prefix) as process:
        assert line(process) == "ready"
        for name in FROM_OUTSIDE * 2:
            os.kill(process.pid, number_of(name))
            assert line(process) == name
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []
        assert process.wait(SECONDS) == 0


@with_and_without
def test_a_signal_to_the_group_is_handled_once(prefix):
    with counting(*prefix) as process:
        assert line(process) == "ready"
        for name in FROM_OUTSIDE * 20:
            os.killpg(process.pid, number_of(name))
            assert line(process) == name
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []


@with_and_without
def test_signals_to_the_process_and_to_the_group_in_turn(prefix):
    """What the group received may not swallow what comes for the process later, and the other way round."""
    with counting(*prefix) as process:
        assert line(process) == "ready"
        for send, name in [(os.killpg, "SIGUSR1"), (os.kill, "SIGALRM"), (os.kill, "SIGUSR1"), (os.kill, "SIGALRM")] * 5:
            send(process.pid, number_of(name))  # with SIGALRM handled, what came before it has been dealt with
            assert line(process) == name
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []


@pytest.mark.parametrize("name", ["TERM", "USR1", "INT"])
def test_under_timeout_a_signal_is_handled_once(name):
    """timeout signals its child, then the group; without kleio a quick handler may even run twice."""

    def once(process):
        sent = time.monotonic()
        os.kill(process.pid, signal.SIGALRM)  # its time is up
        handled = {line(process), line(process)}
        if time.monotonic() - sent > GRACE:
            return False
        assert handled == {f"SIG{name}", "SIGCONT"}
        return True

    rounds(10, ["timeout", "-s", name, "1000", *PATIENT], once, lambda process: children_of(process.pid)[0])


@with_and_without
def test_a_signal_to_each_process_of_the_command_line_is_handled_once(prefix):
    """As pkill -f and batch systems send it, one process after the other."""

    def once(process):
        everybody = [process.pid, *(children_of(process.pid) if prefix else [])]
        sent = time.monotonic()
        for pid in everybody:
            os.kill(pid, signal.SIGTERM)
        if time.monotonic() - sent > GRACE:
            return False
        assert line(process) == "SIGTERM"
        return True

    rounds(5, prefix and PATIENT, once, lambda process: process.pid)


def test_nobody_waits_for_long_for_a_sentinel_that_is_stopped():
    with counting(*with_times(ANSWER=0.1, LOOK=0.1)) as process:
        assert line(process) == "ready"
        os.kill(children_of(process.pid)[0], signal.SIGSTOP)
        for name in ("SIGTERM", "SIGUSR1"):
            os.kill(process.pid, number_of(name))
            assert line(process) == name
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []


@with_and_without
@pytest.mark.parametrize("name", ["SIGTERM", "SIGALRM", "SIGRTMIN", "SIG40"])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_signal_that_kills_the_command_is_what_its_parent_sees(prefix, name, send):
    with started(*prefix, "sh", "-c", "echo ready; exec sleep 1000") as process:
        assert line(process) == "ready"
        send(process.pid, number_of(name))
        assert process.wait(SECONDS) == -number_of(name)


@with_and_without
def test_nohup(prefix, here):
    with started("nohup", *prefix, *python(COUNTING), "0", NUMBERS[1], stderr=subprocess.DEVNULL) as process:
        assert line(process) == "ready"
        os.kill(process.pid, signal.SIGHUP)
        os.killpg(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGUSR1)
        assert line(process) == "SIGUSR1"
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []
        assert process.wait(SECONDS) == 0


MEANWHILE = """
import os, signal
from kleio.core import process
opening = process.open_channel
def held_up(channel):
    os.killpg(0, signal.SIGTERM)
    return opening(channel)
process.open_channel = held_up
from kleio.cli.main import main
main()
"""


def test_a_signal_to_the_group_while_the_command_is_made_ready_reaches_it():
    with started(PYTHON, "-c", MEANWHILE, "-q", "--", "sleep", "1000") as process:
        assert process.wait(SECONDS) == -signal.SIGTERM


@with_and_without
def test_stopped_and_continued(prefix):
    """Without a shell that looks after jobs: the command and whoever waits for it stop and go on together."""
    with counting(*prefix) as process:
        assert line(process) == "ready"
        os.killpg(process.pid, signal.SIGSTOP)
        until(lambda: all(state(pid) == "T" for pid in [process.pid, *children_of(process.pid)]), "all to stop")
        os.killpg(process.pid, signal.SIGCONT)
        assert line(process) == "SIGCONT"
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []


@with_and_without
def test_continued_before_the_command_is(prefix):
    """Who continues process by process is held up after the first, or means that one alone."""
    with counting(*(prefix and with_times(ANSWER=0.1, LOOK=0.1))) as process:
        assert line(process) == "ready"
        os.killpg(process.pid, signal.SIGSTOP)
        until(lambda: all(state(pid) == "T" for pid in [process.pid, *children_of(process.pid)]), "all to stop")
        os.kill(process.pid, signal.SIGCONT)
        assert line(process) == "SIGCONT"
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []


@with_and_without
def test_a_user_who_may_have_no_more_signals_waiting(prefix):
    limited = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0)); os.execvp(sys.argv[1], "
    with counting(*python(f"{limited} sys.argv[1:])"), *prefix) as process:
        assert line(process) == "ready"
        for name in ("SIGTERM", "SIGUSR1"):
            os.kill(process.pid, number_of(name))
            assert line(process) == name
        os.kill(process.pid, signal.SIGUSR2)
        assert told(process) == []


@pytest.fixture
def writer_that_is_stopped(here):
    """Takes the lock of the journal, as a kleio does that is stopped as it writes; called again it goes on."""
    assert run(*QUIET, "true").returncode == 0
    with open(f"{Config()['journal'].removeprefix('sqlite:///')}.lock", "rb") as lock:
        yield lambda: fcntl.flock(lock, fcntl.LOCK_EX), lambda: fcntl.flock(lock, fcntl.LOCK_UN)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_asked_to_end_while_it_waits_for_the_journal_before_the_command(writer_that_is_stopped, name):
    stop, _ = writer_that_is_stopped
    stop()
    with counting(*QUIET) as process:
        until(lambda: children_of(process.pid), "signals to be kept")
        os.kill(process.pid, number_of(name))
        assert lines(process) == []
        assert process.wait(SECONDS) == -number_of(name)
    assert list(spools(spool_root(Config()))) == []


def test_asked_to_end_twice_while_it_waits_for_the_journal_after_the_command(writer_that_is_stopped):
    stop, go_on = writer_that_is_stopped
    with started(*KLEIO, *python(COUNTING), "0", stderr=subprocess.PIPE) as process:
        assert line(process) == "ready"
        stop()
        os.kill(process.pid, signal.SIGUSR2)
        assert line(process) == "end"
        until(lambda: not children_of(process.pid), "the command to be over")

        def ended():
            os.kill(process.pid, signal.SIGINT)
            return process.poll() is not None

        until(ended, "kleio to end")
        assert b"kleio sync" in process.communicate()[1]
        assert process.returncode == 0
    go_on()
    assert run(*KLEIO, "sync").returncode == 0
    assert trials()[0]["status"] == "completed"


def test_the_command_that_stops_itself_stops_kleio():
    with started(*QUIET, "sh", "-c", "kill -STOP $$; echo resumed") as process:
        until(lambda: state(process.pid) == "T", "kleio to stop")
        os.killpg(process.pid, signal.SIGCONT)
        assert line(process) == "resumed"
        assert process.wait(SECONDS) == 0


@with_and_without
def test_a_signal_of_the_commands_own_to_its_parent_does_not_come_back(prefix):
    text = "trap 'echo handled' USR1; kill -USR1 0; sleep 0.3 & wait $!; wait; echo end"
    with started("sh", "-c", 'trap "" USR1; "$@"', "sh", *python(UNIGNORED), *prefix, "sh", "-c", text) as process:
        assert lines(process) == ["handled", "end"]


# Takes back what the shell around it ignores, so that only the command itself is concerned.
UNIGNORED = """
import os, signal, sys
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


# -- what becomes of the trial ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "exits", "status", "reason"),
    [
        ("SIGINT", 1, "suspended", "Ctrl-C, exit status 1"),
        ("SIGINT", 0, "completed", "exit status 0"),
        ("SIGTERM", 0, "interrupted", "SIGTERM, exit status 0"),
        ("SIGTERM", 1, "interrupted", "SIGTERM, exit status 1"),
        ("SIGUSR1", 1, "interrupted", "SIGUSR1, exit status 1"),
        ("SIGUSR1", 0, "completed", "exit status 0"),
        ("SIGHUP", 3, "interrupted", "SIGHUP, exit status 3"),
        ("SIGALRM", 3, "broken", "exit status 3"),
    ],
)
def test_the_status_after_a_signal_that_the_command_survived(name, exits, status, reason):
    with counting(*with_times("trial", SOON=SECONDS), status=exits) as process:
        assert line(process) == "ready"
        os.killpg(process.pid, number_of(name))
        assert line(process) == name
        os.kill(int(children_of(process.pid)[-1]), signal.SIGUSR2)
        assert process.wait(SECONDS) == exits
    (trial,) = trials()
    assert (trial["status"], trial["executions"][0]["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("name", "status"),
    [("SIGINT", "suspended"), ("SIGTERM", "interrupted"), ("SIGUSR1", "interrupted"), ("SIGUSR2", "interrupted"),
     ("SIGHUP", "interrupted"), ("SIGQUIT", "broken")],
)  # fmt: skip
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_the_status_after_death_by_a_signal_from_outside(name, status, send):
    with started(*QUIET, "sh", "-c", "ulimit -c 0; echo ready; exec sleep 1000") as process:
        assert line(process) == "ready"
        send(process.pid, number_of(name))
        assert process.wait(SECONDS) == -number_of(name)
    (trial,) = trials()
    assert trial["status"] == status
    assert trial["executions"][0]["signal"] == name
    assert printed("cat", trial["id"]) == "ready\n"


@pytest.mark.parametrize("text", ["kill -TERM $$", "kill -USR1 $$", "kill -TERM $PPID; exit 1", "exit 4"])
def test_what_the_command_does_to_itself_breaks_it(text):
    run(*QUIET, "sh", "-c", text, start_new_session=True)
    assert trials()[0]["status"] == "broken"


def test_killing_kleio_leaves_the_command_alone_and_the_record_to_be_shipped(here):
    with started(*QUIET, "sh", "-c", "trap '' PIPE; echo up; until [ -e go ]; do sleep 0.1; done; touch gone") as process:
        assert line(process) == "up"
        process.kill()
        process.wait()
        (here / "go").touch()
        until((here / "gone").exists, "the command to go on")


@pytest.mark.parametrize("number", [1, 15, 34, 40, 64])
def test_names_and_numbers_of_signals(number):
    assert number_of(name_of(number)) == number
