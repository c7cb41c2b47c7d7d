"""What mongomock imitates faithfully, tested without a server; the real mongod decides everything else."""

from __future__ import annotations

import mongomock
import pytest

from kleio.core.journal import mongo, mongo_database
from kleio.core.trial import Trial


@pytest.fixture
def journal(monkeypatch):
    monkeypatch.setattr(mongo_database, "_connect", lambda *_: mongomock.MongoClient())
    return mongo.MongoJournal("mongodb://nowhere/test")


def trial(number):
    return Trial(f"{number:032x}", "w" * 32, "p", ("x", "\udcff", "$a.b"), ".", 1.0, params={"a.b": 2**70, "$x": "\0"})


def test_trials_keep_what_bson_cannot(journal):
    journal.create(trial(1))
    journal.create(trial(1))
    assert journal.entry(trial(1).id).trial == trial(1)


def test_ids_resolve_by_prefix(journal):
    for number in (1, 2, 0xF << 124):
        journal.create(trial(number))
    assert journal.resolve("0" * 31) == [trial(1).id, trial(2).id]
    assert journal.resolve("f") == [trial(0xF << 124).id]
    assert journal.resolve("1") == []


def test_documents_are_kept_once_whatever_their_keys(journal):
    document = {"$a": {"b.c": [1, None]}, "": "\0", "n": 2**64}
    for _ in range(2):
        journal.put_document("d" * 32, document)
    assert journal.document("d" * 32) == document
    assert journal.document("e" * 32) is None
