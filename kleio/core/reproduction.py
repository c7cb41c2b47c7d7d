"""Whether a repetition came out as the original did: statistics record by record, artifacts by name, how it ended.

Both trials are read side by side, a segment at a time, so their size does not matter. Each process that logs has a stream of
its own under a random name; the streams of one trial are put in the order of their beginnings, and of two trials those belong
together that begin with the same record, else in that order. Times are not compared.
"""

from __future__ import annotations

import fnmatch
import math
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest

from kleio.core import statistics
from kleio.core.journal.base import Selection
from kleio.core.lineage import Part, clipped, limits, parts
from kleio.core.lookup import SHORT
from kleio.core.scopes import is_statistic, said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry

MOST_KEYS = 1000
"""Differences that are told apart; a repetition that differs in more has differed enough."""
CLOCKS = ("*time*", "*second*", "*duration*", "*elapsed*", "*_ms", "*per_sec*")
"""Keys that look as if they measured the machine and not the work."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Numbers a and b are the same within ``atol + rtol * |a|``, a being the original's; NaN is the same as NaN.

    ``ignore`` are patterns of keys, nested ones joined with ``/``, and of artifacts' names.
    """

    rtol: float = 0.0
    atol: float = 0.0
    ignore: tuple[str, ...] = ()

    def ignores(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignore)

    def same(self, before: Any, after: Any) -> bool:
        """Whether two values of any kind are the same."""
        if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
            return len(before) == len(after) and all(map(self.same, before, after))
        if isinstance(before, dict) and isinstance(after, dict):
            return before.keys() == after.keys() and all(self.same(before[key], after[key]) for key in before)
        if _is_number(before) and _is_number(after):
            return self._same_number(before, after)
        return type(before) is type(after) and bool(before == after)

    def _same_number(self, before: float, after: float) -> bool:
        if before == after or (before != before and after != after):
            return True
        if not (math.isfinite(before) and math.isfinite(after)):
            return False
        return abs(before - after) <= self.atol + self.rtol * abs(before)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Difference:
    """``kind`` is statistic, artifact, count or end. ``number`` counts from one: the record, or the artifact of its name, that
    was the first to differ in ``name``; ``times`` how many did. None stands for what one of the two does not have.
    """

    kind: str
    name: str
    number: int
    before: Any
    after: Any
    times: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """``statistics`` and ``artifacts`` are how many there were, (original, repetition)."""

    original: str
    repetition: str
    statistics: tuple[int, int]
    artifacts: tuple[int, int]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        return not self.differences

    @property
    def clocks(self) -> list[str]:
        """The keys that differ, if they are all there is and look like clocks."""
        names = [one.name for one in self.differences if one.kind == "statistic" and _looks_like_a_clock(one.name)]
        return names if len(names) == len(self.differences) else []

    def as_document(self) -> dict[str, Any]:
        return {
            "original": self.original, "repetition": self.repetition, "reproduced": self.reproduced,
            "statistics": {"before": self.statistics[0], "after": self.statistics[1]},
            "artifacts": {"before": self.artifacts[0], "after": self.artifacts[1]},
            "differences": [asdict(one) for one in self.differences], "notes": list(self.notes),
        }  # fmt: skip


def _looks_like_a_clock(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), clock) for clock in CLOCKS)


def verify(journal: Journal, original: Entry, repetition: Entry, tolerance: Tolerance) -> Verdict:
    """Compare two trials. The differences are ordered by kind, statistics by where they first appear."""
    comparing = _Comparing(tolerance)
    for before, after in _paired(journal, original, repetition):
        comparing.streams(before, after)
    kept, its = (_artifacts(journal, one) for one in (original, repetition))
    found = sorted(comparing.found.values(), key=lambda one: one.number)
    found += [*_other_artifacts(kept, its, tolerance), *_other_end(original, repetition)]
    return Verdict(
        original.id, repetition.id, (comparing.count[0], comparing.count[1]), (len(kept), len(its)),
        tuple(found), tuple(_notes(journal, original, repetition)),
    )  # fmt: skip


def _notes(journal: Journal, original: Entry, repetition: Entry) -> Iterator[str]:
    """What may make two trials differ though nothing went wrong."""
    if original.trial.parent != repetition.trial.parent:
        yield (
            f"trial {original.id[:SHORT]} continues trial {(original.trial.parent or 'none')[:SHORT]}, and what repeated it "
            "began from the beginning"
        )
    for entry in (original, repetition):
        if len(entry.executions) > 1:
            yield (
                f"trial {entry.id[:SHORT]} was resumed: its {len(entry.executions)} executions are compared one after the "
                f"other, {_what_counts(journal, entry)}"
            )


def _what_counts(journal: Journal, entry: Entry) -> str:
    if limits(journal, parts(entry.trial), entry):
        return "without what was given up by resuming from before it"
    return "with all that each of them logged"


# -- statistics --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Comparing:
    tolerance: Tolerance
    found: dict[str, Difference] = field(default_factory=dict)
    count: list[int] = field(default_factory=lambda: [0, 0])

    def streams(self, before: Iterable[Record], after: Iterable[Record]) -> None:
        """Compare two streams record by record; one that is longer differs in its length."""
        counts = [0, 0]
        for number, (old, new) in enumerate(zip_longest(before, after), 1):
            counts[0] += old is not None
            counts[1] += new is not None
            if old is not None and new is not None:
                self._records(number, old.values, new.values)
        if counts[0] != counts[1]:
            self._differs(Difference("count", "statistics", min(counts) + 1, counts[0], counts[1]))
        self.count = [total + own for total, own in zip(self.count, counts, strict=True)]

    def _records(self, number: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        before, after = (dict(statistics.flat(values)) for values in (old, new))
        for name in dict.fromkeys([*before, *after]):
            there = name in before and name in after
            if (not there or not self.tolerance.same(before[name], after[name])) and not self.tolerance.ignores(name):
                self._differs(Difference("statistic", name, number, before.get(name), after.get(name)))

    def _differs(self, one: Difference) -> None:
        known = self.found.get(f"{one.kind} {one.name}")
        if known:
            first = min(known, one, key=lambda difference: difference.number)
            one = Difference(one.kind, one.name, first.number, first.before, first.after, known.times + 1)
        if known or len(self.found) < MOST_KEYS:
            self.found[f"{one.kind} {one.name}"] = one


def _paired(journal: Journal, original: Entry, repetition: Entry) -> Iterator[tuple[Iterable[Record], Iterable[Record]]]:
    """The streams that belong together; what has no counterpart is compared with nothing."""
    ours, theirs = _lanes(journal, original, "statistics"), _lanes(journal, repetition, "statistics")
    ends = [limits(journal, parts(entry.trial), entry) for entry in (original, repetition)]
    beginnings = [_first(journal, lane) for lane in theirs]
    for lane in ours:
        first = _first(journal, lane)
        at = next((at for at, one in enumerate(beginnings) if one and first and one.values == first.values), 0)
        other = theirs.pop(at) if theirs else []
        del beginnings[at : at + 1]
        yield _read(journal, lane, ends[0]), _read(journal, other, ends[1])
    for lane in theirs:
        yield (), _read(journal, lane, ends[1])


def _lanes(journal: Journal, entry: Entry, stream: str) -> list[list[Part]]:
    """A trial's streams of one kind. The first of each execution make one lane, executions in order, the second another."""
    attempts: dict[tuple[str, str], list[Part]] = {}
    for part in parts(entry.trial):
        if part.stream == stream:
            attempts.setdefault((part.trial, part.execution), []).append(part)
    for execution in entry.executions:
        extents = journal.extents(execution.id, entry.id)
        own = [Part(entry.id, execution.id, *key, end) for key, end in extents.items() if key[1] == stream and end]
        attempts.setdefault((entry.id, execution.id), []).extend(own)
    ordered = [_by_beginning(journal, own) for own in attempts.values() if own]
    return [[part for part in lane if part] for lane in zip_longest(*ordered)]


def _by_beginning(journal: Journal, own: list[Part]) -> list[Part]:
    if len(own) < 2:
        return own
    begun = [(_first(journal, [part]), part) for part in own]
    return [part for first, part in sorted(begun, key=lambda one: (one[0].time if one[0] else 0, one[1])) if first]


def _read(journal: Journal, lane: Sequence[Part], ends: Mapping[str, int] | None = None) -> Iterator[Record]:
    """What counts of a lane: statistics with their own values, and scopes with theirs where they are told of."""
    for part in lane:
        segments = journal.segments(part.trial, (part.stream,), None, {part.key: part.end})
        for record in statistics.records(clipped(segment, part.end) for segment in segments):
            values = said(record)
            if record.time <= (ends or {}).get(part.execution, record.time) and (values or is_statistic(record)):
                yield replace(record, values=values) if record.mark else record


def _first(journal: Journal, lane: Sequence[Part]) -> Record | None:
    return next(_read(journal, lane), None)


# -- artifacts, and how it ended ---------------------------------------------------------------------------------------


def _artifacts(journal: Journal, entry: Entry) -> list[Record]:
    """Without files that name the trial, as a plot does in its metadata: in another trial they are others."""
    ends = limits(journal, parts(entry.trial), entry)
    found = [record for lane in _lanes(journal, entry, "artifacts") for record in _read(journal, lane, ends)]
    return sorted((record for record in found if not record.values.get("names_trial")), key=lambda record: record.time)


def _other_artifacts(before: Sequence[Record], after: Sequence[Record], tolerance: Tolerance) -> Iterator[Difference]:
    """The first of each name whose contents differ, or that only one of the two has."""
    old, new = _by_name(before), _by_name(after)
    for name in dict.fromkeys([*old, *new]):
        if tolerance.ignores(name):
            continue
        pairs = list(enumerate(zip_longest(old.get(name, ()), new.get(name, ())), 1))
        other = [(number, one) for number, one in pairs if _content(one[0]) != _content(one[1])]
        if other:
            number, (mine, its) = other[0]
            yield Difference("artifact", name, number, _kept(mine), _kept(its), len(other))


def _by_name(artifacts: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in artifacts:
        found.setdefault(record.values["name"], []).append(record)
    return found


def _content(record: Record | None) -> str | None:
    return record.values["sha256"] if record else None


def _kept(record: Record | None) -> dict[str, Any] | None:
    return {name: record.values[name] for name in ("sha256", "size")} if record else None


def _other_end(original: Entry, repetition: Entry) -> Iterator[Difference]:
    ends = [entry.executions[-1] if entry.executions else None for entry in (original, repetition)]
    before, after = ((one.signal or one.exit_code) if one else None for one in ends)
    if before != after:
        yield Difference("end", "exit status", 1, before, after)


# -- around it ---------------------------------------------------------------------------------------------------------


def repetition_of(journal: Journal, original: Entry, since: float) -> Entry | None:
    """The newest trial that repeats this one and was made after ``since`` (seconds since the epoch)."""
    found = journal.entries(Selection(work_key=original.trial.work_key), 20)
    found += journal.entries(Selection(project=original.trial.project), 20)
    mine = [one for one in found if one.trial.previous == original.id and one.trial.created >= since]
    return max(mine, key=lambda one: one.trial.created, default=None)
