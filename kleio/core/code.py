"""The code of a run: which commit, what lies on top of it, and one fingerprint of all that counts.

The fingerprint is stateless: a digest of (mode, content, path) of every file that counts, as the files are on disk, so
committing a change does not change it. The document says how to bring the files back: the commit, and of every path that
differs from it what is there instead (``changes``); the contents are blobs, most of them together in one (``pack``).
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from dataclasses import dataclass, field

from kleio.core import commandline, redact
from kleio.core.capturing import Tree, entry_of, keep
from kleio.core.identity import normalised_remote
from kleio.core.journal.base import place
from kleio.core.leaving_out import Allowance, loudly, named
from kleio.core.pack import Pack
from kleio.core.repository import Repository, root_around, root_commit
from kleio.core.worktree import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kleio.core.config import Config

MOST_FILES = 2000


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """``document`` is what the journal keeps; ``blobs`` maps the digests it names to files with their content."""

    root: str
    project: str
    fingerprint: str
    document: Mapping[str, Any]
    blobs: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def uncertain(self) -> str | None:
        """Why it is not known whether the fingerprint is right, if it is not: git did not say in time what changed."""
        why = self.document.get("uncertain")
        return str(why) if why else None

    @property
    def brief(self) -> dict[str, Any]:
        """What a trial shows of it."""
        shown = {name: self.document.get(name) for name in ("commit", "branch", "dirty", "remote")}
        return {"fingerprint": self.fingerprint, **shown}


def capture(config: Config, argv: Sequence[str], repository: Repository | None, scratch: str) -> CodeVersion:
    """The code as it is now. ``scratch`` is a directory for what must be kept, made only if something must."""
    counts = Counting(config, argv)
    allowance = Allowance(config, time.monotonic() + config["patience"])
    found = _git_version(repository, config, counts, allowance, scratch) if repository else None
    return found or _files_version(repository, config, argv, counts, allowance, scratch)


def _own(config: Config, root: str) -> tuple[bytes, ...]:
    """The paths from ``root`` of what kleio keeps for itself, as far as that is inside."""
    journal = place(config["journal"])
    places = [config.directory(kind) for kind in ("data", "state", "config")] + [os.path.abspath(config["spool-dir"])]
    inside = {root, os.path.realpath(root)}
    near = [*places, os.path.dirname(journal.partition(":///")[2])]
    if not any(f"{one}/".startswith(f"{top}/") for one in near for top in inside):
        return ()
    from kleio.core.written import kept_by_kleio

    kept = [*kept_by_kleio(journal, places[-1]), *places]
    found = {os.path.relpath(one, top) for one in kept for top in inside if one.startswith(f"{top}/")}
    return tuple(sorted(map(os.fsencode, found)))


class Counting:
    """Which files count as code."""

    def __init__(self, config: Config, argv: Sequence[str]) -> None:
        named = {os.path.normpath(word) for word in argv}
        self._excluded = _pattern(config["exclude"])
        self._types = tuple(kind.encode() for kind in config["source-types"])
        self._named = {name.encode("utf-8", "surrogateescape") for name in named if name.endswith(".ipynb")}

    def __call__(self, path: bytes, tracked: bool) -> bool:
        if not tracked and not path.endswith(self._types):
            return False
        if self._excluded is None or not self._excluded.search(path):
            return True
        return any(path.endswith(name) for name in self._named)


def _pattern(patterns: Sequence[str]) -> re.Pattern[bytes] | None:
    """One expression for all: ``docs/`` is a directory anywhere, ``*.md`` a file anywhere, ``a/b*`` a path from the root."""
    parts = []
    for pattern in patterns:
        body = fnmatch.translate(pattern.strip("/"))
        body = re.sub(r"\\[zZ]\Z", "", body)
        if "/" in pattern.strip("/"):
            parts.append(rf"\A{body}(?:/|\Z)")
        else:
            inside = body.replace(".*", "[^/]*")
            parts.append(rf"(?:\A|/){inside}" + ("/" if pattern.endswith("/") else r"(?:/|\Z)"))
    return re.compile("|".join(parts).encode("utf-8", "surrogateescape")) if parts else None


# -- git -----------------------------------------------------------------------------------------------------------


def _git_version(
    repository: Repository, config: Config, counts: Counting, allowance: Allowance, scratch: str
) -> CodeVersion | None:
    """None when this is no repository that git can read."""
    tree = Tree(repository, counts, allowance, scratch, own=_own(config, repository.root))
    if not tree.begin() or not tree.look():
        return None
    tree.read()
    document = tree.finish()
    project = _project(repository, config)
    tree.close()
    remarks = tuple(dict.fromkeys((*tree.remarks, *repository.remarks, *loudly(tree.all_left_out()))))
    return CodeVersion(repository.root, project, document["fingerprint"], document, tree.blobs, remarks)


def _project(repository: Repository, config: Config) -> str:
    url = repository.remote()
    return str(config["project"] or (normalised_remote(redact.address(url)) if url else root_commit(repository)))


# -- outside git ---------------------------------------------------------------------------------------------------


def _files_version(
    repository: Repository | None, config: Config, argv: Sequence[str], counts: Counting, allowance: Allowance, scratch: str
) -> CodeVersion:
    """The script and the source files beside it, packages among them included. ``repository`` is one that is damaged: what
    it is called and where it begins does not depend on that.
    """
    root = os.path.dirname(config.project_file) if config.project_file else config.cwd
    root = repository.root if repository else root
    script = commandline.script(argv)
    path = os.path.join(config.cwd, script) if script else ""
    found: list[str] = []
    if script and os.path.isfile(path) and not _is_program(path):
        found = _beside(path, counts, config["patience"])
    pack, marks = Pack(scratch), []
    document: dict[str, Any] = {
        "kind": "files", "commit": None, "branch": None, "pushed": None, "remote": None, "dirty": None,
        "changes": {}, "outside": {}, "left_out": [], "submodules": {},
    }  # fmt: skip
    for file in found:
        mark = _keep_file(file, root, document, pack, allowance)
        if mark:
            marks.append((*mark, os.fsencode(os.path.relpath(file, root))))
    document["fingerprint"], remarks = fingerprint(marks), loudly(document["left_out"])
    try:
        document["pack"] = pack.close()
    except OSError as error:
        document["pack"] = None
        remarks.append(f"the code could not be kept: {error.strerror}")
    if not document["outside"]:
        del document["outside"]
    project = _project(repository, config) if repository else config["project"] or root
    unread = root_around(config.cwd)
    if unread:
        why = _why_unread(repository, unread)
        document["uncertain"] = why
        remarks.append(f"{why}: only the script and the sources beside it are kept")
    if repository:
        remarks += repository.remarks
        repository.close()
    return CodeVersion(root, project, document["fingerprint"], document, pack.blobs, tuple(remarks))


def _why_unread(repository: Repository | None, root: str) -> str:
    if repository is None:
        return f"there is no git on PATH to read the repository in {root} with"
    late = any(map(repository.was_late, ("files", "status")))
    return f"git {'did not answer in time in' if late else 'cannot read'} the repository in {root}"


def _keep_file(
    file: str, root: str, document: dict[str, Any], pack: Pack, allowance: Allowance
) -> tuple[bytes, bytes] | None:
    """Put one file into ``document``, under "outside" where its path does not lie in ``root``: its mode and mark."""
    name = os.path.relpath(file, root)
    inside = not name.startswith("../")
    name = name if inside else os.path.abspath(file)
    entry = entry_of(os.fsencode(os.path.realpath(file)))
    if entry is None:
        return None
    status = os.stat(file)
    why = allowance.why_not(os.fsencode(os.path.realpath(file)), status, tracked=True)
    kept = why or keep(pack, os.path.realpath(file), entry[0], status.st_size)
    if isinstance(kept, str):
        document["left_out"].append(named(name, status, kept))
    else:
        document["changes" if inside else "outside"][name] = kept
    return entry


def _is_program(path: str) -> bool:
    with open(path, "rb") as file:
        return b"\0" in file.read(1024)


def _beside(script: str, counts: Counting, patience: float) -> list[str]:
    deadline = time.monotonic() + patience
    found, directories = [script], [os.path.dirname(script) or "."]
    while directories and len(found) < MOST_FILES and time.monotonic() < deadline:
        try:
            listed = sorted(os.scandir(directories.pop()), key=lambda one: one.name)
        except OSError:
            continue
        for one in listed:
            if one.is_dir(follow_symlinks=False):
                if os.path.exists(os.path.join(one.path, "__init__.py")):
                    directories.append(one.path)
            elif one.path != script and counts(os.fsencode(one.name), False) and _is_small_file(one.path):
                found.append(one.path)
    return found[:MOST_FILES]


def _is_small_file(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:  # gone, or a link to itself
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20


