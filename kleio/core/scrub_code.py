"""The code of a trial without what must not be kept: its document, the contents of changed files, commits not pushed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass, field, replace

from kleio.core import history
from kleio.core.cloning import Git, GitFailed
from kleio.core.errors import Scrubbed
from kleio.core.journal.base import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO, Any, BinaryIO

    from kleio.core.journal.base import Journal
    from kleio.core.pattern import Pattern
    from kleio.core.trial import Entry

    Document = dict[str, Any]

WHY = "scrubbed"
"""Why a file is among those left out."""
LINK = "120000"
PIECE = 1 << 20
_KEPT = ("kind", "commit", "fingerprint", "pushed", "dirty", "changes", "pack", "submodules", "patch")
_HISTORY = ("commit", "pushed", "base", "pack", "size")


@dataclass(slots=True)
class CodeChange:
    """``count`` matches in one place; what to keep instead: ``documents`` by digest, ``blobs`` as files; what is ``gone``."""

    kind: str
    place: str
    count: int = 0
    documents: dict[str, Document] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()


class CodeScrub:
    """Looks through code. ``scratch`` takes new packs; ``remarks`` what cannot be looked into."""

    def __init__(self, journal: Journal, pattern: Pattern, scratch: str, remarks: list[str]) -> None:
        self._journal, self._pattern, self._scratch, self._remarks = journal, pattern, scratch, remarks

    def documents(self, digests: Sequence[str], entry: Entry) -> Iterator[CodeChange]:
        """The changes to these code documents, to all others that share bytes which go, and to unpushed commits.

        Bytes go last, when nothing names them and all who share them have been looked through.
        """
        found = [(digest, document) for digest in digests if (document := self._journal.document(digest))]
        changes = [self._document(*one) for one in found]
        gone = dict.fromkeys(blob for change in changes for blob in change.gone)
        if gone:
            for digest, document in self._sharing(entry, set(gone), set(digests)):
                change = self._document(digest, document)
                changes.append(replace(change, count=0))
                gone |= dict.fromkeys(change.gone)
        for change in changes:
            yield replace(change, gone=())
        yield CodeChange("code", "code", gone=tuple(gone))
        for commit in dict.fromkeys(commit for _, document in found for commit in _commits(document)):
            yield from self._history(commit)

    def _sharing(self, entry: Entry, gone: set[str], known: set[str]) -> Iterator[tuple[str, Document]]:
        """Other code of the project that names bytes which go: without that it would lose all that is in a pack."""
        for other in self._journal.entries(Selection(project=entry.trial.project)):
            for digest in (other.trial.code.get("document"), *(one.code for one in other.executions)):
                if digest and digest not in known:
                    known.add(digest)
                    document = self._journal.document(digest)
                    if document and gone & set(_blobs(document)):
                        yield digest, document

    # -- one document --------------------------------------------------------------------------------------------

    def _document(self, digest: str, document: Document) -> CodeChange:
        change = CodeChange("code", "code")
        new = self._tree(document, change)
        if change.count:
            change.documents[digest] = new
        return change

    def _tree(self, old: Mapping[str, Any], change: CodeChange) -> Document:
        """The document of one repository and those inside it, without what was found; ``change`` collects the rest."""
        new: Document
        new, count = self._pattern.cleaned(dict(old), _KEPT)
        change.count += count
        if "changes" not in old or "patch" in old:
            return new | self._older(old, change)
        pack = self._opened(old.get("pack"))
        try:
            kept, moved = self._changes(old, pack, change)
            new["changes"] = kept
            new["left_out"] = [*(new.get("left_out") or ()), *moved]
            if moved and pack is not None:
                new["pack"], new["changes"] = self._repacked(kept, pack, change)
                if new["pack"] != old["pack"]:
                    change.gone = (*change.gone, old["pack"])
        finally:
            if pack is not None:
                pack.close()
        if old.get("submodules"):
            inner = {path: self._tree(one, change) for path, one in old["submodules"].items()}
            new["submodules"], count = self._pattern.cleaned(inner, tuple(inner))
            change.count += count
        return new

    def _older(self, old: Mapping[str, Any], change: CodeChange) -> Document:
        """What a kleio of schema 1 kept: a patch, or each file as a blob."""
        names = [old["patch"]] if old.get("patch") else [content for _, _, content in old.get("files") or ()]
        for digest in dict.fromkeys(names):
            blob = self._opened(digest)
            if blob is not None:
                with blob:
                    count = self._pattern.in_file(blob)
                if count:
                    change.count += count
                    change.gone = (*change.gone, digest)
        return {}

    def _changes(
        self, old: Mapping[str, Any], pack: BinaryIO | None, change: CodeChange
    ) -> tuple[Document, list[Document]]:
        """The changes that stay, and those that are named among what was left out."""
        kept: Document = {}
        moved: list[Document] = []
        for path, one in (old.get("changes") or {}).items():
            shown, named = self._pattern.hide(path)
            inside = self._inside(one, pack) if one else 0
            if not named and not inside:
                kept[path] = one
                continue
            change.count += named + inside
            moved.append({"path": shown, "size": one[2] if one else 0, "time": 0.0, "why": WHY})
            if inside and one[3] is None and one[0] != LINK:
                change.gone = (*change.gone, one[1])
        return kept, moved

    def _inside(self, one: Sequence[Any], pack: BinaryIO | None) -> int:
        """How often it is in the content of a changed file."""
        mode, content, size, at = one
        if mode == LINK:
            return self._pattern.hide(content)[1]
        if at is not None:
            return len(self._pattern.spans(_read(pack, at, size))) if pack is not None else 0
        blob = self._opened(content)
        if blob is None:
            return 0
        with blob:
            return self._pattern.in_file(blob)

    def _opened(self, digest: str | None) -> BinaryIO | None:
        try:
            return self._journal.blob(digest) if digest else None
        except Scrubbed:
            return None

    def _repacked(self, kept: Mapping[str, Any], pack: BinaryIO, change: CodeChange) -> tuple[str | None, Document]:
        """A pack of what stays in it, and the changes with their new places in it."""
        places: dict[str, int] = {}
        changes: Document = {}
        whole = hashlib.sha256()
        path = os.path.join(self._scratch, os.urandom(8).hex())
        with open(path, "xb") as file:
            for name, one in kept.items():
                if not one or one[0] == LINK or one[3] is None:
                    changes[name] = one
                    continue
                mode, content, size, at = one
                if content not in places:
                    places[content] = file.tell()
                    data = _read(pack, at, size)
                    file.write(data)
                    whole.update(data)
                changes[name] = [mode, content, size, places[content]]
        if not places:
            return None, changes
        change.blobs[whole.hexdigest()] = path
        return whole.hexdigest(), changes

    # -- commits that are not pushed -----------------------------------------------------------------------------

    def _history(self, commit: str) -> Iterator[CodeChange]:
        """What the journal keeps of a commit, and of those that it builds on."""
        seen: set[str] = set()
        at: str | None = commit
        while at and at not in seen:
            seen.add(at)
            document = self._journal.document(history.key(at))
            if document is None:
                return
            new, count = self._pattern.cleaned(document, _HISTORY)
            change = CodeChange("commits", f"commit {at[:10]}", count)
            if document.get("pack") and (inside := self._in_pack(at, document["pack"])):
                change.count += inside
                change.gone = (document["pack"],)
                new |= {"pack": None, "size": 0, "left_out": [*(new.get("left_out") or ()), {"path": "", "why": WHY}]}
            if change.count:
                change.documents[history.key(at)] = new
                yield change
            at = document.get("base")

    def _in_pack(self, commit: str, digest: str) -> int:
        """How often it is in the objects of a git pack."""
        blob = self._opened(digest)
        if blob is None:
            return 0
        with blob, tempfile.TemporaryDirectory(dir=self._scratch) as place, Git() as git:
            try:
                git(place, "init", "--quiet", "--bare")
                with tempfile.TemporaryFile(dir=self._scratch) as file:
                    while piece := blob.read(PIECE):
                        file.write(piece)
                    file.seek(0)
                    git(place, "index-pack", "--stdin", stdin=file.fileno())
                return self._in_objects(git, place)
            except (GitFailed, OSError) as error:
                self._remarks.append(f"what leads to commit {commit[:10]} could not be looked into: {error}")
                return 0

    def _in_objects(self, git: Git, place: str) -> int:
        words = ["git", "-C", place, "cat-file", "--batch-all-objects", "--batch"]
        with subprocess.Popen(words, env=git.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            found = 0
            while head := process.stdout.readline():
                found += sum(1 for _ in self._pattern.streamed(_object(process.stdout, int(head.split()[2]))))
                process.stdout.read(1)
        return found


def _object(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < size and (piece := file.read(min(size - at, PIECE))):
        yield at, piece
        at += len(piece)


def _read(pack: BinaryIO, at: int, size: int) -> bytes:
    pack.seek(at)
    return pack.read(size)


def _commits(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("commit"):
        yield document["commit"]
    for inner in (document.get("submodules") or {}).values():
        yield from _commits(inner)


def _blobs(document: Mapping[str, Any]) -> Iterator[str]:
    """The digests that a code document names."""
    if document.get("pack"):
        yield document["pack"]
    for one in (document.get("changes") or {}).values():
        if one and one[0] != LINK and one[3] is None:
            yield one[1]
    for inner in (document.get("submodules") or {}).values():
        yield from _blobs(inner)
