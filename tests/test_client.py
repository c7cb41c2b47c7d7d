"""kleio_logger inside real scripts, on both journals."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess

import pytest
from commands import KLEIO, PYTHON, info, kleio, printed, script, start, trials, until

from kleio.core import statistics
from kleio.core.journal import open_journal
from kleio.core.lookup import by_stream

IMPORT = "from kleio.client.logger import kleio_logger as k\n"


def run(tmp_path, text, check=0, **environment):
    path = script(tmp_path, IMPORT + text)
    return kleio(PYTHON, path, cwd=tmp_path, check=check, **environment)


def logged(uri, stream="statistics"):
    """Every record of the newest trial, in the order of its times."""
    journal = open_journal(uri, writing=False)
    try:
        found = []
        for _, segments in by_stream(journal, trials()[0]["id"], (stream,)):
            found += statistics.records(segments)
        return [dict(one.values) for one in sorted(found, key=lambda one: one.time)]
    finally:
        journal.close()


def test_values_come_back_as_they_were(tmp_path, journal_uri):
    run(
        tmp_path,
        """
import datetime, math, numpy as np
k.log_statistic(loss=0.1, n=2**70, small=-1, name="é\\n", none=None, yes=True)
k.log_statistic(nan=math.nan, inf=math.inf, ninf=-math.inf)
k.log_statistic(when=datetime.datetime(2024, 1, 2, 3), raw=b"\\x00\\xff", np=np.float32(0.5), ints=np.arange(3))
k.log_statistic(**{"self": 0, "a.b": 1, "$c": 2, "": 3, "\\0": 4, "e f": {"g": {"h": 5}}})
""",
    )
    first, second, third, fourth = logged(journal_uri)
    assert first == {"loss": 0.1, "n": 2**70, "small": -1, "name": "é\n", "none": None, "yes": True}
    assert math.isnan(second["nan"])
    assert (second["inf"], second["ninf"]) == (math.inf, -math.inf)
    assert (third["raw"], third["np"], third["ints"]) == (b"\x00\xff", 0.5, [0, 1, 2])
    assert third["when"].isoformat() == "2024-01-02T03:00:00"
    assert fourth == {"self": 0, "a.b": 1, "$c": 2, "": 3, "\0": 4, "e f": {"g": {"h": 5}}}
    summary = info(trials()[0]["id"])["summary"]
    assert summary["e f/g/h"]["last"] == 5
    assert summary["inf"]["last"] == "Infinity"
    assert summary["nan"] == {"last": "NaN", "count": 1}


def test_what_returned_survives_kill_9(tmp_path, journal_uri):
    """The script kills itself in the middle of its work; everything it logged before is in the journal."""
    run(
        tmp_path,
        "import os, signal\nfor n in range(20000):\n    k.log_statistic(n=n)\nos.kill(os.getpid(), signal.SIGKILL)\n",
        check=-signal.SIGKILL,
    )
    assert [one["n"] for one in logged(journal_uri)] == list(range(20000))


def test_forks_threads_and_processes_lose_nothing(tmp_path, journal_uri):
    run(
        tmp_path,
        """
import multiprocessing, os, threading
def work(base):
    for n in range(300):
        k.log_statistic(n=base + n)
if __name__ == "__main__":
    work(0)
    pids = []
    for child in (1, 2, 3):
        pid = os.fork()
        if pid == 0:
            work(child * 1000)
            os._exit(0)
        pids.append(pid)
    threads = [threading.Thread(target=work, args=(t * 1000,)) for t in (4, 5)]
    [t.start() for t in threads]
    for start, bases in (("fork", (6000, 7000)), ("spawn", (8000,))):
        processes = [multiprocessing.get_context(start).Process(target=work, args=(base,)) for base in bases]
        [p.start() for p in processes]
        [p.join() for p in processes]
    [t.join() for t in threads]
    [os.waitpid(pid, 0) for pid in pids]
""",
    )
    assert sorted(one["n"] for one in logged(journal_uri)) == [b * 1000 + n for b in range(9) for n in range(300)]


def test_artifacts_of_every_kind_and_once_per_content(tmp_path, journal_uri):
    run(
        tmp_path,
        """
import io, os, pathlib
path = pathlib.Path("weights.bin")
path.write_bytes(os.urandom(3_000_000))
original = path.read_bytes()
k.log_artifact("weights", path, epoch=1)
path.write_bytes(b"changed")
k.log_artifact("weights", str(path), epoch=2)
path.unlink()
k.log_artifact("weights", io.BytesIO(original), epoch=3)
k.log_artifact("weights", bytearray(b"b"), epoch=4)
k.log_artifact("empty", b"", wait=True)
found = k.load_artifacts("weights")
assert [a.meta["epoch"] for a in found] == [1, 2, 3, 4], found
assert found[0].open().read() == original == found[2].open().read()
assert found[1].open().read() == b"changed"
found[3].save("saved.bin")
assert pathlib.Path("saved.bin").read_bytes() == b"b"
assert [a.size for a in k.load_artifacts("weights", {"epoch": 3})] == [len(original)]
assert k.load_artifacts("empty")[0].open().read() == b""
assert k.load_artifacts("nothing") == []
""",
    )
    if journal_uri.startswith("sqlite"):
        blobs = os.path.join(os.environ["KLEIO_HOME"], "blobs")
        kept = {name for _, _, names in os.walk(blobs) for name in names}
        assert len(kept - {info(trials()[0]["id"])["code"]["pack"]}) == 4
    assert [one["name"] for one in logged(journal_uri, "artifacts")] == ["weights"] * 4 + ["empty"]


def test_a_resumed_script_sees_what_earlier_executions_logged(tmp_path, journal_uri):
    text = """
import sys
before = k.load_statistic("epoch")
print([one["epoch"] for one in before], [a.open().read() for a in k.load_artifacts("w")])
k.log_statistic(epoch=len(before))
k.log_artifact("w", b"%d" % len(before), epoch=len(before))
print(len(k.load_statistic("epoch")), k.load_statistic("nothing"), [dict(s) for s in k.load_statistic(epoch=0)])
sys.exit(len(before) < 2)
"""
    assert run(tmp_path, text, check=1).stdout.splitlines() == ["[] []", "1 [] [{'epoch': 0}]"]
    assert run(tmp_path, text, check=1).stdout.splitlines()[0] == "[0] [b'0']"
    assert run(tmp_path, text, check=0).stdout.splitlines()[0] == "[0, 1] [b'0', b'1']"
    assert len(trials()) == 1


def test_flush_returns_when_it_is_in_the_journal(tmp_path, journal_uri):
    done = run(
        tmp_path,
        f"""
import subprocess, json
k.log_statistic(x=1)
assert k.flush() is True
words = [{PYTHON!r}, "-m", "kleio", "ls", "--json", "--all-projects"]
out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
print(json.loads(out)[0]["summary"]["x"]["last"], json.loads(out)[0]["status"])
""",
    )
    assert done.stdout == "1 running\n"


def test_parameters_are_there(tmp_path):
    path = script(tmp_path, IMPORT + "print(k.load_config())")
    assert kleio(PYTHON, path, "--lr", "0.1", "--x=a", cwd=tmp_path, check=0).stdout == "{'lr': 0.1, 'x': 'a'}\n"


def test_a_shell_script_logs_with_echo_and_with_kleio_log(tmp_path, journal_uri):
    text = f"""
echo '{{"loss": 0.5, "epoch": 1}}' >> "$KLEIO_STATISTICS"
echo 'this is not JSON' >> "$KLEIO_STATISTICS"
echo '[1, 2]' >> "$KLEIO_STATISTICS"
{PYTHON} -m kleio log loss=0.25 epoch=2 note=fine
printf '{{"loss": NaN, "epoch": 3}}' >> "$KLEIO_STATISTICS"
"""
    kleio("sh", "-c", text, cwd=tmp_path, check=0)
    trial = trials()[0]
    assert trial["summary"]["loss"] == {"last": "NaN", "min": 0.25, "max": 0.5, "mean": 0.375, "count": 3}
    assert trial["summary"]["note"]["last"] == "fine"
    assert "2 lines" in printed("info", trial["id"])


def test_kleio_log_outside_a_trial_is_one_clear_line():
    assert "inside a trial" in kleio("log", "x=1", check=1).stderr
    assert "NAME=VALUE" in kleio("log", "x", check=2).stderr


def test_without_kleio_statistics_are_printed_and_nothing_else_changes(tmp_path):
    path = script(
        tmp_path,
        IMPORT
        + "k.log_statistic(x=1, y='a')\nk.log_artifact('n', b'x')\nprint(k.load_statistic(), k.load_artifacts('n'), k.flush())",
    )
    done = subprocess.run([PYTHON, path], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[] [] True\n"
    assert '"x":1,"y":"a"' in done.stderr


def test_a_spool_that_is_gone_is_said_once_and_stops_nothing(tmp_path):
    path = script(tmp_path, IMPORT + "for n in range(3): k.log_statistic(n=n)\nprint('end')")
    done = subprocess.run(
        [PYTHON, path], capture_output=True, text=True, check=True, env=os.environ | {"KLEIO_SPOOL": str(tmp_path / "gone")}
    )
    assert done.stdout == "end\n"
    assert done.stderr.count("not on this host") == 1


@pytest.mark.parametrize("bad", ["object()", "'x' * 9_000_000", "cycle"])
def test_a_value_that_cannot_be_kept_is_said_and_stops_only_the_strict(tmp_path, bad):
    text = "cycle = []\ncycle.append(cycle)\n"
    text += f"k.log_statistic(ok=1)\nk.log_statistic(bad={bad})\nk.log_statistic(ok=2)\nprint('end')"
    done = run(tmp_path, text)
    assert done.stdout == "end\n"
    said = ("kleio: a record is lost", "kleio: 'bad' cannot be recorded and is left out")
    assert sum(line.startswith(said) for line in done.stderr.splitlines()) == 1
    assert trials()[0]["summary"]["ok"]["count"] == 2
    path = script(tmp_path, IMPORT + text, "strict.py")
    strict = subprocess.run(
        [*KLEIO, PYTHON, path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"KLEIO_STRICT": "1"},
        check=False,
    )
    assert strict.returncode == 1
    assert "Error" in strict.stderr


def test_an_artifact_that_cannot_be_read_is_said(tmp_path):
    done = run(tmp_path, "k.log_artifact('a', 'missing.bin')\nk.log_artifact('b', 5)\nprint('end')")
    assert done.stdout == "end\n"
    assert "'a' is not recorded" in done.stderr
    assert "'b' is not recorded" in done.stderr


def test_a_script_in_the_background_can_be_read_while_it_runs(tmp_path, journal_uri):
    os.mkfifo(tmp_path / "go")
    path = script(tmp_path, IMPORT + "k.log_statistic(x=1)\nprint('ready', flush=True)\nopen('go').read()\n")
    process = start(PYTHON, path, cwd=tmp_path)
    assert process.stdout.readline() == "ready\n"
    until(lambda: trials()[0]["summary"].get("x"))
    assert trials()[0]["status"] == "running"
    (tmp_path / "go").write_text("")
    process.communicate(timeout=600)
    assert trials()[0]["status"] == "completed"
    assert json.dumps(trials())
