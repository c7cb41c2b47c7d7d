"""Statistics as a table to be printed or exported: the time, of several trials the trial, and a column for each key."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from kleio.core.reading.rows import moment
from kleio.core.table import Table, plain
from kleio.core.values import portable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kleio.core.reading.rows import Row
    from kleio.core.reading.statistics import Statistics

_PLAIN = (bool, int, float, str, list, dict)


class Rows(Sequence[Sequence["Any"]]):
    """The rows of a view, put together when they are looked at."""

    def __init__(self, view: Statistics) -> None:
        self._view = view
        self._keys = view.keys()

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return (self._row(one) for one in self._view.records())

    @overload
    def __getitem__(self, at: int) -> Sequence[Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Sequence[Any]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return Rows(self._view[at])
        number = range(len(self))[at]
        return next(iter(Rows(self._view[number : number + 1])))

    def _row(self, one: Row) -> list[Any]:
        return [one.time, *([one.trial] if self._view.several else []), *(_cell(one.get(key)) for key in self._keys)]

    def column(self, at: int) -> list[Any]:
        """Without the others."""
        if at == 0:
            return [moment(one) for one in self._view.nanoseconds]
        if at == 1 and self._view.several:
            return [one.trial for one in self._view.records()]
        return [_cell(one) for one in self._view.column(self._keys[at - 1 - self._view.several])]


def _cell(value: Any) -> Any:
    """A value in terms of :class:`~kleio.core.table.Table`."""
    if value is None or type(value) in _PLAIN or (isinstance(value, datetime.datetime) and value.tzinfo is not None):
        return value
    return portable(value)


class _Listed(Table):
    """One whose columns are read as such."""

    __slots__ = ()

    def column(self, at: int) -> list[Any]:
        rows = self.rows
        assert isinstance(rows, Rows)
        return rows.column(at)


def table(view: Statistics) -> Table:
    """Times are in UTC. A key that is called ``time`` or ``trial`` keeps its name, and these are ``row.time`` and so on."""
    return _Listed(headings(view), Rows(view))


def headings(view: Statistics) -> list[str]:
    keys = view.keys()
    first = ["time", *(["trial"] if view.several else [])]
    return [*(f"row.{name}" if name in keys else name for name in first), *keys]


def figures(view: Statistics) -> Table:
    """A row for each key: how many values it has, their smallest, greatest, mean and last."""
    names = ("count", "min", "max", "mean", "last")
    rows = [[key, *(_cell(own.get(name)) for name in names)] for key, own in view.summary().items()]
    return Table(["key", *names], rows)


def documents(view: Statistics) -> list[dict[str, Any]]:
    """As ``--json`` has them: what a row does not have is not there."""
    return [
        {"time": plain(one.time), "trial": one.trial, "execution": one.execution, "values": dict(one)}
        for one in view.records()
    ]
