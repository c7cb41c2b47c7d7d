"""The trials that run, as they are now, and what has ended since they were looked at last: what ``kleio top`` shows.

It is asked every few seconds, of journals with many thousands of trials: those that run are found by an index, and of what was
measured only summaries are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from kleio.core import choosing, resuming, view
from kleio.core.journal.base import Selection
from kleio.core.lookup import SHORT
from kleio.core.spool import LAUNCHER
from kleio.core.statistics import SYSTEM, combine, is_logged
from kleio.core.trial import HELD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.choosing import Chosen
    from kleio.core.journal.base import Journal, Summary
    from kleio.core.trial import Entry, Execution, Status

STATUSES = tuple(status.value for status in HELD)
KEPT = 60.0
"""Seconds for which what has ended is still shown."""


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that runs, or has just ended: its last ``execution``, and what that is doing.

    ``elapsed`` is in seconds. ``heartbeat`` is the age in seconds, by the journal's clock, of the last sign of life: one comes
    every third of a lease; None where that is not known. ``last`` are the last values of what the script logged, ``system``
    the last sample of what its processes take, without the ``system.`` of its names.
    """

    entry: Entry
    execution: Execution
    status: Status
    elapsed: float
    heartbeat: float | None
    last: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status not in HELD

    def document(self) -> dict[str, Any]:
        """As ``--json`` shows it."""
        trial, execution = self.entry.trial, self.execution
        return {
            "id": trial.id, "short_id": trial.id[:SHORT], "project": trial.project, "command": list(trial.command),
            "params": self.entry.params, "tags": list(self.entry.tags), "name": self.entry.name,
            "status": self.status.value, "host": execution.host, "user": execution.user, "pid": execution.pid,
            "started": view.iso(execution.started), "elapsed": self.elapsed, "heartbeat": self.heartbeat,
            "last": dict(self.last), "system": dict(self.system),
        }  # fmt: skip


class Watched:
    """The trials of ``chosen`` that run. What runs on this machine is known by the spools under ``root``."""

    def __init__(
        self, journal: Callable[[], Journal], chosen: Chosen, root: str, clock: Callable[[], float] = time.time
    ) -> None:
        """``journal`` gives the one to ask, each time: at first there may be none."""
        self._of, self._chosen, self._root, self._clock = journal, replace(chosen, statuses=STATUSES), root, clock
        self._seen: set[str] = set()
        self._ended: dict[str, tuple[float, Running]] = {}

    def look(self) -> tuple[list[Running], list[Running]]:
        """Those that run, newest first, and those that ran when they were looked at before but have ended, the last first."""
        now, self._journal = self._clock(), self._of()
        held = [entry for entry in self._held() if entry.status in HELD]
        ids = {entry.id for entry in held}
        over = self._entries(sorted(self._seen - ids))
        self._seen = ids
        told = self._told([*held, *over], now)
        self._ended = {one: known for one, known in self._ended.items() if one not in ids and now - known[0] < KEPT}
        self._ended |= {one.entry.id: (now, one) for one in told[len(held) :]}
        running = sorted(told[: len(held)], key=lambda one: (-one.execution.started, one.entry.id))
        return running, [one for _, one in reversed(self._ended.values())]

    def _held(self) -> list[Entry]:
        chosen, journal = self._chosen, self._journal
        if not (chosen.user or chosen.where):
            selection = Selection(project=chosen.project, statuses=STATUSES, tags=chosen.tags)
            return view.from_here(journal.entries(selection), self._root)
        return choosing.entries(journal, choosing.newest(journal, chosen, self._root), self._root)

    def _entries(self, ids: Sequence[str]) -> list[Entry]:
        found = self._journal.entries(Selection(ids=tuple(ids))) if ids else []
        return view.from_here(found, self._root)

    def _told(self, entries: Sequence[Entry], now: float) -> list[Running]:
        summaries = self._journal.summaries([entry.id for entry in entries]) if entries else {}
        return [
            _running(entry, executions[-1], summaries.get(entry.id, ()), now)
            for entry in entries
            if (executions := entry.executions)
        ]


def _running(entry: Entry, execution: Execution, summaries: Sequence[Summary], now: float) -> Running:
    until = now if execution.ended is None else execution.ended
    own = combine(resuming.counted(entry, summaries))
    taken = combine(one for one in summaries if one.writer == LAUNCHER and one.execution == execution.id)
    renewed = None if entry.left is None or execution.lease is None else max(execution.lease - entry.left, 0.0)
    return Running(
        entry, execution, entry.status, max(until - execution.started, 0.0), renewed,
        {key: one.get("last") for key, one in own.items() if is_logged(key)},
        {key.removeprefix(SYSTEM): one.get("last") for key, one in taken.items()},
    )  # fmt: skip
