"""What makes two runs the same work, and what names a trial.

Both are digests of a canonical form: ASCII JSON with sorted keys and no spaces, SHA-256, the first 32 hex digits. The
golden vectors in the tests pin them: changing one makes every earlier trial unfindable.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass

from kleio.core import commandline, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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


def work(
    argv: Sequence[str], *, project: str, root: str, cwd: str, volatile: Sequence[str], variables: Mapping[str, str]
) -> Work:
    """The work that ``argv`` means in the directory ``cwd`` of the project at ``root``."""
    safe = commandline.without(redact.command(argv), volatile)
    configs = {relative(word, root, cwd): _file_digest(path) for word, path in commandline.config_files(argv, cwd)}
    return Work(
        project=project,
        cwd=os.path.relpath(cwd, root),
        argv=tuple(relative(word, root, cwd) for word in safe),
        configs={redact.text(name): content for name, content in configs.items()},
        variables=redact.variables(variables),
    )


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


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


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
