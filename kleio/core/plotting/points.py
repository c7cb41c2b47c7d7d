"""The points of one trial, read a segment at a time: what is in a segment is unpacked once, and only the keys that are drawn.

A plot that follows a run reads what has come since it looked last. NumPy would take longer to import than it saves here.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import chain, islice
from operator import le

from kleio.core import lineage, statistics
from kleio.core.lookup import by_stream
from kleio.core.plotting.curves import NUMBER, TIME
from kleio.core.resuming import order_of
from kleio.core.scopes import Scopes, is_statistic
from kleio.core.spool import SYSTEM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal, Segment
    from kleio.core.lookup import Key
    from kleio.core.plotting.thinning import Line
    from kleio.core.trial import Entry

    Values = Sequence[Any]
    _Run = tuple[Sequence[int], Sequence[float], Sequence[float]]

STREAM = "statistics"


class _Piece:
    """What counts of a segment: ``times`` in nanoseconds, and for each key a value a row, None where there is none.

    ``runs`` are (first row, row behind, mark) of rows in scopes.
    """

    __slots__ = ("columns", "key", "runs", "times")

    def __init__(self, key: Key, times: Sequence[int], columns: dict[str, Values], runs: list[tuple[int, int, str]]) -> None:
        self.key, self.times, self.columns, self.runs = key, times, columns, runs


class Points:
    """What a trial logged of ``keys``, flat names, up to when it was read last. Nothing of what was given up by resuming."""

    def __init__(self, journal: Journal, entry: Entry, keys: Sequence[str], all_executions: bool = False) -> None:
        self._journal, self._keys, self._all = journal, tuple(dict.fromkeys(keys)), all_executions
        self._streams = (STREAM,) if all(map(statistics.is_logged, keys)) else (STREAM, SYSTEM)
        self.entry = entry
        self._pieces: list[_Piece] = []
        self._scopes = Scopes()
        self._at: dict[Key, int] | None = None
        self._limits: dict[str, int] = {}
        self._started: dict[str, int] = {}

    def read(self, entry: Entry, gaps: bool = True) -> bool:
        """Take in what is new of the trial, which is ``entry`` now; whether there was anything.

        What lies behind a gap, which is yet to be filled while a trial runs, is left for later unless ``gaps``.
        """
        self.entry = entry
        self._learn()
        new = False
        for key, segments in self._unread():
            assert self._at is not None
            for segment in segments:
                covered = self._at.get(key, 0)
                if segment.end <= covered or (segment.start > covered and not gaps):
                    continue
                self._pieces += self._opened(key, segment, covered)
                self._at[key] = segment.end
                new = True
        return new

    def _unread(self) -> Iterator[tuple[Key, Iterator[Segment]]]:
        """Of what it inherits nothing is ever new, and samples of the machine are not inherited."""
        if self._at is None:
            self._at = {}
            yield from lineage.seen(self._journal, self.entry.trial, (STREAM,))
            yield from by_stream(self._journal, self.entry.id, self._streams[1:]) if SYSTEM in self._streams else ()
        else:
            yield from by_stream(self._journal, self.entry.id, self._streams, self._at)

    def _learn(self) -> None:
        """Up to when executions count, and when they started."""
        parts = lineage.parts(self.entry.trial)
        self._limits = {} if self._all else lineage.limits(self._journal, parts, self.entry)
        for entry in (self.entry, *map(self._journal.entry, dict.fromkeys(part.trial for part in parts))):
            self._started |= {one.id: int(one.started * 1e9) for one in entry.executions} if entry else {}

    # -- a segment -------------------------------------------------------------------------------------------------

    def _opened(self, key: Key, segment: Segment, covered: int) -> Iterator[_Piece]:
        with statistics.legible(segment.trial):
            packed = statistics.Packed(segment.payload)
        if any(not mark[1:].isdigit() for _, mark in packed.runs if mark):
            yield from self._told(key, segment, covered)
            return
        with statistics.legible(segment.trial):
            columns = {one: found for one in self._keys if (found := _column(packed, one)) is not None}
            if not columns and not packed.runs:
                return
            times = statistics.integers(packed.times)
        ends = [row for row, _ in packed.runs[1:]] + [packed.count] * bool(packed.runs)
        runs = [(row, end, mark) for (row, mark), end in zip(packed.runs, ends, strict=True) if mark]
        if segment.start < covered:
            first = bisect_right(statistics.integers(packed.offsets), covered - 1)
            times, columns = times[first:], {one: values[first:] for one, values in columns.items()}
            runs = [(max(row - first, 0), end - first, mark) for row, end, mark in runs if end > first]
        if times:
            yield _Piece(key, times, columns, runs)

    def _told(self, key: Key, segment: Segment, covered: int) -> Iterator[_Piece]:
        """Of a segment that tells of scopes: record by record."""
        kept = []
        for record in statistics.unpacked(segment):
            if record.offset >= covered:
                self._scopes.take(key, record)
                if is_statistic(record):
                    kept.append(record)
        rows = [dict(statistics.flat(record.values)) for record in kept]
        columns: dict[str, Values] = {one: [row.get(one) for row in rows] for one in self._keys}
        runs = [(row, row + 1, record.mark) for row, record in enumerate(kept) if record.mark]
        if kept:
            yield _Piece(key, [record.time for record in kept], columns, runs)

    # -- curves ----------------------------------------------------------------------------------------------------

    def line(self, key: str, across: str) -> Line:
        """x and y of a key, in the order of their times; of points that have both as numbers. x is of the key ``across``, TIME
        in seconds, or NUMBER.
        """
        before = self._before() if across == TIME else {}
        runs = [run for piece in self._pieces if (run := self._run(piece, key, across, before)) is not None]
        times, x, y = (_joined([run[part] for run in runs]) for part in range(3))
        if not all(map(le, times, islice(times, 1, None))):
            order = sorted(range(len(times)), key=times.__getitem__)
            x, y = [x[at] for at in order], [y[at] for at in order]
        return (range(len(y)), y) if across == NUMBER else (x, y)

    def _run(self, piece: _Piece, key: str, across: str, before: Mapping[str, int]) -> _Run | None:
        """Times, x and y of what a piece has of both."""
        times, y = piece.times, self._values(piece, key)
        x = self._elapsed(piece, before) if across == TIME else times if across == NUMBER else self._values(piece, across)
        limit = lineage.EVERYTHING if piece.key[2] == SYSTEM else self._limits.get(piece.key[0], lineage.EVERYTHING)
        if x is None or y is None:
            return None
        if _numeric(x) and _numeric(y) and max(times, default=0) <= limit:
            return times, x, y
        rows = [(when, *map(_number, both)) for when, *both in zip(times, x, y, strict=True) if when <= limit]
        kept = [row for row in rows if None not in row]
        return tuple(zip(*kept, strict=True)) if kept else None  # type: ignore[return-value]

    def _values(self, piece: _Piece, key: str) -> Values | None:
        """With what rows inherit of their scopes."""
        own = piece.columns.get(key)
        if not piece.runs:
            return own
        values = list(own) if own is not None else [None] * len(piece.times)
        for first, end, mark in piece.runs:
            scope = self._scopes.of(piece.key, statistics.Record(0, 0, {}, mark))
            inherited = dict(statistics.flat(scope.values)).get(key) if scope else None
            if inherited is not None:
                values[first:end] = [inherited if one is None else one for one in values[first:end]]
        return values

    # -- time ------------------------------------------------------------------------------------------------------

    def _elapsed(self, piece: _Piece, before: Mapping[str, int]) -> Sequence[float]:
        """Seconds that the trial had run: pauses between executions do not count."""
        start = before.get(piece.key[0])
        if start is not None:
            return [(when - start) / 1e9 for when in piece.times]
        starts = sorted((self._started[one], start) for one, start in before.items())  # somebody else said it, of any of them
        places = [max(bisect_right(starts, (when, lineage.EVERYTHING)) - 1, 0) for when in piece.times]
        return [(when - starts[at][1]) / 1e9 for when, at in zip(piece.times, places, strict=True)] if starts else []

    def _before(self) -> dict[str, int]:
        """For each execution what is to be taken from its times: when it started, less how long those before it ran."""
        last: dict[str, int] = {}
        for piece in self._pieces:
            last[piece.key[0]] = max(piece.times[-1], last.get(piece.key[0], 0))
        ended = {one.id: int(one.ended * 1e9) for one in self.entry.executions if one.ended is not None}
        found: dict[str, int] = {}
        ran = 0
        for execution in order_of(self.entry):
            started, limit = self._started.get(execution), self._limits.get(execution, lineage.EVERYTHING)
            if started is None or limit == 0:
                continue
            found[execution] = started - ran
            ran += max(min(ended.get(execution, last.get(execution, started)), limit) - started, 0)
        return found


def _column(packed: statistics.Packed, key: str) -> Values | None:
    """The values of a flat key, a row each; None if no row has it."""
    found: Values | None = None
    for name in packed.names:
        if key != name and not key.startswith(f"{name}/"):
            continue
        rows, kind, block = packed.column(name)
        if kind != "j" and key != name:
            continue
        values: Values = statistics.unpack_column(kind, block)  # type: ignore[assignment]
        if kind == "j":
            values = [dict(statistics.flat({name: value})).get(key) for value in values]
        if rows is not None:
            spread: list[Any] = [None] * packed.count
            for row, value in zip(statistics.integers(rows), values, strict=True):
                spread[row] = value
            values = spread
        found = values if found is None else [a if b is None else b for a, b in zip(found, values, strict=True)]
    return found


def _numeric(values: Values) -> bool:
    """Whether all are numbers that need no look: columns of floats and of integers below 2**62 are."""
    return hasattr(values, "typecode") or isinstance(values, range) or {int, float}.issuperset(map(type, values))


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        try:
            float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
        return value
    return None


def _joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """As one; that of a single piece is not copied."""
    if len(parts) == 1:
        return parts[0]
    return list(chain.from_iterable(parts))
