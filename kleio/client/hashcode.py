"""The run of this process, and the hash code of what it was asked to do (see :mod:`kleio.core.hashcode`).

Under ``kleio`` the trial is marked with the hash code. Without, the run leaves a record of its own in the spool, which the next
kleio command ships. Nothing that fails here stops the script: it is said once, and there is a hash code all the same.
"""

from __future__ import annotations

import os
import sys

from kleio.client.logger import kleio_logger
from kleio.core.errors import in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from kleio.core.code import CodeVersion
    from kleio.core.config import Config
    from kleio.core.repository import Repository
    from kleio.core.spool import Spool

MOST = 64
"""Hash codes by which one run can be found."""
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
"""Variables that number the processes of one run: the first of them leaves the record."""
NOWHERE = "/nonexistent/kleio"
"""For kleio's own files where there is no home directory; what lies there does not count as code."""


class Run:
    """This process's run, of which several parsers may tell."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.recorded = True
        """Whether it leaves a record of its own; an experiment that is made of the arguments is record enough."""
        self._directory = _here()
        self._left: set[tuple[str, str]] = set()
        self._spool: Spool | None = None
        self._lock: int | None = None
        self._process = os.getpid()
        self._version: tuple[str, str] | None = None
        self._config: Config | None = None

    def hash_code(
        self,
        arguments: Mapping[str, Any],
        options: Mapping[str, Sequence[str]],
        rest: Sequence[str],
        given: Collection[str],
    ) -> str:
        """The hash code of these arguments, of which some were ``given``; the run can be found by it."""
        try:
            root, fingerprint = self._code()
            volatile = self._settings()["volatile"]
        except Exception as error:  # noqa: BLE001 - the script goes on, whatever is amiss with settings, git or the disk
            kleio_logger._refuse(error, "the hash code does not count the code, and the run is not recorded")
            root, fingerprint, volatile = "/", "", ()
        from kleio.core import hashcode

        script = hashcode.script_name(root, _script(), sys.prefix)
        counted = hashcode.counted(arguments, options, volatile)
        code = hashcode.hash_code(root, fingerprint, script, counted, rest, volatile)
        spool = self._recorded_in()
        if spool is not None and (spool.path, code) not in self._left and len(self._left) < MOST:
            self._left.add((spool.path, code))
            mark(spool, code)
            if spool is self._spool:  # else whoever launched this looks after its parameters
                shown = hashcode.shown(hashcode.counted(arguments, options, ()), root)
                sources = {name: "command line" if name in given else "default" for name in shown}
                _leave(spool, f"parameters-{code}", "parameters", {"params": shown, "sources": sources})
        return code

    def _recorded_in(self) -> Spool | None:
        """That of the trial that this is a part of, of an experiment that is open, or of this run itself."""
        if not kleio_logger.active:
            return self._spool
        from kleio.core.spool import Spool

        return Spool(kleio_logger._directory)

    def _settings(self) -> Config:
        """The settings; where there is no home directory, those that do not need one."""
        if self._config is None:
            from kleio.core.config import Config
            from kleio.core.errors import UsageError

            try:
                self._config = Config(cwd=self._directory)
                self._config.check()
            except UsageError as error:
                self._config = Config(environment={**os.environ, "KLEIO_HOME": NOWHERE}, cwd=self._directory)
                self._config.check()
                kleio_logger._refuse(error, "this run is not recorded")
        return self._config

    def _code(self) -> tuple[str, str]:
        """Root and fingerprint: those of the launch under kleio, else what is here."""
        if self._version is None:
            spool = self._recorded_in()
            launch = spool.read("launch") if spool else None
            if launch is not None:
                self._version = launch["root"], str(launch["trial"]["code"]["fingerprint"])
            else:
                version = self._captured()
                self._version = version.root, version.fingerprint
        return self._version

    def _captured(self) -> CodeVersion:
        """The code as it is now, and the record of this run where one is wanted."""
        config = self._settings()
        repository = _asked(config)
        if not self._is_to_be_recorded(config):
            return _capture(config, repository, "")
        from kleio.core import unlaunched  # 30 ms, in which git answers

        execution = os.urandom(16).hex()
        try:
            version = _capture(config, repository, unlaunched.scratch_of(config, execution))
            self._spool, self._lock = unlaunched.record(config, _command(), version, execution)
        except Exception as error:  # noqa: BLE001 - as above; the hash code does not hang on it
            unlaunched.discard(config, execution)
            kleio_logger._refuse(error, "this run is not recorded")
            return _capture(config, _asked(config), "")
        import atexit

        self._process = os.getpid()
        atexit.register(self._end)
        return version

    def _is_to_be_recorded(self, config: Config) -> bool:
        """Not where a launcher on another machine does, and of several processes of one run only by the first."""
        alone = self.recorded and all(os.environ.get(name) in (None, "", "0") for name in RANKS)
        home = config.directory("state") != NOWHERE
        return bool(alone and home and not _is_inner() and not os.environ.get("KLEIO_SPOOL") and config["unlaunched"])

    def _end(self) -> None:
        """At the end of the process: how it ended, as far as Python tells. Of ``sys.exit`` it does not."""
        if self._spool is None or os.getpid() != self._process:
            return
        from kleio.core import unlaunched
        from kleio.core.trial import Ending

        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        try:
            if isinstance(error, KeyboardInterrupt):
                unlaunched.end(self._spool, Ending(None, "SIGINT", (("SIGINT", 0.0),)))
            elif error is not None:
                unlaunched.end(self._spool, Ending(1), f"uncaught {type(error).__name__}")
            elif self.status:
                unlaunched.end(self._spool, Ending(self.status))
            else:
                unlaunched.end(self._spool, Ending(0), "ended; its exit status is not known without kleio", known=False)
        except Exception as failure:  # noqa: BLE001 - the process ends as it would have
            kleio_logger._say(f"the end of this run is not recorded: {in_words(failure)}")


def mark(spool: Spool, code: str) -> None:
    """Let the run be found by its hash code."""
    from kleio.core import hashcode

    _leave(spool, f"hash-{code}", hashcode.KIND, {"hash_code": code}, (f"{hashcode.TRACE}{code}",))


def _leave(spool: Spool, name: str, kind: str, data: dict[str, Any], traces: Sequence[str] = ()) -> None:
    """Put a finding (:mod:`kleio.core.findings`) into the spool."""
    import time

    finding = {"kind": kind, "time": time.time(), "data": data, "documents": {}, "blobs": [], "traces": list(traces)}
    try:
        spool.write(f"finding-{name}", finding)
    except OSError as error:
        kleio_logger._refuse(error, "the run cannot be found by its hash code")


def _asked(config: Config) -> Repository | None:
    from kleio.core.repository import Repository

    return Repository.asked(config.cwd, config["patience"])


def _capture(config: Config, repository: Repository | None, scratch: str) -> CodeVersion:
    from kleio.core import code

    if repository and not config["project"]:
        repository.ask_further()
    version = code.capture(config, _command(), repository, scratch)
    if version.uncertain:
        kleio_logger._say(f"{version.uncertain}; the hash code may be another next time")
    return version


def _command() -> list[str]:
    """The words of this run as they were typed; in a process of multiprocessing's, of the one that it belongs to."""
    if _is_inner():
        return [sys.executable, *sys.argv]
    return list(sys.orig_argv) or [sys.executable, *sys.argv]


def _is_inner() -> bool:
    """Whether this is a process of multiprocessing's, be it that it only just imports the script."""
    processes = sys.modules.get("multiprocessing")
    if processes is None:
        return False
    return processes.parent_process() is not None or getattr(processes.current_process(), "_inheriting", False)


def _script() -> str:
    """The file that is run."""
    return str(getattr(sys.modules.get("__main__"), "__file__", None) or (sys.argv or [""])[0])


def _here() -> str:
    """The working directory when this was imported, as the user names it: the script may go elsewhere before it parses."""
    try:
        real = os.getcwd()
    except OSError:
        return "/"
    named = os.environ.get("PWD", "")
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return os.path.normpath(named)
    except OSError:
        pass
    return real


run = Run()
