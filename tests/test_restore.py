"""``kleio checkout``, and documents that somebody made to do harm."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess

import pytest
from commands import PYTHON, info, kleio, printed, trials
from repositories import captured, commands, git, gits, kept, put, repository, tree

from kleio.core.errors import KleioError
from kleio.core.journal import open_journal
from kleio.core.restore import restore


@pytest.fixture
def journal(home):
    opened = open_journal(f"sqlite:///{home}/journal.db")
    yield opened
    opened.close()


@pytest.fixture
def root(tmp_path):
    return repository(tmp_path / "project", {"train.py": "print(1)\n", "a/b.py": "b\n", "keep.py": "k\n"})


@pytest.fixture
def document(root, journal, tmp_path):
    """An honest one: a changed file."""
    (root / "train.py").write_text("print(2)\n")
    return put(journal, captured(root, tmp_path / "s" / "x"))


# -- documents that are not to be trusted ------------------------------------------------------------------------------

CONTENT = b"print(2)\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = ["100644", DIGEST, len(CONTENT), 0]
LINK = ["120000", "TARGET", 6, None]


PATHS = (
    ["/tmp/escaped", "../escaped", "a/../../escaped", "./x", "a//x", "", "a/", ".git/hooks/post-checkout", ".GIT/config",
     "a/.git/x", "git~1/x", ".git./x", ".git /x", ".g\u200cit/x", ".git::$INDEX_ALLOCATION/x", "a\0b", "\ud800x", "sub/.Git"]
)  # fmt: skip


@pytest.fixture
def refused(journal, root, tmp_path):
    """That a document with some changes is refused, and nothing written."""

    def refused(document, why, **changed):
        with pytest.raises(KleioError, match=why):
            restore(journal, document | changed, str(tmp_path / "back"), [str(root)], print)
        assert not (tmp_path / "back").exists()

    return refused


@pytest.mark.parametrize("entry", [FILE, LINK, None], ids=["file", "link", "deletion"])
def test_no_path_leads_out_of_the_directory_or_into_git(entry, document, refused, tmp_path):
    before = tree(tmp_path, b"back")
    for path in PATHS:
        refused(document, "must not be written", changes={path: entry})
        inner = document | {"changes": {path: entry}}
        refused(document, "must not be written", changes={}, submodules={"lib": inner})
    assert tree(tmp_path, b"back") == before


def test_no_submodule_lies_elsewhere(document, refused):
    for path in ("../out", ".git", "/tmp/out", "a/.git/modules"):
        refused(document, "must not be written", submodules={path: document})


SENSELESS = (
    [["100644", DIGEST, -1, 0], ["100644", DIGEST, 9, -1], ["100644", "../" + DIGEST[3:], 9, None], ["040000", DIGEST, 9, 0],
     ["160000", DIGEST, 9, 0], ["100644", DIGEST, "9", 0], ["100644", DIGEST, True, 0], ["104755", DIGEST, 9, 0], "x", [],
     ["100644", None, 9, 0], ["120000", "", 0, None], ["120000", "a\0b", 3, None]]
)  # fmt: skip


def test_what_makes_no_sense_is_refused(document, refused):
    for entry in SENSELESS:
        refused(document, "makes no sense", changes={"x": entry})


WRONG = (
    [["100644", "0" * 64, 9, 0], ["100644", DIGEST, 9, 10**9], ["100644", DIGEST, 10**15, 0], ["100644", DIGEST, 3, 0],
     ["100644", "0" * 64, 9, None]]
)  # fmt: skip


def test_what_is_not_what_it_should_be_is_not_written_and_said(document, journal, root, tmp_path):
    names = [f"x{at}" for at in range(len(WRONG))]
    document["changes"] |= dict(zip(names, WRONG, strict=True))
    result = restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert sorted(one["path"] for one in result.inexact) == names
    assert not list((tmp_path / "back").glob("x*"))
    assert (tmp_path / "back" / "train.py").read_bytes() == CONTENT


@pytest.mark.parametrize("changes", [{"d": LINK, "d/x": FILE}, {"d": FILE, "d/x/y": FILE}, {"d": LINK, "d/x": LINK}])
def test_nothing_lies_in_what_is_no_directory(changes, document, journal, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = ["120000", str(outside), 6, None]
    document["changes"] = {path: link if entry is LINK else entry for path, entry in changes.items()}
    with pytest.raises(KleioError, match="no directory"):
        restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("entry", [FILE, LINK, None], ids=["file", "link", "deletion"])
def test_a_link_of_the_commit_is_replaced_and_not_followed(entry, document, journal, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("mine")
    os.symlink(outside, root / "d")
    commands(root, "git add d && git commit -qm link")
    document["commit"] = git(root, "rev-parse", "HEAD").decode().strip()
    document["changes"] = {"d/x": entry}
    restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert [path.name for path in outside.iterdir()] == ["x"]
    assert (outside / "x").read_text() == "mine"
    assert entry is None or not (tmp_path / "back" / "d").is_symlink()


def test_a_link_may_point_anywhere_and_nothing_is_written_through_it(document, journal, root, tmp_path):
    (tmp_path / "target").write_text("mine")
    document["changes"] |= {"l": ["120000", str(tmp_path / "target"), 3, None]}
    restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert os.readlink(tmp_path / "back" / "l") == str(tmp_path / "target")
    assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.parametrize(
    "remote",
    ["ext::sh -c 'touch {mark}'", "--upload-pack=touch {mark}", "-utouch {mark}", "ext://sh -c 'touch {mark}'", "fd::17/foo",
     "ssh://-oProxyCommand=touch {mark}/x", "file:///nowhere\ntouch {mark}"],
)  # fmt: skip
def test_no_address_is_a_command(remote, document, journal, root, tmp_path):
    mark = tmp_path / "executed"
    document["remote"] = remote.format(mark=mark)
    with pytest.raises(KleioError):
        restore(journal, document, str(tmp_path / "back"), [], print)
    assert not mark.exists()
    assert not (tmp_path / "back").exists()
    restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    commands(tmp_path / "back", "git fetch origin")
    assert not mark.exists()


def test_no_commit_is_an_option(document, refused):
    for commit in ("--upload-pack=x", "HEAD", "main", "-", "a" * 39, 17):
        refused(document, "is none", commit=commit)


def test_hooks_and_templates_do_not_run(document, journal, root, tmp_path, home):
    hook = tmp_path / "templates" / "hooks" / "post-checkout"
    users = [hook.parent / name for name in ("post-checkout", "reference-transaction", "post-index-change")]
    for place in (*users, root / ".git" / "hooks" / "post-checkout"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
        place.chmod(0o755)
    with open(os.path.join(os.environ["HOME"], ".gitconfig"), "w") as file:
        file.write(f"[init]\n\ttemplateDir = {tmp_path}/templates\n[core]\n\thooksPath = {hook.parent}\n")
    restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "back" / ".git" / "hooks").exists()


# -- honest ones -------------------------------------------------------------------------------------------------------


def test_a_directory_that_is_not_empty_is_not_touched(document, journal, root, tmp_path):
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine").write_text("mine")
    with pytest.raises(KleioError, match="not empty"):
        restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["mine"]


def test_a_failure_leaves_an_empty_directory_empty(document, journal, root, tmp_path):
    (tmp_path / "back").mkdir()
    with pytest.raises(KleioError, match="is in no repository here"):
        restore(journal, document, str(tmp_path / "back"), [], print)
    assert list((tmp_path / "back").iterdir()) == []


def test_what_came_back_does_not_depend_on_the_repository(document, journal, root, tmp_path):
    git(tmp_path, "clone", "-q", "--shared", root, tmp_path / "shared")  # it borrows its objects
    wanted = kept(root)
    restore(journal, document, str(tmp_path / "back"), [str(tmp_path / "shared")], print)
    shutil.rmtree(root)
    shutil.rmtree(tmp_path / "shared")
    assert kept(tmp_path / "back") == wanted
    git(tmp_path / "back", "fsck", "--strict")
    assert git(tmp_path / "back", "remote") == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user(journal, root, tmp_path):
    (root / "train.py").write_text("print(3)\n")
    repository(root / "lib", {"lib.py": "x\n"})
    commands(root, "git add lib && git commit -qm lib")
    (root / "lib" / "lib.py").write_text("y\n")
    wanted = kept(root)
    subprocess.run(["chown", "-R", "12345:12345", root], check=True)
    version = captured(root, tmp_path / "s" / "x")
    assert version.document["kind"] == "git"
    assert set(version.document["submodules"]) == {"lib"}
    document = put(journal, version)
    result = restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert (result.source, result.inexact) == (str(root), ())
    assert kept(tmp_path / "back") == wanted


def test_a_damaged_or_missing_blob_is_said(document, journal, root, tmp_path):
    document["pack"] = "0" * 64
    result = restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert [one["path"] for one in result.inexact] == ["train.py"]
    assert (tmp_path / "back" / "keep.py").exists()


def test_git_variables_of_the_caller_change_nothing(document, journal, root, tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert captured(root, tmp_path / "s2" / "x").document == document
    restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert (tmp_path / "back" / "train.py").read_bytes() == CONTENT
    remote = document | {"remote": f"file://{root}"}
    restore(journal, remote, str(tmp_path / "back2"), [], print)
    assert (tmp_path / "back2" / "train.py").read_bytes() == CONTENT
    assert os.environ["GIT_DIR"] == str(tmp_path / "elsewhere")


def test_lines_end_as_they_did(journal, root, tmp_path):
    commands(root, "git config core.autocrlf true && rm -r *.py a && git checkout -q .")
    assert (root / "train.py").read_bytes() == b"print(1)\r\n"
    (root / "keep.py").write_bytes(b"changed\r\n")
    version = captured(root, tmp_path / "s" / "x")
    restore(journal, put(journal, version), str(tmp_path / "back"), [str(root)], print)
    assert kept(tmp_path / "back") == kept(root)
    assert captured(tmp_path / "back", tmp_path / "s2" / "x").fingerprint == version.fingerprint


def test_submodules_that_are_put_by_come_back(journal, root, tmp_path):
    library = repository(tmp_path / "library", {"lib.py": "x = 1\n"})
    commands(root, f"git -c protocol.file.allow=always submodule -q add file://{library} lib && git commit -qam lib")
    (root / "lib" / "lib.py").write_text("x = 2\n")
    version = captured(root, tmp_path / "s" / "x")
    document = put(journal, version)
    assert document["submodules"]["lib"]["remote"] == f"file://{library}"
    before, wanted = gits(root), kept(root)
    result = restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert gits(root) == before
    assert (kept(tmp_path / "back"), result.inexact) == (wanted, ())
    assert captured(tmp_path / "back", tmp_path / "s2" / "x").fingerprint == version.fingerprint
    commands(root, "git submodule -q deinit -f lib")
    shutil.rmtree(library)
    result = restore(journal, document, str(tmp_path / "back2"), [str(root)], print)
    assert (kept(tmp_path / "back2"), result.inexact) == (wanted, ())


def test_a_submodule_that_is_nowhere_is_said_and_the_rest_comes_back(journal, root, tmp_path):
    repository(root / "lib", {"lib.py": "x\n"})
    commands(root, "git add lib && git commit -qm lib")
    document = put(journal, captured(root, tmp_path / "s" / "x"))
    shutil.rmtree(root / "lib")
    result = restore(journal, document, str(tmp_path / "back"), [str(root)], print)
    assert [one["path"] for one in result.inexact] == ["lib/"]
    assert (tmp_path / "back" / "train.py").exists()


def test_without_git_the_files_come_back(journal, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "train.py").write_text("import helper\n")
    (tmp_path / "p" / "helper.py").write_text("x = 1\n")
    document = put(journal, captured(tmp_path / "p", tmp_path / "s" / "x"))
    assert document["kind"] == "files"
    result = restore(journal, document, str(tmp_path / "back"), [], print)
    assert tree(tmp_path / "back") == tree(tmp_path / "p")
    assert (result.source, result.inexact) == ("", ())


# -- the command -------------------------------------------------------------------------------------------------------


def test_checkout_brings_a_trial_back(root, tmp_path, journal_uri):
    (root / "new.py").write_text("n = 1\n")
    kleio(PYTHON, "train.py", cwd=root, check=0)
    wanted = kept(root)
    (root / "new.py").write_text("n = 2\n")
    (trial,) = trials()
    done = kleio("checkout", trial["id"][:7], cwd=root, check=0)
    place = tmp_path / f"project-{trial['id'][:7]}"  # beside the project: inside it would be a repository in a repository
    assert done.stdout == f"{place}\n"
    assert kept(place) == wanted
    assert str(root) in done.stderr
    assert "not empty" in kleio("checkout", trial["id"][:7], cwd=root, check=1).stderr
    found = json.loads(kleio("checkout", "--json", "last", tmp_path / "x", cwd=tmp_path, check=0).stdout)
    assert found == {
        "trial": trial["id"], "directory": str(tmp_path / "x"), "source": str(root), "exact": True, "inexact": [],
    }  # fmt: skip
    assert kept(tmp_path / "x") == wanted


def test_checkout_says_what_is_not_as_it_was(root, tmp_path):
    (root / "large.npy").write_bytes(bytes(11 << 20))
    kleio(PYTHON, "train.py", cwd=root, check=0)
    done = kleio("checkout", "last", tmp_path / "x", cwd=root, check=0)
    assert "NOT as it was: large.npy" in done.stderr
    kleio("checkout", "--exact", "last", tmp_path / "y", cwd=root, check=1)
    assert (tmp_path / "y" / "train.py").exists()


def test_checkout_without_any_code_says_so(tmp_path):
    kleio("true", cwd=tmp_path, check=0)
    assert "no script of its own" in kleio("checkout", "last", cwd=tmp_path, check=1).stderr
    assert list(tmp_path.glob("*-*")) == []
    assert "code" in info("last")


DAMAGE = (
    [("left_out", "abc"), ("left_out", [1]), ("left_out", [{"path": "x"}]), ("config", 7), ("changes", {"a": [1, 2, 3, 4]}),
     ("changes", []), ("kind", "x"), ("submodules", {"lib": 3}), ("commit", ["x"]), ("untracked", "x")]
)  # fmt: skip


def test_a_damaged_document_is_said_in_one_line(root, home, monkeypatch):
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{home}/damaged.db")
    monkeypatch.chdir(root)
    kleio("true", check=0)
    (trial,) = trials()
    with contextlib.closing(sqlite3.connect(home / "damaged.db")) as connection:
        digest = trial["code"]["document"]
        (body,) = connection.execute("SELECT body FROM documents WHERE digest = ?", (digest,)).fetchone()
        for name, value in DAMAGE:
            with connection:
                damaged = json.dumps(json.loads(body) | {name: value})
                connection.execute("UPDATE documents SET body = ? WHERE digest = ?", (damaged, digest))
            one_line_of_the_damage(trial["id"], name, value)


def one_line_of_the_damage(trial, name, value):
    assert "damaged" in printed("info", trial)
    for command in ("checkout", "diff", "script"):
        with pytest.raises(KleioError, match="damaged") as told:
            printed(command, trial)
        assert len(told.value.lines) == told.value.reading == 1
    (said,) = kleio("exec", "--code", "recorded", trial, check=125).stderr.splitlines()
    assert "damaged" in said
