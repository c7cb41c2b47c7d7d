"""What grows in a spool, one stream of one writer at a time, as byte ranges that may be sent again without harm.

A stream grows; its last, unfinished range is sent again with the same start and a later end, and replaces itself in
the journal, until it is large enough to be left alone. So a record is in the journal a moment after it was written, and
yet no trail of tiny segments remains.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from kleio.core import output, statistics
from kleio.core.journal.base import Segment, Summary
from kleio.core.shared_times import TICK, SharedTimes
from kleio.core.spool import SHARED, SYSTEM, LineReader, parse_line
from kleio.core.statistics import Record, Summariser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kleio.core.spool import Spool

SEALED = 1 << 16  # bytes from which a range is left alone
OUTPUT_PIECE = 1 << 20
LINES_PIECE = 1 << 18
ARTIFACTS = "artifacts"
RESOURCES = "resources"
UNREADABLE = "unreadable"
"""The stream of lines that could not be read, at the offsets where they stood."""


@dataclass(slots=True)
class Source:
    """Whose records are shipped."""

    spool: Spool
    trial: str
    execution: str
    over: bool = False
    """Whether the command has ended, so that what stands in the spool is all there will be."""


class Stream(ABC):
    """One stream of one writer. ``shipped`` is the offset up to which the journal has it."""

    def __init__(self, source: Source, writer: str, stream: str, shipped: int) -> None:
        self._source, self.writer, self._stream = source, writer, stream
        self._start = self._read_to = self.shipped = shipped
        self._unsent: list[Segment] = []

    def segments(self) -> list[Segment]:
        """What to send: again what an error may have kept from arriving, else what is new."""
        if not self._unsent:
            self._unsent = list(self._new())
        return self._unsent

    @abstractmethod
    def _new(self) -> Iterator[Segment]:
        """What has come since the last call, read from the spool."""

    def sent(self) -> None:
        """The journal has what :meth:`segments` gave."""
        self.shipped = self._read_to
        self._unsent = []
        if self._read_to - self._start >= SEALED:
            self._seal()

    def _seal(self) -> None:
        self._start = self._read_to

    def _segment(self, stream: str, payload: bytes, dropped: bool = False) -> Segment:
        own = self._source
        return Segment(own.trial, own.execution, self.writer, stream, self._start, self._read_to, payload, dropped)

    def artifacts(self) -> list[Record]:
        """The records whose bytes go before them."""
        return []

    def inputs(self) -> Iterator[str]:
        """The contents that they tell were read, by which the execution is found again."""
        yield from ()

    def summaries(self) -> Iterable[Summary]:
        """Of everything read so far."""
        return ()


class LineStream(Stream):
    """Statistics, artifacts or the like of one writer."""

    def __init__(
        self, source: Source, writer: str, stream: str, shipped: int, ahead: Sequence[tuple[int, int]] = ()
    ) -> None:
        """``ahead`` are ranges beyond ``shipped`` that the journal has as well."""
        super().__init__(source, writer, stream, 0)
        self._ahead = sorted(ahead)
        self._path = source.spool.file(f"{writer}.{stream}")
        self._reader = LineReader(self._path)
        self._cut_off = 0
        self._touched: int | None = None
        self._times = SharedTimes(source.spool) if writer == SHARED else None
        self._records: list[Record] = []
        self._unreadable: list[Record] = []
        self._summary = Summariser()
        while self._read_to < shipped and self._read(min(LINES_PIECE, shipped - self._read_to)):
            self._seal()  # what an earlier launcher shipped is only summarised again
        self.shipped = self._read_to

    def _new(self) -> Iterator[Segment]:
        if not self._read(self._until_ahead()) and not self._finished_by_hand():
            return
        packed = self._packed()
        if packed is not None:
            yield self._segment(self._stream, packed)
        if self._unreadable:
            yield self._segment(f"{UNREADABLE}-{self._stream}", statistics.pack(self._unreadable))

    def _until_ahead(self) -> int:
        """How much to read at most. What went ahead is passed over: a range ends before it, and the next begins behind it."""
        while self._ahead and self._ahead[0][0] <= self._read_to:
            _, end = self._ahead.pop(0)
            if end > self._read_to:
                self.shipped = self._read_to = end
                self._seal()
        return min(LINES_PIECE, self._ahead[0][0] - self._read_to) if self._ahead else LINES_PIECE

    def _read(self, at_most: int) -> bool:
        now, at, position = self._time(), self._read_to, self._position()
        data = self._reader.read(position, at_most)
        for line in data.splitlines(keepends=True):
            position += len(line)
            known = self._times.written(position) if self._times and not self._cut_off else None
            self._take(line, at, known or now)
            at += len(line)
        self._read_to += len(data)
        self._note_touch()
        return bool(data)

    def _position(self) -> int:
        """Where to go on in the file. Who wrote ``>`` for ``>>`` began it anew; the stream goes on all the same."""
        position = self._read_to - self._cut_off
        if self.writer == SHARED:
            now = os.stat(self._path)
            if now.st_size < position or (now.st_size == position and self._touched not in (None, now.st_mtime_ns)):
                self._cut_off, position = self._read_to, 0
        return position

    def _note_touch(self) -> None:
        """Remember when the file was written last, if all of it has been read."""
        if self.writer == SHARED:
            now = os.stat(self._path)
            self._touched = now.st_mtime_ns if now.st_size == self._read_to - self._cut_off else None

    def _take(self, line: bytes, at: int, now: int) -> None:
        try:
            parsed = parse_line(line, self.writer == SHARED, now)
            if parsed is not None:
                record = Record(at, *parsed)
                self._records.append(record)
                self._summary.add(record)
        except Exception:  # noqa: BLE001 - a line may hold anything, and none may stop the others
            self._set_aside(at, now, line.decode("utf-8", "replace"))

    def _set_aside(self, at: int, now: int, line: str) -> None:
        self._unreadable.append(Record(at, now, {"line": line[:2000]}))

    def _packed(self) -> bytes | None:
        """The open range's records; those that cannot be packed are set aside. None if nothing is left."""
        try:
            return statistics.pack(self._records) if self._records else None
        except Exception:  # noqa: BLE001 - as above
            for record in self._records[:]:
                try:
                    statistics.pack([record])
                except Exception:  # noqa: BLE001
                    self._records.remove(record)
                    self._set_aside(record.offset, record.time, repr(record.values)[:2000])
            return statistics.pack(self._records) if self._records else None

    def _finished_by_hand(self) -> bool:
        """A last line without newline that is whole all the same: ``printf '{"loss": 1}' >> "$KLEIO_STATISTICS"``."""
        if self.writer != SHARED or not self._source.over:
            return False
        with open(self._path, "rb") as file:
            file.seek(self._position())
            line = file.read(LINES_PIECE)
        if not line.rstrip().endswith(b"}"):
            return False
        self._take(line, self._read_to, self._time())
        self._read_to += len(line)
        return True

    def _time(self) -> int:
        """For lines that carry no time, and that nobody looked at: when the file was last written."""
        if self._times is not None:
            self._times.look()
        return min(os.stat(self._path).st_mtime_ns + TICK, time.time_ns())

    def everything(self) -> Iterator[Record]:
        """Every record that is in the file now."""
        while self._read(LINES_PIECE):
            yield from self._records
            self._seal()

    def artifacts(self) -> list[Record]:
        return self._records if self._stream == ARTIFACTS else []

    def inputs(self) -> Iterator[str]:
        for record in self._records if self._stream == RESOURCES else ():
            if record.values.get("kind") == "file" and record.values.get("sha256"):
                yield str(record.values["sha256"])

    def _seal(self) -> None:
        super()._seal()
        self._records, self._unreadable = [], []

    def summaries(self) -> Iterable[Summary]:
        if self._stream in ("statistics", SYSTEM) and self._summary.keys:
            own = self._source
            yield Summary(own.trial, own.execution, self.writer, self._read_to, self._summary.keys)


class Analysed:
    """A trial that is analysed: what is said of it and not sealed, from the offset ``start`` on, and all of it summarised.

    The journal had what lies before ``known`` when shipping began.
    """

    __slots__ = ("end", "known", "new", "records", "size", "start", "summary")

    def __init__(self, known: int) -> None:
        self.known = self.start = known
        self.end = self.size = 0
        self.new = False
        self.records: list[Record] = []
        self.summary = Summariser()

    def take(self, record: Record, size: int) -> None:
        """One more line, of ``size`` bytes."""
        self.summary.add(record)
        self.end = record.offset + size
        if record.offset >= self.known:
            self.records.append(record)
            self.new, self.size = True, self.size + size

    def sent(self, end: int) -> None:
        """The journal has all before ``end``."""
        self.new = False
        if self.size >= SEALED:
            self.start, self.records, self.size = end, [], 0


class AnalysisStream(LineStream):
    """What one process says of other trials: each line goes to the trial that it names.

    Each of them gets a stream of its own in the journal, with the offsets of the one file, whose segments follow each other
    without a gap whoever else is named between. ``begin`` is called when a trial is first named, with the time in seconds; it
    says up to which offset the journal has what is said of it, or None if there is no such trial.
    """

    def __init__(self, source: Source, writer: str, stream: str, begin: Callable[[str, float], int | None]) -> None:
        self._begin = begin
        self._trials: dict[str, Analysed] = {}
        self._taken: list[tuple[str, float, Record, bytes]] = []
        super().__init__(source, writer, stream, 0)

    def _take(self, line: bytes, at: int, now: int) -> None:
        try:
            parsed = parse_line(line, False, now)
            if parsed is not None:
                said = parsed[1]
                record = Record(at, int(said["at"]), dict(said["values"]))
                statistics.pack([record])
                self._taken.append((str(said["trial"]), parsed[0] / 1e9, record, line))
        except Exception:  # noqa: BLE001 - as above
            self._set_aside(at, now, line.decode("utf-8", "replace"))

    def _new(self) -> Iterator[Segment]:
        while self._read(LINES_PIECE) or self._taken:
            self._hand_out()
            if self._unreadable or any(one.new for one in self._trials.values()):
                break  # else the journal has all of this already
        else:
            return
        own = self._source
        for trial, one in self._trials.items():
            if one.new:
                packed = statistics.pack(one.records)
                yield Segment(trial, own.execution, self.writer, self._stream, one.start, self._read_to, packed)
        if self._unreadable:
            yield self._segment(f"{UNREADABLE}-{self._stream}", statistics.pack(self._unreadable))

    def _hand_out(self) -> None:
        """Give each line that was read to its trial. An error of the journal leaves the rest for the next time."""
        while self._taken:
            trial, when, record, line = self._taken[0]
            one = self._trials.get(trial) or self._first(trial, when)
            if one is None:
                self._set_aside(record.offset, record.time, line.decode("utf-8", "replace"))
            else:
                one.take(record, len(line))
            self._taken.pop(0)

    def _first(self, trial: str, when: float) -> Analysed | None:
        known = self._begin(trial, when)
        if known is None:
            return None
        self._trials[trial] = Analysed(known)
        return self._trials[trial]

    def sent(self) -> None:
        super().sent()
        for one in self._trials.values():
            if one.new:
                one.sent(self._read_to)

    def summaries(self) -> Iterable[Summary]:
        own = self._source
        for trial, one in self._trials.items():
            yield Summary(trial, own.execution, self.writer, one.end, one.summary.keys)


class OutputStream(Stream):
    """What the command printed on one channel."""

    def __init__(self, source: Source, writer: str, stream: str, shipped: int) -> None:
        super().__init__(source, writer, stream, shipped)
        self._times = output.Times(source.spool.path, stream)

    def _new(self) -> Iterator[Segment]:
        piece = self._next()
        if piece is None:
            return
        if piece.start > self._read_to:
            self._start, self._read_to = self._read_to, piece.start
            yield self._segment(self._stream, b"", dropped=True)
            self._start = piece.start
        self._start = max(self._start, piece.start)
        data = output.read_piece(piece, self._start, min(piece.end, self._start + OUTPUT_PIECE))
        self._read_to = self._start + len(data)
        yield self._segment(self._stream, output.pack(data, self._times.within(self._start, self._read_to)))

    def _next(self) -> output.Piece | None:
        """The spool file that goes on where reading stopped. Those of the tail come and go until the end."""
        for piece in output.pieces(self._source.spool.path, self._stream):
            if piece.end > self._read_to and (piece.start == 0 or self._source.over):
                return piece
        return None
