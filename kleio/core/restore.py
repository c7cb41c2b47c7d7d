"""A recorded work tree, brought back into a directory of its own: the commit, and on top of it what differed from it.

The commit comes from a repository at hand, else from what the journal keeps of unpushed commits, on top of the remote where
that is needed. Nothing of the user's is touched, and what is recorded is not trusted (see ``laying.py``).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from kleio.core import history
from kleio.core.cloning import Git, GitFailed
from kleio.core.codedocument import recorded_code
from kleio.core.errors import JournalError, KleioError
from kleio.core.gitfiles import is_object_name
from kleio.core.laying import Change, Laying, changes, checked_path
from kleio.core.lookup import SHORT
from kleio.core.repository import root_around

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

DEEPEST = 20
"""Submodules in submodules; more are no honest record."""
LONGEST = 500
"""Kept commits that build on one another."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back. ``inexact`` lists {"path", "why"} of what could not be brought back as it was; ``source`` is where
    the commit came from: a directory, an address, or ``the journal``; empty when there was none.
    """

    directory: str
    inexact: tuple[Mapping[str, str], ...]
    source: str


def restore(
    journal: Journal, document: Mapping[str, Any], directory: str, at_hand: Sequence[str], say: Callable[[str], None]
) -> Restored:
    """Make ``directory`` and write the recorded tree into it. ``at_hand`` are repositories that may have the commit.

    Raises KleioError, and then leaves nothing behind.
    """
    plan = _planned(document)
    directory = os.path.abspath(directory)
    existed = _claimed(directory)
    try:
        with Git() as git:
            restoring = _Restoring(journal, git, say)
            source = restoring.tree(plan, directory, at_hand)
            return Restored(directory, tuple(restoring.inexact), source)
    except OSError as error:
        _forget(directory, existed)
        raise KleioError(f"{error.filename or directory}: {error.strerror}; nothing was restored") from None
    except BaseException:
        _forget(directory, existed)
        raise


def code_of(journal: Journal, entry: Entry) -> dict[str, Any]:
    """The code that a trial was recorded with. Raises KleioError when there is none."""
    document = recorded_code(journal, entry.trial.code.get("document"))
    if document is None and entry.trial.imported:
        raise KleioError(f"trial {entry.id[:SHORT]} was imported, and its code was not")
    if document is None:
        raise KleioError(
            f"the code of trial {entry.id[:SHORT]} is not in the journal {journal.uri}; "
            "if it ran offline, ship its records first with: kleio sync"
        )
    if document.get("kind") == "files" and not document.get("changes"):
        raise KleioError(f"trial {entry.id[:SHORT]} ran outside of any repository, and no script of its own was captured")
    return document


def at_hand(entry: Entry, cwd: str) -> list[str]:
    """The repositories that may have a trial's commit: the one around ``cwd``, and those that it ran in, if they are here."""
    places = (cwd, *(one.cwd for one in reversed(entry.executions) if one.cwd))
    roots = (root_around(place) for place in places if os.path.isabs(place) and os.path.isdir(place))
    return list(dict.fromkeys(root for root in roots if root))


def original_root(entry: Entry) -> str | None:
    """The root of the work tree that a trial ran in last, wherever that was; None if it is not known."""
    cwd = next((one.cwd for one in reversed(entry.executions) if one.cwd), None)
    inside = os.path.normpath(entry.trial.cwd)
    if cwd is None or inside == ".":
        return cwd
    return cwd[: -len(inside) - 1] if cwd.endswith("/" + inside) else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A document that has been looked through."""

    document: Mapping[str, Any]
    commit: str | None
    changes: tuple[Change, ...]
    submodules: Mapping[str, _Plan]


def _planned(document: Mapping[str, Any], depth: int = 0) -> _Plan:
    """Raises KleioError for what must not, or cannot, be restored."""
    commit = document.get("commit")
    if commit is not None and not is_object_name(commit):
        raise KleioError(f"the recorded commit {commit!r} is none; nothing was restored")
    inner = document.get("submodules") or {}
    if depth > DEEPEST or document.get("kind") not in ("git", "files") or not isinstance(inner, dict):
        raise KleioError("what is recorded of the code is not understood by this kleio; nothing was restored")
    own = tuple(changes(document))
    below = {checked_path(path): _planned(one, depth + 1) for path, one in inner.items()}
    return _Plan(document, commit if document["kind"] == "git" else None, own, below)


def _claimed(directory: str) -> bool:
    """Make the directory; whether it was there before, empty. Raises KleioError when something is in it."""
    try:
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        os.mkdir(directory)
    except FileExistsError:
        if os.path.islink(directory) or not os.path.isdir(directory) or os.listdir(directory):
            raise KleioError(f"{directory} is there already, and not empty; name another directory") from None
        return True
    except OSError as error:
        raise KleioError(f"{directory} cannot be made: {error.strerror}; name another directory") from None
    return False


def _forget(directory: str, existed: bool) -> None:
    if not existed:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for one in os.scandir(directory):
        if one.is_dir(follow_symlinks=False):
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            os.unlink(one.path)


@dataclass(frozen=True, slots=True)
class _Obtained:
    """Where a commit came from, and for paths whose content was not kept, why."""

    source: str
    reasons: Mapping[str, str]


class _Restoring:
    """``inexact`` grows with what cannot be brought back."""

    def __init__(self, journal: Journal, git: Git, say: Callable[[str], None]) -> None:
        self._journal, self._git, self._say = journal, git, say
        self.inexact: list[dict[str, str]] = []

    def tree(self, plan: _Plan, directory: str, at_hand: Sequence[str], prefix: str = "") -> str:
        """Restore one repository and those inside it; where its commit came from."""
        source, gone = self._repository(plan, directory, at_hand)
        laying = Laying(directory, self._journal)
        try:
            laying.lay(list(plan.changes), plan.document.get("pack"))
            for path in plan.submodules:
                laying.directory(path)
        finally:
            laying.close()
        replaced = {one.path for one in plan.changes}
        self._note(({"path": path, "why": why} for path, why in gone.items() if path not in replaced), prefix)
        self._note(laying.missing, prefix)
        self._note(_left_out(plan), prefix)
        for path, inner in plan.submodules.items():
            self._submodule(inner, os.path.join(directory, path), _inner_at_hand(at_hand, path), f"{prefix}{path}/")
        if plan.document["kind"] == "git":
            self._index(plan, directory)
        return source

    def _note(self, found: Iterable[Mapping[str, str]], prefix: str) -> None:
        self.inexact += [{"path": prefix + one["path"], "why": one["why"]} for one in found]

    def _submodule(self, plan: _Plan, directory: str, at_hand: Sequence[str], prefix: str) -> None:
        try:
            self.tree(plan, directory, at_hand, prefix)
        except (GitFailed, JournalError) as error:
            _forget(directory, existed=True)
            self.inexact.append({"path": prefix, "why": f"the submodule could not be brought back: {error}"})

    # -- the commit ----------------------------------------------------------------------------------------------

    def _repository(self, plan: _Plan, directory: str, at_hand: Sequence[str]) -> tuple[str, dict[str, str]]:
        """Make ``directory`` a repository with the commit checked out: where it came from, and what of it is not there."""
        if plan.document["kind"] != "git":
            return "", {}
        if plan.commit is None:
            kind = "sha256" if (plan.document.get("config") or {}).get("extensions.objectformat") == "sha256" else "sha1"
            self._git("", "init", "--quiet", f"--object-format={kind}", directory)
            self._configure(plan, directory)
            return "", {}
        obtained = self._obtain(plan.commit, plan.document.get("remote"), directory, at_hand)
        self._configure(plan, directory)
        self._git(directory, "update-ref", "--no-deref", "HEAD", plan.commit)
        gone = self._check_out(plan.commit, directory)
        return obtained.source, {path: obtained.reasons.get(path, "its content is not to be had") for path in gone}

    def _obtain(self, commit: str, remote: Any, directory: str, at_hand: Sequence[str], depth: int = 0) -> _Obtained:
        """Make a repository without files, in an empty directory, that has the commit."""
        for one in at_hand:
            if self._git.has(one, commit):
                try:
                    self._git.clone(one, directory, commit)
                except GitFailed as error:
                    self._say(f"{one} has the commit, but could not be cloned: {error}")
                    _forget(directory, existed=True)
                else:
                    return _Obtained(one, {})
        kept = self._journal.document(history.key(commit)) or {}
        if kept.get("pack") and depth < LONGEST and (kept.get("base") is None or is_object_name(kept["base"])):
            return self._from_journal(commit, kept, remote, directory, at_hand, depth)
        self._from_remote(commit, remote, directory)
        return _Obtained(str(remote), {})

    def _from_journal(
        self, commit: str, kept: Mapping[str, Any], remote: Any, directory: str, at_hand: Sequence[str], depth: int
    ) -> _Obtained:
        """From the objects that the journal keeps, and what they build on."""
        reasons: dict[str, str] = {}
        source = f"the journal {self._journal.uri}"
        if kept.get("base"):
            below = self._obtain(kept["base"], remote, directory, at_hand, depth + 1)
            reasons |= below.reasons
            source = below.source if below.source == source else f"{source} and {below.source}"
        else:
            self._git("", "init", "--quiet", f"--object-format={'sha256' if len(commit) == 64 else 'sha1'}", directory)
        history.unpack(self._journal, kept, directory, self._git)
        if not self._git.has(directory, commit):
            raise GitFailed(f"what the journal keeps of commit {commit[:10]} does not hold it")
        return _Obtained(source, reasons | {str(one["path"]): str(one["why"]) for one in kept.get("left_out") or ()})

    def _from_remote(self, commit: str, remote: Any, directory: str) -> None:
        advice = "run this inside a clone that has it"
        if not isinstance(remote, str) or not remote:
            raise GitFailed(f"commit {commit[:10]} is in no repository here, and no remote was recorded; {advice}")
        if not _plain_address(remote):
            raise GitFailed(f"commit {commit[:10]} is in no repository here, and its remote {remote!r} is not to be trusted")
        self._say(f"cloning {remote}")
        try:
            self._git.clone_from(remote, directory)
        except GitFailed as error:
            raise GitFailed(f"commit {commit[:10]} is in no repository here, and {error}; {advice}") from None
        if not self._git.has(directory, commit):
            try:
                self._git(directory, "fetch", "--quiet", "origin", commit)
            except GitFailed:
                raise GitFailed(f"commit {commit[:10]} is neither here nor at {remote}; {advice}") from None

    def _configure(self, plan: _Plan, directory: str) -> None:
        """The recorded remote, and no other; lines end as they did."""
        remote = plan.document.get("remote")
        known = os.fsdecode(self._git(directory, "config", "--default", "", "--get", "remote.origin.url")).strip()
        if known and known != remote:
            self._git(directory, "remote", "remove", "origin")  # what it tracks are the branches of a repository at hand
        if isinstance(remote, str) and known != remote and _plain_address(remote):
            self._git(directory, "remote", "add", "origin", remote)
        for name, value in (plan.document.get("config") or {}).items():
            if name in ("core.autocrlf", "core.eol") and value in ("true", "false", "input", "lf", "crlf", "native"):
                self._git(directory, "config", name, value)

    # -- files and index -----------------------------------------------------------------------------------------

    def _check_out(self, commit: str, directory: str) -> list[str]:
        """Write the commit's files; the paths of those whose content is not to be had."""
        try:
            self._git(directory, "read-tree", commit)
        except GitFailed:
            raise GitFailed(f"the files of commit {commit[:10]} are not all there") from None
        try:
            self._git(directory, "checkout-index", "--all", "--force", "--quiet", "--index")
        except GitFailed:
            gone = self._git(directory, "ls-files", "--deleted", "-z").split(b"\0")
            return [os.fsdecode(path) for path in gone if path]
        return []

    def _index(self, plan: _Plan, directory: str) -> None:
        """Let git track what it tracked: that decides what counts."""
        tracked = set(self._git(directory, "ls-files", "-z").split(b"\0"))
        untracked = {one for one in plan.document.get("untracked") or () if isinstance(one, str)}
        there = [one for one in plan.changes if one.mode and os.path.lexists(os.path.join(directory, one.path))]
        new = [os.fsencode(one.path) for one in there if one.path not in untracked]
        dropped = [os.fsencode(one.path) for one in there if one.path in untracked]
        how = ("update-index", "--force-remove", "-z", "--stdin")
        self._update(directory, [path for path in dropped if path in tracked], *how)
        adding = ("add", "--intent-to-add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul")
        self._update(directory, [path for path in new if path not in tracked], *adding)
        for path, inner in plan.submodules.items():
            if inner.commit and os.path.exists(os.path.join(directory, path, ".git")):
                self._git(directory, "update-index", "--add", "--cacheinfo", f"160000,{inner.commit},{path}")

    def _update(self, directory: str, paths: Sequence[bytes], *words: str) -> None:
        if paths:
            self._git(directory, *words, stdin=b"".join(path + b"\0" for path in paths))


def _left_out(plan: _Plan) -> list[dict[str, str]]:
    document = plan.document
    found = [{"path": str(one.get("path")), "why": str(one.get("why"))} for one in document.get("left_out") or ()]
    return found + [{"path": path, "why": "it lies outside of the project"} for path in document.get("outside") or ()]


def _plain_address(url: str) -> bool:
    """Whether it is a path, ``host:path`` or one of the protocols of :data:`~kleio.core.cloning.PROTOCOLS`."""
    if url.startswith("-") or "::" in url or "\0" in url or "\n" in url:
        return False
    scheme, separator, _ = url.partition("://")
    return not separator or scheme.lower() in ("file", "git", "http", "https", "ssh", "git+ssh", "ssh+git")


def _inner_at_hand(at_hand: Sequence[str], path: str) -> list[str]:
    """Where the repositories at hand have this submodule: in its place, or put by."""
    found = []
    for one in at_hand:
        found += [os.path.join(one, path), *_put_by(os.path.join(one, ".git", "modules"))]
    return [one for one in found if os.path.lexists(os.path.join(one, ".git")) or os.path.exists(os.path.join(one, "objects"))]


def _put_by(directory: str) -> list[str]:
    found = []
    for place, inner, files in os.walk(directory):
        if "HEAD" in files and "objects" in inner:
            found.append(place)
            inner[:] = [one for one in inner if one == "modules"]
    return found
