"""What a script prints while an experiment is open, moved by the recorder process: into the record, then to where it was going.

A relay outlives its experiment: a program that was started in it, and goes on printing, is heard to its end, unrecorded.
"""

from __future__ import annotations

import os
import select
import threading
import time

from kleio.core.channels import PIECE, Channel, Pump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kleio.core.channels import Record

SILENCE, LONGEST = 0.02, 0.5
"""Seconds: what a pseudo-terminal still holds shows within the first; who never stops printing is waited for the second."""
RESIZE = 0.5
"""Seconds between looks at the size of the terminal, which no signal tells us of."""
NOWHERE = -1


class Shared:
    """A record that several relays write: what is printed, and what the script hands over because it is not printed."""

    def __init__(self, record: Record) -> None:
        self._record, self._lock = record, threading.Lock()

    def __call__(self, data: bytes) -> None:
        with self._lock:
            self._record(data)


class Relay(Pump):
    """Moves one channel's bytes. After :meth:`end` what was printed until then is recorded, which sets ``moved``.

    ``broken`` is called when nobody reads any more what is passed on. Both descriptors are the relay's from now on; ``onward``
    is :data:`NOWHERE` for what need only be recorded.
    """

    def __init__(self, stream: str, source: int, onward: int, record: Record, broken: Callable[[], None]) -> None:
        self._over, self._ending = os.pipe()
        super().__init__(Channel(stream, (), onward), source, record, self._over)
        self.moved = threading.Event()
        self._broken = broken

    def end(self) -> None:
        """The experiment is over."""
        if self._ending >= 0:
            os.close(self._ending)
            self._ending = -1

    def run(self) -> None:
        try:
            if self._while_open():
                self._rest()
                self.abandon()
                self.moved.set()
                while self._move(PIECE):
                    pass
        finally:
            self.moved.set()
            if self._keyboard:
                self._keyboard.close()
            for descriptor in (self._source, self._over, *([self._onward] if self._onward >= 0 else [])):
                os.close(descriptor)
            self.done = True

    def _while_open(self) -> bool:
        """Move bytes until the experiment is over; False once there is nobody left to move them from or to."""
        both = select.poll()
        both.register(self._source, select.POLLIN)
        both.register(self._over, select.POLLIN)
        while self._over not in (ready := dict(both.poll(RESIZE * 1000 if self._is_terminal else None))):
            if self._is_terminal:
                self.resize()
            if self._source in ready and not self._move(PIECE):
                return False
        return True

    def _rest(self) -> None:
        """Move what was printed before the end."""
        deadline = time.monotonic() + LONGEST
        self._what_it_left()
        while time.monotonic() < deadline and self._readable(SILENCE) and self._move(PIECE):
            pass

    def _pass_on(self, data: bytes) -> bool:
        if self._onward < 0:
            return True
        passed = super()._pass_on(data)
        if not passed:
            self._broken()
        return passed
