"""What journal and machine hold of a piece of work, compared with what is here: the facts that a plan is made from."""

from __future__ import annotations

import fnmatch
import os
import shlex
import time
from dataclasses import dataclass, field, replace

from kleio.core import code, commandline, plan, redact
from kleio.core.errors import AlreadyRunning, Changed, JournalError, in_words
from kleio.core.journal.base import Selection
from kleio.core.lookup import SHORT, is_alive
from kleio.core.spool import LAUNCHER, Spool, hold, locks, spools
from kleio.core.trial import HELD, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.branch import Cut
    from kleio.core.code import CodeVersion
    from kleio.core.config import Config
    from kleio.core.filechanges import FileChange
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

NEWEST = 50
"""How many trials of one work are compared: its ten-thousandth run starts as fast as its first. An unfinished one beyond is
found all the same when its code is back, because work and code make its id."""


@dataclass(slots=True)
class Survey:
    """``root`` is where this machine's spools lie; ``only`` the id of the one trial that is meant, if one was named;
    ``branch`` the parent and the cut if a branch was asked for.

    ``journal`` is None for a run that is offline; then the spools are all there is to look at. ``not_compared`` says what of
    the environment could not be compared with that of the trial that was found. ``environ`` are the variables of who runs,
    ``own`` is the execution that this is about, whose spool may be there already.
    """

    journal: Journal | None
    root: str
    config: Config
    code: CodeVersion
    key: str
    program: str
    argv: Sequence[str] = ()
    only: str | None = None
    branch: tuple[Entry, Cut] | None = None
    not_compared: str | None = field(default=None, init=False)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, init=False)
    own: str | None = field(default=None, init=False)
    _lock: int | None = field(default=None, init=False)
    _changes: dict[str, list[FileChange] | None] = field(default_factory=dict, init=False)

    def entries(self) -> list[Entry]:
        """The trials of this work that can matter: the newest, and older ones that run."""
        if self.journal is None:
            from kleio.core.waiting import entries_here

            return entries_here(self.root, self.key, own=self.own)
        if self.only:
            entry = self.journal.entry(self.only)
            return [entry] if entry else []
        if self.branch:
            return [entry for entry in self.journal.entries(Selection(parent=self.branch[0].id)) if self._is_that_branch(entry)]
        newest = self.journal.entries(Selection(work_key=self.key), NEWEST)
        if len(newest) == NEWEST:
            known = {entry.id for entry in newest}
            held = self.journal.entries(Selection(work_key=self.key, statuses=tuple(status.value for status in HELD)))
            newest += [entry for entry in held if entry.id not in known]
        return [entry for entry in newest if entry.trial.ordinary]

    def _is_that_branch(self, entry: Entry) -> bool:
        """The same work and code, cut by the same words: asked for twice, it is the same trial."""
        assert self.branch is not None
        cut, trial = entry.trial.cut or {}, entry.trial
        wanted = self.branch[1]
        same = (cut.get("criterion"), cut.get("by")) == (wanted.criterion, wanted.by)
        if wanted.criterion == "end":  # the parent may have gone on since
            same = same and cut.get("ends") == wanted.identity["ends"]
        return same and trial.work_key == self.key and trial.code.get("fingerprint") == self.code.fingerprint

    def is_meant(self, trial: Mapping[str, Any]) -> bool:
        """Whether a recorded trial is of this work, or the one that was named."""
        return bool(self.key == trial["work_key"] or self.only == trial["id"])

    def alive(self, entry: Entry) -> bool:
        """Whether somebody owns the trial, as far as journal and machine know."""
        return is_alive(entry, self.root)

    def dead_holder(self, entry: Entry | None) -> str | None:
        """The execution that holds the trial and is known to have ended."""
        return entry.holder if entry and entry.holder and not self.alive(entry) else None

    def found(self, entries: Sequence[Entry]) -> list[plan.Found]:
        """The trials beside what is here. What takes longer to find out is looked at only of the one that it decides about."""
        glanced = [self._at_a_glance(entry) for entry in entries]
        chosen = plan.choose(glanced)
        return [
            self._looked_at(one, entry) if one is chosen else one for one, entry in zip(glanced, entries, strict=True)
        ]

    def _at_a_glance(self, entry: Entry) -> plan.Found:
        return plan.Found(
            id=entry.id,
            status=entry.status,
            live=self.alive(entry),
            same_code=self._same_code(entry),
            same_environment=True,
            resumable=False,
            created=entry.trial.created,
        )

    def _same_code(self, entry: Entry) -> bool:
        """What git did not tell in time, now or then, is unknown, and unknown compares equal."""
        recorded = entry.trial.code
        if recorded.get("fingerprint") == self.code.fingerprint:
            return True
        now, then = self.code.document.get("uncertain"), recorded.get("uncertain")
        return bool(now != then)

    def _looked_at(self, one: plan.Found, entry: Entry) -> plan.Found:
        """With its environment, where that decides, and whether there is anything to resume from."""
        resuming = not one.live and one.status is not Status.COMPLETED
        one = replace(one, same_code=one.same_code or self._changed_files(entry) == [])
        decides = (one.same_code and (resuming or self.config["once"])) or self._may_branch()
        return replace(
            one,
            same_environment=not decides or not self._environment_changes(entry),
            resumable=resuming and (self._has_artifacts(entry) or self._has_checkpoints(entry)),
        )

    def _may_branch(self) -> bool:
        return any(self.config[f"allow-{what}-change"] for what in ("code", "env", "any"))

    def knows(self, trial: str) -> bool:
        """Whether the journal has a trial with this id."""
        return self.journal is not None and self.journal.entry(trial) is not None

    def _has_artifacts(self, entry: Entry) -> bool:
        """Whether the script logged any: what the launcher found in its output directory is nothing to resume from."""
        if self.journal is None:
            here = [Spool(os.path.join(self.root, one.id)) for one in entry.executions]
            return any(stream == "artifacts" and writer != LAUNCHER for spool in here for writer, stream in spool.streams())
        inherited = any(one[3] == "artifacts" and one[2] != LAUNCHER for one in (entry.trial.cut or {}).get("ends", ()))
        return inherited or any(one.writer != LAUNCHER for one in self.journal.segments(entry.id, ("artifacts",)))

    def _has_checkpoints(self, entry: Entry) -> bool:
        """Whether the trial wrote files that the setting ``checkpoints`` declares to be resumed from."""
        patterns = self.config["checkpoints"]
        if not patterns or self.journal is None:
            return False
        documents = [self.journal.document(one.wrote) for one in entry.executions if one.wrote]
        written = {file[0] for document in documents if document for file in document["files"]}
        places = written | {os.path.basename(path) for path in written}
        return any(fnmatch.filter(places, one) for one in patterns)

    def _environment_changes(self, entry: Entry) -> list[tuple[str, str, str]]:
        if self.journal is None:
            return []
        from kleio.core import environment

        digests = [one.environment for one in entry.executions if one.environment]
        before = self.journal.document(digests[-1]) if digests else None
        counting = self.config["compare"]
        now = environment.capture(
            self.program,
            environment.wanted(self.config["variables"], counting),
            (before or {}).get("python"),
            gpus="gpu" in counting,
            environ=self.environ,
        )
        self.not_compared = environment.unknown(before, now) if digests else None
        return environment.changes(before, now, environment.own_packages(self.code.root), counting)

    def refuse_twice_here(self) -> None:
        """Raise AlreadyRunning if the work runs on this machine in a way that the journal does not know: offline."""
        if self.journal is None and self._lock is None:
            self._lock = hold(os.path.join(locks(self.root), self.key))
            if self._lock is None:
                raise AlreadyRunning("this work is running offline on this machine already")
        for spool in spools(self.root):
            launch = spool.read("launch") or {}
            if launch.get("trial", {}).get("work_key") != self.key or not spool.alive() or spool.has("ending"):
                continue
            if spool.execution == self.own:
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
            say(f"a spool could not be shipped: {in_words(error)}")

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

    def refusal(self, entry: Entry, named: str | None) -> Changed:
        """Why the trial is not resumed, and the ways on, ready to paste. ``named`` is the id that was typed, if any was."""
        short = entry.id[:SHORT]
        code, environment = self._code_changes(entry), self._environment_changes(entry)
        in_words = [*code, *self._in_words(environment)]
        allow = "any" if code and environment else "code" if code else "env"
        recorded = "--code recorded " if self.config["code"] == "recorded" else ""
        what = f"exec {recorded}{named}" if named else shlex.join(redact.command(self.argv))
        ways = [f"to start anew:                                  kleio --fresh {what}"]
        if self.journal is not None:  # a branch inherits what only the journal has
            ways.insert(0, f"to continue it with what is here, in a branch:  kleio --allow-{allow}-change {what}")
        if code:
            own = "--allow-env-change " if environment else ""
            ways.append(f"to go on with its own code:                     kleio {own}exec --code recorded {short}")
        elif packages := environment_packages(environment):
            ways.append(f"to resume it, first put its packages back:      pip install {' '.join(packages)}")
        return Changed(
            f"trial {short} is {entry.status} and has something to resume from, but what it ran with has changed: "
            f"{', '.join(in_words)}",
            tuple(ways),
        )

    def changes(self, entry: Entry) -> list[str]:
        """What differs between a trial and what is here, in words: files, then packages and the like."""
        return self._code_changes(entry) + self._in_words(self._environment_changes(entry))

    @staticmethod
    def _in_words(changes: Sequence[tuple[str, str, str]]) -> list[str]:
        return [f"{name} {before} → {now}" for name, before, now in changes]

    def _code_changes(self, entry: Entry) -> list[str]:
        """The files that count and differ, in one line, or at least the two versions; empty if nothing does."""
        if self._same_code(entry):
            return []
        found = self._changed_files(entry)
        if found is None:
            return [f"the code ({_described(entry.trial.code)} → {_described(self.code.brief)})"]
        from kleio.core import filechanges

        return [filechanges.summary(found)] if found else []

    def _changed_files(self, entry: Entry) -> list[FileChange] | None:
        """The files that count and differ, but for what such a run has only left behind; None where that is not known."""
        if entry.id not in self._changes:
            self._changes[entry.id] = self._compared(entry)
        return self._changes[entry.id]

    def _compared(self, entry: Entry) -> list[FileChange] | None:
        from kleio.core import filechanges
        from kleio.core.codedocument import recorded_code
        from kleio.core.sourcefiles import Version

        before = recorded_code(self.journal, entry.trial.code.get("document")) if self.journal else None
        if not before:
            return None
        counts = code.Counting(self.config, self.argv)
        then, here = Version(self.journal, before, self.code.root), Version.present(self.code)
        found = filechanges.changed_files(then, here, counts)
        if not found or filechanges.unseen(then, here):
            return found or None
        own = {one.path for one in found if self.code.document["kind"] == "git" and filechanges.tracked(one.path, then, here)}
        return [one for one in found if one.path in own or not self._is_output(entry, one.path)]

    def _is_output(self, entry: Entry, path: str) -> bool:
        """Whether a run of this trial, or of the same script, wrote the file as it is now: it is no code that came since."""
        assert self.journal is not None
        from kleio.core import written

        now = written.content_here(os.path.join(self.code.root, path))
        wrote = {trace[1:] for trace in self.journal.traces(f"path:{path}")}
        left = {trace[1:] for key in now for trace in self.journal.traces(key)}
        return any(self._is_alike(entry, trial) for trial, _ in wrote & left)

    def _is_alike(self, entry: Entry, trial: str) -> bool:
        assert self.journal is not None
        other = entry if trial == entry.id else self.journal.entry(trial)
        if other is None or other.trial.project != entry.trial.project:
            return False
        script = commandline.script(entry.trial.command)
        same = script is not None and script == commandline.script(other.trial.command) and other.trial.cwd == entry.trial.cwd
        return other is entry or same


def environment_packages(changes: Sequence[tuple[str, str, str]]) -> list[str]:
    """What pip would have to install again, if that is all that changed."""
    found = [f"{name}=={before}" for name, before, _ in changes if before[:1].isdigit() and name != "python"]
    return found if len(found) == len(changes) else []


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
