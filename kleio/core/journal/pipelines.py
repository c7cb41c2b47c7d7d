"""What the MongoDB journal asks its server to compute, as plain values: no connection, no pymongo.

Everything of the user's goes in as ``$literal`` or as a value to compare with, never as a field's name or an
expression. The server's clock is in milliseconds.
"""

from __future__ import annotations

import json

from kleio.core.journal.base import storable
from kleio.core.trial import HELD, Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Selection

    Expression = dict[str, Any]

NOW: Expression = {"$toLong": "$$NOW"}
"""Since the epoch; the same throughout one command."""

ALIVE: Expression = {"$gt": ["$expires", NOW]}
"""Whether the reservation has not expired; null, for none, sorts before every number."""

_UNCLAIMED = {"$in": ["$status", [status.value for status in HELD]]}
STATUS: Expression = {"$cond": [{"$and": [_UNCLAIMED, {"$not": [ALIVE]}]}, "failover", "$status"]}
"""The status as it reads: without a live owner, reserved and running are failover."""

ENTRY: Expression = {
    "body": 1, "events": 1, "holder": 1, "token": 1, "live": ALIVE, "left": {"$subtract": ["$expires", NOW]},
}  # fmt: skip
"""What an entry is made of."""

SEGMENT = ("trial", "execution", "writer", "stream", "start")
"""The parts of a segment's ``_id``, in the order of the index and of reading."""

EXTENT = {"_id.writer": 1, "_id.stream": 1, "_id.start": 1, "end": 1}
"""What says which bytes of an execution are there, all of it in the index."""


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def literal(value: Any) -> Expression:
    """A value that the server must not read as an expression, such as text that begins with a dollar sign."""
    return {"$literal": value}


def free(trial: str, execution: str, dead: str | None, seen: str | None) -> Expression:
    """The filter that finds a trial if ``execution`` may have it, or has it already."""
    nobody = {"holder": {"$in": [None] if dead is None else [None, dead]}}
    never: Expression = {"events.id": {"$ne": f"reserved-{execution}"}}
    if seen is not None:
        never["status_order"] = seen
    return {
        "_id": trial,
        "$or": [{"holder": execution}, never | {"$or": [nobody, {"$expr": {"$not": [ALIVE]}}]}],
    }


def claimed(execution: str, data: Mapping[str, Any], lease: float) -> list[Expression]:
    """The update that gives a trial to ``execution``; its own reservation is renewed and otherwise left alone.

    All expressions of one ``$set`` see the document as it was before.
    """
    again = {"$eq": ["$holder", literal(execution)]}
    token = {"$add": ["$token", 1]}
    reserved = _happened("reserved", execution, token, json.dumps(dict(data)))
    failover = _happened("failover", "$holder", "$token", "{}")
    order = _order("reserved", token, reserved["id"])
    rises = {"$gt": [order, "$status_order"]}
    known = {"$or": [{"$eq": ["$holder", None]}, {"$in": [failover["id"], "$events.id"]}]}
    superseded = {"$cond": [known, [], [failover]]}
    fresh: Expression = {
        "token": token,
        "events": {"$concatArrays": ["$events", superseded, [reserved]]},
        "status": {"$cond": [rises, "reserved", "$status"]},
        "status_order": {"$cond": [rises, order, "$status_order"]},
    }
    changed: Expression = {name: {"$cond": [again, f"${name}", value]} for name, value in fresh.items()}
    until = {"$add": [NOW, milliseconds(lease)]}
    return [{"$set": {**changed, "holder": literal(execution), "expires": until, "unindexed": True}}]


def _happened(kind: str, execution: str, token: Any, data: str) -> Expression:
    """An event that the server makes of its own clock and token, named as in the SQLite journal.

    ``execution`` is an id, or ``$holder``.
    """
    who = execution if execution == "$holder" else literal(execution)
    return {
        "id": {"$concat": [f"{kind}-", who]},
        "kind": kind,
        "time": {"$divide": [NOW, 1000]},
        "token": token,
        "execution": who,
        "data": literal(data),
    }


def _order(kind: str, token: Any, event: Any) -> Expression:
    """:attr:`~kleio.core.trial.Event.order`, computed by the server: only it knows the token and the time."""
    rank = Event("", kind, 0.0).order.split("/")[1]
    time = _padded(NOW, 16)
    seconds = {"$substrBytes": [time, 0, 13]}
    fraction = {"$substrBytes": [time, 13, 3]}
    return {"$concat": [_padded(token, 12), f"/{rank}/", seconds, ".", fraction, "000/", event]}


def _padded(number: Any, width: int) -> Expression:
    """A number with leading zeros: the digits after the first of ``10 ** width + number``."""
    return {"$substrBytes": [{"$toString": {"$add": [{"$toLong": 10**width}, number]}}, 1, width]}


def recorded(event: Event) -> list[Expression]:
    """The update that adds an event to a trial that does not know it."""
    stored = event.as_dict() | {"data": json.dumps(dict(event.data))}
    change: Expression = {"events": {"$concatArrays": ["$events", [literal(stored)]]}, "unindexed": True}
    if event.status is not None:
        rises = {"$gt": [literal(event.order), "$status_order"]}
        change["status"] = {"$cond": [rises, event.status.value, "$status"]}
        change["status_order"] = {"$cond": [rises, literal(event.order), "$status_order"]}
    if event.kind in ("ended", "failover"):
        its = {"$eq": ["$holder", literal(event.execution)]}
        change |= {name: {"$cond": [its, None, f"${name}"]} for name in ("holder", "expires")}
    if event.kind == "annotated":
        tags = [storable(tag) for tag in event.data.get("tags", ())]
        change["tags"] = {"$setUnion": ["$tags", literal(tags)]}
    return [{"$set": change}]


def selected(selection: Selection) -> Expression:
    """The filter that finds the selected trials."""
    conditions: Expression = {}
    if selection.project is not None:
        conditions["project"] = storable(selection.project)
    if selection.parent is not None:
        conditions["parent"] = storable(selection.parent)
    if selection.work_key is not None:
        conditions["work_key"] = selection.work_key
    if selection.statuses:
        conditions["$expr"] = {"$in": [STATUS, literal(list(selection.statuses))]}
        if set(selection.statuses) <= set(HELD):
            conditions["holder"] = {"$type": "string"}  # of which there is an index
    if selection.ids is not None:
        conditions["_id"] = {"$in": list(selection.ids)}
    if selection.tags:
        conditions["tags"] = {"$all": [storable(tag) for tag in selection.tags]}
    return conditions


def counted(selection: Selection) -> list[Expression]:
    """Stages that give one document: how many trials have each status, and each tag."""
    statuses = [{"$sortByCount": "$status"}]
    tags = [{"$unwind": "$tags"}, {"$sortByCount": "$tags"}]
    return [
        {"$match": selected(selection)},
        {"$project": {"status": STATUS, "tags": 1}},
        {"$facet": {"statuses": statuses, "tags": tags}},
    ]


def within(
    trial: str,
    streams: Sequence[str],
    after: Mapping[tuple[str, str, str], int],
    until: Mapping[tuple[str, str, str], int] | None,
) -> list[Expression]:
    """Stages that give the keys and ends of segments beyond ``after`` that begin before ``until``, from the index alone."""
    stages: list[Expression] = [
        {"$match": {"_id.trial": trial, "_id.stream": {"$in": list(streams)}}},
        {"$sort": {f"_id.{part}": 1 for part in SEGMENT}},
        {"$project": {**{f"_id.{part}": 1 for part in SEGMENT}, "end": 1}},
    ]
    conditions = []
    if after:
        conditions.append({"$gt": ["$end", _offset_in(after)]})
    if until is not None:
        stages[0]["$match"]["_id.execution"] = {"$in": sorted({execution for execution, _, _ in until})}
        conditions.append({"$lt": ["$_id.start", _offset_in(until)]})
    if not conditions:
        return stages
    # As a computed field. Told as a filter, the server would move it to the front, and fetch every payload for it.
    return [*stages, {"$addFields": {"wanted": {"$and": conditions}}}, {"$match": {"wanted": True}}]


def _offset_in(offsets: Mapping[tuple[str, str, str], int]) -> Expression:
    """The offset that is given for a segment's stream, -1 where none is."""
    branches = [{"case": _is(key), "then": offset} for key, offset in offsets.items()]
    return {"$switch": {"branches": branches, "default": -1}} if branches else literal(-1)


def _is(stream: tuple[str, str, str]) -> Expression:
    parts = zip(("execution", "writer", "stream"), stream, strict=True)
    return {"$and": [{"$eq": [f"$_id.{part}", literal(value)]} for part, value in parts]}
