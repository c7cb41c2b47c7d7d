"""What git keeps in files, read without git: for when it does not answer, or not in time.

Nothing is guessed: what is not understood is None.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ASSUMED, EXTENDED, SKIPPED = 0x8000, 0x4000, 0x4000
"""Bits of an index entry: not to be looked at; it has more bits; of those: not on disk."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A path in the index. ``size`` in bytes (its last 32 bits) and ``changed`` in nanoseconds are those of the file when git
    looked at it last; ``hidden``: git was told not to look at it.
    """

    mode: bytes
    name: bytes
    size: int
    changed: int
    hidden: bool


@dataclass(frozen=True, slots=True)
class Index:
    """Path → entry. ``written`` is when, in nanoseconds: a file that was changed later may look as it did."""

    entries: dict[bytes, Entry]
    written: int


def directory(root: str) -> str | None:
    """Where git keeps what belongs to the work tree ``root``."""
    place = os.path.join(root, ".git")
    if os.path.isdir(place):
        return place
    pointed = _text(place).partition("gitdir:")[2].strip()
    return os.path.join(root, pointed) if pointed else None


def _shared(place: str) -> str:
    """Where it keeps what several work trees of one repository share."""
    return os.path.join(place, _text(os.path.join(place, "commondir")).strip())


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 22)
    except OSError:
        return ""


def head(root: str) -> tuple[str | None, str | None]:
    """The commit that is checked out, and its branch."""
    place = directory(root)
    said = _text(os.path.join(place, "HEAD")).strip() if place else ""
    name = said.partition("ref: ")[2]
    if not place or not name:
        return _commit(said), None
    own = _commit(_text(os.path.join(place, name))) or _commit(_text(os.path.join(_shared(place), name)))
    return own or _packed(_shared(place), name), name.removeprefix("refs/heads/")


def damaged_branch(root: str) -> str | None:
    """The branch that is checked out, if it is there but names no commit."""
    place = directory(root)
    name = _text(os.path.join(place, "HEAD")).partition("ref: ")[2].strip() if place else ""
    there = [one for one in (place, _shared(place)) if os.path.lexists(os.path.join(one, name))] if place and name else []
    return name if there and head(root)[0] is None else None


def _packed(place: str, name: str) -> str | None:
    for line in _text(os.path.join(place, "packed-refs")).splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return _commit(commit)
    return None


def _commit(text: str) -> str | None:
    return text.strip() if is_object_name(text.strip()) else None


def is_object_name(text: object) -> bool:
    """Whether it can be that of a commit, whole: nothing else from a journal becomes a word of a git command."""
    return isinstance(text, str) and len(text) in (40, 64) and set(text) <= set("0123456789abcdef")


def first_commit(root: str) -> str | None:
    """The commit that the repository began with, as long as its log tells."""
    place = directory(root)
    line = _text(os.path.join(_shared(place), "logs", "HEAD")).partition("\n")[0] if place else ""
    before, _, after = line.partition(" ")
    began = set(before) == {"0"} and "\tcommit (initial)" in line
    return _commit(after.partition(" ")[0]) if began else None


def settings(root: str) -> dict[str, str]:
    """The plain entries of its own configuration: ``remote.origin.url``; nothing that other files add."""
    place = directory(root)
    found: dict[str, str] = {}
    section = ""
    for line in map(str.strip, _text(os.path.join(_shared(place), "config")).splitlines() if place else ()):
        if line.startswith("["):
            kind, _, name = line[1:].partition("]")[0].partition(" ")
            section = kind.lower() + (f".{name.strip()[1:-1]}" if name else "")
        else:
            name, equals, value = line.partition("=")
            if equals and section:
                found[f"{section}.{name.strip().lower()}"] = value.strip().strip('"')
    return found


# -- the index ---------------------------------------------------------------------------------------------------------


def index(root: str) -> Index | None:
    """The index; None if it is damaged, or of a kind that cannot be read alone."""
    place = directory(root)
    if place is None:
        return None
    try:
        with open(os.path.join(place, "index"), "rb") as file:
            data, written = file.read(), os.fstat(file.fileno()).st_mtime_ns
        return Index(dict(_entries(data, _width(data))), written)
    except (OSError, ValueError, struct.error):
        return None


def _width(data: bytes) -> int:
    """Bytes of an object's name in it. Raises ValueError unless it is whole."""
    for kind, width in (("sha1", 20), ("sha256", 32)):
        if data[:4] == b"DIRC" and hashlib.new(kind, data[:-width], usedforsecurity=False).digest() == data[-width:]:
            return width
    if data[:4] == b"DIRC" and data[-20:] == bytes(20):
        return 20  # by index.skipHash nobody computes it
    raise ValueError("damaged")


def _entries(data: bytes, width: int) -> Iterator[tuple[bytes, Entry]]:
    version, count = struct.unpack_from(">II", data, 4)
    if version not in (2, 3, 4):
        raise ValueError("unknown")
    at, path = 12, b""
    for _ in range(count):
        _, _, seconds, fraction, _, _, mode, _, _, size = struct.unpack_from(">10I", data, at)
        name = data[at + 40 : at + 40 + width]
        start, at = at, at + 40 + width
        (bits,) = struct.unpack_from(">H", data, at)
        at += 2
        hidden = bool(bits & ASSUMED)
        if bits & EXTENDED:
            hidden |= bool(struct.unpack_from(">H", data, at)[0] & SKIPPED)
            at += 2
        if version == 4:
            less, at = _number(data, at)
            path = path[: len(path) - less]
        end = data.index(b"\0", at)
        path = (path if version == 4 else b"") + data[at:end]
        at = end + 1 if version == 4 else start + ((end - start) // 8 + 1) * 8
        if mode == 0o040000:
            raise ValueError("sparse")
        yield path, Entry(b"%06o" % mode, name.hex().encode(), size, seconds * 1_000_000_000 + fraction, hidden)
    if b"link" in set(_extensions(data, at, width)):
        raise ValueError("split")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number as git packs it, and where it ends."""
    value = data[at] & 127
    while data[at] & 128:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 127)
    return value, at + 1


def _extensions(data: bytes, at: int, width: int) -> Iterator[bytes]:
    while at + 8 <= len(data) - width:
        yield data[at : at + 4]
        at += 8 + int(struct.unpack_from(">I", data, at + 4)[0])
