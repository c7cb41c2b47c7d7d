"""The journals that the recorder process has open, shared by the experiments that use them."""

from __future__ import annotations

import os
import threading
import time

from kleio.core.errors import JournalUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.journal.base import Journal

IDLE = 10.0
"""Seconds for which a journal that nobody uses stays open."""
AWAY = 15.0
"""Seconds for which a journal that did not answer is not asked again: the next experiment need not wait for it too."""


class _InUse:
    """A journal, how many use it, and since when nobody does; ``file`` is the one that it is in."""

    __slots__ = ("file", "journal", "since", "users")

    def __init__(self, journal: Journal, file: tuple[int, int] | None) -> None:
        self.journal, self.file, self.users, self.since = journal, file, 0, 0.0


class Journals:
    """The journals in use, one connection each."""

    def __init__(self) -> None:
        self._open: dict[str, _InUse] = {}
        self._replaced: list[_InUse] = []
        self._away: dict[str, tuple[float, JournalUnreachable]] = {}
        self._lock = threading.Lock()

    def __call__(self, address: str, timeout: float) -> Journal:
        """The journal at ``address``, to be given back with :meth:`release`. Raises JournalError, JournalUnreachable."""
        from kleio.core.journal import open_journal

        with self._lock:
            when, error = self._away.get(address, (0.0, None))
            if error is not None and time.monotonic() - when < AWAY:
                raise error
            known = self._open.get(address)
            if known and known.file == _file(address):
                known.users += 1
                return known.journal
            try:
                journal = open_journal(address, timeout=timeout)
            except JournalUnreachable as error:
                self._away[address] = time.monotonic(), error
                raise
            self._away.pop(address, None)
            if known:
                self._replaced.append(known)
            self._open[address] = _InUse(journal, _file(address))
            self._open[address].users = 1
            return journal

    def hold(self, journal: Journal) -> None:
        """Somebody else uses it too."""
        with self._lock:
            self._of(journal).users += 1

    def release(self, journal: Journal) -> None:
        """It is used no more."""
        with self._lock:
            one = self._of(journal)
            one.users, one.since = one.users - 1, time.monotonic()

    def _of(self, journal: Journal) -> _InUse:
        return next(one for one in (*self._open.values(), *self._replaced) if one.journal is journal)

    def tidy(self) -> None:
        """Close those that nobody has used for a while."""
        with self._lock:
            old = time.monotonic() - IDLE
            done = [one for one in (*self._open.values(), *self._replaced) if not one.users and one.since < old]
            self._open = {address: one for address, one in self._open.items() if one not in done}
            self._replaced = [one for one in self._replaced if one not in done]
        for one in done:
            one.journal.close()


def _file(address: str) -> tuple[int, int] | None:
    """What tells one SQLite file from another that took its place."""
    scheme, _, path = address.partition(":///")
    if scheme != "sqlite":
        return None
    try:
        found = os.stat(path.partition("?")[0])
    except OSError:
        return None
    return found.st_dev, found.st_ino
