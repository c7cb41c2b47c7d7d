"""``exec --code recorded``: jobs queue and requeue with the code that they were recorded with, while one edits on."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PYTHON, info, kleio, script, trials
from repositories import git

from kleio.core.journal import open_journal

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
def project(tmp_path, monkeypatch, home):
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


def test_a_requeued_trial_runs_its_own_code_while_the_project_goes_on(project, journal_uri):
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


def test_what_a_run_writes_into_its_tree_is_no_change_of_its_code(project):
    (project / "log.csv").write_text("0\n")
    script(project, "open('log.csv', 'a').write('1\\n')\nfrom kleio.client.logger import kleio_logger as k\n"
           "k.log_artifact('state', b'x')\nraise SystemExit(3)\n")  # fmt: skip
    git(project, "add", "-A")
    git(project, "commit", "-qm", "two")
    kleio(PYTHON, "train.py", check=3)
    trial = trials()[0]["id"]
    for _ in range(3):
        assert "resumed" in kleio("exec", "--code", "recorded", trial, check=3).stderr
    assert len(info(trial)["executions"]) == 4


def test_a_project_that_was_moved_is_found_around_us_and_one_that_is_gone_is_not_needed(project, tmp_path, monkeypatch):
    kleio("run", "cat", "helper.py", "missing", check=1)
    other = trials()[0]["id"]
    kleio(PYTHON, "train.py", "--fail", check=3)
    trial = trials()[0]["id"]
    (project / "left").unlink()
    monkeypatch.chdir(tmp_path)
    project.rename(tmp_path / "moved")
    refused = kleio("exec", trial, check=125)
    assert "from within its project" in refused.stderr
    assert "--code recorded" in refused.stderr
    gone = kleio("exec", "--code", "recorded", other, check=1)
    assert "what git ignores" in gone.stderr
    assert gone.stdout == "VERSION = 1\n"
    monkeypatch.chdir(tmp_path / "moved" / "data")
    assert kleio("exec", trial, check=3).stdout == "version 1 input False\n"
    (tmp_path / "moved" / "helper.py").write_text("VERSION = 2\n")
    assert kleio("exec", "--fresh", "--code", "recorded", trial, check=3).stdout == "version 1 input False\n"


def test_no_directory_of_a_trial_leads_out_of_its_code(project, tmp_path, home, monkeypatch):
    (tmp_path / "outside").mkdir()
    (project / "link").symlink_to(tmp_path / "outside")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "two")
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{home}/hostile.db")
    kleio(PYTHON, "train.py", "--fail", check=3)
    trial = trials()[0]["id"]
    with sqlite3.connect(home / "hostile.db") as connection:
        body = json.loads(connection.execute("SELECT body FROM trials").fetchone()[0])
        connection.execute("UPDATE trials SET body = ?", (json.dumps(body | {"cwd": "link/deep"}),))
    connection.close()
    assert "leads out of its code" in kleio("exec", "--code", "recorded", trial, check=125).stderr
    page = kleio("script", trial, check=0).stdout
    subprocess.run(["sh", "-s", tmp_path / "by-hand"], input=page, text=True, capture_output=True, check=False)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_repetition_is_not_what_the_command_means(project):
    kleio(PYTHON, "train.py", "--fail", check=3)
    trial = trials()[0]["id"]
    kleio("repeat", trial, check=3)
    assert trials()[0]["previous"] == trial
    assert "resumed" in kleio(PYTHON, "train.py", "--fail", check=3).stderr
    assert len(info(trial)["executions"]) == 2


RESULT = """
import os
os.makedirs("data/out", exist_ok=True)
open("data/out/result", "w").write(str(os.path.exists("data/out/other")))
"""


def test_a_repetition_leaves_the_results_of_the_project_alone_and_its_own_are_recorded(project, journal_uri):
    script(project, RESULT)
    git(project, "commit", "-qam", "two")
    (project / "data" / "out").mkdir()
    (project / "data" / "out" / "other").write_text("other")
    kleio(PYTHON, "train.py", check=0)
    first = trials()[0]["id"]
    (project / "data" / "out" / "result").write_text("precious")
    kleio("repeat", first, check=0)
    assert (project / "data" / "out" / "result").read_text() == "precious"
    journal = open_journal(journal_uri, writing=False)
    (execution,) = journal.entry(trials()[0]["id"]).executions
    written = {path: sha256 for path, _, sha256, *_ in journal.document(execution.wrote)["files"]}
    assert written == {"data/out/result": hashlib.sha256(b"True").hexdigest()}
    journal.close()


def test_what_runs_with_recorded_code_writes_into_the_project_and_is_found_by_it(project, journal_uri):
    script(project, RESULT + "raise SystemExit(3)\n")
    git(project, "commit", "-qam", "two")
    kleio(PYTHON, "train.py", check=3)
    trial = trials()[0]["id"]
    (project / "train.py").write_text("edited")
    (project / "data" / "out" / "result").unlink()
    kleio("exec", "--code", "recorded", trial, check=3)
    assert (project / "data" / "out" / "result").read_text() == "False"
    journal = open_journal(journal_uri, writing=False)
    execution = journal.entry(trial).executions[-1]
    assert [file[0] for file in journal.document(execution.wrote)["files"]] == ["data/out/result"]
    journal.close()


def test_it_needs_a_trial(project):
    assert "goes with a trial" in kleio("--code", "recorded", "true", check=125).stderr
