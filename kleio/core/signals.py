"""Signals as a transparent launcher meets them: blocked, awaited, and passed on exactly once.

The launcher shares its process group with the child. A signal from the terminal reaches both, one from ``kill PID``
only the launcher, one from ``kill -- -PGID`` or ``timeout`` both; only the second kind may be passed on, or the child's
handler would run twice. The kernel marks the first kind (SI_KERNEL). To tell the other two apart a *sentinel*, a
process that does nothing else, sits in the group and reports what it receives.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SI_KERNEL = 0x80
GRACE = 0.1
"""Seconds in which the sentinel must report a signal for it to count as the whole group's."""

_LEFT_ALONE = ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGPIPE",
               "SIGTTIN", "SIGTTOU", "SIGXFSZ")  # fmt: skip
"""What cannot be blocked, what tells of the launcher's own faults, and what the terminal sends the whole group."""

_REPORT = struct.Struct("ii")


def name_of(number: int) -> str:
    """``SIGTERM`` for 15; real-time signals have a number for a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


class Signals:
    """The signals of this process from now on, until :meth:`restore`: all blocked and taken one by one.

    Made early, while the process has one thread and no database connection, because it forks the sentinel.
    """

    def __init__(self) -> None:
        self.inherited_mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        ignored = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN}
        alone = {getattr(signal, name) for name in _LEFT_ALONE}
        self.child_ignored = signal.SIGCHLD in ignored
        self.watched = (signal.valid_signals() - alone - ignored) | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, self.watched)
        self._sentinel, self._reports = _start_sentinel()
        self._seen: list[tuple[int, int]] = []

    def pending_end(self) -> int | None:
        """A signal that would end an ordinary program and has come already."""
        came = signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
        return min(came) if came else None

    def take(self, timeout: float | None = None) -> signal.struct_siginfo | None:
        """The next signal, or None after ``timeout`` seconds."""
        if timeout is None:
            return signal.sigwaitinfo(self.watched)
        return signal.sigtimedwait(self.watched, max(timeout, 0.0))

    def was_for_the_group(self, number: int, sender: int) -> bool:
        """Whether the sentinel received this signal from this sender too; each report answers once."""
        while select.select([self._reports], [], [], 0)[0]:
            report = os.read(self._reports, _REPORT.size)
            if len(report) < _REPORT.size:  # the sentinel was killed
                break
            self._seen.append(_REPORT.unpack(report))
        if (number, sender) in self._seen:
            self._seen.remove((number, sender))
            return True
        return False

    def stop_like(self, number: int) -> None:
        """Stop this process as the child was stopped, so that the shell sees its job stop; returns when continued."""
        if number not in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            number = signal.SIGSTOP
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number} & self.watched)

    def close(self) -> None:
        """End the sentinel. Signals stay blocked: the launcher has yet to finish its record."""
        if self._sentinel:
            os.kill(self._sentinel, signal.SIGKILL)
            os.waitpid(self._sentinel, 0)
            os.close(self._reports)
            self._sentinel = 0


class PassedOn:
    """Signals from outside that wait for :data:`GRACE` to show whether the child has them already."""

    def __init__(self, signals: Signals, child: int) -> None:
        self._signals = signals
        self._child = child
        self._waiting: list[tuple[float, int, int]] = []

    def consider(self, number: int, sender: int) -> None:
        """Take up a signal that a process sent."""
        if sender != self._child:  # its own need not come back to it
            self._waiting.append((time.monotonic() + GRACE, number, sender))

    def timeout(self) -> float | None:
        """Seconds until :meth:`settle` has something to do."""
        return self._waiting[0][0] - time.monotonic() if self._waiting else None

    def settle(self) -> None:
        """Drop what the group received, pass on what only the launcher did."""
        still = []
        for due, number, sender in self._waiting:
            if self._signals.was_for_the_group(number, sender):
                continue
            if due > time.monotonic():
                still.append((due, number, sender))
            else:
                os.kill(self._child, number)
        self._waiting = still


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
    awaited = everything - {signal.SIGCHLD, signal.SIGWINCH}
    while os.getppid() == launcher:
        info = signal.sigwaitinfo(awaited)
        if info.si_signo != signal.SIGIO:
            os.write(reporting, _REPORT.pack(info.si_signo, info.si_pid))


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
