"""Draws lines on the terminal in place of those that were there: only what is other is written, so nothing flickers."""

from __future__ import annotations

import os
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""The other screen, without cursor, and lines that are too long are not continued on the next."""
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
TOGETHER, SO_FAR = "\x1b[?2026h", "\x1b[?2026l"
"""Around what a terminal is to show at once, if it knows of that."""


def flush() -> None:
    """Let who reads what is printed have it now."""
    sys.stdout.flush()


class Screen:
    """The terminal at ``output``, taken for oneself until :meth:`leave`; ``typed`` is where keys come from, if it is one too.

    Keys come at once and are not shown; Ctrl-C and Ctrl-Z stay signals.
    """

    def __init__(self, typed: int = 0, output: int = 1) -> None:
        self._typed, self._output = typed, output
        self._before: list[Any] | None = None
        self._shown: list[str] = []
        self._size = (0, 0)

    def enter(self) -> None:
        """Take it."""
        if os.isatty(self._typed):
            self._before = termios.tcgetattr(self._typed)
            own = termios.tcgetattr(self._typed)
            own[3] &= ~(termios.ICANON | termios.ECHO)
            own[6][termios.VMIN], own[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._typed, termios.TCSADRAIN, own)
        self._write(ENTER)
        self.forget()

    def leave(self, lines: Sequence[str] = ()) -> None:
        """Give it back as it was, and write ``lines`` there. A terminal that is gone takes nothing back."""
        try:
            self._write(LEAVE)
            if self._before is not None:
                termios.tcsetattr(self._typed, termios.TCSADRAIN, self._before)
            self._write("".join(f"{line}\x1b[0m\n" for line in lines))
        except (OSError, termios.error):
            pass
        self._before = None

    def forget(self) -> None:
        """Somebody else may have written on it."""
        self._size = (0, 0)

    def size(self) -> tuple[int, int]:
        """Columns and lines to draw on. The last column stays empty: of what ends there terminals have different ideas."""
        columns, rows = os.get_terminal_size(self._output)
        return max((columns or 80) - 1, 1), rows or 24

    def draw(self, lines: Sequence[str], size: tuple[int, int]) -> None:
        """These and nothing else, which were made for a screen of that size, as :meth:`size` gave it. Raises OSError."""
        written = []
        if size != self._size:
            written.append("\x1b[2J")
            self._size, self._shown = size, []
        now = [*lines[: size[1]]]
        now += [""] * (len(self._shown) - len(now))
        before = [*self._shown, *[""] * (len(now) - len(self._shown))]
        for at, (old, new) in enumerate(zip(before, now, strict=True), 1):
            if old != new:
                written.append(f"\x1b[{at}H{new}\x1b[0m\x1b[K")
        if written:
            self._write(f"{TOGETHER}{''.join(written)}{SO_FAR}")
        self._shown = now[: len(lines)]

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._output, data) :]
