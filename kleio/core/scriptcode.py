"""The code of a trial as lines of a shell script: the commit, and over it what differed, readable where it is text.

Whatever comes out of a record is quoted, and a path is checked before it is written to, so that a script made of somebody
else's trial touches nothing outside the directory that it makes (what the trial's own command does is another matter).
"""

from __future__ import annotations

import base64
import os
import re
import shlex
from dataclasses import dataclass, field

from kleio.core.errors import KleioError
from kleio.core.filechanges import patch
from kleio.core.laying import changes, checked_path
from kleio.core.sourcefiles import LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kleio.core.laying import Change
    from kleio.core.sourcefiles import File, Version

ROOM = 1 << 20
"""Bytes of binary files that are written into the script; others are taken from the project itself."""


@dataclass(slots=True)
class Page:
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


def base(page: Page, code: Version, directory: str, prefix: str) -> None:
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


def lay(page: Page, code: Version, prefix: str) -> None:
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
        base(page, inner, shlex.quote(path), prefix + path)
        page.line(f"(\ncd -- {shlex.quote(path)}")
        lay(page, inner, f"{prefix}{path}/")
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


def _prune(page: Page, gone: Sequence[str]) -> None:
    """git keeps no empty directory."""
    for directory in sorted({os.path.dirname(path) for path in gone} - {""}):
        page.line(f"rmdir -p -- {shlex.quote(directory)} 2> /dev/null || :")


def _write(page: Page, one: Change, file: File | None, prefix: str) -> None:
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
