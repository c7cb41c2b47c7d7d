"""Programs that take the keyboard through their output: pagers and full-screen programs on a pseudo-terminal of ours.

A program's output goes to a pseudo-terminal, its input comes from the real one. Some set the modes of the keyboard on
the terminal they write to (curses), and some even read from it (less opens ``ttyname(2)``). So while the pseudo-terminal
is in another mode than it was given, the real one is put into the same; and if a program has opened the pseudo-terminal
by its name, what is typed goes there. Looked at whenever the program prints, and until it has gone back.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TIOCGPTN = 0x80045430  # the number of a pseudo-terminal, as <asm-generic/ioctls.h> has it
LOOK = 0.05
"""Seconds between looks at a pseudo-terminal from which a program reads."""


class Keyboard:
    """Keeps the modes of ``terminal``, the real one, in step with those of the pseudo-terminal behind ``master``."""

    def __init__(self, master: int, terminal: int) -> None:
        self._master, self._terminal = master, terminal
        self._typing = -1
        (number,) = struct.unpack("i", fcntl.ioctl(master, TIOCGPTN, bytes(4)))
        self._name = f"/dev/pts/{number}"
        self._looking = threading.RLock()
        self._given = _modes(master)
        self._before: list[Any] | None = None
        self._relay: threading.Thread | None = None
        self._over = False

    def attend(self) -> None:
        """Look whether a program has changed the modes; cheap enough for every piece of output."""
        now = _modes(self._master)
        if now == self._given and self._before is None:
            return
        with self._looking:
            self._follow(now)

    def _follow(self, now: tuple[int, int] | None) -> None:
        if now is None or now == self._given:
            self._restore()
            return
        if self._before is None:
            self._before = termios.tcgetattr(self._terminal)
        self._imitate()
        if self._relay is None and opened_by_name(self._name):
            if self._typing < 0:
                self._typing = _opened_apart(self._terminal)
            self._relay = threading.Thread(target=self._pass_on_typing, name="kleio-keyboard", daemon=True)
            self._relay.start()

    def close(self) -> None:
        """The program has gone: give the terminal back as it was."""
        self._over = True
        while (relay := self._relay) is not None:  # it may just be ending by itself, and another begin
            relay.join()
        with self._looking:
            self._restore()
            if self._typing >= 0:
                os.close(self._typing)
                self._typing = -1

    def _imitate(self) -> None:
        """Input modes and control characters of the pseudo-terminal; output stays the real one's affair."""
        theirs, ours = termios.tcgetattr(self._master), termios.tcgetattr(self._terminal)
        wanted = [theirs[0], ours[1], ours[2], theirs[3], *ours[4:6], theirs[6]]
        if wanted != ours and os.tcgetpgrp(self._terminal) == os.getpgrp():
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, wanted)

    def _restore(self) -> None:
        try:
            if self._before is not None and os.tcgetpgrp(self._terminal) == os.getpgrp():
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)
        except (OSError, termios.error):
            pass  # hung up
        self._before = None

    def _wanted(self) -> bool:
        return not self._over and _modes(self._master) not in (None, self._given)

    def _pass_on_typing(self) -> None:
        """Until the program has put its modes back, or gone."""
        typed = select.poll()
        typed.register(self._terminal, select.POLLIN)
        while self._wanted():
            ready = typed.poll(LOOK * 1000)
            try:
                if ready and self._wanted() and os.tcgetpgrp(self._terminal) == os.getpgrp():
                    os.write(self._master, os.read(self._typing, 4096))
            except BlockingIOError:
                continue  # another program was quicker to read it
            except OSError:
                break
        self._relay = None
        if not self._over:
            self.attend()


def _opened_apart(terminal: int) -> int:
    """Of our own, so that reading what another takes just then does not wait, though for all others it does."""
    try:
        return os.open(f"/proc/self/fd/{terminal}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # it is another user's, as after su
        return os.dup(terminal)


def _modes(fd: int) -> tuple[int, int] | None:
    """The input and local modes; None when nobody has the pseudo-terminal open any more."""
    try:
        settings = termios.tcgetattr(fd)
    except (OSError, termios.error):
        return None
    return settings[0], settings[3]


def opened_by_name(name: str) -> bool:
    """Whether a process of this group has the terminal ``name`` open beside its standard streams, to read from it."""
    group = os.getpgrp()
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getpgid(int(process)) != group:
                continue
            for fd in map(int, os.listdir(f"/proc/{process}/fd")):
                if fd > 2 and os.readlink(f"/proc/{process}/fd/{fd}") == name and _readable(process, fd):
                    return True
        except (OSError, ValueError):
            continue
    return False


def _readable(process: str, fd: int) -> bool:
    with open(f"/proc/{process}/fdinfo/{fd}", encoding="ascii") as file:
        flags = next(line for line in file if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_WRONLY
