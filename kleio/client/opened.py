"""The experiments that are open in this process: which is the innermost, what ``kleio_logger`` is meanwhile, what forks do."""

from __future__ import annotations

import _thread
import os
import sys

from kleio.client.logger import Logger, _finish_imports, kleio_logger
from kleio.client.recorder import Recorder
from kleio.core import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import ContextVar
    from typing import Any

    from kleio.client.connection import Presence
    from kleio.client.experiment import Experiment

CHILD_VARIABLES = ("KLEIO_TRIAL_ID", "KLEIO_EXECUTION", "KLEIO_SPOOL", "KLEIO_STATISTICS", "KLEIO_OUTPUT_DIR")
"""As :mod:`kleio.core.config` has them, which is not worth its import."""

ATTEMPTS = 4
"""To reach a recorder process: one may be about to end, and on a busy machine so may the next."""

_changing = _thread.RLock()
_open: list[Experiment] = []
"""Those of this process, in the order in which they began."""
_presence: Presence | None = None
_innermost: ContextVar[Experiment | None] | None = None
_outside: dict[str, Any] = {}
"""What ``kleio_logger`` is while no experiment is open."""
_before: dict[str, str] = {}
"""What ``CHILD_VARIABLES`` are then."""
_prepared = _watched = False


class _ByContext(Logger):
    """``kleio_logger`` while experiments are open that are not inside each other: each thread or task writes to its own."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__dict__"):
            return super().__getattribute__(name)
        if name == "_writers":
            return {}  # each experiment sees to its own after a fork
        return getattr(current_logger(), name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("__class__", "__dict__"):
            super().__setattr__(name, value)
        elif name != "_writers":
            setattr(current_logger(), name, value)


def current() -> Experiment | None:
    """The innermost one that is open around what runs now."""
    one = _innermost.get() if _innermost is not None else None
    while one is not None and one not in _open:
        one = one.outer
    if one is not None:
        return one
    import threading

    now = task()
    for thread in (_thread.get_ident(), threading.main_thread().ident):
        for one in reversed(_open):
            if one.thread == thread and one.task in (0, now):
                return one
    return None


def task() -> int:
    """A number for the task of asyncio that runs, 0 for none. A notebook runs its cells in tasks, which mean nothing."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or "ipykernel" in sys.modules:
        return 0
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return 0


def current_logger() -> Logger:
    one = current()
    if one is not None:
        return one.logger
    logger = Recorder(strict=False)
    logger.tell("several experiments are open in other threads, and which is meant is not known: use experiment.log_statistic")
    return logger


def variables_outside() -> dict[str, str]:
    """Those of ``CHILD_VARIABLES`` that this process had before any experiment."""
    with _changing:
        return _before if _open else {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}


def enter(experiment: Experiment) -> None:
    global _innermost, _outside, _before  # noqa: PLW0603
    from contextvars import ContextVar

    with _changing:
        if _innermost is None:
            _innermost = ContextVar("kleio_experiment", default=None)
        if not _open:
            _outside, _before = kleio_logger.__dict__, variables_outside()
        if experiment.outer is None:
            experiment.outer = current()
        _open.append(experiment)
        _innermost.set(experiment)
        _follow()


def leave(experiment: Experiment) -> None:
    """Once or more often."""
    if experiment not in _open:
        return
    with _changing:
        _open.remove(experiment)
        if _innermost is not None and _innermost.get() is experiment:
            _innermost.set(experiment.outer)
        _follow()


def _follow() -> None:
    """Let ``kleio_logger`` write to the innermost experiment, at no cost to a call: it becomes that one's logger.

    What is started is told of the same one; of none where it cannot be known which is meant.
    """
    inside_each_other = all(one.outer is _open[at] for at, one in enumerate(_open[1:]))
    state = _open[-1].logger.__dict__ if _open else _outside
    if inside_each_other:
        kleio_logger.__dict__ = state
        kleio_logger.__class__ = Recorder if _open else Logger
    else:  # in this order, so that no thread sees what is another's
        kleio_logger.__class__ = _ByContext
        kleio_logger.__dict__ = state
    told = (_open[-1].variables if inside_each_other else {}) if _open else _before
    for name in CHILD_VARIABLES:
        if name in told:
            os.environ[name] = told[name]
        else:
            os.environ.pop(name, None)


# -- this process --------------------------------------------------------------------------------------------------


def present(anew: bool = False) -> Presence:
    global _presence  # noqa: PLW0603
    from kleio.client.connection import Presence, recorder

    with _changing:
        known = _presence
        if known is None or known.pid != os.getpid() or known.lost or anew:
            if known is not None and known.pid == os.getpid():
                known.close()
            for left in reversed(range(ATTEMPTS)):
                try:
                    _presence = Presence(recorder(), _alarmed)
                    break
                except (OSError, errors.SpoolError):
                    if not left:
                        raise
        assert _presence is not None
        return _presence


def watch(presence: Presence) -> None:
    """Hear when the recorder has gone. Raises what :meth:`Presence.watch` does."""
    with _changing:
        presence.watch()


def _alarmed(lost: bool) -> None:
    from kleio.client.redirection import abandon_all

    abandon_all(lost)
    for one in _open[-1:] if lost else ():
        one.logger.tell("the recorder process was killed; logging goes on, and what is printed is not recorded any more")


def prepare() -> None:
    """Once a process tree: what happens at the end."""
    global _prepared  # noqa: PLW0603
    import atexit

    with _changing:
        if not _prepared:
            _prepared = True
            atexit.register(_end_all)


def before_fork() -> None:
    """No other thread opens or ends anything, or forks, until this fork is done: the child finds all of it in order."""
    global _watched  # noqa: PLW0603
    _finish_imports()
    _changing.acquire()
    _watched = _presence is not None and _presence.pid == os.getpid() and _presence.watching
    if _watched and _presence is not None:
        _presence.pause()


def after_fork() -> None:
    """In the process that forked."""
    try:
        if _watched and _presence is not None and not _presence.lost:
            _presence.watch()
    finally:
        _changing.release()


def forked() -> None:
    """In the child: what is open is the parent's."""
    global _presence, _changing  # noqa: PLW0603
    _changing = _thread.RLock()
    redirection = sys.modules.get("kleio.client.redirection")
    if redirection is not None:
        redirection.forget_all()
    for one in _open:
        one.forget()
    if _presence is not None:
        _presence.forget()
        _presence = None


def _end_all() -> None:
    """The script ends and left one open: as it ended itself."""
    from kleio.client.exceptions import ending_script

    error = ending_script()
    for one in reversed(list(_open)):
        one.again = 0
        one.end(error)
    with _changing:
        if _presence is not None and _presence.pid == os.getpid():
            _presence.close()
