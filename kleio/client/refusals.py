"""What could not be recorded, counted: stderr tells of it once, and the journal how much it was.

The count is left in the spool when it comes to 1, 10, 100, … and at the end of the process, each time as a finding of its own.
So a kill costs the last figure and not the knowledge, and a loop that fails a million times writes eight files.
"""

from __future__ import annotations

import atexit
import os
import time

from kleio.core.spool import Spool

KIND = "refused"
_MOST_KEYS = 20


class Refusals:
    """Those of this process, for one spool."""

    __slots__ = ("_counts", "_directory", "_keys", "_left", "_name", "_reason", "pid")

    def __init__(self, directory: str) -> None:
        self._directory, self.pid = directory, os.getpid()
        self._name = f"{self.pid}-{os.urandom(4).hex()}"
        self._counts: dict[str, int] = {}
        self._keys: dict[str, None] = {}
        self._reason = ""
        self._left = 0
        atexit.register(self.leave, over=True)

    def add(self, kind: str, reason: str, key: str = "") -> None:
        """One more of ``kind``, "records", "values" or "artifacts"; of a value its ``key``."""
        self._reason = self._reason or reason[:500]
        if key and len(self._keys) < _MOST_KEYS:
            self._keys[key[:100]] = None
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if str(count).strip("0") == "1":
            self.leave()

    def leave(self, over: bool = False) -> None:
        """Put the counts into the spool; ``over`` when there will be no more. Where that fails, stderr has told of it."""
        if self.pid != os.getpid():
            return
        if over:
            atexit.unregister(self.leave)
        self._left += 1
        data = {"process": self._name, "counts": self._counts, "keys": list(self._keys), "reason": self._reason, "over": over}
        finding = {"kind": KIND, "time": time.time(), "data": data, "documents": {}, "blobs": [], "traces": []}
        try:
            Spool(self._directory).write(f"finding-{KIND}-{self._name}-{self._left}", finding)
        except OSError:
            pass
