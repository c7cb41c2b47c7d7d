"""The environment of a run: interpreter, packages, system, hardware, chosen variables.

Gathered while the child runs, so it delays no start; only before resuming is it gathered first, because then it decides.
The interpreter is the child's, not kleio's: the program itself, or what its ``#!`` line names.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import sys

from kleio.core import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_PROBE = "import sys, json; print(json.dumps(['%d.%d.%d' % sys.version_info[:3], sys.path[1:]]))"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*\Z")
_DISTRIBUTION = re.compile(r"(.+?)-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info\Z")


def capture(program: str, variables: Sequence[str]) -> dict[str, Any]:
    """The environment as it is now. ``program`` is the path of what was launched; ``variables`` are patterns."""
    python = interpreter(program)
    version, path = inspected(python) if python else (None, [])
    chosen = {k: v for k, v in os.environ.items() if any(fnmatch.fnmatchcase(k, pattern) for pattern in variables)}
    return {
        "python": {"executable": python, "version": version} if python else None,
        "packages": packages(path),
        "system": _system(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "host": os.uname().nodename,
        "variables": redact.variables(chosen),
    }


def changes(before: Mapping[str, Any] | None, now: Mapping[str, Any], own: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """What counts and differs, as (what, before, now): the interpreter's version, packages gone or of another version.

    An added package does not count, nor do the project's ``own``; what is unknown compares equal.
    """
    found = []
    old, new = ((side or {}).get("python") or {} for side in (before, now))
    if old.get("version") and new.get("version") and old["version"] != new["version"]:
        found.append(("python", old["version"], new["version"]))
    if before and now.get("packages"):
        for name, version in before["packages"].items():
            here = now["packages"].get(name)
            if here != version and name not in own:
                found.append((name, version, here or "gone"))
    return found


def interpreter(program: str) -> str | None:
    """The Python that executes ``program``; None when it is something else, or not known."""
    if _PYTHON.match(os.path.basename(program)):
        return os.path.abspath(program)
    try:
        with open(program, "rb") as file:
            first = os.fsdecode(file.readline(512))
    except OSError:
        return None
    if not first.startswith("#!"):
        return None
    words = [word for word in first[2:].split() if not word.startswith("-")]
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
    python = shutil.which(words[0]) if words else None
    return os.path.abspath(python) if python and _PYTHON.match(os.path.basename(python)) else None


def inspected(python: str) -> tuple[str | None, list[str]]:
    """The (version, sys.path) of an interpreter; without running it where it is ours or a virtual environment."""
    if os.path.dirname(python) == os.path.dirname(os.path.abspath(sys.executable)):
        return "{}.{}.{}".format(*sys.version_info[:3]), sys.path[1:]
    prefix = os.path.dirname(os.path.dirname(python))
    version, isolated = _virtual_environment(os.path.join(prefix, "pyvenv.cfg"))
    if version and isolated:
        short = ".".join(version.split(".")[:2])
        return version, [os.path.join(prefix, lib, f"python{short}", "site-packages") for lib in ("lib", "lib64")]
    import subprocess  # 3 ms, for other interpreters

    try:
        answer = subprocess.run([python, "-c", _PROBE], capture_output=True, timeout=10, check=True, stdin=subprocess.DEVNULL)
        version, path = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, []
    return version, path


def _virtual_environment(path: str) -> tuple[str | None, bool]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = dict(line.split("=", 1) for line in file if "=" in line)
    except OSError:
        return None, False
    said = {name.strip(): value.strip() for name, value in lines.items()}
    version = re.match(r"[0-9]+\.[0-9]+\.[0-9]+", said.get("version") or said.get("version_info") or "")
    return (version[0] if version else None), said.get("include-system-site-packages", "false").lower() != "true"


def packages(path: Sequence[str]) -> dict[str, str]:
    """Name → version of the distributions on ``path``, by the names of their metadata; the first one found counts."""
    found: dict[str, str] = {}
    for directory in dict.fromkeys(os.path.realpath(one) for one in path if one):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            match = _DISTRIBUTION.match(name)
            if match:
                found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return dict(sorted(found.items()))


def _system() -> dict[str, str]:
    names = os.uname()
    system = {"kernel": f"{names.sysname} {names.release}", "machine": names.machine}
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            for line in file:
                if line.startswith("PRETTY_NAME="):
                    system["name"] = line.partition("=")[2].strip().strip('"')
    except OSError:
        pass
    return system


def _cpu() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return None


def own_packages(root: str) -> list[str]:
    """The project's own distribution, whose version says nothing about its environment."""
    names = [os.path.basename(root)]
    try:
        with open(os.path.join(root, "pyproject.toml"), encoding="utf-8") as file:
            named = re.search(r"""^name\s*=\s*["']([^"']+)""", file.read(), re.MULTILINE)
            names += [named[1]] if named else []
    except (OSError, UnicodeDecodeError):
        pass
    return [re.sub(r"[-_.]+", "-", name).lower() for name in names]
