"""The directory that a trial's files go to: ``results/NAME`` of the project, and whose it is.

Whoever needs it first makes it, whole: prepared under another name and renamed into place, so that of any number of
processes one succeeds and the others find out whose it is. A hidden file in it, the note, says that.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

RESULTS = "results"
NOTE = ".kleio"
IGNORE = ".gitignore"
OWN = (NOTE, IGNORE)
"""What is no file of the user's."""
_UNSEEN = "# Made by kleio: results are no code. Remove this file and git sees what is here.\n*\n"
LONGEST = 120
"""Bytes of a directory's name that somebody typed."""
_TRIES = 100
"""Races to lose before giving up: each means that another process made a directory."""


def fitting(name: str) -> str:
    """A directory's name made of what somebody typed; empty where nothing is left of it."""
    plain = "".join("-" if one == "/" or not one.isprintable() else one for one in name).strip()
    return plain.encode()[:LONGEST].decode(errors="ignore").lstrip("-. ").rstrip()


def owner(path: str) -> str | None:
    """Whose the directory is: the id in its note, empty where something without a note is there, None where nothing is."""
    try:
        fd = os.open(os.path.join(path, NOTE), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return "" if _is_taken(path) else None
    except OSError:  # nothing can be there that is ours, or made
        return ""
    try:
        lines = os.read(fd, 200).decode(errors="replace").split("\n")
    except OSError:
        return ""
    finally:
        os.close(fd)
    kind, _, identity = lines[0].partition(" ")
    return identity if kind in ("trial", "run") else ""


def _is_taken(path: str) -> bool:
    """Whether anything is there besides an empty directory."""
    try:
        with os.scandir(path) as listing:
            return next(listing, None) is not None
    except FileNotFoundError:
        return os.path.lexists(path)  # a link that leads nowhere
    except OSError:
        return True


def resolve(root: str, name: str, trial: str, before: str | None = None, taken: Container[str] = ()) -> str:
    """Where the files of a trial go, relative to ``root`` where it lies inside: what it had ``before``, else the first of
    ``results/NAME``, ``results/NAME-1`` … that is its own or nobody's, and not ``taken``. Nothing is made.
    """
    if before and owner(os.path.join(root, before)) in ((trial,) if os.path.isabs(before) else (trial, "", None)):
        return before
    path = os.path.join(RESULTS, name)
    if path not in taken and owner(os.path.join(root, path)) in (trial, None):
        return path
    if before and (number := _own(_numbers(os.path.join(root, before)), trial)):  # it was not told which one it got
        return os.path.relpath(number, root)
    untaken = (one for one in _further(path, _numbers(os.path.join(root, path))) if one not in taken)
    for one, _ in zip(untaken, range(9), strict=False):
        if owner(os.path.join(root, one)) in (trial, None):
            return one
    return path  # there is nothing to be made here; who tries will say why


def _numbers(path: str) -> list[str]:
    """Those of ``path-1`` and so on that are there, the last one first."""
    directory, name = os.path.split(path)
    try:
        names = [one for one in os.listdir(directory) if _number(one, name)]
    except OSError:
        return []
    return [os.path.join(directory, one) for one in sorted(names, key=lambda one: -_number(one, name))]


def _number(one: str, name: str) -> int:
    """The N of ``name-N``, 0 where that is not what it is called."""
    digits = one[len(name) + 1 :] if one.startswith(f"{name}-") else ""
    return int(digits[:9]) if digits.isdecimal() and digits.isascii() else 0


def _further(path: str, there: Sequence[str]) -> Iterator[str]:
    """``path-1`` and so on, beginning behind the last that is ``there``: of a thousand runs of one name none looks at all."""
    number = _number(os.path.basename(there[0]), os.path.basename(path)) if there else 0
    while True:
        number += 1
        yield f"{path}-{number}"


def claim(path: str, owner_id: str, kind: str, furnish: Callable[[str], None], adopt: bool = False) -> str:
    """Make the directory ``path`` for the trial or run ``owner_id``, or take the next number where it is another's.

    ``furnish`` fills a directory that is made. ``adopt``: what is there without a note is ours as well. Raises OSError.
    """
    if owner(path) == owner_id:
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    prepared = ""
    try:
        for candidate in _candidates(path, owner_id, adopt):
            if owner(candidate) == owner_id:
                return candidate
            if not prepared:
                prepared = _prepare(path, owner_id, kind, furnish)
            if _put(prepared, candidate, owner_id, adopt and candidate == path):
                return candidate
    finally:
        if prepared:
            import shutil

            shutil.rmtree(prepared, ignore_errors=True)  # nothing is there under this name once it was put into place
    raise OSError(0, "no name is free", path)


def _candidates(path: str, owner_id: str, adopt: bool) -> Iterator[str]:
    """Again and again the one that looks free or ours, as long as others are quicker."""
    for _ in range(_TRIES):
        here = owner(path)
        if here in (owner_id, None) or (adopt and here == ""):
            yield path
            continue
        there = _numbers(path)  # looked at once: what another process of ours makes meanwhile is in neither answer, or in both
        yield _own(there, owner_id) or next(_further(path, there))


def _own(there: Sequence[str], owner_id: str) -> str | None:
    """The one that is ours, nearly always the newest: another process of the same trial may have made it."""
    return next((one for one in there if owner(one) == owner_id), None)


def _prepare(path: str, owner_id: str, kind: str, furnish: Callable[[str], None]) -> str:
    """A directory beside ``path`` with all in it that it shall have from its first moment."""
    directory, name = os.path.split(path)
    prepared = os.path.join(directory, f".{name[:40]}-{os.urandom(8).hex()}.tmp")
    os.mkdir(prepared)
    for own, text in ((NOTE, f"{kind} {owner_id}\n"), (IGNORE, _UNSEEN)):
        with open(os.path.join(prepared, own), "x", encoding="utf-8") as file:
            file.write(text)
    furnish(prepared)
    return prepared


def _put(prepared: str, path: str, owner_id: str, adopt: bool) -> bool:
    """Move it into place; False where another was quicker. What is there already and adopted gets what it lacks."""
    try:
        os.rename(prepared, path)
    except (FileExistsError, NotADirectoryError):
        pass
    except OSError as error:
        import errno

        if error.errno != errno.ENOTEMPTY:
            raise
    else:
        return True
    if not adopt or not stat.S_ISDIR(os.stat(path).st_mode):
        return False
    # The note first: who links it there owns the directory.
    for name in sorted(os.listdir(prepared), key=lambda one: one != NOTE):
        if name == IGNORE:  # it may hold what git is to see
            continue
        try:
            os.link(os.path.join(prepared, name), os.path.join(path, name))
        except FileExistsError:
            if name == NOTE:
                return owner(path) == owner_id
    return True


def sign(path: str, trial: str) -> None:
    """Say in a directory that somebody made by hand whose it is."""
    for name, text in ((IGNORE, _UNSEEN), (NOTE, f"trial {trial}\n")):
        try:
            with open(os.path.join(path, name), "x", encoding="utf-8") as file:
                file.write(text)
        except OSError:  # it is there, or cannot be written: what is in it can be kept all the same
            continue


def note_execution(path: str, execution: str) -> bool:
    """Note that an execution uses the directory. True for the first process of the second execution and of later ones."""
    import fcntl

    with open(os.path.join(path, NOTE), "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a filesystem without locks: two processes of one execution may both be the first
            pass
        told = [line for line in file.read(1 << 20).split("\n") if line.startswith("execution ")]
        if f"execution {execution}" in told:
            return False
        file.seek(0, os.SEEK_END)
        file.write(f"execution {execution}\n")
        return bool(told)
