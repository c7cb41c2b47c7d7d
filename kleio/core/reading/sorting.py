"""Rows of statistics by their values: numbers, then texts, then truth values, then the rest; what is missing, and NaN, last."""

from __future__ import annotations

from kleio.core.reading.column import MISSING, places
from kleio.core.reading.holding import of_rows
from kleio.core.reading.names import ROW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from kleio.core.reading.column import Rows
    from kleio.core.reading.statistics import Frame

LAST: tuple[int, Any] = (9, 0)


def by(frame: Frame, name: str, among: Rows | None, reverse: bool) -> Rows:
    """The rows ``among`` sorted by a field; of equal ones, either way round, the order stays."""
    if hasattr(frame.times, "tolist"):
        found = _by_numbers(frame, name, among, reverse)
        if found is not None:
            return found
    rows = list(range(frame.count)) if among is None else [int(row) for row in among]
    ranks = [_rank(value) for value in of_rows(frame, name, among)]
    known = [at for at, rank in enumerate(ranks) if rank is not LAST]
    known.sort(key=ranks.__getitem__, reverse=reverse)
    order = [rows[at] for at in (*known, *(at for at, rank in enumerate(ranks) if rank is LAST))]
    if not hasattr(frame.times, "tolist"):
        return order
    import numpy as np

    return np.array(order, np.int64)


def _rank(value: Any) -> tuple[int, Any]:
    if value is MISSING or value is None or (isinstance(value, float) and value != value):
        return LAST
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, str):
        return 1, value
    from kleio.core.values import dumps

    return 3, dumps(value)


def _by_numbers(frame: Frame, name: str, among: Rows | None, reverse: bool) -> NDArray[Any] | None:
    """The same with NumPy, of a column of one kind."""
    import numpy as np

    rows = np.arange(frame.count) if among is None else np.asarray(among, np.int64)
    values: NDArray[Any]
    have: NDArray[Any]
    if name == f"{ROW}time":
        values, have = np.asarray(frame.times)[rows], np.ones(len(rows), bool)
    elif name.startswith(ROW):
        return None
    else:
        typed = frame.column(name).typed()
        if typed.values.dtype.kind == "O":
            return None
        found, have = places(typed.rows, rows)
        values = typed.values[found]
    if values.dtype.kind == "f":
        numbers = ~np.isnan(values)
        have[np.flatnonzero(have)[~numbers]] = False
        values = values[numbers]
    order = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1] if reverse else np.argsort(values, kind="stable")
    return np.asarray(np.concatenate([rows[have][order], rows[~have]]))
