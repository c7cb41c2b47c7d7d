"""What config files say: JSON, TOML, INI and YAML to flat names and plain values. Nothing is evaluated.

Whatever the file, the result is small: at most :data:`MOST` values, and reading takes a time that its size bounds. Aliases
of YAML, which can stand for more values than there are atoms, are followed only as far as that.
"""

from __future__ import annotations

import math
import os
import re
import sys

from kleio.core import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MOST = 1000
"""Values that are taken of one file."""
DEEPEST = 20
LONGEST = 200
"""Characters of a text, and of a name."""
_ITEMS = 100  # of a list
_LISTS = (list, tuple, set)
_YAML_SIZE = 1 << 17  # bytes; its parser takes 10 s for a megabyte


def read(
    path: str, content: bytes, say: Callable[[str], None] | None = None, typed: Callable[[str], Any] = str
) -> dict[str, Any]:
    """Name → value, JSON-able and without secrets. ``say`` hears why a file could not be read; then the result is empty.

    ``typed`` makes values of the words of formats that have only words.
    """
    parse = _PARSERS.get(os.path.splitext(path)[1].lower())
    if parse is None:
        return {}
    try:
        document = parse(content.decode("utf-8-sig"))
    except Exception as error:  # noqa: BLE001 - the parsers' own errors, RecursionError, and ValueError of a date that is none
        if say:
            reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
            say(f"the values in {path} are not among the parameters: {reason}")
        return {}
    words = typed if parse is _ini else _exponent if parse is _yaml else _same
    return _flat(document, words) if isinstance(document, dict) else {}


def _same(value: Any) -> Any:
    return value


def _exponent(value: Any) -> Any:
    """``1e-3`` is text in YAML 1.1, and a number to everybody who writes it."""
    number = isinstance(value, str) and re.fullmatch(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]{1,3}", value)
    return float(value) if number else value


def _flat(document: dict[Any, Any], typed: Callable[[Any], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for steps, (name, value) in enumerate(_leaves(document, "", False, 0)):
        if steps >= 10 * MOST or len(found) >= MOST:
            break
        if name is not None:
            found[name] = _plain(typed(value))
    return found


def _leaves(value: Any, name: str, secret: bool, depth: int) -> Iterator[tuple[str | None, Any]]:
    """(name, value) of what is below ``value``; a step without a name for each container, so that the caller can stop."""
    if isinstance(value, dict) and value and depth < DEEPEST:
        yield None, None
        for key, inner in value.items():
            part = _text(key)
            yield from _leaves(inner, f"{name}.{part}" if name else part, secret or redact.is_secret(part), depth + 1)
    elif isinstance(value, _LISTS) and depth < DEEPEST and any(isinstance(one, (dict, *_LISTS)) for one in value):
        yield None, None
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{number}", secret, depth + 1)
    elif name and not isinstance(value, dict):
        yield name[:LONGEST], redact.GONE if secret and value not in (None, "", True, False) else _plain(value)


def _plain(value: Any) -> Any:
    """A value as JSON has it; a date as ISO text, numbers that JSON or a database cannot hold as text."""
    if isinstance(value, _LISTS):
        return [_plain(one) for one in list(value)[:_ITEMS] if not isinstance(one, (dict, *_LISTS))]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else "a large number" if value.bit_length() > 2000 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return redact.text(_text(value))


def _text(value: Any) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text[:LONGEST].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _json(text: str) -> Any:
    import json

    return json.loads(text)


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    return tomllib.loads(text)


def _ini(text: str) -> Any:
    """Sections are the first part of a name; what comes before the first section has none."""
    import configparser

    top = "\0"
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True, default_section="\0none")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(f"[{top}]\n{text}")
    sections = {section: {key: value or "" for key, value in parser.items(section)} for section in parser.sections()}
    return sections.pop(top) | sections


def _yaml(text: str) -> Any:
    """The first document of it. A tag that asks for an object is an error of the parser."""
    if len(text) > _YAML_SIZE:
        raise ValueError(f"it is larger than {_YAML_SIZE >> 10} KiB")
    import yaml  # 20 ms

    class Loader(yaml.SafeLoader):
        """Merge keys copy what they name, so a few lines could ask for any amount of memory."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            super().flatten_mapping(node)
            if len(node.value) > 10 * MOST:
                raise ValueError("its merge keys make it too large")

    loader = Loader(text)
    try:
        return loader.get_data() if loader.check_data() else None  # type: ignore[no-untyped-call]
    finally:
        loader.dispose()


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": _json, ".toml": _toml, ".ini": _ini, ".cfg": _ini, ".conf": _ini, ".yaml": _yaml, ".yml": _yaml,
}  # fmt: skip
