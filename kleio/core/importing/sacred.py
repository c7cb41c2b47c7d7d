"""Runs of Sacred: directories of its ``FileStorageObserver``, and databases of its ``MongoObserver``.

Both are plain documents. What Sacred pickled, or wrote so that a reader would make objects of it, stays the data that it is.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from kleio.core.errors import KleioError, in_words
from kleio.core.importing import sacred_database
from kleio.core.importing.found import Damage, File
from kleio.core.importing.sacred_run import SacredRun, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

RUN = "run.json"
UNREADABLE = (OSError, ValueError, RecursionError, MemoryError)
"""What reading a document raises: one may be nested as deeply, and as large, as anybody likes."""


def find(place: str) -> Iterator[SacredRun | Damage]:
    """The runs below a directory, that of one run, or those of a database."""
    if place.startswith(("mongodb://", "mongodb+srv://")):
        yield from sacred_database.find(place)
        return
    top = os.path.abspath(place)
    found = sorted((directory for directory, _, names in os.walk(top) if RUN in names), key=_by_number)
    if not found:
        raise KleioError(f"there are no runs of Sacred (directories with a {RUN}) in {place}")
    for directory in found:
        try:
            yield Observed(directory)
        except UNREADABLE as error:
            yield Damage(os.path.basename(directory), directory, f"{RUN} cannot be read: {in_words(error)}")


def _by_number(directory: str) -> tuple[str, int, str]:
    above, name = os.path.split(directory)
    return above, int(name) if name.isdecimal() else 0, name


class Observed(SacredRun):
    """One directory of a ``FileStorageObserver``. Raises :data:`UNREADABLE` for a document that cannot be read."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        document = self._read(RUN)
        if not isinstance(document, dict):
            raise ValueError("it holds no document")
        super().__init__(document, os.path.basename(directory), directory)

    def _read(self, name: str) -> Any:
        with open(os.path.join(self._directory, name), "rb") as file:
            return json.loads(file.read())

    def _optional(self, name: str) -> Any:
        """Other documents; what is damaged in one stops nothing else."""
        try:
            return self._read(name)
        except FileNotFoundError:
            return {}
        except UNREADABLE as error:
            self.damaged = f"{name} cannot be read: {in_words(error)}"
            return {}

    def metrics(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for key, metric in mapping(self._optional("metrics.json")).items():
            yield str(key), mapping(metric)

    def config(self) -> Any:
        return self._optional("config.json")

    def output(self) -> bytes:
        try:
            with open(os.path.join(self._directory, "cout.txt"), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def files(self) -> Iterator[File]:
        document = self._document
        for one in document.get("artifacts") or ():
            name = str(one.get("name") if isinstance(one, dict) else one)
            yield from self._file(name, name)
        for one in mapping(document.get("experiment")).get("sources") or ():
            yield from self._file(f"sources/{one[0]}", one[1], os.path.dirname(self._directory))
        for path, stored in document.get("resources") or ():
            yield from self._file(os.path.basename(str(path)), stored, os.path.dirname(self._directory), str(path))
        info = mapping(self._optional("info.json"))
        if info and self._within("info.json", self._directory):
            yield from self._file("info.json", "info.json")

    def _within(self, stored: str, top: str) -> str | None:
        """Where a file of the run lies, if that is below ``top``: the document may say anything."""
        path = os.path.realpath(os.path.join(top, stored))
        return path if path.startswith(f"{os.path.realpath(top)}/") and os.path.isfile(path) else None

    def _file(self, name: str, stored: Any, top: str | None = None, resource: str | None = None) -> Iterator[File]:
        path = self._within(str(stored), top or self._directory)
        if path is None:
            self.leave_out("files that are not there")
            return
        yield File(name, path, os.stat(path).st_mtime_ns, resource=resource)
