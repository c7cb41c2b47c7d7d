"""Prints ``kleio top``: a screen of it, or what runs now."""

from __future__ import annotations

import time

from kleio.cli import wording
from kleio.cli.render import styles
from kleio.cli.render_table import GAP, Column, cell_len, cut, lines, separated
from kleio.cli.render_trials import differing
from kleio.core.commandline import interpreter_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from kleio.core.running import Running

    Cell = Callable[[Running], str]

LEAST = 8
"""Columns of a terminal below which the command says nothing."""
PLAIN, FAINT = "\x1b[0m", "\x1b[2m"


def _percent(one: Running) -> str:
    return f"{one.system['cpu']:.0f}%" if "cpu" in one.system and not one.ended else ""


def _memory(one: Running) -> str:
    return wording.brief(one.system["memory"]) if "memory" in one.system and not one.ended else ""


def rate(one: Running) -> float | None:
    """Bytes a second, read and written."""
    return one.system["read_rate"] + one.system["write_rate"] if "read_rate" in one.system else None


def _rate(one: Running) -> str:
    found = rate(one)
    return "" if found is None or one.ended else f"{wording.brief(found)}/s"


def _heartbeat(one: Running) -> str:
    return "" if one.heartbeat is None or one.ended else wording.span(round(one.heartbeat)) if one.heartbeat >= 1 else "<1s"


def _works(found: Sequence[Running]) -> list[str]:
    """What each does: its name, the parameters that are its own, and its command, without the interpreter."""
    params = differing([one.entry.params for one in found])
    works = []
    for at, one in enumerate(found):
        words = one.entry.trial.command
        own = [f"{name}={wording.number(values[at])}" for name, values in params.items() if values[at] is not None]
        first = interpreter_words(words) - 1
        rest = words[first : first + 1] if own else words[first:]
        works.append(wording.printable(" ".join([*filter(None, [one.entry.name]), wording.command(rest), *own])))
    return works


COLUMNS: tuple[tuple[str, Cell, bool], ...] = (
    ("ID", lambda one: one.entry.id[:7], False),
    ("STATUS", lambda one: one.status.value, False),
    ("TIME", lambda one: wording.span(one.elapsed), True),
    ("BEAT", _heartbeat, True),
    ("CPU", _percent, True),
    ("MEM", _memory, True),
    ("I/O", _rate, True),
    ("HOST", lambda one: cut(wording.printable(one.execution.host), 16), False),
    ("USER", lambda one: cut(wording.printable(one.execution.user), 12), False),
    ("PROJECT", lambda one: cut(wording.printable(wording.project_of({"project": one.entry.trial.project})), 24), False),
)
"""Heading, cell, and whether it is a number."""
FIRST_TO_GO = {"PROJECT": 56, "USER": 48, "HOST": 40, "I/O": 22, "BEAT": 22, "STATUS": LEAST, "MEM": LEAST, "CPU": LEAST}
"""What gives way, in this order, where it does not leave so much for the command and the last values."""
OF_SEVERAL = ("HOST", "USER", "PROJECT")
"""Worth a column only where they differ."""


def screen(
    running: Sequence[Running], ended: Sequence[Running], when: float, columns: int, rows: int, first: int = 0
) -> list[str]:
    """So many lines, of so many columns: a line about all, as it was ``when`` they were looked at, then the trials from the
    ``first`` on, what has ended below.
    """
    bold, dim, _ = styles()
    head = [bold(cut(summary(running, when), columns)), ""]
    if not running and not ended:
        return [*head, dim(cut("nothing runs; this goes on looking", columns))][:rows]
    shown = [*running, *ended]
    made = table(shown, columns)
    body = [line if at < len(running) else _faded(line, dim) for at, line in enumerate(made[1:])]
    room = max(rows - len(head) - 1, 1)
    return [*head, made[0], *body[first : first + room]][:rows]


def _faded(line: str, dim: Callable[[str], str]) -> str:
    """Dim, but for the status, behind whose colour it goes on."""
    return dim(line.replace(PLAIN, f"{PLAIN}{FAINT}"))


def summary(running: Sequence[Running], when: float) -> str:
    """How many run, on how many machines, and what they take together."""
    hosts = {one.execution.host for one in running}
    said = [f"kleio top {time.strftime('%H:%M:%S', time.localtime(when))}", f"{len(running)} running"]
    if len(hosts) > 1:
        said[1] += f" on {len(hosts)} hosts"
    sampled = [one.system for one in running if "cpu" in one.system]
    if sampled:
        cpu = sum(one["cpu"] for one in sampled)
        said += [f"CPU {cpu:.0f}%", f"memory {wording.brief(sum(one['memory'] for one in sampled))}"]
    return " · ".join(said)


def table(found: Sequence[Running], width: int) -> list[str]:
    """A heading and a line each, no wider than ``width``: what says least gives way first."""
    kept = _kept(found, width)
    works = _works(found)
    natural = max(cell_len("COMMAND"), *map(cell_len, works))
    left = max(width - _taken(kept) - GAP, LEAST)
    last = [_last(one, left - GAP - min(natural, max(left // 2, LEAST))) for one in found]
    widest = max(map(cell_len, last))
    command = min(natural, left - GAP - max(widest, len("LAST"))) if widest else min(natural, left)
    texts = [Column("COMMAND", [cut(one, command) for one in works]), Column("LAST", last)]
    return lines([*kept, *(texts if widest else texts[:1])], width)


def _kept(found: Sequence[Running], width: int) -> list[Column]:
    """The columns that there is room for."""
    made = [Column(heading, [*map(cell, found)], right, False, heading == "STATUS") for heading, cell, right in COLUMNS]
    kept = [one for one in made if any(one.cells) and (one.heading not in OF_SEVERAL or len(set(one.cells)) > 1)]
    for heading, texts in FIRST_TO_GO.items():
        if _taken(kept) + GAP + texts > width and not (heading == "STATUS" and any(one.ended for one in found)):
            kept = [one for one in kept if one.heading != heading]
    return kept


def _taken(found: Sequence[Column]) -> int:
    return sum(one.natural for one in found) + GAP * (len(found) - 1)


def _last(one: Running, width: int) -> str:
    """As many last values as there is room for, those that only count last: a value that is cut in two says nothing."""
    said = ""
    for key, value in sorted(one.last.items(), key=lambda pair: isinstance(pair[1], int)):
        more = wording.printable(f"{' ' if said else ''}{key}={wording.number(value)}")
        if cell_len(said + more) > width:
            break
        said += more
    return said


def snapshot(running: Sequence[Running]) -> None:
    """What runs now, tab-separated, with everything in it."""
    headings = ["ID", "STATUS", "TIME", "HEARTBEAT", "HOST", "USER", "CPU", "MEMORY", "READ", "WRITTEN", "PROCESSES",
                "PROJECT", "TAGS", "NAME", "COMMAND", "LAST"]  # fmt: skip
    separated(headings, [_row(one) for one in running])


def _row(one: Running) -> list[str]:
    trial, taken = one.entry.trial, one.system

    def told(name: str, form: Callable[[Any], str]) -> str:
        return form(taken[name]) if name in taken else ""

    return [
        one.entry.id[:7], one.status.value, wording.span(one.elapsed), _heartbeat(one), one.execution.host,
        one.execution.user, _percent(one), told("memory", wording.size), told("read_rate", _a_second),
        told("write_rate", _a_second), told("processes", str), wording.project_of({"project": trial.project}),
        ",".join(one.entry.tags), one.entry.name or "", wording.work(trial.command, one.entry.params, one.entry.param_sources),
        " ".join(f"{key}={wording.number(value)}" for key, value in one.last.items()),
    ]  # fmt: skip


def _a_second(count: float) -> str:
    return f"{wording.size(int(count))}/s"
