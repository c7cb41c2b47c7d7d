"""What the SQLite journal is asked when something is looked for: conditions on facts as SQL."""

from __future__ import annotations

import json
import math

from kleio.core.journal.base import Found, storable
from kleio.core.journal.filters import All, Beside, Between, Either, Holds, Is, Lists, Not, There
from kleio.core.journal.sqlite_index import HELD, LIST, NAN, NUMBER, TEXT, TRUTH, WAITING, held_key, kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

    from kleio.core.journal.cards import Scalar
    from kleio.core.journal.filters import Filter

MOST_BOUND = 30_000
"""Values of one statement; SQLite takes a few more."""
NUMBER_OF = "(SELECT number FROM names WHERE name = ?)"
VALUES = f"SELECT DISTINCT kind, value FROM facts WHERE name = {NUMBER_OF} AND kind <> {HELD}"


def given(kind: int, value: Any) -> Any:
    """A value as it was."""
    if kind == TRUTH:
        return bool(value)
    if kind == NAN:
        return math.nan
    return json.loads(value) if kind == LIST else value


def find(
    connection: sqlite3.Connection,
    wanted: Filter,
    sort: Sequence[tuple[str, bool]],
    limit: int | None,
    also: Sequence[str] = (),
) -> list[Found]:
    """See :meth:`kleio.core.journal.base.Journal.find`."""
    values: list[Any] = []
    columns, joins, order = "", "", ""
    for at, name in enumerate([*(name for name, _ in sort), *also]):
        columns += f", f{at}.kind, f{at}.value"
        joins += f" LEFT JOIN facts f{at} ON f{at}.card = c.card AND f{at}.kind <> {HELD} AND f{at}.name = {NUMBER_OF}"
        values.append(storable(name))
    for at, (_, descending) in enumerate(sort):
        turn = " DESC" if descending else ""
        order += f"coalesce(f{at}.kind, {NAN}) = {NAN}, f{at}.kind{turn}, f{at}.value{turn}, "
    where = _condition(wanted, values)
    sql = (
        f"SELECT c.trial, c.created{columns} FROM cards c{joins} WHERE c.trial NOT IN ({WAITING}) AND {where} "
        f"ORDER BY {order}c.created DESC, c.trial DESC LIMIT ?"
    )
    rows = connection.execute(sql, [*values, -1 if limit is None else limit])
    return [Found(trial, created, _sorted_by(known)) for trial, created, *known in rows]


def _sorted_by(known: Sequence[Any]) -> list[Any]:
    return [given(kind, value) for kind, value in zip(known[::2], known[1::2], strict=True)]


def _condition(wanted: Filter, values: list[Any]) -> str:
    if isinstance(wanted, (All, Either)):
        word, empty = (" AND ", "1") if isinstance(wanted, All) else (" OR ", "0")
        return _joined([_condition(part, values) for part in wanted.parts], word) or empty
    if isinstance(wanted, Not):
        return f"NOT ({_condition(wanted.part, values)})"
    if isinstance(wanted, Beside):
        return _beside(wanted, values)
    values.append(storable(wanted.name))
    if isinstance(wanted, There):
        return _facts("1")
    if isinstance(wanted, Lists):
        return _facts(f"kind = {LIST} AND {_one_of(wanted.lists, values)}")
    if isinstance(wanted, Holds):
        values.append(held_key(wanted.value))
        return _facts(f"kind = {HELD} AND value = ?")
    return _is(wanted.values, values) if isinstance(wanted, Is) else _between(wanted, values)


def _joined(parts: Sequence[str], word: str) -> str:
    """Balanced: SQLite takes no tree of more than a thousand levels."""
    if len(parts) < 3:
        return "(" + word.join(parts) + ")" if parts else ""
    half = len(parts) // 2
    return f"({_joined(parts[:half], word)}{word}{_joined(parts[half:], word)})"


def _facts(which: str) -> str:
    return f"c.card IN (SELECT card FROM facts WHERE name = {NUMBER_OF} AND {which})"


def _beside(wanted: Beside, values: list[Any]) -> str:
    values += [storable(wanted.left), storable(wanted.right)]
    kinds = f"IN ({NUMBER}, {TEXT})" if wanted.sign != "==" else f"<> {HELD}"
    sign = "=" if wanted.sign == "==" else wanted.sign
    return (
        f"c.card IN (SELECT a.card FROM facts a JOIN facts b ON b.card = a.card WHERE a.name = {NUMBER_OF} "
        f"AND b.name = {NUMBER_OF} AND a.kind = b.kind AND a.kind {kinds} AND a.value {sign} b.value)"
    )


def _is(wanted: Iterable[Scalar], values: list[Any]) -> str:
    kinds: dict[int, list[Any]] = {}
    for one in wanted:
        kind, value = kept(one)
        kinds.setdefault(kind, []).append(value)
    conditions = [f"kind = {kind} AND {_one_of(own, values)}" for kind, own in kinds.items()]
    return _facts(f"({' OR '.join(conditions) or '0'})")


def _one_of(wanted: Sequence[Any], values: list[Any]) -> str:
    """Bound one by one as long as SQLite takes so many; only texts are ever more."""
    if len(values) + len(wanted) < MOST_BOUND:
        values += wanted
        return f"value IN ({', '.join('?' * len(wanted))})"
    values.append(json.dumps(list(wanted)))
    return "value IN (SELECT value FROM json_each(?))"


def _between(wanted: Between, values: list[Any]) -> str:
    kind = TEXT if isinstance(wanted.low if wanted.high is None else wanted.high, str) else NUMBER
    conditions = [f"kind = {kind}"]
    for edge, sign, included in ((wanted.low, ">", wanted.with_low), (wanted.high, "<", wanted.with_high)):
        if edge is not None:
            conditions.append(f"value {sign}{'=' if included else ''} ?")
            values.append(edge)
    return _facts(" AND ".join(conditions))
