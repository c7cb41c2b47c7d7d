"""``Experiment``: trials that a script opens in itself. Real scripts, on both journals."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from commands import PYTHON, info, kleio, printed, script
from experiments import artifact, background, run, statuses, trials

pytestmark = pytest.mark.usefixtures("workplace")
on_both_journals = pytest.mark.usefixtures("journal_uri")


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
    assert printed("cat", first["id"]) == "python 1\nc level\nprogram\n"
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
    assert "ValueError: k must not be one" in printed("cat", "--stderr", one["id"])
    names = printed("info", one["id"])
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
    waits = "import time\nwith Experiment({'k': 3}):\n    print('here', flush=True)\n    while True: time.sleep(0.1)"
    process = background(waits)
    assert process.stdout.readline() == "here\n"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=600)
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
        over.wait(300)
thread = threading.Thread(target=first)
thread.start()
inside.wait(300)
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


def test_waiting_for_the_one_that_runs(monkeypatch):
    monkeypatch.setenv("KLEIO_IF_RUNNING", "wait")
    process = background(TWICE.replace("STRICT", "False").replace("        over.wait(300)", "        input()"))
    said = [process.stderr.readline()]
    while said[-1] and "waiting" not in said[-1]:
        said.append(process.stderr.readline())
    out, _ = process.communicate("go\n", timeout=600)
    second, first = trials()
    assert f"goes on {second['id']}\n" == out
    assert f"kleio: waiting for trial {first['short_id']}" in said[-1]
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
    assert printed("cat", outer["id"]) == "before\ninside\nafter\n"
    assert printed("cat", inner["id"]) == "inside\n"


@on_both_journals
def test_threads_do_not_mix_their_records():
    run(
        """
import threading
barrier = threading.Barrier(3)
def one(k):
    with Experiment({"k": k}) as experiment:
        barrier.wait(300)
        kleio_logger.log_statistic(k=k)
        with kleio_logger.scope(depth=k) as scope:
            scope.log_statistic(scoped=k)
        kleio_logger.log_artifact("k", str(k).encode())
        barrier.wait(300)
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


def test_threads_that_begin_at_the_same_moment_all_begin():
    """The first that is about to watch the recorder waits for the next to be about to, unless that is held up."""
    done = run(
        """
import threading, types
from kleio.client import connection
system, next_one, threads = connection.os, threading.Event(), []
def pipe():
    threads.append(threading.get_ident())
    if len(threads) == 1:
        next_one.wait(1)
    next_one.set()
    return system.pipe()
connection.os = types.ModuleType("os")
connection.os.__dict__.update(vars(system), pipe=pipe)
began = threading.Barrier(3)
def one(k):
    with Experiment({"k": k}):
        began.wait(300)
running = [threading.Thread(target=one, args=(k,)) for k in range(3)]
[thread.start() for thread in running]
[thread.join() for thread in running]
print(len(threads), began.broken)
"""
    )
    assert done.stdout == "1 False\n"
    assert [one["status"] for one in trials()] == ["completed"] * 3


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
        inside.wait(300)
        if k == 0:
            child = os.fork()
            kleio_logger.log_statistic(k=k)
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            over.set()
        over.wait(300)
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


def test_threads_that_fork_at_once_are_all_watched_afterwards():
    run(
        """
import os, threading
from kleio.client import opened
together = threading.Barrier(4)
def forks():
    together.wait(300)
    for _ in range(25):
        child = os.fork()
        if not child:
            with opened._changing:  # as if it opened an experiment
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
with Experiment({"k": 1}):
    threads = [threading.Thread(target=forks) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert opened._presence.pause(), "nobody would hear that the recorder is gone"
    opened._presence.watch()
"""
    )
    assert [one["status"] for one in trials()] == ["completed"]


def test_a_thread_that_logs_all_the_time_is_recorded_once():
    done = run(
        """
import threading
over, logged = threading.Event(), 0
def log():
    global logged
    while not over.wait(0.0005):
        for _ in range(20):
            kleio_logger.log_statistic(n=1)
        logged += 20
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
    recorded, logged = sum(one["summary"].get("n", {}).get("count", 0) for one in trials()), int(done.stdout)
    assert logged - 30 <= recorded <= logged  # of each that ended a call may have been under way


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
    assert all(printed("cat", one["id"]) == f"worker {one['params']['k']}\n" for one in found)


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


def test_an_experiment_by_itself_is_no_command():
    run("with Experiment({'k': 1}):\n    raise ValueError")
    one = trials()[0]
    for command in (["run"], ["exec"], ["repeat"], ["branch"]):
        done = kleio(*command, one["id"], check=125)
        assert f"trial {one['short_id']} is an experiment that a script opened in itself; run the script" in done.stderr
        assert "python train.py" in done.stderr
    assert trials() == [one]
    assert printed("info", one["id"]).endswith(
        f"next\n  resume  python train.py\n  output  kleio cat {one['short_id']}\n"
    )


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


def test_what_is_left_in_the_output_directory_becomes_artifacts(workplace):
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
    assert done.stdout.split() == [f"{workplace}/results/first/", f"{workplace}/results/{second['short_id']}/"]
    assert artifact(first["id"], "output/plot.txt") == b"plot 0"
    assert artifact(second["id"], "output/plot.txt") == b"plot 1"


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


def test_of_a_parsed_command_line_only_the_parameters_count(workplace):
    (workplace / "pyproject.toml").write_text('[tool.kleio]\nvolatile = ["--num-workers"]\n')
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


def test_in_a_notebook(workplace):
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
    at = {"metadata": {"path": str(workplace)}}
    nbclient.NotebookClient(notebook, timeout=600, startup_timeout=600, kernel_name="python3", resources=at).execute()
    third, second, first = trials()
    assert (first["status"], second["status"], third["status"]) == ("completed", "completed", "broken")
    assert first["command"] == ["jupyter"]
    assert printed("info", first["id"]).endswith(f"\nnext\n  output  kleio cat {first['short_id']}\n")
    assert sorted(printed("cat", first["id"]).split()) == ["program", "python"]
    assert printed("cat", second["id"]) == "started\n"
    assert second["summary"]["b"]["last"] == 1
    shown = json.dumps([cell.outputs for cell in notebook.cells])
    assert shown.count("python\\\\n") + shown.count("python\\n") >= 1
    assert "ZeroDivisionError" in shown
    assert "still here" in shown
    kleio("checkout", third["id"], workplace / "back", check=0)
    kept = (workplace / "back" / "notebook-cells.py").read_text()
    assert "factor = 2" in kept
    assert "1 / 0" in kept
    assert "still here" not in kept


@on_both_journals
def test_parameters_that_are_not_finite_are_found_as_the_numbers_they_are():
    run(
        """
nan, inf = float("nan"), float("inf")
for _ in range(2):
    with Experiment({"lr": nan, "clip": inf, "word": "NaN"}, resume=True) as experiment:
        experiment.log_config({"decay": nan, "least": -inf})
"""
    )
    (found,) = trials()
    assert found["params"] == {"lr": "NaN", "clip": "Infinity", "word": "NaN", "decay": "NaN", "least": "-Infinity"}
    where = "params.lr == nan and params.clip == inf and params.decay == nan and params.least < 0"
    assert printed("ls", "--ids", "--where", where).split() == [found["id"]]
    assert printed("ls", "--ids", "--where", "params.word == nan or params.lr == 'NaN'") == ""
