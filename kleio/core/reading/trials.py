"""Many trials: found once, read when they are looked at."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

from kleio.core import choosing, finding
from kleio.core.errors import UnknownTrial
from kleio.core.query_tree import And
from kleio.core.reading.readonly import ReadOnly
from kleio.core.reading.trial import Together, Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kleio.core.query_tree import Node
    from kleio.core.reading.source import Source
    from kleio.core.reading.statistics import Statistics
    from kleio.core.trial import Entry

BATCH = 100
"""Trials that are read at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: the condition, the order, which part of what is found in that order; and whether what was given up
    counts in it.
    """

    node: Node | None
    order: list[tuple[str, bool]]
    limit: int | None = None
    skip: int = 0
    all_executions: bool = False


class Trials(ReadOnly, Sequence[Trial]):
    """Trials of a journal in an order, a sequence that reads what is looked at.

    Which they are is found out when that is first needed, and does not change afterwards; they themselves are read in batches
    of :data:`BATCH`, of which one is kept. A slice is another such sequence. Raises JournalError and JournalUnreachable when
    it reads.
    """

    _source: Source
    _wanted: Wanted
    _batch: tuple[int, dict[str, Trial]]

    def __init__(self, source: Source, wanted: Wanted, ids: Sequence[str] | None = None) -> None:
        self.__dict__.update(_source=source, _wanted=wanted, _batch=(-1, {}))
        if ids is not None:
            self.__dict__["ids"] = tuple(ids)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The full ids, in order."""
        source, wanted = self._source, self._wanted
        found = finding.find(source.journal, wanted.node, wanted.order, wanted.limit, source.seen)
        return tuple(found[wanted.skip :])

    # -- as a sequence -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.ids)

    def __bool__(self) -> bool:
        return bool(len(self.ids) if "ids" in self.__dict__ else len(self[:1]))

    @overload
    def __getitem__(self, at: int) -> Trial: ...
    @overload
    def __getitem__(self, at: slice) -> Trials: ...
    def __getitem__(self, at: int | slice) -> Trial | Trials:
        if isinstance(at, slice):
            return self._slice(at)
        number = operator.index(at)
        if number < 0:
            number += len(self.ids)
        if not 0 <= number < len(self.ids):
            raise IndexError(f"there are {len(self.ids)} trials, so none at {at}")
        trial = self._read(number // BATCH).get(self.ids[number])
        if trial is None:
            raise UnknownTrial(f"trial {self.ids[number]} has just been removed")
        return trial

    def _slice(self, at: slice) -> Trials:
        plain = all(one is None or one >= 0 for one in (at.start, at.stop)) and at.step in (None, 1) and at.stop is not None
        if "ids" in self.__dict__ or not plain:
            return Trials(self._source, self._wanted, self.ids[at])
        wanted = self._wanted
        stop = wanted.skip + at.stop
        limit = stop if wanted.limit is None else min(stop, wanted.limit)
        skip = wanted.skip + (at.start or 0)
        return Trials(self._source, replace(wanted, limit=limit, skip=skip))

    def __iter__(self) -> Iterator[Trial]:
        for start in range(0, len(self.ids), BATCH):
            yield from self._trials(self.ids[start : start + BATCH]).values()

    def _read(self, number: int) -> dict[str, Trial]:
        """The trials of a batch, by id; the last one that was asked for stays."""
        kept, trials = self._batch
        if kept != number:
            trials = self._trials(self.ids[number * BATCH : (number + 1) * BATCH])
            self.__dict__["_batch"] = (number, trials)
        return trials

    def _trials(self, ids: Sequence[str]) -> dict[str, Trial]:
        together, whole = Together(self._source, ids), self._wanted.all_executions
        return {entry.id: Trial(self._source, entry, together, whole) for entry in self._source.entries(ids)}

    def __contains__(self, trial: object) -> bool:
        """Whether a trial, or one with this full id, is among them."""
        return (trial.id if isinstance(trial, Trial) else trial) in self.ids

    def index(self, trial: Any, start: int = 0, stop: int | None = None) -> int:
        """Where a trial, or one with this full id, is. Raises ValueError."""
        wanted = trial.id if isinstance(trial, Trial) else trial
        return self.ids.index(wanted, start, len(self.ids) if stop is None else stop)

    def count(self, trial: Any) -> int:
        """1 or 0."""
        return int(trial in self)

    # -- other views ---------------------------------------------------------------------------------------------

    def where(self, query: str) -> Trials:
        """Those of them that a query holds for, in the same order. Raises QueryError."""
        node = choosing.condition(self._source.journal, choosing.Chosen(where=(query,)))
        wanted = self._wanted
        both = node if wanted.node is None or node is None else And((wanted.node, node))
        refined = Trials(self._source, replace(wanted, node=both, limit=None, skip=0))
        if wanted.limit is None and not wanted.skip and "ids" not in self.__dict__:
            return refined
        fitting = set(refined.ids)
        return Trials(self._source, wanted, [one for one in self.ids if one in fitting])

    def _entries(self) -> Iterator[list[Entry]]:
        """What the journal has of them, in batches."""
        for start in range(0, len(self.ids), BATCH):
            yield self._source.entries(self.ids[start : start + BATCH])

    @cached_property
    def statistics(self) -> Statistics:
        """The statistics of all of them, as columns."""
        from kleio.core.reading.statistics import Statistics

        found = [entry for entries in self._entries() for entry in entries]
        return Statistics(self._source, found, self._wanted.all_executions)

    def to_pandas(self) -> Any:
        """A DataFrame with one row a trial, in their order, and columns named as in queries: ``id``, ``status``, ``created`` …,
        ``params.lr``, ``summary.loss.min``.

        Times are datetime64[us, UTC], ``duration`` is in seconds. Whole numbers and truth values stay such where some are
        missing (Int64, boolean); text, lists and what is mixed are objects, missing ones None. Raises KleioError without
        pandas.
        """
        from kleio.core.reading.frames import of_trials

        return of_trials(self._source.journal, self._entries(), self._wanted.all_executions)

    def __repr__(self) -> str:
        many = f"{len(self.ids):,} trials" if "ids" in self.__dict__ else "Trials"
        return f"<{many} of {self._source.uri}>"

    def _repr_html_(self) -> str:
        from kleio.core.reading.notebook import trials

        return trials(self)
