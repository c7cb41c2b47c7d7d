"""What is to be launched: a command as typed, or one that a trial recorded, with its directory and, if wanted, its own code."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kleio.core import redact
from kleio.core.errors import UnknownTrial
from kleio.core.lookup import SHORT, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kleio.core.journal.base import Journal
    from kleio.core.recorded import Tree
    from kleio.core.trial import Entry


@dataclass(frozen=True, slots=True)
class Branching:
    """A branch that is asked for: cut at ``criterion``, with ``options`` changed or added, or another command altogether."""

    criterion: str
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A command to launch, or the ``trial`` whose recorded one is meant, to be gone on with or, with ``branch``, branched."""

    argv: tuple[str, ...] = ()
    trial: str | None = None
    branch: Branching | None = None


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


def recall(journal: Journal, asked: Asked, ask: Callable[[str], str] | None) -> Recalled:
    """The trial that is meant, its command as it is to be run, and the directory. Raises UnknownTrial."""
    assert asked.trial is not None
    entry = resolve(journal, asked.trial)
    home = _directory(entry)
    return Recalled(entry, tuple(_words(entry, asked.branch, ask)), home, home)


def in_tree(journal: Journal, recalled: Recalled, directory: str, say: Callable[[str], None]) -> Recalled:
    """The same in a tree of the code that the trial was recorded with, made in ``directory`` unless it is there already."""
    from kleio.core import recorded  # it restores with git, which few launches need

    tree = recorded.prepare(journal, recalled.entry, directory, say)
    say(f"the recorded code is in {tree.root}")
    argv = recorded.translated(recalled.argv, tree.original_root, tree.root)
    return Recalled(recalled.entry, tuple(argv), recalled.home, tree.cwd, tree)


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
    directory = next((one.cwd for one in reversed(entry.executions) if one.cwd and os.path.isdir(one.cwd)), None)
    if directory is None:
        raise UnknownTrial(f"the working directory of trial {entry.id[:SHORT]} is not on this machine; run it where it is")
    return directory
