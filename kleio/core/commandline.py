"""argv ⇄ parameters, and the config files that a command line names."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

CONFIG_TYPES = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".gin")
LARGEST_CONFIG = 1 << 20
_OUTPUTS = {"out", "output", "outputs", "result", "results", "save", "dest", "destination", "log", "logs", "dump", "export",
            "metrics", "report", "write", "cache", "checkpoint", "ckpt"}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_ASSIGNED = re.compile(r"[+~]{0,2}([A-Za-z_][\w./@-]*)=(.*)\Z", re.DOTALL)
_INTERPRETER = re.compile(r"(python[0-9.]*|pypy[0-9.]*|bash|sh|zsh|dash|Rscript|julia|node|perl|ruby|lua)\Z")


def interpreter_words(argv: Sequence[str]) -> int:
    """How many leading words are the program: ``python -u train.py`` has 3, ``./train --lr 1`` has 1."""
    if len(argv) < 2 or not _INTERPRETER.match(os.path.basename(argv[0])):
        return 1
    at = 1
    while at < len(argv) and argv[at].startswith("-") and argv[at] not in ("-", "--"):
        if argv[at] in ("-m", "-c"):
            return min(at + 2, len(argv))
        at += 2 if argv[at] in ("-W", "-X") else 1
    return min(at + 1, len(argv))


def script(argv: Sequence[str]) -> str | None:
    """The file that the command executes as its source, as written: ``train.py``; None when there is none."""
    words = interpreter_words(argv)
    if words > 1:
        if "-c" in argv[1:words] or "-m" in argv[1:words]:
            return None
        return argv[words - 1]
    return argv[0] if "/" in argv[0] else None


def parameters(argv: Sequence[str]) -> dict[str, Any]:
    """Names and values as any program's user would read them.

    ``--lr 0.1``, ``--lr=0.1``, ``-x 3``, ``lr=0.1``, ``--flag`` (true). Leading dashes are dropped, inner ones become
    underscores; positionals are ``_1``, ``_2`` …, not counting the program and its script. An option given several
    times, or followed by several numbers, has a list.
    """
    found: dict[str, Any] = {}
    positional = 0
    for name, value in _named(argv[interpreter_words(argv) :]):
        if name is None:
            positional += 1
            found[f"_{positional}"] = value
        elif name in found:
            known = found[name]
            found[name] = [*(known if isinstance(known, list) else [known]), *(value if isinstance(value, list) else [value])]
        else:
            found[name] = value
    return found


def _named(words: Sequence[str]) -> Iterator[tuple[str | None, Any]]:
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            yield from ((None, typed(rest)) for rest in words[at:])
            return
        if is_option(word):
            name, equals, value = word.partition("=")
            if equals:
                yield key_of(name), typed(value)
                continue
            values = _values(words[at:])
            at += len(values)
            yield key_of(name), (True if not values else values[0] if len(values) == 1 else values)
        elif assigned := _ASSIGNED.match(word):
            yield assigned[1], typed(assigned[2])
        else:
            yield None, typed(word)


def _values(words: Sequence[str]) -> list[Any]:
    """What belongs to an option: the next word, and where it is a number the numbers after it."""
    values: list[Any] = []
    for word in words:
        value = typed(word)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_option(word) or word == "--" or (values and not number):
            break
        values.append(value)
        if not number:
            break
    return values


def is_option(word: str) -> bool:
    """``-x`` and ``--x``; a negative number and a lone dash are none."""
    return word.startswith("-") and len(word) > 1 and word != "--" and not _FLOAT.match(word)


def key_of(option: str) -> str:
    """``--batch-size`` is ``batch_size``."""
    return option.lstrip("-").replace("-", "_") or option


def typed(text: str) -> Any:
    """A number, true, false, or the text itself."""
    if _INTEGER.match(text) and len(text) < 4000:
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return {"true": True, "True": True, "false": False, "False": False}.get(text, text)


def config_files(argv: Sequence[str], cwd: str) -> Iterator[tuple[str, str]]:
    """(word, path) for each existing config file that an argument names.

    What is named as an output (``--out metrics.json``, ``results/a.json``) is none: it would change with every run, and the
    run could not be found again.
    """
    option = ""
    for word in argv[1:]:
        name, equals, value = word.partition("=")
        named = name if equals else option
        candidate = value if equals else word
        option = word if is_option(word) and not equals else ""
        if not candidate.endswith(CONFIG_TYPES) or _is_output(named) or candidate.split("/")[0] == "results":
            continue
        path = os.path.join(cwd, candidate)
        try:
            if os.path.isfile(path) and os.stat(path).st_size <= LARGEST_CONFIG:
                yield word, path
        except (OSError, ValueError):
            continue


def _is_output(option: str) -> bool:
    return bool(_OUTPUTS.intersection(re.split(r"[^a-z]+", option.lower())))


def without(argv: Sequence[str], volatile: Iterable[str]) -> list[str]:
    """``argv`` less the options named in ``volatile``, with their values."""
    names = {key_of(name) for name in volatile}
    kept: list[str] = []
    skipping = False
    for word in argv:
        if skipping and not is_option(word):
            skipping = False
            continue
        skipping = False
        name, equals, _ = word.partition("=")
        if word.startswith("-") and key_of(name) in names:
            skipping = not equals
            continue
        kept.append(word)
    return kept
