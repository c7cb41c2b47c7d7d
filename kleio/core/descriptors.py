"""File descriptors of ours where they are in nobody's way: what programs use are the lowest numbers, above all 0, 1 and 2.

A daemon closes these, and what is opened next gets their numbers: what it prints then would end in a file of ours.
"""

from __future__ import annotations

import os

STANDARD = (0, 1, 2)
_FAR = (200, 60, 20, 3)
"""The lowest number to be had, as far as the limit of open files allows."""
_MOST_RETIRED = 8
_retired: list[int] = []


def clear(fd: int) -> int:
    """``fd``, not inherited, or what it has become where it had one of the standard numbers."""
    if fd not in STANDARD:
        return fd
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(STANDARD))
    finally:
        os.close(fd)


def far(fd: int, inherited: bool = False) -> int:
    """A copy of ``fd`` with a number that programs do not use. Raises OSError when no more files can be open."""
    import fcntl

    command = fcntl.F_DUPFD if inherited else fcntl.F_DUPFD_CLOEXEC
    for lowest in _FAR[:-1]:
        try:
            return fcntl.fcntl(fd, command, lowest)
        except OSError:
            continue
    return fcntl.fcntl(fd, command, _FAR[-1])


def retire(fd: int) -> None:
    """Close it, but not at once: another thread may be about to write, to a number that would be some other file's by then."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # too many files are open
        os.close(fd)
        return
    os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)
    _retired.append(fd)
    if len(_retired) > _MOST_RETIRED:
        os.close(_retired.pop(0))


def opener(path: str, flags: int) -> int:
    """For ``open``: a file that stays open while the script goes on."""
    return clear(os.open(path, flags | os.O_CLOEXEC, 0o666))
