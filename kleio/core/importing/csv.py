"""Runs as tables of comma-separated values, one file a run: a line a statistic, a column a key.

A column that is named like a time is the time of its line; those that count steps keep their names, but for those of Weights &
Biases and TensorBoard, which become ``step``. The directories of PyTorch Lightning's ``CSVLogger`` bring their hyperparameters
along, and the ``trials.csv`` that ``kleio export --to csv`` wrote brings what it says of its trials.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from typing import TYPE_CHECKING

from kleio.core import config_values
from kleio.core.commandline import typed
from kleio.core.errors import KleioError
from kleio.core.exports.csv import DIGITS, FIRST, OVERVIEW
from kleio.core.importing.found import About, Damage, Row, Run, nanoseconds, seconds
from kleio.core.trial import HELD, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

TIMES = ("time", "timestamp", "wall_time", "walltime", "_timestamp", "datetime", "date")
STEP_NAMES = {"_step": "step", "trainer/global_step": "step", "Step": "step"}
NO_NUMBERS = ("nan", "inf", "infinity")
LIGHTNING, HPARAMS = "metrics.csv", "hparams.yaml"
_CHART = re.compile(r"(?P<run>.+) - (?P<key>.+?)")
"""A column of a chart that Weights & Biases exports: the runs that it shows are beside each other."""

_FILE = re.compile(rf"[0-9a-f]{{{DIGITS}}}\.csv")


def find(place: str) -> Iterator[Run | Damage]:
    """The run of a file, or those of all files ``*.csv`` at or below a directory."""
    top = os.path.abspath(place)
    paths = [top] if os.path.isfile(top) else sorted(_below(top))
    if not paths:
        raise KleioError(f"there is no file *.csv {'in' if os.path.isdir(top) else 'at'} {place}")
    overviews: dict[str, dict[str, dict[str, str]]] = {}
    for path in paths:
        directory, file = os.path.split(path)
        if directory not in overviews:
            overviews[directory] = _overview(os.path.join(directory, OVERVIEW))
        line = overviews[directory].get(file)
        name = _named(path, top if os.path.isdir(top) else os.path.dirname(top))
        try:
            columns, delimiter = _head(path)
        except (OSError, ValueError, MemoryError, csv.Error) as error:
            yield Damage(name, path, error.strerror or "" if isinstance(error, OSError) else str(error))
            continue
        charts = _charts(columns)
        if charts:
            yield from (Table(run, f"{path}#{run}", path, chosen, delimiter, len(columns)) for run, chosen in charts.items())
        else:
            kept = {at: one if line else STEP_NAMES.get(one, one) for at, one in enumerate(columns) if one}
            yield Table(name, path, path, kept, delimiter, len(columns), line)


def _below(top: str) -> Iterator[str]:
    for directory, _, names in os.walk(top):
        ours = OVERVIEW in names and _is_ours(os.path.join(directory, OVERVIEW))
        yield from (os.path.join(directory, one) for one in names if one.endswith(".csv") and not (ours and one == OVERVIEW))


def _is_ours(path: str) -> bool:
    try:
        return tuple(_head(path)[0][: len(FIRST)]) == FIRST
    except (OSError, ValueError, csv.Error):
        return False


def _overview(path: str) -> dict[str, dict[str, str]]:
    """What kleio's export says of its tables, by the name of the file: each is named as the beginning of its trial's id."""
    if not _is_ours(path):
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = [{key: value or "" for key, value in one.items() if key} for one in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return {}
    return {one["file"]: one for one in lines if _FILE.fullmatch(one["file"]) and one["id"].startswith(one["file"][:-4])}


def _named(path: str, top: str) -> str:
    """The path below ``top``; of a file that every run has of the same name, its directory."""
    name = os.path.relpath(path, top)[: -len(".csv")] if path.endswith(".csv") else os.path.basename(path)
    if os.path.basename(path) != LIGHTNING:
        return name
    directory = os.path.dirname(name) or os.path.basename(top)
    return directory if directory != os.path.basename(top) else "/".join(os.path.dirname(path).rsplit("/", 2)[1:])


def _head(path: str) -> tuple[list[str], str]:
    """The names of the columns, and what is between them. Raises ValueError for what has none."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        line, more = file.readline(1 << 20), file.readline(1 << 10)
    if not line.strip():
        raise ValueError("it is empty")
    if not line.rstrip("\r\n").replace("\t", "").isprintable() or "\ufffd" in line:
        raise ValueError("it is no text")
    if not more.strip() and os.path.basename(path) != LIGHTNING:  # which is there before the first epoch has ended
        raise ValueError("there is nothing below its first line")
    delimiter = max(",;\t", key=line.count)
    columns = [one.strip() for one in next(csv.reader([line], delimiter=delimiter))]
    named = [one for one in columns if one]
    if len(set(named)) < len(named):
        raise ValueError("two columns have the same name")
    if all(isinstance(typed(one), float | int) for one in named):
        raise ValueError("its first line holds numbers and not the names of columns")
    return columns, delimiter


def _charts(columns: Sequence[str]) -> dict[str, dict[int, str]]:
    """By run the columns that are its own: position → key; empty for any other table."""
    found: dict[str, dict[int, str]] = {}
    for at, column in enumerate(columns[1:], 1):
        chart = _CHART.fullmatch(column)
        if chart is None or columns[0] not in STEP_NAMES:
            return {}
        found.setdefault(chart["run"], {0: "step"})[at] = chart["key"]
    return found


class Table(Run):
    """One of them. ``columns`` are the positions that are its own, and what they are called, of ``width`` in the file."""

    def __init__(self, name: str, place: str, path: str, columns: dict[int, str], delimiter: str, width: int,
                 line: Mapping[str, str] | None = None) -> None:
        super().__init__(name, place, f"{os.uname().nodename}:{os.path.realpath(path)}{place[len(path):]}")
        self._path, self._columns, self._delimiter, self._width = path, columns, delimiter, width
        self._line = line
        self._time = next((at for at, one in columns.items() if one.lower().replace(" ", "_") in TIMES), None)
        self._first: int | None = None
        self._last: int | None = None

    def series(self) -> Iterable[tuple[str, Iterator[Row]]]:
        yield "", self._rows()

    def _rows(self) -> Iterator[Row]:
        try:
            with open(self._path, encoding="utf-8-sig", errors="replace", newline="") as file:
                lines = csv.reader(file, delimiter=self._delimiter)
                next(lines)
                for cells in lines:
                    row = self._row(cells)
                    if row is not None:
                        yield row
        except csv.Error as error:
            self.damaged = f"line {lines.line_num:,} and what follows: {error}"

    def _row(self, cells: Sequence[str]) -> Row | None:
        values: dict[str, Any] = {}
        for at, cell in enumerate(cells):
            if cell != "" and at in self._columns and at != self._time:
                values[self._columns[at]] = _value(cell.strip())
        if not values or (len(self._columns) > len(values) == 1 and "step" in values):
            return None  # a line of a chart that is another run's
        for cell in cells[self._width :]:
            if cell != "":
                self.leave_out("cells that are in no column")
        moment = _moment(cells[self._time]) if self._time is not None and self._time < len(cells) else None
        if moment is None and self._time is not None:
            self.leave_out(f"values of {self._columns[self._time]} that are no time")
        elif moment is not None:
            self._first = moment if self._first is None else min(moment, self._first)
            self._last = moment if self._last is None else max(moment, self._last)
        return Row(moment, values)

    def about(self) -> About:
        last = os.stat(self._path).st_mtime
        if self._line:
            return _told(self._line, self._first, self._last)
        ended = last if self._last is None else self._last / 1e9
        about = About(name=self.name, started=ended if self._first is None else self._first / 1e9, ended=ended)
        if os.path.basename(self._path) == LIGHTNING:
            about.params = self._hparams(os.path.join(os.path.dirname(self._path), HPARAMS))
        return about

    def _hparams(self, path: str) -> dict[str, Any]:
        try:
            with open(path, "rb") as file:
                return config_values.read(path, file.read(1 << 20), self.remarks.append)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.remarks.append(f"{path} cannot be read: {error.strerror}")
            return {}


def _told(line: Mapping[str, str], first: int | None, last: int | None) -> About:
    """What kleio's export says of a trial; where it says no time, that of the ``first`` or ``last`` statistic."""
    known = line.get("status") in {*Status}
    status = Status(line["status"]) if known else Status.COMPLETED
    started, ended = seconds(line.get("created", "")), seconds(line.get("ended", ""))
    return About(
        params={key.partition(".")[2]: _param(value) for key, value in line.items() if key.startswith("params.") and value},
        tags=_words(line.get("tags", "")),
        name=line.get("name") or None,
        note=line.get("note") or None,
        status=Status.INTERRUPTED if status in (*HELD, Status.NEW) else status,
        said=line.get("status") or None,
        started=first / 1e9 if started is None and first is not None else started,
        ended=last / 1e9 if ended is None and last is not None else ended,
        command=_command(line.get("command", "")),
    )


def _param(cell: str) -> Any:
    if cell[:1] in ("[", "{"):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return _value(cell)


def _words(cell: str) -> list[str]:
    found = _param(cell) if cell[:1] == "[" else cell.split(",")
    return [str(one) for one in found if one] if isinstance(found, list) else [cell]


def _command(cell: str) -> list[str]:
    try:
        return shlex.split(cell)
    except ValueError:
        return [cell]


def _value(cell: str) -> Any:
    return float(cell) if cell.lower().lstrip("+-") in NO_NUMBERS else typed(cell)


def _moment(cell: str) -> int | None:
    """A time as nanoseconds: seconds or milliseconds since the epoch, or an ISO time; None for what is none."""
    number = typed(cell.strip())
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        if 1e11 < number < 1e14:
            number /= 1000
        return nanoseconds(number) if 1e8 < number < 1e11 else None
    exact = re.fullmatch(r"(.+:\d\d\.\d{6})(\d{3})(.*)", str(number).strip())  # Python reads no nanoseconds
    moment = seconds(exact[1] + exact[3] if exact else number)
    return None if moment is None else nanoseconds(moment) + (int(exact[2]) if exact else 0)
