"""``exec --code recorded``: jobs queue and requeue with the code that they were recorded with, while one edits on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from commands import PYTHON, info, kleio, script, trials
from repositories import git

TRAIN = """
import os, sys
from kleio.client.logger import kleio_logger as k
import helper
print("version", helper.VERSION, open("data/input").read().strip(), os.path.exists("left"))
open("left", "w").close()
k.log_artifact("state", b"x")
sys.exit(3 if "--fail" in sys.argv else 0)
"""


@pytest.fixture
def project(tmp_path, monkeypatch, journal_uri):
    directory = tmp_path / "project"
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "input").write_text("input\n")
    (directory / ".gitignore").write_text("data/\n__pycache__/\n")
    (directory / "helper.py").write_text("VERSION = 1\n")
    script(directory, TRAIN)
    git(directory, "init", "-q")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "one")
    monkeypatch.chdir(directory)
    return directory


def test_a_requeued_trial_runs_its_own_code_while_the_project_goes_on(project):
    (project / "helper.py").write_text("VERSION = 2  # not committed\n")
    assert kleio(PYTHON, "train.py", "--fail", check=3).stdout == "version 2 input False\n"
    trial = trials()[0]["id"]
    (project / "left").unlink()
    (project / "helper.py").write_text("VERSION = 3\n")
    again = kleio("exec", "--code", "recorded", trial, check=3)
    assert again.stdout == "version 2 input False\n"
    assert kleio("exec", trial, "--code", "recorded", check=3).stdout == "version 2 input True\n"
    assert [one["status"] for one in info(trial)["executions"]] == ["broken"] * 3
    assert len(trials()) == 1
    assert not (project / "left").exists()
    assert (project / "helper.py").read_text() == "VERSION = 3\n"
    kleio("exec", trial, check=78)  # without it, what is here counts


def test_a_completed_trial_runs_anew_in_a_tree_of_its_own(project):
    kleio(PYTHON, "train.py", check=0)
    first = trials()[0]
    (project / "left").unlink()
    (project / "helper.py").write_text("VERSION = 3\n")
    for _ in range(2):
        assert kleio("exec", "--code", "recorded", first["id"], check=0).stdout == "version 1 input False\n"
    newest = trials()[0]
    assert (newest["previous"], newest["work_key"]) == (first["id"], first["work_key"])


def test_absolute_paths_into_the_project_lead_into_the_tree(project):
    kleio(PYTHON, project / "train.py", check=0)
    trial = trials()[0]["id"]
    (project / "helper.py").write_text("VERSION = 3\n")
    assert kleio("exec", "--code", "recorded", trial, check=0).stdout.startswith("version 1 ")


def test_a_package_that_is_installed_in_place_is_imported_from_the_tree(project, tmp_path, monkeypatch):
    """Of a virtual environment without pip: a .pth file is all that an editable installation needs to be."""
    prefix = tmp_path / "venv"
    site = prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    home = Path(os.path.realpath(sys.executable)).parent
    (prefix / "pyvenv.cfg").write_text(f"home = {home}\nversion = {sys.version.split()[0]}\n")
    (project / "src" / "mine").mkdir(parents=True)
    (project / "src" / "mine" / "__init__.py").write_text("VERSION = 1\n")
    (site / "__editable__.mine-1.0.pth").write_text(f"{project / 'src'}\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "two")
    command = (prefix / "bin" / "python", "-c", "import mine; print(mine.VERSION)")
    assert kleio(*command, check=0).stdout == "1\n"
    (project / "src" / "mine" / "__init__.py").write_text("VERSION = 2\n")
    assert kleio("exec", "--code", "recorded", trials()[0]["id"], check=0).stdout == "1\n"


def test_it_needs_a_trial(project):
    assert "goes with a trial" in kleio("--code", "recorded", "true", check=125).stderr
