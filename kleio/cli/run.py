"""``kleio run COMMAND… | ID | --where QUERY``."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import click

from kleio.cli.launching import launch
from kleio.cli.options import choosing_options, given, run_options, suggested
from kleio.core.errors import UsageError

if TYPE_CHECKING:
    from kleio.core.launcher import Outcome


@click.command(params=[*run_options(), *choosing_options(by_words=False),
                       click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND…|ID]",
                                      shell_complete=suggested("ids"))],
               context_settings={"allow_interspersed_args": False})  # fmt: skip
@click.pass_context
def run(ctx: click.Context, /, words: tuple[str, ...], **rest: Any) -> Outcome:
    """Run a command and journal it, or resume the trial whose id is given, or that is chosen."""
    if rest["where"] or rest["newest"]:
        from kleio.cli.selecting import to_launch  # only who looks for something pays for it

        if words:
            raise UsageError(f"--where and --newest say which trial to resume, and leave no place for a command: {words[0]}")
        return launch(given(ctx), (), trial=to_launch(given(ctx), rest))
    if not words:
        raise UsageError("there is no command to run; for example: kleio python train.py --lr 0.1")
    if len(words) == 1 and re.fullmatch("[0-9a-f]{4,32}", words[0]) and shutil.which(words[0]) is None:
        return launch(given(ctx), (), trial=words[0])
    return launch(given(ctx), words)
