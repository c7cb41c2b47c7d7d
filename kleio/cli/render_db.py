"""Prints ``kleio db``."""

from __future__ import annotations

from kleio.cli import render


def upgraded(journal: str, before: int, now: int) -> None:
    """``kleio db upgrade``: the schema that was found, and the one that it has now."""
    if before == now:
        render.complain(f"{journal} is up to date (schema {now})")
    else:
        render.complain(f"{journal} is upgraded from schema {before} to {now}")
