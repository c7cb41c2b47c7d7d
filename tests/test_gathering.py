"""What is learnt of a run beside it and right after it, and that it reaches the journal whatever happens in between."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from commands import PYTHON, kleio, script, start, trials

from kleio.core import history
from kleio.core.journal import open_journal


@pytest.fixture
def project(tmp_path, monkeypatch, journal_uri):
    monkeypatch.setenv("KLEIO_JOURNAL", journal_uri)
    directory = tmp_path / "project"
    directory.mkdir()
    git(directory, "init", "-q", ".")
    (directory / "kept.txt").write_text("kept\n")
    (directory / ".gitignore").write_text("ignored/\n")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "one")
    return directory


def git(directory, *words):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True, text=True).stdout


def wrote(journal_uri, execution=-1):
    """Path → (sha256, how) of what an execution of the newest trial wrote, and whether it was alone."""
    journal = open_journal(journal_uri, writing=False)
    try:
        digest = journal.entry(trials()[0]["id"]).executions[execution].wrote
        document = journal.document(digest) if digest else {"files": [], "alone": True}
        return {path: (sha256, how) for path, _, sha256, _, how in document["files"]}, document["alone"]
    finally:
        journal.close()


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_files_that_a_run_wrote_are_recorded(project, journal_uri):
    writes = "mkdir ignored __pycache__; echo a > ignored/a; echo b >> kept.txt; echo c > __pycache__/c"
    kleio("sh", "-c", writes, cwd=project, check=0)
    assert wrote(journal_uri) == ({"ignored/a": (sha256("a\n"), "created"), "kept.txt": (sha256("kept\nb\n"), "changed")}, True)
    kleio("true", cwd=project, check=0)
    assert wrote(journal_uri)[0] == {}


def test_runs_side_by_side_are_not_alone(project, journal_uri):
    waits = start("sh", "-c", "echo up; read line", cwd=project, stdout=subprocess.PIPE)
    other = subprocess.Popen(
        [PYTHON, "-m", "kleio", "sh", "-c", "echo up; read line; echo x > mine"], cwd=project, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert other.stdout.readline() == "up\n"
    kleio("sh", "-c", "echo y > yours", cwd=project, check=0)
    assert wrote(journal_uri)[1] is False
    other.communicate("go on\n", timeout=30)
    waits.communicate(timeout=30)


def test_what_an_offline_run_learnt_is_shipped_with_it(project, journal_uri):
    kleio("--offline", "sh", "-c", "echo x > mine", cwd=project, check=0)
    kleio("sync", check=0)
    assert "mine" in wrote(journal_uri)[0]
    journal = open_journal(journal_uri, writing=False)
    (execution,) = journal.entry(trials()[0]["id"]).executions
    assert journal.document(execution.environment)["system"]
    assert [trace.execution for trace in journal.traces("path:mine")] == [execution.id]
    journal.close()


def test_a_commit_that_is_nowhere_else_is_kept_once(project, journal_uri):
    kleio("true", cwd=project, check=0)
    commit = git(project, "rev-parse", "HEAD").strip()
    journal = open_journal(journal_uri, writing=False)
    kept = journal.document(history.key(commit))
    assert (kept["pushed"], kept["base"]) == (False, None)
    with journal.blob(kept["pack"]) as pack:
        assert pack.read(4) == b"PACK"
    assert [trace.trial for trace in journal.traces(f"commit:{commit[:7]}", prefix=True)] == [trials()[0]["id"]]
    journal.close()


def test_a_sweep_that_writes_results_into_the_repository_hears_nothing_of_changed_code(project, monkeypatch):
    """Stopped in the middle and started again: what is done is passed over, what was stopped goes on."""
    monkeypatch.setenv("KLEIO_ONCE", "1")
    monkeypatch.setenv("KLEIO_IF_RUNNING", "skip")
    script(project, "import sys, os\nfrom kleio.client.logger import kleio_logger as k\nn = sys.argv[1]\n"
           "k.log_artifact('state', n.encode())\nos.makedirs('results', exist_ok=True)\n"
           "open(f'results/{n}.csv', 'w').write(n)\nopen(f'{n}.csv', 'w').write(n)\n"
           "sys.exit(3 if n == '3' and not os.path.exists('fixed') else 0)")  # fmt: skip
    git(project, "add", "train.py")
    git(project, "commit", "-qm", "two")
    first = [kleio(PYTHON, "train.py", str(n), cwd=project) for n in range(5)]
    assert [one.returncode for one in first] == [0, 0, 0, 3, 0]
    (project / "fixed").write_text("")
    again = [kleio(PYTHON, "train.py", str(n), cwd=project, check=0) for n in range(5)]
    assert ["skipped" in one.stderr for one in again] == [True, True, True, False, True]
    assert "resumed" in again[3].stderr
    assert not [one.stderr for one in (*first, *again) if "changed" in one.stderr]
    assert len(trials()) == 5
