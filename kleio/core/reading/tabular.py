"""Statistics as tables of pandas and of Arrow, and in notebooks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kleio.core.extras import needed
from kleio.core.reading import html
from kleio.core.reading.column import MISSING, places
from kleio.core.reading.executions import Figures
from kleio.core.table import as_json

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from kleio.core.reading.column import Column, Rows
    from kleio.core.reading.statistics import Statistics

ENDS = 5
"""Rows at the beginning and at the end that notebooks show."""


class Selected:
    """The rows of a view, as arrays: ``times`` in nanoseconds, ``origin`` the number of each row's origin."""

    def __init__(self, view: Statistics) -> None:
        import numpy as np

        frame, rows = view.parts
        self.rows: NDArray[Any] | None = None if rows is None else np.asarray(rows, np.int64)
        self.times: NDArray[Any] = self._of(np.asarray(frame.times, np.int64))
        self.origin: NDArray[Any] = self._of(np.asarray(frame.origin, np.int64))
        self.count = len(self.times)

    def _of(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.rows is None else values[self.rows]

    def values(self, column: Column) -> tuple[NDArray[Any], NDArray[Any] | None, str | None]:
        """Those of a column, which of the rows have one, None if all do, and the zone of times."""
        import numpy as np

        typed = column.typed()
        if self.rows is None:
            if typed.rows is None:
                return typed.values, None, typed.zone
            have: NDArray[Any] = np.zeros(self.count, bool)
            have[typed.rows] = True
            return typed.values, have, typed.zone
        found, have = places(typed.rows, self.rows)
        return typed.values[found], None if have.all() else have, typed.zone


# -- pandas ---------------------------------------------------------------------------------------------------------


def to_pandas(view: Statistics) -> Any:
    """See :meth:`kleio.core.reading.statistics.Statistics.to_pandas`."""
    pandas = needed("pandas", "pandas", "to_pandas() needs")
    selected, keys = Selected(view), view.keys()
    if view.several:
        trial, index = _by_trial(pandas, view, selected)
    else:
        trial, index = None, pandas.DatetimeIndex(selected.times.view("M8[ns]"), name="time").tz_localize("UTC")
    columns = {at: _series(pandas, selected, view.parts[0].column(key), index) for at, key in enumerate(keys)}
    found = pandas.DataFrame(columns, index=index, copy=False)
    try:
        found.columns = keys
    except UnicodeEncodeError:  # halves of characters, which pandas' own texts cannot have
        found.columns = pandas.Index(keys, dtype=object)
    return found if trial is None or view.is_sorted else found.iloc[trial.argsort(kind="stable")]


def _by_trial(pandas: Any, view: Statistics, selected: Selected) -> tuple[NDArray[Any], Any]:
    """The number of each row's trial, and the index (trial, time)."""
    import numpy as np

    trials = list(dict.fromkeys(view.trials))
    number = {trial: at for at, trial in enumerate(trials)}
    trial = np.array([number[one] for one, _ in view.parts[0].origins], np.int64)[selected.origin]
    levels, times = _levels(selected.times)
    instants = pandas.DatetimeIndex(levels.view("M8[ns]")).tz_localize("UTC")
    return trial, pandas.MultiIndex([trials, instants], [trial, times], names=["trial", "time"], verify_integrity=False)


def _levels(times: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The different times, ascending, and for each row which it has. Most often they ascend already."""
    import numpy as np

    if len(times) and (times[1:] < times[:-1]).any():
        levels, codes = np.unique(times, return_inverse=True)
        return levels, codes
    new = np.ones(len(times), bool)
    new[1:] = times[1:] != times[:-1]
    return times[new], np.cumsum(new) - 1


def _series(pandas: Any, selected: Selected, column: Column, index: Any) -> Any:
    import numpy as np

    values, have, zone = selected.values(column)
    kind = values.dtype.kind
    if kind == "O":
        return _objects(pandas, values, have, index)
    if have is not None:
        spread = np.full(selected.count, {"f": np.nan, "M": np.datetime64("NaT")}.get(kind, 0), values.dtype)
        spread[have] = values
        if kind in "ib":
            return (pandas.arrays.IntegerArray if kind == "i" else pandas.arrays.BooleanArray)(spread, ~have)
        values = spread
    return pandas.DatetimeIndex(values).tz_localize("UTC") if zone else values


def _objects(pandas: Any, values: NDArray[Any], have: NDArray[Any] | None, index: Any) -> Any:
    """Texts as this pandas has them; what is of several kinds as it is."""
    import numpy as np

    spread = np.full(len(index), None, object)
    spread[slice(None) if have is None else have] = values
    if set(map(type, values)) == {str}:
        try:
            return pandas.Series(spread, index)
        except UnicodeEncodeError:  # as above
            pass
    return pandas.Series(spread, index, dtype=object)


# -- Arrow ----------------------------------------------------------------------------------------------------------


def to_arrow(view: Statistics) -> Any:
    """See :meth:`kleio.core.reading.statistics.Statistics.to_arrow`."""
    arrow = needed("pyarrow", "arrow", "to_arrow() needs")
    import numpy as np

    selected, keys = Selected(view), view.keys()
    origins = view.parts[0].origins
    columns = {"time": arrow.array(selected.times.view("M8[ns]")).cast(arrow.timestamp("ns", "UTC"))}
    for part, name in enumerate(("trial", "execution")):
        codes = arrow.array(selected.origin.astype(np.int32))
        known = list(dict.fromkeys(one[part] for one in origins))
        again = arrow.array([known.index(one[part]) for one in origins], arrow.int32())
        columns[name] = arrow.DictionaryArray.from_arrays(again.take(codes), arrow.array(known, arrow.string()))
    own = {f"row.{name}" if name in keys else name: column for name, column in columns.items()}
    own |= {key.encode("utf-8", "replace").decode(): _arrow(arrow, selected, view.parts[0].column(key)) for key in keys}
    return arrow.table(own)


def _arrow(arrow: Any, selected: Selected, column: Column) -> Any:
    import numpy as np

    values, have, zone = selected.values(column)
    missing = None if have is None else ~have
    if values.dtype.kind != "O":
        spread = values
        if have is not None:
            spread = np.zeros(selected.count, values.dtype)
            spread[have] = values
        found = arrow.array(spread, mask=missing)
        return found.cast(arrow.timestamp("ns", zone)) if zone else found
    objects = np.full(selected.count, None, object)
    objects[slice(None) if have is None else have] = values
    return _nested(arrow, objects.tolist())


def _nested(arrow: Any, values: list[Any]) -> Any:
    """Texts, lists of numbers, bytes and dates as such; what is of several kinds, or too large, as JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str} or (len(kinds) == 1 and not hasattr(next(iter(kinds)), "tzinfo") and dict not in kinds):
        try:
            return arrow.array(values)
        except (arrow.ArrowException, OverflowError, UnicodeEncodeError):
            pass
    texts = [None if one is None else one if isinstance(one, str) else as_json(one) for one in values]
    return arrow.array([one if one is None else one.encode("utf-8", "replace").decode() for one in texts], arrow.string())


# -- notebooks ------------------------------------------------------------------------------------------------------


def to_html(view: Statistics) -> str:
    """The first rows and the last."""
    keys, count = view.keys(), len(view)
    shown = keys[: html.MOST_COLUMNS]
    headings = ["time", *(["trial"] if view.several else []), *keys]

    def row(one: Any) -> list[Any]:
        return [one.time, *([one.trial[:7]] if view.several else []), *(one.get(key) for key in shown)]

    if count <= 2 * ENDS:
        return html.table(headings, [row(one) for one in view.records()])
    first, last = ([row(one) for one in part.records()] for part in (view[:ENDS], view[-ENDS:]))
    return html.table(headings, [*first, ["…"] * len(first[0]), *last], count - 2 * ENDS)


# -- figures --------------------------------------------------------------------------------------------------------


def summary(view: Statistics) -> dict[str, Figures]:
    """See :meth:`kleio.core.reading.statistics.Statistics.summary`."""
    (frame, rows), keys = view.parts, view.keys()
    order = rows if rows is None or not view.is_sorted else sorted(rows)
    with_arrays = hasattr(frame.times, "tolist")
    found = {key: (with_arrays and _by_arrays(frame.column(key), order)) or _figures(frame.column(key), order) for key in keys}
    return {key: Figures(own) for key, own in found.items() if own["count"]}


def _by_arrays(column: Column, rows: Rows | None) -> dict[str, Any] | None:
    """The same, of a column of numbers alone."""
    import numpy as np

    typed = column.typed()
    if typed.values.dtype.kind not in "fi" or len(typed.values) < len(column):
        return None
    values = typed.values if rows is None else typed.values[places(typed.rows, np.asarray(rows, np.int64))[0]]
    numbers = values[~np.isnan(values)]
    told = {"last": values[-1].item()} if len(values) else {}
    if len(numbers):
        with np.errstate(all="ignore"):
            told |= {"min": numbers.min().item(), "max": numbers.max().item(), "mean": float(numbers.mean())}
    return told | {"count": len(values)}


def _figures(column: Column, rows: Rows | None) -> dict[str, Any]:
    values = [value for value in column.at(rows) if value is not MISSING]
    numbers = [value for value in values if type(value) in (int, float) and value == value]
    told: dict[str, Any] = {"last": values[-1]} if values else {}
    if numbers:
        told |= {"min": min(numbers), "max": max(numbers)}
        with suppress(OverflowError):  # whole numbers that no float comes near have no mean
            told["mean"] = sum(numbers) / len(numbers)
    return told | {"count": len(values)}
