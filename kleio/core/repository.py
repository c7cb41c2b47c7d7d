"""A git work tree, looked at without touching it: git answers while kleio does something else.

This module imports next to nothing, because asking git is the first thing a launch does.
"""

from __future__ import annotations

import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Of submodules only their commit is asked here: what changed inside them each is asked itself, by kleio.
STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--ignore-submodules=dirty")
QUESTIONS = {
    "config": ("config", "-z", "--get-regexp", r"^(remote\..*\.url|core\.(autocrlf|eol)|extensions\.objectformat)$"),
    "status": (*STATUS, "--untracked-files=all"),
    "files": ("ls-files", "-s", "-v", "-z"),
    "root": ("rev-list", "--first-parent", "--max-parents=0", "HEAD"),
}


class Running:
    """A program at work. Not by subprocess, whose import takes 3 ms, a twentieth of what a launch may cost."""

    def __init__(self, words: list[str], environment: Mapping[str, str], stdin: int | None) -> None:
        """Start it. Without ``stdin`` it has nothing to read; :meth:`wait` returns what it prints."""
        self._printed, printing = os.pipe()
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0) if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, printing, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        try:
            undone = [signal.SIGPIPE, signal.SIGXFSZ]  # Python ignores these two
            self._pid = os.posix_spawnp(words[0], words, environment, file_actions=actions, setsigdef=undone)
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
        """What it prints to its end, and its exit status; None is that of one that took longer than ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        out, late = bytearray(), False
        ready = select.poll()
        ready.register(self._printed, select.POLLIN)
        while ready.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000):
            piece = os.read(self._printed, 1 << 20)
            if not piece:
                break
            out += piece
        else:
            late = True
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._printed)
        ended = os.waitpid(self._pid, 0)[1]
        return bytes(out), None if late else ended


class Repository:
    """A git work tree, looked at without touching it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        # Where this repository is damaged, one around it must not answer in its place; nothing is fetched to answer.
        self._environment |= {
            "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_CEILING_DIRECTORIES": os.path.dirname(root),
            "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0",
        }  # fmt: skip
        self._asked: dict[str, Running] = {}
        self._answers: dict[str, bytes | None] = {}

    @classmethod
    def asked(cls, directory: str) -> Repository | None:
        """The one that ``directory`` lies in, where git begins to answer what every launch asks."""
        repository = cls.around(directory)
        if repository:
            repository.ask("config", "status", "files")
        return repository

    @classmethod
    def around(cls, directory: str) -> Repository | None:
        """The one that ``directory`` lies in; None as well where there is no git to ask."""
        root = root_around(directory)
        there = root and any(os.access(os.path.join(place, "git"), os.X_OK) for place in os.get_exec_path())
        return cls(root) if root and there else None

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """The words and the environment of a git command. The work tree may be anybody's: the user runs commands in it."""
        safe = ["-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-c", "core.quotePath=false"]
        return ["git", "-C", self.root, *safe, *words], self._environment

    def start(self, *words: str, stdin: int | None = None) -> Running:
        """Begin a git command."""
        return Running(*self.command(*words), stdin)

    def run(self, *words: str, timeout: float | None = None, stdin: int | None = None) -> bytes | None:
        """What a git command prints; None if it fails or takes longer than ``timeout`` seconds."""
        return self.start(*words, stdin=stdin).wait(timeout)

    def ask(self, *questions: str) -> None:
        """Let git begin to answer them."""
        for question in questions:
            self._asked[question] = self.start(*QUESTIONS[question])

    def answer(self, question: str, timeout: float | None = None) -> bytes | None:
        """The answer; None if git refuses or takes longer than ``timeout`` seconds."""
        if question not in self._answers:
            if question not in self._asked:
                self.ask(question)
            self._answers[question] = self._asked.pop(question).wait(timeout)
        return self._answers[question]

    def settings(self) -> dict[str, str]:
        """What its configuration says of remotes and of the ends of lines: ``remote.origin.url``, ``core.autocrlf``."""
        said = (entry.partition(b"\n") for entry in (self.answer("config") or b"").split(b"\0") if entry)
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in said}

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
    return roots.decode().split()[-1] if roots else repository.root
