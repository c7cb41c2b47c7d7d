"""``kleio repeat`` as people use it: the recorded code, the inputs that are here, and whether it came out the same."""

from __future__ import annotations

import json
import os

import pytest
from commands import PYTHON, info, kleio, trials
from versions import repository, tree, write

TRAIN = """
import os, sys, time
from kleio.client.logger import kleio_logger
noise = float(os.environ.get("NOISE", 0))
print("training on", open("data/x.csv").read().strip())
for epoch in range(15):
    loss = 1 / (epoch + 1) + noise * (epoch > 10)
    kleio_logger.log_statistic(epoch=epoch, loss=loss)
kleio_logger.log_artifact("weights", repr(loss).encode())
sys.exit(int(sys.argv[1]))
"""
CLOCK = """
import time
from kleio.client.logger import kleio_logger
kleio_logger.log_statistic(step=1, wall_time=time.time())
"""


THREADS = """
import os, pathlib
for task in pathlib.Path(f"/proc/{os.getppid()}/task").iterdir():
    try:
        status = (task / "status").read_text()
    except OSError:
        continue  # it has just ended
    blocked = status.partition("SigBlk:")[2].split()[0]
    if int(task.name) != os.getppid():  # the main thread, which waits for signals, is shown as if it blocked none
        print(bool(int(blocked, 16) & 1 << 16))  # SIGCHLD
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    root = repository(tmp_path / "project", {"train.py": TRAIN, "clock.py": CLOCK, ".gitignore": "data\n"})
    write(root, {"data/x.csv": "original\n"})
    os.utime(root / "data" / "x.csv", (1e9, 1e9))
    monkeypatch.chdir(root)
    return root


def ran(*words, check=0, **how):
    kleio("-q", "--", PYTHON, *words, check=check, **how)
    return trials()[0]["id"]


def test_a_trial_is_reproduced_from_its_own_code(here, journal_uri):
    original = ran("train.py", "0")
    write(here, {"train.py": "raise SystemExit('edited')\n", "new.py": "1\n"})
    before = tree(here)
    done = kleio("repeat", original, "--verify", check=0)
    assert done.stdout == "training on original\n"
    assert f"reproduced: 15 statistics and 1 artifact, and how it ended, are those of trial {original[:7]}\n" in done.stderr
    assert "changed since" not in done.stderr
    repeated = trials()[0]["id"]
    found = info(repeated)
    assert (found["previous"], found["parent"], found["work_key"]) == (original, None, info(original)["work_key"])
    assert found["code"]["fingerprint"] == info(original)["code"]["fingerprint"]
    assert len(found["executions"]) == len(info(original)["executions"]) == 1
    assert tree(here) == before
    kleio("diff", original, repeated, "--code", "--params", "--exit-code", check=0)


def test_where_it_first_differed(here):
    original = ran("train.py", "0")
    done = kleio("repeat", "--verify", original, check=1, NOISE="1e-9")
    assert "kleio: not reproduced: loss of the 12th statistic: 0.08333333333333333 \N{RIGHTWARDS ARROW} " in done.stderr
    assert "(and 3 later ones)" in done.stderr
    assert "the 1st artifact weights: " in done.stderr
    kleio("repeat", "--verify", original, "--rtol", "1e-6", "--ignore", "weights", check=0, NOISE="1e-9")
    kleio("repeat", "--verify", original, "--atol", "1e-6", check=1, NOISE="1e-9")


def test_a_clock_is_no_reason_to_despair(here):
    original = ran("clock.py")
    assert "leave it out with: --ignore wall_time\n" in kleio("repeat", "--verify", original, check=1).stderr
    kleio("repeat", "--verify", original, "--ignore", "wall_*", check=0)


def test_inputs_that_have_changed_are_named_and_used(here):
    original = ran("train.py", "0")
    write(here, {"data/x.csv": "another\n"})
    done = kleio("repeat", original, check=0)
    assert f"changed since trial {original[:7]} ran, and used as it is now: data/x.csv\n" in done.stderr
    assert done.stdout == "training on another\n"


def test_without_verifying_the_exit_status_is_the_commands_own(here):
    original = ran("train.py", "3", check=3)
    kleio("repeat", original, check=3)
    kleio("repeat", original, "--verify", check=0)


def test_json_leaves_stdout_to_the_document(here):
    original = ran("train.py", "0")
    done = kleio("repeat", original, "--json", check=1, NOISE="1")
    found = json.loads(done.stdout)
    assert (found["original"], found["repetition"], found["reproduced"]) == (original, trials()[0]["id"], False)
    assert found["statistics"] == {"before": 15, "after": 15}
    assert [(one["kind"], one["name"], one["number"], one["times"]) for one in found["differences"]] == [
        ("statistic", "loss", 12, 4),
        ("artifact", "weights", 1, 1),
    ]
    assert "training on original" in done.stderr


def test_a_repetition_can_be_repeated(here):
    original = ran("train.py", "0")
    kleio("repeat", original, "--verify", check=0)
    first = trials()[0]["id"]
    kleio("repeat", first, "--verify", check=0)
    assert trials()[0]["previous"] == first


def test_no_thread_takes_the_signals_that_the_launcher_waits_for(here, journal_uri):
    """Or now and then it would wait for ever for a command that has ended."""
    write(here, {"threads.py": THREADS})
    original = ran("threads.py")
    assert "False" not in kleio("repeat", original, check=0).stdout.split()


def test_outside_git_and_in_a_subdirectory(tmp_path, monkeypatch):
    root = tmp_path / "plain"
    write(root, {"train.py": TRAIN, "data/x.csv": "original\n"})
    monkeypatch.chdir(root)
    original = ran("train.py", "0")
    write(root, {"train.py": "raise SystemExit('edited')\n"})
    assert kleio("repeat", original, "--verify", check=0).stdout == "training on original\n"
    inside = repository(tmp_path / "project", {"in side/train.py": TRAIN, ".gitignore": "data\n"}) / "in side"
    write(inside, {"data/x.csv": "original\n"})
    monkeypatch.chdir(inside)
    original = ran("train.py", "0")
    assert kleio("repeat", original, "--verify", check=0, cwd=tmp_path).stdout == "training on original\n"


def test_what_cannot_be_repeated_is_an_error(here):
    assert "no trial has an id" in kleio("repeat", "ffff", check=125).stderr
    assert "--fresh" in kleio("repeat", "--fresh", "ffff", check=125).stderr
