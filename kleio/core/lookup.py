"""Finding a trial by what was typed, and reading its streams in order."""

from __future__ import annotations

import os
from itertools import groupby

from kleio.core.errors import UnknownTrial
from kleio.core.journal.base import Selection
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.config import Config
    from kleio.core.journal.base import Journal, Segment
    from kleio.core.trial import Entry

SHORT = 7
"""Hex digits of an id shown to people."""

Key = tuple[str, str, str]
"""(execution, writer, stream)"""


def resolve(journal: Journal, prefix: str, config: Config | None = None) -> Entry:
    """The one trial whose id begins with ``prefix``. Raises UnknownTrial.

    ``last`` is the newest: of the project where ``config`` was read, or of all where that has none.
    """
    if prefix == "last":
        here: list[Entry] = []
        if config is not None:
            from kleio.core.project import project_here  # git is asked

            here = journal.entries(Selection(project=project_here(config)), 1)
        newest = here or journal.entries(Selection(), 1)
        if not newest:
            raise UnknownTrial(f"the journal {journal.uri} is empty")
        return newest[0]
    wanted = prefix.strip().lower()
    if not wanted or not set(wanted) <= set("0123456789abcdef") or len(wanted) > 32:
        no_id = f"{prefix!r} is no trial id: ids are up to 32 hex digits, or the word last; kleio ls lists them"
        raise UnknownTrial(f"{no_id}{_called(journal, prefix)}")
    found = journal.resolve(wanted)
    if not found:
        named = _called(journal, prefix)
        raise UnknownTrial(f"no trial has an id that begins with {wanted}; kleio ls --all-projects lists them{named}")
    if len(found) > 1:
        several = ", ".join(one[: max(SHORT, len(wanted) + 2)] for one in found[:5])
        raise UnknownTrial(f"{wanted} is ambiguous: {several}{', …' if len(found) > 5 else ''}; give more digits")
    entry = journal.entry(found[0])
    if entry is None:
        raise UnknownTrial(f"trial {found[0]} has just been removed")
    return entry


def _called(journal: Journal, name: str) -> str:
    """That trials are called so, if any are: a name is no id, because several may have it."""
    trials = dict.fromkeys(one.trial for one in journal.traces(f"name:{name}"))
    entries = sorted(filter(None, map(journal.entry, trials)), key=lambda one: one.trial.created, reverse=True)
    found = [one.id for one in entries]
    if not found:
        return ""
    several = "a trial is" if len(found) == 1 else f"{len(found)} trials are"
    return f"; {several} called {name}: {', '.join(one[:SHORT] for one in found[:5])}{', …' if len(found) > 5 else ''}"


def files_written(journal: Journal, entry: Entry) -> list[list[Any]]:
    """The files that a trial's executions wrote into the project: (path, size, …), as :mod:`kleio.core.written` has it."""
    documents = [journal.document(one.wrote) for one in entry.executions if one.wrote]
    return [file for document in documents if document for file in document.get("files", ())]


def is_alive(entry: Entry, root: str) -> bool:
    """Whether somebody owns the trial. On this machine the spool's lock, under ``root``, knows better than any clock."""
    if entry.holder is None:
        return False
    spool = Spool(os.path.join(root, entry.holder))
    return spool.alive() if os.path.isdir(spool.path) else entry.live


def by_stream(
    journal: Journal,
    trial: str,
    streams: Sequence[str],
    after: Mapping[Key, int] | None = None,
    until: Mapping[Key, int] | None = None,
) -> Iterator[tuple[Key, Iterator[Segment]]]:
    """A trial's segments, those of each (execution, writer, stream) together; read each group before the next."""
    found = journal.segments(trial, streams, after, until)
    yield from groupby(found, key=lambda segment: (segment.execution, segment.writer, segment.stream))
