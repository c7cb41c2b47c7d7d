"""The code of a run: which commit, what lies on top of it, and one fingerprint of all that counts.

The fingerprint is stateless: a digest of (mode, content, path) of every file that counts, as the files are on disk, so
committing a change does not change it. In a git repository git does the work, on a copy of the index and with an object
directory of our own, so nothing of the user's is touched; a clean ``git status`` makes even that unnecessary.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass, field

from kleio.core import commandline, redact
from kleio.core.identity import normalised_remote
from kleio.core.leaving_out import affordable, loudly
from kleio.core.repository import STATUS, Repository, root_commit
from kleio.core.spool import private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.config import Config

BUDGET = 1.0
"""Seconds that looking at a repository may take before untracked files are left out."""
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
    def brief(self) -> dict[str, Any]:
        """What a trial shows of it."""
        shown = {name: self.document.get(name) for name in ("commit", "branch", "dirty", "remote")}
        return {"fingerprint": self.fingerprint, **shown}


def capture(config: Config, argv: Sequence[str], repository: Repository | None, scratch: str) -> CodeVersion:
    """The code as it is now. ``scratch`` is a directory for what must be kept, made only if something must."""
    counts = Counting(config, argv)
    found = _git_version(repository, config, counts, scratch) if repository else None
    return found or _files_version(config, argv, counts, scratch)


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


def fingerprint(entries: Iterable[tuple[bytes, bytes, bytes]]) -> str:
    """32 hex digits of the (mode, object id, path) of every file that counts, in any order."""
    lines = sorted(b"%s %s %s" % entry for entry in entries)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:32]


# -- git -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class State:
    """What ``git status`` said. ``changed`` and ``untracked`` are paths from the root."""

    commit: str | None
    branch: str | None
    pushed: bool | None
    changed: tuple[bytes, ...]
    untracked: tuple[bytes, ...]


def _state(status: bytes) -> State:
    heads: dict[bytes, bytes] = {}
    changed, untracked = [], []
    for line in status.split(b"\0"):
        kind = line[:2]
        if kind == b"# ":
            name, _, value = line[2:].partition(b" ")
            heads[name] = value
        elif kind == b"? ":
            untracked.append(line[2:])
        elif kind in (b"1 ", b"u "):
            changed.append(line.split(b" ", 8 if kind == b"1 " else 10)[-1])
    commit = heads.get(b"branch.oid", b"(initial)").decode()
    branch = os.fsdecode(heads.get(b"branch.head", b"(detached)"))
    return State(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        pushed=heads[b"branch.ab"].startswith(b"+0 ") if b"branch.ab" in heads else None,
        changed=tuple(changed),
        untracked=tuple(untracked),
    )


def _git_version(repository: Repository, config: Config, counts: Counting, scratch: str) -> CodeVersion | None:
    """None when this is no repository that git can read."""
    remarks = []
    remote = repository.answer("remote")
    url = redact.address(os.fsdecode(remote.strip())) if remote else None
    status = repository.answer("status", BUDGET)
    if status is None:
        status = repository.run(*STATUS, "--untracked-files=no")
        remarks.append("untracked files were not looked at: git took too long; name large directories in .gitignore")
    listed = repository.answer("files")
    project = config["project"] or (normalised_remote(url) if url else root_commit(repository))
    if status is None or listed is None:
        return None
    state = _state(status)
    document: dict[str, Any] = {
        "kind": "git", "commit": state.commit, "branch": state.branch, "pushed": state.pushed, "remote": url,
        "dirty": bool(state.changed or state.untracked),
    }  # fmt: skip
    blobs: dict[str, str] = {}
    tracked = {path for _, _, path in _index_entries(listed)}
    if document["dirty"]:
        wanted, left_out = affordable(repository.root, state, config)
        listed, patch = _work_tree(repository, state, wanted, scratch, listed)
        document["left_out"] = left_out
        remarks += loudly(left_out)
        if patch:
            digest, path = patch
            document["patch"], blobs[digest] = digest, path
        else:
            remarks.append("the uncommitted changes could not be captured; the commit is recorded")
    unread = {os.fsencode(one["path"]): b"%d-%.6f" % (one["size"], one["time"]) for one in document.get("left_out", ())}
    entries = [
        (mode, unread.get(path, name), path) for mode, name, path in _index_entries(listed) if counts(path, path in tracked)
    ]
    mark = fingerprint(entries)
    if document["dirty"]:
        counted = {path: name.decode() for _, name, path in entries}
        touched = [path for path in wanted if path in counted or counts(path, path in tracked)]
        document["changes"] = {os.fsdecode(path): counted.get(path) for path in touched[:MOST_FILES]}
    return CodeVersion(repository.root, project, mark, document | {"fingerprint": mark}, blobs, tuple(remarks))


def differing(before: Mapping[str, Any], now: CodeVersion, config: Config, argv: Sequence[str]) -> list[str]:
    """The files that count and differ between a recorded code and this one, as far as can be told from here."""
    old, new = (_contents(document) for document in (before, now.document))
    names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    commits = [document.get("commit") for document in (before, now.document)]
    if all(commits) and commits[0] != commits[1]:
        between = Repository(now.root).run("diff", "--name-only", "--no-renames", "-z", *map(str, commits)) or b""
        counts = Counting(config, argv)
        names |= {os.fsdecode(path) for path in between.split(b"\0") if path and counts(path, tracked=True)}
    return sorted(names)


def _contents(document: Mapping[str, Any]) -> dict[str, Any]:
    """Name → content of what a recorded code says of single files: outside git all of them, else those that were changed."""
    if document.get("kind") == "files":
        return {name: content for name, _, content in document["files"]}
    return dict(document.get("changes") or {})


def _index_entries(listed: bytes) -> list[tuple[bytes, bytes, bytes]]:
    entries = []
    for line in listed.split(b"\0"):
        head, tab, path = line.partition(b"\t")
        if tab:
            mode, name, _ = head.split(b" ")
            entries.append((mode, name, path))
    return entries


def _work_tree(
    repository: Repository, state: State, wanted: list[bytes], scratch: str, listed: bytes
) -> tuple[bytes, tuple[str, str] | None]:
    """The index listing of the work tree, and its patch against HEAD as (sha256, file); in case of trouble no patch."""
    index, objects = repository.directories()
    import shutil

    own = private(scratch, "git")
    os.mkdir(os.path.join(own, "objects"))
    try:
        if os.path.exists(index):
            shutil.copyfile(index, os.path.join(own, "index"))
        ours = {
            "GIT_INDEX_FILE": os.path.join(own, "index"),
            "GIT_OBJECT_DIRECTORY": os.path.join(own, "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects),
        }
        with open(os.path.join(own, "paths"), "w+b") as paths:
            paths.write(b"".join(path + b"\0" for path in wanted))
            paths.seek(0)
            how = ("--add", "--remove", "-z", "--stdin")
            updated = repository.run("update-index", *how, stdin=paths.fileno(), environment=ours)
        if updated is None:
            return _by_hand(repository.root, listed, wanted), None
        listing = repository.start("ls-files", "-s", "-z", environment=ours)
        tree = repository.run("write-tree", environment=ours)
        patch = _patch(repository, state, tree.decode().strip(), scratch, ours) if tree else None
        now = listing.wait()
        if not tree or now is None:
            return _by_hand(repository.root, listed, wanted), None
        return now, patch
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _quoted(path: str) -> str:
    """As git takes a path in a list of them, whatever it holds."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        path = path.replace(plain, escaped)
    return f'"{path}"'


def _patch(
    repository: Repository, state: State, tree: str, scratch: str, environment: Mapping[str, str]
) -> tuple[str, str] | None:
    base = state.commit or (repository.run("hash-object", "-t", "tree", "/dev/null") or b"").decode().strip()
    blobs = private(scratch, "blobs")
    path = os.path.join(blobs, "patch")
    words = ("diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    with open(path, "wb") as file:
        if repository.run(*words, base, tree, stdout=file.fileno(), environment=environment) is None:
            return None
    digest = _sha256(path)
    final = os.path.join(blobs, digest)
    os.rename(path, final)
    return digest, final


def _by_hand(root: str, listed: bytes, changed: list[bytes]) -> bytes:
    """The listing that git would have made, where it cannot (a damaged index, an unreadable file)."""
    entries = {path: (mode, name) for mode, name, path in _index_entries(listed)}
    for path in changed:
        entry = _entry(os.path.join(os.fsencode(root), path))
        if entry:
            entries[path] = entry
        else:
            entries.pop(path, None)
    return b"".join(b"%s %s 0\t%s\0" % (mode, name, path) for path, (mode, name) in entries.items())


# -- outside git ---------------------------------------------------------------------------------------------------


def _files_version(config: Config, argv: Sequence[str], counts: Counting, scratch: str) -> CodeVersion:
    """The script and the source files beside it, packages among them included."""
    root = os.path.dirname(config.project_file) if config.project_file else config.cwd
    script = commandline.script(argv)
    path = os.path.join(config.cwd, script) if script else ""
    found: list[str] = []
    if script and os.path.isfile(path) and not _is_program(path):
        found = _beside(path, counts)
    entries, listing, blobs = [], [], {}
    for file in found:
        entry = _entry(os.fsencode(file))
        if entry:
            name = os.path.relpath(file, root)
            entries.append((*entry, os.fsencode(name)))
            digest = _keep(file, scratch)
            blobs[digest[0]] = digest[1]
            listing.append([name, entry[0].decode(), digest[0]])
    mark = fingerprint(entries)
    document = {"kind": "files", "files": listing, "fingerprint": mark, "commit": None, "branch": None, "dirty": None}
    return CodeVersion(root, config["project"] or root, mark, document, blobs)


def _is_program(path: str) -> bool:
    with open(path, "rb") as file:
        return b"\0" in file.read(1024)


def _beside(script: str, counts: Counting) -> list[str]:
    deadline = time.monotonic() + BUDGET
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


def _entry(path: bytes) -> tuple[bytes, bytes] | None:
    """The (mode, object id) that git would give a file; None if it is not there or cannot be read."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            mode, content = b"120000", os.readlink(path)
        else:
            mode = b"100755" if status.st_mode & 0o100 else b"100644"
            with open(path, "rb") as file:
                content = file.read()
    except OSError:
        return None
    return mode, hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest().encode()


def _keep(path: str, scratch: str) -> tuple[str, str]:
    import shutil

    digest = _sha256(path)
    kept = os.path.join(private(scratch, "blobs"), digest)
    shutil.copyfile(path, kept)
    return digest, kept


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
