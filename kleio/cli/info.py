"""``kleio info [ID]``."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_info
from kleio.cli.options import all_executions, as_json, reading
from kleio.cli.selecting import one_trial
from kleio.core import view
from kleio.core.about import about, beyond
from kleio.core.config import spool_root

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry

LOOKED_AT = 40
"""Statistics whose course is shown."""


@click.command()
@all_executions
@as_json
@reading
@one_trial
def info(with_: Reading, entry: Entry, all_executions: bool, json: bool) -> None:
    """All there is to know about a trial."""
    found = view.documents(with_.journal, [entry], whole=True, all_executions=all_executions)[0]
    if json:
        render.document(found | beyond(with_.journal, entry, all_executions))
        return
    keys = list(islice((key for key, own in found["summary"].items() if "min" in own), LOOKED_AT))
    render_info.trial(found, about(with_.journal, entry, all_executions, keys))
    render.waiting(spool_root(with_.config), with_.journal)
