"""A run that another tool recorded, written into a journal: once, whole, and again only what has come since.

Trial and execution have ids that follow from the run, and every series of its statistics is a stream whose records are
numbered. What the journal holds of a stream is compared with what the source has, and only the rest is appended. The trial is
made last, when everything else of it is stored: whoever is killed before that leaves nothing that anybody sees, and the next
import goes on where he was.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kleio.core import output, redact
from kleio.core.artifact import digest_of, keep
from kleio.core.identity import digest
from kleio.core.importing.adding import Stream, additions
from kleio.core.importing.found import Damage, File, Run
from kleio.core.indexing import index
from kleio.core.journal.base import BYTES, Segment, Summary, Trace, storable
from kleio.core.resources import INPUT
from kleio.core.spool import LAUNCHER, locks, private, scratch
from kleio.core.statistics import Summariser
from kleio.core.trial import Event, Trial
from kleio.core.values import dumps, portable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from kleio.core.importing.found import About, Row
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

VERSION = 1
WRITER = "import"
SOURCE = "imported"
"""Where parameters of imported trials come from."""
OUTPUT_PIECE = 1 << 20
TOLD = 10_000
"""Points after which progress is told."""


@dataclass(frozen=True, slots=True)
class Into:
    """Where runs go: the journal, the directory of this machine's spools, the project and the tags that they are given."""

    journal: Journal
    root: str
    project: str
    tags: tuple[str, ...] = ()
    cwd: str = "."


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a run. ``fate`` is imported, updated, unchanged, scrubbed (and therefore left as it is) or failed.

    ``points`` and ``artifacts`` count what was added now, ``left_out`` by its kind what was not taken of all that is there;
    ``reason`` says why it, or the rest of it, could not be read.
    """

    fate: str
    name: str
    place: str
    trial: str | None = None
    points: int = 0
    artifacts: int = 0
    reason: str | None = None
    remarks: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def failed(cls, damage: Damage) -> Recorded:
        return cls("failed", damage.name, damage.place, reason=damage.reason)


def trial_of(kind: str, identity: str) -> str:
    """The id of the trial that a run becomes."""
    return digest({"version": VERSION, SOURCE: kind, "run": identity})


def record(kind: str, run: Run, into: Into, say: Callable[[int], None]) -> Recorded:
    """Write a run into the journal, or what has come of it since. ``say`` hears how many points there are so far.

    Raises JournalError, and whatever reading the run raises; then nothing of a new run is seen, and it may be tried again.
    """
    own = _Recording(kind, run, into, say)
    with _one_at_a_time(into.root):
        entry = into.journal.entry(own.trial)
        if entry is not None and any(event.kind == "scrubbed" for event in entry.events):
            return Recorded("scrubbed", run.name, run.place, own.trial)
        try:
            own.streams()
            own.tell(entry)
        finally:
            own.close()
        index(into.journal, own.trial)
    fate = "imported" if entry is None else "updated" if own.changed else "unchanged"
    told = run.damaged, tuple(run.remarks), run.left_out
    return Recorded(fate, run.name, run.place, own.trial, own.points, own.artifacts, *told)


@contextmanager
def _one_at_a_time(root: str) -> Iterator[None]:
    """Of several imports on this machine each sees what the one before has stored."""
    import fcntl

    fd = os.open(os.path.join(locks(root), SOURCE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # a filesystem without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class _Recording:
    """One run on its way into the journal."""

    def __init__(self, kind: str, run: Run, into: Into, say: Callable[[int], None]) -> None:
        self._kind, self._run, self._into, self._say = kind, run, into, say
        self._journal = into.journal
        self.trial = trial_of(kind, run.identity)
        self.execution = digest({"version": VERSION, SOURCE: kind, "run": run.identity, "execution": 1})
        self._files: dict[str, _Files] = {}
        self._scratch: str | None = None
        self.changed = False
        self.points = self.artifacts = 0

    def close(self) -> None:
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    # -- what grows ----------------------------------------------------------------------------------------------

    def streams(self) -> None:
        """Statistics and files, series by series."""
        for name, items in self._run.series():
            writer = f"{WRITER}-{digest({'series': name})[:12]}" if name else WRITER
            stream = self._stream(writer, "statistics")
            summary = Summariser()
            for row in additions(stream.stored(), self._rows(items), summary.add):
                moment = time.time_ns() if row.time is None else row.time
                summary.add(stream.add(moment, row.values))
                self.points += 1
                if self.points % TOLD == 0:
                    self._say(self.points)
            stream.flush()
            if summary.keys:
                self._journal.summarise(Summary(self.trial, self.execution, writer, stream.end, summary.keys))
        for files in self._files.values():
            files.stream.flush()
        self.changed = bool(self.points or self.artifacts)

    def _stream(self, writer: str, stream: str) -> Stream:
        return Stream(self._journal, self.trial, self.execution, writer, stream)

    def _rows(self, items: Iterator[Row | File]) -> Iterator[Row]:
        for item in items:
            if isinstance(item, File):
                self._file(item)
            else:
                yield item

    def _file(self, file: File) -> None:
        """Keep a file, unless it is kept already; of an input only what it was."""
        kind = "artifacts" if file.resource is None else "resources"
        if kind not in self._files:
            self._files[kind] = _Files(self._stream(WRITER, kind))
        files = self._files[kind]
        sha256, size = _digest(file.content)
        name = storable(redact.text(file.name if file.resource is None else file.resource))
        meta = portable(redact.named(file.meta))
        if (name, sha256, dumps(meta)) in files.known:
            return
        if file.resource is None:
            sha256, size = self._bring(name, file, files.stream)
            files.stream.add(file.time, {"name": name, "meta": meta, "sha256": sha256, "size": size})
        else:
            self._journal.leave([Trace(f"{INPUT}{sha256}", self.trial, self.execution)])
            told = {"path": name, "absolute": name, "kind": "file", "size": size, "sha256": sha256, "meta": meta}
            files.stream.add(file.time, told)
        files.known.add((name, sha256, dumps(meta)))
        files.stream.flush()
        self.artifacts += 1

    def _bring(self, name: str, file: File, stream: Stream) -> tuple[str, int]:
        """The bytes, into the journal before their record, and the trace that they are needed before them."""
        if self._scratch is None:
            self._scratch = scratch(self._into.root, f"{SOURCE}-{os.urandom(8).hex()}")
            private(self._scratch, "blobs")
        blobs = os.path.join(self._scratch, "blobs")
        sha256, size = keep(blobs, file.content)
        keys = (f"sha256:{sha256}", f"path:{name}", f"file:{os.path.basename(name)}", f"{BYTES}{sha256}:{WRITER}:{stream.next}")
        self._journal.leave([Trace(key, self.trial, self.execution) for key in keys])
        self._journal.put_blob(sha256, os.path.join(blobs, sha256))
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(blobs, sha256))
        return sha256, size

    # -- what is told of it --------------------------------------------------------------------------------------

    def tell(self, entry: Entry | None) -> None:
        """The trial itself, and what happened to it."""
        about = self._run.about()
        now = time.time()
        started = about.started if about.started is not None else about.ended if about.ended is not None else now
        params = portable(redact.named({str(name): value for name, value in about.params.items()}), strict=False)
        self._print(about.output, about.ended or started)
        if entry is None:
            self._leave_traces(about)
            self._journal.create(self._trial(about, started, params))
        events = [self._ended(about, started), *self._annotations(about, now, entry)]
        known = {} if entry is None else portable(entry.params)  # in which NaN is itself
        learnt = {name: value for name, value in params.items() if known.get(name) != portable(value)}
        if entry is not None and learnt:
            sources = dict.fromkeys(learnt, SOURCE)
            events.append(self._event("parameters", now, {"params": learnt, "sources": sources, "replaces": list(learnt)}))
        if about.exception:
            names = ("type", "message", "traceback")
            told = {name: redact.text(value) for name, value in zip(names, about.exception, strict=True)}
            events.append(self._event("exception", about.ended or now, told))
        known = {event.id for event in entry.events} if entry else set()
        for event in events:
            if event.id not in known:
                self._journal.record(self.trial, event)
                self.changed = True

    def _trial(self, about: About, started: float, params: dict[str, Any]) -> Trial:
        run = self._run
        place = f"{self._kind}:{_shown(run.place, self._into.cwd)}"
        command = redact.command([str(word) for word in about.command]) or (place,)
        return Trial(
            id=self.trial,
            work_key=digest({"version": VERSION, SOURCE: self._kind, "work": run.identity}),
            project=self._into.project,
            command=tuple(storable(word) for word in command),
            cwd=".",
            created=started,
            params=params,
            param_sources=dict.fromkeys(params, SOURCE),
            code={"fingerprint": None, **about.code} if about.code else {},
            within=trial_of(self._kind, about.within) if about.within else None,
            imported={"from": self._kind, "place": storable(redact.text(run.place))},
        )

    def _ended(self, about: About, started: float) -> Event:
        said = f" ({about.said})" if about.said else ""
        data = {
            "host": about.host, "user": about.user, "pid": 0, "started": started, "status": about.status.value,
            "exit_code": None, "signal": None, "reason": f"imported from {self._kind}{said}",
        }  # fmt: skip
        return self._event("ended", about.ended if about.ended is not None else started, data)

    def _annotations(self, about: About, now: float, entry: Entry | None) -> Iterator[Event]:
        """A name is given once: it may depend on the directory that was named, and somebody may have given a better one."""
        name = None if entry is not None and entry.name else about.name
        for said, tags in (({"name": name}, ()), ({"note": about.note}, about.tags), ({}, self._into.tags)):
            own = [storable(redact.text(tag)) for tag in tags]
            data: dict[str, Any] = {key: storable(redact.text(value)) for key, value in said.items() if value}
            data |= {"tags": own} if own else {}
            if data:
                yield self._event("annotated", now, data)

    def _event(self, kind: str, when: float, data: Mapping[str, Any]) -> Event:
        """Known by what it says: the same thing is recorded once, whenever it is told."""
        when_it_was = when if kind == "ended" else 0
        name = digest({"data": dumps(dict(data)), "time": when_it_was})[:16]
        return Event(f"{kind}-{self.execution}-{name}", kind, when, 0, self.execution, data)

    def _leave_traces(self, about: About) -> None:
        keys = [f"name:{redact.text(about.name)}"] if about.name else []
        if about.code.get("commit"):
            keys.append(f"commit:{about.code['commit']}")
        if keys:
            self._journal.leave([Trace(key, self.trial, self.execution) for key in keys])

    def _print(self, printed: bytes, when: float) -> None:
        """What it printed, as one stream; more of it if that goes on where the journal ends."""
        own = (self.execution, LAUNCHER, "output")
        there = b"".join(output.joined(self._journal.segments(self.trial, ("output",), until={own: 1 << 62})))
        if not printed.startswith(there):
            self._run.remarks.append("what it printed has changed since it was imported, and is kept as it was then")
            return
        for start in range(len(there), len(printed), OUTPUT_PIECE):
            piece = printed[start : start + OUTPUT_PIECE]
            payload = output.pack(piece, [(start, int(when * 1e9))])
            self._journal.append([Segment(self.trial, *own, start, start + len(piece), payload)])
            self.changed = True


class _Files:
    """Those of one kind that the journal has: (name, digest, metadata)."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.known = {
            (str(one.values.get("name", one.values.get("path"))), str(one.values.get("sha256")), dumps(one.values.get("meta")))
            for one in stream.stored()
        }


def _digest(content: bytes | str) -> tuple[str, int]:
    if isinstance(content, str):
        return digest_of(content), os.stat(content).st_size
    import hashlib

    return hashlib.sha256(content).hexdigest(), len(content)


def _shown(place: str, cwd: str) -> str:
    """A path as one would type it here; an address without its password."""
    if "://" in place:
        return redact.text(place)
    relative = os.path.relpath(place, cwd)
    return place if relative.startswith("..") else relative
