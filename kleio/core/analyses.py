"""Statistics computed later: what other runs say of a trial, at its own times, with their author.

An analysing run keeps them in its spool, in a stream of their own; they are shipped as segments of the trial that they are
of, under the analysing execution, and an event there says who that is. A branch has those that were there when it was made,
of times before its cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from kleio.core import statistics
from kleio.core.journal.base import Summary
from kleio.core.lineage import clipped
from kleio.core.lookup import by_stream, is_alive
from kleio.core.resuming import anew, own_limits
from kleio.core.spool import ANALYSIS, spools
from kleio.core.trial import ANALYSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry, Event, Trial


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a branch has of an analysis of ``trial``: the bytes before ``end``, up to a time in nanoseconds if one is given."""

    trial: str
    execution: str
    writer: str
    end: int
    until: int | None = None


def inherited(trial: Trial) -> list[Inherited]:
    """What a trial has of those that it continues."""
    return [Inherited(*one) for one in (trial.cut or {}).get("analyses", ())]


def authors(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """By analysing execution: its ``user``, ``trial`` and ``execution``."""
    told = [event.data for event in events if event.kind == ANALYSED]
    return {one["execution"]: {name: one.get(name) for name in ("user", "trial", "execution")} for one in told}


def of(
    journal: Journal, trial: Trial, limits: Mapping[str, int] | None = None
) -> Iterator[tuple[Record, dict[str, Any]]]:
    """All that was said of a trial, each statistic with its author; what it inherits first, unless by ``limits``
    (:mod:`kleio.core.resuming`) it has given all of that up.
    """
    for one in inherited(trial) if not anew(trial, limits or {}) else ():
        author = _author(journal, one.trial, one.execution)
        yield from ((record, author) for record in _records(journal, one))
    for (execution, _, _), segments in by_stream(journal, trial.id, (ANALYSIS,)):
        author = _author(journal, trial.id, execution)
        yield from ((record, author) for record in statistics.records(segments))


def _author(journal: Journal, trial: str, execution: str) -> dict[str, Any]:
    entry = journal.entry(trial)
    return authors(entry.events if entry else ()).get(execution, {"user": None, "trial": None, "execution": execution})


def _records(journal: Journal, one: Inherited) -> Iterator[Record]:
    until = {(one.execution, one.writer, ANALYSIS): one.end}
    for _, segments in by_stream(journal, one.trial, (ANALYSIS,), until=until):
        for record in statistics.records(clipped(segment, one.end) for segment in segments):
            if one.until is None or record.time <= one.until:
                yield record


def told(
    journal: Journal, entry: Entry, all_executions: bool = False
) -> list[tuple[dict[str, Any], dict[str, int]]]:
    """Who analysed a trial, and how many values of each key that gave. What it inherits only with ``all_executions`` where it
    has given that up.
    """
    found: dict[str, dict[str, int]] = {}
    given_up = not all_executions and anew(entry.trial, own_limits(entry))
    inherits = [] if given_up else inherited(entry.trial)
    known = authors(entry.events) | {one.execution: _author(journal, one.trial, one.execution) for one in inherits}
    for summary in journal.summaries([entry.id]).get(entry.id, ()) if known else ():
        own = found.setdefault(summary.execution, {}) if summary.execution in known else {}
        for key, values in summary.keys.items():
            own[key] = own.get(key, 0) + values["count"]
    return [(known[execution], keys) for execution, keys in found.items()]


# -- branches ------------------------------------------------------------------------------------------------------


def bequeathed(journal: Journal, entry: Entry, until: int | None) -> Iterator[Inherited]:
    """What a branch of a trial has of its analyses: what there is now, up to a time in nanoseconds if one is given."""
    for one in inherited(entry.trial) if not anew(entry.trial, own_limits(entry)) else ():
        limits = [limit for limit in (one.until, until) if limit is not None]
        yield Inherited(one.trial, one.execution, one.writer, one.end, min(limits, default=None))
    for execution in authors(entry.events):
        for (writer, stream), end in sorted(journal.extents(execution, entry.id).items()):
            if stream == ANALYSIS and end:
                yield Inherited(entry.id, execution, writer, end, until)


def summaries(journal: Journal, child: str, found: Iterable[Inherited]) -> Iterator[Summary]:
    """Those of what a branch inherits, to be kept as its own."""
    for one in found:
        summariser = statistics.Summariser()
        for record in _records(journal, one):
            summariser.add(record)
        if summariser.keys:
            yield Summary(child, one.execution, one.writer, one.end, summariser.keys)


# -- whether more may come -----------------------------------------------------------------------------------------


def going_on(journal: Journal, entry: Entry, root: str) -> str | None:
    """The trial that is analysing this one now, or whose analysis waits in a spool under ``root``; None if there is none."""
    for author in authors(entry.events).values():
        other = journal.entry(author["trial"]) if author["trial"] else None
        if other is not None and other.holder == author["execution"] and is_alive(other, root):
            return other.id
    for spool in spools(root):
        launch: Mapping[str, Any] = spool.read("launch") or {}
        try:
            files = [spool.file(f"{writer}.{stream}") for writer, stream in spool.streams() if stream == ANALYSIS]
            if any(_names(path, entry.id) for path in files):
                return str(launch["trial"]["id"])
        except (OSError, KeyError):
            continue
    return None


def _names(path: str, trial: str) -> bool:
    wanted = f'{{"trial":"{trial}"'.encode()
    with open(path, "rb") as file:
        return any(wanted in line for line in file)
