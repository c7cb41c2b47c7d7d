"""``kleio_logger``: what a script writes to its journal.

A call appends one line to a file in the launcher's spool and returns; what returned survives a ``kill -9`` of the script.
Nothing here stops the script: what cannot be recorded is said once on stderr (with ``KLEIO_STRICT=1`` it is raised).
Without ``kleio`` statistics are printed on stderr and nothing is stored.
"""

from __future__ import annotations

import os
import sys
import time

from kleio.core.errors import KleioError, forgiving, in_words
from kleio.core.spool import COMPLETE, LARGEST_RECORD, Spool, Writer, is_held, on_this_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from kleio.client.analysis import Analysis
    from kleio.client.loaded import LoggedArtifact, LoggedScope, Statistic
    from kleio.client.refusals import Refusals
    from kleio.client.resources import Resource
    from kleio.client.scope import Scope

MOST_KEYS = 10_000
"""Names whose JSON is remembered."""
_PATIENCE = 0.05  # seconds between looks for an answer, at most
_OF_NAMES = ("log_statistic", "scope", "add", "commit", "set")
_OF_ARTIFACTS = ("log_artifact", "log_image", "log_figure", "log_table", "log_text")


class Logger:
    """Writes to the spool that ``KLEIO_SPOOL`` names. Safe for threads and forks; every process has files of its own."""

    def __init__(self, spool: str | None = None, strict: bool = False) -> None:
        self._directory = spool or ""
        self._strict = strict
        self._writers: dict[str, Writer] = {}
        self._keys: dict[str, str] = {}
        self._said: set[str] = set()
        self._append: Callable[[str], None] | None = None
        self._outside: list[Scope] = []
        """The first is the one, where threads come to begin it at once."""
        self._refusals: Refusals | None = None
        if spool and not on_this_host(spool):
            self._say("the launcher's spool is not on this host, or gone; nothing is recorded")
            self._directory = ""
        if self._directory:
            os.register_at_fork(before=_finish_imports, after_in_child=self._forked)

    @property
    def active(self) -> bool:
        """Whether what is logged is recorded: the script runs under ``kleio``."""
        return bool(self._directory)

    # -- writing -------------------------------------------------------------------------------------------------

    def log_statistic(self, /, *wrong: NoReturn, **values: Any) -> None:
        """Record values that belong together, under the present time: numbers, text, dates, arrays, nested at will."""
        if wrong:
            self.misused("log_statistic")
            if not values:
                return
        line = self.line(values)
        if line is not None:
            self.put(line)

    def line(self, values: Mapping[str, Any]) -> str | None:
        """``values`` as one line of JSON. Those that cannot be recorded are left out, which is said; None if none is left."""
        line = ""
        for key, value in values.items():
            kind = type(value)
            if (kind is float and value - value == 0.0) or (kind is int and -(1 << 63) <= value < 1 << 63):
                text = repr(value)
            elif value is None:
                text = "null"
            else:
                encoded = self._encoded(key, value)
                if encoded is None:
                    continue
                text = encoded
            name = self._keys.get(key)
            if name is None:
                name = self._name(key)
            line += name + text
        if len(line) > LARGEST_RECORD:
            too_large = f"a statistic of {len(line):,} bytes is too large; log it with log_artifact"
            self._refuse(ValueError(too_large), kind="records")
            return None
        if not line and values:
            return None
        return "{" + line[1:] + "}"

    def put(self, line: str) -> None:
        """Append a line, with its mark if it has one, to this process's statistics."""
        append = self._append
        if append is None:
            append = self._begin()
        try:
            append(line)
        except OSError as error:
            self._refuse(error, kind="records")

    @forgiving
    def scope(self, /, **values: Any) -> Scope:
        """Values that hold for many statistics: those that are logged in it have them, and they are stored once.

        It can be used in a ``with``, and have scopes inside; see :class:`kleio.client.scope.Scope`.
        """
        return self._around.scope(**values)

    @forgiving
    def add(self, /, **values: Any) -> None:
        """Begin a statistic, or add to the one that this thread or task has begun; :meth:`commit` records it."""
        self._around.add(**values)

    @forgiving
    def commit(self, /, **values: Any) -> None:
        """Record as one statistic what this thread or task has added, and ``values``."""
        self._around.commit(**values)

    @property
    def _around(self) -> Scope:
        """What is outside of all scopes."""
        outside = self._outside
        if not outside:
            from kleio.client.scope import Scope

            outside.append(Scope(self, None, {}))
        return outside[0]

    @forgiving
    def log_artifact(
        self,
        filename: str,
        artifact: Any,
        *,
        wait: bool = False,
        keep_last: int | None = None,
        keep_best: str | None = None,
        **meta: Any,
    ) -> None:
        """Keep a copy of ``artifact`` (a path, bytes, or a file open for reading) under the name ``filename``.

        ``meta`` are named values to find it by. The file may be changed or deleted once the call has returned. With
        ``wait`` it returns when the bytes are in the journal.

        Of the artifacts of this name the newest ``keep_last`` stay, and the one whose ``meta`` has the smallest value under the
        name ``keep_best``, or the largest if the name follows a minus sign, as in ``"-accuracy"``; the others are dropped.
        """
        self.keep_artifact(filename, artifact, meta, wait, keep_last, keep_best)

    def keep_artifact(
        self, filename: str, artifact: Any, meta: Mapping[str, Any], wait: bool, keep_last: int | None, keep_best: str | None
    ) -> None:
        """The same, whatever the names in ``meta``."""
        own = self._as_it_is()
        if not own.active:
            return
        from kleio.client.artifacts import log

        try:
            log(own, str(filename), artifact, meta, keep_last, keep_best)
        except Exception as error:  # noqa: BLE001 - as above: a file-like object may raise anything
            own._refuse(error, f"artifact {filename!r} is not recorded", "artifacts")
            return
        if wait:
            own.flush()

    @forgiving
    def log_config(self, config: Any) -> None:
        """Record named values as parameters of the trial: a mapping, a namespace, a data class, nested at will."""
        if not self._directory:
            return
        from kleio.client.logged_config import log_config

        try:
            log_config(self._directory, config)
        except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
            self._refuse(error, "the config is not recorded")

    @forgiving
    def log_image(self, name: str, image: Any, **meta: Any) -> None:
        """Keep an image as an artifact: a file or bytes as they are, an image of PIL or an array as what the name ends with.

        That is png, as without an ending, or jpg, webp or gif, which need Pillow.

        An array is (H, W) or (H, W, C) (a tensor (C, H, W)) of uint8, booleans, or floats from 0 to 1.
        """
        from kleio.client.media import log_image

        log_image(self, name, image, meta)

    @forgiving
    def log_figure(self, name: str, figure: Any = None, **meta: Any) -> None:
        """Keep a figure of matplotlib, the current one if none is given, or of plotly as an artifact."""
        from kleio.client.media import log_figure

        log_figure(self, name, figure, meta)

    @forgiving
    def log_table(self, name: str, table: Any, **meta: Any) -> None:
        """Keep a table as an artifact, as CSV: rows, columns, or one of pandas, polars, pyarrow or NumPy."""
        from kleio.client.media import log_table

        log_table(self, name, table, meta)

    @forgiving
    def log_text(self, name: str, text: str, **meta: Any) -> None:
        """Keep a text as an artifact."""
        from kleio.client.media import log_text

        log_text(self, name, text, meta)

    def log_resource(self, path: str | os.PathLike[str], **meta: Any) -> Resource:
        """Record an input: path, size and digest, without a copy. A directory as a tree, an address by its name alone.

        Digests are remembered by size, times and inode, so that large data need not be read again. What is returned has a
        ``path``, ``size``, ``sha256``, and ``changed``: whether an earlier execution had another content there.
        """
        from kleio.client.resources import log_resource

        return log_resource(self, path, meta)

    def complete(self) -> None:
        """Say that the work is done: a run that then exits with 0 is completed, though SIGTERM or Ctrl-C came.

        For scripts that end in order when they are asked to, and know whether they had got to the end. What exits with another
        status, or dies of a signal, is judged as ever.
        """
        if not self._directory:
            return
        try:
            Spool(self._directory).write(COMPLETE, {"time": time.time(), "pid": os.getpid()})
        except OSError as error:
            self._refuse(error, "that the work is done is not recorded")

    def flush(self, timeout: float | None = None) -> bool:
        """Return when everything this process has logged is in the journal; False if that is not to be had.

        ``timeout`` is in seconds; without one it waits for as long as the launcher lives.
        """
        own = self._as_it_is()
        if not own._directory or not own._writers:
            return True
        extents = [[writer.name, stream, writer.end()] for stream, writer in list(own._writers.items())]
        try:
            return bool(own.ask({"op": "flush", "extents": extents}, timeout).get("flushed"))
        except (KleioError, OSError) as error:
            own._refuse(error, "not everything is in the journal")
            return False

    # -- reading -------------------------------------------------------------------------------------------------

    @property
    def execution(self) -> int:
        """Which attempt at its trial this is: 1 at first, 2 when it has been resumed once. 1 without ``kleio``."""
        launch = Spool(self._directory).read("launch") if self._directory else None
        return int((launch or {}).get("number", 1))

    @forgiving
    def load_statistic(self, /, *keys: str, all_executions: bool = False, **where: Any) -> list[Statistic]:
        """What this trial has logged with all of ``keys`` and with the values in ``where``, in the order of its times.

        Values that a statistic inherits from its scope are its values. A branch has what its parent logged up to the cut, and
        then its own. What was given up by :meth:`resume_from` is left out unless ``all_executions`` are asked for. Empty
        without ``kleio``. Raises KleioError when the launcher cannot answer.
        """
        if not self._directory:
            return []
        from kleio.client import loaded

        return loaded.statistics(self, {"keys": list(keys), "where": where, "all": all_executions})

    @forgiving
    def load_scopes(self, /, *keys: str, all_executions: bool = False, **where: Any) -> list[LoggedScope]:
        """The scopes that have all of ``keys`` and the values in ``where``, own or inherited, in the order of their starts.

        What was added outside of all scopes and never committed is in one with the number 0, whose ``start`` is None.
        """
        if not self._directory:
            return []
        from kleio.client import loaded

        return loaded.scopes(self, {"keys": list(keys), "where": where, "all": all_executions})

    @forgiving
    def load_artifacts(
        self, filename: str | None = None, where: Mapping[str, Any] | None = None, *, all_executions: bool = False
    ) -> list[LoggedArtifact]:
        """This trial's artifacts of that name, or of all names, whose metadata has the values in ``where``, in logging order.

        What was given up by :meth:`resume_from` is left out unless ``all_executions`` are asked for.
        """
        if not self._directory:
            return []
        from kleio.client import loaded

        named = {} if filename is None else {"name": str(filename)}
        return loaded.artifacts(self, {**named, "where": dict(where or {}), "all": all_executions})

    @forgiving
    def latest_artifact(self, filename: str, where: Mapping[str, Any] | None = None) -> LoggedArtifact | None:
        """The newest of :meth:`load_artifacts`, None when there is none."""
        found = self.load_artifacts(filename, where)
        return found[-1] if found else None

    @forgiving
    def resume_from(self, artifact: LoggedArtifact | None) -> LoggedArtifact | None:
        """Say that this execution goes on from ``artifact``, or with None from the beginning; returns it.

        What earlier executions logged after it no longer counts: readings and summaries leave it out, so that curves have no
        zigzag. It stays in the journal. The last call counts; with nothing before, or of what this
        same execution logged, it does nothing.
        """
        if self._directory:
            from kleio.client.resuming import resume_from

            try:
                resume_from(self, Spool(self._directory), artifact)
            except Exception as error:  # noqa: BLE001 - the script matters more
                self._refuse(error, "where this execution goes on from is not recorded")
        return artifact

    def analysis(self, trial: str) -> Analysis:
        """Another trial, to be read, and to be given statistics at its own times. ``trial`` is its id or a beginning
        of it, or "last", the newest other one of the project.

        Raises KleioError for a trial that is not known, or an ambiguous id. Without ``kleio`` nothing is known of it.
        """
        from kleio.client.analysis import Analysis

        return Analysis(self, trial)

    def load_config(self) -> dict[str, Any]:
        """The trial's parameters, as far as they are known by now; empty without ``kleio``."""
        if not self._directory:
            return {}
        from kleio.client.logged_config import load_config

        return load_config(self._directory)

    def ask(self, request: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Put a request to the launcher and wait for its answer. Raises KleioError when there will be none."""
        spool = Spool(self._directory)
        name = f"{os.getpid()}-{os.urandom(8).hex()}"
        started, pause = time.monotonic(), 0.001
        spool.write(os.path.join("requests", name), request)
        spool.wake()
        path = os.path.join("answers", name)
        there = True
        while True:
            answer = spool.read(path)
            if answer is not None:
                os.unlink(spool.file(f"{path}.json"))
                if "error" in answer:
                    raise KleioError(answer["error"])
                return answer
            if timeout is not None and time.monotonic() - started > timeout:
                raise KleioError(f"no answer within {timeout} s")
            if not there:
                raise KleioError("the launcher has gone; what was logged is in its spool, kleio sync will ship it")
            there = is_held(spool.file("recorder.lock"))
            if not there:
                continue  # it may have answered just before
            time.sleep(pause)
            pause = min(2 * pause, _PATIENCE)

    # -- inside --------------------------------------------------------------------------------------------------

    # ``kleio_logger`` may become another experiment's logger while one of its calls is at work in another thread. So what
    # takes several steps takes them with one and the same state.

    def _as_it_is(self) -> Logger:
        """This very logger, whatever ``kleio_logger`` becomes meanwhile."""
        same = object.__new__(type(self))
        same.__dict__ = self.__dict__
        return same

    def _begin(self) -> Callable[[str], None]:
        """Open this process's file with its first record, so that an import costs nothing."""
        state = self.__dict__
        begun: Callable[[str], None] = _print
        if state["_directory"]:
            try:
                begun = _writer_of(state, "statistics").append
            except OSError as error:
                self._refuse(error)
                return _ignore
        state["_append"] = begun
        return begun

    def _writer(self, stream: str) -> Writer:
        return _writer_of(self.__dict__, stream)

    def _forked(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers, self._append = {}, None

    @property
    def statistics(self) -> Writer | None:
        """This process's writer of statistics, if it has one by now."""
        return self._writers.get("statistics")

    def _name(self, key: str) -> str:
        """``,"key":`` with whatever must be escaped."""
        from json import dumps

        if len(self._keys) >= MOST_KEYS:
            self._keys.clear()
        name = self._keys[key] = f",{dumps(key)}:"
        return name

    def _encoded(self, key: str, value: Any) -> str | None:
        from kleio.core.values import dumps

        try:
            return dumps(value)
        except Exception as error:  # noqa: BLE001 - a value's own methods may raise anything
            what = f"{key!r} cannot be recorded and is left out"
            self._refuse(error, what, "values", key, once=what)
            return None

    def misused(self, name: str, error: TypeError | None = None) -> Any:
        """A method was called as it cannot be; what it returns then."""
        if name in _OF_NAMES:
            error = TypeError(f"{name} takes names: {name}(a=1), or {name}(**values)")
        else:
            error = TypeError(f"{name} is not called so: {in_words(error or TypeError())}")
        if self._strict:
            raise error
        kind = "records" if name in ("log_statistic", "add", "commit") else "artifacts" if name in _OF_ARTIFACTS else ""
        if kind:
            self._count(kind, str(error))
        self._say(str(error))
        return self.scope() if name == "scope" else [] if name in ("load_statistic", "load_scopes", "load_artifacts") else None

    def _refuse(
        self, error: Exception, what: str = "a record is lost", kind: str = "", key: str = "", once: str = ""
    ) -> None:
        """``kind`` is what is counted for the journal: "records", "values" (of ``key``), "artifacts" or "resources"."""
        if self._strict:
            raise error
        message = f"{what}: {in_words(error)}"
        if kind:
            self._count(kind, message, key)
        self._say(message, once)

    def _count(self, kind: str, reason: str, key: str = "") -> None:
        if self._directory:
            if self._refusals is None or self._refusals.pid != os.getpid():
                from kleio.client.refusals import Refusals

                self._refusals = Refusals(self._directory)
            self._refusals.add(kind, reason, key)

    def _say(self, message: str, once: str = "") -> None:
        """Say it, if neither it was said before nor what stands for it, ``once``."""
        if (once or message) not in self._said:
            self._said.add(once or message)
            _on_stderr(f"kleio: {message}\n")


def _finish_imports() -> None:
    """A fork while another thread imports leaves the module locked in the child for ever: let none be on its way."""
    import binascii
    import datetime
    import errno
    import fcntl
    import hashlib
    import json

    import kleio.client.artifacts
    import kleio.client.loaded
    import kleio.client.refusals
    import kleio.core.artifact
    import kleio.core.descriptors
    import kleio.core.retention
    import kleio.core.values

    lazily = kleio.client.artifacts, kleio.client.loaded, kleio.core.artifact, kleio.core.retention, kleio.core.values
    assert all((binascii, datetime, errno, fcntl, hashlib, json, kleio.client.refusals, kleio.core.descriptors, *lazily))
    if "threading" in sys.modules:  # 1 ms, for scripts of which another thread may just begin a scope
        import kleio.client.scope

        assert kleio.client.scope
    if "kleio.client.resources" in sys.modules:  # 3 ms, for scripts that name what they read
        import zlib

        import kleio.client.resources
        import kleio.core.redact
        import kleio.core.resources

        assert all((zlib, kleio.client.resources, kleio.core.redact, kleio.core.resources))


def _report(directory: str) -> None:
    """Tell the launcher which Python this is, unless somebody has: it may have started a shell script, or ``uv run``."""
    path = os.path.join(directory, "reported.json")
    try:
        if os.path.exists(path):
            return
        from json import dumps

        told = {
            "executable": sys.executable,
            "version": "{}.{}.{}".format(*sys.version_info[:3]),
            "path": [one for one in sys.path[1:] if isinstance(one, str)],
            "prefix": sys.prefix,
        }
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
        with open(temporary, "xb") as file:  # as text, Python would import how ASCII is written, see _finish_imports
            file.write(dumps(told).encode())
        os.replace(temporary, path)
    except Exception:  # noqa: BLE001, S110 - the script matters more, and whatever is amiss shows with its first record
        pass


def _writer_of(state: dict[str, Any], stream: str) -> Writer:
    """That of a logger whose attributes are ``state``; of threads that come to be the first one at once all get the same."""
    writers: dict[str, Writer] = state["_writers"]
    writer = writers.get(stream)
    if writer is None:
        if not writers:
            _report(state["_directory"])
        made = Writer(state["_directory"], stream)
        writer = writers.setdefault(stream, made)
        if writer is not made:
            made.close()
    return writer


def _print(line: str) -> None:
    _on_stderr(f"kleio_logger: {line}\n")


def _on_stderr(text: str) -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
    except Exception:  # noqa: BLE001, S110 - closed, or an object of the script's own, and the script matters more
        pass


def _ignore(line: str) -> None:
    """The spool cannot be written; that was said."""


kleio_logger = Logger(os.environ.get("KLEIO_SPOOL"), os.environ.get("KLEIO_STRICT", "") not in ("", "0"))
