"""The transparent child: it runs as if kleio were not there, and what it prints is seen and kept.

Same session, same process group, stdin inherited. Where kleio's stdout and stderr are one open file the child gets one
channel for both, so that what it prints keeps its order.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import time

from kleio.core.channels import Pump, open_channel
from kleio.core.descriptors import far
from kleio.core.errors import CannotExecute, CommandNotFound
from kleio.core.signals import ENDING, SI_KERNEL, PassedOn, name_of, send
from kleio.core.trial import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kleio.core.channels import Channel, Record
    from kleio.core.signals import Signals


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
        elif not stat.S_ISREG(mode):  # one must not wait for who writes to a pipe
            refused = refused or (f"cannot execute {path}: it is no file" if "/" in word else None)
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
        self._pumps: list[Pump] = []
        theirs: dict[int, int] = {}
        for channel, record in records.items():
            ours, child_end = open_channel(channel)
            self._pumps.append(Pump(channel, ours, record, self._ended))
            theirs |= dict.fromkeys(channel.fds, child_end)
        inherited = [] if lock is None else [far(lock, inherited=True)]
        early = signals.early()  # at the last moment: what comes later is taken to reach it too
        self._received = [(name_of(number), time.monotonic()) for number in early]
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
