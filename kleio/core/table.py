"""Tables: headings, and rows of plain values. What prints one, or writes it to a file, is asked elsewhere."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass

from kleio.core.values import portable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeGuard


@dataclass(frozen=True, slots=True)
class Table:
    """``headings``, each once, and ``rows`` as long as these.

    A value is a bool, an int, a float, a str, a datetime with its time zone, a list or mapping of such, or None where there is
    none.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def column(self, at: int) -> list[Any]:
        """The values under the heading at this place."""
        return [row[at] for row in self.rows]


def is_number(value: Any) -> TypeGuard[int | float]:
    """A truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether there are numbers among these, and nothing else but what is missing."""
    known = [value for value in values if value is not None]
    return bool(known) and all(map(is_number, known))


def text(value: Any, precision: int | None = None) -> str:
    """A value in a cell: a float so exactly that it can be read back, or to ``precision`` significant digits.

    Truth values are ``true`` and ``false``, as in queries. Times are ISO-8601 in UTC. Words are joined with commas; other
    lists, and what is nested, are JSON.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return rounded(value, precision)
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(_is_word(one) for one in value):
        return ",".join(value)
    if isinstance(value, (list, tuple, dict)):
        return as_json(value)
    return str(plain(value))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not set(value) & set(',"\n')


def rounded(value: float, precision: int | None) -> str:
    """To so many significant digits, or all that tell it from other floats."""
    return repr(value) if precision is None else f"{value:.{max(precision, 1)}g}"


def plain(value: Any) -> Any:
    """A value in terms of JSON: what is not finite is a text, and so are times."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return portable(value)


def as_json(value: Any) -> str:
    """On one line."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ": "))
