"""Spools that no launcher ships any more: of runs that were offline, cut short, or killed with their launcher."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from enum import Enum

from kleio.core import findings
from kleio.core.errors import JournalUnreachable, in_words
from kleio.core.indexing import index
from kleio.core.journal.base import Selection
from kleio.core.recorder import conclude, introduce
from kleio.core.shipping import Shipper
from kleio.core.spool import SHARED, hold
from kleio.core.streams import Source
from kleio.core.trial import Event, Trial
from kleio.core.waiting import launched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.spool import Spool

ABANDONED = 86400.0
"""Seconds after which what a killed kleio had half prepared is cleared away."""
LATELY = 50
"""Trials of a work, the newest, among which the one is looked for that an offline run follows."""


class Fate(str, Enum):
    """What became of a spool."""

    SHIPPED = "shipped"
    RUNNING = "still running"
    BUSY = "being shipped by another kleio"
    ELSEWHERE = "meant for another journal"
    UNREADABLE = "not readable"
    REFUSED = "not taken by the journal"


@dataclass(frozen=True, slots=True)
class Recovered:
    """One spool and what became of it. ``trial`` is None where its launch record cannot be read."""

    execution: str
    trial: str | None
    journal: str | None
    fate: Fate
    reason: str | None = None
    path: str = ""


def recover(spool: Spool, journal: Journal, lease: float, instead_of: str | None = None) -> Fate | None:
    """Ship everything that the journal does not have yet, record the end, and delete the spool. None where another kleio,
    perhaps its own, was quicker and it is gone.

    What was meant for the journal at ``instead_of``, which is gone, is shipped to this one as well. Raises JournalError; then
    everything is still there, and the next call goes on where this one stopped.
    """
    launch = spool.read("launch")
    if launch is None and not os.path.isdir(spool.path):
        return None
    if launch is None or "trial" not in launch:
        return Fate.UNREADABLE
    if launch["journal"] not in (journal.uri, instead_of):
        return Fate.ELSEWHERE
    if spool.alive():
        return Fate.RUNNING
    try:
        lock = hold(spool.file("recorder.lock"))
    except FileNotFoundError:
        return None
    if lock is None:
        return Fate.BUSY
    try:
        if not spool.has("launch"):
            return None
        _ship(spool, journal, launch, lease)
        journal.settle()
        spool.delete()
        return Fate.SHIPPED
    finally:
        os.close(lock)


def _ship(spool: Spool, journal: Journal, launch: dict[str, Any], lease: float) -> None:
    trial = Trial.from_dict(launch["trial"])
    token = _token(journal, trial.id, spool.execution)
    if token is None:
        if not launch["offline"] and not _started(spool):
            return  # killed before it had reserved anything
        journal.create(_following(journal, trial) if launch["offline"] else trial)
        claimed = journal.claim(trial.id, spool.execution, launch["execution"], lease)
        token = claimed.token if claimed else 0
        if claimed is None:  # somebody runs it now; what ran offline is an execution all the same
            reserved = Event(
                f"reserved-{spool.execution}", "reserved", launch["started"], 0, spool.execution, launch["execution"]
            )
            journal.record(trial.id, reserved)
    source = Source(spool, trial.id, spool.execution, over=True)
    introduce(journal, source, token)
    findings.bring(journal, source, token, set())
    shipper = Shipper(source, journal, lambda _: True, journal.extents(spool.execution, trial.id))
    while shipper.round():
        pass
    shipper.summarise()
    findings.resumed_from(journal, source)
    conclude(journal, source, token)
    index(journal, trial.id)


def _following(journal: Journal, trial: Trial) -> Trial:
    """A trial that ran offline, naming as ``previous`` what the journal had of its work, which it could not see."""
    if trial.previous is not None or trial.parent is not None:
        return trial
    found = journal.entries(Selection(work_key=trial.work_key), LATELY)
    before = [one.trial for one in found if one.trial.ordinary and one.trial.created < trial.created]
    same = trial.code.get("fingerprint")
    last = max(before, key=lambda one: (one.code.get("fingerprint") == same, one.created, one.id), default=None)
    return replace(trial, previous=last.id) if last else trial


def _started(spool: Spool) -> bool:
    """Whether the command was started, whatever the journal knows: a power cut may have cost it the reservation."""
    return bool(spool.stems(findings.PREFIX)) or spool.has("ending") or any(writer != SHARED for writer, _ in spool.streams())


def _token(journal: Journal, trial: str, execution: str) -> int | None:
    entry = journal.entry(trial)
    own = [event for event in entry.events if event.id == f"reserved-{execution}"] if entry else []
    return own[0].token if own else None


def recover_all(
    root: str,
    journal: Journal,
    lease: float,
    wanted: Callable[[dict[str, Any]], bool] = lambda _: True,
    instead_of: str | None = None,
) -> Iterator[Recovered]:
    """Recover every spool under ``root`` whose launch record is ``wanted``; ``instead_of`` as in :func:`recover`."""
    clear_abandoned(root)
    for spool, launch in launched(root):
        if launch is None or wanted(launch):
            trial, meant = (launch["trial"]["id"], launch["journal"]) if launch else (None, None)
            fate, reason = None, None
            try:
                fate = recover(spool, journal, lease, instead_of)
            except JournalUnreachable:
                raise
            except Exception as error:  # noqa: BLE001 - one spool's trouble is not the others'
                fate, reason = Fate.REFUSED, in_words(error)
            if fate is not None:
                yield Recovered(spool.execution, trial, meant, fate, reason, spool.path)


def clear_abandoned(root: str) -> None:
    """Remove what was being prepared when a kleio was killed."""
    import shutil

    try:
        names = [name for name in os.listdir(root) if name.startswith(".")]
    except OSError:
        return
    for name in names:
        path = os.path.join(root, name)
        try:
            if time.time() - os.stat(path).st_mtime > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
