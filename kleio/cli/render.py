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
    headings: Sequence[str], rows: Iterable[Sequence[str]], style: Callable[[str, str], str | None] | None = None
) -> None:
    """Rows of text: the last column takes what room there is. ``style`` gives a rich style for (heading, cell)."""
    clean = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in (list(headings), *clean):
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich.console import Console  # 25 ms, on terminals only
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        last = heading == headings[-1]
        shown.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1 if last else None, min_width=10 if last else None)
    shown.expand = True
    for row in clean:
        styled = [style(h, cell) if style else None for h, cell in zip(headings, row, strict=True)]
        shown.add_row(*[Text(cell, style=s or "") for cell, s in zip(row, styled, strict=True)])
    Console().print(shown)


def trials(found: Sequence[Mapping[str, Any]], with_project: bool) -> None:
    """``kleio ls``."""
    headings = ["ID", "STATUS", "CREATED", "TIME", *(["PROJECT"] if with_project else []), "TAGS", "LAST", "COMMAND"]
    rows = [
        [
            one["short_id"], one["status"], when(one["created"]), duration(one), *([one["project"]] if with_project else []),
            ",".join(one["tags"]), _last(one["summary"]), one["name"] or command(one["command"]),
        ]
        for one in found
    ]  # fmt: skip
    table(headings, rows, lambda heading, cell: COLOURS.get(cell) if heading == "STATUS" else None)


def _last(summary: Mapping[str, Any], most: int = 3) -> str:
    return " ".join(f"{key}={number(own.get('last'))}" for key, own in list(summary.items())[:most])


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
            ("project", one["project"]),
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
    _section(bold("statistics"), [(key, _summary(own)) for key, own in one["summary"].items()])
    _section(bold("artifacts"), [(a["name"], f"{size(a['size'])}  {_meta(a['meta'])}".rstrip()) for a in artifacts[-10:]])
    if len(artifacts) > 10:
        out(f"  … and {len(artifacts) - 10} earlier ones\n")
    if unreadable:
        out(f"{unreadable} lines of statistics could not be read and were set aside\n")
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
        return f"{len(files)} files, no repository" if files else "no repository"
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
    where = f"{one['user']}@{one['host']} pid {one['pid']}"
    return f"{colour(one['status'])}  {when(one['started'])}  {lasted}  {where}  {one['reason'] or ''}".rstrip()


def _summary(own: Mapping[str, Any]) -> str:
    parts = [f"{name} {number(own[name])}" for name in ("last", "min", "max", "mean") if name in own]
    return printable("  ".join([*parts, f"count {own['count']}"]))


def _meta(meta: Mapping[str, Any]) -> str:
    return printable(" ".join(f"{key}={number(value)}" for key, value in meta.items()))


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


def synced(fates: Sequence[tuple[str, Any]]) -> None:
    """``kleio sync``."""
    if not fates:
        complain("nothing waits on this machine")
    for execution, fate in fates:
        sys.stdout.write(f"{execution[:7]}\t{fate.value}\n")


def counts(statuses: Mapping[str, int], tags: Mapping[str, int]) -> None:
    """``kleio status``."""
    table(["STATUS", "TRIALS"], [[name, str(count)] for name, count in statuses.items()], lambda _, cell: COLOURS.get(cell))
    if tags:
        sys.stdout.write("\n")
        table(["TAG", "TRIALS"], [[name, str(count)] for name, count in tags.items()])


def settings(found: Mapping[str, Value], variables: Mapping[str, str]) -> None:
    """``kleio config``."""
    rows = [[key, variables[key], one.source, _setting(one.value)] for key, one in found.items()]
    table(["SETTING", "VARIABLE", "SOURCE", "VALUE"], rows)


def _setting(value: Any) -> str:
    from kleio.core import redact

    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return "" if value is None else redact.text(str(value))
