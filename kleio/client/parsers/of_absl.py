"""absl: the flags of the program, once they have been parsed."""

from __future__ import annotations

import os
import sys
from functools import wraps

from kleio.client.reporting import (
    COMMAND_LINE,
    CONFIG_FILE,
    DEFAULT,
    ENVIRONMENT,
    NONE,
    SCRIPT,
    Parameter,
    report,
    trouble,
)  # fmt: skip
from kleio.client.tracebacks import step_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_INDIRECT = ("flagfile", "fromenv", "tryfromenv", "undefok")
"""Flags about flags."""


def attach(module: ModuleType) -> None:
    """Watch the parse, which is a call of the flags."""
    flags: Any = module.FlagValues
    original = flags.__call__

    @wraps(original)
    def parse(self: Any, argv: Any, known_only: bool = False) -> Any:
        real = isinstance(argv, (list, tuple)) and list(argv) == sys.argv
        try:
            result = original(self, argv, known_only)
        except BaseException as error:
            step_aside(error)
            raise
        if real:
            try:
                _tell(self, list(argv), result)
            except Exception as error:  # noqa: BLE001 - the script matters more
                trouble(error)
        return result

    flags.__call__ = parse


def _tell(flags: Any, argv: list[str], result: list[str]) -> None:
    own = {flag.name for module, found in flags.flags_by_module_dict().items() if _is_own(module, argv[0]) for flag in found}
    own |= {flag.name for flag in flags.get_key_flags_for_module(argv[0])}
    found = []
    for name in flags:
        flag = flags[name]
        if name == flag.name and (name in own or flag.present) and name not in _INDIRECT:
            found.append(_parameter(flags, flag, argv[1:]))
    report(found, argv[1:], result[1:])


def _parameter(flags: Any, flag: Any, words: list[str]) -> Parameter:
    default = NONE if flag.default is None and not flag.using_default_value else flag.default
    return Parameter(flag.name, flag.value, _source(flags, flag, words), default)


def _source(flags: Any, flag: Any, words: list[str]) -> str:
    if not flag.present:
        return DEFAULT if flag.using_default_value else SCRIPT
    names = {prefix + name for name in (flag.name, flag.short_name) if name for prefix in ("", "no")}
    if any(word.startswith("-") and word.lstrip("-").partition("=")[0] in names for word in words):
        return COMMAND_LINE
    from_environment = [name for one in ("fromenv", "tryfromenv") if one in flags for name in flags[one].value or ()]
    return ENVIRONMENT if flag.name in from_environment else CONFIG_FILE


def _is_own(module: str, program: str) -> bool:
    """Whether a module is of the program: the script itself, or a file of its project."""
    if module == program:
        return True
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    parts = path.split(os.sep)
    return bool(path) and not {"site-packages", "dist-packages"} & set(parts) and module.partition(".")[0] != "absl"
