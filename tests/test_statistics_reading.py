"""Statistics as Python reads them, on both journals: columns, rows, queries, pandas and Arrow."""

from __future__ import annotations

import datetime
import math
import random
import re
import subprocess
import sys
import time
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kleio.core import lineage, statistics
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment
from kleio.core.query import holds
from kleio.core.query_syntax import QueryError, parse
from kleio.core.reading import rows as rows_module
from kleio.core.reading.columns import Columns
from kleio.core.reading.held import Held
from kleio.core.reading.names import Keys, UnknownKey
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
        self.journal = open_journal(uri, timeout=60)
        self._ends = {}

    def trial(self, executions=1, **known):
        trial = uuid4().hex
        self.journal.create(Trial(id=trial, work_key="w", project="p", command=("python", "t.py"), cwd=".",
                                  created=START / 1e9, **known))  # fmt: skip
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


@pytest.fixture
def local(home):
    """For what is no matter of where it was read from."""
    made = Book(f"sqlite:///{home}/journal.db")
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
        now += chance.choice((0, 0.001, 1, 1, 1, -2))
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


@pytest.mark.parametrize("seed", range(3))
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
    agree(book, trial)
    agree(book, trial, child, all_executions=True)
    agree(book, child)


def test_overlapping_ranges_are_read_once(book):
    """A range that was sent again may have grown, and others may have been stored meanwhile."""
    trial, (run,) = book.trial()
    made = [Record(10 * n, START + n, {"x": n}) for n in range(9)]
    for begin, end in ((0, 3), (2, 5), (3, 4), (4, 9)):
        payload = statistics.pack(made[begin:end])
        book.journal.append([Segment(trial, run, "w0", "statistics", 10 * begin, 10 * end, payload)])
    assert [one["x"] for _, one in agree(book, trial)] == list(range(9))


def test_what_was_given_up_is_left_out_with_what_it_told_of_scopes(book):
    trial, (first, second) = book.trial(executions=2)
    scope = (0, {"values": {"a": 1}}, "@+1"), (1, {"x": 1}, "@1"), (2, {"values": {"a": 2}}, "@=1"), (3, {"x": 2}, "@1")
    book.log(trial, first, *scope).log(trial, second, (9, {"x": 3}))
    data = {"execution": first, "time": START + SECOND, "artifact": "a"}
    book.journal.record(trial, Event("resumed", "resumed", START / 1e9 + 8, 2, second, data))
    assert [values for _, values in agree(book, trial)] == [{"a": 1, "x": 1}, {"x": 3}]
    assert [one["a"] for _, one in agree(book, trial, all_executions=True)[:2]] == [2, 2]
    assert (len(book.of(trial)), len(book.of(trial).all_executions)) == (2, 3)


def test_whole_numbers_become_floats_only_where_nothing_is_lost(local):
    """Be they of one segment or of several."""
    for piece in (None, 1):
        for large, kind in ((2**53, np.float64), (2**53 + 1, object), (-(2**53) - 1, object)):
            trial, (run,) = local.trial()
            local.log(trial, run, (0, {"x": 0.5}), (1, {"x": large}), piece=piece)
            assert local.of(trial)["x"].dtype == kind
            assert local.of(trial)["x"].tolist() == [0.5, large]


def test_of_equal_times_what_was_logged_first_is_first(local):
    trial, (run,) = local.trial()
    for writer in "ba":
        local.log(trial, run, *[(n // 2, {"n": n, "w": writer}) for n in range(6)], writer=writer, piece=3)
    agree(local, trial)
    assert [(one["w"], one["n"]) for one in local.of(trial)][:4] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_where_speaks_the_language_of_queries(local):
    trial, (run,) = local.trial()
    rows = [{"index": n, "training": n % 2 == 0, "train": {"loss": n / 10}, "name": "ab"[n % 2], "a.b": n, "%": n}
            for n in range(10)]  # fmt: skip
    local.log(trial, run, *enumerate([*rows, {"note": "end"}]))
    found = local.of(trial)
    assert found.where("training and index < 5")["index"].tolist() == [0, 2, 4]
    assert found.where("train.loss > 0.75")["index"].tolist() == [8, 9]
    assert found.where('statistics["train/loss"] <= 0.1 or statistics["%"] == 9')["index"].tolist() == [0, 1, 9]
    assert found.where("a.b in [1, 2] and not training")["index"].tolist() == [1]
    assert found.where("name matches '^a' and 1 < index <= 4")["index"].tolist() == [2, 4]
    assert found.where("index != null").where("index >= 8")["train/loss"].tolist() == [0.8, 0.9]
    assert len(found.where("index == null")) == 1
    assert len(found.where(f"execution == '{run[:8]}' and trial == '{trial}'")) == 11
    assert len(found.where("execution == 'f' and execution == '0'")) == 0
    counts = [("==", 1), ("!=", 10), ("<", 5), ("<=", 6), (">", 5), (">=", 6)]
    assert [len(found.where(f"time {sign} '2023-11-14T22:13:25Z'")) for sign, _ in counts] == [count for _, count in counts]
    assert len(found.where("'2023-11-14T22:13Z' < time")) == 0
    assert len(found.where("time == '2023-11-14T22:13Z'")) == 11
    with pytest.raises(QueryError) as wrong:
        found.where("index < 5 and trainin")
    assert wrong.value.lines == ("there is no statistic trainin; did you mean training?", "  index < 5 and trainin",
                                 "                ^^^^^^^")  # fmt: skip
    with pytest.raises(QueryError, match=r"did you mean statistics\[\"train/loss\"\]"):
        found.where("train.los > 0")


def test_queries_say_the_same_of_columns_as_of_rows(local):
    """Where NumPy compares a whole column, and where values are compared one by one."""
    chance = random.Random(3)
    kinds = {"f": (0.5, NAN, INF, 2.0**53, -1.5), "i": (1, -3, 2**53 + 1, 2**61), "s": (1, 2, 3), "b": (True, False),
             "t": ("a", "b"), "m": (1, 2.5, "a", True, None, [1]), "n": (0.5, None, NAN, 1)}  # fmt: skip
    trial, (run,) = local.trial()
    rows = [{key: chance.choice(own) for key, own in kinds.items() if chance.random() < 0.7} for _ in range(80)]
    local.log(trial, run, *enumerate(rows), piece=30)
    found = local.of(trial)
    constants = ("1", "2.5", "-3", "9007199254740993", "9007199254740992.0", "2305843009213693952", "nan", "inf", "null",
                 "true", "'a'", "[1, 'a']", "1e30", str(2**70))  # fmt: skip
    asked = 0
    for key in kinds:
        for operator in ("==", "!=", "<", "<=", ">", ">="):
            for constant in constants:
                compared = f"{key} {operator} {constant}", f"not ({constant} {operator} {key})", f"{key} {operator} f or {key}"
                for query in compared:
                    node = parse(query, Keys(kinds))
                    wanted = [n for n, one in enumerate(rows) if holds(node, {k: v for k, v in one.items() if v is not None})]
                    assert [(one - START) // SECOND for one in found.where(query).nanoseconds] == wanted, query
                    asked += 1
    assert asked == 7 * 6 * len(constants) * 3


def test_a_million_points_are_a_frame_long_before_they_are_rows(local):
    """As one process needs, however busy the machine is: a tenth of a second, and a second."""
    trial, (run,) = local.trial()
    chance = random.Random(1)
    payload = statistics.pack(
        [Record(60 * n, START + 1000 * n + chance.randrange(900), {"step": n, "loss": chance.random()}) for n in range(5000)]
    )
    size = 60 * 5000
    local.journal.append([Segment(trial, run, "w0", "statistics", size * at, size * (at + 1), payload) for at in range(100)])

    def taken(action):
        before = time.process_time()
        action()
        return time.process_time() - before

    assert local.of(trial).to_pandas().shape == (500_000, 2)
    frames, rows = min(taken(local.of(trial).to_pandas) for _ in range(3)), taken(lambda: [None for _ in local.of(trial)])
    assert frames * 3 < rows, (frames, rows)


@pytest.mark.parametrize("frame", [Columns, Held])
def test_any_key_sorts(local, frame):
    trial, (run,) = local.trial()
    values = [3, NAN, "b", 1.5, None, True, 3, "a", [1], -INF]
    local.log(trial, run, *[(n, {"n": n, "x": value, "y": float(n % 3) if n else NAN}) for n, value in enumerate(values)],
             (10, {"n": 10}))  # fmt: skip
    found = local.of(trial)
    found._read.frame = frame(local.journal, local.entries(trial))
    assert found.sorted_by("x")["n"].tolist() == [9, 3, 0, 6, 7, 2, 5, 8, 1, 4, 10]
    assert found.sorted_by("x", reverse=True)["n"].tolist() == [8, 5, 2, 7, 0, 6, 3, 9, 1, 4, 10]
    assert found.sorted_by("y")["n"].tolist() == [3, 6, 9, 1, 4, 7, 2, 5, 8, 0, 10]
    assert found.sorted_by("y", reverse=True)["n"].tolist() == [2, 5, 8, 1, 4, 7, 3, 6, 9, 0, 10]
    assert found.where("n > 2").sorted_by("y").sorted_by("n", reverse=True)[:3]["n"].tolist() == [10, 9, 8]
    assert found.sorted_by("time", reverse=True)["n"].tolist() == list(range(10, -1, -1))
    assert [one["n"] for one in found[::-1].records()] == list(range(10, -1, -1))
    with pytest.raises(UnknownKey, match="there is no statistic z"):
        found.sorted_by("z")


def test_at_is_the_latest_of_every_key_there(local):
    trial, (run,) = local.trial()
    rows = {"epoch": 1, "loss": 3.0}, {"epoch": 1, "val": {"loss": 2.0}}, {"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}
    local.log(trial, run, *enumerate(rows))
    found = local.of(trial)
    assert found.at(epoch=1) == {"epoch": 1, "loss": 1.0, "val/loss": 2.0}
    assert found.at(epoch=2.0)["loss"] == 0.5
    assert found.sorted_by("loss").at(epoch=1)["loss"] == 1.0
    assert found.at(epoch=1, loss=3)["loss"] == 3.0
    assert found.at(epoch=np.int64(2)) == {"epoch": 2, "loss": 0.5}
    assert found.at(epoch=9) == {}
    with pytest.raises(UnknownKey, match="did you mean epoch"):
        found.at(epochs=1)


def test_summary_and_narrower_views(local):
    trial, (run,) = local.trial()
    rows = [{"loss": [0.5, NAN, 2.0][n], "name": "abc"[n]} for n in range(3)]
    local.log(trial, run, *enumerate([*rows, {"val": 7}, {"val": None}]))
    found = local.of(trial)
    summary = found.summary()
    assert (summary["loss"].last, summary["loss"].min, summary["loss"].max, summary["loss"].mean, summary["loss"].count) == (
        2.0, 0.5, 2.0, 1.25, 3)  # fmt: skip
    assert (summary["name"].last, summary["name"].min, summary["val"].last, summary["val"].count) == ("c", None, None, 2)
    assert list(found.where("loss == 0.5").summary()) == ["loss", "name"]
    narrow = found[["val", "name"]]
    assert (narrow.keys(), len(narrow), [dict(one) for one in narrow[-2:]]) == (["val", "name"], 4, [{"name": "c"}, {"val": 7}])
    assert "loss" in found
    assert "loss" not in narrow
    assert (dict(found[-2]), narrow[0]["name"]) == ({"val": 7}, "a")
    with pytest.raises(IndexError):
        narrow[4]
    assert repr(narrow) == "<Statistics: 4 rows of val, name>"


def test_pandas_keeps_types_times_and_what_is_missing(local):
    trial, (run,) = local.trial()
    when = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    local.log(trial, run, (0, {"i": 1, "b": True, "f": NAN, "t": "x", "whole": 2**62, "when": when, "m": 1}),
             (0.5, {"f": 0.5, "whole": 2**53 + 1, "m": "a", "\ud800": "\ud800"}))  # fmt: skip
    found = local.of(trial)
    frame = found.to_pandas()
    assert (frame.index.name, str(frame.index.dtype)) == ("time", "datetime64[ns, UTC]")
    assert frame.index[1] == pd.Timestamp(START + SECOND // 2, tz="UTC")
    types = [str(frame[key].dtype) for key in ("i", "b", "f", "whole", "when", "m")]
    assert types == ["Int64", "boolean", "float64", "int64", "datetime64[ns, UTC]", "object"]
    assert frame["i"].isna().tolist() == [False, True]
    assert frame["whole"].tolist() == [2**62, 2**53 + 1]
    assert frame["when"].iloc[0] == when
    assert frame["t"].iloc[0] == "x"
    assert frame["t"].isna().iloc[1]
    assert frame["\ud800"].iloc[1] == "\ud800"
    assert found.where("f == 0.5").to_pandas()["m"].tolist() == ["a"]
    assert local.of(*[local.trial()[0]]).to_pandas().empty


def test_several_trials_have_an_index_of_trial_and_time(local):
    (one, (first,)), (two, (second,)) = local.trial(), local.trial()
    local.log(one, first, (0, {"x": 1}), (2, {"x": 2})).log(two, second, (1, {"x": 3}), (2, {"x": 4}))
    found = local.of(two, one)
    assert found["x"].tolist() == [1, 3, 4, 2]  # of equal times the trial that was named first
    frame = found.to_pandas()
    assert frame.index.names == ["trial", "time"]
    assert frame.loc[one, "x"].tolist() == [1, 2]
    assert frame["x"].tolist() == [3, 4, 1, 2]
    assert frame.xs(two, level="trial").index[0] == pd.Timestamp(START + SECOND, tz="UTC")
    assert found.sorted_by("x").to_pandas()["x"].tolist() == [1, 2, 3, 4]
    assert found.sorted_by("x").to_arrow()["trial"].to_pylist() == [one, one, two, two]
    assert found.where(f"trial == '{one[:9]}'")["x"].tolist() == [1, 2]


def test_arrow_tells_nan_from_missing(local):
    trial, (run,) = local.trial()
    when = datetime.datetime(2026, 1, 2, tzinfo=UTC)
    local.log(trial, run, (0, {"f": NAN, "i": 1, "b": True, "t": "x", "v": [1.0, 2.0], "time": 5, "when": when, "big": 2**70}),
             (1, {"m": 1, "t": "\ud800"}), (2, {"m": "a", "f": 1.0, "d": {}}), (3, {"m": [1], "e": b"x"}))  # fmt: skip
    table = local.of(trial).to_arrow()
    assert table["f"].null_count == 2
    assert math.isnan(table["f"][0].as_py())
    assert [str(table.schema.field(name).type) for name in ("row.time", "i", "b", "v", "when", "time", "e")] == [
        "timestamp[ns, tz=UTC]", "int64", "bool", "list<item: double>", "timestamp[ns, tz=UTC]", "int64", "binary"]  # fmt: skip
    assert table["m"].to_pylist() == [None, "1", "a", "[1]"]
    assert table["big"].to_pylist()[0] == str(2**70)
    assert table["t"].to_pylist() == ["x", "?", None, None]
    assert table["row.time"][1].value == START + SECOND
    assert table["execution"].to_pylist() == [run] * 4
    whole = local.of(trial).where("f == nan").to_arrow()["f"]
    assert (whole.null_count, math.isnan(whole[0].as_py())) == (0, True)
    assert pa.types.is_dictionary(table.schema.field("trial").type)


def test_a_notebook_shows_the_first_rows_and_the_last(local):
    trial, (run,) = local.trial()
    local.log(trial, run, *[(n, {"n": n, "<b>": f"<i>{n}"}) for n in range(100)])
    shown = local.of(trial)._repr_html_()
    assert re.findall(r">(\d+)</td>", shown) == ["0", "1", "2", "3", "4", "95", "96", "97", "98", "99"]
    assert "90 more rows" in shown
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "more" not in local.of(trial)[:3]._repr_html_()


def test_iterating_holds_only_what_overlaps_in_time(local, monkeypatch):
    """Two writers in parallel, hundreds of segments: few of them are open at any time."""
    trial, (run,) = local.trial()
    for writer in range(2):
        local.log(trial, run, *[(n + writer / 2, {"n": n, "w": writer}) for n in range(1000)], writer=f"w{writer}", piece=10)
    held, most = 0, 0
    original = rows_module.Row

    class Counted(original):
        def __init__(self, *words):
            nonlocal held, most
            held += 1
            most = max(most, held)
            super().__init__(*words)

        def __del__(self):
            nonlocal held
            held -= 1

    monkeypatch.setattr(rows_module, "Row", Counted)
    found = local.of(trial)
    assert [(one["n"], one["w"]) for one in found] == [(n // 2, n % 2) for n in range(2000)]
    assert most < 60
    assert found._read.frame is None


def test_what_comes_while_one_iterates_is_left_to_the_next_reading(book):
    """A run goes on: its last range grows, and others follow."""
    trial, (run,) = book.trial()
    made = [Record(10 * n, START + n, {"n": n}) for n in range(30)]

    def append(begin, end):
        payload = statistics.pack(made[begin:end])
        book.journal.append([Segment(trial, run, "w0", "statistics", 10 * begin, 10 * end, payload)])

    append(0, 5)
    append(5, 10)
    found, again = book.of(trial).records(), book.of(trial)
    read = [next(found)["n"]]
    append(5, 20)
    append(20, 30)
    assert [*read, *(one["n"] for one in found)] == list(range(10))
    assert len(again) == 30


WITHOUT = """
import sys
sys.modules["numpy"] = sys.modules["pandas"] = sys.modules["pyarrow"] = None
from kleio.core.journal import open_journal
from kleio.core.reading.statistics import Statistics
class Source:
    journal = open_journal(sys.argv[1], writing=False)
found = Statistics(Source, [Source.journal.entry(sys.argv[2])])
print(len(found), found.keys(), found.column("x"), found.where("x > 1 and name matches 'c'").column("name"))
print(found.sorted_by("x", reverse=True).column("x"), found.at(x=1)["name"], found[["y"]].column("y"), found[1:].nanoseconds[0])
print([dict(one) for one in found][1], found.summary()["x"].mean, "<table>" in found._repr_html_())
for ask in (lambda: found["x"], lambda: found.times, found.to_pandas, found.to_arrow):
    try:
        ask()
    except Exception as error:
        print(error)
"""


def test_without_numpy_everything_but_arrays_works(home):
    book = Book(f"sqlite:///{home}/journal.db")
    trial, (run,) = book.trial()
    book.log(trial, run, *[(n, {"x": n, "name": "abc"[n]}) for n in range(3)], (3, {"y": NAN}))
    book.journal.close()
    done = subprocess.run([sys.executable, "-c", WITHOUT, book.uri, trial], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "4 ['x', 'name', 'y'] [0, 1, 2, None] ['c']",
        f"[2, 1, 0, None] b [nan] {START + SECOND}",
        "{'x': 1, 'name': 'b'} 1.0 True",
        "statistics['x'] needs NumPy: pip install 'kleio[numpy]'",
        "times needs NumPy: pip install 'kleio[numpy]'",
        "to_pandas() needs pandas: pip install 'kleio[pandas]'",
        "to_arrow() needs pyarrow: pip install 'kleio[arrow]'",
    ], done.stderr
