"""``kleio sync``."""

from __future__ import annotations

from typing import Any

import click

from kleio.cli import render
from kleio.cli.options import as_json, given
from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.journal.base import place
from kleio.core.recovery import Fate, recover_all


@click.command()
@click.option("--journal", metavar="URI", help="the journal to ship to  [KLEIO_JOURNAL]")
@click.option("--from", "instead_of", metavar="URI", help="also what was meant for this journal, which is gone for good")
@as_json
@click.pass_context
def sync(ctx: click.Context, /, json: bool, instead_of: str | None, **_: Any) -> int:
    """Ship what waits in this machine's spool: of runs that were offline, cut short, or killed with their launcher."""
    config = Config(given(ctx))
    journal = open_journal(config["journal"], timeout=config["timeout"])
    ctx.call_on_close(journal.close)
    gone = place(instead_of) if instead_of else None
    found = list(recover_all(spool_root(config), journal, config["lease"], instead_of=gone))
    if json:
        render.document([{"id": one.trial, "execution": one.execution, "result": one.fate.value} for one in found])
    else:
        render.synced(found)
    return 1 if any(one.fate in (Fate.UNREADABLE, Fate.REFUSED) for one in found) else 0
