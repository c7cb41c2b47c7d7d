"""``kleio ls``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render
from kleio.cli.options import all_executions, as_json, reading
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.journal.base import Selection
from kleio.core.project import project_here
from kleio.core.trial import Status

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.option("--all-projects", "-a", is_flag=True, help="trials of every project, not only of the one here")
@click.option("--project", metavar="NAME", help="trials of this project")
@click.option("--status", multiple=True, metavar="STATUS", type=click.Choice([one.value for one in Status]),
              help="with this status; repeatable: " + ", ".join(Status))
@click.option("--tag", multiple=True, metavar="TAG", help="only with this tag; repeatable, then all are needed")
@click.option("-n", "limit", metavar="N", type=click.IntRange(min=0), default=20, show_default=True,
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
    limit: int,
    all_executions: bool,
    json: bool,
) -> None:
    """List trials, newest first."""
    project = None if all_projects else project or project_here(with_.config)
    selection = Selection(project=project, statuses=status, tags=tag)
    entries = view.from_here(with_.journal.entries(selection, limit or None), spool_root(with_.config))
    found = view.documents(with_.journal, entries, all_executions=all_executions)
    if json:
        render.document(found)
    else:
        render.trials(found, with_project=all_projects)
        if not found:
            absent = f"there is no journal {with_.journal.uri} yet; the first command that is run with it makes it"
            render.complain(absent if with_.journal.absent else _nothing(with_.journal.uri, project, bool(status or tag)))
        render.waiting(spool_root(with_.config), with_.journal)


def _nothing(journal: str, project: str | None, chosen: bool) -> str:
    which = "such trials" if chosen else "trials"
    if project is None:
        return f"no {which} in {journal}"
    return f"no {which} of this project in {journal}; --all-projects lists those of others"
