"""``kleio scrub [ID] PATTERN``."""

from __future__ import annotations

import getpass
import os
import sys
import time
from typing import Any

import click

from kleio.cli import render_scrub
from kleio.cli.options import as_json, given, suggested
from kleio.cli.selecting import choosing, taken
from kleio.core import scrub as scrubbing
from kleio.core.config import Config, spool_root
from kleio.core.errors import UsageError
from kleio.core.journal import open_journal
from kleio.core.lookup import SHORT
from kleio.core.pattern import Pattern


@click.command()
@click.argument("words", metavar="[ID] PATTERN", nargs=-1, shell_complete=suggested("first_id"))
@click.option("--regex", is_flag=True, help="PATTERN is a regular expression, as Python writes them")
@click.option("--dry-run", is_flag=True, help="only show where it is, and how often")
@click.option("--yes", "-y", is_flag=True, help="do not ask")
@click.option("--journal", metavar="URI", help="the journal to scrub  [KLEIO_JOURNAL]")
@as_json
@choosing
@click.pass_context
def scrub(
    ctx: click.Context, /, words: tuple[str, ...], regex: bool, dry_run: bool, yes: bool, json: bool, **options: Any
) -> None:
    """Take PATTERN out of everything that is stored for a trial, for good: command, parameters, output, statistics, artifacts,
    code. With - for PATTERN it is read from standard input, where no list of processes shows it.

    A file that holds it goes as a whole, and is named among what was not kept. That the trial was scrubbed remains on record,
    of what does not.
    """
    config, choice = Config(given(ctx)), taken(options)
    trial, pattern = choice.with_word(words, "PATTERN")
    looked_for = Pattern(_typed() if pattern == "-" else pattern, regex)
    journal = open_journal(config["journal"], timeout=config["timeout"], writing=not dry_run)
    ctx.call_on_close(journal.close)
    entry = choice.one(journal, config, trial)
    scrubbing.refuse(journal, entry, spool_root(config))
    asked = not (dry_run or yes)
    if asked and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("this is for good, and nobody is there to be asked; look with --dry-run, then say --yes")
    found = scrubbing.find(journal, entry, looked_for) if dry_run or asked else None
    if found and asked:
        render_scrub.found(found, dry_run=True)
        if not found.places or not click.confirm(f"kleio: take it out of trial {entry.id[:SHORT]} for good?", err=True):
            return
    if not dry_run:
        found = scrubbing.scrub(journal, entry, looked_for, f"{getpass.getuser()}@{os.uname().nodename}", time.time())
    assert found is not None
    found.remarks += scrubbing.elsewhere(journal, entry)
    if json:
        render_scrub.as_document(entry.id, found, dry_run)
    else:
        render_scrub.found(found, dry_run)


def _typed() -> str:
    """The pattern, unseen if somebody types it."""
    line = getpass.getpass("pattern: ") if sys.stdin.isatty() else sys.stdin.readline()
    return line.rstrip("\n")
