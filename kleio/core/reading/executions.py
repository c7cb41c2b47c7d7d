"""The attempts at a trial, and the figures of its statistics, as Python has them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from kleio.core.reading.readonly import Frozen, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core import trial


@dataclass(frozen=True)
class Execution:
    """One attempt at a trial. Times are aware datetimes in UTC; what is not known is None.

    ``number`` counts from 1. ``exit_code`` is None where ``signal`` ended it, and while it runs. ``output`` is the directory
    for its files, relative to the project where it lies inside; ``exceptions`` are those that ended its processes, each with
    ``type``, ``message`` and ``traceback``.
    """

    id: str
    number: int
    status: str
    host: str
    user: str
    pid: int
    cwd: str
    started: datetime.datetime
    ended: datetime.datetime | None
    exit_code: int | None
    signal: str | None
    reason: str | None
    output: str | None
    exceptions: tuple[Mapping[str, Any], ...]

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None without an end."""
        return (self.ended - self.started).total_seconds() if self.ended else None


def execution(one: trial.Execution) -> Execution:
    started = utc(one.started)
    assert started is not None
    return Execution(
        one.id, one.number, one.status.value, one.host, one.user, one.pid, one.cwd, started, utc(one.ended), one.exit_code,
        one.signal, one.reason, one.output, tuple(frozen(told) for told in one.exceptions),
    )  # fmt: skip


def utc(seconds: float | None) -> datetime.datetime | None:
    """An aware datetime of seconds since the epoch."""
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


class Figures(Frozen):
    """What is kept of a statistic: ``last``, ``min``, ``max``, ``mean``, ``count``, as attributes and as items.

    ``min``, ``max`` and ``mean`` are of the numbers among its values that are not NaN. Where there are none, the attributes
    are None and the items are not there.
    """

    @property
    def last(self) -> Any:
        """The latest value: a number, text, truth value or None; anything else as text."""
        return self.get("last")

    @property
    def min(self) -> Any:
        """The smallest number."""
        return self.get("min")

    @property
    def max(self) -> Any:
        """The greatest number."""
        return self.get("max")

    @property
    def mean(self) -> float | None:
        """The mean of the numbers."""
        return self.get("mean")

    @property
    def count(self) -> int:
        """How many values there were, of any kind."""
        return int(self["count"])
