"""``kleio info ID``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kleio.cli import render
from kleio.cli.options import as_json, reading
from kleio.core import statistics, view
from kleio.core.config import spool_root
from kleio.core.lineage import ancestors, children, seen
from kleio.core.lookup import resolve
from kleio.core.shipping import UNREADABLE

if TYPE_CHECKING:
    from kleio.cli.options import Reading


@click.command()
@click.argument("trial", metavar="ID")
@as_json
@reading
def info(with_: Reading, trial: str, json: bool) -> None:
    """All there is to know about a trial."""
    entry = view.from_here([resolve(with_.journal, trial)], spool_root(with_.config))[0]
    found = view.documents(with_.journal, [entry], whole=True)[0]
    if json:
        render.document(found)
        return
    artifacts, unreadable = [], 0
    for (_, _, stream), segments in seen(with_.journal, entry.trial, ("artifacts", f"{UNREADABLE}-statistics")):
        records = list(statistics.records(segments))
        if stream == "artifacts":
            artifacts += records
        else:
            unreadable += len(records)
    written = [with_.journal.document(one.wrote) for one in entry.executions if one.wrote]
    logged = [dict(one.values) for one in sorted(artifacts, key=lambda one: one.time)]
    files = [file for document in written if document for file in document["files"]]
    scrubs = [event.data for event in entry.events if event.kind == "scrubbed"]
    render.trial(found, logged, unreadable, files, ancestors(with_.journal, entry), children(with_.journal, entry.id), scrubs)
    render.waiting(spool_root(with_.config), with_.journal)
