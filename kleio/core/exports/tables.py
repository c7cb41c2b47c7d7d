"""The statistics of a trial as lines of text: CSV and JSON."""

from __future__ import annotations

import csv
import json
import time

from kleio.core.table import plain, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.exports.material import Material

TIMES = ("time", "timestamp", "wall_time")
"""What the column of times is called: the first of them that is no key itself."""


def iso(nanoseconds: int) -> str:
    """ISO-8601 in UTC, to the microsecond, or to the nanosecond where that says more."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f"{rest // 1000:06d}" if rest % 1000 == 0 else f"{rest:09d}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction}Z"


def write_csv(material: Material, path: str) -> None:
    """A line a statistic, a column a key; what is missing is empty."""
    name = time_name(material)
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([name, *material.keys])
        for row in material.rows():
            lines.writerow([iso(row.nanoseconds), *(text(row.get(key)) for key in material.keys)])


def write_json(material: Material, path: str) -> None:
    """An object a line, with what it has and nothing else."""
    name = time_name(material)
    with open(path, "w", encoding="utf-8") as file:
        for row in material.rows():
            values = {key: plain(value) for key, value in row.items()}
            file.write(json.dumps({name: iso(row.nanoseconds), **values}) + "\n")


def time_name(material: Material) -> str:
    return next((one for one in TIMES if one not in material.keys), "kleio.time")
