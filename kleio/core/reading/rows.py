"""Statistics as rows: what a trial logged, a segment at a time, in the order of their times."""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from kleio.core import lineage, statistics
from kleio.core.lookup import by_stream
from kleio.core.scopes import Scopes, is_statistic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.lookup import Key
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry

STREAM = "statistics"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def moment(nanoseconds: int) -> datetime.datetime:
    """A time in UTC, to the microsecond."""
    return EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)


class Row(Mapping[str, "Any"]):
    """One ``log_statistic`` call: a mapping from flat keys (nested ones joined with ``/``) to values, those of its scopes.

    ``nanoseconds`` is when, since the epoch; ``trial`` the id of the trial that was read, ``execution`` that of the execution
    that logged it. Values are put together when the first is asked for.
    """

    __slots__ = ("_around", "_flat", "_own", "execution", "nanoseconds", "trial")

    def __init__(
        self, own: Mapping[str, Any], nanoseconds: int, trial: str, execution: str, around: Mapping[str, Any] | None = None
    ) -> None:
        self._own, self._around = own, around
        self._flat: dict[str, Any] | None = None
        self.nanoseconds, self.trial, self.execution = nanoseconds, trial, execution

    @property
    def time(self) -> datetime.datetime:
        """When, in UTC, to the microsecond."""
        return moment(self.nanoseconds)

    def _all(self) -> dict[str, Any]:
        if self._flat is None:
            self._flat = dict(statistics.flat({**self._around, **self._own} if self._around else self._own))
        return self._flat

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"<{self.time:%Y-%m-%d %H:%M:%S.%f} {self._all()!r}>"


@dataclass(slots=True)
class _Stream:
    """One writer's part of what a trial sees: the bytes before ``end`` of what ``owner`` emitted.

    ``earliest`` has for each of its segments the earliest time in it or any later one; ``limit`` is the last time that counts.
    """

    entry: str
    key: Key
    owner: str
    limit: int | None
    scopes: Scopes
    end: int = 0
    earliest: list[int] = field(default_factory=list)


def in_order(
    journal: Journal, entries: Sequence[Entry], all_executions: bool = False, stream: str = STREAM
) -> Iterator[Row]:
    """The statistics that trials see, in the order of their times: those that are in the journal when the first is asked for.

    Segments are read twice: first what they tell of scopes and between which times they lie, then, in turn, what is in them.
    No more of them are held than overlap in time.
    """
    streams = [one for entry in entries for one in _surveyed(journal, entry, all_executions, stream)]
    reading = [_rows(journal, stream) for stream in streams]
    opened = [0] * len(streams)
    waiting: list[tuple[int, int, int, Row]] = []
    while left := [(one.earliest[opened[at]], at) for at, one in enumerate(streams) if opened[at] < len(one.earliest)]:
        before, at = min(left)
        ready = bisect_left(waiting, (before,))
        yield from (row for *_, row in waiting[:ready])
        del waiting[:ready]
        piece = opened[at]
        opened[at] += 1
        waiting += [(row.nanoseconds, at, (piece << 40) + number, row) for number, row in enumerate(next(reading[at], ()))]
        waiting.sort(key=lambda one: one[:3])
    yield from (row for *_, row in waiting)


def _surveyed(journal: Journal, entry: Entry, all_executions: bool, name: str) -> list[_Stream]:
    """The streams that a trial sees, all that they tell of scopes taken in."""
    inherited = {part.key: part.trial for part in lineage.parts(entry.trial)}
    limits = {} if all_executions else lineage.limits(journal, lineage.parts(entry.trial), entry)
    scopes = Scopes()
    found = []
    for key, segments in lineage.seen(journal, entry.trial, (name,)):
        stream = _Stream(entry.id, key, inherited.get(key, entry.id), limits.get(key[0]), scopes)
        for segment in segments:
            if segment.end <= stream.end:
                continue
            with statistics.legible(segment.trial):
                packed = statistics.Packed(segment.payload)
                times = statistics.integers(packed.times)
            for record in statistics.unpacked(segment) if packed.runs else ():
                if record.offset >= stream.end and not is_statistic(record) and _counts(record, stream):
                    scopes.take(key, record)
            stream.earliest.append(min(times, default=lineage.EVERYTHING))
            stream.end = segment.end
        stream.earliest = list(accumulate(reversed(stream.earliest), min))[::-1]
        found.append(stream)
    return found


def _counts(record: Record, stream: _Stream) -> bool:
    return stream.limit is None or record.time <= stream.limit


def _rows(journal: Journal, stream: _Stream) -> Iterator[list[Row]]:
    """Those of each segment."""
    around: dict[str, Mapping[str, Any]] = {}
    for _, segments in by_stream(journal, stream.owner, (stream.key[2],), until={stream.key: stream.end}):
        for segment, covered in statistics.in_turn(segments):
            rows = []
            for record in statistics.unpacked(lineage.clipped(segment, stream.end)):
                if record.offset < covered or not is_statistic(record) or not _counts(record, stream):
                    continue
                if record.mark and record.mark not in around:
                    scope = stream.scopes.of(stream.key, record)
                    around[record.mark] = scope.values if scope else {}
                rows.append(Row(record.values, record.time, stream.entry, stream.key[0], around.get(record.mark)))
            yield rows
