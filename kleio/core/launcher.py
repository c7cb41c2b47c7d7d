"""The life of one execution, from the words of a command to its exit status.

Read :meth:`Launcher.run` first: it is the recipe, and the methods below it are its steps, in order. What only the
recording needs is imported once the child has been started, so that it costs the command nothing.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from kleio.core import channels, code, identity, plan, process
from kleio.core.config import CHILD_VARIABLES, IDENTITY_ENV, Config, hooked, spool_root
from kleio.core.errors import AlreadyRunning, Changed, JournalError, JournalUnreachable, KleioError, SpoolError
from kleio.core.journal import open_journal
from kleio.core.journal.base import place
from kleio.core.lookup import SHORT
from kleio.core.output import OutputWriter
from kleio.core.plan import Action
from kleio.core.repository import Repository
from kleio.core.reserving import Reserver, writing
from kleio.core.signals import ENDING, AskedToEnd, name_of, number_of
from kleio.core.spool import COMPLETE, SHARED, Spool, locks, scratch
from kleio.core.survey import Survey, runner
from kleio.core.trial import Ending, Status, Trial, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kleio.core.asked import Asked
    from kleio.core.gathering import Gatherer
    from kleio.core.journal.base import Journal
    from kleio.core.recall import Recalled
    from kleio.core.recorded import Tree
    from kleio.core.recorder import Recorder
    from kleio.core.reserving import Reserved
    from kleio.core.signals import Signals
    from kleio.core.trial import Entry

NAMED = 3
"""Files with uncommitted changes that are named."""
ASKED_AGAIN = 1.0
"""Seconds after which another signal is another request: many send the same to a process and to its group."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the launch ended: an exit status, or the name of the signal that the child died of."""

    exit_status: int = 0
    signal: int | None = None


class Interrupted(KleioError):  # noqa: N818
    """A signal asked to end before there was a child to give it to."""

    def __init__(self, number: int) -> None:
        super().__init__(f"{name_of(number)} before the command started")
        self.number = number


class Launcher:
    """Launches what is asked for, once."""

    def __init__(
        self,
        config: Config,
        asked: Asked,
        say: Callable[[str], None],
        signals: Signals,
        ask: Callable[[str], str] | None = None,
        repository: Repository | None = None,
    ) -> None:
        """``signals`` are closed by :meth:`run`; in ``repository``, around the working directory, git is answering already.
        ``ask`` puts a question to the user, where there is one.
        """
        self._config, self._asked, self._argv, self._say, self._ask = config, asked, list(asked.argv), say, ask
        self._signals, self._repository = signals, repository
        self._home = config.cwd
        self._recalled: Recalled | None = None
        self._execution = os.urandom(16).hex()
        self._root = spool_root(config)
        self._journal: Journal | None = None
        self._program = ""
        self._reserver: Reserver | None = None
        self._executed = False

    def run(self) -> Outcome:
        """The recipe."""
        try:
            if self._asked.trial:
                self._open_journal(must=True)
                self._recall()
            self._program = process.find_program(self._argv[0])
            repository = self._repository or Repository.asked(self._config.cwd, self._config["patience"])
            if repository and not self._config["project"]:
                repository.ask_further()
            self._open_journal(must=bool(self._asked.trial))
            self._code = self._captured(repository)
            self._refuse_dirty()
            self._work = self._identify()
            self._survey = self._surveyed(self._key_of(self._work))
            self._reserver = Reserver(
                self._config, self._argv, self._code, self._work.cwd, self._survey, self._execution, self._home, self._say,
                self._asked.repeat, self._project_root(),
            )  # fmt: skip
            while True:
                decision = self._decide()
                if decision.action in (Action.SKIP_DONE, Action.SKIP_RUNNING):
                    return self._skip(decision)
                reserved = self._reserve(decision)
                if reserved is not None:
                    return self._execute(reserved)
        except (Interrupted, AskedToEnd) as interrupted:
            return Outcome(128 + interrupted.number, interrupted.number)
        finally:
            self._signals.close()
            Spool(scratch(self._root, self._execution)).delete()
            if self._reserver and not self._executed:
                self._reserver.give_up()

    def close(self) -> None:
        """Give the journal's connections back, where the process goes on."""
        if self._journal is not None:
            self._journal.close()

    # -- what is here --------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        """Take the command and the directory of a recorded trial for ours."""
        assert self._journal is not None
        from kleio.core.recall import in_tree, recall

        recalled = recall(self._journal, self._asked, self._ask, self._config)
        options = dict(self._config.options)
        if self._config["code"] == "recorded":
            directory = self._tree_directory(recalled.entry)
            recalled = in_tree(self._journal, recalled, directory, self._say, apart=self._asked.repeat)
            options["project"] = recalled.entry.trial.project
        self._recalled, self._argv, self._home = recalled, list(recalled.argv), recalled.home
        os.chdir(recalled.cwd)
        os.environ["PWD"] = recalled.cwd
        self._config = Config(options, cwd=recalled.cwd)

    def _tree_directory(self, entry: Entry) -> str:
        """Where its recorded code lies: for an unfinished trial where it ran last, so that it finds what it wrote there."""
        trees = os.path.join(self._config.directory("state"), "trees")
        if self._config["fresh"] or entry.status is Status.COMPLETED:
            return os.path.join(trees, self._execution)
        ran_in = (os.path.dirname(one.tree) for one in reversed(entry.executions) if one.tree and os.path.isdir(one.tree))
        return next(ran_in, os.path.join(trees, entry.id))

    def _open_journal(self, must: bool) -> None:
        """Open it, or go on without it where that is allowed."""
        if self._journal is not None:
            return
        config = self._config
        if config["offline"]:
            if must or config["require-journal"]:
                raise JournalError("this needs the journal; leave --offline away")
            return
        try:
            self._journal = open_journal(config["journal"], timeout=config["timeout"])
        except JournalUnreachable as error:
            self._go_offline(error, must)
            return
        if self._journal.busy:
            self._signals.busy = self._journal.busy
        self._journal.waiting = self._signals.heeded
        if self._journal.warning:
            self._say(self._journal.warning)

    def _go_offline(self, error: JournalUnreachable, must: bool) -> None:
        if must or self._config["require-journal"]:
            raise error
        try:
            locks(self._root)
        except SpoolError as nor:
            raise SpoolError(f"{error}; nor can it run offline: {nor}") from None
        self._journal = None
        self._say(f"{error}; running offline: what is in the journal is not seen, kleio sync will ship the records")

    def _captured(self, repository: Repository | None) -> code.CodeVersion:
        """The code that is here, or the recorded one: what its own runs wrote into its tree is no change of it."""
        if self._recalled is None or self._recalled.tree is None:
            with writing(self._root):
                return code.capture(self._config, self._argv, repository, scratch(self._root, self._execution))
        from kleio.core.restore import code_of

        assert self._journal is not None
        entry, root = self._recalled.entry, self._recalled.tree.root
        document = code_of(self._journal, entry)
        return code.CodeVersion(root, entry.trial.project, str(entry.trial.code["fingerprint"]), document)

    def _identify(self) -> identity.Work:
        config = self._config
        names = [*IDENTITY_ENV, *config["identity-env"]]
        return identity.work(
            self._argv,
            project=self._code.project,
            root=self._code.root,
            cwd=config.cwd,
            volatile=config["volatile"],
            variables={name: os.environ[name] for name in names if name in os.environ},
        )

    def _refuse_dirty(self) -> None:
        if self._config["require-clean"] and self._code.document.get("dirty") is not False:
            what = self._uncommitted() if self._code.document["kind"] == "git" else "this is no git repository"
            raise Changed(f"{what}, and --require-clean was asked for; commit first, or leave it away")

    def _uncommitted(self) -> str:
        """That there are changes, and the first of the files."""
        document = self._code.document
        inner = [path for path, one in document["submodules"].items() if one["dirty"]]
        paths = list(dict.fromkeys([*document["changes"], *(one["path"] for one in document["left_out"]), *inner]))
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        return f"there are uncommitted changes{': ' if paths else ''}{', '.join(paths[:NAMED])}{more}"

    def _key_of(self, work: identity.Work) -> str:
        """The ``work_key``, in which the content of a file that the command names counts unless its runs write it."""
        named = identity.named(self._argv, root=self._code.root, cwd=self._config.cwd)
        self._named = {word: (path, identity.state(path)) for word, path in named.items()}
        self._outputs = identity.outputs_of(work, self._document)
        return identity.recorded_as(work, self._outputs, self._document, named)

    def _document(self, digest: str) -> dict[str, Any] | None:
        try:
            return self._journal.document(digest) if self._journal else None
        except JournalUnreachable as error:
            self._go_offline(error, must=bool(self._asked.trial))
            return None

    def _surveyed(self, key: str) -> Survey:
        """The survey of this work, of the one trial that is meant, or of the branch that is asked for."""
        recalled, branching = self._recalled, self._asked.branch
        only = recalled.entry.id if recalled and not branching else None
        survey = Survey(self._journal, self._root, self._config, self._code, key, self._program, self._argv, only)
        if recalled and branching:
            from kleio.core import branch  # it reads what was logged, which few launches need

            assert self._journal is not None
            survey.recover(self._say, lambda launch: launch["trial"]["id"] == recalled.entry.id)
            parent = self._journal.entry(recalled.entry.id) or recalled.entry
            cut = branch.cut(self._journal, parent, branching.criterion, "branch")
            changed = (*branch.words_changed(parent, self._argv), *survey.changes(parent))
            survey.branch = parent, replace(cut, changed=changed)
        return survey

    # -- what to do ----------------------------------------------------------------------------------------------

    def _decide(self) -> plan.Plan:
        """What the journal says, or this machine alone if the journal, which answered a moment ago, no longer does."""
        try:
            return self._look_up()
        except JournalUnreachable as error:
            self._go_offline(error, must=bool(self._asked.trial))
            self._survey.journal = None
            return self._look_up()

    def _reserve(self, decision: plan.Plan) -> Reserved | None:
        """None if it is to be decided anew: somebody was quicker, or the journal can be read but takes nothing now."""
        assert self._reserver is not None
        try:
            return self._reserver.reserve(decision, self._found)
        except JournalUnreachable as error:
            self._go_offline(error, must=bool(self._asked.trial))
            self._survey.journal = None
            return None

    def _look_up(self) -> plan.Plan:
        """Look the work up; wait and look again if that was asked for."""
        policy, survey = _policy(self._config), self._survey
        if survey.branch:
            policy = replace(policy, once=True)  # asked for twice it is the same trial, also when it is done
        if survey.journal is None and policy.branches:  # what a branch inherits only the journal has
            policy = replace(policy, allow_code_change=False, allow_environment_change=False)
        if not policy.fresh:
            survey.refuse_twice_here()
        survey.recover(self._say, lambda launch: survey.is_meant(launch["trial"]))
        while True:
            entries = survey.entries()
            decision = plan.decide(survey.found(entries), policy)
            entry = next((one for one in entries if one.id == (decision.trial or decision.previous)), None)
            if decision.action is Action.REFUSE_RUNNING:
                assert entry is not None
                raise AlreadyRunning(survey.who_runs(entry))
            if decision.action is Action.REFUSE_CHANGED:
                assert entry is not None
                raise survey.refusal(entry, self._asked.trial)
            if decision.action is not Action.WAIT:
                self._found = entry
                return decision
            assert entry is not None
            self._say(f"waiting for trial {entry.id[:SHORT]}, which runs on {runner(entry)}")
            self._wait_for(entry)

    def _wait_for(self, entry: Entry) -> None:
        assert self._journal is not None
        while True:
            self._rest(0.5)
            again = self._journal.entry(entry.id)
            if again is None or not self._survey.alive(again):
                return

    def _rest(self, seconds: float) -> None:
        """Sleep, unless a signal asks to end."""
        info = self._signals.take(seconds)
        if info is not None and info.si_signo == signal.SIGTSTP:
            self._signals.stop_like(signal.SIGTSTP)
        elif info is not None and info.si_signo in ENDING:
            raise Interrupted(info.si_signo)

    def _skip(self, decision: plan.Plan) -> Outcome:
        entry = self._found
        assert entry is not None
        last = entry.executions[-1] if entry.executions else None
        if decision.action is Action.SKIP_RUNNING:
            self._say(f"skipped: trial {entry.id[:SHORT]} runs on {runner(entry)}")
        else:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.ended)) if last and last.ended else "earlier"
            self._say(f"skipped: completed {when} by {last.user if last else 'somebody'}, trial {entry.id[:SHORT]}")
        return Outcome(0)

    # -- the execution -------------------------------------------------------------------------------------------

    def _execute(self, reserved: Reserved) -> Outcome:
        self._executed = True
        if self._journal is not None:
            self._journal.waiting = nullcontext  # from now on signals are the command's
        trial, spool, token = reserved.trial, reserved.spool, reserved.token
        try:
            writers = self._writers(spool)
            early = self._signals.pending_end()
            if early is not None:
                raise Interrupted(early)
            child = process.Child(
                self._program,
                self._argv,
                self._child_environment(trial, spool, reserved.output),
                self._signals,
                {channel: writer.record for channel, writer in writers.items()},
                reserved.lock,
            )
        except BaseException as error:
            self._never_started(trial, spool, token, error)
            raise
        recorder = self._recorder(trial, spool, token)
        if not self._config["no-system"]:
            recorder.sample(child.pid, self._config["system-interval"])
        recorder.start()
        gatherer = self._gatherer(spool, child.pid, reserved.output)
        gatherer.start()
        _beside(self._survey.recover, self._say, lambda _: True)
        started = time.monotonic()
        ending = child.wait()
        self._signals.close()
        for complaint in child.unwritten:
            self._say(f"output was lost on its way to {complaint}")
        for writer in writers.values():
            writer.close()
            if writer.failed:
                self._say(f"output could not be recorded to its end: {writer.failed}")
        gatherer.finish(time.monotonic() - started, bool(ending.received), self._config["drain"])
        self._finish(recorder, spool, self._end(spool, ending), reserved.lock)
        os.close(reserved.recorder_lock)
        return Outcome(ending.exit_code or 0, number_of(ending.signal) if ending.signal else None)

    def _recorder(self, trial: Trial, spool: Spool, token: int) -> Recorder:
        from kleio.core.recorder import Recorder  # 4 ms, in which the command starts
        from kleio.core.streams import Source

        return Recorder(Source(spool, trial.id, self._execution), self._journal, token, self._config["lease"], self._say)

    def _gatherer(self, spool: Spool, pid: int, output: str) -> Gatherer:
        from kleio.core.gathering import Gatherer, Naming  # while the command runs

        naming = Naming(self._work, self._survey.key, self._named, self._outputs)
        return Gatherer(
            spool, self._journal, self._config, self._code, naming, tuple(self._argv), self._program, self._say, pid,
            self._recalled.tree.linked if self._recalled and self._recalled.tree else None, output, self._project_root(),
        )  # fmt: skip

    def _writers(self, spool: Spool) -> dict[channels.Channel, OutputWriter]:
        if self._config["no-capture"]:
            return {}
        limit = self._config["output-limit"]
        return {
            channel: OutputWriter(spool.path, channel.stream, limit) for channel in channels.channels(self._config["split"])
        }

    def _child_environment(self, trial: Trial, spool: Spool, output: str) -> dict[str, str]:
        """What the child gets besides its own: where to write, and no password."""
        given = {name: value for name, value in process.inherited_environment().items() if name not in CHILD_VARIABLES}
        address = self._config["journal"]
        if place(address).split("://")[0] != "sqlite":
            private = os.open(spool.file("journal"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(private, "w", encoding="utf-8") as file:
                file.write(address)  # a kleio inside the trial finds it here
            if place(given.get("KLEIO_JOURNAL", "")) != given.get("KLEIO_JOURNAL", ""):
                del given["KLEIO_JOURNAL"]
        if self._config["unbuffered"]:
            given["PYTHONUNBUFFERED"] = "1"
        if self._recalled and self._recalled.tree:
            given |= self._import_from(self._recalled.tree, given.get("PYTHONPATH"))
        return hooked(given, not self._config["no-hook"]) | {
            "KLEIO_TRIAL_ID": trial.id,
            "KLEIO_EXECUTION": self._execution,
            "KLEIO_SPOOL": spool.path,
            "KLEIO_STATISTICS": spool.file(f"{SHARED}.statistics"),
            "KLEIO_OUTPUT_DIR": output,
        }

    def _import_from(self, tree: Tree, path: str | None) -> dict[str, str]:
        """Packages that are installed in place would be imported from the project as it is now: those of the tree go first."""
        from kleio.core import environment, recorded

        python = environment.interpreter(self._program)
        shadowed = recorded.shadowed(tree.original_root, environment.inspected(python)[1]) if python else {}
        if not shadowed:
            return {}
        places = dict.fromkeys(recorded.translated(list(shadowed.values()), tree.original_root, tree.root))
        self._say(f"imported from the recorded code, by PYTHONPATH: {', '.join(shadowed)}")
        return {"PYTHONPATH": os.pathsep.join([*places, *([path] if path else [])])}

    def _project_root(self) -> str:
        """Where results belong: the project itself, also for a run in a tree of its recorded code."""
        tree = self._recalled.tree if self._recalled else None
        return tree.original_root if tree and os.path.isdir(tree.original_root) else self._code.root

    def _never_started(self, trial: Trial, spool: Spool, token: int, error: BaseException) -> None:
        """The command did not begin: say so in the journal and leave nothing behind. To the user it is said by ``error``, and
        what goes wrong here for the same reason is no news.
        """
        self._say = _silently
        recorder = self._recorder(trial, spool, token)
        number = error.number if isinstance(error, Interrupted) else None
        ending = Ending(None, name_of(number), ((name_of(number), 0.0),)) if number else Ending(126)
        recorder.start()
        if recorder.finish(self._config["timeout"], self._end(spool, ending)) and recorder.settled():
            spool.delete()

    def _end(self, spool: Spool, ending: Ending) -> dict[str, Any]:
        """How it ended, as the journal gets it; in the spool as well, should the journal be away."""
        status, reason = verdict(ending, spool.has(COMPLETE))
        data = {"status": status.value, "exit_code": ending.exit_code, "signal": ending.signal, "reason": reason}
        document = {"time": time.time(), "data": data}
        try:
            spool.write("ending", document)
        except OSError as error:
            self._say(f"the end could not be kept in the spool: {error.strerror}")
        return document

    def _finish(self, recorder: Recorder, spool: Spool, ending: dict[str, Any], lock: int) -> None:
        """Ship the rest; Ctrl-C or SIGTERM now means: later. Until the end is in the journal we count as alive.

        Asked again we wait no longer for a journal that does not let us go on: who writes it may have been stopped.
        """
        finishing = _beside(self._ship_rest, recorder, ending)
        with suppress(OSError):
            os.unlink(spool.file("journal"))  # nobody is left who might need the address
        asked = float("inf")
        while finishing.is_alive():
            finishing.join(0.1)
            info = self._signals.take(0) if self._signals.pending_end() is not None and finishing.is_alive() else None
            if info is not None and info.si_signo in ENDING:
                if time.monotonic() - asked > ASKED_AGAIN:
                    break
                recorder.abandon()
                asked = min(asked, time.monotonic())
        os.close(lock)
        if self._journal is None:
            return
        if finishing.is_alive() or not recorder.complete:
            self._say("not everything is in the journal yet; what is missing waits here, ship it with: kleio sync")
            return
        if not spool.alive():  # else something in the background goes on logging: a later kleio ships that
            spool.delete()

    def _ship_rest(self, recorder: Recorder, ending: dict[str, Any]) -> None:
        recorder.finish(self._config["drain"], ending)
        recorder.settled()


def _policy(config: Config) -> plan.Policy:
    anything = config["allow-any-change"]
    return plan.Policy(
        config["fresh"],
        config["once"],
        config["if-running"],
        anything or config["allow-code-change"],
        anything or config["allow-env-change"],
    )


def _silently(_: str) -> None:
    pass


def _beside(action: Callable[..., object], *arguments: object) -> threading.Thread:
    """Do something while the command runs."""
    thread = threading.Thread(target=action, args=arguments, name=f"kleio-{action.__name__.strip('_')}", daemon=True)
    thread.start()
    return thread
