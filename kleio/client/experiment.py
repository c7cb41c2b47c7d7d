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

import os
import sys
from _thread import RLock

from kleio.core.errors import KleioError, UsageError, in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import IO, Any, NoReturn

    from kleio.client.outputs import OutputDirectory
    from kleio.client.session import Session

# The rest of the client is loaded with the first Experiment that is made, or begins: scripts import this that may not make any.
_loading = RLock()


class Experiment:
    """One trial, or another execution of one, with the parameters ``params``; open in a ``with``, or from :meth:`start` to
    :meth:`end`.

    ``experiment_id`` is a name for it; with ``resume`` the trial of that name or id is gone on with, whatever its status, or,
    without one, the newest of the same work. ``norecord`` records nothing. An exception is recorded and shown, and the script
    goes on after the ``with``, unless it is to be raised, ``reraise``, as it is by default in a test of pytest's. ``capture``
    says whether what is printed is recorded. ``journal`` is an address, as ``KLEIO_JOURNAL`` is.
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
        reraise: bool | None = None,
        strict: bool = False,
        capture: bool = True,
        journal: str | None = None,
    ) -> None:
        with _loading:
            from kleio.client.recorder import Recorder

        self.params, self._mistake = _named(params)
        self.name, self.tags, self.description = name, tags, description
        self.experiment_id, self.resume, self.norecord = experiment_id, resume, norecord
        self.reraise, self.capture, self.journal = reraise, capture, journal
        if reraise is None:  # a test that fails must not pass
            self.reraise = "PYTEST_CURRENT_TEST" in os.environ and "pytest" in sys.modules
        self.strict = strict or os.environ.get("KLEIO_STRICT", "") not in ("", "0")
        self.id: str | None = None
        """The trial's, once it is open; None for what is not recorded."""
        self.done = False
        """With ``KLEIO_ONCE=1``: whether this work is completed already, and so is not recorded again."""
        self.sources: dict[str, str] = {}
        self.parsed = False
        """Whether the parameters are all that the command line says."""
        self.hash_code: str | None = None
        """Of a command line that was parsed by ``kleio.client.argparse``."""
        self.logger = Recorder(self.strict)
        self._state = "new"
        self._ends = ["its only one"]
        """Taken by the thread that ends it."""
        self.again = 0
        """How often it was begun once more while it was open."""
        self._pid = self.thread = self.task = 0
        self.outer: Experiment | None = None
        self.variables: dict[str, str] = {}
        """For what is started inside: programs that log, and a kleio that makes a trial of its own within this one."""
        self._session: Session | None = None
        self._files: list[Any] = []
        self._output: OutputDirectory | None = None

    # -- open and close ------------------------------------------------------------------------------------------

    def start(self) -> Experiment:
        """Begin it, where a ``with`` is not at hand: in a notebook, say."""
        from _thread import get_ident

        _load(self.capture)
        from kleio.client import opened

        if self._state != "new":
            self._refuse(UsageError("it has been used already; make another one, with the same parameters"))
            self.again += self._state == "open"
            return self
        self._pid, self.thread, self.task, self._state = os.getpid(), get_ident(), opened.task(), "open"
        try:
            try:
                if not self.norecord:
                    self._begin()
            except Exception as error:  # noqa: BLE001 - whatever it is, the script goes on
                self._let_go()
                self._refuse(error)
            opened.enter(self)
        except BaseException:  # Ctrl-C, say, while another thread is at it
            self._state = "over"
            opened.leave(self)
            self._let_go()
            raise
        return self

    def __enter__(self) -> Experiment:
        return self.start()

    def end(self, error: BaseException | None = None) -> None:
        """End it: completed, or, because of ``error``, broken."""
        if self._state != "open" or self._pid != os.getpid():
            return
        if self.again:
            self.again -= 1
            return
        try:
            self._ends.pop()
        except IndexError:
            return  # another thread ends it just now
        self._state = "over"
        if error is not None:
            _load_for_failures()
        failed: list[BaseException] = []
        for step in self._last_steps():
            try:
                step(error)
            except BaseException as problem:  # noqa: BLE001 - Ctrl-C too has to wait for the streams to be given back
                failed.append(problem)
        for one in sorted(failed, key=lambda one: isinstance(one, Exception)):  # first what is to stop the script
            if self.strict or not isinstance(one, Exception):
                raise one
            self.logger.tell(f"{self._called} is not recorded to its end: {in_words(one)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._pid != os.getpid():
            return False  # a child that was forked inside: it is the parent's to end
        if error is None or not isinstance(error, Exception) or self.reraise:
            self.end(error)
            return False
        _load_for_failures()
        from kleio.client.exceptions import shown

        shown(error)
        self.end(error)
        return True

    def _begin(self) -> None:
        from kleio.client.session import Session

        if self._mistake is not None:
            raise self._mistake
        self._session = session = Session(self.logger)
        session.begin(self)
        self.id, self.done, self.variables = session.trial, session.done, session.variables
        if session.done or (self.resume and not self.params):
            self.params = session.params

    def _last_steps(self) -> Iterator[Callable[[BaseException | None], object]]:
        """What its end takes: each step is done whatever becomes of those before it."""
        from kleio.client import opened

        session = self._session
        yield from [file.end for file in self._files]
        yield lambda _: opened.leave(self)  # other threads go on logging, from now on to what is outside
        if session is not None:
            yield session.leave_exception
        yield self.logger.finish
        if session is not None:
            yield session.give_back
            yield session.tell_end
            yield session.let_go
        yield lambda _: opened.leave(self)  # Ctrl-C may have kept it from that

    def _let_go(self) -> None:
        if self._session is not None:
            self._session.let_go()

    def forget(self) -> None:
        """In a child after a fork: it may log, and the rest is the parent's."""
        if self._session is not None:
            self._session.forget()
        self.logger.forked()
        self._files = []

    def _refuse(self, error: Exception) -> None:
        """It is not recorded, which is said, or raised."""
        if self.strict:
            raise error
        ways = "".join(f"\nkleio: {way}" for way in getattr(error, "ways_on", ()))
        self.logger.tell(f"{self._called} is not recorded: {in_words(error)}{ways}")

    @property
    def _called(self) -> str:
        from kleio.core import redact

        try:
            shown = redact.text(", ".join(f"{name}={value!r}" for name, value in list(self.params.items())[:3]))[:60]
        except Exception:  # noqa: BLE001 - a value's own methods may raise anything
            shown = ""
        return f"the experiment {shown}" if shown else "the experiment"

    # -- what is recorded ----------------------------------------------------------------------------------------

    @property
    def execution(self) -> int:
        """Which attempt at its trial this is, from 1 on."""
        return self.logger.execution

    def log_statistic(self, /, *wrong: NoReturn, **values: Any) -> None:
        """As :meth:`kleio_logger.log_statistic <kleio.client.logger.Logger.log_statistic>`."""
        self._expect_open()
        self.logger.log_statistic(*wrong, **values)

    def log_artifact(self, filename: str, artifact: Any, *, wait: bool = False, **meta: Any) -> None:
        """As :meth:`kleio_logger.log_artifact <kleio.client.logger.Logger.log_artifact>`."""
        self._expect_open()
        self.logger.log_artifact(filename, artifact, wait=wait, **meta)

    def summary(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Final values: a statistic, so that the trial's summary has them."""
        self._expect_open()
        try:
            found = {str(name): value for name, value in {**(values or {}), **more}.items()}
        except Exception as error:  # noqa: BLE001 - what is no mapping; a name's own method may raise anything
            self.logger._refuse(error, "a summary is lost: its values are to be a dict")
            return
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


def _load(capture: bool) -> None:
    """Import what an experiment needs, from its beginning to its end.

    A fork while another thread imports leaves the module locked in the child for ever: it waits until none is on its way.
    """
    with _loading:
        import atexit
        import contextvars
        import fcntl
        import hashlib
        import tempfile
        import threading

        import kleio.client.connection
        import kleio.client.endings
        import kleio.client.opened
        import kleio.client.session
        import kleio.core.messages
        import kleio.core.repository
        import kleio.core.values

        client = kleio.client.connection, kleio.client.endings, kleio.client.session
        core = kleio.core.messages, kleio.core.repository, kleio.core.values
        assert all((atexit, contextvars, fcntl, hashlib, tempfile, threading, *client, *core))
        if capture:
            import ctypes

            import kleio.client.redirection

            assert all((ctypes, kleio.client.redirection))


def _load_for_failures() -> None:
    with _loading:
        import traceback

        import kleio.client.tracebacks
        import kleio.core.redact

        assert all((traceback, kleio.client.tracebacks, kleio.core.redact))


# From the beginning: a fork that has begun does not see what another thread registers meanwhile. While it has the lock nobody
# loads :mod:`kleio.client.opened`, which is whole where it is there.


def _before_fork() -> None:
    _loading.acquire()
    opened = sys.modules.get("kleio.client.opened")
    if opened is not None:
        opened.before_fork()


def _after_fork() -> None:
    try:
        opened = sys.modules.get("kleio.client.opened")
        if opened is not None:
            opened.after_fork()
    finally:
        _loading.release()


def _forked() -> None:
    global _loading  # noqa: PLW0603
    _loading = RLock()
    opened = sys.modules.get("kleio.client.opened")
    if opened is not None:
        opened.forked()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)


def _named(params: Any) -> tuple[dict[str, Any], UsageError | None]:
    """The parameters by their names; what is wrong with them, if that cannot be."""
    try:
        return dict(() if params is None else params), None
    except Exception:  # noqa: BLE001 - whatever was given may raise anything
        given = type(params).__name__
    return {}, UsageError(
        f'its parameters are to be a dict, as in Experiment({{"lr": 0.1}}) or Experiment(vars(args)), and not of type {given}'
    )
