"""The files of a code version, recorded or present: what each of them holds, read from wherever it lies.

A file that differs from the commit is in the journal, in the pack of small files or as a blob of its own; for the code that
is here it is in the directory in which it was captured. All others are in the commit, which a repository at hand may have or
not. What nobody here knows is :data:`UNKNOWN`, which is not the same as a file that is not there.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from kleio.core.errors import KleioError, Scrubbed
from kleio.core.gitfiles import is_object_name
from kleio.core.repository import Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, BinaryIO

    from kleio.core.code import CodeVersion
    from kleio.core.journal.base import Journal

LARGE = 1 << 20
"""Bytes; larger files are compared, but not read into memory."""
LINK = "120000"
SUBMODULE = "160000"


class UnknownContents(KleioError):  # noqa: N818 - a state of the world, not a mistake
    """What a file held is not to be had here: its commit is not, or its contents were not kept."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version. ``data`` is None when it is large or not to be had, ``size`` None when even that is not known.

    ``key`` names the contents (``sha256:``, ``git:`` or ``left out:``): equal ones mean equal contents.
    """

    mode: str
    size: int | None
    key: str
    data: bytes | None = None


UNKNOWN = File("", None, "")


class Version:
    """A code document as something to read files from.

    ``root`` is a work tree whose repository may have the commit; ``blobs`` maps digests to files, for code that was
    captured just now and is in no journal.
    """

    def __init__(
        self,
        journal: Journal | None,
        document: Mapping[str, Any],
        root: str | None = None,
        blobs: Mapping[str, str] | None = None,
    ) -> None:
        self.document = document
        self.commit: str | None = document.get("commit")
        self.root = root
        self._journal, self._blobs = journal, blobs or {}
        self._changes: dict[str, Any] = dict(document.get("changes") or {})
        self._left_out = {one["path"]: one for one in document.get("left_out") or ()}
        self._tree: dict[str, tuple[str, str]] | None = None
        self._looked = False

    @classmethod
    def present(cls, code: CodeVersion) -> Version:
        """The code that was captured just now."""
        return cls(None, code.document, code.root, code.blobs)

    def committed(self) -> Version:
        """The same commit with nothing on top of it."""
        return Version(self._journal, {"kind": "git", "commit": self.commit}, self.root)

    @property
    def touched(self) -> set[str]:
        """The paths that need not be as in the commit."""
        return self._changes.keys() | self._left_out.keys()

    @property
    def tree(self) -> Mapping[str, tuple[str, str]] | None:
        """Path → (mode, object id) of the commit; empty without one, None when no repository here has it."""
        if not self._looked:
            self._looked, self._tree = True, self._listed()
        return self._tree

    @property
    def submodules(self) -> dict[str, Version]:
        """Path → the version of each submodule."""
        return {
            path: Version(self._journal, document, self.root and os.path.join(self.root, path), self._blobs)
            for path, document in (self.document.get("submodules") or {}).items()
        }

    def submodule_at(self, path: str) -> str | None:
        """The commit of the submodule at ``path``, if there is one."""
        if path in self.submodules:
            return self.submodules[path].commit
        mode, name = (self.tree or {}).get(path, ("", ""))
        return name if mode == SUBMODULE and path not in self._changes else None

    def file(self, path: str) -> tuple[str, bytes] | None:
        """(mode, contents) of a file of any size, None if there is none. Raises UnknownContents."""
        found = self.look([path], limit=None)[path]
        if found is None:
            return None
        if found.data is None:
            raise UnknownContents(f"what {path} held is not known here")
        return found.mode, found.data

    def look(self, paths: Iterable[str], limit: int | None = LARGE) -> dict[str, File | None]:
        """These files; None for what is not there. Files of more than ``limit`` bytes come without their contents."""
        found: dict[str, File | None] = {}
        kept: dict[str, Sequence[Any]] = {}
        committed: dict[str, tuple[str, str]] = {}
        for path in paths:
            if path in self._left_out:
                found[path] = _left_out(self._left_out[path])
            elif path in self._changes:
                change = self._changes[path]
                if change is None or change[0] == SUBMODULE:
                    found[path] = None
                elif change[0] == LINK:
                    found[path] = _file(LINK, os.fsencode(change[1]))
                else:
                    kept[path] = change
            elif self.tree is None:
                found[path] = UNKNOWN
            elif path in self.tree and self.tree[path][0] != SUBMODULE:
                committed[path] = self.tree[path]
            else:
                found[path] = None
        return found | self._kept(kept, limit) | self._committed(committed, limit)

    def object_name(self, path: str, like: str) -> str | None:
        """What git would name the contents of a captured file, read a piece at a time; ``like`` is a name of that length."""
        mode, digest, size, _ = self._changes[path]
        opened = self._open(digest) if mode != LINK else None
        if opened is None:
            return None
        name = hashlib.new("sha1" if len(like) == 40 else "sha256", b"blob %d\0" % size, usedforsecurity=False)
        with opened:
            while piece := opened.read(LARGE):
                name.update(piece)
        return name.hexdigest()

    # -- the journal -----------------------------------------------------------------------------------------------

    def _kept(self, wanted: Mapping[str, Sequence[Any]], limit: int | None) -> dict[str, File | None]:
        """Files that were captured: (mode, sha256, size, offset in the pack or None)."""
        small = {path: one for path, one in wanted.items() if limit is None or one[2] <= limit}
        packed = sorted((at, size, path) for path, (_, _, size, at) in small.items() if at is not None and size)
        data: dict[str, bytes | None] = {path: b"" for path, (_, _, size, _) in small.items() if not size}
        data |= dict(self._packed(packed))
        data |= {path: self._blob(digest) for path, (_, digest, size, at) in small.items() if at is None and size}
        return {
            path: File(mode, size, f"sha256:{digest}", _intact(data.get(path), digest))
            for path, (mode, digest, size, _) in wanted.items()
        }

    def _packed(self, wanted: Sequence[tuple[int, int, str]]) -> Iterator[tuple[str, bytes]]:
        """Contents out of the pack, which is read once, forwards: MongoDB's files cannot be read in any other way."""
        opened = self._open(self.document["pack"]) if wanted else None
        if opened is None:
            return
        position, last, data = 0, (-1, -1), b""
        with opened:
            for at, size, path in wanted:
                if last != (at, size):  # equal contents are there once
                    _skip(opened, at - position)
                    last, data = (at, size), opened.read(size)
                    position = at + len(data)
                yield path, data

    def _blob(self, digest: str) -> bytes | None:
        opened = self._open(digest)
        if opened is None:
            return None
        with opened:
            return opened.read()

    def _open(self, digest: str) -> BinaryIO | None:
        if digest in self._blobs:
            return open(self._blobs[digest], "rb")
        try:
            return self._journal.blob(digest) if self._journal else None
        except Scrubbed:
            return None

    # -- the commit ------------------------------------------------------------------------------------------------

    def _repository(self) -> Repository | None:
        return Repository.around(self.root) if self.root else None

    def _listed(self) -> dict[str, tuple[str, str]] | None:
        if self.commit is None:
            return {}
        repository = self._repository() if is_object_name(self.commit) else None
        listed = repository.run("ls-tree", "-r", "-z", "--full-tree", self.commit) if repository else None
        if listed is None:
            return None
        heads = (line.partition(b"\t") for line in listed.split(b"\0") if line)
        return {os.fsdecode(path): (head[:6].decode(), head.split(b" ")[2].decode()) for head, _, path in heads}

    def _committed(self, wanted: Mapping[str, tuple[str, str]], limit: int | None) -> dict[str, File | None]:
        repository = self._repository() if wanted else None
        if repository is None:
            return dict.fromkeys(wanted, UNKNOWN)
        sizes = _sizes(repository, {name for _, name in wanted.values()})
        small = {name for name, size in sizes.items() if limit is None or size <= limit}
        data = _objects(repository, small)
        return {path: File(mode, sizes.get(name), f"git:{name}", data.get(name)) for path, (mode, name) in wanted.items()}


def _file(mode: str, data: bytes) -> File:
    return File(mode, len(data), f"sha256:{hashlib.sha256(data).hexdigest()}", data)


def _left_out(one: Mapping[str, Any]) -> File:
    """A file of which only this much is known; the same size and time are taken for the same contents."""
    return File("", one["size"], f"left out:{one['size']}-{one['time']:.6f}")


def _intact(data: bytes | None, digest: str) -> bytes | None:
    """What a damaged journal holds is not what the file held."""
    return data if data is not None and hashlib.sha256(data).hexdigest() == digest else None


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0 and (piece := file.read(min(count, LARGE))):
        count -= len(piece)


def _asked(repository: Repository, how: str, names: Iterable[str]) -> bytes:
    """What git prints of these objects. By a file, not a pipe: git would wait for us to read while we write."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(b"".join(f"{name}\n".encode() for name in names))
        file.seek(0)
        return repository.run("cat-file", how, stdin=file.fileno()) or b""


def _sizes(repository: Repository, names: Iterable[str]) -> dict[str, int]:
    answer = _asked(repository, "--batch-check", names).decode().splitlines()
    fields = (line.split(" ") for line in answer)
    return {one[0]: int(one[2]) for one in fields if len(one) == 3}  # else "NAME missing"


def _objects(repository: Repository, names: Iterable[str]) -> dict[str, bytes]:
    """The contents of objects that are there: head, newline, contents, newline of each in turn."""
    wanted = list(names)
    out = _asked(repository, "--batch", wanted) if wanted else b""
    found, at = {}, 0
    while at < len(out):
        end = out.index(b"\n", at)
        name, _, size = out[at:end].decode().split(" ")
        found[name] = out[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found
