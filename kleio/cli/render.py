"""The only place that prints, and the only one that knows ``--json``.

rich on a terminal, plain tab-separated text in a pipe; NO_COLOR is honoured. What comes from a trial may hold anything: on a
terminal control characters are shown as pictures, so that no trial repaints the reader's screen.
"""

from __future__ import annotations

import os
import sys

from kleio.cli import wording
from kleio.core.errors import KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.config import Value
    from kleio.core.errors import Damaged
    from kleio.core.journal.base import Journal
    from kleio.core.recovery import Recovered

NAMED = 3
COLOURS = {
    "completed": "green", "running": "cyan", "reserved": "cyan", "broken": "red", "interrupted": "yellow",
    "suspended": "yellow", "failover": "magenta",
}  # fmt: skip


def complain(message: str) -> None:
    """kleio's own words: on stderr, one line."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"kleio: {wording.printable(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens; the run goes on


def left_out(damaged: Mapping[str, Damaged]) -> None:
    """Name the trials that cannot be read, a few of many."""
    from kleio.core.lookup import SHORT

    named = [f"{trial[:SHORT]} ({error.why})" for trial, error in damaged.items()]
    more = f", and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    complain(f"left out what cannot be read of {wording.several(len(named), 'trial')}: {', '.join(named[:NAMED])}{more}")


def encodable() -> None:
    """Where stdout has no such characters (a terminal of ASCII, say) others stand in their place. Raises KleioError where there
    is no stdout.
    """
    if sys.stdout is None:  # whoever started us has closed it
        raise KleioError("there is no standard output to write to; what nobody is to see goes to /dev/null")
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and sys.stdout.errors == "strict":
        reconfigure(errors="replace")


def document(value: Any) -> None:
    """``--json``: one document on one line."""
    import json

    from kleio.core.values import portable

    text = json.dumps(portable(value), indent=None, ensure_ascii=True)
    sys.stdout.write(text + "\n")


def raw(data: bytes) -> None:
    """What a trial printed."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def written(what: str, path: str) -> None:
    """``3 rows → table.md``. What went into a pipe or a terminal is seen there."""
    if os.path.isfile(path):
        complain(f"{what} → {path}")


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    style: Callable[[str, str], str | None] | None = None,
    elastic: Sequence[str] = (),
) -> None:
    """Rows of text. On a terminal that is too narrow the ``elastic`` columns give way, the longest first, and empty ones
    are left out. ``style`` gives a rich style for (heading, cell).
    """
    clean = [[wording.printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in (list(headings), *clean):
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich.cells import cell_len
    from rich.console import Console  # 25 ms, on terminals only
    from rich.table import Table
    from rich.text import Text

    columns = [(heading, [row[at] for row in clean]) for at, heading in enumerate(headings)]
    columns = [(heading, cells) for heading, cells in columns if any(cells) or not clean or heading not in elastic]
    natural = [max(map(cell_len, (heading, *cells))) for heading, cells in columns]
    console = Console()
    widths = fitted(natural, [heading in elastic for heading, _ in columns], console.width - 2 * (len(columns) - 1))
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for (heading, _), width in zip(columns, widths, strict=True):
        shown.add_column(heading, no_wrap=True, overflow="ellipsis", width=width)
    for cells in zip(*(cells for _, cells in columns), strict=True):
        styles = [(style and style(heading, cell)) or "" for (heading, _), cell in zip(columns, cells, strict=True)]
        shown.add_row(*map(Text, cells, styles))
    console.print(shown)


def fitted(natural: Sequence[int], elastic: Sequence[bool], room: int, least: int = 8) -> list[int]:
    """Widths of columns that together take no more than ``room``: elastic ones are cut to a common length."""
    widths = list(natural)
    left = room - sum(width for width, gives in zip(natural, elastic, strict=True) if not gives)
    giving = sorted((at for at, gives in enumerate(elastic) if gives), key=lambda at: natural[at])
    for rank, at in enumerate(giving):
        widths[at] = min(natural[at], max(left // (len(giving) - rank), least))
        left -= widths[at]
    return widths


def styles() -> tuple[Callable[[str], str], Callable[[str], str], Callable[[str], str]]:
    """Bold, dim, and the colour of a status; plain text where there is no terminal."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return str, str, str
    codes = {"green": 32, "cyan": 36, "red": 31, "yellow": 33, "magenta": 35}

    def painted(code: int) -> Callable[[str], str]:
        return lambda text: f"\x1b[{code}m{text}\x1b[0m"

    return painted(1), painted(2), lambda status: painted(codes.get(COLOURS.get(status, ""), 1))(status)


def waiting(root: str, journal: Journal) -> None:
    """Say that runs of this machine are not in the journal yet. Reading ships nothing: a role that may only read suffices."""
    from kleio.core.spool import spools

    left = 0
    for spool in spools(root):
        launch = spool.read("launch") or {}
        left += launch.get("journal") == journal.uri and not spool.alive()
    if left:
        runs = "1 run of this machine is" if left == 1 else f"{left} runs of this machine are"
        complain(f"{runs} not wholly in the journal; ship with: kleio sync")


def followed(trial: str, stream: str, data: bytes, json: bool) -> None:
    """``kleio tail``: bytes as they are; with ``--json`` an object a line."""
    if json:
        document({"id": trial, "stream": stream, "text": data.decode("utf-8", "replace")})
        sys.stdout.flush()
    elif stream == "stderr" and sys.stderr is not None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
    else:
        raw(data)


def synced(found: Sequence[Recovered]) -> None:
    """``kleio sync``."""
    if not found:
        complain("nothing waits on this machine")
    for one in found:
        meant = f" ({one.journal})" if one.fate.name == "ELSEWHERE" else f": {one.reason}" if one.reason else ""
        if one.fate.name in ("ELSEWHERE", "UNREADABLE"):
            meant += f", in {one.path}"
        sys.stdout.write(f"{(one.trial or one.execution)[:7]}\t{one.fate.value}{wording.printable(meant)}\n")
    if any(one.fate.name == "ELSEWHERE" for one in found):
        complain("what is meant for another journal is shipped with: kleio sync --journal ADDRESS")
        complain("where that is gone for good, ship it to this one with kleio sync --from ADDRESS, or delete the directory")


def counts(statuses: Mapping[str, int], tags: Mapping[str, int]) -> None:
    """``kleio status``."""
    table(["STATUS", "TRIALS"], [[name, str(count)] for name, count in statuses.items()], lambda _, cell: COLOURS.get(cell))
    if tags:
        sys.stdout.write("\n")
        table(["TAG", "TRIALS"], [[name, str(count)] for name, count in tags.items()])


def settings(found: Mapping[str, Value], variables: Mapping[str, str]) -> None:
    """``kleio config``."""
    rows = [[key, variables[key], one.source, _setting(one.value)] for key, one in found.items()]
    table(["SETTING", "VARIABLE", "SOURCE", "VALUE"], rows, elastic=("SOURCE", "VALUE"))


def _setting(value: Any) -> str:
    from kleio.core import redact

    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return "" if value is None else redact.text(str(value))
