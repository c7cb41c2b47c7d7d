"""Files that are written whole or not at all: made beside the place, and put there when they are complete."""

from __future__ import annotations

import errno
import os
import signal
import stat
import threading
from contextlib import contextmanager, nullcontext

from kleio.core.errors import KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a process that does nothing about it."""
PREFIX = ".kleio-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that only writing has."""
NAME_MAX = 255
"""Bytes of a name, on every file system there is."""


def check(path: str | os.PathLike[str]) -> None:
    """Raises KleioError if ``path`` cannot be written: to be asked before a long piece of work whose result goes there."""
    place = os.fspath(path)
    directory = os.path.dirname(os.path.realpath(place))
    if not place:
        raise KleioError("the name of a file to write is missing")
    if os.path.isdir(place) or place.endswith("/"):
        raise KleioError(f"{place} is a directory; give the name of a file")
    if not os.path.isdir(directory):
        raise KleioError(f"{place} cannot be written: there is no directory {directory}")
    if len(os.fsencode(os.path.basename(place))) > NAME_MAX:
        raise KleioError(f"{place[:40]}… cannot be written: File name too long")
    if not (os.access(place, os.W_OK) if os.path.exists(place) else os.access(directory, os.W_OK)):
        raise KleioError(f"{place} cannot be written: Permission denied")


@contextmanager
def _somebody_reads(place: str) -> Iterator[None]:
    """Hold a named pipe open meanwhile: to open one that nobody reads would wait for ever. Raises KleioError."""
    try:
        held = os.open(place, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise KleioError(f"{place} cannot be written: it is a named pipe that nobody reads") from None
    try:
        yield
    finally:
        os.close(held)


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[str]:
    """The path of an empty file to write to, with the suffix of ``path``, in whose place it is put in the end.

    Nothing is left of it, and what was at ``path`` stays as it was, when the block is left with an exception, by Ctrl-C, or
    when the process is ended by a signal that it does not handle. A link is followed; something that is no regular file, as a
    terminal or a named pipe, cannot be replaced and is written to as it is. Raises KleioError if ``path`` cannot be written.

    Killed outright, its process leaves the hidden file behind, which whoever next writes one of that suffix there removes.
    """
    check(path)
    place = os.path.realpath(os.fspath(path))
    try:
        mode = os.stat(place).st_mode
    except OSError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with _in_words(path), _somebody_reads(place) if stat.S_ISFIFO(mode) else nullcontext():
            yield place
        return
    directory, suffix = os.path.dirname(place), os.path.splitext(place)[1][:32]
    temporary = os.path.join(directory, f"{PREFIX}{os.urandom(8).hex()}{suffix}")
    with _in_words(path), _removed(temporary):
        _sweep(directory, suffix)
        held = _held(temporary)
        try:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield temporary
            os.replace(temporary, place)
        finally:
            os.close(held)


def _held(temporary: str) -> int:
    """Make the file; a descriptor with a lock on it, by which others see that somebody writes it."""
    while True:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _locked(descriptor)
        if os.path.exists(temporary):
            return descriptor
        os.close(descriptor)  # somebody swept just before there was a lock


def _sweep(directory: str, suffix: str) -> None:
    """Remove the files of those that were killed: nobody holds their locks."""
    for name in os.listdir(directory):
        if name.startswith(PREFIX) and name.endswith(suffix) and len(name) == len(PREFIX) + 16 + len(suffix):
            path = os.path.join(directory, name)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            if _locked(descriptor):
                _remove(path)
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Whether there is a lock on it now that is ours; where file systems have none, there is not."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class _Ended(BaseException):
    """A signal that ends the process has come."""


@contextmanager
def unwound() -> Iterator[None]:
    """A signal that would end the process at once raises in the block first, so that what it has begun is taken away."""
    replaced: list[int] = []
    came: list[int] = []

    def end(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait
        came.append(number)
        raise _Ended

    try:
        for number in ENDING:
            if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL:
                replaced.append(number)
                signal.signal(number, end)
        yield
    finally:
        for each in replaced:
            signal.signal(each, signal.SIG_DFL)
        for ended in came:
            os.kill(os.getpid(), ended)


@contextmanager
def _removed(temporary: str) -> Iterator[None]:
    """On an exception the file is removed, and on a signal that ends the process."""
    with unwound():
        try:
            yield
        except BaseException:
            _remove(temporary)
            raise


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


@contextmanager
def _in_words(path: str | os.PathLike[str]) -> Iterator[None]:
    """Of the system's errors those that are about this file say so; others come from what is read meanwhile."""
    try:
        yield
    except OSError as error:
        own = error.filename is not None and os.path.dirname(os.path.realpath(str(error.filename))) == os.path.dirname(
            os.path.realpath(os.fspath(path))
        )
        if error.errno not in FULL and not own:
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise KleioError(f"{os.fspath(path)} cannot be written: {reason}") from None
