"""What a trial is, what happens to it, and what its status follows from.

A trial is created once and never changes. Everything later is an *event* with an id of its own: recording one
twice changes nothing, and two journals merge by uniting their events. The status is a fold over the events in an
order that does not depend on when they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class Status(str, Enum):
    """Where a trial stands."""

    NEW = "new"
    RESERVED = "reserved"
    RUNNING = "running"
    COMPLETED = "completed"
    BROKEN = "broken"
    SUSPENDED = "suspended"
    INTERRUPTED = "interrupted"
    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    ACKNOWLEDGED = "acknowledged"

    __str__ = str.__str__


HELD = (Status.RESERVED, Status.RUNNING)
"""Statuses that claim a live owner; without one they read as failover."""

ANALYSED = "analysed"
"""The kind of an event of a trial, but of none of its executions: that another run said statistics of it."""

_RANK = {"reserved": 0, "running": 1, "failover": 2, "ended": 3, "switchover": 4, "acknowledged": 4}
"""Within one token: a late end overrules the failover that somebody inferred from silence."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a trial, once.

    ``token`` is the fencing token of the reservation it happened under, 0 for what needs none. ``kind`` is one of
    reserved, running, ended, failover, switchover, acknowledged, and of annotated, analysed, environment, parameters,
    exception, wrote and output, which leave the status alone. ``time`` is seconds since the epoch, by the clock of who says it.
    """

    id: str
    kind: str
    time: float
    token: int = 0
    execution: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Status | None:
        """The status that it puts the trial into, if any."""
        if self.kind not in _RANK:
            return None
        return Status(self.data["status"]) if self.kind == "ended" else Status(self.kind)

    @property
    def order(self) -> str:
        """Sorts events into the order of the fold: token, then rank, then time, then id."""
        return f"{self.token:012d}/{_RANK.get(self.kind, 9)}/{self.time:020.6f}/{self.id}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "kind": self.kind, "time": self.time, "token": self.token,
            "execution": self.execution, "data": dict(self.data),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """One unit of work, as it was created. ``created`` is seconds since the epoch; ``cwd`` relative to the root; ``repeats``
    the trial that this one is only a repetition of; an ``experiment`` was opened by the command itself, and is only a part of
    what it does. One that another tool recorded says in ``imported`` which (``from``), and where (``place``); its ``command``
    may be no more than these.
    """

    id: str
    work_key: str
    project: str
    command: tuple[str, ...]
    cwd: str
    created: float
    params: Mapping[str, Any] = field(default_factory=dict)
    param_sources: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    cut: Mapping[str, Any] | None = None
    previous: str | None = None
    within: str | None = None
    redacted: bool = False
    repeats: str | None = None
    experiment: bool = False
    imported: Mapping[str, str] | None = None

    @property
    def ordinary(self) -> bool:
        """Neither a branch that was asked for nor a repetition: one that running its command again goes on from."""
        return (self.cut or {}).get("by") != "branch" and not self.repeats

    def as_dict(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)} | {"command": list(self.command)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Trial:
        """Read what :meth:`as_dict` wrote; what a newer kleio added is passed over."""
        known = {item.name: document[item.name] for item in fields(cls) if item.name in document}
        return cls(**(known | {"command": tuple(known["command"])}))


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt at a trial. ``number`` counts from 1 and is for display; times are seconds since the epoch.

    ``environment``, ``wrote`` and ``code`` are digests of documents; ``tree`` is where recorded code was run, ``output`` the
    directory for its files, relative to the project's root where it lies inside; ``exceptions`` are those that ended its
    processes, the latest last; ``lease`` is for how many seconds its reservation was renewed, each time that it was.
    """

    id: str
    number: int
    token: int
    status: Status
    started: float
    host: str = ""
    user: str = ""
    pid: int = 0
    machine: str = ""
    cwd: str = ""
    ended: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    environment: str | None = None
    wrote: str | None = None
    code: str | None = None
    tree: str | None = None
    output: str | None = None
    lease: float | None = None
    exceptions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to execute a trial now. ``expires`` and ``now`` are by the journal's clock, in seconds."""

    trial: str
    execution: str
    token: int
    expires: float
    now: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial as the journal holds it: what was created, what happened, who holds it, what it measured.

    ``holder`` is the execution that has the reservation, alive or not; ``live`` says whether it has not expired by
    the journal's clock; ``left`` is how many seconds were left of it when the journal was asked.
    """

    trial: Trial
    events: tuple[Event, ...] = ()
    holder: str | None = None
    live: bool = False
    token: int = 0
    left: float | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        return self.trial.id

    @property
    def decided(self) -> str:
        """The order of the event that decides the status; empty when nothing has happened. It grows with every such event."""
        return max((event.order for event in self.events if event.status is not None), default="")

    @property
    def status(self) -> Status:
        """The fold of the events; a holder that fell silent reads as failover."""
        status = fold(self.events)
        return Status.FAILOVER if status in HELD and not self.live else status

    @property
    def executions(self) -> tuple[Execution, ...]:
        """Every attempt, in the order in which they were reserved."""
        return executions(self.events, self.holder if self.live else None)

    def execution(self, execution: str | None) -> Execution | None:
        """The attempt with this id."""
        return next((one for one in self.executions if one.id == execution), None)

    @property
    def params(self) -> dict[str, Any]:
        """Names and values: what the command line says, and what was learnt of others while it ran."""
        return self.parameters()["params"]

    @property
    def param_sources(self) -> dict[str, str]:
        """For each of ``params`` where it came from."""
        return self.parameters()["sources"]

    @property
    def param_defaults(self) -> dict[str, Any]:
        """What some of ``params`` would have been, had nobody given them a value."""
        return self.parameters()["defaults"]

    def parameters(self) -> dict[str, dict[str, Any]]:
        """``params``, ``sources`` and ``defaults``: the three above, put together once."""
        told = sorted((event for event in self.events if event.kind == "parameters"), key=lambda event: event.order)
        return united(self.trial.params, self.trial.param_sources, [event.data for event in told])

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tag for data in self._annotations() for tag in data.get("tags", ())))

    @property
    def name(self) -> str | None:
        return self._last("name")

    @property
    def note(self) -> str | None:
        return self._last("note")

    def _annotations(self) -> list[Mapping[str, Any]]:
        annotated = [event for event in self.events if event.kind == "annotated"]
        return [event.data for event in sorted(annotated, key=lambda event: (event.time, event.id))]

    def _last(self, key: str) -> str | None:
        said: list[str] = [data[key] for data in self._annotations() if data.get(key)]
        return said[-1] if said else None


def united(
    params: Mapping[str, Any], sources: Mapping[str, str], told: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """``params``, ``sources`` and ``defaults`` of a trial: those of its command line, and what was ``told`` later, in order.

    The command line wins over what config files say, and gives way to what the program itself made of it: that names, as
    ``replaces``, the parameters of the plain command line that it tells of. What a program calls a default, and a config file
    that was named to it has so, is of the config file.
    """
    listed = list(told)
    read = [one for one in listed if "replaces" not in one]
    reported = [one for one in listed if "replaces" in one]
    gone = {name for one in reported for name in one["replaces"]}
    kept = {"params": {n: v for n, v in params.items() if n not in gone}, "sources": sources}
    files = {n: v for one in read for n, v in one["params"].items() if one["sources"].get(n) == "config file"}
    found: dict[str, dict[str, Any]] = {"params": {}, "sources": {}, "defaults": {}}
    for one in (*read, kept, *reported):
        for name, value in one["params"].items():
            source = one["sources"].get(name, "command line")
            if source == "default" and name in files and files[name] == value:
                source = "config file"
            found["params"][name], found["sources"][name] = value, source
            found["defaults"].pop(name, None)
            if name in one.get("defaults", ()):
                found["defaults"][name] = one["defaults"][name]
    return found


def fold(events: Iterable[Event]) -> Status:
    """The status that follows from ``events``, whatever order they come in."""
    deciding = [event for event in events if event.status is not None]
    if not deciding:
        return Status.NEW
    status = max(deciding, key=lambda event: event.order).status
    assert status is not None
    return status


def executions(events: Iterable[Event], live: str | None = None) -> tuple[Execution, ...]:
    """The attempts that ``events`` tell of; ``live`` is the one whose reservation has not expired."""
    found: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: event.order):
        if event.execution is not None:
            found.setdefault(event.execution, []).append(event)
    begun = [(own[0].token, own[0].time, execution, own) for execution, own in found.items()]
    return tuple(
        _execution(execution, number, own, execution == live)
        for number, (_, _, execution, own) in enumerate(sorted(begun, key=lambda one: one[:3]), 1)
    )


def _execution(execution: str, number: int, events: list[Event], live: bool) -> Execution:
    status = fold(events)
    said: dict[str, Any] = {}
    for event in events:
        if event.kind not in ("exception", "parameters"):  # what these tell is not of the execution itself
            said.update(event.data)
        if event.kind in ("ended", "failover"):
            said["ended"] = event.time if event.kind == "ended" else said.get("ended")
    return Execution(
        id=execution,
        number=number,
        token=events[0].token,
        status=Status.FAILOVER if status in HELD and not live else status,
        started=said.get("started", events[0].time),
        exceptions=tuple(event.data for event in events if event.kind == "exception"),
        **{name: said[name] for name in _REPORTED if name in said},
    )


_REPORTED = (
    "host", "user", "pid", "machine", "cwd", "ended", "exit_code", "signal", "reason", "environment", "wrote", "code", "tree",
    "output", "lease",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended. ``received`` are the signals that came from outside, by name, with seconds before the end."""

    exit_code: int | None
    signal: str | None = None
    received: tuple[tuple[str, float], ...] = ()


SOON = 30.0
"""Seconds within which a failure after HUP, USR1 or USR2 counts as caused by it."""


def verdict(ending: Ending, complete: bool = False) -> tuple[Status, str]:
    """The status that an end leads to, and why, in words. ``complete`` is whether the script said that it had done its work.

    The rules are those of the design: Ctrl-C suspends unless the child exits 0; SIGTERM from outside interrupts
    whatever the child makes of it, but for a script that said it was complete and exits 0; HUP, USR1 and USR2 interrupt
    if the child dies of them or fails soon after; any other failure is the child's own.
    """
    failed = ending.signal is not None or ending.exit_code != 0
    how = f"died of {ending.signal}" if ending.signal else f"exit status {ending.exit_code}"
    names = {name for name, _ in ending.received}
    if complete and names and not failed:
        return Status.COMPLETED, f"{how}; {', '.join(sorted(names))} came, and the script said that it was complete"
    if "SIGTERM" in names:
        return Status.INTERRUPTED, f"SIGTERM, {how}"
    if failed and "SIGINT" in names:
        return Status.SUSPENDED, f"Ctrl-C, {how}"
    for name, before_end in reversed(ending.received):
        if name in ("SIGHUP", "SIGUSR1", "SIGUSR2") and failed and (ending.signal == name or before_end <= SOON):
            return Status.INTERRUPTED, f"{name}, {how}"
    return (Status.BROKEN, how) if failed else (Status.COMPLETED, how)
