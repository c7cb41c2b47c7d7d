"""A work tree captured: what differs from its commit is kept, and every file that counts gets its mark.

In steps, for a repository and all that lie inside it (submodules), so that git is at work in all of them while we read.
Nothing of the user's is touched: git is only asked, and of the files that changed for the ids that it would give them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace

from kleio.core import redact
from kleio.core.leaving_out import MOST_SCANNED, MOST_UNTRACKED, named, too_many, why_secret
from kleio.core.pack import SMALL, Pack, open_plain
from kleio.core.repository import GRACE, STATUS, Repository
from kleio.core.spool import private
from kleio.core.worktree import GONE, SUBMODULE, Listing, State, fingerprint, listing, object_id, quoted, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.gitfiles import Entry
    from kleio.core.leaving_out import Allowance
    from kleio.core.repository import Running

MOST_HIDDEN = 5000
"""Files that git was told not to look at, and that we look at ourselves."""
REPEATED = ("core.autocrlf", "core.eol", "extensions.objectformat")
"""What of a repository's configuration decides how its files look, and is recorded."""
LINK, PROGRAM, PLAIN = b"120000", b"100755", b"100644"
AGAIN = 0.6
"""Seconds for git to tell at least what changed of the files that it tracks, when all was too much."""
BY_HAND = 0.3
"""Seconds for doing what git did not come to, beside what it left of the time."""
NOT_OPENED = "warning: could not open directory '"


class _Found:
    """A file to keep, as it was before it was read."""

    __slots__ = ("mode", "path", "status")

    def __init__(self, path: bytes, mode: bytes, status: os.stat_result) -> None:
        self.path, self.mode, self.status = path, mode, status


class Tree:
    """One repository. Call :meth:`begin`, :meth:`look`, :meth:`read`, :meth:`finish` in turn.

    ``prefix`` is where it lies in the outermost one: empty, or with a slash at its end. ``own`` are the paths, from the
    outermost root, at and below which kleio's own files are: for it they do not exist.
    """

    def __init__(
        self, repository: Repository, counts: Callable[[bytes, bool], bool], allowance: Allowance, scratch: str,
        prefix: bytes = b"", own: tuple[bytes, ...] = (),
    ) -> None:  # fmt: skip
        self._repository, self._counts, self._allowance, self._scratch = repository, counts, allowance, scratch
        self._root = os.fsencode(repository.root)
        self._prefix, self._own = prefix, own
        self._listing = Listing({}, ())
        self._state: State | None = None
        self._told = True
        self._inner: dict[bytes, Tree] = {}
        self._bare: list[bytes] = []
        self._found: list[_Found] = []
        self._hashing: Running | None = None
        self._hashed: dict[bytes, bytes] = {}
        self._marks: dict[bytes, tuple[bytes, bytes] | None] = {}
        self._changes: dict[bytes, list[Any] | None] = {}
        self._pack = Pack(scratch)
        self.left_out: list[dict[str, Any]] = []
        self.remarks: list[str] = []
        self.uncertain: str | None = None
        """Why it is not known whether the fingerprint is right, if it is not."""
        self.blobs: dict[str, str] = {}

    # -- begin: let git work in all of them ----------------------------------------------------------------------

    def begin(self) -> bool:
        """Whether the index can be read; then git has begun to answer in the submodules as well."""
        listed = self._repository.answer("files", self._allowance.left())
        found = self._listed_by_hand() if listed is None else listing(listed)
        if listed is None:
            self._allowance.extend(BY_HAND)
        if found is None:
            return False
        own = [path for path in found.entries if self._is_own(path)] if self._own else ()
        self._listing = found.without(own) if own else found
        for path in self._listing.submodules:
            root = os.path.join(self._root, path)
            if os.path.lexists(os.path.join(root, b".git")):
                inside = Repository(os.fsdecode(root), self._repository.patience)
                inside.ask("config", "status", "files")
                prefix = self._prefix + path + b"/"
                self._inner[path] = Tree(inside, self._counts, self._allowance, self._scratch, prefix, self._own)
            elif os.path.isdir(root):
                self._bare.append(path)
        for path, tree in list(self._inner.items()):
            if not tree.begin():
                self._unreadable(path)
        return True

    def _listed_by_hand(self) -> Listing | None:
        from kleio.core import gitfiles

        index = gitfiles.index(self._repository.root)
        if index is None:
            return None
        entries = {path: (one.mode, one.name) for path, one in index.entries.items()}
        return Listing(entries, tuple(path for path, one in index.entries.items() if one.hidden))

    def _is_own(self, path: bytes) -> bool:
        full = self._prefix + path
        return any(full == one or full.startswith(one + b"/") for one in self._own)

    def _unreadable(self, path: bytes) -> None:
        """A submodule in which git does not answer: its files are all that is known of it."""
        self._inner.pop(path).close()
        self._bare.append(path)
        name = os.fsdecode(self._prefix + path)
        self.remarks.append(f"git cannot read the submodule {name}/: its files are kept, but not which commit they are from")
        self._doubt(f"git cannot read the submodule {name}/")

    def _doubt(self, why: str) -> None:
        self.uncertain = self.uncertain or why

    def close(self) -> None:
        """Stop every git that is still at work."""
        for tree in self._inner.values():
            tree.close()
        self._repository.close()

    # -- look: what changed, and what of it is kept --------------------------------------------------------------

    def look(self) -> bool:
        """Whether it can be told what changed; then what is to be kept is known, and git names what counts of it."""
        status = self._repository.answer("status", self._allowance.left())
        if status is None:
            status = self._status_of_tracked()
        found = self._state_by_hand() if status is None else state(status, self._remotes())
        if found is None:
            return False
        if status is not None and found.commit is None:
            self._say_if_damaged()
        if self._own:
            found = found.without(self._is_own)
        self._state = replace(found, untracked=(*found.untracked, *self._below_bare()))
        self._choose(self._state)
        self._name_unopened()
        self._start_hashing()
        for path, tree in list(self._inner.items()):
            if not tree.look():
                self._unreadable(path)
                self._keep_bare(path)
        return True

    def _remotes(self) -> list[str]:
        return [name[len("remote.") : -len(".url")] for name in self._repository.settings() if name.startswith("remote.")]

    def _status_of_tracked(self) -> bytes | None:
        """What git says of the files that it tracks, if it was too slow to look for others."""
        if not self._repository.was_late("status") or self._repository.was_late("files"):
            return None  # it would fail again
        status = self._repository.run(*STATUS, "--untracked-files=no", timeout=AGAIN)
        self._allowance.extend(BY_HAND)
        if status is not None:
            self._doubt(f"git did not say in time which files{self._where()} are untracked")
            self.remarks.append(
                f"untracked files{self._where()} were not looked at: git took too long; name large ones in .gitignore"
            )
        return status

    def _state_by_hand(self) -> State | None:
        """What can be told without git: the commit, and what differs from the index. None if not even that."""
        from kleio.core import gitfiles

        commit, branch = gitfiles.head(self._repository.root)
        if commit is None:
            said = self._repository.run("rev-parse", "--verify", "HEAD", timeout=BY_HAND)
            if said is None:
                return None
            commit = said.decode().strip()
        self._told = False
        self._allowance.extend(BY_HAND)
        why = "did not tell in time" if self._repository.was_late("status") else "could not tell"
        self._doubt(f"git {why} what changed{self._where()}")
        why = f"git {why} what differs from the commit; of files that it tracks it was found out without it"
        self.left_out.append({"path": "./", "size": 0, "time": 0.0, "why": why})
        return State(commit, branch, None, self._changed_by_hand(), ())

    def _changed_by_hand(self) -> dict[bytes, bytes]:
        """The tracked files that are not as the index has them: path → mode."""
        from kleio.core import gitfiles

        index = gitfiles.index(self._repository.root)
        modes = self._repository.settings().get("core.filemode") != "false"
        changed = {}
        for path, (mode, name) in self._listing.entries.items():
            if mode == SUBMODULE:
                continue
            entry = index.entries.get(path) if index else None
            now = self._mode_now(path, mode, name, entry, index.written if index else 0, modes)
            if now:
                changed[path] = now
            if not self._allowance.left():
                break  # what is not known of the others was said
        return changed

    def _mode_now(self, path: bytes, mode: bytes, name: bytes, entry: Entry | None, written: int, modes: bool) -> bytes | None:
        """The mode of a tracked file on disk if it differs; None if it does not."""
        full = os.path.join(self._root, path)
        try:
            status = os.lstat(full)
        except OSError:
            return GONE
        if stat.S_ISDIR(status.st_mode):
            return GONE
        if entry and (status.st_size & 0xFFFFFFFF, status.st_mtime_ns) == (entry.size, entry.changed) < (entry.size, written):
            return None
        now = entry_of(full, self._algorithm)
        if now is None:
            return mode
        there = now[0] if modes or LINK in (now[0], mode) else mode
        return None if (there, now[1]) == (mode, name) else there

    def _say_if_damaged(self) -> None:
        """A branch that names no commit is, for git, one that has none yet; unless something stands there."""
        from kleio.core import gitfiles

        damaged = gitfiles.damaged_branch(self._repository.root)
        if damaged:
            self.remarks.append(f"{damaged} names no commit: all files{self._where()} are kept instead")

    def _name_unopened(self) -> None:
        """Directories of which git says only in passing that it could not look into them."""
        for line in self._repository.complaints():
            if line.startswith(NOT_OPENED):
                path = line[len(NOT_OPENED) :].rpartition("'")[0]
                self.left_out.append({"path": path, "size": 0, "time": 0.0, "why": "unreadable"})

    def _below_bare(self) -> list[bytes]:
        """The files in submodules that are no repositories: for git there is nothing, for a command that imports them much."""
        found: list[bytes] = []
        for top in self._bare:
            waiting = [top]
            while waiting and len(found) <= MOST_UNTRACKED:
                try:
                    with os.scandir(os.path.join(self._root, waiting[-1])) as entries:
                        path = waiting.pop()
                        inside = sorted(entries, key=lambda one: one.name)
                except OSError as error:
                    why = error.strerror or "unreadable"
                    self.left_out.append({"path": os.fsdecode(waiting.pop()) + "/", "size": 0, "time": 0.0, "why": why})
                    continue
                for one in inside:
                    name = path + b"/" + one.name
                    if one.name in (b".git", b"__pycache__") or self._is_own(name):
                        continue
                    (waiting if one.is_dir(follow_symlinks=False) else found).append(name)
        return found

    def _keep_bare(self, path: bytes) -> None:
        """A submodule turned out to be unreadable when the rest was chosen already."""
        assert self._state is not None
        self._bare = [path]
        below = tuple(self._below_bare())
        self._state = replace(self._state, untracked=(*self._state.untracked, *below))
        for name in below[:MOST_UNTRACKED]:
            self._consider(name, b"")

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
        if not self._hashed or (not self._told and self._repository.was_late("status")):
            return  # there is nothing, or git would be late again
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
            self.uncertain = self.uncertain or tree.uncertain
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
        further = {"untracked": untracked, "config": ends, "uncertain": self.uncertain}
        self.remarks += self._repository.remarks
        return document | {name: value for name, value in further.items() if value}

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
        """The ids that git gave; what it did not come to, be it that a file went away under it, is named by hand."""
        out, ended = b"", None
        if self._hashing:
            out, ended = self._repository.patience.answer(self._hashing, self._allowance.left() + GRACE)
        length = 64 if self._algorithm == "sha256" else 40
        names = [name for name in out.split(b"\n")[:-1] if len(name) == length]
        for (path, mode), name in zip(self._hashed.items(), names, strict=False):
            self._marks[path] = mode, name
        rest = list(self._hashed)[len(names) :]
        if rest:
            self._name_by_hand(rest, "did not name in time" if ended is None else "could not name")

    def _name_by_hand(self, paths: list[bytes], why: str) -> None:
        self._allowance.extend(BY_HAND)
        filtered = self._is_filtered()
        for path in paths:
            full, late = os.path.join(self._root, path), not self._allowance.left()
            name = _name_in_time(full, self._algorithm, late)
            self._marks[path] = (self._hashed[path], name) if name else None
            if name and (late or filtered):
                self._doubt(f"git {why} {os.fsdecode(self._prefix + path)}")

    def _is_filtered(self) -> bool:
        """Whether git may change a file before it names it."""
        ends = self._repository.settings().get("core.autocrlf", "false") != "false"
        attributes = any(path.rpartition(b"/")[2] == b".gitattributes" for path in self._listing.entries)
        return ends or attributes or os.path.exists(os.path.join(self._root, b".git", b"info", b"attributes"))

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
            found = redact.secret_in_file(path, os.path.basename(path))
            if found:
                return f"it holds {found}"
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
