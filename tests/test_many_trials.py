"""A journal of ten thousand trials, made through its public interface, answers ls, info, get and Python as a small one does."""

from __future__ import annotations

import hashlib
import json
import random
import time

import pytest
from commands import kleio, read

import kleio as package
from kleio.core.indexing import index_others
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment, Summary
from kleio.core.statistics import Record, pack
from kleio.core.trial import Event, Trial

TRIALS = 10_000
CHANCE = random.Random(5)
LOSSES = [CHANCE.random() for _ in range(TRIALS)]
OPTIMIZERS = [CHANCE.choice(["sgd", "adam", "lion"]) for _ in range(TRIALS)]
CONTENT = b"weights" * 1000


def made(journal, number):
    """One that was run with ten parameters, measured a loss, and kept its weights."""
    trial, execution, began = f"{number:08x}{number:024x}", f"{number:032x}", 1.7e9 + number
    params = {"lr": number / TRIALS, "optimizer": OPTIMIZERS[number], **{f"p{at}": at for at in range(8)}}
    journal.create(Trial(trial, trial[::-1], "many", ("python", "train.py"), ".", began, params))
    about = {"host": "here", "user": "me", "started": began, "pid": 1}
    journal.record(trial, Event(f"reserved-{execution}", "reserved", began, 1, execution, about))
    own = {"count": 1, "numbers": 1, "time": 1, "since": 1}
    own |= dict.fromkeys(("first", "last", "min", "max", "sum"), LOSSES[number])
    journal.summarise(Summary(trial, execution, "1-1", 10, {"loss": own}))
    ended = {"status": "broken" if number % 5 == 0 else "completed", "exit_code": 0, "reason": "exit status 0"}
    journal.record(trial, Event(f"ended-{execution}", "ended", began + 60, 1, execution, ended))
    return trial


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    place = tmp_path_factory.mktemp("many")
    uri = f"sqlite:///{place}/journal.db"
    journal = open_journal(uri)
    for number in range(TRIALS):
        trial = made(journal, number)
    index_others(journal)
    (place / "weights").write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    journal.put_blob(digest, str(place / "weights"))
    record = Record(0, time.time_ns(), {"name": "weights.pt", "sha256": digest, "size": len(CONTENT), "meta": {"epoch": 3}})
    journal.append([Segment(trial, f"{TRIALS - 1:032x}", "1-1", "artifacts", 0, 10, pack([record]))])
    journal.close()
    return uri


@pytest.fixture(autouse=True)
def used(uri, workplace, monkeypatch):
    monkeypatch.setenv("KLEIO_JOURNAL", uri)


def best(count):
    """The numbers of those that the query of these tests means, the lowest loss first."""
    meant = [at for at in range(TRIALS) if at % 5 and OPTIMIZERS[at] == "adam" and at / TRIALS > 0.5]
    return sorted(meant, key=LOSSES.__getitem__)[:count]


QUERY = "params.lr > 0.5 and params.optimizer == 'adam' and status == 'completed'"


def test_ls_finds_and_sorts():
    found = read("ls", "-a", "--json", "--where", QUERY, "--sort", "summary.loss.min", "-n", "7")
    assert [int(one["short_id"], 16) for one in found] == [at >> 4 for at in best(7)]
    newest = read("ls", "-a", "--json", "-n", "3")
    assert [int(one["id"][:8], 16) for one in newest] == [TRIALS - 1, TRIALS - 2, TRIALS - 3]


def test_python_finds_the_same():
    with package.connect() as journal:
        trials = journal.trials(QUERY, sort="summary.loss.min")
        assert [int(one.id[:8], 16) for one in trials[:7]] == best(7)
        assert len(trials) == len(best(TRIALS))
        assert len(journal.trials()) == TRIALS


def test_info_and_get_of_one(workplace):
    trial = f"{TRIALS - 1:08x}"
    page = read("info", "--json", trial)
    assert (page["params"]["lr"], page["summary"]["loss"]["last"]) == (0.9999, LOSSES[-1])
    assert "weights.pt" in kleio("info", trial, check=0).stdout
    kleio("get", trial, "weights.pt", "-o", "w.pt", check=0)
    assert (workplace / "w.pt").read_bytes() == CONTENT


def test_a_table_of_groups():
    words = ["ls", "-a", "--group-by", "params.optimizer", "--columns", "summary.loss.last,count", "--json"]
    groups = json.loads(kleio(*words, check=0).stdout)
    assert {one["params.optimizer"]: one["count"] for one in groups} == {
        name: OPTIMIZERS.count(name) for name in ("sgd", "adam", "lion")
    }
