"""Commits that no remote has: what leads to them from one that can be had elsewhere is kept in the journal."""

from __future__ import annotations

from kleio.core import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core.cloning import Git
    from kleio.core.journal.base import Journal


def key(commit: str) -> str:
    """Under which the journal keeps what leads to ``commit``."""
    return identity.digest({"commit": commit})


def unpack(journal: Journal, kept: Mapping[str, Any], directory: str, git: Git) -> None:
    """Put the objects of a kept history into the repository at ``directory``."""
    raise NotImplementedError
