"""``kleio log NAME=VALUE…``."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from kleio.core import commandline
from kleio.core.errors import KleioError, UsageError
from kleio.core.shared_times import SharedTimes
from kleio.core.spool import Spool, Writer, on_this_host
from kleio.core.values import dumps


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("values", nargs=-1, required=True, metavar="NAME=VALUE…")
def log(values: tuple[str, ...]) -> None:
    """Log a statistic from a shell script inside a trial: kleio log loss=0.3 epoch=2."""
    record = {}
    for word in values:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"{word!r} is not NAME=VALUE; for example: kleio log loss=0.3 epoch=2")
        record[name] = commandline.typed(value)
    spool = os.environ.get("KLEIO_SPOOL")
    if not spool or not on_this_host(spool):
        raise KleioError("this is not inside a trial on this machine: put kleio before the script that calls kleio log")
    with suppress(OSError):
        SharedTimes(Spool(spool)).look()  # what was appended there before comes before this
    Writer(spool, "statistics", name="kleio-log").append(dumps(record))
