from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kleio.core.journal.base import Segment, Summary
from kleio.core.statistics import Record, Summariser, combine, pack, records, unpack

numbers = st.integers() | st.floats(allow_nan=False)
values = st.dictionaries(
    st.sampled_from(["loss", "epoch", "a.b", "$x", "ü", "", "\0"]), numbers | st.text() | st.none() | st.booleans()
)
logged = st.lists(st.tuples(st.integers(0, 2**62), values), max_size=40)


@given(logged)
def test_packing_keeps_every_value_and_its_type(found):
    before = [Record(at * 10, when, own) for at, (when, own) in enumerate(found)]
    after = unpack(pack(before))
    assert after == before
    for one, other in zip(before, after, strict=True):
        assert [type(one.values[key]) for key in sorted(one.values)] == [
            type(other.values[key]) for key in sorted(other.values)
        ]


def test_not_a_number_survives():
    (record,) = unpack(pack([Record(0, 1, {"x": math.nan, "y": -math.inf})]))
    assert math.isnan(record.values["x"])
    assert record.values["y"] == -math.inf


def test_a_point_takes_few_bytes():
    points = [
        Record(30 * n, 1_700_000_000_000_000_000 + 1_000_003 * n, {"step": n, "loss": 1 / (n + 1)}) for n in range(20_000)
    ]
    assert len(pack(points)) / len(points) < 14


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_overlapping_segments_give_each_record_once(first, second):
    """What a killed launcher shipped and what its successor shipped again, in other pieces."""
    everything = [Record(offset, offset, {"n": offset}) for offset in range(sum(first))]
    segments = list(cut(everything, first, 0))
    begin = sum(first[:-1])  # the successor goes on within what the first one reached
    segments += [one for one in cut(everything, second, begin) if one.start < len(everything)]
    segments.sort(key=lambda one: (one.start, one.end))
    assert [record.offset for record in records(segments)] == list(range(len(everything)))


def cut(everything, sizes, start):
    for size in sizes:
        end = min(start + size, len(everything))
        yield Segment("t", "e", "w", "statistics", start, end, pack(everything[start:end]))
        start = end
        if start >= len(everything):
            return


def test_summaries_combine_over_writers_and_executions():
    first, second = Summariser(), Summariser()
    for when, loss in enumerate([3.0, 1.0, math.nan]):
        first.add(Record(0, when, {"loss": loss, "train": {"acc": when}}))
    second.add(Record(0, 10, {"loss": 2.0, "name": "x"}))
    combined = combine([Summary("t", "e", "w1", 1, first.keys), Summary("t", "e", "w2", 1, second.keys)])
    assert combined["loss"] == {"last": 2.0, "min": 1.0, "max": 3.0, "mean": 2.0, "count": 4}
    assert combined["train/acc"] == {"last": 2, "min": 0, "max": 2, "mean": 1.0, "count": 3}
    assert combined["name"] == {"last": "x", "count": 1}
