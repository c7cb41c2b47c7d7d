"""What a launch has time and right to keep of a work tree, and what it names instead of keeping."""

from __future__ import annotations

import os
import stat

from kleio.core import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.core.code import State
    from kleio.core.config import Config

MOST_UNTRACKED = 5000
"""Files; more take git longer than a launch may."""


def affordable(root: str, state: State, config: Config) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The paths to capture, and those that are too large, too many, unreadable, secret, or repositories of their own."""
    wanted, left_out = [], []
    each, together = config["untracked-limit"], config["untracked-total"]
    changed = set(state.changed)
    for path in (*state.changed, *state.untracked[:MOST_UNTRACKED]):
        full = os.path.join(os.fsencode(root), path)
        try:
            status = os.lstat(full)
        except OSError:
            if path in changed:
                wanted.append(path)  # it was deleted, which is a change
            continue
        reason = _why_not(full, status, min(each, together), path in changed)
        if reason:
            left_out.append({"path": os.fsdecode(path), "size": status.st_size, "time": status.st_mtime, "why": reason})
        else:
            wanted.append(path)
            together -= status.st_size
    return wanted, left_out + _too_many(state.untracked[MOST_UNTRACKED:])


def _why_not(path: bytes, status: os.stat_result, limit: int, tracked: bool) -> str | None:
    """Why a file is not kept, if it is not. What git tracks may be a directory: a submodule."""
    if stat.S_ISLNK(status.st_mode) or (tracked and stat.S_ISDIR(status.st_mode)):
        return None
    if stat.S_ISDIR(status.st_mode):
        return "a repository of its own"
    if not stat.S_ISREG(status.st_mode):
        return "not a file"
    if status.st_size > limit:
        return "too large"
    if not tracked and redact.is_secret_file(os.path.basename(os.fsdecode(path))):
        return "its name says that it is secret"
    return None if os.access(path, os.R_OK) else "unreadable"


def _too_many(untracked: Sequence[bytes]) -> list[dict[str, Any]]:
    """What is over the number of files that a launch has time for, by directory."""
    counted: dict[bytes, int] = {}
    for path in untracked:
        directory = path.partition(b"/")[0] + b"/" if b"/" in path else path
        counted[directory] = counted.get(directory, 0) + 1
    return [
        {"path": os.fsdecode(name), "size": 0, "time": 0.0, "why": f"{count:,} untracked files too many: name it in .gitignore"}
        for name, count in counted.items()
    ]


def loudly(left_out: list[dict[str, Any]]) -> list[str]:
    """What is said of it."""
    if not left_out:
        return []
    sized = (f"{one['size']:,} bytes, {one['why']}" if one["size"] else one["why"] for one in left_out[:3])
    first = ", ".join(f"{one['path']} ({words})" for one, words in zip(left_out, sized, strict=False))
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return [f"not kept with the code: {first}{more}"]
