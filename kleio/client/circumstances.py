"""``info.txt`` and ``packages.txt``: under which circumstances the files beside them were made. Secrets are taken out."""

from __future__ import annotations

import os
import sys
import time

from kleio.core.errors import in_words
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

INFO, PACKAGES = "info.txt", "packages.txt"
LARGEST_PATCH = 256 << 10
"""Bytes of uncommitted changes that are written out."""
MOST_NAMES = 50
PATIENCE = 3.0
"""Seconds that git may take, for each second of patience."""


def furnish(directory: str, refuse: Callable[[Exception, str], None]) -> None:
    """Write both files into a new directory. ``refuse`` is told what could not be found out."""
    for name, text in ((INFO, _info), (PACKAGES, _packages)):
        try:
            content = text()
            with open(os.path.join(directory, name), "x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(content)
        except Exception as error:  # noqa: BLE001 - the files are worth less than the script
            refuse(error, f"{name} could not be written")


def resumed(directory: str) -> None:
    """Note in ``info.txt`` that another execution of the trial goes on with its files."""
    with open(os.path.join(directory, INFO), "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write("\n" + "".join(_lines([("resumed", _date()), *_machine(), *_code(_launch())])))


def command() -> str:
    """What was run, as a shell would take it."""
    import shlex

    from kleio.core import redact

    words: Sequence[str] = _launch().get("trial", {}).get("command") or redact.command(sys.orig_argv)
    return shlex.join(words)


def _launch() -> dict[str, Any]:
    """What the launcher noted of the run; nothing without it."""
    spool = os.environ.get("KLEIO_SPOOL")
    return (Spool(spool).read("launch") if spool else None) or {}


def _info() -> str:
    launch = _launch()
    trial = launch.get("trial", {})
    facts = [("command", command()), ("trial", os.environ.get("KLEIO_TRIAL_ID")), ("date", _date()), *_machine()]
    facts += [("python", f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})"), *_code(launch)]
    params = [(f"  {name}", value) for name, value in trial.get("params", {}).items()]
    parts = [*_lines(facts), *(["\nparameters\n", *_lines(params)] if params else ())]
    try:
        here = _here()
        parts += _uncommitted(here) if here else ()
    except Exception as error:  # noqa: BLE001 - a script may, say, take the end of git for that of a process of its own
        parts.append(f"\nuncommitted changes are not known: {in_words(error)}\n")
    return "".join(parts)


def _lines(facts: Sequence[tuple[str, Any]]) -> Iterator[str]:
    """A line for each that is known."""
    for name, value in facts:
        if value not in (None, ""):
            yield f"{name:<12}" + " ".join(f" {value}".splitlines()) + "\n"


def _date() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")


def _machine() -> list[tuple[str, Any]]:
    from kleio.core.config import user_name

    return [("host", os.uname().nodename), ("user", user_name()), ("directory", _here())]


def _here() -> str | None:
    """The working directory; None when it has been deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _code(launch: dict[str, Any]) -> list[tuple[str, Any]]:
    """The commit and its branch: as the launcher found them, else as they are here."""
    document = launch.get("documents", {}).get(launch.get("execution", {}).get("code"))
    if document is None:
        from kleio.core import gitfiles
        from kleio.core.repository import root_around

        here = _here()
        root = root_around(here) if here else None
        commit, branch = gitfiles.head(root) if root else (None, None)
        document = {"commit": commit, "branch": branch}
    return [("commit", document.get("commit")), ("branch", document.get("branch"))]


def _packages() -> str:
    from kleio.core.environment import packages  # 20 ms, once in a run that has such a directory

    found = packages([one for one in sys.path if isinstance(one, str)])
    return "".join(f"{name}=={version}\n" for name, version in found.items())


# -- uncommitted changes ---------------------------------------------------------------------------------------------


def _uncommitted(here: str) -> Iterator[str]:
    """What of the work tree differs from its commit, as a patch, and which files git does not know."""
    from kleio.core.config import patience
    from kleio.core.repository import Repository

    repository = Repository.around(here)
    if repository is None:
        return
    how = ("--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")
    diff, names = repository.start("diff", "HEAD", *how), repository.start("ls-files", "--others", "--exclude-standard", "-z")
    seconds = PATIENCE * patience()
    patch, ended = diff.printed(seconds)
    others = [os.fsdecode(name) for name in (names.wait(seconds) or b"").split(b"\0") if name]
    if others:
        more = f"  and {len(others) - MOST_NAMES:,} more\n" if len(others) > MOST_NAMES else ""
        yield "\nfiles that git does not know\n" + "".join(f"  {name}\n" for name in others[:MOST_NAMES]) + more
    if patch or ended is None:
        yield "\nuncommitted changes\n\n"
        yield from _without_secrets(patch[:LARGEST_PATCH].decode(errors="replace"))
        if ended is None or len(patch) > LARGEST_PATCH:
            yield "\n(cut off here)\n"


def _without_secrets(patch: str) -> Iterator[str]:
    """A patch, file by file; of one that holds a secret only the name is left."""
    from kleio.core import redact

    parts = patch.split("\ndiff --git ")
    for part in [parts[0].removeprefix("diff --git "), *parts[1:]]:
        name = part.partition("\n")[0].partition(" b/")[2]
        lines = "\n".join(line[1:] for line in part.split("\n") if line[:1] in ("+", "-", " "))
        why = "its name says that it is secret" if redact.is_secret_file(os.path.basename(name)) else None
        found = None if why else redact.secret_in(name, lines.encode(errors="replace"))
        why = f"it holds {found}" if found else why
        if why:
            yield f"diff --git a/{name} b/{name}\n(left out: {why})\n"
        elif part:
            yield f"diff --git {redact.text(part)}".rstrip("\n") + "\n"
