"""The files that a run wrote: found by their times once it has ended, named honestly, within a budget."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from itertools import count

import pytest

from kleio.core import written
from kleio.core.journal.base import place
from kleio.core.written import Mark, Written, changed_words, kept_by_kleio, mark


@pytest.fixture
def project(tmp_path):
    """A project in which everything is an hour old."""
    root = tmp_path / "project"
    for name in ("train.py", "old.csv", "results/old.csv", "data/deep/er/old.bin"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("old")
    aged(root)
    return root


def aged(root):
    """Set what times can be set to an hour ago; begin when the rest is past, too."""
    for directory, _, names in os.walk(root, topdown=False):
        for name in (*names, ""):
            os.utime(os.path.join(directory, name), ns=(time.time_ns() - 3600 * 10**9,) * 2)


def begin():
    """The time at which a run begins: nothing that was written before has it."""
    before = time.time_ns() + 2 * written.TICK
    while time.time_ns() < before:
        pass
    return before


def scan(root, since, **how):
    """On a machine that is slow at times."""
    return written.scan(os.fspath(root), since, **{"seconds": 600.0, **how})


def found(root, since, **how):
    return {one.path: one.how for one in scan(root, since, **how).files}


def test_nothing_was_written(project):
    since = begin()
    assert scan(project, since) == Written((), complete=True)


def test_what_was_created_and_what_was_changed(project):
    since = begin()
    (project / "results/new.csv").write_text("a,b")
    (project / "results/old.csv").write_text("appended")
    (project / "fresh/er").mkdir(parents=True)
    (project / "fresh/er/empty").touch()
    (project / "old.csv").rename(project / "data/renamed.csv")
    assert found(project, since) == {
        "results/new.csv": "created", "results/old.csv": "changed", "fresh/er/empty": "created", "data/renamed.csv": "changed",
    }  # fmt: skip


def test_a_file_that_was_replaced_was_changed_if_it_is_known_to_have_been_there(project):
    since = begin()
    for name in ("train.py", "old.csv"):
        (project / "temporary").write_text("new")
        os.replace(project / "temporary", project / name)
    assert found(project, since, before={"train.py"}) == {"train.py": "changed", "old.csv": "created"}


def test_where_the_filesystem_tells_no_birth_the_directory_does(project, monkeypatch):
    monkeypatch.setattr(written, "_statx", lambda: None)
    since = begin()
    (project / "results/old.csv").write_text("appended")
    (project / "data/new").write_text("new")
    assert found(project, since) == {"results/old.csv": "changed", "data/new": "created"}


def test_digests_and_times(project):
    since = begin()
    content = os.urandom(3 << 20)
    (project / "model.pt").write_bytes(content)
    (one,) = scan(project, since).files
    assert (one.size, one.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert one.mtime == os.stat(project / "model.pt").st_mtime_ns


def test_caches_environments_and_what_kleio_keeps_are_left_out(project):
    since = begin()
    left_out = (
        ".git/index", "__pycache__/x.bin", "a/node_modules/x", ".tox/x", "my.egg-info/PKG", ".ruff_cache/x", "a/b.pyc",
        "env/pyvenv.cfg", "env/lib/x", "conda/conda-meta/history", "conda/bin/python", "cache/CACHEDIR.TAG", "cache/x",
        "kleio/journal.db", "kleio/journal.db-wal", "kleio/journal.db.lock", "kleio/blobs/ab/abcd", "state/spool/x/launch.json",
    )  # fmt: skip
    for name in (*left_out, ".gitignore", "a/b.py", "kleio/journal.db.txt", "state/x"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    os.symlink(project / "train.py", project / "link")
    os.symlink(project.parent, project / "way-out")
    os.mkfifo(project / "pipe")
    address = place(f"sqlite:///{project}/kleio/journal.db")
    avoid = kept_by_kleio(address, os.fspath(project / "state/spool"))
    assert set(found(project, since, avoid=avoid)) == {".gitignore", "a/b.py", "kleio/journal.db.txt", "state/x"}
    elsewhere = project.parent / "elsewhere"
    elsewhere.symlink_to(project)
    assert set(found(elsewhere, since, avoid=avoid)) == {".gitignore", "a/b.py", "kleio/journal.db.txt", "state/x"}
    assert kept_by_kleio("mongodb://host/db", "/spool") == ["/spool"]


def test_the_root_may_itself_be_an_environment(project):
    since = begin()
    (project / "pyvenv.cfg").touch()
    assert found(project, since) == {"pyvenv.cfg": "created"}


def test_odd_names(project):
    since = begin()
    names = ["ne\nw", "spä ce", "..odd", os.fsdecode(b"not\xffutf8")]
    for name in names:
        (project / name).write_text("x")
    result = scan(project, since)
    assert sorted(one.path for one in result.files) == sorted(names)
    assert Written.read(result.document()) == result


def test_time_runs_out_while_looking(project):
    since = begin()
    for number in range(50):
        (project / f"d{number}").mkdir()
        (project / f"d{number}/new").touch()
    clock = count()
    result = scan(project, since, seconds=20, clock=lambda: next(clock))
    assert not result.complete
    assert 0 < len(result.files) < 30


def test_time_runs_out_while_reading_and_small_files_went_first(project, monkeypatch):
    since = begin()
    for number in range(9):
        (project / f"f{number}").write_bytes(bytes(100 * (9 - number)))
    read, real = [], os.read
    monkeypatch.setattr(os, "read", lambda fd, size: (read.append(size), real(fd, size))[1])
    result = scan(project, since, seconds=3.5, clock=lambda: len(read))
    assert not result.complete
    assert [one.size for one in sorted(result.files) if one.sha256] == [400, 300, 200, 100]
    assert len(result.files) == 9


def test_a_file_that_grows_while_it_is_read_has_no_digest(project, monkeypatch):
    since = begin()
    path = project / "log"
    path.write_text("one")
    real = os.read

    def read(fd, size):
        with path.open("a") as file:
            file.write("more")
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    result = scan(project, since)
    monkeypatch.undo()
    assert [(one.path, one.sha256) for one in result.files] == [("log", None)]
    assert not result.complete


def test_a_file_that_nobody_may_read(project):
    since = begin()
    (project / "gone").write_text("x")
    real = os.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", lambda path, *how: real("/proc/none" if str(path).endswith("gone") else path, *how))
        result = scan(project, since)
    assert [(one.path, one.sha256) for one in result.files] == [("gone", None)]


def test_very_many_files(project, monkeypatch):
    monkeypatch.setattr(written, "MOST", 20)
    since = begin()
    for number in range(21):
        (project / f"f{number}").touch()
    result = scan(project, since)
    assert (len(result.files), result.complete) == (20, False)


def test_a_directory_that_is_not_there(tmp_path):
    assert scan(f"{tmp_path}/none", 0) == Written((), complete=True)


def test_traces(project):
    since = begin()
    (project / "results/a.csv").write_text("same")
    (project / "results/b.csv").write_text("same")
    (project / "empty").touch()
    result = scan(project, since, alone=False)
    assert not result.alone
    digest = hashlib.sha256(b"same").hexdigest()
    assert sorted(result.traces()) == sorted(
        [f"sha256:{digest}", "path:results/a.csv", "path:results/b.csv", "file:a.csv", "file:b.csv", "path:empty", "file:empty"]
    )
    unread = result.files[0]._replace(path="x", sha256=None, size=7, mtime=9)
    assert Written((unread,), complete=False).traces() == ["size:7@9", "path:x", "file:x"]


def test_what_is_loaded_for_it():
    """At the end of every command: nothing that the launcher has not loaded already."""
    program = (
        "import sys, kleio.core.launcher; before = set(sys.modules); import kleio.core.written;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['kleio.core.written']\n"


# -- the files named on the command line -----------------------------------------------------------------------------


def test_words_that_were_changed_or_created(tmp_path):
    for name in ("input", "touched", "rewritten", "grown", "removed", "unread"):
        (tmp_path / name).write_text("12345678")
    (tmp_path / "directory").mkdir()
    digest = hashlib.sha256(b"12345678").hexdigest()
    names = ["input", "touched", "rewritten", "grown", "removed", "unread", "new", "directory", "none"]
    paths = {name: os.fspath(tmp_path / name) for name in names}
    before = {name: (path, mark(path, None if name == "unread" else digest)) for name, path in paths.items()}
    assert before["new"][1] is before["directory"][1] is None
    assert before["input"][1] == Mark(8, *os.stat(paths["input"])[8:9], 0)._replace(
        mtime=os.stat(paths["input"]).st_mtime_ns, inode=os.stat(paths["input"]).st_ino, sha256=digest
    )
    (tmp_path / "new").write_text("made")
    (tmp_path / "removed").unlink()
    (tmp_path / "grown").write_text("123456789")
    (tmp_path / "rewritten").write_text("87654321")
    for name in ("touched", "rewritten", "unread"):
        os.utime(tmp_path / name, ns=(1, 1))
    assert changed_words(before) == ["rewritten", "grown", "unread", "new"]
    assert changed_words(before, largest=4) == ["touched", "rewritten", "grown", "unread", "new"]
