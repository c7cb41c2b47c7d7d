"""Where what is read comes from: a journal, opened for reading, and what this machine knows besides."""

from __future__ import annotations

import os
from functools import cached_property

from kleio.core import view
from kleio.core.config import Config, spool_root
from kleio.core.errors import JournalError
from kleio.core.journal import open_journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry


class Source:
    """What everything that is read holds. ``config`` are the settings in force when it was made.

    May be used by all threads. A connection never crosses a fork: the child opens the journal again when it first reads,
    and leaves that of its parent alone.
    """

    def __init__(self, config: Config, journal: Journal | None = None) -> None:
        """``journal`` is one that is open already; else the one of the settings is opened. Raises KleioError."""
        self.config = config
        self._address: str = config["journal"]
        self._timeout: float = config["timeout"]
        self._closed = False
        opened = journal or self._open()
        self.uri = opened.uri
        """The journal's address, without a password."""
        if self.uri.startswith("sqlite:"):
            self._address = self.uri  # absolute, whatever becomes of the working directory
        self._opened = {os.getpid(): opened}

    def _open(self) -> Journal:
        return open_journal(self._address, timeout=self._timeout, writing=False)

    @property
    def journal(self) -> Journal:
        """The journal, open in this process. Raises JournalError when it has been closed."""
        if self._closed:
            raise JournalError(f"the journal {self.uri} has been closed; connect again with kleio.connect()")
        process = os.getpid()
        opened = self._opened.get(process)
        if opened is None:
            mine = self._open()
            opened = self._opened.setdefault(process, mine)
            if opened is not mine:  # another thread was first
                mine.close()
        elif opened.absent:
            opened = self._opened[process] = self._open()  # a run may have made it since
        return opened

    def close(self) -> None:
        """Give the connection back. What was read already stays."""
        self._closed = True
        opened = self._opened.pop(os.getpid(), None)  # a parent's, which is none of ours, stays
        if opened is not None:
            opened.close()

    @cached_property
    def root(self) -> str:
        """The directory with this machine's spools."""
        return spool_root(self.config)

    def entries(self, ids: Sequence[str]) -> list[Entry]:
        """Trials in the order of their ``ids``, as they are seen from here; those that are gone are left out."""
        from kleio.core import finding  # with the query language: only who looks for something pays for it

        return self.seen(finding.entries(self.journal, ids))

    def seen(self, entries: Iterable[Entry]) -> list[Entry]:
        """``entries`` with what this machine knows about the life of their owners."""
        return view.from_here(entries, self.root)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a connection to a journal is not for other processes; give them ids, and connect there: kleio.connect().trial(id)"
        )
