"""Commits that are not pushed: what leads to them is in the journal, and they come back from it."""

from __future__ import annotations

import os
import shutil

import pytest
from repositories import captured, commands, git, gits, kept, put, repository

from kleio.core import history, redact
from kleio.core.errors import KleioError
from kleio.core.journal import open_journal
from kleio.core.restore import restore

TOKEN = "hf_" + "aB3" * 12
PATIENCE = 600.0
"""As all tests have it: a busy machine is slow."""


@pytest.fixture
def journal(home):
    opened = open_journal(f"sqlite:///{home}/journal.db")
    yield opened
    opened.close()


@pytest.fixture
def remote(tmp_path):
    """A repository to push to, which has one commit, and the address of it."""
    first = repository(tmp_path / "first", {"train.py": "print(1)\n", "data.csv": "1,2\n" * 1000})
    git(tmp_path, "clone", "-q", "--bare", first, tmp_path / "remote.git")
    return f"file://{tmp_path}/remote.git"


@pytest.fixture
def clone(tmp_path, remote):
    git(tmp_path, "clone", "-q", remote, tmp_path / "clone")
    return tmp_path / "clone"


def commit(root, name, content):
    (root / name).write_text(content)
    commands(root, f"git add -A && git commit -qm '{name}'")
    return git(root, "rev-parse", "HEAD").decode().strip()


def gathered(root, journal, tmp_path, limit=100 << 20):
    """Capture and gather as a launch does, and put all of it into the journal."""
    version = captured(root, tmp_path / "scratch" / "x")
    document = put(journal, version)
    place = tmp_path / "gathered"
    place.mkdir(exist_ok=True)
    found = history.gather(str(root), document, str(place), lambda key: journal.document(key) is not None, limit, PATIENCE)
    for digest, path in found.blobs.items():
        journal.put_blob(digest, path)
    for key, one in found.documents.items():
        journal.put_document(key, one)
    return document, found


def back(journal, document, tmp_path, at_hand=()):
    return restore(journal, document, str(tmp_path / "back"), at_hand, print)


def test_a_pushed_commit_comes_from_the_remote(clone, journal, tmp_path, remote):
    (clone / "train.py").write_text("print(2)\n")
    document, found = gathered(clone, journal, tmp_path)
    assert [(one["pushed"], one["pack"]) for one in found.documents.values()] == [(True, None)]
    wanted = kept(clone)
    shutil.rmtree(clone)
    result = back(journal, document, tmp_path)
    assert (result.source, result.inexact) == (remote, ())
    assert kept(tmp_path / "back") == wanted


def test_unpushed_commits_come_from_the_journal_on_top_of_the_remote(clone, journal, tmp_path, remote):
    pushed = git(clone, "rev-parse", "HEAD").decode().strip()
    commit(clone, "a.py", "a\n")
    second = commit(clone, "b.py", "b\n")
    (clone / "b.py").write_text("changed\n")
    before, wanted = gits(clone), kept(clone)
    document, found = gathered(clone, journal, tmp_path)
    assert gits(clone) == before
    (one,) = found.documents.values()
    assert (one["commit"], one["pushed"], one["base"]) == (second, False, pushed)
    assert one["size"] < 2000, "only what leads from the pushed commit to this one"
    shutil.rmtree(clone)
    result = back(journal, document, tmp_path)
    assert remote in result.source
    assert "journal" in result.source
    assert kept(tmp_path / "back") == wanted
    assert git(tmp_path / "back", "log", "--format=%s").decode().split() == ["b.py", "a.py", "first"]


def test_a_commit_builds_on_one_that_is_kept_already(clone, journal, tmp_path):
    gathered(clone, journal, tmp_path)
    first = commit(clone, "a.py", "a\n" * 5000)
    gathered(clone, journal, tmp_path)
    second = commit(clone, "b.py", "b\n")
    document, found = gathered(clone, journal, tmp_path)
    (one,) = found.documents.values()
    assert (one["commit"], one["base"]) == (second, first)
    assert gathered(clone, journal, tmp_path)[1] == history.Found()
    wanted = kept(clone)
    shutil.rmtree(clone)
    back(journal, document, tmp_path)
    assert kept(tmp_path / "back") == wanted


def test_without_a_remote_the_files_of_the_commit_are_kept_without_its_history(journal, tmp_path):
    root = repository(tmp_path / "p", {"train.py": "print(1)\n"})
    commit(root, "large.py", "x = 1\n" * 50_000)
    (root / "large.py").unlink()
    last = commit(root, "b.py", "b\n")
    document, found = gathered(root, journal, tmp_path)
    (one,) = found.documents.values()
    assert (one["commit"], one["base"], one["pushed"]) == (last, None, False)
    wanted = kept(root)
    shutil.rmtree(root)
    result = back(journal, document, tmp_path)
    assert result.inexact == ()
    assert kept(tmp_path / "back") == wanted
    assert git(tmp_path / "back", "log", "--format=%s").decode().split() == ["b.py"]
    git(tmp_path / "back", "fsck")


def test_a_secret_in_an_unpushed_commit_is_not_kept(journal, tmp_path, monkeypatch):
    found_in = {True: "a token", False: None}
    monkeypatch.setattr(redact, "secret_in", lambda path, content: found_in[TOKEN.encode() in content], raising=False)
    root = repository(tmp_path / "p", {"train.py": "print(1)\n", "login.py": f"TOKEN = '{TOKEN}'\n"})
    document, found = gathered(root, journal, tmp_path)
    (one,) = found.documents.values()
    assert [(left["path"], left["why"]) for left in one["left_out"]] == [("login.py", "it holds a token")]
    assert any("login.py" in remark for remark in found.remarks)
    shutil.rmtree(root)
    result = back(journal, document, tmp_path)
    assert [(left["path"], left["why"]) for left in result.inexact] == [("login.py", "it holds a token")]
    assert list(kept(tmp_path / "back")) == [b"train.py"]
    blobs = [path.read_bytes() for path in (tmp_path / "gathered").iterdir() if path.is_file()]
    assert not any(TOKEN.encode() in blob for blob in blobs)


def test_what_is_too_large_is_not_kept_and_said(journal, tmp_path):
    root = repository(tmp_path / "p", {"train.py": "print(1)\n"})
    document, found = gathered(root, journal, tmp_path, limit=10)
    assert [one["pack"] for one in found.documents.values()] == [None]
    assert found.blobs == {}
    assert any("push it" in remark for remark in found.remarks)
    shutil.rmtree(root)
    with pytest.raises(KleioError, match="is in no repository here, and no remote"):
        back(journal, document, tmp_path)
    assert not (tmp_path / "back").exists()


def test_what_is_far_too_large_is_decided_about_at_once_and_once(journal, tmp_path, monkeypatch):
    root = repository(tmp_path / "p", {"train.py": "print(1)\n", "data.bin": os.urandom(100_000)})
    monkeypatch.setattr(history, "_written", None)  # packing it is not even tried
    _, found = gathered(root, journal, tmp_path, limit=20_000)
    assert any("push it" in remark for remark in found.remarks)
    assert gathered(root, journal, tmp_path, limit=20_000)[1] == history.Found()


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """Makes a git that hangs for ever in one of its commands."""
    well = shutil.which("git")

    def make(word):
        (tmp_path / "bin").mkdir()
        text = f'#!/bin/sh\ncase " $* " in *" {word} "*) exec sleep 1000000;; esac\nexec {well} "$@"\n'
        (tmp_path / "bin" / "git").write_text(text)
        (tmp_path / "bin" / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return make


@pytest.mark.parametrize("word", ["rev-list", "--batch-check=%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)",
                                  "--batch", "pack-objects"])  # fmt: skip
def test_a_git_that_hangs_is_not_waited_for_and_tried_again(word, journal, tmp_path, monkeypatch, hanging):
    monkeypatch.setattr(history, "IN_ALL", 0.5)
    monkeypatch.setattr(history, "PATIENCE", 600.0)  # for each, which here are as slow as all together
    root = repository(tmp_path / "p")
    inner = repository(root / "lib", {"lib.py": "x = 1\n"})
    commands(root, "git add lib && git commit -qm lib")
    document = put(journal, captured(root, tmp_path / "s" / "x"))
    hanging(word)
    (tmp_path / "g").mkdir()
    found = history.gather(str(root), document, str(tmp_path / "g"), lambda key: False, 1 << 20)
    assert (found.documents, found.blobs) == ({}, {})
    assert all("tries again" in remark for remark in found.remarks)
    assert [place for place in (root, inner) if any(f"of {place}:" in one for one in found.remarks)] == [root, inner]


def test_what_takes_too_long_to_pack_is_remembered(journal, tmp_path, monkeypatch, hanging):
    monkeypatch.setattr(history, "PATIENCE", 0.3 / PATIENCE)
    root = repository(tmp_path / "p")
    hanging("pack-objects")
    _, found = gathered(root, journal, tmp_path)
    assert any("takes too long" in remark for remark in found.remarks)
    assert gathered(root, journal, tmp_path)[1] == history.Found()


def test_a_branch_of_another_remote_is_not_where_the_recorded_one_is_cloned_from(clone, journal, tmp_path):
    last = commit(clone, "a.py", "a\n")
    git(clone, "update-ref", "refs/remotes/fork/main", last)
    _, found = gathered(clone, journal, tmp_path)
    assert [one["pushed"] for one in found.documents.values()] == [False]


def test_submodules_have_histories_of_their_own(journal, tmp_path):
    root = repository(tmp_path / "p")
    inner = repository(root / "lib", {"lib.py": "x = 1\n"})
    commands(root, "git add lib && git commit -qm lib")
    (inner / "lib.py").write_text("x = 2\n")
    document, found = gathered(root, journal, tmp_path)
    assert len(found.documents) == 2
    wanted = kept(root)
    shutil.rmtree(root)
    result = back(journal, document, tmp_path)
    assert result.inexact == ()
    assert kept(tmp_path / "back") == wanted


def test_a_commit_that_is_gone_from_the_repository_is_said(journal, tmp_path):
    root = repository(tmp_path / "p")
    document = put(journal, captured(root, tmp_path / "s" / "x"))
    shutil.rmtree(root / ".git")
    commands(root, "git init -q")
    (tmp_path / "g").mkdir()
    found = history.gather(str(root), document, str(tmp_path / "g"), lambda key: False, 1 << 20, PATIENCE)
    assert (found.documents, found.blobs) == ({}, {})
    assert "could not be read" in found.remarks[0]
