"""Prints statistics: rows, or the keys."""

from __future__ import annotations

import sys
import time

from kleio.cli import render, render_table, wording
from kleio.core.lookup import SHORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    from kleio.core.reading.statistics import Statistics

MOST = 10_000
"""Rows that are shown on a terminal, where all of them must be looked at to know how wide they are."""


def rows(found: Statistics, precision: int | None = None, header: bool = True, pager: bool = True) -> None:
    """``kleio stats``."""
    from kleio.core.reading import listing

    if _is_nothing(found):
        return
    forms: Mapping[str, render_table.Form] = {}
    if sys.stdout.isatty():
        if len(found) > MOST:
            render.complain(f"the last {MOST:,} of {len(found):,} rows; --limit, --where and --export give others, or all")
            found = found[-MOST:]
        forms = {listing.headings(found)[0]: _clock(found)}
        if found.several:
            forms = {**forms, listing.headings(found)[1]: render_table.short_id}
    render_table.show(listing.table(found), precision, header, pager, forms)


def keys(found: Statistics, precision: int | None = None, header: bool = True, pager: bool = True) -> None:
    """``kleio stats --keys``."""
    from kleio.core.reading import listing

    if not _is_nothing(found):
        render_table.show(listing.figures(found), precision, header, pager)


def _is_nothing(found: Statistics) -> bool:
    if found.keys():
        return False
    which = ", ".join(one[:SHORT] for one in found.trials[:5])
    more = ", …" if len(found.trials) > 5 else ""
    render.complain(f"nothing was {'sampled' if found.is_system else 'logged'} in {which}{more}")
    return True


def _clock(found: Statistics) -> render_table.Form:
    """Local times, with the day where they are not all of one."""
    seconds = [one / 1e9 for one in found.nanoseconds]
    days = {time.strftime("%Y-%m-%d", time.localtime(one)) for one in (min(seconds), max(seconds))} if seconds else set()

    def shown(value: datetime.datetime) -> str:
        when = wording.when(value.isoformat())
        return when[11:] if len(days) == 1 else when

    return shown
