"""What a run left in its output directory becomes artifacts when the command has ended: ``output/PATH``, by content.

They are records of the launcher, in a stream of its own, so that they are told from what the script logged: nobody resumes
from them. What is too large, or no file, stays where it is and is named.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from functools import partial

from kleio.core import statistics
from kleio.core.artifact import digest_of, keep
from kleio.core.lookup import by_stream
from kleio.core.outputs import OWN
from kleio.core.signals import ENDING
from kleio.core.spool import LAUNCHER, Writer
from kleio.core.values import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.spool import Spool

PREFIX = "output/"
MOST = 2000
"""Files that are kept of one execution."""
HURRIED = 0.5
"""Seconds, where a scheduler wants the machine back; for each second of patience, where it did before the command ended."""
_NAMED = 3


class _TooLate(Exception):  # noqa: N818
    """There is no time for this file."""


class _Reader:
    """The bytes of an open file up to the size it had, looked through for the trial's id."""

    def __init__(self, fd: int, size: int, trial: str, is_late: Callable[[], bool]) -> None:
        self._fd, self._left, self._trial, self._is_late = fd, size, trial.encode(), is_late
        self.names_trial = False

    def read(self, most: int) -> bytes:
        if self._is_late():
            raise _TooLate
        piece = os.read(self._fd, min(most, self._left))
        self._left -= len(piece)
        self.names_trial = self.names_trial or self._trial in piece
        return piece


class Collector:
    """Collects for one execution. ``earlier`` maps the names of what is stored already to (sha256, size); ``largest`` is in
    bytes for a file, ``total`` for all; ``seconds`` how long it may take. Who is ``hurried`` keeps the newest first; a signal
    that comes meanwhile leaves it :data:`HURRIED` more.
    """

    def __init__(
        self, spool: Spool, trial: str, earlier: Mapping[str, tuple[str, int]], largest: int, total: int, seconds: float,
        hurried: bool = False,
    ) -> None:  # fmt: skip
        self._spool, self._trial, self._earlier, self._largest, self._total = spool, trial, earlier, largest, total
        self._deadline, self._hurried = time.monotonic() + seconds, hurried
        self._writer: Writer | None = None
        self.files = self.size = 0
        self.left_out: list[tuple[str, str]] = []
        """The paths of what is not kept, and why."""

    def collect(self, directory: str) -> None:
        """Keep what is in ``directory``, small files first, in a hurry the newest first."""
        found = list(self._listed(directory))
        found.sort(key=lambda one: -one[1].st_mtime_ns if self._hurried else one[1].st_size)
        try:
            for path, status in found:
                why = self._why_not(status.st_size) or self._keep(directory, path)
                if why:
                    self.left_out.append((path, why))
        finally:
            if self._writer:
                self._writer.close()

    def _listed(self, directory: str) -> Iterator[tuple[str, os.stat_result]]:
        """Regular files; links are not followed, and neither they nor anything else that is no file are opened."""
        if os.path.islink(directory):
            self.left_out.append((directory, "a link"))
            return
        for place, directories, names, fd in os.fwalk(directory, onerror=self._unreadable, follow_symlinks=False):
            below = os.path.relpath(place, directory)
            if self._is_late():
                self.left_out.append((below, "there was no time"))
                return
            for name in (*names, *directories):
                path = name if below == "." else f"{below}/{name}"
                try:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except OSError:
                    continue  # gone meanwhile
                if stat.S_ISLNK(status.st_mode):
                    self.left_out.append((path, "a link"))
                elif name in directories or path in OWN:
                    continue
                elif stat.S_ISREG(status.st_mode):
                    yield path, status
                else:
                    self.left_out.append((path, "no file"))

    def _unreadable(self, error: OSError) -> None:
        self.left_out.append((os.path.basename(str(error.filename)), error.strerror or "unreadable"))

    def _is_late(self) -> bool:
        if not self._hurried and signal.sigpending() & ENDING:  # the launcher has them blocked
            self._hurried, self._deadline = True, min(self._deadline, time.monotonic() + HURRIED)
        return time.monotonic() > self._deadline

    def _why_not(self, size: int) -> str | None:
        if self._is_late():
            return "there was no time"
        if size > self._largest:
            return f"{size:,} bytes, more than output-file-limit"
        if self.size + size > self._total:
            return f"{size:,} bytes, more than output-total leaves"
        if self.files >= MOST:
            return f"more than {MOST:,} files"
        return None

    def _keep(self, directory: str, path: str) -> str | None:
        """Make it an artifact unless it is one. Why it is not kept, if it is not."""
        full = os.path.join(directory, path)
        name = PREFIX + legible(path)
        try:
            fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    return "no file"
                if self._is_known(name, full, status.st_size):
                    return None
                reader = _Reader(fd, status.st_size, self._trial, self._is_late)
                _, size = keep(self._spool.file("blobs"), reader, partial(self._said, name, reader))
            finally:
                os.close(fd)
            self.files += 1
            self.size += size
        except _TooLate:
            return "there was no time"
        except OSError as error:
            return error.strerror or "unreadable"
        return None

    def _is_known(self, name: str, path: str, size: int) -> bool:
        known = self._earlier.get(name)
        return known is not None and known[1] == size and digest_of(path) == known[0]

    def _said(self, name: str, reader: _Reader, digest: str, size: int) -> None:
        """The record of bytes that are there now."""
        record = {"name": name, "meta": {}, "sha256": digest, "size": size, "output": True}
        self._append(record | ({"names_trial": True} if reader.names_trial else {}))

    def _append(self, record: dict[str, Any]) -> None:
        if self._writer is None:
            self._writer = Writer(self._spool.path, "artifacts", LAUNCHER)
        self._writer.append(dumps(record))


def earlier(journal: Journal | None, trial: str) -> dict[str, tuple[str, int]]:
    """What earlier executions of the trial left: the newest (sha256, size) of each name."""
    if journal is None:
        return {}
    found: list[statistics.Record] = []
    for (_, writer, _), segments in by_stream(journal, trial, ("artifacts",)):
        found += statistics.records(segments) if writer == LAUNCHER else ()
    found.sort(key=lambda one: one.time)
    return {str(one.values["name"]): (str(one.values["sha256"]), int(one.values["size"])) for one in found}


def legible(path: str) -> str:
    """A path whose bytes may be no text, as text."""
    return path.encode(errors="backslashreplace").decode()


def in_words(place: str, left_out: Sequence[Sequence[str]], count: int) -> str:
    """That some of the ``count`` files that are not kept, (path, why), stay where they are."""
    first = ", ".join(f"{path} ({why})" for path, why in left_out[:_NAMED])
    return f"left in {place} and not kept: {first}" + (f" and {count - _NAMED:,} more" if count > _NAMED else "")
