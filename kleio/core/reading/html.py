"""Tables for notebooks. All text is escaped, long values are cut, and there are no scripts."""

from __future__ import annotations

import datetime
from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

MOST_ROWS = 30
MOST_COLUMNS = 40
LONGEST = 120
"""Characters of a value that are shown; all of it is in the tooltip, up to :data:`LONGEST_TIP`."""
LONGEST_TIP = 2000
CELL = 'style="text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere;max-width:40em"'


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], rest: int = 0) -> str:
    """A table of plain values, None for what is missing; ``rest`` is how many rows are known of and not among ``rows``."""
    shown = list(headings[:MOST_COLUMNS])
    head = "".join(f"<th {CELL}>{text(one)}</th>" for one in shown)
    listed = list(rows)
    body = "".join(f"<tr>{''.join(_cell(one) for one in row[:MOST_COLUMNS])}</tr>" for row in listed[:MOST_ROWS])
    more = _more(len(listed) - MOST_ROWS + rest if len(listed) > MOST_ROWS else rest, len(headings) - len(shown))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def pairs(values: Mapping[str, Any]) -> str:
    """Names and values, one pair a row."""
    rows = "".join(f"<tr><th {CELL}>{text(name)}</th>{_cell(value)}</tr>" for name, value in values.items())
    return f"<table><tbody>{rows}</tbody></table>"


def text(value: Any) -> str:
    """A value as people read it, escaped, cut short."""
    said = plain(value)
    if len(said) <= LONGEST:
        return escape(said)
    tip = said if len(said) <= LONGEST_TIP else said[:LONGEST_TIP] + "…"
    return f'<span title="{escape(tip)}">{escape(said[:LONGEST])}…</span>'


def plain(value: Any) -> str:
    """Numbers to six significant digits, times in UTC to the second, and no control characters."""
    if value is None:
        return ""
    if isinstance(value, float):
        said = f"{value:.6g}"
    elif isinstance(value, datetime.datetime):
        said = moment(value)
    elif isinstance(value, (list, tuple)):
        said = ", ".join(plain(one) for one in value)
    else:
        said = str(value)
    return "".join(one if one.isprintable() or one in " \n" else "\N{REPLACEMENT CHARACTER}" for one in said)


def moment(value: datetime.datetime) -> str:
    """In the zone that it has, which is named."""
    return value.strftime("%Y-%m-%d %H:%M:%S") + (f" {value.tzname()}" if value.tzinfo else "")


def _cell(value: Any) -> str:
    return f"<td {CELL}>{text(value)}</td>"


def _more(rows: int, columns: int) -> str:
    said = [f"{count:,} more {what}{'' if count == 1 else 's'}" for count, what in ((rows, "row"), (columns, "column"))
            if count > 0]  # fmt: skip
    return f"<p>… {' and '.join(said)}</p>" if said else ""
