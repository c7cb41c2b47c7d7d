"""``kleio ls``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_trials
from kleio.cli.options import all_executions, as_json, reading
from kleio.cli.selecting import by_words
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.journal.base import Selection
from kleio.core.project import project_here
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


@click.command()
@click.option("--all-projects", "-a", is_flag=True, help="trials of every project, not only of the one here")
@click.option("--project", metavar="NAME", help="trials of this project")
@click.option("--status", multiple=True, metavar="STATUS", type=click.Choice([one.value for one in Status]),
              help="with this status; repeatable: " + ", ".join(Status))
@click.option("--tag", multiple=True, metavar="TAG", help="only with this tag; repeatable, then all are needed")
@click.option("--user", metavar="NAME", help="trials of this user")
@click.option("--where", metavar="QUERY", multiple=True,
              help="for which this holds, as \"params.lr > 0.1 and status == 'completed'\"; repeatable, then all must hold")
@by_words
@click.option("--sort", metavar="NAME", multiple=True,
              help="by this field, as summary.loss.min, or -created for the greatest first; repeatable  [default: -created]")
@click.option("--reverse", is_flag=True, help="the last first")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(min=0), default=20, show_default=True,
              help="how many at most; 0: all")
@all_executions
@as_json
@reading
def ls(
    with_: Reading,
    all_projects: bool,
    project: str | None,
    status: tuple[str, ...],
    tag: tuple[str, ...],
    user: str | None,
    where: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    sort: tuple[str, ...],
    reverse: bool,
    limit: int,
    all_executions: bool,
    json: bool,
) -> None:
    """List trials, newest first."""
    here = None if all_projects or project else project_here(with_.config)
    project = None if all_projects else project
    order = sort, reverse, limit or None
    if where or include or exclude or sort or reverse or user:
        options = {"project": project, "here": here, "statuses": status, "tags": tag, "user": user, "where": where,
                   "include": include, "exclude": exclude}  # fmt: skip
        entries = _found(with_, options, order)
    else:
        selection = Selection(project=project or here, statuses=status, tags=tag)
        entries = view.from_here(with_.journal.entries(selection, limit or None), spool_root(with_.config))
    found = view.documents(with_.journal, entries, all_executions=all_executions)
    if json:
        render.document(found)
    else:
        render_trials.trials(found, all_projects)
        if not found:
            chosen = bool(status or tag or where or include or exclude or user)
            absent = f"there is no journal {with_.journal.uri} yet; the first command that is run with it makes it"
            render.complain(absent if with_.journal.absent else _nothing(with_.journal.uri, project or here, chosen))
        render.waiting(spool_root(with_.config), with_.journal)


def _found(with_: Reading, options: dict[str, Any], order: tuple[Sequence[str], bool, int | None]) -> list[Entry]:
    from kleio.core import choosing, finding  # only who looks for something pays for it

    journal, root = with_.journal, spool_root(with_.config)
    sort, reverse, limit = order
    node = choosing.condition(journal, choosing.Chosen(**options))
    by = choosing.order(journal, sort, reverse)
    ids = finding.find(journal, node, by, limit, lambda entries: view.from_here(entries, root))
    return view.from_here(finding.entries(journal, ids), root)


def _nothing(journal: str, project: str | None, chosen: bool) -> str:
    which = "such trials" if chosen else "trials"
    if project is None:
        return f"no {which} in {journal}"
    return f"no {which} of this project in {journal}; --all-projects lists those of others"
