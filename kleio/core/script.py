"""A trial as a shell script that brings its code back and runs it by hand: git, sh and base64 are all it needs."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex

from kleio.core import redact
from kleio.core.config import IDENTITY_ENV
from kleio.core.inputs import beside
from kleio.core.lookup import SHORT
from kleio.core.scriptcode import Page, base, lay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from kleio.core.sourcefiles import Version
    from kleio.core.trial import Entry

MOST_INPUTS = 20
_MACHINE = ("SLURM_*", "PBS_*", "SGE_*", "LSB_*", "HOSTNAME", "VIRTUAL_ENV", "CONDA_*", "*_VISIBLE_DEVICES", "PYTHONHOME")
"""Variables that name the machine, the job or the environment of then; those that number the tasks of an array do not."""

HEAD = """\
#!/bin/sh
# Trial {id}, run again by hand and without kleio.
#
#     sh SCRIPT [DIRECTORY [FILES]]
#
# DIRECTORY must not be there yet. Files that are too large for a script are taken from FILES, a copy of the project.
set -eu
unset CDPATH
directory=${{1:-{directory}}}
files=${{2-}}
[ -n "$files" ] || files={files}
case $files in
/*) ;;
*) files=$(pwd)/$files ;;
esac

fail() {{
    echo "$*" >&2
    exit 1
}}
bring() {{  # DIRECTORY COMMIT SETTINGS SOURCE...: the commit, from the first of the sources that has it
    into=$1 commit=$2 settings=$3
    shift 3
    for source; do
        # shellcheck disable=SC2086
        if git clone -q --no-checkout $settings -- "$source" "$into"; then
            git -C "$into" checkout -q --detach "$commit" && return
            rm -rf -- "$into"
        fi
    done
    fail "commit $commit is in none of: $*"
}}
take() {{  # PATH SHA256: a large file, from FILES
    [ -f "$files/$1" ] || fail "$1 is too large for this script: put it into $files"
    [ "$(sha256sum < "$files/$1" | cut -c 1-64)" = "$2" ] || fail "$files/$1 is not what the trial had: it has changed since"
    cp -- "$files/$1" "$1"
}}

if [ -e "$directory" ] || [ -L "$directory" ]; then
    fail "$directory is there already; name another directory"
fi
"""


def script(entry: Entry, code: Version, environment: Mapping[str, Any] | None, home: str | None) -> str:
    """The script of a trial. ``home`` is the project's root where it ran; bytes that are no UTF-8 are surrogates.

    Raises KleioError for a record that cannot be brought back, as when one of its paths leads out of the directory.
    """
    page = Page()
    quoted = {"directory": f"kleio-{entry.id[:SHORT]}", "files": shlex.quote(home or ".")}
    page.lines.append(HEAD.format(id=re.sub(r"\W", "", entry.id), **quoted))
    base(page, code, '"$directory"', "")
    page.lines.append('cd -- "$directory"\nroot=$(pwd)\n')
    lay(page, code, "")
    _inputs(page, code, home)
    _packages(page, environment)
    _variables(page, (environment or {}).get("variables") or {})
    _run(page, entry, code, home)
    return "".join(page.lines)


# -- what it runs with -------------------------------------------------------------------------------------------------


def _inputs(page: Page, code: Version, home: str | None) -> None:
    """What git ignores, and what was left out, as links to make: which of it the run needs only its owner knows."""
    why = {one["path"]: one["why"] for one in code.document.get("left_out") or ()}
    paths = beside(home, code.document) if home and os.path.isdir(home) else list(why)
    if not home or not paths:
        return
    page.line("")
    page.remark("Perhaps needed as well:")
    for path in paths[:MOST_INPUTS]:
        name = shlex.quote(path.rstrip("/"))
        page.remark(f'ln -s -- "$files"/{name} {name}  # {why.get(path, "not part of the code")}')
    if len(paths) > MOST_INPUTS:
        page.remark(f"and {len(paths) - MOST_INPUTS} more")


def _like(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


_NOT_OURS = ("kleio", "pip", "setuptools", "wheel")
"""Packages that no index is asked for: what is called kleio there is another's, the others come with Python."""


def _packages(page: Page, environment: Mapping[str, Any] | None) -> None:
    """The environment, to be made by whoever wants it: the present one may do."""
    python = (environment or {}).get("python") or {}
    packages = {name: number for name, number in ((environment or {}).get("packages") or {}).items() if name not in _NOT_OURS}
    if not python:
        return
    version = str(python.get("version") or "3")
    page.line("")
    page.remark(f"It ran with Python {version} and {len(packages)} packages. To have them again:")
    page.remark(f"python{'.'.join(version.split('.')[:2])} -m venv ../kleio-environment && . ../kleio-environment/bin/activate")
    if packages:
        page.remark("pip install " + " ".join(shlex.quote(f"{name}=={number}") for name, number in packages.items()))


def _variables(page: Page, variables: Mapping[str, str]) -> None:
    known = {name: value for name, value in variables.items() if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)}
    if known:
        page.line("")
    for name, value in sorted(known.items()):
        if redact.GONE in value:
            page.remark(f"export {name}=  # a secret, not recorded")
        elif _like(name, _MACHINE) and name not in IDENTITY_ENV:
            page.remark(f"export {name}={shlex.quote(value)}  # names where it ran")
        else:
            page.line(f"export {name}={shlex.quote(value)}")


def _run(page: Page, entry: Entry, code: Version, home: str | None) -> None:
    cwd = entry.trial.cwd
    page.line("")
    if entry.trial.parent and entry.trial.cut:
        said = f"this trial goes on from trial {entry.trial.parent[:7]}; without kleio it begins at the beginning"
        page.line(f"echo {shlex.quote(said)} >&2")
    if os.path.isabs(cwd) or ".." in cwd.split("/"):
        page.remark(f"it ran in {cwd}, which is outside of the project")
    elif cwd != ".":
        parts = os.path.normpath(cwd).split("/")
        for count in range(1, len(parts) + 1):  # a link of the commit's may lead anywhere
            page.line(f"[ ! -L {shlex.quote('/'.join(parts[:count]))} ] || exit 1")
        page.line(f"mkdir -p -- {shlex.quote(cwd)}\ncd -- {shlex.quote(cwd)}")
    words = []
    for at, word in enumerate(entry.trial.command):
        words.append(_word(word, code, home))
        if redact.GONE in word:
            name = entry.trial.command[at - 1] if word == redact.GONE else word.partition("=")[0]
            words[-1] = _asked(page, word, f"KLEIO_SECRET_{at}", name)
    page.line(" ".join(words))


def _asked(page: Page, word: str, variable: str, name: str) -> str:
    """A word with a secret in it, which whoever runs the script gives in a variable."""
    label = re.sub(r"[^\w.=-]", "", name)
    page.line(f': "${{{variable}:?was not recorded: give the secret of {label} in this variable}}"')
    return f'"${variable}"'.join(shlex.quote(part) if part else "" for part in word.split(redact.GONE))


def _word(word: str, code: Version, home: str | None) -> str:
    """A word of the command; a path that leads into the project as it was leads into the new directory."""
    before, found, path = word.partition(f"{home.rstrip('/')}/") if home else (word, "", "")
    if not found or (before and not before.endswith("=")) or not _has(code, path):
        return shlex.quote(word)
    return f'{shlex.quote(before) if before else ""}"$root"/{shlex.quote(path)}'


def _has(code: Version, path: str) -> bool:
    """Whether a file, or one in a directory, is part of the code; an environment that git ignores is not."""
    path = os.path.normpath(path)
    there = {*(code.tree or {}), *code.touched}
    return path in there or any(one.startswith(path + "/") for one in there)
