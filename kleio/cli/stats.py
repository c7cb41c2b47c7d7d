"""``kleio stats ID…``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_stats, wording
from kleio.cli.options import (
    all_executions,
    as_file,
    as_json,
    check_export,
    no_header,
    no_pager,
    reading,
    suggested,
    with_precision,
)
from kleio.cli.selecting import by_words, taken
from kleio.core.config import spool_root
from kleio.core.reading.statistics import Statistics
from kleio.core.statistics import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kleio.cli.options import Reading

@click.command()
@click.argument("trials", metavar="[ID]…", nargs=-1, shell_complete=suggested("ids"))
@click.option("--trials", "chosen", metavar="QUERY", multiple=True,
              help="of trials for which this holds, as \"params.lr > 0.1\", newest first; repeatable, then all must hold")
@by_words
@click.option("--newest", is_flag=True, help="of the trials that are chosen so the newest")
@click.option("--all-projects", "-a", is_flag=True, help="choose among trials of every project, not only of the one here")
@click.option("--keys", is_flag=True, help="list the keys, with how many values each has, their range and the last")
@click.option("--key", "--columns", "key", metavar="KEYS", multiple=True, shell_complete=suggested("statistics"),
              help="only these columns, as epoch,loss, and rows that have any of them; repeatable")
@click.option("--where", metavar="QUERY", multiple=True,
              help="rows for which this holds, as \"training and epoch < 5\"; repeatable, then all must hold; where no trial "
                   "is named, it chooses trials, as in other commands")
@click.option("--sort", metavar="KEY", multiple=True, shell_complete=suggested("statistics"),
              help="by this key, or -KEY for the greatest first; repeatable, the first counts most  [default: time]")
@click.option("--reverse", is_flag=True, help="the last first")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(min=0), help="how many rows at most; 0: all")
@click.option("--tail", metavar="N", type=click.IntRange(min=0), help="of these the last")
@click.option("--system", is_flag=True, help="what kleio sampled while it ran, as system.cpu, instead of what was logged")
@as_file
@with_precision
@no_header
@no_pager
@all_executions
@as_json
@reading
def stats(
    with_: Reading, trials: tuple[str, ...], keys: bool, export: str | None, all_executions: bool, json: bool, **options: Any
) -> None:
    """What trials logged, a row for each log_statistic call, in the order of their times."""
    check_export(export, json)
    options["where"], options["rows"] = options.pop("chosen"), options["where"]
    asked = taken(options)
    if not trials and not asked.anything:
        asked, options["rows"] = replace(asked, where=options["rows"]), ()
    found = _chosen(Statistics(with_, asked.several(with_.journal, with_.config, trials), all_executions), options)
    if export is not None:
        count = _export(found, keys, export, options["precision"])
        with_.written(wording.several(count, "row"), export)
    elif json:
        _document(found, keys)
    else:
        shown = render_stats.keys if keys else render_stats.rows
        shown(found, options["precision"], not options["no_header"], not options["no_pager"])
        render.waiting(spool_root(with_.config), with_.journal)


def _chosen(found: Statistics, options: Mapping[str, Any]) -> Statistics:
    """The rows and columns that are asked for, in their order."""
    wanted = options["key"]
    if options["system"] or (wanted and all(one.startswith(SYSTEM) for one in wanted)):
        found = found.system
    for query in options["rows"]:
        found = found.where(query)
    if wanted:
        known = found.keys()
        found = found[[name for one in wanted for name in ([one] if one in known else one.split(","))]]
    found = _ordered(found, options["sort"], options["reverse"])
    found = found[: options["limit"]] if options["limit"] else found
    tail = options["tail"]
    return found if tail is None else found[max(len(found) - tail, 0) :]


def _ordered(found: Statistics, sort: Sequence[str], reverse: bool) -> Statistics:
    known = found.all_keys() if sort else ()
    for one in reversed(sort):
        descending = one.startswith("-") and one not in known
        found = found.sorted_by(one.removeprefix("-") if descending else one, descending is not reverse)
    return found if sort or not reverse else found[::-1]


def _export(found: Statistics, keys: bool, path: str, precision: int | None) -> int:
    """How many rows the file has."""
    from kleio.core import exporting
    from kleio.core.reading import listing

    table = listing.figures(found) if keys else listing.table(found)
    exporting.export(table, path, precision)
    return len(table.rows)


def _document(found: Statistics, keys: bool) -> None:
    from kleio.core.reading import listing

    render.document({key: dict(own) for key, own in found.summary().items()} if keys else listing.documents(found))
