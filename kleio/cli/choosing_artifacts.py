"""What ``kleio artifacts`` and ``kleio get`` share: whose artifacts, and which of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from kleio.cli.options import all_executions, suggested
from kleio.cli.selecting import Asked
from kleio.core import artifact_query
from kleio.core.artifact_listing import listed
from kleio.core.errors import UnknownTrial, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kleio.cli.options import Reading
    from kleio.core.trial import Entry


def artifacts_of_a_trial(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets ``entry``, ``names``, ``where`` and ``found``, the artifacts that are meant. Below ``reading``."""

    @click.argument("words", metavar="[ID] [NAME]…", nargs=-1, shell_complete=suggested("id_and_artifacts"))
    @click.option("--where", metavar="QUERY", multiple=True,
                  help="logged with this: epoch=10, or \"epoch > 5 and val_loss < 0.3\"; repeatable, then all must hold")
    @click.option("--trial", "chosen", metavar="QUERY", multiple=True,
                  help="instead of an id: the one trial for which this holds, as \"params.lr == 0.1\"")
    @click.option("--newest", is_flag=True, help="of the trials for which that holds the newest")
    @click.option("--all-projects", "-a", is_flag=True, help="look for it in every project, not only in the one here")
    @all_executions
    @functools.wraps(command)
    def wrapped(
        with_: Reading, /, words: tuple[str, ...], where: tuple[str, ...], chosen: tuple[str, ...], newest: bool,
        all_projects: bool, all_executions: bool, **options: Any,
    ) -> Any:  # fmt: skip
        asked = Asked(where=chosen, newest=newest, all_projects=all_projects)
        try:
            entry, names = _meant(with_, words, asked)
        except UnknownTrial as error:
            if asked.anything:
                raise
            ways = f"an ID comes before {words[0]}, or --trial QUERY chooses the trial"
            ways = f"{ways}; --where speaks of artifacts" if where else ways
            raise UnknownTrial(error.lines[0], (*error.lines[1:], ways)) from None
        found = artifact_query.chosen(listed(with_.journal, entry, all_executions), names, where)
        return command(with_, entry=entry, names=names, where=where, found=found, **options)

    return wrapped


def _meant(with_: Reading, words: tuple[str, ...], asked: Asked) -> tuple[Entry, tuple[str, ...]]:
    """The trial, and the names behind its id; without an id where the trial is chosen."""
    if asked.anything:
        return asked.one(with_.journal, with_.config), words
    if not words:
        raise UsageError("which trial? give an id (kleio ls lists them), the word last, or --trial and a query")
    return asked.one(with_.journal, with_.config, words[0]), words[1:]


def nothing(entry: Entry, names: tuple[str, ...], where: tuple[str, ...]) -> str:
    """That there is no such artifact, in words."""
    named = f" {', '.join(names)}" if names else " such artifact" if where else " artifact"
    with_ = f" with {' and '.join(where)}" if where else ""
    return f"trial {entry.id[:7]} has no{named}{with_}"
