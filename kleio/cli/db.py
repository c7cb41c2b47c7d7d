"""``kleio db upgrade``."""

from __future__ import annotations

from typing import Any

import click

from kleio.cli import render_db
from kleio.cli.options import given
from kleio.core.config import Config
from kleio.core.journal import upgrade as upgrade_journal
from kleio.core.journal.base import SCHEMA, place


@click.group()
def db() -> None:
    """Look after the journal itself."""


@db.command()
@click.option("--journal", metavar="URI", help="the journal to upgrade  [KLEIO_JOURNAL]")
@click.pass_context
def upgrade(ctx: click.Context, /, **_: Any) -> None:
    """Bring the journal up to date with this kleio. It only adds: nothing is lost, and runs that are under way go on.

    Machines that share a journal need not wait for each other; a kleio older than the journal says that it is.
    """
    config = Config(given(ctx))
    before = upgrade_journal(config["journal"], timeout=config["timeout"])
    render_db.upgraded(place(config["journal"]), before, SCHEMA)
