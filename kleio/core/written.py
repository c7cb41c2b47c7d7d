"""The files that a run wrote into its project, ignored ones included: found once the command has ended.

Nothing watches the run. What has a time of the run on it was written while the run went on: by the run, or by another of
the same project on this machine, which is why it is said whether there was one. This is done at the end of every command,
so the module imports next to nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import time
from collections import namedtuple
from dataclasses import dataclass
from functools import cache

from kleio.core.outputs import NOTE, OWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from typing import Any, NamedTuple

    class File(NamedTuple):
        """A file that was written: ``path`` from the root, ``size`` in bytes, ``mtime`` in nanoseconds.

        ``sha256`` is None where there was no time to read it; ``how`` is "created" or "changed".
        """

        path: str
        size: int
        sha256: str | None
        mtime: int
        how: str

    class Mark(NamedTuple):
        """A file as it was at one time: what tells at a glance that it was not written since, and its content if known."""

        size: int
        mtime: int
        inode: int
        sha256: str | None = None

else:  # two dataclasses would take as long as to look at 500 files
    File = namedtuple("File", "path size sha256 mtime how")
    Mark = namedtuple("Mark", "size mtime inode sha256", defaults=(None,))

CACHES = frozenset(
    (
        ".git", ".hg", ".svn", "__pycache__", "node_modules", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache",
        ".ipynb_checkpoints", ".eggs",
    )
)  # fmt: skip
MARKS = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG")
"""What a directory that is an environment or a cache has in it."""
TICK = 10_000_000
"""Nanoseconds by which the time of a file may lag behind: the kernel's clock for files ticks every 10 ms at worst."""
MOST = 5000
"""Files that are recorded of one run."""
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """``complete`` is false when there was no time to look everywhere or to read every file, or there were more than
    :data:`MOST`. ``alone`` says that no other run of the project was live on this machine.
    """

    files: tuple[File, ...]
    complete: bool
    alone: bool = True

    def document(self) -> dict[str, Any]:
        """As the journal keeps it."""
        files = [[one.path, one.size, one.sha256, one.mtime, one.how] for one in self.files]
        return {"files": files, "complete": self.complete, "alone": self.alone}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Written:
        """What :meth:`document` gave."""
        files = tuple(File(*one) for one in document["files"])
        return cls(files, bool(document["complete"]), bool(document["alone"]))

    def traces(self) -> list[str]:
        """The keys by which the run is found again: what was written, under which path, and by which name."""
        found: dict[str, None] = {}
        for one in self.files:
            if one.size:  # all empty files are alike
                found[content_key(one.sha256, one.size, one.mtime)] = None
            found[f"path:{one.path}"] = None
            found[f"file:{os.path.basename(one.path)}"] = None
        return list(found)


def content_here(path: str) -> list[str]:
    """The keys that the content of a file has now, one of which a run that wrote it has left."""
    now = mark(path)
    if now is None:
        return []
    digest = _sha256(path, File(path, now.size, None, now.mtime, ""), time.monotonic, float("inf"))
    return [content_key(None, now.size, now.mtime), *([content_key(digest, now.size, now.mtime)] if digest else [])]


def united(scans: Mapping[str, Written], alone: bool) -> Written:
    """What several scans found, as one; each is given by what stands before its paths."""
    files = [file._replace(path=prefix + file.path) for prefix, one in scans.items() for file in one.files]
    return Written(tuple(files), all(one.complete for one in scans.values()), alone)


def content_key(sha256: str | None, size: int, mtime: int) -> str:
    """The trace of a file's content; of one that was not read its size and time must do."""
    return f"sha256:{sha256}" if sha256 else f"size:{size}@{mtime}"


def scan(
    root: str,
    since: int,
    avoid: Sequence[str] = (),
    seconds: float = 1.0,
    before: Container[str] = (),
    alone: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Written:
    """The files inside ``root`` that were written since ``since``, in nanoseconds, by the clock of files.

    Left out are caches and environments, what lies at or below the paths to ``avoid``, and links. ``before`` has the paths
    from the root that are known to have been there. At most ``seconds`` are spent on looking, and as many on reading.
    """
    found: list[File] = []
    complete = _look(root, since - TICK, _inside(root, avoid), before, found, clock, clock() + seconds)
    files = _read_all(root, found, clock, clock() + seconds)
    return Written(tuple(files), complete and all(one.sha256 for one in files), alone)


def _look(
    root: str,
    since: int,
    avoid: frozenset[str],
    before: Container[str],
    found: list[File],
    clock: Callable[[], float],
    deadline: float,
) -> bool:
    """Find files, not read yet. Whether that was all."""
    for count, (path, status) in enumerate(_walk(root, avoid)):
        if (status is None or count % 512 == 0) and clock() > deadline:
            return False
        if status is not None and (status.st_mtime_ns >= since or status.st_ctime_ns >= since):
            if len(found) == MOST:
                return False
            how = "changed" if path in before or not _born(os.path.join(root, path), since) else "created"
            found.append(File(path, status.st_size, None, status.st_mtime_ns, how))
    return True


def _inside(root: str, avoid: Sequence[str]) -> frozenset[str]:
    """The paths to avoid as the walk will name them."""
    tops = {root, os.path.realpath(root)}
    found = {os.path.relpath(path, top) for one in avoid for path in (one, os.path.realpath(one)) for top in tops}
    return frozenset(path for path in found if path.partition("/")[0] != "..")


def kept_by_kleio(address: str, spools: str) -> list[str]:
    """What scans avoid: the spools, and the journal's files; its ``address`` as ``journal.base.place`` gives it."""
    scheme, _, path = address.partition(":///")
    if scheme != "sqlite":
        return [spools]
    beside = [path + end for end in ("", "-wal", "-shm", "-journal", ".lock")]
    return [*beside, os.path.join(os.path.dirname(path), "blobs"), spools]


def _walk(root: str, avoid: frozenset[str]) -> Iterator[tuple[str, os.stat_result | None]]:
    """The path from ``root`` and the status of every file, what is near first; (directory, None) before each directory."""
    directories = [""]
    for directory in directories:  # it grows
        yield directory, None
        try:
            with os.scandir(os.path.join(root, directory)) as listing:
                entries = list(listing)
        except OSError:
            continue
        names = {one.name for one in entries}
        if directory and not names.isdisjoint(MARKS):
            continue
        if NOTE in names:  # an output directory, in which these two are kleio's
            entries = [one for one in entries if one.name not in OWN]
        for one in entries:
            name = one.name
            path = f"{directory}/{name}" if directory else name
            if path in avoid or name.endswith(".pyc"):
                continue
            try:
                if one.is_dir(follow_symlinks=False):
                    if name not in CACHES and not name.endswith(".egg-info"):
                        directories.append(path)
                elif one.is_file(follow_symlinks=False):
                    yield path, one.stat(follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile


# -- created or changed ----------------------------------------------------------------------------------------------


def _born(path: str, since: int) -> bool:
    """Whether the file itself is new. Where the filesystem does not say, whether anything in its directory is."""
    birth = _birth(path)
    if birth is not None:
        return birth >= since
    try:
        return os.stat(os.path.dirname(path)).st_mtime_ns >= since
    except OSError:
        return True


_NOFOLLOW, _BTIME, _HERE = 0x100, 0x800, -100
_BIRTH = struct.Struct("=80xqI")


def _birth(path: str) -> int | None:
    """When the file was made, in nanoseconds: os.stat does not tell it on Linux, though the kernel does since 4.11."""
    ask = _statx()
    answer = ask(os.fsencode(path)) if ask else None
    if answer is None or not int.from_bytes(answer[:4], sys.byteorder) & _BTIME:
        return None
    seconds, fraction = _BIRTH.unpack_from(answer)
    return int(seconds) * 1_000_000_000 + int(fraction)


@cache
def _statx() -> Callable[[bytes], bytes | None] | None:
    """Asks the kernel for its ``struct statx`` of a path, where there is such a call."""
    try:
        import ctypes  # 1.5 ms, for runs that wrote files of which it is not known that they were there

        call = ctypes.CDLL(None).statx
    except (ImportError, OSError, AttributeError):
        return None

    def ask(path: bytes) -> bytes | None:
        answer = ctypes.create_string_buffer(256)
        return None if call(_HERE, path, _NOFOLLOW, _BTIME, answer) else answer.raw

    return ask


# -- content ---------------------------------------------------------------------------------------------------------


def _read_all(root: str, found: list[File], clock: Callable[[], float], deadline: float) -> list[File]:
    """``found`` with digests, small files first, as far as the time goes."""
    known: dict[str, str] = {}
    for one in sorted(found, key=lambda one: one.size):
        if clock() > deadline:
            break
        digest = _sha256(os.path.join(root, one.path), one, clock, deadline)
        if digest:
            known[one.path] = digest
    return [one._replace(sha256=known.get(one.path)) for one in found]


def _sha256(path: str, one: File, clock: Callable[[], float], deadline: float) -> str | None:
    """None for a file that cannot be read, is being written, or takes too long."""
    digest = hashlib.sha256()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            left = one.size  # not to its end, which may recede as fast as it is read
            while left and (piece := os.read(fd, min(left, PIECE))):
                digest.update(piece)
                left -= len(piece)
                if left and clock() > deadline:
                    return None
            now = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError:
        return None
    return digest.hexdigest() if (now.st_size, now.st_mtime_ns) == (one.size, one.mtime) else None


# -- the files named on the command line -----------------------------------------------------------------------------


def mark(path: str, sha256: str | None = None) -> Mark | None:
    """The file at ``path`` as it is now, links followed; None if there is none. ``sha256`` is its content, if known."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Mark(status.st_size, status.st_mtime_ns, status.st_ino, sha256) if stat.S_ISREG(status.st_mode) else None


def changed_words(before: Mapping[str, tuple[str, Mark | None]], largest: int = 1 << 26) -> list[str]:
    """The words of a command that name files which were changed or created since.

    ``before`` maps each word to the path that it names and the file's mark at launch, None where there was none. A file that
    has another time but the same content (up to ``largest`` bytes, where the mark has it) is the same: touched, not changed.
    """
    return [word for word, (path, then) in before.items() if _differs(path, then, largest)]


def _differs(path: str, then: Mark | None, largest: int) -> bool:
    now = mark(path)
    if now is None or then is None:
        return now is not None
    if (now.size, now.mtime, now.inode) == (then.size, then.mtime, then.inode):
        return False
    if now.size != then.size or then.sha256 is None or now.size > largest:
        return True
    return _sha256(path, File(path, now.size, None, now.mtime, ""), time.monotonic, float("inf")) != then.sha256
