"""``kleio trace WHAT``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from kleio.cli import render_trace
from kleio.cli.options import as_json, reading, suggested
from kleio.core import trace as tracing
from kleio.core.config import spool_root
from kleio.core.errors import UnknownTrial
from kleio.core.waiting import Waiting

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.argument("what", metavar="WHAT", shell_complete=suggested("files"))
@click.option("-n", "limit", metavar="N", type=click.IntRange(min=0), default=10, show_default=True,
              help="how many trials at most; 0: all")
@as_json
@reading
def trace(with_: Reading, what: str, limit: int, json: bool) -> None:
    """Find the trial behind anything, best first: a file (by its content, else by who wrote it), an id, a hash code or a name
    in the name of a file, a commit, a process id, a scheduler's job.
    """
    config = with_.config
    known = [os.path.dirname(config.project_file)] if config.project_file else []
    waiting = Waiting(spool_root(config), with_.journal.uri)
    answer = tracing.trace(with_.journal, what, list(tracing.roots(what, [*known, config.cwd])), waiting)
    if json:
        render_trace.as_document(answer.candidates)
    elif answer.candidates:
        render_trace.candidates(answer.candidates, limit)
    if not answer.candidates:
        raise UnknownTrial(f"no trial is known to stand behind {what!r}; tried: {', '.join(answer.tried)}")
