"""fire: the arguments of the functions that it calls for the words of the command line."""

from __future__ import annotations

import sys
from functools import wraps

from kleio.client.reporting import COMMAND_LINE, DEFAULT, NONE, Parameter, report, trouble
from kleio.client.tracebacks import step_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def attach(module: ModuleType) -> None:
    """Watch how words become arguments. ``Fire`` itself looks at its caller, so it stays as it is."""
    fire: Any = module
    original = fire._MakeParseFn

    @wraps(original)
    def make(fn: Any, metadata: Any) -> Any:
        parse = original(fn, metadata)

        @wraps(parse)
        def watched(args: Any) -> Any:
            words = list(args)
            try:
                result = parse(args)
            except BaseException as error:
                step_aside(error)
                raise
            if _is_rest(words, sys.argv[1:]):
                try:
                    _tell(fire, fn, metadata, words, result)
                except Exception as error:  # noqa: BLE001 - the script matters more
                    trouble(error)
            return result

        return watched

    fire._MakeParseFn = make


def _is_rest(words: list[str], line: list[str]) -> bool:
    """Whether they are what is left of the command line."""
    rest = iter(line)
    return all(word in rest for word in words)


def _tell(fire: Any, fn: Callable[..., Any], metadata: Any, words: list[str], result: Any) -> None:
    (positional, named), _, left, _ = result
    spec = fire.inspectutils.GetFullArgSpec(fn)
    options, _, free = fire._ParseKeywordArgs(list(words), spec)
    by_position = len(free) if metadata.get(fire.decorators.ACCEPTS_POSITIONAL_ARGS) else 0
    first = len(spec.args) - len(spec.defaults)
    found = []
    for at, (name, value) in enumerate(zip(spec.args, positional, strict=False)):
        default = spec.defaults[at - first] if at >= first else NONE
        given = options.get(name) is not None
        if not given and by_position:
            given, by_position = True, by_position - 1
        found.append(Parameter(name, value, COMMAND_LINE if given else DEFAULT, default))
    if spec.varargs and positional[len(spec.args) :]:
        found.append(Parameter(spec.varargs, positional[len(spec.args) :], COMMAND_LINE))
    for name, default in spec.kwonlydefaults.items():
        if name not in named:
            found.append(Parameter(name, default, DEFAULT, default))
    for name, value in named.items():
        found.append(Parameter(name, value, COMMAND_LINE, spec.kwonlydefaults.get(name, NONE)))
    report(found, words, left)
