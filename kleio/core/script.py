"""A trial as a shell script that brings its code back and runs it by hand: git, sh and base64 are all it needs.

Whatever comes out of a record is quoted, and a path is checked before it is written to, so that a script made of somebody
else's trial touches nothing outside the directory that it makes (what the trial's own command does is another matter).
"""

from __future__ import annotations

import base64
import fnmatch
import os
import re
import shlex
from dataclasses import dataclass, field

from kleio.core import redact
from kleio.core.config import IDENTITY_ENV
from kleio.core.errors import KleioError
from kleio.core.filechanges import patch
from kleio.core.inputs import beside
from kleio.core.laying import changes, checked_path
from kleio.core.lookup import SHORT
from kleio.core.sourcefiles import LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from kleio.core.laying import Change
    from kleio.core.sourcefiles import File, Version
    from kleio.core.trial import Entry

ROOM = 1 << 20
"""Bytes of binary files that are written into the script; others are taken from the project itself."""
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


@dataclass(slots=True)
class _Page:
    """The script as it grows. ``room`` is what may still be written of binary files."""

    lines: list[str] = field(default_factory=list)
    room: int = ROOM

    def line(self, text: str) -> None:
        self.lines.append(text + "\n")

    def remark(self, text: str) -> None:
        """A comment, whatever ``text`` holds."""
        self.lines += [f"# {line}".rstrip() + "\n" for line in re.split(r"[\r\n]", text)]

    def document(self, command: str, text: str) -> None:
        """``command`` with ``text``, which ends in a newline, as its input."""
        end, number = "END", 0
        while f"\n{end}\n" in f"\n{text}":
            end, number = f"END{number}", number + 1
        self.lines += [f"{command} <<'{end}'\n", text, f"{end}\n"]


def script(entry: Entry, code: Version, environment: Mapping[str, Any] | None, home: str | None) -> str:
    """The script of a trial. ``home`` is the project's root where it ran; bytes that are no UTF-8 are surrogates.

    Raises KleioError for a record that cannot be brought back, as when one of its paths leads out of the directory.
    """
    page = _Page()
    quoted = {"directory": f"kleio-{entry.id[:SHORT]}", "files": shlex.quote(home or ".")}
    page.lines.append(HEAD.format(id=re.sub(r"\W", "", entry.id), **quoted))
    _base(page, code, '"$directory"', "")
    page.lines.append('cd -- "$directory"\nroot=$(pwd)\n')
    _lay(page, code, "")
    _inputs(page, code, home)
    _packages(page, environment)
    _variables(page, (environment or {}).get("variables") or {})
    _run(page, entry, code, home)
    return "".join(page.lines)


# -- the code ----------------------------------------------------------------------------------------------------------


def _base(page: _Page, code: Version, directory: str, prefix: str) -> None:
    """What lies under the changes: the commit, an empty repository, or nothing."""
    document = code.document
    page.line("")
    if document.get("kind") != "git":
        page.remark("the code: it was no git repository")
        page.line(f"mkdir -- {directory}")
    elif not code.commit:
        page.remark("the code: a repository without a commit")
        page.line(f"git init -q -- {directory}")
    else:
        branch = f" on {document['branch']}" if document.get("branch") else ""
        page.remark(f"the code{f' in {prefix}' if prefix else ''}: commit {code.commit}{branch}")
        here = [code.root] if code.root and code.tree is not None else []
        remote = [document["remote"]] if document.get("remote") else []
        sources = remote + here if document.get("pushed") else here + remote
        if not sources:
            raise KleioError(f"commit {code.commit[:12]} is in no repository here and has no remote; go where the trial ran")
        words = [directory, shlex.quote(code.commit), shlex.quote(_settings(document)), *map(shlex.quote, sources)]
        page.line(" ".join(["bring", *words]))


def _settings(document: Mapping[str, Any]) -> str:
    """How git is to write the ends of lines: as it was told where the trial ran, and not as it is told here."""
    ends = {"core.autocrlf": "false", "core.eol": "native"} | dict(document.get("config") or {})
    return " ".join(f"-c {name}={value}" for name, value in ends.items() if re.fullmatch(r"[a-z.]+=\w+", f"{name}={value}"))


def _lay(page: _Page, code: Version, prefix: str) -> None:
    """What differs from the commit, and the same in every submodule."""
    laid = changes(code.document)
    for one in laid:
        _refuse_links(code, one.path)
    patched = _patched(code, laid)
    if patched:
        page.document("git apply --whitespace=nowarn", patch(code.committed(), code, patched))
    others = sorted((one for one in laid if one.path not in patched), key=lambda one: (one.mode == LINK, one.path))
    for one in others:
        page.line(f"rm -rf -- {shlex.quote(one.path)}")
    _prune(page, [one.path for one in others if not one.mode])
    small = code.look([one.path for one in others if one.mode and one.mode != LINK])
    for one in others:
        if one.mode:
            _write(page, one, small.get(one.path), prefix)
    for path, inner in sorted(code.submodules.items()):
        checked_path(path)
        _refuse_links(code, path)
        page.line(f"rm -rf -- {shlex.quote(path)}")
        _base(page, inner, shlex.quote(path), prefix + path)
        page.line(f"(\ncd -- {shlex.quote(path)}")
        _lay(page, inner, f"{prefix}{path}/")
        page.line(")")


def _refuse_links(code: Version, path: str) -> None:
    """A directory that is a link in the commit would lead out."""
    parts = path.split("/")
    tree = code.tree or {}
    for count in range(1, len(parts)):
        above = "/".join(parts[:count])
        if tree.get(above, ("",))[0] == LINK and above not in code.touched:
            raise KleioError(f"the recorded code writes through the link {above}; it is damaged, or not meant well")


def _patched(code: Version, laid: Sequence[Change]) -> set[str]:
    """Text files that were in the commit: what changed in them is shorter than they are, and can be read."""
    wanted = [one.path for one in laid if one.mode and one.mode != LINK and one.path in (code.tree or {})]
    old, new = code.committed().look(wanted), code.look(wanted)
    return {path for path in wanted if _is_plain(old[path]) and _is_plain(new[path])}


def _is_plain(file: File | None) -> bool:
    return file is not None and file.mode != LINK and file.data is not None and _text(file.data) is not None


def _text(data: bytes) -> str | None:
    """It as text that goes through a shell and an editor unharmed; None for anything else."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) or (text and not text.endswith("\n")) else text


def _prune(page: _Page, gone: Sequence[str]) -> None:
    """git keeps no empty directory."""
    for directory in sorted({os.path.dirname(path) for path in gone} - {""}):
        page.line(f"rmdir -p -- {shlex.quote(directory)} 2> /dev/null || :")


def _write(page: _Page, one: Change, file: File | None, prefix: str) -> None:
    path, directory = shlex.quote(one.path), os.path.dirname(one.path)
    if directory:
        page.line(f"mkdir -p -- {shlex.quote(directory)}")
    if one.mode == LINK:
        page.line(f"ln -s -- {shlex.quote(one.content)} {path}")
        return
    data = file.data if file else None
    if data is None and one.size <= ROOM:
        page.line(f"fail {shlex.quote(f'what {one.path} held is no longer in the journal')}")
    elif data is not None and (text := _text(data)) is not None:
        page.document(f"cat > {path}", text)
    elif data is not None and len(data) <= page.room:
        page.room -= len(data)
        page.document(f"base64 -d > {path}", base64.encodebytes(data).decode() or "\n")
    else:
        page.remark(f"{prefix}{one.path}: {one.size:,} bytes; kleio checkout has it as well")
        page.line(f'(files=$files/{shlex.quote(prefix)}; take {path} {shlex.quote(one.content)})')
    if one.mode == "100755":
        page.line(f"chmod +x -- {path}")


# -- what it runs with -------------------------------------------------------------------------------------------------


def _inputs(page: _Page, code: Version, home: str | None) -> None:
    """What git ignores, and what was left out, as links to make: which of it the run needs only its owner knows."""
    why = {one["path"]: one["why"] for one in code.document.get("left_out") or ()}
    paths = beside(home, code.document) if home and os.path.isdir(home) else list(why)
    if not home or not paths:
        return
    page.line("")
    page.remark("Perhaps needed as well:")
    for path in paths[:MOST_INPUTS]:
        name = shlex.quote(path.rstrip("/"))
        page.remark(f'ln -s -- "$files"/{name} {name}  ({why.get(path, "not part of the code")})')
    if len(paths) > MOST_INPUTS:
        page.remark(f"and {len(paths) - MOST_INPUTS} more")


def _like(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _packages(page: _Page, environment: Mapping[str, Any] | None) -> None:
    """The environment, to be made by whoever wants it: the present one may do."""
    python = (environment or {}).get("python") or {}
    packages = (environment or {}).get("packages") or {}
    if not python:
        return
    version = str(python.get("version") or "3")
    page.line("")
    page.remark(f"It ran with Python {version} and {len(packages)} packages. To have them again:")
    page.remark(f"python{'.'.join(version.split('.')[:2])} -m venv ../kleio-environment && . ../kleio-environment/bin/activate")
    if packages:
        page.remark("pip install " + " ".join(shlex.quote(f"{name}=={number}") for name, number in packages.items()))


def _variables(page: _Page, variables: Mapping[str, str]) -> None:
    known = {name: value for name, value in variables.items() if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)}
    if known:
        page.line("")
    for name, value in sorted(known.items()):
        if redact.GONE in value:
            page.remark(f"export {name}=  (a secret, not recorded)")
        elif _like(name, _MACHINE) and name not in IDENTITY_ENV:
            page.remark(f"export {name}={shlex.quote(value)}  (names where it ran)")
        else:
            page.line(f"export {name}={shlex.quote(value)}")


def _run(page: _Page, entry: Entry, code: Version, home: str | None) -> None:
    cwd = entry.trial.cwd
    page.line("")
    if os.path.isabs(cwd) or ".." in cwd.split("/"):
        page.remark(f"it ran in {cwd}, which is outside of the project")
    elif cwd != ".":
        page.line(f"mkdir -p -- {shlex.quote(cwd)}\ncd -- {shlex.quote(cwd)}")
    words = []
    for at, word in enumerate(entry.trial.command):
        words.append(_word(word, code, home))
        if redact.GONE in word:
            name = entry.trial.command[at - 1] if word == redact.GONE else word.partition("=")[0]
            words[-1] = _asked(page, word, f"KLEIO_SECRET_{at}", name)
    page.line(" ".join(words))


def _asked(page: _Page, word: str, variable: str, name: str) -> str:
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
