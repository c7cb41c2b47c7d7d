"""Everything kleio refuses, as one tree.

::

    KleioError                    125 launching, 1 reading
    ├── UsageError                125 launching, 2 reading
    ├── JournalError
    │   ├── JournalUnreachable    the one a fresh command survives: it runs offline
    │   ├── UnknownTrial
    │   ├── Scrubbed
    │   └── Damaged
    ├── SpoolError
    ├── AlreadyRunning             75
    ├── Changed                    78
    ├── CannotExecute             126
    └── CommandNotFound           127

A message is one clear line that says what to do next; where there are several ways on, they follow it, a line each. What others
raise is put into words here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Method = TypeVar("Method", bound=Callable[..., Any])


class KleioError(Exception):
    """The root. ``launching`` and ``reading`` are the exit statuses of the two kinds of command."""

    launching = 125
    reading = 1

    def __init__(self, message: str = "", ways_on: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.ways_on = ways_on

    @property
    def lines(self) -> tuple[str, ...]:
        """What to tell people, line by line."""
        return (str(self), *self.ways_on)


class UsageError(KleioError):
    """What was asked cannot be meant: an unknown option, an ambiguous id, a malformed setting."""

    reading = 2


class JournalError(KleioError):
    """The journal refuses, or is not one."""


class JournalUnreachable(JournalError):  # noqa: N818 - a state of the world, not a mistake
    """Nobody answers at the journal's address within the time given, or nothing can be written there now."""


class UnknownTrial(JournalError):  # noqa: N818 - the name says it
    """No trial has this id, or more than one begins with it."""


class Scrubbed(JournalError):  # noqa: N818 - a state of the world, not a mistake
    """What was asked for was taken out of the journal with ``kleio scrub``."""


class Damaged(JournalError):  # noqa: N818 - a state of the world, not a mistake
    """What lies in the journal is not what was stored. ``trial`` is whose it is, ``why`` what is wrong, where that is known."""

    def __init__(self, message: str = "", trial: str = "", why: str = "") -> None:
        super().__init__(message)
        self.trial, self.why = trial, why


class SpoolError(KleioError):
    """The directory in which records wait cannot be used."""


class AlreadyRunning(KleioError):  # noqa: N818
    """The trial has a live owner."""

    launching = 75


class Changed(KleioError):  # noqa: N818
    """Code or environment differ from those of a trial that has something to resume from."""

    launching = 78


class CannotExecute(KleioError):  # noqa: N818
    """The program exists and cannot be executed."""

    launching = 126


class CommandNotFound(KleioError):  # noqa: N818
    """There is no such program."""

    launching = 127


def told(error: BaseException) -> str:
    """What an exception says, in its own words. Those are somebody else's code, which may fail, or want to exit."""
    try:
        return str.__str__(str(error))
    except BaseException:  # noqa: BLE001 - as above
        return "(its message cannot be had)"


def in_words(error: BaseException) -> str:
    """What an exception says, as kleio says it: of the system's errors the reason and the file, and what helps."""
    if not isinstance(error, OSError) or not error.strerror or type(error).__str__ is not OSError.__str__:
        return told(error) or type(error).__name__
    import errno

    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror}{where}{'; raise the limit with ulimit -n' if error.errno == errno.EMFILE else ''}"


def forgiving(method: Method) -> Method:
    """For methods of a logger, or of what has one: a call that they do not take is refused as what cannot be recorded is, by
    ``Logger.misused``, and does not end the script. Not for ``log_statistic``: it would cost a tenth of its time.
    """

    def call(self: Any, /, *given: Any, **named: Any) -> Any:
        try:
            return method(self, *given, **named)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # from inside
            return getattr(self, "_logger", self).misused(method.__name__, error)

    call.__name__, call.__qualname__, call.__doc__ = method.__name__, method.__qualname__, method.__doc__
    call.__module__, call.__annotations__ = method.__module__, method.__annotations__
    call.__wrapped__ = method  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]
