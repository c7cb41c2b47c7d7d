"""Showing something that changes, again and again, until one has seen enough: what ``ls --watch`` and ``top`` share.

The journal is asked in a thread of its own. So a key is answered at once, however long the journal takes, and while it is
away what was seen last stays on the screen.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from kleio.cli import render, wording
from kleio.cli.options import EVERY
from kleio.cli.render_live import Screen, flush
from kleio.core.errors import KleioError, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTED = (*ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
KEYS = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\x1b[H": "home", b"\x1b[F": "end",
    b"\x1bOA": "up", b"\x1bOB": "down", b"\x1b[1~": "home", b"\x1b[4~": "end",
}  # fmt: skip


def is_possible() -> bool:
    """Whether there is a terminal on which something can be shown again and again."""
    return os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


def watch(
    look: Callable[[], T],
    frame: Callable[[T, int, int], Sequence[str]],
    every: float = EVERY,
    pressed: Callable[[str], object] = lambda _: None,
    hint: Callable[[], str] = lambda: "q: quit",
    over: Callable[[T], bool] = lambda _: False,
    stays: bool = False,
) -> None:
    """Show what ``look`` finds until q or Ctrl-C is pressed, a signal asks to end, or it is ``over``.

    ``frame`` makes lines of it, for so many columns and lines; ``pressed`` is told of every other key, and ``hint`` says below
    which there are. The first look raises what goes wrong; of a later one it is said below, and the next is tried. What was
    seen last ``stays`` on the terminal, or is gone as if it had not been there.
    """
    with _noted() as note:
        looking = Looking(look, every, look())
        screen = Screen()
        screen.enter()
        seen: list[str] = []
        try:
            looking.begin(note[1])
            for seen in _shown(looking, screen, note[0], frame, pressed, hint, over):  # noqa: B007 - the last is left
                pass
        except OSError:
            pass  # the terminal is gone
        finally:
            looking.over.set()
            screen.leave(seen if stays else ())


class Looking(Generic[T]):
    """Looks again and again, in a thread; ``found`` is what it found last, ``problem`` why it does not now."""

    def __init__(self, look: Callable[[], T], every: float, found: T) -> None:
        self._look, self._every = look, every
        self.found, self.problem, self._since = found, "", 0.0
        self.over, self._now = threading.Event(), threading.Event()

    def begin(self, tell: int) -> None:
        """Go on, and write a byte to the descriptor ``tell`` after every look."""
        threading.Thread(target=self._go_on, args=(tell,), name="kleio-looking", daemon=True).start()

    def at_once(self) -> None:
        """Look now."""
        self._now.set()

    def _go_on(self, tell: int) -> None:
        while True:
            self._now.wait(self._every)
            self._now.clear()
            if self.over.is_set():
                return
            try:
                self.found, self.problem = self._look(), ""
            except Exception as error:  # noqa: BLE001 - whatever it is, one goes on watching
                self._since = self._since if self.problem else time.monotonic()
                self.problem = in_words(error)
            if self.over.is_set():
                return
            os.write(tell, b"\0")

    def complaint(self) -> str:
        """Why it does not look now, and for how long it has not; empty if it does."""
        return f"for {wording.span(time.monotonic() - self._since)}: {self.problem}" if self.problem else ""


def _shown(
    looking: Looking[T],
    screen: Screen,
    note: int,
    frame: Callable[[T, int, int], Sequence[str]],
    pressed: Callable[[str], object],
    hint: Callable[[], str],
    over: Callable[[T], bool],
) -> Iterator[list[str]]:
    """Each frame, once it is on the screen."""
    typed = [0] if os.isatty(0) else []
    while not over(looking.found):
        columns, rows = size = screen.size()
        made = frame(looking.found, columns, rows - 1)
        unseen = len(made) - (rows - 1)
        more = wording.several(unseen, "more line") if unseen > 0 else ""
        said = looking.complaint() or " · ".join(filter(None, [hint(), more]))
        below = _below(said, bool(looking.problem), columns)
        screen.draw([*made[: rows - 1], *[""] * (rows - 1 - len(made)), below], size)
        yield [*made[: rows - 1], *([below] if looking.problem else [f"… {more}"] if more else [])]
        ready = select.select([note, *typed], [], [])[0]
        if note in ready and not _heeded(os.read(note, 4096), screen):
            return
        if 0 in ready:
            for key in _keys(os.read(0, 4096)):
                if key in ("q", "Q", ""):
                    return
                if key in (" ", "\x0c"):  # Ctrl-L
                    screen.forget()
                    looking.at_once()
                pressed(key)


def _below(text: str, wrong: bool, columns: int) -> str:
    from kleio.cli.render_table import cut

    bold, dim, _ = render.styles()
    return (bold if wrong else dim)(cut(wording.printable(text), columns))


def _heeded(numbers: bytes, screen: Screen) -> bool:
    """Do what signals ask for, a 0 being none; False where that is to end."""
    if any(number in ENDING for number in numbers):
        return False
    if signal.SIGTSTP in numbers:
        screen.leave()
        stopped = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # returns when we are to go on
        signal.signal(signal.SIGTSTP, stopped)
        screen.enter()
    elif signal.SIGCONT in numbers:
        screen.forget()
    return True


def _keys(data: bytes) -> Iterator[str]:
    """What was typed; an empty text at the end of all typing."""
    if not data:
        yield ""
    while data:
        known = next((keys for keys in KEYS if data.startswith(keys)), None)
        if known:
            yield KEYS[known]
            data = data[len(known) :]
        elif data[:1] == b"\x1b":
            return  # some other key that has a name
        else:
            yield chr(data[0])
            data = data[1:]


@contextmanager
def _noted() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe into which the number of each signal is written that comes meanwhile."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, lambda *_: None) for number in NOTED}
    try:
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        yield reading, writing
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        # The pipe stays: the thread that looks may be about to write to it.


def follow(show: Callable[[], object], every: float = EVERY) -> None:
    """Where there is no terminal: show it again and again until somebody ends that, or nobody reads it any more."""
    wrong = False
    show()
    while True:
        flush()
        pause(every)
        try:
            show()
            wrong = False
        except KleioError as error:
            if not wrong:
                render.complain(in_words(error))
            wrong = True


def pause(seconds: float) -> None:
    """Wait so long between two looks. Who prints for somebody that reads no more ends there, as at a write: without a word."""
    reader = select.poll()
    reader.register(1, 0)  # its errors alone: a pipe that nobody reads any more, a terminal that is gone
    if reader.poll(seconds * 1000):
        signal.raise_signal(signal.SIGPIPE)
