"""``kleio tail [-f] [ID]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, watching
from kleio.cli.options import reading
from kleio.cli.selecting import one_trial
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.following import Follower
from kleio.core.trial import HELD

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry

INTERVAL = 0.1


@click.command()
@click.option("-f", "--follow", is_flag=True, help="go on until the trial ends")
@click.option("-n", "lines", metavar="N", type=click.IntRange(min=0), default=10, show_default=True,
              help="how many lines from the end")
@click.option("--json", "json", is_flag=True, help="one JSON object a line")
@reading
@one_trial
def tail(with_: Reading, entry: Entry, follow: bool, lines: int, json: bool) -> None:
    """Print the end of what a trial printed; with -f, what it prints from now on, from any machine."""
    root = spool_root(with_.config)
    follower = Follower(with_.journal, entry)
    for stream, data in follower.last(lines):
        render.followed(entry.id, stream, data, json)
    while follow:
        entry = view.from_here([follower.refreshed()], root)[0]
        for stream, data in follower.news():
            render.followed(entry.id, stream, data, json)
        if entry.status not in HELD:
            return
        watching.pause(INTERVAL)
