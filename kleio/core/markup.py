"""Tables in Markdown and LaTeX: cells hold anything, and mean nothing there."""

from __future__ import annotations

import re
import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WIDEST = 40
"""Cells are filled up to the width of their column, for those who read the source, as long as that is no more."""
_MARKS = re.compile(r"[\\`*~|\[\]]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_TEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", **{one: f"\\{one}" for one in "&%$#_{}"},
})  # fmt: skip
_JOINERS = "\u200c\u200d"
"""What holds the parts of some letters and emoji together."""
_NUMBER = re.compile(r"(-?)(\d+(?:\.\d+)?)(?:e([+-]\d+))?\Z")


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """A table as GitHub and pandoc read it; numbers stand on the right."""
    cells = [[_markdown(cell) for cell in row] for row in (headings, *rows)]
    widths = [min(max(3, *map(_width, column)), WIDEST) for column in zip(*cells, strict=True)]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    lines = [[_filled(*one) for one in zip(row, widths, numeric, strict=True)] for row in cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], rule, *lines[1:]])


def _markdown(text: str) -> str:
    if not text:
        return ""
    entities = _shown(text, "\0").translate(_ENTITIES)
    return _MARKS.sub(r"\\\g<0>", entities).replace("\0", "<br>").strip()


def _filled(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return f"{space}{cell}" if right else f"{cell}{space}"


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text)


def latex(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """A ``tabular`` with the lines of the package booktabs."""
    head = " & ".join(map(_latex, headings))
    lines = [
        " & ".join(_number(cell) if right else _latex(cell) for cell, right in zip(row, numeric, strict=True)) for row in rows
    ]
    columns = "".join("r" if right else "l" for right in numeric)
    body = "".join(f"{line} \\\\\n" for line in lines)
    return (
        f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def _latex(text: str) -> str:
    """Two dashes stay two, and a bracket or star at the beginning of a row is no argument of the line break before it."""
    escaped = _shown(text, " ").translate(_TEX)
    if "--" in escaped:
        escaped = re.sub("-(?=-)", "-{}", escaped)
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def _number(cell: str) -> str:
    """In math, where a minus is one, and powers of ten are powers."""
    if not cell:
        return ""
    if cell in ("inf", "-inf"):
        return "$\\infty$" if cell == "inf" else "$-\\infty$"
    found = _NUMBER.match(cell)
    if found is None:
        return _latex(cell)
    sign, digits, power = found.groups()
    if power is not None:
        return f"${sign}{digits} \\times 10^{{{int(power)}}}$"
    return f"${cell}$" if sign else cell


def _shown(text: str, newline: str) -> str:
    """Lines joined, and nothing that a terminal would obey where somebody looks at the file."""
    if text.isprintable():
        return text
    lines = text.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\t", " ").splitlines()
    shown = ("".join(c if c.isprintable() or c in _JOINERS else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines)
    return newline.join(shown)
