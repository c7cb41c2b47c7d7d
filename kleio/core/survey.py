"""What journal and machine hold of a piece of work, compared with what is here: the facts that a plan is made from."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from kleio.core import code, plan
from kleio.core.errors import AlreadyRunning, JournalError
from kleio.core.journal.base import Selection
from kleio.core.lookup import SHORT, is_alive
from kleio.core.spool import Spool, hold, private, spools
from kleio.core.trial import HELD, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kleio.core.code import CodeVersion
    from kleio.core.config import Config
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

NEWEST = 50
"""How many trials of one work are compared: its ten-thousandth run starts as fast as its first. An unfinished one beyond is
found all the same when its code is back, because work and code make its id."""


@dataclass(slots=True)
class Survey:
    """``root`` is where this machine's spools lie; ``only`` the id of the one trial that is meant, if one was named.

    ``journal`` is None for a run that is offline; then the spools are all there is to look at.
    """

    journal: Journal | None
    root: str
    config: Config
    code: CodeVersion
    key: str
    program: str
    only: str | None = None
    _lock: int | None = field(default=None, init=False)

    def entries(self) -> list[Entry]:
        """The trials of this work that can matter: the newest, and older ones that run."""
        if self.journal is None:
            from kleio.core.recovery import entries_here

            return entries_here(self.root, self.key)
        if self.only:
            entry = self.journal.entry(self.only)
            return [entry] if entry else []
        newest = self.journal.entries(Selection(work_key=self.key), NEWEST)
        if len(newest) < NEWEST:
            return newest
        known = {entry.id for entry in newest}
        held = self.journal.entries(Selection(work_key=self.key, statuses=tuple(status.value for status in HELD)))
        return newest + [entry for entry in held if entry.id not in known]

    def alive(self, entry: Entry) -> bool:
        """Whether somebody owns the trial, as far as journal and machine know."""
        return is_alive(entry, self.root)

    def dead_holder(self, entry: Entry | None) -> str | None:
        """The execution that holds the trial and is known to have ended."""
        return entry.holder if entry and entry.holder and not self.alive(entry) else None

    def compared(self, entry: Entry) -> plan.Found:
        """The trial beside what is here. The environment is looked at only where it decides."""
        same_code = entry.trial.code.get("fingerprint") == self.code.fingerprint
        live = self.alive(entry)
        resuming = not live and entry.status is not Status.COMPLETED
        decides = same_code and (resuming or self.config["once"])
        return plan.Found(
            id=entry.id,
            status=entry.status,
            live=live,
            same_code=same_code,
            same_environment=not decides or not self._environment_changes(entry),
            resumable=resuming and self._has_artifacts(entry),
            created=entry.trial.created,
        )

    def knows(self, trial: str) -> bool:
        """Whether there is a trial with this id."""
        if self.journal is None:
            return any(entry.id == trial for entry in self.entries())
        return self.journal.entry(trial) is not None

    def _has_artifacts(self, entry: Entry) -> bool:
        if self.journal is None:
            here = [Spool(os.path.join(self.root, one.id)) for one in entry.executions]
            return any(stream == "artifacts" for spool in here for _, stream in spool.streams())
        return any(True for _ in self.journal.segments(entry.id, ("artifacts",)))

    def _environment_changes(self, entry: Entry) -> list[tuple[str, str, str]]:
        from kleio.core import environment

        if self.journal is None:
            return []
        digests = [one.environment for one in entry.executions if one.environment]
        before = self.journal.document(digests[-1]) if digests else None
        now = environment.capture(self.program, self.config["variables"])
        return environment.changes(before, now, environment.own_packages(self.code.root))

    def refuse_twice_here(self) -> None:
        """Raise AlreadyRunning if the work runs on this machine in a way that the journal does not know: offline."""
        if self.journal is None and self._lock is None:
            self._lock = hold(os.path.join(private(self.root, "work"), self.key))
            if self._lock is None:
                raise AlreadyRunning("this work is running offline on this machine already")
        for spool in spools(self.root):
            launch = spool.read("launch") or {}
            if launch.get("trial", {}).get("work_key") != self.key or not spool.alive() or spool.has("ending"):
                continue
            if launch["offline"] or self.journal is None:
                raise AlreadyRunning(f"trial {launch['trial']['id'][:SHORT]} of this work runs on this machine already")

    def recover(self, say: Callable[[str], None], wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Ship what runs that were offline or killed left here, so that the journal knows all there is to know."""
        if self.journal is None or not any(spools(self.root)):
            return
        from kleio.core.recovery import Fate, recover_all

        try:
            for one in recover_all(self.root, self.journal, self.config["lease"], wanted):
                if one.fate is Fate.SHIPPED and one.trial:
                    say(f"shipped what a run of trial {one.trial[:SHORT]} had left in the spool")
                elif one.reason:
                    say(f"what a run of trial {(one.trial or one.execution)[:SHORT]} left could not be shipped: {one.reason}")
        except (JournalError, OSError) as error:
            say(f"a spool could not be shipped: {error}")

    # -- in words ------------------------------------------------------------------------------------------------

    def who_runs(self, entry: Entry) -> str:
        """Why the trial cannot be run now, and what can be done."""
        short = entry.id[:SHORT]
        owner = entry.execution(entry.holder)
        if owner and owner.machine == os.path.basename(self.root):
            from kleio.core.survivors import exists, survivors

            left = [] if exists(owner.pid) else list(survivors(owner.id))
            if left:
                pid, words = left[0]
                return (
                    f"trial {short} is running already: its kleio was killed, but process {pid} ({words}) goes on; "
                    f"wait with --if-running=wait, or end it with: kill {pid}"
                )
        return (
            f"trial {short} is running already on {runner(entry)}; "
            f"wait with --if-running=wait, watch it with: kleio tail -f {short}"
        )

    def what_changed(self, entry: Entry) -> str:
        """Why the trial is not resumed, and what can be done."""
        short = entry.id[:SHORT]
        changed = [f"{name} {before} → {now}" for name, before, now in self._environment_changes(entry)]
        if entry.trial.code.get("fingerprint") != self.code.fingerprint:
            changed.insert(0, self._changed_code(entry))
        return (
            f"trial {short} is {entry.status} and has artifacts to resume from, but what it ran with has changed: "
            f"{', '.join(changed)}; put that back to resume it, or start anew with --fresh"
        )

    def _changed_code(self, entry: Entry) -> str:
        digest = entry.trial.code.get("document")
        before = self.journal.document(digest) if self.journal and digest else None
        names = code.differing(before, self.code, self.config, entry.trial.command) if before else []
        if not names:
            return f"the code ({_described(entry.trial.code)} → {_described(self.code.brief)})"
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f"the code ({', '.join(names[:5])}{more})"


def runner(entry: Entry) -> str:
    """Who holds the trial, and since when."""
    owner = entry.execution(entry.holder)
    if owner is None:
        return "another machine"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.started))
    return f"{owner.host} as process {owner.pid} since {since}"


def _described(code: Mapping[str, Any]) -> str:
    commit = (code.get("commit") or "no commit")[:SHORT]
    return f"{commit}{' with changes' if code.get('dirty') else ''}"
