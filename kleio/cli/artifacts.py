"""``kleio artifacts ID [NAME]…``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_get
from kleio.cli.choosing_artifacts import artifacts_of_a_trial, nothing
from kleio.cli.options import as_json, reading

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.artifact_listing import Listed
    from kleio.core.trial import Entry


@click.command()
@as_json
@reading
@artifacts_of_a_trial
def artifacts(
    _: Reading, entry: Entry, names: tuple[str, ...], where: tuple[str, ...], found: list[Listed], json: bool
) -> None:
    """List the artifacts of a trial, every version, in the order of logging; only those of NAME, which may be a pattern."""
    if json:
        render.document([one.as_document() for one in found])
        return
    render_get.artifacts(found, entry.id)
    if not found:
        render.complain(nothing(entry, names, where))
