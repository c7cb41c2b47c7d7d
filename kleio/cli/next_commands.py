"""What one may want to do next with a trial, as commands that are ready to paste."""

from __future__ import annotations

import shlex

from kleio.core.resuming import INNER, OUTER
from kleio.core.statistics import is_logged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from kleio.core.about import About

NOTEBOOK = "jupyter"
"""The first word of what stands for the command of an experiment in a notebook."""
LIVE = ("running", "reserved")
PLOTTED = 2
LONGEST = 80


def next_commands(one: Mapping[str, Any], also: About) -> Iterator[tuple[str, str]]:
    """(what for, command); what a command names stands in it as a shell takes it, or the command is not there."""
    short = one["short_id"]
    live = one["status"] in LIVE
    again = "run again" if one["status"] == "completed" else "resume"
    if live:
        yield "follow", f"kleio tail -f {short}"
    elif also.imported:
        pass  # there is nothing to run
    elif not also.experiment:
        yield again, f"kleio run {short}"
    elif one["command"][:1] != [NOTEBOOK]:  # which is what stands for it, and no command
        yield again, shlex.join(one["command"])
    if not live and not also.experiment and not also.imported and one["status"] != "completed":
        where = _reached(one["summary"])
        yield "branch", f"kleio branch {f'--timestamp {where} ' if where else ''}{short}"
    yield "output", f"kleio cat {short}"
    yield from _plot(one)
    if also.artifacts:
        newest = also.artifacts[-1].name
        yield "artifact", f"kleio get {short} {shlex.quote(newest)}" if _harmless(newest) else f"kleio artifacts {short}"
    other = one["parent"] or one["previous"]
    if other:
        yield "compare", f"kleio compare {other[:7]} {short}"


def _reached(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """The last epoch or step that was logged, as a place to cut at."""
    names = {key.lower(): key for key in summary}
    for name in OUTER:
        key = names.get(name, "")
        last = summary[key].get("last") if key else None
        if type(last) is int and key.isidentifier():
            return f"{key}={last}"
    return ""


def _plot(one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    counting = (*OUTER, *INNER)
    keys = [
        key
        for key, own in one["summary"].items()
        if own.get("count", 0) > 1 and "min" in own and key.lower() not in counting and is_logged(key)
    ]
    plain = [shlex.quote(key) for key in keys if _harmless(key)][:PLOTTED]
    if plain:
        yield "plot", f"kleio plot {one['short_id']} {' '.join(plain)}"


def _harmless(name: str) -> bool:
    """Whether it can be shown as it is, and is not taken for an option."""
    return bool(name) and name.isprintable() and not name.startswith("-") and len(name) <= LONGEST
