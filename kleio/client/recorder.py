"""The logger of an experiment."""

from __future__ import annotations

from kleio.client.logger import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_MOST_SAID = 1000
_said: set[str] = set()


class Recorder(Logger):
    """Writes to the spool of one experiment; or, before and without one, to nowhere, and silently."""

    def __init__(self, strict: bool) -> None:
        super().__init__(None, strict)
        self._append = nowhere

    @property
    def directory(self) -> str:
        """The spool's; empty when nothing is recorded."""
        return self._directory

    def attach(self, spool: str) -> None:
        self._directory, self._append = spool, None

    def tell(self, message: str) -> None:
        """Say it, once a process."""
        if message not in _said:
            if len(_said) < _MOST_SAID:
                _said.add(message)
            self._say(message)

    def finish(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing more is logged."""
        if self._outside is not None:
            self._outside.__exit__(kind, error, trace)
        for writer in self._writers.values():
            writer.close()
        self._writers, self._append = {}, nowhere

    def forked(self) -> None:
        self._forked()
        if not self._directory:
            self._append = nowhere


def nowhere(line: str) -> None:
    """It is not recorded; that was said, or asked for."""
