"""The index of the MongoDB journal: a document of facts for each trial, and queries as filters over it.

The names of facts come from users. As names of fields they are written so that none can be a path or an operator: ``%``, dots,
dollar signs and NUL as ``%25``, ``%2E``, ``%24`` and ``%00``. So every fact has an index, by one wildcard.
"""

from __future__ import annotations

import json

from kleio.core.journal.base import Found, storable
from kleio.core.journal.filters import All, Beside, Between, Either, Holds, Is, Lists, Not, There

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from pymongo.collection import Collection

    from kleio.core.journal.cards import Card
    from kleio.core.journal.filters import Filter

    Document = dict[str, Any]

VALUE, LIST, HELD = "f", "j", "h"
"""Fields of a card: its values, its lists as text, and what these hold."""
FREE: Document = {"unindexed": True, "holder": None}
WAITING: Document = {"$or": [{"unindexed": True}, {"holder": {"$type": "string"}}]}
NAN = float("nan")
_SIGNS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_ESCAPED = str.maketrans({character: f"%{ord(character):02X}" for character in "%.$\0"})


def field(part: str, name: str) -> str:
    """The path of a fact."""
    return f"{part}.{storable(name).translate(_ESCAPED)}"


def stored(card: Card) -> Document:
    """A card as a document, but for its id."""

    def named(values: Iterable[tuple[str, Any]]) -> Document:
        return {name.translate(_ESCAPED): value for name, value in values}

    return {
        "created": card.created,
        "events": card.events,
        VALUE: named(card.values.items()),
        LIST: named((name, text) for name, (text, _) in card.lists.items()),
        HELD: named((name, list(held)) for name, (_, held) in card.lists.items()),
    }


def condition(wanted: Filter) -> Document:
    """The filter that finds the cards that are meant."""
    if isinstance(wanted, All):
        return {"$and": [condition(part) for part in wanted.parts]} if wanted.parts else {}
    if isinstance(wanted, Either):
        return {"$or": [condition(part) for part in wanted.parts]} if wanted.parts else {"_id": {"$in": []}}
    if isinstance(wanted, Not):
        return {"$nor": [condition(wanted.part)]}
    if isinstance(wanted, Beside):
        return _beside(wanted)
    value, text = field(VALUE, wanted.name), field(LIST, wanted.name)
    if isinstance(wanted, There):
        return {"$or": [{value: {"$exists": True}}, {text: {"$exists": True}}]}
    if isinstance(wanted, Is):
        return {value: {"$in": list(wanted.values)}}
    if isinstance(wanted, Lists):
        return {text: {"$in": list(wanted.lists)}}
    if isinstance(wanted, Holds):
        held = storable(wanted.value) if isinstance(wanted.value, str) else wanted.value
        return {field(HELD, wanted.name): {"$in": [held]}}
    return {value: _between(wanted)}


def _between(wanted: Between) -> Document:
    """The server compares within a type, numbers of all sizes being one; NaN, which it takes for the smallest, is none."""
    edges: Document = {}
    if wanted.low is not None:
        edges["$gte" if wanted.with_low else "$gt"] = wanted.low
    elif not isinstance(wanted.high, str):
        edges["$gte"] = float("-inf")
    if wanted.high is not None:
        edges["$lte" if wanted.with_high else "$lt"] = wanted.high
    return edges


def _beside(wanted: Beside) -> Document:
    pairs = [[f"${field(part, name)}" for name in (wanted.left, wanted.right)] for part in (VALUE, LIST)]
    (left, right), lists = pairs
    numbers: Document = {"$and": [{"$isNumber": left}, {"$isNumber": right}]}
    same: Document = {"$eq": [{"$type": left}, {"$type": right}]}
    if wanted.sign == "==":
        there = {"$ne": [{"$type": lists[0]}, "missing"]}
        plain = {"$and": [{"$ne": [{"$type": left}, "missing"]}, {"$or": [numbers, same]}, {"$eq": [left, right]}]}
        return {"$expr": {"$or": [plain, {"$and": [there, {"$eq": lists}]}]}}
    sane = {"$and": [numbers, {"$ne": [left, NAN]}, {"$ne": [right, NAN]}]}
    texts = {"$and": [same, {"$eq": [{"$type": left}, "string"]}]}
    return {"$expr": {"$and": [{"$or": [sane, texts]}, {_SIGNS[wanted.sign]: [left, right]}]}}


# -- asking ----------------------------------------------------------------------------------------------------------


def values(cards: Collection[Document], name: str) -> list[Any]:
    """All that there are of a fact. Kind by kind, sorted: then the server goes from one to the next in the index."""
    found: list[Any] = []
    for path, kind in _kinds(name):
        stages: list[Document] = [{"$match": {path: kind}}, {"$sort": {path: 1}}, {"$group": {"_id": f"${path}"}}]
        own = [one["_id"] for one in cards.aggregate(stages)]
        found += map(json.loads, own) if path.startswith(f"{LIST}.") else own
    return [*found, *([NAN] if cards.find_one({field(VALUE, name): NAN}, {"_id": 1}) else [])]


def _kinds(name: str) -> list[tuple[str, Document]]:
    """Path and condition of each kind of fact, in the order of sorting: numbers but for NaN, texts, truth values, lists."""
    path, lists = field(VALUE, name), field(LIST, name)
    return [
        (path, {"$gte": float("-inf")}), (path, {"$gte": ""}), (path, {"$in": [False, True]}), (lists, {"$gte": ""}),
    ]  # fmt: skip


NEWEST = [("created", -1), ("_id", -1)]


def find(
    cards: Collection[Document],
    where: Document,
    sort: Sequence[tuple[str, bool]],
    limit: int | None,
    also: Sequence[str] = (),
) -> list[Found]:
    """See :meth:`kleio.core.journal.base.Journal.find`."""
    names = [*(name for name, _ in sort), *also]
    if not sort:
        shown = {"created": 1} | {field(part, name): 1 for part in (VALUE, LIST) for name in also}
        found = list(cards.find(where, shown).sort(NEWEST).limit(limit or 0))
    elif also:
        found = list(cards.aggregate(_by_several(where, sort, limit, also), allowDiskUse=True))
    elif len(sort) == 1 and limit is not None:
        found = _by_one(cards, where, *sort[0], limit)
    else:
        found = list(cards.aggregate(_by_several(where, sort, limit), allowDiskUse=True))
    return [Found(one["_id"], one["created"], [_fact(one, name) for name in names]) for one in found]


def _by_one(cards: Collection[Document], where: Document, name: str, descending: bool, limit: int) -> list[Document]:
    """Kind by kind, in the order of the index, which knows nothing of times: of those as the last, the newest are asked for."""
    found: list[Document] = []
    shown = {"created": 1, field(VALUE, name): 1, field(LIST, name): 1}
    kinds = _kinds(name)
    for path, kind in reversed(kinds) if descending else kinds:
        left = limit - len(found)
        if not left:
            break
        own = list(cards.find({"$and": [where, {path: kind}]}, shown).sort(path, -1 if descending else 1).limit(left))
        if len(own) == left:
            last = _at(own[-1], path)
            own = [one for one in own if _at(one, path) != last]
            equal = {"$and": [where, {path: {"$eq": last}}]}
            own += cards.find(equal, shown).sort(NEWEST).limit(left - len(own))
        own.sort(key=lambda one: (one["created"], one["_id"]), reverse=True)
        own.sort(key=lambda one, path=path: _at(one, path), reverse=descending)  # type: ignore[misc]
        found += own
    if len(found) < limit:
        rest = {"$nor": [{path: kind} for path, kind in kinds]}
        found += cards.find({"$and": [where, rest]}, shown).sort(NEWEST).limit(limit - len(found))
    return found


def _at(document: Document, path: str) -> Any:
    part, _, key = path.partition(".")
    return document[part][key]


def _by_several(
    where: Document, sort: Sequence[tuple[str, bool]], limit: int | None, also: Sequence[str] = ()
) -> list[Document]:
    shown: Document = {"created": 1} | {field(part, name): 1 for part in (VALUE, LIST) for name in also}
    order: dict[str, int] = {}
    for at, (name, descending) in enumerate(sort):
        path, lists = field(VALUE, name), field(LIST, name)
        shown |= {path: 1, lists: 1}
        kind = {"$type": f"${path}"}
        branches = [
            {"case": {"$and": [{"$isNumber": f"${path}"}, {"$ne": [f"${path}", NAN]}]}, "then": 0},
            {"case": {"$eq": [kind, "string"]}, "then": 1},
            {"case": {"$eq": [kind, "bool"]}, "then": 2},
            {"case": {"$eq": [{"$type": f"${lists}"}, "string"]}, "then": 3},
        ]
        shown[f"k{at}"] = {"$switch": {"branches": branches, "default": -1 if descending else 9}}
        shown[f"v{at}"] = {"$cond": [{"$eq": [f"${path}", NAN]}, None, {"$ifNull": [f"${path}", f"${lists}"]}]}
        order |= dict.fromkeys((f"k{at}", f"v{at}"), -1 if descending else 1)
    stages: list[Document] = [{"$match": where}, {"$project": shown}, {"$sort": {**order, **dict(NEWEST)}}]
    return [*stages, {"$limit": limit}] if limit else stages


def _fact(document: Document, name: str) -> Any:
    key = storable(name).translate(_ESCAPED)
    text = document.get(LIST, {}).get(key)
    return document.get(VALUE, {}).get(key) if text is None else json.loads(text)
