"""``kleio status``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from kleio.cli import render
from kleio.cli.options import as_json, reading
from kleio.cli.selecting import by_words
from kleio.core.config import spool_root
from kleio.core.journal.base import Selection
from kleio.core.project import project_here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kleio.cli.options import Reading


@click.command()
@click.option("--all-projects", "-a", is_flag=True, help="trials of every project, not only of the one here")
@click.option("--project", metavar="NAME", help="trials of this project")
@click.option("--where", metavar="QUERY", multiple=True, help="trials for which this holds; repeatable, then all must hold")
@by_words
@as_json
@reading
def status(with_: Reading, all_projects: bool, project: str | None, json: bool, **words: tuple[str, ...]) -> None:
    """Count trials by status and by tag."""
    here = None if all_projects or project else project_here(with_.config)
    project = None if all_projects else project
    if any(words.values()):
        statuses, tags = _counted(with_, {"project": project, "here": here} | words)
    else:
        statuses, tags = with_.journal.counts(Selection(project=project or here))
    if json:
        render.document({"project": project or here, "statuses": statuses, "tags": tags})
    else:
        render.counts(statuses, tags)


def _counted(with_: Reading, options: Mapping[str, Any]) -> list[dict[str, int]]:
    """How many of those that are chosen have each status, and each tag."""
    from kleio.core import choosing  # only who looks for something pays for it

    root = spool_root(with_.config)
    journal = with_.listing()
    found = choosing.entries(journal, choosing.newest(journal, choosing.Chosen(**options), root), root)
    counted = Counter(entry.status.value for entry in found), Counter(tag for entry in found for tag in entry.tags)
    return [dict(sorted(one.items())) for one in counted]
