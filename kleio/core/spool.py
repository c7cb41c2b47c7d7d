"""The spool: where what an execution emits waits until it is in the journal (standard library only).

One directory an execution, 0700::

    launch.json           what was launched; written before the child starts
    ending.json           how it ended; absent while it runs, or when the launcher was killed
    complete.json         that the script said it had done its work, and when
    finding-NAME.json     what was learnt while it ran or right after: environment, files written
    reported.json         the first Python that logged: executable, version, sys.path, prefix
    host                  the name of the machine
    lock                  flock held by the launcher and, through an inherited descriptor, by the child
    recorder.lock         flock held by whoever ships: the launcher, later perhaps another kleio
    wake                  a FIFO: one byte makes the recorder look at once
    shared.statistics     $KLEIO_STATISTICS: anybody appends one JSON object a line
    shared.times          when it was looked at, and how long it was: see kleio.core.shared_times
    WRITER.STREAM         lines, "NANOSECONDS [MARK] JSON", of one process: statistics, artifacts, resources, analysis
    launcher.STREAM       output, stdout or stderr as read, and launcher.STREAM.times beside it
    launcher.system       lines: what the processes took of the machine (kleio.core.sampling)
    blobs/SHA256          bytes of artifacts, complete
    requests/ answers/    what load_* and flush() ask of the launcher, and what it answers

Every stream file begins with a version line. One appender a file, opened with O_APPEND, and one ``write(2)`` a
record, so whatever call returned survives a kill -9 of the process. A line without its newline does not exist.
Offsets are offsets in the file, the version line included.
"""

from __future__ import annotations

import os
import time

from kleio.core.errors import SpoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FORMAT = 1
SHARED = "shared"
COMPLETE = "complete"
"""The document that a script leaves by saying that it has done its work."""
LAUNCHER = "launcher"
LINE_STREAMS = ("statistics", "artifacts", "resources")
ANALYSIS = "analysis"
"""The stream of lines that are statistics of other trials, each naming its own."""
OUTPUT_STREAMS = ("output", "stdout", "stderr")
SYSTEM = "system"
"""The stream of lines that are statistics of the processes themselves: theirs is none of the names that a script logs."""
LARGEST_RECORD = 8 << 20  # bytes; a record must fit in one MongoDB document with room to spare


def header(stream: str) -> bytes:
    """The version line that a stream file begins with."""
    return f"kleio {FORMAT} {stream}\n".encode()


class Writer:
    """Appends records to one stream file of its own, created with its first record.

    Safe for threads. After a fork the child must make a new one: one appender a file.
    """

    def __init__(self, directory: str, stream: str, name: str | None = None) -> None:
        self.name = name or f"{os.getpid()}-{os.urandom(4).hex()}"
        self.stream = stream
        self._torn = False
        path = os.path.join(directory, f"{self.name}.{stream}")
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self.fd < 3:
            from kleio.core.descriptors import clear  # for a daemon, which has closed them

            self.fd = clear(self.fd)
        _hold_while_open(self.fd)
        if os.fstat(self.fd).st_size == 0:
            os.write(self.fd, header(stream))

    def append(self, record: str) -> None:
        """Write one line of text, without its newline, under the present time. Raises OSError."""
        line = f"{time.time_ns()} {record}\n".encode()
        if self._torn:  # finish what the last, cut off, left behind
            line = b"\n" + line
        written = os.write(self.fd, line)
        if written != len(line):  # a disk that is just filling up, a limit on the size of files
            self._torn = True
            while written < len(line):
                written += os.write(self.fd, line[written:])
        self._torn = False

    def end(self) -> int:
        """The offset behind the last record."""
        return os.fstat(self.fd).st_size

    def close(self) -> None:
        """Give the descriptor back; the file stays."""
        os.close(self.fd)


class Spool:
    """One execution's directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def execution(self) -> str:
        """The id of the execution, which is the directory's name."""
        return os.path.basename(self.path)

    def file(self, *names: str) -> str:
        """The path of something in it."""
        return os.path.join(self.path, *names)

    @classmethod
    def create(cls, root: str, execution: str, launch: dict[str, Any]) -> tuple[Spool, int, int]:
        """Make the directory, whole or not at all: nobody sees one without ``launch.json`` and its locks held.

        Returns it with the descriptors that hold ``lock`` and ``recorder.lock``.
        """
        spool = cls(os.path.join(root, execution))
        making = cls(scratch(root, execution))
        try:
            for name in ("blobs", "requests", "answers"):
                private(making.path, name)
            os.mkfifo(making.file("wake"), 0o600)
            first = {f"{SHARED}.statistics": b"# " + header("statistics"), "host": os.uname().nodename.encode()}
            for name, content in first.items():
                with open(making.file(name), "xb") as file:
                    file.write(content)
            making.write("launch", launch)
            lock, recorder = hold(making.file("lock")), hold(making.file("recorder.lock"))
            assert lock is not None
            assert recorder is not None
            os.rename(making.path, spool.path)
        except OSError as error:
            making.delete()
            raise unwritable(root, error) from None
        return spool, lock, recorder

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Replace ``NAME.json`` at once: a reader sees the old one or the new one."""
        from kleio.core.values import dumps

        path = self.file(f"{name}.json")
        temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.tmp"  # threads write the same document, too
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(dumps(document))
        os.replace(temporary, path)

    def read(self, name: str) -> dict[str, Any] | None:
        """``NAME.json``, or None if there is none."""
        from kleio.core.values import loads

        try:
            with open(self.file(f"{name}.json"), "rb") as file:
                return dict(loads(file.read()))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def has(self, name: str) -> bool:
        """Whether there is a ``NAME.json``."""
        return os.path.exists(self.file(f"{name}.json"))

    def stems(self, prefix: str) -> list[str]:
        """The names, without ``.json``, of the documents whose names begin so."""
        return sorted(name[:-5] for name in os.listdir(self.path) if name.startswith(prefix) and name.endswith(".json"))

    def wake(self) -> None:
        """Make the recorder look now rather than at its next turn; harmless when nobody listens."""
        try:
            fd = os.open(self.file("wake"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(fd, b".")
        except OSError:
            pass
        finally:
            os.close(fd)

    def streams(self) -> Iterator[tuple[str, str]]:
        """The (writer, stream) of every stream file there is now."""
        for name in sorted(os.listdir(self.path)):
            writer, _, stream = name.partition(".")
            if stream in (*LINE_STREAMS, ANALYSIS) or (writer == LAUNCHER and stream in (*OUTPUT_STREAMS, SYSTEM)):
                yield writer, stream

    def alive(self) -> bool:
        """Whether launcher, child, or a process that logs live on this host: somebody holds a lock."""
        if is_held(self.file("lock")):
            return True
        try:
            return any(is_held(self.file(f"{writer}.{stream}")) for writer, stream in self.streams() if writer != LAUNCHER)
        except OSError:
            return False

    def delete(self) -> None:
        """Remove the directory and everything in it; nobody sees half of it."""
        import shutil

        doomed = self.path
        if not self.execution.startswith("."):
            doomed = f"{scratch(os.path.dirname(self.path), self.execution)}.gone"
            try:
                os.rename(self.path, doomed)
            except OSError:
                doomed = self.path
        shutil.rmtree(doomed, ignore_errors=True)


def private(directory: str, name: str) -> str:
    """The directory ``name`` in ``directory``, both made for their owner alone where they are not there yet."""
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(directory), 0o700, exist_ok=True)
    for one in (directory, path):
        try:
            os.mkdir(one, 0o700)
        except FileExistsError:
            continue
    return path


def locks(root: str) -> str:
    """The directory of locks that are not of one execution. Raises SpoolError."""
    try:
        return private(root, "work")
    except OSError as error:
        raise unwritable(root, error) from None


def unwritable(root: str, error: OSError) -> SpoolError:
    """What to say where records cannot be left to wait."""
    return SpoolError(
        f"cannot write to {root}: {error.strerror}; choose another directory with KLEIO_SPOOL_DIR or KLEIO_HOME"
    )


def scratch(root: str, execution: str) -> str:
    """Where an execution's spool is made ready; hidden from others until it is complete."""
    return os.path.join(root, f".{execution}")


def spools(root: str) -> Iterator[Spool]:
    """Every spool under ``root``, oldest name first; none when there is no such directory."""
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return
    for name in names:
        if len(name) == 32 and not name.startswith("."):
            yield Spool(os.path.join(root, name))


def on_this_host(path: str) -> bool:
    """Whether the spool at ``path`` is there and this machine's own: its locks mean nothing on another."""
    try:
        with open(os.path.join(path, "host"), "rb") as file:
            return file.read() == os.uname().nodename.encode()
    except OSError:
        return False


def _hold_while_open(fd: int) -> None:
    """Let it be seen that somebody writes this file; several who share one file need not all succeed."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass


def hold(path: str) -> int | None:
    """Take the lock file at ``path``: a descriptor that holds it until closed, or None if another has it."""
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def is_held(path: str) -> bool:
    """Whether somebody holds the lock file at ``path``."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


class LineReader:
    """Reads whole lines of a stream file from an offset on, in bounded pieces."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, start: int, at_most: int) -> bytes:
        """Whole lines from ``start`` on: about ``at_most`` bytes, always at least one line if there is one."""
        with open(self.path, "rb") as file:
            file.seek(start)
            data = file.read(at_most)
            whole = data.rfind(b"\n") + 1
            if whole or len(data) < at_most:
                return data[:whole]
            pieces = [data]  # one line longer than the piece
            while piece := file.read(1 << 20):
                cut = piece.find(b"\n") + 1
                pieces.append(piece[:cut] if cut else piece)
                if cut:
                    return b"".join(pieces)
            return b""


def parse_line(line: bytes, shared: bool, now: int) -> tuple[int, Any, str] | None:
    """The (nanoseconds, value, mark) of one line; None for the version line, comments and blank lines.

    ``shared`` lines are bare JSON objects and get the time ``now``. Raises ValueError for what cannot be read.
    """
    from kleio.core.values import loads

    text = line.strip()
    if not text or text.startswith((b"#", b"kleio ")):
        return None
    if len(text) > LARGEST_RECORD + 64:
        raise ValueError("the record is too large")
    mark = b""
    if shared:
        value = loads(text)
    else:
        stamp, _, body = text.partition(b" ")
        if body.startswith(b"@"):
            mark, _, body = body.partition(b" ")
        now, value = int(stamp), loads(body)
    if not isinstance(value, dict) or any(type(key) is not str for key in value):
        raise ValueError("not a JSON object")
    return now, value, mark.decode("ascii")
