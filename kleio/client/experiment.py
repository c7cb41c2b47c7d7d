"""``Experiment``: several trials in one script, without the launcher.

::

    for k in range(1, 10):
        with Experiment({"k": k}) as experiment:
            experiment.summary({"loss": fit(k)})

Each is a trial of its own, found by the script's command and its parameters. The recorder process holds the reservation and
ships; this side writes to the spool, as :mod:`kleio.client.logger` does. What cannot be recorded is said once, and the script
goes on unrecorded; with ``strict`` it is raised.
"""

from __future__ import annotations

import _thread
import os
import sys
import time

from kleio.client.logger import Logger, kleio_logger
from kleio.core import errors
from kleio.core.errors import KleioError
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Mapping, Sequence
    from contextvars import ContextVar
    from types import TracebackType
    from typing import IO, Any

    from kleio.client.connection import Presence
    from kleio.client.outputs import OutputDirectory
    from kleio.client.redirection import Redirection

LARGEST_PARAMETERS = 1 << 20
"""Bytes: they are part of the trial, which every list of trials reads."""
_MOST_SAID = 1000
CHILD_VARIABLES = ("KLEIO_TRIAL_ID", "KLEIO_EXECUTION", "KLEIO_SPOOL", "KLEIO_STATISTICS", "KLEIO_OUTPUT_DIR")
"""As :mod:`kleio.core.config` has them, which is not worth its import."""

_changing = _thread.RLock()
_open: list[Experiment] = []
"""Those of this process, in the order in which they began."""
_presence: Presence | None = None
_innermost: ContextVar[Experiment | None] | None = None
_outside: dict[str, Any] = {}
"""What ``kleio_logger`` is while no experiment is open."""
_before: dict[str, str] = {}
_said: set[str] = set()
_prepared = False


class _Recorder(Logger):
    """Writes to the spool of one experiment; or, before and without one, to nowhere, and silently."""

    def __init__(self, strict: bool) -> None:
        super().__init__(None, strict)
        self._append = _nowhere

    @property
    def directory(self) -> str:
        """The spool's; empty when nothing is recorded."""
        return self._directory

    def attach(self, spool: str) -> None:
        self._directory, self._append = spool, None

    def tell(self, message: str) -> None:
        """Say it, once a process."""
        if message not in _said:
            if len(_said) < _MOST_SAID:
                _said.add(message)
            self._say(message)

    def finish(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing more is logged."""
        if self._outside is not None:
            self._outside.__exit__(kind, error, trace)
        for writer in self._writers.values():
            writer.close()
        self._writers, self._append = {}, _nowhere

    def forked(self) -> None:
        self._forked()
        if not self._directory:
            self._append = _nowhere


class _ByContext(Logger):
    """``kleio_logger`` while experiments are open that are not inside each other: each thread or task writes to its own."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__dict__"):
            return super().__getattribute__(name)
        return getattr(_current_logger(), name)


class Experiment:
    """One trial, or another execution of one, with the parameters ``params``; open in a ``with``, or from :meth:`start` to
    :meth:`end`.

    ``experiment_id`` is a name for it; with ``resume`` the trial of that name or id is gone on with, whatever its status, or,
    without one, the newest of the same work. ``norecord`` records nothing. An exception is recorded and shown, and the script
    goes on after the ``with``, unless it is to be raised, ``reraise``. ``capture`` says whether what is printed is recorded.
    ``journal`` is an address, as ``KLEIO_JOURNAL`` is.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        description: str | None = None,
        experiment_id: str | None = None,
        resume: bool = False,
        norecord: bool = False,
        reraise: bool = False,
        strict: bool = False,
        capture: bool = True,
        journal: str | None = None,
    ) -> None:
        self.params: dict[str, Any] = dict(params or {})
        self.name, self.tags, self.description = name, [tags] if isinstance(tags, str) else list(tags), description
        self.experiment_id, self.resume, self.norecord = experiment_id, resume, norecord
        self.reraise, self.capture, self.journal = reraise, capture, journal
        self.strict = strict or os.environ.get("KLEIO_STRICT", "") not in ("", "0")
        self.id: str | None = None
        """The trial's, once it is open; None for what is not recorded."""
        self.done = False
        """With ``KLEIO_ONCE=1``: whether this work is completed already, and so is not recorded again."""
        self.sources: dict[str, str] = {}
        self.parsed = False
        """Whether the parameters are all that the command line says."""
        self.logger = _Recorder(self.strict)
        self._state = "new"
        self._pid = self._thread = self._task = 0
        self._outer: Experiment | None = None
        self._connection: socket.socket | None = None
        self._lock = -1
        self._redirection: Redirection | None = None
        self.variables: dict[str, str] = {}
        """For what is started inside: programs that log, and a kleio that makes a trial of its own within this one."""
        self._files: list[Any] = []
        self._output: OutputDirectory | None = None

    # -- open and close ------------------------------------------------------------------------------------------

    def start(self) -> Experiment:
        """Begin it, where a ``with`` is not at hand: in a notebook, say."""
        if self._state != "new":
            raise KleioError("this Experiment has been used already; make another one, with the same parameters")
        self._pid, self._thread, self._task, self._state = os.getpid(), _thread.get_ident(), _task(), "open"
        try:
            if not self.norecord:
                self._begin()
        except Exception as error:
            self._let_go()
            if self.strict:
                self._state = "over"
                raise
            ways = "".join(f"\nkleio: {way}" for way in getattr(error, "ways_on", ()))
            self.logger.tell(f"{self._called} is not recorded: {error}{ways}")
        except BaseException:
            self._let_go()
            self._state = "over"
            raise
        _enter(self)
        return self

    def __enter__(self) -> Experiment:
        return self.start()

    def end(self, error: BaseException | None = None) -> None:
        """End it: completed, or, because of ``error``, broken."""
        if self._state != "open" or self._pid != os.getpid():
            return
        self._state = "over"
        try:
            self._finish(error)
        except Exception as problem:
            if self.strict:
                raise
            self.logger.tell(f"{self._called} is not recorded to its end: {problem}")
        finally:
            _leave(self)
            self._let_go()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._pid != os.getpid():
            return False  # a child that was forked inside: it is the parent's to end
        if error is None or not isinstance(error, Exception) or self.reraise:
            self.end(error)
            return False
        from traceback import print_exception

        print_exception(error)
        self.end(error)
        return True

    @property
    def _called(self) -> str:
        from kleio.core import redact

        try:
            shown = redact.text(", ".join(f"{name}={value!r}" for name, value in list(self.params.items())[:3]))[:60]
        except Exception:  # noqa: BLE001 - a value's own methods may raise anything
            shown = ""
        return f"the experiment {shown}" if shown else "the experiment"

    # -- its beginning -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        _prepare()
        presence = _present()
        request, descriptors = self._request()
        from kleio.client.connection import begin

        try:
            self._connection, answer, received = begin(presence.path, request, descriptors)
        except OSError:  # it has gone since the last experiment
            presence = _present(anew=True)
            self._connection, answer, received = begin(presence.path, request, descriptors)
        for message in answer["said"]:
            self.logger.tell(message)
        if "refused" in answer:
            kind: type[KleioError] = getattr(errors, answer["kind"] or "KleioError", KleioError)
            raise kind(answer["refused"], tuple(answer["ways_on"]))
        if answer.get("done"):
            self.done, self.params = True, dict(answer["params"])
            return
        self.id, self._lock = answer["trial"], received[0]
        if self.resume and not self.params:
            self.params = dict(answer["params"])
        if received[1:]:
            from kleio.client.redirection import Redirection

            presence.watch()
            self._redirection = Redirection(answer["channels"], received[1:])
        self.logger.attach(answer["spool"])
        self.variables = dict(answer["variables"])

    def _request(self) -> tuple[dict[str, Any], list[int]]:
        from kleio.client import origin
        from kleio.client.redirection import wanted
        from kleio.core.values import dumps

        size = 0
        for name, value in self.params.items():
            try:
                size += len(dumps({name: value}))
            except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
                raise KleioError(f"its parameter {name!r} cannot be: {error}") from None
            if size > LARGEST_PARAMETERS:
                raise KleioError(
                    f"its parameters take more than {LARGEST_PARAMETERS:,} bytes; what is large is an artifact: log_artifact"
                )
        options: dict[str, Any] = {"name": self.name, "note": self.description, "tag": tuple(self.tags)}
        options["journal"] = self.journal
        if self.experiment_id and not self.resume and not self.name:
            options["name"] = self.experiment_id
        self._outer = _current()
        around = self._outer.variables if self._outer is not None else _variables_outside()
        environment = {name: value for name, value in os.environ.items() if name not in CHILD_VARIABLES} | around
        fds, tees = wanted() if self.capture else ([], [])
        names = {1: "stdout", 2: "stderr"}
        passed = [(names[fd], fd) for fd in fds]
        if 2 in fds and "stderr" not in tees:
            passed.append(("messages", 2))
        request = {
            "op": "begin", "pid": os.getpid(), "argv": origin.words(), "program": sys.executable, "cwd": _here(),
            "environment": environment, "options": options, "params": self.params, "sources": self.sources,
            "parsed": self.parsed, "experiment_id": self.experiment_id, "resume": self.resume, "cells": origin.cells(),
            "capture": self.capture, "tee": tees, "descriptors": [name for name, _ in passed],
        }  # fmt: skip
        return request, [fd for _, fd in passed]

    # -- its end -------------------------------------------------------------------------------------------------

    def _finish(self, error: BaseException | None) -> None:
        for file in list(self._files):
            file.end(error)
        if self.id is not None and error is not None:
            self._leave_exception(error)
        self.logger.finish(type(error) if error else None, error, error.__traceback__ if error else None)
        if self._redirection is not None:
            self._redirection.undo()
        if self.id is None or self._connection is None:
            return
        ending = _ending(error)
        from kleio.core import messages

        try:
            messages.send(self._connection, {"op": "end", "ending": ending})
            answer = messages.receive(self._connection)
        except OSError:
            answer = None
        if answer is None:
            self._keep_end(ending)
            return
        for message in answer[0]["said"]:
            self.logger.tell(message)

    def _leave_exception(self, error: BaseException) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return
        from traceback import format_exception

        from kleio.core import redact

        data = {
            "type": _name_of(type(error)), "message": redact.text(str(error)[:10_000]),
            "traceback": redact.text("".join(format_exception(error))[-100_000:]), "pid": os.getpid(),
            "script": sys.argv[0] if sys.argv else "",
        }  # fmt: skip
        finding = {"kind": "exception", "time": time.time(), "data": data, "documents": {}, "blobs": [], "traces": []}
        try:
            Spool(self.logger.directory).write("finding-exception", finding)
        except OSError as problem:
            self.logger.tell(f"the exception is not recorded: {problem}")

    def _keep_end(self, ending: dict[str, Any]) -> None:
        """The recorder has gone: whoever ships what is in the spool finds there how it ended."""
        try:
            Spool(self.logger.directory).write("ending", {"time": time.time(), "data": ending})
        except OSError:
            pass
        self.logger.tell("the recorder process was killed; what was logged waits in the spool, ship it with: kleio sync")

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def forget(self) -> None:
        """In a child after a fork: it may log, and the rest is the parent's."""
        self._let_go()
        self.logger.forked()
        self._files = []

    # -- what is recorded ----------------------------------------------------------------------------------------

    @property
    def execution(self) -> int:
        """Which attempt at its trial this is, from 1 on."""
        return self.logger.execution

    def log_statistic(self, /, **values: Any) -> None:
        """As :meth:`kleio_logger.log_statistic <kleio.client.logger.Logger.log_statistic>`."""
        self.logger.log_statistic(**values)

    def log_artifact(self, filename: str, artifact: Any, *, wait: bool = False, **meta: Any) -> None:
        """As :meth:`kleio_logger.log_artifact <kleio.client.logger.Logger.log_artifact>`."""
        self.logger.log_artifact(filename, artifact, wait=wait, **meta)

    def summary(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Final values: a statistic, so that the trial's summary has them."""
        found = {str(name): value for name, value in {**(values or {}), **more}.items()}
        line = self.logger.line(found)
        if line is not None:
            self.logger.put(line)

    def open(self, name: str, mode: str = "r", encoding: str | None = None, **meta: Any) -> IO[Any]:
        """A file to write, which becomes an artifact when it is closed; or, to read, the newest artifact of that name.

        What an exception kept from being written to its end is no artifact. ``meta`` are values to find it by.
        """
        from kleio.client.artifact_file import opened

        return opened(self, name, mode, encoding, meta)

    @property
    def output_dir(self) -> OutputDirectory:
        """A directory for its files, made when it is first asked for; what is left in it becomes artifacts at the end.

        Of an experiment that is not recorded it is a temporary one.
        """
        if self._output is None:
            from kleio.client.outputs import OutputDirectory, of_trial

            if self.id is not None:
                told = self.variables
                self._output = of_trial(told["KLEIO_OUTPUT_DIR"], self.id, told["KLEIO_EXECUTION"], self.logger)
            else:
                import tempfile

                self._output = OutputDirectory(os.path.join(tempfile.mkdtemp(prefix="kleio-"), ""))
        return self._output

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "logger":
            raise AttributeError(f"'Experiment' object has no attribute {name!r}")
        return getattr(self.logger, name)

    @property
    def files(self) -> list[Any]:
        """Those that :meth:`open` gave and that are not closed yet."""
        return self._files

    def __repr__(self) -> str:
        return f"<Experiment {self.id[:7] if self.id else 'not recorded'} {self._state} {self.params!r}>"

    # -- command lines -------------------------------------------------------------------------------------------

    @staticmethod
    def add_argument_group(parser: argparse.ArgumentParser) -> None:
        """Give ``parser`` the options of experiments: ``--name``, ``--tag``, ``--resume`` …"""
        from kleio.client.parsing import add_argument_group

        add_argument_group(parser)

    @classmethod
    def from_parser(cls, parser: argparse.ArgumentParser, args: Sequence[str] | None = None, **options: Any) -> Experiment:
        """Parse, and give the experiment whose parameters are what ``parser`` knows besides those options."""
        from kleio.client.parsing import from_parser

        return from_parser(cls, parser, args, options)


# -- which is open -------------------------------------------------------------------------------------------------


def _current() -> Experiment | None:
    """The innermost one that is open around what runs now."""
    one = _innermost.get() if _innermost is not None else None
    while one is not None and one not in _open:
        one = one._outer
    if one is not None:
        return one
    import threading

    task = _task()
    for thread in (_thread.get_ident(), threading.main_thread().ident):
        for one in reversed(_open):
            if one._thread == thread and one._task in (0, task):
                return one
    return None


def _task() -> int:
    """A number for the task of asyncio that runs, 0 for none. A notebook runs its cells in tasks, which mean nothing."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or "ipykernel" in sys.modules:
        return 0
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return 0


def _current_logger() -> Logger:
    one = _current()
    if one is not None:
        return one.logger
    logger = _Recorder(strict=False)
    logger.tell("several experiments are open in other threads, and which is meant is not known: use experiment.log_statistic")
    return logger


def _variables_outside() -> dict[str, str]:
    """Those of ``CHILD_VARIABLES`` that this process had before any experiment."""
    return _before if _open else {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}


def _enter(experiment: Experiment) -> None:
    global _innermost, _outside, _before  # noqa: PLW0603
    from contextvars import ContextVar

    with _changing:
        if _innermost is None:
            _innermost = ContextVar("kleio_experiment", default=None)
        if not _open:
            _outside, _before = kleio_logger.__dict__, _variables_outside()
        if experiment._outer is None:
            experiment._outer = _current()
        _open.append(experiment)
        _innermost.set(experiment)
        _follow()


def _leave(experiment: Experiment) -> None:
    with _changing:
        _open.remove(experiment)
        if _innermost is not None and _innermost.get() is experiment:
            _innermost.set(experiment._outer)
        _follow()


def _follow() -> None:
    """Let ``kleio_logger`` write to the innermost experiment, at no cost to a call: it becomes that one's logger.

    What is started is told of the same one; of none where it cannot be known which is meant.
    """
    inside_each_other = all(one._outer is _open[at] for at, one in enumerate(_open[1:]))
    kleio_logger.__class__ = Logger if inside_each_other else _ByContext
    kleio_logger.__dict__ = _open[-1].logger.__dict__ if _open else _outside
    told = (_open[-1].variables if inside_each_other else {}) if _open else _before
    for name in CHILD_VARIABLES:
        if name in told:
            os.environ[name] = told[name]
        else:
            os.environ.pop(name, None)


def _nowhere(line: str) -> None:
    """It is not recorded; that was said, or asked for."""


# -- this process --------------------------------------------------------------------------------------------------


def _present(anew: bool = False) -> Presence:
    global _presence  # noqa: PLW0603
    from kleio.client.connection import Presence, recorder

    with _changing:
        known = _presence
        if known is None or known.pid != os.getpid() or known.lost or anew:
            if known is not None and known.pid == os.getpid():
                known.close()
            try:
                _presence = Presence(recorder(), _alarmed)
            except (OSError, errors.SpoolError):  # it was about to end
                _presence = Presence(recorder(), _alarmed)
        assert _presence is not None
        return _presence


def _alarmed(lost: bool) -> None:
    from kleio.client.redirection import abandon_all

    abandon_all(lost)
    if lost and _open:
        _open[-1].logger.tell("the recorder process was killed; logging goes on, and what is printed is not recorded any more")


def _prepare() -> None:
    """Once a process tree: what happens at a fork, and at the end."""
    global _prepared  # noqa: PLW0603
    if _prepared:
        return
    _prepared = True
    import atexit

    from kleio.client.logger import _finish_imports as finish_imports

    os.register_at_fork(before=finish_imports)
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)
    atexit.register(_end_all)


_watched = False


def _before_fork() -> None:
    global _watched  # noqa: PLW0603
    _watched = _presence is not None and _presence.pid == os.getpid() and _presence.pause()


def _after_fork() -> None:
    if _watched and _presence is not None and not _presence.lost:
        _presence.watch()


def _forked() -> None:
    global _presence, _changing  # noqa: PLW0603
    _changing = _thread.RLock()
    redirection = sys.modules.get("kleio.client.redirection")
    if redirection is not None:
        redirection.forget_all()
    for one in _open:
        one.forget()
    if _presence is not None:
        _presence.forget()
        _presence = None


def _end_all() -> None:
    """The script ends and left one open: as it ended itself."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    for one in reversed(list(_open)):
        one.end(error)
    if _presence is not None and _presence.pid == os.getpid():
        _presence.close()


def _here() -> str:
    """The working directory as the user names it: through symbolic links, if the shell came that way."""
    named, real = os.environ.get("PWD", ""), os.getcwd()
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return os.path.normpath(named)
    except OSError:
        pass
    return real


def _ending(error: BaseException | None) -> dict[str, Any]:
    """How an experiment ended, as an execution has it."""
    nothing: dict[str, Any] = {"exit_code": None, "signal": None}
    if error is None:
        return {**nothing, "status": "completed", "reason": "ended", "exit_code": 0}
    if isinstance(error, KeyboardInterrupt):
        return {**nothing, "status": "suspended", "reason": "Ctrl-C"}
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        return {**nothing, "status": "broken" if code else "completed", "reason": f"exit status {code}", "exit_code": code}
    first = str(error).partition("\n")[0][:200]
    reason = f"{_name_of(type(error))}: {first}" if first else _name_of(type(error))
    return {**nothing, "status": "broken" if isinstance(error, Exception) else "interrupted", "reason": reason}


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
