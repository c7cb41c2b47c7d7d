"""``kleio status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render
from kleio.cli.options import as_json, reading
from kleio.core.journal.base import Selection
from kleio.core.project import project_here

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.option("--all-projects", "-a", is_flag=True, help="trials of every project, not only of the one here")
@click.option("--project", metavar="NAME", help="trials of this project")
@as_json
@reading
def status(with_: Reading, all_projects: bool, project: str | None, json: bool) -> None:
    """Count trials by status and by tag."""
    project = None if all_projects else project or project_here(with_.config)
    statuses, tags = with_.journal.counts(Selection(project=project))
    if json:
        render.document({"project": project, "statuses": statuses, "tags": tags})
    else:
        render.counts(statuses, tags)
