"""A tree of recorded code to run in, with what git ignores (data, environments) linked in from the original.

So one may go on editing while jobs queue and requeue. A tree is made once, next to its final place, and takes it in one step;
who comes later, or loses the race, finds it complete, with what earlier runs wrote into it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from dataclasses import dataclass

from kleio.core.errors import KleioError
from kleio.core.lookup import SHORT, files_written
from kleio.core.repository import Repository
from kleio.core.restore import at_hand, code_of, original_root, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

MARKER = "tree.json"
STALE = 86400.0
"""Seconds after which a tree that was never finished is taken away."""
LARGEST_FINDER = 1 << 20
LOUD = 5


@dataclass(frozen=True, slots=True)
class Tree:
    """``root`` holds the code, ``cwd`` is where the command runs. ``original_root`` is empty where it is not known, or not
    on this machine. ``linked`` are the paths, from the root, that lead into the original; ``inexact`` lists {"path", "why"}.
    """

    root: str
    cwd: str
    original_root: str
    linked: tuple[str, ...] = ()
    inexact: tuple[Mapping[str, str], ...] = ()


def prepare(
    journal: Journal,
    entry: Entry,
    directory: str,
    say: Callable[[str], None],
    project: str | None = None,
    apart: bool = False,
) -> Tree:
    """The tree of a trial's recorded code in ``directory``, made unless it is there. Raises KleioError.

    ``project`` is the project's root, if it is elsewhere now than where the trial ran. With ``apart`` files that the trial
    wrote are not linked in: what runs in the tree writes its own.
    """
    inside = os.path.normpath(entry.trial.cwd)
    if os.path.isabs(inside) or inside.split("/")[0] == "..":
        raise KleioError(f"trial {entry.id[:SHORT]} ran outside of its project; its recorded code cannot be run in a tree")
    directory = os.path.abspath(directory)
    known = _known(directory)
    if known is None:
        wrote = [str(file[0]) for file in files_written(journal, entry)] if apart else ()
        _make(journal, entry, directory, say, project, wrote)
        known = _known(directory)
        if known is None:
            raise KleioError(f"{directory} is no tree of kleio's; move it away")
    root = os.path.join(directory, known["name"])
    cwd = os.path.join(root, inside) if inside != "." else root
    _make_inside(root, inside, known["linked"], entry)
    tree = Tree(root, cwd, known["original_root"], tuple(known["linked"]), tuple(known["inexact"]))
    _tell(tree, say)
    return tree


def _make_inside(root: str, inside: str, linked: Sequence[str], entry: Entry) -> None:
    """Make the working directory, and not through a link of the commit's: only those that we made lead out of the tree."""
    parts = inside.split("/") if inside != "." else []
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        if path in linked:
            break
        if parts[count - 1].lower() == ".git" or os.path.islink(os.path.join(root, path)):
            raise KleioError(f"the directory {inside!r} of trial {entry.id[:SHORT]} leads out of its code; it is not run there")
    os.makedirs(os.path.join(root, inside), exist_ok=True)


def _known(directory: str) -> dict[str, Any] | None:
    """What was written of a complete tree."""
    try:
        with open(os.path.join(directory, MARKER), encoding="ascii") as file:
            return dict(json.load(file))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _make(
    journal: Journal,
    entry: Entry,
    directory: str,
    say: Callable[[str], None],
    project: str | None,
    wrote: Sequence[str],
) -> None:
    parent, name = os.path.split(directory)
    os.makedirs(parent, 0o700, exist_ok=True)
    _clear(parent)
    making = os.path.join(parent, f".{name}.{os.urandom(8).hex()}.tmp")
    os.mkdir(making, 0o700)
    try:
        _fill(journal, entry, making, say, project, wrote)
        os.rename(making, directory)
    except OSError as error:
        if not os.path.isdir(directory):  # else another was quicker, or something else is there
            raise KleioError(f"the recorded code cannot be made ready in {directory}: {error.strerror}") from None
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _clear(parent: str) -> None:
    """Take away what a kill left half made."""
    for one in os.scandir(parent):
        if one.name.endswith(".tmp") and one.name.startswith(".") and one.stat().st_mtime < time.time() - STALE:
            shutil.rmtree(one.path, ignore_errors=True)


def _fill(
    journal: Journal,
    entry: Entry,
    making: str,
    say: Callable[[str], None],
    project: str | None,
    wrote: Sequence[str],
) -> None:
    """Restore the code, link in what it lacks, and write the marker."""
    document = code_of(journal, entry)
    original = project or _origin(entry)
    name = os.path.basename(original) or "tree"
    name = "code" if name == MARKER else name
    root = os.path.join(making, name)
    restored = restore(journal, document, root, at_hand(entry, os.getcwd()), say)
    linked: list[str] = []
    if original:
        linked = _link(document, original, root, wrote)
    else:
        say(f"the directory of trial {entry.id[:SHORT]} is not here: what git ignores in it, data and environments, is missing")
    inexact = [dict(one) for one in restored.inexact if not _is_linked_unchanged(one["path"], document, original, linked)]
    known = {"name": name, "original_root": original, "linked": linked, "inexact": inexact}
    with open(os.path.join(making, MARKER), "w", encoding="ascii") as file:
        json.dump(known, file)


def _origin(entry: Entry) -> str:
    """The work tree that a trial comes from, if it is here. It may have run last in a tree like ours."""
    root = original_root(entry) or ""
    known = _known(os.path.dirname(root)) if root else None
    root = known["original_root"] if known else root
    return root if os.path.isdir(root) else ""


def _tell(tree: Tree, say: Callable[[str], None]) -> None:
    for one in tree.inexact[:LOUD]:
        say(f"the recorded code is not as it was: {one['path']}: {one['why']}")
    if len(tree.inexact) > LOUD:
        say(f"… and {len(tree.inexact) - LOUD} more paths")


# -- links into the original -------------------------------------------------------------------------------------------


def _link(
    document: Mapping[str, Any], original: str, root: str, wrote: Sequence[str] = (), prefix: str = ""
) -> list[str]:
    """Link what the tree lacks, less what is in ``wrote``; the paths from the outermost root."""
    if document.get("kind") == "git":
        names: Iterable[str] = (*_ignored(original), *(one["path"] for one in document.get("left_out") or ()))
    else:
        names = _beside(original, root)
    inside = {path[len(prefix) :] for path in wrote if path.startswith(prefix)}
    wanted = (name for one in names for name in _less(one.rstrip("/"), original, inside))
    linked = [name for name in wanted if _link_one(name, original, root)]
    if document.get("kind") == "git":
        _exclude(root, linked)
    found = [prefix + name for name in linked]
    for path, inner in (document.get("submodules") or {}).items():
        places = (os.path.join(original, path), os.path.join(root, path))
        if all(os.path.isdir(os.path.join(place)) for place in places) and os.path.lexists(os.path.join(places[1], ".git")):
            found += _link(inner, *places, wrote, f"{prefix}{path}/")
    return found


def _less(name: str, original: str, wrote: set[str]) -> Iterator[str]:
    """A path, or where some of what lies below it was written, the rest of that."""
    if name in wrote:
        return
    if any(path.startswith(f"{name}/") for path in wrote):
        for inner in sorted(_names(os.path.join(original, name))):
            yield from _less(f"{name}/{inner}", original, wrote)
    else:
        yield name


def _ignored(original: str) -> list[str]:
    """What git ignores: directories as a whole."""
    how = ("--others", "--ignored", "--exclude-standard", "--directory", "-z")
    out = Repository(original).run("ls-files", *how) or b""
    return [os.fsdecode(path) for path in out.split(b"\0") if path]


def _beside(original: str, root: str) -> Iterator[str]:
    """Without git: whatever lies beside what was recorded."""
    for place, _, _ in os.walk(root):
        inside = os.path.relpath(place, root)
        try:
            names = sorted(os.listdir(os.path.join(original, inside)))
        except OSError:
            continue
        yield from (os.path.normpath(os.path.join(inside, name)) for name in names)


def _link_one(name: str, original: str, root: str) -> bool:
    """Link one path, unless the tree has it, or it is a cache or git's own."""
    parts = name.split("/")
    source, place = os.path.join(original, name), os.path.join(root, name)
    if {"__pycache__", ".git", "..", ""} & set(parts) or name.endswith(".pyc"):
        return False
    if os.path.lexists(place) or not os.path.lexists(source):
        return False
    above = os.path.dirname(place)
    if os.path.realpath(above) != os.path.join(os.path.realpath(root), os.path.relpath(above, root)).removesuffix("/."):
        return False  # its directory is a link already: there it is
    try:
        os.makedirs(above, exist_ok=True)
        os.symlink(source, place)
    except (FileExistsError, NotADirectoryError):
        return False
    return True


def _exclude(root: str, names: Sequence[str]) -> None:
    """Let git ignore the links: a pattern for a directory does not match them."""
    inside = os.path.join(root, ".git", "info")
    os.makedirs(inside, exist_ok=True)
    with open(os.path.join(inside, "exclude"), "ab") as file:
        file.writelines(b"/" + _as_pattern(os.fsencode(name)) + b"\n" for name in names)


def _as_pattern(name: bytes) -> bytes:
    """A name as git reads it in a list of what to ignore; it cannot spell a newline."""
    special = b"\\*?[ !#"
    return b"".join(b"?" if byte in b"\n\r" else b"\\%c" % byte if byte in special else b"%c" % byte for byte in name)


def _is_linked_unchanged(path: str, document: Mapping[str, Any], original: str, linked: Sequence[str]) -> bool:
    """Whether a file that was not kept is linked in, of the same size and time as when it was recorded."""
    recorded = next((one for one in document.get("left_out") or () if one.get("path") == path), None)
    if recorded is None or path not in linked:
        return False
    try:
        status = os.lstat(os.path.join(original, path))
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime) == (recorded["size"], recorded["time"])


# -- what leads back to the original -----------------------------------------------------------------------------------


def translated(argv: Sequence[str], original_root: str, root: str) -> list[str]:
    """``argv`` with absolute paths inside the original root rewritten to the tree: ``/p/x``, ``--data=/p/x``."""
    return [_translated(word, original_root, root) for word in argv]


def _translated(word: str, original: str, root: str) -> str:
    head, equals, path = word.partition("=") if "=/" in word and not word.startswith("/") else ("", "", word)
    for top in dict.fromkeys((original, os.path.realpath(original))) if original else ():
        if path == top or path.startswith(top.rstrip("/") + "/"):
            return head + equals + root + path[len(top.rstrip("/")) :]
    return word


def shadowed(original_root: str, site_dirs: Sequence[str]) -> dict[str, str]:
    """Packages installed in place whose imports would lead into the original root: name → the directory in it that would
    have to be on ``sys.path``.
    """
    tops = tuple(dict.fromkeys((original_root, os.path.realpath(original_root)))) if original_root else ()
    found: dict[str, str] = {}
    for site in site_dirs:
        for name in sorted(_names(site)):
            path = os.path.join(site, name)
            if name.endswith(".pth"):
                places = {_package_of(name): place for place in _lines_of(path, site)}
            elif name.startswith("__editable__") and name.endswith("_finder.py"):
                places = _mapped(path)
            else:
                continue
            found |= {package: place for package, place in places.items() if _lies_in(place, tops)}
    return found


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _package_of(name: str) -> str:
    """``__editable__.pkg-1.0.pth`` is pkg's."""
    stem = name.removesuffix(".pth").removeprefix("__editable__.")
    return stem.rpartition("-")[0] if "-" in stem and stem.rpartition("-")[2][:1].isdigit() else stem


def _lines_of(path: str, site: str) -> Iterator[str]:
    """The directories that a ``.pth`` file adds."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read(LARGEST_FINDER).splitlines()
    except OSError:
        return
    for line in lines:
        if line.strip() and not line.startswith(("#", "import ", "import\t")):
            yield os.path.normpath(os.path.join(site, line.strip()))


def _mapped(path: str) -> dict[str, str]:
    """What setuptools' finder of a package installed in place maps: the directory that holds each top package."""
    import ast

    try:
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read(LARGEST_FINDER))
    except (OSError, ValueError, SyntaxError):
        return {}
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == "MAPPING" and isinstance(node, (ast.Assign, ast.AnnAssign)):
            try:
                mapping = ast.literal_eval(node.value) if node.value else {}
            except ValueError:
                return {}
            return {str(name): os.path.dirname(str(place)) for name, place in dict(mapping).items()}
    return {}


def _lies_in(place: str, tops: Sequence[str]) -> bool:
    real = os.path.realpath(place)
    return any(one == top or one.startswith(top.rstrip("/") + "/") for one in (place, real) for top in tops)
