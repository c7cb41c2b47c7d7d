"""A git work tree, looked at without touching it: git answers while kleio does something else.

This module imports next to nothing, because asking git is the first thing a launch does.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Of submodules only their commit is asked here: what changed inside them each is asked itself, by kleio.
STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--ignore-submodules=dirty")
QUESTIONS = {
    "config": ("config", "-z", "--get-regexp", r"^(remote\..*\.url|core\.(autocrlf|eol|filemode)|extensions\.objectformat)$"),
    "status": (*STATUS, "--untracked-files=all"),
    "files": ("ls-files", "-s", "-v", "-z"),
    "root": ("rev-list", "--first-parent", "--max-parents=0", "HEAD"),
}
MOST_PRINTED = 128 << 20
"""Bytes; a git that prints more is stopped, as one that takes too long is."""
PATIENCE, UNHURRIED, GRACE = 2.0, 10.0, 0.1
"""Seconds that a launch waits for git in all where its patience is one, that others do, and for a single answer in any case."""
FOR_SETTINGS = 0.8
"""Seconds of the first that may go on settings, which can be read without git."""
NO_MATCH = 1 << 8
"""How ``git config`` ends, as waitpid tells it, where none of the settings is there."""


def working_directory() -> str:
    """Its real path. Raises KleioError when it has been deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        from kleio.core.errors import KleioError

        raise KleioError("the working directory does not exist any more; change to another") from None


def here() -> str:
    """The working directory as the user names it: through symbolic links, if the shell came that way. Raises KleioError."""
    named, real = os.environ.get("PWD", ""), working_directory()
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return os.path.normpath(named)
    except OSError:
        pass
    return real


class Patience:
    """Seconds that are left to wait for git, by all who share it. What git does while nobody waits costs nothing.

    ``factor`` says how many times longer than usual everything may take.
    """

    def __init__(self, seconds: float, factor: float = 1.0) -> None:
        self.left, self.factor = seconds * factor, factor

    def answer(self, running: Running, timeout: float | None = None) -> tuple[bytes, int | None]:
        """What :meth:`Running.printed` gives, waited for no longer than there is patience."""
        began = time.monotonic()
        limit = self.left if timeout is None else min(self.left, timeout)
        try:
            return running.printed(max(limit, GRACE))
        finally:
            self.left -= time.monotonic() - began


class Running:
    """A program at work. Not by subprocess, whose import takes 3 ms, a twentieth of what a launch may cost."""

    def __init__(
        self, words: list[str], environment: Mapping[str, str], stdin: int | None, complaints: int | None = None
    ) -> None:
        """Start it. Without ``stdin`` it has nothing to read; :meth:`wait` returns what it prints. What it complains of goes
        to the descriptor ``complaints``.
        """
        self._printed, printing = os.pipe()
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0) if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, printing, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
            if complaints is None
            else (os.POSIX_SPAWN_DUP2, complaints, 2),
        ]
        try:
            undone = [signal.SIGPIPE, signal.SIGXFSZ]  # Python ignores these two
            # In a group of its own, so that what it started ends with it.
            self._pid = os.posix_spawnp(
                words[0], words, environment, file_actions=actions, setpgroup=0, setsigdef=undone
            )
        except OSError:
            os.close(self._printed)
            raise
        finally:
            os.close(printing)

    def wait(self, timeout: float | None = None) -> bytes | None:
        """What it prints; None if it fails, or is stopped because it takes longer than ``timeout`` seconds."""
        printed, ended = self.printed(timeout)
        return printed if ended == 0 else None

    def printed(self, timeout: float | None = None) -> tuple[bytes, int | None]:
        """What it prints to its end, and its exit status; None is that of one that took longer than ``timeout`` seconds, or
        printed more than :data:`MOST_PRINTED`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        out, whole = bytearray(), False
        ready = select.poll()
        ready.register(self._printed, select.POLLIN)
        while ready.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000):
            piece = os.read(self._printed, 1 << 20)
            if not piece:
                whole = True
                break
            out += piece  # also when it is late: it may be we who were held up
            if len(out) > MOST_PRINTED:
                break
        os.close(self._printed)
        if not whole:
            self.stop()
            return bytes(out), None
        return bytes(out), self._exit_status(None if deadline is None else max(deadline, time.monotonic() + GRACE))

    def _exit_status(self, deadline: float | None) -> int | None:
        """Its exit status; None if it goes on after the deadline, though it will print no more."""
        while deadline is not None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                return status
            if time.monotonic() > deadline:
                self.stop()
                return None
            time.sleep(1e-4)  # it is about to end
        return os.waitpid(self._pid, 0)[1]

    def stop(self) -> None:
        """Kill it, and what it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def abandon(self) -> None:
        """Nobody waits for what it prints."""
        os.close(self._printed)
        self.stop()


class Repository:
    """A git work tree, looked at without touching it."""

    def __init__(self, root: str, patience: Patience | None = None) -> None:
        """``patience`` is shared with others that are waited for at the same time."""
        self.root = root
        self.patience = patience or Patience(UNHURRIED)
        self.remarks: list[str] = []
        """What is to be said of answers that had to be found in another way."""
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        # Where this repository is damaged, one around it must not answer in its place; nothing is fetched to answer.
        self._environment |= {
            "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_CEILING_DIRECTORIES": os.path.dirname(root),
            "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0",
        }  # fmt: skip
        self._asked: dict[str, Running] = {}
        self._answers: dict[str, bytes | None] = {}
        self._ended: dict[str, int | None] = {}
        self._complaints: int | None = None
        self._settings: dict[str, str] | None = None

    @classmethod
    def asked(cls, directory: str, patience: float = 1.0) -> Repository | None:
        """The one that ``directory`` lies in, where git begins to answer what every launch asks."""
        repository = cls.around(directory, patience)
        if repository:
            repository.ask("config", "status", "files")
        return repository

    @classmethod
    def around(cls, directory: str, patience: float = 1.0) -> Repository | None:
        """The one that ``directory`` lies in; None as well where there is no git to ask. ``patience`` is the setting."""
        root = root_around(directory)
        there = root and any(os.access(os.path.join(place, "git"), os.X_OK) for place in os.get_exec_path())
        return cls(root, Patience(PATIENCE, patience)) if root and there else None

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """The words and the environment of a git command. The work tree may be anybody's: the user runs commands in it."""
        safe = ["-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-c", "core.quotePath=false"]
        return ["git", "-C", self.root, *safe, *words], self._environment

    def start(self, *words: str, stdin: int | None = None, complaints: int | None = None) -> Running:
        """Begin a git command."""
        return Running(*self.command(*words), stdin, complaints)

    def run(self, *words: str, timeout: float | None = None, stdin: int | None = None) -> bytes | None:
        """What a git command prints; None if it fails or takes longer than ``timeout`` seconds, or than there is patience."""
        printed, ended = self.patience.answer(self.start(*words, stdin=stdin), timeout)
        return printed if ended == 0 else None

    def ask(self, *questions: str) -> None:
        """Let git begin to answer them."""
        for question in questions:
            if question == "status" and hasattr(os, "memfd_create"):
                self._complaints = os.memfd_create("complaints", os.MFD_CLOEXEC)
            complaints = self._complaints if question == "status" else None
            self._asked[question] = self.start(*QUESTIONS[question], complaints=complaints)

    def answer(self, question: str, timeout: float | None = None) -> bytes | None:
        """The answer; None if git refuses or takes longer than ``timeout`` seconds, or than there is patience."""
        if question not in self._answers:
            if question not in self._asked:
                self.ask(question)
            printed, ended = self.patience.answer(self._asked.pop(question), timeout)
            self._ended[question] = ended
            self._answers[question] = printed if ended == 0 else None
        return self._answers[question]

    def was_late(self, question: str) -> bool:
        """Whether git did not answer in time, and was stopped."""
        return self._ended.get(question, 0) is None

    def complaints(self) -> list[str]:
        """What git complained of, line by line, when it told the status; nothing where the system cannot keep it."""
        if self._complaints is None:
            return []
        return os.fsdecode(os.pread(self._complaints, 1 << 20, 0)).splitlines()

    def close(self) -> None:
        """Stop what was asked and is not needed."""
        for running in self._asked.values():
            running.abandon()
        self._asked.clear()
        if self._complaints is not None:
            os.close(self._complaints)
            self._complaints = None

    def settings(self) -> dict[str, str]:
        """What its configuration says of remotes and of how files look: ``remote.origin.url``, ``core.autocrlf``."""
        if self._settings is None:
            said = self.answer("config", FOR_SETTINGS * self.patience.factor)
            if said is None and self._ended["config"] != NO_MATCH:
                self._settings = self._settings_by_hand()
            else:
                entries = (entry.partition(b"\n") for entry in (said or b"").split(b"\0") if entry)
                self._settings = {os.fsdecode(name): os.fsdecode(value) for name, _, value in entries}
        return self._settings

    def _settings_by_hand(self) -> dict[str, str]:
        from kleio.core import gitfiles

        why = "did not tell in time" if self.was_late("config") else "could not tell"
        self.remarks.append(f"git {why} how the repository in {self.root} is configured: what its own config file says counts")
        return gitfiles.settings(self.root)

    def remote(self) -> str | None:
        """The address of ``origin``, as it is written; it may hold a password."""
        return self.settings().get("remote.origin.url", "").strip() or None

    def ask_further(self) -> None:
        """Ask what only the first answer shows to be needed: without a remote the root commit names the project."""
        if not self.remote():
            self.ask("root")


def root_around(directory: str) -> str | None:
    """The nearest directory, from ``directory`` upwards, that holds a ``.git``."""
    while not os.path.exists(os.path.join(directory, ".git")):
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
    return directory


def root_commit(repository: Repository) -> str:
    """The first commit along first parents, which merging branches in does not change; the directory if there is none."""
    roots = repository.answer("root")
    if roots:
        return roots.decode().split()[-1]
    return _logged(repository)


def _logged(repository: Repository) -> str:
    """What it is called when git does not say how it began: by its log, or by its directory."""
    from kleio.core import gitfiles

    first = gitfiles.first_commit(repository.root)
    late = repository.was_late("root")
    if first or late:  # else it has no commit yet
        why = "did not tell in time" if late else "could not tell"
        known = "its log was asked" if first else "without it the project is called by its directory"
        repository.remarks.append(f"git {why} how the repository in {repository.root} began: {known}")
    return first or repository.root
