"""``kleio import``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from kleio.cli import render, render_trackers
from kleio.cli.options import as_json, given
from kleio.core.config import Config, spool_root
from kleio.core.importing import SOURCES, imported
from kleio.core.importing.recording import Into
from kleio.core.journal import open_journal
from kleio.core.project import project_here


@click.command("import")
@click.argument("kind", metavar="|".join(SOURCES), type=click.Choice(SOURCES))
@click.argument("places", metavar="PATH…", nargs=-1, required=True)
@click.option("--journal", metavar="URI", help="the journal to write to  [KLEIO_JOURNAL]")
@click.option("--project", metavar="NAME", help="the project of the trials; by default the one here")
@click.option("--tag", multiple=True, metavar="TAG", help="a tag for each of them; repeatable")
@as_json
@click.pass_context
def import_(ctx: click.Context, /, kind: str, places: tuple[str, ...], tag: tuple[str, ...], json: bool, **_: Any) -> int:
    """Make trials of the runs that another tool recorded: once each, however often; of those that have grown what is new.

    PATH is a directory or a file of it; of MLflow also sqlite:///FILE or the address of a server, of Sacred also mongodb://…
    """
    config = Config(given(ctx))
    found = []
    with closing(open_journal(config["journal"], timeout=config["timeout"])) as journal, render_trackers.progress() as say:
        into = Into(journal, spool_root(config), project_here(config), tag, config.cwd)
        for one in imported(kind, places, into, say):
            found.append(one)
            if not json:
                render_trackers.imported(one)
        journal.settle()
    if json:
        render.document([render_trackers.as_document(one) for one in found])
    else:
        render_trackers.left_out([(one.name, one.left_out) for one in found], "run")
    return render_trackers.summed_up(found)
