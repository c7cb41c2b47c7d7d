"""Prints ``kleio scrub``: where something was, and how often; never what."""

from __future__ import annotations

from kleio.cli import render, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.scrub import Found


def as_document(trial: str, found: Found, dry_run: bool) -> None:
    """``--json``: an object."""
    places = [{"kind": kind, "place": place, "count": count} for (kind, place), count in found.places.items()]
    scrubbed = bool(places) and not dry_run
    render.document({"id": trial, "scrubbed": scrubbed, "places": places, "remarks": found.remarks})


def found(found: Found, dry_run: bool) -> None:
    """A line a place, and what it comes to."""
    if found.places:
        rows = [[kind, place, str(count)] for (kind, place), count in found.places.items()]
        render.table(["KIND", "WHERE", "FOUND"], rows, elastic=("WHERE",))
    for remark in found.remarks:
        render.complain(remark)
    times = wording.several(sum(found.places.values()), "time")
    if not found.places:
        render.complain("it is nowhere in what is stored for this trial")
    elif dry_run:
        render.complain(f"found {times}; nothing was changed")
    else:
        render.complain(f"found {times}, and taken out for good")
