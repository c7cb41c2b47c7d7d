"""The whole screen of a terminal, drawn again and again without flicker, and given back as it was."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from kleio.cli.render_table import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The other screen, without a cursor; and back."""
BEGIN, END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
"""What lies in between is shown at once, by terminals that know how, in the place of what was there."""
ENDING = (signal.SIGTERM, signal.SIGHUP)
QUIT = (b"q", b"Q", b"\x1b", b"")
"""Keys that end it: q, Escape alone, and the end of input."""


class Screen:
    """While it is entered, :meth:`draw` and :meth:`wait`; stdout is a terminal.

    ``stale`` is set when what was drawn is to be drawn anew: the size has changed, or the process was stopped and goes on. When
    a signal ends the process, the terminal is given back before.
    """

    def __init__(self) -> None:
        self.stale = True
        self._keys: int | None = None
        self._settings: list[Any] = []
        self._before: dict[int, Any] = {}
        self._woken, self._wake = -1, -1

    def __enter__(self) -> Screen:
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        handlers = {signal.SIGWINCH: self._resized, signal.SIGTSTP: self._stopped, **dict.fromkeys(ENDING, self._ended)}
        self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._give_back()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._woken)
        os.close(self._wake)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return size()

    def draw(self, lines: Sequence[str]) -> None:
        """Show ``lines``, no more than there are; each fits the width."""
        self.stale = False
        shown = "\x1b[K\r\n".join(lines[: self.size[1]])
        _write(f"{BEGIN}{shown}\x1b[K{END}")

    def wait(self, seconds: float) -> bool:
        """Let the time pass, or less where the screen is stale; whether to go on. The key q and Escape say no."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stale:
            ready, _, _ = select.select([self._woken, *([] if self._keys is None else [self._keys])], [], [], left)
            if self._woken in ready:
                os.read(self._woken, 1024)
            if self._keys is not None and self._keys in ready and os.read(self._keys, 1024) in QUIT:
                return False
        return True

    def _take(self) -> None:
        sys.stdout.flush()
        _write(ENTER)
        self._keys = _without_echo(self._settings)

    def _give_back(self) -> None:
        if self._keys is not None:
            import termios

            termios.tcsetattr(self._keys, termios.TCSAFLUSH, self._settings.pop())
            self._keys = None
        _write(LEAVE)

    def _resized(self, _: int, __: Any) -> None:
        self._again()

    def _again(self) -> None:
        self.stale = True
        try:
            os.write(self._wake, b".")
        except BlockingIOError:
            pass  # it is awake

    def _stopped(self, _: int, __: Any) -> None:
        """Ctrl-Z: the shell finds its screen; with fg we go on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._again()

    def _ended(self, number: int, _: Any) -> None:
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _without_echo(settings: list[Any]) -> int | None:
    """Have the keys that are typed not shown, and read one by one; where they come from. None where nobody types to us."""
    import termios
    import tty

    if not os.isatty(0) or os.tcgetpgrp(0) != os.getpgrp():
        return None
    settings.append(termios.tcgetattr(0))
    tty.setcbreak(0, termios.TCSAFLUSH)
    return 0


def _write(text: str) -> None:
    """Past Python's buffers, which a signal may find half written."""
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(1, data) :]
