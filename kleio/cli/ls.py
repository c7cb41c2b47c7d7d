"""``kleio ls``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_trials, wording
from kleio.cli.options import (
    EVERY,
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
from kleio.cli.render_table import DIGITS
from kleio.cli.selecting import by_words, none_of
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.errors import UsageError
from kleio.core.listing import Lister, Listing, Result
from kleio.core.project import project_here
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.cli.options import Reading

GREATEST = 1 << 53
"""What journals count to."""
SHOWN = 20
"""Trials that are listed where nobody says how many."""


@click.command()
@click.option("--all-projects", "-a", is_flag=True, help="trials of every project, not only of the one here")
@click.option("--project", metavar="NAME", help="trials of this project")
@click.option("--status", multiple=True, metavar="STATUS", type=click.Choice([one.value for one in Status]),
              help="with this status; repeatable: " + ", ".join(Status))
@click.option("--tag", multiple=True, metavar="TAG", shell_complete=suggested("tags"),
              help="only with this tag; repeatable, then all are needed")
@click.option("--user", metavar="NAME", help="trials of this user")
@click.option("--where", metavar="QUERY", multiple=True,
              help="for which this holds, as \"params.lr > 0.1 and status == 'completed'\"; repeatable, then all must hold")
@by_words
@click.option("--group-by", metavar="NAMES", multiple=True, shell_complete=suggested("fields"),
              help="a row for all trials that have the same of these, as params.k,params.method: figures of numbers, counts of "
              "the rest")
@click.option("--sort", metavar="NAME", multiple=True, shell_complete=suggested("fields"),
              help="by this field, as summary.loss.min, or -created for the greatest first; of groups a column, as loss_mean; "
              "repeatable  [default: -created]")
@click.option("--reverse", is_flag=True, help="the last first")
@click.option("--columns", metavar="NAMES", multiple=True, shell_complete=suggested("fields"),
              help="these columns, as id,params.lr,summary.loss.min; of groups also count and loss_mean; repeatable")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(0, GREATEST),
              help=f"how many at most; 0: all  [default: {SHOWN}; with --group-by, --tail, --ids or --export all]")
@click.option("--tail", metavar="N", type=click.IntRange(0, GREATEST), help="of these the last")
@as_file
@with_precision
@no_header
@click.option("--ids", is_flag=True, help="print only the ids, in full, one a line")
@no_pager
@click.option("--watch", metavar="[SECONDS]", is_flag=False, flag_value=EVERY, type=click.FloatRange(min=0.1),
              help=f"show the table again and again, every {EVERY:g} seconds; with --json print a document a line")
@all_executions
@as_json
@reading
def ls(with_: Reading, all_executions: bool, json: bool, **options: Any) -> int:
    """List trials, newest first: filtered, grouped, sorted and reduced to columns, in this order."""
    limit, export = _checked(options, json)
    asked = _listing(with_, options, limit)
    if options["watch"]:
        _watch(with_, asked, options, all_executions, json)
        return 0
    lister = Lister(with_.listing(), asked, spool_root(with_.config))
    manner = {"precision": options["precision"], "header": not options["no_header"], "pager": not options["no_pager"]}
    found: Sequence[Any]
    if options["ids"]:
        found, more = lister.ids()
        render_trials.ids(found, json)
    elif export or options["columns"] or options["group_by"]:
        table, total, kinds = lister.table(options["all_projects"], all_executions)
        render_trials.table(table, kinds, export, json, **manner)
        if export:
            with_.written(wording.several(len(table.rows), "row"), export)
        if total is not None and (export or options["group_by"] or options["limit"] is None):
            render.complain(f"{len(table.rows):,} of {total:,} rows; -n 0: all")
        found, more = table.rows, False
    else:
        entries, more = lister.entries()
        found = documents = view.documents(with_.journal, entries, all_executions=all_executions)
        render_trials.trials(documents, options["all_projects"], json, **manner)
    if more and options["limit"] is None:
        render.complain(f"these are the first {SHOWN}; -n 0 lists all")
    if not json:
        if not found and not with_.journal.left_out:
            render.complain(_nothing(with_, options))
        render.waiting(spool_root(with_.config), with_.journal)
    return 1 if with_.journal.left_out and not found else 0


def _watch(with_: Reading, asked: Listing, options: dict[str, Any], all_executions: bool, json: bool) -> None:
    """Until somebody ends it."""
    from kleio.cli import watching  # 2 ms, for who stays

    root, projects, precision = spool_root(with_.config), options["all_projects"], options["precision"]
    header = not options["no_header"]

    def look() -> Result | list[dict[str, Any]]:
        lister = Lister(with_.present(), asked, root)
        if asked.columns or asked.group_by:
            return lister.table(projects, all_executions)
        return view.documents(with_.journal, lister.entries()[0], all_executions=all_executions)

    def show() -> None:
        found = look()
        if isinstance(found, Result):
            render_trials.table(found.table, found.kinds, None, json, precision, header)
        else:
            render_trials.trials(found, projects, json, precision, header)

    def frame(found: Result | list[dict[str, Any]], columns: int, _: int) -> list[str]:
        if not (found.table.rows if isinstance(found, Result) else found):
            return [_nothing(with_, options)[:columns]]
        if isinstance(found, Result):
            return render_trials.table_on_a_terminal(found.table, found.kinds, columns, precision, header)
        return render_trials.on_a_terminal(found, projects, columns, precision or DIGITS, header)

    if json or not watching.is_possible():
        watching.follow(show, options["watch"])
    else:
        watching.watch(look, frame, options["watch"], stays=True)


def _checked(options: dict[str, Any], json: bool) -> tuple[int | None, str | None]:
    """How many trials at most, and where the table goes. Raises UsageError for what does not go together."""
    export, grouped = options["export"], options["group_by"]
    if options["ids"] and (export or grouped or options["columns"]):
        raise UsageError("--ids prints ids and nothing else: it does not go with --columns, --group-by and --export")
    if options["watch"] and (export or options["ids"]):
        raise UsageError("--watch shows a table again and again: it does not go with --ids and --export")
    check_export(export, json)
    all_of_them = export or grouped or options["ids"] or options["tail"] is not None
    limit = options["limit"] if options["limit"] is not None else 0 if all_of_them else SHOWN
    return limit or None, export


def _listing(with_: Reading, options: dict[str, Any], limit: int | None) -> Listing:
    project = options["project"]
    here = None if project or options["all_projects"] else project_here(with_.config)
    chosen = {
        "project": None if options["all_projects"] else project, "here": here, "statuses": options["status"],
        "tags": options["tag"], "user": options["user"], "where": options["where"],
        "include": options["include"], "exclude": options["exclude"],
    }  # fmt: skip
    sort, reverse, tail = options["sort"], options["reverse"], options["tail"]
    return Listing(chosen, sort, reverse, limit, tail, options["columns"], options["group_by"])


def _nothing(with_: Reading, options: dict[str, Any]) -> str:
    journal = with_.journal
    if journal.absent:
        return f"there is no journal {journal.uri} yet; the first command that is run with it makes it"
    names = ("status", "tag", "where", "include", "exclude", "user", "project")
    asked = [f"--{name}" for name in names if options[name]]
    here = None if options["project"] or options["all_projects"] else project_here(with_.config)
    return none_of(journal, here, asked)
