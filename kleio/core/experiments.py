"""The life of one experiment that a script opened in itself, from the recorder process's side; :meth:`Recording.begin` first.

What the launcher does for a command, with the same parts, for a part of a process that is not ours: it tells who it is, and
hands over where its output goes. Everything that it may have changed for itself (variables, directory) comes with it.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace

from kleio.core import cells, channels, code, commandline, gathering, identity, plan, redact, values
from kleio.core.config import IDENTITY_ENV, Config, spool_root
from kleio.core.errors import AlreadyRunning, JournalUnreachable, KleioError, SpoolError, UsageError, in_words
from kleio.core.journal.base import findable, place
from kleio.core.lookup import SHORT, resolve
from kleio.core.plan import Action, Plan
from kleio.core.recorder import Recorder
from kleio.core.relaying import Relays
from kleio.core.repository import Repository
from kleio.core.reserving import Given, Reserver, writing
from kleio.core.spool import SHARED, Spool, locks, scratch
from kleio.core.streams import Source
from kleio.core.survey import Survey, runner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.journals import Journals
    from kleio.core.reserving import Reserved
    from kleio.core.trial import Entry

WAIT = 0.5


@dataclass(slots=True)
class Opened:
    """What the script gets: a document, and descriptors, which are to be closed once they are sent."""

    document: dict[str, Any]
    descriptors: list[int] = field(default_factory=list)


class Gatherer(gathering.Gatherer):
    """For a process that is not our child: its variables are its own, and its environment is looked at once."""

    __slots__ = ("environ", "known")
    environ: Mapping[str, str]
    known: dict[Any, dict[str, Any]]

    def _environment(self) -> None:
        from kleio.core import environment

        chosen = tuple(sorted((name, value) for name, value in self.environ.items() if not name.startswith("KLEIO_")))
        key = (self.program, chosen, environment.age(self.program))
        known = self.known.get(key)
        if known is None:
            known = environment.capture(self.program, self._variables(), over=self._over, environ=self.environ)
            self.known.clear()
            self.known[key] = known
        self._leave_environment("environment", known)


class Recording:
    """One experiment. ``journals`` opens journals; ``environments`` remembers what was found out of processes."""

    def __init__(
        self,
        request: dict[str, Any],
        descriptors: list[int],
        journals: Journals,
        environments: dict[Any, dict[str, Any]],
        gone: Callable[[], bool],
        broken: Callable[[], None],
    ) -> None:
        """``gone`` tells whether the script is; ``broken`` is called when nobody takes its output any more."""
        self._request, self._journals, self._environments = request, journals, environments
        self._gone = gone
        self._descriptors = dict(zip(request["descriptors"], descriptors, strict=False))
        self._letting_go = threading.Lock()
        self._execution = os.urandom(16).hex()
        self.said: list[str] = []
        self._quiet = self._open = False
        self._relays = Relays(broken)
        self._reserved: Reserved | None = None
        self._journal: Journal | None = None
        self._used: Journal | None = None
        self._recorder: Recorder | None = None
        self._gatherer: Gatherer | None = None

    # -- its beginning -------------------------------------------------------------------------------------------

    def begin(self) -> Opened:
        """Reserve, and open the channels. Raises KleioError where it is not to be recorded."""
        request = self._request
        if len(self._descriptors) < len(request["descriptors"]):  # the system leaves out what there is no room for
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._config = config = _config(request)
        config.check()
        self._quiet = config["quiet"]
        self._root = spool_root(config)
        self._given = self._checked(request)
        self._argv = [str(word) for word in request["argv"]]
        repository = Repository.asked(config.cwd, config["patience"])
        if repository and not config["project"]:
            repository.ask_further()
        self._open_journal()
        place_ = scratch(self._root, self._execution)
        try:
            with writing(self._root):
                captured = code.capture(config, self._argv, repository, place_)
                self._code = cells.added(captured, request["cells"], config.cwd, place_) if request.get("cells") else captured
            return self._reserve()
        except BaseException as error:
            self._relays.take_back()
            if self._recorder is not None:
                reason = f"could not be opened: {in_words(error)}"
                self.end({"status": "broken", "reason": reason, "exit_code": None, "signal": None})
            raise
        finally:
            Spool(place_).delete()

    def _checked(self, request: dict[str, Any]) -> Given:
        """The parameters, fit to be stored. Raises UsageError."""
        params = redacted(_settled(request["params"]))
        sources = request.get("sources") or dict.fromkeys(params, "script")
        return Given(request["pid"], request["environment"], params, {name: sources.get(name, "script") for name in params})

    def _open_journal(self) -> None:
        config = self._config
        if config["offline"] and not config["require-journal"]:
            return
        try:
            self._journal = self._used = self._journals(config["journal"], config["timeout"])
        except JournalUnreachable as error:
            self._go_offline(error)
            return
        if self._journal.warning:
            self.say(self._journal.warning)

    def _go_offline(self, error: JournalUnreachable) -> None:
        if self._config["require-journal"] or self._request["resume"]:
            raise error
        try:
            locks(self._root)
        except SpoolError as nor:
            raise SpoolError(f"{error}; nor can it be recorded offline: {nor}") from None
        self._journal = None
        self.say(f"{error}; recorded offline: what is in the journal is not seen, kleio sync will ship the records")

    def _reserve(self) -> Opened:
        config, given = self._config, self._given
        self._meant = self._named_entry()
        self._work = self._identify()
        named = identity.named(self._argv, root=self._code.root, cwd=config.cwd)
        self._named = {word: (path, identity.state(path)) for word, path in named.items()}
        self._outputs = identity.outputs_of(self._work, self._document)
        key = identity.recorded_as(self._work, self._outputs, self._document, named)
        if self._meant:
            key = self._meant.trial.work_key
        only = self._meant.id if self._meant else None
        self._survey = Survey(self._journal, self._root, config, self._code, key, self._program, self._argv, only)
        self._survey.environ = given.environment
        reserver = Reserver(
            config, self._argv, self._code, self._work.cwd, self._survey, self._execution, config.cwd, self.say, given=given
        )
        try:
            while True:
                decision, found = self._decide()
                if decision.action in (Action.SKIP_DONE, Action.SKIP_RUNNING):
                    return self._skip(decision, found)
                remarks = self._remarks(decision, found)
                try:
                    self._reserved = reserver.reserve(decision, found)
                except JournalUnreachable as error:  # it can be read, but takes nothing now
                    self._go_offline(error)
                    self._survey.journal = None
                if self._reserved is not None:
                    for remark in remarks:
                        self.say(remark)
                    return self._opened(self._reserved)
        finally:
            if self._reserved is None:
                reserver.give_up()

    @property
    def _program(self) -> str:
        return str(self._request["program"])

    def _identify(self) -> identity.Work:
        """The work: the script's command, and under the name "experiment" a digest of the parameters.

        Where the parameters are all that the command line says, that counts however it says it.
        """
        config, given = self._config, self._given
        names = [*IDENTITY_ENV, *config["identity-env"]]
        chosen = {name: given.environment[name] for name in names if name in given.environment}
        volatile = {commandline.key_of(name) for name in config["volatile"]}
        counting = {name: value for name, value in given.params.items() if name not in volatile}
        work = identity.work(
            self._argv,
            project=self._code.project,
            root=self._code.root,
            cwd=config.cwd,
            volatile=config["volatile"],
            variables=chosen | {"experiment": identity.digest(values.portable(counting))},
        )
        bare = self._request["parsed"]
        return replace(work, argv=work.argv[: commandline.interpreter_words(work.argv)]) if bare else work

    def _document(self, digest: str) -> dict[str, Any] | None:
        try:
            return self._journal.document(digest) if self._journal else None
        except JournalUnreachable as error:
            self._go_offline(error)
            return None

    def _named_entry(self) -> Entry | None:
        """The trial that ``experiment_id`` means: by its id, or by the name that was given to it."""
        wanted = self._request["experiment_id"]
        if not wanted or not self._request["resume"]:
            return None
        if self._journal is None:
            raise KleioError(f"trial {wanted!r} cannot be continued without the journal")
        if set(wanted.lower()) <= set("0123456789abcdef") and self._journal.resolve(wanted.lower()):
            return resolve(self._journal, wanted)

        traces = self._journal.traces(findable(f"name:{redact.text(wanted)}"))
        entries = [entry for trial in dict.fromkeys(one.trial for one in traces) if (entry := self._journal.entry(trial))]
        if not entries:
            raise UsageError(f"there is no trial to resume whose id begins with {wanted!r} or whose name it is; see kleio ls")
        return max(entries, key=lambda entry: (entry.trial.project == self._code.project, entry.trial.created))

    # -- what to do ----------------------------------------------------------------------------------------------

    def _decide(self) -> tuple[Plan, Entry | None]:
        try:
            return self._look_up()
        except JournalUnreachable as error:
            self._go_offline(error)
            self._survey.journal = None
            return self._look_up()

    def _look_up(self) -> tuple[Plan, Entry | None]:
        survey, config = self._survey, self._config
        policy = plan.Policy(config["fresh"], config["once"], config["if-running"])
        if not policy.fresh:
            survey.refuse_twice_here()
        survey.recover(self.say, lambda launch: survey.is_meant(launch["trial"]))
        while True:
            entries = survey.entries()
            found = survey.found(entries)
            decision = self._resumed(found) or plan.decide(found, policy)
            entry = next((one for one in entries if one.id == (decision.trial or decision.previous)), None)
            if decision.action is Action.REFUSE_RUNNING:
                assert entry is not None
                raise AlreadyRunning(
                    f"trial {entry.id[:SHORT]} is running already on {runner(entry)}; to wait for its end set "
                    f"KLEIO_IF_RUNNING=wait, to watch it: kleio tail -f {entry.id[:SHORT]}"
                )
            if decision.action is Action.REFUSE_CHANGED:
                assert entry is not None
                return self._begun_anew(entry), entry
            if decision.action is not Action.WAIT:
                return decision, entry
            assert entry is not None
            self._wait_for(entry)

    def _resumed(self, found: list[plan.Found]) -> Plan | None:
        """With ``resume=True`` the trial is gone on with whatever its status, and whatever changed."""
        chosen = plan.choose(found) if self._request["resume"] else None
        if chosen is None or chosen.live:
            return None
        return Plan(Action.RESUME, chosen.id)

    def _begun_anew(self, entry: Entry) -> Plan:
        """A loop, or a cell of a notebook, goes on though something changed: two histories are not mixed, nor work stopped."""
        changed = ", ".join(self._survey.changes(entry)) or "what it ran with"
        self.say(
            f"trial {entry.id[:SHORT]} is {entry.status} and is not resumed, because this changed: {changed}; this is a new "
            f'trial (to go on with that one all the same: Experiment(…, experiment_id="{entry.id[:SHORT]}", resume=True))'
        )
        return Plan(Action.NEW, previous=entry.id, explained=True)

    def _wait_for(self, entry: Entry) -> None:
        assert self._journal is not None
        self.say(f"waiting for trial {entry.id[:SHORT]}, which runs on {runner(entry)}", now=True)
        while (again := self._journal.entry(entry.id)) is not None and self._survey.alive(again):
            time.sleep(WAIT)
            if self._gone():
                raise KleioError("the script has gone")

    def _skip(self, decision: Plan, entry: Entry | None) -> Opened:
        assert entry is not None
        last = entry.executions[-1] if entry.executions else None
        if decision.action is Action.SKIP_RUNNING:
            self.say(f"trial {entry.id[:SHORT]} runs on {runner(entry)}; this is not recorded (skip it: experiment.done)")
        else:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.ended)) if last and last.ended else "earlier"
            self.say(f"trial {entry.id[:SHORT]} was completed {when}; this is not recorded again (skip it: experiment.done)")
        return Opened({"done": True, "trial": entry.id, "params": dict(entry.params)})

    # -- while it is open ----------------------------------------------------------------------------------------

    def _opened(self, reserved: Reserved) -> Opened:
        trial, spool = reserved.trial, reserved.spool
        source = Source(spool, trial.id, self._execution)
        self._recorder = Recorder(source, self._journal, reserved.token, self._config["lease"], self.say)
        if not self._config["no-system"]:
            self._recorder.sample(self._given.pid, self._config["system-interval"], whole=False)
        self._recorder.start()
        self._keep_address(spool)
        self._relays.record_in(spool, self._config["output-limit"])
        try:
            told = self._channels()
        except OSError as error:
            told = []
            self._relays.take_back()
            self.say(f"what is printed is not recorded: {in_words(error)}")
        self._let_go("stdout", "stderr")
        naming = gathering.Naming(self._work, self._survey.key, self._named, self._outputs)
        gatherer = self._gatherer = Gatherer(
            spool, self._journal, self._config, self._code, naming, tuple(self._argv), self._program, self.say, self._given.pid,
            None, reserved.output, self._code.root,
        )  # fmt: skip
        gatherer.environ, gatherer.known = self._given.environment, self._environments
        gatherer.start()
        self._started, self._open = time.monotonic(), True
        variables = {
            "KLEIO_TRIAL_ID": trial.id, "KLEIO_EXECUTION": self._execution, "KLEIO_SPOOL": spool.path,
            "KLEIO_STATISTICS": spool.file(f"{SHARED}.statistics"), "KLEIO_OUTPUT_DIR": reserved.output,
        }  # fmt: skip
        document = {
            "trial": trial.id, "execution": self._execution, "spool": spool.path, "params": dict(trial.params),
            "variables": variables, "channels": told, "code": {"commit": self._code.document.get("commit")},
        }  # fmt: skip
        return Opened(document, [os.dup(reserved.lock), *self._relays.given()])

    def _remarks(self, decision: Plan, found: Entry | None) -> list[str]:
        """What is other than it was in a trial that is gone on with because that was asked for."""
        if decision.action is not Action.RESUME or found is None or not self._request["resume"]:
            return []
        changes = self._survey.changes(found)
        own, given = (values.portable(dict(one.params)) for one in (found.trial, self._given))  # in which NaN is itself
        other = [f"the parameters given are not those of trial {found.id[:SHORT]}, which stay as they are"]
        return ([f"changed since: {', '.join(changes)}"] if changes else []) + (other if given and given != own else [])

    def _keep_address(self, spool: Spool) -> None:
        """For a kleio that is started inside: the journal is the same."""
        try:
            private = os.open(spool.file("journal"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        with open(private, "w", encoding="utf-8") as file:
            file.write(self._config["journal"])

    def _channels(self) -> list[dict[str, Any]]:
        """What the script is told of them. Raises OSError."""
        if not self._request["capture"] or self._config["no-capture"]:
            return []
        own = channels.channels(self._config["split"], self._descriptors.get("stdout"), self._descriptors.get("stderr"))
        return self._relays.open(own, self._request["tee"])

    # -- its end -------------------------------------------------------------------------------------------------

    def end(self, data: Mapping[str, Any], hurried: bool = False) -> bool:
        """It ended so; whether everything is in the journal."""
        assert self._reserved is not None
        assert self._recorder is not None
        spool = self._reserved.spool
        self._open = False
        self._let_go("messages")
        for failed in self._relays.end():
            self.say(f"output could not be recorded to its end: {failed}")
        drain = self._config["drain"]
        if self._gatherer is not None:
            self._gatherer.finish(time.monotonic() - self._started, hurried, drain)
        ending = {"time": time.time(), "data": {**data, "reason": redact.text(data["reason"])}}
        try:
            spool.write("ending", ending)
        except OSError as error:
            self.say(f"the end could not be kept in the spool: {error.strerror}")
        complete = self._recorder.finish(drain, ending)
        if self._journal is not None and not complete:
            self.say("not everything is in the journal yet; what is missing waits here, ship it with: kleio sync")
        return complete

    def close(self) -> None:
        """Let go of it; the script has, or is gone."""
        self._let_go(*self._descriptors)
        try:
            self._delete_spool()
        finally:
            if self._used is not None:
                self._journals.release(self._used)

    def _delete_spool(self) -> None:
        if self._reserved is None:
            return
        spool = self._reserved.spool
        try:
            os.unlink(spool.file("journal"))
        except OSError:
            pass
        os.close(self._reserved.lock)
        if self._recorder is not None and self._recorder.settled() and not spool.alive():
            spool.delete()  # else something in the background goes on logging: a later kleio ships that
        os.close(self._reserved.recorder_lock)  # until here nobody takes the spool for one that was left
        if self._recorder is not None:
            self._recorder.close()

    def _let_go(self, *names: str) -> None:
        """Close descriptors of the script's: who reads what it prints waits for its end, and not for ours."""
        with self._letting_go:
            for name in names:
                if name in self._descriptors:
                    os.close(self._descriptors.pop(name))

    def recover_others(self) -> None:
        """Ship what other runs left here, now that nobody waits."""
        if self._used is not None:
            self._journals.hold(self._used)
            try:
                self._survey.recover(self.say, lambda _: True)
            finally:
                self._journals.release(self._used)

    @property
    def busy(self) -> bool:
        """Whether somebody goes on printing through us."""
        return self._relays.busy

    def say(self, message: str, now: bool = False) -> None:
        """To the script's user: with the next answer, or where its messages go to a file of its own at once, while it runs or
        where the answer is long in coming, which is ``now``.
        """
        if self._quiet:
            return
        own = -1  # a copy: while this thread speaks another may let go, and the number is another file's then
        with self._letting_go, suppress(OSError):
            if (self._open or now) and "messages" in self._descriptors:
                own = os.dup(self._descriptors["messages"])
        if own < 0:
            self.said.append(message)
            return
        try:
            os.write(own, f"kleio: {message}\n".encode())
        except OSError:
            pass
        finally:
            os.close(own)


def _config(request: Mapping[str, Any]) -> Config:
    """The settings of the script, with whatever depends on its working directory made absolute: ours is another."""
    cwd, environment = request["cwd"], dict(request["environment"])
    if environment.get("KLEIO_HOME"):
        environment["KLEIO_HOME"] = os.path.join(cwd, environment["KLEIO_HOME"])
    config = Config(request["options"], environment, cwd)
    fixed = {"spool-dir": os.path.join(cwd, config["spool-dir"])}
    journal = str(config["journal"])
    if "://" not in journal:
        raise UsageError(f"the journal's address {place(journal)!r} is not one kleio knows; write sqlite:////PATH or mongodb://HOST/…")
    scheme, _, path = journal.partition(":///")
    fixed["journal"] = f"{scheme}:///{os.path.join(cwd, path)}" if scheme == "sqlite" and path else journal
    return Config(config.options | fixed, environment, cwd)


def _settled(value: Any) -> Any:
    """Parameters as JSON, the same for equal ones: tuples are lists, sets are in order, dates and paths text. Numbers that are
    not finite stay numbers, as which queries find them.
    """
    if isinstance(value, (set, frozenset)):
        return sorted((_settled(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, dict):
        return {str(key): _settled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_settled(item) for item in value]
    return values.portable(value, strict=False)


def redacted(value: Any, name: str = "") -> Any:
    """Without the values of secret names, and secrets of known shapes."""
    if isinstance(value, dict):
        return {key: redacted(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, name) for item in value]
    if isinstance(value, str):
        return redact.GONE if name and redact.is_secret(name) else redact.text(value)
    return value
