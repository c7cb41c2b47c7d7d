"""Cuts: where a branch leaves its parent, resolved once into the end of each stream that it sees."""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import astuple, dataclass, replace

from kleio.core import analyses, output, redact, statistics
from kleio.core.artifacts import View
from kleio.core.commandline import parameters, typed
from kleio.core.errors import KleioError, UsageError
from kleio.core.journal.base import Trace
from kleio.core.lineage import Part, clipped, limits, parts, summary_of, whole
from kleio.core.lookup import SHORT, by_stream
from kleio.core.scopes import Scopes, is_statistic
from kleio.core.spool import LAUNCHER, LINE_STREAMS, OUTPUT_STREAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.analyses import Inherited
    from kleio.core.journal.base import Journal, Summary
    from kleio.core.lookup import Key
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry, Trial

END = "end"
"""The criterion of a branch that continues all there is."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a branch leaves its parent. ``by`` says who asked: "branch" the command, "change" an --allow-* option.

    ``changed`` says in words what differs on this edge; it is told, and is no part of the identity. No more is ``kept``: of the
    artifacts with a policy (:mod:`kleio.core.retention`), those that were still there, as (execution, writer, offset); None
    where there are no such artifacts. ``analyses`` are what the branch has of those of its parent.
    """

    criterion: str
    by: str
    parts: tuple[Part, ...]
    changed: tuple[str, ...] = ()
    kept: tuple[tuple[str, str, int], ...] | None = None
    analyses: tuple[Inherited, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two branches of one parent the same."""
        return {"criterion": self.criterion, "by": self.by, "ends": [list(astuple(part)) for part in self.parts]}

    def as_dict(self) -> dict[str, Any]:
        known = {} if self.kept is None else {"kept": [list(one) for one in self.kept]}
        known |= {"analyses": [list(astuple(one)) for one in self.analyses]} if self.analyses else {}
        return self.identity | {"changed": list(self.changed)} | known

    @classmethod
    def of(cls, trial: Trial) -> Cut:
        """That of a trial which is a branch."""
        cut = trial.cut or {}
        kept = tuple((one[0], one[1], one[2]) for one in cut["kept"]) if "kept" in cut else None
        changed = tuple(cut.get("changed", ()))
        return cls(cut["criterion"], cut["by"], tuple(parts(trial)), changed, kept, tuple(analyses.inherited(trial)))


# -- making a cut --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moment:
    """Where to cut: ``time`` in nanoseconds, ``execution`` the last that counts, ``at`` the stream and offset that matched."""

    time: int
    execution: str | None = None
    at: tuple[Key, int] | None = None


def cut(journal: Journal, entry: Entry, criterion: str, by: str) -> Cut:
    """Cut a trial where ``criterion`` says: ``end``, ``NAME=VALUE``, an ISO time, or ``2h30m`` after its start.

    Raises UsageError for what is none of these, KleioError for what matches nothing; both say what there is.
    """
    there = whole(journal, entry)
    if criterion == END:
        return Cut(END, by, tuple(there), analyses=tuple(analyses.bequeathed(journal, entry, None)))
    name, equals, value = criterion.partition("=")
    moment = _matched(journal, entry, there, name, typed(value)) if equals and name else _at_time(criterion, entry)
    if moment.execution is not None:
        order = list(dict.fromkeys(part.execution for part in there))
        there = [part for part in there if order.index(part.execution) <= order.index(moment.execution)]
    ends = [_before(journal, part, moment) for part in there]
    kept = tuple(part for part in ends if part.end > 0)
    if not kept:
        raise KleioError(f"nothing of trial {entry.id[:SHORT]} lies before {criterion}; it {_lasted(entry)}")
    return Cut(criterion, by, kept, analyses=tuple(analyses.bequeathed(journal, entry, moment.time)))


def _matched(journal: Journal, entry: Entry, there: list[Part], name: str, value: Any) -> Moment:
    """The last statistic or artifact that has the value under this name, in the last execution that has one."""
    order = {part.execution: at for at, part in enumerate(there)}
    best: tuple[int, int, Key, int] | None = None
    seen_values: dict[str, list[Any]] = {}
    scopes = _scopes(journal, there)
    for key, record, end in _records(journal, there, LINE_STREAMS):
        if not is_statistic(record):
            continue
        scope = scopes.of(key, record)
        held = dict(statistics.flat(_values(key[2], record) if scope is None else {**scope.values, **record.values}))
        for known, own in held.items():
            _note(seen_values.setdefault(known, []), own)
        if name in held and _equal(held[name], value):
            candidate = (order[key[0]], record.time, key, end)
            best = candidate if best is None or candidate[:2] >= best[:2] else best
    if best is None:
        raise KleioError(_what_there_is(entry, name, value, seen_values))
    return Moment(best[1], best[2][0], best[2:])


def _scopes(journal: Journal, there: Sequence[Part]) -> Scopes:
    """What they tell of scopes: it is needed before their statistics are looked at, since a scope may learn values later."""
    scopes = Scopes()
    for part in there:
        if part.stream == "statistics":
            for _, segments in by_stream(journal, part.trial, (part.stream,), until={part.key: part.end}):
                for segment in segments:
                    marked = statistics.is_marked(segment.payload)
                    for record in statistics.unpacked(clipped(segment, part.end)) if marked else ():
                        scopes.take(part.key, record)
    return scopes


def _values(stream: str, record: Record) -> Mapping[str, Any]:
    return record.values if stream == "statistics" else dict(record.values.get("meta", {}))


def _equal(one: Any, other: Any) -> bool:
    return type(one) in (int, float, str, bool) and isinstance(one, bool) is isinstance(other, bool) and one == other


def _note(known: list[Any], value: Any) -> None:
    """Keep the smallest and the largest of numbers, and a few others."""
    if type(value) in (int, float):
        numbers = [one for one in known if type(one) in (int, float)]
        known[:] = [*(one for one in known if type(one) not in (int, float)), min([value, *numbers]), max([value, *numbers])]
    elif type(value) is str and len(known) < 8 and value not in known:
        known.append(value)


def _what_there_is(entry: Entry, name: str, value: Any, found: Mapping[str, list[Any]]) -> str:
    short = entry.id[:SHORT]
    if not found:
        return f"trial {short} logged no statistic and no artifact to cut at; give a time (2h30m), or leave --timestamp away"
    if name not in found:
        return f"nothing of trial {short} carries {name}; what there is: {', '.join(sorted(found)[:20])}"
    numbers = [one for one in found[name] if type(one) in (int, float)]
    texts = [str(one) for one in found[name] if type(one) is str]
    numbered = [f"goes from {min(numbers)} to {max(numbers)}"] if numbers else []
    named = [f"is {', '.join(texts)}"] if texts else []
    there = " and ".join(numbered + named) or "has no plain value"
    return f"nothing of trial {short} carries {name}={value}; there {name} {there}"


def _records(journal: Journal, there: Sequence[Part], streams: Sequence[str]) -> Iterator[tuple[Key, Record, int]]:
    """Every record of these parts with the offset behind it."""
    for part in there:
        if part.stream not in streams:
            continue
        for _, segments in by_stream(journal, part.trial, (part.stream,), until={part.key: part.end}):
            for segment in segments:
                own = statistics.unpacked(clipped(segment, part.end))
                behind = [*(record.offset for record in own[1:]), min(segment.end, part.end)]
                yield from ((part.key, record, end) for record, end in zip(own, behind, strict=True))


def _before(journal: Journal, part: Part, moment: Moment) -> Part:
    """What of a part lies before the moment. What stands in earlier executions than the one that matched is earlier."""
    if moment.execution is not None and part.execution != moment.execution:
        return part
    if moment.at is not None and moment.at[0] == part.key:
        return replace(part, end=moment.at[1])
    if part.stream in OUTPUT_STREAMS:
        return replace(part, end=_printed_before(journal, part, moment.time))
    end = 0
    for _, record, behind in _records(journal, [part], (part.stream,)):
        if record.time > moment.time:
            break
        end = behind
    return replace(part, end=end)


def _printed_before(journal: Journal, part: Part, time: int) -> int:
    """The offset up to which output was there at a time, the line that was begun included."""
    for _, segments in by_stream(journal, part.trial, (part.stream,), until={part.key: part.end}):
        for segment in segments:
            if segment.dropped:
                continue
            data, times = output.unpack(clipped(segment, part.end).payload)
            later = next((offset for offset, when in times if when > time), None)
            if later is not None:
                begun = later - segment.start
                if begun == 0:
                    return later
                newline = data.find(b"\n", begun - 1)
                return segment.start + newline + 1 if newline >= 0 else later
    return part.end


def _at_time(criterion: str, entry: Entry) -> Moment:
    moment = Moment(_time(criterion, entry))
    ends = [one.ended for one in entry.executions]
    last = max((end for end in ends if end is not None), default=entry.trial.created) if None not in ends else time.time()
    if moment.time > (last + 1) * 1e9:
        raise KleioError(
            f"nothing of trial {entry.id[:SHORT]} comes after {criterion}; it {_lasted(entry)}: "
            "to go on from its end, leave --timestamp away"
        )
    return moment


LATEST = 1 << 40
"""Seconds since the epoch; no run is later."""
_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?\Z")
_SECONDS = (86400, 3600, 60, 1)


def _time(criterion: str, entry: Entry) -> int:
    """Nanoseconds since the epoch of an ISO time, local where it names no zone, or of a time after the first start."""
    span = _SPAN.match(criterion)
    if span and criterion:
        started = entry.executions[0].started if entry.executions else entry.trial.created
        after = sum(float(count) * unit for count, unit in zip(span.groups(), _SECONDS, strict=True) if count)
        return int(min(started + after, LATEST) * 1e9)
    try:
        moment = int(datetime.datetime.fromisoformat(criterion.replace("Z", "+00:00")).timestamp() * 1e9)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{criterion!r} is no place to cut at; write NAME=VALUE (epoch=10), an ISO time (2026-11-20T14:30), "
            "or a time after the start (2h30m)"
        ) from None
    return moment


def _lasted(entry: Entry) -> str:
    if not entry.executions:
        return "has never run"
    stamps = [stamp for one in entry.executions for stamp in (one.started, one.ended) if stamp]
    first, last = (datetime.datetime.fromtimestamp(stamp).astimezone() for stamp in (min(stamps), max(stamps)))
    return f"ran from {first.isoformat(' ', 'seconds')} to {last.isoformat(' ', 'seconds')}"


def words_changed(parent: Entry, now: Sequence[str]) -> list[str]:
    """How a branch's command differs from its parent's: the parameters that do, in words."""
    old, new = (parameters(redact.command(words)) for words in (parent.trial.command, now))
    return [
        f"{name} {_said(old if name in old else parent.params, name)} → {_said(new, name)}"
        for name in dict.fromkeys((*old, *new))
        if old.get(name, _MISSING) != new.get(name, _MISSING)
    ]


_MISSING = object()


def _said(params: Mapping[str, Any], name: str) -> str:
    return str(params[name]) if name in params else "not given"


# -- what a branch begins with -------------------------------------------------------------------------------------


def inherited_summaries(journal: Journal, parent: str, child: str, cut: Cut) -> Iterator[Summary]:
    """The summaries of what a branch inherits, to be kept as its own: those of its parent where they cover just that."""
    known = {(one.execution, one.writer): one for one in journal.summaries([parent]).get(parent, ())}
    ends = limits(journal, cut.parts)
    for part in cut.parts:
        end = ends.get(part.execution)
        if part.stream != "statistics" or end == 0:
            continue
        whole = known.get((part.execution, part.writer))
        if end is None and whole is not None and whole.end == part.end:
            yield replace(whole, trial=child)
        else:
            yield replace(summary_of(journal, part, child, end), writer=part.writer)
    yield from analyses.summaries(journal, child, cut.analyses)


def endowed(journal: Journal, cut: Cut, givers: Sequence[Entry], child: str, execution: str) -> Cut:
    """The cut with what is there of the artifacts before it; ``givers`` are trials that may have them.

    A giver may drop one at this very moment. So the branch that is about to be made leaves a trace of its need first, and then
    looks again: either the giver had dropped it by then, or whoever deletes its bytes finds the trace.
    """
    bounded = [(key, record) for key, record, _ in _records(journal, cut.parts, ("artifacts",)) if "keep" in record.values]
    if not bounded:
        return replace(cut, kept=None)
    there = _had(journal, givers)
    left = {
        Trace(f"sha256:{record.values.get('sha256')}", child, execution)
        for key, record in bounded
        if (*key[:2], record.offset) in there
    }
    journal.leave(sorted(left))
    there &= _had(journal, [journal.entry(one.id) or one for one in givers])
    places = dict.fromkeys((key[0], key[1], record.offset) for key, record in bounded)
    return replace(cut, kept=tuple(one for one in places if one in there))


def _had(journal: Journal, givers: Sequence[Entry]) -> set[tuple[str, str, int]]:
    return {(key[0], key[1], record.offset) for one in givers for key, record in View(journal, one).kept}


def _not_kept(journal: Journal, cut: Cut) -> Iterator[str]:
    """Of each name whose newest artifact before the cut has been dropped, what there is instead."""
    if cut.kept is None:
        return
    newest: dict[str, Record] = {}
    there: dict[str, Record] = {}
    for key, record, _ in _records(journal, cut.parts, ("artifacts",)):
        name = str(record.values.get("name"))
        newest[name] = max(newest.get(name, record), record, key=lambda one: one.time)
        if "keep" not in record.values or (key[0], key[1], record.offset) in cut.kept:
            there[name] = max(there.get(name, record), record, key=lambda one: one.time)
    for name, last in newest.items():
        known = there.get(name)
        if known is not last:
            instead = f"the newest that was is {_worded(known)}" if known else "none of them was"
            yield f"the artifact {name} ({_worded(last)}) was not kept (keep_last, keep_best); {instead}"


def _worded(record: Record) -> str:
    return " ".join(f"{name}={value}" for name, value in list(dict(record.values.get("meta", {})).items())[:3]) or "no metadata"


def remarks(journal: Journal, entry: Entry, cut: Cut) -> Iterator[str]:
    """What whoever branches should know of the cut."""
    short = entry.id[:SHORT]
    if entry.live:
        yield f"trial {short} is running; the branch has what of it is in the journal now"
    used = {part.execution for part in cut.parts}
    for execution in entry.executions:
        silent = execution.ended is None and not (entry.live and execution.id == entry.holder)
        if execution.id in used and silent:
            yield (
                f"execution {execution.number} of trial {short} on {execution.host} ended without a word; "
                "what it had not shipped is not in this branch (kleio sync there ships it)"
            )
    yield from _not_kept(journal, cut)
    if not any(part.stream == "artifacts" and part.writer != LAUNCHER for part in cut.parts):
        yield (
            f"trial {short} logged no artifact before the cut: a script that goes on from files on disk finds them as they are "
            "now, not as they were there"
        )
