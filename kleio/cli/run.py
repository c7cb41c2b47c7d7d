"""``kleio run COMMAND… | ID``."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import click

from kleio.cli.launching import launch
from kleio.cli.options import given, run_options
from kleio.core.errors import UsageError

if TYPE_CHECKING:
    from kleio.core.launcher import Outcome


@click.command(params=[*run_options(), click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
               context_settings={"allow_interspersed_args": False})  # fmt: skip
@click.pass_context
def run(ctx: click.Context, /, words: tuple[str, ...], **_: Any) -> Outcome:
    """Run a command and journal it, or resume the trial whose id is given."""
    if not words:
        raise UsageError("there is no command to run; for example: kleio python train.py --lr 0.1")
    if len(words) == 1 and re.fullmatch("[0-9a-f]{4,32}", words[0]) and shutil.which(words[0]) is None:
        return launch(given(ctx), (), trial=words[0])
    return launch(given(ctx), words)
