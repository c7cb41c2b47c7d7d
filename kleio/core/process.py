"""The transparent child: it runs as if kleio were not there, and what it prints is seen and kept.

Same session, same process group, stdin inherited. For each of stdout and stderr: where kleio's own is a terminal the
child gets a pseudo-terminal, else a pipe; where kleio's two are one open file the child gets one channel for both, so
that what it prints keeps its order. A thread a channel moves bytes: into the spool first, then on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import threading
import time
from dataclasses import dataclass

from kleio.core.errors import CannotExecute, CommandNotFound
from kleio.core.signals import SI_KERNEL, PassedOn, name_of
from kleio.core.trial import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kleio.core.signals import Signals

    Record = Callable[[bytes], None]

PIECE = 1 << 18  # bytes read at once
PIPE_SIZE = 1 << 20
LINGER = 2.0
"""Seconds for which writers in the background are heard once the child has ended."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What carries some of the child's output: ``stream`` names it, ``fds`` are the child's, ``onward`` is ours."""

    stream: str
    fds: tuple[int, ...]
    onward: int


def channels(split: bool = False) -> list[Channel]:
    """The channels that this process's own stdout and stderr ask for; closed ones ask for none."""
    out, err = _open_file(1), _open_file(2)
    if out is not None and out == err and not split:
        return [Channel("output", (1, 2), 1)]
    found = []
    if out is not None:
        found.append(Channel("stdout", (1,), 1))
    if err is not None:
        found.append(Channel("stderr", (2,), 2))
    return found


def _open_file(fd: int) -> tuple[int, ...] | None:
    """What tells open files apart, as far as one can see: the file, how it is open and where it stands."""
    try:
        status = os.fstat(fd)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    except OSError:
        return None
    position = os.lseek(fd, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
    return status.st_dev, status.st_ino, status.st_rdev, flags & (os.O_APPEND | os.O_ACCMODE), position


def fill_standard_descriptors() -> None:
    """Occupy a closed 0, 1 or 2, which the child will find closed as before, so that no file of ours lands there."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


def find_program(word: str) -> str:
    """The path that executing ``word`` means. Raises CommandNotFound, CannotExecute, before anything is recorded."""
    if not word:
        raise CommandNotFound("the command is an empty word; name a program")
    candidates = [word] if "/" in word else [os.path.join(d or ".", word) for d in _search_path()]
    refused = None
    for path in candidates:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            if error.errno == errno.EACCES:
                refused = refused or f"cannot execute {path}: permission denied"
            continue
        if stat.S_ISDIR(mode):
            refused = refused or (f"cannot execute {path}: it is a directory" if "/" in word else None)
        elif os.access(path, os.X_OK):
            _check_interpreter(path)
            return path
        else:
            refused = refused or f"cannot execute {path}: permission denied; chmod +x it, or name its interpreter first"
    if refused:
        raise CannotExecute(refused)
    raise CommandNotFound(f"{word}: command not found")


def _search_path() -> list[str]:
    return os.environ.get("PATH", os.defpath).split(os.pathsep)


def _check_interpreter(path: str) -> None:
    """A script whose ``#!`` names nobody is not found, as a shell has it."""
    try:
        with open(path, "rb") as file:
            first = file.read(256)
    except OSError:
        return
    if first.startswith(b"#!"):
        words = first[2:].split(b"\n")[0].split()
        if words and not os.path.exists(words[0]):
            raise CommandNotFound(f"{path}: its interpreter {os.fsdecode(words[0])} does not exist")


class Child:
    """A running command."""

    def __init__(
        self,
        program: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        signals: Signals,
        records: Mapping[Channel, Record],
        lock: int | None = None,
    ) -> None:
        """Start it. ``records`` gives for each channel where to keep what is read; ``lock`` is inherited."""
        self._signals = signals
        self._received: list[tuple[str, float]] = []
        self._ended, self._ending = os.pipe()
        self._pumps: list[_Pump] = []
        actions: list[tuple[int, ...]] = []
        theirs: list[int] = []
        for channel, record in records.items():
            ours, child_end = _open_channel(channel)
            self._pumps.append(_Pump(channel, ours, record, self._ended))
            theirs.append(child_end)
            actions += [(os.POSIX_SPAWN_DUP2, child_end, fd) for fd in channel.fds]
        inherited = [] if lock is None else [_out_of_the_way(lock)]
        try:
            self.pid = _spawn(program, argv, environment, actions, signals)
        finally:
            for fd in theirs + inherited:
                os.close(fd)
        for pump in self._pumps:
            pump.start()

    def wait(self) -> Ending:
        """Attend to its signals until it has ended and what it printed has been moved."""
        passed_on = PassedOn(self._signals, self.pid)
        while True:
            info = self._signals.take(passed_on.timeout())
            if info is not None:
                status = self._attend(info, passed_on)
                if status is not None:
                    break
            passed_on.settle()
        ended = time.monotonic()
        os.close(self._ending)
        for pump in self._pumps:
            pump.join()
        os.close(self._ended)
        return _ending(status, tuple((name, ended - when) for name, when in self._received))

    def _attend(self, info: signal.struct_siginfo, passed_on: PassedOn) -> int | None:
        """Do what one signal asks for; the wait status once the child has ended."""
        number = info.si_signo
        if number == signal.SIGCHLD:
            return self._reap()
        if number == signal.SIGWINCH:
            for pump in self._pumps:
                pump.resize()
            os.kill(self.pid, signal.SIGWINCH)  # the terminal told it before its size was right
            return None
        self._received.append((name_of(number), time.monotonic()))
        if info.si_code != SI_KERNEL:
            passed_on.consider(number, info.si_pid)
        return None

    def _reap(self) -> int | None:
        while True:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return 0
            if pid == 0:
                return None
            if not os.WIFSTOPPED(status):
                return status
            self._signals.stop_like(os.WSTOPSIG(status))
            for pump in self._pumps:
                pump.resize()


def _ending(status: int, received: tuple[tuple[str, float], ...]) -> Ending:
    if os.WIFSIGNALED(status):
        return Ending(None, name_of(os.WTERMSIG(status)), received)
    return Ending(os.WEXITSTATUS(status), None, received)


def _spawn(
    program: str, argv: Sequence[str], environment: Mapping[str, str], actions: list[tuple[int, ...]], signals: Signals
) -> int:
    """Without a fork of this process, so that neither its memory nor its threads matter."""
    undone = [signal.SIGPIPE, signal.SIGXFSZ]  # Python ignores these two; a child must not
    options = {"file_actions": actions, "setsigmask": signals.inherited_mask, "setsigdef": undone}
    try:
        try:
            pid = os.posix_spawn(program, argv, environment, **options)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno != errno.ENOEXEC or _is_binary(program):
                raise
            script = ["/bin/sh", program, *argv[1:]]  # what shells and execvp do with a script without #!
            pid = os.posix_spawn("/bin/sh", script, environment, **options)  # type: ignore[arg-type]
    except OSError as error:
        raise CannotExecute(f"cannot execute {program}: {error.strerror}") from None
    if signals.child_ignored:  # inherited by the child; we ourselves have somebody to wait for
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return pid


def _is_binary(path: str) -> bool:
    with open(path, "rb") as file:
        return b"\0" in file.read(256)


def _out_of_the_way(fd: int) -> int:
    """An inheritable copy of ``fd`` with a number that programs do not use."""
    for lowest in (200, 60, 20):
        try:
            return fcntl.fcntl(fd, fcntl.F_DUPFD, lowest)
        except OSError:
            continue
    return os.dup(fd)


def _open_channel(channel: Channel) -> tuple[int, int]:
    """Our end and the child's."""
    if not os.isatty(channel.onward):
        ours, theirs = os.pipe()
        try:
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            pass  # the user's share of pipe memory is used up; the usual size does
        return ours, theirs
    ours, theirs = os.openpty()
    settings = termios.tcgetattr(channel.onward)
    settings[1] &= ~termios.OPOST  # the real terminal does this, once
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    _copy_size(channel.onward, ours)
    return ours, theirs


def _copy_size(from_fd: int, to_fd: int) -> None:
    try:
        size = fcntl.ioctl(from_fd, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(to_fd, termios.TIOCSWINSZ, size)
    except OSError:
        pass


class _Pump(threading.Thread):
    """Moves one channel's bytes, into the record and onward, until nobody writes any more."""

    def __init__(self, channel: Channel, source: int, record: Record, ended: int) -> None:
        super().__init__(name=f"kleio-{channel.stream}", daemon=True)
        self._source = source
        self._onward = channel.onward
        self._record = record
        self._ended = ended
        self._is_terminal = os.isatty(source)

    def resize(self) -> None:
        """Give the pseudo-terminal the size of the terminal."""
        if self._is_terminal:
            _copy_size(self._onward, self._source)

    def run(self) -> None:
        while self._child_lives_or_wrote():
            if not self._move(PIECE):
                return
        deadline = time.monotonic() + LINGER
        only = select.poll()
        only.register(self._source, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and only.poll(left * 1000):
            if not self._move(PIECE):
                return
        waiting = struct.unpack("i", fcntl.ioctl(self._source, termios.FIONREAD, bytes(4)))[0]
        while waiting > 0 and (moved := self._move(min(waiting, PIECE))):
            waiting -= moved
        self._close()

    def _close(self) -> None:
        self._is_terminal = False
        os.close(self._source)

    def _child_lives_or_wrote(self) -> bool:
        both = select.poll()
        both.register(self._source, select.POLLIN)
        both.register(self._ended, select.POLLIN)
        return any(fd == self._source for fd, _ in both.poll())

    def _move(self, at_most: int) -> int:
        """How many bytes were moved; 0, with the source closed, once nobody writes or nobody reads."""
        try:
            data = os.read(self._source, at_most)
        except OSError:  # a pseudo-terminal that nobody has open any more
            data = b""
        if data:
            self._record(data)
            if _write_all(self._onward, data):
                return len(data)
        self._close()  # the child's next write fails as it would without us
        return 0


def _write_all(fd: int, data: bytes) -> bool:
    """Whether all of it went out; False when nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # whoever we share it with made it non-blocking
            select.select([], [fd], [])
        except OSError:
            return False
    return True
