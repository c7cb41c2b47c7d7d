"""``kleio config``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render
from kleio.cli.options import as_json, reading
from kleio.core.config import BY_KEY
from kleio.core.redact import text

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@as_json
@reading
def config(with_: Reading, json: bool) -> None:
    """Show every setting, its value, and where the value comes from."""
    found = with_.config.sources()
    if json:
        shown = {key: text(one.value) if isinstance(one.value, str) else one.value for key, one in found.items()}
        render.document({key: {"value": shown[key], "source": one.source} for key, one in found.items()})
    else:
        render.settings(found, {key: BY_KEY[key].variable for key in found})
