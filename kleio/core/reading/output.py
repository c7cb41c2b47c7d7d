"""What a trial printed, as bytes, as text and by lines."""

from __future__ import annotations

from kleio.core import lineage
from kleio.core.output import Collapser
from kleio.core.reading.readonly import ReadOnly

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Sequence

    from kleio.core.reading.source import Source
    from kleio.core.trial import Entry


class Output(ReadOnly):
    """What a trial printed on some of its streams: what it inherits first, then its executions in their order.

    It is read anew by each use, so that of a trial that runs it grows. ``str(output)`` is its :attr:`text`. Iterating gives
    its lines one at a time, in memory for one batch of output. Raises JournalError and JournalUnreachable when it is read.
    """

    _source: Source
    _entry: Entry
    _streams: Sequence[str]

    def __init__(self, source: Source, entry: Entry, streams: Sequence[str]) -> None:
        self.__dict__.update(_source=source, _entry=entry, _streams=streams)

    @property
    def bytes(self) -> bytes:
        """Every byte as it was printed, all states of progress bars included."""
        return b"".join(self._pieces())

    @property
    def text(self) -> str:
        """As UTF-8, with what is none replaced. Of what a carriage return overwrote, as a progress bar does, only the last."""
        return b"".join(self._shown()).decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        """The lines of :attr:`text`, without their ends."""
        return list(self)

    def __iter__(self) -> Iterator[str]:
        unfinished: list[builtins.bytes] = []
        for piece in self._shown():
            first, *others = piece.split(b"\n")
            unfinished.append(first)
            for line in others:
                yield _line(b"".join(unfinished))
                unfinished = [line]
        if any(unfinished):
            yield _line(b"".join(unfinished))

    def __str__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return any(self._pieces())

    def __repr__(self) -> str:
        return f"<what trial {self._entry.id[:7]} printed on {' and '.join(self._streams)}>"

    def _pieces(self) -> Iterator[builtins.bytes]:
        return lineage.printed(self._source.journal, self._entry, self._streams)

    def _shown(self) -> Iterator[builtins.bytes]:
        collapser = Collapser()
        for piece in self._pieces():
            yield collapser.feed(piece)
        yield collapser.rest()


def _line(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
