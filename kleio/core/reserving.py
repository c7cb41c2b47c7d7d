"""From a decision to a reservation: the trial, new or found, its spool, and the claim that makes it ours.

Plain classes, as every launch makes them, and a dataclass takes half a millisecond to be made.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from kleio.core import commandline, identity, outputs, redact
from kleio.core.config import user_name
from kleio.core.errors import SpoolError
from kleio.core.journal.base import place
from kleio.core.lookup import SHORT
from kleio.core.plan import Action
from kleio.core.spool import Spool, locks, spools, unwritable
from kleio.core.trial import Entry, Status, Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.branch import Cut
    from kleio.core.code import CodeVersion
    from kleio.core.config import Config
    from kleio.core.plan import Plan
    from kleio.core.survey import Survey

PATIENCE = 5
"""Races for a trial to lose before a claim no longer asks that nothing has happened since it was looked up."""
JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""Variables in which schedulers say which job this is."""


class Reserved:
    """What is ours now: the trial, its spool with the descriptors that hold its two locks, the fencing token, and the
    directory for files of the trial, which may have to be made yet.
    """

    __slots__ = ("lock", "output", "recorder_lock", "spool", "token", "trial")

    def __init__(self, trial: Trial, spool: Spool, lock: int, recorder_lock: int, token: int, output: str) -> None:
        self.trial, self.spool, self.lock, self.recorder_lock, self.token = trial, spool, lock, recorder_lock, token
        self.output = output


class Given:
    """What a process tells of a trial that it records in itself: ``pid``, its variables, the parameters and their sources."""

    __slots__ = ("environment", "params", "pid", "sources")

    def __init__(self, pid: int, environment: Mapping[str, str], params: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        self.pid, self.environment, self.params, self.sources = pid, environment, params, sources


class Reserver:
    """Reserves for one execution, whose id is ``execution``. ``cwd`` is the working directory relative to the root, ``home``
    the one in the project itself. With ``given`` it is for that process and not for this one.
    """

    def __init__(
        self,
        config: Config,
        argv: Sequence[str],
        code: CodeVersion,
        cwd: str,
        survey: Survey,
        execution: str,
        home: str,
        say: Callable[[str], None],
        repeating: bool = False,
        project: str | None = None,
        given: Given | None = None,
    ) -> None:
        self.config, self.argv, self.code, self.cwd, self.survey = config, argv, code, cwd, survey
        self.given, self.environment = given, os.environ if given is None else given.environment
        self.execution, self.home, self.say, self.repeating = execution, home, say, repeating
        self.project = project or code.root
        self.code_digest = identity.digest(dict(code.document))
        self._prepared: tuple[Spool, int, int] | None = None
        self._lost = 0
        survey.own = execution

    def reserve(self, decision: Plan, found: Entry | None) -> Reserved | None:
        """Act on the decision about ``found``; None if another was quicker and it is to be made anew."""
        trial, cut = self._trial(decision, found)
        number = len(found.executions) + 1 if found and found.id == trial.id else 1
        with self._naming():
            data = self._execution_data() | {"output": self._output(trial, found)}
            spool, lock, recorder_lock = self._prepare(trial, data, number)
        token = 0
        journal = self.survey.journal
        if journal is not None:
            if cut is not None and trial.parent:
                self._bequeath(trial, cut)
            journal.create(trial)
            seen, dead = self._seen(trial, found)
            claimed = journal.claim(trial.id, self.execution, data, self.config["lease"], dead, seen)
            if claimed is None:
                self._lost += 1
                return None
            token = claimed.token
        for remark in self.code.remarks:
            self.say(remark)
        self._tell(trial, decision, found, cut)
        return Reserved(trial, spool, lock, recorder_lock, token, os.path.join(self.project, data["output"]))

    def give_up(self) -> None:
        """Nothing was started: leave no spool behind."""
        if self._prepared:
            self._prepared[0].delete()

    def _seen(self, trial: Trial, found: Entry | None) -> tuple[str | None, str | None]:
        """What the decision was made on, for the claim: the trial's state, and the holder that is known to be dead."""
        if found is None or found.id != trial.id:
            assert self.survey.journal is not None
            found = self.survey.journal.entry(trial.id) if trial.parent else None  # the same branch may have been made before
        dead = self.survey.dead_holder(found)
        if self._lost >= PATIENCE:
            return None, dead
        return (found.decided if found else ""), dead

    # -- the trial -----------------------------------------------------------------------------------------------

    def _trial(self, decision: Plan, found: Entry | None) -> tuple[Trial, Cut | None]:
        if decision.action is Action.RESUME and found:
            return found.trial, None
        parent, cut = self._parent(decision, found)
        line: dict[str, Any] = {"parent": parent.id, "cut": cut.identity} if parent and cut else {}
        named = partial(identity.trial_id, self.survey.key, self.code.fingerprint, **line)
        own = named(nonce=self._nonce(decision, named()))
        if parent and cut:
            cut = self._endowed(cut, parent, found, own)
        uncertain = self.code.document.get("uncertain")
        safe = redact.command(self.argv)
        params = commandline.parameters(safe) if self.given is None else dict(self.given.params)
        sources = dict.fromkeys(params, "command line") if self.given is None else dict(self.given.sources)
        trial = Trial(
            id=own,
            work_key=self.survey.key,
            project=self.code.project,
            command=safe,
            cwd=self.cwd,
            created=time.time(),
            params=params,
            param_sources=sources,
            code=self.code.brief | {"document": self.code_digest} | ({"uncertain": uncertain} if uncertain else {}),
            parent=parent.id if parent else None,
            cut=cut.as_dict() if cut else None,
            previous=decision.previous,
            within=self.environment.get("KLEIO_TRIAL_ID") or None,
            redacted=safe != tuple(self.argv),
            repeats=found.id if self.repeating and found else None,
            experiment=self.given is not None,
        )
        return trial, cut

    def _nonce(self, decision: Plan, plain: str) -> str | None:
        """What tells apart trials of the same work and code, if there are several.

        Offline nobody knows: in the journal this work may have been completed, by whomever, or may be running.
        """
        if self.config["fresh"] or self.survey.journal is None:
            return self.execution
        return decision.previous if decision.previous and self.survey.knows(plain) else None

    def _parent(self, decision: Plan, found: Entry | None) -> tuple[Entry | None, Cut | None]:
        """The trial that the new one continues, and where."""
        if decision.action is Action.BRANCH and found is not None:
            return found, self._cut_here(found)
        if self.survey.branch is not None:
            return self.survey.branch
        if self.survey.only and found is not None and found.trial.parent and self.survey.journal is not None:
            from kleio.core.branch import Cut

            return self.survey.journal.entry(found.trial.parent), Cut.of(found.trial)  # run anew, it begins where it began
        return None, None

    def _cut_here(self, found: Entry) -> Cut:
        """Because something changed: at its end, as it is now."""
        from kleio.core import branch

        assert self.survey.journal is not None
        cut = branch.cut(self.survey.journal, found, branch.END, "change")
        return replace(cut, changed=tuple(self.survey.changes(found)))

    def _endowed(self, cut: Cut, parent: Entry, found: Entry | None, child: str) -> Cut:
        """With the artifacts that are there: the parent's, or, where a branch is run anew, also those that it has."""
        from kleio.core import branch

        assert self.survey.journal is not None
        again = [found] if found and found.trial.parent == parent.id else []
        return branch.endowed(self.survey.journal, cut, [parent, *again], child, self.execution)

    def _bequeath(self, trial: Trial, cut: Cut) -> None:
        """Summaries of what the branch inherits, before anybody can read it."""
        from kleio.core import branch

        assert self.survey.journal is not None
        assert trial.parent is not None
        for summary in branch.inherited_summaries(self.survey.journal, trial.parent, trial.id, cut):
            self.survey.journal.summarise(summary)

    # -- the spool -----------------------------------------------------------------------------------------------

    def _prepare(self, trial: Trial, data: dict[str, Any], number: int) -> tuple[Spool, int, int]:
        """The spool: all that is needed to record the run, in place before it is reserved."""
        launch = {
            "trial": trial.as_dict(),
            "execution": data,
            "number": number,
            "started": time.time(),
            "annotations": self._annotations(),
            "documents": {self.code_digest: dict(self.code.document)},
            "blobs": list(self.code.blobs),
            "traces": self._traces(),
            "root": self.code.root,
            "journal": place(self.config["journal"]),
            "offline": self.survey.journal is None,
        }
        if self._prepared is None:
            self._prepared = Spool.create(self.survey.root, self.execution, launch)
        else:
            with writing(self.survey.root):
                self._prepared[0].write("launch", launch)
        return self._prepared

    @property
    def _pid(self) -> int:
        return os.getpid() if self.given is None else self.given.pid

    def _execution_data(self) -> dict[str, Any]:
        data = {
            "host": os.uname().nodename,
            "user": user_name(),
            "pid": self._pid,
            "machine": os.path.basename(self.survey.root),
            "started": time.time(),
            "cwd": self.home,
            "code": self.code_digest,
            "lease": self.config["lease"],
        }
        return data if self.home == self.config.cwd else data | {"tree": self.code.root}

    def _output(self, trial: Trial, found: Entry | None) -> str:
        """The directory for its files, relative to the project: the same for every execution of a trial."""
        own = found if found and found.id == trial.id else None
        before = [one.output for one in own.executions if one.output] if own else []
        name = outputs.fitting(redact.text(self.config["name"] or (own.name if own else None) or ""))
        taken = self._given_to_others(trial.id) if name and not before else ()
        return outputs.resolve(self.project, name or trial.id[:SHORT], trial.id, before[-1] if before else None, taken)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Of several runs of one name that begin at once each sees which directory the one before was given."""
        fd = self._one_at_a_time() if self.config["name"] else None
        try:
            yield
        finally:
            if fd is not None:
                os.close(fd)

    def _one_at_a_time(self) -> int | None:
        """A descriptor to close when the next may begin; None on a filesystem that has no locks or cannot be written."""
        import fcntl

        try:
            path = os.path.join(locks(self.survey.root), "names")
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, SpoolError):
            return None
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def _given_to_others(self, trial: str) -> set[str]:
        """The directories of runs that are alive on this machine, whether or not they are made yet."""
        found = set()
        for spool in spools(self.survey.root):
            launch = spool.read("launch") if spool.execution != self.execution and spool.alive() else None
            if launch is not None and launch["trial"]["id"] != trial and "output" in launch["execution"]:
                found.add(str(launch["execution"]["output"]))
        return found

    def _annotations(self) -> dict[str, Any]:
        """What the user said of it, keys of known shapes taken out."""
        said = {name: redact.text(self.config[name]) for name in ("name", "note") if self.config[name]}
        tags = [redact.text(tag) for tag in self.config["tag"]]
        return said | ({"tags": tags} if tags else {})

    def _traces(self) -> list[str]:
        """What the execution can be found by, besides the files that it will write."""
        environment = self.environment
        jobs = [environment[name] for name in JOBS if environment.get(name)]
        array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
        return [
            *([f"commit:{self.code.document['commit']}"] if self.code.document.get("commit") else []),
            f"pid:{self._pid}",
            *(f"job:{job}" for job in jobs),
            *([f"job:{array}", f"job:{array}_{task}"] if array and task else []),
            *([f"name:{redact.text(self.config['name'])}"] if self.config["name"] else []),
        ]

    def _tell(self, trial: Trial, decision: Plan, found: Entry | None, cut: Cut | None) -> None:
        self.say(f"trial reserved with id: {trial.id[:SHORT]}")
        if decision.action is Action.RESUME and found:
            number = len(found.executions) + 1
            if number > 1:  # else somebody else had only just made it known
                self.say(f"resumed: its status was {found.status}; this is its execution {number}")
            if self.survey.not_compared:
                self.say(self.survey.not_compared)
            if found.trial.code.get("fingerprint") != self.code.fingerprint and self.given is None:
                why = self.code.document.get("uncertain") or found.trial.code.get("uncertain")
                if why:  # else only what such a run had left behind has come since
                    self.say(f"the code is not compared with that of the trial: {why}")
        elif cut is not None and trial.parent:
            self._tell_of_branch(trial.parent, cut)
        elif decision.explained:
            return
        elif decision.previous and found and found.status is not Status.COMPLETED and not self.config["fresh"]:
            short = decision.previous[:SHORT]
            changed = self.survey.changes(found)
            named = f": {', '.join(changed)}" if changed else ""
            self.say(f"code or environment changed since trial {short}, which left nothing to resume from{named}")

    def _tell_of_branch(self, parent: str, cut: Cut) -> None:
        from kleio.core import branch

        where = "at its end" if cut.criterion == branch.END else f"at {cut.criterion}"
        changed = f"; changed: {', '.join(cut.changed)}" if cut.changed else ""
        self.say(f"branched from trial {parent[:SHORT]} {where}{changed}")
        entry = self.survey.journal.entry(parent) if self.survey.journal else None
        for remark in branch.remarks(self.survey.journal, entry, cut) if entry and self.survey.journal else ():
            self.say(remark)


@contextmanager
def writing(root: str) -> Iterator[None]:
    """Of what fails in it, what concerns the directory ``root`` of spools, or is a disk that is full, raises SpoolError."""
    try:
        yield
    except OSError as error:
        name = error.filename or root
        if not isinstance(name, str) or not (name.startswith(root) or root.startswith(name)):
            raise
        raise unwritable(root, error) from None
