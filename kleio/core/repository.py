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

STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames")
QUESTIONS = {
    "remote": ("config", "--get", "remote.origin.url"),
    "status": (*STATUS, "--untracked-files=all"),
    "files": ("ls-files", "-s", "-z"),
    "root": ("rev-list", "--first-parent", "--max-parents=0", "HEAD"),
}


class Running:
    """A program at work. Not by subprocess, whose import takes 3 ms, a twentieth of what a launch may cost."""

    def __init__(self, words: list[str], environment: Mapping[str, str], stdin: int | None, stdout: int | None) -> None:
        """Start it. Without ``stdin`` it has nothing to read, without ``stdout`` :meth:`wait` returns what it prints."""
        self._printed, printing = os.pipe()
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0) if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, printing if stdout is None else stdout, 1),
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
        deadline = None if timeout is None else time.monotonic() + timeout
        out = bytearray()
        ready = select.poll()
        ready.register(self._printed, select.POLLIN)
        while ready.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000):
            piece = os.read(self._printed, 1 << 20)
            if not piece:
                break
            out += piece
        else:
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._printed)
        return None if os.waitpid(self._pid, 0)[1] else bytes(out)


class Repository:
    """A git work tree, looked at without touching it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        self._asked: dict[str, Running] = {}
        self._answers: dict[str, bytes | None] = {}

    @classmethod
    def asked(cls, directory: str) -> Repository | None:
        """The one that ``directory`` lies in, where git begins to answer what every launch asks."""
        repository = cls.around(directory)
        if repository:
            repository.ask("remote", "status", "files")
        return repository

    @classmethod
    def around(cls, directory: str) -> Repository | None:
        """The one that ``directory`` lies in."""
        while True:
            if os.path.exists(os.path.join(directory, ".git")):
                there = any(os.access(os.path.join(place, "git"), os.X_OK) for place in os.get_exec_path())
                return cls(directory) if there else None
            parent = os.path.dirname(directory)
            if parent == directory:
                return None
            directory = parent

    def start(
        self, *words: str, environment: Mapping[str, str] | None = None, stdin: int | None = None, stdout: int | None = None
    ) -> Running:
        """Begin a git command."""
        safe = ["-c", "core.fsmonitor=false", "-c", f"safe.directory={self.root}", "-c", "core.quotePath=false"]
        safe += ["-c", "core.compression=0"]  # what it makes for us is thrown away again
        return Running(["git", "-C", self.root, *safe, *words], self._environment | dict(environment or {}), stdin, stdout)

    def run(self, *words: str, **how: Any) -> bytes | None:
        """What a git command prints; None if it fails."""
        return self.start(*words, **how).wait()

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

    def ask_further(self) -> None:
        """Ask what only the first answer shows to be needed: without a remote the root commit names the project."""
        if not self.answer("remote"):
            self.ask("root")

    def directories(self) -> tuple[str, str]:
        """The (index file, object directory) of this work tree."""
        own = os.path.join(self.root, ".git")
        if os.path.isfile(own):
            with open(own, encoding="utf-8", errors="surrogateescape") as file:
                own = os.path.join(self.root, file.read().partition("gitdir:")[2].strip())
        common = own
        try:
            with open(os.path.join(own, "commondir"), encoding="utf-8", errors="surrogateescape") as file:
                common = os.path.join(own, file.read().strip())
        except OSError:
            pass
        return os.path.join(own, "index"), os.path.abspath(os.path.join(common, "objects"))


def root_commit(repository: Repository) -> str:
    """The first commit along first parents, which merging branches in does not change; the directory if there is none."""
    roots = repository.answer("root")
    return roots.decode().split()[-1] if roots else repository.root
