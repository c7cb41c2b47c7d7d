"""What is imported when, in fresh interpreters: the start of every command and of every script hangs on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kleio

HEAVY = {"click", "rich", "pymongo", "bson", "gridfs", "git", "psutil", "platformdirs", "numpy"}
"""Third parties: 10 to 140 ms each."""
SLOW = {"typing", "subprocess", "urllib.parse", "getpass", "socket", "tempfile", "random", "asyncio", "logging"}
"""Parts of the standard library that a launch does without: 1 to 30 ms each."""


def _python(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # -S: what an editable installation imports at every start is none of kleio's doing. Without site the installed
    # packages are found through the path of this process.
    places = [str(Path(kleio.__file__).parents[1]), *filter(None, sys.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)} | variables
    return subprocess.run([sys.executable, "-S", *words], env=environment, capture_output=True, text=True, check=True)


def _loaded(code: str, **variables: str) -> set[str]:
    report = "import json, sys; before = set(sys.modules)\n{}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    return set(json.loads(_python("-c", report.format(code), **variables).stdout.splitlines()[-1]))


def _imported_by(*words: str) -> set[str]:
    """What ``kleio WORDS`` imports, as the interpreter itself reports it."""
    lines = _python("-X", "importtime", "-m", "kleio", *words).stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_a_script_that_logs_loads_next_to_nothing():
    loaded = _loaded("from kleio.client.logger import kleio_logger")
    assert not loaded & (HEAVY | SLOW)
    assert not loaded & {"sqlite3", "json", "dataclasses", "inspect", "re", "enum", "threading", "shutil", "datetime"}
    ours = {name for name in loaded if name.startswith("kleio")}
    assert ours == {"kleio", "kleio.client", "kleio.client.logger", "kleio.core", "kleio.core.errors", "kleio.core.spool"}


def test_logging_numbers_loads_no_more_than_json(tmp_path):
    (tmp_path / "host").write_text(os.uname().nodename)
    first = "from kleio.client.logger import kleio_logger; kleio_logger.log_statistic(loss=0.5, epoch=1)"
    loaded = _loaded(first, KLEIO_SPOOL=str(tmp_path))
    assert list(tmp_path.glob("*.statistics"))
    assert not loaded & (HEAVY | SLOW)
    assert not loaded & {"sqlite3", "dataclasses", "inspect", "threading", "shutil", "datetime", "hashlib"}


def test_kleio_itself_loads_nothing():
    assert _loaded("import kleio") - {"__future__"} == {"kleio"}


def test_a_plain_launch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KLEIO_SYSTEM_INTERVAL", "0")  # what takes long is sampled, by psutil
    imported = _imported_by("true")
    assert "kleio.core.launcher" in imported
    assert "sqlite3" in imported
    assert not imported & (HEAVY | SLOW | {"kleio.cli.door", "kleio.core.journal.mongo"})


def test_nothing_is_imported_before_git_was_asked_but_what_asking_takes():
    loaded = _loaded("import kleio.core.repository")
    assert {name for name in loaded if name.startswith("kleio")} == {"kleio", "kleio.core", "kleio.core.repository"}
    assert not loaded & (HEAVY | SLOW | {"subprocess", "dataclasses", "re", "json", "hashlib"})


def test_a_launch_prepares_without_what_only_the_recording_needs():
    """They are imported while the command runs."""
    loaded = _loaded("import kleio.cli.launching, kleio.core.launcher, kleio.core.journal.sqlite")
    late = ("recorder", "recovery", "shipping", "streams", "statistics", "environment", "requests", "view", "artifact")
    assert not loaded & ({f"kleio.core.{name}" for name in late} | {"subprocess", "shutil"} | HEAVY | SLOW)


def test_reading_in_a_pipe_needs_no_rich(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imported = _imported_by("ls")
    assert {"click", "kleio.core.view"} <= imported
    assert not imported & (HEAVY - {"click"})


def test_the_client_package_loads_nothing_until_it_is_asked():
    assert _loaded("import kleio.client") - {"__future__"} == {"kleio", "kleio.client"}
    ours = {name for name in _loaded("from kleio.client import kleio_logger") if name.startswith("kleio")}
    assert ours == {"kleio", "kleio.client", "kleio.client.logger", "kleio.core", "kleio.core.errors", "kleio.core.spool"}


def test_a_script_that_imports_experiments_pays_for_them_when_it_makes_one():
    loaded = _loaded("from kleio.client import Experiment")
    ours = {name for name in loaded if name.startswith("kleio")}
    assert ours == {"kleio", "kleio.client", "kleio.client.experiment", "kleio.core", "kleio.core.errors"}
    assert not loaded & (HEAVY | SLOW | {"collections", "json", "re", "enum", "threading", "contextvars", "fcntl"})
