"""Running kleio as a user does, and reading back what it kept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import kleio.core.journal as kleio_journal
from kleio.cli.door import door

KLEIO = [sys.executable, "-m", "kleio"]
PYTHON = sys.executable


def kleio(*words, cwd=None, check=None, input=None, timeout=600, **environment):
    """Run ``kleio WORDS``; ``check`` is the exit status that is expected. Output as text."""
    done = subprocess.run(
        [*KLEIO, *map(os.fspath, words)],
        cwd=cwd,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check is not None:
        assert done.returncode == check, f"exit status {done.returncode}, not {check}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr or "Traceback" in (words[-1] if words else ""), done.stderr
    return done


def start(*words, cwd=None, stdout=subprocess.PIPE, **environment):
    """``kleio WORDS`` in the background, in a process group of its own; its output can be read line by line."""
    return subprocess.Popen(
        [*KLEIO, *map(os.fspath, words)],
        cwd=cwd,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(process):
    """Kill what :func:`start` gave and all of its group: nothing of it runs any more then, or holds a lock."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not _running(process.pid))


def _running(group):
    """Whether a process of a group has not ended yet; a zombie has."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def trials(cwd=None, **environment):
    """``kleio ls --json --all-projects``: newest first."""
    return read("ls", "--json", "--all-projects", "-n", "0", cwd=cwd, **environment)


def info(trial, cwd=None, **environment):
    return read("info", "--json", trial, cwd=cwd, **environment)


def read(*words, cwd=None, **environment):
    """What a reading command prints with ``--json``. In this process where it can be: the tests ask a thousand times."""
    if cwd is not None or environment or threading.current_thread() is not threading.main_thread():
        return json.loads(kleio(*words, cwd=cwd, check=0, **environment).stdout)
    return json.loads(printed(*words))


class _Pipe(io.TextIOWrapper):
    """Takes text, and bytes by its buffer, as ``kleio cat`` gives them."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogatepass", newline="", write_through=True)

    def getvalue(self):
        return self.buffer.getvalue().decode(errors="surrogatepass")


class _Screen(io.StringIO):
    def isatty(self):
        return True


def shown(*words, columns=80):
    """The same as on a terminal of so many columns, without colours."""
    before = dict(os.environ)
    os.environ |= {"COLUMNS": str(columns), "LINES": "100", "NO_COLOR": "1"}
    try:
        return printed(*words, stdout=_Screen())
    finally:
        os.environ.clear()
        os.environ.update(before)


def printed(*words, stdout=None):
    """What ``kleio WORDS`` prints, in this process; what it refuses is raised."""
    opened, open_really = [], kleio_journal.open_journal

    def opening(*arguments, **named):
        opened.append(open_really(*arguments, **named))
        return opened[-1]

    kleio_journal.open_journal = opening
    stdout, sys.stdout = sys.stdout, stdout or _Pipe()
    try:
        assert not called(*words)
        return sys.stdout.getvalue()
    finally:
        sys.stdout = stdout
        kleio_journal.open_journal = open_really
        for one in opened:
            one.close()


def called(*words):
    """``kleio WORDS`` in this process: its exit status. What it does about signals is undone, or what starts later has it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        return door([str(word) for word in words]) or 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)


def until(condition, seconds=600.0):
    """The first true value of ``condition``; fails when it never comes."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {condition}"
        time.sleep(0.01)
    return value


def script(directory: Path, text: str, name: str = "train.py") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def on_a_terminal(*words, columns=80, **environment):
    """What ``kleio WORDS`` prints on a terminal of that width."""
    from processes import Terminal  # which has its words from here

    size = {"COLUMNS": str(columns), "LINES": "24"}
    with Terminal(*KLEIO, *words, size=(24, columns), env=size | environment) as terminal:
        out = terminal.finish()
    assert terminal.process.returncode == 0, out
    return out.decode().replace("\r\n", "\n")
