"""``kleio cat [ID]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render
from kleio.cli.options import as_json, reading
from kleio.cli.selecting import one_trial
from kleio.core.lineage import printed
from kleio.core.output import Collapser

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


@click.command()
@click.option("--stderr", is_flag=True, help="what went to stderr, where it was recorded apart")
@click.option("--raw", is_flag=True, help="every byte, progress bars included")
@as_json
@reading
@one_trial
def cat(with_: Reading, entry: Entry, stderr: bool, raw: bool, json: bool) -> int:
    """Print what a trial printed, what it continues first, executions in order. Progress bars are shown as they stood last."""
    streams = ("stderr",) if stderr else ("output", "stdout")
    pieces = printed(with_.journal, entry, streams)
    if json:
        text = b"".join(pieces).decode("utf-8", "replace")
        render.document({"id": entry.id, "stream": "stderr" if stderr else "stdout", "text": text})
        return 0
    collapser = Collapser()
    for piece in pieces:
        render.raw(piece if raw else collapser.feed(piece))
    render.raw(collapser.rest())
    if stderr and any(True for _ in with_.journal.segments(entry.id, ("output",))):
        render.complain("stdout and stderr were one file in this run and are recorded together; leave --stderr away")
    return 0
