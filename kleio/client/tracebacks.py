"""Tracebacks without kleio's own frames: what a script's own function raises comes through those that watch its parser."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import TracebackException
    from types import TracebackType

_HERE = os.path.dirname(__file__)
_WATCHERS = (os.path.join(_HERE, "parsers", ""), os.path.join(_HERE, "startup.py"))


def step_aside(error: BaseException) -> None:
    """To be called by a watcher in ``except BaseException``, before a ``raise`` without anything.

    The traceback then is as if nobody had watched. Python 3.10 puts the outermost watcher back into it when it raises again.
    """
    error.__traceback__ = trace = _beyond(error.__traceback__)
    while trace is not None:
        after = _beyond(trace.tb_next)
        if after is not trace.tb_next:
            trace.tb_next = after
        trace = after


def _beyond(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_WATCHERS):
        trace = trace.tb_next
    return trace


def without_watchers(said: TracebackException) -> TracebackException:
    """``said``, and all that led to it, without them: what is recorded is about the script, in every Python."""
    left, seen = [said], set()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_WATCHERS)]
            left += [other for other in (one.__cause__, one.__context__) if other is not None]
            left += getattr(one, "exceptions", None) or ()
    return said
