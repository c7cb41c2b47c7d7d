"""Which artifacts of a name are kept: ``log_artifact(…, keep_last=2, keep_best="loss")``, as a pure fold over their records.

The fold only ever takes away: whatever arrives later, from another process or another machine, and wherever its time lies,
nothing that was dropped once is kept again. So bytes may be deleted on the strength of the records that are known so far.
"""

from __future__ import annotations

from itertools import groupby

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.lookup import Key
    from kleio.core.resuming import Turn
    from kleio.core.statistics import Record

    Logged = tuple[Key, Record]


def policy(last: Any, best: Any) -> dict[str, Any] | None:
    """What goes into a record as ``keep``; None if nothing was asked for. Raises ValueError for what cannot be meant."""
    if last is None and best is None:
        return None
    if last is not None and (type(last) is not int or last < 1):
        raise ValueError(f"keep_last is how many of the newest to keep, 1 or more, not {last!r}")
    if best is not None and (not isinstance(best, str) or not best.strip("-")):
        raise ValueError(f'keep_best names a value of the metadata, as "loss" (the smallest) or "-accuracy", not {best!r}')
    return {name: value for name, value in (("last", last), ("best", best)) if value is not None}


def measured(meta: Any, best: str) -> float | None:
    """What ``keep_best`` compares, the smaller the better; None for what is no number, or NaN. Nested names have a ``/``."""
    value = meta
    name = best.removeprefix("-")
    if isinstance(value, dict) and name in value:
        value = value[name]
    else:
        for part in name.split("/"):
            value = value.get(part) if isinstance(value, dict) else None
    if type(value) not in (int, float) or value != value:
        return None
    assert isinstance(value, (int, float))
    return -value if best.startswith("-") else value


def kept(records: Iterable[Logged], turns: Sequence[Turn] = ()) -> list[Logged]:
    """The artifacts that are there, of all names, in the order of their times.

    The policy of each record decides about those up to it: the newest ``last`` of its name stay, and the best of those that
    were logged with the same ``best``; of two equally good ones the first. Where nothing is best and none were to stay, the
    newest does. A record without a policy is never dropped, and drops nothing.

    ``turns`` are times from which on, in nanoseconds, only what an execution logged up to another time counts, as
    ``resume_from`` has it: what is given up is neither best nor among the newest any more.
    """
    found = sorted(records, key=lambda one: (one[1].time, one[0], one[1].offset))
    stay: list[Logged] = []
    by_name = sorted(found, key=_name)
    for _, own in groupby(by_name, key=_name):
        stay += _of_one_name(list(own), turns)
    return sorted(stay, key=lambda one: one[1].time)


def _name(one: Logged) -> str:
    return str(one[1].values.get("name"))


def _of_one_name(found: list[Logged], turns: Sequence[Turn]) -> list[Logged]:
    policies = [_policy(record) for _, record in found]
    alive: list[int] = []
    best: dict[str, tuple[float, int]] = {}
    limits: Mapping[str, int] = {}
    coming = sorted(turns, key=lambda turn: turn[0])
    for at, (_, record) in enumerate(found):
        if coming and coming[0][0] <= record.time:
            while coming and coming[0][0] <= record.time:
                limits = coming.pop(0)[1]
            best = {}
            for earlier in range(at):
                _consider(best, earlier, found, policies, limits)
        _consider(best, at, found, policies, limits)
        alive.append(at)
        own = policies[at]
        if own is not None:
            stay = set(_newest(found, at, own.get("last", 0), limits))
            stay |= {best[own["best"]][1]} if own.get("best") in best else set()
            alive = [one for one in alive if one in (stay or {at}) or policies[one] is None]
    return [found[one] for one in alive]


def _policy(record: Record) -> Mapping[str, Any] | None:
    """As :func:`policy` made it; whatever else stands there, since anything may, is none."""
    keep = record.values.get("keep")
    if not isinstance(keep, dict):
        return None
    try:
        return policy(keep.get("last"), keep.get("best"))
    except ValueError:
        return None


def _counts(one: Logged, limits: Mapping[str, int]) -> bool:
    return one[1].time <= limits.get(one[0][0], one[1].time)


def _consider(
    best: dict[str, tuple[float, int]], at: int, found: list[Logged], policies: list[Any], limits: Mapping[str, int]
) -> None:
    key = (policies[at] or {}).get("best")
    if key is None or not _counts(found[at], limits):
        return
    value = measured(found[at][1].values.get("meta"), key)
    if value is not None and (key not in best or value < best[key][0]):
        best[key] = value, at


def _newest(found: list[Logged], at: int, count: int, limits: Mapping[str, int]) -> list[int]:
    newest: list[int] = []
    while at >= 0 and len(newest) < count:
        if _counts(found[at], limits):
            newest.append(at)
        at -= 1
    return newest
