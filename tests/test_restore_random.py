"""Hundreds of repositories in every state: captured, and brought back into an empty directory, equal in every file, mode
and link; and the user's repository has not changed by a byte.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess

import pytest
from repositories import OWN, captured, commands, git, gits, kept, put

from kleio.core.journal import open_journal
from kleio.core.restore import restore

CASES = 150
NAMES = [b"plain.py", b"with space.txt", b'quo"te.py', b"new\nline.py", b"back\\slash.txt", b"-dash.py", "ünïcødé.py".encode(),
         b"\xff\xfe.py", b"tab\t.py", b" lead", b"trail ", "😀.yaml".encode(), b"data.bin", b"UPPER.PY", b"README.md",
         b"carriage\r", b"a", b"--upload-pack=x", b":(top)x.py", b"*.py", b"#x.py"]  # fmt: skip
TARGETS = [b"nowhere", b"/etc/passwd", b"dir", b"plain.py", b"../..", b"\xff", b"a b\nc"]
PLACES = [b"", b"", b"dir/", b"di r/deep/", b"docs/", b"\xe9dir/", b"a.d/b/c/", b"-x/"]


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    opened = open_journal(f"sqlite:///{tmp_path_factory.mktemp('journal')}/journal.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """What submodules are made of: a repository with two commits."""
    place = tmp_path_factory.mktemp("library")
    (place / "lib.py").write_text("x = 1\n")
    (place / "tool.sh").write_text("echo\n")
    (place / ".gitignore").write_text("*.ignored\n")
    commands(place, "git init -q -b main . && git add -A && git commit -qm 1 && echo 2 > lib.py && git commit -qam 2")
    return place


class Case:
    """A work tree to play with. Paths are bytes."""

    def __init__(self, seed, root, library):
        self.chance = random.Random(seed)
        self.root, self.library = os.fsencode(root), library
        self.files = []

    def full(self, path):
        return os.path.join(self.root, path)

    def git(self, *words, **how):
        words = [os.fsencode(word) for word in words]
        environment = os.environ | OWN | {"GIT_LITERAL_PATHSPECS": "1"}
        subprocess.run([b"git", b"-C", self.root, *words], capture_output=True, env=environment, **how)

    def name(self):
        return self.chance.choice(PLACES) + self.chance.choice(NAMES)

    def content(self):
        kind = self.chance.randrange(9)
        if kind == 0:
            return b""
        if kind == 1:
            return self.chance.randbytes(self.chance.randrange(2000))
        if kind == 2:
            return b"one\r\ntwo\r\n" * self.chance.randrange(9)
        if kind == 3 and self.chance.random() < 0.3:
            return self.chance.randbytes(self.chance.choice([256 << 10, (256 << 10) + 1, 1_200_000]))
        return b"value = %d\n" % self.chance.randrange(50)

    def write(self, path, content=None, link=False):
        """A file or link at ``path``, whatever was there or in its way."""
        full = self.full(path)
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            above = self.full(b"/".join(parts[:count]))
            if os.path.lexists(above) and (os.path.islink(above) or not os.path.isdir(above)):
                os.unlink(above)
        self.remove(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if link:
            os.symlink(self.chance.choice(TARGETS), full)
        else:
            with open(full, "wb") as file:
                file.write(self.content() if content is None else content)
            os.chmod(full, self.chance.choice([0o644, 0o644, 0o755, 0o600]))
        self.files.append(path)

    def remove(self, path):
        full = self.full(path)
        if os.path.islink(full) or os.path.isfile(full):
            os.unlink(full)
        elif os.path.isdir(full) and path not in (b"", b".") and not os.path.lexists(os.path.join(full, b".git")):
            shutil.rmtree(full)

    def any(self):
        there = [one for one in self.files if os.path.lexists(self.full(one)) and not os.path.isdir(self.full(one))]
        return self.chance.choice(there) if there else b"plain.py"

    def first(self):
        self.write(b".gitignore", b"*.ignored\nignored/\n")
        for _ in range(self.chance.randrange(2, 8)):
            self.write(self.name(), link=self.chance.random() < 0.2)
        kind = ["--object-format=sha256"] if self.chance.random() < 0.06 else []
        self.git("init", "-q", "-b", "main", ".", *kind)
        if self.chance.random() < 0.9:
            self.git("add", "-A")
            self.git("commit", "-qm", "first")

    # -- changes, each one that somebody makes -------------------------------------------------------------------

    def modify(self):
        path = self.any()
        if not os.path.islink(self.full(path)):
            self.write(path)

    def stage(self):
        path = self.any()
        self.write(path)
        self.git("add", "--", path)

    def stage_then_modify(self):
        path = self.any()
        self.write(path, b"staged\n")
        self.git("add", "--", path)
        self.write(path)

    def delete(self):
        self.remove(self.any())

    def delete_staged(self):
        self.git("rm", "-qf", "--", self.any())

    def delete_from_the_index(self):
        self.git("rm", "-q", "--cached", "--", self.any())

    def rename(self):
        new = self.name()
        if not os.path.lexists(os.path.dirname(self.full(new))):
            os.makedirs(os.path.dirname(self.full(new)))
        self.git("mv", "-f", "--", self.any(), new)
        self.files.append(new)

    def untracked(self):
        self.write(self.name(), link=self.chance.random() < 0.2)

    def duplicate(self):
        self.write(self.name(), b"the same in many places\n")

    def add(self):
        path = self.name()
        self.write(path, link=self.chance.random() < 0.2)
        self.git("add", "--", path)

    def add_then_delete(self):
        path = b"new/" + self.name()
        self.write(path)
        self.git("add", "--", path)
        self.remove(path)

    def intend(self):
        path = self.name()
        self.write(path)
        self.git("add", "-N", "--", path)

    def ignore(self):
        self.write(b"ignored/" + self.name())
        self.write(b"x.ignored")

    def track_an_ignored(self):
        path = b"forced.ignored"
        self.write(path)
        self.git("add", "-f", "--", path)

    def flip(self):
        full = self.full(self.any())
        if os.path.isfile(full) and not os.path.islink(full):
            os.chmod(full, os.stat(full).st_mode ^ 0o111)

    def to_link(self):
        self.write(self.any(), link=True)

    def to_file(self):
        self.write(self.any())

    def to_directory(self):
        path = self.any()
        self.remove(path)
        self.write(path + b"/" + self.chance.choice(NAMES))

    def directory_to_file(self):
        path = os.path.dirname(self.any())
        if path:
            self.write(path.split(b"/")[0], link=self.chance.random() < 0.4)

    def link_to_the_tree(self):
        self.write(b"link", link=True)

    def hide(self):
        path = self.any()
        self.git("update-index", "--assume-unchanged", "--", path)
        self.write(path)

    def skip(self):
        path = self.any()
        self.git("update-index", "--skip-worktree", "--", path)
        self.remove(path)

    def stash(self):
        self.git("stash", "-q")

    def conflict(self):
        self.write(b"both.py", b"base\n")
        self.git("add", "--", b"both.py")
        self.git("commit", "-qm", "both")
        self.git("checkout", "-q", "-b", "side")
        self.write(b"both.py", b"theirs\n")
        self.write(b"theirs.dat", b"theirs\n")
        self.git("add", "--", b"both.py", b"theirs.dat")
        self.git("commit", "-qm", "side")
        self.git("checkout", "-q", "main")
        self.write(b"both.py", b"ours\n")
        self.git("commit", "-qm", "ours", "--", b"both.py")
        self.git("merge", "-q", "side")

    def submodule(self):
        path = self.chance.choice([b"sub", b"dir/sub dir", b"\xffsub"])
        if os.path.lexists(self.full(path)):
            return
        if os.path.lexists(os.path.dirname(self.full(path))) and not os.path.isdir(os.path.dirname(self.full(path))):
            return
        shutil.copytree(os.fsencode(self.library), self.full(path), symlinks=True)
        self.git("add", "--", path)
        self.write(b".gitmodules", b'[submodule "s"]\n\tpath = %s\n\turl = ../library\n' % path)
        if self.chance.random() < 0.8:
            self.git("add", ".gitmodules")
            self.git("commit", "-qm", "with a submodule")
        inside = Case(self.chance.random(), os.fsdecode(self.full(path)), self.library)
        inside.chance, inside.files = self.chance, [b"lib.py", b"tool.sh"]
        inside.play(self.chance.randrange(4), CHANGES)
        if self.chance.random() < 0.4:
            inside.git("commit", "-qam", "of its own")
        if self.chance.random() < 0.2:
            inside.git("checkout", "-q", "--detach", "HEAD~")

    def play(self, count, changes):
        for _ in range(count):
            self.chance.choice(changes)(self)


CHANGES = [Case.modify, Case.stage, Case.stage_then_modify, Case.delete, Case.delete_staged, Case.delete_from_the_index,
           Case.rename, Case.untracked, Case.untracked, Case.duplicate, Case.add, Case.add_then_delete, Case.intend,
           Case.ignore, Case.track_an_ignored, Case.flip, Case.to_link, Case.to_file, Case.to_directory,
           Case.directory_to_file, Case.link_to_the_tree, Case.hide, Case.skip]  # fmt: skip
RARE = [Case.conflict, Case.submodule, Case.submodule, Case.stash]


def build(seed, place, library):
    """(root, working directory) of a repository in a random state."""
    os.mkdir(place / "here")
    case = Case(seed, place / "here", library)
    case.first()
    case.play(case.chance.randrange(3), CHANGES)
    if case.chance.random() < 0.35:
        case.play(1, RARE)
    if case.chance.random() < 0.15:
        case.git("checkout", "-q", "--detach")
    if case.chance.random() < 0.12:
        case.git("worktree", "add", "-q", "-f", os.path.join(os.fsencode(place), b"linked"), "HEAD")
        if os.path.exists(place / "linked"):
            case.root = os.fsencode(place / "linked")
    case.play(case.chance.randrange(1, 7), CHANGES)
    places = [one.path for one in os.scandir(case.root) if one.is_dir(follow_symlinks=False) and one.name != b".git"]
    inside = [one for one in places if not os.path.lexists(os.path.join(one, b".git"))]
    cwd = case.chance.choice(inside) if inside and case.chance.random() < 0.3 else case.root
    return os.fsdecode(case.root), os.fsdecode(cwd)


@pytest.mark.parametrize("seed", range(CASES))
def test_what_was_captured_comes_back(seed, tmp_path, journal, library):
    root, cwd = build(seed, tmp_path, library)
    wanted, before = kept(root), gits(tmp_path)
    version = captured(root, tmp_path / "s1" / "x", cwd=cwd)
    document = put(journal, version)
    assert gits(tmp_path) == before, f"seed {seed}: capturing changed the repository"
    assert version.root == root
    strangers = {os.fsencode(one["path"]) for one in every_left_out(document)}
    wanted = {name: one for name, one in wanted.items() if not any(name.startswith(other + b"/") for other in strangers)}
    assert bool(version.remarks) == bool(strangers), f"seed {seed}: {version.remarks}"
    result = restore(journal, document, str(tmp_path / "back"), [root], print)
    there = kept(tmp_path / "back")
    assert there == wanted, f"seed {seed}: {describe(there, wanted)}"
    assert {os.fsencode(one["path"].rstrip("/")) for one in result.inexact} == strangers, f"seed {seed}"
    shutil.move(tmp_path / "back", tmp_path.parent / f"{tmp_path.name}-back")
    assert gits(tmp_path) == before, f"seed {seed}: restoring changed the repository"
    again = captured(tmp_path.parent / f"{tmp_path.name}-back", tmp_path / "s2" / "x")
    assert again.fingerprint == version.fingerprint, f"seed {seed}: {git(root, 'status', '--porcelain=v2', '-z')}"


def every_left_out(document, prefix=""):
    """Untracked repositories, the one thing here that is not kept."""
    assert {one["why"] for one in document["left_out"]} <= {"a repository of its own"}
    own = [one | {"path": prefix + one["path"].rstrip("/")} for one in document["left_out"]]
    return own + [one for path, inner in document["submodules"].items() for one in every_left_out(inner, f"{prefix}{path}/")]


def describe(there, wanted):
    return {name: (there.get(name), wanted.get(name)) for name in there.keys() | wanted.keys()
            if there.get(name) != wanted.get(name)}  # fmt: skip
