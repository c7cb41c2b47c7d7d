"""``kleio tree [ID]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render_tree
from kleio.cli.options import as_json, reading, suggested
from kleio.cli.selecting import asked_for
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.journal.base import Selection
from kleio.core.lineage import family, trees
from kleio.core.project import project_here

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.cli.selecting import Asked


@click.command()
@click.argument("trial", metavar="[ID]", required=False, shell_complete=suggested("ids"))
@as_json
@reading
@asked_for
def tree(with_: Reading, trial: str | None, asked: Asked, json: bool) -> None:
    """Draw which trial continues which, and what changed on each edge: the family of one, or all that have branches."""
    journal = with_.journal
    chosen = asked.one(journal, with_.config, trial) if trial or asked.anything else None
    with_.listing()
    if chosen:
        found = family(journal, chosen)
    else:
        found = journal.entries(Selection(project=None if asked.all_projects else project_here(with_.config)))
    entries = view.from_here(found, spool_root(with_.config))
    roots = trees(entries, alone=chosen is not None)
    if json:
        render_tree.as_document(roots)
    else:
        render_tree.drawn(roots, marked=chosen.id if chosen else None)
