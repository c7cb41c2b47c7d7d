"""Following what a trial prints, through the journal and so from any machine."""

from __future__ import annotations

from kleio.core import output
from kleio.core.lookup import by_stream
from kleio.core.spool import OUTPUT_STREAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kleio.core.journal.base import Journal
    from kleio.core.lookup import Key
    from kleio.core.trial import Entry

FIRST_LOOK = 1 << 16  # bytes from the end; more are read only if they hold too few lines


class Follower:
    """Yields (stream, bytes): first the last lines, then whatever is new. Each byte once."""

    def __init__(self, journal: Journal, entry: Entry) -> None:
        self._journal, self._entry = journal, entry
        self._at: dict[Key, int] = {}

    def refreshed(self) -> Entry:
        """The trial as it is now. Ask before :meth:`news`, so that nothing is missed when it has ended."""
        self._entry = self._journal.entry(self._entry.id) or self._entry
        return self._entry

    def last(self, lines: int) -> Iterator[tuple[str, bytes]]:
        """The last lines of each stream of the latest execution; what came before is passed over."""
        for execution in self._entry.executions:
            extents = self._journal.extents(execution.id, self._entry.id)
            for (writer, stream), end in extents.items():
                if stream in OUTPUT_STREAMS:
                    self._at[execution.id, writer, stream] = end
        if not self._entry.executions:
            return
        latest = self._entry.executions[-1].id
        for key, end in self._at.items():
            if key[0] == latest:
                yield key[2], self._end_of(key, end, lines)

    def _end_of(self, key: Key, end: int, lines: int) -> bytes:
        look = FIRST_LOOK
        while True:
            start = max(end - look, 0)
            data = self._between(key, start, end)
            found = data.splitlines(keepends=True)
            if len(found) > lines or start == 0:
                return b"".join(found[max(len(found) - lines, 0) :])
            look *= 8

    def _between(self, key: Key, start: int, end: int) -> bytes:
        for own, segments in by_stream(self._journal, self._entry.id, (key[2],), {key: start}):
            if own == key:
                return b"".join(output.joined(segments, start))[: end - start]
        return b""

    def news(self) -> Iterator[tuple[str, bytes]]:
        """What has come since the last call, of every execution."""
        for key, segments in by_stream(self._journal, self._entry.id, OUTPUT_STREAMS, self._at):
            start = self._at.get(key, 0)
            for segment in segments:
                if segment.end <= start or segment.start > start:
                    continue  # known already, or after a gap that is yet to be filled
                yield key[2], b"".join(output.joined([segment], start))
                start = self._at[key] = segment.end
