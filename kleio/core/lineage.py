"""What a trial sees: of the trials that it continues, what lies before its cut, and then its own.

A branch carries an end offset for each stream of each ancestor's execution that it sees. So what it sees never changes,
however its parent goes on, and is read without looking at any trial between, however long the line is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kleio.core import output, resuming, retention, statistics
from kleio.core.journal.base import Selection, Summary
from kleio.core.lookup import by_stream
from kleio.core.scopes import resolved
from kleio.core.spool import LAUNCHER, LINE_STREAMS, OUTPUT_STREAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kleio.core.journal.base import Journal, Segment
    from kleio.core.lookup import Key
    from kleio.core.resuming import Resumed, Turn
    from kleio.core.scopes import Scope, Scopes
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry, Event, Trial

EVERYTHING = 1 << 62
STREAMS = (*LINE_STREAMS, *OUTPUT_STREAMS)


@dataclass(frozen=True, slots=True)
class Part:
    """What is seen of one stream: of (execution, writer, stream), which ``trial`` emitted, the bytes before ``end``."""

    trial: str
    execution: str
    writer: str
    stream: str
    end: int

    @property
    def key(self) -> Key:
        return self.execution, self.writer, self.stream


def parts(trial: Trial) -> list[Part]:
    """What a trial inherits, in the order in which it was emitted."""
    return [Part(*one) for one in (trial.cut or {}).get("ends", ())]


def whole(journal: Journal, entry: Entry) -> list[Part]:
    """All that a trial sees now: what it inherits, then its own, executions in order."""
    own = []
    for execution in entry.executions:
        extents = journal.extents(execution.id, entry.id)
        own += [Part(entry.id, execution.id, *key, end) for key, end in sorted(extents.items()) if key[1] in STREAMS]
    return [*parts(entry.trial), *own]


def seen(journal: Journal, trial: Trial, streams: Sequence[str]) -> Iterator[tuple[Key, Iterator[Segment]]]:
    """What a trial sees of ``streams``: what it inherits, clipped, then its own; read each group before the next."""
    inherited: dict[str, dict[Key, int]] = {}
    for part in parts(trial):
        if part.stream in streams:
            inherited.setdefault(part.trial, {})[part.key] = part.end
    for ancestor, until in inherited.items():
        for key, segments in by_stream(journal, ancestor, streams, until=until):
            yield key, (clipped(segment, until[key]) for segment in segments)
    yield from by_stream(journal, trial.id, streams)


def clipped(segment: Segment, end: int) -> Segment:
    """The part of a segment that lies before the offset ``end``."""
    if segment.end <= end:
        return segment
    if segment.dropped:
        return replace(segment, end=end)
    if segment.stream in OUTPUT_STREAMS:
        with statistics.legible(segment.trial):
            data, times = output.unpack(segment.payload)
        kept = [one for one in times if one[0] < end]
        return replace(segment, end=end, payload=output.pack(data[: end - segment.start], kept))
    records = [record for record in statistics.unpacked(segment) if record.offset < end]
    return replace(segment, end=end, payload=statistics.pack(records))


def emitted(journal: Journal, trial: Trial, stream: str, but: str | None = None) -> Iterator[tuple[Key, Record]]:
    """Every record of one kind that a trial sees, those of a writer together; what was given up included. Not those of the
    execution ``but``.
    """
    for key, segments in seen(journal, trial, (stream,)):
        for record in statistics.records(segments) if key[0] != but else ():
            yield key, record


def limits(
    journal: Journal, parts: Iterable[Part], own: Entry | None = None, said: Mapping[str, Resumed] | None = None
) -> dict[str, int]:
    """Up to when what each execution logged counts (:func:`kleio.core.resuming.limits`), of those that ``parts`` are from.

    ``own`` is the trial that sees them, where it has executions of its own; ``said`` is what the journal may not know yet.
    """
    order, events = _line(journal, parts, own)
    return resuming.limits(order, {**resuming.told(events), **(said or {})})


def turns(
    journal: Journal, parts: Iterable[Part], own: Entry | None = None, said: Mapping[str, Resumed] | None = None
) -> list[Turn]:
    """From when on which of these limits held: each time in nanoseconds at which something was said, with what it led to."""
    order, events = _line(journal, parts, own)
    return resuming.turns(order, events, said or {})


def _line(journal: Journal, parts: Iterable[Part], own: Entry | None) -> tuple[list[str], list[Event]]:
    """The executions that a trial sees, in their order, and what happened to them."""
    inherited = {part.execution: part.trial for part in parts}
    entries = [journal.entry(trial) for trial in dict.fromkeys(inherited.values()) if own is None or trial != own.id]
    events = [event for entry in (*entries, own) if entry is not None for event in entry.events]
    order = dict.fromkeys([*inherited, *(one.id for one in (own.executions if own else ()))])
    return list(order), [event for event in events if event.execution in order]


def logged(
    journal: Journal, entry: Entry, all_executions: bool = False
) -> tuple[list[tuple[Record, Scope | None]], Scopes]:
    """The statistics that a trial sees, in the order of their times, with what they inherit, each with its scope; and all
    scopes. What was given up only with ``all_executions``.
    """
    ends = {} if all_executions else limits(journal, parts(entry.trial), entry)
    found, scopes = resolved(resuming.counting(emitted(journal, entry.trial, "statistics"), ends))
    return sorted(found, key=lambda one: one[0].time), scopes


def artifacts(journal: Journal, entry: Entry, all_executions: bool = False) -> list[Record]:
    """The artifacts that a trial has, in the order of their times; what was given up only with ``all_executions``."""
    return [record for _, record in having(journal, entry, all_executions)]


def having(journal: Journal, entry: Entry, all_executions: bool = False) -> Iterator[tuple[Key, Record]]:
    """The same, each with where it was logged."""
    found = retention.kept(had(journal, entry.trial), turns(journal, parts(entry.trial), entry))
    ends = {} if all_executions else limits(journal, parts(entry.trial), entry)
    return resuming.counting(found, ends)


def had(journal: Journal, trial: Trial, but: str | None = None) -> Iterator[tuple[Key, Record]]:
    """Every record of an artifact that a trial ever had: of what a branch inherits, not what had been dropped before it. Not
    those of the execution ``but``.
    """
    cut = trial.cut or {}
    inherited = {end[1] for end in cut.get("ends", ())} if "kept" in cut else set()
    given = {tuple(one) for one in cut.get("kept", ())}
    for key, record in emitted(journal, trial, "artifacts", but):
        if key[0] not in inherited or "keep" not in record.values or (*key[:2], record.offset) in given:
            yield key, record


def cut_short(journal: Journal, trial: str, execution: str, until: int) -> Iterator[Summary]:
    """The summaries of what an execution that a trial sees had logged up to a time, to be kept before it is recorded that the
    trial was resumed from there.
    """
    entry = journal.entry(trial)
    for part in whole(journal, entry) if entry else ():
        if part.execution == execution and part.stream == "statistics":
            yield summary_of(journal, part, trial, until)


def summary_of(journal: Journal, part: Part, trial: str, until: int | None = None) -> Summary:
    """Of a part of a statistics stream, up to a time if one is given, as that of ``trial``."""
    summariser = statistics.Summariser()
    for _, segments in by_stream(journal, part.trial, (part.stream,), until={part.key: part.end}):
        for record in statistics.records(clipped(segment, part.end) for segment in segments):
            if until is None or record.time <= until:
                summariser.add(record)
    writer = part.writer if until is None else f"{part.writer}{resuming.AFTER}{until}"
    return Summary(trial, part.execution, writer, part.end, summariser.keys)


def printed(journal: Journal, entry: Entry, streams: Sequence[str]) -> Iterator[bytes]:
    """What a trial printed on these streams, what it inherits first, executions in their order."""
    for part in parts(entry.trial):
        if part.stream in streams:
            for _, segments in by_stream(journal, part.trial, (part.stream,), until={part.key: part.end}):
                yield from output.joined(clipped(segment, part.end) for segment in segments)
    for execution in entry.executions:
        for stream in streams:
            own = {(execution.id, LAUNCHER, stream): EVERYTHING}
            yield from output.joined(journal.segments(entry.id, (stream,), until=own))


# -- the line ---------------------------------------------------------------------------------------------------


def ancestors(journal: Journal, entry: Entry) -> list[Entry]:
    """The trials that this one continues, the oldest first; those that are no longer in the journal end the line."""
    line: list[Entry] = []
    known = {entry.id}
    parent = entry.trial.parent
    while parent and parent not in known:
        found = journal.entry(parent)
        if found is None:
            break
        line.append(found)
        known.add(parent)
        parent = found.trial.parent
    return line[::-1]


def children(journal: Journal, trial: str) -> list[Entry]:
    """The branches of a trial, the oldest first."""
    return journal.entries(Selection(parent=trial))[::-1]


@dataclass(frozen=True, slots=True)
class Node:
    """A trial and its branches, the oldest first."""

    entry: Entry
    branches: tuple[Node, ...]


def family(journal: Journal, entry: Entry) -> list[Entry]:
    """A trial with all its ancestors and everything that branches off any of them."""
    line = ancestors(journal, entry)
    found = [line[0] if line else entry]
    for one in found:  # grows as it goes
        found += children(journal, one.id)
    return found


def trees(entries: Sequence[Entry], alone: bool = False) -> list[Node]:
    """``entries`` by what continues what, the oldest first; trials without branches are left out unless ``alone``."""
    known = {entry.id for entry in entries}
    below: dict[str | None, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: (one.trial.created, one.id)):
        parent = entry.trial.parent
        below.setdefault(parent if parent in known else None, []).append(entry)
    order = list(below.get(None, ()))
    for entry in order:  # grows as it goes: every trial after the one that it continues
        order += below.get(entry.id, ())
    made: dict[str, Node] = {}
    for entry in reversed(order):
        made[entry.id] = Node(entry, tuple(made[one.id] for one in below.get(entry.id, ())))
    roots = [made[entry.id] for entry in below.get(None, ())]
    return [root for root in roots if alone or root.branches or root.entry.trial.parent]
