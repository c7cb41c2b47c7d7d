"""The only place that prints, and the only one that knows ``--json``.

rich on a terminal, plain tab-separated text in a pipe; NO_COLOR is honoured. What comes from a trial may hold anything: on a
terminal control characters are shown as pictures, so that no trial repaints the reader's screen.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.config import Value
    from kleio.core.journal.base import Journal
    from kleio.core.recovery import Recovered

COLOURS = {
    "completed": "green", "running": "cyan", "reserved": "cyan", "broken": "red", "interrupted": "yellow",
    "suspended": "yellow", "failover": "magenta",
}  # fmt: skip


def complain(message: str) -> None:
    """kleio's own words: on stderr, one line."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"kleio: {printable(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens; the run goes on


def printable(text: str) -> str:
    """``text`` without what a terminal would obey."""
    clean = "".join(c if c.isprintable() or c == " " else _picture(c) for c in text)
    return clean.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _picture(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return character  # a byte that is no UTF-8; replaced as a whole afterwards
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


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


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    style: Callable[[str, str], str | None] | None = None,
    elastic: Sequence[str] = (),
) -> None:
    """Rows of text. On a terminal that is too narrow the ``elastic`` columns give way, the longest first, and empty ones
    are left out. ``style`` gives a rich style for (heading, cell).
    """
    clean = [[printable(cell) for cell in row] for row in rows]
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


def trials(found: Sequence[Mapping[str, Any]], with_project: bool) -> None:
    """``kleio ls``."""
    room = _columns() if sys.stdout.isatty() else None  # on a terminal: short, and only what is worth its width
    columns: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("ID", lambda one: one["short_id"]),
        ("STATUS", lambda one: one["status"]),
        ("CREATED", lambda one: when(one["created"]) if room is None else recently(one["created"])),
        ("TIME", duration),
        ("PROJECT", project_of),
        ("TAGS", lambda one: ",".join(one["tags"])),
        ("NAME", lambda one: one["name"] or ""),
        ("COMMAND", lambda one: command(one["command"])),
        ("LAST", lambda one: _last(one["summary"], 3 if room is None else room // 20 - 3)),
    ]
    if room is not None and not any(one["name"] for one in found):
        columns = [column for column in columns if column[0] != "NAME"]
    hidden = {*([] if with_project else ["PROJECT"]), *(["TAGS"] if room is not None and room < 100 else [])}
    shown = [(heading, value) for heading, value in columns if heading not in hidden]
    rows = [[value(one) for _, value in shown] for one in found]

    def colour(heading: str, cell: str) -> str | None:
        return COLOURS.get(cell) if heading == "STATUS" else None

    table([heading for heading, _ in shown], rows, colour, ("PROJECT", "TAGS", "NAME", "COMMAND", "LAST"))


def _last(summary: Mapping[str, Any], most: int) -> str:
    """The last values of some keys: a value that is cut in two says nothing, so there are no more than fit."""
    shown = [f"{key}={number(own.get('last'))}" for key, own in list(summary.items())[: min(max(most, 1), 3)]]
    return " ".join([*shown, "…"] if len(shown) < min(len(summary), 3) else shown)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def number(value: Any) -> str:
    """Numbers to four significant digits; text cut short."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def command(words: Sequence[str]) -> str:
    """A command as one would paste it."""
    import shlex

    return shlex.join(words)


def when(stamp: str) -> str:
    """An ISO time as local time, to the second."""
    import datetime

    moment = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment.timestamp()))


def recently(stamp: str) -> str:
    """An ISO time as local time, short: without the year if it is this one."""
    full = when(stamp)
    return full[5:16] if full[:4] == time.strftime("%Y") else full[:10]


def seconds_of(execution: Mapping[str, Any]) -> float | None:
    """How long an execution took, or has taken if it runs."""
    import datetime

    started = datetime.datetime.fromisoformat(execution["started"].replace("Z", "+00:00")).timestamp()
    if execution["ended"]:
        return datetime.datetime.fromisoformat(execution["ended"].replace("Z", "+00:00")).timestamp() - started
    return time.time() - started if execution["status"] in ("running", "reserved") else None


def duration(trial: Mapping[str, Any]) -> str:
    """The time that a trial's executions took together."""
    known = [taken for taken in map(seconds_of, trial["executions"]) if taken is not None]
    return span(sum(known)) if known else ""


def span(seconds: float) -> str:
    """``0.4s``, ``12s``, ``3m05s``, ``2h10m``, ``3d04h``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def trial(one: Mapping[str, Any], artifacts: Sequence[Mapping[str, Any]], unreadable: int) -> None:
    """``kleio info``: the page one wants to see."""
    bold, dim, colour = _styles()
    out = sys.stdout.write
    out(f"{bold('trial')} {one['id']}  {colour(one['status'])}\n")
    _fields(
        [
            ("command", command(one["command"])),
            ("name", one["name"]),
            ("note", one["note"]),
            ("tags", ", ".join(one["tags"])),
            ("project", project_of(one)),
            ("directory", one["cwd"]),
            ("created", when(one["created"])),
            ("previous", one["previous"]),
            ("within", one["within"]),
            ("code", code_line(one["code"])),
            ("python", _python(one["environment"])),
            ("machine", _machine(one["environment"])),
        ],
        dim,
    )
    sources = one["param_sources"]
    parameters = [(name, f"{printable(str(value))}  {dim(f'({sources.get(name)})')}") for name, value in one["params"].items()]
    _section(bold("parameters"), parameters)
    _section(bold("executions"), [(f"{e['number']}", _attempt(e, colour)) for e in one["executions"]])
    _summaries(bold("statistics"), one["summary"])
    newest = f" (the last 10 of {len(artifacts)})" if len(artifacts) > 10 else ""
    listed = [(a["name"], f"{size(a['size'])}  {_meta(a['meta'])}".rstrip()) for a in artifacts[-10:]]
    _section(bold("artifacts") + newest, listed)
    if unreadable:
        out(f"{several(unreadable, 'line')} of statistics could not be read and set aside\n")
    for left in one["code"].get("left_out") or ():
        out(f"not kept with the code: {printable(left['path'])} ({left['size']:,} bytes, {left['why']})\n")
    out(dim(_next_commands(one)) + "\n")


def _fields(pairs: Sequence[tuple[str, Any]], dim: Callable[[str], str]) -> None:
    for name, value in pairs:
        if value:
            sys.stdout.write(f"  {dim(f'{name:<10}')} {printable(str(value))}\n")


def _section(title: str, pairs: Sequence[tuple[str, str]]) -> None:
    if not pairs:
        return
    sys.stdout.write(f"{title}\n")
    width = min(max(len(name) for name, _ in pairs), 30)
    for name, value in pairs:
        sys.stdout.write(f"  {printable(name):<{width}}  {value}\n")


def _styles() -> tuple[Callable[[str], str], Callable[[str], str], Callable[[str], str]]:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return str, str, str
    codes = {"green": 32, "cyan": 36, "red": 31, "yellow": 33, "magenta": 35}

    def painted(code: int) -> Callable[[str], str]:
        return lambda text: f"\x1b[{code}m{text}\x1b[0m"

    return painted(1), painted(2), lambda status: painted(codes.get(COLOURS.get(status, ""), 1))(status)


def code_line(code: Mapping[str, Any]) -> str:
    """Commit, branch, and whether there were changes on top."""
    if not code.get("commit"):
        files = code.get("files")
        return f"{several(len(files), 'file')}, no repository" if files else "no repository"
    branch = f" on {code['branch']}" if code.get("branch") else " (detached)"
    return f"{code['commit'][:12]}{branch}{', with uncommitted changes' if code.get('dirty') else ''}"


def _python(environment: Mapping[str, Any] | None) -> str:
    python = (environment or {}).get("python")
    return f"{python['version'] or 'unknown version'} ({python['executable']})" if python else ""


def _machine(environment: Mapping[str, Any] | None) -> str:
    if not environment or "host" not in environment:
        return ""
    gib = environment["memory"] / (1 << 30)
    processor = environment["cpu"] or environment["system"]["machine"]
    return f"{environment['host']}: {processor}, {environment['cores']} cores, {gib:.0f} GiB"


def _attempt(one: Mapping[str, Any], colour: Callable[[str], str]) -> str:
    taken = seconds_of(one)
    lasted = span(taken) if taken is not None else "?"
    running = one["status"] in ("running", "reserved")
    process = f" pid {one['pid']}" if running else ""
    where = f"{one['user']}@{one['host']}{process}"
    padding = " " * (len("interrupted") - len(one["status"]))
    return f"{colour(one['status'])}{padding}  {when(one['started'])}  {lasted:>6}  {where}  {one['reason'] or ''}".rstrip()


def _summaries(title: str, summary: Mapping[str, Mapping[str, Any]]) -> None:
    """A line for each key; what a key has no values for, as text has no mean, stays empty."""
    if not summary:
        return
    names = ("last", "min", "max", "mean", "count")
    cells = [[number(own[name]) if name in own else "" for name in names] for own in summary.values()]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    margin = min(max(8, *map(len, summary)), 30)  # "statistics" itself is in the way
    rows = [(title + " " * (margin + 2 - len("statistics")), list(names))]
    rows += [(f"  {printable(key):<{margin}}", own) for key, own in zip(summary, cells, strict=True)]
    for head, own in rows:
        values = "  ".join(f"{printable(cell):>{width}}" for cell, width in zip(own, widths, strict=True))
        sys.stdout.write(f"{head}  {values}".rstrip() + "\n")


def _meta(meta: Mapping[str, Any]) -> str:
    return printable(" ".join(f"{key}={number(value)}" for key, value in meta.items()))


def several(count: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def project_of(one: Mapping[str, Any]) -> str:
    """Its project; one that is named by its root commit, by the beginning of it."""
    project = str(one["project"])
    return f"{project[:12]} (root commit)" if len(project) in (40, 64) and "/" not in project else project


def size(count: int) -> str:
    """Bytes, in a unit that fits."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _next_commands(one: Mapping[str, Any]) -> str:
    short = one["short_id"]
    first = f"kleio tail -f {short}" if one["status"] in ("running", "reserved") else f"kleio run {short}"
    return f"next: {first} · kleio cat {short}"


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
        sys.stdout.write(f"{(one.trial or one.execution)[:7]}\t{one.fate.value}{printable(meant)}\n")
    if any(one.fate.name == "ELSEWHERE" for one in found):
        complain("what is meant for another journal is shipped with: kleio sync --journal ADDRESS")


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
