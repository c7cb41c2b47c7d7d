"""``kleio trace``: the trial behind a file, a name, a commit, a process or a job, and why it is the one."""

from __future__ import annotations

import hashlib
import os
import subprocess
from uuid import uuid4

import pytest
from commands import PYTHON, info, kleio, printed, read, trials
from repositories import repository

from kleio.core import trace as tracing
from kleio.core.identity import digest
from kleio.core.journal import open_journal
from kleio.core.journal.base import Trace
from kleio.core.trial import Event, Trial
from kleio.core.written import File, Written

WRITE = """
import os, sys
from kleio.client.logger import kleio_logger
for path in sys.argv[1:]:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write("results of " + path)
kleio_logger.log_artifact("models/best.pt", b"weights of " + sys.argv[1].encode())
"""


@pytest.fixture
def project(workplace):
    """A repository with a program that writes files, which git ignores; each journal in turn where the test asks for them."""
    return repository(workplace, {"train.py": WRITE, ".gitignore": "results/\n"})


def run(*words, **environment):
    """Run the program; the trial's id."""
    kleio(*words, check=0, **environment)
    return trials()[0]["id"]


def traced(what):
    """[(id, its reasons)]"""
    return [(one["id"], one["reasons"]) for one in read("trace", "--json", what)]


def test_a_file(project, journal_uri):
    first = run(PYTHON, "train.py", "results/1.csv")
    second = run(PYTHON, "train.py", "results/2.csv", "results/deep/er.csv")
    named = "created results/1.csv with exactly this content; its command names the file"
    assert traced("results/1.csv") == traced(project / "results/1.csv") == [(first, [named])]
    assert [one for one, _ in traced("results/2.csv")] == [second]
    (project / "copy.txt").write_bytes((project / "results/deep/er.csv").read_bytes())
    assert traced("copy.txt")[0][0] == second
    (project / "results/1.csv").write_text("by hand")
    assert traced("results/1.csv") == [
        (first, ["created results/1.csv, whose content is another now; its command names the file"])
    ]
    (project / "results/deep/er.csv").unlink()
    assert traced("results/deep/er.csv") == [(second, ["created results/deep/er.csv; its command names the file"])]
    os.chdir(project / "results")
    assert [one for one, _ in traced("1.csv")] == [first]
    os.chdir("/")
    assert [one for one, _ in traced("er.csv")] == [second]
    assert {one for one, _ in traced(project / "results")} == {first, second}


def test_an_artifact(project, journal_uri, tmp_path):
    first = run(PYTHON, "train.py", "results/1.csv")
    second = run(PYTHON, "train.py", "results/2.csv")
    (tmp_path / "weights").write_bytes(b"weights of results/1.csv")
    assert traced(tmp_path / "weights") == [(first, ["logged the artifact models/best.pt with exactly this content"])]
    assert traced(hashlib.sha256(b"weights of results/2.csv").hexdigest())[0][0] == second
    for name in ("models/best.pt", "best.pt"):
        assert traced(name) == [(one, ["logged the artifact models/best.pt"]) for one in (second, first)]


def test_names_ids_commits_processes_and_jobs(project, journal_uri):
    trial = run("--name", "big lr-sweep", PYTHON, "train.py", "results/1.csv", SLURM_JOB_ID="70551234")
    other = run(PYTHON, "train.py", "results/2.csv", SLURM_ARRAY_JOB_ID="88", SLURM_ARRAY_TASK_ID="3")
    for name in (f"out-{trial[:7]}-final.png", f"results/{trial}/loss.png", f"x{trial[:9].upper()}.pdf"):
        assert traced(name)[0][0] == trial, name
    assert traced(trial[:9]) == [(trial, ["is the trial with this id"])]
    for name in ("big lr-sweep", "big lr-sweep.png", "figures/plot_big lr-sweep_2.png"):
        assert traced(name) == [(trial, ["is called big lr-sweep"])], name
    assert traced("70551234") == [(trial, ["ran in job 70551234"])]
    assert traced("88_3") == [(other, ["ran in job 88_3"])]
    assert (other, ["ran in job 88"]) in traced("88")
    pid = str(info(trial)["executions"][0]["pid"])
    assert (trial, [f"had a process with the id {pid}"]) in traced(pid)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert traced("HEAD") == [(one, [f"ran at commit {commit[:10]}, which HEAD is"]) for one in (other, trial)]
    for prefix in (commit, commit[:4], commit[:9].upper()):
        assert traced(prefix) == [(one, [f"ran at commit {commit[:10]}"]) for one in (other, trial)]


def test_nothing_is_found(project):
    run(PYTHON, "train.py", "results/1.csv")
    (project / "unknown").write_text("nobody wrote this")
    for what, tried in (("unknown", "its content"), ("nowhere.png", "its path"), ("9" * 10, "a process id"), ("", "a job")):
        done = kleio("trace", what, check=1)
        assert f"behind {what!r}; tried: " in done.stderr
        assert tried in done.stderr
        assert done.stdout == ""
    assert kleio("trace", "--json", "nowhere.png", check=1).stdout == "[]\n"


def test_what_people_see(project):
    trial = run(PYTHON, "train.py", "results/1.csv")
    shown = printed("trace", "results/1.csv").splitlines()
    assert shown[0].startswith(f"{trial[:7]}  completed  ")
    assert shown[0].endswith("train.py results/1.csv")
    assert shown[1].strip().startswith("created results/1.csv with exactly this content")
    run(PYTHON, "train.py", "results/1.csv", "x")
    done = kleio("trace", "-n", "1", "best.pt", check=0)
    assert len(done.stdout.splitlines()) == 2
    assert "1 more; -n 0 shows all" in done.stderr


# -- among several ---------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(journal_uri):
    journal = open_journal(journal_uri)
    yield journal
    journal.close()


def a_run(journal, written, ended, *words, started=100.0):
    """A trial with one execution that left what ``written`` says."""
    trial = Trial(uuid4().hex, "w", "p", ("train", *words), ".", started)
    execution, document = uuid4().hex, written.document()
    journal.create(trial)
    journal.put_document(digest(document), document)
    events = (
        Event(f"reserved-{execution}", "reserved", started, 1, execution, {"host": "h", "pid": 7}),
        Event(f"wrote-{execution}", "wrote", ended, 1, execution, {"wrote": digest(document), "count": len(written.files)}),
        Event(f"ended-{execution}", "ended", ended, 1, execution, {"status": "completed"}),
    )
    for event in events:
        journal.record(trial.id, event)
    journal.leave([Trace(key, trial.id, execution) for key in written.traces()])
    return trial.id


def ranked(journal, what, root):
    return [one.entry.id for one in tracing.trace(journal, os.fspath(what), [os.fspath(root)]).candidates]


@pytest.fixture
def result(tmp_path):
    """A file, and what a run says of it that wrote it."""
    path = tmp_path / "out.csv"
    path.write_text("content")
    status = os.stat(path)
    return path, File("out.csv", 7, hashlib.sha256(b"content").hexdigest(), status.st_mtime_ns, "created")


def test_of_parallel_runs_the_one_that_names_the_file_comes_first(journal, result, tmp_path):
    path, file = result
    wrote = file.mtime / 1e9
    together = Written((file,), complete=True, alone=False)
    late = a_run(journal, together, wrote + 50)
    soon = a_run(journal, together, wrote + 1)
    names = a_run(journal, together, wrote + 90, "--out=./out.csv")
    assert ranked(journal, path, tmp_path) == [names, soon, late]
    for one in tracing.trace(journal, os.fspath(path), [os.fspath(tmp_path)]).candidates:
        assert one.alone is False
        assert one.reasons[0].endswith("; others ran at the time")


def test_who_wrote_it_at_the_time_that_it_has_comes_before_who_wrote_the_same_content(journal, result, tmp_path):
    path, file = result
    ended = file.mtime / 1e9 + 1
    again = a_run(journal, Written((file._replace(mtime=file.mtime + 10**9),), complete=True), ended + 1, "out.csv")
    then = a_run(journal, Written((file,), complete=True), ended)
    before = a_run(journal, Written((file._replace(mtime=file.mtime - 10**9),), complete=True), ended - 1, "x")
    assert ranked(journal, path, tmp_path) == [then, again, before]


def test_a_file_that_was_not_read_is_found_by_size_and_time(journal, result, tmp_path):
    path, file = result
    unread = a_run(journal, Written((file._replace(path="elsewhere/x", sha256=None),), complete=False), 1e9)
    a_run(journal, Written((file._replace(sha256=None, mtime=file.mtime + 1),), complete=False), 1e9)
    assert ranked(journal, path, tmp_path) == [unread]
    by_content = a_run(journal, Written((file._replace(path="y"),), complete=True), 1e9)
    assert ranked(journal, path, tmp_path) == [by_content]


def test_an_empty_file_is_found_by_its_path_only(journal, tmp_path):
    (tmp_path / "done").touch()
    a_run(journal, Written((File("other", 0, hashlib.sha256().hexdigest(), 5, "created"),), complete=True), 9.0)
    assert ranked(journal, tmp_path / "done", tmp_path) == []
    mine = a_run(journal, Written((File("done", 0, hashlib.sha256().hexdigest(), 5, "created"),), complete=True), 9.0)
    assert ranked(journal, tmp_path / "done", tmp_path) == [mine]


def test_a_path_that_very_many_wrote(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "MOST", 5)
    file = File("out.csv", 1, "0" * 64, 5, "changed")
    made = [a_run(journal, Written((file,), complete=True), 9.0, started=float(number)) for number in range(17)]
    assert ranked(journal, tmp_path / "out.csv", tmp_path) == made[:-6:-1]


@pytest.mark.parametrize("what", ["\udcff.png", "x" * 9000, "-".join("abcdefghijklmnopqrstuvwxyz"), "🦆/..//.", "*"])
def test_odd_words(journal, what, tmp_path):
    assert ranked(journal, what, tmp_path) == []


def test_a_file_that_only_has_the_name_of_another_is_not_taken_for_it(project):
    first = run(PYTHON, "train.py", "results/A/net.npy")
    (project / "results" / "B").mkdir()
    (project / "results" / "B" / "net.npy").write_text("not recorded")
    same = "wrote a file of the same name with other content: results/A/net.npy"
    assert traced("results/B/net.npy") == [(first, [f"{same}; its command names the file"])]
    second = run(PYTHON, "train.py", "results/2.csv")
    (project / "results" / "B" / f"{second[:7]}").mkdir()
    path = project / "results" / "B" / f"{second[:7]}" / "net.npy"
    path.write_text("not recorded")
    assert [one for one, _ in traced(path)] == [second, first]  # an id in its path says more than its name
