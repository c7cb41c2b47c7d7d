"""The embedded journal keeps the contract, and refuses what is none."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest
from journal_suite import JournalContract, test_what_covers_from_the_beginning  # noqa: F401 - collected here

from kleio.core.errors import JournalError
from kleio.core.journal import open_journal
from kleio.core.journal.sqlite_file import CHECKPOINT, PATIENCE


class TestSqlite(JournalContract):
    @pytest.fixture
    def uri(self, tmp_path):
        return f"sqlite:///{tmp_path}/store/journal.db"

    def where_it_looks(self, journal):
        return journal._blobs, "_doomed"

    def assert_nothing_there(self, uri):
        assert not os.path.exists(os.path.dirname(uri.removeprefix("sqlite:///")))

    def assert_stored_once(self, uri, digest, size):
        blobs = os.path.join(os.path.dirname(uri.removeprefix("sqlite:///")), "blobs")
        assert [name for _, _, names in os.walk(blobs) for name in names] == [digest]

    def test_a_reader_that_is_stopped_holds_up_nobody(self, uri, journal):
        log, large = f"{uri.removeprefix('sqlite:///')}-wal", {"large": "a" * (5 << 20)}
        journal.put_document("0" * 64, {})
        reader = open_journal(uri, writing=False)
        reader._connection.execute("BEGIN")
        assert reader.document("0" * 64) == {}

        def write():
            for number in range(1, 4):
                journal.put_document(f"{number:064}", large)

        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        writing.join(1.5 * PATIENCE)
        assert not writing.is_alive()
        assert os.path.getsize(log) > CHECKPOINT
        reader.close()
        journal.put_document("f" * 64, {})
        assert os.path.getsize(log) < CHECKPOINT

    def test_a_journal_that_is_made_while_it_is_opened(self, uri, monkeypatch):
        path = uri.removeprefix("sqlite:///")
        os.makedirs(os.path.dirname(path))
        open(path, "wb").close()
        others = [lambda: open_journal(uri).close()]

        class Interrupted(sqlite3.Connection):
            def execute(self, sql, *values):
                found = super().execute(sql, *values)
                if not others or not ("count(*)" in sql or "application_id" in sql):
                    return found
                rows = found.fetchall()
                others.pop()()
                return super().execute("SELECT ?", rows[0])

        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *words, **how: connect(*words, factory=Interrupted, **how))
        journal = open_journal(uri, writing=False)
        assert journal.entry("a" * 32) is None
        assert not others
        journal.close()

    def test_only_the_owner_may_read_it(self, uri, journal):
        path = uri.removeprefix("sqlite:///")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("writing", [True, False])
    def test_a_newer_schema_is_refused(self, uri, writing):
        open_journal(uri).close()
        with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(JournalError, match=r"newer kleio \(schema 99, .*pip install -U kleio"):
            open_journal(uri, writing=writing)

    @pytest.mark.parametrize("writing", [True, False])
    def test_what_is_no_journal_is_refused_and_left_alone(self, tmp_path, writing):
        text = tmp_path / "notes.db"
        text.write_text("just some notes, longer than the header of a database would be\n" * 20)
        other = tmp_path / "other.db"
        with sqlite3.connect(other) as connection:
            connection.execute("CREATE TABLE mine (x)")
        connection.close()
        (tmp_path / "directory.db").mkdir()
        before = {path: path.read_bytes() for path in (text, other)}
        complaints = {"notes": "not a kleio journal", "other": "no kleio journal", "directory": "is a directory"}
        for name, complaint in complaints.items():
            with pytest.raises(JournalError, match=complaint) as told:
                open_journal(f"sqlite:///{tmp_path}/{name}.db", writing=writing)
            assert "\n" not in str(told.value)
        assert {path: path.read_bytes() for path in (text, other)} == before

    def test_a_directory_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalError, match=r"cannot write the journal .*--journal or KLEIO_JOURNAL"):
            open_journal(f"sqlite:///{tmp_path}/file/journal.db")

    def test_an_empty_file_becomes_a_journal(self, tmp_path):
        (tmp_path / "empty.db").touch()
        open_journal(f"sqlite:///{tmp_path}/empty.db", writing=False).close()
        assert (tmp_path / "empty.db").stat().st_size == 0
        open_journal(f"sqlite:///{tmp_path}/empty.db").close()
        assert (tmp_path / "empty.db").stat().st_size > 0


@pytest.mark.parametrize(
    "uri", ["", "journal.db", "postgres://host/db", "sqlite://", "sqlite:///", "sqlite://host/x", "sqlite:////tmp/x?mode=ro"]
)
def test_malformed_addresses(uri):
    with pytest.raises(JournalError) as told:
        open_journal(uri)
    assert "\n" not in str(told.value)
    assert "sqlite:///" in str(told.value) or "options" in str(told.value)
