"""Threads, forks and signals that come in between: each test holds one of them up at a moment at which that was wrong once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from commands import PYTHON, kleio, script, until
from experiments import artifact, run, said, statuses, trials

from kleio.client import loaded, redirection
from kleio.core import experiments, spool
from kleio.core.spool import Spool

pytestmark = pytest.mark.usefixtures("workplace")


def launched(text, **environment):
    """A script under ``kleio``, with ``kleio_logger`` as ``k``."""
    script(Path.cwd(), f"from kleio.client import Experiment, kleio_logger as k\n{text}")
    return kleio(PYTHON, "train.py", check=0, **environment)


# -- the recorder process --------------------------------------------------------------------------------------------


def test_a_recorder_that_is_killed_while_an_experiment_begins_holds_up_nothing_that_is_printed():
    done = run(
        """
import os, signal, threading
from kleio.client import opened, redirection
watch, abandon_all, over = opened.watch, redirection.abandon_all, threading.Event()
def abandon(lost):
    abandon_all(lost)
    over.set()
def killed(presence):
    watch(presence)
    os.kill(presence.recorder, signal.SIGKILL)
    over.wait(300)
opened.watch, redirection.abandon_all = killed, abandon
with Experiment({"k": 1}):
    print("x" * 300_000)
print("after")
""",
        apart=True,
    )
    assert done.stdout == "x" * 300_000 + "\nafter\n"


def test_what_reads_from_stdin_in_another_thread_holds_up_no_experiment():
    """As C does for ``input()`` at a terminal: what it reads from is locked until there is a line."""
    run(
        """
import ctypes, threading
libc, locked, over = ctypes.CDLL(None), threading.Event(), threading.Event()
stdin = ctypes.c_void_p.in_dll(libc, "stdin")
def reads():
    libc.flockfile(stdin)
    locked.set()
    over.wait()
    libc.funlockfile(stdin)
threading.Thread(target=reads, daemon=True).start()
locked.wait()
with Experiment({"k": 1}):
    print("inside")
over.set()
"""
    )
    assert statuses() == ["completed"]


def test_a_variable_that_another_thread_takes_away_just_then_keeps_no_experiment_from_beginning():
    done = run(
        """
import os
os.environ["DOOMED"] = "1"
decode = os.environ.decodekey
def decoded(key):
    if key == b"DOOMED":
        os.environ.pop("DOOMED", None)
    return decode(key)
os.environ.decodekey = decoded
with Experiment({"k": 1}, strict=True):
    pass
"""
    )
    assert statuses() == ["completed"], done.stderr


def test_the_spool_of_an_experiment_is_gone_when_its_connection_is():
    """The recorder deletes it when it hears that the connection is closed: nothing of it may be held any more."""
    run(
        """
import os, time
experiment = Experiment({"k": 1}).start()
connection, spool = experiment._session._connection, experiment.variables["KLEIO_SPOOL"]
class Slow:
    def __getattr__(self, name):
        return getattr(connection, name)
    def close(self):
        connection.close()
        deadline = time.monotonic() + 300
        while os.path.exists(spool):
            assert time.monotonic() < deadline, "it stays"
            time.sleep(0.01)
experiment._session._connection = Slow()
experiment.strict = True
experiment.end()
"""
    )
    assert statuses() == ["completed"]


def test_two_threads_that_end_an_experiment_at_once_end_it_once():
    done = run(
        """
import os, threading, types
from kleio.client import experiment as module
both = threading.Barrier(2)
def getpid():
    if ending.is_set():
        try:
            both.wait(1)
        except threading.BrokenBarrierError:
            pass
    return os.getpid()
ending = threading.Event()
module.os = types.ModuleType("os")
module.os.__dict__.update(vars(os), getpid=getpid)
one = Experiment({"k": 1}, strict=True).start()
ending.set()
errors = []
def end():
    try:
        one.end()
    except BaseException as error:
        errors.append(error)
threads = [threading.Thread(target=end) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not errors, errors
"""
    )
    assert said(done)[0] == []
    assert statuses() == ["completed"]


@pytest.mark.parametrize("step", ["enter", "leave"])
def test_ctrl_c_while_an_experiment_waits_for_another_thread_leaves_nothing_behind(step):
    done = run(
        f"""
import os, signal, threading, time
from kleio.client import opened
held, over = threading.Event(), threading.Event()
def holds():
    with opened._changing:
        held.set()
        time.sleep(0.2)  # wherever it comes by then: mostly it finds the other one waiting
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        over.wait(300)
usual = opened.{step}
def interrupted(experiment):
    opened.{step} = usual
    threading.Thread(target=holds).start()
    try:
        held.wait()
        usual(experiment)
    finally:
        over.set()
opened.{step} = interrupted
try:
    with Experiment({{"k": 1}}):
        print("inside")
except KeyboardInterrupt:
    print("interrupted")
assert opened.current() is None
kleio_logger.log_statistic(outside=1)
with Experiment({{"k": 2}}):
    print("next")
"""
    )
    assert done.stdout == ("interrupted\nnext\n" if step == "enter" else "inside\ninterrupted\nnext\n")
    assert 'kleio_logger: {"outside":1}' in done.stderr
    ended = ("suspended", "broken") if step == "enter" else ("completed",)  # broken where the script soon was over, too
    until(lambda: statuses()[0] in ended)
    assert statuses()[1] == "completed"
    assert trials()[0].get("within") is None


# -- forks -----------------------------------------------------------------------------------------------------------


def test_ctrl_c_while_a_fork_waits_closes_no_file_of_the_script():
    done = run(
        """
import os, signal, sys, threading, time, types
from kleio.client import connection, opened
closing, go = threading.Event(), threading.Event()
def close(fd):
    if threading.get_ident() != main and not closing.is_set():
        closing.set()
        go.wait(300)
    os.close(fd)
main = threading.get_ident()
connection.os = types.ModuleType("os")
connection.os.__dict__.update(vars(os), close=close)
def fork():
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
def interrupts():
    closing.wait(300)
    signal.pthread_kill(main, signal.SIGINT)
    time.sleep(0.2)
    go.set()
sys.unraisablehook = lambda _: print("ignored by Python")  # as is everything that is raised at a fork
with Experiment({"k": 1}):
    threading.Thread(target=interrupts).start()
    fork()
    files = [open(os.devnull) for _ in range(20)]
    fork()
    fork()
    assert {os.readlink(f"/proc/self/fd/{file.fileno()}") for file in files} == {os.devnull}
    assert opened._presence.pause(), "nobody would hear that the recorder is gone"
    opened._presence.watch()
"""
    )
    assert statuses() == ["completed"], done.stderr


FORKS = """
child = os.fork()
if not child:
    signal.alarm(300)
    one(2)
    os._exit(0)
forked.set()
assert os.waitpid(child, 0)[1] == 0
thread.join()
"""
"""Beside ``thread``, which does ``one(1)``: the child does ``one(2)``."""


@pytest.mark.parametrize("module", ["kleio.client.recorder", "kleio.client.session", "atexit"])
def test_a_fork_while_another_thread_imports_for_its_first_experiment_does_not_hang_the_child(module):
    run(
        f"""
import os, signal, sys, threading
forking, importing, forked = threading.Event(), threading.Event(), threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            importing.set()
            forking.wait(300)
            forked.wait(1)  # it does not get that far
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Slow())
def one(k):
    with Experiment({{"k": k}}):
        raise ValueError
thread = threading.Thread(target=one, args=(1,))
thread.start()
importing.wait(300)
os.register_at_fork(before=forking.set)
""" + FORKS
    )
    assert statuses() == ["broken"] * 2


def test_a_fork_that_has_begun_waits_for_an_experiment_that_another_thread_begins_meanwhile():
    """As for the lock of ``tempfile``, which is asked for a directory then."""
    run(
        """
import os, signal, threading
from kleio.core import messages
directory, lock, inside, forked = messages.directory, threading.Lock(), threading.Event(), threading.Event()
def locked():
    with lock:
        inside.set()
        forked.wait(1)  # it does not get that far
        return directory()
messages.directory = locked
def one(k):
    with Experiment({"k": k}):
        pass
def begins():
    if not inside.is_set():
        thread.start()
        inside.wait(300)
thread = threading.Thread(target=one, args=(1,))
os.register_at_fork(before=begins)
""" + FORKS
    )
    assert statuses() == ["completed"] * 2


def test_a_fork_while_another_thread_makes_the_output_directory_shares_it():
    script(
        Path.cwd(),
        """
import os, signal, threading
from kleio.client import outputs
find, inside, forking = outputs._find, threading.Event(), threading.Event()
def slowly(trial):
    inside.set()
    forking.wait(300)
    return find(trial)
outputs._find = slowly
thread = threading.Thread(target=outputs.directory)
thread.start()
inside.wait(300)
os.register_at_fork(before=forking.set)
child = os.fork()
if not child:
    signal.alarm(300)
    print(outputs.directory(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
print(outputs.directory())
""",
    )
    done = subprocess.run([PYTHON, "train.py"], capture_output=True, text=True, timeout=600, check=True)
    assert len(set(done.stdout.split())) == 1


# -- the logger ------------------------------------------------------------------------------------------------------

def test_threads_that_log_first_at_the_same_moment_share_a_file():
    launched(
        """
import threading, time
from kleio.client import logger
usual, append, wrote, turn, made = logger.Writer, logger.Writer.append, [], threading.Barrier(2), []
def writer(*what):
    made.append(threading.get_ident())
    if len(made) == 1:
        turn.wait(300)  # until the other one has told of its scope
    return usual(*what)
def appends(self, line):
    append(self, line)
    wrote.append(threading.get_ident())
    if len(wrote) < 3 and made[0] != wrote[-1]:
        turn.wait(300)
        while not wrote.count(made[0]):
            time.sleep(0.001)
logger.Writer = writer
usual.append = appends
def work(t):
    with k.scope(thread=t) as scope:
        scope.log_statistic(t=t)
threads = [threading.Thread(target=work, args=(t,)) for t in (1, 2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert k.flush()
assert sorted((one["t"], one.get("thread")) for one in k.load_statistic("t")) == [(1, 1), (2, 2)]
"""
    )


def test_what_a_thread_logs_first_while_an_experiment_begins_is_of_one_of_the_two():
    launched(
        """
import threading
from kleio.client import logger
usual, begun, inside = logger.Writer, threading.Event(), threading.Event()
def writer(*what):
    begun.set()
    inside.wait(300)
    return usual(*what)
logger.Writer = writer
thread = threading.Thread(target=lambda: k.log_statistic(outside=1))
thread.start()
begun.wait(300)
with Experiment({"k": 1}):
    inside.set()
    thread.join()
    k.log_statistic(inside=1)
"""
    )
    assert {one["params"].get("k"): set(one["summary"]) for one in trials()} == {1: {"inside"}, None: {"outside"}}


def test_an_artifact_that_a_thread_logs_while_an_experiment_ends_is_whole():
    launched(
        """
import threading
from kleio.client import logger as recorder
usual, begun, over = recorder.Writer, threading.Event(), threading.Event()
def writer(*what):
    made = usual(*what)
    begun.set()
    over.wait(300)
    return made
with Experiment({"k": 1}):
    with Experiment({"k": 2}):
        recorder.Writer = writer
        thread = threading.Thread(target=lambda: k.log_artifact("a", b"1"))
        thread.start()
        begun.wait(300)
    over.set()
    thread.join()
"""
    )
    kleio("sync")
    second = next(one["id"] for one in trials() if one["params"].get("k") == 2)
    assert artifact(second, "a") == b"1"


def test_flushing_while_another_thread_logs_its_first_artifact():
    launched(
        """
import threading
from kleio.core.spool import Writer
usual, first = Writer.end, [1]
def end(self):
    if first:
        first.clear()
        thread = threading.Thread(target=lambda: k.log_artifact("a", b"1"))
        thread.start()
        thread.join()
    return usual(self)
Writer.end = end
k.log_statistic(a=1)
assert k.flush()
"""
    )


def test_flushing_while_the_next_experiment_begins_is_over_with_the_first():
    done = run(
        """
import threading
from kleio.core.spool import Writer
usual, inside, after = Writer.end, threading.Event(), threading.Event()
def end(self):
    found = usual(self)
    inside.set()
    after.wait(300)
    return found
with Experiment({"k": 1}):
    kleio_logger.log_statistic(a=1)
    Writer.end = end
    thread = threading.Thread(target=lambda: kleio_logger.flush(300) or print("not flushed"))
    thread.start()
    inside.wait(300)
with Experiment({"k": 2}):
    after.set()
    thread.join()
"""
    )
    assert "no answer" not in done.stderr


def test_threads_that_begin_a_statistic_at_the_same_moment_each_commit_their_own():
    launched(
        """
import threading
from kleio.client.scope import Scope
usual, second, made = Scope.__init__, threading.Event(), []
def begun(self, *what):
    made.append(what)
    if len(made) == 1:
        second.wait(1)
    second.set()
    usual(self, *what)
Scope.__init__ = begun
both = threading.Barrier(2)
def work(t):
    k.add(a=t)
    both.wait(300)
    k.commit(b=t)
threads = [threading.Thread(target=work, args=(t,)) for t in (1, 2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert sorted((one.get("a"), one["b"]) for one in k.load_statistic("b")) == [(1, 1), (2, 2)]
"""
    )


def test_what_was_begun_in_an_experiment_is_committed_to_it_when_it_ends():
    done = run(
        """
with Experiment({"k": 1}):
    kleio_logger.add(a=5)
"""
    )
    assert "kleio_logger:" not in done.stderr
    assert trials()[0]["summary"]["a"]["last"] == 5


@pytest.mark.parametrize("moment", ["who", "line"])
def test_a_thread_that_adds_while_the_scope_ends_disturbs_nobody(moment):
    launched(
        """
import threading
from kleio.client import scope as module
usual, inside, over = module._who, threading.Event(), threading.Event()
def who():
    found = usual()
    if threading.current_thread() is late:
        inside.set()
        over.wait(300)
    return found
module._who = who
with k.scope(a=1) as scope:
    late = None
    [scope._added.setdefault((module.os.getpid(), n), {"n": n}) for n in range(3)]
    module._unfinished[id(scope)] = scope
    late = threading.Thread(target=lambda: scope.add(late=1))
    late.start()
    inside.wait(300)
    put = k.put
    def puts(line):
        over.set()
        late.join()
        put(line)
    k.put = puts
    scope.close()
    del k.put
"""
        if moment == "who"
        else """
with k.scope(a=1) as scope:
    scope.add(text="b", more="c")
    (own,) = scope._added.values()
    encoded = k._encoded
    k._encoded = lambda key, value: own.update(late=1) or encoded(key, value)
    scope.close()
"""
    )


def test_an_answer_that_came_just_before_the_launcher_went_is_taken():
    launched(
        """
import os, time
from kleio.client import logger
def gone(path):
    answers = os.path.join(os.path.dirname(path), "answers")
    while not any(name.endswith(".json") for name in os.listdir(answers)):
        time.sleep(0.001)
    return False
logger.is_held = gone
k.log_statistic(a=1)
assert [dict(one) for one in k.load_statistic("a")] == [{"a": 1}]
"""
    )


def test_threads_that_keep_digests_at_once_keep_each_once():
    launched(
        """
import threading
from kleio.client.digests import Digests
known = Digests()
known._known = {place: {} for place in "abcd"}
known._new = {place: {} for place in "abcd"}
usual, inside, over = Digests._write, threading.Event(), threading.Event()
def write(self, *what):
    if not inside.is_set():
        inside.set()
        over.wait(300)
    usual(self, *what)
Digests._write = write
def first():
    known.save()
errors = []
threading.excepthook = errors.append
thread = threading.Thread(target=first)
thread.start()
inside.wait(300)
known.save()
over.set()
thread.join()
assert not errors, errors
"""
    )


# -- files that several threads write --------------------------------------------------------------------------------


class Meeting:
    """``os`` for a module in which the first that calls ``replace`` waits a second for the next one to get as far."""

    def __init__(self):
        self.second, self.calls = threading.Event(), 0

    def __getattr__(self, name):
        return getattr(os, name)

    def replace(self, *what):
        self.calls += 1
        if self.calls == 1:
            self.second.wait(1)
        self.second.set()
        os.replace(*what)


def at_once(*actions):
    errors = []

    def tried(action):
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - for the test to see
            errors.append(error)

    threads = [threading.Thread(target=tried, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_document_that_two_threads_write_is_one_of_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "os", Meeting())
    place = tmp_path / "spool"
    place.mkdir()
    at_once(*(partial(Spool(str(place)).write, "complete", {"n": n}) for n in (1, 2)))
    assert Spool(str(place)).read("complete") in ({"n": 1}, {"n": 2})
    assert len(list(place.iterdir())) == 1


def test_an_artifact_that_two_threads_save_is_saved(tmp_path, monkeypatch):
    logged = loaded.LoggedArtifact(None, {"name": "a", "sha256": "0", "size": 1}, 0, "")
    logged.open = lambda: io.BytesIO(b"1")
    monkeypatch.setattr(loaded, "os", Meeting())
    place = tmp_path / "files"
    place.mkdir()
    at_once(*(partial(logged.save, place / "a") for _ in range(2)))
    assert [one.read_bytes() for one in place.iterdir()] == [b"1"]


def test_what_is_printed_while_a_stream_is_given_back_ends_in_no_other_file(tmp_path, monkeypatch):
    class Stream(io.StringIO):
        pass

    class Reused:
        """Whatever is closed is opened by somebody at once."""

        def __getattr__(self, name):
            return getattr(os, name)

        def close(self, fd):
            os.close(fd)
            with (tmp_path / "own").open("w"):
                at_once(lambda: sys.stdout.write("printed\n"))

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    reading, writing = os.pipe()
    tee = redirection.Tee("stdout", writing)
    monkeypatch.setattr(redirection, "os", Reused())
    tee.stop()
    os.close(reading)
    assert not (tmp_path / "own").exists() or not (tmp_path / "own").read_text()
    assert "write" not in vars(stream)


def test_the_environments_of_two_experiments_do_not_take_each_others_place(tmp_path, monkeypatch):
    class Known(dict):
        """As another thread, which has another environment, changes it."""

        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            super().clear()

    left = []
    one = experiments.Gatherer.__new__(experiments.Gatherer)
    monkeypatch.setattr(experiments.Gatherer, "_leave_environment", lambda *what: left.append(what[-1]))
    monkeypatch.setattr(experiments.Gatherer, "_variables", lambda _: {})
    monkeypatch.setattr("kleio.core.environment.capture", lambda *_, **__: {"python": 1})
    monkeypatch.setattr("kleio.core.environment.age", lambda _: 0)
    one.program, one.environ, one.known, one._over = PYTHON, {}, Known(), None
    one._environment()
    assert left == [{"python": 1}]
