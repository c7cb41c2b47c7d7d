"""What a script asks and the launcher answers, through files in the spool (the child never sees a password).

A request is ``requests/NAME.json`` with an ``op``; its answer is ``answers/NAME.json``, with an ``error`` when it
failed. Both appear at once. A byte in the FIFO makes the launcher look.
"""

from __future__ import annotations

import os
import shutil
from itertools import chain

from kleio.core import analyses, lineage, resuming
from kleio.core.errors import JournalError, UnknownTrial, in_words
from kleio.core.findings import resumed
from kleio.core.journal.base import Selection
from kleio.core.lookup import resolve
from kleio.core.retention import kept
from kleio.core.scopes import resolved
from kleio.core.spool import ANALYSIS, spools
from kleio.core.statistics import Record
from kleio.core.streams import RESOURCES, LineStream, Source
from kleio.core.trial import Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.lookup import Key
    from kleio.core.resuming import Resumed, Turn
    from kleio.core.retention import Logged
    from kleio.core.scopes import Scope
    from kleio.core.spool import Spool
    from kleio.core.trial import Entry


class Answerer:
    """Answers the requests of one execution's script. ``shipped_to`` says how far a stream is in the journal."""

    def __init__(self, source: Source, journal: Journal | None, shipped_to: Callable[[str, str], int]) -> None:
        self._source, self._journal, self._shipped_to = source, journal, shipped_to

    def answer(self) -> None:
        """Answer whatever can be answered now."""
        directory = self._source.spool.file("requests")
        for name in os.listdir(directory):
            if not name.endswith(".json"):
                continue
            stem = name[: -len(".json")]
            request = self._source.spool.read(os.path.join("requests", stem))
            if request is None:
                continue
            reply = self._reply(request)
            if reply is not None:
                self._source.spool.write(os.path.join("answers", stem), reply)
                os.unlink(os.path.join(directory, name))

    def _reply(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """None means not yet."""
        try:
            if request["op"] == "flush":
                return self._flushed(request["extents"])
            if request["op"] == "blob":
                return {"path": self._blob(request["sha256"])}
            if request["op"] == "trial":
                entry = self._other(request)
                return {"id": entry.id, "params": entry.params}
            if request["op"] == "artifacts":
                return {"records": [one for one in self._artifacts(request) if _matches(one[1], request)]}
            if request["op"] == RESOURCES:
                return {"earlier": self._inputs(request)}
            return self._statistics(request)
        except Exception as error:  # noqa: BLE001 - who asked is told, whatever it is
            return {"error": in_words(error)}

    def _statistics(self, request: dict[str, Any]) -> dict[str, Any]:
        """Statistics as (time, values, number of the scope among ``scopes``, author), or the scopes alone."""
        found, scopes = resolved(self._counting("statistics", request))
        if request["op"] == "scopes":
            return {"scopes": _told(one for one in scopes if _matches(one.values, request))}
        own = ((record, scope, None) for record, scope in found)
        said = ((record, None, author) for record, author in self._analyses(request))
        records = sorted((one for one in (*own, *said) if _matches(one[0].values, request)), key=lambda one: one[0].time)
        used = list({id(scope): scope for _, scope, _ in records if scope is not None}.values())
        places = {id(scope): at for at, scope in enumerate(used)}
        return {
            "records": [[record.time, dict(record.values), places.get(id(scope)), by] for record, scope, by in records],
            "scopes": _told(used),
        }

    def _analyses(self, request: dict[str, Any]) -> Iterator[tuple[Record, dict[str, Any]]]:
        """What was said later of the trial that is asked about, each statistic with its author: by others, then by this run."""
        trial = self._other(request).trial if "trial" in request else self._trial()
        ends = {} if request.get("all") else self._limits_of(request)
        for record, author in analyses.of(self._journal, trial, ends) if self._journal else ():
            if author["execution"] != self._source.execution:
                yield record, author
        own = self._source
        user = (own.spool.read("launch") or {}).get("execution", {}).get("user")
        for _, record in _logged(own, ANALYSIS):
            if record.values.get("trial") == trial.id:
                said = Record(record.offset, record.values["at"], record.values["values"])
                yield said, {"user": user, "trial": own.trial, "execution": own.execution}

    def _artifacts(self, request: dict[str, Any]) -> list[list[Any]]:
        """Artifacts as (time, values, execution), in the order of their times."""
        if "trial" in request:
            others = lineage.having(self._journal_here(), self._other(request), bool(request.get("all")))
            return [[record.time, dict(record.values), key[0]] for key, record in others]
        found: Iterable[Logged] = kept(chain(self._earlier("artifacts"), _logged(self._source, "artifacts")), self._turns())
        if not request.get("all"):
            found = resuming.counting(found, self._limits())
        return [[record.time, dict(record.values), key[0]] for key, record in found]

    def _inputs(self, request: dict[str, Any]) -> list[str | None]:
        """What earlier executions had for content under a path, the newest last."""
        found = sorted((record for _, record in self._earlier(RESOURCES)), key=lambda record: record.time)
        return [
            one.values.get("sha256")
            for one in found
            if one.values.get("absolute", one.values.get("path")) == (request["absolute"] or request["path"])
        ]

    def _flushed(self, extents: list[list[Any]]) -> dict[str, Any] | None:
        if self._journal is None:
            return {"error": "this run is offline; its records are in the spool until kleio sync ships them"}
        if all(self._shipped_to(writer, stream) >= end for writer, stream, end in extents):
            return {"flushed": True}
        return None

    def _counting(self, stream: str, request: dict[str, Any]) -> Iterator[tuple[Key, Record]]:
        """What the trial logged: earlier executions from the journal, this one from the spool. Without what an execution gave
        up by resuming from before it, unless all is asked for. Of another trial what the journal has.
        """
        if "trial" in request:
            entry, journal = self._other(request), self._journal_here()
            others = lineage.emitted(journal, entry.trial, stream)
            return resuming.counting(others, {} if request.get("all") else self._limits_of(request))
        found = chain(self._earlier(stream), _logged(self._source, stream))
        return found if request.get("all") else resuming.counting(found, self._limits())

    def _other(self, request: dict[str, Any]) -> Entry:
        """The trial that a request names; ``last`` is the newest of the project but this one."""
        journal = self._journal_here()
        if request["trial"] != "last":
            return resolve(journal, request["trial"])
        own = self._trial()
        others = (entry for entry in journal.entries(Selection(project=own.project), 2) if entry.id != own.id)
        found = next(others, None)
        if found is None:
            raise UnknownTrial(f"there is no other trial in the project {own.project}")
        return found

    def _journal_here(self) -> Journal:
        if self._journal is None:
            raise JournalError("this run is offline, and other trials are in the journal")
        return self._journal

    def _limits(self) -> dict[str, int]:
        """Up to when what each execution logged counts."""
        here, said = self._said()
        if self._journal is None:
            return resuming.limits(here, said)
        trial = self._trial()
        return lineage.limits(self._journal, lineage.parts(trial), self._journal.entry(trial.id), said)

    def _limits_of(self, request: dict[str, Any]) -> dict[str, int]:
        """The same of the trial that a request is about."""
        if "trial" not in request:
            return self._limits()
        entry = self._other(request)
        return lineage.limits(self._journal_here(), lineage.parts(entry.trial), entry)

    def _turns(self) -> list[Turn]:
        """How that changed in the course of time."""
        here, said = self._said()
        if self._journal is None:
            return resuming.turns(here, (), said)
        trial = self._trial()
        return lineage.turns(self._journal, lineage.parts(trial), self._journal.entry(trial.id), said)

    def _said(self) -> tuple[list[str], dict[str, Resumed]]:
        """What the spools tell of what was resumed from; offline those of all executions that are here, in their order."""
        here = [*(self._others_here() if self._journal is None else ()), self._source.spool]
        return [spool.execution for spool in here], {spool.execution: one for spool in here if (one := resumed(spool))}

    def _earlier(self, stream: str) -> Iterator[tuple[Key, Record]]:
        if self._journal is None:
            if self._trial().parent:
                raise JournalError("this run is offline, and what the trial it continues logged is in the journal")
            for spool in self._others_here():
                yield from _logged(Source(spool, self._source.trial, spool.execution), stream)
            return
        trial = self._trial()
        artifacts = stream == "artifacts"
        for key, record in lineage.had(self._journal, trial) if artifacts else lineage.emitted(self._journal, trial, stream):
            if key[0] != self._source.execution:
                yield key, record

    def _trial(self) -> Trial:
        launch = self._source.spool.read("launch")
        if launch is None:
            raise JournalError("the launch record has gone from the spool")
        return Trial.from_dict(launch["trial"])

    def _others_here(self) -> Iterator[Spool]:
        """The spools of this trial's other executions that are still on this machine, in the order of their launches."""
        found = []
        for spool in spools(os.path.dirname(self._source.spool.path)):
            launch = spool.read("launch") or {}
            if spool.execution != self._source.execution and launch.get("trial", {}).get("id") == self._source.trial:
                found.append((launch["started"], spool.execution, spool))
        return (spool for _, _, spool in sorted(found, key=lambda one: one[:2]))

    def _blob(self, sha256: str) -> str:
        """A file with the artifact's bytes, for the script to read: in the spool, where it may."""
        path = self._source.spool.file("blobs", sha256)
        kept = self._source.spool.file("answers", sha256)
        if os.path.exists(path) or os.path.exists(kept):
            return path if os.path.exists(path) else kept
        for spool in self._others_here() if self._journal is None else ():
            if os.path.exists(spool.file("blobs", sha256)):
                return spool.file("blobs", sha256)
        opened = self._journal.blob(sha256) if self._journal else None
        if opened is None:
            raise JournalError(f"the bytes of the artifact {sha256[:12]} are not in the journal")
        with opened, open(f"{kept}.tmp", "wb") as file:
            shutil.copyfileobj(opened, file, 1 << 20)
        os.replace(f"{kept}.tmp", kept)
        return kept


def _logged(source: Source, stream: str) -> Iterator[tuple[Key, Record]]:
    """Everything that is in the spool of one stream, of all its writers."""
    for writer, kind in source.spool.streams():
        if kind == stream:
            for record in LineStream(source, writer, kind, 0).everything():
                yield (source.execution, writer, kind), record


def _told(scopes: Iterable[Scope]) -> list[dict[str, Any]]:
    return [
        {
            "number": one.number, "values": one.values, "own": one.own, "started": one.started, "ended": one.over,
            "error": one.error, "uncommitted": one.uncommitted,
        }
        for one in scopes
    ]  # fmt: skip


def _matches(values: Mapping[str, Any], request: dict[str, Any]) -> bool:
    if "name" in request and values.get("name") != request["name"]:
        return False
    if any(key not in values for key in request.get("keys", ())):
        return False
    looked_at = values.get("meta", {}) if request["op"] == "artifacts" else values
    return all(key in looked_at and looked_at[key] == value for key, value in request.get("where", {}).items())
