"""What a script finds out later about another trial; what it says of it is attached to that trial, at the trial's own times."""

from __future__ import annotations

import time

from kleio.client import loaded
from kleio.core.errors import forgiving
from kleio.core.spool import ANALYSIS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any, NoReturn

    from kleio.client.loaded import LoggedArtifact, Statistic
    from kleio.client.logger import Logger

LATEST = 1 << 40
"""Seconds since the epoch; nothing is later."""


class Analysis:
    """Made by ``kleio_logger.analysis(trial)``. ``id`` is that of the trial, ``params`` are its parameters.

    Without ``kleio`` these are what was given and empty, what is said is printed, and nothing is read.
    """

    def __init__(self, logger: Logger, trial: str) -> None:
        self._logger = logger
        known: dict[str, Any] = {"id": str(trial), "params": {}}
        if logger.active:
            known = logger.ask({"op": "trial", "trial": str(trial)})
        else:
            logger._say("nothing is read of other trials without kleio: put kleio before the command, as in kleio python …")
        self.id: str = known["id"]
        self.params: dict[str, Any] = known["params"]

    def log_statistic(
        self, /, *wrong: NoReturn, at: LoggedArtifact | Statistic | datetime | float | None = None, **values: Any
    ) -> None:
        """Say of the trial that values belong together, under a time of its own.

        ``at`` is what they are about, an artifact or a statistic of it, or when: a datetime, local where it names no zone, or
        seconds since the epoch; None is now.
        """
        logger = self._logger
        if wrong:
            logger.misused("log_statistic")
            if not values:
                return
        line = logger.line(values)
        if line is None:
            return
        if not logger.active:
            logger.put(line)
            return
        try:
            when = _nanoseconds(at)
            logger._writer(ANALYSIS).append(f'{{"trial":"{self.id}","at":{when},"values":{line}}}')
        except (OSError, ValueError) as error:
            logger._refuse(error, kind="records")

    @forgiving
    def load_statistic(self, /, *keys: str, all_executions: bool = False, **where: Any) -> list[Statistic]:
        """As :meth:`Logger.load_statistic`, of the trial; what this script has said of it is included."""
        if not self._logger.active:
            return []
        request = {"trial": self.id, "keys": list(keys), "where": where, "all": all_executions}
        return loaded.statistics(self._logger, request)

    @forgiving
    def load_artifacts(
        self, filename: str | None = None, where: Mapping[str, Any] | None = None, *, all_executions: bool = False
    ) -> list[LoggedArtifact]:
        """As :meth:`Logger.load_artifacts`, of the trial."""
        if not self._logger.active:
            return []
        named = {} if filename is None else {"name": str(filename)}
        request = {"trial": self.id, **named, "where": dict(where or {}), "all": all_executions}
        return loaded.artifacts(self._logger, request)

    def __repr__(self) -> str:
        return f"Analysis({self.id!r})"


def _nanoseconds(at: Any) -> int:
    """Since the epoch. Raises ValueError for what is no time."""
    if at is None:
        return time.time_ns()
    exact = getattr(at, "nanoseconds", None)
    if isinstance(exact, int):  # an artifact
        return exact
    if hasattr(at, "timestamp"):
        at = at.timestamp()
    elif not isinstance(at, (int, float)):
        at = getattr(at, "time", at)  # that of a statistic
    if isinstance(at, bool) or not hasattr(at, "__float__") or not 0 <= float(at) < LATEST:
        raise ValueError(f"at={at!r} is no artifact, statistic or datetime, and no time in seconds since the epoch")
    seconds = float(at)
    whole = int(seconds)  # so that the same number of seconds comes back
    return whole * 1_000_000_000 + round((seconds - whole) * 1e9)
