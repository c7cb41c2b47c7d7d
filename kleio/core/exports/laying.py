"""Directories of trials below one that may hold anything else: each put there whole, in the place of what kleio had put there.

A hidden file in it, the note, says whose it is and which files are kleio's. Whatever else is found in it stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager, suppress

from kleio.core.errors import KleioError
from kleio.core.lookup import SHORT
from kleio.core.wholefile import FULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

NOTE = ".kleio.json"
MAKING, OLD = ".kleio-making-", ".old"


@contextmanager
def ready(place: str) -> Iterator[str]:
    """The directory ``place``, made if it is not there, writable, and without what an export left that was killed.

    One that was made and has nothing in it in the end is taken away.
    """
    top = os.path.abspath(place)
    new = not os.path.lexists(top)
    if os.path.lexists(top) and not os.path.isdir(top):
        raise KleioError(f"{place} is no directory; give one to write to")
    try:
        os.makedirs(top, exist_ok=True)
    except OSError as error:
        raise KleioError(f"{place} cannot be made: {error.strerror}") from None
    if not os.access(top, os.W_OK | os.X_OK):
        raise KleioError(f"{place} cannot be written: Permission denied")
    for name in os.listdir(top):
        if name.startswith(MAKING):
            _clear(top, name)
    try:
        yield top
    finally:
        if new:
            with suppress(OSError):
                os.rmdir(top)


def _clear(top: str, name: str) -> None:
    """Take away what nobody works on any more; what was just to be replaced goes back."""
    path = os.path.join(top, name)
    held = _held(path)
    if held is None:
        return
    with suppress(OSError):
        if name.endswith(OLD) and not os.path.lexists(before := os.path.join(top, str(_note(path).get("name")))):
            os.rename(path, before)
        else:
            shutil.rmtree(path)
    os.close(held)


def _held(path: str) -> int | None:
    """A descriptor that keeps others from a directory; None if another has it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        pass  # a file system without locks
    return fd


@contextmanager
def laid(top: str, title: str, trial: str) -> Iterator[tuple[str, str]]:
    """(an empty directory to write to, the path at which it will be), put there when the block has ended, else taken away."""
    name = _name(top, title, trial)
    path, making = os.path.join(top, name), os.path.join(top, f"{MAKING}{os.urandom(8).hex()}")
    os.mkdir(making)
    held = _held(making)
    try:
        yield making, path
        files = sorted(_files(making))
        with open(os.path.join(making, NOTE), "w", encoding="utf-8") as file:
            json.dump({"trial": trial, "name": name, "files": files}, file)
        if os.path.isdir(path):
            _bring_others(path, making, files)
            os.rename(path, f"{making}{OLD}")
        os.rename(making, path)
        shutil.rmtree(f"{making}{OLD}", ignore_errors=True)
    except BaseException as error:
        if not os.path.lexists(path) and os.path.lexists(f"{making}{OLD}"):
            os.rename(f"{making}{OLD}", path)
        shutil.rmtree(making, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in FULL:
            raise KleioError(f"{path} cannot be written: {error.strerror}") from None
        raise
    finally:
        if held is not None:
            os.close(held)


def _name(top: str, title: str, trial: str) -> str:
    """Where the trial is already, else the first name that is free."""
    names = list(dict.fromkeys([title, f"{title}-{trial[:SHORT]}", f"{title}-{trial}"]))
    own = [name for name in names if _note(os.path.join(top, name)).get("trial") == trial]
    free = [name for name in names if not os.path.lexists(os.path.join(top, name))]
    if not own and not free:
        raise KleioError(f"{os.path.join(top, names[-1])} is there already, and not kleio's")
    return [*own, *free][0]


def _note(path: str) -> dict[str, Any]:
    try:
        with open(os.path.join(path, NOTE), "rb") as file:
            note = json.loads(file.read(1 << 26))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _files(directory: str) -> Iterator[str]:
    for above, _, names in os.walk(directory):
        yield from (os.path.relpath(os.path.join(above, name), directory) for name in names)


def _bring_others(path: str, making: str, new: Sequence[str]) -> None:
    """The files that are not kleio's, into the directory that takes the place of theirs."""
    mine = {NOTE, *map(str, _note(path).get("files") or ())}
    for name in _files(path):
        if name in mine:
            continue
        to = os.path.join(making, f"{name}~" if name in new else name)
        try:
            os.makedirs(os.path.dirname(to), exist_ok=True)
            os.link(os.path.join(path, name), to, follow_symlinks=False)
        except OSError:
            shutil.copy2(os.path.join(path, name), to, follow_symlinks=False)
