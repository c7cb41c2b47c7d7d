"""The click group. Words that are no command of kleio's are a command to run, from the first of them on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

import kleio
from kleio.cli.commands import COMMANDS, LAUNCHING, place_of
from kleio.cli.options import given, repeated, run_options
from kleio.core.errors import UsageError

if TYPE_CHECKING:
    from kleio.core.launcher import Outcome


class Door(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = place_of(name)
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, list(args))
        words = [*ctx._protected_args, *ctx.args]  # noqa: SLF001 - click has no public name for them
        ctx.meta["separated"] = len(words) < len(args) and args[len(args) - len(words) - 1] == "--"
        return rest

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS or ctx.meta["separated"]:
            return "run", self.get_command(ctx, "run"), ["--", *args]
        if args[0] not in LAUNCHING:
            self._check_options(ctx, args[0])
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, repeated(command, rest) if command and not ctx.resilient_parsing else rest

    def _check_options(self, ctx: click.Context, command: str) -> None:
        wrong = [name for name in given(ctx) if name not in ("journal", "project", "quiet")]
        if wrong:
            raise UsageError(f"--{wrong[0]} goes with a command to run; for a program called {command}: kleio run {command}")

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("kleio", "[RUN OPTIONS] COMMAND ARGS…")
        formatter.write_usage("kleio", "ls|info|… ", prefix="       ")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("kleio's own commands (kleio COMMAND --help tells more)"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Door, name="kleio", params=run_options(), context_settings={"help_option_names": ["--help", "-h"]})
@click.version_option(kleio.__version__, prog_name="kleio", message="%(prog)s %(version)s",
                      help="show the version")
def group(**_: Any) -> None:
    """Put kleio before any command, and the run is journaled: its code, environment, output and results.

    Options end at the first word of the command; everything after it is the command's own.
    """


def door(words: list[str]) -> Outcome | int | None:
    """Run kleio as if from the shell; click's complaints become kleio's."""
    try:
        outcome: Outcome | int | None = group.main(args=words or ["--help"], prog_name="kleio", standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        raise UsageError(_one_line(error)) from None
    return outcome


def _one_line(error: click.ClickException) -> str:
    """click's complaint in the form of kleio's own, and where to read on."""
    said = " ".join(error.format_message().split()).rstrip(".").replace(". Did you", "; did you")
    ctx = getattr(error, "ctx", None)
    return f"{said[:1].lower()}{said[1:]}{'' if said.endswith('?') else ';'} see: {ctx.command_path if ctx else 'kleio'} --help"
