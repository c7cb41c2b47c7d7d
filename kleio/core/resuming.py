"""What a script said it resumed from: what earlier executions logged after that no longer counts.

``kleio_logger.resume_from(artifact)`` leaves an event "resumed" with the execution that logged the artifact and when.
Nothing is taken away: readings and summaries leave out what lies beyond, and every reader can be asked for all of it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Summary
    from kleio.core.lookup import Key
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry, Event

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
    """By execution, what it said last."""
    found = sorted((event for event in events if event.kind == KIND and event.execution), key=lambda event: event.time)
    return {str(event.execution): from_data(event.data, event.time) for event in found}


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
        if said is not None and said.of != execution and said.said <= found.get(execution, said.said):
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


def counting(found: Iterable[tuple[Key, Record]], limits: Mapping[str, int]) -> Iterator[tuple[Key, Record]]:
    """Those that count."""
    for key, record in found:
        if record.time <= limits.get(key[0], record.time):
            yield key, record


# -- summaries -----------------------------------------------------------------------------------------------------


def counted(entry: Entry, summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries that count for a trial: of an execution that counts in part, :func:`~kleio.core.lineage.cut_short`."""
    ends = limits(order_of(entry), told(entry.events))
    kept = []
    for one in summaries:
        end = ends.get(one.execution)
        _, cut, until = one.writer.partition(AFTER)
        if (end is None and not cut) or (end and cut and int(until) == end):
            kept.append(one)
    return kept


def everything(summaries: Iterable[Summary]) -> list[Summary]:
    """The summaries of all that was ever logged."""
    return [one for one in summaries if AFTER not in one.writer]


def went_back(entry: Entry, summaries: Sequence[Summary]) -> Iterator[tuple[str, int, float, int, float]]:
    """Where epochs or steps begin again, and nobody said from where: (key, number of the execution, its first, number of an
    earlier one, its last).
    """
    from kleio.core.statistics import merged

    said = told(entry.events)
    before: dict[str, tuple[int, float]] = {}
    for execution in entry.executions:
        own = merged(one for one in everything(summaries) if one.execution == execution.id)
        for key in ("epoch", "step"):
            first, last = own.get(key, {}).get("first"), own.get(key, {}).get("last")
            if first is None or last is None or type(last) not in (int, float):
                continue
            if key in before and first < before[key][1] and execution.id not in said:
                yield key, execution.number, first, *before[key]
            before[key] = execution.number, float(last)
