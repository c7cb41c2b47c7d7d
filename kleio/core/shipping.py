"""Spool → journal: the streams of an execution (:mod:`kleio.core.streams`) sent in batches, and bytes before their records."""

from __future__ import annotations

import os
import time

from kleio.core import statistics
from kleio.core.journal.base import Segment, Trace
from kleio.core.resources import INPUT
from kleio.core.spool import ANALYSIS, LINE_STREAMS, SYSTEM
from kleio.core.streams import ARTIFACTS, AnalysisStream, LineStream, OutputStream
from kleio.core.trial import ANALYSED, Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kleio.core.journal.base import Journal
    from kleio.core.stock import Stock
    from kleio.core.streams import Source, Stream

BATCH = 4 << 20  # bytes sent together
LOOK = 0.01  # seconds between looks at what another thread is sending


class Shipper:
    """Ships the streams of one spool that ``wanted`` names, as they appear and grow."""

    def __init__(
        self, source: Source, journal: Journal, wanted: Callable[[str], bool], shipped: dict[tuple[str, str], int]
    ) -> None:
        self._source, self._journal, self._wanted, self._known = source, journal, wanted, shipped
        self._ahead = went_ahead(source, journal, shipped) if shipped else {}
        self.streams: dict[tuple[str, str], Stream] = {}
        self._stock: Stock | None = None
        self._left: set[str] = set()

    def _discover(self) -> None:
        for writer, stream in self._source.spool.streams():
            if self._wanted(stream) and (writer, stream) not in self.streams:
                self.streams[writer, stream] = self._stream(writer, stream)

    def _stream(self, writer: str, stream: str) -> Stream:
        if stream == ANALYSIS:
            return AnalysisStream(self._source, writer, stream, lambda trial, when: self._analyse(trial, when, writer))
        shipped = self._known.get((writer, stream), 0)
        if stream in (*LINE_STREAMS, SYSTEM):
            return LineStream(self._source, writer, stream, shipped, self._ahead.get((writer, stream), ()))
        return OutputStream(self._source, writer, stream, shipped)

    def _analyse(self, trial: str, when: float, writer: str) -> int | None:
        """Tell a trial who analyses it; up to where the journal has that already, or None where there is no such trial."""
        if self._journal.entry(trial) is None:
            return None
        own = self._source
        user = (own.spool.read("launch") or {}).get("execution", {}).get("user")
        data = {"user": user, "trial": own.trial, "execution": own.execution}
        self._journal.record(trial, Event(f"{ANALYSED}-{own.execution}", ANALYSED, when, data=data))
        return self._journal.extents(own.execution, trial).get((writer, ANALYSIS), 0)

    def summarise(self) -> None:
        """Send every summary again: a launcher may have been killed between its records and them."""
        for stream in self.streams.values():
            for summary in stream.summaries():
                self._journal.summarise(summary)

    def behind(self) -> bool:
        """Whether a file of lines has more than the journal, or something is left to be taken away."""
        self._discover()
        files = [(self._source.spool.file(f"{writer}.{stream}"), own) for (writer, stream), own in self.streams.items()]
        left = self._stock is not None and self._stock.pending
        return left or any(os.stat(path).st_size > own.shipped for path, own in files)

    def round(self) -> bool:
        """Send one batch. False when there was nothing to send. Raises JournalError; then call it again."""
        self._discover()
        batch: list[Segment] = []
        ready: list[Stream] = []
        for stream in self.streams.values():
            found = stream.segments()
            if found:
                self._send_bytes(stream)
                batch += found
                ready.append(stream)
                if sum(len(one.payload) for one in batch) > BATCH:
                    break
        if not batch:
            return self._tidied()
        self._journal.append(batch)
        for stream in ready:
            for summary in stream.summaries():
                self._journal.summarise(summary)
            stream.sent()
        self._tidied()
        return True

    def _tidied(self) -> bool:
        """Take away what is not to be kept any more. Whether there is more of it."""
        return self._stock is not None and self._stock.tidy()

    def _send_bytes(self, stream: Stream) -> None:
        """An artifact's bytes are in the journal before its record, so none is ever listed in part."""
        artifacts = stream.artifacts()
        if artifacts:
            self.stock.bring(stream.writer, artifacts)
        inputs = {f"{INPUT}{digest}" for digest in stream.inputs()} - self._left
        if inputs:
            own = self._source
            self._journal.leave([Trace(key, own.trial, own.execution) for key in sorted(inputs)])
            self._left |= inputs

    def ship_newest(self, wanted: Callable[[], bool]) -> None:
        """Ship the newest artifact of each of a few names before all others, while another thread ships those in their order.

        Its record goes as a range of its own, behind a gap that the others will close. What the other thread is just sending is
        waited for as long as that is ``wanted``.
        """
        from kleio.core.stock import Stock

        other = self._stock
        stock = Stock(self._source, self._journal, self._shipped, other)
        own = self._source
        for writer, record, end in stock.newest():
            stream = self.streams.get((writer, ARTIFACTS))
            while other and other.bringing == record.values.get("sha256") and wanted():
                time.sleep(LOOK)
            if wanted() and (stream is None or stream.shipped < end):
                stock.bring(writer, [record])
                packed = statistics.pack([record])
                self._journal.append(
                    [Segment(own.trial, own.execution, writer, ARTIFACTS, record.offset, end, packed)]
                )

    def _shipped(self, writer: str) -> int:
        """Up to where the journal has the artifacts of a writer."""
        stream = self.streams.get((writer, ARTIFACTS))
        return stream.shipped if stream else self._known.get((writer, ARTIFACTS), 0)

    @property
    def stock(self) -> Stock:
        """The bytes of what is logged."""
        if self._stock is None:
            from kleio.core.stock import Stock  # most runs log no artifacts

            self._stock = Stock(self._source, self._journal, self._shipped)
        return self._stock


def went_ahead(
    source: Source, journal: Journal, shipped: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """What the journal has of an execution's artifacts behind a gap: (start, end) by (writer, stream)."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in journal.segments(source.trial, (ARTIFACTS,)):
        if one.execution == source.execution and one.start > shipped.get((one.writer, one.stream), 0):
            found.setdefault((one.writer, one.stream), []).append((one.start, one.end))
    return found
