"""``log_resource``: inputs by path, size and digest; what is remembered of them, and when that is not trusted."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import PYTHON, kleio, printed, script, start, trials, until

from kleio.client import digests
from kleio.client.digests import Digests
from kleio.client.logger import Logger
from kleio.client.resources import Resource
from kleio.core.errors import Scrubbed
from kleio.core.journal import open_journal
from kleio.core.lineage import emitted
from kleio.core.resources import listing, unpack

IMPORT = "import json, os, sys\nfrom kleio.client.logger import kleio_logger as k\n"
LOOK = IMPORT + """
for path in sys.argv[1:]:
    one = k.log_resource(path, role="input")
    print(json.dumps([one.path, one.kind, one.size, one.sha256, one.files, one.steady, one.changed]), flush=True)
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    script(root, LOOK)
    return root


def settle(*paths):
    """Let them be as old as a data set is."""
    for path in paths:
        past = time.time() - 100
        os.utime(path, (past, past), follow_symlinks=False)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def look(project, *paths, check=0, **environment):
    done = kleio(PYTHON, "train.py", *paths, cwd=project, check=check, **environment)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def recorded(uri, trial=None):
    journal = open_journal(uri, writing=False)
    try:
        entry = journal.entry(trial or trials()[0]["id"])
        return [dict(record.values) for _, record in emitted(journal, entry.trial, "resources")]
    finally:
        journal.close()


# -- what is recorded --------------------------------------------------------------------------------------------------


def test_a_file_a_directory_and_an_address(project, tmp_path, journal_uri):
    (project / "a.csv").write_bytes(b"1,2\n")
    outside = tmp_path / "outside"
    (outside / "deep" / "er").mkdir(parents=True)
    (outside / "b").write_bytes(b"bb")
    (outside / "deep" / "er" / "c").write_bytes(b"ccc")
    (outside / "empty").mkdir()
    (outside / "link").symlink_to("/etc")
    address = "s3://user:hunter2pass@bucket/data"
    found, said = look(project, "a.csv", outside, address)
    assert found[0] == ["a.csv", "file", 4, sha(b"1,2\n"), 1, True, None]
    assert found[1][:3] == [str(outside), "directory", 5]
    assert found[1][4:] == [2, True, None]
    assert found[2] == [address, "address", None, None, 0, True, None]
    file, directory, there = recorded(journal_uri)
    assert file["absolute"] == str(project / "a.csv")
    assert (file["project"], file["meta"]) == ("a.csv", {"role": "input"})
    assert "project" not in directory
    assert (there["sha256"], there["note"]) == (None, "nothing of it was read")
    assert "hunter2pass" not in json.dumps(there)
    journal = open_journal(journal_uri, writing=False)
    entries = listing(journal, directory)
    journal.close()
    assert entries == {
        "b": ("b", "f", 2, sha(b"bb")),
        "deep": ("deep", "d", 0, None),
        "deep/er": ("deep/er", "d", 0, None),
        "deep/er/c": ("deep/er/c", "f", 3, sha(b"ccc")),
        "empty": ("empty", "d", 0, None),
        "link": ("link", "l", 0, "/etc"),
    }
    shown = printed("info", "last")
    assert "resources\n" in shown
    assert f"sha256:{sha(b'1,2' + bytes([10]))[:12]}" in shown
    assert "2 files" in shown
    assert "nothing of it was read" in shown
    assert not said.replace("kleio: trial reserved", "").count("kleio:")


def test_the_digest_of_a_tree_is_of_what_is_in_it_and_of_nothing_else(tmp_path):
    def tree(name, *order):
        root = tmp_path / name
        root.mkdir()
        for path, content in order:
            (root / path).parent.mkdir(exist_ok=True, parents=True)
            (root / path).write_bytes(content)
        return Resource(Logger(), str(root)).sha256

    files = [("a", b"1"), ("b/c", b"2"), ("b.d", b"3")]
    first = tree("one", *files)
    assert tree("two", *reversed(files)) == first
    assert tree("three", ("a", b"2"), *files[1:]) != first
    assert tree("four", *files, ("e", b"")) != first
    (tmp_path / "two" / "new").mkdir()
    assert Resource(Logger(), str(tmp_path / "two")).sha256 != first


def test_what_cannot_be_read_is_named_and_the_rest_counts(project, home, monkeypatch):
    data = project / "data"
    data.mkdir()
    (data / "good").write_bytes(b"good")
    os.mkfifo(data / "pipe")
    (data / os.fsdecode(b"odd\xff")).write_bytes(b"odd")
    (data / "locked").write_bytes(b"x")
    (data / "locked").chmod(0)
    root = os.geteuid() == 0  # whom nothing stops from reading
    found, said = look(project, "data")
    assert found[0][4] == (3 if root else 2)
    entries = recorded(f"sqlite:///{home}/journal.db")[0]
    assert ("unreadable" in entries) is not root
    assert ("could not be read: locked" in said) is not root
    found, said = look(project, "missing", "/dev/null", "train.py")
    assert [one[1] for one in found] == ["missing", "missing", "file"]
    assert "resource 'missing' is not recorded" in said
    assert "resource '/dev/null' is not recorded" in said
    strict = start(PYTHON, "train.py", "missing", cwd=project, KLEIO_STRICT="1")
    assert "FileNotFoundError" in strict.communicate()[1]
    assert strict.returncode == 1


@pytest.mark.parametrize("how", ["grows", "is cut", "is written over"])
def test_a_file_that_changes_while_it_is_read_is_noticed_and_not_remembered(tmp_path, monkeypatch, capsys, how):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (2 << 20))
    settle(path)

    def write(mode):
        with path.open(mode) as opened:
            opened.write(b"more")

    changes = {"grows": lambda: write("ab"), "is cut": lambda: os.truncate(path, 5), "is written over": lambda: write("r+b")}

    class Slow(io.FileIO):
        """Between the first piece and the second something happens."""

        def read(self, size=-1):
            piece = super().read(size)
            if changes:
                changes.pop(how)()
                changes.clear()
            return piece

    monkeypatch.setattr(digests, "open", lambda path, *_, **__: Slow(path), raising=False)
    known = Digests()
    assert known.of(str(path)).steady is False
    monkeypatch.undo()
    monkeypatch.setenv("KLEIO_HOME", str(tmp_path / "home"))
    settle(path)
    assert known.of(str(path)).sha256 == sha(path.read_bytes())


def test_that_it_changed_while_it_was_read_is_said(project, home):
    text = IMPORT + """
from kleio.client.digests import Digested, Digests
Digests.of = lambda *_: Digested("0" * 64, 5, steady=False)
print(k.log_resource("train.py").steady, k.log_resource("data").steady)
"""
    (project / "data").mkdir()
    (project / "data" / "a").write_bytes(b"A")
    done = kleio(PYTHON, script(project, text, "changing.py"), cwd=project, check=0)
    assert done.stdout == "False False\n"
    assert done.stderr.count("changed while it was read; its digest is of what was read") == 2
    assert printed("info", "last").count("changed while it was read") == 2


# -- from one execution to the next ------------------------------------------------------------------------------------


def test_another_content_in_a_later_execution_is_said(project, journal_uri):
    data = project / "data"
    data.mkdir()
    for n in range(6):
        (data / f"{n}").write_bytes(b"%d" % n)
    text = LOOK.replace("sys.argv[1:]", "('data', 'data/5')")  # a file that the command names is its identity
    script(project, text + "k.log_artifact('state', b'x')\nsys.exit(1)\n")
    found, _ = look(project, check=1)
    assert [one[6] for one in found] == [None, None]
    found, _ = look(project, check=1)
    assert [one[6] for one in found] == [False, False]
    assert "changed" not in printed("info", "last")
    (data / "1").write_bytes(b"another")
    (data / "2").unlink()
    (data / "new").write_bytes(b"")
    (data / "5").write_bytes(b"five")
    found, _ = look(project, check=1)
    assert [one[6] for one in found] == [True, True]
    shown = printed("info", "last")
    assert "changed since execution 2: 1 changed, 2 is gone, 5 changed, and 1 more" in shown
    assert shown.count("changed since execution 2") == 2
    branch = kleio("branch", "last", "--x", cwd=project, check=1)
    assert json.loads(branch.stdout.splitlines()[0])[6] is False


def test_the_run_behind_an_input(project, journal_uri):
    (project / "data").mkdir()
    (project / "data" / "a.bin").write_bytes(b"A" * 100)
    (project / "b.bin").write_bytes(b"B" * 100)
    look(project, "data", "b.bin")
    short = trials()[0]["short_id"]
    shutil.move(project / "b.bin", project / "other-name")
    for name in ("data/a.bin", "other-name"):
        found = printed("trace", project / name)
        assert short in found
        assert "as an input" in found


def test_it_survives_the_launcher_offline_and_sync(project, journal_uri):
    (project / "data").mkdir()
    (project / "data" / "a").write_bytes(b"A")
    kleio("--offline", PYTHON, "train.py", "data", "train.py", cwd=project, check=0)
    kleio("sync", check=0)
    directory, file = recorded(journal_uri)
    assert file["sha256"] == sha((project / "train.py").read_bytes())
    journal = open_journal(journal_uri, writing=False)
    assert listing(journal, directory) == {"a": ("a", "f", 1, sha(b"A"))}
    journal.close()


def test_a_killed_launcher_loses_no_resource(project, journal_uri):
    script(project, LOOK + "os.kill(os.getppid(), 9)\nos.kill(os.getpid(), 9)\n")
    process = start(PYTHON, "train.py", ".", cwd=project)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    until(lambda: "still running" not in kleio("sync", check=0).stdout and trials())
    assert [one["kind"] for one in recorded(journal_uri)] == ["directory"]


def test_what_was_scrubbed_of_a_listing_is_gone(project, journal_uri):
    (project / "data").mkdir()
    (project / "data" / "of-hunter2pass.csv").write_bytes(b"1")
    look(project, "data")
    trial = trials()[0]["id"]
    kleio("scrub", "--yes", trial, "hunter2pass", cwd=project)
    (directory,) = recorded(journal_uri)
    journal = open_journal(journal_uri, writing=False)
    with pytest.raises(Scrubbed):
        journal.blob(directory["listing"])
    assert listing(journal, directory) is None
    journal.close()
    printed("info", trial)


# -- what is remembered ------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """The files that were really read."""
    found = []
    read = Digests._read

    def counting(self, path, place, name):
        found.append(name)
        return read(self, path, place, name)

    monkeypatch.setattr(Digests, "_read", counting)
    return found


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data" / "file"
    path.parent.mkdir()
    path.write_bytes(b"content")
    later = tmp_path / "later"
    until(lambda: later.touch() or os.stat(later).st_ctime_ns > os.stat(path).st_ctime_ns)  # the clock of files ticks slowly
    return path


@pytest.fixture
def patient(monkeypatch):
    """A clock that is an hour ahead: what is on disk is old."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 3600 * 10**9)


def digest_of(path):
    known = Digests()
    found = known.of(str(path))
    known.save()
    return found.sha256


def test_what_has_not_changed_is_not_read_again(file, reads, patient):
    assert digest_of(file) == digest_of(file) == digest_of(file) == sha(b"content")
    assert reads == ["file"]


@pytest.mark.parametrize("how", ["content", "size", "replaced", "with its old time", "moved back"])
def test_whatever_changed_is_read_again(file, reads, patient, how):
    digest_of(file)
    before = os.stat(file)
    if how == "replaced":
        (file.parent / "new").write_bytes(b"CONTENT")
        os.utime(file.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(file.parent / "new", file)
    elif how == "moved back":
        os.utime(file, ns=(0, 1))
    else:
        with open(file, "r+b") as opened:
            opened.write(b"CONTENT" if how != "size" else b"CONTENT!")
        if how == "with its old time":
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest_of(file) == sha(file.read_bytes())
    assert reads == ["file", "file"]


def test_a_file_of_this_very_moment_is_not_trusted(file, reads, monkeypatch):
    """The clock of a file system ticks: in the same tick it may be written again, and look the same."""
    changed = os.stat(file).st_ctime_ns
    for after, trusted in ((0, False), (digests.TICK, False), (digests.TICK + 1, True)):
        monkeypatch.setattr(digests.time, "time_ns", lambda after=after: changed + after)
        digest_of(file)
        reads.clear()
        digest_of(file)
        assert (reads == []) is trusted
    shutil.rmtree(digests.directory())
    coarse = SimpleNamespace(st_mtime_ns=5 * 10**9, st_ctime_ns=5 * 10**9)
    assert not digests._settled(coarse, 5 * 10**9 + digests.TICK + 1)
    assert digests._settled(coarse, 5 * 10**9 + digests.COARSE + 1)


def test_a_damaged_or_unwritable_memory_is_none(file, reads, patient, monkeypatch, tmp_path):
    digest_of(file)
    (place,) = [os.path.join(where, name) for where, _, names in os.walk(digests.directory()) for name in names]
    good = Path(place).read_text()
    for bad in ("", "{", "[]", '{"format": 1}', good.replace('"format":1', '"format":9'), good.replace("file", "f"), '"x"'):
        with open(place, "w") as opened:
            opened.write(bad)
        assert digest_of(file) == sha(b"content")
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("KLEIO_HOME", str(blocked))
    assert digest_of(file) == sha(b"content")
    monkeypatch.delenv("KLEIO_HOME")
    assert digests.directory() == os.path.join(os.environ["HOME"], ".cache", "kleio", "digests")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert digests.directory() == "/x/kleio/digests"


def test_several_processes_remember_together(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for n in range(40):
        (data / f"{n}").write_bytes(b"%d" % n)
        settle(data / f"{n}")
    text = (
        "import sys, time\nfrom kleio.client import digests\nnow = time.time_ns\n"
        "digests.time.time_ns = lambda: now() + 3600 * 10**9\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "for n in range(40):\n    known = digests.Digests()\n"
        "    known.of(f'{sys.argv[1]}/{(n * int(sys.argv[2])) % 40}')\n    known.save()\n"
    )
    many = [
        subprocess.Popen([sys.executable, "-c", text, data, str(step)], stdin=-1, stdout=-1, text=True) for step in (1, 3, 7, 9)
    ]
    for one in many:
        assert one.stdout.readline() == "ready\n"
    for one in many:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in many:
        one.communicate()
        assert one.returncode == 0
    names = [name for _, _, names in os.walk(digests.directory()) for name in names]
    assert len(names) == 1, "something was left behind"
    known = Digests()
    for n in range(40):
        assert known.of(str(data / f"{n}")).sha256 == sha(b"%d" % n)


def test_without_kleio_nothing_is_read_until_it_is_asked_for(file, reads):
    logger = Logger()
    one = logger.log_resource(file, any="thing")
    assert one.path == str(file)
    assert os.fspath(one) == str(file)
    assert reads == []
    assert (one.sha256, one.size, one.changed) == (sha(b"content"), 7, None)
    assert reads == ["file"]
    with pytest.raises(AttributeError):
        one.nothing  # noqa: B018
    with pytest.raises(FileNotFoundError):
        logger.log_resource("missing").sha256  # noqa: B018


def test_what_is_no_listing_is_refused():
    for packed in (b"", b"x", zlib.compress(b"{}\n"), zlib.compress(b'["a"]\n'), zlib.compress(b"5"), zlib.compress(b"\xff")):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever of it is wrong
            unpack(packed)
