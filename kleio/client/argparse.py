"""``from kleio.client.argparse import ArgumentParser``: the standard one, whose namespace also has ``hash_code``.

The hash code is stable over code version, uncommitted changes, untracked source files and arguments, and fit for the names of
files; ``kleio trace`` finds the run again by it, or by a name that it stands in, with and without ``kleio`` before the script.
"""

from __future__ import annotations

import argparse

from kleio.client.hashcode import run
from kleio.client.reporting import EXPERIMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

NAME = "hash_code"
"""Of the attribute."""


def __getattr__(name: str) -> Any:
    return getattr(argparse, name)  # so that the module stands in for the standard one


class _Subparsers(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Marks the parsers of subcommands: their arguments are a part of those of the whole."""

    def add_parser(self, name: str, **options: Any) -> Any:
        parser = super().add_parser(name, **options)
        if isinstance(parser, ArgumentParser):
            parser.is_part = True
        return parser


class ArgumentParser(argparse.ArgumentParser):
    """As ``argparse.ArgumentParser``; what the outermost parser returns has an attribute ``hash_code``, a text."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.is_part = False
        self.given: set[str] = set()
        self._within = False
        super().__init__(*arguments, **options)
        self.register("action", "parsers", _Subparsers)

    # Whatever is called first adds the hash code in the end: they call each other.

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        return self._parsed(lambda: (super(ArgumentParser, self).parse_args(args, namespace), []))[0]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return self._parsed(lambda: super(ArgumentParser, self).parse_known_args(args, namespace))

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        return self._parsed(lambda: (super(ArgumentParser, self).parse_intermixed_args(args, namespace), []))[0]

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        return self._parsed(lambda: super(ArgumentParser, self).parse_known_intermixed_args(args, namespace))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        run.status = status
        super().exit(status, message)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings or arg_strings:
            self.given.add(action.dest)
        return super()._get_values(action, arg_strings)

    def _parsed(self, parse: Callable[[], tuple[Any, list[str]]]) -> tuple[Any, list[str]]:
        if self.is_part or self._within:
            return parse()
        parsers = list(_parsers(self))
        actions = [action for parser in parsers for action in parser._actions]
        if any(action.dest == NAME for action in actions) or any(NAME in parser._defaults for parser in parsers):
            raise ValueError(
                f"this parser has an argument that is called {NAME!r} in the namespace, as kleio's hash code is; "
                "give it another name with dest="
            )
        own = [parser for parser in parsers if isinstance(parser, ArgumentParser)]
        for parser in own:
            parser.given = set()
        self._within = True
        try:
            namespace, rest = parse()
        finally:
            self._within = False
        arguments = {name: value for name, value in vars(namespace).items() if name != NAME and not name.startswith(EXPERIMENT)}
        options: dict[str, list[str]] = {}
        for action in actions:
            options.setdefault(action.dest, []).extend(action.option_strings)
        given = {name for parser in own for name in parser.given}
        setattr(namespace, NAME, run.hash_code(arguments, options, rest, given))
        return namespace, rest


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """It and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                yield from _parsers(inner)
