"""What git says of a work tree, in its own formats: the index as listed, and what differs from it and from the commit."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

GONE = b"000000"
"""The mode of what is not on disk."""
SUBMODULE = b"160000"


@dataclass(frozen=True, slots=True)
class State:
    """What ``git status`` said. ``changed`` maps paths that git tracks, from the root, to their mode on disk."""

    commit: str | None
    branch: str | None
    pushed: bool | None
    changed: Mapping[bytes, bytes]
    untracked: tuple[bytes, ...]

    def without(self, apart: Callable[[bytes], bool]) -> State:
        """As if the paths that are ``apart`` were not there."""
        changed = {path: mode for path, mode in self.changed.items() if not apart(path)}
        return replace(self, changed=changed, untracked=tuple(path for path in self.untracked if not apart(path)))


@dataclass(frozen=True, slots=True)
class Listing:
    """The index: path → (mode, object id). ``hidden`` are the paths that git was told not to look at on disk."""

    entries: Mapping[bytes, tuple[bytes, bytes]]
    hidden: tuple[bytes, ...]

    def without(self, paths: Iterable[bytes]) -> Listing:
        """As if these paths were not in it."""
        gone = frozenset(paths)
        entries = {path: entry for path, entry in self.entries.items() if path not in gone}
        return Listing(entries, tuple(path for path in self.hidden if path not in gone))

    @property
    def submodules(self) -> list[bytes]:
        return [path for path, (mode, _) in self.entries.items() if mode == SUBMODULE]


def state(status: bytes, remotes: Iterable[str]) -> State:
    """Read ``git status --porcelain=v2 --branch -z``."""
    heads: dict[bytes, bytes] = {}
    changed: dict[bytes, bytes] = {}
    untracked = []
    for line in status.split(b"\0"):
        kind = line[:2]
        if kind == b"? ":
            untracked.append(line[2:])
        elif kind == b"1 ":
            fields = line.split(b" ", 8)
            changed[fields[8]] = fields[5]
        elif kind == b"u ":
            fields = line.split(b" ", 10)
            changed[fields[10]] = fields[6]
        elif kind == b"# ":
            name, _, value = line[2:].partition(b" ")
            heads[name] = value
    for path in untracked:
        changed.pop(path, None)  # taken out of the index alone: it is there, and untracked
    commit = heads.get(b"branch.oid", b"(initial)").decode()
    branch = os.fsdecode(heads.get(b"branch.head", b"(detached)"))
    return State(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        pushed=_pushed(heads, remotes),
        changed=changed,
        untracked=tuple(untracked),
    )


def _pushed(heads: Mapping[bytes, bytes], remotes: Iterable[str]) -> bool | None:
    """Whether the upstream branch, if it is a remote's, has the commit; None where there is no such branch."""
    upstream = heads.get(b"branch.upstream", b"")
    if b"branch.ab" not in heads or not any(upstream.startswith(os.fsencode(name) + b"/") for name in remotes):
        return None
    return heads[b"branch.ab"].startswith(b"+0 ")


def listing(listed: bytes) -> Listing:
    """Read ``git ls-files -s -v -z``. Of a file in conflict the last version is taken; how it is on disk is in the status."""
    entries: dict[bytes, tuple[bytes, bytes]] = {}
    hidden = []
    for line in listed.split(b"\0"):
        head, tab, path = line.partition(b"\t")
        if not tab:
            continue
        kind, mode, name, _ = head.split(b" ")
        entries[path] = (mode, name)
        if kind != b"H" and (kind == b"S" or kind.islower()):
            hidden.append(path)
    return Listing(entries, tuple(hidden))


def quoted(path: bytes) -> bytes:
    """As git reads a path in a list of lines, whatever it holds."""
    if not any(byte < 0x20 or byte in (0x22, 0x5C) for byte in path):
        return path
    return b'"' + b"".join(b"\\%03o" % byte if byte < 0x20 or byte in (0x22, 0x5C) else bytes((byte,)) for byte in path) + b'"'


def fingerprint(entries: Iterable[tuple[bytes, bytes, bytes]]) -> str:
    """32 hex digits of the (mode, object id, path) of every file that counts, in any order."""
    lines = sorted(b"%s %s %s" % entry for entry in entries)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:32]


def object_id(content: bytes, algorithm: str = "sha1") -> bytes:
    """What git calls a file with this content."""
    digest = hashlib.new(algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest().encode()
