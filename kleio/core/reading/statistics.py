"""Statistics as Python reads them: ``trial.statistics`` and ``trials.statistics``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, overload

from kleio.core import query_syntax
from kleio.core.query_tree import And, Comparison, Constant, Field, Or
from kleio.core.reading import holding, sorting
from kleio.core.reading.column import MISSING, arrays, places
from kleio.core.reading.names import OF_ROWS, ROW, Keys, UnknownKey, unknown
from kleio.core.reading.readonly import ReadOnly
from kleio.core.reading.rows import STREAM, Row, in_order
from kleio.core.spool import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Protocol

    from numpy.typing import NDArray

    from kleio.core.journal.base import Journal
    from kleio.core.query_tree import Node
    from kleio.core.reading.column import Column, Rows
    from kleio.core.reading.executions import Figures
    from kleio.core.trial import Entry

    class Source(Protocol):
        """Where trials are read from."""

        @property
        def journal(self) -> Journal: ...

    class Frame(Protocol):
        """Rows in the order of their times; ``times`` in nanoseconds since the epoch. ``origin`` has for each row which of
        ``origins`` it is of: (trial that is read, execution that logged it).
        """

        count: int
        times: Any
        origin: Any
        origins: list[tuple[str, str]]

        def keys(self) -> list[str]: ...

        def column(self, key: str) -> Column: ...


BATCH = 10_000
"""Rows that are put together at once."""
VALUES = 1_000_000
"""Values that they have together at most."""
FEW = 300_000
"""Bytes of log that are read sooner than NumPy is imported."""


class _Read:
    """What some trials logged, read from the journal when it is first asked for."""

    def __init__(self, source: Source, entries: Sequence[Entry], all_executions: bool, stream: str) -> None:
        self.source, self.entries, self.all_executions, self.stream = source, list(entries), all_executions, stream
        self.frame: Frame | None = None

    def whole(self) -> Frame:
        if self.frame is None:
            self.frame = self._columns() or self._held()
        return self.frame

    def _columns(self) -> Frame | None:
        if "numpy" not in sys.modules and self._are_few():
            return None
        try:
            from kleio.core.reading.columns import Columns  # NumPy, 100 ms
        except ImportError:
            return None
        return Columns(*self._asked)

    def _held(self) -> Frame:
        from kleio.core.reading.held import Held

        return Held(*self._asked)

    @property
    def _asked(self) -> tuple[Journal, list[Entry], bool, str]:
        return self.source.journal, self.entries, self.all_executions, self.stream

    def _are_few(self) -> bool:
        from kleio.core.lineage import whole

        size = 0
        for entry in self.entries:
            size += sum(part.end for part in whole(self.source.journal, entry) if part.stream == self.stream)
            if size > FEW:
                return False
        return True

    def rows(self) -> Iterator[Row]:
        return in_order(*self._asked)


def _plain(value: Any) -> Any:
    """A scalar of NumPy as the number that it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


class Statistics(ReadOnly):
    """Statistics that count, in the order of their times: a row for each ``log_statistic`` call, a column for each key.

    Keys are flat: those of nested values are joined with ``/``. A row has the values of its scopes as well, its own before
    theirs. What a branch inherits is part of it; what was given up by resuming from before it is not, unless
    ``all_executions``. Everything is read when it is first asked for, and is what the journal had then. Read-only.
    """

    _read: _Read
    _rows: Rows | None
    _only: tuple[str, ...] | None
    _sorted: bool

    def __init__(self, source: Source, entries: Sequence[Entry], all_executions: bool = False) -> None:
        self._set(_Read(source, entries, all_executions, STREAM))

    def _view(self, rows: Rows | None, only: tuple[str, ...] | None = None, sorted_: bool = False) -> Statistics:
        view = object.__new__(Statistics)
        view._set(self._read, rows, only or self._only, self._sorted or sorted_)
        return view

    def _set(
        self, read: _Read, rows: Rows | None = None, only: tuple[str, ...] | None = None, sorted_: bool = False
    ) -> None:
        self.__dict__.update(_read=read, _rows=rows, _only=only, _sorted=sorted_)

    @property
    def _frame(self) -> Frame:
        return self._read.whole()

    @property
    def parts(self) -> tuple[Frame, Rows | None]:
        """What was read, and which of its rows these are, None for all."""
        return self._frame, self._rows

    @property
    def trials(self) -> list[str]:
        """The ids of the trials that are read, in the order in which they were given."""
        return [entry.id for entry in self._read.entries]

    @property
    def several(self) -> bool:
        """Whether it was read of more than one trial."""
        return len(self._read.entries) > 1

    @property
    def is_system(self) -> bool:
        """Whether it is what kleio sampled."""
        return self._read.stream == SYSTEM

    @property
    def is_sorted(self) -> bool:
        """Whether the rows are in another order than that of their times."""
        return self._sorted

    @property
    def system(self) -> Statistics:
        """What kleio sampled of the machine while the trials ran, every ten seconds: ``system["system.cpu"]``. It is none of
        what scripts log, so that resuming and branches leave it alone.
        """
        return self._other(_Read(self._read.source, self._read.entries, True, SYSTEM))

    @property
    def all_executions(self) -> Statistics:
        """The same with what was given up by resuming from before it: all rows of all executions."""
        return self._other(_Read(self._read.source, self._read.entries, True, self._read.stream))

    def _other(self, read: _Read) -> Statistics:
        other = object.__new__(Statistics)
        other._set(read)
        return other

    # -- what there is -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many rows."""
        return self._frame.count if self._rows is None else len(self._rows)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def keys(self) -> list[str]:
        """Flat keys, in the order in which they first appeared."""
        return self._frame.keys() if self._only is None else list(self._only)

    def all_keys(self) -> list[str]:
        """Those that the rows were narrowed from as well: what they can be sorted by, and queries know."""
        return self._frame.keys()

    @property
    def nanoseconds(self) -> list[int]:
        """When, of each row: nanoseconds since the epoch."""
        times = self._frame.times
        return [int(times[row]) for row in range(len(times))] if self._rows is None else [int(times[row]) for row in self._rows]

    @property
    def times(self) -> NDArray[Any]:
        """When, of each row: shape (rows,), datetime64[ns] in UTC. Needs NumPy."""
        arrays("times")
        import numpy as np

        times = np.asarray(self._frame.times, np.int64)
        return (times.copy() if self._rows is None else times[np.asarray(self._rows, np.int64)]).view("M8[ns]")

    def column(self, key: str) -> list[Any]:
        """A value for each row, as it was logged; None where there is none. Works without NumPy."""
        found = self._known(key).at(self._rows)
        return [None if value is MISSING else value for value in found]

    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: tuple[str, ...]) -> tuple[NDArray[Any], ...]: ...
    @overload
    def __getitem__(self, key: list[str] | slice) -> Statistics: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    def __getitem__(self, key: str | tuple[str, ...] | list[str] | slice | int) -> Any:
        """``[key]``: the values of the rows that have it, as an array of shape (rows that have it,).

        The dtype is float64, int64, bool or datetime64[ns] (UTC where zones are known) if all values fit, else object. NaN is
        a value; a None that was logged is none. ``[key, key, …]``: as many arrays of one length, of the rows that have all of
        them, ready for ``plot(*statistics["epoch", "loss"])``. ``[[key, …]]``: a narrower Statistics, of the rows that have
        any of them. A slice: some of the rows; a number: a row. Arrays need NumPy. Raises UnknownKey, a KeyError, with the
        nearest key, and IndexError.
        """
        if isinstance(key, int):
            number = range(len(self))[key]
            return next(self[number : number + 1].records())
        if isinstance(key, slice):
            rows = range(self._frame.count) if self._rows is None else self._rows
            return self._view(rows[key], sorted_=(key.step or 1) < 0)
        if isinstance(key, str):
            return self._arrays([key])[0]
        if not isinstance(key, (tuple, list)) or not key or not all(isinstance(one, str) for one in key):
            raise TypeError(f"statistics are of keys, at least one, which are texts, or of rows by number; not of {key!r}")
        return self._arrays(key) if isinstance(key, tuple) else self._having(tuple(key))

    def _name(self, key: str) -> str:
        known = self.keys()
        if key not in known:
            raise UnknownKey(unknown(key, known))
        return key

    def _known(self, key: str) -> Column:
        return self._frame.column(self._name(key))

    def _arrays(self, keys: Sequence[str]) -> tuple[NDArray[Any], ...]:
        arrays(f"statistics[{', '.join(map(repr, keys))}]")
        import numpy as np

        typed = [self._known(key).typed() for key in keys]
        rows = np.arange(self._frame.count) if self._rows is None else np.asarray(self._rows, np.int64)
        if len(typed) == 1 and self._rows is None:
            return (typed[0].values.copy(),)
        for one in typed:
            rows = rows[places(one.rows, rows)[1]]
        return tuple(one.values[places(one.rows, rows)[0]] for one in typed)

    def _having(self, keys: tuple[str, ...]) -> Statistics:
        some: Node = Or(tuple(Comparison("!=", Field(key), Constant(None)) for key in map(self._name, keys)))
        return self._view(holding.rows(some, self._frame, self._rows), keys)

    # -- choosing and sorting ------------------------------------------------------------------------------------

    def where(self, query: str) -> Statistics:
        """The rows for which a query holds, as ``"training and index < 500"``: the language of docs/query.md, with keys for
        names; ``statistics["train/loss"]`` for those that are no words. ``time``, ``trial`` and ``execution`` are those of the
        row, where no key is called so. Raises QueryError.
        """
        node = query_syntax.parse(query, Keys(self._frame.keys()))
        return self._view(holding.rows(node, self._frame, self._rows))

    def sorted_by(self, key: str, reverse: bool = False) -> Statistics:
        """Rows with the smallest first, with ``reverse`` the greatest; equal ones stay as they were. Numbers come before texts,
        then truth values, then the rest; rows without the key, and NaN, last either way. Raises UnknownKey.
        """
        name, known = key, self._frame.keys()
        if key not in known:
            if key not in OF_ROWS:
                raise UnknownKey(unknown(key, [*known, *OF_ROWS]))
            name = ROW + key
        return self._view(sorting.by(self._frame, name, self._rows, reverse), sorted_=True)

    def at(self, **values: Any) -> dict[str, Any]:
        """Of the rows with these values, the latest value of every key: ``at(epoch=10)["val/loss"]``. Empty if there are none.

        Raises UnknownKey.
        """
        for key in values:
            self._known(key)
        node: Node = And(tuple(Comparison("==", Field(key), Constant(_plain(value))) for key, value in values.items()))
        rows = holding.rows(node, self._frame, self._rows) if values else self._rows
        ordered = range(self._frame.count) if rows is None else sorted(int(row) for row in rows)
        found = {key: [one for one in self._frame.column(key).at(list(ordered)) if one is not MISSING] for key in self.keys()}
        return {key: own[-1] for key, own in found.items() if own}

    # -- as rows -------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Row]:
        """Each row as a :class:`~kleio.core.reading.rows.Row`: a mapping from flat keys to values as they were logged, with
        ``time``, ``trial`` and ``execution``. All of a trial's are read segment by segment, and never held as a whole.
        """
        if self._rows is None and self._read.frame is None and self._only is None:
            yield from self._read.rows()
            return
        frame = self._frame
        rows = range(frame.count) if self._rows is None else self._rows
        few = max(1, min(BATCH, VALUES // max(len(self.keys()), 1)))
        for start in range(0, len(rows), few):
            yield from self._batch(frame, rows[start : start + few])

    __iter__ = records

    def _batch(self, frame: Frame, rows: Rows) -> Iterator[Row]:
        keys = self.keys()
        which = [int(row) for row in rows]
        columns = [frame.column(key).at(which) for key in keys]
        for at, row in enumerate(which):
            values = {key: own[at] for key, own in zip(keys, columns, strict=True) if own[at] is not MISSING}
            yield Row(values, int(frame.times[row]), *frame.origins[int(frame.origin[row])])

    # -- as tables -----------------------------------------------------------------------------------------------

    def to_pandas(self) -> Any:
        """A DataFrame with a column for each key. The index is the time, named ``time``, in UTC with nanoseconds; of several
        trials a MultiIndex (``trial``, ``time``), one trial after the other unless the rows are sorted.

        What is missing stays missing: whole numbers and truth values with holes have pandas' own nullable types (Int64,
        boolean), floats have NaN there, times NaT. Raises KleioError without pandas.
        """
        from kleio.core.reading.tabular import to_pandas

        return to_pandas(self)

    def to_arrow(self) -> Any:
        """A pyarrow.Table: ``time`` (timestamp[ns, UTC]), ``trial``, ``execution``, and a column for each key, in which what is
        missing is null, and NaN is NaN. Columns of several kinds are JSON texts. A key that is called like one of the first
        three keeps its name, and those are ``row.time`` and so on. Raises KleioError without pyarrow.
        """
        from kleio.core.reading.tabular import to_arrow

        return to_arrow(self)

    def summary(self) -> dict[str, Figures]:
        """Of each key that has values in these rows, ``last``, ``min``, ``max``, ``mean`` and ``count``: ``["loss"].min``.

        Unlike that of a trial, which is kept while it runs, it counts a value of a scope in each row that inherits it.
        """
        from kleio.core.reading.tabular import summary

        return summary(self)

    def _repr_html_(self) -> str:
        from kleio.core.reading.tabular import to_html

        return to_html(self)

    def __repr__(self) -> str:
        keys = self.keys()
        named = [key if key.isprintable() else repr(key) for key in keys[:10]]
        shown = f"{', '.join(named)}{', …' if len(keys) > 10 else ''}" or "nothing"
        return f"<Statistics: {len(self):,} row{'' if len(self) == 1 else 's'} of {shown}>"
