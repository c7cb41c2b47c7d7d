"""What ``kleio COMMAND``, ``kleio run`` and ``kleio exec`` share: from options and words to an outcome."""

from __future__ import annotations

import os
import sys

from kleio.cli.render import complain
from kleio.core.config import Config
from kleio.core.errors import CommandNotFound, UsageError
from kleio.core.repository import Repository, here
from kleio.core.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kleio.core.asked import Branching
    from kleio.core.launcher import Outcome


def launch(
    options: Mapping[str, Any],
    words: Sequence[str],
    trial: str | None = None,
    branch: Branching | None = None,
    repeat: bool = False,
) -> Outcome:
    """Launch a command, or with ``trial`` the recorded one of the trial whose id begins so, or a branch of it.

    After a ``repeat`` the process goes on, and the journal is closed; else it ends, and closing would take time.
    """
    config = Config(options, cwd=here())
    config.check()
    if config["code"] == "recorded" and trial is None:
        raise UsageError("--code recorded goes with a trial that was recorded: kleio exec --code recorded ID")
    signals = Signals()
    repository = None if trial else Repository.asked(config.cwd, config["patience"])
    from kleio.core.asked import Asked
    from kleio.core.launcher import Launcher  # 20 ms, in which git finds the answers

    say = _quiet if config["quiet"] else complain
    ask = _ask if sys.stdin and sys.stdin.isatty() else None
    launcher = Launcher(config, Asked(tuple(words), trial, branch, repeat), say, signals, ask, repository)
    try:
        return launcher.run()
    except CommandNotFound as error:
        raise CommandNotFound(str(error) + _suggestion(words[0] if words else "")) from None
    finally:
        if repeat:
            launcher.close()


def _quiet(message: str) -> None:
    """-q: kleio says nothing of its own; errors still go through the boundary."""


def _ask(prompt: str) -> str:
    import getpass

    return getpass.getpass(f"kleio: {prompt}")


def _suggestion(word: str) -> str:
    """A near-by command of kleio's, or program on the path."""
    import difflib

    from kleio.cli.commands import COMMANDS

    if near := difflib.get_close_matches(word, COMMANDS, 1, 0.7):
        return f"; did you mean: kleio {near[0]}?"
    programs: set[str] = set()
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            programs.update(os.listdir(directory or "."))
        except OSError:
            continue
    if near := difflib.get_close_matches(word, programs, 1, 0.8):
        return f"; did you mean: {near[0]}?"
    return "; check its spelling, or give its path"
