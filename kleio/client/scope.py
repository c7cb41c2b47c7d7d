"""Scopes: values that hold for many statistics. How they are told of is in :mod:`kleio.core.scopes`."""

from __future__ import annotations

import itertools
import os
import sys
import threading

from kleio.core.errors import forgiving, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, NoReturn

    from kleio.client.logger import Logger
    from kleio.core.spool import Writer

_numbers = itertools.count(1)
_unfinished: dict[int, Scope] = {}
"""Scopes in which something was added that is not committed yet, of this process."""


class Scope:
    """Named values that hold for the statistics logged in it, and in the scopes inside it. ``number`` counts the scopes of
    this process from 1; ``parent`` is what it is inside of.

    In a ``with`` it ends with it; the exception that ended it, if there was one, is recorded. What a thread, an asyncio task or
    a process adds to a statistic is its own until it commits. What was added and not committed when a ``with`` ends is
    recorded if all went well; after an exception it is kept apart, as the scope's ``uncommitted``. Without ``kleio``
    statistics are printed with the values that they inherit.
    """

    def __init__(self, logger: Logger, parent: Scope | None, values: dict[str, Any]) -> None:
        self._logger, self.parent, self._values = logger, parent, values
        self.number = next(_numbers) if parent is not None else 0
        self._writer: Writer | None = None
        self._mark = ""
        self._origin: list[Any] | None = None
        self._added: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.mark()

    def writes_to(self, logger: Logger) -> None:
        """What is logged in it from now on goes there."""
        self._logger = logger

    @property
    def values(self) -> dict[str, Any]:
        """Its values, and those that it inherits."""
        found: dict[str, Any] = {}
        for scope in reversed(list(self.chain())):
            found |= scope.own
        return found

    @property
    def own(self) -> dict[str, Any]:
        """Its values without those that it inherits."""
        return dict(self._values)

    @forgiving
    def scope(self, /, **values: Any) -> Scope:
        """One inside this one, which inherits its values."""
        return Scope(self._logger, self, values)

    @forgiving
    def set(self, /, **values: Any) -> None:
        """Give it values, or others: what was logged in it before has them too when it is read."""
        self._values = {**self._values, **values}
        self._tell("=", values)

    # -- statistics ----------------------------------------------------------------------------------------------

    def log_statistic(self, /, *wrong: NoReturn, **values: Any) -> None:
        """Record values that belong together, as :meth:`Logger.log_statistic` does."""
        logger = self._logger
        if wrong:
            logger.misused("log_statistic")
            if not values:
                return
        line = logger.line(values)
        if line is not None:
            mark = self._mark if self._writer is logger.statistics else self.mark()
            if mark:
                logger.put(mark + line)
            elif self.parent is None or (whole := logger.line({**self.values, **values})) is None:
                logger.put(line)
            else:
                logger.put(whole)

    @forgiving
    def add(self, /, **values: Any) -> None:
        """Begin a statistic, or add to the one that this thread or task has begun; :meth:`commit` records it."""
        if not _unfinished:
            _watch()
        who = _who()
        self._added.setdefault(who, {}).update(values)
        _unfinished[id(self)] = self

    @forgiving
    def commit(self, /, **values: Any) -> None:
        """Record as one statistic what this thread or task has added, and ``values``; nothing if there is neither."""
        who = _who()
        added = self._added.pop(who, {})
        if not self._added:
            _unfinished.pop(id(self), None)
            if self._added:  # another thread has just begun one
                _unfinished[id(self)] = self
        if added or values:
            self.log_statistic(**{**added, **values})

    @forgiving
    def log_artifact(
        self,
        filename: str,
        artifact: Any,
        /,
        *,
        wait: bool = False,
        keep_last: int | None = None,
        keep_best: str | None = None,
        **meta: Any,
    ) -> None:
        """Keep a copy of ``artifact`` as :meth:`Logger.log_artifact` does, with the scope's values among its metadata."""
        self._logger.keep_artifact(filename, artifact, {**self.values, **meta}, wait, keep_last, keep_best)

    # -- its end -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Scope:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        self.close(error)

    def close(self, error: BaseException | None = None) -> None:
        """It ends here, because of ``error`` if that is given. What is still uncommitted in it, or inside it, is kept apart."""
        for scope in list(_unfinished.values()):  # at once: other threads go on adding
            if self in scope.chain():
                scope.give_up()
        self._tell("-", None, error)

    def give_up(self) -> None:
        """Keep apart what this process has added in it and not committed."""
        _unfinished.pop(id(self), None)
        added, self._added = self._added, {}
        for who, values in [(who, dict(values)) for who, values in list(added.items())]:  # other threads go on adding
            line = self._logger.line(values) if who[0] == os.getpid() and self._logger.active else None
            if line is not None:
                mark = self.mark()
                self._logger.put(f"@!{mark[1:] or '0 '}{line}")

    def chain(self) -> Iterator[Scope]:
        """Itself, and what it is inside of."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    # -- in the stream -------------------------------------------------------------------------------------------

    def mark(self) -> str:
        """What marks a statistic as being in it, in the stream of this process, which is told of it first. Empty for none."""
        logger = self._logger
        if not logger.active or self.parent is None:
            return ""
        if self._writer is None or self._writer is not logger.statistics:
            outside = ""
            for scope in reversed(list(self.chain())):
                outside = scope.begin(outside)
        return self._mark

    def begin(self, outside: str) -> str:
        """Tell of it in the stream of this process, unless that was done; ``outside`` marks its parent there."""
        logger = self._logger
        if self.parent is None or (self._writer is not None and self._writer is logger.statistics):
            return self._mark
        number = next(_numbers) if self._origin else self.number
        told: dict[str, Any] = {"values": self._values, "parent": int(outside[1:]) if outside else None}
        if self._origin is not None:
            told["origin"] = self._origin
        self._put(f"@+{number} ", told)
        self._writer, self._mark = logger.statistics, f"@{number} "
        if self._origin is None and self._writer is not None:
            self._origin = [self._writer.name, number]
        return self._mark

    def _tell(self, what: str, values: dict[str, Any] | None, error: BaseException | None = None) -> None:
        mark = self.mark()
        if mark:
            told = {"error": _described(error)} if values is None else {"values": values}
            self._put(f"@{what}{mark[1:]}", told)

    def _put(self, mark: str, told: dict[str, Any]) -> None:
        """Tell of it; values that cannot be recorded are left out, which was said then."""
        if "values" in told:
            kept = {name: value for name, value in told["values"].items() if self._logger.line({name: value}) is not None}
            told = {**told, "values": kept}
        self._logger.put(f"{mark}{self._logger.line(told)}")


def _who() -> tuple[Any, ...]:
    """The process, thread and asyncio task that we are in: the objects, since their numbers are given out again."""
    task = None
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            pass
    return os.getpid(), threading.current_thread(), task


def _described(error: BaseException | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"type": type(error).__name__, "message": told(error)[:1000]}


def _watch() -> None:
    """What is never committed is kept when the process ends, as far as it ends in order."""
    import atexit

    atexit.unregister(_give_up_all)
    atexit.register(_give_up_all)


def _give_up_all() -> None:
    for scope in list(_unfinished.values()):
        scope.give_up()
