"""What a script reads back of its trial: statistics, scopes and artifacts, as the launcher answers."""

from __future__ import annotations

import os

from kleio.core.errors import KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

    from kleio.client.logger import Logger


class Statistic(dict):  # type: ignore[type-arg]
    """The values of one ``log_statistic`` call, inherited ones included; ``time`` is when, in seconds since the epoch.

    ``scope`` is what it was logged in, a :class:`LoggedScope`, or None. ``author`` is None, or who computed it later in another
    trial: ``{"user", "trial", "execution"}``.
    """

    __slots__ = ("author", "scope", "time")

    def __init__(
        self,
        values: Mapping[str, Any],
        time: float,
        scope: LoggedScope | None = None,
        author: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(values)
        self.time = time
        self.scope = scope
        self.author = author


class LoggedScope(dict):  # type: ignore[type-arg]
    """The values of a scope, inherited ones included; ``own`` are those without.

    ``number`` counts the scopes of a process from 1. ``start`` and ``end`` are in seconds since the epoch, ``duration`` in
    seconds; a scope that was never left has None for the last two, and one whose beginning is not known for the first.
    ``error`` is None, or the type and message of the exception that ended it. ``uncommitted`` are the values of statistics that
    were begun in it with ``add`` and never committed.
    """

    __slots__ = ("duration", "end", "error", "number", "own", "start", "uncommitted")

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["values"])
        self.number: int = told["number"]
        self.own: dict[str, Any] = told["own"]
        self.start = told["started"] / 1e9 if told["started"] is not None else None
        self.end = told["ended"] / 1e9 if told["ended"] is not None else None
        over = self.start is not None and self.end is not None
        self.duration = max(self.end - self.start, 0.0) if over else None  # type: ignore[operator]  # clocks are set back
        self.error: dict[str, Any] | None = told["error"]
        self.uncommitted: list[dict[str, Any]] = told["uncommitted"]


class LoggedArtifact:
    """An artifact in the journal. ``meta`` are its keyword arguments, ``size`` is in bytes, ``time`` in seconds.

    ``execution`` is the id of the execution that logged it.
    """

    def __init__(self, logger: Logger, values: Mapping[str, Any], time: int, execution: str) -> None:
        self._logger = logger
        self.name: str = values["name"]
        self.sha256: str = values["sha256"]
        self.size: int = values["size"]
        self.meta: dict[str, Any] = dict(values.get("meta", {}))
        self.nanoseconds = time
        self.time = time / 1e9
        self.execution = execution

    def open(self) -> BinaryIO:
        """Its bytes, to be read. Raises KleioError when the launcher cannot get them."""
        for _ in range(3):
            answer = self._logger.ask({"op": "blob", "sha256": self.sha256})
            try:
                return open(answer["path"], "rb")
            except FileNotFoundError:  # shipped in this very moment: it is elsewhere now
                continue
        raise KleioError(f"the bytes of artifact {self.name!r} ({self.sha256[:12]}) cannot be read")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write its bytes to ``path``, whole or not at all."""
        import shutil

        temporary = f"{os.fspath(path)}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        try:
            with self.open() as source, open(temporary, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def __repr__(self) -> str:
        return f"LoggedArtifact({self.name!r}, size={self.size}, meta={self.meta!r})"


def statistics(logger: Logger, request: dict[str, Any]) -> list[Statistic]:
    """Those that a request asks for. Raises KleioError."""
    answer = logger.ask({"op": "statistics", **request})
    around = [LoggedScope(one) for one in answer["scopes"]]
    return [
        Statistic(values, when / 1e9, around[at] if at is not None else None, author)
        for when, values, at, author in answer["records"]
    ]


def scopes(logger: Logger, request: dict[str, Any]) -> list[LoggedScope]:
    """Those that a request asks for. Raises KleioError."""
    return [LoggedScope(one) for one in logger.ask({"op": "scopes", **request})["scopes"]]


def artifacts(logger: Logger, request: dict[str, Any]) -> list[LoggedArtifact]:
    """Those that a request asks for. Raises KleioError."""
    answer = logger.ask({"op": "artifacts", **request})
    return [LoggedArtifact(logger, values, when, execution) for when, values, execution in answer["records"]]
