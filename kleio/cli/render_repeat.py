"""Says what ``kleio repeat`` found: on stderr, because stdout is the command's own."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from kleio.cli import wording
from kleio.cli.render import complain, document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kleio.core.reproduction import Difference, Verdict

MOST = 10
ARROW = "\N{RIGHTWARDS ARROW}"


@contextmanager
def stdout_on_stderr() -> Iterator[None]:
    """Inside, whatever is printed on stdout, by a child too, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def changed_inputs(trial: str, names: Sequence[str]) -> None:
    """Inputs that have been modified since the trial ran."""
    if names:
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        complain(f"changed since trial {trial} ran, and used as it is now: {', '.join(names[:MOST])}{more}")


def as_document(found: Verdict) -> None:
    """``kleio repeat --json``."""
    document(found.as_document())


def verdict(found: Verdict) -> None:
    """``kleio repeat --verify``."""
    for note in found.notes:
        complain(note)
    if found.reproduced and not (found.statistics[0] or found.artifacts[0]):
        what = "there is no statistic and no artifact to compare, and what it printed is not compared"
        complain(f"it ended as trial {found.original[:7]} did; {what}")
        return
    if found.reproduced:
        counts = [wording.several(found.statistics[0], "statistic"), wording.several(found.artifacts[0], "artifact")]
        complain(f"reproduced: {' and '.join(counts)}, and how it ended, are those of trial {found.original[:7]}")
        return
    complain(f"not reproduced: {_worded(found.differences[0])}")
    for one in found.differences[1 : MOST + 1]:
        complain(f"  {_worded(one)}")
    if len(found.differences) > MOST + 1:
        complain(f"  and {len(found.differences) - MOST - 1} more; --json tells all")
    if found.clocks:
        words = " ".join(f"--ignore {wording.command([name])}" for name in found.clocks[:MOST])
        complain(f"only what looks like a clock differs; leave it out with: {words}")


def _worded(one: Difference) -> str:
    if one.kind == "count":
        return f"there are {wording.several(one.after, 'statistic')} in a stream that had {one.before:,}"
    if one.kind == "end":
        return f"{one.name}: {one.before} {ARROW} {one.after}"
    later = f" (and {wording.several(one.times - 1, 'later one')})" if one.times > 1 else ""
    if one.kind == "artifact":
        return f"the {_ordinal(one.number)} artifact {one.name}: {_kept(one.before)} {ARROW} {_kept(one.after)}{later}"
    return f"{one.name} of the {_ordinal(one.number)} statistic: {_value(one.before)} {ARROW} {_value(one.after)}{later}"


def _kept(artifact: Any) -> str:
    return f"{artifact['size']:,} bytes, sha256 {artifact['sha256'][:8]}" if artifact else "not there"


def _value(value: Any) -> str:
    """All digits: it may be the last one that differs."""
    if value is None:
        return "not there"
    text = repr(value) if isinstance(value, (float, int, str)) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
