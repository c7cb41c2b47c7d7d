"""What carries a child's output: where kleio's own stream is a terminal a pseudo-terminal, else a pipe.

A thread a channel moves the bytes, into the record first and then on to where the child would have written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import threading
import time
from dataclasses import dataclass

from kleio.core.keyboard import Keyboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Record = Callable[[bytes], None]

PIECE = 1 << 18  # bytes read at once
PIPE_SIZE = 1 << 20
LINGER = 2.0
"""Seconds for which writers in the background are heard once the child has ended."""
TERMINAL_HOLDS = 1 << 17
"""Bytes that a pseudo-terminal holds at most; unlike a pipe it does not say how many wait in it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What carries some of the child's output: ``stream`` names it, ``fds`` are the child's, ``onward`` is ours."""

    stream: str
    fds: tuple[int, ...]
    onward: int


def channels(split: bool = False, stdout: int | None = 1, stderr: int | None = 2) -> list[Channel]:
    """The channels that this process's own stdout and stderr ask for, or those of another, which are other numbers here;
    closed ones ask for none.
    """
    out, err = (None if fd is None else _open_file(fd) for fd in (stdout, stderr))
    found = []
    if out is not None and stdout is not None:
        if out == err and stderr is not None and not split and _write_to_one_place(stdout, stderr):
            return [Channel("output", (1, 2), stdout)]
        found.append(Channel("stdout", (1,), stdout))
    if err is not None and stderr is not None:
        found.append(Channel("stderr", (2,), stderr))
    return found


def _open_file(fd: int) -> tuple[int, ...] | None:
    """What tells open files apart, as far as one can see: the file, how it is open and where it stands."""
    try:
        status = os.fstat(fd)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        if fd <= 2 and fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:  # not inherited: it was closed, and we filled it
            return None
    except OSError:
        return None
    position = os.lseek(fd, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
    return status.st_dev, status.st_ino, status.st_rdev, flags & (os.O_APPEND | os.O_ACCMODE), position


def _write_to_one_place(out: int, err: int) -> bool:
    """Whether stdout and stderr, the same file as it seems, go on one behind the other: ``2>&1``, not ``2>log``.

    Two that were opened apart have a position each and write over each other. Whether they share it shows in an owner that
    they would share too, which means nothing for files. Another kleio with the same stdout may ask in the same moment.
    """
    if not stat.S_ISREG(os.fstat(out).st_mode) or fcntl.fcntl(out, fcntl.F_GETFL) & os.O_APPEND:
        return True
    own, seen = os.getpid(), None
    try:
        while seen is None or fcntl.fcntl(out, fcntl.F_GETOWN) != own:
            fcntl.fcntl(out, fcntl.F_SETOWN, own)
            seen = fcntl.fcntl(err, fcntl.F_GETOWN)
    finally:
        fcntl.fcntl(out, fcntl.F_SETOWN, 0)
    return seen == own


def open_channel(channel: Channel) -> tuple[int, int]:
    """Our end and the child's."""
    if os.isatty(channel.onward):
        try:
            return _open_terminal(channel.onward)
        except (OSError, termios.error):
            pass  # none can be had: in a container without /dev/pts, or the real one has just hung up
    ours, theirs = os.pipe()
    try:
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass  # the user's share of pipe memory is used up; the usual size does
    return ours, theirs


def _open_terminal(like: int) -> tuple[int, int]:
    settings = termios.tcgetattr(like)
    ours, theirs = os.openpty()
    settings[1] &= ~termios.OPOST  # the real terminal does this, once
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    _copy_size(like, ours)
    return ours, theirs


def _copy_size(from_fd: int, to_fd: int) -> None:
    try:
        size = fcntl.ioctl(from_fd, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(to_fd, termios.TIOCSWINSZ, size)
    except OSError:
        pass


class Pump(threading.Thread):
    """Moves one channel's bytes, into the record and onward, until nobody writes any more.

    ``owing`` while there may be bytes in it that the child itself wrote, ``done`` at the end, of which SIGCHLD tells;
    ``failed`` says why the bytes could not be passed on, if there was still somebody to pass them to.
    """

    def __init__(self, channel: Channel, source: int, record: Record, ended: int) -> None:
        super().__init__(name=f"kleio-{channel.stream}", daemon=True)
        self.stream = channel.stream
        self.owing = True
        self.done = False
        self.failed: str | None = None
        self._source = source
        self._onward = channel.onward
        self._record = record
        self._recording = threading.Lock()
        self._ended = ended
        self._is_terminal = os.isatty(source)
        self._keyboard = Keyboard(source, channel.onward) if self._is_terminal else None

    def resize(self) -> bool:
        """Give the pseudo-terminal, if it is one, the size of the terminal."""
        if self._is_terminal:
            _copy_size(self._onward, self._source)
        return self._is_terminal

    def abandon(self) -> None:
        """Record nothing from now on: the record is closed, though the thread may still wait for somebody to read."""
        with self._recording:
            self._record = lambda _: None

    def run(self) -> None:
        try:
            if self._while_it_lives() and self._what_it_left():
                self._linger()
        finally:
            self._is_terminal = False
            try:
                if self._keyboard:
                    self._keyboard.close()
            finally:
                os.close(self._source)  # the next write of whoever still writes fails as it would without us
                self.done = True
                os.kill(os.getpid(), signal.SIGCHLD)

    def _while_it_lives(self) -> bool:
        """Move bytes until the child has ended; False once there is nobody left to move them from or to."""
        both = select.poll()
        both.register(self._source, select.POLLIN)
        both.register(self._ended, select.POLLIN)
        while self._ended not in (ready := dict(both.poll())):
            if self._source in ready and not self._move(PIECE):
                return False
        return True

    def _what_it_left(self) -> bool:
        """Move what the child wrote before it ended, however long that takes, but not all that others go on writing."""
        left = TERMINAL_HOLDS
        if not self._is_terminal:
            (left,) = struct.unpack("i", fcntl.ioctl(self._source, termios.FIONREAD, bytes(4)))
        while left > 0 and self._readable(0):
            moved = self._move(min(left, PIECE))
            if not moved:
                return False
            left -= moved
        self.owing = False
        return True

    def _linger(self) -> None:
        """Hear the writers in the background for a while."""
        deadline = time.monotonic() + LINGER
        while (left := deadline - time.monotonic()) > 0 and self._readable(left):
            if not self._move(PIECE):
                return

    def _readable(self, seconds: float) -> bool:
        only = select.poll()
        only.register(self._source, select.POLLIN)
        return bool(only.poll(seconds * 1000))

    def _move(self, at_most: int) -> int:
        """How many bytes were moved; 0 once nobody writes or nobody reads."""
        try:
            data = os.read(self._source, at_most)
        except OSError:  # a pseudo-terminal that nobody has open any more
            return 0
        if not data:
            return 0
        with self._recording:
            self._record(data)
        if self._keyboard:
            self._keyboard.attend()
        return len(data) if self._pass_on(data) else 0

    def _pass_on(self, data: bytes) -> bool:
        """Whether all of it went out; False when nobody takes any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._onward, view) :]
            except BlockingIOError:  # whoever we share it with made it non-blocking
                taken = select.poll()
                taken.register(self._onward, select.POLLOUT)
                taken.poll()
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):  # nobody reads, or the terminal is gone
                    self.failed = error.strerror or str(error)
                return False
        return True
