"""What a launch has time and right to keep of a work tree, and what it names instead of keeping."""

from __future__ import annotations

import os
import stat
import time

from kleio.core import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.config import Config

MOST_UNTRACKED = 5000
"""Files; more take longer than a launch may."""
LATER = 1.0
"""Seconds by which the end may be put off."""
MOST_SCANNED = 1 << 20
"""Bytes up to which a file is searched for secrets."""


class Allowance:
    """What may still be kept: of one launch, all repositories together. ``until`` is by the monotonic clock."""

    def __init__(self, config: Config, until: float) -> None:
        self.until, self._latest = until, until + LATER
        self._each, self._together = config["untracked-limit"], config["untracked-total"]

    @property
    def limit(self) -> int:
        """Bytes that the next file may have."""
        return int(min(self._each, self._together))

    def why_not(self, path: bytes, status: os.stat_result, tracked: bool) -> str | None:
        """Why a file is not kept, if it is not; else it is taken off the allowance."""
        if stat.S_ISLNK(status.st_mode):
            return None
        if stat.S_ISDIR(status.st_mode):
            return "a repository of its own"
        if not stat.S_ISREG(status.st_mode):
            return "not a file"
        if status.st_size > self.limit:
            return "too large"
        if not tracked and redact.is_secret_file(os.path.basename(os.fsdecode(path))):
            return "its name says that it is secret"
        if not os.access(path, os.R_OK):
            return "unreadable"
        self._together -= status.st_size
        return None

    def extend(self, seconds: float) -> None:
        """Git took so long that nothing is left for what must be done without it: that gets as much, if not too often."""
        self.until = max(self.until, min(time.monotonic() + seconds, self._latest))

    def left(self) -> float:
        """Seconds."""
        return max(self.until - time.monotonic(), 0.0)


def why_secret(path: str, content: bytes) -> str | None:
    """Why a file must be kept by name only: what it holds."""
    if len(content) > MOST_SCANNED or b"\0" in content[:8000]:
        return None
    found = redact.secret_in(path, content) if hasattr(redact, "secret_in") else None
    return f"it holds {found}" if found else None


def named(path: str, status: os.stat_result, why: str) -> dict[str, Any]:
    """What is recorded of a file that is not kept: bytes, and the time of its last change in seconds since the epoch."""
    return {"path": path, "size": status.st_size, "time": status.st_mtime, "why": why}


def too_many(untracked: Iterable[bytes]) -> list[dict[str, Any]]:
    """What is over the number of files that a launch has time for, by directory."""
    counted: dict[bytes, int] = {}
    for path in untracked:
        directory = path.partition(b"/")[0] + b"/" if b"/" in path else path
        counted[directory] = counted.get(directory, 0) + 1
    return [
        {"path": os.fsdecode(name), "size": 0, "time": 0.0, "why": f"{count:,} untracked files too many: name it in .gitignore"}
        for name, count in counted.items()
    ]


def loudly(left_out: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is said of it."""
    if not left_out:
        return []
    sized = (f"{one['size']:,} bytes, {one['why']}" if one["size"] else one["why"] for one in left_out[:3])
    first = ", ".join(f"{one['path']} ({words})" for one, words in zip(left_out, sized, strict=False))
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return [f"not kept with the code: {first}{more}"]
