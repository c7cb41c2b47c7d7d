"""``kleio compare ID ID…``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_compare, wording
from kleio.cli.options import all_executions, as_json, reading, suggested
from kleio.cli.selecting import several_trials
from kleio.core import comparison
from kleio.core.errors import UsageError
from kleio.core.lookup import SHORT

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


@click.command()
@click.option("--all", "everything", is_flag=True, help="what is the same as well")
@click.option("--export", metavar="FILE", shell_complete=suggested("files"),
              help="write the table to FILE.{csv,json,md,tex,parquet,pkl} instead")
@all_executions
@as_json
@reading
@several_trials
def compare(
    with_: Reading, entries: list[Entry], everything: bool, export: str | None, all_executions: bool, json: bool
) -> None:
    """What differs among trials, side by side: parameters, code, packages, environment, results."""
    if len(entries) < 2:
        raise UsageError(f"only {entries[0].id[:SHORT]} is meant; to compare takes two trials or more")
    if export:
        from kleio.core import exporting  # only who exports pays for it

        exporting.check(export)
    found = comparison.compare(with_.journal, entries, with_.config.cwd, all_executions)
    if export:
        table = found.as_table(everything)
        exporting.export(table, export)
        with_.written(wording.several(len(table.rows), "row"), export)
    elif json:
        render.document(found.as_document(everything))
    else:
        render_compare.comparison(found, everything)
