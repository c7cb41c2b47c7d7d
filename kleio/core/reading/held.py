"""Statistics held as rows: what serves without NumPy, and where there are so few that importing it would take longer."""

from __future__ import annotations

from kleio.core.reading.column import Column
from kleio.core.reading.rows import STREAM, in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry


class Held:
    """The same as :class:`kleio.core.reading.columns.Columns`, in lists."""

    def __init__(
        self, journal: Journal, entries: Sequence[Entry], all_executions: bool = False, stream: str = STREAM
    ) -> None:
        origins: dict[tuple[str, str], int] = {}
        self.times: list[int] = []
        self.origin: list[int] = []
        self._columns: dict[str, tuple[list[int], list[Any]]] = {}
        self._made: dict[str, Column] = {}
        for number, row in enumerate(in_order(journal, entries, all_executions, stream)):
            self.times.append(row.nanoseconds)
            self.origin.append(origins.setdefault((row.trial, row.execution), len(origins)))
            for key, value in row.items():
                rows, values = self._columns.setdefault(key, ([], []))
                rows.append(number)
                values.append(value)
        self.origins = list(origins)
        self.count = len(self.times)

    def keys(self) -> list[str]:
        """Flat keys, in the order in which they first appeared."""
        return list(self._columns)

    def column(self, key: str) -> Column:
        """Empty for one that is not there."""
        if key not in self._made:
            rows, values = self._columns.get(key, ([], []))
            self._made[key] = Column(self.count, None if len(rows) == self.count else rows, values)
        return self._made[key]
