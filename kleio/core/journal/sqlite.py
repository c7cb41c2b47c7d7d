"""The embedded journal: one SQLite file (:mod:`kleio.core.journal.sqlite_file`), and artifact bytes as files beside it."""

from __future__ import annotations

import json

from kleio.core.errors import JournalError, Scrubbed
from kleio.core.journal.base import (
    Segment,
    Summary,
    Trace,
    beginning,
    beyond,
    contiguous,
    decoded,
    findable,
    readable,
    restored,
    storable,
)
from kleio.core.journal.sqlite_file import SqliteFile, add_child
from kleio.core.trial import HELD, Entry, Event, Reservation, Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, BinaryIO

    from kleio.core.errors import Damaged
    from kleio.core.journal.base import Found, Selection
    from kleio.core.journal.cards import Card
    from kleio.core.journal.filters import Filter
    from kleio.core.journal.replacement import Replacement

NOW = "((julianday('now') - 2440587.5) * 86400.0)"
SUMMARY = ""  # the stream under which a summary is sealed

SEALED = (
    'SELECT 1 FROM seals WHERE trial = ? AND stream = ? AND execution = ? AND writer = ? AND "start" < ? AND "end" > ?'
)
HAPPENED = "SELECT 1 FROM events WHERE trial = ? AND id = ?"
COLUMNS = f"id, body, holder, token, expires - {NOW}"


class SqliteJournal(SqliteFile):
    """See :class:`~kleio.core.journal.base.Journal`."""

    # -- trials --------------------------------------------------------------------------------------------------

    def create(self, trial: Trial) -> None:
        row = (trial.id, trial.work_key, storable(trial.project), trial.created, json.dumps(trial.as_dict()))
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO trials VALUES (?, ?, ?, ?, ?, 'new', '', NULL, 0, NULL)", row)
            add_child(connection, trial.id, trial.parent)

    def claim(
        self,
        trial: str,
        execution: str,
        data: Mapping[str, Any],
        lease: float,
        dead: str | None = None,
        seen: str | None = None,
    ) -> Reservation | None:
        with self._writing() as connection:
            row = connection.execute(
                f"SELECT holder, token, expires, {NOW}, status_order FROM trials WHERE id = ?", (trial,)
            ).fetchone()
            if row is None:
                raise JournalError(f"there is no trial {trial} to reserve")
            holder, token, expires, now, decided = row
            if holder not in (None, execution, dead) and expires > now:
                return None
            if holder != execution:
                if seen not in (None, decided):
                    return None
                if connection.execute(HAPPENED, (trial, f"reserved-{execution}")).fetchone():
                    return None
                if holder is not None:
                    silent = Event(f"failover-{holder}", "failover", now, token, holder)
                    _add(connection, trial, silent)
                token += 1
            connection.execute(
                "UPDATE trials SET holder = ?, token = ?, expires = ? WHERE id = ?", (execution, token, now + lease, trial)
            )
            _add(connection, trial, Event(f"reserved-{execution}", "reserved", now, token, execution, data))
            return Reservation(trial, execution, token, now + lease, now)

    def renew(self, trial: str, execution: str, lease: float) -> bool:
        with self._writing() as connection:
            return (
                connection.execute(
                    f"UPDATE trials SET expires = {NOW} + ? WHERE id = ? AND holder = ?", (lease, trial, execution)
                ).rowcount
                == 1
            )

    def record(self, trial: str, event: Event) -> None:
        with self._writing() as connection:
            if not connection.execute("SELECT 1 FROM trials WHERE id = ?", (trial,)).fetchone():
                raise JournalError(f"there is no trial {trial} to record {event.kind!r} for")
            _add(connection, trial, event)

    def entry(self, trial: str) -> Entry | None:
        found = self._entries(f"SELECT {COLUMNS} FROM trials WHERE id = ?", [trial], None)
        return found[0] if found else None

    def resolve(self, prefix: str, limit: int = 10) -> list[str]:
        sql = "SELECT id FROM trials WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        return [trial for (trial,) in self._rows(sql, (prefix, prefix + "g", limit))]

    def entries(self, selection: Selection, limit: int | None = None) -> list[Entry]:
        where, values = _where(selection)
        sql = f"SELECT {COLUMNS} FROM trials {where} ORDER BY created DESC, id DESC LIMIT ?"
        return self._entries(sql, [*values, -1 if limit is None else limit], self.left_out)

    def _entries(self, sql: str, values: list[Any], left_out: dict[str, Damaged] | None) -> list[Entry]:
        with self._mutex, self._told():
            self._connection.execute("BEGIN")  # one snapshot for the trials and their events
            try:
                rows = self._connection.execute(sql, values).fetchall()
                events = self._events([row[0] for row in rows])
            finally:
                self._connection.execute("ROLLBACK")

        def made(row: tuple[Any, ...]) -> Entry:
            trial, body, holder, token, left = row
            happened = tuple(Event(*(*own, decoded(data, trial))) for *own, data in events.get(trial, ()))
            return Entry(restored(body, trial), happened, holder, (left or 0) > 0, token, left)

        return list(readable(rows, made, left_out))

    def _events(self, trials: list[str]) -> dict[str, list[list[Any]]]:
        """Those of each as they are stored."""
        found: dict[str, list[list[Any]]] = {}
        for few in _fews(trials):
            marks = ", ".join("?" * len(few))
            sql = f"SELECT trial, id, kind, time, token, execution, data FROM events WHERE trial IN ({marks})"
            for trial, *event in self._connection.execute(sql, few):
                found.setdefault(trial, []).append(event)
        return found

    def counts(self, selection: Selection) -> tuple[dict[str, int], dict[str, int]]:
        where, values = _where(selection)
        statuses = f"SELECT {STATUS}, count(*) FROM trials {where} GROUP BY 1 ORDER BY 1"
        tags = f"SELECT tag, count(*) FROM tags WHERE trial IN (SELECT id FROM trials {where}) GROUP BY 1 ORDER BY 1"
        return dict(self._rows(statuses, values)), dict(self._rows(tags, values))

    # -- looking for trials --------------------------------------------------------------------------------------

    def index(self, card: Card) -> None:
        from kleio.core.journal import sqlite_index

        with self._writing() as connection:
            happened = "(SELECT count(*) FROM events WHERE trial = trials.id)"
            same = f"SELECT 1 FROM trials WHERE id = ? AND holder IS NULL AND {happened} = ?"
            if connection.execute(same, (card.trial, card.events)).fetchone():
                sqlite_index.put(connection, card)

    def unindexed(self, free: bool = False) -> list[str]:
        from kleio.core.journal.sqlite_index import FREE, WAITING

        return [trial for (trial,) in self._rows(f"{FREE if free else WAITING} ORDER BY 1")]

    def find(
        self, wanted: Filter, sort: Sequence[tuple[str, bool]] = (), limit: int | None = None, also: Sequence[str] = ()
    ) -> tuple[list[Found], list[str]]:
        from kleio.core.journal import sqlite_find

        with self._mutex, self._told():
            self._connection.execute("BEGIN")  # one snapshot
            try:
                return sqlite_find.find(self._connection, wanted, sort, limit, also), self.unindexed()
            finally:
                self._connection.execute("ROLLBACK")

    def values(self, name: str) -> list[Any]:
        from kleio.core.journal.sqlite_find import VALUES, given

        return [given(kind, value) for kind, value in self._rows(VALUES, (storable(name),))]

    # -- streams -------------------------------------------------------------------------------------------------

    def append(self, segments: Sequence[Segment]) -> None:
        with self._writing() as connection:
            for one in segments:
                key = (one.trial, one.stream, one.execution, one.writer, one.start)
                place = 'trial = ? AND stream = ? AND execution = ? AND writer = ? AND "start" = ?'
                if connection.execute(SEALED, (*key[:4], one.end, one.start)).fetchone():
                    continue
                (longest,) = connection.execute(f'SELECT max("end") FROM segments WHERE {place}', key).fetchone()
                if longest is not None:
                    if longest >= one.end:
                        continue
                    connection.execute(f"DELETE FROM segments WHERE {place}", key)
                connection.execute(
                    "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*key, one.end, one.dropped, one.payload)
                )

    def segments(
        self,
        trial: str,
        streams: Sequence[str],
        after: Mapping[tuple[str, str, str], int] | None = None,
        until: Mapping[tuple[str, str, str], int] | None = None,
    ) -> Iterator[Segment]:
        marks = ", ".join("?" * len(streams))
        found = self._rows(
            f'SELECT execution, writer, stream, "start", "end", rowid FROM segments WHERE trial = ? '
            f'AND stream IN ({marks}) ORDER BY execution, writer, stream, "start"',
            (trial, *streams),
        )
        for execution, writer, stream, start, end, rowid in found:
            if end <= (after or {}).get((execution, writer, stream), -1):
                continue
            if until is not None and start >= until.get((execution, writer, stream), -1):
                continue
            # A row that was replaced by a longer one has a new number, and its old number may be another's.
            key = (trial, stream, execution, writer, start)
            place = 'trial = ? AND stream = ? AND execution = ? AND writer = ? AND "start" = ?'
            select = 'SELECT "end", payload, dropped FROM segments WHERE'
            row = self._rows(f"{select} rowid = ? AND {place}", (rowid, *key)) or self._rows(f"{select} {place}", key)
            for stop, payload, dropped in row:
                yield Segment(trial, execution, writer, stream, start, stop, payload, bool(dropped))

    def extents(self, execution: str, trial: str) -> dict[tuple[str, str], int]:
        ranges: dict[tuple[str, str], list[tuple[int, int]]] = {}
        sql = 'SELECT writer, stream, "start", "end" FROM segments WHERE trial = ? AND execution = ?'
        for writer, stream, start, end in self._rows(sql, (trial, execution)):
            ranges.setdefault((writer, stream), []).append((start, end))
        return {key: contiguous(own) for key, own in ranges.items()}

    def summarise(self, summary: Summary) -> None:
        row = (summary.trial, summary.execution, summary.writer, summary.end, json.dumps(summary.keys))
        with self._writing() as connection:
            if connection.execute(SEALED, (summary.trial, SUMMARY, *row[1:3], 1, 0)).fetchone():
                return
            connection.execute(
                'INSERT INTO summaries VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "end" = excluded."end", '
                'keys = excluded.keys WHERE excluded."end" > summaries."end"',
                row,
            )

    def summaries(self, trials: Sequence[str]) -> dict[str, list[Summary]]:
        found: dict[str, list[Summary]] = {}
        for few in _fews(list(trials)):
            marks = ", ".join("?" * len(few))
            rows = self._rows(f"SELECT * FROM summaries WHERE trial IN ({marks})", few)
            for one in readable(rows, lambda row: Summary(*(*row[:-1], decoded(row[-1], row[0]))), self.left_out):
                found.setdefault(one.trial, []).append(one)
        return found

    # -- traces --------------------------------------------------------------------------------------------------

    def leave(self, traces: Sequence[Trace]) -> None:
        rows = [(findable(one.key), one.trial, one.execution) for one in traces]
        for start in range(0, len(rows), 5000):  # others wait for one batch, not for all of them
            with self._writing() as connection:
                connection.executemany("INSERT OR IGNORE INTO traces VALUES (?, ?, ?)", rows[start : start + 5000])

    def traces(self, key: str, prefix: bool = False) -> list[Trace]:
        if prefix:
            first = beginning(key)
            return self._traces("key >= ? AND key < ?", (first, beyond(first)))
        return self._traces("key = ?", (findable(key),))

    def traces_of(self, trial: str) -> list[Trace]:
        return self._traces("trial = ?", (trial,))

    def _traces(self, where: str, values: tuple[str, ...]) -> list[Trace]:
        return [Trace(*row) for row in self._rows(f"SELECT * FROM traces WHERE {where} ORDER BY 1, 2, 3", values)]

    # -- content -------------------------------------------------------------------------------------------------

    def put_document(self, digest: str, document: Mapping[str, Any]) -> None:
        if self._rows("SELECT 1 FROM documents WHERE digest = ?", (digest,)):
            return
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (digest, json.dumps(document)))

    def document(self, digest: str) -> dict[str, Any] | None:
        found = self._rows("SELECT body FROM documents WHERE digest = ?", (digest,))
        return dict(json.loads(found[0][0])) if found else None

    def put_blob(self, sha256: str, path: str) -> bool:
        if self._lock is None:
            raise JournalError(f"{self.path} was opened for reading only")
        if self._is_gone(sha256):
            return False
        stored = self._blobs.put(sha256, path)
        if self._is_gone(sha256):  # since
            self._blobs.delete(sha256)
        return stored

    def blob(self, sha256: str) -> BinaryIO | None:
        opened = self._blobs.open(sha256)
        if opened is None and self._is_gone(sha256):
            raise Scrubbed(f"the bytes {sha256[:12]} were scrubbed from the journal {self.path}")
        return opened

    def _is_gone(self, sha256: str) -> bool:
        return bool(self._rows("SELECT 1 FROM gone WHERE sha256 = ?", (sha256,)))

    # -- taking away ---------------------------------------------------------------------------------------------

    def replace(self, replacement: Replacement) -> None:
        if self._lock is None:
            raise JournalError(f"{self.path} was opened for reading only")
        self._rows("PRAGMA secure_delete = ON")
        with self._writing() as connection:
            _replace(connection, replacement)

    def delete_blob(self, sha256: str) -> None:
        with self._writing() as connection:
            connection.execute(f"INSERT OR IGNORE INTO gone VALUES (?, {NOW})", (sha256,))
        self._blobs.delete(sha256)

    def release(self, sha256: str, needed: Callable[[], bool]) -> bool:
        if self._lock is None:
            raise JournalError(f"{self.path} was opened for reading only")
        doomed = self._blobs.doom(sha256)
        if not doomed:
            return False
        spared = True
        try:
            spared = needed()
        finally:
            if spared:
                self._blobs.spare(sha256, doomed)
                if self._is_gone(sha256):  # meanwhile
                    self._blobs.delete(sha256)
        return not spared and self._blobs.drop(doomed)


STATUS = (
    f"CASE WHEN status IN ('{HELD[0].value}', '{HELD[1].value}') AND (expires IS NULL OR expires <= {NOW}) "
    "THEN 'failover' ELSE status END"
)


def _where(selection: Selection) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if selection.parent is not None:
        conditions.append("id IN (SELECT trial FROM children WHERE parent = ?)")
        values.append(storable(selection.parent))
    for column in ("project", "work_key"):
        wanted = getattr(selection, column)
        if wanted is not None:
            conditions.append(f"{column} = ?")
            values.append(storable(wanted))
    if selection.statuses:
        conditions.append(f"{STATUS} IN ({', '.join('?' * len(selection.statuses))})")
        values += selection.statuses
        if set(selection.statuses) <= set(HELD):
            conditions.append("id IN (SELECT id FROM trials WHERE holder IS NOT NULL)")  # of which there is an index
    if selection.ids is not None:
        conditions.append("id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(selection.ids))
    for tag in selection.tags:
        conditions.append("id IN (SELECT trial FROM tags WHERE tag = ?)")
        values.append(storable(tag))
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), values


def _add(connection: sqlite3.Connection, trial: str, event: Event) -> None:
    added = connection.execute(
        "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
        (trial, event.id, event.kind, event.time, event.token, event.execution, json.dumps(dict(event.data))),
    ).rowcount
    if not added:
        return
    if event.status is not None:
        connection.execute(
            "UPDATE trials SET status = ?, status_order = ? WHERE id = ? AND status_order < ?",
            (event.status.value, event.order, trial, event.order),
        )
    if event.kind in ("ended", "failover"):
        connection.execute(
            "UPDATE trials SET holder = NULL, expires = NULL WHERE id = ? AND holder = ?", (trial, event.execution)
        )
    for tag in event.data.get("tags", ()) if event.kind == "annotated" else ():
        connection.execute("INSERT OR IGNORE INTO tags VALUES (?, ?)", (storable(tag), trial))


def _replace(connection: sqlite3.Connection, new: Replacement) -> None:
    from kleio.core.journal import sqlite_index

    if new.body is not None:
        body = (storable(new.body.project), json.dumps(new.body.as_dict()), new.trial)
        connection.execute("UPDATE trials SET project = ?, body = ? WHERE id = ?", body)
    sqlite_index.forget(connection, new.trial)
    _replace_events(connection, new)
    for one in new.segments:
        key = (one.trial, one.stream, one.execution, one.writer, one.start, one.end)
        place = 'trial = ? AND stream = ? AND execution = ? AND writer = ? AND "start" = ? AND "end" = ?'
        if connection.execute(f"UPDATE segments SET payload = ? WHERE {place}", (one.payload, *key)).rowcount:
            connection.execute("INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?, ?, ?)", key)
    for own in new.summaries:
        row = (json.dumps(dict(own.keys)), own.trial, own.execution, own.writer, own.end)
        place = 'trial = ? AND execution = ? AND writer = ? AND "end" = ?'
        if connection.execute(f"UPDATE summaries SET keys = ? WHERE {place}", row).rowcount:
            seal = (own.trial, SUMMARY, own.execution, own.writer, 0, 1)
            connection.execute("INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?, ?, ?)", seal)
    for digest, document in new.documents.items():
        connection.execute("UPDATE documents SET body = ? WHERE digest = ?", (json.dumps(dict(document)), digest))
    traces = [(findable(one.key), one.trial, one.execution) for one in new.traces]
    connection.executemany("DELETE FROM traces WHERE key = ? AND trial = ? AND execution = ?", traces)


def _replace_events(connection: sqlite3.Connection, new: Replacement) -> None:
    if not new.events:
        return
    rows = [(json.dumps(dict(event.data)), new.trial, event.id) for event in new.events]
    connection.executemany("UPDATE events SET data = ? WHERE trial = ? AND id = ?", rows)
    found = connection.execute("SELECT data FROM events WHERE trial = ? AND kind = 'annotated'", (new.trial,)).fetchall()
    tags = {storable(tag) for (data,) in found for tag in json.loads(data).get("tags", ())}
    connection.execute("DELETE FROM tags WHERE trial = ?", (new.trial,))
    connection.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, new.trial) for tag in sorted(tags)])


def _fews(many: list[str]) -> Iterator[list[str]]:
    """Pieces small enough for SQLite's limit on parameters."""
    for start in range(0, len(many), 500):
        yield many[start : start + 500]
