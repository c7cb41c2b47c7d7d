"""``Experiment``: trials that a script opens in itself. Real scripts, on both journals."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from commands import PYTHON, info, kleio, script, trials, until
from processes import Terminal, recorded

from kleio.core import statistics
from kleio.core.journal import open_journal
from kleio.core.lookup import by_stream

on_both_journals = pytest.mark.usefixtures("journal_uri")


@pytest.fixture(autouse=True)
def here(request, tmp_path, monkeypatch, home):
    if "journal_uri" in request.fixturenames:
        request.getfixturevalue("journal_uri")
    else:
        monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{home}/journal.db")
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def run(text, *words, check=0, name="train.py", **environment):
    """Run a script that has ``Experiment`` imported."""
    path = script(Path.cwd(), "from kleio.client import Experiment, kleio_logger\n" + text, name)
    done = subprocess.run(
        [PYTHON, path.name, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == check, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def background(text, *words, name="train.py"):
    path = script(Path.cwd(), "from kleio.client import Experiment, kleio_logger\n" + text, name)
    return subprocess.Popen(
        [PYTHON, path.name, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def artifact(trial, name):
    """The bytes of the newest one."""
    journal = open_journal(os.environ["KLEIO_JOURNAL"], writing=False)
    records = [one for _, segments in by_stream(journal, trial, ("artifacts",)) for one in statistics.records(segments)]
    digest = [one.values["sha256"] for one in records if one.values["name"] == name][-1]
    with journal.blob(digest) as file:
        content = file.read()
    journal.close()
    return content


def statuses():
    return [one["status"] for one in reversed(trials())]


@on_both_journals
def test_each_experiment_is_a_trial_of_its_own():
    done = run(
        """
import os, subprocess
for k in range(1, 4):
    with Experiment({"k": k, "solver": "lloyd"}, tags=["kmeans"], name=f"fit-{k}", description="a try") as experiment:
        print("python", k, flush=True)
        os.write(1, b"c level\\n")
        subprocess.run(["echo", "program"])
        experiment.log_statistic(step=1, loss=2.0)
        kleio_logger.log_statistic(step=2, loss=1.0)
        experiment.summary({"inertia": k / 2})
        with experiment.open("centroids.txt", "w") as f:
            f.write(f"centroid {k}")
        assert experiment.open("centroids.txt").read() == f"centroid {k}"
    print("after", k)
"""
    )
    assert done.stdout == "".join(f"python {k}\nc level\nprogram\nafter {k}\n" for k in (1, 2, 3))
    assert done.stderr.count("kleio: trial reserved with id: ") == 3
    assert "Traceback" not in done.stderr
    found = trials()[::-1]
    assert [one["params"] for one in found] == [{"k": k, "solver": "lloyd"} for k in (1, 2, 3)]
    first = found[0]
    assert first["status"] == "completed"
    assert first["tags"] == ["kmeans"]
    assert (first["name"], first["note"]) == ("fit-1", "a try")
    assert first["param_sources"] == {"k": "script", "solver": "script"}
    assert first["command"] == ["python", "train.py"]
    assert first["summary"]["inertia"]["last"] == 0.5
    assert first["summary"]["loss"]["min"] == 1.0
    assert len({one["work_key"] for one in found}) == 3
    assert first["executions"][0]["exit_code"] == 0
    assert kleio("cat", first["id"], check=0).stdout == "python 1\nc level\nprogram\n"
    assert info(first["id"])["environment"]["python"]["executable"] == sys.executable
    assert artifact(first["id"], "centroids.txt") == b"centroid 1"


@on_both_journals
def test_an_exception_is_recorded_and_the_next_goes_on():
    done = run(
        """
for k in range(3):
    with Experiment({"k": k}) as experiment:
        with experiment.open("kept.txt", "w") as f:
            f.write("whole")
        if k == 1:
            try:
                with experiment.open("half.bin", "wb") as f:
                    f.write(b"half")
                    raise KeyError
            except KeyError:
                pass
            with experiment.open("half.txt", "w") as f:
                f.write("half")
                raise ValueError("k must not be one")
print("done")
"""
    )
    assert done.stdout == "done\n"
    assert "ValueError: k must not be one" in done.stderr
    assert statuses() == ["completed", "broken", "completed"]
    one = info(trials()[1]["id"])
    assert one["executions"][0]["reason"] == "ValueError: k must not be one"
    assert "ValueError: k must not be one" in kleio("cat", "--stderr", one["id"], check=0).stdout
    names = kleio("info", one["id"], check=0).stdout
    assert "kept.txt" in names
    assert "half" not in names


def test_reraise_stops_the_script():
    done = run("with Experiment({'k': 1}, reraise=True):\n    raise ValueError('no')\nprint('not here')", check=1)
    assert done.stdout == ""
    assert done.stderr.count("ValueError: no") == 1
    assert statuses() == ["broken"]


def test_leaving_by_exit_or_ctrl_c_is_left():
    run("import sys\nwith Experiment({'k': 1}):\n    sys.exit(3)", check=3)
    run("import sys\nwith Experiment({'k': 2}):\n    sys.exit()", check=0)
    assert statuses() == ["broken", "completed"]
    assert trials()[1]["executions"][0]["reason"] == "exit status 3"
    process = background("import time\nwith Experiment({'k': 3}):\n    print('here', flush=True)\n    time.sleep(60)")
    assert process.stdout.readline() == "here\n"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (1, -2, 130)
    assert trials()[0]["status"] == "suspended"


@on_both_journals
def test_the_same_is_resumed_until_it_is_completed():
    text = """
import sys
with Experiment({"k": 1}) as experiment:
    print(experiment.execution, [one["loss"] for one in experiment.load_statistic("loss")])
    experiment.log_statistic(loss=float(experiment.execution))
    assert sys.argv[1:] or experiment.execution > 1, "at first"
"""
    assert run(text).stdout == "1 []\n"
    again = run(text)
    assert again.stdout == "2 [1.0]\n"
    assert "resumed: its status was broken; this is its execution 2" in again.stderr
    assert len(trials()) == 1
    assert statuses() == ["completed"]
    assert run(text).stdout == "1 []\n"
    assert statuses() == ["completed", "broken"]
    assert trials()[0]["previous"] == trials()[1]["id"]


@on_both_journals
def test_changed_code_with_artifacts_begins_a_new_trial_and_says_how_to_go_on():
    text = """
with Experiment({"k": 1}) as experiment:
    experiment.log_artifact("model", b"weights")
    raise ValueError
"""
    run(text)
    done = run(text + "# changed\n")
    short = trials()[1]["short_id"]
    assert f"trial {short} is broken and is not resumed, because this changed: train.py (+1" in done.stderr
    assert f'experiment_id="{short}", resume=True' in done.stderr
    assert [one["previous"] for one in trials()] == [trials()[1]["id"], None]
    done = run(f'with Experiment(experiment_id="{short}", resume=True) as e:\n    print(e.execution, e.params)')
    assert done.stdout == "2 {'k': 1}\n"
    assert trials()[1]["status"] == "completed"
    assert len(trials()) == 2


@on_both_journals
def test_resuming_by_name_whatever_its_status():
    run("with Experiment({'k': 1}, experiment_id='mine') as e:\n    e.log_statistic(a=1)")
    assert trials()[0]["name"] == "mine"
    done = run("with Experiment({'k': 1}, experiment_id='mine', resume=True) as e:\n    print(e.execution)\n")
    assert done.stdout == "2\n"
    run("with Experiment({'k': 1}, resume=True) as e:\n    print(e.execution)")
    (one,) = trials()
    assert len(one["executions"]) == 3
    done = run("with Experiment({'k': 1}, experiment_id='other', resume=True) as e:\n    print(e.id)")
    assert done.stdout == "None\n"
    assert "there is no trial to resume whose id begins with 'other' or whose name it is" in done.stderr
    done = run("Experiment({'k': 1}, experiment_id='other', resume=True, strict=True).start()", check=1)
    assert "UsageError" in done.stderr
    assert len(trials()) == 1


def test_norecord_runs_and_records_and_says_nothing(home):
    done = run(
        """
with Experiment({"k": 1}, norecord=True) as e:
    e.log_statistic(a=1)
    kleio_logger.log_statistic(a=1)
    with e.open("x", "w") as f:
        f.write("x")
    print(e.id)
"""
    )
    assert (done.stdout, done.stderr) == ("None\n", "")
    assert not (home / "spool").exists()


def test_once_says_that_it_is_done():
    text = "with Experiment({'k': 1}) as e:\n    print(e.done, e.id)"
    run(text)
    done = run(text, KLEIO_ONCE="1")
    assert done.stdout == "True None\n"
    assert "was completed" in done.stderr
    assert len(trials()) == 1


TWICE = """
import threading
inside, over = threading.Event(), threading.Event()
def first():
    with Experiment({"k": 1}) as one:
        inside.set()
        over.wait(50)
thread = threading.Thread(target=first)
thread.start()
inside.wait(50)
try:
    with Experiment({"k": 1}, strict=STRICT) as two:
        two.log_statistic(a=1)
        print("goes on", two.id)
except Exception as error:
    print(type(error).__name__)
over.set()
thread.join()
"""


@on_both_journals
def test_the_same_twice_at_once_is_refused():
    done = run(TWICE.replace("STRICT", "False"))
    assert "goes on None\n" in done.stdout
    assert done.stderr.count("is not recorded: trial") == 1
    assert "is running already on" in done.stderr
    assert run(TWICE.replace("STRICT", "True")).stdout == "AlreadyRunning\n"
    assert [one["summary"] for one in trials()] == [{}, {}]


def test_waiting_for_the_one_that_runs():
    done = run(
        TWICE.replace("STRICT", "False").replace("        over.wait(50)", "        over.wait(0.3)"), KLEIO_IF_RUNNING="wait"
    )
    second, first = trials()
    assert f"goes on {second['id']}\n" == done.stdout
    assert f"kleio: waiting for trial {first['short_id']}" in done.stderr
    assert second["previous"] == first["id"]


def test_nested_experiments():
    done = run(
        """
with Experiment({"outer": 1}) as outer:
    print("before")
    kleio_logger.log_statistic(outer=1)
    with Experiment({"inner": 1}) as inner:
        print("inside")
        kleio_logger.log_statistic(inner=1)
    kleio_logger.log_statistic(outer=2)
    print("after")
"""
    )
    assert done.stdout == "before\ninside\nafter\n"
    inner, outer = trials()
    assert inner["within"] == outer["id"]
    assert set(outer["summary"]) == {"outer"}
    assert outer["summary"]["outer"]["count"] == 2
    assert set(inner["summary"]) == {"inner"}
    assert kleio("cat", outer["id"], check=0).stdout == "before\ninside\nafter\n"
    assert kleio("cat", inner["id"], check=0).stdout == "inside\n"


@on_both_journals
def test_threads_do_not_mix_their_records():
    run(
        """
import threading
barrier = threading.Barrier(3)
def one(k):
    with Experiment({"k": k}) as experiment:
        barrier.wait(50)
        kleio_logger.log_statistic(k=k)
        with kleio_logger.scope(depth=k) as scope:
            scope.log_statistic(scoped=k)
        kleio_logger.log_artifact("k", str(k).encode())
        barrier.wait(50)
threads = [threading.Thread(target=one, args=(k,)) for k in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
kleio_logger.log_statistic(outside=1)
with Experiment({"k": 3}) as experiment:
    kleio_logger.log_statistic(k=3)
    print("printed")
print("outside")
"""
    )
    assert len(trials()) == 4
    for one in trials():
        assert one["status"] == "completed"
        assert one["summary"]["k"]["last"] == one["params"]["k"]
        assert set(one["summary"]) <= {"k", "scoped", "depth"}
        if one["params"]["k"] < 3:
            assert artifact(one["id"], "k") == str(one["params"]["k"]).encode()


def test_a_fork_beside_threads_closes_nothing_twice():
    script(
        Path.cwd(),
        """
import os, threading
from kleio.client import Experiment, kleio_logger
inside, over = threading.Barrier(3), threading.Event()
def one(k):
    with Experiment({"k": k}) as experiment:
        kleio_logger.log_statistic(k=k)
        inside.wait(50)
        if k == 0:
            child = os.fork()
            kleio_logger.log_statistic(k=k)
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            over.set()
        over.wait(50)
        kleio_logger.log_statistic(k=k)
threads = [threading.Thread(target=one, args=(k,)) for k in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
kleio_logger.log_statistic(launcher=1)
""",
    )
    done = kleio(PYTHON, "train.py", check=0)
    assert "Exception" not in done.stderr
    counts = {one["params"].get("k"): one["summary"].get("k", {}).get("count") for one in trials()}
    assert counts == {0: 4, 1: 2, 2: 2, None: None}


def test_a_thread_that_logs_all_the_time_is_recorded_once():
    run(
        """
import threading
over, logged = threading.Event(), 0
def log():
    global logged
    while not over.is_set():
        kleio_logger.log_statistic(n=1)
        logged += 1
with Experiment({"around": 1}):
    thread = threading.Thread(target=log)
    thread.start()
    for k in range(30):
        with Experiment({"k": k}):
            pass
    over.set()
    thread.join()
print(logged)
""",
        KLEIO_STRICT="1",
    )
    assert {one["status"] for one in trials()} == {"completed"}
    assert len(trials()) == 31


def test_asyncio_tasks_do_not_mix_their_records():
    run(
        """
import asyncio
async def one(k, barrier):
    with Experiment({"k": k}) as experiment:
        await asyncio.sleep(0)
        kleio_logger.log_statistic(k=k)
        await asyncio.sleep(0)
async def main():
    await asyncio.gather(*(one(k, None) for k in range(3)))
asyncio.run(main())
"""
    )
    assert [one["summary"]["k"]["last"] == one["params"]["k"] for one in trials()] == [True] * 3
    assert [one["within"] for one in trials()] == [None] * 3


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing(method):
    run(
        f"""
import multiprocessing
def work(k):
    with Experiment({{"k": k}}) as experiment:
        print("worker", k)
        kleio_logger.log_statistic(squared=k * k)
    return experiment.id
if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        assert len(set(pool.map(work, range(4), chunksize=1))) == 4
"""
    )
    found = trials()
    assert sorted((one["params"]["k"], one["summary"]["squared"]["last"]) for one in found) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert {tuple(one["command"]) for one in found} == {("python", "train.py")}
    assert all(kleio("cat", one["id"], check=0).stdout == f"worker {one['params']['k']}\n" for one in found)


def test_a_fork_inside_may_log_and_does_not_end_it():
    run(
        """
import os
with Experiment({"k": 1}) as experiment:
    print("parent")
    child = os.fork()
    kleio_logger.log_statistic(child=int(child == 0))
    if not child:
        with Experiment({"in": "child"}) as inner:
            inner.log_statistic(a=1)
    else:
        os.waitpid(child, 0)
        kleio_logger.log_statistic(last=1)
if not child:
    os._exit(0)
"""
    )
    inner, outer = sorted(trials(), key=lambda one: list(one["params"]))
    assert inner["params"] == {"in": "child"}
    assert inner["within"] == outer["id"]
    assert outer["status"] == "completed"
    assert outer["summary"]["child"]["count"] == 2
    assert outer["summary"]["last"]["count"] == 1


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
    process.communicate(timeout=60)
    assert process.returncode == -9
    one = until(lambda: [one for one in trials() if one["status"] == "broken"])[0]
    assert one["executions"][0]["reason"] == "its process is gone: killed, or left without an end"
    assert one["summary"]["at"]["count"] == 1000
    assert kleio("cat", one["id"], check=0).stdout.endswith("line 999\nlast\n")
    assert artifact(one["id"], "model") == b"weights"
    assert kleio("sync", check=0).stdout == ""


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
with Experiment({"k": 2}) as experiment:
    print("again")
"""
    )
    assert process.stdout.readline() == "recorded\n"
    out, err = process.communicate("go\n", timeout=60)
    assert out == "afterwards\n" * 20000 + "again\n"
    assert err.count("kleio: the recorder process was killed; logging goes on") == 1
    kleio("sync")
    second, first = trials()
    assert (first["status"], second["status"]) == ("completed", "completed")
    assert first["summary"]["at"]["count"] == 2


def test_ctrl_c_on_the_terminal_does_not_reach_the_recorder():
    script(
        Path.cwd(),
        """
from kleio.client import Experiment
import sys, time, os
with Experiment({"k": 1}) as experiment:
    print(sys.stdout.isatty(), os.isatty(2), os.get_terminal_size(1), flush=True)
    print("ready", flush=True)
    time.sleep(60)
""",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"ready")
        terminal.type(b"\x03")
        seen = terminal.finish()
    assert b"True True os.terminal_size(columns=101, lines=33)" in seen
    assert b"KeyboardInterrupt" in seen
    assert trials()[0]["status"] == "suspended"
    assert b"ready" in recorded()


def test_the_terminal_is_given_back():
    script(
        Path.cwd(),
        """
from kleio.client import Experiment
import os, termios
before = os.fstat(1), os.ttyname(1), termios.tcgetattr(1)
for k in range(2):
    with Experiment({"k": k}):
        assert os.isatty(1) and os.ttyname(1) != before[1]
        print("inside", k)
    print("outside", k)
assert (os.fstat(1).st_ino, os.ttyname(1), termios.tcgetattr(1)) == (before[0].st_ino, before[1], before[2])
print("same", flush=True)
""",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        seen = terminal.finish()
    order = [word for word in seen.decode().split("\r\n") if word and not word.startswith("kleio")]
    assert order == ["inside 0", "outside 0", "inside 1", "outside 1", "same"]


def test_a_reader_that_goes_ends_the_script_as_ever(tmp_path):
    path = script(
        Path.cwd(),
        """
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
from kleio.client import Experiment
with Experiment({"k": 1}):
    while True:
        print("x" * 1000)
""",
    )
    process = subprocess.Popen([PYTHON, path.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(60) == -signal.SIGPIPE


def test_a_program_that_outlives_its_experiment_goes_on_printing():
    done = run(
        """
import subprocess, sys
with Experiment({"k": 1}):
    print("inside")
    program = subprocess.Popen(["sh", "-c", "read go; echo late; exit 7"], stdin=subprocess.PIPE)
print("outside", flush=True)
program.communicate(b"go\\n")
sys.exit(program.returncode)
""",
        check=7,
    )
    assert done.stdout == "inside\noutside\nlate\n"
    assert kleio("cat", trials()[0]["id"], check=0).stdout == "inside\n"


def test_an_experiment_by_itself_is_no_command():
    run("with Experiment({'k': 1}):\n    raise ValueError")
    one = trials()[0]
    for command in (["run"], ["exec"], ["repeat"], ["branch"]):
        done = kleio(*command, one["id"], check=125)
        assert f"trial {one['short_id']} is an experiment that a script opened in itself; run the script" in done.stderr
        assert "python train.py" in done.stderr
    assert trials() == [one]
    assert kleio("info", one["id"], check=0).stdout.endswith(f"next: python train.py · kleio cat {one['short_id']}\n")


def test_within_the_launcher():
    script(Path.cwd(), "from kleio.client import Experiment\nwith Experiment({'k': 1}) as e:\n    print('inner')\n")
    done = kleio(PYTHON, "train.py", check=0)
    assert done.stdout == "inner\n"
    inner, outer = sorted(trials(), key=lambda one: one["within"] is None)
    assert inner["within"] == outer["id"]
    assert outer["status"] == inner["status"] == "completed"
    assert inner["work_key"] != outer["work_key"]


def test_what_is_started_inside_records_there():
    run(
        """
import subprocess, sys
with Experiment({"k": 1}):
    child = "from kleio.client import kleio_logger; kleio_logger.log_statistic(child=1)"
    subprocess.run([sys.executable, "-c", child], check=True)
    subprocess.run('echo \\'{"shell": 2}\\' >> "$KLEIO_STATISTICS"', shell=True, check=True)
import os
assert not [name for name in os.environ if name.startswith("KLEIO_TRIAL")]
"""
    )
    assert {name: one["last"] for name, one in trials()[0]["summary"].items()} == {"child": 1, "shell": 2}


def test_what_is_left_in_the_output_directory_becomes_artifacts(here):
    done = run(
        """
for k in range(2):
    with Experiment({"k": k}, name=None if k else "first") as experiment:
        (experiment.output_dir / "plot.txt").write_text(f"plot {k}")
        print(experiment.output_dir)
with Experiment({"k": 3}, norecord=True) as experiment:
    (experiment.output_dir / "plot.txt").write_text("plot")
"""
    )
    second, first = trials()
    assert done.stdout.split() == [f"{here}/results/first/", f"{here}/results/{second['short_id']}/"]
    assert artifact(first["id"], "output/plot.txt") == b"plot 0"
    assert artifact(second["id"], "output/plot.txt") == b"plot 1"


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


def test_from_a_parser():
    text = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("out", nargs="?", default="results.csv")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--verbose", action="store_true")
Experiment.add_argument_group(parser)
with Experiment.from_parser(parser, tags=["always"]) as experiment:
    print(experiment.params)
"""
    done = run(text, "d.csv", "--lr", "0.5", "--tag", "a", "--tag", "b", "--name", "first", "--description", "why")
    assert done.stdout == "{'data': 'd.csv', 'out': 'results.csv', 'lr': 0.5, 'epochs': 3, 'verbose': False}\n"
    one = trials()[0]
    assert one["param_sources"] == {
        "data": "command line", "lr": "command line", "out": "default", "epochs": "default", "verbose": "default",
    }  # fmt: skip
    assert (one["tags"], one["name"], one["note"]) == (["a", "b"], "first", "why")
    assert run(text, "d.csv", "--norecord").stderr == ""
    assert len(trials()) == 1


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
    done = subprocess.run([PYTHON, "-X", "dev", "-W", "error", path.name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("kleio: trial reserved")] == []
    assert statuses() == ["completed"] * 3


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
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    until(lambda: trials()[1]["status"] == "interrupted")
    assert trials()[1]["executions"][0]["reason"] == "SIGTERM, and its process is gone"


def test_a_script_that_becomes_another_program_lets_go():
    run("import os\nwith Experiment({'k': 1}):\n    os.execlp('sh', 'sh', '-c', 'sleep 2; echo other')")
    (one,) = trials()
    assert (one["status"], one["executions"][0]["reason"]) == ("suspended", "its script let go of it")


def test_the_size_of_the_terminal_is_followed():
    script(
        Path.cwd(),
        """
from kleio.client import Experiment
import os, time
with Experiment({"k": 1}):
    print("ready", flush=True)
    while os.get_terminal_size(1).columns != 47:
        time.sleep(0.01)
    print("seen", flush=True)
""",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"ready")
        terminal.resize(20, 47)
        terminal.until(b"seen")
        terminal.finish()


def test_asking_on_the_terminal():
    script(
        Path.cwd(),
        "from kleio.client import Experiment\nwith Experiment({'k': 1}):\n    print('hello', input('name? '))\n",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"name? ")
        terminal.type(b"ada\n")
        assert b"hello ada" in terminal.finish()
    assert b"name? hello ada" in recorded()


def test_code_that_is_edited_between_two_is_noticed():
    run(
        """
import pathlib
for k in range(2):
    with Experiment({"k": k}):
        pathlib.Path("module.py").write_text(f"# {k}")
"""
    )
    fingerprints = [one["code"]["fingerprint"] for one in trials()]
    assert len(set(fingerprints)) == 2


def test_what_is_not_recorded_is_not_recorded_elsewhere():
    """Not in the trial of the launcher, nor in the experiment around it."""
    script(
        Path.cwd(),
        """
from kleio.client import Experiment, kleio_logger
kleio_logger.log_statistic(launcher=1)
with Experiment({"k": 1}):
    with Experiment({"k": 2}, norecord=True):
        kleio_logger.log_statistic(nowhere=1)
    kleio_logger.log_statistic(experiment=1)
kleio_logger.log_statistic(launcher=2)
""",
    )
    kleio(PYTHON, "train.py", check=0)
    assert sorted(sorted(one["summary"]) for one in trials()) == [["experiment"], ["launcher"]]


@pytest.mark.parametrize("where", [">log", ">log 2>&1", ">&-", ">&- 2>&-", "| cat", ">/dev/null"])
def test_wherever_output_goes(where, here):
    script(here, "from kleio.client import Experiment\nwith Experiment({'k': 1}):\n    print('inside')\nprint('outside')\n")
    done = subprocess.run(f"{PYTHON} train.py {where}", shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = "inside\noutside\n"
    if "log" in where:
        text = (here / "log").read_text()
        assert [line for line in text.splitlines() if not line.startswith("kleio:")] == said.split()
    elif "cat" in where:
        assert done.stdout == said
    assert statuses() == ["completed"]
    assert kleio("cat", trials()[0]["id"], check=0).stdout == ("" if ">&-" in where else "inside\n")


def test_a_stream_of_the_users_own():
    done = run(
        """
import contextlib, io, sys
class Tee:
    def __init__(self, stream):
        self.stream, self.kept = stream, []
    def write(self, text):
        self.kept.append(text)
        return self.stream.write(text)
    def flush(self):
        self.stream.flush()
sys.stdout = Tee(sys.stdout)
with Experiment({"k": 1}):
    print("through a tee")
    with contextlib.redirect_stdout(io.StringIO()) as inner:
        print("kept by the script")
assert sys.stdout.kept[0] == "through a tee"
with contextlib.redirect_stdout(io.StringIO()) as outer:
    with Experiment({"k": 2}):
        print("in memory")
    print("not recorded")
assert outer.getvalue() == "in memory\\nnot recorded\\n"
"""
    )
    assert done.stdout == "through a tee\n"
    second, first = trials()
    assert kleio("cat", first["id"], check=0).stdout == "through a tee\n"
    assert kleio("cat", second["id"], check=0).stdout == "in memory\n"


def test_workers_of_joblib():
    run(
        """
from joblib import Parallel, delayed
def work(k):
    from kleio.client import Experiment
    with Experiment({"k": k}) as experiment:
        experiment.summary(k=k)
Parallel(n_jobs=2)(delayed(work)(k) for k in range(3))
"""
    )
    assert sorted(one["summary"]["k"]["last"] for one in trials()) == [0, 1, 2]
    assert {one["status"] for one in trials()} == {"completed"}
    assert {tuple(one["command"]) for one in trials()} == {("python", "train.py")}


def test_a_hundred_in_a_row_leave_nothing_behind(home):
    run(
        """
import os
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
assert descriptors(recorder) < before[1] + 20  # the last ones are being closed
""",
        KLEIO_QUIET="1",
    )
    assert len(trials()) == 100
    until(lambda: not list((home / "spool").glob("*/" + "[0-9a-f]" * 32)))


def test_of_a_parsed_command_line_only_the_parameters_count(here):
    (here / "pyproject.toml").write_text('[tool.kleio]\nvolatile = ["--num-workers"]\n')
    text = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--num-workers", type=int, default=1)
Experiment.add_argument_group(parser)
with Experiment.from_parser(parser) as experiment:
    print(experiment.execution)
    assert experiment.execution == 4
"""
    ways = (["d.csv"], ["--lr", "0.1", "d.csv", "--tag", "x"], ["--num-workers=8", "--resume", "d.csv"], ["--lr=0.10", "d.csv"])
    assert [run(text, *words).stdout for words in ways] == ["1\n", "2\n", "3\n", "4\n"]
    assert run(text, "e.csv").stdout == "1\n"
    assert [one["params"]["data"] for one in trials()] == ["e.csv", "d.csv"]


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
experiment.log_artifact("c.txt", b"lost")
Experiment({"k": 2}, norecord=True).summary({"loss": 3})
"""
    )
    said = [line for line in done.stderr.splitlines() if "reserved" not in line]
    assert said == [
        "kleio: a record is lost: the experiment k=1 has not begun: open it in a with, or call its start()",
        "kleio: a record is lost: the experiment k=1 is over",
    ]
    found = kleio("info", trials()[0]["id"], check=0).stdout
    assert "a.txt" in found
    assert "b.txt" in found
    assert "c.txt" not in found
    assert trials()[0]["summary"] == {}


@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_under_pytest(capture, here):
    (here / "test_it.py").write_text(
        """
import os
from kleio.client import Experiment

def test_it(capfd):
    with Experiment({"k": 1}) as experiment:
        print("python")
        os.write(1, b"c level\\n")
        experiment.log_statistic(a=1)
    assert "python\\n" in capfd.readouterr().out
    assert experiment.id

def test_other():
    with Experiment({"k": 2}) as experiment:
        print("shown")
    assert 0
"""
    )
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", f"--capture={capture}", "test_it.py"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("shown\n") == 1
    found = {one["params"]["k"]: one for one in trials()}
    assert kleio("cat", found[2]["id"], check=0).stdout == "shown\n"
    assert sorted(kleio("cat", found[1]["id"], check=0).stdout.split("\n")) == ["", "c level", "python"]


def test_in_a_notebook(here):
    import nbclient
    import nbformat

    cells = [
        "from kleio.client import Experiment, kleio_logger\nimport os\nfactor = 2",
        "with Experiment({'k': 1}) as o:\n    print('python')\n    os.system('echo program')\n    o.log_statistic(a=factor)",
        "other = Experiment({'k': 2}).start()\nprint('started')",
        "kleio_logger.log_statistic(b=1)\nother.end()",
        "with Experiment({'k': 3}):\n    1 / 0",
        "print('still here')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(here)}}).execute()
    third, second, first = trials()
    assert (first["status"], second["status"], third["status"]) == ("completed", "completed", "broken")
    assert first["command"] == ["jupyter"]
    assert sorted(kleio("cat", first["id"], check=0).stdout.split()) == ["program", "python"]
    assert kleio("cat", second["id"], check=0).stdout == "started\n"
    assert second["summary"]["b"]["last"] == 1
    shown = json.dumps([cell.outputs for cell in notebook.cells])
    assert shown.count("python\\\\n") + shown.count("python\\n") >= 1
    assert "ZeroDivisionError" in shown
    assert "still here" in shown
    kleio("checkout", third["id"], here / "back", check=0)
    kept = (here / "back" / "notebook-cells.py").read_text()
    assert "factor = 2" in kept
    assert "1 / 0" in kept
    assert "still here" not in kept


def test_the_k_means_loop_of_meticulous():
    done = run(
        """
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

data = load_iris().data

def fit(k):
    global centroids
    model = KMeans(k, n_init=1, random_state=0).fit(data)
    centroids = model.cluster_centers_
    return model.inertia_

for k in range(1, 10):
    with Experiment({"k": k}, tags=["kmeans"]) as experiment:   # output captured, one trial each
        experiment.summary({"loss": fit(k)})
        with experiment.open("centroids.npy", "wb") as f:
            np.save(f, centroids)
"""
    )
    assert "Traceback" not in done.stderr
    found = trials()[::-1]
    assert [one["params"]["k"] for one in found] == list(range(1, 10))
    losses = [one["summary"]["loss"]["last"] for one in found]
    assert losses == sorted(losses, reverse=True)
    assert numpy.load(io.BytesIO(artifact(found[2]["id"], "centroids.npy"))).shape == (3, 4)
