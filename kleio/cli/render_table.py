"""Prints tables: on a terminal as wide as it is, or through a pager; in a pipe tab-separated, with everything in them."""

from __future__ import annotations

import datetime
import sys
from itertools import accumulate, chain

from kleio.cli import wording
from kleio.cli.render import COLOURS, fitted, styles
from kleio.core.lookup import SHORT
from kleio.core.table import is_numeric, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.table import Table

    Form = Callable[[Any], str]

DIGITS = 4
"""Significant digits of a float on a terminal where nothing else is asked for."""
WIDEST = 60
"""Cells are cut to so many columns of a terminal, however wide that is."""
LEAST = 12
"""Texts are not cut below that to make room,"""
TITLE = 16
"""and not below their heading if it is no longer than that."""
GAP = 2


class Column:
    """``cells`` are as they are printed: numbers on the ``right``, ``elastic`` texts cut where there is no room.

    ``natural`` is how wide they are, ``least`` how wide they must be.
    """

    __slots__ = ("cells", "elastic", "heading", "least", "natural", "right", "styled")

    def __init__(
        self, heading: str, cells: Sequence[str], right: bool = False, elastic: bool = True, styled: bool = False
    ) -> None:
        self.heading = heading
        self.cells = cells
        self.right = right
        self.elastic = elastic
        self.styled = styled
        title = cell_len(heading)
        self.natural = max(title, max(map(cell_len, cells), default=0))
        self.least = min(self.natural, max(LEAST, min(title, TITLE))) if elastic else self.natural


def show(
    table: Table,
    precision: int | None = None,
    header: bool = True,
    pager: bool = True,
    forms: Mapping[str, Form] | None = None,
) -> None:
    """Print ``table``. ``forms`` says by heading how values are shown on a terminal, where it is not as they are."""
    if not sys.stdout.isatty():
        separated(table.headings, ([text(value, precision) for value in row] for row in table.rows), header)
        return
    found = columns(table, DIGITS if precision is None else precision, forms or {})
    width, _ = size()
    whole = sum((min(one.natural, WIDEST) if one.elastic else one.natural) + GAP for one in found)
    paged(lines(found, width, header), pager, None if fits(found, width) else lambda: lines(found, whole, header))


def as_lines(
    table: Table, width: int, precision: int | None = None, header: bool = True, forms: Mapping[str, Form] | None = None
) -> list[str]:
    """The same as on a terminal of this width, for who draws it himself."""
    return lines(columns(table, DIGITS if precision is None else precision, forms or {}), width, header)


def separated(headings: Sequence[str], rows: Iterable[Sequence[str]], header: bool = True) -> None:
    """Tab-separated, a row a line whatever is in it, each as soon as it is there."""
    for row in chain([headings] if header else [], rows):
        sys.stdout.write("\t".join(map(wording.printable, row)) + "\n")


def columns(table: Table, digits: int, forms: Mapping[str, Form]) -> list[Column]:
    """As they are on a terminal."""
    found = []
    for at, heading in enumerate(table.headings):
        values = table.column(at)
        form = forms.get(heading)
        cells = [in_cell(value, digits) if form is None or value is None else form(value) for value in values]
        right = form is None and is_numeric(values)  # half a number is none, so they are not cut
        found.append(Column(wording.printable(heading), cells, right, not right, styled=heading.lower() == "status"))
    return found


def in_cell(value: Any, digits: int = DIGITS) -> str:
    """A value on a terminal: times are local and short."""
    if isinstance(value, datetime.datetime):
        return wording.recently(value.isoformat())
    shown = text(value, digits)
    return wording.printable(shown if len(shown) < 1000 else shown[:1000])


def short_id(value: Any) -> str:
    return str(value)[:SHORT]


def fits(found: Sequence[Column], width: int) -> bool:
    """Whether all of them do, their texts cut as far as they may be."""
    return sum(one.least for one in found) + GAP * (len(found) - 1) <= width


def lines(found: Sequence[Column], width: int, header: bool = True, left: str = "") -> list[str]:
    """The table, no line of it wider than ``width``; the last counts what there is no room for, or is ``left``."""
    ends = accumulate(one.least + GAP for one in found)
    shown = list(found[: max(1, sum(end - GAP <= width for end in ends))])
    room = width - GAP * (len(shown) - 1)
    natural = [min(one.natural, WIDEST) if one.elastic else one.natural for one in shown]
    widths = fitted(natural, [one.elastic for one in shown], room, min(LEAST, width))
    widths = _with_titles(widths, shown, room)
    if len(shown) == 1:
        widths = [min(widths[0], width)]
    bold, dim, colour = styles()
    made = [_line([one.heading for one in shown], widths, shown, bold)] if header and shown else []
    made.extend(_line(cells, widths, shown, None, colour) for cells in zip(*(one.cells for one in shown), strict=True))
    unseen = len(found) - len(shown)
    more = f"… {wording.several(unseen, 'column')} more (--columns, --export)" if unseen else left
    return [*made, dim(cut(more, width))] if more else made


def _with_titles(widths: list[int], shown: Sequence[Column], room: int) -> list[int]:
    """What the headings need is taken from the widest texts."""
    widths = [max(width, one.least) for width, one in zip(widths, shown, strict=True)]
    while (over := sum(widths) - room) > 0:
        spare = [width - one.least for width, one in zip(widths, shown, strict=True)]
        widest = max(range(len(widths)), key=lambda at: (spare[at] > 0, widths[at]))
        if spare[widest] <= 0:
            break
        widths[widest] -= min(over, spare[widest])
    return widths


def _line(
    cells: Sequence[str],
    widths: Sequence[int],
    shown: Sequence[Column],
    all_of_it: Callable[[str], str] | None,
    colour: Callable[[str], str] = str,
) -> str:
    written = []
    for at, (cell, width, column) in enumerate(zip(cells, widths, shown, strict=True)):
        whole = cut(cell, width)
        space = " " * (width - cell_len(whole))
        painted = colour(whole) if column.styled and cell in COLOURS else whole
        last = at == len(shown) - 1
        written.append(space + painted if column.right else painted + ("" if last else space))
    line = (" " * GAP).join(written).rstrip()
    return all_of_it(line) if all_of_it else line


def cut(shown: str, width: int) -> str:
    """No wider than ``width``."""
    if cell_len(shown) <= width:
        return shown
    if shown.isascii():
        return shown[: width - 1] + "…"
    taken, used = [], 1
    for character in shown:
        used += cell_len(character)
        if used > width:
            break
        taken.append(character)
    return "".join(taken) + "…"


def cell_len(shown: str) -> int:
    """How many columns of a terminal a text takes."""
    if shown.isascii():
        return len(shown)
    from rich.cells import cell_len as measured  # 18 ms, for what is beyond ASCII

    return measured(shown)


def size() -> tuple[int, int]:
    """Columns and lines of the terminal."""
    import shutil

    return shutil.get_terminal_size()


def paged(made: Sequence[str], pager: bool = True, wide: Callable[[], Sequence[str]] | None = None) -> None:
    """Print lines; through a pager if there are more than the terminal has, or if ``wide`` gives wider ones."""
    if pager and (wide or len(made) >= size()[1]):
        from kleio.cli.render_pager import page

        if page(wide or (lambda: made)):
            return
    sys.stdout.write("".join(f"{line}\n" for line in made))
