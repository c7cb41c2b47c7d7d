"""The environment of a run: interpreter, packages, system, hardware, container, chosen variables; and what of it changed.

Gathered while the child runs, so it delays no start; only before resuming is it gathered first, because then it decides.
The interpreter is the child's, not kleio's: the program itself, or what its ``#!`` line names, or what the client reported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys

from kleio.core import hardware, redact
from kleio.core.config import hooked, user_name
from kleio.core.environment_changes import changes, unknown, wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

__all__ = ["capture", "changes", "interpreter", "own_packages", "packages", "unknown", "wanted"]

_PROBE = "import sys, json; print(json.dumps(['%d.%d.%d' % sys.version_info[:3], sys.path[1:]]))"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*\Z")
_DISTRIBUTION = re.compile(r"([^~-].*?)-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info\Z")
_LONGEST_PATH = 200
"""Entries of a reported ``sys.path`` that are kept."""


def capture(
    program: str, variables: Sequence[str], reported: Mapping[str, Any] | None = None, *, gpus: bool = True, root: str = "/",
    patience: float = hardware.PATIENCE, over: threading.Event | None = None, environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:  # fmt: skip
    """The environment as it is now. ``program`` is the path of what was launched; ``variables`` are patterns.

    ``reported`` is what the client told of its interpreter, or the ``python`` of an earlier environment: it counts where
    ``program`` is no Python. Without ``gpus`` nobody asks the driver, which may take seconds.

    Tools have ``patience`` seconds together; for nvidia-smi nobody waits once ``over`` is set. What took longer is unknown,
    and named as ``unanswered``. ``environ`` are the variables of whoever runs.
    """
    asking = hardware.Asking(patience, over)
    python, path = _python(program, reported, asking)
    found = hardware.gpus(root, asking) if gpus else None
    chosen = {name: value for name, value in hooked(environ, wanted=False).items() if _matches(name, variables)}
    return {
        "python": python,
        "packages": packages(path),
        **(_distribution(str(python["executable"])) if python else {}),
        **hardware.machine(root),
        "user": user_name(),
        **({"gpus": found} if found is not None else {}),
        "container": hardware.container(environ, root),
        "variables": redact.variables(chosen),
        "patterns": sorted(set(variables)),
        **({"unanswered": asking.unanswered} if asking.unanswered else {}),
    }


def _matches(name: str, patterns: Iterable[str]) -> bool:
    import fnmatch

    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


# -- the interpreter -----------------------------------------------------------------------------------------------


def _python(
    program: str, reported: Mapping[str, Any] | None, asking: hardware.Asking
) -> tuple[dict[str, Any] | None, list[str]]:
    """The interpreter as the document has it, and its ``sys.path``."""
    own = interpreter(program)
    if own:
        version, path = inspected(own, asking)
        return {"executable": own, "version": version}, path
    told = str((reported or {}).get("executable") or "")
    if reported is None or not told:
        return None, []
    version = reported.get("version") if not reported.get("reported") else None
    path = [one for one in reported.get("path") or () if isinstance(one, str)][:_LONGEST_PATH]
    if version is None:  # of an earlier run: what is there now?
        version, here = inspected(told, asking)
        path = [*path, *(one for one in here if one not in path)]
    return {"executable": told, "version": version, "reported": True, "path": path}, path


def interpreter(program: str) -> str | None:
    """The Python that executes ``program``; None when it is something else, or not known."""
    if _PYTHON.match(os.path.basename(program)):
        return os.path.abspath(program)
    try:
        with open(program, "rb") as file:
            first, second = os.fsdecode(file.readline(512)), os.fsdecode(file.readline(512))
    except OSError:
        return None
    if not first.startswith("#!"):
        return None
    words = [word for word in first[2:].split() if not word.startswith("-") and "=" not in word]
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
    elif second.startswith("'''exec' "):  # how installers write a line that is too long for the kernel
        words = [second.split("' ", 1)[1].partition(' "$0"')[0].strip().strip('"')]
    python = shutil.which(words[0]) if words else None
    return os.path.abspath(python) if python and _PYTHON.match(os.path.basename(python)) else None


def inspected(python: str, asking: hardware.Asking | None = None) -> tuple[str | None, list[str]]:
    """The (version, sys.path) of an interpreter; without running it where it is ours or a virtual environment.

    (None, []) where it does not answer, or makes no sense.
    """
    if os.path.dirname(python) == os.path.dirname(os.path.abspath(sys.executable)):
        return "{}.{}.{}".format(*sys.version_info[:3]), sys.path[1:]
    prefix = os.path.dirname(os.path.dirname(python))
    said = _virtual_environment(prefix)
    version = re.match(r"[0-9]+\.[0-9]+\.[0-9]+", said.get("version") or said.get("version_info") or "")
    if version and said.get("include-system-site-packages", "false").lower() != "true":
        short = ".".join(version[0].split(".")[:2])
        return version[0], [os.path.join(prefix, lib, f"python{short}", "site-packages") for lib in ("lib", "lib64")]
    answer = (asking or hardware.Asking()).answer_of([python, "-c", _PROBE]) or ""
    try:
        told, path = json.loads(answer.strip().rpartition("\n")[2])  # before it: what a sitecustomize says
        return (str(told), [one for one in path if isinstance(one, str)]) if isinstance(path, list) else (None, [])
    except (ValueError, TypeError):
        return None, []


def age(program: str) -> tuple[tuple[str, int], ...]:
    """What changes when something is installed for the interpreter that executes ``program``, or taken away."""
    python = interpreter(program)
    found = []
    for place in inspected(python)[1] if python else ():
        try:
            found.append((place, os.stat(place).st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


def _virtual_environment(prefix: str) -> dict[str, str]:
    path = os.path.join(prefix, "pyvenv.cfg")
    if not os.path.isfile(path):  # opening a pipe would take forever
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.partition("=") for line in file if "=" in line]
    except (OSError, UnicodeDecodeError):
        return {}
    return {name.strip(): value.strip() for name, _, value in lines}


# -- packages ------------------------------------------------------------------------------------------------------


def packages(path: Sequence[str]) -> dict[str, str]:
    """Name → version of the distributions on ``path``, by the names of their metadata; the first one found counts.

    What pip left of a package that it could not remove (``~umpy``), and names that are no text, are none.
    """
    found: dict[str, str] = {}
    for directory in dict.fromkeys(os.path.realpath(one) for one in path if one and "\0" not in one):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            match = _DISTRIBUTION.match(name) if name.endswith("-info") else None
            if match and match[1].isprintable() and match[2].isprintable():
                found.setdefault(_normal(match[1]), match[2])
    return dict(sorted(found.items()))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(python: str) -> dict[str, Any]:
    """What conda and uv say of the interpreter's environment."""
    prefix = os.path.dirname(os.path.dirname(python))
    uv = _virtual_environment(prefix).get("uv")
    conda = _conda(prefix)
    named = {"conda": conda, "conda_environment": _conda_environment(prefix)} if conda else {}
    return named | ({"uv": uv} if uv else {})


def _conda(prefix: str) -> dict[str, str]:
    """Name → version of all that conda installed, Python packages or not: ``mkl-2023.1.0-h213fc3f_46344.json``."""
    try:
        names = os.listdir(os.path.join(prefix, "conda-meta"))
    except OSError:
        return {}
    found = [name[:-5].rsplit("-", 2) for name in names if name.endswith(".json") and name.isprintable()]
    return {parts[0].lower(): parts[1] for parts in sorted(found) if len(parts) == 3}


def _conda_environment(prefix: str) -> str:
    if os.environ.get("CONDA_PREFIX") == prefix and os.environ.get("CONDA_DEFAULT_ENV"):
        return os.environ["CONDA_DEFAULT_ENV"]
    parent, name = os.path.split(prefix)
    return name if os.path.basename(parent) == "envs" else "base"


def own_packages(root: str) -> list[str]:
    """The project's own distribution, whose version says nothing about its environment."""
    names = [os.path.basename(root)]
    try:
        with open(os.path.join(root, "pyproject.toml"), encoding="utf-8") as file:
            named = re.search(r"""^name\s*=\s*["']([^"']+)""", file.read(), re.MULTILINE)
            names += [named[1]] if named else []
    except (OSError, UnicodeDecodeError):
        pass
    return [_normal(name) for name in names]
