"""Statistics as Python reads them, on both journals: columns, rows, queries, pandas and Arrow."""

from __future__ import annotations

import datetime
import math
import random
from uuid import uuid4

import numpy as np
import pytest

from kleio.core import lineage, statistics
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment
from kleio.core.reading.columns import Columns
from kleio.core.reading.held import Held
from kleio.core.reading.names import UnknownKey
from kleio.core.reading.statistics import Statistics
from kleio.core.statistics import Record, flat
from kleio.core.trial import Event, Trial

NAN, INF = float("nan"), float("inf")
UTC = datetime.timezone.utc
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class Book:
    """A journal, written record by record."""

    def __init__(self, uri):
        self.uri = uri
        self.journal = open_journal(uri)
        self._ends = {}

    def trial(self, executions=1, cut=None, parent=None):
        trial = uuid4().hex
        self.journal.create(Trial(id=trial, work_key="w", project="p", command=("python", "t.py"), cwd=".",
                                  created=START / 1e9, parent=parent, cut=cut))  # fmt: skip
        runs = [uuid4().hex for _ in range(executions)]
        for number, run in enumerate(runs):
            token, data = number + 1, {"host": "h", "user": "u"}
            self.journal.record(trial, Event(uuid4().hex, "running", START / 1e9 + number, token, run, data))
        return trial, runs

    def log(self, trial, execution, *records, writer="w0", piece=None):
        """``records`` are (seconds, values) or (seconds, values, mark); ``piece`` of them make a segment."""
        place = trial, execution, writer
        at = self._ends.get(place, 0)
        made = [Record(at + 10 * n, START + int(one[0] * SECOND), *one[1:]) for n, one in enumerate(records)]
        step = piece or max(len(made), 1)
        for start in range(0, len(made), step):
            few = made[start : start + step]
            begin, end = few[0].offset, few[-1].offset + 10
            self.journal.append([Segment(trial, execution, writer, "statistics", begin, end, statistics.pack(few))])
            self._ends[place] = end
        return self

    def entries(self, *trials):
        return [self.journal.entry(trial) for trial in trials]

    def of(self, *trials, **more):
        return Statistics(self, self.entries(*trials), **more)


@pytest.fixture
def book(journal_uri):
    made = Book(journal_uri)
    yield made
    made.journal.close()


def test_columns_are_arrays_with_their_types(book):
    trial, (run,) = book.trial()
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    whole = [
        {"epoch": n, "loss": 1 / (n + 1), "ok": n % 2 == 0, "name": f"n{n}", "when": when, "plain": when.replace(tzinfo=None),
         "big": 2**60 + n, "huge": 2**70 + n, "vector": [n, 1.5], "train": {"loss": n / 2, "by": {"k": n}}}
        for n in range(5)
    ]  # fmt: skip
    some = [{"epoch": 5, "val": NAN, "mixed": "text"}, {"val": None, "mixed": 3, "loss": 7}, {"val": -INF}]
    book.log(trial, run, *enumerate([*whole, *some]))
    found = book.of(trial)
    assert len(found) == 8
    assert found.keys() == ["epoch", "loss", "ok", "name", "when", "plain", "big", "huge", "vector", "train/loss", "train/by/k",
                            "val", "mixed"]  # fmt: skip
    assert found["epoch"].dtype == np.int64
    assert found["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["loss"].dtype == np.float64
    assert found["loss"].tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 7]
    assert found["ok"].dtype == np.bool_
    assert found["name"].dtype == object
    assert found["when"].dtype == np.dtype("M8[ns]") == found["plain"].dtype
    assert found["when"][0] == np.datetime64("2026-01-02T03:04:05.000006")
    assert found["big"].dtype == np.int64
    assert found["big"].tolist() == [2**60 + n for n in range(5)]
    assert found["huge"].tolist() == [2**70 + n for n in range(5)]
    assert found["vector"].tolist() == [[n, 1.5] for n in range(5)]
    assert found["train/by/k"].tolist() == [0, 1, 2, 3, 4]
    assert found["mixed"].tolist() == ["text", 3]
    assert found["val"].dtype == np.float64
    assert np.isnan(found["val"][0])
    assert found["val"][1] == -INF
    assert found.column("mixed") == [None] * 5 + ["text", 3, None]
    assert math.isnan(found.column("val")[5])
    assert found.column("val")[6:] == [None, -INF]
    assert found.times.dtype == np.dtype("M8[ns]")
    assert found.nanoseconds == [START + n * SECOND for n in range(8)]
    epoch, loss = found["epoch", "loss"]
    assert (epoch.tolist(), loss.tolist()) == ([0, 1, 2, 3, 4], [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    with pytest.raises(UnknownKey, match=r"there is no statistic los; did you mean loss\?"):
        found["los"]


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def expected(book, trials, all_executions=False):
    """(time, flat values) by the rows of the lineage, which are read one by one."""
    found = [one for entry in book.entries(*trials) for one, _ in lineage.logged(book.journal, entry, all_executions)[0]]
    return [(one.time, dict(flat(one.values))) for one in sorted(found, key=lambda one: one.time)]


def agree(book, *trials, all_executions=False):
    """Columns, rows that are held and rows that are read in turn: all say what the lineage says."""
    wanted = expected(book, trials, all_executions)
    entries = book.entries(*trials)
    for frame in (Columns(book.journal, entries, all_executions), Held(book.journal, entries, all_executions)):
        found = Statistics(book, entries, all_executions)
        found._read.frame = frame
        assert list(frame.times) == [when for when, _ in wanted]
        assert same([dict(one) for one in found.records()], [values for _, values in wanted])
        assert set(found.keys()) == {key for _, values in wanted for key in values}
        for key in list(found.keys()):
            assert same(found.column(key), [values.get(key) for _, values in wanted])
            assert len(found[key]) == sum(values.get(key) is not None for _, values in wanted)
    streamed = list(Statistics(book, entries, all_executions).records())
    assert same([(one.nanoseconds, dict(one)) for one in streamed], wanted)
    return wanted


WHEN = datetime.datetime(2026, 1, 2)
VALUES = (0.5, NAN, -INF, 3, -(2**61), 2**62, 2**63, 2**70, True, None, "text", "", [1, [2.5, None]], {}, b"bytes", (1, 2),
          {"k": 1, "b": {"c": 2.5}}, {"b": "x"}, WHEN.replace(tzinfo=UTC), WHEN, {1: 2})  # fmt: skip
NAMES = ("a", "b", "c/b", "c/k", "k", "train/loss", "")


def some_values(chance):
    return {name: chance.choice(VALUES) for name in chance.sample(NAMES, chance.randrange(4))}


def some_records(chance, count):
    """Statistics with and without scopes, by a clock that is now and then set back."""
    now, scopes = chance.random(), 0
    for _ in range(count):
        now += chance.choice((0, 0.001, 1, -5))
        kind = chance.randrange(8)
        inside = f"@{chance.randrange(1, scopes + 2)}" if kind > 4 else ""
        if kind == 0:
            scopes += 1
            parent = {"parent": chance.randrange(1, scopes)} if scopes > 1 and chance.random() < 0.5 else {}
            yield now, {"values": some_values(chance), **parent}, f"@+{scopes}"
        elif kind == 1 and scopes:
            yield now, {"values": some_values(chance)}, f"@={chance.randrange(1, scopes + 1)}"
        elif kind == 2 and scopes:
            yield now, {"error": None}, f"@-{chance.randrange(1, scopes + 1)}"
        elif kind == 3 and scopes:
            yield now, some_values(chance), f"@!{chance.randrange(scopes + 1)}"
        else:
            yield now, some_values(chance), inside


@pytest.mark.parametrize("seed", range(12))
def test_every_way_of_reading_says_the_same(book, seed):
    """Random records of several writers and executions, limits, a branch, overlapping ranges."""
    chance = random.Random(seed)
    trial, runs = book.trial(executions=2)
    for run in runs:
        for writer in ("w0", "w1"):
            records = list(some_records(chance, chance.randrange(60)))
            book.log(trial, run, *records, writer=writer, piece=chance.choice((None, 1, 7)))
    if chance.random() < 0.5:
        data = {"execution": runs[0], "time": START + 3 * SECOND, "artifact": "a"}
        book.journal.record(trial, Event(uuid4().hex, "resumed", START / 1e9 - 10, 2, runs[1], data))
    ends = [[trial, run, writer, "statistics", 10 * chance.randrange(60)] for run in runs for writer in ("w0", "w1")]
    child, (own,) = book.trial(cut={"criterion": "x", "by": "branch", "ends": ends}, parent=trial)
    book.log(child, own, *some_records(chance, 20))
    for trials in ([trial], [child], [child, trial]):
        agree(book, *trials)
        agree(book, *trials, all_executions=True)
