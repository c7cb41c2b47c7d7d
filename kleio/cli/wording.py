"""Values as people read them: numbers, times, sizes, commands. Nothing here prints."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


TAGGED = '{"$kleio":'


def printable(text: str) -> str:
    """``text`` without what a terminal would obey."""
    if text.isprintable():
        return text
    clean = "".join(c if c.isprintable() or c == " " else _picture(c) for c in text)
    return clean.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _picture(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return character  # a byte that is no UTF-8; replaced as a whole afterwards
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


def number(value: Any, digits: int = 4) -> str:
    """Numbers to so many significant digits; text cut short."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = untagged(str(value))
    return text if len(text) <= 40 else text[:39] + "…"


def untagged(text: str) -> str:
    """A value that JSON has no form of, as it reads in ``--json``: ``2024-05-01``, and not how it is stored."""
    if TAGGED not in text:
        return text
    from kleio.core.values import loads, portable

    try:
        return str(portable(loads(text)))
    except ValueError:
        return text  # not stored by kleio, but like it


def command(words: Sequence[str]) -> str:
    """A command as one would paste it."""
    import shlex

    return shlex.join(words)


def work(words: Sequence[str], params: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """A command, and in brackets the first parameters of which only the script tells: ``python sweep.py (k=3)``."""
    told = [f"{name}={number(value)}" for name, value in params.items() if sources.get(name) == "script"]
    more = ["…"] if len(told) > 3 else []
    return f"{command(words)} ({', '.join(told[:3] + more)})" if told else command(words)


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


def code_line(code: Mapping[str, Any]) -> str:
    """Commit, branch, and whether there were changes on top."""
    if code.get("damaged"):
        return str(code["damaged"])
    if not code.get("commit"):
        files = f"{several(len(code['changes']), 'file')}, " if code.get("changes") else ""
        return f"{files}{'no commit yet' if code.get('kind') == 'git' else 'no repository'}"
    branch = f" on {code['branch']}" if code.get("branch") else " (detached)"
    return f"{code['commit'][:12]}{branch}{', with uncommitted changes' if code.get('dirty') else ''}"


def cut_line(one: Mapping[str, Any]) -> str:
    """The parent of a branch, where it was cut, and what differs; empty for what is no branch."""
    cut = one["cut"]
    if not one["parent"] or not cut:
        return ""
    changed = f" ({', '.join(cut['changed'])})" if cut.get("changed") else ""
    return f"{one['parent'][:7]} at {'its end' if cut['criterion'] == 'end' else cut['criterion']}{changed}"


def python_line(environment: Mapping[str, Any] | None) -> str:
    python = (environment or {}).get("python")
    return f"{python['version'] or 'unknown version'} ({python['executable']})" if python else ""


def machine_line(environment: Mapping[str, Any] | None) -> str:
    if not environment or "host" not in environment:
        return ""
    gib = environment["memory"] / (1 << 30)
    processor = environment["cpu"] or environment["system"]["machine"]
    return f"{environment['host']}: {processor}, {environment['cores']} cores, {gib:.0f} GiB"


def several(count: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def project_of(one: Mapping[str, Any]) -> str:
    """Its project; one that is named by its root commit, by the beginning of it."""
    project = str(one["project"])
    return f"{project[:12]} (root commit)" if len(project) in (40, 64) and "/" not in project else project


def meta(values: Mapping[str, Any]) -> str:
    """What an artifact was logged with: ``epoch=3 val_loss=0.21``."""
    return printable(" ".join(f"{number(key)}={number(value)}" for key, value in values.items()))


def size(count: int) -> str:
    """Bytes, in a unit that fits."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def brief(count: float) -> str:
    """Bytes in four columns or five: ``0``, ``812``, ``1.2K``, ``57M``."""
    value = float(count)
    for unit in ("", "K", "M", "G"):
        if value < 999.5:
            return f"{value:.1f}{unit}" if unit and value < 9.95 else f"{value:.0f}{unit}"
        value /= 1024
    return f"{value:.1f}T"
