"""One trial, read from a journal."""

from __future__ import annotations

import os
import time
from functools import cached_property

from kleio.core import lineage, resuming, view
from kleio.core.errors import UnknownTrial
from kleio.core.lookup import SHORT
from kleio.core.reading import html
from kleio.core.reading.artifacts import Artifacts
from kleio.core.reading.executions import Figures, execution, utc
from kleio.core.reading.output import Output
from kleio.core.reading.readonly import Frozen, ReadOnly, frozen
from kleio.core.statistics import combine
from kleio.core.values import portable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Summary
    from kleio.core.reading.executions import Execution
    from kleio.core.reading.source import Source
    from kleio.core.reading.statistics import Statistics
    from kleio.core.restore import Restored
    from kleio.core.trial import Entry


class Together:
    """The summaries of trials that were read at once, fetched at once when the first of them is asked for its own."""

    def __init__(self, source: Source, ids: Sequence[str]) -> None:
        self._source, self._ids = source, ids

    @cached_property
    def summaries(self) -> dict[str, list[Summary]]:
        return self._source.journal.summaries(self._ids)


class Trial(ReadOnly):
    """A trial as it was when it was read: what was created, what has happened since, what it measured.

    What was given up by resuming from before it is left out of its summary, statistics and artifacts, unless it was read with
    ``all_executions``. These are kept once they have been read; :meth:`refresh` reads anew. Two of the same trial are equal.
    Times are aware datetimes in UTC. Whatever reads from the journal raises JournalUnreachable where nobody answers.
    """

    _source: Source
    _entry: Entry
    _together: Together
    _all: bool

    def __init__(
        self, source: Source, entry: Entry, together: Together | None = None, all_executions: bool = False
    ) -> None:
        """``entry`` is what the journal has; ``source`` is where that was read."""
        others = together or Together(source, [entry.id])
        self.__dict__.update(_source=source, _entry=entry, _together=others, _all=all_executions)

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self._entry.id

    @property
    def short_id(self) -> str:
        """The first 7 of them."""
        return self.id[:SHORT]

    @property
    def work_key(self) -> str:
        """What trials of the same work have in common."""
        return self._entry.trial.work_key

    @property
    def project(self) -> str:
        """The name of its project."""
        return self._entry.trial.project

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command."""
        return tuple(self._entry.trial.command)

    @property
    def cwd(self) -> str:
        """The directory that it ran in, relative to the project's root."""
        return self._entry.trial.cwd

    @property
    def created(self) -> datetime.datetime:
        """When it was recorded first."""
        found = utc(self._entry.trial.created)
        assert found is not None
        return found

    @cached_property
    def _params(self) -> dict[str, Any]:
        return self._entry.params

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters by name, of any kind that JSON has; nested ones are mappings."""
        return frozen(self._params)

    @cached_property
    def param_sources(self) -> Mapping[str, str]:
        """For each of :attr:`params` where its value came from: ``command line``, ``config file``, ``environment``, ``default``
        or ``script``.
        """
        return frozen(self._entry.param_sources)

    @property
    def param_defaults(self) -> Mapping[str, Any]:
        """What some of :attr:`params` would have been, had nobody given them a value."""
        return frozen(self._entry.param_defaults)

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, the oldest first."""
        return self._entry.tags

    @property
    def name(self) -> str | None:
        """The name that somebody gave it."""
        return self._entry.name

    @property
    def note(self) -> str | None:
        """The remark that somebody left."""
        return self._entry.note

    @property
    def parent(self) -> str | None:
        """The id of the trial that it branches off."""
        return self._entry.trial.parent

    @property
    def cut(self) -> Mapping[str, Any] | None:
        """Where it left its parent."""
        return None if self._entry.trial.cut is None else frozen(self._entry.trial.cut)

    @property
    def previous(self) -> str | None:
        """The id of an earlier trial of the same work."""
        return self._entry.trial.previous

    @property
    def within(self) -> str | None:
        """The id of the trial that started it."""
        return self._entry.trial.within

    # -- how it goes ---------------------------------------------------------------------------------------------

    @cached_property
    def status(self) -> str:
        """``new``, ``reserved``, ``running``, ``completed``, ``broken``, ``suspended``, ``interrupted``, ``failover`` …"""
        return self._entry.status.value

    @property
    def is_alive(self) -> bool:
        """Whether somebody executed it when it was read."""
        return self._entry.holder is not None and self._entry.live

    @cached_property
    def executions(self) -> tuple[Execution, ...]:
        """Every attempt, in order."""
        return tuple(execution(one) for one in self._entry.executions)

    @property
    def started(self) -> datetime.datetime | None:
        """When its last execution started."""
        return self.executions[-1].started if self.executions else None

    @property
    def ended(self) -> datetime.datetime | None:
        """When its last execution ended."""
        return self.executions[-1].ended if self.executions else None

    @property
    def duration(self) -> float | None:
        """Seconds that its executions took together, up to now for one that was running when it was read."""
        now = time.time()
        ended = (now if one.ended is None else one.ended for one in self._entry.executions)
        spent = [max(end - one.started, 0.0) for one, end in zip(self._entry.executions, ended, strict=True)]
        return sum(spent) if spent else None

    @cached_property
    def summary(self) -> Mapping[str, Figures]:
        """Of each statistic what is kept of it, by its key: ``trial.summary["train/loss"].min``."""
        own = self._together.summaries.get(self.id, ())
        counting = resuming.everything(own) if self._all else resuming.counted(self._entry, own)
        return Frozen({key: Figures(one) for key, one in combine(counting).items()})

    @cached_property
    def _whole(self) -> dict[str, Any]:
        return view.documents(self._source.journal, [self._entry], whole=True, all_executions=self._all)[0]

    @property
    def code(self) -> Mapping[str, Any]:
        """The commit, and the exact work tree on top of it, as ``kleio info --json`` has it."""
        return frozen(self._whole["code"])

    @property
    def environment(self) -> Mapping[str, Any] | None:
        """Interpreter, packages, machine and variables of its last execution that recorded them."""
        found = self._whole["environment"]
        return None if found is None else frozen(found)

    def document(self) -> dict[str, Any]:
        """All of this as the JSON document of ``kleio info --json``: a new dict of strict JSON."""
        found: dict[str, Any] = portable(self._whole)
        return found

    # -- what it left --------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> Output:
        """What it printed on stdout; on both, where stdout and stderr were one file and so were recorded together."""
        return Output(self._source, self._entry, ("output", "stdout"))

    @property
    def stderr(self) -> Output:
        """What it printed on stderr, where that was recorded apart."""
        return Output(self._source, self._entry, ("stderr",))

    @property
    def output(self) -> Output:
        """Everything that it printed; of each execution what went to stderr last, where that was recorded apart."""
        return Output(self._source, self._entry, ("output", "stdout", "stderr"))

    @cached_property
    def statistics(self) -> Statistics:
        """Its statistics as columns, with those that it inherits from what it continues."""
        from kleio.core.reading.statistics import Statistics

        return Statistics(self._source, [self._entry], self._all)

    @cached_property
    def artifacts(self) -> Artifacts:
        """Its artifacts, a sequence; called, ``trial.artifacts("weights.pt", epoch=10)``, those that fit."""
        return Artifacts(self._source, self._entry, self._all)

    def checkout(self, directory: str | os.PathLike[str], say: Callable[[str], None] = lambda _: None) -> Restored:
        """Bring its code back, as it was, into a directory that is new or empty. What was done, and what could not be.

        The commit comes from the repositories that are at hand, else from the journal, else from its remote; ``say`` is told
        of what takes long. Raises KleioError, and then leaves nothing behind.
        """
        from kleio.core.restore import at_hand, code_of, restore

        document = code_of(self._source.journal, self._entry)
        return restore(self._source.journal, document, os.fspath(directory), at_hand(self._entry, os.getcwd()), say)

    # -- its relatives -------------------------------------------------------------------------------------------

    @cached_property
    def lineage(self) -> tuple[Trial, ...]:
        """The trials that it continues, the oldest first, and itself last."""
        found = self._source.seen(lineage.ancestors(self._source.journal, self._entry))
        return (*map(self._another, found), self)

    @cached_property
    def branches(self) -> tuple[Trial, ...]:
        """The trials that branch off it, the oldest first."""
        found = self._source.seen(lineage.children(self._source.journal, self.id))
        return tuple(map(self._another, found))

    def refresh(self) -> Trial:
        """The trial as it is now. Raises UnknownTrial when it is gone."""
        found = self._source.entries([self.id])
        if not found:
            raise UnknownTrial(f"trial {self.id} has been removed from the journal {self._source.uri}")
        return self._another(found[0])

    def _another(self, entry: Entry) -> Trial:
        return Trial(self._source, entry, all_executions=self._all)

    # -- as an object --------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return (self._source.uri, self.id) == (other._source.uri, other.id) if isinstance(other, Trial) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        words = html.plain(" ".join(self.command)).replace("\n", " ")
        return f"<Trial {self.short_id} {self.status}: {words if len(words) <= 60 else words[:59] + '…'}>"

    def _repr_html_(self) -> str:
        from kleio.core.reading.notebook import trial

        return trial(self)
