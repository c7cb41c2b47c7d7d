"""Plots on a terminal: curves in Braille dots, drawn by plotille, between axes with round numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from kleio.core.plotting import axes
from kleio.core.plotting.thinning import thinned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from plotille import Canvas

    from kleio.core.plotting.axes import Axis
    from kleio.core.plotting.curves import Picture, Stroke

PALETTE = (32, 208, 34, 160, 134, 137, 212, 245, 142, 44)
"""Of the 256 colours of a terminal those nearest to matplotlib's, so that a plot has the same ones in a file."""
MARKS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
EMPTY = "\u2800"
"""The Braille pattern without a dot: some fonts show where its dots would be."""
REPEATED = 6
"""How often a curve that has no colour of its own shows its mark."""
LEAST = (16, 4)
"""Columns and rows of the curves themselves."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """``rows`` of text, with escape sequences for colours only. ``margin`` is how many columns stand left of the curves,
    ``width`` how many they take; ``colours`` and ``marks`` of the curves are in their order.
    """

    rows: list[str]
    margin: int
    width: int
    colours: list[int | None]
    marks: list[str]


def draw(picture: Picture, width: int, height: int, colours: bool) -> Drawn:
    """In at most ``width`` columns and exactly ``height`` rows, where these are enough for anything."""
    from plotille import Canvas  # 20 ms

    rows = max(height - 2, LEAST[1])
    y_ticks = picture.y.ticks(max(4, rows // 3))
    names = axes.shown(y_ticks)
    margin = max(map(len, names), default=0) + 2
    columns = max(width - margin, LEAST[0])
    canvas = Canvas(columns, rows, 0, 0, columns * 2, rows * 4, mode="byte")
    strokes = picture.strokes
    alike = len(strokes) > 1 and (not colours or len(strokes) > len(PALETTE))
    marks = [MARKS[at % len(MARKS)] if alike else "" for at in range(len(strokes))]
    own = [PALETTE[at % len(PALETTE)] if colours else None for at in range(len(strokes))]
    for stroke, colour in zip(strokes, own, strict=True):
        _curve(canvas, picture, stroke, colour)
    for at, (stroke, colour, mark) in enumerate(zip(strokes, own, marks, strict=True)):
        if mark:
            _mark(canvas, picture, stroke, colour, mark, at / len(strokes))
    shown = _beside(canvas.plot("\n").replace(EMPTY, " ").split("\n"), picture.y, y_ticks, names, margin)
    return Drawn([*shown, *_below(picture.x, margin, columns)], margin, columns, own, marks)


def _curve(canvas: Canvas, picture: Picture, stroke: Stroke, colour: int | None) -> None:
    for dots in _dots(canvas, picture, stroke):
        if len(dots) == 1:
            canvas.point(*dots[0], color=colour, marker="•")
        for one, other in pairwise(dots):
            canvas.line(*one, *other, color=colour)


def _dots(canvas: Canvas, picture: Picture, stroke: Stroke) -> Iterator[list[tuple[int, int]]]:
    """Where the points of each line are, in dots."""
    right, top = canvas.width * 2 - 1, canvas.height * 4 - 1
    for line in stroke.lines:
        x, y = thinned(line, picture.x, canvas.width * 2)
        yield [(_dot(picture.x, a, right), _dot(picture.y, b, top)) for a, b in zip(x, y, strict=True)]


def _dot(axis: Axis, value: float, last: int) -> int:
    return round(min(max(axis.at(value), 0.0), 1.0) * last)


def _mark(canvas: Canvas, picture: Picture, stroke: Stroke, colour: int | None, mark: str, shift: float) -> None:
    """The mark of a curve at some of its points, spread over the width: at others than those of the other curves."""
    dots = [dot for line in _dots(canvas, picture, stroke) for dot in line]
    wanted = [canvas.width * 2 * (at + 0.1 + 0.8 * shift) / REPEATED for at in range(REPEATED)] if dots else []
    for one in {min(dots, key=lambda dot, at=at: abs(dot[0] - at)) for at in wanted}:  # type: ignore[misc]
        canvas.point(*one, color=colour, marker=mark)


def _beside(rows: list[str], axis: Axis, ticks: list[float], names: list[str], margin: int) -> list[str]:
    """The curves with the axis of y left of them."""
    last = len(rows) - 1
    named = {last - _dot(axis, tick, last): name for tick, name in zip(ticks, names, strict=True)}
    heads = [f"{named[at]:>{margin - 2}} ┤" if at in named else f"{'':>{margin - 1}}│" for at in range(len(rows))]
    return [f"{head}{row}".rstrip() for head, row in zip(heads, rows, strict=True)]


def _below(axis: Axis, margin: int, columns: int) -> list[str]:
    """The axis of x: a line, and as many numbers under it as have room."""
    line, text = ["─"] * columns, [" "] * (margin + columns)
    for place, start, name in _named(axis, margin, columns):
        line[place] = "┬"
        text[start : start + len(name)] = name
    return [f"{'':>{margin - 1}}└{''.join(line)}", "".join(text).rstrip()]


def _named(axis: Axis, margin: int, columns: int) -> list[tuple[int, int, str]]:
    """Of each tick its column among those of the curves, the column where its name begins, and this."""
    for most in range(max(columns // 8, 4), 0, -1):
        ticks = axis.ticks(most)
        found = []
        for tick, name in zip(ticks, axes.shown(ticks), strict=True):
            place = _dot(axis, tick, columns - 1)
            found.append((place, max(min(margin + place - len(name) // 2, margin + columns - len(name)), 0), name))
        if all(start + len(name) < after - 1 for (_, start, name), (_, after, _) in pairwise(found)):
            return found
    return []
