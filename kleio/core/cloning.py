"""git at work on a repository that kleio makes itself, on data that may come from anybody.

No hooks, no templates, no commands of a remote's choosing, no questions, nothing from the caller's ``GIT_*`` variables;
whose repository is read does not matter. The user's own configuration applies as to any clone, because it holds the
filters (git-lfs) and the credential helpers.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager

from kleio.core.errors import KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

PROTOCOLS = "file:git:http:https:ssh"
_SETTINGS = """
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	fsmonitor = false
	untrackedCache = false
[transfer]
	fsckObjects = true
[submodule]
	recurse = false
[uploadpack]
	allowAnySHA1InWant = true
[gc]
	auto = 0
[maintenance]
	auto = false
[init]
	templateDir = {empty}
	defaultBranch = main
[advice]
	detachedHead = false
"""


class GitFailed(KleioError):  # noqa: N818 - what happened
    """git refused; the message is what it said."""


class Git:
    """Use it as a context: its configuration is a temporary file."""

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="kleio-git-")
        self.environment = _environment(self._place.name)

    def __enter__(self) -> Git:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    def __call__(self, directory: str, *words: str, stdin: bytes | int | None = None, **more: str) -> bytes:
        """What a git command in ``directory`` prints. ``more`` are variables. Raises GitFailed."""
        where = ["-C", directory] if directory else []
        given: dict[str, Any] = {"input": stdin or b""} if not isinstance(stdin, int) else {"stdin": stdin}
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            ["git", *where, *words],
            env=self.environment | {"GIT_CEILING_DIRECTORIES": os.path.dirname(directory)} | more,
            capture_output=True,
            check=False,
            **given,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise GitFailed(f"git {words[0]} failed{f': {said[-1]}' if said else ''}")
        return done.stdout

    def has(self, directory: str, commit: str) -> bool:
        """Whether the repository at ``directory`` has the commit."""
        try:
            # A repository in parts would fetch what it lacks, by commands of its own configuration.
            self(directory, "cat-file", "-e", f"{commit}^{{commit}}", GIT_ALLOW_PROTOCOL="none")
        except (GitFailed, OSError):
            return False
        return True

    def clone(self, source: str, directory: str, commit: str) -> None:
        """Make a repository that has what one of this machine has, with ``commit``, and depends on nothing afterwards.

        Without files. Raises GitFailed.
        """
        words = ("clone", "--quiet", "--local", "--no-checkout", "--dissociate", "--no-recurse-submodules", "--")
        try:
            self("", *words, source, directory)
            if self.has(directory, commit):
                return
        except GitFailed:  # links among its objects, a repository in parts
            self("", "init", "--quiet", directory)
        self(directory, "fetch", "--quiet", "--no-tags", "--update-shallow", source, commit)

    def clone_from(self, url: str, directory: str) -> None:
        """Clone a remote one, without files. Raises GitFailed."""
        import git  # 100 ms; it refuses addresses that are commands

        try:
            with _without_git_variables():
                git.Repo.clone_from(url, directory, env=self.environment, no_checkout=True).close()
        except git.UnsafeProtocolError:
            raise GitFailed(f"{url!r} is an address that runs a command") from None
        except git.GitCommandError as error:
            said = [line for line in str(error.stderr).strip("' \n").splitlines() if line.strip()]
            raise GitFailed(f"cloning {url} failed{f': {said[-1].strip()}' if said else ''}") from None


def _environment(place: str) -> dict[str, str]:
    empty = os.path.join(place, "empty")
    os.mkdir(empty)
    path = os.path.join(place, "config")
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"[include]\n\tpath = {_quoted(own)}\n" for own in _users())
        file.write(_SETTINGS.format(empty=_quoted(empty)))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return plain | {
        "GIT_CONFIG_GLOBAL": path, "GIT_ALLOW_PROTOCOL": PROTOCOLS, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C",
    }  # fmt: skip


def _users() -> Iterator[str]:
    """The files of the user's own configuration."""
    home = os.environ.get("HOME") or os.path.expanduser("~")
    yield os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git", "config")
    yield os.path.join(home, ".gitconfig")


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


@contextmanager
def _without_git_variables() -> Iterator[None]:
    """gitpython gives git all variables there are."""
    own: Mapping[str, str] = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GIT_")}
    try:
        yield
    finally:
        os.environ.update(own)
