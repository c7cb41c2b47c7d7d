"""``Experiment`` where something is amiss: with what the script gives it, with its exceptions, with its surroundings."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest
from commands import PYTHON, info, kleio, printed, script, until
from experiments import artifact, background, run, said, statuses, trials
from processes import gone

from kleio.core.config import Config, spool_root
from kleio.core.serving import _is_exiting
from kleio.core.spool import spools

pytestmark = pytest.mark.usefixtures("workplace")
TIME = 600.0
"""Seconds for a process to end."""
on_both_journals = pytest.mark.usefixtures("journal_uri")


def nothing_waits():
    """The recorder takes the spool away once the script has gone."""
    until(lambda: not list(spools(spool_root(Config()))))
    assert kleio("sync", check=0).stdout == ""


def test_exceptions_whose_own_methods_fail():
    done = run(
        """
import os, sys
class Silent(Exception):
    def __str__(self):
        raise RuntimeError
    __repr__ = __str__
class Leaving(Silent):
    def __str__(self):
        raise SystemExit(9)
class Value:
    def tolist(self):
        raise Silent
    __repr__ = __str__ = tolist
before = os.fstat(1)
for kind in (Silent, Leaving):
    with Experiment({"kind": kind.__name__}) as experiment:
        print("inside")
        with kleio_logger.scope(a=1) as scope:
            scope.log_statistic(b=1)
            raise kind
    assert os.path.samestat(os.fstat(1), before)
    print("outside")
for params in ({"value": Value()}, {Value(): 1}):
    with Experiment(params) as experiment:
        print(experiment.id)
with Experiment({"values": 1}) as experiment:
    experiment.log_statistic(a=Value())
    experiment.log_artifact("a", Value())
    experiment.summary({Value(): 1})
    experiment.summary(Value())
    experiment.log_statistic(last=1)
print("end")
"""
    )
    assert done.stdout.split() == ["inside", "outside"] * 2 + ["None"] * 2 + ["end"]
    assert statuses() == ["broken", "broken", "completed"]
    silent = trials()[2]
    assert silent["executions"][0]["reason"] == "Silent: (its message cannot be had)"
    assert silent["executions"][0]["exceptions"][0]["type"] == "Silent"
    assert trials()[0]["summary"]["last"]["last"] == 1
    own, rest = said(done)
    assert sum("is not recorded: its parameter " in line for line in own) == 2
    assert rest.count("Traceback (most recent call last):") == 2


def test_whatever_fails_at_its_end_the_rest_of_the_end_is_not_left_out():
    done = run(
        """
import os
from kleio.client import endings
from kleio.client.recorder import Recorder
before = os.fstat(1)
def fail(*arguments):
    raise KeyboardInterrupt
finish, Recorder.finish = Recorder.finish, fail
try:
    with Experiment({"k": 1}):
        print("inside")
except KeyboardInterrupt:
    print("interrupted")
Recorder.finish = finish
assert os.path.samestat(os.fstat(1), before)
attach, Recorder.attach = Recorder.attach, fail
try:
    Experiment({"k": "never begun"}).start()
except KeyboardInterrupt:
    print("early")
Recorder.attach = attach
assert os.path.samestat(os.fstat(1), before)
finding, endings.finding = endings.finding, lambda error: 1 / 0
with Experiment({"k": 2}) as experiment:
    raise ValueError("two")
endings.finding = finding
assert os.path.samestat(os.fstat(1), before)
try:
    with Experiment({"k": 3}, strict=True) as experiment:
        experiment.open("text", "w", encoding="ascii").write("text")
        experiment.files[0].end = fail
except KeyboardInterrupt:
    print("strict")
"""
    )
    assert done.stdout.split() == ["inside", "interrupted", "early", "strict"]
    until(lambda: not {"reserved", "running"} & {*statuses()})  # the recorder waits a moment whether the script is there
    assert trials()[2]["status"] in ("suspended", "broken")
    assert statuses() == ["completed", trials()[2]["status"], "broken", "completed"]
    assert trials()[1]["executions"][0]["reason"] == "ValueError: two"
    own, _ = said(done)
    assert own == ["kleio: the experiment k=2 is not recorded to its end: division by zero"]


def test_statuses_of_an_exit_are_those_of_the_process():
    for said_to_exit, status in (("'no'", 1), ("256", 0), ("-1", 255)):
        run(f"import sys\nwith Experiment({{'k': 1}}):\n    sys.exit({said_to_exit})", check=status)
        assert trials()[0]["executions"][0]["exit_code"] == status
    assert statuses() == ["broken", "completed", "broken"]


DAEMON = """
import os
os.close(0), os.close(1), os.close(2)
def log(logger, k):
    logger.log_statistic(before=k)
    with LOGGER.open("file", "w") as file:
        for _ in range(2):
            for descriptor in (1, 2):
                try:
                    os.write(descriptor, b"printed")
                except OSError:
                    pass
        try:
            print("printed", flush=True)
        except OSError:
            pass
        file.write("written")
    logger.log_artifact("bytes", Reader())
    logger.log_statistic(after=k)
class Reader:
    left = [b"read"]
    def read(self, size=-1):
        for descriptor in (1, 2):
            try:
                os.write(descriptor, b"printed")
            except OSError:
                pass
        return self.left.pop() if self.left else b""
"""


def test_a_daemon_that_has_closed_its_streams_prints_into_no_file_of_ours(workplace):
    run(
        DAEMON.replace("LOGGER", "logger")
        + """
for k in range(3):
    Reader.left = [b"read"]
    with Experiment({"k": k}) as experiment:
        log(experiment, k)
        open("descriptors", "a").write(" ".join(sorted(set("012") & set(os.listdir("/proc/self/fd")))) + "\\n")
        if k == 1:
            raise ValueError
os._exit(0)
"""
    )
    # the listing and the file that it goes to have the lowest numbers
    assert set((workplace / "descriptors").read_text().splitlines()) <= {"0 1", "0"}
    assert statuses() == ["completed", "broken", "completed"]
    for one in trials():
        assert one["summary"]["before"]["count"] == one["summary"]["after"]["count"] == 1
        assert (artifact(one["id"], "file"), artifact(one["id"], "bytes")) == (b"written", b"read")
    daemon = DAEMON.replace("LOGGER.open(", "open(") + "log(kleio_logger, 1)\n"
    script(workplace, "from kleio.client import kleio_logger\n" + daemon)
    kleio(PYTHON, "train.py")
    assert trials()[0]["summary"]["after"]["count"] == trials()[0]["summary"]["before"]["count"] == 1
    assert artifact(trials()[0]["id"], "bytes") == b"read"


FEW = """
import os, resource
from kleio.client import opened as module
def limit(soft, hard):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
before = os.fstat(1), os.fstat(2)
def one(k):
    with Experiment({"k": k}) as experiment:
        print("inside", k)
    assert os.path.samestat(os.fstat(1), before[0]) and os.path.samestat(os.fstat(2), before[1])
    print("outside", k)
    return experiment.id is not None
"""


def test_forty_open_files_are_enough():
    done = run(FEW + "limit(40, 40)\nassert one(0) and one(1)", apart=True)
    assert done.stdout == "inside 0\noutside 0\ninside 1\noutside 1\n"
    assert said(done) == ([], [])
    assert [printed("cat", one["id"]) for one in trials()] == ["inside 1\n", "inside 0\n"]


def test_however_few_more_files_may_be_open_the_script_goes_on():
    done = run(
        FEW
        + """
limit(40, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
assert one(0)
recorded = []
for left in range(12):
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for _ in range(left):
        os.close(held.pop())
    recorded.append(one(left + 1))
    for descriptor in held:
        os.close(descriptor)
assert recorded == sorted(recorded)
assert one(13)
""",
        apart=True,
    )
    assert done.stdout == "".join(f"inside {k}\noutside {k}\n" for k in range(14))
    own, rest = said(done)
    assert rest == []
    assert "kleio: the experiment k=1 is not recorded: Too many open files; raise the limit with ulimit -n" in own
    assert "kleio: what is printed is not recorded: Too many open files; raise the limit with ulimit -n" in own
    assert not [line for line in own if "Errno" in line]
    shown = {one["params"]["k"]: printed("cat", one["id"]) for one in trials() if one["params"]["k"] in (0, 13)}
    assert shown == {13: "inside 13\n", 0: "inside 0\n"}


def test_a_recorder_process_that_has_no_room_for_more_files_ends_with_its_scripts():
    done = run(
        FEW
        + """
import sys
limit(40, 40)
one(0)
experiments = [Experiment({"many": k}).start() for k in range(6)]
for experiment in reversed(experiments):
    experiment.end()
print(module._presence.recorder, file=sys.stderr)
""",
        apart=True,
    )
    own, (recorder,) = said(done)
    assert any("Too many open files" in line for line in own)
    until(lambda: gone(int(recorder)))


def test_parameters_that_are_none():
    text = """
import argparse, sys
wrong = (5, [1], "abc", argparse.Namespace(a=1), object())
for params in wrong:
    with Experiment(params, strict="strict" in sys.argv[1:]) as experiment:
        experiment.log_statistic(a=1)
        print(experiment.id, experiment.params)
with Experiment({"k": 1}, tags=5):
    print("tags")
for k in range(2):
    with Experiment({"k": k}, name=k, tags=[k, None], description=2.5, experiment_id=7):
        print("named")
"""
    done = run(text)
    assert done.stdout.splitlines() == ["None {}"] * 5 + ["tags", "named", "named"]
    own, rest = said(done)
    give = 'its parameters are to be a dict, as in Experiment({"lr": 0.1}) or Experiment(vars(args)), and not of type'
    assert own == [
        *(f"kleio: the experiment is not recorded: {give} {kind}" for kind in ("int", "list", "str", "Namespace", "object")),
        "kleio: the experiment k=1 is not recorded: its tags are to be a list of texts, and not of type int",
    ]
    assert rest == []
    told = [(one["name"], one["tags"], one["note"]) for one in trials()]
    assert told == [("1", ["1", "None"], "2.5"), ("0", ["0", "None"], "2.5")]
    assert f"kleio.core.errors.UsageError: {give} int" in run(text, "strict", check=1).stderr
    assert f"kleio.core.errors.UsageError: {give} int" in run(text, check=1, KLEIO_STRICT="1").stderr


def test_the_same_object_is_opened_once():
    done = run(
        """
experiment = Experiment({"k": 1})
with experiment:
    print("first")
    with experiment:
        experiment.log_statistic(a=1)
    experiment.log_statistic(a=2)
    print("again")
with experiment:
    print("later")
Experiment({"k": 2}).start().start().log_statistic(b=1)
"""
    )
    assert done.stdout.split() == ["first", "again", "later"]
    assert said(done)[0] == [
        f"kleio: the experiment k={k} is not recorded: it has been used already; make another one, with the same parameters"
        for k in (1, 2)
    ]
    two, one = trials()
    assert (two["status"], two["summary"]["b"]["last"]) == ("completed", 1)
    assert one["summary"]["a"]["count"] == 2
    assert printed("cat", one["id"]) == "first\nagain\n"


def test_a_working_directory_that_is_gone():
    done = run(
        """
import os
from kleio.client import output_dir
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
with Experiment({"k": 1}) as experiment:
    print(experiment.id)
from kleio.client import output_dir
assert os.path.isdir(output_dir)
""",
        TMPDIR=os.getcwd(),
    )
    assert done.stdout == "None\n"
    gone = "the working directory does not exist any more; change to another"
    own, rest = said(done)
    assert f"kleio: the experiment k=1 is not recorded: {gone}" in own
    assert not [line for line in own if "Errno" in line or "No such file" in line]
    assert rest == []
    for command in ("true", "ls"):
        words = f"mkdir gone; cd gone; rmdir ../gone; {PYTHON} -m kleio {command}"
        done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=TIME)
        assert (done.stdout, done.stderr) == ("", f"kleio: {gone}\n")


@pytest.mark.parametrize("where", ["missing", "/proc"])
def test_a_home_that_cannot_be_used_is_for_the_launcher_as_well(where, workplace, monkeypatch):
    home = str(workplace / where)
    monkeypatch.setenv("HOME", home)
    for name in ("KLEIO_HOME", "KLEIO_JOURNAL"):
        monkeypatch.delenv(name)
    done = run("with Experiment({'k': 1}) as experiment:\n    print('inside')")
    assert done.stdout == "inside\n"
    launched = kleio("echo", "launched")
    if where == "missing":
        assert launched.stdout == "launched\n"
        assert len(trials()) == 2
        assert Path(home, ".local/share/kleio/journal.db").exists()
    else:
        why = f"cannot write the journal {home}/.local/share/kleio/journal.db: No such file or directory; name another"
        assert done.stderr.startswith(f"kleio: the experiment k=1 is not recorded: {why}")
        assert launched.stderr.startswith(f"kleio: {why}")
        assert len(done.stderr.splitlines()) == len(launched.stderr.splitlines()) == 1


def test_almost_no_variables(home):
    script(Path.cwd(), "from kleio.client import Experiment\nwith Experiment({'k': 1}):\n    print('inside')\n")
    words = ["env", "-i", f"PATH={os.environ['PATH']}", f"KLEIO_HOME={home}", PYTHON, "train.py"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIME)
    assert (done.returncode, done.stdout) == (0, "inside\n")
    assert statuses() == ["completed"]


def test_without_home_it_is_the_users_own_whatever_the_recorder_process_was_started_with(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # the recorder's, which began with another script
    own = pwd.getpwuid(os.getuid()).pw_dir
    for variables in ({}, {"HOME": ""}):
        assert Config({}, variables, str(tmp_path)).directory("data") == f"{own}/.local/share/kleio"


def test_a_parser_with_a_hash_code(workplace):
    text = """
import sys
from kleio.client.argparse import ArgumentParser
parser = ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
Experiment.add_argument_group(parser)
with Experiment.from_parser(parser) as experiment:
    print(experiment.params, experiment.hash_code)
    assert "broken" not in sys.argv
"""
    done = run(text)
    assert done.stdout.startswith("{'lr': 0.1} ")
    code = done.stdout.split()[-1]
    assert run(text, "--tag", "x", "--lr=1e-1").stdout == done.stdout
    second, first = trials()
    assert first["work_key"] == second["work_key"]
    assert first["param_sources"] == {"lr": "default"}
    assert first["id"][:7] in kleio("trace", code, check=0).stdout
    assert f"hash code is {code}" in kleio("trace", code, check=0).stdout
    nothing_waits()
    launched = kleio(PYTHON, "train.py", "--name", "launched", check=0)
    assert launched.stdout == done.stdout
    outer = next(one for one in trials() if one["name"] is None and one["command"][-1] == "launched")
    assert info(outer["id"])["params"] == {"lr": 0.1}
    changed = run(text + "# changed\n")
    assert changed.stdout.split()[-1] != code
    assert trials()[0]["work_key"] == first["work_key"]


@on_both_journals
def test_a_killed_script_loses_nothing_and_its_experiment_is_broken():
    process = background(
        """
import os, time
with Experiment({"k": 1}) as experiment:
    for at in range(1000):
        print("line", at)
        experiment.log_statistic(at=at)
    experiment.log_artifact("model", b"weights")
    print("last", flush=True)
    os.killpg(0, 9)
"""
    )
    process.communicate(timeout=TIME)
    assert process.returncode == -9
    one = until(lambda: [one for one in trials() if one["status"] == "broken"])[0]
    assert one["executions"][0]["reason"] == "its process is gone: killed, or left without an end"
    assert one["summary"]["at"]["count"] == 1000
    assert printed("cat", one["id"]).endswith("line 999\nlast\n")
    assert artifact(one["id"], "model") == b"weights"
    nothing_waits()


@on_both_journals
def test_a_killed_recorder_costs_the_script_nothing():
    process = background(
        """
import os, signal
from kleio.client import opened as module
with Experiment({"k": 1}) as experiment:
    print("recorded", flush=True)
    experiment.log_statistic(at=1)
    input()
    os.kill(module._presence.recorder, signal.SIGKILL)
    while not module._presence.lost:
        pass
    for _ in range(20000):
        print("afterwards")
    experiment.log_statistic(at=2)
    module._presence.pause()  # it has been said by then
with Experiment({"k": 2}) as experiment:
    print("again")
"""
    )
    assert process.stdout.readline() == "recorded\n"
    out, err = process.communicate("go\n", timeout=TIME)
    assert out == "afterwards\n" * 20000 + "again\n"
    assert err.count("kleio: the recorder process was killed; logging goes on") == 1
    until(lambda: kleio("sync") and statuses() == ["completed", "completed"])  # one that is killed may take a while to go
    first = trials()[-1]
    assert first["summary"]["at"]["count"] == 2


def test_odd_parameters():
    done = run(
        """
import datetime, math, numpy, pathlib
loop = {}
loop["loop"] = loop
odd = {"a.b": 1, "$set": 2, "with space": 3, "ü😀": 4, "nan": math.nan, "big": 10**30, "array": numpy.arange(3),
       "day": datetime.date(2026, 1, 2), "path": pathlib.Path("a"), "set": {3, 1, 2}, "nested": {"x": (1, 2)},
       "api_key": "geheim"}
for params in (odd, {"loop": loop}, {"object": object()}, {"large": "x" * (10 << 20)}, {str(at): at for at in range(200000)}):
    with Experiment(params) as e:
        e.log_statistic(a=1)
        print(e.id is None)
"""
    )
    assert done.stdout.split() == ["False", "True", "True", "True", "True"]
    assert done.stderr.count("is not recorded: ") == 4
    (one,) = trials()
    assert one["params"] == {
        "a.b": 1, "$set": 2, "with space": 3, "ü😀": 4, "nan": "NaN", "big": 10**30, "array": [0, 1, 2],
        "day": "2026-01-02", "path": "a", "set": [1, 2, 3], "nested": {"x": [1, 2]}, "api_key": "<redacted>",
    }  # fmt: skip


def test_the_journal_is_away(home):
    text = "for k in range(2):\n    with Experiment({'k': k}) as e:\n        e.log_statistic(a=k)\n        print(k)"
    away = "mongodb://127.0.0.1:9/kleio"
    done = run(text, KLEIO_JOURNAL=away, KLEIO_TIMEOUT="0.3")
    assert done.stdout == "0\n1\n"
    assert done.stderr.count("recorded offline") == 1
    assert len(list((home / "spool").glob("*/" + "[0-9a-f]" * 32))) == 2
    assert "127.0.0.1:9" in kleio("sync").stdout


def test_nothing_is_left_for_python_to_warn_of():
    path = script(
        Path.cwd(),
        """
from kleio.client import Experiment
import os
for k in range(2):
    with Experiment({"k": k}) as experiment:
        with experiment.open("a", "w") as f:
            f.write("a")
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
Experiment({"k": 2}).start()
""",
    )
    done = subprocess.run([PYTHON, "-X", "dev", "-W", "error", path.name], capture_output=True, text=True, timeout=TIME)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("kleio: trial reserved")] == []
    assert statuses() == ["completed"] * 3


def test_a_process_that_is_on_its_way_out_does_not_go_on():
    process = subprocess.Popen([PYTHON, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    assert not _is_exiting(process.pid)
    process.kill()
    until(lambda: _is_exiting(process.pid))
    process.communicate()
    assert not _is_exiting(process.pid)


def test_what_ends_the_whole_job_interrupts():
    process = background(
        """
import os, signal, time
from kleio.client import opened as module
with Experiment({"k": 1}):
    os.kill(module._presence.recorder, signal.SIGTERM)
    Experiment({"k": 2}).start().end()
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
"""
    )
    process.communicate(timeout=TIME)
    assert process.returncode == -signal.SIGTERM
    until(lambda: trials()[1]["status"] == "interrupted")
    assert trials()[1]["executions"][0]["reason"] == "SIGTERM, and its process is gone"


def test_a_script_that_becomes_another_program_lets_go():
    process = background("import os\nwith Experiment({'k': 1}):\n    os.execlp('sh', 'sh', '-c', 'read go; echo other')")
    until(lambda: statuses() == ["suspended"])
    assert process.communicate("go\n", timeout=TIME)[0] == "other\n"
    assert trials()[0]["executions"][0]["reason"] == "its script let go of it"


def test_a_hundred_in_a_row_leave_nothing_behind(home):
    run(
        """
import os, time
from kleio.client import opened as module
def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
for k in range(100):
    with Experiment({"k": k}) as experiment:
        experiment.log_statistic(k=k)
    if k == 20:
        recorder = module._presence.recorder
        before = descriptors("self"), descriptors(recorder)
assert descriptors("self") == before[0]
while descriptors(recorder) >= before[1] + 20:
    time.sleep(0.01)  # the last ones are being closed
""",
        KLEIO_QUIET="1",
    )
    assert len(trials()) == 100
    until(lambda: not list((home / "spool").glob("*/" + "[0-9a-f]" * 32)))


def test_one_that_is_not_open_says_that_nothing_is_recorded():
    done = run(
        """
experiment = Experiment({"k": 1})
experiment.summary({"loss": 1})
experiment.summary({"loss": 2})
with experiment:
    with experiment.open("a.txt", "w") as f:
        f.write("kept")
    left_open = experiment.open("b.txt", "w")
import kleio.core.artifact
kleio.core.artifact.keep = None  # the spool may be there for a while, and is nobody's to write to
experiment.log_artifact("c.txt", b"lost")
Experiment({"k": 2}, norecord=True).summary({"loss": 3})
"""
    )
    said = [line for line in done.stderr.splitlines() if "reserved" not in line]
    assert said == [
        "kleio: a record is lost: the experiment k=1 has not begun: open it in a with, or call its start()",
        "kleio: a record is lost: the experiment k=1 is over",
    ]
    found = printed("info", trials()[0]["id"])
    assert "a.txt" in found
    assert "b.txt" in found
    assert "c.txt" not in found
    assert trials()[0]["summary"] == {}
