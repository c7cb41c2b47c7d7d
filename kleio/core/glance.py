"""A glance over the statistics of a trial, in one pass: how each key went, where it was least and greatest, and the scopes.

However much was logged, it takes little time: of long streams only some segments are unpacked, evenly spread, and of these only
the columns that are looked at.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from kleio.core import lineage, statistics
from kleio.core.resuming import INNER, OUTER
from kleio.core.scopes import Scopes
from kleio.core.spool import SYSTEM
from kleio.core.statistics import Packed, Record, flat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal, Segment
    from kleio.core.lookup import Key
    from kleio.core.scopes import Scope
    from kleio.core.trial import Entry

    Place = tuple[str, Any]

STREAM = "statistics"
MOST = 8 << 20
"""Bytes of lines, as the script wrote them, whose segments are unpacked: some 100,000 records, in a tenth of a second."""
ENOUGH = MOST >> 2
"""The same, where some are left out anyway."""
POINTS = 12
COUNTERS = (*OUTER, *INNER)
_SCOPES = ("values", "parent", "error", "origin")
"""What records about scopes hold."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a key went: ``heights`` are means of its numbers, equally many each, in the order of their times, None where none is
    finite. ``lowest`` and ``greatest`` are its least and greatest number, each with the counter where it was logged
    (``("epoch", 9)``) if there is one; None where not all of its values were looked at.
    """

    heights: Sequence[float | None] = ()
    lowest: tuple[float, Place | None] | None = None
    greatest: tuple[float, Place | None] | None = None


@dataclass(slots=True)
class Glance:
    """``courses`` by key; ``whole`` if every value was looked at."""

    scopes: Scopes
    courses: dict[str, Course] = field(default_factory=dict)
    whole: bool = True


def glance(journal: Journal, entry: Entry, keys: Collection[str] = (), all_executions: bool = False) -> Glance:
    """Look over what a trial sees, for the courses of ``keys``; what was given up only with ``all_executions``."""
    ends = {} if all_executions else lineage.limits(journal, lineage.parts(entry.trial), entry)
    scopes, sample = Scopes(), _Sample()
    for key, segments in lineage.seen(journal, entry.trial, (STREAM, SYSTEM)):
        end = ends.get(key[0])
        for segment, covered in statistics.in_turn(one for one in segments if not one.dropped):
            if statistics.is_marked(segment.payload):
                with statistics.legible(segment.trial):
                    heard = list(told(Packed(segment.payload)))
                for record in heard:
                    if record.offset >= covered and (end is None or record.time <= end):
                        scopes.take(key, record)
            if keys:
                sample.take(_Piece(key, segment, covered, end))
    courses = {key: _Numbers() for key in keys}
    for piece in sample.pieces:
        with statistics.legible(piece.trial):
            piece.look(courses)
    found = {key: one.course(scopes, sample.whole and key.lower() not in COUNTERS) for key, one in courses.items()}
    return Glance(scopes, found, sample.whole)


def told(packed: Packed) -> Iterator[Record]:
    """What a segment tells of scopes, without unpacking its statistics; of what was never committed only that it was."""
    rows = dict(_telling(packed))
    if not rows:
        return
    offsets, times = statistics.integers(packed.offsets), statistics.integers(packed.times)
    values: dict[int, dict[str, Any]] = {row: {} for row in rows}
    for name in _SCOPES:
        if name in packed.names:
            for row, value in _column(packed, name):
                if row in rows and rows[row][1] != "!":
                    values[row][name] = value
    for row, mark in rows.items():
        yield Record(offsets[row], times[row], values[row], mark)


def _telling(packed: Packed) -> Iterator[tuple[int, str]]:
    """(row, mark) of the rows that are no statistics."""
    starts = [row for row, _ in packed.runs]
    for (start, mark), end in zip(packed.runs, [*starts[1:], packed.count], strict=False):
        if mark and not mark[1:].isdigit():
            yield from ((row, mark) for row in range(start, end))


def _column(packed: Packed, name: str) -> Iterator[tuple[int, Any]]:
    rows, kind, block = packed.column(name)
    numbers = range(packed.count) if rows is None else statistics.integers(rows)
    return zip(numbers, statistics.unpack_column(kind, block), strict=True)


class _Sample:
    """Pieces of streams, evenly spread: every one as long as there are few, then every second, and so on."""

    def __init__(self) -> None:
        self.pieces: list[_Piece] = []
        self._size = self._seen = 0
        self._every = 1

    @property
    def whole(self) -> bool:
        return self._every == 1

    def take(self, piece: _Piece) -> None:
        self._seen += 1
        if (self._seen - 1) % self._every:
            return
        self.pieces.append(piece)
        self._size += piece.size
        while self._size > (MOST if self.whole else ENOUGH) and len(self.pieces) > 2 * POINTS:
            self.pieces = self.pieces[::2]
            self._size = sum(one.size for one in self.pieces)
            self._every *= 2


class _Numbers:
    """The numbers of one key."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Sequence[float]]] = []
        self._least: tuple[float, Place | _Within | None] | None = None
        self._most: tuple[float, Place | _Within | None] | None = None

    def take(self, piece: _Piece, rows: Sequence[int] | None, numbers: Sequence[float]) -> None:
        """More of them, in the order in which they were logged, and the rows where they stand, None for all."""
        self._parts.append((piece.began, numbers))
        known = numbers if _adds_up(numbers) else [one for one in numbers if one == one]
        if not known:
            return
        for number, best, sign in ((min(known), self._least, 1), (max(known), self._most, -1)):
            if best is None or sign * number < sign * best[0]:
                at = numbers.index(number)
                better = number, piece.place(at if rows is None else rows[at])
                if sign == 1:
                    self._least = better
                else:
                    self._most = better

    def course(self, scopes: Scopes, placed: bool) -> Course:
        heights = tuple(_heights([one for _, part in sorted(self._parts, key=lambda one: one[0]) for one in part]))
        if not placed:
            return Course(heights)
        return Course(heights, _resolved(self._least, scopes), _resolved(self._most, scopes))


def _resolved(best: tuple[float, Place | _Within | None] | None, scopes: Scopes) -> tuple[float, Place | None] | None:
    if best is None or not isinstance(best[1], _Within):
        return best  # type: ignore[return-value]
    return best[0], best[1].place(scopes)


def _heights(numbers: Sequence[float]) -> Iterator[float | None]:
    count = min(POINTS, len(numbers))
    for at in range(count):
        part = numbers[at * len(numbers) // count : (at + 1) * len(numbers) // count]
        yield _mean(part)


def _mean(numbers: Sequence[float]) -> float | None:
    """Of those that are finite; None where none is."""
    if _adds_up(numbers):
        return sum(numbers) / len(numbers)
    finite = [one for one in numbers if _adds_up([one])]
    return math.fsum(one / len(finite) for one in finite) if finite else None


def _adds_up(numbers: Sequence[float]) -> bool:
    """Whether all are finite, and their sum is. A whole number that no float is near is not."""
    try:
        return math.isfinite(sum(numbers))
    except OverflowError:
        return False


@dataclass(frozen=True, slots=True)
class _Within:
    """A statistic in a scope, which may say what counts."""

    key: Key
    mark: str

    def place(self, scopes: Scopes) -> Place | None:
        scope: Scope | None = scopes.of(self.key, Record(0, 0, {}, self.mark))
        return _counter(scope.values) if scope else None


def _counter(values: Any) -> Place | None:
    known = {str(name).lower(): (str(name), value) for name, value in values.items() if type(value) in (int, float)}
    return next((known[name] for name in COUNTERS if name in known), None)


class _Piece:
    """A segment of a stream. Before the offset ``covered`` it is known already, after the time ``end`` it does not count."""

    def __init__(self, key: Key, segment: Segment, covered: int, end: int | None) -> None:
        self._key, self._payload, self.trial = key, segment.payload, segment.trial
        self._covered, self._end = covered if covered > segment.start else 0, end
        self.size = segment.end - segment.start

    @cached_property
    def _packed(self) -> Packed:
        return Packed(self._payload)

    @cached_property
    def _times(self) -> list[int]:
        return statistics.integers(self._packed.times)

    @property
    def began(self) -> int:
        return self._times[0] if self._packed.count else 0

    @cached_property
    def _barred(self) -> set[int]:
        """Rows that are not statistics, or do not count."""
        rows = {row for row, _ in _telling(self._packed)}
        if self._covered:
            rows |= {row for row, at in enumerate(statistics.integers(self._packed.offsets)) if at < self._covered}
        if self._end is not None and max(self._times, default=0) > self._end:
            rows |= {row for row, when in enumerate(self._times) if when > self._end}
        return rows

    def _mark(self, row: int) -> str:
        runs = self._packed.runs
        return runs[bisect_right(runs, row, key=lambda run: run[0]) - 1][1] if runs else ""

    @cached_property
    def _counters(self) -> dict[str, dict[int, Any]]:
        known = {name.lower(): name for name in self._packed.names}
        return {known[name]: dict(_column(self._packed, known[name])) for name in COUNTERS if name in known}

    def place(self, row: int) -> Place | _Within | None:
        """What counts there: what was logged with it, else what it is within."""
        found = _counter({name: values[row] for name, values in self._counters.items() if row in values})
        mark = "" if found else self._mark(row)
        return found or (_Within(self._key, mark) if mark else None)

    def look(self, wanted: dict[str, _Numbers]) -> None:
        """Hand out the numbers of the keys that are wanted."""
        for name, (kind, _, _) in self._packed.names.items():
            if kind != "j":
                if name in wanted:
                    self._plain(name, wanted[name])
            elif name in wanted or any(key.startswith(f"{name}/") for key in wanted):
                self._nested(name, wanted)

    def _plain(self, name: str, into: _Numbers) -> None:
        rows, kind, block = self._packed.column(name)
        numbers: Sequence[float] = list(statistics.unpack_column(kind, block))
        own = None if rows is None else statistics.integers(rows)
        if self._barred:
            pairs = zip(range(len(numbers)) if own is None else own, numbers, strict=True)
            kept = [(row, number) for row, number in pairs if row not in self._barred]
            own, numbers = [row for row, _ in kept], [number for _, number in kept]
        if numbers:
            into.take(self, own, numbers)

    def _nested(self, name: str, wanted: dict[str, _Numbers]) -> None:
        found: dict[str, tuple[list[int], list[float]]] = {}
        for row, value in _column(self._packed, name):
            if row not in self._barred:
                for key, leaf in flat({name: value}):
                    if key in wanted and type(leaf) in (int, float):
                        rows, numbers = found.setdefault(key, ([], []))
                        rows.append(row)
                        numbers.append(leaf)
        for key, (rows, numbers) in found.items():
            wanted[key].take(self, rows, numbers)
