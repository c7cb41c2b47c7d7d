"""Signals as a transparent launcher meets them: blocked, awaited, and passed on exactly once.

The launcher shares its process group with the child. A signal from the terminal reaches both, one from ``kill PID``
only the launcher, one from ``kill -- -PGID`` both; ``timeout`` sends one of each, and others (systemd, batch systems,
``pkill -f``) one to each process. What the child has already may not be passed on, or its handler would run twice. The
kernel marks the first kind (SI_KERNEL). To tell the others apart a *sentinel*, a process that does nothing else, sits in
the group and reports what it receives: what reached it from some sender has reached the child too.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

SI_KERNEL = 0x80
GRACE = 0.1
"""Seconds for which a signal waits for its sender to send the same to the group or to the next process."""
ANSWER = 5.0
"""Seconds for which the sentinel is waited for if somebody stopped it; else it answers as soon as the machine lets it run."""
LOOK = 1.0
"""Seconds after which it is looked again whether somebody stopped it."""
ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Signals that ask an ordinary program to end."""

_LEFT_ALONE = ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGPIPE",
               "SIGTTIN", "SIGTTOU", "SIGXFSZ")  # fmt: skip
"""What cannot be blocked, what tells of the launcher's own faults, and what the terminal sends the whole group."""

_PING = signal.SIGRTMAX  # of all that is pending the kernel gives out the highest number last
_PONG = (0, 0)
_REPORT = struct.Struct("ii")


def name_of(number: int) -> str:
    """``SIGTERM`` for 15; most real-time signals have a number for a name, ``SIG40``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def number_of(name: str) -> int:
    """The number whose name :func:`name_of` gives."""
    found = getattr(signal, name, None)
    return int(found) if found is not None else int(name[3:])


class AskedToEnd(BaseException):
    """A signal that asks to end came while :meth:`Signals.heeded`. No error, so that nobody goes on because it is one."""

    def __init__(self, number: int) -> None:
        super().__init__(name_of(number))
        self.number = number


class Signals:
    """The signals of this process from now on, to its end: all blocked and taken one by one.

    Made early, while the process has one thread and no database connection, because it forks the sentinel.
    """

    def __init__(self) -> None:
        self.inherited_mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        ignored = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN}
        alone = {getattr(signal, name) for name in _LEFT_ALONE}
        self.child_ignored = signal.SIGCHLD in ignored
        if self.child_ignored:  # or the kernel would keep from us how children end, git's as well as the command's
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.watched = (signal.valid_signals() - alone - ignored) | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, self.watched)
        self._sentinel, self._reports = _start_sentinel()
        self._seen: list[tuple[int, int]] = []
        self.busy: AbstractContextManager[object] = _Never()
        """Held while this process has something that others wait for: it does not stop then."""

    def pending_end(self) -> int | None:
        """A signal that would end an ordinary program and has come already."""
        came = signal.sigpending() & ENDING
        return min(came) if came else None

    def take(self, timeout: float | None = None) -> signal.struct_siginfo | None:
        """The next signal, or None after ``timeout`` seconds."""
        if timeout is None:
            return signal.sigwaitinfo(self.watched)
        return signal.sigtimedwait(self.watched, max(timeout, 0.0))

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Meanwhile one that asks to end, also one that has come already, raises AskedToEnd. For the main thread."""
        ours = ENDING & self.watched
        before = {number: signal.signal(number, _raise) for number in ours}
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, ours)
            for number, handler in before.items():
                signal.signal(number, handler)

    def early(self) -> list[int]:
        """What came before there is a child: it cannot have it yet, whoever else has."""
        came = []
        while (info := self.take(0)) is not None:
            if info.si_signo not in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
                came.append(info.si_signo)
        if came:
            self._ask_sentinel()
        self._read_reports()
        self._seen.clear()
        return came

    def of_the_group(self) -> set[tuple[int, int]]:
        """The (signal, sender) that have reached the whole group since the last call.

        Told again as long as one of that signal waits here to be taken: it may be the one.
        """
        self._ask_sentinel()
        told = set(self._seen)
        waiting = signal.sigpending()
        self._seen = [one for one in self._seen if one[0] in waiting]
        return told

    def _ask_sentinel(self) -> None:
        """Have it report all that it has been sent until now, however late the scheduler lets it run."""
        if not self._sentinel:
            return
        os.kill(self._sentinel, _PING)
        until = time.monotonic() + ANSWER
        while _PONG not in self._seen:
            if select.select([self._reports], [], [], max(until - time.monotonic(), LOOK))[0]:
                if not self._read_reports():
                    break
            elif _is_stopped(self._sentinel):
                break
        self._seen = [one for one in self._seen if one != _PONG]

    def _read_reports(self) -> bool:
        """Take in what it has written; False once it is gone."""
        while select.select([self._reports], [], [], 0)[0]:
            data = os.read(self._reports, 512 * _REPORT.size)
            if not data:
                return False
            self._seen += _REPORT.iter_unpack(data)
        return True

    def stop_like(self, number: int) -> None:
        """Stop this process as the child was stopped, so that the shell sees its job stop; returns when continued.

        At once if it has been continued since: who continues a job process by process may not have come to the child yet, and
        would not come again to us.
        """
        if number not in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            number = signal.SIGSTOP
        with self.busy:
            if signal.SIGCONT in signal.sigpending():
                return
            os.kill(os.getpid(), number)  # while it is blocked: it is then one with the terminal's, which may still wait
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            signal.pthread_sigmask(signal.SIG_BLOCK, {number} & self.watched)

    def close(self) -> None:
        """End the sentinel. Signals stay blocked: the launcher has yet to finish its record."""
        if self._sentinel:
            os.kill(self._sentinel, signal.SIGKILL)
            os.waitpid(self._sentinel, 0)
            os.close(self._reports)
            self._sentinel = 0


def _raise(number: int, _: object) -> None:
    raise AskedToEnd(number)


class _Never:
    """Busy at no time."""

    def __enter__(self) -> None:
        """Nothing to wait for."""

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""


class PassedOn:
    """Signals from outside that wait for :data:`GRACE` to show whether the child has them already."""

    def __init__(self, signals: Signals, child: int) -> None:
        self._signals = signals
        self._child = child
        self._waiting: list[tuple[float, int, int]] = []

    def consider(self, number: int, sender: int) -> None:
        """Take up a signal that may have been sent to this process alone."""
        self._waiting.append((time.monotonic() + GRACE, number, sender))

    def timeout(self) -> float | None:
        """Seconds until :meth:`settle` has something to do."""
        return self._waiting[0][0] - time.monotonic() if self._waiting else None

    def settle(self) -> None:
        """Drop what the group received, pass on what only the launcher did.

        What one sender sent here and, a moment before or after, to the group is one signal: ``timeout`` does that.
        """
        if not self._waiting or self._waiting[0][0] > time.monotonic():
            return
        group = self._signals.of_the_group()
        self._waiting = [one for one in self._waiting if one[1:] not in group]
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            send(self._child, self._waiting.pop(0)[1])


def send(pid: int, number: int) -> None:
    """Signal a process, unless it belongs to somebody else, as ``sudo`` does: then nobody else could either."""
    try:
        os.kill(pid, number)
    except (PermissionError, ProcessLookupError):
        pass


def _start_sentinel() -> tuple[int, int]:
    """Fork it: its pid, and the pipe on which it reports."""
    reports, reporting = os.pipe()
    launcher = os.getpid()
    pid = os.fork()
    if pid:
        os.close(reporting)
        return pid, reports
    try:
        _close_all_but(reporting)
        _watch(reporting, launcher)
    finally:
        os._exit(0)


def _watch(reporting: int, launcher: int) -> None:
    import fcntl

    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    fcntl.fcntl(reporting, fcntl.F_SETOWN, os.getpid())  # SIGIO when the launcher's end of the pipe closes
    fcntl.fcntl(reporting, fcntl.F_SETFL, fcntl.fcntl(reporting, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    gone = select.poll()
    gone.register(reporting, 0)  # POLLERR alone: nobody can read any more
    awaited = everything - {signal.SIGCHLD}
    while not gone.poll(0):
        info = signal.sigwaitinfo(awaited)
        report = (info.si_signo, info.si_pid)
        if report in ((_PING, launcher), (_PING, 0)):  # of whom it comes is lost where the user has no room for more signals
            report = _PONG
        elif info.si_code == SI_KERNEL and info.si_signo != signal.SIGHUP:
            continue
        try:
            os.write(reporting, _REPORT.pack(*report))
        except BlockingIOError:
            continue  # thousands of signals that nobody asked about


def _is_stopped(pid: int) -> bool:
    """Whether somebody stopped a process, or traces it; so too where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in b"Tt"
    except (OSError, IndexError):
        return True


def _close_all_but(kept: int) -> None:
    """An open descriptor in the sentinel would keep somebody's pipe from ending."""
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        if fd != kept:
            try:
                os.close(fd)
            except OSError:
                continue


def die_of(number: int) -> None:
    """End this process by a signal, as its child ended; returns only for PID 1, which the kernel protects."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the child has left its core already
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


def names(numbers: Iterable[int]) -> list[str]:
    """Their names, in order."""
    return [name_of(number) for number in numbers]
