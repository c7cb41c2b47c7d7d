"""The bytes of one execution's artifacts: brought into the journal, or left out of it, and released when nobody needs them.

Three things happen at the same time, in several processes: scripts log contents, launchers bring them, launchers release
them; and each may be killed at any point. What keeps an artifact that is listed from being without bytes:

A script puts bytes into the spool and appends their record under a shared lock (:func:`kleio.core.artifact.keep`). Here bytes
are unlinked from the spool only under the exclusive lock, after reading what was appended: they are of no record but of those
that have been dealt with.

Whoever brings bytes leaves a trace of the record that needs them *before* he looks whether they are there, and whoever
releases takes them out of sight *before* he looks who needs them. Of two that meet, either the first sees no bytes and brings
them anew, or the second sees the trace. A trace whose record is not in the journal yet means that they are needed, whatever
became of who left it. The records say the rest, by a fold that only ever drops (:mod:`kleio.core.retention`): what was dropped
when the second looked stays so, and nobody will list it; a record that is logged later brings its bytes anew. Nobody releases
because of a record that is not in the journal yet: of all who had the same bytes, the last whose records arrive there sees
that nobody has them any more. Killed before
he has decided, the second leaves bytes that can be read, and that the next one decides about; killed after it, bytes too many
at worst.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from functools import partial

from kleio.core.artifact import LOCK
from kleio.core.artifacts import STREAM, View, needed
from kleio.core.errors import JournalError
from kleio.core.findings import resumed
from kleio.core.journal.base import BYTES, Trace
from kleio.core.retention import kept
from kleio.core.spool import LAUNCHER, LineReader, parse_line
from kleio.core.statistics import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kleio.core.journal.base import Journal
    from kleio.core.retention import Logged
    from kleio.core.streams import Source
    from kleio.core.trial import Entry

PIECE = 1 << 18
FIRST = 8
"""Names of which the newest artifact goes before all others when the end has come."""
AT_ONCE = 20
"""Contents released in one go; others wait for the thread that does it."""
TRIES = 20


class Stock:
    """Those of one spool. Used by one thread; ``bringing``, which others may look at, are the bytes that are on their way,
    ``tried`` says which of two was the first to bring which.
    """

    def __init__(self, source: Source, journal: Journal, shipped: Callable[[str], int], other: Stock | None = None) -> None:
        """``shipped`` says up to where the journal has a writer's records; ``other`` is one that another thread uses."""
        self._source, self._journal, self._shipped = source, journal, shipped
        self._files: dict[str, _File] = {}
        self._done: set[tuple[str, int]] = set()
        self.tried: dict[str, Stock] = other.tried if other else {}
        self._stored: set[str] = set()
        self.bringing: str | None = None
        self._left: set[str] = set()
        self._untidy: set[str] = set()
        self._released: set[tuple[str, int]] = set()
        self._bounded = False
        self.pending = False
        """Whether something is left to be tidied up, or released."""

    # -- what there is -------------------------------------------------------------------------------------------

    def logged(self) -> list[Logged]:
        """Every artifact that this execution has logged by now, shipped or not."""
        own = self._source
        for writer, stream in own.spool.streams():
            if stream == STREAM and writer not in self._files:
                self._files[writer] = _File(own.spool.file(f"{writer}.{STREAM}"))
        found = [((own.execution, writer, STREAM), record) for writer, file in self._files.items() for record in file.records()]
        self._bounded = self._bounded or any("keep" in record.values for _, record in found)
        return found

    # -- bringing ------------------------------------------------------------------------------------------------

    def bring(self, writer: str, records: list[Record]) -> None:
        """Bring the bytes of these records, but of those that need not be kept any more."""
        new = [record for record in records if (writer, record.offset) not in self._done]
        if not new:
            return
        known = self.logged()
        stay = {(key[1], record.offset) for key, record in kept(known)} if self._bounded else None
        self._find_begun(new)
        self._leave(writer, new)
        for record in new:
            if stay is None or (writer, record.offset) in stay:
                self._bring(writer, record)
        for record in new:
            self._done.add((writer, record.offset))
            self._untidy.add(str(record.values.get("sha256")))
        self.pending = True

    def _find_begun(self, records: list[Record]) -> None:
        """Where a launcher was killed it may have brought some of these bytes: then they are not an older kleio's."""
        if self._source.over:
            for digest in {str(record.values.get("sha256")) for record in records}:
                left = self._journal.traces(f"{BYTES}{digest}:", prefix=True)
                if any(one.execution == self._source.execution for one in left):
                    self._stored.add(digest)

    def _leave(self, writer: str, records: list[Record]) -> None:
        """Let the execution be found by the content and by the names of what it logged, before anybody looks for bytes."""
        keys: set[str] = set()
        for record in records:
            name, digest = str(record.values.get("name")), record.values.get("sha256")
            keys |= {f"sha256:{digest}", f"path:{name}", f"file:{os.path.basename(name)}"}
            keys.add(f"{BYTES}{digest}:{writer}:{record.offset}")
        own = self._source
        self._journal.leave([Trace(key, own.trial, own.execution) for key in sorted(keys - self._left)])
        self._left |= keys

    def _bring(self, writer: str, record: Record) -> None:
        digest = str(record.values.get("sha256"))
        path = self._source.spool.file("blobs", digest)
        if not os.path.exists(path):
            return
        self.bringing = digest
        first = self.tried.setdefault(digest, self) is self  # else the other knows whether they were there
        try:
            stored = self._journal.put_blob(digest, path)
        except JournalError:
            if os.path.exists(path):
                raise
            return  # brought by the other thread, and tidied up
        finally:
            self.bringing = None
        if stored:
            self._stored.add(digest)
        elif first and digest not in self._stored and "keep" in record.values:
            self._claim(digest, writer, record.offset)

    def _claim(self, digest: str, writer: str, offset: int) -> None:
        """Bytes were there before: if nobody has said whose they are, an older kleio brought them, and they stay."""
        own, said = self._source, f"{BYTES}{digest}:{writer}:{offset}"
        others = [one for one in self._journal.traces(f"{BYTES}{digest}:", prefix=True)
                  if (one.key, one.execution) != (said, own.execution)]  # fmt: skip
        if not others:
            self._journal.leave([Trace(f"{BYTES}{digest}:", own.trial, own.execution)])

    def newest(self) -> list[tuple[str, Record, int]]:
        """The newest artifact that the script logged of each of a few names, the newest first: writer, record, its end."""
        found: dict[str, tuple[str, Record, int]] = {}
        for key, record in kept(one for one in self.logged() if one[0][1] != LAUNCHER):
            found[str(record.values.get("name"))] = key[1], record, self._files[key[1]].ends[record.offset]
        return sorted(found.values(), key=lambda one: -one[1].time)[:FIRST]

    # -- tidying up ----------------------------------------------------------------------------------------------

    def tidy(self) -> bool:
        """Take out of the spool what has been dealt with, and release some of what need not be kept: whether there is more.

        Raises JournalError; then it may be called again.
        """
        if not self.pending:
            return False
        logging = self._unlink()
        more = self._release()
        self.pending = more or logging or (self._bounded and not all(map(self._is_shipped, self.logged())))
        return more

    def _unlink(self) -> bool:
        """Whether something was left, because a script is just logging."""
        with _alone(self._source.spool.file(LOCK)) as alone:
            if not alone:
                return True
            waiting = {
                str(record.values.get("sha256")) for key, record in self.logged() if (key[1], record.offset) not in self._done
            }
            for digest in self._untidy - waiting:
                with suppress(FileNotFoundError):
                    os.unlink(self._source.spool.file("blobs", digest))
            self._untidy &= waiting
        return False

    def _release(self) -> bool:
        """Release a few of the contents that the trial no longer keeps; whether some are left."""
        entry = self._journal.entry(self._source.trial) if self._bounded else None
        if entry is None:
            return False
        own = self._view(entry)
        counted: dict[str, int] = {}
        for _, record in own.dropped(self._is_shipped):
            digest = str(record.values.get("sha256"))
            counted[digest] = counted.get(digest, 0) + 1
        going = [one for one in counted.items() if one[0] not in own.digests and one not in self._released]
        views: dict[str, View | None] = {entry.id: own}
        for one in going[:AT_ONCE]:
            self._journal.release(one[0], partial(needed, self._journal, one[0], views, entry.id))
            self._released.add(one)
            self._stored.discard(one[0])
            self.tried.pop(one[0], None)
        return len(going) > AT_ONCE

    def _is_shipped(self, one: Logged) -> bool:
        (execution, writer, _), record = one
        return execution != self._source.execution or record.offset < self._shipped(writer)

    def _view(self, entry: Entry) -> View:
        said = resumed(self._source.spool)
        own = self._source.execution
        return View(self._journal, entry, own, self.logged(), {own: said} if said else {})


class _File:
    """The records of one writer, read as they come."""

    def __init__(self, path: str) -> None:
        self._reader, self._at, self._records = LineReader(path), 0, list[Record]()
        self.ends: dict[int, int] = {}

    def records(self) -> list[Record]:
        while data := self._reader.read(self._at, PIECE):
            for line in data.splitlines(keepends=True):
                with suppress(Exception):  # what cannot be read is set aside by who ships it
                    parsed = parse_line(line, False, 0)
                    if parsed is not None:
                        self._records.append(Record(self._at, *parsed))
                        self.ends[self._at] = self._at + len(line)
                self._at += len(line)
        return self._records


@contextmanager
def _alone(path: str) -> Iterator[bool]:
    """While no script is between the bytes of an artifact and its record; False where one seems to stay there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.001)
        else:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
