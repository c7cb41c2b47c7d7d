"""Curves of any length as no more points than can be seen: of what falls into one column the first, the least, the greatest and
the last point. So no spike is lost, and a million points draw as fast as a thousand. Standard library only.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from operator import le

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kleio.core.plotting.axes import Axis

    Line = tuple[Sequence[float], Sequence[float]]
    """x and y of points that are joined: finite, at least one of them."""


def lines(x: Sequence[float], y: Sequence[float]) -> Iterator[Line]:
    """The parts of a curve between its gaps: points that are not finite."""
    if not x:
        return
    if _finite(x) and _finite(y):
        yield x, y
        return
    gaps = [at for at, (a, b) in enumerate(zip(x, y, strict=True)) if (a - a) + (b - b) != 0]
    start = 0
    for gap in [*gaps, len(x)]:
        if gap > start:
            yield x[start:gap], y[start:gap]
        start = gap + 1


def _finite(values: Sequence[float]) -> bool:
    total = sum(values)
    return total - total == 0  # where it is not, it may be the sum that is too large: looked at one by one


def thinned(line: Line, axis: Axis, columns: int) -> Line:
    """As much of a line as shows in so many columns of ``axis``."""
    x, y = line
    if len(x) <= 4 * columns:
        return line
    at: list[int] = []
    for start, end in _columns(x, axis, columns):
        at += _corners(y, start, end)
    return [x[one] for one in at], [y[one] for one in at]


def _columns(x: Sequence[float], axis: Axis, columns: int) -> Iterator[tuple[int, int]]:
    """Where points of one column begin and end. Those of a line that goes back and forth are taken by their number."""
    if all(map(le, x, islice(x, 1, None))):
        edges = [bisect_left(x, axis.back(column / columns)) for column in range(1, columns)]
    else:
        edges = [len(x) * column // columns for column in range(1, columns)]
    for start, end in zip([0, *edges], [*edges, len(x)], strict=True):
        if end > start:
            yield start, end


def _corners(y: Sequence[float], start: int, end: int) -> list[int]:
    """The places of the first, the least, the greatest and the last value, each once."""
    if end - start <= 4:
        return list(range(start, end))
    part = y[start:end]
    return sorted({start, start + part.index(min(part)), start + part.index(max(part)), end - 1})
