"""``kleio exec ID``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kleio.cli.launching import launch
from kleio.cli.options import given, run_options

if TYPE_CHECKING:
    from kleio.core.launcher import Outcome


@click.command(name="exec", params=[*run_options(), click.Argument(["trial"], metavar="ID")])
@click.pass_context
def exec_(ctx: click.Context, /, trial: str, **_: Any) -> Outcome:
    """Run the recorded command of a trial, in its directory: resumed if it is unfinished, anew if it is completed."""
    return launch(given(ctx), (), trial=trial)
