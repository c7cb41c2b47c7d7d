"""Prints ``kleio tree``: a line a trial, branches under what they continue."""

from __future__ import annotations

import sys

from kleio.cli import render, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kleio.core.lineage import Node


def as_document(roots: Sequence[Node]) -> None:
    """``--json``: an array of trees; each has id, status, command, cut, branches."""
    render.document([_document(root) for root in roots])


def _document(node: Node) -> dict[str, Any]:
    trial = node.entry.trial
    return {
        "id": trial.id, "status": node.entry.status.value, "name": node.entry.name, "command": list(trial.command),
        "parent": trial.parent, "cut": trial.cut, "branches": [_document(one) for one in node.branches],
    }  # fmt: skip


def drawn(roots: Sequence[Node], marked: str | None) -> None:
    """The trees; the trial that was asked for is marked."""
    if not roots:
        render.complain("no trial has a branch yet; kleio branch ID makes one")
    bold, dim, colour = render.styles()
    for root in roots:
        for lead, node in _lines(root):
            status, trial = node.entry.status.value, node.entry.trial
            mark = bold(trial.id[:7]) if trial.id == marked else trial.id[:7]
            what = wording.printable(_edge(node) or wording.command(trial.command))
            sys.stdout.write(f"{dim(lead)}{mark}{' *' if trial.id == marked else ''}  {colour(status)}  {what}\n")


def _lines(root: Node) -> Iterator[tuple[str, Node]]:
    """What stands before each trial, and the trial. Not by recursion: a line may be longer than Python's stack is deep."""
    waiting = [("", "", root)]
    while waiting:
        lead, below, node = waiting.pop()
        yield lead, node
        for one in reversed(node.branches):
            last = one is node.branches[-1]
            waiting.append((below + ("└── " if last else "├── "), below + ("    " if last else "│   "), one))


def _edge(node: Node) -> str:
    cut = node.entry.trial.cut
    if not cut:
        return ""
    where = "at its end" if cut["criterion"] == "end" else f"at {cut['criterion']}"
    return f"{where}: {', '.join(cut.get('changed') or ['nothing changed'])}"
