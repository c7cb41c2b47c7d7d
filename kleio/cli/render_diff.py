"""Prints ``kleio diff``: what differs, section by section, and the patch at the end; and ``kleio script``.

The patch goes out as it is where it may be meant for ``git apply``, and in colours and harmless on a terminal.
"""

from __future__ import annotations

import os
import sys

from kleio.cli import wording
from kleio.cli.render import complain
from kleio.cli.render_table import Column, cell_len, cut, fits, lines, size
from kleio.core.filechanges import how

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kleio.core.differences import Change, Differences, Side

ARROW = "\N{RIGHTWARDS ARROW}"
LONGEST = 12
"""Columns that a figure may take."""
WIDE = 1000
"""Where there is no terminal."""


def differences(found: Differences, sections: Sequence[str]) -> None:
    """``kleio diff``. With the code alone, in a pipe, there is nothing but the patch."""
    for note in found.notes:
        complain(note)
    bare = tuple(sections) == ("code",) and found.patch is not None and not sys.stdout.isatty()
    if not bare:
        _write(f"{_bold(_name(found.before))} {ARROW} {_bold(_name(found.after))}\n")
        for section in sections:
            _SECTIONS[section](found)
        if not any(found.differ(section) for section in sections):
            _write("nothing differs\n" if found.whole else "nothing differs of what can be compared here\n")
    if found.patch and "code" in sections:
        patch(found.patch)


def patch(text: str) -> None:
    """A patch: byte for byte in a pipe."""
    _lines(text, _colour)


def script(text: str) -> None:
    """``kleio script``: byte for byte in a pipe."""
    _lines(text, lambda line: 2 if line.startswith("#") else None)


def _lines(text: str, colour: Callable[[str], int | None]) -> None:
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
        return
    for line in text.split("\n")[:-1]:
        shown = "\t".join(map(wording.printable, line.split("\t")))
        _write(_painted(shown, colour(line)) + "\n")


def _colour(line: str) -> int | None:
    if line.startswith(("diff --git ", "index ", "--- ", "+++ ", "new file ", "deleted file ", "old mode ", "new mode ")):
        return 1
    return {"+": 32, "-": 31, "@": 36}.get(line[:1])


def _params(found: Differences) -> None:
    if found.command:
        _row("command", wording.command(found.before.command))
        _write(f"         {ARROW} {_shown(wording.command(found.after.command))}\n")
    _section("parameters", found.params, _value)


def _code(found: Differences) -> None:
    if not found.files:
        return
    sides = [wording.code_line(one.code.document) for one in (found.before, found.after) if one.code]
    _row("code", f" {ARROW} ".join(dict.fromkeys(sides)))
    width = min(max(len(one.path) for one in found.files), 60)
    for one in found.files:
        _write(f"  {_shown(one.path):<{width}}  {how(one)}\n")


def _environment(found: Differences) -> None:
    _section("packages", found.packages, lambda version: str(version) if version else "")
    _section("environment", found.environment, _value)


def _statistics(found: Differences) -> None:
    before, after = found.before, found.after
    if after.id is None:
        return
    if before.status != after.status:
        _row("status", f"{before.status} {ARROW} {after.status}")
    spans = [wording.span(one.duration) if one.duration is not None else "?" for one in (before, after)]
    _row("duration", f" {ARROW} ".join(spans))
    if not found.summary:
        return
    columns = [Column("statistics", [f"  {_shown(key)}" for key in found.summary])]
    columns += [Column(name, _pairs(name, list(found.summary.values())), elastic=False) for name in _NUMBERS]
    width = size()[0] if sys.stdout.isatty() else WIDE
    shown = columns
    while len(shown) > 2 and not fits(shown, width):
        shown = shown[:-1]
    left = len(columns) - len(shown)
    more = f"  … {wording.several(left, 'column')} more (--json)" if left else ""
    _write("".join(f"{line}\n" for line in lines(shown, width, left=more)))


def _pairs(name: str, found: Sequence[Sequence[Mapping[str, Any] | None]]) -> list[str]:
    """``before → after``, the arrows below each other."""
    cells = [[cut(_number(own, name), LONGEST) for own in pair] for pair in found]
    margin = max(cell_len(before) for before, _ in cells)
    padded = [(f"{' ' * (margin - cell_len(before))}{before}", after) for before, after in cells]
    return [f"{before} {ARROW} {after}" if before.strip() or after else "" for before, after in padded]


_NUMBERS = ("last", "min", "max")
_SECTIONS: Mapping[str, Callable[[Differences], None]] = {
    "params": _params, "code": _code, "env": _environment, "stats": _statistics,
}  # fmt: skip


def _row(title: str, text: str) -> None:
    _write(_bold(title) + " " * (len("statistics ") - len(title)) + _shown(text) + "\n")


def _section(title: str, changes: Sequence[Change], words: Callable[[Any], str]) -> None:
    """A line for each: ``name  before → after``, or what came or went."""
    if not changes:
        return
    _write(_bold(title) + "\n")
    width = min(max(len(one.name) for one in changes), 30)
    for one in changes:
        before, after = _shown(words(one.before)), _shown(words(one.after))
        said = f"{before} {ARROW} {after}"
        if one.before is None or one.after is None:
            said = f"added {after}" if one.before is None else f"gone {before}"
        _write(f"  {_shown(one.name):<{width}}  {said}\n")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) <= 200 else value[:199] + "…"
    from kleio.core.values import dumps

    return dumps(value)


def _number(own: Mapping[str, Any] | None, name: str) -> str:
    return _shown(wording.number(own[name])) if own and name in own else ""


def _name(side: Side) -> str:
    return side.id[:7] if side.id else "here"


def _shown(text: str) -> str:
    return wording.printable(text)


def _bold(text: str) -> str:
    return _painted(text, 1)


def _painted(text: str, code: int | None) -> str:
    plain = code is None or not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _write(text: str) -> None:
    sys.stdout.write(text)
