"""``kleio export``."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_trackers
from kleio.cli.options import as_json, reading, suggested
from kleio.cli.selecting import several_trials
from kleio.core.exports import TARGETS, exported
from kleio.core.lookup import SHORT
from kleio.core.reading.source import Source
from kleio.core.wholefile import unwound

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


@click.command()
@click.option("--to", "target", required=True, nargs=2, metavar=f"{'|'.join(TARGETS)} DIR", type=(click.Choice(TARGETS), str),
              shell_complete=suggested("target"),
              help="for which tool, and the directory to write to; of MLflow also sqlite:///FILE or the address of a server")
@as_json
@reading
@several_trials
def export(with_: Reading, entries: list[Entry], target: tuple[str, str], json: bool) -> int:
    """Write trials for another tool, or as plain files: kleio export ID… --to folder DIR

    Written again, a trial takes the place of what was written of it before; nothing else in DIR is touched.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that what was begun is taken away
    kind, place = target
    found = []
    with unwound(), render_trackers.progress() as say:
        for one in exported(kind, place, Source(with_.config, with_.journal), entries, say):
            found.append(one)
            if not json:
                render_trackers.exported(one)
    if json:
        render.document([render_trackers.export_document(one) for one in found])
    else:
        render_trackers.left_out([(one.trial[:SHORT], one.left_out) for one in found], "trial")
    return render_trackers.written(found)
