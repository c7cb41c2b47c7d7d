"""``kleio script [ID]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_diff
from kleio.cli.options import as_json, reading
from kleio.cli.selecting import one_trial
from kleio.core import differences
from kleio.core.restore import code_of, original_root
from kleio.core.script import script as written

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


@click.command()
@as_json
@reading
@one_trial
def script(with_: Reading, entry: Entry, json: bool) -> None:
    """Print a shell script that brings a trial's code back and runs its command, by hand and without kleio."""
    code_of(with_.journal, entry)  # or a word on why there is none
    side = differences.recorded(with_.journal, entry, with_.config.cwd)
    assert side.code is not None
    text = written(entry, side.code, side.environment, original_root(entry))
    if json:
        render.document({"id": entry.id, "script": text})
    else:
        render_diff.script(text)
