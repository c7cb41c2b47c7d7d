"""Statistics as columns: segments unpacked with NumPy, a column when it is asked for, and no row looked at on its own.

Imported where NumPy is (100 ms) and is worth it.
"""

from __future__ import annotations

import zlib

import numpy as np

from kleio.core import lineage, statistics
from kleio.core.reading.column import EXACT, Column
from kleio.core.reading.rows import STREAM
from kleio.core.scopes import Scopes
from kleio.core.statistics import Packed, Record
from kleio.core.values import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from kleio.core.journal.base import Journal, Segment
    from kleio.core.lookup import Key
    from kleio.core.trial import Entry

    Values = NDArray[Any] | list[Any]
    Part = tuple[NDArray[Any], Values]
    """Rows, and a value for each."""


def integers(block: statistics.Buffer, count: int) -> NDArray[np.int64]:
    """What :func:`kleio.core.statistics.integers` gives, as int64."""
    return np.cumsum(_planes(block, count).view("<i8")).astype(np.int64, copy=False)


def floats(block: statistics.Buffer, count: int) -> NDArray[np.float64]:
    return _planes(block, count).view("<f8").astype(np.float64, copy=False)


def _planes(block: statistics.Buffer, count: int) -> NDArray[Any]:
    """Planes of bytes, put together again to numbers of eight bytes."""
    data = np.frombuffer(zlib.decompress(block, bufsize=count * 8 + 64), np.uint8)
    return np.ascontiguousarray(data.reshape(8, -1).T).ravel()


class Columns:
    """The statistics that some trials see, in the order of their times. ``times`` are nanoseconds since the epoch.

    ``origins`` are the (trial that is read, execution that logged), ``origin`` has for each row which of them it is of.
    """

    def __init__(
        self, journal: Journal, entries: Sequence[Entry], all_executions: bool = False, stream: str = STREAM
    ) -> None:
        self.origins: list[tuple[str, str]] = []
        self._pieces: list[_Piece] = []
        self._columns: dict[str, Column] = {}
        self._keys: list[str] | None = None
        self.count = 0
        for entry in entries:
            self._read(journal, entry, all_executions, stream)
        self._arrange()

    def _read(self, journal: Journal, entry: Entry, all_executions: bool, stream: str) -> None:
        limits = {} if all_executions else lineage.limits(journal, lineage.parts(entry.trial), entry)
        scopes = Scopes()
        for key, segments in lineage.seen(journal, entry.trial, (stream,)):
            self.origins.append((entry.id, key[0]))
            for segment, covered in statistics.in_turn(segments):
                piece = _Piece(segment, key, covered, limits.get(key[0]), scopes)
                piece.first, piece.origin = self.count, len(self.origins) - 1
                self.count += piece.count
                if piece.count:
                    self._pieces.append(piece)

    def _arrange(self) -> None:
        """Rows are numbered as they were read; here they get their places in the order of their times."""
        read = _joined([piece.times for piece in self._pieces], np.int64)
        origin = np.repeat([piece.origin for piece in self._pieces], [piece.count for piece in self._pieces]).astype(np.int64)
        self._places: NDArray[Any] | None = None
        if len(read) and (read[1:] < read[:-1]).any():
            order = np.argsort(read, kind="stable")
            self._places = np.empty(len(order), np.int64)
            self._places[order] = np.arange(len(order))
            read, origin = read[order], origin[order]
        self.times: NDArray[np.int64] = read
        self.origin: NDArray[np.int64] = origin

    def keys(self) -> list[str]:
        """Flat keys, in the order in which they first appeared."""
        if self._keys is None:
            self._keys = list(dict.fromkeys(key for piece in self._pieces for key in piece.names()))
        return self._keys

    def column(self, key: str) -> Column:
        """Empty for one that is not there."""
        if key not in self._columns:
            self._columns[key] = self._column(key)
        return self._columns[key]

    def _column(self, key: str) -> Column:
        parts = [(rows + piece.first, values) for piece in self._pieces for rows, values in piece.parts(key)]
        rows, values = _joined([rows for rows, _ in parts], np.int64), _together([values for _, values in parts])
        if self._places is not None:
            rows = self._places[rows]
        if (rows[1:] <= rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows, values = rows[order], _picked(values, order)
            last = np.append(rows[1:] != rows[:-1], True)  # of two values of one row the later counts
            if not last.all():
                rows, values = rows[last], _picked(values, np.flatnonzero(last))
        return Column(self.count, None if len(rows) == self.count else rows, values)


def _joined(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def _together(parts: list[Values]) -> Values:
    """As one array of numbers if they are, else as a list."""
    kinds = {part.dtype.kind if isinstance(part, np.ndarray) else "" for part in parts}
    if len(kinds) == 1 and "" not in kinds:
        return np.concatenate(parts)
    if kinds == {"f", "i"} and all(
        part.dtype.kind == "f" or (abs(part.min()) <= EXACT and abs(part.max()) <= EXACT)
        for part in parts if isinstance(part, np.ndarray) and len(part)
    ):  # fmt: skip
        return np.concatenate([part.astype(np.float64) for part in parts if isinstance(part, np.ndarray)])
    return [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]


def _picked(values: Values, rows: NDArray[Any]) -> Values:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]


class _Piece:
    """What counts of a segment: ``count`` rows, numbered from 0. ``first`` is the number of its first row among all."""

    first = origin = 0

    def __init__(self, segment: Segment, key: Key, covered: int, limit: int | None, scopes: Scopes) -> None:
        """``covered`` is the offset up to which rows have been read, ``limit`` the last time that counts."""
        self._trial = segment.trial
        with statistics.legible(self._trial):
            packed = self._packed = Packed(segment.payload)
            times = integers(packed.times, packed.count)
        self._key, self._scopes = key, scopes
        kept: NDArray[Any] = np.ones(packed.count, bool)
        if segment.start < covered:
            kept = integers(packed.offsets, packed.count) >= covered
        if limit is not None:
            kept &= times <= limit
        self._marks = self._told(kept, times)
        self._kept = None if kept.all() else kept
        self._numbers = np.cumsum(kept) - 1 if self._kept is not None else None
        self.times = times if self._kept is None else times[kept]
        self.count = len(self.times)
        self._nested: dict[str, dict[str, Part]] = {}
        self._inherited: dict[str, dict[str, Part]] | None = None

    def _told(self, kept: NDArray[Any], times: NDArray[Any]) -> list[tuple[int, int, str]]:
        """Give what is told of scopes to them, and keep only statistics; (first row, row behind, mark) of those in scopes."""
        runs = self._packed.runs
        if not runs:
            return []
        ends = [*(row for row, _ in runs[1:]), self._packed.count]
        marked = [(row, end, mark) for (row, mark), end in zip(runs, ends, strict=True) if mark]
        telling = [(row, end, mark) for row, end, mark in marked if not mark[1:].isdigit()]
        if telling:
            said = self._said(np.concatenate([np.arange(row, end) for row, end, _ in telling]))
            for row, end, mark in telling:
                for at in range(row, end):
                    if kept[at]:
                        self._scopes.take(self._key, Record(0, int(times[at]), said.get(at, {}), mark))
                kept[row:end] = False
        return [one for one in marked if one[2][1:].isdigit()]

    def _said(self, rows: NDArray[Any]) -> dict[int, dict[str, Any]]:
        """The values of a few rows, as they were packed."""
        found: dict[int, dict[str, Any]] = {}
        for name in self._packed.names:
            own, values = self._unpacked(name)
            for place in np.flatnonzero(np.isin(own, rows)).tolist():
                value = values[place]
                found.setdefault(int(own[place]), {})[name] = value.item() if isinstance(value, np.generic) else value
        return found

    def _unpacked(self, name: str) -> Part:
        """A column of the segment, all of it."""
        block, kind, data = self._packed.column(name)
        count = self._packed.count
        with statistics.legible(self._trial):
            own = np.arange(count) if block is None else integers(block, count)
            if kind == "j":
                return own, loads(zlib.decompress(data))
            return own, floats(data, len(own)) if kind == "f" else integers(data, len(own))

    def _own(self, name: str) -> Part:
        """What counts of a column of this name."""
        rows, values = self._unpacked(name)
        if self._kept is None or self._numbers is None:
            return rows, values
        there = self._kept[rows]
        return self._numbers[rows[there]], _picked(values, np.flatnonzero(there))

    def _flat(self, name: str) -> dict[str, Part]:
        """A column that may hold mappings, as one for each of their leaves."""
        if name not in self._nested:
            rows, values = self._own(name)
            self._nested[name] = _flattened(name, rows, values)
        return self._nested[name]

    # -- what scopes add -----------------------------------------------------------------------------------------

    def _from_scopes(self) -> dict[str, dict[str, Part]]:
        """What rows inherit: by the name that a scope has, by flat key. It is asked for when all scopes have been read."""
        if self._inherited is None:
            found: dict[str, list[tuple[int, int, Any]]] = {}
            for row, end, mark in self._marks:
                scope = self._scopes.of(self._key, Record(0, 0, {}, mark))
                start, stop = self._number(row), self._number(end)
                for name, value in scope.values.items() if scope and start < stop else ():
                    found.setdefault(name, []).append((start, stop, value))
            self._inherited = {name: self._spread(name, runs) for name, runs in found.items()}
        return self._inherited

    def _number(self, row: int) -> int:
        """Of the first row from this one on that counts."""
        if self._numbers is None:
            return row
        return int(self._numbers[row - 1]) + 1 if row else 0

    def _spread(self, name: str, runs: list[tuple[int, int, Any]]) -> dict[str, Part]:
        """Values of scopes, for the rows that have none of their own under this name."""
        rows = np.concatenate([np.arange(start, end) for start, end, _ in runs])
        which = np.repeat(np.arange(len(runs)), [end - start for start, end, _ in runs])
        if name in self._packed.names:
            free = ~np.isin(rows, self._own(name)[0])
            rows, which = rows[free], which[free]
        found: dict[str, Part] = {}
        for key, (places, values) in _flattened(name, np.arange(len(runs)), [value for *_, value in runs]).items():
            numbers = np.full(len(runs), -1)
            numbers[places] = np.arange(len(places))
            own = numbers[which]
            found[key] = (rows[own >= 0], _picked(_as_numbers(values), own[own >= 0]))
        return {key: part for key, part in found.items() if len(part[0])}

    # -- what it is asked ----------------------------------------------------------------------------------------

    def names(self) -> Iterator[str]:
        for part in self._from_scopes().values() if self._marks else ():
            yield from part
        for name, (kind, _, _) in self._packed.names.items():
            if kind == "j":
                yield from self._flat(name)
            elif self._kept is None or len(self._own(name)[0]):
                yield name

    def parts(self, key: str) -> Iterator[Part]:
        """Rows and values that are called so; of two for one row the later counts."""
        names = [key, *(key[:at] for at, letter in enumerate(key) if letter == "/")]
        inherited = self._from_scopes() if self._marks else {}
        yield from (inherited[name][key] for name in names if key in inherited.get(name, ()))
        own = self._packed.names
        for name in sorted((name for name in names if name in own), key=lambda name: own[name][1]):
            if own[name][0] == "j":
                yield from (part for flat, part in self._flat(name).items() if flat == key)
            elif name == key:
                yield self._own(name)


def _as_numbers(values: Values) -> Values:
    kinds = set(map(type, values))
    if kinds == {float}:
        return np.array(values, np.float64)
    if kinds == {int} and all(-(1 << 62) <= value < 1 << 62 for value in values):
        return np.array(values, np.int64)
    return values


def _flattened(name: str, rows: NDArray[Any], values: Values) -> dict[str, Part]:
    """By flat key."""
    if isinstance(values, np.ndarray) or not any(type(value) is dict and value for value in values):
        return {name: (rows, values)} if len(rows) else {}
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for row, value in zip(rows.tolist(), values, strict=True):
        for key, leaf in statistics.flat({name: value}):
            own = found.setdefault(key, ([], []))
            own[0].append(row)
            own[1].append(leaf)
    return {key: (np.array(own), leaves) for key, (own, leaves) in found.items()}
