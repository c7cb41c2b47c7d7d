"""argparse: what a parser made of the command line, and which of its actions were asked for by it."""

from __future__ import annotations

import sys
from _thread import _local
from functools import wraps

from kleio.client.reporting import COMMAND_LINE, CONFIG_FILE, DEFAULT, EXPERIMENT, NONE, SCRIPT, Parameter, report, trouble
from kleio.client.tracebacks import step_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any

_WATCHED = ("hydra", "fire")
"""They have parsers for options of their own; what they make of the rest is watched elsewhere."""
_PLAIN = (bool, int, float, str)
_now = _local()
"""``watch``: of this thread, the parse that is under way."""
_left_over: list[list[str]] = []
"""What parses of the command line did not know, which a second parser may be given."""
_told: dict[str, Parameter] = {}
"""What the last parse made of each, should a second one get its namespace."""


class _Watch:
    """One parse: ``parsers`` that took part, the ``given`` dest → words, and words that are ``left`` to others."""

    __slots__ = ("given", "left", "parsers", "real")

    def __init__(self, real: bool) -> None:
        self.real = real
        self.parsers: list[Any] = []
        self.given: dict[str, list[tuple[Any, list[str]]]] = {}
        self.left: list[str] = []


def attach(module: ModuleType) -> None:
    """Watch its parsers. ``_get_values`` is what they all call for an action that the words ask for."""
    parser: Any = module.ArgumentParser
    remainder, suppressed = module.REMAINDER, module.SUPPRESS
    for name in ("parse_known_args", "parse_known_intermixed_args"):
        if name in vars(parser):
            setattr(parser, name, _watched(vars(parser)[name], suppressed))
    parser._get_values = _noted(parser._get_values, remainder, suppressed)


def _watched(parse: Callable[..., Any], suppressed: Any) -> Callable[..., Any]:
    @wraps(parse)
    def watched(self: Any, args: Any = None, namespace: Any = None) -> Any:
        watch = getattr(_now, "watch", None)
        if watch is not None:
            watch.parsers.append(self)
            try:
                return parse(self, args, namespace)
            except BaseException as error:
                step_aside(error)
                raise
        words = list(sys.argv[1:]) if args is None else list(args) if isinstance(args, (list, tuple)) else []
        own = args is None or words == sys.argv[1:] or words in _left_over
        watch = _Watch(own and _asker() not in _WATCHED)
        watch.parsers.append(self)
        before = dict(getattr(namespace, "__dict__", ())) if watch.real and namespace is not None else {}
        _now.watch = watch
        try:
            result = parse(self, args, namespace)
        except BaseException as error:
            step_aside(error)
            raise
        finally:
            _now.watch = None
        if watch.real:
            try:
                _tell(watch, words, result, before, suppressed)
            except Exception as error:  # noqa: BLE001 - the script matters more
                trouble(error)
        return result

    return watched


def _asker() -> str:
    """The package whose code has something parsed."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") in ("argparse", __name__):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _noted(get_values: Callable[..., Any], remainder: Any, suppressed: Any) -> Callable[..., Any]:
    @wraps(get_values)
    def noted(self: Any, action: Any, arg_strings: Any) -> Any:
        watch = getattr(_now, "watch", None)
        if watch is not None and watch.real and (action.option_strings or arg_strings):
            words = list(arg_strings)
            if action.nargs == remainder:
                watch.left += words
            elif action.dest == suppressed:
                watch.left += words[:1]  # the name of a subcommand that is no parameter
            watch.given.setdefault(action.dest, []).append((action, words))
        try:
            return get_values(self, action, arg_strings)
        except BaseException as error:
            step_aside(error)
            raise

    return noted


def _tell(watch: _Watch, words: list[str], result: Any, before: dict[str, Any], suppressed: Any) -> None:
    namespace, extras = result
    extras = [one for one in extras if isinstance(one, str)]
    if extras:
        _left_over[:] = [*_left_over[-9:], extras]
    values = dict(vars(namespace))
    defaults, required = _defaults(watch.parsers, suppressed)
    from_files = any(
        word[:1] in (parser.fromfile_prefix_chars or "") for parser in watch.parsers for word in words if word
    )
    found = []
    for name, value in values.items():
        if name.startswith(EXPERIMENT):
            continue
        known = _told.get(name)
        if name not in watch.given and known and name in before and before[name] is value is known.value:
            found.append(known)
            continue
        source = DEFAULT
        if name in watch.given:
            named = any(_named(action, own, words) for action, own in watch.given[name])
            source = CONFIG_FILE if from_files and not named else COMMAND_LINE
        elif name in before and (name not in defaults or (before[name] is value and not _same(value, defaults[name][0]))):
            source = SCRIPT
        default = NONE
        if name in defaults and name not in required:
            default = value if source == DEFAULT else _converted(defaults[name])
        found.append(Parameter(name, value, source, default))
    _told.update({one.name: one for one in found})
    report(found, words, [*watch.left, *extras])


def _defaults(parsers: Sequence[Any], suppressed: Any) -> tuple[dict[str, Any], set[str]]:
    """dest → default as a parser would use it, or (default, type) where that is text to be converted; and the required."""
    defaults: dict[str, Any] = {}
    required = set()
    for parser in parsers:
        own: dict[str, Any] = {}
        for action in parser._actions:
            if action.dest is suppressed or action.default is suppressed:
                continue
            own.setdefault(action.dest, (action.default, action.type))
            if action.required:
                required.add(action.dest)
        for name, default in parser._defaults.items():
            own.setdefault(name, (default, None))
        defaults |= own
    return defaults, required


def _same(value: Any, default: Any) -> bool:
    """Whether a namespace was filled with the default, as pytest does it. Other values may compare as they like."""
    return value is default or (type(value) is type(default) and type(value) in _PLAIN and bool(value == default))


def _converted(default: tuple[Any, Any]) -> Any:
    """Only numbers: any other type is the script's own function, which is called as often as the script does."""
    value, kind = default
    if isinstance(value, str) and kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def _named(action: Any, own: list[str], words: list[str]) -> bool:
    """Whether the command line has this itself, and not a file of arguments that it names."""
    if not action.option_strings:
        return all(word in words for word in own)
    return any(_may_be(word, option) for option in action.option_strings for word in words)


def _may_be(word: str, option: str) -> bool:
    """``--lr``, ``--lr=1``, ``--learn`` for ``--learning-rate``, ``-x5``."""
    name = word.partition("=")[0]
    return option.startswith(name) if len(name) > 2 and name[1] == name[0] else len(option) == 2 and word.startswith(option)
