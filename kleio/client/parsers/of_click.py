"""click, and typer's own copy of it: what a command made of its words, as its context tells."""

from __future__ import annotations

import sys
from functools import wraps
from weakref import ref

from kleio.client.reporting import COMMAND_LINE, CONFIG_FILE, DEFAULT, ENVIRONMENT, NONE, Parameter, report, trouble
from kleio.client.tracebacks import step_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_SOURCES = {
    "COMMANDLINE": COMMAND_LINE, "PROMPT": COMMAND_LINE, "ENVIRONMENT": ENVIRONMENT, "DEFAULT_MAP": CONFIG_FILE,
}  # fmt: skip
_real: list[ref[Any]] = []
"""The outermost contexts that the command line was parsed in; a program may have several commands."""


def attach(module: ModuleType) -> None:
    """Watch where contexts are made: when one is there its words are parsed, and the command has not begun."""
    command: Any = next(one for one in module.Command.__mro__ if "make_context" in vars(one))
    original = command.make_context

    @wraps(original)
    def make_context(self: Any, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        words = list(args) if isinstance(args, (list, tuple)) else []
        try:
            context = original(self, info_name, args, parent, **extra)
        except BaseException as error:
            step_aside(error)
            raise
        try:
            _tell(self, context, parent, words)
        except Exception as error:  # noqa: BLE001 - the script matters more
            trouble(error)
        return context

    command.make_context = make_context


def _tell(command: Any, context: Any, parent: Any, words: list[str]) -> None:
    if context.resilient_parsing:
        return  # somebody asks for completions
    if parent is None and words == sys.argv[1:]:
        _real[:] = [*(one for one in _real if one() is not None), ref(context)]
    if not any(one() is context.find_root() for one in _real):
        return
    above = set()
    while parent is not None:
        above |= set(parent.params)
        parent = parent.parent
    by_name = {one.name: one for one in command.params}
    found = [
        _parameter(context, by_name.get(name), name, value, f"{context.info_name}.{name}" if name in above else name)
        for name, value in context.params.items()
    ]
    ahead = vars(context).get("_protected_args") or vars(context).get("protected_args") or ()  # as of 8.2, and before
    left = [*ahead, *context.args, *_passed_on(command, context)]
    report(found, words, left)


def _passed_on(command: Any, context: Any) -> list[str]:
    """What is taken only to be given to another program."""
    return [
        word
        for one in command.params
        if one.nargs == -1 and type(one.type).__name__ == "UnprocessedParamType"
        for word in context.params.get(one.name) or ()
        if isinstance(word, str)
    ]


def _parameter(context: Any, own: Any, name: str, value: Any, called: str) -> Parameter:
    source = getattr(context.get_parameter_source(name), "name", "DEFAULT")
    if getattr(own, "hide_input", False):
        return Parameter(called, "<redacted>" if value else None, _SOURCES.get(source, DEFAULT))
    default = NONE
    if source == "DEFAULT" and not getattr(own, "required", False):
        default = value
    elif own is not None and not own.required and not callable(own.default):
        default = None if type(own.default).__name__ == "Sentinel" else own.default
    return Parameter(called, value, _SOURCES.get(source, DEFAULT), default)
