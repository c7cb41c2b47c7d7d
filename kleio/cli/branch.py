"""``kleio branch [--timestamp WHERE] [ID] [OPTIONS OF THE COMMAND… | -- COMMAND…]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kleio.cli.launching import launch
from kleio.cli.options import choosing_options, given, own_words, run_options, suggested
from kleio.core.asked import Branching
from kleio.core.errors import UsageError

if TYPE_CHECKING:
    from kleio.core.launcher import Outcome

TIMESTAMP = "--timestamp"
CHOSEN = "the trial that is chosen"
"""In the place of its id."""


class Branch(click.Command):
    """Puts a word in the place of the id where the trial is chosen, so that what follows is the command's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = own_words(self.params, args)
        chosen = any(word.partition("=")[0] in ("--where", "--newest") for word in args[:at])
        return super().parse_args(ctx, [*args[:at], CHOSEN, *args[at:]] if chosen else args)


@click.command(
    params=[
        *run_options(),
        click.Option([TIMESTAMP], metavar="WHERE",
                     help="where to cut: epoch=10, an ISO time, or 2h30m after the start; without it, at the end"),
        *choosing_options(by_words=False),
        click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="[ID] [OPTIONS OF THE COMMAND] [-- COMMAND…]",
                       shell_complete=suggested("first_id")),
    ],
    cls=Branch,
    context_settings={"allow_interspersed_args": False},
)
@click.pass_context
def branch(ctx: click.Context, /, timestamp: str | None, words: tuple[str, ...], **choice: Any) -> Outcome:
    """Continue a trial from any point of it, with its history, in a new trial: with changed or added options of its command,
    or, after --, with another command. Kleio's own options stand before the id; --timestamp may follow it. With --where there
    is no id, and what is none of kleio's options is the command's.
    """
    if not words:
        raise UsageError("which trial? for example: kleio branch --timestamp epoch=10 3f2a91c --lr 0.01")
    trial, *rest = words
    rest, command = _split(rest)
    rest, later = _timestamp(rest)
    if "" in (timestamp, later):
        raise UsageError("--timestamp was given nothing; write epoch=10, an ISO time, or 2h30m, or leave it away")
    if later and (timestamp or _timestamp(rest)[1]):
        raise UsageError("--timestamp was given twice")
    if trial == CHOSEN:
        from kleio.cli.selecting import to_launch  # only who looks for something pays for it

        trial = to_launch(given(ctx), choice)
    return launch(given(ctx), (), trial, Branching(timestamp or later or "end", tuple(rest), tuple(command)))


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The options to change, and the command after ``--``."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    if not words[at + 1 :]:
        raise UsageError("there is no command after --; leave it away to keep the trial's own")
    if [word for word in words[:at] if word.partition("=")[0] != TIMESTAMP][:1] and TIMESTAMP not in words[:at]:
        raise UsageError("give either options to change or, after --, a whole command")
    return words[:at], words[at + 1 :]


def _timestamp(words: list[str]) -> tuple[list[str], str | None]:
    """``words`` without ``--timestamp WHERE``, and WHERE."""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == TIMESTAMP:
            if not equals and at + 1 == len(words):
                raise UsageError("--timestamp needs a place to cut at: epoch=10, an ISO time, or 2h30m")
            return words[:at] + words[at + 1 + (not equals) :], value if equals else words[at + 1]
    return words, None
