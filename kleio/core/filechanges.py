"""How two code versions differ: file by file, as one line, and as a patch that ``git apply`` takes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from kleio.core import linediff
from kleio.core.sourcefiles import LARGE, LINK, SUBMODULE, UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from kleio.core.sourcefiles import File, Version

MOST_LINES = 20_000
TOGETHER = 64
"""Files that are read at once: one question to git answers for all of them, and they fit into memory."""
NAMED = 5


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs. ``kind`` is modified, added, removed, mode (and nothing else), or unknown: it differs, or may
    differ, and what one of the two held is not known here. ``added`` and ``removed`` count lines; None for what has none.
    """

    path: str
    kind: str
    added: int | None = None
    removed: int | None = None
    binary: bool = False


@dataclass(frozen=True, slots=True)
class _Pair:
    """One path of two versions; None is a file that is not there."""

    path: str
    before: File | None
    after: File | None


def changed_files(
    before: Version, after: Version, counts: Callable[[bytes, bool], bool] | None = None
) -> list[FileChange]:
    """The files whose contents, mode or existence differ, submodules included, by path.

    With ``counts``, a function of the path and whether git tracks it, only those that count.
    """
    found = [_change(pair) for pair in _pairs(before, after, counts=counts)]
    found += [FileChange(path, "modified") for path in _other_submodules(before, after)]
    return sorted(found, key=lambda one: one.path)


def patch(before: Version, after: Version, paths: Collection[str] | None = None, binary: bool = False) -> str:
    """The differences of ``paths``, or of all, as git writes them, for ``git apply``. Of a binary file it says only that it
    differs; with ``binary`` it holds its contents, unless they are large.

    Bytes that are no UTF-8 are surrogates, as of ``os.fsdecode``: write it with ``errors="surrogateescape"``.
    """
    lines = (line for pair in _pairs(before, after, paths) for line in _file_patch(pair, binary))
    return b"".join(lines).decode("utf-8", "surrogateescape")


def unseen(before: Version, after: Version) -> list[str]:
    """What of two versions cannot be compared here, in words."""
    if before.commit == after.commit:
        return []
    missing = dict.fromkeys(one.commit for one in (before, after) if one.commit and one.tree is None)
    return [f"commit {name[:12]} is not in a repository here: files that only it changed are not listed" for name in missing]


def summary(changes: list[FileChange]) -> str:
    """One line: ``train.py (+3 -1), model/net.py (new, +40), data/a.bin (binary)``, five at most."""
    more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
    return ", ".join(f"{one.path} ({how(one)})" for one in changes[:NAMED]) + more


def how(change: FileChange) -> str:
    """What happened to a file: ``+3 -1``, ``new, +40``, ``removed``, ``mode``, ``binary``."""
    words = {"added": "new", "removed": "removed", "mode": "mode", "unknown": "not known here"}
    said = [words[change.kind]] if change.kind in words else []
    if change.binary and change.kind != "removed":
        said.append("binary")
    if change.kind == "added" and change.added:
        said.append(f"+{change.added}")
    if change.kind == "modified" and not change.binary:
        lines = [f"{sign}{count}" for sign, count in (("+", change.added), ("\N{MINUS SIGN}", change.removed)) if count]
        said.append(" ".join(lines) or "changed")
    return ", ".join(said)


# -- which files differ ----------------------------------------------------------------------------------------------


def _pairs(
    before: Version,
    after: Version,
    paths: Collection[str] | None = None,
    counts: Callable[[bytes, bool], bool] | None = None,
    prefix: str = "",
) -> Iterator[_Pair]:
    """The files that differ; ``prefix`` is the submodule's path."""
    wanted = sorted(_candidates(before, after))
    if paths is not None:
        wanted = [path for path in wanted if prefix + path in paths]
    if counts is not None:
        wanted = [path for path in wanted if counts(os.fsencode(prefix + path), tracked(path, before, after))]
    for start in range(0, len(wanted), TOGETHER):
        some = wanted[start : start + TOGETHER]
        old, new = before.look(some), after.look(some)
        yield from (
            _Pair(prefix + path, old[path], new[path]) for path in some if not _same(path, before, after, old[path], new[path])
        )
    olds, news = before.submodules, after.submodules
    for path in sorted(olds.keys() & news.keys()):
        yield from _pairs(olds[path], news[path], paths, counts, f"{prefix}{path}/")


def _candidates(before: Version, after: Version) -> set[str]:
    found = before.touched | after.touched
    if before.commit != after.commit and before.tree is not None and after.tree is not None:
        old, new = before.tree, after.tree
        found |= {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    return {path for path in found if not path.endswith("/") or _names_differ(path, before, after)}


def _names_differ(path: str, before: Version, after: Version) -> bool:
    """Of a directory that was left out as a whole: whether only one of the two has it."""
    return (path in before.touched) != (path in after.touched)


def tracked(path: str, before: Version, after: Version) -> bool:
    """Whether git tracks it; outside git everything that was recorded counts."""
    sides = (before, after)
    if any(path in one.document.get("untracked", ()) for one in sides):
        return False
    return any(path in (one.document.get("changes") or {}) or path in (one.tree or {}) for one in sides)


def _same(path: str, before: Version, after: Version, old: File | None, new: File | None) -> bool:
    if old is None or new is None or UNKNOWN in (old, new):
        return old is new and old is None
    if old.mode != new.mode:
        return False
    if old.key == new.key:
        return True
    if old.data is not None and new.data is not None:
        return old.data == new.data
    if old.size != new.size:
        return False
    names = {key.partition(":")[0]: key.partition(":")[2] for key in (old.key, new.key)}
    if names.keys() != {"git", "sha256"}:
        return False
    captured = before if old.key.startswith("sha256:") else after  # both are large, the other is in its commit
    return captured.object_name(path, names["git"]) == names["git"]


def _other_submodules(before: Version, after: Version, prefix: str = "") -> Iterator[str]:
    """Submodules that only one of the two has, or whose files cannot be compared."""
    olds, news = before.submodules, after.submodules
    for path in sorted(olds.keys() | news.keys() | _links(before) | _links(after)):
        old, new = olds.get(path), news.get(path)
        if old is not None and new is not None:
            if old.commit != new.commit and (old.tree is None or new.tree is None):
                yield prefix + path
            yield from _other_submodules(old, new, f"{prefix}{path}/")
        elif before.submodule_at(path) != after.submodule_at(path):
            yield prefix + path


def _links(version: Version) -> set[str]:
    return {path for path, (mode, _) in (version.tree or {}).items() if mode == SUBMODULE}


# -- what changed in a file ------------------------------------------------------------------------------------------


def _change(pair: _Pair) -> FileChange:
    old, new = pair.before, pair.after
    if UNKNOWN in (old, new):
        return FileChange(pair.path, "unknown")
    kind = "added" if old is None else "removed" if new is None else "modified"
    if old and new and not (old.mode and new.mode) and old.size == new.size:
        return FileChange(pair.path, "unknown")  # one of them was left out
    if old and new and old.key == new.key:
        return FileChange(pair.path, "mode")
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        return FileChange(pair.path, kind, binary=True)
    if old and new and old.data == new.data:
        return FileChange(pair.path, "mode")
    added, removed = linediff.counts(before, after)
    return FileChange(pair.path, kind, added, removed)


def _lines(file: File | None) -> list[bytes] | None:
    """Its lines; None for what is binary, or too long to be compared by lines."""
    if file is None:
        return []
    if file.data is None or len(file.data) > LARGE or b"\0" in file.data[:8000]:
        return None
    return linediff.split(file.data) if file.data.count(b"\n") <= MOST_LINES else None


def _file_patch(pair: _Pair, binary: bool) -> Iterator[bytes]:
    """Another kind of file is, for git, one file less and one more."""
    old, new = pair.before, pair.after
    if UNKNOWN in (old, new):
        return
    if old and new and old.mode != new.mode and LINK in (old.mode, new.mode):
        yield from _one_patch(pair.path, old, None, binary)
        yield from _one_patch(pair.path, None, new, binary)
    else:
        yield from _one_patch(pair.path, old, new, binary)


def _one_patch(path: str, old: File | None, new: File | None, binary: bool) -> Iterator[bytes]:
    before, after = _lines(old), _lines(new)
    text = before is not None and after is not None
    whole = not text and binary and all(one is None or one.data is not None for one in (old, new))
    yield b"diff --git %s %s\n" % (_quoted("a/" + path), _quoted("b/" + path))
    yield from _modes(old, new)
    yield from _index(old, new, 40 if whole else 7)
    if whole:
        yield from _binary_patch(old, new)
    elif before is None or after is None:
        names = (_named("a/" + path, old).rstrip(b"\t"), _named("b/" + path, new).rstrip(b"\t"))
        yield b"Binary files %s and %s differ\n" % names
    elif before != after:
        yield b"--- %s\n+++ %s\n" % (_named("a/" + path, old), _named("b/" + path, new))
        for hunk in linediff.hunks(before, after):
            yield from hunk


def _modes(old: File | None, new: File | None) -> Iterator[bytes]:
    if old is None and new is not None:
        yield b"new file mode %s\n" % (new.mode or "100644").encode()
    elif new is None and old is not None:
        yield b"deleted file mode %s\n" % (old.mode or "100644").encode()
    elif old and new and old.mode != new.mode and old.mode and new.mode:
        yield b"old mode %s\nnew mode %s\n" % (old.mode.encode(), new.mode.encode())


def _index(old: File | None, new: File | None, digits: int) -> Iterator[bytes]:
    names = [_object_name(one) for one in (old, new)]
    if names[0] and names[1] and names[0] != names[1]:
        yield b"index %s..%s\n" % (names[0][:digits], names[1][:digits])


def _binary_patch(old: File | None, new: File | None) -> Iterator[bytes]:
    """The contents after and, for going back, before: deflated, in lines of 52 bytes, each in base 85 after its length."""
    import base64
    import zlib

    yield b"GIT binary patch\n"
    for data in ((new and new.data) or b"", (old and old.data) or b""):
        yield b"literal %d\n" % len(data)
        packed = zlib.compress(data)
        for at in range(0, len(packed), 52):
            piece = packed[at : at + 52]
            length = len(piece) + (64 if len(piece) <= 26 else 70)  # A to Z, then a to z
            yield b"%c%s\n" % (length, base64.b85encode(piece, pad=True))
        yield b"\n"


def _object_name(file: File | None) -> bytes:
    """As git would name the contents; empty when they are not known."""
    if file is None:
        return b"0" * 40
    if file.data is None:
        return b""
    head = b"blob %d\0" % len(file.data)
    return hashlib.sha1(head + file.data, usedforsecurity=False).hexdigest().encode()


def _named(name: str, file: File | None) -> bytes:
    """A name in a head; git ends one that holds a space with a tab, so that patch(1) knows where it ends."""
    if file is None:
        return b"/dev/null"
    quoted = _quoted(name)
    return quoted + b"\t" if b" " in quoted and not quoted.startswith(b'"') else quoted


_ESCAPES = dict(zip(b'\a\b\t\n\v\f\r"\\', b'abtnvfr"\\', strict=True))


def _quoted(name: str) -> bytes:
    """A path as git takes it in a patch: as in C where it holds a control character, a quote or a backslash."""
    raw = os.fsencode(name)
    escaped = b"".join(map(_escaped, raw))
    return raw if escaped == raw else b'"%s"' % escaped


def _escaped(byte: int) -> bytes:
    if byte in _ESCAPES:
        return b"\\%c" % _ESCAPES[byte]
    return b"\\%03o" % byte if byte < 32 or byte == 127 else bytes([byte])
