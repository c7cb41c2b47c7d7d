"""A trial as something to be written down: its document, its rows, what it printed, its artifacts."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from kleio.core import lineage, outputs, view
from kleio.core.errors import KleioError, Scrubbed
from kleio.core.fetching import relative_path
from kleio.core.lookup import SHORT
from kleio.core.reading.artifacts import Artifact
from kleio.core.reading.rows import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from kleio.core.reading.rows import Row
    from kleio.core.reading.source import Source
    from kleio.core.trial import Entry

STREAMS = ("stdout", "stderr", "output")
STEPS = ("step", "global_step", "iteration", "epoch", "batch", "index")
"""What may count the rows of a trial, the most exact first."""
TOLD = 10_000


class Material:
    """One trial. ``points`` and ``kept`` count the rows and artifacts that were taken, ``left_out`` what the target has no
    place for; ``remarks`` say what else was not written.
    """

    def __init__(self, source: Source, entry: Entry, say: Callable[[str, int], None]) -> None:
        self.entry, self._source, self._say = entry, source, say
        self.points = self.kept = 0
        self.remarks: list[str] = []
        self.left_out: dict[str, int] = {}

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def title(self) -> str:
        """Its name as that of a directory, else the beginning of its id."""
        return outputs.fitting(self.entry.name or "") or self.id[:SHORT]

    @cached_property
    def document(self) -> dict[str, Any]:
        """As ``kleio info --json`` has it."""
        return view.documents(self._source.journal, [self.entry], whole=True)[0]

    @property
    def params(self) -> dict[str, Any]:
        """Flat, nested ones joined with dots."""
        return dict(_flat("", self.entry.params))

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return min((one.started for one in self.entry.executions), default=self.entry.trial.created)

    @property
    def ended(self) -> float | None:
        """The same; None while it runs."""
        ends = [one.ended for one in self.entry.executions]
        return None if not ends or ends[-1] is None else max(one for one in ends if one is not None)

    @cached_property
    def keys(self) -> list[str]:
        """Of all its statistics, in the order in which they first appear. Reads them all."""
        return list(dict.fromkeys(key for row in in_order(self._source.journal, [self.entry]) for key in row))

    def rows(self) -> Iterator[Row]:
        """Its statistics in the order of their times, with what they inherit, none held longer than it takes."""
        self.points = 0
        for row in in_order(self._source.journal, [self.entry]):
            self.points += 1
            if self.points % TOLD == 0:
                self._say(self.entry.name or self.id[:SHORT], self.points)
            yield row

    def printed(self, stream: str) -> Iterator[bytes]:
        """What it printed on one of :data:`STREAMS`, every byte."""
        return lineage.printed(self._source.journal, self.entry, (stream,))

    def code_patch(self) -> bytes:
        """What lay on top of its commit, for ``git apply``; empty where nothing did, or nothing is known of it."""
        from kleio.core.differences import directories
        from kleio.core.filechanges import patch
        from kleio.core.sourcefiles import Version

        code = self.document["code"]
        if not code.get("commit") or not code.get("changes"):
            return b""
        root = next(iter(directories(self.entry)), self._source.config.cwd)
        recorded = Version(self._source.journal, code, root)
        if recorded.committed().tree is None:
            self.remarks.append(
                f"code.patch is not written: commit {code['commit'][:12]} is in no repository here; the code comes back with "
                f"kleio checkout {self.id[:SHORT]} DIR"
            )
            return b""
        try:
            return patch(recorded.committed(), recorded, binary=True).encode("utf-8", "surrogateescape")
        except KleioError as error:
            self.remarks.append(f"code.patch is not written: {error}")
            return b""

    # -- artifacts -----------------------------------------------------------------------------------------------

    def artifacts(self) -> Iterator[tuple[Artifact, str]]:
        """Each with a relative path of its own that leads nowhere else: ``weights.pt``, and later ones ``weights-2.pt`` …"""
        taken = _Taken()
        for record in lineage.artifacts(self._source.journal, self.entry):
            one = Artifact(self._source, record.values, record.time, self.id)
            yield one, taken.path(one.name, one.sha256)

    def save(self, artifact: Artifact, path: str) -> bool:
        """Its bytes, checked, into a new file, with the directories that it takes; False if they were scrubbed."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            artifact.save(path)
        except Scrubbed as error:
            self.remarks.append(str(error))
            return False
        self.kept += 1
        return True

    # -- what is left out ----------------------------------------------------------------------------------------

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count what the target has no place for."""
        self.left_out[what] = self.left_out.get(what, 0) + count


class _Taken:
    """Relative paths that are files or directories already, as file systems compare them that make no difference of case."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def path(self, name: str, digest: str) -> str:
        wanted = relative_path(name) or f"artifact-{digest[:12]}"
        stem, suffix = os.path.splitext(wanted)
        number, path = 1, wanted
        while not self._is_free(path.casefold()):
            number += 1
            begun = stem if self._is_below_directories(stem.casefold()) else digest[:12]
            path = f"{begun}-{number}{suffix}"
        self._files.add(path.casefold())
        self._directories |= set(_above(path.casefold()))
        return path

    def _is_free(self, path: str) -> bool:
        return path not in self._files and path not in self._directories and self._is_below_directories(path)

    def _is_below_directories(self, path: str) -> bool:
        return not any(above in self._files for above in _above(path))


def _above(path: str) -> Iterator[str]:
    while path := os.path.dirname(path):
        yield path


def _flat(before: str, values: Any) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(f"{before}{name}.", value)
        else:
            yield f"{before}{name}", value


def step_of(row: Row, count: int) -> tuple[str | None, int]:
    """What counts a row, and its number: a whole number under one of :data:`STEPS`, else ``count``, how many came before."""
    for name in STEPS:
        value = row.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1 << 62 and int(value) == value:
            return name, int(value)
    return None, count
