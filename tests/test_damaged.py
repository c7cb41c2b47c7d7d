"""Rows of a journal that are not what was put there: one clear line that names the trial, and others are read as ever."""

from __future__ import annotations

import json
import sqlite3

import pytest
from commands import kleio as kleio_
from commands import printed
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


@pytest.mark.parametrize("what", ["event", "body"])
@pytest.mark.parametrize(
    "words",
    [
        (), ("--columns", "id,summary.loss.count"), ("--where", "summary.loss.count == 50"), ("--sort", "duration"),
        ("--group-by", "id"), ("--ids",), ("--json",),
    ],
)  # fmt: skip
def test_trials_that_can_be_read_are_listed_without_those_that_cannot(journal_uri, workplace, pair, what, words, capfd):
    bad, good = pair
    damage(journal_uri, bad, what, "no json")
    shown = printed("ls", "--all-projects", *words)
    assert good[:7] in shown
    assert bad[:7] not in shown
    said = capfd.readouterr().err.splitlines()
    assert said == [f"kleio: left out what cannot be read of 1 trial: {bad[:7]} (Expecting value: line 1 column 1 (char 0))"]


def test_other_lists_leave_them_out_as_well(journal_uri, workplace, pair, capfd):
    bad, good = pair
    damage(journal_uri, bad, "body", "no json")
    for words in (
        ("tree", "--all-projects"), ("status", "--all-projects", "--where", "status == 'completed'"),
        ("export", "--all-projects", "--where", "status == 'completed'", "--to", "csv", "out"), ("top",),
    ):  # fmt: skip
        printed(*words)
        said = capfd.readouterr().err
        assert f"left out what cannot be read of 1 trial: {bad[:7]} (" in said, words
    for words in (("info", bad), ("export", bad, "--to", "csv", "out"), ("diff", bad, good)):
        with pytest.raises(Damaged, match=f"trial {bad[:7]} is damaged"):
            printed(*words)
        assert capfd.readouterr().err == ""


def test_a_summary_that_cannot_be_read_leaves_its_trial_listed(journal_uri, workplace, pair, capfd):
    bad, good = pair
    damage(journal_uri, bad, "summary", "no json")
    found = {one["id"]: one["summary"] for one in json.loads(printed("ls", "--all-projects", "--json"))}
    assert (found[bad], found[good]["loss"]["count"]) == ({}, 50)
    assert capfd.readouterr().err.count(f"left out what cannot be read of 1 trial: {bad[:7]} (") == 1


def test_many_are_counted_and_a_list_of_nothing_else_fails(journal_uri, workplace, tmp_path):
    made = Recorded(journal_uri, tmp_path)
    trials = [made.trial() for _ in range(5)]
    made.close()
    for trial in trials:
        damage(journal_uri, trial, "body", "[1]")
    (said,) = kleio_("ls", "--all-projects", check=1).stderr.splitlines()
    assert said.startswith("kleio: left out what cannot be read of 5 trials: ")
    assert said.endswith("), and 2 more")
    assert sum(trial[:7] in said for trial in trials) == 3
