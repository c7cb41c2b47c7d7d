"""Prints the statistics of ``kleio info``: figures of each key, how it went as a line of blocks, where its extremes were."""

from __future__ import annotations

import math
import sys
from itertools import islice

from kleio.cli import wording
from kleio.cli.render import styles
from kleio.cli.render_table import GAP, cell_len, cut, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.glance import Course

    Figures = Mapping[str, Any]

TITLE = "statistics"
KEYS_SHOWN = 200
BLOCKS = "▁▂▃▄▅▆▇"
PLAIN = "_.-~=+*#"
"""For terminals whose encoding has no blocks."""
LONGEST_KEY = 30
SHORTEST_KEY = 12
LONGEST_CELL = 12


def width_of(text: str) -> int:
    """Columns on a terminal; characters in a pipe, where nobody counts columns. Blocks are as wide as letters."""
    return cell_len(text) if sys.stdout.isatty() and not set(text) <= set(BLOCKS + " ") else len(text)


def sparkline(heights: Sequence[float | None], levels: str) -> str:
    """One character a height, between the least and the greatest of them; a blank for what is missing."""
    known = [one for one in heights if one is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high - low
    if not math.isfinite(span):  # beyond what a float holds
        low, span = low / 4, high / 4 - low / 4
        heights = [one if one is None else one / 4 for one in heights]
    top = len(levels) - 1
    return "".join(" " if one is None else levels[round((one - low) / span * top) if span else 0] for one in heights)


def levels() -> str:
    """What sparklines are made of, as far as stdout can encode it."""
    try:
        BLOCKS.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return BLOCKS


def summaries(summary: Mapping[str, Figures], courses: Mapping[str, Course]) -> None:
    """A line for each key; what a key has no values for, as text has no mean, stays empty."""
    if not summary:
        return
    left = len(summary) - KEYS_SHOWN
    shown = dict(islice(summary.items(), KEYS_SHOWN))
    columns = list(_columns(shown, courses))
    bold, _, _ = styles()
    names = [TITLE, *(f"  {wording.printable(key)}" for key in shown)]
    margin = min(max(map(width_of, names)), LONGEST_KEY + 2)
    if sys.stdout.isatty():
        columns, margin = _fitted(columns, margin, size()[0])
    widths = [max(map(width_of, column)) for column in columns]
    for at, name in enumerate(names):
        head = cut(name, margin) if sys.stdout.isatty() else name
        space = " " * max(margin - width_of(head), 0)
        cells = [_aligned(column[at], widths[number], number == 0) for number, column in enumerate(columns)]
        written = f"{bold(head) if at == 0 else head}{space}{' ' * GAP}{(' ' * GAP).join(cells)}"
        sys.stdout.write(written.rstrip() + "\n")
    if left > 0:
        sys.stdout.write(f"  … and {left:,} more (--json)\n")


def _aligned(cell: str, width: int, left: bool) -> str:
    space = " " * (width - width_of(cell))
    return cell + space if left else space + cell


def _columns(summary: Mapping[str, Figures], courses: Mapping[str, Course]) -> Iterator[list[str]]:
    """Headings and cells, what matters most first; columns with nothing in them are left out."""
    marks = levels()
    heights = [courses[key].heights if key in courses else () for key in summary]
    lines = [sparkline(one, marks) if len(one) > 1 else "" for one in heights]
    places = _places(summary, courses)
    found = [
        ["", *lines],
        ["last", *_figures(summary, "last")],
        ["min", *_figures(summary, "min")],
        [places[0], *places[1]],
        ["max", *_figures(summary, "max")],
        [places[0], *places[2]],
        ["count", *_figures(summary, "count")],
        ["mean", *_figures(summary, "mean")],
    ]
    yield from (one for one in found if any(cell.strip() for cell in one[1:]) or one[0] in ("last", "count"))


def _figures(summary: Mapping[str, Figures], name: str) -> list[str]:
    """Numbers as they are; on a terminal texts do not push them out."""
    cells = [wording.printable(wording.number(own[name])) if name in own else "" for own in summary.values()]
    return [cut(cell, LONGEST_CELL) for cell in cells] if sys.stdout.isatty() else cells


def _places(summary: Mapping[str, Figures], courses: Mapping[str, Course]) -> tuple[str, list[str], list[str]]:
    """Where each had its least and its greatest value: the heading names the counter, where all have the same."""
    pairs = []
    for key, own in summary.items():
        course = courses.get(key)
        few = own.get("min") == own.get("max")  # then it is nowhere in particular
        pairs.append([None if few else _place(course and course.lowest, own.get("min")),
                      None if few else _place(course and course.greatest, own.get("max"))])  # fmt: skip
    names = {place[0] for pair in pairs for place in pair if place}
    alone = names.pop() if len(names) == 1 else None
    cells = [[_at(place, alone) for place in pair] for pair in pairs]
    return f"@{wording.printable(alone)}" if alone else "at", [one[0] for one in cells], [one[1] for one in cells]


def _place(found: Any, value: Any) -> tuple[str, Any] | None:
    """Only if what was found is what the journal has summarised."""
    return found[1] if found and found[1] and found[0] == value else None


def _at(place: tuple[str, Any] | None, alone: str | None) -> str:
    if place is None:
        return ""
    value = f"{place[1]:,}" if type(place[1]) is int else wording.number(place[1])
    return value if alone else wording.printable(f"{place[0]} {value}")


def _fitted(columns: list[list[str]], margin: int, room: int) -> tuple[list[list[str]], int]:
    """As many columns as there is room for, the least important left away, and the width of the keys."""
    widths = [max(map(width_of, column)) + GAP for column in columns]
    while len(widths) > 2 and sum(widths) + min(margin, SHORTEST_KEY) > room:
        columns, widths = columns[:-1], widths[:-1]
    return columns, max(min(margin, room - sum(widths)), min(margin, SHORTEST_KEY))
