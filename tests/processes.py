"""Commands with and without kleio, in pipes and on terminals. Everything waits for what it needs, with a deadline."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import select
import struct
import subprocess
import sys
import termios
import time

import pytest
from commands import KLEIO, PYTHON, trials

PLAIN: list[str] = []
QUIET = [*KLEIO, "-q", "--"]
SECONDS = 600.0

with_and_without = pytest.mark.parametrize("prefix", [PLAIN, QUIET], ids=["plain", "kleio"])
"""What a test asserts of a command must hold without kleio too, or it asserts the wrong thing."""


def both(*words, **options):
    """Run a command without and with kleio: two results with returncode, stdout and stderr, as bytes."""
    return [run(*prefix, *words, **options) for prefix in (PLAIN, QUIET)]


def run(*words, typed=None, env=None, **options):
    """``typed`` is what it reads from a pipe; without that there is nothing to read."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": SECONDS} | options
    options |= {"stdin": subprocess.DEVNULL} if typed is None else {"input": typed}
    return subprocess.run(list(words), check=False, env=os.environ | (env or {}), **options)


def recorded(*options):
    """The bytes that the newest trial printed, as ``kleio cat --raw`` gives them."""
    (done,) = [run(*KLEIO, "cat", "--raw", *options, trials()[0]["id"])]
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(text):
    """The words that run some Python, without what the environment adds to it."""
    return [PYTHON, "-S", "-c", text]


def until(condition, what="it"):
    """The first true value of ``condition``; fails when it never comes."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)
    return value


def gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def written(path, size=1):
    """Wait for a file to have at least so many bytes, and give them."""
    until(lambda: path.exists() and path.stat().st_size >= size, path)
    return path.read_bytes()


# Makes standard input the controlling terminal and becomes the command; a preexec_fn warns where there are threads.
ON_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def _without_a_size(variables):
    """readline, where it is imported, says in these what the terminal of the tests has, or would have."""
    return {name: value for name, value in variables.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """A command on a terminal of its own, its leader and in its foreground. ``stdout``, ``stderr`` may go elsewhere.

    ``before`` are the modes that the terminal was given to it in.
    """

    def __init__(self, *words, size=(33, 101), stdout=None, stderr=None, env=None):
        self.master, slave = os.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.master)
        self.seen = b""
        self._read_to = 0
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", ON_TERMINAL, *words],
                stdin=slave,
                stdout=slave if stdout is None else stdout,
                stderr=slave if stderr is None else stderr,
                env=_without_a_size(os.environ) | {"TERM": "xterm-256color"} | (env or {}),
                start_new_session=True,
            )
        finally:
            os.close(slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def until(self, marker):
        """Read until ``marker`` has been printed, after what was waited for before."""
        while marker not in self.seen[self._read_to :]:
            assert self._read(), f"it ended, without {marker!r}: {self.seen!r}"
        self._read_to = self.seen.index(marker, self._read_to) + len(marker)

    def _read(self):
        ready, _, _ = select.select([self.master], [], [], SECONDS)
        assert ready, f"nothing came any more after {self.seen[-2000:]!r}"
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # nobody has it open any more
            data = b""
        self.seen += data
        return bool(data)

    def finish(self):
        """Everything it printed; ``process.returncode`` is set then."""
        while self._read():
            pass
        self.process.wait(SECONDS)
        return self.seen

    def hang_up(self):
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def started(*words, **options):
    """A command in a process group of its own, stdout a pipe that is read with :func:`line`."""
    process = subprocess.Popen(
        list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def line(process):
    """The next line of what :func:`started` gave, without its end; empty at the end of all."""
    found = b""
    while not found.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        assert ready, f"nothing came any more after {found!r}"
        byte = process.stdout.read(1)
        if not byte:
            break
        found += byte
    return found.decode().strip()


def lines(process):
    """All lines that are left."""
    return list(iter(lambda: line(process), ""))


def children_of(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid, thread=None):
    """``T`` for a stopped process, ``S`` for a sleeping one; of its first thread, or of that."""
    return pathlib.Path(f"/proc/{pid}/task/{thread or pid}/stat").read_text().rpartition(")")[2].split()[0]
