"""``kleio diff [ID] [ID2]``."""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_diff
from kleio.cli.options import as_json, reading, suggested
from kleio.cli.selecting import asked_for
from kleio.core import differences
from kleio.core.config import Config

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.cli.selecting import Asked
    from kleio.core.differences import Differences
    from kleio.core.trial import Entry


@click.command()
@click.argument("trials", metavar="[ID] [ID2]", nargs=-1, shell_complete=suggested("ids"))
@click.option("--params", is_flag=True, help="only command and parameters")
@click.option("--code", is_flag=True, help="only the code; in a pipe a patch for git apply")
@click.option("--env", is_flag=True, help="only packages and environment")
@click.option("--stats", is_flag=True, help="only status and statistics")
@click.option("--stat", is_flag=True, help="name the files that differ and leave the patch away")
@click.option("--binary", is_flag=True, help="put binary files into the patch, as git does")
@click.option("--exit-code", is_flag=True, help="exit with status 1 when something differs, or cannot be compared")
@as_json
@reading
@asked_for
def diff(
    with_: Reading, trials: tuple[str, ...], asked: Asked, stat: bool, binary: bool, exit_code: bool, json: bool, **only: bool
) -> int:
    """What differs between two trials, or between one and what is here now."""
    shown = tuple(one for one in differences.SECTIONS if only[one] or not any(only.values()))
    how = {"with_patch": not stat and "code" in shown, "binary": binary}
    before, after = asked.pair(with_.journal, with_.config, trials)
    found = _between(with_, before, after, how) if after else _now(with_, before, how)
    if json:
        render.document(found.as_document(shown))
    else:
        render_diff.differences(found, shown)
    return int(exit_code and (any(found.differ(one) for one in shown) or ("code" in shown and not found.whole)))


def _between(with_: Reading, before: Entry, after: Entry, how: dict[str, bool]) -> Differences:
    old, new = (differences.recorded(with_.journal, one, with_.config.cwd) for one in (before, after))
    return differences.compare(old, new, **how)


def _now(with_: Reading, entry: Entry, how: dict[str, bool]) -> Differences:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that the directory goes
    directory = next(iter(differences.directories(entry)), with_.config.cwd)
    config = Config(with_.config.options, cwd=directory)
    with tempfile.TemporaryDirectory(prefix="kleio-diff-") as scratch:
        before = differences.recorded(with_.journal, entry, directory)
        return differences.compare(before, differences.present(config, entry, scratch), **how)
