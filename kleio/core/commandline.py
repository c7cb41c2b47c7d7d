"""argv ⇄ parameters, the files that a command line names, and the command with other options."""

from __future__ import annotations

import os
import re
import stat

from kleio.core.errors import UsageError
from kleio.core.secret_names import is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

CONFIG_TYPES = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".gin")
LARGEST_CONFIG = 1 << 20  # bytes
MOST_FILES, MOST_BYTES = 32, 4 << 20
"""Of named files that are of no config type, so many are read before the command starts, and no more."""
_PROGRAMS = (
    ".py", ".pyx", ".pyc", ".pyz", ".ipynb", ".r", ".R", ".jl", ".m", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".cu", ".cuh",
    ".rs", ".go", ".java", ".jar", ".scala", ".kt", ".js", ".mjs", ".ts", ".sh", ".bash", ".zsh", ".fish", ".pl", ".rb", ".lua",
    ".php", ".f", ".f90", ".nf", ".smk", ".so", ".o", ".a",
)  # fmt: skip
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/run/")
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
    for name, value, _ in _numbered(argv):
        if name in found:
            known = found[name]
            found[name] = [*(known if isinstance(known, list) else [known]), *(value if isinstance(value, list) else [value])]
        else:
            found[name] = value
    return found


def named_words(argv: Sequence[str]) -> list[str]:
    """For each word of ``argv`` what :func:`parameters` calls the parameter it belongs to; nothing for the program's own."""
    head = interpreter_words(argv)
    names = [""] * head
    for name, _, count in _numbered(argv):
        names += [name] * count
        if "--" in argv[head:] and len(names) == argv.index("--", head):
            names.append("")
    return names + [""] * (len(argv) - len(names))


def _numbered(argv: Sequence[str]) -> Iterator[tuple[str, Any, int]]:
    """(name, value, how many words), positionals by their number."""
    positional = 0
    for name, value, count in _named(argv[interpreter_words(argv) :]):
        positional += name is None
        yield (f"_{positional}" if name is None else name), value, count


def _named(words: Sequence[str]) -> Iterator[tuple[str | None, Any, int]]:
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            yield from ((None, typed(rest), 1) for rest in words[at:])
            return
        if is_option(word):
            name, equals, value = word.partition("=")
            if equals:
                yield key_of(name), typed(value), 1
                continue
            values = _values(words[at:])
            at += len(values)
            yield key_of(name), (True if not values else values[0] if len(values) == 1 else values), 1 + len(values)
        elif assigned := _ASSIGNED.match(word):
            yield assigned[1], typed(assigned[2]), 1
        else:
            yield None, typed(word), 1


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


def named_files(argv: Sequence[str], cwd: str) -> Iterator[tuple[str, str]]:
    """(word, path) for each word that may name a file, whether there is one or not: a positional argument after the program
    and its script, the value of an option, ``key=path``.

    What is named as an output (``--out metrics.json``, ``results/a.json``) is none, nor is a program: that is code, whatever
    launcher it is the argument of. The value of a secret option is not even looked for.
    """
    option = ""
    for word in argv[interpreter_words(argv) :]:
        name, equals, value = word.partition("=")
        named = name if equals else option
        candidate = value if equals else word
        option = word if is_option(word) and not equals else ""
        if option or not candidate or "\0" in candidate or typed(candidate) != candidate or candidate.endswith(_PROGRAMS):
            continue
        if not _is_output(named) and not is_secret(named) and candidate.split("/")[0] != "results":
            yield word, os.path.join(cwd, candidate)


def config_files(argv: Sequence[str], cwd: str) -> Iterator[tuple[str, str]]:
    """(word, path) of those :func:`named_files` that are there, to be read, and below 1 MB; devices and programs are none."""
    files = size = 0
    for word, path in named_files(argv, cwd):
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_CONFIG or not os.access(path, os.R_OK):
            continue
        if not path.endswith(CONFIG_TYPES):
            if found.st_mode & 0o111 or path.startswith(_SYSTEM):
                continue
            files, size = files + 1, size + found.st_size
            if files > MOST_FILES or size > MOST_BYTES:
                continue
        yield word, path


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


# -- values of config files ----------------------------------------------------------------------------------------


def config_values(path: str, content: bytes, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """What a JSON, TOML, INI or YAML file says, by names with dots, without secrets; empty for other files, and for one that
    cannot be read, which is then said.
    """
    from kleio.core.config_values import read  # parsers: up to 20 ms, beside the command

    return read(path, content, say, typed)


def parameters_with_sources(
    argv: Sequence[str], files: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters of a command and of the config files it names (word → values), and where each comes from.

    The command line wins over files, a later file over an earlier one.
    """
    params = parameters(argv)
    sources = dict.fromkeys(params, "command line")
    for values in files.values():
        for name, value in values.items():
            if sources.get(name.replace("-", "_")) != "command line":
                params[name], sources[name] = value, "config file"
    return params, sources


# -- the command with other options --------------------------------------------------------------------------------


def changed(argv: Sequence[str], words: Sequence[str]) -> list[str]:
    """``argv`` with the options in ``words`` in the place of those of the same name, or added at the end.

    Options are ``--lr 0.01``, ``--lr=0.01``, ``-x 3``, and ``key=value``, as hydra has them. One that ``argv`` has several
    times is replaced where it stands first; a flag that is there stays. Raises UsageError for a positional argument: which
    one it would replace cannot be known.
    """
    head = interpreter_words(argv)
    groups = _groups(argv[head:])
    for name, group in _wanted(words).items():
        same = [at for at, own in enumerate(groups) if _name_of(own[0]) == name]
        flag = len(group) == 1 and "=" not in group[0]
        valued = next((groups[at] for at in same if len(groups[at]) > 1 or "=" in groups[at][0]), None)
        if flag and valued:  # and the word behind may be an argument of its own: --verbose data.csv
            raise UsageError(
                f"{group[0]} is given without a value, but the trial has {' '.join(valued)!r}; give it one, "
                "or the whole command: kleio branch ID -- COMMAND ARGS…"
            )
        if flag:
            groups = [own for at, own in enumerate(groups) if at not in same[1:]]
        if not same:
            end = next((at for at, own in enumerate(groups) if own[0] == "--"), len(groups))
            if end and not is_option(group[0]) and is_option(groups[end - 1][0]) and len(groups[end - 1]) == 1:
                end -= 1  # behind a flag, key=value would read as its value
            groups.insert(end, group)
        elif not flag:
            groups[same[0]] = group
            groups = [own for at, own in enumerate(groups) if at not in same[1:]]
    return [*argv[:head], *(word for group in groups for word in group)]


def _wanted(words: Sequence[str]) -> dict[str, list[str]]:
    """Name → words of each option; all the words of one that is given several times."""
    wanted: dict[str, list[str]] = {}
    for group in _groups(words):
        name = _name_of(group[0])
        if name is None:
            raise UsageError(
                f"{group[0]!r} is no option, and positional arguments are kept as they were: which one it would replace "
                "cannot be known; to replace the whole command: kleio branch ID -- COMMAND ARGS…"
            )
        wanted.setdefault(name, []).extend(group)
    return wanted


def _groups(words: Sequence[str]) -> list[list[str]]:
    """Each option with its values, each other word by itself; from ``--`` on all in one."""
    found: list[list[str]] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            return [*found, list(words[at:])]
        own = [word]
        if is_option(word) and "=" not in word:
            own += words[at + 1 : at + 1 + len(_values(words[at + 1 :]))]
        found.append(own)
        at += len(own)
    return found


def _name_of(word: str) -> str | None:
    """What tells options apart: ``-lr`` for ``--lr``, ``lr`` for ``lr=1``; None for any other word."""
    if is_option(word):
        return "-" + key_of(word.partition("=")[0])
    assigned = _ASSIGNED.match(word)
    return assigned[1] if assigned else None
