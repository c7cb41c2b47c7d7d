"""Rows of a journal that are not what was put there: one clear line that names the trial, and others are read as ever."""

from __future__ import annotations

import sqlite3

import pytest
from recorded import Recorded

import kleio
from kleio.core.about import started
from kleio.core.errors import Damaged
from kleio.core.journal import open_journal
from kleio.core.journal.base import Selection


def damage(uri, trial, what, found):
    """Put ``found`` in place of one kind of row of a trial."""
    if uri.startswith("sqlite"):
        table, column, key = {
            "event": ("events", "data", "trial"), "body": ("trials", "body", "id"), "summary": ("summaries", "keys", "trial"),
            "segment": ("segments", "payload", "trial"),
        }[what]  # fmt: skip
        with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
            assert connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (found, trial)).rowcount
        return
    from pymongo import MongoClient

    collection, key, column = {
        "event": ("trials", "_id", "events.0.data"), "body": ("trials", "_id", "body"),
        "summary": ("summaries", "_id.trial", "keys"), "segment": ("segments", "_id.trial", "payload"),
    }[what]  # fmt: skip
    client = MongoClient(uri)
    assert client.get_default_database()[collection].update_many({key: trial}, {"$set": {column: found}}).matched_count
    client.close()


@pytest.fixture
def pair(tmp_path, journal_uri):
    """A trial to be damaged, and another."""
    made = Recorded(journal_uri, tmp_path)
    values = [{"loss": 1 / (n + 1), "word": "a"} for n in range(50)]
    yield [made.trial(values, ended=ended) for ended in (False, True)]
    made.close()


BROKEN = [(what, text) for what in ("event", "body", "summary") for text in ("no json", "[1]")]


@pytest.mark.parametrize(("what", "found"), [*BROKEN, ("body", "{}")])
def test_a_row_that_is_no_json(journal_uri, pair, what, found):
    bad, good = pair
    damage(journal_uri, bad, what, found)
    journal = open_journal(journal_uri, writing=False)
    assert started(journal, journal.entry(good)) == ([], [])  # though the other is to be looked at as well
    with pytest.raises(Damaged, match=f"trial {bad[:7]} is damaged"):
        journal.summaries([bad]) if what == "summary" else journal.entries(Selection())
    journal.close()
    with kleio.connect(journal_uri) as read:
        trial = read.trial(good)
        assert len(trial.statistics) == 50
        assert trial.summary["loss"].count == 50


@pytest.mark.parametrize("found", [b"", b"KS1", b"KS1 random bytes", b"no segment", "half"])
def test_statistics_that_cannot_be_unpacked(journal_uri, pair, found):
    bad, good = pair
    if found == "half":
        journal = open_journal(journal_uri, writing=False)
        (segment,) = journal.segments(bad, ("statistics",))
        found = segment.payload[:-40]
        journal.close()
    damage(journal_uri, bad, "segment", found)
    with kleio.connect(journal_uri) as read:
        for look in (lambda s: s["word"], lambda s: list(s.records()), lambda s: s.to_pandas()):
            with pytest.raises(Damaged, match=f"trial {bad[:7]} is damaged"):
                look(read.trial(bad).statistics)
        assert len(read.trial(good).statistics["loss"]) == 50
