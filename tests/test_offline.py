"""What runs without the journal is a trial of its own: it is never mixed into what it could not see."""

from __future__ import annotations

import os
import subprocess

import pytest
from commands import PYTHON, kleio, script, trials, until

from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.recovery import recover_all
from kleio.core.spool import Spool, spools

TRAIN = """
import os
from kleio.client.logger import kleio_logger as k
k.log_statistic(value=float(os.environ["VALUE"]))
raise SystemExit(int(os.environ.get("FAILS", 0)))
"""


@pytest.fixture
def train(tmp_path):
    """Run the training with a value, as it is here or anew: what kleio said."""
    script(tmp_path, TRAIN)

    def run(value, *words, fails=0, **environment):
        given = {"VALUE": value, "FAILS": fails, **environment}
        return kleio(*words, PYTHON, "train.py", cwd=tmp_path, check=fails, **given).stderr

    return run


def values(trial):
    return [trial["summary"]["value"][name] for name in ("count", "min", "max")]


@pytest.mark.parametrize("before", [0, 1])
def test_what_the_journal_has_of_the_same_work_stays_as_it_is(train, journal_uri, before):
    """Completed it would have been run anew; broken it would have been resumed, which a run that cannot see it does not do."""
    train(1, fails=before)
    train(50, "--offline")
    kleio("sync", check=0)
    newest, oldest = trials()
    assert (values(newest), values(oldest)) == ([1, 50, 50], [1, 1, 1])
    assert [len(one["executions"]) for one in (newest, oldest)] == [1, 1]
    assert oldest["status"] == ("broken" if before else "completed")
    assert newest["previous"] == oldest["id"]


def test_two_machines_that_were_offline_have_a_trial_each(train, tmp_path):
    for machine in (1, 2):
        train(machine, "--offline", KLEIO_SPOOL_DIR=tmp_path / f"{machine}")
    for machine in (2, 1):
        kleio("sync", check=0, KLEIO_SPOOL_DIR=tmp_path / f"{machine}")
    second, first = trials()
    assert (values(second), values(first)) == ([1, 2, 2], [1, 1, 1])
    assert first["previous"] is None


def test_killed_and_run_again_it_goes_on_with_what_waits_here(tmp_path, journal_uri):
    script(tmp_path, "import os, sys\nprint('up', flush=True)\nsys.stdin.read() if os.environ.get('WAITS') else None\n")
    words = ("--offline", PYTHON, "train.py")
    kleio(*words, cwd=tmp_path, check=0)
    process = subprocess.Popen(
        [PYTHON, "-m", "kleio", *words], cwd=tmp_path, env=os.environ | {"WAITS": "1"}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate()
    until(lambda: not any(spool.alive() for spool in spools(spool_root(Config()))))
    assert "execution 2" in kleio(*words, cwd=tmp_path, check=0).stderr
    assert "resumed" not in kleio(*words, cwd=tmp_path, check=0).stderr
    kleio("sync", check=0)
    found = [[one["status"] for one in trial["executions"]] for trial in trials()]
    assert found == [["completed"], ["failover", "completed"], ["completed"]]


@pytest.mark.parametrize("step", ["read", "alive"])
def test_what_another_kleio_ships_meanwhile_is_no_trouble(train, monkeypatch, step):
    train(1, "--offline")
    look, quicker = getattr(Spool, step), [lambda: kleio("sync", check=0)]

    def late(spool, *names):
        if quicker:
            quicker.pop()()
        return look(spool, *names)

    monkeypatch.setattr(Spool, step, late)
    journal = open_journal(Config()["journal"])
    assert list(recover_all(spool_root(Config()), journal, 60.0)) == []
    journal.close()
    assert [trial["status"] for trial in trials()] == ["completed"]


def test_what_was_broken_offline_is_resumed_once_the_journal_is_there(train):
    train(1, "--offline", fails=1)
    assert "execution 2" in train(2)
    (trial,) = trials()
    assert values(trial) == [2, 1, 2]


def test_a_script_that_nobody_launched_is_no_part_of_a_trial_that_was(tmp_path):
    text = "from kleio.client.argparse import ArgumentParser\nArgumentParser().parse_args()\n"
    words = [PYTHON, script(tmp_path, text).name]
    kleio(*words, cwd=tmp_path, check=0)
    subprocess.run(words, cwd=tmp_path, check=True)
    kleio("sync", check=0)
    newest, oldest = trials()
    assert [len(one["executions"]) for one in (newest, oldest)] == [1, 1]
    assert newest["previous"] == oldest["id"]


def test_a_branch_needs_the_journal_and_the_ways_on_say_so(tmp_path):
    text = "from kleio.client.logger import kleio_logger as k\nk.log_artifact('a', b'a')\nraise SystemExit(1)\n"
    words = ("--offline", "--allow-any-change", PYTHON, script(tmp_path, text))
    kleio(*words, cwd=tmp_path, check=1)
    script(tmp_path, text + "print('changed')\n")
    said = kleio(*words, cwd=tmp_path, check=78).stderr
    assert "--fresh" in said
    assert "--allow" not in said
