"""The trial behind anything: a file, a name with an id in it, a commit, a process, a scheduler's job.

Runs leave traces in the journal (:class:`~kleio.core.journal.base.Trace`); here they are followed back. What is found is
told with the reason, because several runs may have written one file, and a name may be several things at once.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import combinations

from kleio.core import hashcode, statistics
from kleio.core.artifact import digest_of
from kleio.core.journal.base import Selection
from kleio.core.lookup import by_stream
from kleio.core.resources import INPUT
from kleio.core.written import File, Written, content_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kleio.core.journal.base import Journal, Trace
    from kleio.core.trial import Entry, Execution
    from kleio.core.waiting import Waiting

MOST = 300
"""Runs that are looked at for one trace; the newest, where a path was written by more."""
BESIDE = 12
"""Hex digits that may stand right beside a hash code in a name, as in ``f"{epoch}{hash_code}"``."""
WORDS = 12
"""Parts of a name that are tried, alone and joined, as the name of a trial."""


@dataclass(slots=True)
class Candidate:
    """A run that may be meant, and why. ``alone`` is false if others of its project ran while it wrote the file, None if
    that says nothing here.
    """

    entry: Entry
    execution: Execution | None
    reasons: list[str]
    alone: bool | None = None


@dataclass(slots=True)
class Answer:
    """``candidates``, best first, and in words what was ``tried``."""

    candidates: list[Candidate] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)


def trace(journal: Journal, what: str, roots: Sequence[str], waiting: Waiting | None = None) -> Answer:
    """What is known of ``what``, which may be several things. Paths in traces are relative to one of ``roots``.

    ``waiting`` are the runs that are not in the journal yet.
    """
    search = _Search(journal, roots, waiting)
    digest, found = None, False
    if os.path.isfile(what):
        digest, found = search.file(what)
    elif os.path.isdir(what):
        search.directory(what)
    search.identity(what)
    search.hash_codes(what)
    search.name(what)
    if not os.path.exists(what):
        found = search.path(what, None)
    if not found and not os.path.isdir(what):
        search.file_name(what, digest)
    if re.fullmatch("[0-9a-fA-F]{4,40}", what):
        search.key("a commit", f"commit:{what.lower()}", "ran at commit {:.10}".format, prefix=True)
    elif not os.path.exists(what):
        search.revision(what)
    if re.fullmatch("[0-9]{1,10}", what):
        search.key("a process id", f"pid:{what}", "had a process with the id {}".format)
    search.key("a job", f"job:{what}", "ran in job {}".format)
    search.key("a job", f"job:{what}.", "ran in job {}".format, prefix=True)  # PBS: 123.server
    return search.answer


@dataclass(frozen=True, slots=True)
class _Writer:
    """A run that wrote a file, or logged an artifact of it (then there is no ``file``, but its ``name``)."""

    entry: Entry
    execution: Execution | None
    file: File | None
    name: str
    alone: bool = True


class _Search:
    def __init__(self, journal: Journal, roots: Sequence[str], waiting: Waiting | None) -> None:
        self.answer = Answer()
        self._journal, self._roots, self._waiting = journal, roots, waiting
        self._entries: dict[str, Entry | None] = {}
        self._wrote: dict[str, Written] = {}

    # -- files ---------------------------------------------------------------------------------------------------

    def file(self, path: str) -> tuple[str | None, bool]:
        """An existing file: by its content, else by its size and time, else by its place. Its digest, and whether that told."""
        status = os.stat(path)
        digest = digest_of(path) if status.st_size else None
        mtime = status.st_mtime_ns
        if digest:
            self._tried("its content")
            written = self._content(path, digest, mtime)
            self.key("", f"{INPUT}{digest}", lambda _: "had it, with exactly this content, as an input")
            if written or self.answer.candidates:
                return digest, True
        self._tried("its size and time")
        unread = content_key(None, status.st_size, mtime)
        if self._written(unread, lambda one: one.mtime == mtime, mtime, path, "of this size and time (it was not read then)"):
            return digest, True
        return digest, self.path(path, digest)

    def _content(self, path: str, digest: str, mtime: int | None) -> bool:
        return self._written(f"sha256:{digest}", lambda one: one.sha256 == digest, mtime, path, "with exactly this content")

    def path(self, path: str, digest: str | None) -> bool:
        """Whoever wrote a file of this path; whether anybody did. ``digest`` is what is in it now, if it is there."""
        self._tried("its path")
        here = os.path.realpath(path)
        places = dict.fromkeys([*(os.path.relpath(here, os.path.realpath(root)) for root in self._roots), path])
        return any(self._at(place, digest) for place in places)

    def file_name(self, path: str, digest: str | None) -> None:
        """Whoever wrote a file of this name, wherever: what says least."""
        self._tried("its name")
        name = os.path.basename(path)
        self._written(f"file:{name}", lambda one: os.path.basename(one.path) == name, None, name, "", digest)

    def _at(self, place: str, digest: str | None) -> bool:
        return self._written(f"path:{place}", lambda one: one.path == place, None, place, "", digest)

    def directory(self, path: str) -> None:
        """Whoever wrote something below it."""
        self._tried("what lies in it")
        here = os.path.realpath(path)
        for root in self._roots:
            place = os.path.relpath(here, os.path.realpath(root))
            below = {} if place == "." else _by_execution(self._journal.traces(f"path:{place}/", prefix=True))
            for (trial, execution), traces in self._newest(below):
                first = traces[0].key.partition(":")[2]
                others = f" and {len(traces) - 1} more" if len(traces) > 1 else ""
                self._add(trial, execution, f"wrote {first}{others}")

    def _written(
        self, key: str, meant: Callable[[File], bool], mtime: int | None, path: str, how: str, now: str | None = None
    ) -> bool:
        """Take those who left this trace, best first; whether there were any."""
        writers = [
            writer
            for (trial, execution), _ in self._newest(_by_execution(self._journal.traces(key)))
            if (writer := self._writer(trial, execution, key, meant))
        ]
        for one in sorted(writers, key=lambda one: _rank(one, path, mtime)):
            reason = _reason(one, path, how, now, key.startswith("file:"))
            self._add(one.entry.id, one.execution.id if one.execution else None, reason, one.alone)
        return bool(writers)

    def _writer(self, trial: str, execution: str, key: str, meant: Callable[[File], bool]) -> _Writer | None:
        entry = self._entry(trial)
        if entry is None:
            return None
        attempt = entry.execution(execution)
        wrote = self._document(attempt.wrote) if attempt and attempt.wrote else None
        files = [one for one in wrote.files if meant(one)] if wrote else []
        if wrote and files:
            newest = max(files, key=lambda one: one.mtime)
            return _Writer(entry, attempt, newest, newest.path, wrote.alone)
        name = self._artifact(entry, execution, key)
        return _Writer(entry, attempt, None, name) if name is not None else None

    def _artifact(self, entry: Entry, execution: str, key: str) -> str | None:
        """The name of the newest artifact of an execution that has this content, path or name."""
        kind, _, wanted = key.partition(":")
        for (its, _, _), segments in by_stream(self._journal, entry.id, ("artifacts",)):
            for record in reversed(list(statistics.records(segments)) if its == execution else []):
                name = str(record.values.get("name"))
                own = {"sha256": record.values.get("sha256"), "path": name, "file": os.path.basename(name)}
                if own.get(kind) == wanted:
                    return name
        return None

    def _document(self, digest: str) -> Written | None:
        if digest not in self._wrote:
            document = self._journal.document(digest)
            if document is None:
                return None
            self._wrote[digest] = Written.read(document)
        return self._wrote[digest]

    # -- names ---------------------------------------------------------------------------------------------------

    def identity(self, what: str) -> None:
        """Ids, or beginnings of them, and digests of contents that stand in it."""
        self._tried("an id in it")
        runs = [run.lower() for run in re.findall("[0-9a-fA-F]{7,}", what)]
        if re.fullmatch("[0-9a-fA-F]{4,6}", what):
            runs.append(what.lower())
        for run in dict.fromkeys(runs):
            if len(run) == 64:
                self._content(what, run, None)
            for trial in self._resolve(run) if len(run) <= 32 else ():
                self._add(trial, None, "is the trial with this id" if run == what.lower() else f"its id begins with {run}")

    def _resolve(self, prefix: str) -> list[str]:
        return [*self._journal.resolve(prefix), *(self._waiting.resolve(prefix) if self._waiting else ())]

    def hash_codes(self, what: str) -> None:
        """Hash codes that stand in it, or beginnings of them."""
        self._tried("a hash code in it")
        runs = [run.lower() for run in re.findall("[0-9a-fA-F]{7,}", what)]
        if re.fullmatch("[0-9a-fA-F]{4,6}", what):
            runs.append(what.lower())
        for run in dict.fromkeys(runs):
            for code in _codes(run):
                self.key("", f"{hashcode.TRACE}{code}", "its hash code is {}".format, prefix=len(code) < hashcode.LENGTH)

    def revision(self, what: str) -> None:
        """A branch, a tag, or whatever else git takes for a commit in one of the roots' repositories."""
        from kleio.core.repository import Repository

        if not re.fullmatch(r"[\w.@/][\w.@/^~{}+-]*", what):
            return
        for root in self._roots:
            repository = Repository.around(root)
            printed = repository.run("rev-parse", "--verify", "-q", f"{what}^{{commit}}") if repository else None
            if printed:
                commit = printed.decode().strip()
                self.key("a git revision", f"commit:{commit}", lambda _: f"ran at commit {commit:.10}, which {what} is")  # noqa: B023
                return

    def name(self, what: str) -> None:
        """Names of trials that stand in it, the longest first."""
        self._tried("a trial's name in it")
        for name in sorted(_names(what), key=len, reverse=True):
            self.key("", f"name:{name}", "is called {}".format)

    def key(self, tried: str, key: str, reason: Callable[[str], str], prefix: bool = False) -> None:
        """Take whoever left a trace; ``reason`` makes words of what stands in it behind the kind."""
        self._tried(tried)
        left = {*self._journal.traces(key, prefix), *(self._waiting.traces(key, prefix) if self._waiting else ())}
        for (trial, execution), traces in self._newest(_by_execution(sorted(left))):
            self._add(trial, execution, reason(traces[0].key.partition(":")[2]))

    # -- candidates ----------------------------------------------------------------------------------------------

    def _tried(self, what: str) -> None:
        if what and what not in self.answer.tried:
            self.answer.tried.append(what)

    def _entry(self, trial: str) -> Entry | None:
        if trial not in self._entries:
            entry = self._journal.entry(trial)
            self._entries[trial] = self._waiting.entry(trial, entry) if self._waiting else entry
        return self._entries[trial]

    def _newest(self, left: dict[tuple[str, str], list[Trace]]) -> list[tuple[tuple[str, str], list[Trace]]]:
        """At most :data:`MOST` of those who left a trace, the newest first."""
        if len(left) > MOST:
            recent = {entry.id: at for at, entry in enumerate(self._journal.entries(Selection(), 4 * MOST))}
            chosen = sorted(left, key=lambda one: recent.get(one[0], len(recent)))[:MOST]
            left = {one: left[one] for one in chosen}
        return sorted(left.items(), key=lambda one: -self._began(*one[0]))

    def _began(self, trial: str, execution: str) -> float:
        entry = self._entry(trial)
        attempt = entry.execution(execution) if entry else None
        return attempt.started if attempt else entry.trial.created if entry else 0.0

    def _add(self, trial: str, execution: str | None, reason: str, alone: bool | None = None) -> None:
        """A candidate, or one more reason for it: an id names a trial, whichever of its executions is one already."""
        entry = self._entry(trial)
        if entry is None:
            return
        attempt = entry.execution(execution) if execution else None
        for one in self.answer.candidates:
            if one.entry.id == trial and (attempt is None or one.execution is None or one.execution.id == attempt.id):
                if reason not in one.reasons:
                    one.reasons.append(reason)
                one.execution = one.execution or attempt
                return
        self.answer.candidates.append(Candidate(entry, attempt, [reason], alone))


def _codes(run: str) -> list[str]:
    """What in a run of hex digits may be a hash code: digits of the name may stand before and behind it."""
    if len(run) <= hashcode.LENGTH:
        return [run]
    beside = len(run) - hashcode.LENGTH
    return [run[at : at + hashcode.LENGTH] for at in range(beside + 1)] if beside <= BESIDE else []


def _by_execution(traces: Sequence[Trace]) -> dict[tuple[str, str], list[Trace]]:
    found: dict[tuple[str, str], list[Trace]] = {}
    for one in traces:
        found.setdefault((one.trial, one.execution), []).append(one)
    return found


def _rank(one: _Writer, path: str, mtime: int | None) -> tuple[bool, bool, int, float]:
    """First who wrote it at the time that the file has, then whose command names it, then who wrote it last, and of runs
    that found the same file because they ran at the same time, who ended soonest after it was written.
    """
    if one.file is None:
        return True, not _named(one.entry, path), 0, 0.0
    ended = one.execution.ended if one.execution else None
    waited = ended - one.file.mtime / 1e9 if ended else float("inf")
    return one.file.mtime != mtime, not _named(one.entry, one.file.path), -one.file.mtime, waited


def _named(entry: Entry, path: str) -> bool:
    """Whether the command names the file at ``path``, from the project's root."""
    words = [part for word in entry.trial.command for part in (word, word.partition("=")[2]) if part]
    return any(os.path.normpath(os.path.join(entry.trial.cwd, word)) == os.path.normpath(path) for word in words)


def _reason(one: _Writer, path: str, how: str, now: str | None, elsewhere: bool) -> str:
    """In words; ``elsewhere`` if only the name of the file that is asked for is the same, not its place."""
    said = f"logged the artifact {one.name}" if one.file is None else f"{one.file.how} {one.name}"
    if how:
        said += f" {how}"
    elif one.file and now and one.file.sha256 not in (None, now):
        if elsewhere:
            said = f"wrote a file of the same name with other content: {one.name}"
        else:
            said += ", whose content is another now"
    if _named(one.entry, one.file.path if one.file else path):
        said += "; its command names the file"
    return said if one.alone else f"{said}; others ran at the time"


def _names(what: str) -> set[str]:
    """What in a path or name may be the name of a trial: its parts, and neighbours of the last joined as they stand."""
    *directories, last = os.path.normpath(what).split("/")
    ends = [match.span() for match in re.finditer("[^\\W_]+", last)][:WORDS]
    found = {what, last, *directories, *(last[first[0] : end[1]] for first, end in combinations(ends, 2))}
    found |= {last[start:end] for start, end in ends}
    return {name for name in found if len(name) > 2 or name == what}


def roots(path: str, known: Sequence[str]) -> Iterator[str]:
    """The directories that a path may be recorded relative to: those ``known``, and the repository that it lies in."""
    from kleio.core.repository import Repository

    repository = Repository.around(os.path.dirname(os.path.realpath(path)))
    if repository:
        yield repository.root
    yield from known
