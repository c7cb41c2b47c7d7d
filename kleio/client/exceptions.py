"""The exception that ended a script, recorded when everything else is over.

``sys.excepthook`` stays the script's own: Python keeps what ended the main program in ``sys.last_value`` by itself.
"""

from __future__ import annotations

import os
import sys

from kleio.client.reporting import on_stderr, script, shortened, spool
from kleio.core.errors import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST = 16_000
"""Characters of a traceback, and of a message half as many: a journal keeps them with the trial."""


def record_last() -> None:
    """The exception that ended the main program, if one did. Raises OSError."""
    error = getattr(sys, "last_exc", None) or sys.last_value
    if error is None or not _ended(error):
        return
    try:
        record(error)
    finally:
        if type(error) is KeyboardInterrupt:
            _interrupted_again()


def ending_script() -> BaseException | None:
    """The exception that is ending the main program, if one is."""
    error: BaseException | None = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if error is not None and _ended(error) else None


def _interrupted_again() -> None:
    """Python dies of SIGINT only if its last program text ended so, and what is imported here evaluates some."""
    try:
        exec("raise KeyboardInterrupt")  # noqa: S102 - a text of our own
    except KeyboardInterrupt:
        pass


def _ended(error: BaseException) -> bool:
    """Whether it left the main program: debuggers, shells and test runners leave others in ``sys.last_value``."""
    if hasattr(sys, "ps1"):
        return False
    trace = error.__traceback__
    if trace is None:
        return isinstance(error, SyntaxError)  # of the script itself, which has not begun
    main = sys.modules.get("__main__")
    own = trace.tb_frame.f_globals
    return own is getattr(main, "__dict__", None) or own.get("__name__") == "runpy"


def record(error: BaseException) -> None:
    """Leave it in the spool, in the place of an earlier one of this process. Raises OSError."""
    found = spool()
    if found is None:
        return
    from time import time

    document = {"kind": "exception", "time": time(), "data": described(error), "documents": {}, "blobs": [], "traces": []}
    found.write(f"finding-exception-{os.getpid()}", document)


def described(error: BaseException) -> dict[str, Any]:
    """An exception in words: ``type``, ``message`` and ``traceback``, with those that led to it; bounded."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    return {
        "type": name,
        "message": shortened(told(error), LONGEST // 2),
        "traceback": shortened("".join(shortened(line, LONGEST // 2) for line in _traceback(error)), LONGEST),
        "pid": os.getpid(),
        "script": script(),
    }


def shown(error: BaseException) -> None:
    """Put an exception on stderr as Python does."""
    on_stderr("".join(_traceback(error)))


def _traceback(error: BaseException) -> list[str]:
    """Its lines, as Python prints them. Exceptions, and what loads their source, have methods of their own."""
    from traceback import TracebackException

    from kleio.client.tracebacks import without_watchers

    try:
        return list(without_watchers(TracebackException(type(error), error, error.__traceback__)).format())
    except Exception:  # noqa: BLE001 - as above
        return [f"{type(error).__name__}: {told(error)}\n"]
