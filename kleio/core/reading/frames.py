"""Trials as a table of pandas."""

from __future__ import annotations

import shlex

from kleio.core.exporting import in_pandas, typed
from kleio.core.extras import needed
from kleio.core.indexing import gathered
from kleio.core.reading.executions import utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

FIRST = {
    "id": "text", "status": "text", "created": "time", "started": "time", "ended": "time", "duration": "float",
    "project": "text", "command": "text", "name": "text", "tags": "text", "note": "text", "user": "text", "host": "text",
    "exit_code": "int", "signal": "text", "reason": "text", "executions": "int", "parent": "text", "previous": "text",
    "code.commit": "text", "code.dirty": "bool",
}  # fmt: skip
"""Columns that are always there, and of which kind they are."""
GROUPS = ("params.", "summary.")


def of_trials(journal: Journal, batches: Iterable[Sequence[Entry]], all_executions: bool) -> Any:
    """See :meth:`kleio.core.reading.trials.Trials.to_pandas`."""
    pd = needed("pandas", "pandas", "trials.to_pandas() needs")  # 500 ms
    rows = [_row(known) for entries in batches for known in gathered(journal, entries, all_executions)]
    names = dict.fromkeys(name for row in rows for name in row)
    others = [name for group in GROUPS for name in names if name.startswith(group)]
    index = pd.RangeIndex(len(rows))
    columns = {name: _column(pd, name, [row.get(name) for row in rows], index) for name in (*FIRST, *others)}
    return pd.DataFrame(columns, index=index)


def _row(known: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: known[name] for name in known if name in FIRST or name.startswith(GROUPS)}
    row["command"] = shlex.join(known["command"])
    for name in ("created", "started", "ended"):
        row[name] = utc(known.get(name))
    return row


def _column(pd: Any, name: str, values: list[Any], index: Any) -> Any:
    kind, plain = (FIRST[name], values) if name in FIRST else typed(values)
    return in_pandas(pd, kind, values if kind == "text" else plain, index)  # what is mixed is kept as it is
