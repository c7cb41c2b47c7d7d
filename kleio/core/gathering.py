"""What is learnt of a run so that it costs the command nothing: beside it while it runs, or in a moment right after it.

Each thing is left in the spool as a finding. Nothing that goes wrong here stops or changes the run; it is said.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

from kleio.core import commandline, identity, redact
from kleio.core.errors import in_words
from kleio.core.findings import Finding, found, leave
from kleio.core.journal.base import place
from kleio.core.waiting import launched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from typing import Any

    from kleio.core.code import CodeVersion
    from kleio.core.config import Config
    from kleio.core.identity import Work
    from kleio.core.journal.base import Journal
    from kleio.core.spool import Spool

SHARE = 0.02
"""Of a run's time that may be spent on looking for what it wrote, and as much again on reading that."""
LEAST, MOST, HURRIED = 0.05, 5.0, 0.5
"""Seconds; the first for each second of patience, the last where a scheduler wants the machine back."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The files that a command names: the ``work``, the ``key`` it is recorded under, for each word the path and the (size,
    time, inode) of the file before the command ran, and the words that are known to name ``outputs``.
    """

    work: Work
    key: str
    before: Mapping[str, tuple[str, tuple[int, int, int] | None]]
    outputs: Container[str]


@dataclass(slots=True)
class Gatherer:
    """Gathers for one execution. ``journal`` is None for a run that is offline; ``pid`` is the child's; ``linked`` are, in a
    tree of recorded code, the paths that lead out of it into the project. ``output`` is the directory for the run's files,
    ``project`` the directory that it is in.
    """

    spool: Spool
    journal: Journal | None
    config: Config
    code: CodeVersion
    naming: Naming
    argv: tuple[str, ...]
    program: str
    say: Callable[[str], None]
    pid: int
    linked: tuple[str, ...] | None = None
    output: str = ""
    project: str = ""
    _alone: bool = field(default=True, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self) -> None:
        """Begin what is done beside the command."""
        self._thread = threading.Thread(target=self._beside, name="kleio-gather", daemon=True)
        self._thread.start()

    def finish(self, lasted: float, hurried: bool, patience: float) -> None:
        """The command has ended after ``lasted`` seconds: wait for what was begun, then learn what it left behind."""
        self._over.set()
        if self._thread:
            self._thread.join(patience)
        share = max(min(lasted * SHARE, HURRIED if hurried else MOST), LEAST * self.config["patience"])
        self._attempt("the files that it wrote", lambda: self._written(share))
        self._attempt("which files it writes", self._outputs)
        self._attempt("its interpreter", self._reported)
        self._attempt("the files in its output directory", lambda: self._collect(hurried, patience))

    def _beside(self) -> None:
        self._attempt("its environment", self._environment)
        self._attempt("the values in its config files", self._parameters)
        self._attempt("the commits that are not pushed", self._history)
        self._alone = self._is_alone()
        import kleio.core.written  # noqa: F401 - now, because what comes after the command is waited for

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run matters more
            self.say(f"{what} could not be recorded: {in_words(error)}")

    # -- beside the command --------------------------------------------------------------------------------------

    def _environment(self) -> None:
        from kleio.core import environment

        document = environment.capture(self.program, self._variables(), over=self._over)
        for tool in document.get("unanswered", ()):
            self.say(f"{tool} did not answer in time, so what it tells is not recorded")
        self._leave_environment("environment", document)

    def _variables(self) -> list[str]:
        from kleio.core import environment

        return environment.wanted(self.config["variables"], self.config["compare"])

    def _leave_environment(self, name: str, document: Mapping[str, Any]) -> None:
        digest = identity.digest(document)
        finding = Finding("environment", time.time(), {"environment": digest}, {digest: document}, (), (f"pid:{self.pid}",))
        leave(self.spool, name, finding)

    def _parameters(self) -> None:
        """What the config files named on the command line say."""
        values = {}
        for word, path in commandline.config_files(self.argv, self.config.cwd):
            if path.endswith(commandline.CONFIG_TYPES) and word not in self.naming.outputs:
                with open(path, "rb") as file:
                    values[word] = commandline.config_values(path, file.read(), self.say)
        params, sources = commandline.parameters_with_sources(redact.command(self.argv), values)
        learnt = {name: value for name, value in params.items() if sources[name] == "config file"}
        if learnt:
            data = {"params": learnt, "sources": dict.fromkeys(learnt, "config file")}
            leave(self.spool, "parameters", Finding("parameters", time.time(), data))

    def _history(self) -> None:
        """What leads to the commit, if it is nowhere but here."""
        document = self.code.document
        if document["kind"] != "git" or not document["commit"]:
            return
        if not document.get("submodules") and self._known(identity.commit_key(document["commit"])):
            return  # nearly always: what follows is not even imported
        from kleio.core import history

        limit, blobs = self.config["history-limit"], self.spool.file("blobs")
        kept = history.gather(self.code.root, self.code.document, blobs, self._known, limit, self.config["patience"])
        for remark in kept.remarks:
            self.say(remark)
        if kept.documents:
            leave(self.spool, "history", Finding(None, time.time(), {}, kept.documents, tuple(kept.blobs)))

    def _known(self, key: str) -> bool:
        return self.journal is not None and self.journal.document(key) is not None

    def _is_alone(self) -> bool:
        """Whether no other run of this project lives on this machine now."""
        return not any(
            launch is not None and launch.get("root") == self.code.root and spool.path != self.spool.path and spool.alive()
            for spool, launch in launched(os.path.dirname(self.spool.path))
        )

    # -- after the command ---------------------------------------------------------------------------------------

    def _written(self, seconds: float) -> None:
        from kleio.core import written

        root = self.code.root
        if root in ("/", os.path.expanduser("~"), os.environ.get("TMPDIR", "/tmp")):  # noqa: S108 - no project of its own
            return
        avoid = written.kept_by_kleio(place(self.config["journal"]), os.path.dirname(self.spool.path))
        since = os.stat(self.spool.file("launch.json")).st_mtime_ns  # by the clock that the files' times are from
        if self.linked is not None:
            since += 2 * written.TICK  # a tree that was made just now is nothing that the run wrote
        places = {f"{link}/": os.path.realpath(os.path.join(root, link)) for link in self.linked or ()}
        scans = {
            prefix: written.scan(place, since, avoid, seconds)
            for prefix, place in {"": root, **places}.items()
            if os.path.isdir(place)
        }
        wrote = written.united(scans, alone=self._alone and self._is_alone())
        if wrote.files or not wrote.complete:
            document = wrote.document()
            digest = identity.digest(document)
            data = {"wrote": digest, "count": len(wrote.files)}
            leave(self.spool, "wrote", Finding("wrote", time.time(), data, {digest: document}, (), tuple(wrote.traces())))

    def _outputs(self) -> None:
        """Files that the command names and its run wrote: their content does not count for the next run."""
        from kleio.core import written

        naming, digests = self.naming, self.naming.work.configs
        marks = {
            word: (path, written.Mark(*state, digests.get(word)) if state else None)
            for word, (path, state) in naming.before.items()
        }
        touched = {naming.before[word][0]: word for word in written.changed_words(marks)}
        how = {path: "changed" if naming.before[word][1] else "created" for path, word in touched.items()}
        outputs = identity.outputs_among({word: path for word, (path, _) in naming.before.items()}, how)
        documents = identity.notes(naming.work, naming.key, outputs, tuple(naming.before))
        if documents:
            leave(self.spool, "outputs", Finding(None, time.time(), {}, documents))

    def _collect(self, hurried: bool, patience: float) -> None:
        """What it left in its output directory becomes artifacts."""
        from kleio.core import outputs

        launch = self.spool.read("launch")
        trial = launch["trial"]["id"] if launch else ""
        path = str((self.spool.read("output") or {}).get("path") or self.output)
        if not path or not trial or outputs.owner(path) not in (trial, ""):
            return
        from kleio.core import collecting  # 1 ms, for runs that have one

        if not outputs.owner(path):  # made by hand: mkdir -p "$KLEIO_OUTPUT_DIR"
            outputs.sign(path, trial)
        largest, total = self.config["output-file-limit"], self.config["output-total"]
        given_up = self.spool.stems("finding-resumed")  # of what was stored earlier, perhaps
        collector = collecting.Collector(
            self.spool, trial, {} if given_up else collecting.earlier(self.journal, trial), largest, total,
            min(patience, collecting.HURRIED * self.config["patience"]) if hurried else patience, hurried,
        )  # fmt: skip
        try:
            collector.collect(path)
        finally:
            shown = os.path.relpath(path, self.project) if path.startswith(os.path.join(self.project, "")) else path
            left_out = [(collecting.legible(name), why) for name, why in collector.left_out]
            kept = {"files": collector.files, "size": collector.size, "left_out": left_out[:50], "left": len(left_out)}
            leave(self.spool, "output", Finding("output", time.time(), {"output": shown, "kept": kept}))
            if left_out:
                self.say(collecting.in_words(shown, left_out, len(left_out)))

    def _reported(self) -> None:
        """Which Python there was inside, say, a shell script: a client in it told."""
        reported = self.spool.read("reported")
        left = found(self.spool, "environment") if reported else None
        if left is None:
            return
        (document,) = left["documents"].values()
        if document["python"] is None:
            from kleio.core import environment

            told = environment.capture(self.program, self._variables(), reported, gpus=False)
            known = {name: told[name] for name in told if name not in ("gpus", "variables")}
            self._leave_environment("reported", {**document, **known})
