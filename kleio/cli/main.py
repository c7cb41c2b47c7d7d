"""The command ``kleio``: which words are kleio's own, and the one boundary at which errors become exit statuses."""

from __future__ import annotations

import os
import sys

from kleio.cli.commands import COMMANDS, LAUNCHING
from kleio.core.errors import KleioError, in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kleio.core.launcher import Outcome


def main() -> None:
    """The entry point of the console script. Does not return."""
    _fill_standard_descriptors()
    words = sys.argv[1:]
    if not words and "_KLEIO_COMPLETE" in os.environ:
        from kleio.cli.completion import answer

        _leave(answer(), None)
    _leave(*_guarded(words))


def _fill_standard_descriptors() -> None:
    """Occupy a closed 0, 1 or 2, which a child will find closed as before, so that no file of ours lands there."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _guarded(words: list[str]) -> tuple[int, int | None]:
    """The exit status, and the signal to die of instead if there is one."""
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        return _attempt(lambda: _launch(words), launching=True)
    return _attempt(lambda: _door(words), launching=not _reads(words))


def _launch(words: list[str]) -> Outcome:
    """``kleio COMMAND…``, the everyday way: no option to parse, so click, which costs 11 ms, is not imported."""
    from kleio.cli.launching import launch

    return launch({}, words)


def _door(words: list[str]) -> Outcome | int | None:
    from kleio.cli.door import door

    return door(words)


def _reads(words: list[str]) -> bool:
    """Whether the first word that is no option is a command that reads."""
    own = [word for word in words if word in COMMANDS]
    return bool(own) and own[0] not in LAUNCHING and "--" not in words[: words.index(own[0])]


def _attempt(action: Callable[[], Outcome | int | None], launching: bool) -> tuple[int, int | None]:
    try:
        outcome = action()
    except (KleioError, OSError) as error:
        return _failed(error, launching), None
    except KeyboardInterrupt:
        import signal

        return 130, signal.SIGINT
    if outcome is None or isinstance(outcome, int):
        return outcome or 0, None
    return outcome.exit_status, outcome.signal


def _failed(error: KleioError | OSError, launching: bool) -> int:
    """Say what went wrong; the exit status that goes with it."""
    from kleio.cli.render import complain

    if isinstance(error, OSError):
        complain(in_words(error))
        return KleioError.launching if launching else KleioError.reading
    for line in error.lines:
        complain(line)
    return error.launching if launching else error.reading


def _leave(status: int, signal_number: int | None) -> None:
    """Exit at once: everything is stored, and an open MongoClient would add half a second."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            status = status or 1
    if signal_number is not None:
        from kleio.core.signals import die_of

        die_of(signal_number)
        status = 128 + signal_number
    os._exit(status)
