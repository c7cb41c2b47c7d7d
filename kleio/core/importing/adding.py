"""What a series has that the journal has not, and how it is added to a stream."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from kleio.core import statistics
from kleio.core.importing.found import STEPS, Row, stepped
from kleio.core.journal.base import Segment
from kleio.core.lookup import by_stream
from kleio.core.statistics import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal

MOST = 4096
HEAVIEST = 1 << 20
"""Records, and about how many bytes, in one segment: the same however often a series is read, so that of two who import it at
the same time each sends what the other sends."""


class Stream:
    """One stream of one writer, as the journal has it, and what is added. Records are numbered: these are its offsets."""

    def __init__(self, journal: Journal, trial: str, execution: str, writer: str, stream: str) -> None:
        self._journal, self._trial, self._key = journal, trial, (execution, writer, stream)
        self.end = journal.extents(execution, trial).get((writer, stream), 0)
        self._open: list[Record] = []
        self._weight = 0

    @property
    def next(self) -> int:
        """The number of the record that is added next."""
        return self.end + len(self._open)

    def stored(self) -> Iterator[Record]:
        """What the journal has of it, without what may lie behind a gap."""
        if self.end:
            for _, segments in by_stream(self._journal, self._trial, (self._key[2],), until={self._key: self.end}):
                yield from statistics.records(segments)

    def add(self, moment: int, values: Mapping[str, Any]) -> Record:
        """One more record. Raises JournalError."""
        record = Record(self.next, moment, values)
        self._open.append(record)
        self._weight += sum(map(_weight, values.values()))
        if len(self._open) >= MOST or self._weight >= HEAVIEST:
            self.flush()
        return record

    def flush(self) -> None:
        """Store what was added."""
        if self._open:
            execution, writer, stream = self._key
            packed = statistics.pack(self._open)
            self._journal.append([Segment(self._trial, execution, writer, stream, self.end, self.next, packed)])
            self.end, self._open, self._weight = self.next, [], 0


def _weight(value: Any) -> int:
    return len(value) if isinstance(value, str) else 8 * len(str(value)) if isinstance(value, (list, dict)) else 8


def additions(stored: Iterator[Record], rows: Iterator[Row], seen: Callable[[Record], None]) -> Iterator[Row]:
    """The ``rows`` that are not ``stored``, which are ``seen``.

    As long as a series only grows, what is stored is its beginning. Where it is not, because points came late or a file was
    written anew, they are compared point by point, and a row holds only what is new in it.
    """
    for record in stored:
        seen(record)
        row = next(rows, None)
        if row is None:
            break
        if (row.time is not None and row.time != record.time) or not _same(row.values, record.values):
            yield from _missing(record, stored, row, rows, seen)
            break
    else:
        yield from rows
    for record in stored:
        seen(record)


def _missing(
    record: Record, stored: Iterable[Record], row: Row, rows: Iterable[Row], seen: Callable[[Record], None]
) -> Iterator[Row]:
    timed = row.time is not None
    known: Counter[tuple[Any, ...]] = Counter(_points(record.time if timed else None, record.values))
    for one in stored:
        seen(one)
        known.update(_points(one.time if timed else None, one.values))
    for own in chain([row], rows):
        new = {}
        for point in _points(own.time, own.values):
            if known[point]:
                known[point] -= 1
            else:
                new[point[2]] = own.values[point[2]]
        if new:
            name = _counted_by(own.values)
            yield Row(own.time, new if name is None else stepped(own.values[name], new))


def _points(moment: int | None, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    name = _counted_by(values)
    step = None if name is None else values[name]
    return [(moment, step, key, repr(value)) for key, value in values.items() if key != name]


def _counted_by(values: Mapping[str, Any]) -> str | None:
    """The name of the step among the values, which alone is no point."""
    return next((one for one in STEPS if one in values), None) if len(values) > 1 else None


def _same(values: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    return values == others or _plain(values) == _plain(others)


def _plain(values: Mapping[str, Any]) -> dict[str, str]:
    """So that what is not a number equals itself."""
    return {key: repr(value) for key, value in values.items()}
