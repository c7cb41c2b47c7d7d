"""Tables as files, in the format that the suffix of their name tells."""

from __future__ import annotations

import datetime
import json
import os
from functools import partial
from importlib import import_module

from kleio.core import wholefile
from kleio.core.errors import UsageError
from kleio.core.extras import needed
from kleio.core.markup import latex, markdown
from kleio.core.table import as_json, is_number, is_numeric, plain, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from kleio.core.table import Table

PARQUET = ("pyarrow.parquet", "arrow", ".parquet files need")
PANDAS = ("pandas", "pandas", ".pkl files need")
FORMATS = ("csv", "json", "md", "tex", "parquet", "pkl")
SHORT = 4
"""Significant digits of floats in the formats that people read (md, tex), where nothing else is asked for."""
LEAST, GREATEST = -(1 << 63), (1 << 63) - 1
EXACT = 1 << 53
"""Whole numbers up to it are the same as floats."""


def check(path: str | os.PathLike[str]) -> str:
    """The format that the name of a file tells: to be asked before what is exported is put together.

    Raises UsageError where it is none of FORMATS, KleioError where the library for it is missing or the file cannot be written.
    """
    suffix = os.path.splitext(os.fspath(path))[1][1:].lower()
    if suffix not in FORMATS:
        known = ", ".join(f".{one}" for one in FORMATS)
        raise UsageError(f"{os.fspath(path)} is of no format that tables are written in; its name ends with one of {known}")
    if suffix == "parquet":
        needed(*PARQUET)
    elif suffix == "pkl":
        needed(*PANDAS)
    wholefile.check(path)
    return suffix


def export(table: Table, path: str | os.PathLike[str], precision: int | None = None) -> None:
    """Write ``table`` to a file, whole or not at all; one that is there is replaced. Raises as :func:`check`.

    ``precision`` is the number of significant digits of floats in csv, json, md and tex; parquet and pkl are always exact, and
    csv and json are where it is not given.
    """
    write = _WRITERS[check(path)]
    with wholefile.whole(path) as temporary:
        write(table, temporary, precision)


def _csv(table: Table, path: str, precision: int | None) -> None:
    """RFC 4180."""
    import csv

    with _opened(path) as file:
        rows = csv.writer(file)
        rows.writerow(table.headings)
        rows.writerows(["" if value is None else text(value, precision) for value in row] for row in table.rows)


def _json(table: Table, path: str, precision: int | None) -> None:
    """An array of objects; what is missing is null."""
    with _opened(path) as file:
        before = "["
        for one in objects(table, precision):
            file.write(f"{before}\n{json.dumps(one)}")
            before = ","
        file.write("\n]\n" if table.rows else "[]\n")


def objects(table: Table, precision: int | None = None) -> list[dict[str, Any]]:
    """The rows as objects of JSON, by the headings."""

    def rough(one: Any) -> Any:
        return float(text(one, precision)) if isinstance(one, float) and one - one == 0 else plain(one)

    value = plain if precision is None else rough
    return [dict(zip(table.headings, map(value, row), strict=True)) for row in table.rows]


def _marked(layout: Callable[..., str], table: Table, path: str, precision: int | None) -> None:
    digits = SHORT if precision is None else precision
    numeric = [is_numeric(table.column(at)) for at in range(len(table.headings))]
    rows = [["" if value is None else text(value, digits) for value in row] for row in table.rows]
    with _opened(path) as file:
        file.write(layout(table.headings, rows, numeric))


def _parquet(table: Table, path: str, _: int | None) -> None:
    parquet, arrow = needed(*PARQUET), import_module("pyarrow")
    types = {
        "bool": arrow.bool_(), "int": arrow.int64(), "float": arrow.float64(), "text": arrow.string(),
        "time": arrow.timestamp("us", "UTC"),
    }  # fmt: skip
    columns = []
    for at in range(len(table.headings)):
        kind, values = typed(table.column(at))
        columns.append(arrow.array(values, types[kind]))
    parquet.write_table(arrow.Table.from_arrays(columns, names=list(map(_encodable, table.headings))), path)


def _pkl(table: Table, path: str, _: int | None) -> None:
    frame(table).to_pickle(path)


def frame(table: Table) -> Any:
    """A pandas DataFrame: of whole numbers and truth values pandas' own types where some are missing, times with UTC.

    Raises KleioError where pandas is missing.
    """
    pandas = needed(*PANDAS)
    index = pandas.RangeIndex(len(table.rows))
    columns = [in_pandas(pandas, *typed(table.column(at)), index) for at in range(len(table.headings))]
    found = pandas.DataFrame(dict(enumerate(columns)), index=index)
    found.columns = list(map(_encodable, table.headings))
    return found


def in_pandas(pandas: Any, kind: str, values: Sequence[Any], index: Any) -> Any:
    """A column of one of the kinds of :func:`typed`, for a DataFrame of this ``index``.

    Series that pandas makes of a list take four times as long, which tables of many columns are made of.
    """
    import numpy as np

    if kind == "float":
        return np.array(values, dtype=float)  # what is None is NaN
    if kind in ("text", "time"):
        return pandas.Series(values, dtype=np.dtype(object) if kind == "text" else "datetime64[us, UTC]", index=index)
    dtype = np.dtype(bool if kind == "bool" else "int64")
    missing = [value is None for value in values]
    if not any(missing):
        return np.array(values, dtype=dtype)
    masked = pandas.arrays.BooleanArray if kind == "bool" else pandas.arrays.IntegerArray
    return masked(np.array([0 if value is None else value for value in values], dtype=dtype), np.array(missing))


def typed(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """What kind of column these are, ``bool``, ``int``, ``float``, ``time`` or ``text``, and they as such.

    Whole numbers among floats become floats if none changes by it. Where kinds are mixed, and of lists, there are texts: words
    as they are and the rest as JSON. Where all is missing, it is floats that are.
    """
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return ("bool", list(values)) if known else ("float", list(values))
    if all(isinstance(value, datetime.datetime) for value in known):
        return "time", list(values)
    if all(map(is_number, known)):
        if all(isinstance(value, int) for value in known) and all(LEAST <= value <= GREATEST for value in known):
            return "int", list(values)
        if all(isinstance(value, float) or -EXACT <= value <= EXACT for value in known):
            return "float", [None if value is None else float(value) for value in values]
    return "text", [None if value is None else _encodable(_as_text(value)) for value in values]


def _as_text(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return text(value)
    return value if isinstance(value, str) else as_json(value)


def _encodable(written: str) -> str:
    """Without halves of characters, which UTF-8 has no bytes for."""
    return written.encode("utf-8", "replace").decode()


def _opened(path: str) -> Any:
    return open(path, "w", encoding="utf-8", errors="replace", newline="")


_WRITERS: dict[str, Callable[[Table, str, int | None], None]] = {
    "csv": _csv,
    "json": _json,
    "md": partial(_marked, markdown),
    "tex": partial(_marked, latex),
    "parquet": _parquet,
    "pkl": _pkl,
}
