"""Digests of files, remembered by what tells whether a file has changed: a second look at a data set only asks for its times.

One small file a directory, under the user's cache directory, replaced at once. Several processes may use it together: what one
of them forgets of what another learnt is computed again. Whatever is wrong with it, it is only a cache.
"""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Known = dict[str, list[Any]]

PIECE = 1 << 20
FORMAT = 1
TICK = 50_000_000
"""Nanoseconds within which a file may change once more without another time of change."""
COARSE = 2_100_000_000
"""The same on file systems that keep whole seconds, some of them only even ones."""


def directory() -> str:
    """Where they are remembered: below ``KLEIO_HOME``, else in the user's cache directory."""
    home = os.environ.get("KLEIO_HOME")
    if home:
        return os.path.join(os.path.abspath(home), "digests")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "kleio", "digests")


class Digested:
    """What was read of a file. ``steady`` is whether it stayed as it was meanwhile."""

    __slots__ = ("sha256", "size", "steady")

    def __init__(self, sha256: str, size: int, steady: bool = True) -> None:
        self.sha256, self.size, self.steady = sha256, size, steady


class Digests:
    """The digests of files. What was learnt is kept with :meth:`save`."""

    def __init__(self, root: str | None = None) -> None:
        self._root = directory() if root is None else root
        self._known: dict[str, Known] = {}
        self._new: dict[str, Known] = {}

    def of(self, path: str, found: os.stat_result | None = None) -> Digested:
        """That of a regular file at an absolute path; ``found`` is its status, where it is known. Raises OSError."""
        status = found or os.stat(path)
        place, name = os.path.split(path)
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._load(place)
        entry = known.get(name)
        if entry is not None and entry[:5] == _marks(status):
            return Digested(entry[5], status.st_size)
        return self._read(path, place, name)

    def _read(self, path: str, place: str, name: str) -> Digested:
        import hashlib  # 2 ms, for scripts that name what they read

        digest, size, began = hashlib.sha256(), 0, time.time_ns()
        with open(path, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise OSError(None, "not a regular file", path)
            while piece := file.read(PIECE):
                digest.update(piece)
                size += len(piece)
            after = os.fstat(file.fileno())
        steady = _marks(before) == _marks(after) and size == after.st_size
        if steady and _settled(after, began):
            entry = [*_marks(after), digest.hexdigest()]
            self._known[place][name] = entry
            self._new.setdefault(place, {})[name] = entry
        return Digested(digest.hexdigest(), size, steady)

    # -- what is remembered --------------------------------------------------------------------------------------

    def save(self, every: bool = True) -> None:
        """Keep what was learnt; with ``every`` false only where it is worth writing a file anew."""
        for place, new in list(self._new.items()):
            if every or 8 * len(new) >= len(self._known[place]):
                self._new.pop(place, None)  # another thread may have been quicker
                self._write(place, {**self._load(place), **new})

    def _load(self, place: str) -> Known:
        from json import loads

        try:
            with open(self._file(place), "rb") as file:
                document = loads(file.read())
            if document["format"] != FORMAT or document["place"] != place:
                return {}
            return {name: one for name, one in document["files"].items() if len(one) == 6 and type(one[5]) is str}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _write(self, place: str, files: Known) -> None:
        from json import dumps

        path = self._file(place)
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            with open(temporary, "x", encoding="utf-8") as file:
                file.write(dumps({"format": FORMAT, "place": place, "files": files}, separators=(",", ":")))
            os.replace(temporary, path)
        except OSError:  # a full or read-only disk: it is computed again
            try:
                os.unlink(temporary)
            except OSError:
                pass

    def _file(self, place: str) -> str:
        import hashlib

        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
        return os.path.join(self._root, name[:2], f"{name}.json")


def _marks(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _settled(status: os.stat_result, began: int) -> bool:
    """Whether a later change would show in the times: it was last changed more than a tick before it was read."""
    last = max(status.st_mtime_ns, status.st_ctime_ns)
    coarse = status.st_mtime_ns % 1_000_000_000 == 0 and status.st_ctime_ns % 1_000_000_000 == 0
    return last + (COARSE if coarse else TICK) < began
