"""A plot as a page of its own: an SVG drawn here, a table of its curves, and a short script for the values under the mouse.

It loads nothing from anywhere, and no text of a trial is ever script: the page allows the script below and no other.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json

from kleio.core.plotting import axes
from kleio.core.plotting.thinning import thinned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kleio.core.plotting.curves import Picture, Stroke
    from kleio.core.plotting.thinning import Line

MARGINS = (70, 20, 20, 50)
"""Pixels left, right, above and below the curves."""
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
FEW = 40
"""Points of a curve that are shown as points, not only as a line."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --text: #555; }
@media (prefers-color-scheme: dark) { :root { --text: #bbb; } body { background: #181818; color: #ddd; } }
body { font: 14px system-ui, sans-serif; margin: 1.5em auto; max-width: 1300px; padding: 0 1em; }
h1 { font-size: 1.1em; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--text); }
.grid { stroke: var(--line); }
polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.raw { opacity: .25; stroke-width: 1; }
.off { display: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, td.id { text-align: left; overflow-wrap: anywhere; }
td.id { font-family: monospace; }
label { cursor: pointer; }
.swatch { display: inline-block; width: 1.2em; height: .25em; margin: 0 .5em .25em 0; }
#values { position: fixed; pointer-events: none; background: Canvas; color: CanvasText; border: 1px solid var(--line);
  padding: .3em .6em; border-radius: 4px; white-space: pre; display: none; }
"""

SCRIPT = """
"use strict";
const {x, y, frame, curves} = JSON.parse(document.getElementById("curves").textContent);
const svg = document.querySelector("svg"), box = document.getElementById("values"), cursor = document.getElementById("cursor");
const on = curves.map(() => true);
const part = (axis, value) => axis.log ? Math.log(value / axis.low) / Math.log(axis.high / axis.low)
                                       : (value - axis.low) / (axis.high - axis.low);
const across = value => frame.left + part(x, value) * frame.width;
const shown = value => Number(value.toPrecision(6)).toString();
document.querySelectorAll("input").forEach((input, at) => input.addEventListener("change", () => {
  on[at] = input.checked;
  document.querySelectorAll(".c" + at).forEach(one => one.classList.toggle("off", !on[at]));
}));
svg.addEventListener("mouseleave", () => { box.style.display = "none"; cursor.style.display = "none"; });
svg.addEventListener("mousemove", event => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
  let nearest = null;
  curves.forEach((curve, n) => { if (on[n]) curve.x.forEach(value => {
    if (nearest === null || Math.abs(across(value) - at) < Math.abs(across(nearest) - at)) nearest = value;
  }); });
  if (nearest === null) return;
  const lines = [x.label + " " + shown(nearest)];
  curves.forEach((curve, n) => {
    if (!on[n] || !curve.x.length) return;
    let best = 0;
    curve.x.forEach((value, i) => { if (Math.abs(value - nearest) < Math.abs(curve.x[best] - nearest)) best = i; });
    if (Math.abs(across(curve.x[best]) - across(nearest)) < 8) lines.push(curve.label + "  " + shown(curve.y[best]));
  });
  cursor.setAttribute("x1", across(nearest)); cursor.setAttribute("x2", across(nearest));
  cursor.style.display = "inline";
  box.textContent = lines.join("\\n");
  box.style.display = "block";
  box.style.left = Math.min(event.clientX + 16, window.innerWidth - box.offsetWidth - 8) + "px";
  box.style.top = event.clientY + 16 + "px";
});
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<meta name="kleio-trial" content="{trials}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{svg}
<table>
<tr><th>curve</th><th>trial</th><th>points</th><th>first</th><th>last</th><th>min</th><th>max</th></tr>
{rows}
</table>
<div id="values"></div>
<script type="application/json" id="curves">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def page(picture: Picture, size: tuple[int, int]) -> str:
    """The whole page; the SVG in it is ``size`` pixels wide and high."""
    frame = _Frame(picture, size)
    strokes = picture.strokes
    lines = [[thinned(line, picture.x, size[0]) for line in stroke.lines] for stroke in strokes]
    title = picture.title or ", ".join(dict.fromkeys(stroke.curve.key for stroke in strokes))
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return PAGE.format(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        trials=html.escape(" ".join(dict.fromkeys(stroke.curve.trial for stroke in strokes))),
        title=html.escape(title),
        style=STYLE,
        svg="\n".join(_svg(frame, lines)),
        rows="\n".join(_row(at, stroke) for at, stroke in enumerate(strokes)),
        data=_data(frame, lines),
        script=SCRIPT,
    )


class _Frame:
    """Where the curves are, in pixels."""

    def __init__(self, picture: Picture, size: tuple[int, int]) -> None:
        self.picture, self.size = picture, size
        left, right, above, below = MARGINS
        self.left, self.top = left, above
        self.width, self.height = max(size[0] - left - right, 50), max(size[1] - above - below, 50)

    def x(self, value: float) -> float:
        return self.left + self.picture.x.at(value) * self.width

    def y(self, value: float) -> float:
        return self.top + (1 - self.picture.y.at(value)) * self.height


def _svg(frame: _Frame, lines: Sequence[Sequence[Line]]) -> Iterator[str]:
    picture, (width, height) = frame.picture, frame.size
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    yield from _grid(frame)
    for at, (stroke, own) in enumerate(zip(picture.strokes, lines, strict=True)):
        colour = COLORS[at % len(COLORS)]
        for line in stroke.behind:
            yield _polyline(frame, thinned(line, picture.x, width), colour, f"raw c{at}")
        few = sum(len(x) for x, _ in own) <= FEW and not stroke.behind
        for line in own:
            yield _polyline(frame, line, colour, f"c{at}")
            if few or len(line[0]) == 1:
                yield from (f'<circle class="c{at}" cx="{frame.x(x):.2f}" cy="{frame.y(y):.2f}" r="2.5" fill="{colour}"/>'
                            for x, y in zip(*line, strict=True))  # fmt: skip
    yield f'<line id="cursor" class="grid" style="display: none" y1="{frame.top}" y2="{frame.top + frame.height}"/>'
    yield "</svg>"


def _grid(frame: _Frame) -> Iterator[str]:
    """Lines at the ticks, their numbers, and the names of the axes."""
    right, bottom = frame.left + frame.width, frame.top + frame.height
    ticks = frame.picture.y.ticks(max(frame.height // 60, 3))
    for tick, name in zip(ticks, axes.shown(ticks), strict=True):
        at = f"{frame.y(tick):.1f}"
        yield f'<line class="grid" x1="{frame.left}" x2="{right}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{frame.left - 8}" y="{at}" text-anchor="end" dominant-baseline="middle">{name}</text>'
    ticks = frame.picture.x.ticks(max(frame.width // 90, 3))
    for tick, name in zip(ticks, axes.shown(ticks), strict=True):
        at = f"{frame.x(tick):.1f}"
        yield f'<line class="grid" y1="{frame.top}" y2="{bottom}" x1="{at}" x2="{at}"/>'
        yield f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{name}</text>'
    middle = frame.left + frame.width / 2
    yield f'<text x="{middle}" y="{bottom + 38}" text-anchor="middle">{html.escape(frame.picture.x_label)}</text>'
    turned = f"translate(14 {frame.top + frame.height / 2}) rotate(-90)"
    yield f'<text transform="{turned}" text-anchor="middle">{html.escape(frame.picture.y_label)}</text>'


def _polyline(frame: _Frame, line: Line, colour: str, names: str) -> str:
    points = " ".join(f"{frame.x(x):.2f},{frame.y(y):.2f}" for x, y in zip(*line, strict=True))
    return f'<polyline class="{names}" stroke="{colour}" points="{points}"/>'


def _row(at: int, stroke: Stroke) -> str:
    """A curve in the table."""
    curve = stroke.curve
    values = [value for _, y in stroke.lines for value in y]
    told = [values[0], values[-1], min(values), max(values)] if values else []
    swatch = f'<span class="swatch" style="background:{COLORS[at % len(COLORS)]}"></span>'
    cells = [
        f'<td><label><input type="checkbox" checked> {swatch}{html.escape(curve.label)}</label></td>',
        f'<td class="id">{html.escape(curve.trial)}</td>',
        f"<td>{len(curve.y):,}</td>",
        *(f"<td>{value:.6g}</td>" for value in told),
        *["<td></td>"] * (4 - len(told)),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _data(frame: _Frame, lines: Sequence[Sequence[Line]]) -> str:
    """What the script reads, which is no script itself."""
    picture = frame.picture
    data: dict[str, Any] = {
        "x": {"low": picture.x.low, "high": picture.x.high, "log": picture.x.log, "label": picture.x_label},
        "y": {"label": picture.y_label},
        "frame": {"left": frame.left, "width": frame.width},
        "curves": [
            {"label": stroke.curve.label, "x": [v for x, _ in own for v in x], "y": [v for _, y in own for v in y]}
            for stroke, own in zip(picture.strokes, lines, strict=True)
        ],
    }
    return json.dumps(data).replace("<", "\\u003c")
