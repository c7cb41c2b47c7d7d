"""What a journal promises. Two implementations keep it; ``tests/journal_suite.py`` holds both to it.

**Ownership.** A journal object belongs to the process that opened it and may be used by all its threads. After a
fork the child opens its own.

**Atomicity.** Every method is atomic: seen whole or not at all, by every other process, on every machine.

**Durability.** What a call returned from is in the journal whatever happens to the calling process. What
:meth:`~Journal.settle` returned from survives the machine as well.

**Idempotence.** Every writing method may be repeated with the same arguments, by any process, in any order with
others, and changes nothing the second time. So whoever gets an error and cannot know whether the write landed
sends it again; no method answers that question, because nobody need ask.

**Errors.** :class:`~kleio.core.errors.JournalUnreachable` when nobody answers, or its file is gone or cannot be written
now (permissions, a full disk), and the write may or may not have landed; :class:`~kleio.core.errors.JournalError` when the
journal answers and refuses. Nothing else is raised.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import namedtuple
from contextlib import nullcontext
from dataclasses import dataclass

from kleio.core.errors import Damaged, JournalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO, NamedTuple, TypeVar

    Row = TypeVar("Row")
    Made = TypeVar("Made")

    from kleio.core.journal.cards import Card
    from kleio.core.journal.filters import Filter
    from kleio.core.journal.replacement import Replacement
    from kleio.core.trial import Entry, Event, Reservation, Trial

    class Trace(NamedTuple):
        """Something by which an execution of a trial is found again: ``sha256:…``, ``path:…``, ``commit:…``, ``pid:…``.

        ``key`` is a kind, a colon and any text. Where it is longer than :data:`LONGEST_KEY` the journal keeps what
        :func:`findable` makes of it.
        """

        key: str
        trial: str
        execution: str

    class Found(NamedTuple):
        """A trial that was looked for, and its values of the facts that it is sorted by, None where it has none."""

        trial: str
        created: float
        values: Sequence[Any]

else:  # a dataclass takes ten times as long to make, at every launch
    Trace = namedtuple("Trace", "key trial execution")
    Found = namedtuple("Found", "trial created values")

SCHEMA = 3
"""The version of what is stored. A journal of a newer one is refused; an older one waits for ``kleio db upgrade``."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes ``[start, end)`` of one stream of one execution, packed.

    ``payload`` says nothing to the journal. A ``dropped`` segment stands for bytes over the output limit, which are
    nowhere. Of two segments of one stream with the same start the longer is kept; others may overlap, and a reader
    takes each offset once.
    """

    trial: str
    execution: str
    writer: str
    stream: str
    start: int
    end: int
    payload: bytes
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """Summaries of all statistics of one writer up to offset ``end``: key to last, min, max, mean, count, time."""

    trial: str
    execution: str
    writer: str
    end: int
    keys: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which trials a reading command means: every condition that is given must hold."""

    project: str | None = None
    work_key: str | None = None
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent: str | None = None
    ids: tuple[str, ...] | None = None


class Journal(ABC):
    """Where trials live."""

    uri: str
    """Its address, without a password: fit for messages and records."""

    interval = 0.1
    """Seconds to let pass between batches: new output is on other screens well within 300 ms."""

    busy: AbstractContextManager[object] | None = None
    """Held by a thread while other processes wait for what it does; nobody should stop this process then."""

    waiting: Callable[[], AbstractContextManager[object]] = nullcontext
    """Gives what is held while this process waits for others, however long: they may have been stopped. What is raised in it
    goes through.
    """

    absent = False
    """Whether there is nothing at its address yet, where it was opened for reading."""

    left_out: dict[str, Damaged] | None = None
    """Given by who lists trials: what :meth:`entries` and :meth:`summaries` cannot read is left out of the answers, and why is
    put there by the ids of the trials. Without it both raise Damaged, as :meth:`entry` always does.
    """

    warning: str | None = None
    """What its user should know about the place where it lies, if anything."""

    @property
    def gone(self) -> bool:
        """Whether what was opened is no longer what lies at its address: who looks again opens it anew."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Give its connections back."""

    @abstractmethod
    def upgrade(self) -> int:
        """Bring what is stored up to :data:`SCHEMA`; the schema that was found. See :func:`kleio.core.journal.upgrade`."""

    # -- trials --------------------------------------------------------------------------------------------------

    @abstractmethod
    def create(self, trial: Trial) -> None:
        """Make the trial known, unless one with its id is."""

    @abstractmethod
    def claim(
        self,
        trial: str,
        execution: str,
        data: Mapping[str, Any],
        lease: float,
        dead: str | None = None,
        seen: str | None = None,
    ) -> Reservation | None:
        """Reserve a trial for an execution, for ``lease`` seconds of the journal's clock.

        Succeeds if nobody holds the trial, if its reservation has expired by the journal's clock, or if its holder
        is ``dead``, an execution that the caller knows to have ended on its own machine. The fencing token then
        grows by one, and with it, in the same step, an event "reserved" with ``data`` is recorded, and a "failover"
        of the holder before; their ids are ``KIND-EXECUTION``. If ``execution`` itself holds the trial, an earlier
        claim's reply was lost: the same reservation is returned, renewed, with its token unchanged. None if somebody
        else holds it, if what decides the trial's status is not what was ``seen`` (:attr:`Entry.decided`: something has
        happened since the caller looked, and what it made up its mind to may be wrong now), or if ``execution`` held
        it once and lost it or gave it back: another attempt is another execution.
        """

    @abstractmethod
    def renew(self, trial: str, execution: str, lease: float) -> bool:
        """Prolong a reservation to ``lease`` seconds from now. False when the execution no longer holds the trial.

        An expired reservation that nobody has claimed since is still its holder's.
        """

    @abstractmethod
    def record(self, trial: str, event: Event) -> None:
        """Add an event, known by its id, to a trial that was created.

        The end of the holder gives its reservation back.
        """

    @abstractmethod
    def entry(self, trial: str) -> Entry | None:
        """The trial with this full id."""

    @abstractmethod
    def resolve(self, prefix: str, limit: int = 10) -> list[str]:
        """The ids that begin with ``prefix``, sorted, at most ``limit`` of them."""

    @abstractmethod
    def entries(self, selection: Selection, limit: int | None = None) -> list[Entry]:
        """The selected trials, newest first, of equally new ones by id descending."""

    @abstractmethod
    def counts(self, selection: Selection) -> tuple[dict[str, int], dict[str, int]]:
        """How many of the selected trials have each status, and each tag."""

    # -- looking for trials --------------------------------------------------------------------------------------

    @abstractmethod
    def index(self, card: Card) -> None:
        """Let a trial be found by its facts, in the place of what was known of it.

        Unless somebody holds it, or something has happened to it since they were gathered.
        """

    @abstractmethod
    def unindexed(self, free: bool = False) -> list[str]:
        """The trials that are to be looked at as they are: somebody holds them, or something has happened since they were
        indexed, or they never were. With ``free`` only those that nobody holds, which may be indexed.
        """

    @abstractmethod
    def find(
        self, wanted: Filter, sort: Sequence[tuple[str, bool]] = (), limit: int | None = None, also: Sequence[str] = ()
    ) -> tuple[list[Found], list[str]]:
        """Of the indexed trials those that are meant, the first ``limit`` of them, and what is unindexed at that moment.

        ``sort`` are names of facts, the most important first, and whether the greatest comes first: numbers, then texts, truth
        values, lists; NaN and what is missing come last either way. Equal ones, and all without it: newest first, then by id
        descending. The values of the facts ``also`` come after those of ``sort``.
        """

    @abstractmethod
    def values(self, name: str) -> list[Any]:
        """All the values that indexed trials have of a fact, each once; perhaps others that they had."""

    # -- streams -------------------------------------------------------------------------------------------------

    @abstractmethod
    def append(self, segments: Sequence[Segment]) -> None:
        """Store segments, all of them or, on an error, perhaps only some.

        One that overlaps what was replaced (:meth:`replace`) is passed over: whoever ships goes on from
        :meth:`extents`.
        """

    @abstractmethod
    def segments(
        self,
        trial: str,
        streams: Sequence[str],
        after: Mapping[tuple[str, str, str], int] | None = None,
        until: Mapping[tuple[str, str, str], int] | None = None,
    ) -> Iterator[Segment]:
        """The trial's segments of these streams, by execution, writer, stream and start.

        ``after`` maps (execution, writer, stream) to an offset: only what goes beyond it is returned. ``until`` does
        the same: then only streams that it names are returned, and of them only what begins before its offset; the
        last segment may reach beyond. What is not returned is not fetched.
        """

    @abstractmethod
    def extents(self, execution: str, trial: str) -> dict[tuple[str, str], int]:
        """For each (writer, stream) of an execution, the offset up to which it is in the journal without a gap."""

    @abstractmethod
    def summarise(self, summary: Summary) -> None:
        """Set one writer's summary, unless one that reaches further, or has been replaced, is there."""

    @abstractmethod
    def summaries(self, trials: Sequence[str]) -> dict[str, list[Summary]]:
        """The summaries of several trials, by trial."""

    # -- traces --------------------------------------------------------------------------------------------------

    @abstractmethod
    def leave(self, traces: Sequence[Trace]) -> None:
        """Let executions be found by these keys, all of them or, on an error, perhaps only some."""

    @abstractmethod
    def traces(self, key: str, prefix: bool = False) -> list[Trace]:
        """The traces with this key, or with keys that begin with it, by key, trial and execution."""

    @abstractmethod
    def traces_of(self, trial: str) -> list[Trace]:
        """Every trace of a trial, in the same order. Looks through all there are: nothing that must be quick asks."""

    # -- content -------------------------------------------------------------------------------------------------

    @abstractmethod
    def put_document(self, digest: str, document: Mapping[str, Any]) -> None:
        """Store a document, once.

        ``digest`` is that of its content; or that of what it tells about (a commit, say), and then the first one wins.
        """

    @abstractmethod
    def document(self, digest: str) -> dict[str, Any] | None:
        """The document with this digest."""

    @abstractmethod
    def put_blob(self, sha256: str, path: str) -> bool:
        """Store the bytes of a file, once per content. The file may be taken away by it. Listed only when whole.

        Bytes that were deleted (:meth:`delete_blob`) are passed over; those that are about to be released
        (:meth:`release`) do not count as stored. True if this call stored them: they were not there.
        """

    @abstractmethod
    def blob(self, sha256: str) -> BinaryIO | None:
        """The bytes with this digest, to be read and closed by the caller. Raises Scrubbed if they were deleted."""

    # -- taking away ---------------------------------------------------------------------------------------------

    @abstractmethod
    def replace(self, replacement: Replacement) -> None:
        """Put something else in the place of what is stored: all of it or, on an error, perhaps only some.

        What was replaced stays so, whoever sends the old again: segments and summaries are sealed, and never give way to
        longer ones; a body, events and documents are known by their ids already. What is not stored, and a segment or
        summary that has become longer meanwhile, is passed over. Kind, time and order of an event stay as they are.
        """

    @abstractmethod
    def delete_blob(self, sha256: str) -> None:
        """Delete the bytes with this digest, for good, whether they are stored or not."""

    @abstractmethod
    def release(self, sha256: str, needed: Callable[[], bool]) -> bool:
        """Delete bytes that nobody needs any more; whether they were deleted. They may be stored again at any time.

        First they are taken out of sight, so that :meth:`put_blob` stores them anew; then ``needed`` is asked, and they are
        put back if it says so or raises. So whoever leaves a trace of his need *before* he calls :meth:`put_blob` never
        loses them: either that call came after they were out of sight, and stored them anew, or the trace was there when
        ``needed`` looked. Until they are deleted :meth:`blob` reads them also out of sight. When the caller is killed in
        between they stay so, readable, until the next call for the same bytes decides about them: it takes over what another
        has taken out of sight, who then, should he live, neither deletes nor puts back anything.
        """

    def purge(self) -> None:  # noqa: B027 - a server that is given new content overwrites the old in its own time
        """Return when nothing of what was replaced or deleted is left in the journal's own files."""

    def settle(self) -> None:  # noqa: B027 - a journal whose every write is durable has nothing to do
        """Return when everything written so far survives a power cut."""


def decoded(text: Any, trial: str) -> dict[str, Any]:
    """The mapping that a journal keeps of a trial as JSON. Raises Damaged for anything else."""
    import json  # not for who only needs names of this module

    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(trial, error) from None
    if type(found) is not dict:
        raise damaged(trial, f"a mapping is expected, not {type(found).__name__}")
    return found


def restored(body: Any, trial: str) -> Trial:
    """A trial from its JSON. Raises Damaged."""
    from kleio.core.trial import Trial

    document = decoded(body, trial)
    try:
        return Trial.from_dict(document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(trial, error) from None


def damaged(trial: str, why: object) -> Damaged:
    """Of what a journal holds of a trial something is not what was put there."""
    return Damaged(f"what the journal holds of trial {trial[:7]} is damaged ({why})", trial, str(why))


def readable(rows: Iterable[Row], make: Callable[[Row], Made], left_out: dict[str, Damaged] | None) -> Iterator[Made]:
    """What is made of rows; those that are Damaged are put into ``left_out``, or raise."""
    for row in rows:
        try:
            yield make(row)
        except Damaged as error:
            if left_out is None:
                raise
            left_out.setdefault(error.trial, error)


def place(uri: str) -> str:
    """``uri`` without credentials and options: which journal it is, fit for messages and records."""
    scheme, separator, rest = uri.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return f"sqlite:///{os.path.abspath(rest[1:].partition('?')[0])}"  # the same from every directory
    if not separator or scheme == "sqlite":
        return uri
    # A password that was not percent-encoded may hold any of / ? and @: all up to the last @ is hidden.
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def storable(text: str) -> str:
    """Text to find things by, as every store takes it: what is no Unicode, as in odd file names, becomes U+FFFD."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


BYTES = "bytes:"
"""Of traces ``bytes:DIGEST:WRITER:OFFSET``: the artifact's record there needs the bytes, and may still be on its way. With
nothing behind ``DIGEST:`` they are needed for good."""
LONGEST_KEY = 500
"""Characters of a trace's key that are kept."""


def findable(key: str) -> str:
    """A trace's key as it is kept: a very long one by its beginning and a digest of the whole."""
    key = storable(key)
    if len(key) <= LONGEST_KEY:
        return key
    import hashlib

    return f"{key[: LONGEST_KEY - 65]}…{hashlib.sha256(key.encode()).hexdigest()}"


def beginning(prefix: str) -> str:
    """What the kept forms of all keys that begin with ``prefix`` begin with."""
    return storable(prefix)[: LONGEST_KEY - 65]


def beyond(prefix: str) -> str:
    """A text greater than all that begin with ``prefix``, as bytes of UTF-8 compare."""
    return prefix + chr(0x10FFFF) * 4


def newer(address: str, version: int) -> JournalError:
    """What to say of a journal that a newer kleio wrote."""
    said = f"{address} was written by a newer kleio (schema {version}, this one knows {SCHEMA})"
    return JournalError(f"{said}; upgrade kleio: pip install -U kleio")


def outdated(address: str, version: int) -> JournalError:
    """What to say of a journal that an older kleio wrote."""
    return JournalError(
        f"{address} was written by an older kleio (schema {version}, this one needs {SCHEMA}); "
        "bring it up to date, which loses nothing: kleio db upgrade"
    )


def contiguous(ranges: Iterable[tuple[int, int]]) -> int:
    """The end of what ``ranges`` cover from offset 0 without a gap."""
    end = 0
    for start, stop in sorted(ranges):
        if start > end:
            break
        end = max(end, stop)
    return end
