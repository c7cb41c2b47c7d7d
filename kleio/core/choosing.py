"""Which trials a command means, and in which order: its options as one condition."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kleio.core import finding, query_syntax, shorthand, view
from kleio.core.query_tree import And, Comparison, Constant, Field, fields
from kleio.core.vocabulary import Trials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.core.journal.base import Journal
    from kleio.core.query_tree import Node
    from kleio.core.trial import Entry

NEWEST_FIRST = ("-created",)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What options say: all of it must hold, but a status is one of several. ``where`` are queries, ``include`` and ``exclude``
    words (:mod:`kleio.core.shorthand`); ``here`` is the project that is meant as long as no query speaks of projects.
    """

    project: str | None = None
    here: str | None = None
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    user: str | None = None
    where: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def condition(journal: Journal, chosen: Chosen) -> Node | None:
    """As a query; None where all trials are meant. Raises QueryError."""
    queries = _queries(journal, chosen)
    parts: list[Node] = []
    here = chosen.here if _silent_on_projects(queries) else None
    for name, value in (("project", chosen.project or here), ("user", chosen.user)):
        if value is not None:
            parts.append(Comparison("==", Field(name), Constant(value)))
    if chosen.statuses:
        parts.append(Comparison("in", Field("status"), Constant(list(chosen.statuses))))
    parts += [Comparison("in", Constant(tag), Field("tags", "words")) for tag in chosen.tags]
    parts += [*queries, *shorthand.conditions(chosen.include, chosen.exclude)]
    return And(tuple(parts)) if parts else None


def stays_here(journal: Journal, chosen: Chosen) -> bool:
    """Whether only trials of the project ``here`` are meant."""
    return chosen.here is not None and chosen.project is None and _silent_on_projects(_queries(journal, chosen))


def order(journal: Journal, sort: Sequence[str], reverse: bool = False) -> list[tuple[str, bool]]:
    """Names of fields and whether the greatest comes first. Raises QueryError."""
    named = vocabulary(journal).sorting(sort or NEWEST_FIRST)
    return [(name, descending is not reverse) for name, descending in named]


def newest(journal: Journal, chosen: Chosen, root: str, limit: int | None = None) -> list[str]:
    """The ids of those that are meant, newest first. What runs on this machine is known by the spools under ``root``."""
    node = condition(journal, chosen)
    return finding.find(journal, node, limit=limit, seen=lambda entries: view.from_here(entries, root))


def entries(journal: Journal, ids: Sequence[str], root: str) -> list[Entry]:
    """The trials of ``ids``, in their order, as they are seen from here."""
    return view.from_here(finding.entries(journal, ids), root)


def _queries(journal: Journal, chosen: Chosen) -> list[Node]:
    return [query_syntax.parse(where, vocabulary(journal)) for where in chosen.where]


def _silent_on_projects(queries: Sequence[Node]) -> bool:
    return not any(field.name == "project" for node in queries for field in fields(node))


def vocabulary(journal: Journal, known: Sequence[str] = ()) -> Trials:
    """What names mean in this journal; of ``known`` names, or of those of its newest trials, the nearest are suggested.

    The journal is asked for none that is ``known``: it may have to look at many trials for each name.
    """
    there = set(known)
    return Trials(
        time.time(), lambda: known or finding.names(journal), lambda name: name in there or finding.has(journal, name)
    )
