"""Prints ``kleio info``: the page one wants to see."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import islice

from kleio.cli import wording
from kleio.cli.next_commands import next_commands
from kleio.cli.render import styles
from kleio.cli.render_courses import summaries, width_of
from kleio.cli.render_table import cut, size
from kleio.core import environment_changes
from kleio.core.statistics import SYSTEM, is_logged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.about import About
    from kleio.core.artifact_listing import Listed
    from kleio.core.trial import Entry

FILES_SHOWN = 10
PARAMETERS_SHOWN = 200
ARTIFACTS_SHOWN = 50
INSTALLED = ("/site-packages/", "/dist-packages/", "/lib/python", '"<frozen ')
"""In the paths of code that the user did not write."""
LINES = 3
"""Of a terminal, that a command or a remark may take."""
LONGEST_NAME = 30
LONGEST = 100_000
"""Characters of a value that are shown in a pipe."""


def trial(one: Mapping[str, Any], also: About) -> None:
    """``kleio info``: what, when, where, how it ended, what went in and came out, and what comes next."""
    bold, dim, colour = styles()
    out = sys.stdout.write
    out(f"{bold('trial')} {one['id']}  {colour(one['status'])}\n")
    _fields(_head(one, also), dim)
    _section(bold("parameters"), _parameters(one, bold, dim))
    _section(bold("executions"), [(f"{e['number']}", _attempt(e, colour)) for e in one["executions"]])
    _section(bold("exceptions"), [(f"{e['number']}", line) for e in one["executions"] for line in _raised(e, dim)])
    summaries({key: own for key, own in one["summary"].items() if is_logged(key)}, also.statistics.courses)
    _section(bold("system"), _system(one["summary"]))
    _fields([("scopes", also.scopes)], dim)
    _section(bold("analyses"), [(str(author["trial"])[:7], _analysis(author, keys)) for author, keys in also.analyses])
    _section(bold("artifacts"), _by_name(also.artifacts, [e["output"] for e in one["executions"] if e["output"]]))
    _section(bold("resources"), _resources(also.resources))
    _section(bold("files written"), _files(also.files))
    _section(bold("lineage"), _lineage(one, also, colour))
    if also.unreadable:
        out(f"{wording.several(also.unreadable, 'line')} of statistics could not be read and set aside\n")
    for remark in also.remarks:
        out(f"{wording.printable(remark)}\n")
    for left in one["code"].get("left_out") or ():
        out(wording.printable(f"not kept with the code: {left['path']} ({left['size']:,} bytes, {left['why']})") + "\n")
    _scrubs(also.scrubs)
    _section(bold("next"), [(what, wording.printable(command)) for what, command in next_commands(one, also)])


def _system(summary: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What was sampled of the machine: mean and greatest, and of what only grows how much it came to."""
    found = []
    for key, own in summary.items():
        name = key.removeprefix(SYSTEM)
        if is_logged(key) or "max" not in own:
            continue
        said = {"cpu": _percent, "processes": wording.number}.get(name, wording.size)
        ending = "/s" if name.endswith("_rate") else ""
        if name in ("read", "written"):
            found.append((name, said(own["max"])))
        else:
            found.append((name.replace("_", " "), f"mean {said(own['mean'])}{ending}, max {said(own['max'])}{ending}"))
    return found


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _head(one: Mapping[str, Any], also: About) -> list[tuple[str, Any]]:
    environment = one["environment"] or {}
    return [
        ("command", wording.command(one["command"])),
        ("name", one["name"]),
        ("note", one["note"]),
        ("tags", ", ".join(one["tags"])),
        ("imported", f"from {also.imported['from']}, {also.imported['place']}" if also.imported else ""),
        ("project", wording.project_of(one)),
        ("directory", one["cwd"]),
        ("created", wording.when(one["created"])),
        ("took", _took(one)),
        ("continues", wording.cut_line(one)),
        ("hash code", _hash_codes(also.hash_codes)),
        ("previous", (one["previous"] or "")[:7]),
        ("within", (one["within"] or "")[:7]),
        ("code", wording.code_line(one["code"])),
        ("python", wording.python_line(environment)),
        ("packages", f"{len(environment.get('packages') or ()):,}" if environment.get("packages") else ""),
        ("machine", wording.machine_line(environment)),
        *((name, said) for name, said in environment_changes.brief(environment) if said != "none"),
    ]


def _took(one: Mapping[str, Any]) -> str:
    """All executions together; of one that runs, so far."""
    executions = one["executions"]
    lasted = wording.duration(one)
    if not lasted:
        return ""
    runs = f" in {len(executions)} executions" if len(executions) > 1 else ""
    return f"{lasted}{' so far' if executions[-1]['ended'] is None else ''}{runs}"


def _hash_codes(found: Sequence[str]) -> str:
    """The last of them: of parsers that come one after the other, that knows the most."""
    several = f"  (the last of {len(found)})" if len(found) > 1 else ""
    return f"{found[-1]}{several}" if found else ""


def _parameters(
    one: Mapping[str, Any], bold: Callable[[str], str], dim: Callable[[str], str]
) -> list[tuple[str, str]]:
    """Each with its source; on a terminal what is not at its default stands out."""
    names = list(islice(one["params"], PARAMETERS_SHOWN))
    room = size()[0] - min(max(map(width_of, names), default=0), LONGEST_NAME) - 6 if sys.stdout.isatty() else LONGEST
    shown = [(name, _parameter(one, name, room, (bold, dim))) for name in names]
    left = len(one["params"]) - len(shown)
    return [*shown, ("…", f"and {left:,} more (--json)")] if left > 0 else shown


def _parameter(one: Mapping[str, Any], name: str, room: int, paint: tuple[Callable[[str], str], Callable[[str], str]]) -> str:
    """Its value, where it came from and, where that is another, the default."""
    value, defaults = one["params"][name], one["param_defaults"]
    bold, dim = paint
    differs = defaults.get(name) not in (None, value)
    default = f", default {_short(wording.printable(str(defaults[name])), room // 3) or repr('')}" if differs else ""
    source = wording.printable(f"({one['param_sources'].get(name)}") + f"{default})"
    said = _short(wording.printable(str(value)), max(room - width_of(source), 20))
    return f"{bold(said) if differs else said}  {dim(source)}"


def _short(text: str, width: int) -> str:
    return cut(text[: 4 * width], width)


def _raised(execution: Mapping[str, Any], dim: Callable[[str], str]) -> list[str]:
    """What ended it, each exception once whatever the number of processes: its last line, and where in code of one's own."""
    found: dict[str, str] = {}
    for told in execution["exceptions"]:
        message = told["message"].strip().splitlines()
        line = f"{told['type']}: {message[0]}" if message else told["type"]
        places = [one.strip() for one in told["traceback"].splitlines() if one.lstrip().startswith("File ")]
        own = [one for one in places if not any(part in one for part in INSTALLED)] or places
        said = _short(wording.printable(line), (LINES - 1) * size()[0]) if sys.stdout.isatty() else wording.printable(line)
        found[said] = dim(_short(wording.printable(f"({own[-1]})"), 300)) if own else ""
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


def _lineage(one: Mapping[str, Any], also: About, colour: Callable[[str], str]) -> list[tuple[str, str]]:
    """Those that it continues, then those that came of it, the first few of each kind."""
    kinds: list[tuple[str, list[Entry]]] = [
        ("continued", also.ancestors), ("a branch of this one", also.branches), ("run within this one", also.inner),
        ("the same work, later", also.followers),
    ]  # fmt: skip
    found = []
    for what, entries in kinds:
        shown = entries if what == "continued" else entries[:FILES_SHOWN]
        found += [(other.id[:7], _relative(what, other, one, colour)) for other in shown]
        if len(entries) > len(shown):
            found.append(("…", f"and {len(entries) - len(shown):,} more, each {what}"))
    return found


def _relative(what: str, other: Entry, one: Mapping[str, Any], colour: Callable[[str], str]) -> str:
    cut_at = f" at {other.trial.cut['criterion']}" if other.trial.cut and other.trial.parent == one["id"] else ""
    command = f": {wording.command(other.trial.command)}" if what == "run within this one" else ""
    return f"{what}{wording.printable(cut_at)}, {colour(other.status.value)}{wording.printable(command)}"


def _fields(pairs: Sequence[tuple[str, Any]], dim: Callable[[str], str]) -> None:
    for name, value in pairs:
        if value:
            said = wording.printable(str(value))
            if sys.stdout.isatty():
                said = _short(said, LINES * size()[0] - 13)
            sys.stdout.write(f"  {dim(f'{name:<10}')} {said}\n")


def _section(title: str, pairs: Sequence[tuple[str, str]]) -> None:
    if not pairs:
        return
    sys.stdout.write(f"{title}\n")
    width = min(max(width_of(name) for name, _ in pairs), LONGEST_NAME)
    for name, value in pairs:
        shown, said = wording.printable(name), value
        if sys.stdout.isatty():
            shown = cut(shown, LONGEST_NAME)
            if "\x1b" not in value:  # what has colours has been cut already
                said = _short(value, LINES * size()[0] - LONGEST_NAME)
        sys.stdout.write(f"  {shown}{' ' * (width - width_of(shown))}  {said}\n")


def _attempt(one: Mapping[str, Any], colour: Callable[[str], str]) -> str:
    taken = wording.seconds_of(one)
    lasted = wording.span(taken) if taken is not None else "?"
    running = one["status"] in ("running", "reserved")
    process = f" pid {one['pid']}" if running else ""
    where = "@".join(filter(None, (one["user"], one["host"]))) + process
    padding = " " * (len("interrupted") - len(one["status"]))
    started = wording.when(one["started"])
    said = wording.printable(f"{where}  {one['reason'] or ''}").rstrip()
    return f"{colour(one['status'])}{padding}  {started}  {lasted:>6}  {said}"


def _analysis(author: Mapping[str, Any], keys: Mapping[str, int]) -> str:
    """Which of the statistics somebody computed later."""
    counts = [f"{key} ({count:,})" for key, count in islice(keys.items(), FILES_SHOWN)]
    more = [f"and {len(keys) - FILES_SHOWN:,} more"] if len(keys) > FILES_SHOWN else []
    return wording.printable(f"by {author['user']}: {', '.join(counts + more)}")


def _by_name(artifacts: Sequence[Listed], outputs: Sequence[str]) -> list[tuple[str, str]]:
    """The newest of each name, and how many there are; what was left in one of the directories ``outputs`` is one line."""
    counted = Counter(one.name for one in artifacts if not one.left)
    newest = {one.name: one for one in artifacts if not one.left}
    listed = []
    for name, one in islice(newest.items(), ARTIFACTS_SHOWN):
        several = f"  (the newest of {counted[name]})" if counted[name] > 1 else ""
        listed.append((name, f"{wording.size(one.size)}  {wording.meta(one.meta)}{several}".rstrip()))
    if len(newest) > ARTIFACTS_SHOWN:
        listed.append(("…", f"and {len(newest) - ARTIFACTS_SHOWN:,} more names (kleio artifacts)"))
    left = {one.name: one.size for one in artifacts if one.left}
    if left:
        names = [name.partition("/")[2] for name in left]
        first = ", ".join(sorted(names)[:FILES_SHOWN]) + (", …" if len(names) > FILES_SHOWN else "")
        where = f" in {outputs[-1]}" if outputs else ""
        said = wording.printable(f"{wording.several(len(left), 'file')}{where}: {first}")
        listed.append(("output/", f"{wording.size(sum(left.values()))}  {said}"))
    return listed
