"""A work tree captured: what differs from its commit is kept, and every file that counts gets its mark.

In steps, for a repository and all that lie inside it (submodules), so that git is at work in all of them while we read.
Nothing of the user's is touched: git is only asked, and of the files that changed for the ids that it would give them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from kleio.core import redact
from kleio.core.leaving_out import MOST_SCANNED, MOST_UNTRACKED, named, too_many, why_secret
from kleio.core.pack import SMALL, Pack, open_plain
from kleio.core.repository import STATUS, Repository
from kleio.core.spool import private
from kleio.core.worktree import GONE, SUBMODULE, Listing, State, fingerprint, listing, object_id, quoted, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.leaving_out import Allowance
    from kleio.core.repository import Running

MOST_HIDDEN = 5000
"""Files that git was told not to look at, and that we look at ourselves."""
REPEATED = ("core.autocrlf", "core.eol", "extensions.objectformat")
"""What of a repository's configuration decides how its files look, and is recorded."""
LINK, PROGRAM, PLAIN = b"120000", b"100755", b"100644"


@dataclass(frozen=True, slots=True)
class _Found:
    """A file to keep, as it was before it was read."""

    path: bytes
    mode: bytes
    status: os.stat_result


class Tree:
    """One repository. Call :meth:`begin`, :meth:`look`, :meth:`read`, :meth:`finish` in turn.

    ``prefix`` is where it lies in the outermost one: empty, or with a slash at its end.
    """

    def __init__(
        self, repository: Repository, counts: Callable[[bytes, bool], bool], allowance: Allowance, scratch: str,
        prefix: bytes = b"",
    ) -> None:  # fmt: skip
        self._repository, self._counts, self._allowance, self._scratch = repository, counts, allowance, scratch
        self._root = os.fsencode(repository.root)
        self._prefix = prefix
        self._listing = Listing({}, ())
        self._state: State | None = None
        self._told = True
        self._inner: dict[bytes, Tree] = {}
        self._found: list[_Found] = []
        self._hashing: Running | None = None
        self._hashed: dict[bytes, bytes] = {}
        self._marks: dict[bytes, tuple[bytes, bytes] | None] = {}
        self._changes: dict[bytes, list[Any] | None] = {}
        self._pack = Pack(scratch)
        self.left_out: list[dict[str, Any]] = []
        self.remarks: list[str] = []
        self.blobs: dict[str, str] = {}

    # -- begin: let git work in all of them ----------------------------------------------------------------------

    def begin(self) -> bool:
        """Whether git can read the index; then it has begun to answer in the submodules as well."""
        listed = self._repository.answer("files", self._allowance.left())
        if listed is None:
            return False
        self._listing = listing(listed)
        for path in self._listing.submodules:
            root = os.path.join(self._root, path)
            if os.path.lexists(os.path.join(root, b".git")):
                inside = Repository(os.fsdecode(root))
                inside.ask("config", "status", "files")
                prefix = self._prefix + path + b"/"
                self._inner[path] = Tree(inside, self._counts, self._allowance, self._scratch, prefix)
        for path, tree in list(self._inner.items()):
            if not tree.begin():
                self._unreadable(path)
        return True

    def _unreadable(self, path: bytes) -> None:
        """A submodule in which git does not answer."""
        del self._inner[path]
        status = os.lstat(self._root)
        self.left_out.append(named(os.fsdecode(path) + "/", status, "a submodule that git cannot read") | {"size": 0})

    # -- look: what changed, and what of it is kept --------------------------------------------------------------

    def look(self) -> bool:
        """Whether git can tell what changed; then what is to be kept is known, and git names what counts of it."""
        status = self._repository.answer("status", self._allowance.left())
        if status is None:
            status = self._repository.run(*STATUS, "--untracked-files=no", timeout=self._allowance.left() + 1.0)
            if status is not None:
                self.remarks.append(
                    f"untracked files{self._where()} were not looked at: git took too long; name large ones in .gitignore"
                )
        if status is None:
            return self._take_the_commit()
        settings = self._repository.settings()
        remotes = [name[len("remote.") : -len(".url")] for name in settings if name.startswith("remote.")]
        self._state = state(status, remotes)
        self._choose(self._state)
        self._start_hashing()
        self._look_inside()
        return True

    def _look_inside(self) -> None:
        for path, tree in list(self._inner.items()):
            if not tree.look():
                self._unreadable(path)

    def _take_the_commit(self) -> bool:
        """Whether at least the commit can be told; then it is all that is kept."""
        commit = self._repository.run("rev-parse", "--verify", "HEAD", timeout=self._allowance.left() + 0.5)
        if commit is None:
            return False
        self._state = State(commit.decode().strip(), None, None, {}, ())
        self._told = False
        why = "git could not tell in time what differs from the commit"
        self.left_out.append({"path": "./", "size": 0, "time": 0.0, "why": why})
        self._look_inside()
        return True

    def _where(self) -> str:
        return f" in {os.fsdecode(self._prefix)}" if self._prefix else ""

    def _choose(self, state: State) -> None:
        hidden = dict.fromkeys(self._listing.hidden[:MOST_HIDDEN])  # of these the status says nothing
        for path in hidden:
            self._consider(path, b"")
        for path, mode in state.changed.items():
            if path in hidden:
                continue
            if mode == GONE:
                self._gone(path)
            elif mode != SUBMODULE:
                self._consider(path, mode)
            elif self._listing.entries.get(path, (SUBMODULE,))[0] != SUBMODULE:
                self._gone(path)  # a repository stands where a file was
                self._consider(path, mode)
        if len(self._listing.hidden) > MOST_HIDDEN:
            many = f"{len(self._listing.hidden):,} files{self._where()}"
            self.remarks.append(f"{many} that git was told not to look at count as committed")
        for path in state.untracked[:MOST_UNTRACKED]:
            self._consider(path, b"")
        self.left_out += too_many(state.untracked[MOST_UNTRACKED:])

    def _gone(self, path: bytes) -> None:
        self._changes[path] = self._marks[path] = None

    def _consider(self, path: bytes, mode: bytes) -> None:
        """Keep a file, or say why not. ``mode`` is what git takes it for; empty, what it is on disk."""
        full = os.path.join(self._root, path)
        tracked = path in self._listing.entries
        try:
            status = os.lstat(full)
        except OSError:
            status = None
        if status is None or (stat.S_ISDIR(status.st_mode) and not os.path.lexists(os.path.join(full, b".git"))):
            if tracked:
                self._gone(path)  # files in a directory that stands there now are paths of their own
            return
        if stat.S_ISLNK(status.st_mode):
            mode = LINK
        elif mode not in (PLAIN, PROGRAM):
            mode = PROGRAM if status.st_mode & 0o100 else PLAIN
        found = _Found(path, mode, status)
        why = self._allowance.why_not(full, status, tracked)
        if why is None:
            self._found.append(found)
        else:
            self._leave_out(found, why)
        if mode != LINK and stat.S_ISREG(status.st_mode) and (why is None or "secret" in why) and self._is_code(path):
            self._hashed[path] = mode

    def _is_code(self, path: bytes) -> bool:
        return self._counts(self._prefix + path, path in self._listing.entries)

    def _leave_out(self, found: _Found, why: str) -> None:
        self.left_out.append(named(os.fsdecode(found.path), found.status, why))
        if found.path not in self._marks and not stat.S_ISDIR(found.status.st_mode):
            self._marks[found.path] = found.mode, by_time(found.status)

    def _start_hashing(self) -> None:
        """Have git name what counts, in which it applies the filters of the repository."""
        if not self._hashed:
            return
        try:
            name = os.path.join(private(self._scratch, "blobs"), f"{os.urandom(8).hex()}.paths")
            with open(name, "w+b") as paths:
                os.unlink(name)
                paths.write(b"".join(quoted(path) + b"\n" for path in self._hashed))
                paths.seek(0)
                self._hashing = self._repository.start("hash-object", "--stdin-paths", stdin=paths.fileno())
        except OSError:
            pass  # a full disk: they are named by hand

    # -- read: keep it -------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Keep what was chosen, as far as there is time."""
        for found in self._found:
            if not self._allowance.left():
                self._leave_out(found, "there was no time left for it")
                continue
            try:
                self._keep(found)
            except FileNotFoundError:
                if found.path in self._listing.entries:
                    self._gone(found.path)
            except OSError as error:
                self._leave_out(found, error.strerror or "unreadable")
        for tree in self._inner.values():
            tree.read()

    def _keep(self, found: _Found) -> None:
        full = os.path.join(self._root, found.path)
        if found.mode == LINK:
            target = os.readlink(full)
            self._marks[found.path] = LINK, object_id(target, self._algorithm)
            self._changes[found.path] = ["120000", os.fsdecode(target), len(target), None]
            return
        kept = keep(self._pack, os.fsdecode(full), found.mode, found.status.st_size)
        if isinstance(kept, str):
            self._leave_out(found, kept)
        else:
            self._changes[found.path] = kept

    # -- finish --------------------------------------------------------------------------------------------------

    @property
    def _algorithm(self) -> str:
        """By which this repository names its objects."""
        return self._repository.settings().get("extensions.objectformat", "sha1")

    def finish(self) -> dict[str, Any]:
        """The document of this repository and those inside it."""
        assert self._state is not None
        submodules = {path: tree.finish() for path, tree in self._inner.items()}
        for tree in self._inner.values():
            self.blobs |= tree.blobs
            self.remarks += tree.remarks
        self._marks |= {path: (SUBMODULE, inside["fingerprint"].encode()) for path, inside in submodules.items()}
        self._name_hashed()
        mark = fingerprint(self._counting())
        pack = self._close_pack()
        settings = self._repository.settings()
        url = self._repository.remote()
        ends = {name: settings[name] for name in REPEATED if name in settings}
        untracked = [os.fsdecode(path) for path in self._changes if path not in self._listing.entries]
        document = {
            "kind": "git", "commit": self._state.commit, "branch": self._state.branch, "pushed": self._state.pushed,
            "remote": redact.address(url) if url else None,
            "dirty": self._dirty(submodules.values()),
            "fingerprint": mark,
            "changes": {os.fsdecode(path): change for path, change in self._changes.items()},
            "pack": pack,
            "left_out": self.left_out,
            "submodules": {os.fsdecode(path): inside for path, inside in submodules.items()},
        }  # fmt: skip
        return document | ({"untracked": untracked} if untracked else {}) | ({"config": ends} if ends else {})

    def _dirty(self, submodules: Iterable[Mapping[str, Any]]) -> bool | None:
        """Whether anything differs from the commit; None if that is not known."""
        assert self._state is not None
        if self._state.changed or self._state.untracked or any(one["dirty"] for one in submodules):
            return True
        return False if self._told else None

    def all_left_out(self) -> list[dict[str, Any]]:
        """Named from the outermost repository."""
        prefix = os.fsdecode(self._prefix)
        inside = [one for tree in self._inner.values() for one in tree.all_left_out()]
        return [one | {"path": prefix + one["path"]} for one in self.left_out] + inside

    def _close_pack(self) -> str | None:
        try:
            pack = self._pack.close()
        except OSError as error:
            self.remarks.append(f"what differs from the commit{self._where()} could not be kept: {error.strerror}")
            pack = None
        self.blobs |= self._pack.blobs
        return pack

    def _name_hashed(self) -> None:
        """The ids that git gave; what it did not come to, because a file went away under it, is named by hand."""
        out, ended = self._hashing.printed(self._allowance.left() + 0.1) if self._hashing else (b"", 0)
        names = out.split()
        for (path, mode), name in zip(self._hashed.items(), names, strict=False):
            self._marks[path] = mode, name
        for path in list(self._hashed)[len(names) :]:
            name_by_hand = _name_in_time(os.path.join(self._root, path), self._algorithm, late=ended is None)
            self._marks[path] = (self._hashed[path], name_by_hand) if name_by_hand else None

    def _counting(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """(mode, id, path) of what counts."""
        counts, prefix, tracked = self._counts, self._prefix, self._listing.entries
        for path, entry in (*tracked.items(), *((path, None) for path in self._marks if path not in tracked)):
            mark = self._marks.get(path, entry)
            if mark is not None and counts(prefix + path, path in tracked):
                yield (*mark, path)


def keep(pack: Pack, path: str, mode: bytes, size: int) -> list[Any] | str:
    """Keep the content of a file, of which ``size`` bytes are known of: its entry in a document, or why it is not kept."""
    descriptor = open_plain(path)
    if descriptor is None:
        return "not a file"
    try:
        if size > MOST_SCANNED:
            name, size = pack.copy(descriptor, size)
            return [mode.decode(), name, size, None]
        content = _all_of(descriptor, MOST_SCANNED)
    finally:
        os.close(descriptor)
    why = why_secret(path, content)
    if why:
        return why
    if len(content) > SMALL:
        return [mode.decode(), pack.alone(content), len(content), None]
    return [mode.decode(), *_packed(pack, content)]


def _packed(pack: Pack, content: bytes) -> tuple[str, int, int]:
    name, at = pack.add(content)
    return name, len(content), at


def _all_of(descriptor: int, limit: int) -> bytes:
    pieces, size = [], 0
    while size < limit and (piece := os.read(descriptor, limit - size)):
        pieces.append(piece)
        size += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _name_in_time(path: bytes, algorithm: str, late: bool) -> bytes | None:
    """What names a file that git did not name: its id, or its size and time when it is too late to read it."""
    try:
        if late:
            return by_time(os.lstat(path))
        entry = entry_of(path, algorithm)
    except OSError:
        return None
    return entry[1] if entry else None


def by_time(status: os.stat_result) -> bytes:
    """What stands for the content of a file that is not read."""
    return b"%d-%.6f" % (status.st_size, status.st_mtime)


def entry_of(path: bytes, algorithm: str = "sha1") -> tuple[bytes, bytes] | None:
    """The (mode, object id) that git would give a file; None if it is not there or cannot be read."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return LINK, object_id(os.readlink(path), algorithm)
        descriptor = open_plain(path)
        if descriptor is None:
            return None
        with open(descriptor, "rb") as file:
            content = file.read()
    except OSError:
        return None
    return PROGRAM if status.st_mode & 0o100 else PLAIN, object_id(content, algorithm)
