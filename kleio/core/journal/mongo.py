"""The shared journal: what is in the collections of its database (:mod:`kleio.core.journal.mongo_database`)."""

from __future__ import annotations

import json

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from kleio.core.errors import JournalError
from kleio.core.journal import pipelines
from kleio.core.journal.base import (
    Segment,
    Summary,
    Trace,
    beginning,
    beyond,
    contiguous,
    decoded,
    findable,
    readable,
    restored,
    storable,
)
from kleio.core.journal.mongo_blobs import MongoBlobs
from kleio.core.trial import Entry, Event, Reservation, Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.errors import Damaged
    from kleio.core.journal.base import Found, Selection
    from kleio.core.journal.cards import Card
    from kleio.core.journal.filters import Filter
    from kleio.core.journal.replacement import Replacement

    Document = dict[str, Any]

BATCH = 8 << 20  # bytes of payload asked for at once
DUPLICATE = 11000


class MongoJournal(MongoBlobs):
    """See :class:`~kleio.core.journal.base.Journal`."""

    # -- trials --------------------------------------------------------------------------------------------------

    def create(self, trial: Trial) -> None:
        document = {
            "work_key": trial.work_key, "project": storable(trial.project), "created": trial.created,
            "body": json.dumps(trial.as_dict()), "status": "new", "status_order": "", "holder": None, "token": 0,
            "expires": None, "tags": [], "events": [], "unindexed": True,
        }  # fmt: skip
        if trial.parent is not None:
            document["parent"] = storable(trial.parent)
        with self._writing():
            self._insert("trials", trial.id, document)

    def claim(
        self,
        trial: str,
        execution: str,
        data: Mapping[str, Any],
        lease: float,
        dead: str | None = None,
        seen: str | None = None,
    ) -> Reservation | None:
        with self._writing():
            held = self._db.trials.find_one_and_update(
                pipelines.free(trial, execution, dead, seen),
                pipelines.claimed(execution, data, lease),
                projection={"token": 1, "expires": 1},
                return_document=ReturnDocument.AFTER,
            )
            if held is None:
                self._must_exist(trial, "to reserve")
                return None
        expires = held["expires"]
        now = expires - pipelines.milliseconds(lease)
        return Reservation(trial, execution, held["token"], expires / 1000, now / 1000)

    def renew(self, trial: str, execution: str, lease: float) -> bool:
        longer = [{"$set": {"expires": {"$add": [pipelines.NOW, pipelines.milliseconds(lease)]}}}]
        with self._writing():
            found = self._db.trials.update_one({"_id": trial, "holder": execution}, longer)
        return found.matched_count == 1

    def record(self, trial: str, event: Event) -> None:
        with self._writing():
            # An event that is known matches nothing, so repeating one changes nothing.
            unknown = {"_id": trial, "events.id": {"$ne": event.id}}
            if not self._db.trials.update_one(unknown, pipelines.recorded(event)).matched_count:
                self._must_exist(trial, f"to record {event.kind!r} for")

    def _must_exist(self, trial: str, purpose: str) -> None:
        if self._db.trials.find_one({"_id": trial}, {"_id": 1}) is None:
            raise JournalError(f"there is no trial {trial} {purpose}")

    def entry(self, trial: str) -> Entry | None:
        found = self._entries([{"$match": {"_id": trial}}], None)
        return found[0] if found else None

    def resolve(self, prefix: str, limit: int = 10) -> list[str]:
        with self.told():
            found = self._db.trials.find({"_id": {"$gte": prefix, "$lt": prefix + "g"}}, {"_id": 1})
            return [one["_id"] for one in found.sort("_id", 1).limit(limit)]

    def entries(self, selection: Selection, limit: int | None = None) -> list[Entry]:
        newest: list[Document] = [{"$match": pipelines.selected(selection)}, {"$sort": {"created": -1, "_id": -1}}]
        if limit is None:
            return self._entries(newest, self.left_out)
        return self._entries([*newest, {"$limit": limit}], self.left_out) if limit > 0 else []

    def _entries(self, stages: list[Document], left_out: dict[str, Damaged] | None) -> list[Entry]:
        with self.told():
            found = list(self._db.trials.aggregate([*stages, {"$project": pipelines.ENTRY}]))

        def made(one: Document) -> Entry:
            return Entry(
                restored(one["body"], one["_id"]),
                tuple(Event(**(event | {"data": decoded(event["data"], one["_id"])})) for event in one["events"]),
                one["holder"],
                one["live"],
                one["token"],
                None if one["left"] is None else one["left"] / 1000,
            )

        return list(readable(found, made, left_out))

    def counts(self, selection: Selection) -> tuple[dict[str, int], dict[str, int]]:
        with self.told():
            (found,) = self._db.trials.aggregate(pipelines.counted(selection))
        statuses, tags = ({one["_id"]: one["count"] for one in found[kind]} for kind in ("statuses", "tags"))
        return dict(sorted(statuses.items())), dict(sorted(tags.items()))

    # -- looking for trials --------------------------------------------------------------------------------------

    def index(self, card: Card) -> None:
        """The card first: as long as it is not known to be new, the trial is looked at as it is."""
        from kleio.core.journal import mongo_index

        with self._writing():
            try:
                older = {"_id": card.trial, "events": {"$lte": card.events}}
                self._db.cards.replace_one(older, mongo_index.stored(card), upsert=True)
            except DuplicateKeyError:  # of more events, by somebody else
                return
            same = {"_id": card.trial, "holder": None, "events": {"$size": card.events}}
            self._db.trials.update_one(same, {"$unset": {"unindexed": ""}})

    def unindexed(self, free: bool = False) -> list[str]:
        from kleio.core.journal.mongo_index import FREE, WAITING

        with self.told():
            return sorted(one["_id"] for one in self._db.trials.find(FREE if free else WAITING, {"_id": 1}))

    def find(
        self, wanted: Filter, sort: Sequence[tuple[str, bool]] = (), limit: int | None = None, also: Sequence[str] = ()
    ) -> tuple[list[Found], list[str]]:
        """What is unindexed comes first: what is indexed a moment later is not looked for among the cards any more."""
        from kleio.core.journal import mongo_index

        others = self.unindexed()
        where = {"$and": [mongo_index.condition(wanted), {"_id": {"$nin": others}}]}
        with self.told():
            return mongo_index.find(self._db.cards, where, sort, limit, also), others

    def values(self, name: str) -> list[Any]:
        from kleio.core.journal import mongo_index

        with self.told():
            return mongo_index.values(self._db.cards, name)

    # -- streams -------------------------------------------------------------------------------------------------

    def append(self, segments: Sequence[Segment]) -> None:
        with self._writing():
            rows = [
                (_key(one), {"end": one.end, "dropped": one.dropped, "payload": one.payload})
                for one in segments
                if not self._is_sealed(one)
            ]
            self._keep_longest("segments", rows)

    def _is_sealed(self, one: Segment) -> bool:
        """Whether it overlaps what was replaced before this journal was opened.

        Asked once a trial: what is replaced later was sent by this process itself, and so begins where this begins.
        """
        if one.trial not in self._seals:
            self._seals[one.trial] = list(self._db.segments.find({"sealed": one.trial}, {"end": 1}))
        return any(
            one.start < seal["end"] and seal["_id"]["start"] < one.end and seal["_id"] | {"start": one.start} == _key(one)
            for seal in self._seals[one.trial]
        )

    def _keep_longest(self, collection: str, rows: list[tuple[Document, Document]]) -> None:
        """Set each (``_id``, content), unless one that reaches as far is there.

        A duplicate means just that, or that a shorter one was inserted at the same time: the second round, which only
        updates, settles it.
        """
        for upsert in (True, False):
            if not rows:
                return
            writes = [
                UpdateOne(
                    {"_id": key, "end": {"$lt": content["end"]}, "sealed": {"$exists": False}},
                    {"$set": content},
                    upsert=upsert,
                )
                for key, content in rows
            ]
            try:
                self._db[collection].bulk_write(writes, ordered=False)
                return
            except BulkWriteError as error:
                rows = [rows[one["index"]] for one in _but_duplicates(error)]

    def segments(
        self,
        trial: str,
        streams: Sequence[str],
        after: Mapping[tuple[str, str, str], int] | None = None,
        until: Mapping[tuple[str, str, str], int] | None = None,
    ) -> Iterator[Segment]:
        batch: list[Document] = []
        size = 0
        for key, end in self._within(pipelines.within(trial, streams, after or {}, until)):
            if size > BATCH:
                yield from self._fetched(batch)
                batch, size = [], 0
            batch.append(key)
            size += end - key["start"] + 200
        yield from self._fetched(batch)

    def _within(self, stages: list[Document]) -> list[tuple[Document, int]]:
        """The keys and ends of what is wanted, in order, from the index alone."""
        with self.told():
            found = list(self._db.segments.aggregate(stages))
        return [({part: one["_id"][part] for part in pipelines.SEGMENT}, one["end"]) for one in found]

    def _fetched(self, keys: list[Document]) -> Iterator[Segment]:
        """What is stored under ``keys``, in their order; a segment may have become longer since."""
        if not keys:
            return
        with self.told():
            found = {json.dumps(one["_id"]): one for one in self._db.segments.find({"_id": {"$in": keys}})}
        for key in keys:
            if one := found.get(json.dumps(key)):
                yield Segment(**key, end=one["end"], payload=bytes(one["payload"]), dropped=one["dropped"])

    def extents(self, execution: str, trial: str) -> dict[tuple[str, str], int]:
        ranges: dict[tuple[str, str], list[tuple[int, int]]] = {}
        with self.told():
            for one in self._db.segments.find({"_id.trial": trial, "_id.execution": execution}, pipelines.EXTENT):
                key = one["_id"]
                ranges.setdefault((key["writer"], key["stream"]), []).append((key["start"], one["end"]))
        return {key: contiguous(own) for key, own in ranges.items()}

    def summarise(self, summary: Summary) -> None:
        key = {"trial": summary.trial, "execution": summary.execution, "writer": summary.writer}
        with self._writing():
            self._keep_longest("summaries", [(key, {"end": summary.end, "keys": json.dumps(dict(summary.keys))})])

    def summaries(self, trials: Sequence[str]) -> dict[str, list[Summary]]:
        found: dict[str, list[Summary]] = {}
        with self.told():
            rows = self._db.summaries.find({"_id.trial": {"$in": list(trials)}}).sort("_id", 1)
            for summary in readable(rows, _summary, self.left_out):
                found.setdefault(summary.trial, []).append(summary)
        return found

    # -- traces --------------------------------------------------------------------------------------------------

    def leave(self, traces: Sequence[Trace]) -> None:
        rows = [{"_id": _trace(one)} for one in traces]
        with self._writing():
            if not rows:
                return
            try:
                self._db.traces.insert_many(rows, ordered=False)
            except BulkWriteError as error:
                _but_duplicates(error)

    def traces(self, key: str, prefix: bool = False) -> list[Trace]:
        if prefix:
            first = beginning(key)
            return self._traces({"_id.key": {"$gte": first, "$lt": beyond(first)}})
        return self._traces({"_id.key": findable(key)})

    def traces_of(self, trial: str) -> list[Trace]:
        return self._traces({"_id.trial": trial})

    def _traces(self, where: Document) -> list[Trace]:
        with self.told():
            found = [Trace(**one["_id"]) for one in self._db.traces.find(where)]
        return sorted(found, key=lambda one: (one.key.encode(), one.trial, one.execution))

    # -- content -------------------------------------------------------------------------------------------------

    def put_document(self, digest: str, document: Mapping[str, Any]) -> None:
        with self._writing():
            if self._db.documents.find_one({"_id": digest}, {"_id": 1}) is None:  # mostly there, and perhaps large
                self._insert("documents", digest, {"body": json.dumps(dict(document))})

    def document(self, digest: str) -> dict[str, Any] | None:
        with self.told():
            found = self._db.documents.find_one({"_id": digest})
        return None if found is None else dict(json.loads(found["body"]))

    # -- taking away ---------------------------------------------------------------------------------------------

    def replace(self, replacement: Replacement) -> None:
        new = replacement
        self._seals.pop(new.trial, None)
        with self._writing():
            self._db.trials.update_one({"_id": new.trial}, {"$set": {"unindexed": True}})
            self._db.cards.delete_one({"_id": new.trial})
            if new.body is not None:
                body = {"project": storable(new.body.project), "body": json.dumps(new.body.as_dict())}
                self._db.trials.update_one({"_id": new.trial}, {"$set": body})
            if new.events:
                self._replace_events(new.trial, {event.id: json.dumps(dict(event.data)) for event in new.events})
            for one in new.segments:
                sealed = {"payload": one.payload, "sealed": one.trial}
                self._db.segments.update_one({"_id": _key(one), "end": one.end}, {"$set": sealed})
            for own in new.summaries:
                key = {"trial": own.trial, "execution": own.execution, "writer": own.writer}
                sealed = {"keys": json.dumps(dict(own.keys)), "sealed": own.trial}
                self._db.summaries.update_one({"_id": key, "end": own.end}, {"$set": sealed})
            for digest, document in new.documents.items():
                self._db.documents.update_one({"_id": digest}, {"$set": {"body": json.dumps(dict(document))}})
            if new.traces:
                self._db.traces.delete_many({"_id": {"$in": [_trace(one) for one in new.traces]}})

    def _replace_events(self, trial: str, data: Mapping[str, str]) -> None:
        """Events only ever grow in number, so an unchanged number means that none has come between."""
        while stored := self._db.trials.find_one({"_id": trial}, {"events": 1}):
            events = [event | {"data": data.get(event["id"], event["data"])} for event in stored["events"]]
            change = {"events": events, "tags": _tags(events)}
            unchanged = {"_id": trial, "events": {"$size": len(events)}}
            if self._db.trials.update_one(unchanged, {"$set": change}).matched_count:
                return


def _summary(one: Document) -> Summary:
    return Summary(**one["_id"], end=one["end"], keys=decoded(one["keys"], one["_id"]["trial"]))


def _key(one: Segment) -> Document:
    return {part: getattr(one, part) for part in pipelines.SEGMENT}


def _trace(one: Trace) -> Document:
    return {"key": findable(one.key), "trial": one.trial, "execution": one.execution}


def _tags(events: Iterable[Mapping[str, Any]]) -> list[str]:
    said = [json.loads(event["data"]) for event in events if event["kind"] == "annotated"]
    return sorted({storable(tag) for data in said for tag in data.get("tags", ())})


def _but_duplicates(error: BulkWriteError) -> list[Document]:
    """The writes that were refused because something of the same key is there. Raises the error if there were others."""
    refused: list[Document] = error.details["writeErrors"]
    if error.details["writeConcernErrors"] or any(one["code"] != DUPLICATE for one in refused):
        raise error
    return refused
