"""Code documents made by hand after the contract, and trees to make them of."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from repositories import git

SMALL = 256 << 10


def repository(root: Path, files=None, **named) -> Path:
    """A repository with one commit of these files, paths to text or bytes."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    write(root, files or {})
    return commit(root)


def commit(root: Path) -> Path:
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "more")
    return root


def write(root: Path, files) -> None:
    """Files with these contents; None removes one, a tuple is (mode, contents), a Path a link to it."""
    for name, given in files.items():
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        mode, content = given if isinstance(given, tuple) else (0o644, given)
        if isinstance(content, Path):
            os.symlink(content, path)
        elif content is not None:
            with open(path, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            os.chmod(path, mode)


def tree(root) -> dict:
    """Path → (mode, contents) of every file under ``root`` but git's own."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        if b".git" in names:
            names.remove(b".git")
        for name in [*files, *(one for one in names if os.path.islink(os.path.join(directory, one)))]:
            path = os.path.join(directory, name)
            if name != b".git":
                found[os.fsdecode(os.path.relpath(path, os.fsencode(root)))] = _file(path)
    return found


def _file(path):
    if os.path.islink(path):
        return "120000", os.readlink(path)
    with open(path, "rb") as file:
        return ("100755" if os.stat(path).st_mode & 0o100 else "100644"), file.read()


def recorded(journal, root: Path, scratch: Path, submodules=(), **more) -> dict:
    """The code document of a work tree, its contents put into ``journal``."""
    head = git(root, "rev-parse", "-q", "--verify", "HEAD", check=False).decode().strip() or None
    before = committed(root, head) if head else {}
    now = {path: file for path, file in tree(root).items() if not path.startswith(tuple(f"{one}/" for one in submodules))}
    changes, pack = {}, b""
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) == now.get(path):
            continue
        mode, content = now.get(path, (None, b""))
        if mode is None:
            changes[path] = None
        elif mode == "120000":
            changes[path] = [mode, os.fsdecode(content), len(content), None]
        else:
            at = len(pack) if len(content) <= SMALL else None
            changes[path] = [mode, hashlib.sha256(content).hexdigest(), len(content), at]
            pack += content if at is not None else b""
            if at is None:
                put(journal, scratch, content)
    document = {"kind": "git", "commit": head, "branch": "main", "pushed": None, "remote": None, "dirty": bool(changes)}
    return document | {
        "fingerprint": "0" * 32, "changes": changes, "untracked": [path for path in changes if path not in before],
        "pack": put(journal, scratch, pack) if pack else None, "left_out": [],
        "submodules": {one: recorded(journal, root / one, scratch) for one in submodules},
    } | more  # fmt: skip


def committed(root, head) -> dict:
    found = {}
    for line in git(root, "ls-tree", "-r", "-z", head).split(b"\0"):
        if line and not line.startswith(b"160000"):
            facts, _, path = line.partition(b"\t")
            mode, _, name = facts.decode().split(" ")
            found[os.fsdecode(path)] = (mode, git(root, "cat-file", "blob", name))
    return found


def put(journal, scratch: Path, content: bytes) -> str:
    scratch.mkdir(exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    (scratch / digest).write_bytes(content)
    journal.put_blob(digest, str(scratch / digest))
    return digest
