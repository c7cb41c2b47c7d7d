"""Prints ``kleio info``: the page one wants to see."""

from __future__ import annotations

import shlex
import sys
from itertools import islice

from kleio.cli import wording
from kleio.cli.render import styles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.about import About
    from kleio.core.trial import Entry

FILES_SHOWN = 10
INSTALLED = ("/site-packages/", "/dist-packages/", "/lib/python", '"<frozen ')
"""In the paths of code that the user did not write."""
KEYS_SHOWN = 200
NOTEBOOK = "jupyter"
"""The first word of what stands for the command of an experiment in a notebook."""


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
    return wording.printable("  ".join(one for one in [*said, wording.meta(record.get("meta") or {}), change] if one))


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
        listed.append((name, f"{wording.size(one['size'])}  {wording.meta(one['meta'])}{several}".rstrip()))
    left = {one["name"]: one["size"] for one in artifacts if one.get("output")}
    if left:
        names = [name.partition("/")[2] for name in left]
        first = ", ".join(sorted(names)[:FILES_SHOWN]) + (", …" if len(names) > FILES_SHOWN else "")
        where = f" in {outputs[-1]}" if outputs else ""
        said = wording.printable(f"{wording.several(len(left), 'file')}{where}: {first}")
        listed.append(("output/", f"{wording.size(sum(left.values()))}  {said}"))
    return listed


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
