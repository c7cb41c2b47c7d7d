"""``kleio diff`` as people use it: two trials, or one and what is here now."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from commands import KLEIO, PYTHON, kleio, printed, read, trials
from processes import Terminal
from versions import commit, git, repository, tree, write

from kleio.core.errors import UnknownTrial

TRAIN = "print('one')\nprint('two')\n"
LOGGING = """
import sys
from kleio.client.logger import kleio_logger
for step in range(3):
    kleio_logger.log_statistic(loss=float(sys.argv[2]) + step)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    root = repository(tmp_path / "project", {"train.py": TRAIN, "same.py": "1\n"})
    monkeypatch.chdir(root)
    return root


def ran(*words):
    """Run it; the id of its trial."""
    kleio("-q", "--", PYTHON, *words, check=0)
    return trials()[0]["id"]


def diff(*words):
    return read("diff", *words, "--json")


def test_two_trials(here, journal_uri):
    write(here, {"train.py": LOGGING})
    first = ran("train.py", "--lr", "1")
    write(here, {"train.py": LOGGING + "sys.exit(3)\n", "new.py": "1\n"})
    kleio("-q", "--", PYTHON, "train.py", "--lr", "2", check=3)
    second = trials()[0]["id"]
    found = diff(first, second)
    assert [found["before"], found["after"]] == [first, second]
    assert found["command"] == [[PYTHON, "train.py", "--lr", "1"], [PYTHON, "train.py", "--lr", "2"]]
    assert found["params"] == [{"name": "lr", "before": 1, "after": 2}]
    assert [(one["path"], one["kind"]) for one in found["code"]["files"]] == [("new.py", "added"), ("train.py", "modified")]
    assert found["packages"] == []
    assert found["status"] == ["completed", "broken"]
    assert [found["summary"]["loss"][side]["last"] for side in ("before", "after")] == [3.0, 4.0]
    text = printed("diff", first, second)
    assert "  lr  1 \N{RIGHTWARDS ARROW} 2\n" in text
    assert "  train.py  +1\n" in text
    assert "+sys.exit(3)\n" in text
    only = printed("diff", first, second, "--params", "--stats")
    assert "loss" in only
    assert "train.py  +1" not in only


def test_against_what_is_here_now(here, journal_uri, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first = ran("train.py")
    assert kleio("diff", first, "--exit-code", check=0).stdout.endswith("nothing differs\n")
    write(here, {"train.py": TRAIN + "print('three')\n"})
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = diff(first)
    assert found["after"] is None
    assert [(one["path"], one["added"], one["removed"]) for one in found["code"]["files"]] == [("train.py", 1, 0)]
    assert found["environment"] == [{"name": "variables.OMP_NUM_THREADS", "before": None, "after": "7"}]
    commit(here)
    assert diff(first)["code"]["files"] == found["code"]["files"]
    kleio("diff", first, "--exit-code", check=1)
    printed("diff", first, "--params", "--exit-code")
    stat = printed("diff", first, "--stat")
    assert "train.py  +1" in stat
    assert "diff --git" not in stat


def test_it_is_the_trials_directory_that_is_compared_wherever_one_is(here, tmp_path, monkeypatch):
    first = ran("train.py")
    write(here, {"train.py": TRAIN + "print('three')\n"})
    monkeypatch.chdir(tmp_path)
    assert [one["path"] for one in diff(first)["code"]["files"]] == ["train.py"]


def test_the_patch_is_for_git(here, tmp_path):
    write(here, {"train.py": TRAIN + "# caf\xe9\n", "latin.py": "# caf\xe9\n".encode("latin-1"), "tail": "none"})
    before, first = tree(here), ran("train.py")
    write(here, {"train.py": "print('new')\n", "tail": None, "other.py": "x\n", "latin.py": b"\xe8\n"})
    after, second = tree(here), ran("train.py")
    for words in ([first], [first, second]):
        text = subprocess.run([*KLEIO, "diff", *words, "--code"], capture_output=True, check=True).stdout
        subprocess.run(["git", "apply", "-R"], input=text, check=True)
        assert tree(here) == before
        subprocess.run(["git", "apply"], input=text, check=True)
        assert tree(here) == after


def test_outside_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"train.py": TRAIN})
    first = ran("train.py")
    write(tmp_path, {"train.py": TRAIN * 2})
    assert [(one["path"], one["added"]) for one in diff(first)["code"]["files"]] == [("train.py", 2)]


def test_what_cannot_be_compared_is_said(here, tmp_path, monkeypatch):
    first = ran("train.py")
    write(here, {"train.py": TRAIN * 2})
    commit(here)
    second = ran("train.py")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(here)
    done = kleio("diff", first, check=0)
    assert "or in a checkout of it" in done.stderr
    done = kleio("diff", first, second, check=0)
    assert done.stderr.count("is not in a repository here") == 2
    with pytest.raises(UnknownTrial, match="no trial has an id that begins with ffff"):
        diff("ffff")
    with pytest.raises(UnknownTrial, match="'x y' is no trial id"):
        diff(first, "x y")


def test_commits_are_found_in_a_clone_that_one_is_in(here, tmp_path, monkeypatch):
    first = ran("train.py")
    write(here, {"train.py": TRAIN * 2})
    commit(here)
    second = ran("train.py")
    git(tmp_path, "clone", "-q", str(here), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    shutil.rmtree(here)
    assert [one["added"] for one in diff(first, second)["code"]["files"]] == [2]


def test_a_terminal_gets_colours_and_no_control_characters(here, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    first = ran("train.py")
    write(here, {"train.py": "print('\x1b]0;title\x07')\n\tindented\n"})
    coloured = on_a_terminal("diff", first)
    assert b"\x1b[32m+print('\xe2\x90\x9b]0;title\xe2\x90\x87')\x1b[0m" in coloured
    assert b"+\tindented" in coloured
    assert b"\x1b[" not in on_a_terminal("diff", first, NO_COLOR="1")


def on_a_terminal(*words, **environment):
    with Terminal(*KLEIO, *words, env=environment) as terminal:
        return terminal.finish()


def test_nothing_is_left_behind(here, tmp_path):
    first = ran("train.py")
    write(here, {"train.py": TRAIN * 2})
    place = tmp_path / "temporary"
    place.mkdir()
    kleio("diff", first, check=0, TMPDIR=place)
    assert list(place.iterdir()) == []
