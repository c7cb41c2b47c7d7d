"""What files of two code versions hold, how they differ, and patches that git takes."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest
from versions import commit, git, put, recorded, repository, tree, write

from kleio.core import linediff
from kleio.core.filechanges import FileChange, changed_files, patch, summary, unseen
from kleio.core.journal import open_journal
from kleio.core.sourcefiles import UnknownContents, Version

ODD = os.fsdecode(b"na\xefve.py")


@pytest.fixture
def journal(journal_uri):
    opened = open_journal(journal_uri)
    yield opened
    opened.close()


@pytest.fixture
def here(tmp_path):
    return tmp_path / "project"


@pytest.fixture
def version(journal, here, tmp_path):
    """The work tree as it stands, recorded."""
    return lambda **more: Version(journal, recorded(journal, here, tmp_path / "scratch", **more), str(here))


def changes(before, after, counts=None):
    return {one.path: (one.kind, one.added, one.removed) for one in changed_files(before, after, counts)}


def test_a_file_is_read_from_the_pack_the_blobs_and_the_commit(version, here):
    big = random.Random(1).randbytes(3 << 20)
    repository(here, {"committed.py": "one\n", "gone.py": "x\n", "run.sh": (0o755, "#!/bin/sh\n"), "old": Path("committed.py")})
    write(here, {"new.py": "new\n", "same.py": "new\n", "empty": "", "big.bin": big, "gone.py": None, "link": Path("new.py")})
    seen = version()
    assert seen.file("committed.py") == ("100644", b"one\n")
    assert seen.file("run.sh") == ("100755", b"#!/bin/sh\n")
    assert seen.file("old") == ("120000", b"committed.py")
    assert seen.file("new.py") == seen.file("same.py") == ("100644", b"new\n")
    assert seen.file("empty") == ("100644", b"")
    assert seen.file("big.bin") == ("100644", big)
    assert seen.file("link") == ("120000", b"new.py")
    assert seen.file("gone.py") is None
    assert seen.file("never.py") is None


def test_what_a_commit_that_is_not_here_holds_is_unknown(version, journal, here, tmp_path):
    repository(here, {"a.py": "one\n", "b.py": "two\n"})
    write(here, {"a.py": "changed\n"})
    elsewhere = Version(journal, version().document, str(tmp_path))
    assert elsewhere.file("a.py") == ("100644", b"changed\n")
    with pytest.raises(UnknownContents):
        elsewhere.file("b.py")


def test_every_kind_of_change_is_told(version, here):
    repository(here, {
        "same.py": "1\n", "edit.py": "1\n2\n3\n", "gone.py": "1\n2\n", "run.sh": "echo\n", "kind": "text\n",
        "data.bin": b"\0\1", "undone.py": "1\n",
    })  # fmt: skip
    write(here, {"undone.py": "2\n"})
    before = version()
    write(here, {
        "edit.py": "1\n2b\n3\n4\n", "gone.py": None, "run.sh": (0o755, "echo\n"), "kind": Path("same.py"), "data.bin": b"\0\2",
        "undone.py": "1\n", "new.py": "1\n2\n",
    })  # fmt: skip
    after = version()
    assert changed_files(before, after) == [
        FileChange("data.bin", "modified", None, None, True),
        FileChange("edit.py", "modified", 2, 1),
        FileChange("gone.py", "removed", 0, 2),
        FileChange("kind", "modified", 1, 1),
        FileChange("new.py", "added", 2, 0),
        FileChange("run.sh", "mode"),
        FileChange("undone.py", "modified", 1, 1),
    ]
    assert changed_files(after, after) == []


def test_a_commit_in_between_is_no_change(version, here):
    large = b"x" * (2 << 20)
    repository(here, {"a.py": "1\n", "b.py": "1\n"})
    write(here, {"a.py": "2\n", "new.py": "n\n", "large": large, "link": Path("a.py")})
    before = version()
    commit(here)
    write(here, {"b.py": "2\n"})
    after = version()
    assert before.commit != after.commit
    assert changes(before, after) == {"b.py": ("modified", 1, 1)}
    write(here, {"large": large[:-1] + b"y"})
    assert changes(before, version())["large"] == ("modified", None, None)


def test_files_that_differ_only_by_commit_are_told(version, here):
    repository(here, {"a.py": "1\n", "b.py": "1\n", "c.py": "1\n"})
    before = version()
    write(here, {"a.py": "2\n", "b.py": None, "d.py": "1\n"})
    commit(here)
    assert changes(before, version()) == {"a.py": ("modified", 1, 1), "b.py": ("removed", 0, 1), "d.py": ("added", 1, 0)}


def test_a_commit_that_is_not_here_is_said(version, journal, here, tmp_path):
    repository(here, {"a.py": "1\n"})
    write(here, {"a.py": "2\n"})
    before = version()
    foreign = Version(journal, dict(before.document, commit="1" * 40), str(here))
    assert changes(before, foreign) == {}  # both know this file: it is the same
    assert "111111111111 is not in a repository here" in unseen(before, foreign)[0]
    clean = Version(journal, dict(before.document, commit="1" * 40, changes={}), str(here))
    assert changes(before, clean) == {"a.py": ("unknown", None, None)}
    assert unseen(before, before) == []


def test_no_word_of_a_document_becomes_an_option_of_git(journal, here):
    repository(here, {"a.py": "1\n"})
    assert Version(journal, {"commit": "--output=/tmp/x"}, str(here)).tree is None


def test_outside_git(version, here):
    write(here, {"a.py": "1\n", "b.py": "1\n"})
    before = version(kind="files", commit=None)
    write(here, {"a.py": "1\n2\n", "b.py": None})
    assert changes(before, version(kind="files", commit=None)) == {"a.py": ("modified", 1, 0), "b.py": ("removed", 0, 1)}


def test_only_what_counts(version, here):
    repository(here, {"a.py": "1\n", "tracked.bin": "1\n"})
    before = version()
    write(here, {"a.py": "2\n", "tracked.bin": "2\n", "new.bin": "1\n", "new.py": "1\n"})
    found = changes(before, version(), lambda path, tracked: tracked or path.endswith(b".py"))
    assert set(found) == {"a.py", "new.py", "tracked.bin"}


def test_changes_in_submodules_carry_their_path(version, here, tmp_path):
    repository(tmp_path / "library", {"lib.py": "1\n"})
    repository(here, {"a.py": "1\n"})
    git(here, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "library"), "sub")
    commit(here)
    before = version(submodules=["sub"])
    write(here / "sub", {"lib.py": "2\n", "more.py": "1\n"})
    after = version(submodules=["sub"])
    assert changes(before, after) == {"sub/lib.py": ("modified", 1, 1), "sub/more.py": ("added", 1, 0)}
    assert "diff --git a/sub/lib.py b/sub/lib.py\n" in patch(before, after)
    commit(here / "sub")
    assert changes(before, version(submodules=["sub"])) == changes(before, after)
    git(here, "rm", "-q", "-f", "sub")
    commit(here)
    assert changes(after, version())["sub"] == ("modified", None, None)


def test_what_was_left_out_is_compared_as_far_as_it_is_known(version, here):
    repository(here)
    left = {"path": "data.bin", "size": 10, "time": 5.0, "why": "too large"}
    before = version(left_out=[left])
    assert changes(before, version(left_out=[left])) == {}
    assert changes(before, version(left_out=[left | {"size": 11}])) == {"data.bin": ("modified", None, None)}
    assert changes(before, version(left_out=[left | {"time": 6.0}])) == {"data.bin": ("unknown", None, None)}
    assert changes(before, version()) == {"data.bin": ("removed", None, None)}


def test_a_damaged_blob_is_not_taken_for_the_file(version, journal, here, tmp_path):
    repository(here)
    write(here, {"a.py": "1\n"})
    document = version().document
    document["pack"] = put(journal, tmp_path / "scratch", b"?\n")
    with pytest.raises(UnknownContents):
        Version(journal, document, str(here)).file("a.py")


# -- in words --------------------------------------------------------------------------------------------------------


def test_the_summary_fits_a_line():
    found = [
        FileChange("train.py", "modified", 3, 1), FileChange("model/net.py", "added", 40, 0),
        FileChange("data/a.bin", "modified", None, None, True), FileChange("b.bin", "added", None, None, True),
        FileChange("run.sh", "mode"), FileChange("x", "removed", 0, 2), FileChange("y", "unknown"),
    ]  # fmt: skip
    assert summary(found[:3]) == "train.py (+3 \N{MINUS SIGN}1), model/net.py (new, +40), data/a.bin (binary)"
    assert summary(found[3:]) == "b.bin (new, binary), run.sh (mode), x (removed), y (not known here)"
    assert summary(found).endswith("run.sh (mode) and 2 more")


# -- patches ---------------------------------------------------------------------------------------------------------


def applied(text, where, *options):
    done = subprocess.run(
        ["git", "apply", *options], cwd=where, input=text.encode("utf-8", "surrogateescape"), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_git_applies_the_patch_forwards_and_backwards(version, here, tmp_path):
    names = ["plain.py", "with space.py", 'quo"te\\.py', "tab\tnew\nline.py", "näme.py", ODD, "deep/er/file.py"]
    text = "".join(f"line {number}\n" for number in range(60))
    start = dict.fromkeys(names, text) | {
        "run.sh": "echo\n", "tail": "no newline", "gone me": "x\n", "kind": "text\n", "was": Path("old target"), "empty": "",
        "latin": "caf\xe9\n".encode("latin-1"), "crlf": b"a\r\nb\r\n",
    }  # fmt: skip
    repository(here, start)
    before, old = version(), tree(here)
    write(here, {name: text.replace("line 7\n", "seven\n").replace("line 40\n", "") for name in names})
    write(here, {
        "run.sh": (0o755, "echo\n"), "tail": "still none", "gone me": None, "kind": Path("plain.py"), "was": Path("new"),
        "new empty": "", "new.sh": (0o755, "a\nb"), "link me": Path("plain.py"), "empty": None, "latin": b"caf\xe9\n\xe8\n",
        "crlf": b"a\r\nb2\r\n",
    })  # fmt: skip
    after, new = version(), tree(here)
    copy = tmp_path / "copy"
    write(copy, {name: (0o755 if mode == "100755" else 0o644, data) for name, (mode, data) in old.items() if mode != "120000"})
    write(copy, {name: Path(os.fsdecode(data)) for name, (mode, data) in old.items() if mode == "120000"})
    applied(patch(before, after), copy)
    assert tree(copy) == new
    applied(patch(before, after), copy, "-R")
    assert tree(copy) == old


@pytest.mark.parametrize("seed", range(20))
def test_git_applies_any_hunks(seed, tmp_path):
    """Random edits of random lines: hunks that touch, overlap in context, begin and end a file, with and without newline."""
    dice = random.Random(seed)
    old = [b"%d\n" % dice.randrange(30) for _ in range(dice.randrange(1, 80))]
    new = list(old)
    for _ in range(dice.randrange(1, 12)):
        at = dice.randrange(len(new) + 1)
        new[at : at + dice.randrange(4)] = [b"%d\n" % dice.randrange(30) for _ in range(dice.randrange(4))]
    for lines in (old, new):
        if lines and dice.random() < 0.5:
            lines[-1] = lines[-1].rstrip()
    write(tmp_path, {"file": b"".join(old)})
    hunks = b"".join(line for hunk in linediff.hunks(old, new) for line in hunk)
    applied("diff --git a/file b/file\n--- a/file\n+++ b/file\n" + hunks.decode() if hunks else "", tmp_path, "--allow-empty")
    assert (tmp_path / "file").read_bytes() == b"".join(new)
    added, removed = linediff.counts(old, new)
    assert added - removed == len(new) - len(old)


def test_a_patch_of_a_long_file_holds_only_what_changed():
    old = [b"%d\n" % number for number in range(5000)]
    new = old[:500] + old[600:3000] + [b"new\n"] * 50 + old[3000:]
    new[4000] = b"other\n"
    assert [len(hunk) for hunk in linediff.hunks(old, new)] == [1 + 6 + 100, 1 + 6 + 50, 1 + 6 + 2]


def test_binary_files_and_chosen_paths(version, here):
    repository(here, {"a.bin": b"\0", "b.py": "1\n"})
    before = version()
    write(here, {"a.bin": b"\0\1", "b.py": "2\n", "c.py": "1\n"})
    after = version()
    assert "Binary files a/a.bin and b/a.bin differ\n" in patch(before, after)
    assert patch(before, after, ["c.py"]).startswith("diff --git a/c.py b/c.py\nnew file mode 100644\nindex 0000000..d00491f\n")
    assert "b.py" not in patch(before, after, ["c.py"])


def test_git_applies_binary_files_too_when_asked(version, here):
    dice = random.Random(2)
    repository(here, {"a.bin": b"\0\1", "gone.bin": dice.randbytes(1000), "b.py": "1\n"})
    before, old = version(), tree(here)
    write(here, {"a.bin": dice.randbytes(70_001), "gone.bin": None, "new.bin": b"\0", "b.py": "2\n"})
    after, new = version(), tree(here)
    applied(patch(before, after, binary=True), here, "-R")
    assert tree(here) == old
    applied(patch(before, after, binary=True), here)
    assert tree(here) == new


def test_no_pair_of_files_takes_long(version, here):
    """difflib alone takes minutes for these."""
    dice = random.Random(3)
    ordered = [f"{number}\n" for number in range(19_000)]
    shuffled = dice.sample(ordered, len(ordered))
    pairs = [dice.choices("xy", k=19_000) for _ in range(2)]
    repository(here, {"a": "".join(ordered), "b": "\n".join(pairs[0]), "long": "\n" * 30_000})
    before = version()
    write(here, {"a": "".join(shuffled), "b": "\n".join(pairs[1]), "long": "\n" * 30_001})
    started = time.process_time()
    found = changed_files(before, version())
    assert time.process_time() - started < 5
    assert [(one.path, one.binary) for one in found] == [("a", False), ("b", False), ("long", True)]
