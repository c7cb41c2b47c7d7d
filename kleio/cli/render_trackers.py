"""Prints what ``kleio import`` and ``kleio export`` did, run by run."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import asdict

from kleio.cli import wording
from kleio.cli.render import complain
from kleio.core.lookup import SHORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.exports import Exported
    from kleio.core.importing.recording import Recorded

EVERY = 0.2
"""Seconds between two states of the line that shows progress."""


@contextmanager
def progress() -> Iterator[Callable[[str, int], None]]:
    """Shows on a terminal how far a long import is; what it gives is called with a name and a number of points."""
    shown = 0.0

    def say(name: str, points: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= EVERY:
            shown = time.monotonic()
            sys.stderr.write(f"\r\033[K{wording.printable(name)[:60]}: {points:,} points")
            sys.stderr.flush()

    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda *_: None
        return
    try:
        yield say
    finally:
        _clear()


def _clear() -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


def imported(one: Recorded) -> None:
    """One run: its trial, what became of it, its name and what was added."""
    _clear()
    added = [wording.several(one.points, "point")] if one.points else []
    added += [wording.several(one.artifacts, "file")] if one.artifacts else []
    cells = [(one.trial or "")[:SHORT] or "-" * SHORT, one.fate, wording.printable(one.name), ", ".join(added)]
    sys.stdout.write("\t".join(cells).rstrip("\t") + "\n")
    sys.stdout.flush()
    for remark in one.remarks:
        complain(f"{one.name}: {remark}")
    if one.reason:
        complain(f"{one.name}: {one.reason}{'' if one.trial else f' ({one.place})'}")
    if one.fate == "scrubbed":
        complain(f"{one.name}: something was scrubbed from this trial; it is left as it is")


def left_out(of: Sequence[tuple[str, Mapping[str, int]]], what: str) -> None:
    """A line for each kind of what has no place, however many it is of: names, each with counts by their kinds."""
    for kind in dict.fromkeys(kind for _, counts in of for kind in counts):
        whose = [name for name, counts in of if kind in counts]
        total = sum(counts.get(kind, 0) for _, counts in of)
        complain(f"left out: {total:,} {kind}, of {whose[0] if len(whose) == 1 else wording.several(len(whose), what)}")


def as_document(one: Recorded) -> dict[str, Any]:
    """The same for programs."""
    told = asdict(one)
    return {"id": told.pop("trial"), "result": told.pop("fate"), **told}


def summed_up(found: Sequence[Recorded]) -> int:
    """The exit status; how many could not be read, or not wholly, on stderr."""
    failed = sum(1 for one in found if one.fate == "failed")
    partly = sum(1 for one in found if one.reason and one.fate != "failed")
    if failed or partly:
        said = [f"{wording.several(failed, 'run')} could not be read"] if failed else []
        said += [f"{wording.several(partly, 'run')} only in part"] if partly else []
        complain(f"{' and '.join(said)}, of {len(found):,}")
    return int(bool(failed or partly))


def exported(one: Exported) -> None:
    """One trial: where it is, and what was written."""
    _clear()
    if one.path is not None:
        counted = [wording.several(one.points, "row")] if one.points else []
        counted += [wording.several(one.artifacts, "artifact")] if one.artifacts else []
        cells = [one.trial[:SHORT], wording.printable(one.path), ", ".join(counted)]
        sys.stdout.write("\t".join(cells).rstrip("\t") + "\n")
        sys.stdout.flush()
    for remark in (*one.remarks, *([one.reason] if one.reason else [])):
        complain(f"{one.trial[:SHORT]}: {remark}")


def export_document(one: Exported) -> dict[str, Any]:
    """The same for programs."""
    told = asdict(one)
    return {"id": told.pop("trial"), **told}


def written(found: Sequence[Exported]) -> int:
    """The exit status; how many could not be written, on stderr."""
    failed = sum(1 for one in found if one.path is None)
    if failed:
        complain(f"{wording.several(failed, 'trial')} could not be written, of {len(found):,}")
    return int(bool(failed))
