"""Prints the trials that ``kleio ls`` lists, where nobody says which columns."""

from __future__ import annotations

import sys

from kleio.cli import wording
from kleio.cli.render import document
from kleio.cli.render_table import DIGITS, GAP, Column, as_lines, cell_len, cut, in_cell, lines, paged, separated, show, size
from kleio.core.facts import flat
from kleio.core.lookup import SHORT
from kleio.core.statistics import is_logged
from kleio.core.table import is_numeric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.table import Table

    Document = Mapping[str, Any]

NARROW = 100
"""Columns of a terminal on which there is no room for tags."""
WIDEST = 20
"""Columns of it that a parameter or statistic takes at most."""


def trials(
    found: Sequence[Document],
    with_project: bool,
    json: bool = False,
    precision: int | None = None,
    header: bool = True,
    pager: bool = True,
) -> None:
    """``kleio ls``: documents of trials."""
    digits = DIGITS if precision is None else precision
    if json:
        document(found)
    elif sys.stdout.isatty():
        paged(on_a_terminal(found, with_project, size()[0], digits, header), pager)
    else:
        _in_a_pipe(found, with_project, digits, header)


def table(
    made: Table,
    kinds: Mapping[str, str],
    export: str | None = None,
    json: bool = False,
    precision: int | None = None,
    header: bool = True,
    pager: bool = True,
) -> None:
    """``kleio ls --columns``, ``--group-by`` and ``--export``, which is where it goes."""
    if export is not None:
        from kleio.core import exporting

        exporting.export(made, export, precision)
    elif json:
        from kleio.core.exporting import objects

        document(objects(made, precision))
    else:
        show(made, precision, header, pager, _forms(kinds))


def table_on_a_terminal(
    made: Table, kinds: Mapping[str, str], width: int, precision: int | None = None, header: bool = True
) -> list[str]:
    """The same as lines of at most ``width``."""
    return as_lines(made, width, precision, header, _forms(kinds))


def _forms(kinds: Mapping[str, str]) -> dict[str, Callable[[Any], str]]:
    return {heading: FORMS[kind] for heading, kind in kinds.items() if kind in FORMS}


def ids(found: Sequence[str], json: bool) -> None:
    """``kleio ls --ids``."""
    if json:
        document(list(found))
    else:
        sys.stdout.write("".join(f"{one}\n" for one in found))


def _id(value: Any) -> str:
    return ",".join(value_[:SHORT] for value_ in value) if isinstance(value, (list, tuple)) else str(value)[:SHORT]


FORMS: Mapping[str, Callable[[Any], str]] = {"id": _id, "span": wording.span}
"""How what is no plain value is shown on a terminal."""


def _in_a_pipe(found: Sequence[Document], with_project: bool, digits: int, header: bool) -> None:
    """Always these columns, with everything in them."""
    columns: list[tuple[str, Callable[[Document], str]]] = [
        ("ID", lambda one: one["short_id"]),
        ("STATUS", lambda one: one["status"]),
        ("CREATED", lambda one: wording.when(one["created"])),
        ("TIME", wording.duration),
        ("PROJECT", wording.project_of),
        ("TAGS", lambda one: ",".join(one["tags"])),
        ("NAME", lambda one: one["name"] or ""),
        ("COMMAND", lambda one: wording.work(one["command"], one["params"], one["param_sources"])),
        ("LAST", lambda one: _last(one["summary"], digits)),
    ]
    if not with_project:
        columns = [column for column in columns if column[0] != "PROJECT"]
    separated([heading for heading, _ in columns], ([value(one) for _, value in columns] for one in found), header)


def _last(summary: Mapping[str, Any], digits: int) -> str:
    return " ".join(f"{key}={wording.number(own.get('last'), digits)}" for key, own in summary.items() if is_logged(key))


def on_a_terminal(
    found: Sequence[Document], with_project: bool, width: int, digits: int = DIGITS, header: bool = True
) -> list[str]:
    """Lines of at most ``width``: what every trial has, the parameters that differ, the command, and of the statistics the last
    values, as many of them as there is room for.
    """
    first = _first(found, with_project, width)
    params = [_column(name, values, digits) for name, values in differing([one["params"] for one in found]).items()]
    statistics = [_column(name, values, digits) for name, values in last_values(found).items()]
    command = Column("COMMAND", [wording.printable(_work(one, bool(params))) for one in found])
    room = width - sum(one.natural + GAP for one in first) - min(command.natural, 16 if width < NARROW else 24)
    shown = _that_fit(params, statistics, room)
    both = [one for one in params if one in shown], [one for one in statistics if one in shown]
    left = [(len(params) - len(both[0]), "parameter"), (len(statistics) - len(both[1]), "statistic")]
    more = " and ".join(wording.several(count, what) for count, what in left if count)
    more = f"… {more} more (--columns, --export)" if more else ""
    return lines([*first, *both[0], command, *both[1]], width, header, more)


def _first(found: Sequence[Document], with_project: bool, width: int) -> list[Column]:
    columns = [
        Column("ID", [one["short_id"] for one in found], elastic=False),
        Column("STATUS", [one["status"] for one in found], elastic=False, styled=True),
        Column("CREATED", [wording.recently(one["created"]) for one in found], elastic=False),
        Column("TIME", [wording.duration(one) for one in found], elastic=False),
    ]
    texts = {"NAME": [one["name"] or "" for one in found]}
    if with_project:
        texts = {"PROJECT": [wording.project_of(one) for one in found]} | texts
    if width >= NARROW:
        texts["TAGS"] = [",".join(one["tags"]) for one in found]
    widest = 12 if width < NARROW else 24
    return columns + [
        Column(heading, [cut(wording.printable(cell), widest) for cell in cells], elastic=width < NARROW)
        for heading, cells in texts.items()
        if any(cells) or heading == "PROJECT"
    ]


def _work(one: Document, with_params: bool) -> str:
    """Its command, with what only the script tells where that has no columns."""
    return wording.command(one["command"]) if with_params else wording.work(one["command"], one["params"], one["param_sources"])


def differing(params: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of the parameters that are not the same in all of these, None where there is none: what most have comes first.

    Those without a name stand in the command.
    """
    flattened = [dict(flat("", one)) for one in params]
    names = dict.fromkeys(name for own in flattened for name in own if not _is_positional(name))
    columns = {name: [own.get(name) for own in flattened] for name in names}
    found = {name: values for name, values in columns.items() if any(_other(values[0], value) for value in values[1:])}
    return dict(sorted(found.items(), key=lambda one: sum(value is None for value in one[1])))


def _is_positional(name: str) -> bool:
    return name.startswith("_") and name[1:].isdigit()


def _other(left: Any, right: Any) -> bool:
    return (type(left) is not type(right) or left != right) and not (left != left and right != right)


def last_values(found: Sequence[Document]) -> dict[str, list[Any]]:
    """By the names of statistics, those first that tell the trials apart: what is the same in all, and what only counts, as
    ``epoch``, comes last, and what few trials have after what many have.
    """
    names = dict.fromkeys(name for one in found for name in one["summary"] if is_logged(name))
    columns = {name: [one["summary"].get(name, {}).get("last") for one in found] for name in names}

    def rank(name: str) -> tuple[bool, bool, int, str]:
        values = [value for value in columns[name] if value is not None]
        same = len(found) > 1 and not any(_other(columns[name][0], value) for value in columns[name][1:])
        counts = all(isinstance(value, int) for value in values)
        return same, counts, len(found) - len(values), name

    return {name: columns[name] for name in sorted(columns, key=rank)}


def _column(name: str, values: Sequence[Any], digits: int) -> Column:
    """Of long names the end is shown: ``…encoder/loss``."""
    cells = [cut(wording.untagged(in_cell(value, digits)), WIDEST) for value in values]
    numeric = is_numeric(values)
    shown = wording.printable(name)
    widest = max(16, *map(cell_len, cells))
    heading = shown if cell_len(shown) <= widest else "…" + shown[len(shown) - widest + 1 :]
    return Column(heading, cells, numeric, elastic=False)


def _that_fit(params: Sequence[Column], statistics: Sequence[Column], room: int) -> set[Column]:
    """A statistic, then two parameters, and so on."""
    values, given = iter(statistics), iter(params)
    chosen: set[Column] = set()
    for at in range(3 * max(len(params), len(statistics))):
        one = next(given if at % 3 else values, None)
        if one is not None and one.natural + GAP <= room:
            room -= one.natural + GAP
            chosen.add(one)
    return chosen
