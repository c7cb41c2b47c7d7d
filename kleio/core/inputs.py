"""What a run may read that is no part of its code: what git ignores, or outside git what lies beside the code."""

from __future__ import annotations

import fnmatch
import os
import time

from kleio.core.repository import Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

NOT_INPUTS = ("__pycache__", "*.pyc", ".venv", "venv", "*_cache", "*.egg-info", ".git", "results")
"""Caches, environments and what runs write."""
PATIENCE = 5.0
"""Seconds for git, for each second of patience."""


def beside(root: str, document: Mapping[str, Any], patience: float = 1.0) -> list[str]:
    """Paths under ``root``, directories with a slash at their end, that the code of ``document`` does not hold. ``patience`` is
    the setting.
    """
    left_out = [one["path"] for one in document.get("left_out") or ()]
    git = document.get("kind") == "git"
    found = _ignored(root, patience) if git else _uncaptured(root, document.get("changes") or {})
    return list(dict.fromkeys([*left_out, *(path for path in found if not _passed_over(path))]))


def _ignored(root: str, patience: float) -> list[str]:
    repository = Repository.around(root, patience)
    words = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
    listed = repository.run(*words, timeout=PATIENCE * patience) if repository else None
    return [os.fsdecode(path) for path in (listed or b"").split(b"\0") if path]


def _uncaptured(root: str, captured: Iterable[str]) -> list[str]:
    """What is at the top, without what holds captured files."""
    known = {path.split("/")[0] for path in captured}
    try:
        listed = sorted(os.scandir(root), key=lambda one: one.name)
    except OSError:
        return []
    return [one.name + "/" * one.is_dir() for one in listed if one.name not in known]


def _passed_over(path: str) -> bool:
    return any(fnmatch.fnmatchcase(part, pattern) for part in path.rstrip("/").split("/") for pattern in NOT_INPUTS)


def changed(root: str, paths: Iterable[str], since: float, wrote: Iterable[str] = (), budget: float = 1.0) -> list[str]:
    """Of each of ``paths`` under ``root`` the first file found to be modified after ``since`` (seconds since the epoch).

    What the trial itself ``wrote`` is no input. Directories are walked for ``budget`` seconds together, and links in them are
    not followed.
    """
    deadline, own = time.monotonic() + budget, set(wrote)
    found: list[str] = []
    for path in paths:
        for file in _files(root, path.rstrip("/")):
            if time.monotonic() > deadline:
                return found
            if file not in own and _modified(os.path.join(root, file)) > since:
                found.append(file)
                break
    return found


def _files(root: str, path: str) -> Iterator[str]:
    """The file, or those in the directory."""
    full = os.path.join(root, path)
    if not os.path.isdir(full):
        yield path
    for directory, names, files in os.walk(full):
        names[:] = sorted(name for name in names if not _passed_over(name))
        yield from (os.path.relpath(os.path.join(directory, name), root) for name in sorted(files) if not _passed_over(name))


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
