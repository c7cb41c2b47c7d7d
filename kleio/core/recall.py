"""A recorded trial as something to launch: its words, its directory and, if wanted, its own code."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from kleio.core import redact
from kleio.core.errors import UnknownTrial, UsageError
from kleio.core.lookup import SHORT, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kleio.core.asked import Asked, Branching
    from kleio.core.config import Config
    from kleio.core.journal.base import Journal
    from kleio.core.recorded import Tree
    from kleio.core.trial import Entry


@dataclass(frozen=True, slots=True)
class Recalled:
    """A trial with what it takes to run it here. ``home`` is its working directory in the project itself, ``cwd`` the one
    to run in: the same, or that of a tree of its recorded code.
    """

    entry: Entry
    argv: tuple[str, ...]
    home: str
    cwd: str
    tree: Tree | None = None


def recall(journal: Journal, asked: Asked, ask: Callable[[str], str] | None, config: Config) -> Recalled:
    """The trial that is meant, its command as it is to be run, and the directory. Raises UnknownTrial, UsageError."""
    assert asked.trial is not None
    entry = resolve(journal, asked.trial, config)
    if entry.trial.experiment:
        raise UsageError(
            f"trial {entry.id[:SHORT]} is an experiment that a script opened in itself; run the script, which goes on with it "
            f"unless it is completed: {shlex.join(entry.trial.command)}"
        )
    if entry.trial.imported:
        origin, place = entry.trial.imported.get("from"), entry.trial.imported.get("place")
        raise UsageError(f"trial {entry.id[:SHORT]} was imported from {origin} ({place}): kleio has no command to run for it")
    home = _directory(entry) or _moved_to(entry, config)
    if not home and config["code"] != "recorded":
        raise UnknownTrial(
            f"the working directory of trial {entry.id[:SHORT]} is not on this machine; run it from within its project, "
            f"or from its own code: kleio exec --code recorded {entry.id[:SHORT]}"
        )
    return Recalled(entry, tuple(_words(entry, asked.branch, ask)), home, home)


def in_tree(
    journal: Journal, recalled: Recalled, directory: str, say: Callable[[str], None], apart: bool = False
) -> Recalled:
    """The same in a tree of the code that the trial was recorded with, made in ``directory`` unless it is there already.

    ``apart`` keeps what it writes there away from the files of the project that the trial wrote.
    """
    from kleio.core import recorded  # it restores with git, which few launches need

    inside = os.path.normpath(recalled.entry.trial.cwd)
    project = recalled.home if inside == "." else recalled.home[: -len(inside) - 1]
    tree = recorded.prepare(journal, recalled.entry, directory, say, project or None, apart)
    say(f"the recorded code is in {tree.root}")
    argv = recorded.translated(recalled.argv, tree.original_root, tree.root)
    return Recalled(recalled.entry, tuple(argv), recalled.home or tree.cwd, tree.cwd, tree)


def _words(entry: Entry, branch: Branching | None, ask: Callable[[str], str] | None) -> list[str]:
    if branch is not None and branch.command:
        return list(branch.command)
    words = unredacted(entry, ask)
    if branch is None or not branch.options:
        return words
    from kleio.core.commandline import changed

    return changed(words, branch.options)


def unredacted(entry: Entry, ask: Callable[[str], str] | None) -> list[str]:
    """The recorded command; what was left out of it as a secret is asked for. Raises UnknownTrial if nobody can answer."""
    words = list(entry.trial.command)
    for at, word in enumerate(words):
        if redact.GONE in word:
            if ask is None:
                raise UnknownTrial(
                    f"the command of trial {entry.id[:SHORT]} holds a secret that was not recorded; type the command itself"
                )
            words[at] = word.replace(redact.GONE, ask(f"{_label(words, at)}: "))
    return words


def _label(words: Sequence[str], at: int) -> str:
    word = words[at]
    return word.replace(redact.GONE, "…") if word != redact.GONE else words[at - 1]


def _directory(entry: Entry) -> str:
    """Where it ran last, of the places that are here; empty if none is."""
    return next((one.cwd for one in reversed(entry.executions) if one.cwd and os.path.isdir(one.cwd)), "")


def _moved_to(entry: Entry, config: Config) -> str:
    """The same place in the project around us, if it is the trial's: it was moved, or this is another clone."""
    from kleio.core.project import project_here
    from kleio.core.repository import root_around

    root = root_around(config.cwd)
    if root is None or project_here(config) != entry.trial.project:
        return ""
    place = os.path.normpath(os.path.join(root, entry.trial.cwd))
    return place if os.path.isdir(place) else ""
