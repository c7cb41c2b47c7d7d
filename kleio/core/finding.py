"""Finding trials: what a query holds for, sorted, of those that are indexed and of those that are not."""

from __future__ import annotations

import functools
from itertools import islice

from kleio.core import query
from kleio.core.facts import surroundings
from kleio.core.indexing import gathered
from kleio.core.journal.base import Found, Selection
from kleio.core.journal.cards import listed
from kleio.core.journal.filters import EVERYTHING, There
from kleio.core.narrowing import DIGEST, Narrowed, is_of_environment, narrowed
from kleio.core.query_tree import Comparison, Constant, Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.query_tree import Node
    from kleio.core.trial import Entry

BATCH = 200
"""Trials that are looked at at once, where only looking at them tells."""
AT_ONCE = 30
"""Names of which the index is asked at once: SQLite joins no more than twice as many tables."""
MOST = 60
"""Names of which the index is asked: it is read once for each of them, a trial once for all."""


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
    names = [name for name, _ in sort]
    asked = [(_indexed(name), descending) for name, descending in sort]
    found, waiting = journal.find(search.filter, asked, limit if search.exact and not any(map(_is_apart, names)) else None)
    rows = [*search.valued(search.checked(found), names), *search.looked_at(waiting, names)]
    rows.sort(key=lambda one: (one.created, one.trial), reverse=True)
    for at, (_, descending) in reversed(list(enumerate(sort))):
        rows.sort(key=lambda one, at=at: rank(one.values[at]), reverse=descending)  # type: ignore[misc]
        rows.sort(key=lambda one, at=at: rank(one.values[at]) is LAST)  # type: ignore[misc]
    return [one.trial for one in islice(rows, limit)]


def valued(
    journal: Journal,
    where: Node | None,
    ids: Sequence[str],
    names: Sequence[str],
    seen: Callable[[Sequence[Entry]], Sequence[Entry]] = list,
    all_executions: bool = False,
) -> list[list[Any]]:
    """What is known by ``names`` of each of the trials that were found with ``where`` and can be read, None where there is
    nothing.

    The index tells of many in a tenth of the time in which they could be looked at, but not of ``all_executions``.
    """
    search = _Search(journal, where, seen, all_executions)
    apart = all_executions or len(ids) <= BATCH or len(names) > MOST
    known: dict[str, Sequence[Any]] = {} if apart else search.indexed(names)
    known |= {one.trial: one.values for one in search.told([one for one in ids if one not in known], names)}
    return [list(known[one]) for one in ids if one in known]


def entries(journal: Journal, ids: Sequence[str]) -> list[Entry]:
    """Trials in the order of their ``ids``."""
    found = {entry.id: entry for entry in journal.entries(Selection(ids=tuple(ids)))} if ids else {}
    return [found[one] for one in ids if one in found]


def names(journal: Journal) -> list[str]:
    """Names of parameters and statistics that the newest trials have, to suggest."""
    newest = journal.entries(Selection(), BATCH)
    return sorted({name for known in gathered(journal, newest) for name in known if name.startswith(("params.", "summary."))})


def has(journal: Journal, name: str) -> bool:
    """Whether any trial has a fact of this name. Of a journal without trials nothing can be said, and so that it may."""
    if journal.find(There(name), (), 1)[0]:
        return True
    there = Comparison("!=", Field(name), Constant(None))
    return bool(find(journal, there, limit=1)) or not journal.entries(Selection(), 1)


LAST: tuple[int, Any] = (9, 0)


def rank(value: Any) -> tuple[int, Any]:
    """As :meth:`kleio.core.journal.base.Journal.find` sorts."""
    if value is None or value != value:
        return LAST
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, (int, float)):
        return 0, value
    return (1, value) if isinstance(value, str) else (3, listed(value))


def _is_apart(name: str) -> bool:
    """Whether it is of an environment, which many trials have in common: of a trial the index knows only the digest."""
    return is_of_environment(Field(name))


def _indexed(name: str) -> str:
    return DIGEST if _is_apart(name) else name


class _Search:
    """One search in a journal; what it learns of environments it keeps."""

    def __init__(
        self,
        journal: Journal,
        where: Node | None,
        seen: Callable[[Sequence[Entry]], Sequence[Entry]],
        all_executions: bool = False,
    ) -> None:
        self._journal = journal
        self._all_executions = all_executions
        self._seen = seen
        self._where = where
        self._environments: dict[str, dict[str, Any]] = {}
        values = functools.cache(journal.values)  # each word of --include asks for the names of parameters
        told = Narrowed(EVERYTHING) if where is None else narrowed(where, values, self._known_environments)
        self.filter, self.exact = told.filter, told.exact

    def checked(self, found: Sequence[Found]) -> Iterator[Found]:
        """Those of the candidates that are meant."""
        for start in range(0, len(found), BATCH):
            few = found[start : start + BATCH]
            meant = None if self.exact else {entry.id for entry, _ in self._meant([one.trial for one in few])}
            yield from (one for one in few if meant is None or one.trial in meant)

    def valued(self, found: Iterable[Found], names: Sequence[str]) -> Iterator[Found]:
        """With the values of ``names`` that only their environments know."""
        apart = [at for at, name in enumerate(names) if _is_apart(name)]
        for one in found:
            values = list(one.values)
            for at in apart:
                values[at] = self._environment(values[at]).get(names[at])
            yield Found(one.trial, one.created, values)

    def indexed(self, names: Sequence[str]) -> dict[str, Sequence[Any]]:
        """What the index has by these names of the trials that may be meant, but for those that change meanwhile."""
        known: dict[str, list[Any]] = {}
        for start in range(0, len(names), AT_ONCE):
            few = names[start : start + AT_ONCE]
            found, _ = self._journal.find(self.filter, also=[_indexed(name) for name in few])
            for one in self.valued(found, few):
                known.setdefault(one.trial, []).extend(one.values)
        return {trial: values for trial, values in known.items() if len(values) == len(names)}

    def told(self, trials: Sequence[str], names: Sequence[str]) -> Iterator[Found]:
        """What is known of ``trials``, as they are, whatever is looked for."""
        for start in range(0, len(trials), BATCH):
            for entry, known in self._whole(trials[start : start + BATCH]):
                yield Found(entry.id, entry.trial.created, [known.get(name) for name in names])

    def looked_at(self, trials: Sequence[str], names: Sequence[str]) -> Iterator[Found]:
        """Those of ``trials`` that are meant, whatever the index has of them."""
        for start in range(0, len(trials), BATCH):
            for entry, known in self._meant(trials[start : start + BATCH]):
                yield Found(entry.id, entry.trial.created, [known.get(name) for name in names])

    def _meant(self, trials: Sequence[str]) -> Iterator[tuple[Entry, dict[str, Any]]]:
        for entry, whole in self._whole(trials):
            if self._where is None or query.holds(self._where, whole):
                yield entry, whole

    def _whole(self, trials: Sequence[str]) -> Iterator[tuple[Entry, dict[str, Any]]]:
        entries = self._seen(self._journal.entries(Selection(ids=tuple(trials)))) if trials else []
        for entry, known in zip(entries, gathered(self._journal, entries, self._all_executions), strict=True):
            yield entry, known | self._environment(known.get(DIGEST))

    def _environment(self, digest: str | None) -> dict[str, Any]:
        if digest is None:
            return {}
        if digest not in self._environments:
            self._environments[digest] = surroundings(self._journal.document(digest) or {})
        return self._environments[digest]

    def _known_environments(self) -> dict[str, dict[str, Any]]:
        return {digest: self._environment(digest) for digest in self._journal.values(DIGEST)}
