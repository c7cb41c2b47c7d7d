"""What a script prints while an experiment is open, moved by the recorder process: into the record, then to where it was going.

A relay outlives its experiment: a program that was started in it, and goes on printing, is heard to its end, unrecorded.
"""

from __future__ import annotations

import os
import select
import threading
import time

from kleio.core.channels import PIECE, Channel, Pump, open_channel
from kleio.core.output import OutputWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from kleio.core.channels import Record
    from kleio.core.spool import Spool

SILENCE, LONGEST = 0.02, 0.5
"""Seconds: what a pseudo-terminal still holds shows within the first; who never stops printing is waited for the second."""
RESIZE = 0.5
"""Seconds between looks at the size of the terminal, which no signal tells us of."""
LOOK, SETTLE = 0.1, 50
"""Seconds, and so many times: relays are waited for to record what was printed. A machine that stalls does not use them up."""
NOWHERE = -1


class Shared:
    """A record that several relays write: what is printed, and what the script hands over because it is not printed."""

    def __init__(self, record: Record) -> None:
        self._record, self._lock = record, threading.Lock()

    def __call__(self, data: bytes) -> None:
        with self._lock:
            self._record(data)


class Relays:
    """Those of one experiment. ``broken`` is called when nobody reads any more what one passes on."""

    def __init__(self, broken: Callable[[], None]) -> None:
        self._broken = broken
        self._relays: list[Relay] = []
        self._writers: list[OutputWriter] = []
        self._records: dict[str, Shared] = {}
        self._theirs: list[int] = []

    def record_in(self, spool: Spool, limit: int) -> None:
        """Where, and how much of each stream at most."""
        self._spool, self._limit = spool, limit

    def open(self, own: Sequence[Channel], tees: Sequence[str]) -> list[dict[str, Any]]:
        """Begin those that the streams ask for: what the script is told of each. Raises OSError; then :meth:`take_back`."""
        told: list[dict[str, Any]] = []
        for channel in own:
            record = self._record(channel.stream)
            self._begin(channel.stream, open_channel(channel), channel.onward, record)
            told.append({"stream": channel.stream, "replaces": list(channel.fds)})
        for stream in tees:
            joined = stream if stream in self._records else next(iter(self._records), stream)
            record = self._record(joined)
            self._begin(joined, os.pipe(), NOWHERE, record)
            told.append({"stream": joined, "tees": stream})
        return told

    def _record(self, stream: str) -> Shared:
        if stream not in self._records:
            self._writers.append(OutputWriter(self._spool.path, stream, self._limit))
            self._records[stream] = Shared(self._writers[-1].record)
        return self._records[stream]

    def _begin(self, stream: str, ends: tuple[int, int], onward: int, record: Shared) -> None:
        """Move what comes in at the second of ``ends``, which becomes theirs, out of the first."""
        source, child_end = ends
        self._theirs.append(child_end)
        own = [source]
        try:
            self._theirs.append(os.dup(source))
            if onward != NOWHERE:
                own.append(onward := os.dup(onward))
            relay = Relay(stream, source, onward, record, self._broken)
        except OSError:
            for descriptor in own:
                os.close(descriptor)
            raise
        self._relays.append(relay)
        relay.start()

    def given(self) -> list[int]:
        """For each its end that is the script's, and a copy of ours, which it keeps should we be killed; no longer ours."""
        theirs, self._theirs = self._theirs, []
        return theirs

    def take_back(self) -> None:
        """The script does not get them, which ends what was begun."""
        for descriptor in self.given():
            os.close(descriptor)

    def end(self) -> list[str]:
        """The experiment is over: wait for what was printed; why some of it was not recorded."""
        for relay in self._relays:
            relay.end()
        looks = iter(range(SETTLE))
        for relay in self._relays:
            while not relay.moved.wait(LOOK) and next(looks, None) is not None:
                pass
            relay.abandon()
        for writer in self._writers:
            writer.close()
        return [writer.failed for writer in self._writers if writer.failed]

    @property
    def busy(self) -> bool:
        """Whether somebody goes on printing through one."""
        return any(not relay.done for relay in self._relays)


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
