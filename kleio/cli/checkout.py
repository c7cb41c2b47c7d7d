"""``kleio checkout [ID] [DIR]``."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_checkout
from kleio.cli.options import as_json, reading
from kleio.cli.selecting import one_trial_and
from kleio.core.gitfiles import is_object_name
from kleio.core.lookup import SHORT

if TYPE_CHECKING:
    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


@click.command()
@click.option("--exact", is_flag=True, help="exit with status 1 if anything could not be brought back exactly")
@as_json
@reading
@one_trial_and("directory", "DIR")
def checkout(with_: Reading, entry: Entry, directory: str | None, exact: bool, json: bool) -> int:
    """Bring the code of a trial back, as it was, into a new directory: DIR, or PROJECT-ID beside the project."""
    from kleio.core.restore import at_hand, code_of, restore

    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C leaves no half of a directory
    document = code_of(with_.journal, entry)
    here = at_hand(entry, os.getcwd())
    found = restore(with_.journal, document, directory or _usual(entry), here, render.complain)
    if json:
        render_checkout.as_document(entry.id, found)
    else:
        render_checkout.said(entry.id, document, found)
    return 1 if exact and found.inexact else 0


def _usual(entry: Entry) -> str:
    """Projects without a remote or a name have that of their first commit; their directory says more."""
    from kleio.core.restore import original_root

    name = entry.trial.project.rstrip("/").rpartition("/")[2].strip(".")
    if is_object_name(name):
        name = os.path.basename(original_root(entry) or "")
    return os.path.join(_beside(os.getcwd()), f"{name or 'trial'}-{entry.id[:SHORT]}")


def _beside(here: str) -> str:
    """Not inside a project, where it would be an untracked repository from then on, but next to it."""
    from kleio.core.repository import root_around

    root = root_around(here)
    above = os.path.dirname(root) if root else here
    return above if os.access(above, os.W_OK) else here
