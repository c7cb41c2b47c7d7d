"""Curves as plain data: what a plot shows, smoothed and labelled, before anybody draws it. Standard library only."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from kleio.core.plotting import axes
from kleio.core.plotting.thinning import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.plotting.axes import Axis
    from kleio.core.plotting.thinning import Line
    from kleio.core.trial import Entry

SHORT = 7
"""Hex digits of an id that tell trials apart where nothing else does."""
MOST_NAMES = 3
"""Parameters in a label."""
TIME, NUMBER = "\0time", "\0index"
"""What x may be besides a statistic: seconds that the trial has run, and the number of the point from 0. Nobody types a NUL."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Statistic ``key`` of a trial: ``x`` and ``y`` have an element a point, in the order in which they were logged.

    ``raw`` is ``y`` before it was smoothed. ``across`` is the key that ``x`` is of, TIME or NUMBER.
    """

    trial: str
    key: str
    label: str
    across: str
    x: Sequence[float]
    y: Sequence[float]
    raw: Sequence[float] | None = None


# -- smoothing -----------------------------------------------------------------------------------------------------


def weight(amount: float) -> float:
    """The part of each value that is of those before it: ``amount`` itself below 1, from 1 on a number of points."""
    return amount if amount < 1 else 1 - 2 / (amount + 1)


def smoothed(curve: Curve, amount: float) -> Curve:
    """As an exponential moving average, divided by the weights so far, so that the first values do not count more."""
    return replace(curve, y=list(_averages(curve.y, weight(amount))), raw=curve.y)


def _averages(values: Sequence[float], weight: float) -> Iterator[float]:
    """What is not finite stays so, and is passed over."""
    average = total = 0.0
    rest = 1 - weight
    for value in values:
        if value - value != 0:
            yield value
            continue
        average = average * weight + value * rest
        total = total * weight + rest
        yield average / total


# -- labels --------------------------------------------------------------------------------------------------------


def labels(entries: Sequence[Entry]) -> dict[str, str]:
    """What tells trials apart, by id: the parameters that differ, else their names, and ids where that is not enough."""
    params = [entry.params for entry in entries]
    telling = differing(params)
    found = {entry.id: " ".join(_told(own, telling)) for entry, own in zip(entries, params, strict=True)}
    names = [entry.name for entry in entries]
    if not all(found.values()) and all(names) and len(set(names)) == len(names):
        found = {entry.id: str(entry.name) for entry in entries}
    times = Counter(found.values())
    return {
        trial: label if label and times[label] == 1 else f"{label} {trial[:SHORT]}".strip()
        for trial, label in found.items()
    }


def differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of parameters that are not the same everywhere; of more than three, those that tell the most apart."""
    names = [name for name in dict.fromkeys(name for own in params for name in own)
             if len({_shown(own.get(name)) if name in own else None for own in params}) > 1]  # fmt: skip
    if len(names) <= MOST_NAMES:
        return names
    chosen: list[str] = []
    while len(chosen) < MOST_NAMES:
        counts = {name: len({_told(own, [*chosen, name]) for own in params}) for name in names if name not in chosen}
        best = max(counts, key=lambda name: counts[name])
        if chosen and counts[best] == len({_told(own, chosen) for own in params}):
            break
        chosen.append(best)
    return [name for name in names if name in chosen]


def _told(params: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{_shown(name)}={_shown(params[name])}" for name in names if name in params)


def _shown(value: Any) -> str:
    """Short, with the end of what is cut: there paths differ."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:8]}…{text[-15:]}"


# -- what is drawn -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stroke:
    """A curve as lines, in the units of the axes; ``behind`` are those that were not smoothed."""

    curve: Curve
    lines: list[Line]
    behind: list[Line]


@dataclass(frozen=True, slots=True)
class Picture:
    """Curves on common axes."""

    strokes: list[Stroke]
    x: Axis
    y: Axis
    x_label: str
    y_label: str
    title: str = ""


def picture(
    curves: Sequence[Curve], log_x: bool = False, log_y: bool = False, title: str = "", raw: bool = False
) -> Picture | None:
    """What to draw; None if there is no point of them that can be drawn. With ``raw`` also the curves before smoothing."""
    name, length = _unit(curves)
    strokes = []
    for curve in curves:
        x = curve.x if length == 1 else [one / length for one in curve.x]
        behind = list(_drawable(x, curve.raw, log_x, log_y)) if raw and curve.raw is not None else []
        strokes.append(Stroke(curve, list(_drawable(x, curve.y, log_x, log_y)), behind))
    drawn = [line for stroke in strokes for line in (*stroke.lines, *stroke.behind)]
    if not drawn:
        return None
    x_axis, y_axis = (_spanned([line[side] for line in drawn], log) for side, log in ((0, log_x), (1, log_y)))
    keys = list(dict.fromkeys(curve.key for curve in curves))
    return Picture(strokes, x_axis, y_axis, name, keys[0] if len(keys) == 1 else "", title)


def _unit(curves: Sequence[Curve]) -> tuple[str, float]:
    """What x is called, and what it is divided by."""
    across = curves[0].across if curves else NUMBER
    if across != TIME:
        return across.lstrip("\0"), 1.0
    shown, length = axes.unit(max((max(curve.x) for curve in curves if len(curve.x)), default=0.0))
    return f"time ({shown})", length


def _drawable(x: Sequence[float], y: Sequence[float], log_x: bool, log_y: bool) -> Iterator[Line]:
    """The lines of a curve, without what a logarithmic axis has no place for, and within what any axis has."""
    for line in lines(_positive(x) if log_x else x, _positive(y) if log_y else y):
        yield _within(line[0]), _within(line[1])


def _within(values: Sequence[float]) -> Sequence[float]:
    if min(values) >= -axes.LARGEST and max(values) <= axes.LARGEST:
        return values
    return [min(max(one, -axes.LARGEST), axes.LARGEST) for one in values]


def _positive(values: Sequence[float]) -> Sequence[float]:
    return values if not len(values) or min(values) > 0 else [one if one > 0 else math.nan for one in values]


def _spanned(parts: Sequence[Sequence[float]], log: bool) -> Axis:
    ends = [end for part in parts for end in (min(part), max(part))]
    return axes.spanning(ends, log, all(isinstance(end, int) or end.is_integer() for end in ends))
