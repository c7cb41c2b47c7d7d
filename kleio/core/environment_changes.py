"""Two environments compared: what counts as a change, and what could not be compared. Pure; documents in, words out."""

from __future__ import annotations

import fnmatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    Document = Mapping[str, Any]
    Change = tuple[str, str, str]

UNSET = "unset"
_OF_A_JOB = ("SLURM_*", "PBS_*", "SGE_*", "LSB_*", "HOSTNAME")
"""Variables that differ from job to job: ``compare = variables`` leaves them out, unless they are named as well."""


def wanted(variables: Sequence[str], compare: Sequence[str]) -> list[str]:
    """The patterns of the variables to record: those that are to be compared have to be."""
    return list(dict.fromkeys([*variables, *(name for name in compare if name not in _PARTS and name != "variables")]))


def changes(before: Document | None, now: Document, own: Sequence[str] = (), compare: Sequence[str] = ()) -> list[Change]:
    """What counts and differs, as (what, before, now): the interpreter's version, packages gone or of another version.

    An added package does not count, nor do the project's ``own``; what is unknown compares equal. ``compare`` names what
    else counts: os, hardware, gpu, host, user, container, variables, or variables by name or pattern.
    """
    if before is None:
        return []
    found = [*_interpreters(before, now), *_packages(before, now, own)]
    for what in compare:
        if what in _PARTS:
            old, new = _PARTS[what](before), _PARTS[what](now)
            found += [(what, old, new)] if old and new and old != new else []
        else:
            found += _variables(before, now, what)
    return list(dict.fromkeys(found))


def unknown(before: Document | None, now: Document) -> str | None:
    """What of the environment could not be compared, in words; None where all was."""
    if before is None:
        return "the environment that it ran with is not recorded, so it is not compared"
    old, new = (bool((side.get("python") or {}).get("version")) for side in (before, now))
    if not old:
        return "the Python that it ran with is not known, so neither its version nor packages are compared"
    if not new:
        return "the Python that is here is not known, so neither its version nor packages are compared"
    if before.get("packages") and not now.get("packages"):
        return "the packages that are here cannot be listed, so they are not compared"
    return None


def _interpreters(before: Document, now: Document) -> Iterator[Change]:
    old, new = ((side.get("python") or {}).get("version") for side in (before, now))
    if old and new and old != new:
        yield "python", old, new


def _packages(before: Document, now: Document, own: Sequence[str]) -> Iterator[Change]:
    """Those of pip, then what conda alone installed."""
    seen = set(own)
    for kind in ("packages", "conda"):
        old, new = before.get(kind) or {}, now.get(kind) or {}
        for name, version in old.items():
            if new and name not in seen and new.get(name) != version:
                yield name, version, new.get(name) or "gone"
            seen.add(name)


def _variables(before: Document, now: Document, what: str) -> Iterator[Change]:
    """``what`` is a name, a pattern, or "variables" for all. One that was not looked for then is unknown."""
    old, new = before.get("variables"), now.get("variables")
    if old is None or new is None:
        return
    for name in sorted({*old, *new}):
        meant = fnmatch.fnmatchcase(name, what) or (what == "variables" and not _any(name, _OF_A_JOB))
        known = all(name in side["variables"] or _any(name, side.get("patterns", ())) for side in (before, now))
        if meant and known and old.get(name) != new.get(name):
            yield name, old.get(name, UNSET), new.get(name, UNSET)


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


# -- the parts that may be compared, in words: "" where they are not known -----------------------------------------


def _os(side: Document) -> str:
    system = side.get("system") or {}
    return ", ".join(str(system[name]) for name in ("name", "kernel", "machine") if system.get(name))


def _hardware(side: Document) -> str:
    cores, memory = side.get("cores"), side.get("memory")
    size = f"{memory / (1 << 30):.0f} GiB" if memory else ""
    return ", ".join(one for one in (side.get("cpu") or "", f"{cores} cores" if cores else "", size) if one)


def _gpu(side: Document) -> str:
    """How many of which, and the driver; which of several equal ones a scheduler gave does not matter."""
    if "gpus" not in side:
        return ""
    names = [f"{one.get('name')} (driver {one.get('driver')})" for one in side["gpus"]]
    return ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names))) or "none"


def _container(side: Document) -> str:
    """The image where it is known, else the kind. No container is a thing to differ from; a document without a word is not."""
    if "container" not in side:
        return ""
    found = side["container"]
    return str(found.get("image") or found["kind"]) if found else "none"


_PARTS: Mapping[str, Callable[[Document], str]] = {
    "os": _os,
    "hardware": _hardware,
    "gpu": _gpu,
    "host": lambda side: side.get("host") or "",
    "user": lambda side: side.get("user") or "",
    "container": _container,
}


def brief(side: Document) -> list[tuple[str, str]]:
    """The operating system, GPUs and container, in words, as far as they are known."""
    return [(name, _PARTS[name](side)) for name in ("os", "gpu", "container") if _PARTS[name](side)]
