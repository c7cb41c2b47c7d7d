"""Artifacts into files: where each goes, and what may be there already.

Names of artifacts may be anything. None leads out of the directory that was asked for, be it through a link.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kleio.core import wholefile
from kleio.core.artifact import digest_of
from kleio.core.errors import KleioError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kleio.core.reading.artifacts import Artifact

NAMED = 3


@dataclass(frozen=True, slots=True)
class Fetch:
    """An artifact and the path of its file; ``there`` if that has these bytes already."""

    artifact: Artifact
    path: str
    there: bool = False

    def save(self, progress: Callable[[int, int], object]) -> None:
        """Write the file, whole and checked or not at all, and the directories that its name asks for. Raises KleioError."""
        if self.there:
            return
        made = _made(os.path.dirname(self.path))
        try:
            self.artifact.save(self.path, progress)
        except BaseException:
            for directory in reversed(made):
                _left(directory)
            raise


def planned(artifacts: Sequence[Artifact], output: str | None, force: bool = False) -> list[Fetch]:
    """Where each goes: to the path ``output``, into it where it is a directory or ends with a slash, else here.

    Of several of one name each has its number before the suffix. Raises KleioError, before anything is done, where something
    else is there, unless ``force``: then files are replaced.
    """
    single = len(artifacts) == 1 and output is not None and not output.endswith("/") and not os.path.isdir(output)
    if single:
        assert output is not None
        wholefile.check(output)
        paths = [output]
    else:
        root = output or "."
        if os.path.lexists(root) and not os.path.isdir(root):
            raise KleioError(f"{root} is no directory, and {len(artifacts)} artifacts are meant; give one with -o")
        paths = [_inside(root, name, one) for name, one in zip(_numbered(artifacts), artifacts, strict=True)]
    _check_apart(paths, artifacts)
    found = [Fetch(one, path, _is_there(path, one)) for path, one in zip(paths, artifacts, strict=True)]
    _check_free([one for one in found if not one.there], force)
    return found


def _numbered(artifacts: Sequence[Artifact]) -> Iterator[str]:
    """Names of their own: ``weights.pt``, and of several ``weights.1.pt``, ``weights.2.pt`` …"""
    total: dict[str, int] = {}
    for one in artifacts:
        total[one.name] = total.get(one.name, 0) + 1
    counted: dict[str, int] = {}
    for one in artifacts:
        at = counted[one.name] = counted.get(one.name, 0) + 1
        stem, suffix = os.path.splitext(one.name)
        yield one.name if total[one.name] == 1 else f"{stem}.{at}{suffix}"


def _inside(root: str, name: str, one: Artifact) -> str:
    """The path below ``root`` that a name asks for."""
    relative = relative_path(name) or f"artifact-{one.sha256[:12]}"
    path = relative if root == "." else os.path.join(root, relative)
    home = os.path.realpath(root)
    if os.path.commonpath([home, os.path.realpath(path)]) != home:
        raise KleioError(f"{path} is, by a link, outside of {root}; say with -o PATH where {one.name!r} is to go")
    return path


def relative_path(name: str) -> str:
    """A name as a path that leads nowhere up, and that every file system takes; empty where nothing is left of it."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/".join(_short("".join(c if c.isprintable() else "_" for c in part)) for part in parts)


def _short(part: str) -> str:
    """A part of a path that is not too long, its suffix kept."""
    raw = os.fsencode(part.encode("utf-8", "replace").decode())
    if len(raw) <= wholefile.NAME_MAX:
        return os.fsdecode(raw)
    suffix = os.fsencode(os.path.splitext(part)[1])[-32:]
    return (raw[: wholefile.NAME_MAX - len(suffix)]).decode("utf-8", "ignore") + suffix.decode("utf-8", "ignore")


def _check_apart(paths: Sequence[str], artifacts: Sequence[Artifact]) -> None:
    taken: dict[str, Artifact] = {}
    for path, one in zip(paths, artifacts, strict=True):
        other = taken.setdefault(os.path.realpath(path), one)
        if other is not one:
            raise UsageError(f"{other.name!r} and {one.name!r} would be one file, {path}; get one at a time, with -o")


def _is_there(path: str, one: Artifact) -> bool:
    try:
        return os.path.isfile(path) and os.path.getsize(path) == one.size and digest_of(path) == one.sha256
    except OSError:
        return False


def _check_free(fetches: Sequence[Fetch], force: bool) -> None:
    for one in fetches:
        if os.path.isdir(one.path):
            raise KleioError(f"{one.path} is a directory; say with -o PATH where {one.artifact.name!r} is to go")
    taken = [one.path for one in fetches if os.path.lexists(one.path)]
    if taken and not force:
        more = f" and {len(taken) - NAMED:,} more" if len(taken) > NAMED else ""
        files = f"{', '.join(taken[:NAMED])}{more} {'are' if len(taken) > 1 else 'is'} there with other content"
        raise KleioError(f"{files}; write elsewhere with -o PATH, or replace with --force")


def _made(directory: str) -> list[str]:
    """Make a directory and those above it; those that were not there, the outermost first."""
    missing: list[str] = []
    while directory and not os.path.isdir(directory):
        missing.insert(0, directory)
        directory = os.path.dirname(directory)
    for at, one in enumerate(missing):
        try:
            os.mkdir(one)
        except FileExistsError as error:
            if not os.path.isdir(one):
                raise KleioError(f"{one} is no directory, so nothing can be written below it; say with -o where to") from error
        except OSError as error:
            for made in reversed(missing[:at]):
                _left(made)
            raise KleioError(f"{one} cannot be made: {error.strerror}") from None
    return missing


def _left(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        pass  # something is in it
