"""Prints ``kleio trace``: for each trial that may be meant two lines, which it is and why."""

from __future__ import annotations

import sys

from kleio.cli import render, wording
from kleio.core.view import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.core.trace import Candidate


def as_document(found: Sequence[Candidate]) -> None:
    """``--json``: an array, best first."""
    render.document([_document(one) for one in found])


def _document(one: Candidate) -> dict[str, Any]:
    trial, attempt = one.entry.trial, one.execution
    return {
        "id": trial.id, "short_id": trial.id[:7], "status": one.entry.status.value, "name": one.entry.name,
        "project": trial.project, "command": list(trial.command), "created": iso(trial.created),
        "execution": attempt.id if attempt else None, "number": attempt.number if attempt else None,
        "host": attempt.host if attempt else None, "started": iso(attempt.started) if attempt else None,
        "reasons": one.reasons, "alone": one.alone,
    }  # fmt: skip


def candidates(found: Sequence[Candidate], limit: int) -> None:
    """The first ``limit`` of them; 0: all."""
    bold, dim, colour = render.styles()
    for one in found[: limit or None]:
        trial, attempt = one.entry.trial, one.execution
        began = wording.when(iso(attempt.started if attempt else trial.created) or "")
        where = f"execution {attempt.number} on {attempt.host}" if attempt else ""
        head = f"{colour(one.entry.status.value)}  {began}  {wording.printable(where)}".rstrip()
        sys.stdout.write(f"{bold(trial.id[:7])}  {head}  {wording.printable(wording.command(trial.command))}\n")
        for reason in one.reasons:
            sys.stdout.write(f"         {dim(wording.printable(reason))}\n")
    if limit and len(found) > limit:
        render.complain(f"{len(found) - limit} more; -n 0 shows all")
