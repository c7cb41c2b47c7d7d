"""What a trial has of its artifacts, what it dropped, and who needs which bytes."""

from __future__ import annotations

from kleio.core.journal.base import BYTES
from kleio.core.lineage import had, parts, turns
from kleio.core.retention import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kleio.core.journal.base import Journal
    from kleio.core.resuming import Resumed
    from kleio.core.retention import Logged
    from kleio.core.trial import Entry

STREAM = "artifacts"


class View:
    """What one trial has. ``logged`` is all that the execution ``live`` logged, what is not in the journal yet included;
    ``said`` is what was resumed from by executions of whom the journal may not know that yet.
    """

    def __init__(
        self,
        journal: Journal,
        entry: Entry,
        live: str | None = None,
        logged: Iterable[Logged] = (),
        said: Mapping[str, Resumed] | None = None,
    ) -> None:
        self._all = {(*key, record.offset): (key, record) for key, record in (*had(journal, entry.trial, live), *logged)}
        self._turns = turns(journal, parts(entry.trial), entry, said)
        self.known = self._all.keys()
        self.kept = kept(self._all.values(), self._turns)
        self.digests = {str(record.values.get("sha256")) for _, record in self.kept}

    def dropped(self, there: Callable[[Logged], bool]) -> list[Logged]:
        """What is not kept, by what is said in those records alone that are ``there``."""
        known = [one for one in self._all.values() if there(one)]
        stay = {(key, record.offset) for key, record in kept(known, self._turns)}
        return [one for one in known if (one[0], one[1].offset) not in stay]


def needed(journal: Journal, digest: str, views: dict[str, View | None], own: str) -> bool:
    """Whether anybody needs these bytes. ``views`` are what is known of some trials, and takes what is learnt of others; all
    but that of the trial ``own`` are from the journal.

    Nobody may rely on the answer who has not taken the bytes out of sight before
    (:meth:`~kleio.core.journal.base.Journal.release`). In doubt they are needed: for a record that is on its way, for a trial
    that is about to be made. The views may be older than that: a record which they do not know has left its trace, which is
    looked for now; and what they know to have been dropped stays so. What they know to be kept may have been dropped since, by
    one who found that the others need it: before they are believed it is looked again.
    """
    older = views.keys() - {own}
    if not _is_needed(journal, digest, views):
        return False
    for identity in older:
        del views[identity]
    return not older or _is_needed(journal, digest, views)


def _is_needed(journal: Journal, digest: str, views: dict[str, View | None]) -> bool:
    def view(identity: str) -> View | None:
        if identity not in views:
            entry = journal.entry(identity)
            views[identity] = View(journal, entry) if entry else None
        return views[identity]

    for one in journal.traces(f"{BYTES}{digest}:", prefix=True):
        writer, _, offset = one.key[len(BYTES) + len(digest) + 1 :].rpartition(":")
        there = view(one.trial)
        if not writer or there is None or (one.execution, writer, STREAM, int(offset)) not in there.known:
            return True
    trials = {one.trial for one in journal.traces(f"sha256:{digest}")} | views.keys()
    for identity in trials:
        there = view(identity)
        if there is None or digest in there.digests:
            return True
    return False
