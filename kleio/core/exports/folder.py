"""A trial as a directory of plain files, for people and for any program."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kleio.core.exports import tables
from kleio.core.exports.laying import laid, ready
from kleio.core.exports.material import STREAMS
from kleio.core.values import portable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kleio.core.exports.material import Material


class Folders:
    """A directory with one of each trial."""

    def __init__(self, top: str) -> None:
        self._top = top

    def write(self, material: Material) -> str:
        with laid(self._top, material.title, material.id) as (directory, path):
            document = material.document
            asked = {name: document[name] for name in ("command", "cwd", "params", "param_sources")}
            _json(os.path.join(directory, "args.json"), asked)
            _json(os.path.join(directory, "metadata.json"), document)
            for stream in STREAMS:
                _pieces(os.path.join(directory, f"{stream}.txt"), material.printed(stream))
            _pieces(os.path.join(directory, "code.patch"), iter([material.code_patch()]))
            if material.keys:
                tables.write_json(material, os.path.join(directory, "statistics.jsonl"))
                tables.write_csv(material, os.path.join(directory, "statistics.csv"))
            self._artifacts(material, directory)
        return path

    def _artifacts(self, material: Material, directory: str) -> None:
        """The files, and a list that tells what names and metadata they were logged with."""
        listed = []
        for one, relative in material.artifacts():
            path = f"artifacts/{relative}"
            kept = material.save(one, os.path.join(directory, path))
            listed.append(
                {
                    "name": one.name, "path": path if kept else None, "meta": dict(one.meta), "size": one.size,
                    "sha256": one.sha256, "time": tables.iso(one.nanoseconds),
                }
            )  # fmt: skip
        if listed:
            _json(os.path.join(directory, "artifacts.json"), listed)


@contextmanager
def target(place: str) -> Iterator[Folders]:
    """A directory, made if it is not there."""
    with ready(place) as top:
        yield Folders(top)


def _json(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(portable(value), indent=2) + "\n")


def _pieces(path: str, pieces: Iterator[bytes]) -> None:
    """A file, unless there is nothing to be in it."""
    file = None
    for piece in pieces:
        if piece and file is None:
            file = open(path, "wb")  # noqa: SIM115 - made by the first piece
        if file is not None:
            file.write(piece)
    if file is not None:
        file.close()
