"""Whatever is logged comes back as it was."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import pathlib
import types
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kleio.core.values import UnstorableValueError, dumps, loads, portable

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.datetimes(), st.dates(),
    st.timedeltas(), st.complex_numbers(allow_nan=False),
)  # fmt: skip
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.just("$kleio"), inner)
        | st.dictionaries(st.integers(), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


@given(nested)
def test_round_trip(value):
    text = dumps(value)
    assert "\n" not in text
    assert text.isascii()
    assert loads(text) == value


def test_not_a_number_and_infinities():
    assert math.isnan(loads(dumps(math.nan)))
    assert loads(dumps([math.inf, -math.inf, -0.0])) == [math.inf, -math.inf, -0.0]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int64, np.uint64, np.int8, np.bool_])
def test_numpy_scalars(kind):
    value = kind(1)
    back = loads(dumps(value))
    assert back == value
    assert type(back) in (int, float, bool)


def test_numpy_arrays_dates_and_text():
    assert loads(dumps(np.arange(6).reshape(2, 3))) == [[0, 1, 2], [3, 4, 5]]
    assert loads(dumps(np.uint64(2**64 - 1))) == 2**64 - 1
    assert loads(dumps(np.datetime64("2024-05-06T07:08:09.123456789"))) == datetime.datetime(2024, 5, 6, 7, 8, 9, 123456)
    assert loads(dumps(np.str_("x"))) == "x"
    assert math.isnan(loads(dumps(np.float32("nan"))))


def test_time_zones_enumerations_and_paths():
    moment = datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert loads(dumps(moment)) == moment
    assert loads(dumps(enum.IntEnum("E", "A B").B)) == 2
    assert loads(dumps(pathlib.PurePosixPath("/a/b"))) == pathlib.PurePosixPath("/a/b")


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Options:
    lr: float
    inner: object = None


class Phase(enum.Enum):
    TRAIN = object()


class Sizes(tuple):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (decimal.Decimal("0.1"), 0.1),
        (decimal.Decimal(3), 3),
        (decimal.Decimal("1e400"), "1E+400"),
        (decimal.Decimal("0.12345678901234567890123"), "0.12345678901234567890123"),
        (decimal.Decimal("-Infinity"), -math.inf),
        (fractions.Fraction(1, 4), 0.25),
        (fractions.Fraction(6, 2), 3),
        (fractions.Fraction(1, 3), "1/3"),
        (Phase.TRAIN, "TRAIN"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (range(3), [0, 1, 2]),
        (Point(1, (2,)), {"x": 1, "y": (2,)}),
        (Sizes((1, 2)), (1, 2)),
        (Options(0.1, Options(2)), {"lr": 0.1, "inner": {"lr": 2, "inner": None}}),
        (collections.deque([1]), [1]),
        (types.SimpleNamespace(a=1), {"a": 1}),
        ({1: 2}.keys(), [1]),
        (datetime.time(1, 2), datetime.time(1, 2)),
    ],
)
def test_what_has_one_obvious_form_takes_it(value, kept):
    back = loads(dumps(value))
    assert back == kept
    assert type(back) is type(kept)


def test_what_cannot_be_kept_is_refused_by_name():
    with pytest.raises(UnstorableValueError, match="object"):
        dumps(object())
    cycle = []
    cycle.append(cycle)
    with pytest.raises(UnstorableValueError, match="contains itself"):
        dumps(cycle)


def test_somebody_elses_tag_stays_what_it_is():
    assert loads('{"$kleio": "made up", "value": 1}') == {"$kleio": "made up", "value": 1}


def test_portable_json_is_strict():
    text = json.dumps(portable({"a": math.nan, "b": [math.inf, -math.inf], "c": datetime.date(2024, 1, 2)}), allow_nan=False)
    assert json.loads(text) == {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": "2024-01-02"}
