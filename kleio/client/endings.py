"""How an experiment ended, from the exception that left it."""

from __future__ import annotations

import time

from kleio.client.exceptions import described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def ending(error: BaseException | None) -> dict[str, Any]:
    """How an experiment ended, as an execution has it."""
    nothing: dict[str, Any] = {"exit_code": None, "signal": None}
    if error is None:
        return {**nothing, "status": "completed", "reason": "ended", "exit_code": 0}
    if isinstance(error, KeyboardInterrupt):
        return {**nothing, "status": "suspended", "reason": "Ctrl-C"}
    if isinstance(error, SystemExit):
        code = _exit_code(error.code)
        return {**nothing, "status": "broken" if code else "completed", "reason": f"exit status {code}", "exit_code": code}
    told = described(error)
    first = str(told["message"]).partition("\n")[0][:200]
    reason = f"{told['type']}: {first}" if first else told["type"]
    return {**nothing, "status": "broken" if isinstance(error, Exception) else "interrupted", "reason": reason}


def _exit_code(said: object) -> int:
    """What the process exits with, as far as it is the script that ends: a text is printed, and of a number a byte remains."""
    if said is None:
        return 0
    return said & 0xFF if isinstance(said, int) else 1


def finding(error: BaseException) -> dict[str, Any] | None:
    """An exception as it is left in the spool; None for what is no failure."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return None
    from kleio.core import redact

    told = described(error)
    data = {name: redact.text(value) if isinstance(value, str) else value for name, value in told.items()}
    return {"kind": "exception", "time": time.time(), "data": data, "documents": {}, "blobs": [], "traces": []}
