"""The recorder: spool → journal while the command runs, and to the end of it.

A thread of the launcher. It ships what is new, renews the reservation, answers what the script asks, and outlives
every outage of the journal: it says once that the journal is away and once that it is back, and waits longer and longer
between attempts. Whatever it could not ship by the end stays in the spool for ``kleio sync``.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress

from kleio.core import findings, indexing
from kleio.core.errors import JournalError, in_words
from kleio.core.requests import Answerer
from kleio.core.shared_times import SharedTimes
from kleio.core.shipping import Shipper
from kleio.core.streams import ARTIFACTS, Source
from kleio.core.trial import Event
from kleio.core.waiting import end_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.sampling import Sampler

PAUSE = 0.1
"""Seconds between looks when somebody waits for the end."""
LONGEST_WAIT = 30.0
CLOSE_LOOK = 0.02
"""Seconds between looks at ``$KLEIO_STATISTICS`` while it grows; else every ``PAUSE``."""
GROWING = 1.0
"""Seconds without a new line after which it no longer does."""
FEW = 20
"""Trials of others that a launcher indexes when it has ended."""
GIVE_UP = 3.0
"""Seconds for which a journal that went away is waited for once the command has ended."""


class Recorder(threading.Thread):
    """Ships one execution's spool. ``journal`` is None for a run that is offline: then it only answers requests."""

    def __init__(
        self,
        source: Source,
        journal: Journal | None,
        token: int,
        lease: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="kleio-recorder", daemon=True)
        self._source, self._journal, self._token, self._lease = source, journal, token, lease
        self._say, self._clock = say, clock
        self._fifo = os.open(source.spool.file("wake"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._times = SharedTimes(source.spool)
        self._growing = 0.0
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._ours = True
        self._introduced = False
        self._told: set[str] = set()
        self._ending: Mapping[str, Any] | None = None
        self._away_since: float | None = None
        self._noticing = threading.Lock()
        self._wait = 0.0
        self._retry_at = 0.0
        self._renewed = clock()
        self._uploader: threading.Thread | None = None
        self._sampler: Sampler | None = None
        self._to_sample: tuple[int, float, bool] | None = None
        self._began = clock()
        self._answerer = Answerer(source, journal, self._shipped_to)
        self._closed_at = self._deadline = float("inf")
        self.complete = False
        if journal:
            self._lines = Shipper(source, journal, lambda stream: stream != ARTIFACTS, {})
            self._artifacts = Shipper(source, journal, lambda stream: stream == ARTIFACTS, {})

    # -- the launcher's side -------------------------------------------------------------------------------------

    def sample(self, pid: int, interval: float, whole: bool = True) -> None:
        """Sample what the tree of the process ``pid`` takes of the machine, every ``interval`` seconds, 0 for never; ``whole``
        says that it began just now. Call it before :meth:`start`.
        """
        self._to_sample = (pid, interval, whole) if interval > 0 else None

    def finish(self, drain: float, ending: Mapping[str, Any]) -> bool:
        """The command has ended so: ship the rest within ``drain`` seconds. Whether everything is in the journal."""
        self._ending = ending
        self._source.over = True
        self._closed_at = self._clock()
        self._deadline = self._closed_at + drain
        self._closing.set()
        self._source.spool.wake()
        self.join()
        return self.complete

    def settled(self) -> bool:
        """Whether everything is in the journal for good, after :meth:`finish`; else the spool is to stay."""
        if self.complete and self._journal:
            try:
                self._journal.settle()
            except Exception as error:  # noqa: BLE001 - see _attempt
                self.complete = False
                self._say(in_words(error))
        return self.complete

    def close(self) -> None:
        """Give its descriptor back, where the process goes on; call it after :meth:`finish`."""
        os.close(self._fifo)

    def abandon(self) -> None:
        """Stop shipping at once; the spool keeps the rest."""
        self._abandoned.set()

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        if self._journal:
            self._attempt(self._introduce)
        while not self._closing.is_set():
            self._sleep()
            self._answer()
            self._begin_to_sample()
            if self._journal:
                self._attempt(self._turn)
        if self._sampler:
            self._sampler.stop()
        self._answer()
        if self._journal:
            self._drain()

    def _answer(self) -> None:
        try:
            self._answerer.answer()
        except OSError:
            pass  # a full disk: the script goes on waiting, and is answered once there is room

    def _begin_to_sample(self) -> None:
        """Once the command has run for as long as it takes to be sampled: a short one is none the slower for it."""
        if self._to_sample and self._clock() - self._began >= self._to_sample[1]:
            from kleio.core.sampling import Sampler  # which imports psutil in its own thread

            pid, interval, whole = self._to_sample
            self._to_sample = None
            self._sampler = Sampler(self._source.spool, pid, interval, self._began if whole else None, self._clock)
            self._sampler.start()

    def _sleep(self) -> None:
        """Until somebody wakes us or it is time for the next turn; meanwhile look when lines without a time are written."""
        over = self._clock() + (self._journal.interval if self._journal else PAUSE)
        wake = select.poll()  # which takes any descriptor: a recorder process has hundreds open
        wake.register(self._fifo, select.POLLIN)
        while (left := over - self._clock()) > 0:
            woken = wake.poll(1000 * min(left, CLOSE_LOOK if self._clock() < self._growing else PAUSE))
            try:
                if self._times.look():
                    self._growing = self._clock() + GROWING
            except OSError:
                pass  # the spool is gone, which shows elsewhere
            if woken:
                os.read(self._fifo, 4096)
                return

    def _introduce(self) -> bool:
        if not self._introduced:
            introduce(self._journal_here, self._source, self._token)
            self._introduced = True
        findings.bring(self._journal_here, self._source, self._token, self._told)
        return False

    @property
    def _journal_here(self) -> Journal:
        assert self._journal is not None
        return self._journal

    def _turn(self) -> bool:
        """One look: send a batch, hand artifacts to their own thread, renew the reservation when it is time."""
        self._introduce()
        sent = self._lines.round()
        self._upload()
        if self._ours and self._clock() - self._renewed > self._lease / 3:
            self._renewed = self._clock()
            self._ours = self._journal_here.renew(self._source.trial, self._source.execution, self._lease)
            if not self._ours:
                self._say("another launcher has taken this trial over; this run is recorded as an execution of its own")
        return sent

    def _upload(self) -> None:
        """Large files go in a thread of their own, or they would hold up everything else."""
        if self._uploader and self._uploader.is_alive():
            return
        if self._artifacts.behind():
            self._uploader = threading.Thread(target=self._upload_all, name="kleio-artifacts", daemon=True)
            self._uploader.start()

    def _upload_all(self) -> None:
        try:
            while self._artifacts.round() and not self._closing.is_set():
                self._source.spool.wake()  # somebody may be waiting for it
        except Exception as error:  # noqa: BLE001 - see _attempt
            self._went_away(error)

    def _attempt(self, action: Callable[[], bool]) -> bool:
        """Do something with the journal; what it returned, or False while the journal is away."""
        if self._clock() < self._retry_at and not self._closing.is_set():
            return False
        try:
            done = action()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on and the spool keeps its records
            self._went_away(error)
            return False
        if self._away_since is not None:
            self._say(f"the journal is back after {self._clock() - self._away_since:.0f} s; nothing was lost")
            self._away_since, self._wait = None, 0.0
        return done

    def _went_away(self, error: Exception) -> None:
        with self._noticing:  # two threads may at once, and it is said once
            first = self._away_since is None
            if first:
                self._away_since = self._clock()
        if first:
            self._say(f"{in_words(error)} (the run goes on; its records wait in the spool)")
        self._renewed = float("-inf")  # a turn that has nothing to send proves nothing; one that renews is answered
        self._wait = min(max(2 * self._wait, 0.5), LONGEST_WAIT)
        self._retry_at = self._clock() + self._wait

    def _drain(self) -> None:
        """Ship until nothing is left or time is up, then say how it ended.

        The newest artifacts go first, though an older one be on its way: whoever asked the run to end may not wait for all.
        """
        newest = threading.Thread(target=self._newest_first, name="kleio-newest", daemon=True)
        if self._has_artifacts():
            newest.start()
        while not self._abandoned.is_set() and self._clock() < self._deadline:
            if newest.is_alive():
                if not self._attempt(self._lines.round):
                    newest.join(PAUSE)
                self._answer()
            elif self._uploader and self._uploader.is_alive():
                self._uploader.join(PAUSE)
                self._answer()
            elif self._attempt(self._round_of_all):
                continue
            elif self._away_since is None:
                break
            elif self._clock() > self._closed_at + GIVE_UP:
                return
            else:
                time.sleep(PAUSE)
        shipped = not self._abandoned.is_set() and self._clock() < self._deadline
        self.complete = self._attempt(self._conclude) and shipped

    def _has_artifacts(self) -> bool:
        try:
            return any(stream == ARTIFACTS for _, stream in self._source.spool.streams())
        except OSError:  # the spool is gone, or no more files may be open: of that the next attempt tells
            return False

    def _newest_first(self) -> None:
        try:
            self._artifacts.ship_newest(lambda: not self._abandoned.is_set() and self._clock() < self._deadline)
        except Exception as error:  # noqa: BLE001 - see _attempt
            self._went_away(error)

    def _round_of_all(self) -> bool:
        sent = self._lines.round()
        return self._artifacts.round() or sent

    def _conclude(self) -> bool:
        self._introduce()
        conclude(self._journal_here, self._source, self._token, self._ending)
        with suppress(JournalError):  # it is found without, only not so fast
            indexing.index(self._journal_here, self._source.trial)
            indexing.index_others(self._journal_here, FEW)
        return True

    def _shipped_to(self, writer: str, stream: str) -> int:
        if not self._journal:
            return -1
        shipper = self._artifacts if stream == ARTIFACTS else self._lines
        own = shipper.streams.get((writer, stream))
        return own.shipped if own else 0


def introduce(journal: Journal, source: Source, token: int) -> None:
    """Record what was launched: that it runs, its code, what it was called and is found by. May be repeated."""
    launch = source.spool.read("launch") or {}
    findings.keep(journal, source, launch)
    if launch.get("annotations"):
        journal.record(source.trial, _event(source, "annotated", launch["started"], token, launch["annotations"]))
    journal.record(source.trial, _event(source, "running", launch["started"], token, {}))


def conclude(journal: Journal, source: Source, token: int, ending: Mapping[str, Any] | None = None) -> None:
    """Record the end, as given or as the spool has it; a spool without one has lost its launcher. May be repeated."""
    ending = ending or end_of(source.spool)
    if ending is not None:
        journal.record(source.trial, _event(source, "ended", ending["time"], token, ending["data"]))
    else:
        journal.record(source.trial, Event(f"failover-{source.execution}", "failover", time.time(), token, source.execution))


def _event(source: Source, kind: str, when: float, token: int, data: Mapping[str, Any]) -> Event:
    return Event(f"{kind}-{source.execution}", kind, when, token, source.execution, data)
