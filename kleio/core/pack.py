"""The contents of changed files: small ones together in one blob, the pack, large ones in blobs of their own.

So a launch writes one file however many have changed, and a large file is stored once however often the small ones change.
"""

from __future__ import annotations

import hashlib
import os
import stat

from kleio.core.spool import private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

SMALL = 256 << 10
"""Bytes up to which a file goes into the pack."""
PIECE = 1 << 20


def open_plain(path: bytes | str) -> int | None:
    """A descriptor that reads the regular file at ``path``; None for anything else. Never waits for a writer to come."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


class Pack:
    """Written in the directory ``blobs`` of ``scratch``, which is made only if something is kept.

    Where ``scratch`` is empty nothing is written: what is asked for is only what the contents are called.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._places: dict[str, int] = {}
        self._end = 0
        self.blobs: dict[str, str] = {}
        """Digest → file, of all that was kept."""

    def add(self, content: bytes) -> tuple[str, int]:
        """The sha256 of a small file's content and its offset in the pack."""
        name = hashlib.sha256(content).hexdigest()
        if name in self._places:
            return name, self._places[name]
        if self._file is None and self._scratch:
            self._file = open(self._new_name(), "xb")  # noqa: SIM115 - closed by close()
        if self._file is not None:
            self._file.write(content)
        self._digest.update(content)
        self._places[name], self._end = self._end, self._end + len(content)
        return name, self._places[name]

    def copy(self, descriptor: int, limit: int) -> tuple[str, int]:
        """Keep what ``descriptor`` reads as a blob of its own, but no more than ``limit`` bytes: its sha256 and size."""
        digest, size, path = hashlib.sha256(), 0, self._new_name() if self._scratch else os.devnull
        with open(path, "xb" if self._scratch else "wb") as copy:
            while size < limit and (piece := os.read(descriptor, min(PIECE, limit - size))):
                digest.update(piece)
                copy.write(piece)
                size += len(piece)
        name = digest.hexdigest()
        if self._scratch:
            self.blobs[name] = os.path.join(os.path.dirname(path), name)
            os.replace(path, self.blobs[name])
        return name, size

    def alone(self, content: bytes) -> str:
        """Keep ``content`` as a blob of its own: its sha256."""
        name = hashlib.sha256(content).hexdigest()
        if name not in self.blobs and self._scratch:
            path = os.path.join(private(self._scratch, "blobs"), name)
            with open(path, "wb") as copy:
                copy.write(content)
            self.blobs[name] = path
        return name

    def close(self) -> str | None:
        """The pack's sha256; None if nothing is in it."""
        if not self._places:
            return None
        name = self._digest.hexdigest()
        if self._file is None:
            return name
        self._file.close()
        self.blobs[name] = os.path.join(os.path.dirname(self._file.name), name)
        os.replace(self._file.name, self.blobs[name])
        return name

    def _new_name(self) -> str:
        return os.path.join(private(self._scratch, "blobs"), f"{os.urandom(8).hex()}.tmp")
