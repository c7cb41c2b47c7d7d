"""The file of the embedded journal: opened, created, brought up to date, and its transactions.

Many processes share it through WAL. Every write takes a ``flock`` first, then ``BEGIN IMMEDIATE``: the kernel's queue
is fair and is released when a writer is killed, where SQLite's own busy handler starves the unlucky. On a network
filesystem WAL cannot work, so the rollback journal is used there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import threading
from contextlib import contextmanager

from kleio.core.errors import JournalError, JournalUnreachable
from kleio.core.journal.base import SCHEMA, Journal, newer, outdated, place, storable
from kleio.core.journal.files import Blobs, locks_hold, on_network, size_of, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

APPLICATION_ID = 0x4B4C4549  # "KLEI", in the file's header
CHECKPOINT = 4 << 20  # bytes of WAL
PATIENCE = 60  # seconds for what another connection is about to do
MISNAMED = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""What says that there can be no journal by this name, and not that it cannot be written now."""

FIRST_TABLES = """
CREATE TABLE trials (
    id TEXT PRIMARY KEY, work_key TEXT NOT NULL, project TEXT NOT NULL, created REAL NOT NULL, body TEXT NOT NULL,
    status TEXT NOT NULL, status_order TEXT NOT NULL, holder TEXT, token INTEGER NOT NULL, expires REAL
) WITHOUT ROWID;
CREATE INDEX trials_by_work ON trials (work_key);
CREATE INDEX trials_by_project ON trials (project, created, id);
CREATE INDEX trials_by_time ON trials (created, id);
CREATE TABLE events (
    trial TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, token INTEGER NOT NULL,
    execution TEXT, data TEXT NOT NULL, PRIMARY KEY (trial, id)
) WITHOUT ROWID;
CREATE TABLE tags (tag TEXT NOT NULL, trial TEXT NOT NULL, PRIMARY KEY (tag, trial)) WITHOUT ROWID;
CREATE TABLE segments (
    trial TEXT NOT NULL, stream TEXT NOT NULL, execution TEXT NOT NULL, writer TEXT NOT NULL,
    "start" INTEGER NOT NULL, "end" INTEGER NOT NULL, dropped INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE UNIQUE INDEX segments_in_order ON segments (trial, stream, execution, writer, "start", "end");
CREATE TABLE summaries (
    trial TEXT NOT NULL, execution TEXT NOT NULL, writer TEXT NOT NULL, "end" INTEGER NOT NULL, keys TEXT NOT NULL,
    PRIMARY KEY (trial, execution, writer)
) WITHOUT ROWID;
CREATE TABLE documents (digest TEXT PRIMARY KEY, body TEXT NOT NULL);
"""

# New tables rather than new columns: a kleio that was started before an upgrade writes its rows to the end.
SECOND_TABLES = """
CREATE TABLE children (parent TEXT NOT NULL, trial TEXT NOT NULL, PRIMARY KEY (parent, trial)) WITHOUT ROWID;
CREATE TABLE traces (
    key TEXT NOT NULL, trial TEXT NOT NULL, execution TEXT NOT NULL, PRIMARY KEY (key, trial, execution)
) WITHOUT ROWID;
CREATE TABLE seals (
    trial TEXT NOT NULL, stream TEXT NOT NULL, execution TEXT NOT NULL, writer TEXT NOT NULL,
    "start" INTEGER NOT NULL, "end" INTEGER NOT NULL, PRIMARY KEY (trial, stream, execution, writer, "start", "end")
) WITHOUT ROWID;
CREATE TABLE gone (sha256 TEXT PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
"""
TABLES = FIRST_TABLES + SECOND_TABLES


class SqliteFile(Journal):
    """What a journal in SQLite does with its file; what is in the tables is for who inherits from it."""

    def __init__(self, uri: str, writing: bool = True, upgrading: bool = False) -> None:
        self.uri = place(uri)
        self._upgrading = upgrading
        self.path = _path(uri)
        self.directory = os.path.dirname(self.path)
        self._blobs = Blobs(os.path.join(self.directory, "blobs"))
        self.busy = self._mutex = threading.RLock()
        self._lock: int | None = None
        self._file: tuple[int, int] | None = None
        exists = os.path.exists(self.path)
        if exists or writing:
            self._open(exists, writing)
        else:
            self.absent = True
            self._stand_in()

    def _open(self, exists: bool, writing: bool) -> None:
        if os.path.isdir(self.path):
            raise JournalError(f"{self.path} is a directory, not a journal; name a file in it")
        try:
            if writing:
                os.makedirs(self.directory, 0o700, exist_ok=True)
                self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                if not exists:
                    os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                elif not os.access(self.path, os.W_OK):  # SQLite would open it for reading
                    raise PermissionError(errno.EACCES, "the file may only be read")
            self._file = _identity(self.path)
        except OSError as error:
            raise (JournalError if error.errno in MISNAMED else JournalUnreachable)(
                f"cannot write the journal {self.path}: {error.strerror}; "
                "name another with --journal or KLEIO_JOURNAL, or move everything with KLEIO_HOME"
            ) from None
        with self._told():
            self._connection = self._connect("mode=rw" if writing else "mode=ro")
            try:
                if writing:
                    self._prepare_to_write()
                else:
                    self._prepare_to_read()
                version = self._checked_version()
                if version is None and writing:
                    self._create()
            except BaseException:
                self.close()
                raise
            if version is None and not writing:  # somebody is just making it
                self._connection.close()
                self.absent = True
                self._stand_in()

    def _stand_in(self) -> None:
        """Nothing has been journaled yet, and a reader creates nothing: an empty journal in memory answers."""
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._script(TABLES)
        self._make_index()

    def _connect(self, how: str) -> sqlite3.Connection:
        quoted = self.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        return sqlite3.connect(
            f"file:{quoted}?{how}", uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )

    def _prepare_to_read(self) -> None:
        try:
            self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:  # WAL in a directory that this user cannot write: no writer can be there
            self._connection.close()
            self._connection = self._connect("mode=ro&immutable=1")

    def _prepare_to_write(self) -> None:
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if on_network(self.directory):
            self._prepare_for_network()

    def _prepare_for_network(self) -> None:
        """WAL needs shared memory, which machines do not share; the rollback journal needs locks that hold."""
        assert self._lock is not None
        if not locks_hold(f"{self.path}.lock"):
            raise JournalError(
                f"{self.directory} is on a network filesystem whose locks do not hold; "
                "name a journal elsewhere with KLEIO_JOURNAL, best a MongoDB: mongodb://HOST/DATABASE"
            )
        self._connection.execute("PRAGMA journal_mode = TRUNCATE")
        self._connection.execute("PRAGMA synchronous = FULL")
        self.interval = 1.0
        self.warning = f"the journal {self.path} is on a network filesystem; a MongoDB serves many machines better"

    def _checked_version(self) -> int | None:
        """The schema's version, None for an empty file. Raises JournalError for what is not a journal.

        Whether there are tables is asked first: where somebody creates them in this moment, the mark is there with them.
        """
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            if tables:
                raise JournalError(f"{self.path} is an SQLite database, but no kleio journal; name another file")
            return None
        if version > SCHEMA:
            raise newer(self.path, version)
        if version < SCHEMA and not self._upgrading:
            raise outdated(self.path, version)
        return int(version)

    def _create(self) -> None:
        """Any number of first users may come here together; one creates, the others find it done."""
        assert self._lock is not None
        with self._turn(self._lock):
            if self._checked_version() is not None:
                return
            if self.warning is None:
                self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._script(TABLES)
            self._make_index()
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
            self._connection.execute("COMMIT")

    def upgrade(self) -> int:
        """Bring the tables up to date. The schema that was found."""
        with self._writing() as connection:
            version = self._checked_version() or SCHEMA
            if version < 2:
                self._script(SECOND_TABLES)
                for trial, body in connection.execute("SELECT id, body FROM trials").fetchall():
                    add_child(connection, trial, json.loads(body).get("parent"))
            if version < SCHEMA:
                self._make_index()
                connection.execute("INSERT INTO unindexed SELECT id FROM trials")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
        return version

    def _script(self, statements: str) -> None:
        for statement in statements.split(";"):  # executescript would commit first
            self._connection.execute(statement)

    def _make_index(self) -> None:
        from kleio.core.journal.sqlite_index import STATEMENTS

        for statement in STATEMENTS:
            self._connection.execute(statement)

    def close(self) -> None:
        with self._mutex:
            self._connection.close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # -- transactions --------------------------------------------------------------------------------------------

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The one place where SQLite's errors become kleio's."""
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise _explained(self.path, error) from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._lock is None:
            raise JournalError(f"{self.path} was opened for reading only")
        with self._mutex, self._told(), self._turn(self._lock):
            self._check_place()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors have rolled it back already
                    self._connection.execute("ROLLBACK")
                raise
            if size_of(f"{self.path}-wal") > CHECKPOINT:
                self._checkpoint()

    @contextmanager
    def _turn(self, lock: int) -> Iterator[None]:
        """Hold the lock under which all write, one after the other."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self.waiting():
                fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _checkpoint(self) -> None:
        """As far as readers allow: one that was stopped as it read would hold up every writer, for as long as it is."""
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")

    def _check_place(self) -> None:
        """Who deletes or moves the file takes it from all but those who have it open: what they write nobody finds."""
        there = _identity(self.path)
        if there != self._file:
            what = "has been deleted or moved" if there is None else "has been replaced by another file"
            raise JournalUnreachable(f"the journal {self.path} {what} since it was opened")

    @property
    def gone(self) -> bool:
        return self._file is not None and _identity(self.path) != self._file

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._mutex, self._told():
            return self._connection.execute(sql, values).fetchall()

    def settle(self) -> None:
        if self._lock is None:
            return
        with self._mutex, self._told(), self._turn(self._lock):
            self._check_place()
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            sync(f"{self.path}-wal")  # a reader of an old state may have kept the checkpoint from doing it

    def purge(self) -> None:
        """Write the file anew: rows that grew have left old forms of themselves behind, in pages and between them."""
        if self._lock is None:
            raise JournalError(f"{self.path} was opened for reading only")
        with self._mutex, self._told(), self._turn(self._lock):
            self._connection.execute("VACUUM")
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalError(f"somebody reads {self.path} and keeps its old pages; run this again in a moment")


def add_child(connection: sqlite3.Connection, trial: str, parent: str | None) -> None:
    if parent is not None:
        connection.execute("INSERT OR IGNORE INTO children VALUES (?, ?)", (storable(parent), trial))


def _path(uri: str) -> str:
    rest = uri[len("sqlite://") :]
    path, question, options = rest.partition("?")
    if question:
        raise JournalError(f"a sqlite journal takes no options, but {uri!r} has ?{options}; leave them away")
    if not path.startswith("/") or path in ("/", "//"):
        raise JournalError(f"{uri!r} names no file; write sqlite:///relative.db or sqlite:////absolute/path.db")
    path = path[1:]
    if "%" in path:
        from urllib.parse import unquote  # 2 ms, for the few that need it

        path = unquote(path)
    return os.path.abspath(path)


def _identity(path: str) -> tuple[int, int] | None:
    """What tells the file from another of its name; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_full(directory: str) -> bool:
    try:
        return os.statvfs(directory).f_bavail < 16  # fewer blocks than SQLite needs to be opened
    except OSError:
        return False


def _explained(path: str, error: Exception) -> JournalError:
    said = str(error)
    if "not a database" in said:
        return JournalError(
            f"{path} is not a kleio journal (it is no SQLite file); name another with --journal or KLEIO_JOURNAL"
        )
    if "malformed" in said:
        return JournalError(f"the journal {path} is damaged ({said}); keep a copy and try: sqlite3 FILE .recover")
    if "full" in said or ("disk I/O" in said and _is_full(os.path.dirname(path))):
        return JournalUnreachable(f"the disk that holds the journal {path} is full; make room, then run kleio sync")
    if "readonly" in said or "unable to open" in said:
        return JournalUnreachable(
            f"the journal {path} cannot be opened ({said}); check its permissions, or name another with --journal"
        )
    if "locked" in said or "disk I/O" in said:
        return JournalUnreachable(f"the journal {path} cannot be used now: {said}")
    if "too big" in said or isinstance(error, OverflowError):
        return JournalError(f"a value is too large for the journal {path} ({said}); log it as an artifact instead")
    return JournalError(f"the journal {path} failed: {said}")
