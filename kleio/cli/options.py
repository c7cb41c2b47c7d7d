"""Options made from the table of settings, and what reading commands share."""

from __future__ import annotations

import functools
import re
import signal
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import click

from kleio.cli import render
from kleio.core.config import SETTINGS, Config
from kleio.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kleio.core.config import Setting
    from kleio.core.journal.base import Journal


def suggested(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """A function of :mod:`kleio.cli.suggesting`, which only a shell that completes a word imports."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from kleio.cli import suggesting

        found: list[Any] = getattr(suggesting, what)(ctx, param, incomplete)
        return found

    return complete


def run_options() -> list[click.Parameter]:
    """One option for each setting that has one."""
    return [_option(setting) for setting in SETTINGS if setting.option]


def _option(setting: Setting) -> click.Option:
    names = [f"--{setting.key}", *(["-q"] if setting.key == "quiet" else [])]
    shown = f"{setting.help}  [{setting.variable}]"
    if setting.kind == "bool":
        return click.Option(names, is_flag=True, default=None, help=shown)
    metavar = "URI" if setting.key == "journal" else setting.key.upper() if setting.key in ("tag", "name") else "TEXT"
    if setting.kind == "list":
        tags = suggested("tags") if setting.key == "tag" else None
        return click.Option(names, multiple=True, metavar=metavar, help=shown, shell_complete=tags)
    if setting.kind == "choice":
        return click.Option(names, type=click.Choice(setting.choices), help=shown)
    return click.Option(names, metavar=metavar, help=shown)


class Several(click.Option):
    """An option that takes every word up to the next option; the door writes it as click reads it (:func:`repeated`)."""

    def __init__(self, names: Sequence[str], **given: Any) -> None:
        super().__init__(names, multiple=True, **given)


def repeated(command: click.Command, words: Sequence[str]) -> list[str]:
    """``--include a b --exclude c`` as ``--include a --include b --exclude c``. Raises UsageError."""
    names = {name for one in command.params if isinstance(one, Several) for name in one.opts}
    found: list[str] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        taken = list(takewhile(_is_value, words[at + 1 :])) if word in names else []
        if word in names and not taken:
            raise UsageError(f"{word} needs a word, such as lr:0.1 or sgd; see: kleio {command.name} --help")
        found += [part for value in taken for part in (word, value)] or [word]
        at += 1 + len(taken)
    return [*found, *words[at:]]


def own_words(params: Sequence[click.Parameter], words: Sequence[str]) -> int:
    """How many of the first words are options and their values; one more than there are where the last value is missing."""
    options = {name: one for one in params if isinstance(one, click.Option) for name in one.opts}
    at = 0
    while at < len(words) and (option := options.get(words[at].partition("=")[0])):
        at += 1 if option.is_flag or "=" in words[at] else 2
    return at


def _is_value(word: str) -> bool:
    return not word.startswith("-") or re.match(r"-\.?\d", word) is not None


def shorthand_options() -> list[click.Option]:
    """Words of which trials have all, and words of which they have none."""
    return [
        Several(["--include"], metavar="WORD…", help="those with these words, each NAME:VALUE of a parameter, or any name, "
                "value, tag or word of the command; up to the next option"),
        Several(["--exclude"], metavar="WORD…", help="those with none of these"),
    ]  # fmt: skip


def choosing_options(by_words: bool = True) -> list[click.Option]:
    """What chooses trials by what is known of them; without words for commands that end in words of another command."""
    return [
        click.Option(["--where"], metavar="QUERY", multiple=True,
                     help="instead of an id: the trials for which this holds; repeatable, then all must hold"),
        *(shorthand_options() if by_words else ()),
        click.Option(["--newest"], is_flag=True, help="of these the newest"),
        click.Option(["--all-projects", "-a"], is_flag=True, help="look in every project, not only in the one here"),
    ]  # fmt: skip


def given(ctx: click.Context) -> dict[str, Any]:
    """The settings that the options of ``ctx`` and of those around it give, the innermost first."""
    found: dict[str, Any] = given(ctx.parent) if ctx.parent else {}
    for name, value in ctx.params.items():
        if value not in (None, (), False):
            found[name.replace("_", "-")] = value
    return {name: value for name, value in found.items() if any(name == one.key for one in SETTINGS)}


class Reading:
    """What a reading command works with: settings, and the journal, opened when first used."""

    def __init__(self, ctx: click.Context) -> None:
        self.config = Config(given(ctx))

    @functools.cached_property
    def journal(self) -> Journal:
        """The journal, for reading only."""
        from kleio.core.journal import open_journal

        return open_journal(self.config["journal"], timeout=self.config["timeout"], writing=False)

    def listing(self) -> Journal:
        """The journal, for who lists trials: those that cannot be read are left out, and named in the end."""
        if self.journal.left_out is None:
            self.journal.left_out = {}
        return self.journal

    def present(self) -> Journal:
        """The journal; opened anew if there was none the last time, or there is another, for who looks more than once."""
        if self.journal.absent or self.journal.gone:
            self.journal.close()
            del self.journal
        return self.listing()

    def written(self, what: str, path: str) -> None:
        """Say what a file holds now, unless kleio is to be quiet."""
        if not self.config["quiet"]:
            render.written(what, path)


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--journal`` and a :class:`Reading`; a pipe that closes ends it without a word."""

    @click.option("--journal", metavar="URI", help="the journal to read  [KLEIO_JOURNAL]")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, journal: str | None, **rest: Any) -> Any:  # noqa: ARG001 - read by given()
        for number in (signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # a reader that is cut off ends without a word
        render.encodable()
        with_ = Reading(ctx)
        try:
            return command(with_, **rest)
        finally:
            opened = with_.__dict__.get("journal")
            if opened is not None and opened.left_out:
                render.left_out(opened.left_out)

    return wrapped


EVERY = 2.0
"""Seconds between two looks at what is watched."""

as_file = click.option("--export", metavar="FILE", type=click.Path(),
                       help="write the table to a file instead: .csv, .json, .md, .tex, .parquet or .pkl")  # fmt: skip
with_precision = click.option(
    "--precision", metavar="N", type=click.IntRange(1, 17),
    help="significant digits of floats  [default: 4 on a terminal, in .md and .tex, else all]",
)  # fmt: skip
no_header = click.option("--no-header", is_flag=True, help="without the line of headings")
no_pager = click.option("--no-pager", is_flag=True, help="print what is longer or wider than the terminal as well")
as_json = click.option("--json", "json", is_flag=True, help="print one JSON document")
all_executions = click.option("--all-executions", is_flag=True,
                              help="what was given up by resuming from before it as well")  # fmt: skip


def check_export(export: str | None, json: bool) -> None:
    """That a table can go where it is to go: to be asked before any work. Raises KleioError."""
    if export and json:
        raise UsageError("--export writes a file and --json prints: give one of them")
    if export is not None:
        from kleio.core import exporting  # only who exports pays for it

        exporting.check(export)
