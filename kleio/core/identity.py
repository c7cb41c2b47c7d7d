"""What makes two runs the same work, and what names a trial.

Both are digests of a canonical form: ASCII JSON with sorted keys and no spaces, SHA-256, the first 32 hex digits. The
golden vectors in the tests pin them: changing one makes every earlier trial unfindable.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, replace

from kleio.core import commandline, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from typing import Any

VERSION = 1


@dataclass(frozen=True, slots=True)
class Work:
    """What identifies a piece of work. ``argv`` is redacted, canonical and without volatile arguments."""

    project: str
    cwd: str
    argv: tuple[str, ...]
    configs: Mapping[str, str]
    variables: Mapping[str, str]

    @property
    def key(self) -> str:
        """The ``work_key``: 32 hex digits."""
        return digest(
            {
                "version": VERSION, "project": self.project, "cwd": self.cwd, "argv": list(self.argv),
                "configs": dict(self.configs), "variables": dict(self.variables),
            }
        )  # fmt: skip

    @property
    def bare(self) -> str:
        """The key with no file's content in it: the same however the files that the command names change."""
        return replace(self, configs={}).key

    def without(self, outputs: Container[str]) -> Work:
        """The same work, where the files that the words ``outputs`` name do not count: it writes them itself."""
        return replace(self, configs={word: content for word, content in self.configs.items() if word not in outputs})


def work(
    argv: Sequence[str],
    *,
    project: str,
    root: str,
    cwd: str,
    volatile: Sequence[str],
    variables: Mapping[str, str],
    outputs: Container[str] = (),
) -> Work:
    """The work that ``argv`` means in the directory ``cwd`` of the project at ``root``.

    ``outputs`` are words of ``configs`` whose files the work writes itself, see :func:`recorded_as`.
    """
    safe = commandline.without(redact.command(argv), volatile)
    configs = {}
    for word, path in commandline.config_files(argv, cwd):
        name = redact.text(relative(word, root, cwd))
        if name not in outputs and (content := _file_digest(path)):
            configs[name] = content
    return Work(
        project=project,
        cwd=os.path.relpath(cwd, root),
        argv=tuple(relative(word, root, cwd) for word in safe),
        configs=configs,
        variables=redact.variables(variables),
    )


# -- files that a command names and writes -------------------------------------------------------------------------
# ``make.py out.csv`` finds out.csv on its second run, with a content that the first one wrote: by that it would be other
# work. So the journal notes which named files were seen to be written, under digests that no content has a part in.


def named(argv: Sequence[str], *, root: str, cwd: str) -> dict[str, str]:
    """Word, as ``configs`` has it, → path of whatever may be a file named on the command line, be it there yet or not."""
    return {redact.text(relative(word, root, cwd)): path for word, path in commandline.named_files(argv, cwd)}


def state(path: str) -> tuple[int, int, int] | None:
    """What tells whether a file was written since: size, time, inode; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def output_key(bare: str, word: str) -> str:
    """The digest under which a journal notes that the work with this :attr:`Work.bare` writes the file that ``word`` names."""
    return digest({"version": VERSION, "work": bare, "output": word})


def _moved_key(reduced: str) -> str:
    """The digest under which a journal notes the key of work whose outputs counted when it first ran."""
    return digest({"version": VERSION, "recorded": reduced})


def notes(here: Work, key: str, written: Container[str], words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What to put into the journal, as documents, after a run of ``here``, recorded under ``key``, that wrote some of the
    files it names. ``words`` are all that may name files (:func:`named`), ``written`` those whose files the run wrote, or
    is known to write (:func:`outputs_of`).
    """
    found: dict[str, dict[str, Any]] = {output_key(here.bare, word): {"output": word} for word in words if word in written}
    reduced = here.without(written).key
    if found and reduced != key:
        found[_moved_key(reduced)] = {"work_key": key}
    return found


def outputs_of(here: Work, document: Callable[[str], Mapping[str, Any] | None]) -> set[str]:
    """The words of ``here.configs`` whose files earlier runs wrote. ``document`` looks a digest up in the journal."""
    if not here.configs:
        return set()
    bare = here.bare
    return {word for word in here.configs if document(output_key(bare, word))}


def recorded_as(
    here: Work, outputs: Container[str], document: Callable[[str], Mapping[str, Any] | None], words: Iterable[str] = ()
) -> str:
    """The ``work_key`` under which earlier runs of ``here`` are recorded, given its :func:`outputs_of`.

    ``words`` are all that may name files: an output that is gone again has to be looked up as well.
    """
    reduced = here.without(outputs)
    gone = any(word not in here.configs and ("/" in word or "." in word) for word in words)
    if not gone and len(reduced.configs) == len(here.configs):
        return here.key
    moved = document(_moved_key(reduced.key))
    return str(moved["work_key"]) if moved else reduced.key


def outputs_among(named: Mapping[str, str], written: Mapping[str, str]) -> set[str]:
    """The words whose files a run wrote. ``written`` is path → "created" or "changed".

    A config file that changed while the run went on was more likely edited, for the next one; only JSON also keeps state.
    """
    edited = tuple(ending for ending in commandline.CONFIG_TYPES if ending != ".json")
    seen = {word: written[path] for word, path in named.items() if path in written}
    return {word for word, how in seen.items() if how == "created" or not named[word].endswith(edited)}


def relative(word: str, root: str, cwd: str) -> str:
    """``word`` with an absolute path inside the project written as from the working directory."""
    head, equals, path = word.partition("=") if "=/" in word else ("", "", word)
    if not path.startswith("/"):
        return word
    for top in dict.fromkeys((root, os.path.realpath(root))):
        if path == top or path.startswith(top.rstrip("/") + "/"):
            here = cwd if top == root else os.path.realpath(cwd)
            return head + equals + os.path.relpath(path, here)
    return word


def trial_id(
    work_key: str, fingerprint: str, parent: str | None = None, cut: Mapping[str, Any] | None = None, nonce: str | None = None
) -> str:
    """32 hex digits. ``nonce`` tells apart trials of the same work and code."""
    return digest(
        {"version": VERSION, "work": work_key, "code": fingerprint, "parent": parent, "cut": cut, "nonce": nonce}
    )


def digest(document: Mapping[str, Any]) -> str:
    """Of the canonical form of ``document``."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]


def commit_key(commit: str) -> str:
    """Under which a journal keeps what leads to a commit that no remote has."""
    return digest({"commit": commit})


def _file_digest(path: str) -> str | None:
    """None for a file that cannot be read after all."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


_SSH = re.compile(r"(?:[^@/\s]+@)?([A-Za-z0-9.-]+):(?!//)(.+)\Z")


def normalised_remote(url: str) -> str:
    """Host and path of a remote, however it is written: ``git@github.com:me/x.git`` is ``github.com/me/x``."""
    scheme, separator, rest = url.strip().partition("://")
    if separator and scheme != "file":
        authority, _, path = rest.partition("/")
        host = authority.rpartition("@")[2].partition(":")[0]
    elif not separator and (short := _SSH.match(url.strip())):
        host, path = short[1], short[2]
    else:
        host, path = "", os.path.normpath(rest if separator else url.strip())
    path = re.sub(r"(\.git)?/*\Z", "", path)
    return f"{host.lower()}/{path.lstrip('/')}" if host else path
