"""Git repositories for tests: built quickly, and looked at byte by byte."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from kleio.core import code
from kleio.core.config import Config
from kleio.core.identity import digest
from kleio.core.repository import Repository

OWN = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_TEMPLATE_DIR": "", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "file", "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}  # fmt: skip


def _environment():
    """Not a repository of whoever runs the tests, from a hook of git perhaps."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | OWN


def git(directory, *words, check=True, input=None, **more):
    """What git prints, as bytes."""
    done = subprocess.run(
        ["git", "-C", os.fspath(directory), *words], capture_output=True, input=input, env=_environment() | more
    )
    assert not check or done.returncode == 0, (words, done.stderr)
    return done.stdout


def commands(directory, text):
    """Several commands of the shell in one process; none of them need succeed."""
    subprocess.run(["sh", "-c", text], cwd=directory, env=_environment(), capture_output=True)


def repository(directory, files=None, **how):
    """A repository with one commit of these files: name → text or bytes."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in (files or {"train.py": "print(1)\n"}).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    commands(directory, "git init -q -b main && git add -A && git commit -qm first")
    return directory


def captured(directory, scratch, argv=("python", "train.py"), cwd=None, **settings):
    """The code as a launch in ``directory`` captures it."""
    config = Config({"project": "p"} | settings, cwd=os.fspath(cwd or directory))
    return code.capture(config, argv, Repository.asked(config.cwd, config["patience"]), os.fspath(scratch))


def put(journal, version):
    """Store it as a launch does; its document as it comes back."""
    for name, path in version.blobs.items():
        journal.put_blob(name, path)
    key = digest(dict(version.document))
    journal.put_document(key, version.document)
    return journal.document(key)


def tree(directory, without=b".git"):
    """Every file below: path → (kind, whether executable, content or target)."""
    found, waiting = {}, [os.fsencode(directory)]
    while waiting:
        for one in os.scandir(waiting.pop()):
            if one.name == without:
                continue
            status = one.stat(follow_symlinks=False)
            name = os.path.relpath(one.path, os.fsencode(directory))
            if stat.S_ISLNK(status.st_mode):
                found[name] = ("link", False, os.readlink(one.path))
            elif stat.S_ISDIR(status.st_mode):
                waiting.append(one.path)
            else:
                with open(one.path, "rb") as file:
                    found[name] = ("file", bool(status.st_mode & 0o100), file.read())
    return found


def ignored(directory):
    """The files that git ignores, in submodules as well."""
    found = set()
    for place, inner, files in os.walk(os.fsencode(directory)):
        if b".git" in inner or b".git" in files:
            names = git(os.fsdecode(place), "ls-files", "-o", "-i", "--exclude-standard", "-z").split(b"\0")
            found |= {os.path.relpath(os.path.join(place, name), os.fsencode(directory)) for name in names if name}
        inner[:] = [one for one in inner if one != b".git"]
    return found


def kept(directory):
    """What capturing keeps of it."""
    leave = ignored(directory)
    return {name: one for name, one in tree(directory).items() if name not in leave}


def gits(directory):
    """Every byte that git keeps for it: index, refs, HEAD, stash, objects, configuration; and what it says of its status."""
    found = {}
    for place, inner, _ in os.walk(os.fsencode(directory)):
        for name in [one for one in inner if one == b".git"]:
            found |= {os.path.join(place, name, path): one for path, one in tree(os.path.join(place, name), b"").items()}
        inner[:] = [one for one in inner if one != b".git"]
    how = {"GIT_OPTIONAL_LOCKS": "0"}
    return found, git(directory, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", check=False, **how)
