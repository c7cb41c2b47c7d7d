"""Commits that the recorded remote does not have: what leads to them from one that it has is kept in the journal.

A git pack of the objects between the two. Where no commit near by is pushed or kept already, it is the files of the commit
alone, without its history. Gathered while the command runs, with one processor at most, by asking the user's repository.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from kleio.core import identity
from kleio.core.artifact import digest_of
from kleio.core.errors import JournalError
from kleio.core.leaving_out import MOST_SCANNED, why_secret
from kleio.core.repository import Patience, Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import IO, Any

    from kleio.core.cloning import Git
    from kleio.core.journal.base import Journal

FARTHEST = 200
"""Commits to go back for one that is pushed or kept."""
WORTH_TRYING = 3
"""How many times the limit the objects may take in the user's repository before packing them is not even tried."""
PATIENCE, IN_ALL = 8.0, 10.0
"""Seconds for searching and packing one commit, and for all, for each second of patience: whoever waits for the end of a short
command waits for this.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the journal is to keep: documents by key, the files of the blobs that they name, and what to say."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def key(commit: str) -> str:
    """Under which the journal keeps what leads to ``commit``."""
    return identity.commit_key(commit)


def gather(
    root: str, document: Mapping[str, Any], directory: str, known: Callable[[str], bool], limit: int, patience: float = 1.0
) -> Found:
    """What must be kept so that the commit of the code ``document``, and those of its submodules, can be had again.

    ``root`` is the work tree it was captured in, ``directory`` takes the files, ``known`` says whether the journal has a
    document with this key, ``limit`` is in bytes for each commit, ``patience`` is the setting. Raises OSError when
    ``directory`` cannot be written.
    """
    found, remarks = Found(), []
    shared, until = Patience(IN_ALL, patience), time.monotonic() + IN_ALL * patience
    for place, one in _all(root, document):
        commit = one.get("commit")
        if commit and one.get("kind") == "git" and key(commit) not in found.documents and not known(key(commit)):
            if time.monotonic() > until:
                remarks.append(_late(commit, place))
                continue
            asked = Repository(place, shared)
            kept = _kept(asked, commit, bool(one.get("remote")), directory, known, limit, found.blobs, until)
            if kept is None and time.monotonic() > until:
                remarks.append(_late(commit, place))
                continue
            if kept is None:
                remarks.append(f"commit {commit[:10]} of {place} could not be read; push it, or it may not come back")
                continue
            found.documents[key(commit)] = kept
            if not kept["pushed"] and kept["pack"] is None:
                remarks.append(
                    f"commit {commit[:10]} of {place} is not pushed, and what leads to it is too large to be kept, "
                    "or takes too long; push it"
                )
            remarks += [f"not kept with the code: {left['path']} ({left['why']})" for left in kept["left_out"]]
    return Found(found.documents, found.blobs, tuple(remarks))


def _late(commit: str, place: str) -> str:
    return f"there was no time to keep commit {commit[:10]} of {place}: the next run tries again; push it if you can"


def _all(root: str, document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield root, document
    for path, inner in (document.get("submodules") or {}).items():
        yield from _all(os.path.join(root, path), inner)


def _kept(
    repository: Repository, commit: str, remote: bool, directory: str, known: Callable[[str], bool], limit: int,
    blobs: dict[str, str], until: float,
) -> dict[str, Any] | None:  # fmt: skip
    """The document of one commit; None if git cannot tell, or not ``until`` then, by the monotonic clock."""
    line = _commits(repository, commit)
    if line is None:
        return None
    # What is on a branch of another remote than the recorded one does not help whoever clones that.
    ours = _commits(repository, commit, "--not", "--remotes=origin") if remote else line
    document: dict[str, Any] = {"commit": commit, "pushed": False, "base": None, "pack": None, "size": 0, "left_out": []}
    if ours is None:
        return None
    if not ours:
        return document | {"pushed": True}
    own = set(ours)
    base = next((one for one in line[1:] if one not in own or known(key(one))), None)
    between = (commit, "--not", base) if base else ("--no-walk", commit)
    return _packed(repository, document | {"base": base}, between, directory, limit, blobs, until)


def _commits(repository: Repository, commit: str, *without: str) -> list[str] | None:
    out = repository.run("rev-list", "--first-parent", f"--max-count={FARTHEST + 1}", commit, *without)
    return None if out is None else out.decode().split()


def _packed(
    repository: Repository, document: dict[str, Any], between: tuple[str, ...], directory: str, limit: int,
    blobs: dict[str, str], last: float,
) -> dict[str, Any] | None:  # fmt: skip
    with tempfile.TemporaryDirectory(dir=directory, prefix="history-") as place:
        listed = _run(repository, place, "rev-list", "--objects", "--missing=allow-any", *between)
        if listed is None:
            return None
        paths = {name: path for name, _, path in (line.partition(b" ") for line in listed.splitlines())}
        sizes = _sizes(repository, place, paths)
        if sizes is None:
            return None
        if sum(disk for _, _, disk in sizes.values()) > limit * WORTH_TRYING:
            return document
        enough = time.monotonic() + PATIENCE * repository.patience.factor
        until = min(enough, last)
        small = [name for name, (kind, size, _) in sizes.items() if kind == b"blob" and size <= MOST_SCANNED]
        secret = _secret(repository, place, small, paths, until)
        if secret is None:
            return _not_in_time(document, enough)
        left_out = [{"path": os.fsdecode(paths[name]), "why": why} for name, why in secret.items()]
        lines = (name + b" " + path for name, path in paths.items() if name in sizes and name not in secret)
        path = _written(repository, place, lines, until)
        if path is None:
            return _not_in_time(document, enough)
        size = os.stat(path).st_size
        if size > limit:
            return document | {"size": size}
        digest = digest_of(path)
        blobs[digest] = os.path.join(directory, digest)
        os.replace(path, blobs[digest])
    return document | {"pack": digest, "size": size, "left_out": left_out}


def _not_in_time(document: dict[str, Any], enough: float) -> dict[str, Any] | None:
    """What took as long as one commit may is remembered as it is, so that nobody waits for it again."""
    return document if time.monotonic() > enough else None


def _sizes(repository: Repository, place: str, names: Iterable[bytes]) -> dict[bytes, tuple[bytes, int, int]] | None:
    """Name → (kind, bytes, bytes in the repository) of the objects that are there."""
    how = "--batch-check=%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)"
    out = _run(repository, place, "cat-file", how, lines=names)
    if out is None:
        return None
    fields = (line.split(b" ") for line in out.splitlines())
    return {one[0]: (one[1], int(one[2]), int(one[3])) for one in fields if len(one) == 4}


def _secret(
    repository: Repository, place: str, names: list[bytes], paths: Mapping[bytes, bytes], until: float
) -> dict[bytes, str] | None:
    """The objects that hold a secret, and why; None if not all could be looked at by then."""
    words, environment = repository.command("cat-file", "--batch")
    found, seen = {}, 0
    with _file_of(place, names) as wanted, subprocess.Popen(
        words, env=environment, stdin=wanted, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        stop = threading.Timer(max(until - time.monotonic(), 0.0), _kill, [process])  # it may hang where it is read from
        stop.start()
        for name, content in _contents(process):
            why = why_secret(os.fsdecode(paths[name]), content)
            if why:
                found[name] = why
            seen += 1
            time.sleep(len(content) / 1e8)  # the command, whose output other threads of ours copy, comes first
        stop.cancel()
        _kill(process)
    return found if seen == len(names) else None


def _contents(process: subprocess.Popen[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """What ``cat-file --batch`` prints, object by object, as far as it is whole."""
    assert process.stdout is not None
    while len(head := process.stdout.readline().split()) == 3:
        content = process.stdout.read(int(head[2]) + 1)[:-1]
        if len(content) < int(head[2]):
            return
        yield head[0], content


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With what it started, which may hold what we read from open."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _written(repository: Repository, place: str, lines: Iterable[bytes], until: float) -> str | None:
    """The file of a pack of these objects; None if git cannot make it, or not by then."""
    path = os.path.join(place, "pack")
    words, environment = repository.command(
        "-c", "pack.threads=1", "-c", "pack.compression=1", "pack-objects", "--stdout", "--quiet", "--delta-base-offset"
    )
    with _file_of(place, lines) as wanted, open(path, "wb") as file:
        left = until - time.monotonic()
        try:
            done = subprocess.run(
                words, env=environment, stdin=wanted, stdout=file, stderr=subprocess.DEVNULL, check=True, timeout=max(left, 0.0)
            )
        except subprocess.SubprocessError:
            return None
    return path if done.returncode == 0 else None


def _run(repository: Repository, place: str, *words: str, lines: Iterable[bytes] = ()) -> bytes | None:
    """What git prints, given these lines; None if it fails, or there is no patience left."""
    with _file_of(place, lines) as file:
        return repository.run(*words, stdin=file.fileno())


def _file_of(place: str, lines: Iterable[bytes]) -> IO[bytes]:
    """By a file, not a pipe: git would wait for us to read while we write."""
    file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - closed by the caller
    file.writelines(line + b"\n" for line in lines)
    file.seek(0)
    return file


def unpack(journal: Journal, kept: Mapping[str, Any], directory: str, git: Git) -> None:
    """Put the objects of a kept history into the repository at ``directory``. Raises GitFailed, JournalError."""
    blob = journal.blob(str(kept["pack"]))
    if blob is None:
        raise JournalError(f"what leads to commit {kept['commit'][:10]} is not in the journal {journal.uri}")
    with blob, tempfile.TemporaryFile() as file:  # git reads descriptors; the blob may be on a server
        while piece := blob.read(1 << 20):
            file.write(piece)
        file.seek(0)
        git(directory, "index-pack", "--stdin", "--fsck-objects", stdin=file.fileno())
    if not kept.get("base"):
        with open(os.path.join(directory, ".git", "shallow"), "ab") as shallow:
            shallow.write(str(kept["commit"]).encode() + b"\n")
