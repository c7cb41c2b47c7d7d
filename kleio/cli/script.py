"""``kleio script ID``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_diff
from kleio.cli.options import as_json, reading
from kleio.core import differences
from kleio.core.errors import KleioError
from kleio.core.lookup import SHORT, resolve
from kleio.core.script import script as written

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.argument("trial", metavar="ID")
@as_json
@reading
def script(with_: Reading, trial: str, json: bool) -> None:
    """Print a shell script that brings a trial's code back and runs its command, by hand and without kleio."""
    entry = resolve(with_.journal, trial)
    side = differences.recorded(with_.journal, entry, with_.config.cwd)
    if side.code is None:
        raise KleioError(f"the code of trial {entry.id[:SHORT]} is not in the journal; there is nothing to make a script of")
    text = written(entry, side.code, side.environment, differences.home(entry))
    if json:
        render.document({"id": entry.id, "script": text})
    else:
        render_diff.script(text)
