"""Prints what ``kleio checkout`` brought back, and loudly what it did not."""

from __future__ import annotations

import sys

from kleio.cli import render, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core.restore import Restored


def as_document(trial: str, found: Restored) -> None:
    """``--json``: trial, directory, source, exact, inexact."""
    render.document(
        {
            "trial": trial, "directory": found.directory, "source": found.source, "exact": not found.inexact,
            "inexact": [dict(one) for one in found.inexact],
        }
    )  # fmt: skip


def said(trial: str, code: Mapping[str, Any], found: Restored) -> None:
    """The directory on stdout, for ``cd``; the rest on stderr."""
    commit = f"commit {code['commit'][:10]} from {found.source}" if code.get("commit") else "no commit"
    changed = f" and {wording.several(len(code['changes']), 'changed file')}" if code.get("changes") else ""
    sys.stdout.write(f"{wording.printable(found.directory)}\n")
    render.complain(f"the code of trial {trial[:7]}: {commit}{changed}")
    for one in found.inexact:
        render.complain(f"NOT as it was: {one['path']}: {one['why']}")
    if found.inexact:
        render.complain(f"{wording.several(len(found.inexact), 'path')} could not be brought back exactly")
