"""The logger of an experiment."""

from __future__ import annotations

import os

from kleio.client.logger import Logger, _report
from kleio.core.spool import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MOST_SAID = 1000
_MOST_RETIRED = 8
_said: set[str] = set()
_retired: list[Writer] = []


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

    def finish(self, error: BaseException | None) -> None:
        """Nothing more is logged; what was added and not committed is, unless ``error`` ended it."""
        try:
            if self._outside is not None:
                self._outside.__exit__(type(error) if error else None, error, None)
        finally:
            refusals, self._refusals = self._refusals, None
            if refusals is not None:
                refusals.leave(over=True)
            writers, self._append, self._writers = self._writers, nowhere, {}
            for writer in writers.values():
                _retire(writer)

    def forked(self) -> None:
        self._forked()
        if not self._directory:
            self._append = nowhere

    # ``kleio_logger`` may become another experiment's logger while one of its calls is at work in another thread. So what
    # takes several steps takes them with one and the same state.

    def _begin(self) -> Callable[[str], None]:
        state = self.__dict__
        if not state["_directory"]:
            return nowhere
        try:
            begun: Callable[[str], None] = _writer_of(state, "statistics").append
        except OSError as error:
            self._refuse(error)
            return nowhere
        state["_append"] = begun
        return begun

    def _writer(self, stream: str) -> Writer:
        return _writer_of(self.__dict__, stream)


def _writer_of(state: dict[str, Any], stream: str) -> Writer:
    writers: dict[str, Writer] = state["_writers"]
    writer = writers.get(stream)
    if writer is None:
        if not writers:
            _report(state["_directory"])
        writer = writers[stream] = Writer(state["_directory"], stream)
    return writer


def _retire(writer: Writer) -> None:
    """Close it, but not at once: another thread may be about to write, to a number that would be some other file's by then."""
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nothing, writer.fd, inheritable=False)
    os.close(nothing)
    _retired.append(writer)
    if len(_retired) > _MOST_RETIRED:
        _retired.pop(0).close()


def nowhere(line: str) -> None:
    """It is not recorded; that was said, or asked for."""
