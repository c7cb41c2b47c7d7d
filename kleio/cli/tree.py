"""``kleio tree [ID]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render_tree
from kleio.cli.options import as_json, reading
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.journal.base import Selection
from kleio.core.lineage import family, trees
from kleio.core.lookup import resolve
from kleio.core.project import project_here

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.argument("trial", metavar="[ID]", required=False)
@click.option("--all-projects", "-a", is_flag=True, help="branches of every project, not only of the one here")
@as_json
@reading
def tree(with_: Reading, trial: str | None, all_projects: bool, json: bool) -> None:
    """Draw which trial continues which, and what changed on each edge: the family of one, or all that have branches."""
    journal = with_.journal
    if trial:
        found = family(journal, resolve(journal, trial, with_.config))
    else:
        found = journal.entries(Selection(project=None if all_projects else project_here(with_.config)))
    entries = view.from_here(found, spool_root(with_.config))
    roots = trees(entries, alone=trial is not None)
    if json:
        render_tree.as_document(roots)
    else:
        render_tree.drawn(roots, marked=resolve(journal, trial, with_.config).id if trial else None)
