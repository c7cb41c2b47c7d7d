"""``kleio info ID``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_info
from kleio.cli.options import all_executions, as_json, reading
from kleio.core import view
from kleio.core.about import about
from kleio.core.config import spool_root
from kleio.core.lookup import resolve

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.argument("trial", metavar="ID")
@all_executions
@as_json
@reading
def info(with_: Reading, trial: str, all_executions: bool, json: bool) -> None:
    """All there is to know about a trial."""
    entry = view.from_here([resolve(with_.journal, trial, with_.config)], spool_root(with_.config))[0]
    found = view.documents(with_.journal, [entry], whole=True, all_executions=all_executions)[0]
    if json:
        render.document(found)
        return
    render_info.trial(found, about(with_.journal, entry, all_executions))
    render.waiting(spool_root(with_.config), with_.journal)
