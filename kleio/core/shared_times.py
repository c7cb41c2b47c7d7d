"""When the lines of ``$KLEIO_STATISTICS`` were written, which do not say it themselves.

Whoever looks at the file and finds it grown notes in ``shared.times`` how long it was, when it was written last, and when it
was looked at: the recorder, often while it grows, and ``kleio log``, whose own record comes next. So a line is known to lie
between two looks, whoever reads it and however late, and the lines of one file are in their order.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left

from kleio.core.spool import SHARED, header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.spool import Spool

TICK = 10_000_000
"""Nanoseconds by which the time of a file may lag: the clock for it ticks every 10 ms at worst."""
_EMPTY = len(b"# " + header("statistics"))


class SharedTimes:
    """The looks at one spool's file. Times are in nanoseconds since the epoch."""

    __slots__ = ("_last", "_looked", "_looks", "_notes", "_path", "_seen", "_sizes")

    def __init__(self, spool: Spool) -> None:
        self._path = spool.file(f"{SHARED}.statistics")
        self._notes = spool.file(f"{SHARED}.times")
        self._seen = _EMPTY
        self._looked = self._last = 0
        self._sizes: list[int] = []
        self._looks: list[tuple[int, int, int]] = []

    def look(self) -> bool:
        """Note how long the file is, and whether it has grown since the last look. Raises OSError if it is gone."""
        began, found, now = time.time_ns(), os.stat(self._path), time.time_ns()
        grown = found.st_size != self._seen
        if grown:
            self._load()
            if found.st_size != (self._sizes[-1] if self._sizes else _EMPTY):
                self._note(found.st_size, min(found.st_mtime_ns + TICK, now), self._looked, began)
            self._seen = found.st_size
        self._looked = began
        return grown

    def written(self, end: int) -> int | None:
        """When the line before the offset ``end`` was written, as far as that is known; None if nobody has looked since.

        Of lines between two looks each gets its share of the time. Ask in the order of the file.
        """
        at = bisect_left(self._sizes, end)
        if at == len(self._sizes):
            return None
        before, seen = (self._sizes[at - 1], self._looks[at - 1][2]) if at else (_EMPTY, 0)
        until, after, _ = self._looks[at]
        since = min(max(after, seen), until) or until
        share = (end - before) / (self._sizes[at] - before) if self._sizes[at] > before else 1.0
        self._last = max(self._last, since + int((until - since) * share))
        return self._last

    def _note(self, size: int, *look: int) -> None:
        try:
            fd = os.open(self._notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # a full disk: the times are less exact
            return
        try:
            os.write(fd, " ".join(map(str, (size, *look))).encode() + b"\n")
        except OSError:
            return
        finally:
            os.close(fd)
        self._take(size, *look)

    def _load(self) -> None:
        self._sizes, self._looks = [], []
        try:
            with open(self._notes, "rb") as file:
                lines = file.read().splitlines()
        except OSError:
            return
        for line in lines:
            words = line.split()
            if len(words) == 4 and all(word.isdigit() for word in words):
                self._take(*map(int, words))

    def _take(self, size: int, until: int, after: int, looked: int) -> None:
        if self._sizes and size < self._sizes[-1]:  # who wrote ``>`` for ``>>`` began it anew
            self._sizes, self._looks = [], []
        if not self._sizes or size > self._sizes[-1]:
            self._sizes.append(size)
            self._looks.append((until, after, looked))
