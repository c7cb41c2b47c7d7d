"""Prints plots on a terminal or in a pipe."""

from __future__ import annotations

import os
import sys

from kleio.cli import wording
from kleio.cli.render import complain, document
from kleio.cli.render_table import cell_len, cut, size
from kleio.core.errors import KleioError
from kleio.core.lookup import SHORT
from kleio.core.plotting import terminal
from kleio.core.plotting.curves import TIME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.plotting.curves import Curve, Picture, Stroke
    from kleio.core.plotting.terminal import Drawn

OTHERS = 8
"""Statistics that are named of those that are not shown."""
TALLEST = 36
"""Lines that a plot takes where nobody asks for more and the terminal is not its own."""
GAP = 3
"""Columns between two names in the legend."""


def show(picture: Picture, width: int | None, height: int | None) -> None:
    """Print it as wide as the terminal is, or as asked for."""
    columns, rows = size()
    try:
        terminal.EMPTY.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        raise KleioError(f"Braille dots are not in {sys.stdout.encoding}: PYTHONIOENCODING=utf-8, or -o plot.png") from None
    shown = lines(picture, width or columns, height or min(rows - 2, TALLEST))
    sys.stdout.write("".join(f"{line}\n" for line in shown))


def lines(picture: Picture, width: int, height: int) -> list[str]:
    """Title, curves, axes and legend, of this width, ``height`` lines together where that is enough."""
    title = cut(wording.printable(picture.title), width)
    y_label = cut(wording.printable(picture.y_label), width)
    if any(stroke.curve.raw is not None for stroke in picture.strokes):
        y_label = cut(f"{wording.printable(picture.y_label)} (smoothed)".strip(), width)
    above = [line for line in (title, y_label) if line]
    legends = len(picture.strokes) > 1 or picture.strokes[0].curve.label != picture.y_label
    least = len(above) + 1 + sum(terminal.LEAST) // 4 + 2
    room = max(min(height // 3, height - least), 1) if legends else 0
    named = _arranged(picture.strokes, width, room) if legends else []
    drawn = terminal.draw(picture, width, height - len(above) - 1 - len(named), coloured())
    x_label = cut(wording.printable(picture.x_label), width)
    shown = [*above, *drawn.rows, " " * max(width - cell_len(x_label), 0) + x_label]
    return [*shown, *_legend(picture.strokes, drawn, named, width)]


def on_terminal() -> bool:
    return sys.stdout.isatty()


def coloured() -> bool:
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _names(strokes: Sequence[Stroke]) -> list[str]:
    """The labels of curves, with the ids of their trials where there are several that the labels do not have."""
    several = len({stroke.curve.trial for stroke in strokes}) > 1
    found = []
    for stroke in strokes:
        label, trial = stroke.curve.label, stroke.curve.trial[:SHORT]
        where = "" if not several or trial in label else f"  {trial}"
        nothing = "" if stroke.lines else "  (nothing finite)"
        found.append(f"{wording.printable(label)}{where}{nothing}")
    return found


def _arranged(strokes: Sequence[Stroke], width: int, room: int) -> list[list[int]]:
    """The curves whose names stand in each line; the last line is for how many are left, where there are too many."""
    widths = [3 + cell_len(name) for name in _names(strokes)]
    columns = max(1, (width + GAP) // (max(widths) + GAP))
    places = [list(range(at, min(at + columns, len(strokes)))) for at in range(0, len(strokes), columns)]
    return places if len(places) <= room else [*places[: room - 1], []]


def _legend(strokes: Sequence[Stroke], drawn: Drawn, named: Sequence[Sequence[int]], width: int) -> Iterator[str]:
    names = _names(strokes)
    each = min(max((3 + cell_len(name) for name in names), default=0), width)
    told = 0
    for places in named:
        if not places:
            yield cut(f"… and {len(strokes) - told:,} more", width)
        line = ""
        for at in places:
            name = cut(names[at], each - 3)
            line += f"{_swatch(drawn.colours[at], drawn.marks[at])} {name}{' ' * (each - 3 - cell_len(name) + GAP)}"
        told += len(places)
        if places:
            yield line.rstrip()


def _swatch(colour: int | None, mark: str) -> str:
    shown = f"{mark}━" if mark else "━━"
    return shown if colour is None else f"\x1b[38;5;{colour}m{shown}\x1b[0m"


def chosen(keys: Sequence[str], known: Sequence[Mapping[str, Any]]) -> None:
    """Which statistics these are where none was named, if there are others."""
    others = sorted({key for own in known for key in own} - set(keys))
    if others:
        more = f", … ({len(others):,})" if len(others) > OTHERS else ""
        complain(f"this is {', '.join(keys)}; there are also {', '.join(others[:OTHERS])}{more}")


def missing(keys: Sequence[str], curves: Sequence[Curve], trials: int) -> None:
    """Of which trials something is not there, while it is of others."""
    for key in keys:
        there = sum(curve.key == key for curve in curves)
        if there < trials:
            complain(f"{key}: {trials - there:,} of {wording.several(trials, 'trial')} have none")


def points(curves: Sequence[Curve]) -> None:
    """``--json``: all points of the curves. Times are in seconds."""
    document([
        {
            "trial": curve.trial,
            "key": curve.key,
            "label": curve.label,
            "x_name": "time" if curve.across == TIME else curve.across.lstrip("\0"),
            "x": list(curve.x),
            "y": list(curve.y),
            **({} if curve.raw is None else {"raw": list(curve.raw)}),
        }
        for curve in curves
    ])  # fmt: skip
    sys.stdout.flush()
