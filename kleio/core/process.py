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
from kleio.core.signals import ENDING, SI_KERNEL, PassedOn, name_of, send
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
TERMINAL_HOLDS = 1 << 17
"""Bytes that a pseudo-terminal holds at most; unlike a pipe it does not say how many wait in it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What carries some of the child's output: ``stream`` names it, ``fds`` are the child's, ``onward`` is ours."""

    stream: str
    fds: tuple[int, ...]
    onward: int


def channels(split: bool = False) -> list[Channel]:
    """The channels that this process's own stdout and stderr ask for; closed ones ask for none."""
    out, err = _open_file(1), _open_file(2)
    if out is not None and out == err and not split and _write_to_one_place():
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
        if fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:  # not inherited: it was closed, and we filled it
            return None
    except OSError:
        return None
    position = os.lseek(fd, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
    return status.st_dev, status.st_ino, status.st_rdev, flags & (os.O_APPEND | os.O_ACCMODE), position


def _write_to_one_place() -> bool:
    """Whether stdout and stderr, the same file as it seems, go on one behind the other: ``2>&1``, not ``2>log``.

    Two that were opened apart have a position each and write over each other. Whether they share it shows in a flag
    that they would share too; this one means nothing for files.
    """
    flags = fcntl.fcntl(1, fcntl.F_GETFL)
    if not stat.S_ISREG(os.fstat(1).st_mode) or flags & os.O_APPEND:
        return True
    fcntl.fcntl(1, fcntl.F_SETFL, flags ^ os.O_NONBLOCK)
    try:
        return fcntl.fcntl(2, fcntl.F_GETFL) & os.O_NONBLOCK != flags & os.O_NONBLOCK
    finally:
        fcntl.fcntl(1, fcntl.F_SETFL, flags)


def inherited_environment() -> dict[str, str]:
    """The variables as they were given to us: where the locale is C, Python sets LC_CTYPE, for its children too."""
    variables = dict(os.environ)
    if "LC_CTYPE" in variables:
        try:
            with open("/proc/self/environ", "rb") as file:
                given = [entry for entry in file.read().split(b"\0") if entry.startswith(b"LC_CTYPE=")]
        except OSError:
            return variables
        del variables["LC_CTYPE"]
        if given:
            variables["LC_CTYPE"] = os.fsdecode(given[0].partition(b"=")[2])
    return variables


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
            if error.errno == errno.EACCES or ("/" in word and error.errno == errno.ENOTDIR):
                refused = refused or f"cannot execute {path}: {(error.strerror or '').lower()}"
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
        if words and (os.path.isdir(words[0]) or not os.access(words[0], os.X_OK)):
            raise CannotExecute(f"cannot execute {path}: its interpreter {os.fsdecode(words[0])} is no program")
    elif b"\0" in first.split(b"\n")[0] and not first.startswith(b"\x7fELF"):  # what shells go by
        raise CannotExecute(f"cannot execute {path}: it is neither a program for this machine nor a script")


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
        self._ended, self._ending = os.pipe()
        early = signals.early()
        self._received = [(name_of(number), time.monotonic()) for number in early]
        self._pumps: list[_Pump] = []
        theirs: dict[int, int] = {}
        for channel, record in records.items():
            ours, child_end = _open_channel(channel)
            self._pumps.append(_Pump(channel, ours, record, self._ended))
            theirs |= dict.fromkeys(channel.fds, child_end)
        inherited = [] if lock is None else [_out_of_the_way(lock)]
        try:
            self.pid = _spawn(program, argv, environment, theirs, signals)
        finally:
            for fd in {*theirs.values(), *inherited}:
                os.close(fd)
        for number in early:
            send(self.pid, number)
        for pump in self._pumps:
            pump.start()

    @property
    def unwritten(self) -> list[str]:
        """What could not be passed on, and why: ``stdout: No space left on device``."""
        return [f"{pump.stream}: {pump.failed}" for pump in self._pumps if pump.failed]

    def wait(self) -> Ending:
        """Attend to its signals until it has ended and what it printed has been moved."""
        status = self._until_ended()
        ended = time.monotonic()
        os.close(self._ending)
        killed = self._until_moved()
        received = tuple((name, ended - when) for name, when in self._received)
        return Ending(None, name_of(killed), received) if killed else _ending(status, received)

    def _until_ended(self) -> int:
        """Its wait status."""
        passed_on = PassedOn(self._signals, self.pid)
        while True:
            info = self._signals.take(passed_on.timeout())
            if info is not None:
                status = self._attend(info, passed_on)
                if status is not None:
                    return status
            passed_on.settle()

    def _until_moved(self) -> int | None:
        """Wait for what it printed to be moved. The signal that ended us instead, while nobody took its own output."""
        killed = None
        while killed is None and not all(pump.done for pump in self._pumps):
            info = self._signals.take()  # a pump that is done sends SIGCHLD
            if info is not None and info.si_signo == signal.SIGTSTP:
                self._signals.stop_like(signal.SIGTSTP)
            elif info is not None and info.si_signo in ENDING:
                if not any(pump.owing for pump in self._pumps):
                    break  # the command is over; only its background writers are not
                killed = info.si_signo
                self._received.append((name_of(killed), time.monotonic()))
        for pump in self._pumps:
            pump.abandon()
        return killed

    def _attend(self, info: signal.struct_siginfo, passed_on: PassedOn) -> int | None:
        """Do what one signal asks for; the wait status once the child has ended."""
        number, from_terminal = info.si_signo, info.si_code == SI_KERNEL
        if number == signal.SIGCHLD:
            return self._reap()
        if number == signal.SIGWINCH and from_terminal:
            self._resize()
        elif info.si_pid not in (self.pid, os.getpid()):  # its own need not come back to it
            self._received.append((name_of(number), time.monotonic()))
            if not from_terminal or number == signal.SIGHUP:  # a hang-up reaches the leader of the session alone
                passed_on.consider(number, info.si_pid)
        return None

    def _resize(self) -> None:
        """Give the child's terminals the new size, and tell again: it was told before their size was right."""
        resized = [pump.resize() for pump in self._pumps]
        if any(resized):
            try:
                os.killpg(os.getpgid(self.pid), signal.SIGWINCH)
            except (PermissionError, ProcessLookupError):
                pass

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
    program: str, argv: Sequence[str], environment: Mapping[str, str], fds: Mapping[int, int], signals: Signals
) -> int:
    """Start it with our ``fds[n]`` as its ``n``, everything else as we were started ourselves."""
    start = _start_ignoring_children if signals.child_ignored else _start
    try:
        try:
            return start(program, argv, environment, fds, signals)
        except OSError as error:
            if error.errno != errno.ENOEXEC or _is_binary(program):
                raise
            script = ["/bin/sh", program, *argv[1:]]  # what shells and execvp do with a script without #!
            return start("/bin/sh", script, environment, fds, signals)
    except OSError as error:
        raise CannotExecute(f"cannot execute {program}: {error.strerror}") from None


def _start(
    program: str, argv: Sequence[str], environment: Mapping[str, str], fds: Mapping[int, int], signals: Signals
) -> int:
    """Without a fork of this process, so that neither its memory nor its threads matter."""
    return os.posix_spawn(
        program,
        list(argv),
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in fds.items()],
        setsigmask=signals.inherited_mask,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these two; a child must not
    )


def _start_ignoring_children(
    program: str, argv: Sequence[str], environment: Mapping[str, str], fds: Mapping[int, int], signals: Signals
) -> int:
    """For one that is to inherit SIGCHLD ignored, which posix_spawn cannot give and we cannot have ourselves."""
    import subprocess

    def prepare() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals.inherited_mask)

    started = subprocess.Popen(
        argv,
        executable=program,
        env=environment,
        stdout=fds.get(1),
        stderr=fds.get(2),
        close_fds=False,
        preexec_fn=prepare,  # noqa: PLW1509 - it only makes two system calls
    )
    started.returncode = 0  # we wait for it ourselves
    return started.pid


def _is_binary(path: str) -> bool:
    with open(path, "rb") as file:
        return b"\0" in file.read(256).split(b"\n")[0]


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
    if os.isatty(channel.onward):
        try:
            return _open_terminal(channel.onward)
        except (OSError, termios.error):
            pass  # none can be had: in a container without /dev/pts, or the real one has just hung up
    ours, theirs = os.pipe()
    try:
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass  # the user's share of pipe memory is used up; the usual size does
    return ours, theirs


def _open_terminal(like: int) -> tuple[int, int]:
    settings = termios.tcgetattr(like)
    ours, theirs = os.openpty()
    settings[1] &= ~termios.OPOST  # the real terminal does this, once
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    _copy_size(like, ours)
    return ours, theirs


def _copy_size(from_fd: int, to_fd: int) -> None:
    try:
        size = fcntl.ioctl(from_fd, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(to_fd, termios.TIOCSWINSZ, size)
    except OSError:
        pass


class _Pump(threading.Thread):
    """Moves one channel's bytes, into the record and onward, until nobody writes any more.

    ``owing`` while there may be bytes in it that the child itself wrote, ``done`` at the end, of which SIGCHLD tells;
    ``failed`` says why the bytes could not be passed on, if there was still somebody to pass them to.
    """

    def __init__(self, channel: Channel, source: int, record: Record, ended: int) -> None:
        super().__init__(name=f"kleio-{channel.stream}", daemon=True)
        self.stream = channel.stream
        self.owing = True
        self.done = False
        self.failed: str | None = None
        self._source = source
        self._onward = channel.onward
        self._record = record
        self._recording = threading.Lock()
        self._ended = ended
        self._is_terminal = os.isatty(source)

    def resize(self) -> bool:
        """Give the pseudo-terminal, if it is one, the size of the terminal."""
        if self._is_terminal:
            _copy_size(self._onward, self._source)
        return self._is_terminal

    def abandon(self) -> None:
        """Record nothing from now on: the record is closed, though the thread may still wait for somebody to read."""
        with self._recording:
            self._record = lambda _: None

    def run(self) -> None:
        try:
            if self._while_it_lives() and self._what_it_left():
                self._linger()
        finally:
            self._is_terminal = False
            os.close(self._source)  # the next write of whoever still writes fails as it would without us
            self.done = True
            os.kill(os.getpid(), signal.SIGCHLD)

    def _while_it_lives(self) -> bool:
        """Move bytes until the child has ended; False once there is nobody left to move them from or to."""
        both = select.poll()
        both.register(self._source, select.POLLIN)
        both.register(self._ended, select.POLLIN)
        while self._ended not in (ready := dict(both.poll())):
            if self._source in ready and not self._move(PIECE):
                return False
        return True

    def _what_it_left(self) -> bool:
        """Move what the child wrote before it ended, however long that takes, but not all that others go on writing."""
        left = TERMINAL_HOLDS
        if not self._is_terminal:
            (left,) = struct.unpack("i", fcntl.ioctl(self._source, termios.FIONREAD, bytes(4)))
        while left > 0 and self._readable(0):
            moved = self._move(min(left, PIECE))
            if not moved:
                return False
            left -= moved
        self.owing = False
        return True

    def _linger(self) -> None:
        """Hear the writers in the background for a while."""
        deadline = time.monotonic() + LINGER
        while (left := deadline - time.monotonic()) > 0 and self._readable(left):
            if not self._move(PIECE):
                return

    def _readable(self, seconds: float) -> bool:
        only = select.poll()
        only.register(self._source, select.POLLIN)
        return bool(only.poll(seconds * 1000))

    def _move(self, at_most: int) -> int:
        """How many bytes were moved; 0 once nobody writes or nobody reads."""
        try:
            data = os.read(self._source, at_most)
        except OSError:  # a pseudo-terminal that nobody has open any more
            return 0
        if not data:
            return 0
        with self._recording:
            self._record(data)
        return len(data) if self._pass_on(data) else 0

    def _pass_on(self, data: bytes) -> bool:
        """Whether all of it went out; False when nobody takes any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._onward, view) :]
            except BlockingIOError:  # whoever we share it with made it non-blocking
                select.select([], [self._onward], [])
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):  # nobody reads, or the terminal is gone
                    self.failed = error.strerror or str(error)
                return False
        return True
