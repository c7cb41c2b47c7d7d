"""The hash code of a run: a short text that a script puts into the names of its files, by which the run is found again.

A digest of the code as it counts (the fingerprint: commit, uncommitted changes, untracked sources), of the script, and of the
arguments as it understood them. So it does not matter how they were written, in which order, from which directory of the
project, in which clone of it, on which machine, or whether ``kleio`` stood before the command. A secret does not count: nothing
of it can be guessed from the code.
"""

from __future__ import annotations

import os
import re

from kleio.core import commandline, identity, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.trial import Event

VERSION = 1
LENGTH = 16
"""Hex digits, 64 bits: among a million runs of a project the chance that any two share one is below 1 in 30 million."""
TRACE = "hash:"
"""The kind of trace that a run with a hash code leaves."""
KIND = "hash-code"
"""The kind of event that tells of one."""
DEEPEST = 50
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_EXACT = 1 << 53


def hash_code(
    root: str,
    fingerprint: str,
    script: str,
    arguments: Mapping[str, Any],
    rest: Sequence[str] = (),
    volatile: Collection[str] = (),
) -> str:
    """Of the ``arguments`` that count, by name, and the words that were not understood (``rest``), in a project at ``root``."""
    words = commandline.without(redact.command(rest), volatile)
    return identity.digest(
        {
            "version": VERSION, "code": fingerprint, "script": script,
            "arguments": {name: canonical(value, root) for name, value in arguments.items()},
            "rest": [canonical(word, root) for word in words],
        }
    )[:LENGTH]  # fmt: skip


def told(events: Iterable[Event]) -> list[str]:
    """The hash codes of a trial, the oldest first, each once."""
    own = sorted((event for event in events if event.kind == KIND), key=lambda event: event.time)
    return list(dict.fromkeys(event.data["hash_code"] for event in own))


def counted(arguments: Mapping[str, Any], options: Mapping[str, Collection[str]], volatile: Collection[str]) -> dict[str, Any]:
    """The arguments that count. ``options`` are the option strings by which each of them is given; what is called a secret by
    its name or by any of these has :data:`~kleio.core.redact.GONE` for its value.
    """
    unwanted = {commandline.key_of(name) for name in volatile}
    found = {}
    for name, value in arguments.items():
        known = {name, *map(commandline.key_of, options.get(name, ()))}
        if not known & unwanted:
            found[name] = redact.GONE if value is not None and any(map(redact.is_secret, known)) else value
    return found


def script_name(root: str, file: str, prefix: str) -> str:
    """What tells the scripts of a project apart: the path from its root, or the bare name of one that is installed, as in an
    environment at ``prefix``.
    """
    path, top = os.path.realpath(file), os.path.realpath(root)
    if path.startswith(f"{top.rstrip('/')}/") and not path.startswith(f"{os.path.realpath(prefix).rstrip('/')}/"):
        return os.path.relpath(path, top)
    return os.path.basename(path)


def canonical(value: Any, root: str, depth: int = 0) -> Any:
    """``value`` in a form that is the same whenever it means the same, whatever its kind; JSON's own types only.

    Numbers of one value are one, ``1`` and ``1.0``; a list is a tuple; absolute paths in the project are relative to its
    root; functions, classes and open files are their names.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return redact.text(identity.relative(str.__str__(value), root, root))
    if depth > DEEPEST:
        return "…"
    if isinstance(value, dict):
        pairs = [[canonical(key, root, depth + 1), canonical(item, root, depth + 1)] for key, item in value.items()]
        return {"mapping": sorted(pairs, key=_sorting)}
    if isinstance(value, (list, tuple)):
        return [canonical(item, root, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((canonical(item, root, depth + 1) for item in value), key=_sorting)}
    return _object(value, root, depth)


def shown(arguments: Mapping[str, Any], root: str) -> dict[str, Any]:
    """The arguments as parameters of a trial: what is a number or a text stays it, the rest is in JSON's own types."""
    return {name: value if type(value) in (int, float) else canonical(value, root) for name, value in arguments.items()}


def _number(value: float) -> Any:
    """Enumerations of numbers are these numbers."""
    if isinstance(value, int):
        return int(value)
    value = float(value)
    return int(value) if abs(value) < _EXACT and value == int(value) else value


def _object(value: Any, root: str, depth: int) -> Any:
    if hasattr(value, "__fspath__"):
        return canonical(os.fsdecode(value), root)
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):  # a function or a class
        return f"{getattr(value, '__module__', '')}.{name}"
    if hasattr(value, "read") or hasattr(value, "write"):  # an open file
        return ["file", canonical(str(getattr(value, "name", "")), root), str(getattr(value, "mode", ""))]
    known = _plain(value)
    if known is not None:
        return canonical(known, root, depth + 1)
    if getattr(type(value), "__repr__", None) is not object.__repr__:
        return redact.text(_ADDRESS.sub("", repr(value)))
    return [f"{type(value).__module__}.{type(value).__qualname__}", canonical(getattr(value, "__dict__", {}), root, depth + 1)]


def _plain(value: Any) -> Any:
    """What kleio would log for it, in JSON's own types; None if it would not."""
    from kleio.core.values import plain

    try:
        return plain(value)
    except Exception:  # noqa: BLE001 - the value's own methods may raise anything, and it is none that is known
        return None


def _sorting(value: Any) -> str:
    import json

    return json.dumps(value, sort_keys=True)
