"""What a command printed: kept raw with its times, packed for the journal, split into lines only to be shown.

Offsets count bytes of output. Beside the bytes stands a list of (offset, nanoseconds): what lies from an offset on was
read at that time.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from array import array
from dataclasses import dataclass

from kleio.core.spool import LAUNCHER, header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kleio.core.journal.base import Segment

TIME = struct.Struct("<qq")
FINEST = 10_000_000
"""Nanoseconds: times closer than this are not told apart."""
TAIL_PIECES = 8


class OutputWriter:
    """Keeps one channel's bytes in the spool: the first half of ``limit`` and, beyond it, the last half.

    Called by one thread. When the disk is full the output goes on unrecorded, and ``failed`` says why.
    """

    def __init__(self, directory: str, stream: str, limit: int) -> None:
        self._path = os.path.join(directory, f"{LAUNCHER}.{stream}")
        self._stream = stream
        self._half = max(limit // 2, 1)
        self._offset = 0
        self._timed = 0
        self._left = self._half
        self._pieces: list[str] = []
        self.failed: str | None = None
        self._bytes = self._times = -1
        try:
            self._bytes = self._open(self._path)
            self._times = self._open(f"{self._path}.times")
        except OSError as error:
            self.failed = error.strerror or str(error)

    def _open(self, path: str) -> int:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, header(self._stream))
        except OSError:
            os.close(fd)
            raise
        return fd

    def record(self, data: bytes) -> None:
        """Keep what was read just now."""
        if self.failed:
            return
        try:
            self._keep(data)
        except OSError as error:
            self.failed = error.strerror or str(error)

    def _keep(self, data: bytes) -> None:
        now = time.time_ns()
        if now - self._timed >= FINEST:
            os.write(self._times, TIME.pack(self._offset, now))
            self._timed = now
        while data:
            if not self._left:
                self._next_piece()
            written = os.write(self._bytes, data[: self._left] if len(data) > self._left else data)
            self._offset += written
            self._left -= written
            data = data[written:]

    def _next_piece(self) -> None:
        os.close(self._bytes)
        self._bytes = -1  # should there be no room for the next
        if len(self._pieces) >= TAIL_PIECES:
            os.unlink(self._pieces.pop(0))
        path = f"{self._path}.tail.{self._offset:020d}"
        self._bytes = self._open(path)
        self._pieces.append(path)
        self._left = max(self._half // TAIL_PIECES, 1)

    def close(self) -> None:
        for fd in (self._bytes, self._times):
            if fd >= 0:
                os.close(fd)


@dataclass(frozen=True, slots=True)
class Piece:
    """Output bytes that lie in one spool file: stream offsets ``[start, end)``, in ``path`` from ``skip`` on."""

    start: int
    end: int
    path: str
    skip: int


def pieces(directory: str, stream: str) -> list[Piece]:
    """Where a stream's bytes are: the head, and the tail's files when the limit was passed; gaps were dropped."""
    head = f"{LAUNCHER}.{stream}"
    skip = len(header(stream))
    found = []
    for name in sorted(os.listdir(directory)):
        if name == head or name.startswith(f"{head}.tail."):
            start = 0 if name == head else int(name.rpartition(".")[2])
            path = os.path.join(directory, name)
            try:
                size = max(os.stat(path).st_size - skip, 0)
            except FileNotFoundError:  # the tail moved on
                continue
            found.append(Piece(start, start + size, path, skip))
    return found


def read_piece(piece: Piece, start: int, end: int) -> bytes:
    """The bytes at the stream offsets ``[start, end)`` of a piece."""
    with open(piece.path, "rb") as file:
        file.seek(piece.skip + start - piece.start)
        return file.read(end - start)


class Times:
    """Reads the list of times beside a stream as it grows."""

    def __init__(self, directory: str, stream: str) -> None:
        self._path = os.path.join(directory, f"{LAUNCHER}.{stream}.times")
        self._at = len(header(stream))
        self._offsets = array("q")
        self._times = array("q")

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """The times that hold for ``[start, end)``: the first entry is at ``start``."""
        from bisect import bisect_left, bisect_right

        self._read()
        first = max(bisect_right(self._offsets, start) - 1, 0)
        last = max(bisect_left(self._offsets, end), first)
        chosen = zip(self._offsets[first:last], self._times[first:last], strict=True)
        return [(max(offset, start), when) for offset, when in chosen]

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return
        data = data[: len(data) - len(data) % TIME.size]
        self._at += len(data)
        for offset, when in TIME.iter_unpack(data):
            self._offsets.append(offset)
            self._times.append(when)


def pack(data: bytes, times: list[tuple[int, int]]) -> bytes:
    """One segment's payload."""
    body = b"".join(TIME.pack(*one) for one in times) + data
    squeezed = zlib.compress(body, 1)
    kind, body = (b"z", squeezed) if len(squeezed) < 0.9 * len(body) else (b"r", body)
    return kind + struct.pack("<I", len(times)) + body


def unpack(payload: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The (bytes, times) that :func:`pack` was given."""
    (count,) = struct.unpack_from("<I", payload, 1)
    body = zlib.decompress(payload[5:]) if payload[:1] == b"z" else payload[5:]
    cut = count * TIME.size
    return body[cut:], list(TIME.iter_unpack(body[:cut]))


def joined(segments: Iterable[Segment], start: int = 0) -> Iterator[bytes]:
    """The bytes of one stream from offset ``start`` on, each once; what was dropped is named in their place."""
    from kleio.core.statistics import legible

    at = start
    for one in segments:
        if one.end <= at:
            continue
        if one.dropped:
            yield f"\n[kleio: {one.end - max(at, one.start):,} bytes over the output limit were dropped]\n".encode()
        else:
            with legible(one.trial):
                data, _ = unpack(one.payload)
            yield data[max(at - one.start, 0) :]
        at = one.end


class Collapser:
    """Shows a progress bar as it stood last: of each line, what a carriage return overwrote is left out."""

    def __init__(self) -> None:
        self._line = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown now; an unfinished line is kept until it is finished."""
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        if len(self._line) > 1 << 20:  # a program that prints no newline at all
            self._line = self._last(self._line)
        return b"".join(self._last(line) + b"\n" for line in lines)

    def rest(self) -> bytes:
        """The unfinished line."""
        rest, self._line = self._last(self._line), b""
        return rest

    @staticmethod
    def _last(line: bytes) -> bytes:
        body = line.rstrip(b"\r")
        return body[body.rfind(b"\r") + 1 :] + (b"\r" if line.endswith(b"\r") and b"\r" not in body else b"")
