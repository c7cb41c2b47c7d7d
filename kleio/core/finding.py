"""Finding trials: what a query holds for, sorted, of those that are indexed and of those that are not."""

from __future__ import annotations

from itertools import islice

from kleio.core import query
from kleio.core.facts import surroundings
from kleio.core.indexing import gathered
from kleio.core.journal.base import Found, Selection
from kleio.core.journal.cards import listed
from kleio.core.journal.filters import EVERYTHING
from kleio.core.narrowing import DIGEST, Narrowed, narrowed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.query_syntax import Node
    from kleio.core.trial import Entry

BATCH = 200
"""Trials that are looked at at once, where only looking at them tells."""


def find(
    journal: Journal,
    where: Node | None,
    sort: Sequence[tuple[str, bool]] = (),
    limit: int | None = None,
    seen: Callable[[Sequence[Entry]], Sequence[Entry]] = list,
) -> list[str]:
    """The ids of the trials that ``where`` holds for; ``seen`` gives the trials that somebody holds as they are from here.

    ``sort`` is as in :meth:`~kleio.core.journal.base.Journal.find`, by names of fields.
    """
    search = _Search(journal, where, seen)
    if limit == 0:
        return []
    found, waiting = journal.find(search.filter, sort, limit if search.exact else None)
    rows = [*search.checked(found), *search.looked_at(waiting, [name for name, _ in sort])]
    rows.sort(key=lambda one: (one.created, one.trial), reverse=True)
    for at, (_, descending) in reversed(list(enumerate(sort))):
        rows.sort(key=lambda one, at=at: _rank(one.values[at]), reverse=descending)  # type: ignore[misc]
        rows.sort(key=lambda one, at=at: _rank(one.values[at]) is LAST)  # type: ignore[misc]
    return [one.trial for one in islice(rows, limit)]


def entries(journal: Journal, ids: Sequence[str]) -> list[Entry]:
    """Trials in the order of their ``ids``."""
    found = {entry.id: entry for entry in journal.entries(Selection(ids=tuple(ids)))} if ids else {}
    return [found[one] for one in ids if one in found]


def names(journal: Journal) -> list[str]:
    """Names of parameters and statistics that the newest trials have, to suggest."""
    newest = journal.entries(Selection(), BATCH)
    return sorted({name for known in gathered(journal, newest) for name in known if name.startswith(("params.", "summary."))})


LAST: tuple[int, Any] = (9, 0)


def _rank(value: Any) -> tuple[int, Any]:
    """As :meth:`kleio.core.journal.base.Journal.find` sorts."""
    if value is None or value != value:
        return LAST
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, (int, float)):
        return 0, value
    return (1, value) if isinstance(value, str) else (3, listed(value))


class _Search:
    """One search in a journal; what it learns of environments it keeps."""

    def __init__(
        self, journal: Journal, where: Node | None, seen: Callable[[Sequence[Entry]], Sequence[Entry]]
    ) -> None:
        self._journal = journal
        self._seen = seen
        self._where = where
        self._environments: dict[str, dict[str, Any]] = {}
        told = Narrowed(EVERYTHING) if where is None else narrowed(where, journal.values, self._known_environments)
        self.filter, self.exact = told.filter, told.exact

    def checked(self, found: Sequence[Found]) -> Iterator[Found]:
        """Those of the candidates that are meant."""
        for start in range(0, len(found), BATCH):
            few = found[start : start + BATCH]
            meant = None if self.exact else {entry.id for entry, _ in self._meant([one.trial for one in few])}
            yield from (one for one in few if meant is None or one.trial in meant)

    def looked_at(self, trials: Sequence[str], names: Sequence[str]) -> Iterator[Found]:
        """Those of ``trials`` that are meant, whatever the index has of them."""
        for start in range(0, len(trials), BATCH):
            for entry, known in self._meant(trials[start : start + BATCH]):
                yield Found(entry.id, entry.trial.created, [known.get(name) for name in names])

    def _meant(self, trials: Sequence[str]) -> Iterator[tuple[Entry, dict[str, Any]]]:
        entries = self._seen(self._journal.entries(Selection(ids=tuple(trials)))) if trials else []
        for entry, known in zip(entries, gathered(self._journal, entries), strict=True):
            whole = known | self._environment(known.get(DIGEST))
            if self._where is None or query.holds(self._where, whole):
                yield entry, whole

    def _environment(self, digest: str | None) -> dict[str, Any]:
        if digest is None:
            return {}
        if digest not in self._environments:
            self._environments[digest] = surroundings(self._journal.document(digest) or {})
        return self._environments[digest]

    def _known_environments(self) -> dict[str, dict[str, Any]]:
        return {digest: self._environment(digest) for digest in self._journal.values(DIGEST)}
