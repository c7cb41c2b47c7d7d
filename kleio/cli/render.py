"""The only place that prints, and the only one that knows ``--json``.

rich on a terminal, plain tab-separated text in a pipe; NO_COLOR is honoured. What comes from a trial may hold anything: on a
terminal control characters are shown as pictures, so that no trial repaints the reader's screen.
"""

from __future__ import annotations

import os
import shlex
import sys
from itertools import islice

from kleio.cli import wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.about import About
    from kleio.core.config import Value
    from kleio.core.journal.base import Journal
    from kleio.core.recovery import Recovered
    from kleio.core.trial import Entry

COLOURS = {
    "completed": "green", "running": "cyan", "reserved": "cyan", "broken": "red", "interrupted": "yellow",
    "suspended": "yellow", "failover": "magenta",
}  # fmt: skip
FILES_SHOWN = 10
INSTALLED = ("/site-packages/", "/dist-packages/", "/lib/python", '"<frozen ')
"""In the paths of code that the user did not write."""
KEYS_SHOWN = 200
NOTEBOOK = "jupyter"
"""The first word of what stands for the command of an experiment in a notebook."""


def complain(message: str) -> None:
    """kleio's own words: on stderr, one line."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"kleio: {wording.printable(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens; the run goes on


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


def trials(found: Sequence[Mapping[str, Any]], with_project: bool) -> None:
    """``kleio ls``."""
    room = _columns() if sys.stdout.isatty() else None  # on a terminal: short, and only what is worth its width
    columns: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("ID", lambda one: one["short_id"]),
        ("STATUS", lambda one: one["status"]),
        ("CREATED", lambda one: wording.when(one["created"]) if room is None else wording.recently(one["created"])),
        ("TIME", wording.duration),
        ("PROJECT", wording.project_of),
        ("TAGS", lambda one: ",".join(one["tags"])),
        ("NAME", lambda one: one["name"] or ""),
        ("COMMAND", lambda one: wording.work(one["command"], one["params"], one["param_sources"])),
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
    shown = [f"{key}={wording.number(own.get('last'))}" for key, own in list(summary.items())[: min(max(most, 1), 3)]]
    return " ".join([*shown, "…"] if len(shown) < min(len(summary), 3) else shown)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def trial(one: Mapping[str, Any], also: About) -> None:
    """``kleio info``: the page one wants to see."""
    bold, dim, colour = styles()
    out = sys.stdout.write
    out(f"{bold('trial')} {one['id']}  {colour(one['status'])}\n")
    _fields(
        [
            ("command", wording.command(one["command"])),
            ("name", one["name"]),
            ("note", one["note"]),
            ("tags", ", ".join(one["tags"])),
            ("project", wording.project_of(one)),
            ("directory", one["cwd"]),
            ("created", wording.when(one["created"])),
            ("continues", wording.cut_line(one)),
            ("hash code", _hash_codes(also.hash_codes)),
            ("previous", (one["previous"] or "")[:7]),
            ("within", (one["within"] or "")[:7]),
            ("code", wording.code_line(one["code"])),
            ("python", wording.python_line(one["environment"])),
            ("machine", wording.machine_line(one["environment"])),
        ],
        dim,
    )
    _section(bold("parameters"), [(name, _parameter(one, name, dim)) for name in one["params"]])
    _section(bold("executions"), [(f"{e['number']}", _attempt(e, colour)) for e in one["executions"]])
    _section(bold("exceptions"), [(f"{e['number']}", line) for e in one["executions"] for line in _raised(e, dim)])
    _summaries(bold("statistics"), one["summary"])
    _fields([("scopes", also.scopes)], dim)
    _section(bold("analyses"), [(str(author["trial"])[:7], _analysis(author, keys)) for author, keys in also.analyses])
    _section(bold("artifacts"), _by_name(also.artifacts, [e["output"] for e in one["executions"] if e["output"]]))
    _section(bold("resources"), _resources(also.resources))
    _section(bold("files written"), _files(also.files))
    line = [*also.ancestors, *also.branches]
    _section(bold("lineage"), [(other.id[:7], _relative(other, one, colour)) for other in line])
    if also.unreadable:
        out(f"{wording.several(also.unreadable, 'line')} of statistics could not be read and set aside\n")
    for remark in also.remarks:
        out(f"{wording.printable(remark)}\n")
    for left in one["code"].get("left_out") or ():
        out(wording.printable(f"not kept with the code: {left['path']} ({left['size']:,} bytes, {left['why']})") + "\n")
    _scrubs(also.scrubs)
    out(dim(_next_commands(one, also.experiment)) + "\n")


def _hash_codes(found: Sequence[str]) -> str:
    """The last of them: of parsers that come one after the other, that knows the most."""
    several = f"  (the last of {len(found)})" if len(found) > 1 else ""
    return f"{found[-1]}{several}" if found else ""


def _parameter(one: Mapping[str, Any], name: str, dim: Callable[[str], str]) -> str:
    """Its value, where it came from and, where that is another, the default."""
    value, defaults = one["params"][name], one["param_defaults"]
    other = f", default {defaults[name]}" if defaults.get(name) not in (None, value) else ""
    told = dim(wording.printable(f"({one['param_sources'].get(name)}{other})"))
    return f"{wording.printable(str(value))}  {told}"


def _raised(execution: Mapping[str, Any], dim: Callable[[str], str]) -> list[str]:
    """What ended it, each exception once whatever the number of processes: its last line, and where in code of one's own."""
    found: dict[str, str] = {}
    for told in execution["exceptions"]:
        said = told["message"].strip().splitlines()
        line = f"{told['type']}: {said[0]}" if said else told["type"]
        places = [one.strip() for one in told["traceback"].splitlines() if one.lstrip().startswith("File ")]
        own = [one for one in places if not any(part in one for part in INSTALLED)] or places
        found[wording.printable(line)] = dim(wording.printable(f"({own[-1]})")) if own else ""
    return [f"{line}  {where}".rstrip() for line, where in found.items()]


def _resources(found: Sequence[tuple[str, Mapping[str, Any], str]]) -> list[tuple[str, str]]:
    """The first few inputs, those that changed before the others."""
    ordered = sorted(found, key=lambda one: not one[2])
    shown = [(path, _resource(record, change)) for path, record, change in ordered[:FILES_SHOWN]]
    return [*shown, ("…", f"and {len(found) - FILES_SHOWN:,} more")] if len(found) > FILES_SHOWN else shown


def _resource(record: Mapping[str, Any], change: str) -> str:
    """An input: how large it was, the beginning of its digest, and whether an earlier execution had another."""
    if record.get("sha256") is None:
        said = [str(record.get("note") or "")]
    else:
        files = wording.several(record["files"], "file") if record.get("kind") == "directory" else ""
        said = [wording.size(record["size"]), files, f"sha256:{str(record['sha256'])[:12]}"]
    if record.get("unreadable"):
        said.append(f"{record['unreadable'][0]} not readable")
    if record.get("steady") is False:
        said.append("changed while it was read")
    return wording.printable("  ".join(one for one in [*said, _meta(record.get("meta") or {}), change] if one))


def _scrubs(found: Sequence[Mapping[str, Any]]) -> None:
    """That something was taken out of a trial, when, and by whom."""
    from kleio.core.view import iso

    for one in found:
        counts = ", ".join(f"{count:,} in {kind}" for kind, count in one["counts"].items())
        line = f"scrubbed {wording.when(iso(one['time']) or '')} by {one['by']}: {counts}"
        sys.stdout.write(f"{wording.printable(line)}\n")


def _files(files: Sequence[Sequence[Any]]) -> list[tuple[str, str]]:
    """The first few of them, each as it was last."""
    latest = {path: size for path, size, *_ in files}
    shown = [(path, wording.size(size)) for path, size in sorted(latest.items())[:FILES_SHOWN]]
    return [*shown, ("…", f"and {len(latest) - FILES_SHOWN:,} more")] if len(latest) > FILES_SHOWN else shown


def _relative(other: Entry, one: Mapping[str, Any], colour: Callable[[str], str]) -> str:
    what = "a branch of this one" if other.trial.parent == one["id"] else "continued"
    cut = f" at {other.trial.cut['criterion']}" if other.trial.cut and other.trial.parent == one["id"] else ""
    return f"{what}{wording.printable(cut)}, {colour(other.status.value)}"


def _fields(pairs: Sequence[tuple[str, Any]], dim: Callable[[str], str]) -> None:
    for name, value in pairs:
        if value:
            sys.stdout.write(f"  {dim(f'{name:<10}')} {wording.printable(str(value))}\n")


def _section(title: str, pairs: Sequence[tuple[str, str]]) -> None:
    if not pairs:
        return
    sys.stdout.write(f"{title}\n")
    width = min(max(len(name) for name, _ in pairs), 30)
    for name, value in pairs:
        sys.stdout.write(f"  {wording.printable(name):<{width}}  {value}\n")


def styles() -> tuple[Callable[[str], str], Callable[[str], str], Callable[[str], str]]:
    """Bold, dim, and the colour of a status; plain text where there is no terminal."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return str, str, str
    codes = {"green": 32, "cyan": 36, "red": 31, "yellow": 33, "magenta": 35}

    def painted(code: int) -> Callable[[str], str]:
        return lambda text: f"\x1b[{code}m{text}\x1b[0m"

    return painted(1), painted(2), lambda status: painted(codes.get(COLOURS.get(status, ""), 1))(status)


def _attempt(one: Mapping[str, Any], colour: Callable[[str], str]) -> str:
    taken = wording.seconds_of(one)
    lasted = wording.span(taken) if taken is not None else "?"
    running = one["status"] in ("running", "reserved")
    process = f" pid {one['pid']}" if running else ""
    where = f"{one['user']}@{one['host']}{process}"
    padding = " " * (len("interrupted") - len(one["status"]))
    started = wording.when(one["started"])
    said = wording.printable(f"{where}  {one['reason'] or ''}").rstrip()
    return f"{colour(one['status'])}{padding}  {started}  {lasted:>6}  {said}"


def _summaries(title: str, summary: Mapping[str, Mapping[str, Any]]) -> None:
    """A line for each key; what a key has no values for, as text has no mean, stays empty."""
    if not summary:
        return
    names = ("last", "min", "max", "mean", "count")
    left = len(summary) - KEYS_SHOWN
    summary = dict(islice(summary.items(), KEYS_SHOWN))
    cells = [[wording.number(own[name]) if name in own else "" for name in names] for own in summary.values()]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    margin = min(max(8, *map(len, summary)), 30)  # "statistics" itself is in the way
    rows = [(title + " " * (margin + 2 - len("statistics")), list(names))]
    rows += [(f"  {wording.printable(key):<{margin}}", own) for key, own in zip(summary, cells, strict=True)]
    for head, own in rows:
        values = "  ".join(f"{wording.printable(cell):>{width}}" for cell, width in zip(own, widths, strict=True))
        sys.stdout.write(f"{head}  {values}".rstrip() + "\n")
    if left > 0:
        sys.stdout.write(f"  … and {left:,} more (--json)\n")


def _analysis(author: Mapping[str, Any], keys: Mapping[str, int]) -> str:
    """Which of the statistics somebody computed later."""
    counts = [f"{key} ({count:,})" for key, count in islice(keys.items(), FILES_SHOWN)]
    more = [f"and {len(keys) - FILES_SHOWN:,} more"] if len(keys) > FILES_SHOWN else []
    return wording.printable(f"by {author['user']}: {', '.join(counts + more)}")


def _by_name(artifacts: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[tuple[str, str]]:
    """The newest of each name, and how many there are; what was left in one of the directories ``outputs`` is one line."""
    newest = {one["name"]: one for one in artifacts if not one.get("output")}
    counted = {name: sum(one["name"] == name for one in artifacts) for name in newest}
    listed = []
    for name, one in newest.items():
        several = f"  (the newest of {counted[name]})" if counted[name] > 1 else ""
        listed.append((name, f"{wording.size(one['size'])}  {_meta(one['meta'])}{several}".rstrip()))
    left = {one["name"]: one["size"] for one in artifacts if one.get("output")}
    if left:
        names = [name.partition("/")[2] for name in left]
        first = ", ".join(sorted(names)[:FILES_SHOWN]) + (", …" if len(names) > FILES_SHOWN else "")
        where = f" in {outputs[-1]}" if outputs else ""
        said = wording.printable(f"{wording.several(len(left), 'file')}{where}: {first}")
        listed.append(("output/", f"{wording.size(sum(left.values()))}  {said}"))
    return listed


def _meta(meta: Mapping[str, Any]) -> str:
    return wording.printable(" ".join(f"{key}={wording.number(value)}" for key, value in meta.items()))


def _next_commands(one: Mapping[str, Any], experiment: bool) -> str:
    short = one["short_id"]
    cat = f"kleio cat {short}"
    if one["status"] in ("running", "reserved"):
        return f"next: kleio tail -f {short} · {cat}"
    if not experiment:
        return f"next: kleio run {short} · {cat}"
    if one["command"][:1] == [NOTEBOOK]:  # which is what stands for it, and no command
        return f"next: {cat}"
    return f"next: {wording.printable(shlex.join(one['command']))} · {cat}"


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
