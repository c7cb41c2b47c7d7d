"""What ``kleio ls`` lists: trials are filtered, grouped, sorted, reduced to columns, and the last taken, in this order."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from kleio.core import view
from kleio.core.journal.base import Selection
from kleio.core.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.columns import Column
    from kleio.core.journal.base import Journal
    from kleio.core.query_tree import Node
    from kleio.core.trial import Entry


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for. ``chosen`` is what :class:`~kleio.core.choosing.Chosen` is made of, ``limit`` how many at most,
    ``tail`` how many of the last of these; None: all. ``columns`` and ``group_by`` are as they were typed.
    """

    chosen: Mapping[str, Any] = field(default_factory=dict)
    sort: Sequence[str] = ()
    reverse: bool = False
    limit: int | None = None
    tail: int | None = None
    columns: Sequence[str] = ()
    group_by: Sequence[str] = ()


class Result(NamedTuple):
    """``table``, how many rows there are without a limit that left some out, and the kinds of the columns by their headings."""

    table: Table
    total: int | None
    kinds: dict[str, str]


class Lister:
    """Looks in a journal for what a :class:`Listing` asks; ``root`` is where the spools of this machine are."""

    def __init__(self, journal: Journal, asked: Listing, root: str) -> None:
        self._journal = journal
        self._asked = asked
        self._seen: Callable[[Sequence[Entry]], Sequence[Entry]] = partial(view.from_here, root=root)

    # -- trials --------------------------------------------------------------------------------------------------

    def ids(self) -> tuple[list[str], bool]:
        """Of the trials, and whether there are more than the limit. Raises QueryError."""
        from kleio.core import choosing, finding

        asked = self._asked
        order = choosing.order(self._journal, asked.sort, asked.reverse)
        found = finding.find(self._journal, self._node(), order, self._most, self._seen)
        return self._cut(found), len(found) == self._most

    def entries(self) -> tuple[list[Entry], bool]:
        """The trials, and whether there are more than the limit. Raises QueryError."""
        asked, chosen = self._asked, self._asked.chosen
        looked_for = any(chosen.get(name) for name in ("where", "include", "exclude", "user"))
        if looked_for or asked.sort or asked.reverse or asked.tail is not None:
            from kleio.core import finding  # 9 ms for what looks for something, which the newest trials do without

            ids, more = self.ids()
            return list(self._seen(finding.entries(self._journal, ids))), more
        project = chosen.get("project") or chosen.get("here")
        selection = Selection(project=project, statuses=chosen.get("statuses", ()), tags=chosen.get("tags", ()))
        found = self._journal.entries(selection, self._most)
        return list(self._seen(found[: asked.limit])), len(found) + len(self._journal.left_out or ()) == self._most

    @property
    def _most(self) -> int | None:
        """One more than is wanted tells whether there are more."""
        return None if self._asked.limit is None else self._asked.limit + 1

    def _node(self) -> Node | None:
        from kleio.core import choosing

        return choosing.condition(self._journal, choosing.Chosen(**self._asked.chosen))

    def _cut(self, found: Sequence[Any]) -> list[Any]:
        rows = list(found[: self._asked.limit])
        tail = self._asked.tail
        return rows if tail is None or tail >= len(rows) else rows[len(rows) - tail :]

    # -- tables --------------------------------------------------------------------------------------------------

    def table(self, with_project: bool = False, all_executions: bool = False) -> Result:
        """Of the columns that are asked for; else what all have, parameters that differ and last values. Raises QueryError."""
        from kleio.core import choosing, columns

        if self._asked.group_by:
            return self._grouped(all_executions)
        vocabulary = choosing.vocabulary(self._journal)
        wanted = [columns.column(name, vocabulary) for name in columns.split(self._asked.columns)]
        ids, more = self.ids()
        chosen = bool(wanted)
        if not chosen:
            wanted = self._default(ids, with_project)
        rows = self._known(ids, wanted, all_executions)
        if not chosen:
            wanted, rows = _that_differ(wanted, rows)
        cells = [
            tuple(None if known is None else columns.value(known, one) for known, one in zip(row, wanted, strict=True))
            for row in rows
        ]
        table = Table([one.heading for one in wanted], cells)
        return Result(table, self._total() if more else None, {one.heading: one.kind for one in wanted})

    def _total(self) -> int:
        from kleio.core import finding

        return len(finding.find(self._journal, self._node(), (), None, self._seen))

    def _known(self, ids: Sequence[str], wanted: Sequence[Column], all_executions: bool = False) -> list[list[Any]]:
        from kleio.core import finding

        names = [one.name for one in wanted]
        return finding.valued(self._journal, self._node(), ids, names, self._seen, all_executions)

    def _default(self, ids: Sequence[str], with_project: bool) -> list[Column]:
        from kleio.core import columns
        from kleio.core.vocabulary import Trials

        first = [columns.column(name, Trials(0.0)) for name in (*columns.ALWAYS, *(["project"] if with_project else []))]
        params, statistics = self._names(ids)
        return [*first, *map(columns.parameter, params), *map(columns.statistic, statistics)]

    def _names(self, ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Of the parameters and of the statistics that the trials have."""
        from kleio.core.columns import Column, known_names

        listed = self._known(ids, [Column("params", "params", "words"), Column("summary", "summary", "words")])
        keys = [{key.rpartition(".")[0] for key in one or ()} for _, one in listed]
        return known_names(one or () for one, _ in listed), known_names(keys)

    def _all_names(self) -> tuple[list[str], list[str]]:
        """The same of all trials of the journal, which costs a twentieth of it: the index has each list of names once."""
        from kleio.core import finding
        from kleio.core.columns import known_names

        waiting = finding.valued(self._journal, None, self._journal.unindexed(), ["params", "summary"], self._seen)
        params = [*self._journal.values("params"), *(row[0] or () for row in waiting)]
        keys = [*self._journal.values("summary"), *(row[1] or () for row in waiting)]
        return known_names(params), known_names({key.rpartition(".")[0] for key in one} for one in keys)

    def _grouped(self, all_executions: bool) -> Result:
        from kleio.core import choosing, columns, finding, grouping

        asked = self._asked
        by, wanted = columns.split(asked.group_by), columns.split(asked.columns)
        ids = finding.find(self._journal, self._node(), (), None, self._seen)
        figures = any("_" in name for name in (*wanted, *asked.sort))
        names = self._all_names() if figures or not wanted else ([], [])
        known = [*(f"params.{one}" for one in names[0]), *(f"summary.{one}.last" for one in names[1])]
        vocabulary = choosing.vocabulary(self._journal, known)
        plan = grouping.Plan(by, wanted, asked.sort, vocabulary, *names)
        table, kinds = grouping.grouped(plan, self._known(ids, plan.sources, all_executions), asked.reverse)
        total = len(table.rows) if asked.limit is not None and len(table.rows) > asked.limit else None
        return Result(Table(table.headings, self._cut(table.rows)), total, kinds)


def _that_differ(wanted: Sequence[Column], rows: Sequence[Sequence[Any]]) -> tuple[list[Column], list[list[Any]]]:
    """Without the parameters that are the same in all rows."""
    from kleio.core.grouping import alike

    values = list(zip(*rows, strict=True)) or [()] * len(wanted)
    kept = [at for at, one in enumerate(wanted) if not one.name.startswith("params.") or not alike(values[at])]
    return [wanted[at] for at in kept], [[row[at] for at in kept] for row in rows]
