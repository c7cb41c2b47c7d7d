"""Prints ``kleio compare``: a column for each trial where they fit, else a line for each."""

from __future__ import annotations

import sys

from kleio.cli import wording
from kleio.cli.render import complain, styles
from kleio.cli.render_table import GAP, Column, cell_len, cut, fits, in_cell, lines, separated, size
from kleio.core.filechanges import summary
from kleio.core.lookup import SHORT
from kleio.core.table import is_numeric, text
from kleio.core.vocabulary import STATISTICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.core.comparison import Comparison, Row

RESULTS = "results"
TITLES = {"params": "parameters"}
ROWS_SHOWN = 200
FIGURES = ("last", "min", "max")
"""Of each statistic, unless everything is asked for."""
WIDEST_NAME = 30
NARROWEST = 9
"""Columns of a terminal that a trial needs beside others."""


def comparison(found: Comparison, everything: bool) -> None:
    """What differs, or everything; in a pipe one table."""
    for note in found.notes:
        complain(note)
    if not sys.stdout.isatty():
        table = found.as_table(everything)
        separated(table.headings, ([text(value) for value in row] for row in table.rows))
    else:
        _sections(found, everything)
    if found.same:
        complain("nothing differs" + (" of what can be compared" if found.notes else ""))


def _sections(found: Comparison, everything: bool) -> None:
    width, _ = size()
    names = [one[:SHORT] for one in found.trials]
    upright = len(names) * (NARROWEST + GAP) + 2 * NARROWEST <= width
    chosen = found.chosen(everything)
    chosen[RESULTS] = [row for row in chosen[RESULTS] if everything or row.name.rpartition(".")[2] in FIGURES]
    margin = min(max((cell_len(row.name) + 2 for rows in chosen.values() for row in rows), default=0), WIDEST_NAME)
    for section, rows in chosen.items():
        shown, title = rows[:ROWS_SHOWN], TITLES.get(section, section)
        made = []
        if shown:
            made = _upright(title.ljust(margin), names, shown, width) if upright else _lying(title, names, shown, width)
        more = [f"… {len(rows) - len(shown):,} more (--json, --export)"] if len(rows) > len(shown) else []
        sys.stdout.write("".join(f"{line}\n" for line in [*made, *more]))
        if section == "code":
            _files(found, width)


def _upright(title: str, names: Sequence[str], rows: Sequence[Row], width: int) -> list[str]:
    """A line for each value, a column for each trial; of numbers how far they are apart."""
    columns = [Column(title, [f"  {wording.printable(row.name)}" for row in rows])]
    results = title.strip() == RESULTS
    for at, name in enumerate(names):
        columns.append(Column(name, [_cell(row, at) for row in rows], right=results, styled=title.strip() == "trial"))
    if results:
        spread = [_number(row.difference) for row in rows]
        difference = Column("difference" if len(names) == 2 else "max - min", spread, right=True, elastic=False)
        if fits([*columns, difference], width):
            columns.append(difference)
    return lines(columns, width)


def _lying(title: str, names: Sequence[str], rows: Sequence[Row], width: int) -> list[str]:
    """A line for each trial, a column for each value, as far as there is room."""
    columns = [Column(title, [f"  {name}" for name in names], elastic=False)]
    if title == RESULTS:
        rows = sorted(rows, key=lambda row: STATISTICS.index(row.name.rpartition(".")[2]))  # the last of each key first
    for row in rows:
        numeric = is_numeric(row.values)
        cells = [_cell(row, at) for at in range(len(names))]
        column = Column(wording.printable(row.name), cells, numeric, elastic=not numeric, styled=row.name == "status")
        if not fits([*columns, column], width):
            break
        columns.append(column)
    left = len(rows) + 1 - len(columns)
    made = lines(columns, width)
    return [*made, cut(f"  … {wording.several(left, 'column')} more (--json, --export)", width)] if left else made


def _cell(row: Row, at: int) -> str:
    value = row.values[at]
    if value is None:
        return ""
    if row.name == "duration":
        return wording.span(value)
    if row.name in ("commit", "fingerprint", "parent") and isinstance(value, str):
        return wording.printable(value[:SHORT])
    return in_cell(value)


def _number(value: Any) -> str:
    return "" if value is None else wording.number(value)


def _files(found: Comparison, width: int) -> None:
    """Which files differ from the first trial's; lines of them are told by another command."""
    _, dim, _ = styles()
    for one in found.files:
        pair = f"{one.before[:SHORT]} {one.after[:SHORT]}"
        sys.stdout.write(cut(f"  {one.after[:SHORT]}: {wording.printable(summary(list(one.files)))}", 2 * width) + "\n")
        sys.stdout.write(dim(f"  kleio diff {pair} --code") + "\n")
