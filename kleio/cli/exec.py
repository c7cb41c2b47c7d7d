"""``kleio exec [ID]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kleio.cli.launching import launch
from kleio.cli.options import choosing_options, given, run_options, suggested
from kleio.cli.selecting import to_launch

if TYPE_CHECKING:
    from kleio.core.launcher import Outcome


@click.command(name="exec", params=[*run_options(), *choosing_options(),
                                    click.Argument(["trial"], metavar="[ID]", required=False,
                                                   shell_complete=suggested("ids"))])  # fmt: skip
@click.pass_context
def exec_(ctx: click.Context, /, trial: str | None, **rest: Any) -> Outcome:
    """Run the recorded command of a trial, in its directory: resumed if it is unfinished, anew if it is completed."""
    return launch(given(ctx), (), trial=to_launch(given(ctx), rest, trial))
