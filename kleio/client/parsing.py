"""Experiments from a command line: the options of ``Experiment`` in an ``argparse`` parser, and the rest as its parameters."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager

from kleio.client.reporting import EXPERIMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kleio.client.experiment import Experiment

_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "name": ("--name", {"metavar": "NAME", "help": "a name for the trial"}),
    "tags": ("--tag", {"metavar": "TAG", "action": "append", "help": "a tag for the trial; may be given several times"}),
    "description": ("--description", {"metavar": "TEXT", "help": "a remark kept with the trial"}),
    "experiment_id": ("--experiment-id", {"metavar": "ID", "help": "a name for the trial; with --resume its name or id"}),
    "resume": ("--resume", {"action": "store_true", "help": "go on with the trial, whatever its status"}),
    "norecord": ("--norecord", {"action": "store_true", "help": "record nothing"}),
    "reraise": ("--reraise", {"action": "store_true", "help": "let exceptions end the script"}),
}


def add_argument_group(parser: argparse.ArgumentParser) -> None:
    """An option that the parser has already is ``--experiment-…`` instead."""
    group = parser.add_argument_group("experiment", "how this is recorded in kleio's journal")
    for keyword, (option, details) in _OPTIONS.items():
        try:
            group.add_argument(option, dest=EXPERIMENT + keyword, **details)
        except argparse.ArgumentError:
            group.add_argument(f"--experiment-{option[2:]}", dest=EXPERIMENT + keyword, **details)


def from_parser(
    kind: type[Experiment], parser: argparse.ArgumentParser, args: Sequence[str] | None, options: dict[str, Any]
) -> Experiment:
    """``options`` are keywords of ``Experiment``; what was given on the command line wins."""
    given: set[str] = set()
    with _watched(parser, given):
        found, hash_code = _parsed(parser, args)
    own = {name[len(EXPERIMENT) :]: found.pop(name) for name in list(found) if name.startswith(EXPERIMENT)}
    experiment = kind(
        {name: _named(value) for name, value in found.items()}, **(options | {name: one for name, one in own.items() if one})
    )
    experiment.sources = {name: "command line" if name in given else "default" for name in found}
    experiment.parsed, experiment.hash_code = args is None, hash_code
    return experiment


def _parsed(parser: argparse.ArgumentParser, args: Sequence[str] | None) -> tuple[dict[str, Any], str | None]:
    """The namespace, and apart from it the hash code of a parser that gives one: it is of the code as well."""
    ours = sys.modules.get("kleio.client.argparse")
    if ours is None or not isinstance(parser, ours.ArgumentParser):
        return dict(vars(parser.parse_args(args))), None
    before, ours.run.recorded = ours.run.recorded, False
    try:
        found = dict(vars(parser.parse_args(args)))
    finally:
        ours.run.recorded = before
    return found, found.pop(ours.NAME, None)


def _named(value: Any) -> Any:
    """A function that a parser gives, or a file that it opened, by its name."""
    if callable(value):
        return getattr(value, "__qualname__", None) or repr(value)
    if hasattr(value, "read") or hasattr(value, "write"):
        return str(getattr(value, "name", value))
    return value


@contextmanager
def _watched(parser: argparse.ArgumentParser, given: set[str]) -> Iterator[None]:
    """Note in ``given`` what the command line sets: every action tells, and is then what it was."""
    changed: list[tuple[argparse.Action, type[argparse.Action]]] = []
    try:
        for action in _actions(parser, set()):
            kind = type(action)
            try:
                action.__class__ = _telling(kind, given)
            except TypeError:
                continue  # one with slots of its own: it counts as a default
            changed.append((action, kind))
        yield
    finally:
        for action, kind in changed:
            action.__class__ = kind


def _actions(parser: argparse.ArgumentParser, seen: set[int]) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if id(action) in seen:
            continue
        seen.add(id(action))
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                yield from _actions(inner, seen)


def _telling(kind: type[argparse.Action], given: set[str]) -> type[argparse.Action]:
    def call(self: argparse.Action, parser: Any, namespace: Any, found: Any, option_string: str | None = None) -> None:
        if option_string is not None or found is not self.default:  # a positional that may be missing is set to its default
            given.add(self.dest)
        kind.__call__(self, parser, namespace, found, option_string)

    return type(kind.__name__, (kind,), {"__call__": call})
