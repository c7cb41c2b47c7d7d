"""What a source finds: runs, their statistics and files, whatever tool recorded them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from kleio.core.trial import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

_FRACTION = re.compile(r"(?<=:\d\d)\.(\d+)")
"""Of a second; of which Python 3.10 reads six digits, or three."""
STEPS = ("step", "global_step", "iteration")
"""What the number of a statistic is called: the first of them that is not the name of a value itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """Values that were logged together. ``time`` is nanoseconds since the epoch; None where nobody noted it."""

    time: int | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A file that belongs to a run. ``content`` is its bytes or a path; ``time`` as of a row. ``resource`` is the path that it
    had as an input: then it is recorded and not kept.
    """

    name: str
    content: bytes | str
    time: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    resource: str | None = None


@dataclass(slots=True)
class About:
    """What is known of a run besides what it logged, complete once that has been read.

    ``said`` is the source's own word for the status, None where it has none. Times are seconds since the epoch. ``output`` is
    what it printed, ``exception`` the (type, message, traceback) that ended it.
    """

    params: dict[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    name: str | None = None
    note: str | None = None
    status: Status = Status.COMPLETED
    said: str | None = None
    started: float | None = None
    ended: float | None = None
    host: str = ""
    user: str = ""
    command: Sequence[str] = ()
    code: dict[str, Any] = field(default_factory=dict)
    output: bytes = b""
    exception: tuple[str, str, str] | None = None
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """A run that cannot be read, and why."""

    name: str
    place: str
    reason: str


class Run(ABC):
    """One run of a source. ``place`` is where it is, as people would name it, ``identity`` what makes it this run wherever and
    however often it is found. What was left out of it is counted in ``left_out``; ``damaged`` says why what comes after some
    point of it could not be read, if so.
    """

    def __init__(self, name: str, place: str, identity: str) -> None:
        self.name, self.place, self.identity = name, place, identity
        self.left_out: dict[str, int] = {}
        self.remarks: list[str] = []
        self.damaged: str | None = None

    @abstractmethod
    def series(self) -> Iterable[tuple[str, Iterator[Row | File]]]:
        """Its parts that grow by themselves, each under a name that it keeps, from the beginning."""

    @abstractmethod
    def about(self) -> About:
        """Asked for when all of its series have been read."""

    def leave_out(self, what: str) -> None:
        """Count something that is not taken."""
        self.left_out[what] = self.left_out.get(what, 0) + 1


def stepped(step: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with the number of the step before them."""
    name = next((one for one in STEPS if one not in values), None)
    return {name: step, **values} if name else dict(values)


def seconds(text: Any) -> float | None:
    """An ISO time, in UTC unless it says otherwise, as seconds since the epoch; None for what is none."""
    import datetime

    if isinstance(text, datetime.datetime):
        moment = text
    else:
        try:
            written = _FRACTION.sub(lambda digits: f".{digits[1]:0<6.6}", str(text).strip())
            moment = datetime.datetime.fromisoformat(written.replace("Z", "+00:00"))
        except ValueError:
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        return None


def nanoseconds(since_epoch: float) -> int:
    """Of a time in seconds, as exact as a float can be: to the microsecond."""
    return round(since_epoch * 1e6) * 1000
