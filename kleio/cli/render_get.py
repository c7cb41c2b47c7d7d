"""Prints ``kleio artifacts``, and what ``kleio get`` does."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from kleio.cli import wording
from kleio.cli.render import complain, table, written
from kleio.core.lookup import SHORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kleio.core.artifact_listing import Listed
    from kleio.core.fetching import Fetch
    from kleio.core.reading.artifacts import Artifact

LARGE = 8 << 20
"""Bytes from which on a file is worth a bar, and is written to stdout before all of it is checked."""
DIGITS = 12


def artifacts(found: Sequence[Listed], trial: str) -> None:
    """``kleio artifacts``: one line each, in the order of logging."""
    terminal = sys.stdout.isatty()
    rows = []
    for one in found:
        inherited = "" if one.trial in (trial, None) else f"of {str(one.trial)[:SHORT]}"
        rows.append([
            one.name, wording.size(one.size) if terminal else str(one.size), wording.meta(one.meta),
            wording.recently(one.time) if terminal else wording.when(one.time), inherited or str(one.number or "?"),
            one.sha256[:DIGITS],
        ])  # fmt: skip
    table(["NAME", "SIZE", "META", "TIME", "EXECUTION", "SHA256"], rows, elastic=("NAME", "META"))


def to_stdout(one: Artifact) -> None:
    """``kleio get -o -``: what is not large is checked before a byte of it goes out."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    if one.size <= LARGE:
        out.write(one.read())
    else:
        with one.open() as file:
            while piece := file.read(1 << 20):
                out.write(piece)
    out.flush()


def fetched(one: Fetch) -> None:
    """What was written where."""
    artifact = one.artifact
    said = "  ".join(part for part in (wording.size(artifact.size), wording.meta(artifact.meta)) if part)
    if one.there:
        complain(f"{one.path} has this content already: {artifact.name}  {said}")
    else:
        written(f"{artifact.name}  {said}", one.path)


@contextmanager
def progress(one: Fetch) -> Iterator[Callable[[int, int], object]]:
    """A bar on a terminal while something large is written."""
    if one.there or one.artifact.size < LARGE or sys.stderr is None or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console  # 40 ms, for large files on terminals only
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(None), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    name = TextColumn("{task.description}", markup=False)
    with Progress(name, *columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(wording.printable(os.path.basename(one.path))[:30], total=one.artifact.size)
        yield lambda written, _: shown.update(task, completed=written)
