"""What a script said it resumed from: what earlier executions logged after that no longer counts.

``kleio_logger.resume_from(artifact)`` leaves an event "resumed" with the execution that logged the artifact and when.
Nothing is taken away: readings and summaries leave out what lies beyond, and every reader can be asked for all of it.
"""

from __future__ import annotations

from kleio.core.spool import LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Summary
    from kleio.core.lookup import Key
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry, Event, Trial

    Turn = tuple[int, Mapping[str, int]]

KIND = "resumed"
AFTER = "@"
"""Between the name of a writer and a time in nanoseconds: who has this for a name in a summary, summarises only up to there."""


class Resumed:
    """That an execution, at ``said``, went on from what the execution ``of`` had logged up to ``until``; nanoseconds.

    ``what`` is it in words. Where ``of`` is empty, it began anew.
    """

    __slots__ = ("of", "said", "until", "what")

    def __init__(self, of: str, until: int, said: int, what: str = "") -> None:
        self.of, self.until, self.said, self.what = of, until, said, what


def told(events: Iterable[Event]) -> dict[str, Resumed]:
    """By execution, what it said last. What it said of itself gave up nothing."""
    found = sorted((event for event in events if event.kind == KIND and event.execution), key=lambda event: event.time)
    said = ((str(event.execution), from_data(event.data, event.time)) for event in found)
    return {execution: one for execution, one in said if one.of != execution}


def from_data(data: Mapping[str, Any], time: float) -> Resumed:
    """``data`` as the client leaves it, and when, in seconds."""
    return Resumed(str(data["execution"]), int(data["time"]), int(time * 1e9), str(data.get("artifact") or ""))


def limits(order: Sequence[str], resumed: Mapping[str, Resumed]) -> dict[str, int]:
    """Execution → the time in nanoseconds up to which what it logged counts, 0 for nothing; of the others all counts.

    ``order`` are all executions in the order in which they ran. It is walked from the last to the first: what an execution
    resumed from is the line that counts, and nothing that was said on a line that was given up does.
    """
    found: dict[str, int] = {}
    going_on: Resumed | None = None
    for at in range(len(order) - 1, -1, -1):
        execution = order[at]
        if going_on is not None:
            found[execution] = going_on.until if execution == going_on.of else 0
            if execution != going_on.of:
                continue
        said = resumed.get(execution)
        if said is not None and said.said <= found.get(execution, said.said):
            going_on = said  # of an execution that is not there, all that came before is given up
        elif going_on is not None:
            going_on = None
    return found


def turns(order: Sequence[str], events: Iterable[Event], said: Mapping[str, Resumed]) -> list[Turn]:
    """The limits as they were from each time on, in nanoseconds, at which something was said. ``said`` is not yet an event."""
    happened = [event for event in events if event.kind == KIND and event.execution]
    times = {int(event.time * 1e9) for event in happened} | {one.said for one in said.values()}
    return [
        (
            at,
            limits(
                order,
                told(event for event in happened if int(event.time * 1e9) <= at)
                | {execution: one for execution, one in said.items() if one.said <= at},
            ),
        )
        for at in sorted(times)
    ]


def order_of(entry: Entry) -> list[str]:
    """The executions that a trial sees, in the order in which they ran."""
    inherited = [str(end[1]) for end in (entry.trial.cut or {}).get("ends", ())]
    return list(dict.fromkeys([*inherited, *(one.id for one in entry.executions)]))


def own_limits(entry: Entry) -> dict[str, int]:
    """The limits as far as a trial's own executions said what they resumed from; what it inherits is within its own."""
    return limits(order_of(entry), told(entry.events))


def anew(trial: Trial, limits: Mapping[str, int]) -> bool:
    """Whether a branch has given up all that it inherits, and with it what was said of that later."""
    inherited = [str(end[1]) for end in (trial.cut or {}).get("ends", ())]
    return bool(inherited) and all(limits.get(execution) == 0 for execution in inherited)


def counting(found: Iterable[tuple[Key, Record]], limits: Mapping[str, int]) -> Iterator[tuple[Key, Record]]:
    """Those that count."""
    for key, record in found:
        if record.time <= limits.get(key[0], record.time):
            yield key, record


# -- summaries -----------------------------------------------------------------------------------------------------


def counted(entry: Entry, summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries that count for a trial: of an execution that counts in part, :func:`~kleio.core.lineage.cut_short`."""
    ends = own_limits(entry)
    analyses = {str(one[1]) for one in (entry.trial.cut or {}).get("analyses", ())} if anew(entry.trial, ends) else set()
    kept = []
    for one in summaries:
        if one.writer == LAUNCHER:
            kept.append(one)  # what was taken of the machine was taken, whatever of its results counts
            continue
        if one.execution in analyses:
            continue
        end = ends.get(one.execution)
        _, cut, until = one.writer.partition(AFTER)
        if (end is None and not cut) or (end and cut and int(until) == end):
            kept.append(one)
    return kept


def everything(summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries of all that was ever logged."""
    return [one for one in summaries if AFTER not in one.writer]


OUTER = ("epoch", "step", "global_step", "iteration", "timestep", "generation", "episode", "trial_step")
"""Names of what counts through a whole run."""
INNER = ("iter", "it", "i", "t", "batch", "round")
"""Names of what may as well begin again within one: they are looked at where nothing else counts."""


def went_back(entry: Entry, summaries: Sequence[Summary]) -> Iterator[tuple[str, int, float, int, float]]:
    """Where counting begins again, and nobody said from where: (key, number of the execution, its first, number of an
    earlier one or 0 for what is inherited, its last). Once an execution.
    """
    from kleio.core.statistics import merged

    said = told(entry.events)
    numbers = {one.id: one.number for one in entry.executions}
    before: dict[str, tuple[int, float]] = {}
    for execution in order_of(entry):
        own = merged(one for one in everything(summaries) if one.execution == execution)
        number = numbers.get(execution, 0)
        counters = dict(_counters(own))
        common = [key for key in counters if key in before]
        outer = [key for key in common if key.lower() in OUTER]
        if number and execution not in said:
            back = (key for key in outer or common if counters[key][0] < before[key][1])
            yield from ((key, number, counters[key][0], *before[key]) for key in list(back)[:1])
        before |= {key: (number, last) for key, (_, last) in counters.items()}


def _counters(summary: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, tuple[float, float]]]:
    """(key, (first, last)) of what only ever grew in an execution, as far as its summary tells; the surest names first.

    What begins again within an execution, as epochs do in each fold, has come to less than it had, or has more values than
    it counted. Epochs and steps may be said more than once each, for training and for testing.
    """
    ranks = {name: rank for rank, name in enumerate((*OUTER, *INNER))}
    for key in sorted((key for key in summary if key.lower() in ranks), key=lambda key: ranks[key.lower()]):
        own = summary[key]
        first, last = own.get("first"), own.get("last")
        if type(first) not in (int, float) or type(last) not in (int, float):
            continue
        once = key.lower() in OUTER or own["numbers"] <= own["max"] - own["min"] + 1
        if once and first == own["min"] and last == own["max"]:
            yield key, (first, last)
