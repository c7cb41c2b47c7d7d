"""``log_resource``: what a script reads, recorded by path, size and digest, and not copied."""

from __future__ import annotations

import os
import re
import stat

from kleio.client.digests import Digests
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from kleio.client.logger import Logger
    from kleio.core.resources import Listed

MOST_TRACED = 10_000
"""Files of a directory by whose contents the run is found again."""
MOST_NAMED = 20
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_digests: Digests | None = None


class Resource:
    """An input. ``path`` is as it was given, ``absolute`` where it lies; ``kind`` is file, directory or address.

    ``size`` is in bytes and ``sha256`` the digest of its content, None where nothing was read; of a directory both are of all
    that is in it, and ``files`` counts. ``steady`` is whether it stayed as it was while it was read, ``unreadable`` names what
    could not be. Without ``kleio`` it is read when one of these is asked for.
    """

    __slots__ = ("_logger", "absolute", "files", "kind", "lines", "listing", "path", "sha256", "size", "steady", "unreadable")

    def __init__(self, logger: Logger, path: str) -> None:
        self._logger, self.path = logger, path
        self.absolute: str | None
        self.kind: str
        self.size: int | None
        self.sha256: str | None
        self.files: int
        self.steady: bool
        self.unreadable: list[str]
        self.listing: str | None
        self.lines: list[tuple[bytes, str | None]]

    def __getattr__(self, name: str) -> Any:
        """The first time that something is asked for which is not known yet."""
        if name.startswith("_") or name not in Resource.__slots__:
            raise AttributeError(name)
        _look(self)
        return getattr(self, name)

    @property
    def changed(self) -> bool | None:
        """Whether an earlier execution of this trial had another content under this path; None if none had it."""
        if not self._logger.active:
            return None
        wanted = {"op": "resources", "absolute": self.absolute, "path": self.path}
        before: list[str | None] = self._logger.ask(wanted)["earlier"]
        return before[-1] != self.sha256 if before else None

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"Resource({self.path!r})"


def log_resource(logger: Logger, path: str | os.PathLike[str], meta: Mapping[str, Any]) -> Resource:
    """Record an input; what cannot be read is said."""
    resource = Resource(logger, os.fsdecode(path))
    if not logger.active:
        return resource
    try:
        _record(logger, resource, meta)
    except Exception as error:  # noqa: BLE001 - the script will find out for itself
        for name, value in (("kind", "missing"), ("absolute", None), ("size", None), ("sha256", None), ("files", 0),
                            ("steady", True), ("unreadable", []), ("listing", None), ("lines", [])):  # fmt: skip
            setattr(resource, name, value)
        logger._refuse(error, f"resource {resource.path!r} is not recorded", "resources")
    return resource


def _record(logger: Logger, resource: Resource, meta: Mapping[str, Any]) -> None:
    from kleio.core.values import dumps

    dumps(dict(meta))  # refused before anything is read
    _look(resource)
    known = _saved()
    known.save(every=False)
    record: dict[str, Any] = {
        "path": resource.path, "kind": resource.kind, "size": resource.size, "sha256": resource.sha256, "meta": dict(meta),
    }  # fmt: skip
    if resource.kind == "address":
        from kleio.core.redact import text

        record["path"] = text(resource.path)
        record["note"] = "nothing of it was read"
    else:
        record |= {"absolute": resource.absolute} | _below(logger, resource.absolute or "")
    if resource.kind == "directory":
        record |= {"files": resource.files, "listing": _list(logger, resource)}
    if resource.unreadable:
        record["unreadable"] = [len(resource.unreadable), resource.unreadable[:MOST_NAMED]]
        logger._say(f"of resource {resource.path!r} could not be read: {', '.join(resource.unreadable[:3])}")
    if not resource.steady:
        record["steady"] = False
        logger._say(f"resource {resource.path!r} changed while it was read; its digest is of what was read")
    logger._writer("resources").append(dumps(record))


def _saved() -> Digests:
    """What this process knows; written when it ends, if not before."""
    global _digests  # noqa: PLW0603 - one for the process
    if _digests is None:
        import atexit

        _digests = Digests()
        atexit.register(_digests.save)
    return _digests


def _below(logger: Logger, absolute: str) -> dict[str, str]:
    """Where it lies in the project, if it does."""
    root = _root(logger)
    return {"project": os.path.relpath(absolute, root)} if root and f"{absolute}/".startswith(f"{root}/") else {}


def _root(logger: Logger) -> str | None:
    directory = logger._directory
    if directory not in _roots:
        _roots[directory] = (Spool(directory).read("launch") or {}).get("root")
    return _roots[directory]


_roots: dict[str, str | None] = {}


def _list(logger: Logger, resource: Resource) -> str:
    """Leave the listing in the spool, for the launcher to bring: its digest."""
    import hashlib

    from kleio.core.artifact import keep
    from kleio.core.resources import INPUT, pack

    packed = pack(line for line, _ in resource.lines)
    name = hashlib.sha256(packed).hexdigest()
    spool, finding = Spool(logger._directory), f"finding-resource-{name[:32]}"
    if not spool.has(finding):
        traces = [f"{INPUT}{digest}" for digest in dict.fromkeys(one for _, one in resource.lines if one)][:MOST_TRACED]
        told: dict[str, Any] = {"kind": None, "time": 0.0, "data": {}, "documents": {}, "blobs": [name], "traces": traces}
        keep(spool.file("blobs"), packed, lambda *_: spool.write(finding, told))
    resource.lines = []
    resource.listing = name
    return name


# -- looking -----------------------------------------------------------------------------------------------------------


def _look(resource: Resource) -> None:
    """Find out all there is to know. Raises OSError where it is not there, or cannot be read at all."""
    resource.absolute, resource.listing, resource.lines = None, None, []
    resource.size, resource.sha256, resource.files = None, None, 0
    resource.steady, resource.unreadable = True, []
    if _ADDRESS.match(resource.path):
        resource.kind = "address"
        return
    resource.absolute = os.path.abspath(resource.path)
    status = os.stat(resource.absolute)
    if stat.S_ISDIR(status.st_mode):
        resource.kind = "directory"
        _tree(resource)
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(None, "neither a file nor a directory", resource.path)
    resource.kind, resource.files = "file", 1
    found = _saved().of(resource.absolute, status)
    resource.size, resource.sha256, resource.steady = found.size, found.sha256, found.steady


def _tree(resource: Resource) -> None:
    """One digest over everything below a directory, in the order of the paths as bytes; links are not followed."""
    import hashlib

    from kleio.core.resources import line

    assert resource.absolute is not None
    os.scandir(resource.absolute).close()  # a directory that cannot be read at all is an error
    entries = sorted(_entries(resource, resource.absolute), key=lambda one: os.fsencode(one[0]))
    resource.lines = [(line(one), one[3] if one[1] == "f" else None) for one in entries]
    resource.size = sum(one[2] for one in entries if one[1] == "f")
    resource.files = sum(one[1] == "f" for one in entries)
    digest = hashlib.sha256(b"kleio tree 1\n")
    for text, _ in resource.lines:
        digest.update(text)
    resource.sha256 = digest.hexdigest()


def _entries(resource: Resource, root: str) -> Iterator[Listed]:
    """(path below it, type, size, digest or target): f a file, d a directory, l a link, o anything else, ! not readable."""
    digests, below = _saved(), [("", root)]
    for prefix, place in below:  # grows as it goes
        try:
            with os.scandir(place) as found:
                here = list(found)
        except OSError as error:
            yield prefix.rstrip("/"), "!", 0, None
            resource.unreadable.append(f"{prefix} ({error.strerror})")
            continue
        for one in here:
            path = prefix + one.name
            try:
                if one.is_file(follow_symlinks=False):
                    read = digests.of(one.path, one.stat(follow_symlinks=False))
                    resource.steady = resource.steady and read.steady
                    yield path, "f", read.size, read.sha256
                elif one.is_symlink():
                    yield path, "l", 0, os.readlink(one.path)
                elif one.is_dir(follow_symlinks=False):
                    yield path, "d", 0, None
                    below.append((f"{path}/", one.path))
                else:
                    yield path, "o", 0, None
            except OSError as error:
                yield path, "!", 0, None
                resource.unreadable.append(f"{path} ({error.strerror})")
