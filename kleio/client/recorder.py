"""The logger of an experiment."""

from __future__ import annotations

from kleio.client.logger import Logger
from kleio.core.descriptors import retire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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

    @property
    def active(self) -> bool:
        """Whether what is logged is recorded: its experiment is open."""
        return bool(self._directory) and self._append is not nowhere

    def attach(self, spool: str) -> None:
        self._directory, self._append = spool, None

    def tell(self, message: str) -> None:
        """Say it, once a process."""
        if message not in _said:
            if len(_said) < _MOST_SAID:
                _said.add(message)
            self._say(message)

    def finish(self, error: BaseException | None) -> None:
        """Nothing more is logged; what was added and not committed is, unless ``error`` ended it."""
        try:
            if self._outside:
                self._outside[0].writes_to(self)  # ``kleio_logger``, by which it may have been begun, is no longer this one
                self._outside[0].__exit__(type(error) if error else None, error, None)
        finally:
            refusals, self._refusals = self._refusals, None
            if refusals is not None:
                refusals.leave(over=True)
            writers, self._append, self._writers = self._writers, nowhere, {}
            for writer in list(writers.values()):  # another thread may just begin one
                retire(writer.fd)

    def forked(self) -> None:
        self._forked()
        if not self._directory:
            self._append = nowhere

    def _begin(self) -> Callable[[str], None]:
        return super()._begin() if self._directory else nowhere


def nowhere(line: str) -> None:
    """It is not recorded; that was said, or asked for."""
