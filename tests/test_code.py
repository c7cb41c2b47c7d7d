"""What a launch keeps of the code: all of it, quickly, and without touching anything."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from commands import PYTHON, info, kleio, script, trials, until
from repositories import captured, commands, git, gits, kept, put, repository

from kleio.core import capturing, code, leaving_out, redact
from kleio.core.config import Config
from kleio.core.filechanges import changed_files
from kleio.core.journal import open_journal
from kleio.core.repository import GRACE, Patience, Repository, Running
from kleio.core.restore import restore
from kleio.core.sourcefiles import Version


@pytest.fixture
def root(tmp_path):
    return repository(tmp_path / "project", {"train.py": "print(1)\n", "notes.md": "n\n", "data.bin": b"\0\1"})


@pytest.fixture
def capture(root, tmp_path):
    """Captures ``root`` or another place: a function of that, of the command and of settings."""
    count = iter(range(1000))
    return lambda place=None, **how: captured(place or root, tmp_path / f"scratch{next(count)}" / "x", **how)


def test_an_answer_that_is_there_counts_however_late_it_is_read():
    running = Running(["echo", "answer"], os.environ, None)
    os.waitid(os.P_PID, running._pid, os.WEXITED | os.WNOWAIT)
    assert running.printed(0.0) == (b"answer\n", 0)


def content(version, path):
    """What was kept of a file."""
    _, digest, size, at = version.document["changes"][path]
    blob = version.blobs[digest if at is None else version.document["pack"]]
    with open(blob, "rb") as file:
        file.seek(at or 0)
        return file.read(size)


# -- what is recorded --------------------------------------------------------------------------------------------------


def test_a_clean_repository_is_its_commit(root, capture):
    version = capture()
    assert version.document == {
        "kind": "git", "commit": git(root, "rev-parse", "HEAD").decode().strip(), "branch": "main", "pushed": None,
        "remote": None, "dirty": False, "fingerprint": version.fingerprint, "changes": {}, "pack": None, "left_out": [],
        "submodules": {},
    }  # fmt: skip
    assert version.blobs == {}


def test_what_differs_is_kept_each_content_once(root, capture):
    (root / "train.py").write_text("print(2)\n")
    (root / "same.py").write_text("print(2)\n")
    (root / "large.py").write_bytes(b"#" * 300_000)
    (root / "data.bin").unlink()
    os.symlink("train.py", root / "link")
    version = capture()
    changes = version.document["changes"]
    assert changes["data.bin"] is None
    assert changes["link"] == ["120000", "train.py", 8, None]
    assert changes["train.py"] == changes["same.py"]
    assert changes["large.py"][3] is None
    assert content(version, "train.py") == b"print(2)\n"
    assert content(version, "large.py") == b"#" * 300_000
    assert os.stat(version.blobs[version.document["pack"]]).st_size == len(b"print(2)\n")
    assert version.document["dirty"] is True


@pytest.mark.parametrize(
    ("upstream", "ahead", "pushed"), [(True, False, True), (True, True, False), (False, False, None), ("local", False, None)]
)
def test_whether_a_commit_is_pushed_is_told_as_far_as_it_is_known(upstream, ahead, pushed, root, capture, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", root, tmp_path / "remote.git")
    git(root, "remote", "add", "origin", f"file://{tmp_path}/remote.git")
    if upstream == "local":
        commands(root, "git branch base && git branch -u base")
    elif upstream:
        commands(root, "git fetch -q && git branch -u origin/main")
    if ahead:
        git(root, "commit", "-q", "--allow-empty", "-m", "more")
    assert capture().document["pushed"] is pushed


def test_no_password_of_the_remote_is_recorded(root, capture):
    git(root, "remote", "add", "origin", "https://me:hunter2@example.org/x.git")
    assert capture().document["remote"] == "https://example.org/x.git"
    git(root, "remote", "set-url", "origin", "ssh://git:hunter2@example.org/x.git")
    assert capture().document["remote"] == "ssh://git@example.org/x.git"


# -- the fingerprint ---------------------------------------------------------------------------------------------------


def test_staging_and_committing_change_nothing(root, capture):
    (root / "train.py").write_text("print(2)\n")
    (root / "new.py").write_text("x\n")
    os.symlink("new.py", root / "link.py")
    (root / "new.py").chmod(0o755)
    first = capture().fingerprint
    git(root, "add", "-A")
    assert capture().fingerprint == first
    git(root, "commit", "-qm", "second")
    assert capture().fingerprint == first


def test_filters_apply_to_what_counts(root, capture):
    (root / ".gitattributes").write_text("*.py text eol=crlf\n")
    commands(root, "git add -A && git commit -qm attributes")
    (root / "train.py").write_bytes(b"print(2)\r\n")
    first = capture()
    git(root, "commit", "-qam", "second")
    assert capture().fingerprint == first.fingerprint
    assert content(first, "train.py") == b"print(2)\r\n"


def test_names_that_git_quotes_are_hashed_as_well(root, capture):
    (root / ".gitattributes").write_text("*.py text eol=crlf\n")  # what is named by hand passes no filter
    commands(root, "git add -A && git commit -qm attributes")
    for name in ('q"uote.py', "new\nline.py", "back\\slash.py", "tab\t.py", '"quoted".py', "ends in\r.py", "ünï.py"):
        (root / name).write_bytes(f"{name!r}\r\n".encode())
    first = capture().fingerprint
    commands(root, "git add -A && git commit -qm names")
    assert capture().fingerprint == first


def test_a_file_that_git_does_not_get_to_is_named_by_hand(root, capture, monkeypatch):
    (root / "train.py").write_text("print(2)\n")
    (root / "new.py").write_text("x\n")
    first = capture().fingerprint
    start = Repository.start
    dies = lambda self, *words, **how: start(self, *(("hash-object", "nowhere") if "hash-object" in words else words), **how)  # noqa: E731
    monkeypatch.setattr(Repository, "start", dies)
    assert capture().fingerprint == first


def test_what_does_not_count_does_not_change_the_fingerprint(root, capture):
    first = capture().fingerprint
    (root / "notes.md").write_text("other\n")
    (root / "results.csv").write_text("1\n")
    assert capture().fingerprint == first
    (root / "data.bin").write_bytes(b"\2")
    assert capture().fingerprint != first


def test_modes_are_what_git_takes_them_for(root, capture):
    first = capture().fingerprint
    git(root, "config", "core.fileMode", "false")
    (root / "train.py").chmod(0o755)
    assert capture().fingerprint == first
    (root / "train.py").write_text("print(1)\n# more\n")
    assert capture().document["changes"]["train.py"][0] == "100644"
    git(root, "config", "core.fileMode", "true")
    assert capture().document["changes"]["train.py"][0] == "100755"


def test_files_that_git_was_told_not_to_look_at_are_looked_at(root, capture):
    git(root, "update-index", "--assume-unchanged", "train.py")
    git(root, "update-index", "--skip-worktree", "data.bin")
    (root / "train.py").write_text("print(2)\n")
    (root / "data.bin").unlink()
    version = capture()
    assert version.document["changes"]["data.bin"] is None
    assert content(version, "train.py") == b"print(2)\n"


# -- submodules --------------------------------------------------------------------------------------------------------


def test_submodules_are_captured_with_what_changed_in_them(root, capture):
    library = repository(root / "lib", {"lib.py": "x = 1\n"})
    repository(library / "deep", {"deep.py": "y\n"})
    commands(library, "git add deep && git commit -qm deep")
    commands(root, "git add lib && git commit -qm lib")
    clean = capture()
    assert clean.document["dirty"] is False
    (library / "lib.py").write_text("x = 2\n")
    (library / "deep" / "new.py").write_text("z\n")
    before = gits(root)
    version = capture()
    assert gits(root) == before
    inner = version.document["submodules"]["lib"]
    assert inner["commit"] == git(library, "rev-parse", "HEAD").decode().strip()
    assert set(inner["changes"]) == {"lib.py"}
    assert set(inner["submodules"]["deep"]["changes"]) == {"new.py"}
    assert {inner["pack"], inner["submodules"]["deep"]["pack"]} == set(version.blobs)
    assert version.document["dirty"] is True
    assert version.fingerprint != clean.fingerprint
    commands(library, "git commit -qam changed")
    commands(library / "deep", "git add -A && git commit -qm new")
    assert capture().fingerprint == version.fingerprint


def test_a_submodule_that_is_not_there_is_its_commit(root, capture):
    library = repository(root / "lib", {"lib.py": "x = 1\n"})
    commands(root, "git add lib && git commit -qm lib")
    shutil.rmtree(library)
    library.mkdir()
    assert capture().document["submodules"] == {}
    assert capture().document["changes"] == {}


def test_a_damaged_submodule_is_named_and_the_rest_captured(root, capture):
    library = repository(root / "lib", {"lib.py": "x = 1\n"})
    commands(root, "git add lib && git commit -qm lib")
    (library / ".git" / "index").write_bytes(b"garbage")
    (root / "train.py").write_text("print(2)\n")
    version = capture()
    assert "lib/" in version.remarks[0]
    assert "lib/" in version.uncertain
    assert set(version.document["changes"]) == {"train.py", "lib/lib.py"}


def test_a_submodule_that_is_no_repository_is_captured_file_by_file(root, capture, tmp_path, home):
    library = repository(root / "lib", {"lib.py": "x = 1\n", "deep/deep.py": "y\n"})
    commands(root, "git add lib && git commit -qm lib")
    shutil.rmtree(library / ".git")
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "lib.pyc").write_bytes(b"\0")
    first = capture()
    (library / "lib.py").write_text("x = 2\n")
    version = capture()
    assert version.fingerprint != first.fingerprint
    assert content(version, "lib/lib.py") == b"x = 2\n"
    assert set(version.document["changes"]) == {"lib/lib.py", "lib/deep/deep.py"}
    assert version.document["dirty"] is True
    (library / "results.csv").write_text("1\n")
    assert capture().fingerprint == version.fingerprint
    with contextlib.closing(open_journal(f"sqlite:///{home}/journal.db")) as journal:
        result = restore(journal, put(journal, version), str(tmp_path / "back"), [str(root)], print)
    assert result.inexact == ()
    assert (tmp_path / "back" / "lib" / "lib.py").read_text() == "x = 2\n"
    assert (tmp_path / "back" / "lib" / "deep" / "deep.py").read_text() == "y\n"


def test_an_untracked_repository_is_named_loudly(root, capture):
    repository(root / "other")
    version = capture()
    assert [(one["path"], one["why"]) for one in version.document["left_out"]] == [("other/", "a repository of its own")]
    assert "other/" in version.remarks[0]


# -- secrets and limits ------------------------------------------------------------------------------------------------

TOKEN = "hf_" + "aB3" * 12


@pytest.fixture
def searched(monkeypatch):
    found_in = {True: "a Hugging Face token", False: None}
    monkeypatch.setattr(redact, "secret_in", lambda path, content: found_in[TOKEN.encode() in content], raising=False)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("name", ["train.py", "new.py", "large.yaml"])
def test_a_file_with_a_secret_is_kept_by_name_only(name, root, capture):
    (root / name).write_text("x = 1\n" * (60_000 if name == "large.yaml" else 1) + f"TOKEN = '{TOKEN}'\n")
    (root / "other.py").write_text("x\n")
    version = capture()
    (left,) = version.document["left_out"]
    assert (left["path"], left["why"], left["size"]) == (name, "it holds a Hugging Face token", (root / name).stat().st_size)
    assert name in version.remarks[0]
    assert set(version.document["changes"]) == {"other.py"}
    for path in version.blobs.values():
        with open(path, "rb") as file:
            assert TOKEN.encode() not in file.read()
    commands(root, "git add -A && git commit -qm all")
    assert capture().fingerprint == version.fingerprint


def test_limits_are_kept_and_said(root, capture):
    for name in ("a.npy", "b.npy", "c.npy"):
        (root / name).write_bytes(os.urandom(600_000))
    (root / "large.npy").write_bytes(bytes(2_000_000))
    (root / "train.py").write_bytes(b"#" * 2_000_000)
    version = capture(**{"untracked-limit": 1_000_000, "untracked-total": 1_300_000})
    assert {one["path"]: one["why"] for one in version.document["left_out"]} == dict.fromkeys(
        ["c.npy", "large.npy", "train.py"], "too large"
    )
    first = version.fingerprint
    (root / "train.py").write_bytes(b"#" * 2_000_001)
    assert capture(**{"untracked-limit": 1_000_000}).fingerprint != first


def test_no_time_left_is_said_and_nothing_is_read(root, capture, monkeypatch):
    (root / "train.py").write_text("print(2)\n")
    read = capturing.Tree.read

    def late(self):
        self._allowance.until = 0.0
        read(self)

    monkeypatch.setattr(capturing.Tree, "read", late)
    version = capture()
    assert [one["why"] for one in version.document["left_out"]] == ["there was no time left for it"]
    assert version.document["changes"] == {}


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_too_many_untracked_files(root, capture, monkeypatch):
    monkeypatch.setattr(capturing, "MOST_UNTRACKED", 50)
    (root / "many").mkdir()
    for number in range(60):
        (root / "many" / f"{number}.py").touch()
    version = capture()
    assert len(version.document["changes"]) == 50
    assert "many/ (10 untracked files too many: name it in .gitignore)" in version.remarks[-1]


def test_a_directory_of_five_gigabytes(root, capture, monkeypatch):
    (root / "data").mkdir()
    for number in range(50):
        with open(root / "data" / f"{number}.npy", "wb") as file:
            file.truncate(100 << 20)
    monkeypatch.setattr(capturing, "keep", None)  # by which it would be read
    version = capture()
    assert [one["why"] for one in version.document["left_out"]] == ["too large"] * 50
    assert version.blobs == {}


def test_a_file_that_cannot_be_read(root, tmp_path):
    (root / "new.py").write_text("x\n")
    (root / "new.py").chmod(0)
    (root / "other.py").write_text("y\n")
    program = f"""
import ctypes, json, struct, sys
sys.path[:0] = {[os.path.dirname(__file__), *filter(None, sys.path)]!r}
from repositories import captured
ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))  # or root could read it
version = captured({str(root)!r}, {str(tmp_path / "s" / "x")!r})
print(json.dumps(dict(version.document)))
"""
    done = subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(one["path"], one["why"]) for one in document["left_out"]] == [("new.py", "unreadable")]
    assert set(document["changes"]) == {"other.py"}


def test_a_directory_that_cannot_be_looked_into_is_said(root, capture, ill):
    (root / "secret").mkdir()
    (root / "secret" / "new.py").write_text("x\n")
    if os.geteuid() == 0:  # nothing is closed to root, so git says what it says to others
        ill("echo \"warning: could not open directory 'secret/': Permission denied\" >&2", " status ")
    else:
        (root / "secret").chmod(0)
    version = capture()
    (root / "secret").chmod(0o755)
    assert {"path": "secret/", "size": 0, "time": 0.0, "why": "unreadable"} in version.document["left_out"]
    assert "secret/ (unreadable)" in version.remarks[0]


@pytest.mark.parametrize("what", ["index", "HEAD", "objects", "config", "everything"])
def test_a_damaged_repository_stops_nothing(what, root):
    place = root / ".git" / what
    if what == "everything":
        shutil.rmtree(root / ".git")
        (root / ".git").mkdir()
    elif place.is_dir():
        shutil.rmtree(place)
    else:
        place.write_bytes(b"\xff garbage [")
    done = kleio(PYTHON, "train.py", cwd=root, check=0)
    assert done.stdout == "1\n"
    recorded = info("last")["code"]
    assert set(recorded["changes"]) == {"train.py"} or recorded["kind"] == "git"
    assert recorded["kind"] == "git" or "git cannot read" in done.stderr


def test_a_damaged_repository_does_not_make_way_for_one_around_it(root, capture):
    inner = repository(root / "inner", {"inner.py": "x\n"})
    shutil.rmtree(inner / ".git")
    (inner / ".git").mkdir()
    script(inner, "x\n")
    version = capture(inner)
    assert version.document["kind"] == "files"
    assert set(version.document["changes"]) == {"train.py", "inner.py"}


def test_a_damaged_repository_is_still_the_same_project(root, tmp_path):
    git(root, "remote", "add", "origin", "https://example.org/me/project.git")
    (root / "work").mkdir()
    version = captured(root, tmp_path / "s" / "x", cwd=root / "work", project=None)
    (root / ".git" / "index").write_bytes(b"garbage")
    other = captured(root, tmp_path / "s2" / "x", cwd=root / "work", project=None)
    assert other.document["kind"] == "files"
    assert (other.project, other.root) == (version.project, version.root) == ("example.org/me/project", str(root))


def test_git_that_does_not_tell_what_changed_in_time_leaves_the_commit(root, capture, monkeypatch):
    (root / "train.py").write_text("print(2)\n")
    start = Repository.start
    slow = {True: ("hash-object", "nowhere"), False: None}
    fails = lambda self, *words, **how: start(self, *(slow["status" in words] or words), **how)  # noqa: E731
    monkeypatch.setattr(Repository, "start", fails)
    version = capture()
    assert version.document["commit"] == git(root, "rev-parse", "HEAD").decode().strip()
    assert content(version, "train.py") == b"print(2)\n"
    assert "could not tell what differs" in version.remarks[0]
    (root / "train.py").write_text("print(1)\n")
    assert capture().document["dirty"] is None


def test_without_git_it_is_said(root, capture, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    version = capture(argv=("python", "train.py"))
    assert version.document["kind"] == "files"
    assert "there is no git on PATH" in version.remarks[0]
    assert "there is no git on PATH" in version.uncertain


# -- git that is slow, or silent ---------------------------------------------------------------------------------------


@pytest.fixture
def ill(monkeypatch, tmp_path):
    """Makes a git that does something else when a word is among its own; a function of that and of the word."""
    well = shutil.which("git")

    def make(does, *words):
        (tmp_path / "bin").mkdir(exist_ok=True)
        cases = "".join(f'case " $* " in *"{word}"*) {does};; esac\n' for word in words)
        (tmp_path / "bin" / "git").write_text(f'#!/bin/sh\n{cases}exec {well} "$@"\n')
        (tmp_path / "bin" / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return make


HANGS = "read -r _ _ _ _ group _ < /proc/self/stat; : > $HANGING/$group; "
"""What a shell does first that will not come to an end: it says so, by its process group, which is the one of its git."""


@pytest.fixture
def time_of_hanging(monkeypatch, tmp_path):
    """A clock that goes on only where a git HANGS, which takes as long as it is waited for: the machine may be slow."""
    monkeypatch.delenv("KLEIO_PATIENCE")
    monkeypatch.setenv("HANGING", str(tmp_path / "hanging"))
    (tmp_path / "hanging").mkdir()
    now = [0.0]

    def answer(self, running, timeout=None):
        hanging = tmp_path / "hanging" / str(running._pid)
        until(lambda: hanging.exists() or select.select([running._printed], [], [], 0)[0], 600)
        if not hanging.exists():
            return running.printed()
        seconds = max(self.left if timeout is None else min(self.left, timeout), GRACE)
        now[0] += seconds
        self.left -= seconds
        return running.printed(0)

    monkeypatch.setattr(Patience, "answer", answer)
    for module in (code, leaving_out):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))


@pytest.mark.usefixtures("time_of_hanging")
@pytest.mark.parametrize("does", [HANGS + "sleep 999", "exit 3", "echo x; exit 3"], ids=["hangs", "fails", "prints and fails"])
@pytest.mark.parametrize("words", [[" status "], [" hash-object "], [" ls-files "], [" status ", " hash-object ", " ls-files"]])
def test_what_git_does_not_say_is_no_change(does, words, root, capture, ill):
    (root / "pkg").mkdir()
    (root / "pkg" / "a.py").write_text("v = 1\n")
    (root / "link").symlink_to("train.py")
    commands(root, "git add -A && git commit -qm pkg")
    (root / "train.py").write_text("print(2)\n")
    (root / "data.bin").unlink()
    well = capture()
    ill(does, *words)
    version = capture()
    assert version.fingerprint == well.fingerprint
    assert version.document["changes"] == well.document["changes"]
    assert version.document["commit"] == well.document["commit"]
    assert (version.uncertain is not None) == (" status " in words)
    (root / "pkg" / "a.py").write_text("v = 2\n")
    assert capture().fingerprint != well.fingerprint


def test_who_has_more_patience_waits_for_a_slow_git(root, capture, ill, monkeypatch):
    ill("sleep 1.5", " status ")
    assert not capture().uncertain
    ill("exec sleep 999", " status ")
    monkeypatch.setenv("KLEIO_PATIENCE", "0.1")
    assert capture().uncertain


@pytest.mark.usefixtures("time_of_hanging")
def test_untracked_files_that_were_not_looked_at_make_it_uncertain(root, capture, ill):
    (root / "new.py").write_text("x\n")
    assert capture().uncertain is None
    ill(HANGS + "exec sleep 999", " --untracked-files=all")
    version = capture()
    assert "untracked" in version.uncertain
    assert "were not looked at" in version.remarks[0]
    assert version.document["dirty"] is False
    assert version.document["left_out"] == []


@pytest.mark.usefixtures("time_of_hanging")
def test_a_filter_that_hangs_makes_it_uncertain(root, capture):
    (root / ".gitattributes").write_text("new.py filter=slow\n")
    commands(root, "git add -A && git commit -qm attributes")
    git(root, "config", "filter.slow.clean", HANGS + "sleep 999; cat")
    (root / "new.py").write_text("x\n")
    version = capture()
    assert "new.py" in version.uncertain
    assert content(version, "new.py") == b"x\n"


def test_a_damaged_index_is_uncertain(root, capture):
    index = root / ".git" / "index"
    index.write_bytes(index.read_bytes()[:30])
    version = capture()
    assert "git cannot read the repository" in version.uncertain


def test_an_index_is_read_without_git_whatever_its_kind(root, capture, ill):
    (root / ("long" * 50)).mkdir()
    for number in range(20):
        (root / ("long" * 50) / f"{'x' * number}.py").write_text(f"{number}\n")
    commands(root, "git add -A && git commit -qm more && git update-index --skip-worktree data.bin")
    (root / "data.bin").unlink()
    wells = []
    for kind in (2, 4):
        git(root, "update-index", f"--index-version={kind}")
        wells.append(capture().fingerprint)
    ill("exit 1", " ls-files ", " status ")
    for kind in (4, 2):
        git(root, "update-index", f"--index-version={kind}")
        wells.append(capture().fingerprint)
    assert len(set(wells)) == 1


SILENT = ["exec sleep 999", "sleep 999", "exec yes", "exec >&- 2>&-; sleep 999"]


@pytest.mark.parametrize("does", SILENT)
def test_a_git_that_goes_on_for_ever_is_stopped(does, root, ill):
    ill(does, " status ")
    repository = Repository.asked(str(root), 0.1)
    assert repository.answer("status") is None
    assert repository.was_late("status")
    repository.close()


@pytest.mark.usefixtures("time_of_hanging")
@pytest.mark.parametrize(
    ("does", "words", "said"),
    [
        (f"{HANGS}exec sleep 999", [" config "], "how the repository in"), (f"{HANGS}exec sleep 999", [" rev-list "], "began"),
        ("exit 128", [" rev-list "], "began"), ("exit 128", [""], "could not tell"),
        *((HANGS + does, [""], "did not tell in time") for does in SILENT),
    ],
)  # fmt: skip
def test_no_git_is_waited_for_long_and_the_project_is_the_same(does, words, said, root, tmp_path, ill):
    remote = words != [" rev-list "]
    if remote:
        git(root, "remote", "add", "origin", "https://example.org/me/project.git")
    place = iter(range(9))

    def launched():
        repository = Repository.asked(str(root))
        repository.ask_further()
        config = Config(cwd=str(root))
        return code.capture(config, ["python", "train.py"], repository, str(tmp_path / f"s{next(place)}" / "x"))

    well = launched()
    ill(does, *words)
    version = launched()
    assert (version.project, version.fingerprint) == (well.project, well.fingerprint)
    assert any(said in remark for remark in version.remarks)


@pytest.mark.usefixtures("time_of_hanging")
def test_what_a_stopped_git_started_ends_with_it(root, capture, ill, tmp_path):
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    ill(f"sleep 300 > {tmp_path}/held & {HANGS}wait", " status ")
    capture()

    def let_go():
        with contextlib.suppress(BlockingIOError):
            return os.read(reader, 1) == b""

    until(let_go)
    os.close(reader)


def test_a_branch_that_names_no_commit_is_said(root, capture):
    (root / ".git" / "refs" / "heads" / "main").write_text("garbage\n")
    version = capture()
    assert "refs/heads/main names no commit" in version.remarks[0]
    assert set(version.document["changes"]) == {"train.py", "notes.md", "data.bin"}
    empty = root.parent / "empty"
    empty.mkdir()
    commands(empty, "git init -q")
    assert capture(empty).remarks == ()


# -- kleio's own files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["home", "journal"])
def test_kleios_own_files_are_no_code(how, root, monkeypatch):
    if how == "home":
        monkeypatch.setenv("KLEIO_HOME", str(root / "k"))
    else:
        monkeypatch.setenv("KLEIO_JOURNAL", "sqlite:///j.py")
        monkeypatch.setenv("KLEIO_SPOOL_DIR", str(root / "waiting"))
    monkeypatch.chdir(root)
    sizes = []
    for _ in range(3):
        kleio("--require-clean", PYTHON, "train.py", cwd=root, check=0)
        sizes.append(sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.name.endswith("-wal")))
    entries = trials()
    assert len({one["code"]["fingerprint"] for one in entries}) == 1
    assert sizes[-1] - sizes[1] < sizes[0] / 2
    kleio("checkout", "last", str(root.parent / "back"), cwd=root, check=0)
    assert kept(root.parent / "back").keys() == {b"train.py", b"notes.md", b"data.bin"}


def test_a_journal_that_git_tracks_is_no_code(root, capture, monkeypatch):
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{root}/j.py")
    (root / "j.py").write_text("a journal\n")
    before = capture()
    commands(root, "git add -A && git commit -qm journal")
    (root / "j.py").write_text("more of it\n")
    after = capture()
    assert (after.fingerprint, after.document["dirty"]) == (before.fingerprint, False)


def test_in_the_middle_of_a_rebase(root, capture):
    commands(root, "git checkout -qb side && echo side > train.py && git commit -qam side")
    commands(root, "git checkout -q main && echo main > train.py && git commit -qam main && git rebase -q side")
    assert b"rebase" in git(root, "status")
    before = gits(root)
    version = capture()
    assert gits(root) == before
    assert content(version, "train.py") == (root / "train.py").read_bytes()
    assert b"<<<<<<<" in content(version, "train.py")
    assert version.document["branch"] is None


def test_a_pipe_in_the_place_of_a_file_is_waited_for_by_nobody(root, capture):
    (root / "train.py").unlink()
    os.mkfifo(root / "train.py")
    version = capture()
    assert "train.py" not in version.blobs
    assert [one["why"] for one in version.document["left_out"]] in ([], ["not a file"])


def test_a_full_disk_where_records_wait_is_said(root, capture, monkeypatch):
    (root / "train.py").write_text("print(2)\n")
    from kleio.core.pack import Pack

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Pack, "add", full)
    version = capture()
    assert [one["why"] for one in version.document["left_out"]] == ["No space left on device"]


# -- outside git -------------------------------------------------------------------------------------------------------


def test_a_script_outside_of_the_project_is_kept_apart(tmp_path, capture):
    (tmp_path / "tools").mkdir()
    (tmp_path / "work").mkdir()
    script(tmp_path / "tools", "print(1)\n")
    version = capture(tmp_path / "work", argv=("python", "../tools/train.py"))
    assert version.document["changes"] == {}
    assert set(version.document["outside"]) == {str(tmp_path / "tools" / "train.py")}
    assert version.document["pack"] in version.blobs


# -- what differs between two of them ----------------------------------------------------------------------------------


def differing(before, now, root):
    """What counts and differs between an earlier capture and the code that is here."""
    counts = code.Counting(Config({"project": "p"}, cwd=str(root)), ["python", "train.py"])
    earlier = Version(None, before.document, str(root), before.blobs)
    return [one.path for one in changed_files(earlier, Version.present(now), counts)]


def test_differing_names_what_counts_and_differs(root, capture):
    clean = capture()
    (root / "train.py").write_text("print(2)\n")
    (root / "new.py").write_text("x\n")
    (root / "data.csv").write_text("1\n")
    (root / "notes.md").write_text("m\n")
    dirty = capture()
    assert differing(clean, dirty, root) == ["new.py", "train.py"]
    commands(root, "git add -A && git commit -qm all")
    assert differing(dirty, capture(), root) == []
    (root / "train.py").write_text("print(3)\n")
    assert differing(dirty, capture(), root) == ["train.py"]
    assert differing(clean, capture(), root) == ["data.csv", "new.py", "train.py"]
    (root / "new.py").unlink()
    assert differing(dirty, capture(), root) == ["new.py", "train.py"]


def test_differing_looks_into_submodules(root, capture):
    library = repository(root / "lib", {"lib.py": "x = 1\n"})
    commands(root, "git add lib && git commit -qm lib")
    clean = capture()
    (library / "lib.py").write_text("x = 2\n")
    dirty = capture()
    assert differing(clean, dirty, root) == ["lib/lib.py"]
    commands(library, "git commit -qam two")
    assert differing(dirty, capture(), root) == []
    assert differing(clean, capture(), root) == ["lib/lib.py"]


def test_what_is_resumed_with_changed_code_says_which(root):
    script(root, "from kleio.client.logger import kleio_logger as k\nk.log_artifact('a', b'x')\nraise SystemExit(1)\n")
    commands(root, "git commit -qam fails")
    kleio(PYTHON, "train.py", cwd=root, check=1)
    script(root, "print(2)\n")
    assert "train.py" in kleio(PYTHON, "train.py", cwd=root, check=78).stderr
    assert len(trials()) == 1


def test_a_launch_touches_nothing_of_the_users(root):
    (root / "train.py").write_text("print(2)\n")
    (root / "new.py").write_text("x\n")
    git(root, "add", "new.py")
    commands(root, "git stash -q && git stash apply -q")
    before, wanted = gits(root), kept(root)
    kleio(PYTHON, "train.py", cwd=root, check=0)
    assert gits(root) == before
    assert kept(root) == wanted


def test_a_key_in_a_large_file_is_found_as_well(root, capture):
    (root / "large.py").write_text("# filler\n" * 200_000 + "token = 'ghp_" + "k3Jd9sLq2WmX8vBn4TzR7yPc5HfG1aQe0UiK" + "'\n")
    version = capture()
    (left,) = version.document["left_out"]
    assert left["path"] == "large.py"
    assert left["why"].startswith("it holds a token")
    assert version.document["changes"] == {}
