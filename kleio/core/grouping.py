"""Trials in groups: figures of their numbers, and counts of the rest.

A column of figures is called ``<key>_mean``, ``_std``, ``_min``, ``_max`` or ``_count``. The key is the name as it was typed,
but of statistics without ``summary.`` and ``.last``: ``loss_mean``, ``loss.min_mean``, ``params.lr_mean``, ``duration_max``.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from dataclasses import dataclass

from kleio.core.columns import Column, column, moment, value
from kleio.core.finding import LAST, rank
from kleio.core.query_syntax import QueryError
from kleio.core.statistics import is_logged
from kleio.core.table import Table, is_number, text
from kleio.core.vocabulary import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.vocabulary import Trials

FIGURES = ("mean", "std", "min", "max", "count")
ENDINGS = tuple(f"_{name}" for name in FIGURES)
COUNT = "count"
"""The column of how many trials a group has."""
SHOWN = 20
"""Different values of a group that are counted one by one in a cell."""


@dataclass(frozen=True, slots=True)
class Of:
    """A column of the result: one of those that trials are grouped ``by``, how many there are, ``figures`` of ``source``, or
    one ``figure``.
    """

    heading: str
    kind: str
    source: Column | None = None
    figure: str = ""


class Plan:
    """What ``--group-by``, ``--columns`` and ``--sort`` ask for. ``sources`` are the facts that are needed.

    Which names there are of parameters and statistics decides whether ``params.x_mean`` is a parameter or a figure of one.
    """

    def __init__(
        self,
        by: Sequence[str],
        columns: Sequence[str],
        sort: Sequence[str],
        vocabulary: Trials,
        params: Sequence[str],
        statistics: Sequence[str],
    ) -> None:
        """Raises QueryError."""
        self._vocabulary = vocabulary
        self._known = {f"params.{name}" for name in params} | {f"summary.{name}" for name in statistics}
        self._statistics = set(statistics)
        self.by = [column(name, vocabulary) for name in by]
        own = [name for name in statistics if is_logged(name)]  # what kleio itself measures differs always
        wanted = columns or [COUNT, "status", *(written("summary", name) for name in own)]
        found = [self._named(name) for name in wanted]
        first = [Of(one.heading, "by", one) for one in self.by if not any(of.kind == "by" and of.source == one for of in found)]
        self.columns = [*first, *_told_apart(found)]
        self.chosen = bool(columns)
        self.order = [(self._named(name.removeprefix("-")), name.startswith("-")) for name in sort]
        needed = [of.source for of in (*self.columns, *(of for of, _ in self.order)) if of.source is not None]
        self.sources = list(dict.fromkeys([*self.by, *needed]))

    def _named(self, name: str) -> Of:
        if name == COUNT:
            return Of(name, COUNT)
        try:
            whole: Column | None = column(name, self._vocabulary)
            trouble = None
        except QueryError as error:
            whole, trouble = None, error
        for one in self.by:
            if name == one.heading or (whole and whole.name == one.name):
                return Of(name, "by", one)
        base, _, figure = name.rpartition("_")
        if figure in FIGURES and base and (whole is None or not self._there(whole)):
            source = self._source(base)
            if source is not None:
                return Of(name, "figure", source, figure)
        if whole is None:
            assert trouble is not None
            near = difflib.get_close_matches(name, [f"{one}{ending}" for one in self._statistics for ending in ENDINGS], 1)
            raise QueryError(f"there is no {name}; did you mean {near[0]}?", name, 0, len(name)) if near else trouble
        return Of(key(whole), "figures", whole)

    def _there(self, one: Column) -> bool:
        """Whether it is surely a field, and not perhaps a figure of one."""
        group, _, rest = one.name.partition(".")
        if group == "summary":
            rest = rest.rpartition(".")[0]
        return group not in ("params", "summary") or f"{group}.{rest}" in self._known

    def _source(self, base: str) -> Column | None:
        """What a figure is of: a name, or the key of a statistic."""
        known = base if base in self._statistics else base.rpartition(".")[0]
        for name in (base, f"{written('summary', known)}{base[len(known) :]}" if known in self._statistics else base):
            try:
                return column(name, self._vocabulary)
            except QueryError:
                continue
        return None


def _told_apart(columns: Sequence[Of]) -> list[Of]:
    """Where two would be called the same, as ``duration`` and a statistic of this name, the second has its whole name."""
    found: dict[str, Of] = {}
    for of in columns:
        same = found.get(of.heading)
        if same is None or same.source == of.source:
            found.setdefault(of.heading, of)
        elif of.source is not None:
            found[of.source.heading] = Of(of.source.heading, of.kind, of.source, of.figure)
    return list(found.values())


def key(one: Column) -> str:
    """What the columns of its figures are called."""
    if not one.name.startswith("summary."):
        return one.heading
    return one.name.removeprefix("summary.").removesuffix(".last")


def grouped(plan: Plan, rows: Sequence[Sequence[Any]], reverse: bool = False) -> tuple[Table, dict[str, str]]:
    """``rows`` are facts of trials, in the order of ``plan.sources``. The table, and by its headings the kinds of its columns.

    Numbers are those that are no truth values and not NaN; what is missing is counted nowhere.
    """
    at = {one: place for place, one in enumerate(plan.sources)}
    groups = _groups([at[one] for one in plan.by], rows)
    values = [{one: [row[place] for row in group] for one, place in at.items()} for group in groups]
    order = _order(plan, groups, values, reverse)
    groups, values = [groups[place] for place in order], [values[place] for place in order]
    headings: dict[str, str] = {}
    cells: list[list[Any]] = []
    for of in _worth_showing(plan, at, rows):
        for heading, kind, made in _made(of, groups, values):
            if heading not in headings:
                headings[heading] = kind
                cells.append(made)
    return Table(list(headings), list(zip(*cells, strict=True))), headings


def _worth_showing(plan: Plan, at: Mapping[Column, int], rows: Sequence[Sequence[Any]]) -> Sequence[Of]:
    """Where nobody chose, statistics that differ, if any do: what most have first, and last what only counts, as ``epoch``."""
    if plan.chosen:
        return plan.columns
    first, ranked = [], []
    for of in plan.columns:
        if of.source is None or not of.source.name.startswith("summary."):
            first.append(of)
            continue
        values = [row[at[of.source]] for row in rows]
        known = [value for value in values if value is not None]
        if known:
            ranked.append((alike(values), all(isinstance(value, int) for value in known), -len(known), of.heading, of))
    ranked.sort(key=lambda one: one[:4])
    return [*first, *(of for one, *_, of in ranked if one is ranked[0][0])]


def _groups(places: Sequence[int], rows: Sequence[Sequence[Any]]) -> list[list[Sequence[Any]]]:
    found: dict[Any, list[Sequence[Any]]] = {}
    for row in rows:
        found.setdefault(tuple(same(row[place]) for place in places), []).append(row)
    return list(found.values())


def same(known: Any) -> Any:
    """Equal for what queries find equal."""
    if isinstance(known, bool):
        return "truth", known
    if isinstance(known, (int, float)):
        return "nan" if known != known else known
    return known if known is None else ("text", known) if isinstance(known, str) else ("other", text(known))


def alike(values: Sequence[Any]) -> bool:
    """Whether all are the same."""
    first = values[0] if values else None
    known = same(first)
    return all(one is first or same(one) == known for one in values)


def _made(
    of: Of, groups: Sequence[Sequence[Any]], values: Sequence[dict[Column, list[Any]]]
) -> list[tuple[str, str, list[Any]]]:
    """Heading, kind and cells of the columns that come of it."""
    if of.source is None:
        return [(of.heading, "plain", [len(group) for group in groups])]
    source = of.source
    if of.kind == "by":
        return [(of.heading, source.kind, [value(own[source][0], source) for own in values])]
    own = [one[source] for one in values]
    if of.kind == "figure":
        return [(of.heading, _kind(source, of.figure), [figure(of.figure, known, source) for known in own])]
    numbers = any(_is_counted(known) for group in own for known in group)
    rest = any(known is not None and not is_number(known) for group in own for known in group)
    found = []
    if numbers:
        found = [
            (f"{of.heading}_{name}", _kind(source, name), [figure(name, known, source) for known in own]) for name in FIGURES
        ]
    if rest or not numbers:
        found.append((of.heading, "plain", [counts(known, source) for known in own]))
    return found


def _kind(source: Column, name: str) -> str:
    if source.kind == "moment":
        return {"std": "span", "count": "plain"}.get(name, "moment")
    return "plain" if name == "count" else source.kind


def _is_counted(known: Any) -> bool:
    return is_number(known) and known == known


def figure(name: str, values: Sequence[Any], source: Column) -> Any:
    """Of the numbers among ``values``; None where there are too few."""
    numbers = [one for one in values if _is_counted(one)]
    if name == "count":
        return len(numbers)
    if not numbers:
        return None
    found = _WAYS[name](numbers)
    return moment(found) if source.kind == "moment" and name != "std" and found is not None else found


def mean(numbers: Sequence[int | float]) -> float | None:
    try:
        if min(numbers) == max(numbers):
            return float(numbers[0])
        if not all(map(math.isfinite, numbers)):
            return float(sum(numbers))  # infinite, or NaN of both infinities
        return math.fsum(numbers) / len(numbers)
    except OverflowError:
        return None


def deviation(numbers: Sequence[int | float]) -> float | None:
    """The standard deviation of a sample."""
    middle = mean(numbers) if len(numbers) > 1 else None
    if middle is None or not math.isfinite(middle):
        return None
    try:
        return math.sqrt(math.fsum((one - middle) ** 2 for one in numbers) / (len(numbers) - 1))
    except OverflowError:
        return None


_WAYS: dict[str, Callable[[Sequence[int | float]], Any]] = {"mean": mean, "std": deviation, "min": min, "max": max}


def counts(values: Sequence[Any], source: Column) -> str | None:
    """``completed:3 broken:1``, the most frequent first; of words, as tags, each."""
    found: Counter[str] = Counter()
    for known in values:
        several = source.kind == "words" and source.name != "command" and isinstance(known, (list, tuple))
        for one in known if several else [known]:
            if one is not None and not is_number(one):
                found[_quoted(text(value(one, source)))] += 1
    shown = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    more = [f"… and {len(shown) - SHOWN:,} more"] if len(shown) > SHOWN else []
    return " ".join([*(f"{one}:{count}" for one, count in shown[:SHOWN]), *more]) or None


def _quoted(shown: str) -> str:
    return json.dumps(shown, ensure_ascii=False) if not shown or set(shown) & set(' :"\t\r\n') else shown


def _order(
    plan: Plan, groups: Sequence[Sequence[Any]], values: Sequence[dict[Column, list[Any]]], reverse: bool
) -> list[int]:
    """The places of the groups: by what they are grouped by, where nobody asks for another order."""
    order = list(range(len(groups)))
    asked = plan.order or [(Of(one.heading, "by", one), False) for one in plan.by]
    for of, descending in reversed([*asked, *((Of(one.heading, "by", one), False) for one in plan.by)]):
        ranks = [_ranked(of, group, own) for group, own in zip(groups, values, strict=True)]
        order.sort(key=lambda place, ranks=ranks: ranks[place], reverse=descending is not reverse)  # type: ignore[misc]
        order.sort(key=lambda place, ranks=ranks: ranks[place] is LAST)  # type: ignore[misc]
    return order


def _ranked(of: Of, group: Sequence[Any], values: dict[Column, list[Any]]) -> tuple[int, Any]:
    if of.source is None:
        return rank(len(group))
    known = values[of.source]
    if of.kind == "by":
        return rank(known[0])
    plain = Column(of.source.heading, of.source.name)
    found = figure(of.figure or "mean", known, plain)
    return rank(found if found is not None or of.figure else counts(known, of.source))
