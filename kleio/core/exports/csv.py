"""Trials as tables: one file of each trial's statistics, and one, ``trials.csv``, that has a line for each trial."""

from __future__ import annotations

import csv
import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kleio.core import wholefile
from kleio.core.errors import KleioError
from kleio.core.exports import tables
from kleio.core.exports.laying import ready
from kleio.core.table import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kleio.core.exports.material import Material

OVERVIEW = "trials.csv"
"""Beside the trials; no run to whoever imports them again."""
FIRST = ("id", "file")
"""The columns by which a table is known to be kleio's."""
COLUMNS = (*FIRST, "name", "status", "project", "command", "created", "ended", "tags", "note")
DIGITS = 12
"""Of its id, as the name of a trial's file."""


class Tables:
    """A directory with one for each trial. ``_lines`` are those of the overview, by trial.

    While trials are written there, each is named in the overview before its file is made, so that this is kleio's even if who
    makes it is killed. Its whole line is there in the end: it would be as much work again for every trial to write them all.
    """

    def __init__(self, top: str) -> None:
        self._top = top
        self._overview = os.path.join(top, OVERVIEW)
        self._lines = self._read()
        self._named = set(self._lines)

    def write(self, material: Material) -> str:
        name = f"{material.id[:DIGITS]}.csv"
        path = os.path.join(self._top, name)
        if os.path.lexists(path) and material.id not in self._lines:
            raise KleioError(f"{path} is there already, and {OVERVIEW} does not say that it is kleio's")
        self._name(material.id, name)
        with wholefile.whole(path) as temporary:
            tables.write_csv(material, temporary)
        artifacts = sum(1 for _ in material.artifacts())
        if artifacts:
            material.leave_out("artifacts", artifacts)
        self._lines[material.id] = _line(material, name)
        return path

    def _read(self) -> dict[str, dict[str, str]]:
        """What earlier exports wrote. Raises KleioError for a table that is somebody else's."""
        try:
            with open(self._overview, encoding="utf-8", newline="") as file:
                lines = csv.DictReader(file, restval="")
                if tuple(lines.fieldnames or ())[: len(FIRST)] == FIRST:
                    return {line["id"]: {name: value for name, value in line.items() if name} for line in lines}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, csv.Error) as error:
            raise KleioError(f"{self._overview} cannot be read: {error}") from None
        raise KleioError(f"{self._overview} is there already, and not kleio's; give another directory")

    def _name(self, trial: str, name: str) -> None:
        """Let the overview say that a file is kleio's."""
        if trial in self._named:
            return
        new = not os.path.exists(self._overview)
        with open(self._overview, "a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([*([COLUMNS] if new else []), [trial, name]])
        self._named.add(trial)

    def save(self) -> None:
        """Write the overview; where nothing became a table, there is none."""
        if not self._lines:
            if self._named:
                os.unlink(self._overview)
            return
        names = dict.fromkeys([*COLUMNS, *(name for line in self._lines.values() for name in line)])
        with wholefile.whole(self._overview) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            lines = csv.DictWriter(file, list(names), restval="")
            lines.writeheader()
            lines.writerows(self._lines.values())


def _line(material: Material, name: str) -> dict[str, str]:
    document = material.document
    own = {column: document.get(column) for column in COLUMNS} | {
        "file": name, "command": shlex.join(document["command"]),
        "ended": None if material.ended is None else tables.iso(int(material.ended * 1e9)),
    }  # fmt: skip
    figures = {f"summary.{key}.last": own.get("last") for key, own in document["summary"].items()}
    values = own | {f"params.{key}": value for key, value in material.params.items()} | figures
    return {str(key): text(value).encode("utf-8", "backslashreplace").decode() for key, value in values.items()}


@contextmanager
def target(place: str) -> Iterator[Tables]:
    """A directory, made if it is not there."""
    with ready(place) as top:
        written = Tables(top)
        try:
            yield written
        finally:
            written.save()
