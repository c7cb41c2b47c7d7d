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

from kleio.client import opened
from kleio.client.recorder import Recorder
from kleio.core import errors
from kleio.core.errors import KleioError
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import IO, Any

    from kleio.client.outputs import OutputDirectory
    from kleio.client.redirection import Redirection

LARGEST_PARAMETERS = 1 << 20
"""Bytes: they are part of the trial, which every list of trials reads."""


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
        self.logger = Recorder(self.strict)
        self._state = "new"
        self._pid = self.thread = self.task = 0
        self.outer: Experiment | None = None
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
        self._pid, self.thread, self.task, self._state = os.getpid(), _thread.get_ident(), opened.task(), "open"
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
        opened.enter(self)
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
            opened.leave(self)
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
        opened.prepare()
        presence = opened.present()
        request, descriptors = self._request()
        from kleio.client.connection import begin

        try:
            self._connection, answer, received = begin(presence.path, request, descriptors)
        except OSError:  # it has gone since the last experiment
            presence = opened.present(anew=True)
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
        self.outer = opened.current()
        around = self.outer.variables if self.outer is not None else opened.variables_outside()
        environment = {name: value for name, value in os.environ.items() if name not in opened.CHILD_VARIABLES} | around
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
        from kleio.client.endings import ending
        from kleio.core import messages

        ended = ending(error)

        try:
            messages.send(self._connection, {"op": "end", "ending": ended})
            answer = messages.receive(self._connection)
        except OSError:
            answer = None
        if answer is None:
            self._keep_end(ended)
            return
        for message in answer[0]["said"]:
            self.logger.tell(message)

    def _leave_exception(self, error: BaseException) -> None:
        from kleio.client.endings import finding

        left = finding(error)
        if left is None:
            return
        try:
            Spool(self.logger.directory).write("finding-exception", left)
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
        self._expect_open()
        self.logger.log_statistic(**values)

    def log_artifact(self, filename: str, artifact: Any, *, wait: bool = False, **meta: Any) -> None:
        """As :meth:`kleio_logger.log_artifact <kleio.client.logger.Logger.log_artifact>`."""
        self._expect_open()
        self.logger.log_artifact(filename, artifact, wait=wait, **meta)

    def summary(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Final values: a statistic, so that the trial's summary has them."""
        self._expect_open()
        found = {str(name): value for name, value in {**(values or {}), **more}.items()}
        line = self.logger.line(found)
        if line is not None:
            self.logger.put(line)

    def open(self, name: str, mode: str = "r", encoding: str | None = None, **meta: Any) -> IO[Any]:
        """A file to write, which becomes an artifact when it is closed; or, to read, the newest artifact of that name.

        What an exception kept from being written to its end is no artifact. ``meta`` are values to find it by.
        """
        from kleio.client import artifact_file

        self._expect_open()
        return artifact_file.opened(self, name, mode, encoding, meta)

    def _expect_open(self) -> None:
        """Say so where nothing is recorded because nobody opened it, or it is over."""
        if self._state != "open" and not self.norecord:
            what = "is over" if self._state == "over" else "has not begun: open it in a with, or call its start()"
            self.logger._refuse(KleioError(f"{self._called} {what}"))

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


def _here() -> str:
    """The working directory as the user names it: through symbolic links, if the shell came that way."""
    named, real = os.environ.get("PWD", ""), os.getcwd()
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return os.path.normpath(named)
    except OSError:
        pass
    return real
