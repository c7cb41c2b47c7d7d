"""Gathering what queries know of a trial, and giving it to the journal's index."""

from __future__ import annotations

import time

from kleio.core import resuming
from kleio.core.facts import facts
from kleio.core.journal.base import Selection
from kleio.core.journal.cards import card
from kleio.core.statistics import combine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

BATCH = 500
"""Trials that are gathered at once."""


def index(journal: Journal, trial: str) -> None:
    """Let a trial be found by what is known of it now; one that somebody holds is looked at as it is. May be repeated."""
    entry = journal.entry(trial)
    if entry is not None and entry.holder is None:
        _index(journal, [entry])


def index_others(journal: Journal, most: int | None = None) -> int:
    """Index trials that are not, though nobody holds them: after an upgrade, or because whoever wrote last was killed before
    he came to it. How many there were.
    """
    waiting = journal.unindexed(free=True)[:most]
    for start in range(0, len(waiting), BATCH):
        found = journal.entries(Selection(ids=tuple(waiting[start : start + BATCH])))
        _index(journal, [entry for entry in found if entry.holder is None])
    return len(waiting)


def _index(journal: Journal, entries: Sequence[Entry]) -> None:
    for entry, known in zip(entries, gathered(journal, entries), strict=True):
        made = card(entry.id, entry.trial.created, len(entry.events), known)
        if made is not None:
            journal.index(made)


def gathered(journal: Journal, entries: Sequence[Entry], all_executions: bool = False) -> list[dict[str, Any]]:
    """The facts of trials, but for those of their environments, of which there is the digest. With ``all_executions`` what was
    given up by resuming from before it counts in summaries.
    """
    summaries = journal.summaries([entry.id for entry in entries])
    now, found = time.time(), []
    for entry in entries:
        own = summaries.get(entry.id, ())
        counted = resuming.everything(own) if all_executions else resuming.counted(entry, own)
        found.append(facts(entry, combine(counted), now))
    return found
