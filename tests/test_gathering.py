"""What is learnt of a run beside it and right after it, and that it reaches the journal whatever happens in between."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from commands import PYTHON, info, kleio, script, trials
from repositories import git

from kleio.core import history
from kleio.core.journal import open_journal


@pytest.fixture
def project(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    git(directory, "init", "-q", ".")
    (directory / "kept.txt").write_text("kept\n")
    (directory / ".gitignore").write_text("ignored/\n")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "one")
    return directory


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
    other = subprocess.Popen(
        [PYTHON, "-m", "kleio", "sh", "-c", "echo up; read line; echo x > mine"], cwd=project, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert other.stdout.readline() == "up\n"
    kleio("sh", "-c", "echo y > yours", cwd=project, check=0)
    assert wrote(journal_uri)[1] is False
    other.communicate("go on\n")


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
    commit = git(project, "rev-parse", "HEAD").decode().strip()
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


def test_a_python_inside_a_shell_script_is_told_by_the_client_and_compared(project, tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "inner-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(site))
    script(project, "from kleio.client.logger import kleio_logger as k\nk.log_artifact('a', b'x')\nraise SystemExit(3)\n")
    (project / "run.sh").write_text(f"{PYTHON} train.py\n")
    kleio("sh", "run.sh", cwd=project, check=3)
    environment = info(trials()[0]["id"])["environment"]
    assert (environment["python"]["executable"], environment["python"]["reported"]) == (PYTHON, True)
    assert environment["packages"]["inner"] == "1.0"
    again = kleio("sh", "run.sh", cwd=project, check=3)
    assert "not compared" not in again.stderr
    (site / "inner-1.0.dist-info").rename(site / "inner-2.0.dist-info")
    assert "inner 1.0 → 2.0" in kleio("sh", "run.sh", cwd=project, check=78).stderr


def test_what_cannot_be_compared_is_said(project):
    kleio("sh", "-c", "exit 3", cwd=project, check=3)
    again = kleio("sh", "-c", "exit 3", cwd=project, check=3)
    assert "resumed" in again.stderr
    assert "is not known" in again.stderr


def test_what_the_setting_compare_names_counts(project, monkeypatch):
    script(project, "from kleio.client.logger import kleio_logger as k\nk.log_artifact('a', b'x')\nraise SystemExit(3)\n")
    monkeypatch.setenv("KLEIO_COMPARE", "MY_*")
    kleio(PYTHON, "train.py", cwd=project, check=3, MY_FLAG="1")
    refused = kleio(PYTHON, "train.py", cwd=project, check=78, MY_FLAG="2")
    assert "MY_FLAG 1 → 2" in refused.stderr
    kleio(PYTHON, "train.py", cwd=project, check=3, MY_FLAG="1")


def test_values_in_config_files_are_parameters_and_their_content_is_identity(project):
    (project / "small.yaml").write_text("model:\n  depth: 3\nlr: 0.1\npassword: hunter2x\n")
    kleio("true", "--config", "small.yaml", "--lr", "0.5", cwd=project, check=0)
    first = trials()[0]
    assert first["params"] == {"config": "small.yaml", "lr": 0.5, "model.depth": 3, "password": "<redacted>"}
    assert first["param_sources"]["model.depth"] == "config file"
    assert first["param_sources"]["lr"] == "command line"
    (project / "small.yaml").write_text("model:\n  depth: 4\n")
    kleio("true", "--config", "small.yaml", "--lr", "0.5", cwd=project, check=0)
    assert trials()[0]["work_key"] != first["work_key"]


def test_a_file_that_the_run_writes_and_names_does_not_hide_it(project):
    for state in ("new.state", "old.state"):
        (project / "old.state").write_text("0")
        command = ("sh", "-c", 'echo x >> "$0"; exit 3', state)
        for _ in range(3):
            kleio(*command, cwd=project, check=3)
        assert len(trials()[0]["executions"]) == 3


def test_a_dirty_tree_can_be_refused(project):
    assert kleio("--require-clean", "true", cwd=project, check=0).returncode == 0
    (project / "kept.txt").write_text("changed")
    refused = kleio("--require-clean", "true", cwd=project, check=78)
    assert "there are uncommitted changes: kept.txt, and --require-clean was asked for" in refused.stderr
    for name in "abcdef":
        (project / f"{name}.new").touch()
    assert "changes: kept.txt, a.new, b.new and 4 more, and" in kleio("--require-clean", "true", cwd=project, check=78).stderr
    assert len(trials()) == 1


def test_a_key_in_a_note_a_tag_or_a_name_is_not_kept(project, home, journal_uri):
    token = "ghp_" + "aB3" * 12
    kleio("--note", f"with {token}", "--tag", token, "--name", f"run={token}", "true", cwd=project, check=0)
    (trial,) = trials()
    assert trial["note"] == "with <redacted>"
    assert token not in str(info(trial["id"]))
    journal = open_journal(journal_uri, writing=False)
    assert not any(token in trace.key for trace in journal.traces_of(trial["id"]))
    journal.close()
