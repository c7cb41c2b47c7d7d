"""``kleio stats ID…``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_stats
from kleio.cli.options import all_executions, as_json, reading
from kleio.cli.selecting import by_words, taken
from kleio.core.reading.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.cli.options import Reading

@click.command()
@click.argument("trials", metavar="[ID]…", nargs=-1)
@click.option("--trials", "chosen", metavar="QUERY", multiple=True,
              help="of trials for which this holds, as \"params.lr > 0.1\", newest first; repeatable, then all must hold")
@by_words
@click.option("--newest", is_flag=True, help="of the trials that are chosen so the newest")
@click.option("--all-projects", "-a", is_flag=True, help="choose among trials of every project, not only of the one here")
@click.option("--keys", is_flag=True, help="list the keys, with how many values each has, their range and the last")
@click.option("--key", metavar="KEY", multiple=True, help="only this column, and rows that have it; repeatable")
@click.option("--where", metavar="QUERY", multiple=True,
              help="rows for which this holds, as \"training and epoch < 5\"; repeatable, then all must hold; where no trial "
                   "is named, it chooses trials, as in other commands")
@click.option("--sort", metavar="KEY", multiple=True,
              help="by this key, or -KEY for the greatest first; repeatable, the first counts most  [default: time]")
@click.option("--reverse", is_flag=True, help="the last first")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(min=0), help="the first N rows; 0: all")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="the last N rows")
@click.option("--system", is_flag=True, help="what kleio sampled while it ran, as system.cpu, instead of what was logged")
@click.option("--export", metavar="FILE", help="write them to a .csv, .json, .md, .tex, .parquet or .pkl file")
@click.option("--precision", metavar="DIGITS", type=click.IntRange(1, 17), help="significant digits of floats")
@click.option("--no-header", is_flag=True, help="without the line of names")
@all_executions
@as_json
@reading
def stats(
    with_: Reading,
    trials: tuple[str, ...],
    keys: bool,
    key: tuple[str, ...],
    where: tuple[str, ...],
    sort: tuple[str, ...],
    reverse: bool,
    limit: int | None,
    tail: int | None,
    system: bool,
    export: str | None,
    precision: int | None,
    no_header: bool,
    all_executions: bool,
    json: bool,
    **choice: Any,
) -> None:
    """What trials logged, a row for each log_statistic call, in the order of their times."""
    if export is not None:
        from kleio.core import exporting

        exporting.check(export)
    asked = taken({"where": choice.pop("chosen"), **choice})
    if not trials and not asked.anything:
        asked, where = replace(asked, where=where), ()
    entries = asked.several(with_.journal, with_.config, trials)
    found = Statistics(with_, entries, all_executions)
    if system or (key and all(one.startswith("system.") for one in key)):
        found = found.system
    found = _part(_ordered(_narrowed(found, where, key), sort, reverse), limit, tail)
    if export is not None:
        _export(found, keys, export, precision)
    elif json:
        _document(found, keys)
    else:
        shown = render_stats.keys if keys else render_stats.rows
        shown(found, precision, not no_header)


def _narrowed(found: Statistics, where: Sequence[str], key: Sequence[str]) -> Statistics:
    for query in where:
        found = found.where(query)
    return found[list(key)] if key else found


def _ordered(found: Statistics, sort: Sequence[str], reverse: bool) -> Statistics:
    known = found.all_keys() if sort else ()
    for one in reversed(sort):
        descending = one.startswith("-") and one not in known
        found = found.sorted_by(one.removeprefix("-") if descending else one, descending is not reverse)
    return found if sort or not reverse else found[::-1]


def _part(found: Statistics, limit: int | None, tail: int | None) -> Statistics:
    if tail is not None:
        found = found[-tail:]
    return found[:limit] if limit else found


def _export(found: Statistics, keys: bool, path: str, precision: int | None) -> None:
    from kleio.core import exporting
    from kleio.core.reading import listing

    exporting.export(listing.figures(found) if keys else listing.table(found), path, precision)


def _document(found: Statistics, keys: bool) -> None:
    from kleio.core.reading import listing

    render.document({key: dict(own) for key, own in found.summary().items()} if keys else listing.documents(found))
