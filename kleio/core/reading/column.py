"""One column of statistics: the rows that have it, and their values, as plain Python or as NumPy arrays."""

from __future__ import annotations

import datetime

from kleio.core.errors import KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NamedTuple

    from numpy.typing import NDArray

    Rows = Sequence[int] | NDArray[Any]

    class Typed(NamedTuple):
        """``rows`` ascend; None stands for all rows. ``values`` has one element for each, and no None. ``zone`` is "UTC" where
        they are times of known zones.
        """

        rows: NDArray[Any] | None
        values: NDArray[Any]
        zone: str | None

else:
    from collections import namedtuple

    Typed = namedtuple("Typed", "rows values zone")


class _Missing:
    """Stands for a value that a row does not have, where None would be one that was logged."""

    def __repr__(self) -> str:
        return "missing"

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()
EXACT = 1 << 53
"""Whole numbers up to it are the same as floats."""
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - what is counted from it has no zone either
_FIRST, _LAST = _EPOCH.replace(year=1678), _EPOCH.replace(year=2262)
"""Between them lie the times that 64 bits hold in nanoseconds."""


def arrays(what: str) -> None:
    """Make sure that there is NumPy for ``what``. Raises KleioError."""
    try:
        import numpy  # noqa: F401 - 100 ms
    except ImportError:
        raise KleioError(f"{what} needs NumPy: pip install 'kleio[numpy]'") from None


class Column:
    """``rows`` ascend, and are None where every one of ``count`` rows has a value; ``values`` has one for each.

    Both are lists, or NumPy arrays where that is how they were read.
    """

    def __init__(self, count: int, rows: Rows | None, values: Sequence[Any] | NDArray[Any]) -> None:
        self.count, self.rows, self._values = count, rows, values
        self._typed: Typed | None = None
        self._places: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self._values)

    @property
    def values(self) -> list[Any]:
        """As Python's own."""
        return self._values.tolist() if hasattr(self._values, "tolist") else list(self._values)

    def at(self, rows: Rows | None) -> list[Any]:
        """The values of these rows, or of all of them; MISSING where one has none."""
        if self.rows is None:
            return self.values if rows is None else _taken(self._values, rows)
        if hasattr(self.rows, "tolist") or (rows is not None and hasattr(rows, "tolist")):
            return self._found(rows)
        if self._places is None:
            self._places = {int(row): place for place, row in enumerate(self.rows)}
        found = map(self._places.get, range(self.count) if rows is None else rows)
        values = self._values
        return [MISSING if place is None else values[place] for place in found]

    def _found(self, rows: Rows | None) -> list[Any]:
        import numpy as np

        wanted = np.arange(self.count) if rows is None else np.asarray(rows, np.int64)
        found, have = places(self.rows, wanted)
        values = iter(_taken(self._values, found))
        return [next(values) if there else MISSING for there in have.tolist()]

    def typed(self) -> Typed:
        """Of the rows whose value is not None, as an array with the dtype that fits all of them. Needs NumPy."""
        if self._typed is None:
            self._typed = self._made()
        return self._typed

    def _made(self) -> Typed:
        import numpy as np

        rows = None if self.rows is None else np.asarray(self.rows, np.int64)
        if isinstance(self._values, np.ndarray):
            return Typed(rows, self._values, None)
        values = list(self._values)
        if None in map(_none, values):
            there = np.fromiter((value is not None for value in values), bool, len(values))
            rows = np.flatnonzero(there) if rows is None else rows[there]
            values = [value for value in values if value is not None]
        return Typed(rows, *array(values))


def _none(value: Any) -> Any:
    """None for None; whatever else is no matter of comparison, which values of any type may make their own."""
    return None if value is None else 0


def _taken(values: Sequence[Any] | NDArray[Any], rows: Rows) -> list[Any]:
    if hasattr(values, "tolist"):
        return values[rows].tolist()  # type: ignore[call-overload, no-any-return]
    return [values[row] for row in (rows.tolist() if hasattr(rows, "tolist") else rows)]


def places(rows: Rows | None, wanted: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where in the ascending ``rows`` those of ``wanted`` stand that are among them, and which these are."""
    import numpy as np

    if rows is None:
        return wanted, np.ones(len(wanted), bool)
    own = np.asarray(rows, np.int64)
    if not len(own):
        return own, np.zeros(len(wanted), bool)
    found = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
    have = own[found] == wanted
    return found[have], have


def array(values: list[Any]) -> tuple[NDArray[Any], str | None]:
    """Values, none of them None, as an array: float64, int64, bool or datetime64[ns] if all are of that kind, else objects; and
    the time zone of times.

    Whole numbers among floats become floats where nothing is lost by it.
    """
    import numpy as np

    kinds = set(map(type, values))
    if kinds == {float}:
        return np.array(values, np.float64), None
    if kinds == {bool}:
        return np.array(values, np.bool_), None
    if kinds == {int} and min(values) >= -(1 << 63) and max(values) < 1 << 63:
        return np.array(values, np.int64), None
    if kinds == {int, float} and all(type(value) is float or abs(value) <= EXACT for value in values):
        return np.array(values, np.float64), None
    if kinds == {datetime.datetime}:
        zoned = {value.utcoffset() is not None for value in values}
        if len(zoned) == 1:
            plain = [_in_utc(value) for value in values]
            if min(plain) >= _FIRST and max(plain) < _LAST:
                return np.array([_nanoseconds(value) for value in plain], "M8[ns]"), "UTC" if zoned == {True} else None
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects, None


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    return value if value.utcoffset() is None else value.astimezone(datetime.timezone.utc).replace(tzinfo=None)


def _nanoseconds(value: datetime.datetime) -> int:
    since = value - _EPOCH
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
