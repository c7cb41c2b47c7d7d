"""What the spools of this machine tell of runs that are not in the journal yet; nothing is changed by looking."""

from __future__ import annotations

import os
from dataclasses import replace

from kleio.core.journal.base import Trace
from kleio.core.spool import COMPLETE, spools
from kleio.core.trial import Entry, Event, Status, Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from kleio.core.spool import Spool


def launched(root: str) -> list[tuple[Spool, dict[str, Any] | None]]:
    """Every spool under ``root`` with its launch record, in the order in which they were launched."""
    found = [(spool, spool.read("launch")) for spool in spools(root)]
    return sorted(found, key=lambda one: (one[1] or {}).get("started", 0.0))


def entries_here(root: str, work_key: str, newest: int | None = None, own: str | None = None) -> list[Entry]:
    """The trials of a work as the spools under ``root`` tell of them: all that a run knows that is offline.

    The execution ``own`` is passed over. Only the ``newest`` spools are looked into, where there is no time for all.
    """
    wanted = work_key.encode()
    candidates = [spool for spool in _newest(root, newest) if spool.execution != own and wanted in _raw(spool)]
    found = [(spool, launch) for spool in candidates if (launch := spool.read("launch"))]
    return entries(found, work_key)


def entries(found: Iterable[tuple[Spool, dict[str, Any]]], work_key: str | None = None) -> list[Entry]:
    """The trials that these spools tell of, newest first; with a ``work_key`` only those of that work."""
    trials: dict[str, Trial] = {}
    events: dict[str, list[Event]] = {}
    holders: dict[str, str] = {}
    for token, (spool, launch) in enumerate(sorted(found, key=lambda one: float(one[1].get("started", 0.0))), 1):
        if work_key is not None and launch["trial"]["work_key"] != work_key:
            continue
        trial = Trial.from_dict(launch["trial"])
        trials.setdefault(trial.id, trial)
        own = events.setdefault(trial.id, [])
        execution, alive = spool.execution, spool.alive()
        ending = spool.read("ending") if alive else end_of(spool)
        own.append(Event(f"reserved-{execution}", "reserved", launch["started"], token, execution, launch["execution"]))
        if ending is not None:
            own.append(Event(f"ended-{execution}", "ended", ending["time"], token, execution, ending["data"]))
        elif alive:
            holders[trial.id] = spool.execution
    return [
        Entry(trial, tuple(events[identity]), holders.get(identity), identity in holders)
        for identity, trial in sorted(trials.items(), key=lambda one: -one[1].created)
    ]


def end_of(spool: Spool) -> dict[str, Any] | None:
    """How an execution of which nobody is alive ended, as far as its spool knows.

    A script that said it was complete, and whose launcher was killed before it could see the script end, is taken at its word.
    """
    ending = spool.read("ending")
    said = spool.read(COMPLETE)
    if ending is not None or said is None:
        return ending
    reason = "the script said that it was complete; kleio was killed before it saw the end"
    data = {"status": Status.COMPLETED.value, "exit_code": None, "signal": None, "reason": reason}
    return {"time": said["time"], "data": data}


def _newest(root: str, most: int | None) -> list[Spool]:
    """The spools made last; all, where ``most`` is None."""
    found = list(spools(root))
    if most is None or len(found) <= most:
        return found
    return sorted(found, key=_made, reverse=True)[:most]


def _made(spool: Spool) -> float:
    try:
        return os.stat(spool.file("host")).st_mtime
    except OSError:
        return 0.0


def _raw(spool: Spool) -> bytes:
    try:
        with open(spool.file("launch.json"), "rb") as file:
            return file.read()
    except OSError:
        return b""


class Waiting:
    """The runs whose records wait under ``root`` for the journal at ``uri``: their trials and the traces that they left."""

    def __init__(self, root: str, uri: str) -> None:
        found = [(spool, launch) for spool, launch in launched(root) if launch and launch.get("journal") == uri]
        self._entries = {entry.id: entry for entry in entries(found)}
        self._traces = sorted(
            Trace(key, launch["trial"]["id"], spool.execution) for spool, launch in found for key in _keys(spool, launch)
        )

    def traces(self, key: str, prefix: bool = False) -> list[Trace]:
        """As :meth:`~kleio.core.journal.base.Journal.traces`."""
        return [one for one in self._traces if (one.key.startswith(key) if prefix else one.key == key)]

    def resolve(self, prefix: str) -> list[str]:
        """The ids of trials that begin so."""
        return sorted(trial for trial in self._entries if trial.startswith(prefix))

    def entry(self, trial: str, journaled: Entry | None) -> Entry | None:
        """A trial as the journal has it, with the executions that only wait here."""
        here = self._entries.get(trial)
        if here is None or journaled is None:
            return journaled or here
        known = {event.execution for event in journaled.events}
        new = (replace(one, token=journaled.token + one.token) for one in here.events if one.execution not in known)
        return replace(journaled, events=(*journaled.events, *new))


def _keys(spool: Spool, launch: dict[str, Any]) -> list[str]:
    from kleio.core.findings import PREFIX

    try:
        findings = [spool.read(stem) or {} for stem in spool.stems(PREFIX)]
    except OSError:  # shipped in this moment
        findings = []
    return sorted({str(key) for one in (launch, *findings) for key in one.get("traces") or ()})
