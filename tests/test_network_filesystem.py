"""A journal on a network filesystem: no such mount is to be had in a test, so the answer of /proc/mounts is given."""

from __future__ import annotations

import sqlite3

import pytest

from kleio.core.errors import JournalError
from kleio.core.journal import files, open_journal, sqlite_file
from kleio.core.trial import Trial


@pytest.fixture
def on_network(monkeypatch):
    monkeypatch.setattr(sqlite_file, "on_network", lambda _: True)


def test_it_does_without_shared_memory_and_says_what_serves_better(tmp_path, on_network):
    journal = open_journal(f"sqlite:///{tmp_path}/j.db")
    journal.create(Trial("a" * 32, "w" * 32, "p", ("x",), ".", 1.0))
    assert "MongoDB" in journal.warning
    assert journal.interval >= 1
    journal.close()
    connection = sqlite3.connect(tmp_path / "j.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() != ("wal",)
    connection.close()
    reading = open_journal(f"sqlite:///{tmp_path}/j.db", writing=False)
    assert reading.entry("a" * 32).id == "a" * 32
    reading.close()


def test_a_journal_that_was_local_before_is_turned(tmp_path, monkeypatch):
    open_journal(f"sqlite:///{tmp_path}/j.db").close()
    monkeypatch.setattr(sqlite_file, "on_network", lambda _: True)
    open_journal(f"sqlite:///{tmp_path}/j.db").close()
    assert not (tmp_path / "j.db-wal").exists()


def test_where_locks_do_not_hold_it_is_refused(tmp_path, on_network, monkeypatch):
    monkeypatch.setattr(sqlite_file, "locks_hold", lambda _: False)
    with pytest.raises(JournalError, match="mongodb://"):
        open_journal(f"sqlite:///{tmp_path}/j.db")


def test_the_probe_tells_locks_that_hold(tmp_path):
    assert files.locks_hold(str(tmp_path / "lock"))


def test_a_mount_is_recognised_by_its_longest_point(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\ndisk {tmp_path}/local ext4 rw 0 0\n")
    opened = open
    monkeypatch.setattr("builtins.open", lambda path, *a, **k: opened(mounts if path == "/proc/self/mounts" else path, *a, **k))
    (tmp_path / "local").mkdir()
    assert files.on_network(str(tmp_path))
    assert not files.on_network(str(tmp_path / "local"))
    assert not files.on_network("/")
