"""Which trials a reading command means, and in which order: its options as one condition."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kleio.core import finding, query_syntax
from kleio.core.query_syntax import And, Comparison, Constant, Field
from kleio.core.vocabulary import Trials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.core.journal.base import Journal
    from kleio.core.query_syntax import Node

NEWEST_FIRST = ("-created",)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What options say: all of it must hold, but a status is one of several. ``where`` are queries."""

    project: str | None = None
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    user: str | None = None
    where: tuple[str, ...] = ()


def condition(journal: Journal, chosen: Chosen) -> Node | None:
    """As a query; None where all trials are meant. Raises QueryError."""
    parts: list[Node] = []
    for name, value in (("project", chosen.project), ("user", chosen.user)):
        if value is not None:
            parts.append(Comparison("==", Field(name), Constant(value)))
    if chosen.statuses:
        parts.append(Comparison("in", Field("status"), Constant(list(chosen.statuses))))
    parts += [Comparison("in", Constant(tag), Field("tags", "words")) for tag in chosen.tags]
    parts += [query_syntax.parse(where, _names(journal)) for where in chosen.where]
    return And(tuple(parts)) if parts else None


def order(journal: Journal, sort: Sequence[str], reverse: bool = False) -> list[tuple[str, bool]]:
    """Names of fields and whether the greatest comes first. Raises QueryError."""
    named = _names(journal).sorting(sort or NEWEST_FIRST)
    return [(name, descending is not reverse) for name, descending in named]


def _names(journal: Journal) -> Trials:
    return Trials(time.time(), lambda: finding.names(journal))
