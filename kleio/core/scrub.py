"""``kleio scrub``: takes something out of everything that is stored for a trial.

What is found is described as changes, one place after the other, so that nothing large is held at once: looking only counts
them, scrubbing carries them out. Each may be repeated, so whoever is interrupted runs it again. Before anything is changed
an event says that this trial was scrubbed; it does not say of what.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field, replace

from kleio.core import analyses, output, resources, statistics
from kleio.core.errors import KleioError, Scrubbed
from kleio.core.indexing import index
from kleio.core.journal.base import BYTES, Selection, Trace
from kleio.core.journal.replacement import Replacement
from kleio.core.lookup import SHORT, by_stream, is_alive
from kleio.core.pattern import blot
from kleio.core.scrub_code import CodeScrub
from kleio.core.spool import ANALYSIS, LINE_STREAMS, OUTPUT_STREAMS, spools
from kleio.core.streams import UNREADABLE
from kleio.core.trial import Event, Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal, Segment
    from kleio.core.lookup import Key
    from kleio.core.pattern import Pattern
    from kleio.core.trial import Entry

KIND = "scrubbed"
"""Of the event that remains."""
ROUNDS = 3
"""How often what was recorded meanwhile is scrubbed as well."""
LINES = (*LINE_STREAMS, ANALYSIS, *(f"{UNREADABLE}-{stream}" for stream in (*LINE_STREAMS, ANALYSIS)))

# What a record hangs together by, under these names: ids, digests and states.
_BODY = ("id", "work_key", "created", "parent", "previous", "within", "redacted", "repeats", "params", "code", "cut")
_CODE = ("fingerprint", "commit", "document")
_EVENT = ("status", "exit_code", "signal", "started", "pid", "machine", "environment", "wrote", "code", "count", "params",
          "defaults", "execution", "trial")  # fmt: skip
_NAMED = {"artifacts": ("sha256", "size", "keep"), "resources": ("sha256", "size", "listing", "kind", "files")}
_NAMING = ("path:", "file:", "name:", "job:")


@dataclass(frozen=True, slots=True)
class Change:
    """``count`` matches at one place, and what removes them: new ``blobs`` (digest → file), then ``replacement``, then the
    blobs that are ``gone``.
    """

    kind: str
    place: str
    count: int
    replacement: Replacement | None = None
    blobs: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """How often it was found: (kind, place) → count, and ``remarks`` on what cannot be looked into."""

    places: dict[tuple[str, str], int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """By kind alone."""
        found: dict[str, int] = {}
        for (kind, _), count in self.places.items():
            found[kind] = found.get(kind, 0) + count
        return found


def refuse(journal: Journal, entry: Entry, root: str) -> None:
    """Raise KleioError for a trial of which something may still come: it runs, is being analysed, or a spool under ``root`` is
    not shipped.
    """
    short = entry.id[:SHORT]
    if is_alive(entry, root):
        raise KleioError(f"trial {short} is running; scrub it when it has ended")
    for spool in spools(root):
        if ((spool.read("launch") or {}).get("trial") or {}).get("id") == entry.id:
            raise KleioError(f"records of trial {short} wait on this machine, and may hold it too; ship them first: kleio sync")
    other = analyses.going_on(journal, entry, root)
    if other:
        raise KleioError(
            f"trial {other[:SHORT]} is analysing trial {short}; scrub it when that has ended, and has been shipped (kleio sync)"
        )


def find(journal: Journal, entry: Entry, pattern: Pattern) -> Found:
    """Where ``pattern`` is in what is stored for the trial. Changes nothing."""
    return _each(journal, entry, pattern, lambda _: None)


def scrub(journal: Journal, entry: Entry, pattern: Pattern, by: str, now: float) -> Found:
    """Take it out, and leave word of that in the trial's record. What was found in all.

    Raises KleioError if it goes on being recorded, and JournalError; then it may be run again.
    """
    found = find(journal, entry, pattern)
    if not found.places:
        return found
    data = {"by": by, "time": now, "counts": found.counts()}
    journal.record(entry.id, Event(f"{KIND}-{os.urandom(8).hex()}", KIND, now, data=pattern.cleaned(data, ("counts",))[0]))
    for _ in range(ROUNDS):
        _each(journal, _again(journal, entry), pattern, lambda change: _carry_out(journal, change))
        if not find(journal, _again(journal, entry), pattern).places:
            index(journal, entry.id)
            journal.purge()
            journal.settle()
            return found
    raise KleioError(f"something goes on being recorded for trial {entry.id[:SHORT]}; run this again when it has ended")


def _again(journal: Journal, entry: Entry) -> Entry:
    return journal.entry(entry.id) or entry


def _each(journal: Journal, entry: Entry, pattern: Pattern, action: Callable[[Change], None]) -> Found:
    found = Found()
    with tempfile.TemporaryDirectory(prefix="kleio-scrub-") as scratch:
        scrubbing = _Scrubbing(journal, entry, pattern, scratch, found.remarks)
        for change in scrubbing.changes():
            place = change.kind, pattern.hide(change.place)[0]
            if change.count:
                found.places[place] = found.places.get(place, 0) + change.count
            action(change)
    return found


def _carry_out(journal: Journal, change: Change) -> None:
    for digest, path in change.blobs.items():
        assert change.replacement is not None
        journal.leave([Trace(f"{BYTES}{digest}:", change.replacement.trial, KIND)])  # else it might be released
        journal.put_blob(digest, path)
    if change.replacement:
        journal.replace(change.replacement)
    for digest in change.gone:
        journal.delete_blob(digest)


class _Scrubbing:
    """Goes through everything that is stored for one trial."""

    def __init__(self, journal: Journal, entry: Entry, pattern: Pattern, scratch: str, remarks: list[str]) -> None:
        self._journal, self._entry, self._pattern, self._remarks = journal, entry, pattern, remarks
        self._code = CodeScrub(journal, pattern, scratch, remarks)
        self._logged: dict[str, str] = {}  # digest → name of the artifact
        self._listings: dict[str, str] = {}  # digest → path of the directory

    def changes(self) -> Iterator[Change]:
        """One after the other; whatever is changed is read before."""
        yield from self._printed()
        yield from self._lines()
        yield from self._bytes()
        yield from self._summaries()
        yield from self._documents()
        yield from self._of_code()
        yield from self._traces()
        yield from self._events()
        yield from self._body()

    # -- streams -------------------------------------------------------------------------------------------------

    def _printed(self) -> Iterator[Change]:
        for key, segments in by_stream(self._journal, self._entry.id, OUTPUT_STREAMS):
            spans = list(self._pattern.streamed(_once(segments)))
            if spans:
                yield Change("output", key[2], len(spans))
                yield from self._blotted(key, spans)

    def _blotted(self, key: Key, spans: list[tuple[int, int]]) -> Iterator[Change]:
        """The segments that a match lies in, or a part of one."""
        after, until = {key: spans[0][0]}, {key: spans[-1][1]}
        for one in self._journal.segments(self._entry.id, (key[2],), after, until):
            own = [(start - one.start, end - one.start) for start, end in spans if start < one.end and end > one.start]
            if own and not one.dropped:
                data, times = output.unpack(one.payload)
                new = replace(one, payload=output.pack(blot(data, own), times))
                yield Change("output", key[2], 0, Replacement(self._entry.id, segments=(new,)))

    def _lines(self) -> Iterator[Change]:
        """Statistics and artifacts: a record is whole, and in one segment."""
        for (_, _, stream), segments in by_stream(self._journal, self._entry.id, LINES):
            for one in segments:
                records, count = statistics.unpack(one.payload), 0
                for at, record in enumerate(records):
                    if stream == "artifacts":
                        self._logged.setdefault(str(record.values.get("sha256")), str(record.values.get("name")))
                    if record.values.get("listing") and stream == "resources":
                        self._listings.setdefault(str(record.values["listing"]), str(record.values.get("path")))
                    kept = _NAMED.get(stream, ())
                    values, found = self._pattern.cleaned(dict(record.values), kept, numbers=True)
                    records[at], count = replace(record, values=values), count + found
                if count:
                    new = replace(one, payload=statistics.pack(records))
                    yield Change(stream.partition("-")[2] or stream, stream, count, self._of(segments=(new,)))

    def _bytes(self) -> Iterator[Change]:
        """The contents of artifacts, and what is told of directories that were read."""
        for digest, path in self._listings.items():
            listed = resources.listing(self._journal, {"listing": digest}) or {}
            count = sum(self._pattern.hide(f"{one[0]}\n{one[3] if one[1] == 'l' else ''}")[1] for one in listed.values())
            if count:
                yield Change("resources", f"what was in {path}", count, gone=(digest,))
        for digest, name in self._logged.items():
            try:
                blob = self._journal.blob(digest)
            except Scrubbed:
                continue
            if blob is not None:
                with blob:
                    count = self._pattern.in_file(blob)
                if count:
                    yield Change("files", f"artifact {name}", count, gone=(digest,))

    def _summaries(self) -> Iterator[Change]:
        for summary in self._journal.summaries([self._entry.id]).get(self._entry.id, ()):
            pairs = {name: self._summary(own) for name, own in summary.keys.items()}
            keys, named = self._pattern.cleaned({name: own for name, (own, _) in pairs.items()}, tuple(pairs))
            count = named + sum(found for _, found in pairs.values())
            if count:
                yield Change("statistics", "summaries", count, self._of(summaries=(replace(summary, keys=keys),)))

    def _summary(self, own: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Of one key. Where a number goes, those that are computed with it go too."""
        new, count = self._pattern.cleaned(dict(own), ("count", "numbers", "time"), numbers=True)
        if any(isinstance(new.get(name), str) for name in ("min", "max", "sum")):
            new = {name: value for name, value in new.items() if name in ("last", "count", "time")}
        return new, count

    # -- documents -----------------------------------------------------------------------------------------------

    def _documents(self) -> Iterator[Change]:
        for execution in self._entry.executions:
            for kind, digest in (("environment", execution.environment), ("files written", execution.wrote)):
                document = self._journal.document(digest) if digest else None
                if digest and document:
                    new, count = self._pattern.cleaned(document, ("files",))
                    new, more = self._files(new)
                    count += more
                    if count:
                        yield Change(kind, f"execution {execution.number}", count, self._of(documents={digest: new}))

    def _files(self, document: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The files that were written: their paths, for in a digest any few digits are by chance."""
        if "files" not in document:
            return document, 0
        shown = [self._pattern.hide(one[0]) for one in document["files"]]
        files = [[path, *one[1:]] for (path, _), one in zip(shown, document["files"], strict=True)]
        return document | {"files": files}, sum(count for _, count in shown)

    def _of_code(self) -> Iterator[Change]:
        digests = [self._entry.trial.code.get("document"), *(one.code for one in self._entry.executions)]
        for one in self._code.documents([digest for digest in dict.fromkeys(digests) if digest], self._entry):
            yield Change(one.kind, one.place, one.count, self._of(documents=one.documents), one.blobs, one.gone)

    def _traces(self) -> Iterator[Change]:
        named = [one for one in self._journal.traces_of(self._entry.id) if one.key.startswith(_NAMING)]
        left = [one for one in named if self._pattern.hide(one.key.partition(":")[2])[1]]
        if left:
            yield Change("traces", "traces", len(left), self._of(traces=tuple(left)))

    # -- the record itself ---------------------------------------------------------------------------------------

    def _events(self) -> Iterator[Change]:
        for event in self._entry.events:
            data, count = self._pattern.cleaned(dict(event.data), _EVENT)
            for part in ("params", "defaults"):
                if part in data:
                    data[part], more = self._pattern.cleaned(data[part], (), numbers=True)
                    count += more
            if count:
                yield Change("events", event.kind, count, self._of(events=(replace(event, data=data),)))

    def _body(self) -> Iterator[Change]:
        old = self._entry.trial.as_dict()
        named = ("project",) if re.fullmatch("[0-9a-f]{40,64}", old["project"]) else ()  # by its root commit
        new, count = self._pattern.cleaned(old, (*_BODY, *named))
        for name, kept, numbers in (("params", (), True), ("code", _CODE, False), ("cut", ("ends", "kept", "analyses"), False)):
            new[name], more = self._pattern.cleaned(old[name], kept, numbers)
            count += more
        if count:
            new["redacted"] = old["redacted"] or new["command"] != old["command"]  # to be asked for, as any secret
            yield Change("command", "command and parameters", count, self._of(body=Trial.from_dict(new)))

    def _of(self, **what: Any) -> Replacement:
        return Replacement(self._entry.id, **what)


def _once(segments: Iterator[Segment]) -> Iterator[tuple[int, bytes]]:
    """What was printed, with its offsets, each offset once."""
    at = 0
    for one in segments:
        if one.end > at:
            if not one.dropped:
                skip = max(at - one.start, 0)
                yield one.start + skip, output.unpack(one.payload)[0][skip:]
            at = one.end


# -- what is not looked into -----------------------------------------------------------------------------------------


def elsewhere(journal: Journal, entry: Entry) -> list[str]:
    """What may hold it too, and is not scrubbed with this trial: in words."""
    said = [
        f"execution {one.number} on {one.host} has not said how it ended; what waits there is not scrubbed: kleio sync there, "
        "then scrub again"
        for one in entry.executions
        if one.ended is None
    ]
    branches = journal.entries(Selection(parent=entry.id))
    if branches:
        ids = ", ".join(one.id[:SHORT] for one in branches)
        said.append(f"what continues this trial has records of its own: {ids}")
    return said
