"""``kleio get ID NAME…``."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_get
from kleio.cli.choosing_artifacts import artifacts_of_a_trial, nothing
from kleio.cli.options import as_json, reading, suggested
from kleio.core import artifact_query, fetching
from kleio.core.errors import KleioError, UsageError
from kleio.core.lookup import SHORT
from kleio.core.reading.artifacts import Artifact
from kleio.core.reading.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.cli.options import Reading
    from kleio.core.artifact_listing import Listed
    from kleio.core.trial import Entry

NAMED = 3
STDOUT = "-"


@click.command()
@click.option("-o", "--output", metavar="PATH", shell_complete=suggested("files"),
              help="the file to write, or a directory, in which names are kept; - writes to stdout")
@click.option("--all", "every", is_flag=True, help="every version, with a number in its name, not only the newest")
@click.option("--force", is_flag=True, help="replace files that are there with other content")
@as_json
@reading
@artifacts_of_a_trial
def get(
    with_: Reading, entry: Entry, names: tuple[str, ...], where: tuple[str, ...], found: list[Listed], output: str | None,
    every: bool, force: bool, json: bool,
) -> None:  # fmt: skip
    """Bring artifacts back as files: of each NAME, which may be a pattern such as '*.png', the newest."""
    if not names:
        raise UsageError(f"which artifact? kleio artifacts {entry.id[:SHORT]} lists them")
    if not found:
        raise KleioError(f"{nothing(entry, names, where)}; kleio artifacts {entry.id[:SHORT]} lists what there is")
    chosen = found if every else artifact_query.newest(found)
    _check_place(chosen, output)
    source = Source(with_.config, with_.journal)
    artifacts = [Artifact(source, one.values, one.nanoseconds, one.execution) for one in chosen]
    if output == STDOUT:
        render_get.to_stdout(artifacts[0])
        return
    fetches = fetching.planned(artifacts, output, force)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that the bar goes, and directories that were made
    for one in fetches:
        with render_get.progress(one) as told:
            one.save(told)
        if not (json or with_.config["quiet"]):
            render_get.fetched(one)
    if json:
        pairs = zip(chosen, fetches, strict=True)
        render.document([one.as_document() | {"path": to.path, "written": not to.there} for one, to in pairs])


def _check_place(chosen: Sequence[Listed], output: str | None) -> None:
    """Whether there is a place for all of them. Raises UsageError."""
    if len(chosen) > 1 and output in (None, STDOUT):
        some = ", ".join(one.name for one in chosen[:NAMED]) + (", …" if len(chosen) > NAMED else "")
        raise UsageError(f"{len(chosen)} artifacts are meant ({some}); say where they go with -o DIRECTORY/")
