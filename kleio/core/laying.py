"""What a code document says, written into a directory. The document may come from anybody: nothing escapes the directory.

A path is taken apart and checked, its directories are opened one by one and never through a link, contents are compared with
their digests, and links are made last, so that nothing is written through one.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby

from kleio.core.errors import JournalError, KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, BinaryIO

    from kleio.core.journal.base import Journal

PIECE = 1 << 20
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LINK, PROGRAM, PLAIN = "120000", "100755", "100644"
# Characters that HFS+ passes over: .g\u200cit is .git there.
_PASSED_OVER = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be at ``path``. ``mode`` is empty for what is to be gone; ``at`` is None for a blob of its own."""

    path: str
    mode: str = ""
    content: str = ""
    size: int = 0
    at: int | None = None

    @property
    def parts(self) -> list[bytes]:
        return os.fsencode(self.path).split(b"/")


def checked_path(path: Any) -> str:
    """``path``, which lies in the directory and is not git's own. Raises KleioError."""
    try:
        parts = os.fsencode(path).split(b"/") if isinstance(path, str) else [b""]
    except UnicodeEncodeError:
        parts = [b""]
    if any(part in (b"", b".", b"..") or b"\0" in part or _is_gits(part) for part in parts) or len(parts) > 4096:
        raise KleioError(f"the recorded code holds a path that must not be written: {path!r}; nothing was restored")
    return str(path)


def _is_gits(part: bytes) -> bool:
    """Whether some filesystem takes it for ``.git``: they differ in case, in what ends a name, in what they pass over."""
    name = part.decode("utf-8", "surrogateescape").partition(":")[0]
    name = name.translate(dict.fromkeys(map(ord, _PASSED_OVER))).rstrip(" .").lower()
    return name in (".git", "git~1")


def changes(document: Mapping[str, Any]) -> list[Change]:
    """What ``document`` says of single paths, checked. Raises KleioError for what cannot be meant."""
    said = document.get("changes") or {}
    if not isinstance(said, dict):
        raise KleioError("the recorded code is damaged: its changes are no table; nothing was restored")
    found = [_change(path, entry) for path, entry in said.items()]
    there = {one.path for one in found if one.mode}
    inner = {checked_path(path) for path in document.get("submodules") or {}}
    for path in sorted(there | inner):
        parts = path.split("/")
        outer = {"/".join(parts[:count]) for count in range(1, len(parts))}
        if outer & (there | inner) or (path in there and path in inner):
            raise KleioError(f"the recorded code holds what is no directory at or above {path!r}; nothing was restored")
    return found


def _change(path: Any, entry: Any) -> Change:
    path = checked_path(path)
    if entry is None:
        return Change(path)
    if not isinstance(entry, list) or len(entry) != 4 or entry[0] not in (LINK, PROGRAM, PLAIN):
        raise _senseless(path)
    mode, content, size, at = entry
    if not isinstance(content, str) or not _is_count(size) or not (at is None or _is_count(at)):
        raise _senseless(path)
    if mode == LINK:
        try:
            target = os.fsencode(content)
        except UnicodeEncodeError:
            target = b""
        if not target or b"\0" in target:
            raise _senseless(path)
    elif not re.fullmatch("[0-9a-f]{64}", content):
        raise _senseless(path)
    return Change(path, mode, content, size, at)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _senseless(path: str) -> KleioError:
    return KleioError(f"what is recorded of {path!r} makes no sense; nothing was restored")


class Laying:
    """Writes changes into ``directory``. ``missing`` collects what could not be written, as {"path", "why"}."""

    def __init__(self, directory: str, journal: Journal) -> None:
        self._journal = journal
        self._root = os.open(directory, DIRECTORY)
        self.missing: list[dict[str, str]] = []

    def close(self) -> None:
        os.close(self._root)

    def lay(self, wanted: list[Change], pack: str | None) -> None:
        """First what goes, then files, in the order of the pack, then links. Raises KleioError."""
        for one in sorted((one for one in wanted if not one.mode), key=lambda one: one.path, reverse=True):
            self._remove(one)
        files = [one for one in wanted if one.mode in (PLAIN, PROGRAM)]
        self._from_pack(sorted((one for one in files if one.at is not None), key=lambda one: (one.at, one.path)), pack)
        alone = sorted((one for one in files if one.at is None), key=lambda one: (one.content, one.path))
        for content, same in groupby(alone, key=lambda one: one.content):
            self._from_blob(list(same), content)
        for one in wanted:
            if one.mode == LINK:
                with self._parent(one) as parent:
                    self._make_way(one, parent)
                    os.symlink(os.fsencode(one.content), one.parts[-1], dir_fd=parent)

    # -- contents ------------------------------------------------------------------------------------------------

    def _open(self, digest: Any) -> BinaryIO | str:
        """The blob, or why it is not to be had."""
        try:
            blob = self._journal.blob(digest) if isinstance(digest, str) else None
        except JournalError as error:
            return str(error)
        return "its content is not in the journal" if blob is None else blob

    def _from_pack(self, files: list[Change], pack: str | None) -> None:
        if not files:
            return
        blob = self._open(pack)
        if isinstance(blob, str):
            self.missing += [{"path": one.path, "why": blob} for one in files]
            return
        with blob:
            for one in files:
                blob.seek(one.at or 0)
                self._write(one, blob)

    def _from_blob(self, files: list[Change], digest: str) -> None:
        blob = self._open(digest)
        if isinstance(blob, str):
            self.missing += [{"path": one.path, "why": blob} for one in files]
            return
        with blob:
            for one in files:
                blob.seek(0)
                self._write(one, blob)

    def _write(self, one: Change, source: BinaryIO) -> None:
        """Write it under another name, and let it take its place only when its digest is right."""
        name = b".kleio-%s.tmp" % os.urandom(8).hex().encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._parent(one) as parent:
            descriptor = os.open(name, flags, 0o777 if one.mode == PROGRAM else 0o666, dir_fd=parent)
            try:
                with open(descriptor, "wb") as file:
                    intact = _copied(source, file, one)
                if intact:
                    self._make_way(one, parent)
                    os.rename(name, one.parts[-1], src_dir_fd=parent, dst_dir_fd=parent)
                    return
            except BaseException:
                with suppress(OSError):
                    os.unlink(name, dir_fd=parent)
                raise
            os.unlink(name, dir_fd=parent)
        self.missing.append({"path": one.path, "why": "what the journal holds of it is damaged"})

    # -- places --------------------------------------------------------------------------------------------------

    @contextmanager
    def _parent(self, one: Change, make: bool = True) -> Iterator[int]:
        """The directory that ``one`` lies in, reached through no link: a file or link of the commit's in its way goes."""
        descriptor = os.dup(self._root)
        try:
            for part in one.parts[:-1]:
                inner = _inside(descriptor, part, make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def directory(self, path: str) -> None:
        """Make the directory ``path``, for a submodule."""
        one = Change(path)
        with self._parent(one) as parent:
            os.close(_inside(parent, one.parts[-1], make=True))

    def _make_way(self, one: Change, parent: int) -> None:
        name = one.parts[-1]
        try:
            if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise KleioError(f"{one.path!r} cannot be restored, something is in its way: {error.strerror}") from None

    def _remove(self, one: Change) -> None:
        """Take a path away, and the directories that it leaves empty, as git does."""
        parts = one.parts
        with suppress(FileNotFoundError, NotADirectoryError):
            with self._parent(one, make=False) as parent:
                if stat.S_ISDIR(os.lstat(parts[-1], dir_fd=parent).st_mode):
                    with suppress(OSError):
                        os.rmdir(parts[-1], dir_fd=parent)
                    return
                os.unlink(parts[-1], dir_fd=parent)
            while len(parts) > 1:
                parts = parts[:-1]
                with self._parent(Change(os.fsdecode(b"/".join(parts))), make=False) as parent:
                    try:
                        os.rmdir(parts[-1], dir_fd=parent)
                    except OSError:
                        return


def _inside(parent: int, part: bytes, make: bool) -> int:
    """The directory ``part`` of an open one. ``make``: in place of whatever is no directory."""
    try:
        return os.open(part, DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    except OSError:  # ELOOP or ENOTDIR, as the system likes: a link or a file
        if not make:
            raise NotADirectoryError from None
        os.unlink(part, dir_fd=parent)
    os.mkdir(part, dir_fd=parent)
    return os.open(part, DIRECTORY, dir_fd=parent)


def _copied(source: BinaryIO, target: BinaryIO, one: Change) -> bool:
    """Copy the content of ``one``; whether it is what it should be."""
    digest, left = hashlib.sha256(), one.size
    while left and (piece := source.read(min(PIECE, left))):
        digest.update(piece)
        target.write(piece)
        left -= len(piece)
    whole = one.at is not None or not source.read(1)
    return not left and whole and digest.hexdigest() == one.content
