"""Plots as files. Images are drawn by matplotlib, an extra, without a display and without touching what a user set up of it."""

from __future__ import annotations

import os
import warnings

from kleio.core import wholefile
from kleio.core.errors import UsageError
from kleio.core.extras import needed
from kleio.core.plotting.thinning import thinned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kleio.core.plotting.curves import Picture, Stroke

IMAGES = ("png", "svg", "pdf")
KINDS = (*IMAGES, "html")
SIZE = (1200, 750)
"""Width and height in pixels, of which there are 150 an inch."""
LARGEST, MOST_PIXELS = 10_000, 50_000_000
"""Pixels of a side, and of all: what is drawn in a few seconds."""
DENSITY = 150
COLUMNS = 2000
"""Of so many columns no point is lost that would be seen."""
FEW = 40
"""Points of a curve that are shown as points, not only as a line."""
INSIDE, LISTED = 6, 25
"""Names of curves that have room between them; names that are given at all."""
WIDE, LONG = 32, 60
"""Characters of a name that has room there; those that are shown of any."""
SETTINGS: dict[Any, Any] = {
    "text.usetex": False,  # a program that may be missing, and names of trials are no formulas
    "svg.fonttype": "none",  # text stays text: every script that the reader's fonts have
    "svg.hashsalt": "kleio",  # the same plot is the same file
    "axes.formatter.useoffset": False,
    "agg.path.chunksize": 0,
    "path.simplify": True,
}


def kind(path: str) -> str:
    """Which kind of file is meant. Raises UsageError where it is none of ours."""
    ending = os.path.splitext(path)[1][1:].lower()
    if ending in KINDS:
        return ending
    said = f"{path} ends with .{ending}" if ending else f"{path} has no ending"
    raise UsageError(f"{said}; plots are written as {', '.join(f'.{one}' for one in KINDS)}")


def require(wanted: str) -> None:
    """That what draws such files is there. Raises KleioError."""
    needed("matplotlib", "plot", f"{wanted} plots need")  # 60 ms, and 300 ms more to draw


def check(path: str, width: int | None = None, height: int | None = None) -> None:
    """That such a file, of so many pixels, can be written there. Raises KleioError."""
    wanted = kind(path)
    pixels = (width or SIZE[0]) * (height or SIZE[1])
    if pixels > MOST_PIXELS:
        raise UsageError(f"{pixels / 1e6:,.0f} megapixels are too many for a plot; {MOST_PIXELS / 1e6:.0f} are the most")
    wholefile.check(path)
    if wanted in IMAGES:
        require(wanted)


def save(picture: Picture, path: str, size: tuple[int, int] = SIZE) -> None:
    """Write it, whole or not at all."""
    wanted = kind(path)
    if wanted == "html":
        from kleio.core.plotting.page import page

        with wholefile.whole(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(page(picture, size))
        return
    with wholefile.whole(path) as temporary:
        _save(picture, temporary, wanted, size)


def _save(picture: Picture, path: str, wanted: str, size: tuple[int, int]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of characters that a font does not have: nothing that the reader could do about it
        figure = Figure(figsize=(size[0] / DENSITY, size[1] / DENSITY), dpi=DENSITY, layout="constrained")
        _draw(figure, picture)
        figure.savefig(path, format=wanted, metadata=_metadata(picture, wanted))


def _metadata(picture: Picture, wanted: str) -> dict[str, Any]:
    """Which trials it shows, by the names that the format allows; as plots of scripts have it."""
    trials = " ".join(dict.fromkeys(stroke.curve.trial for stroke in picture.strokes))
    title = picture.title or ", ".join(dict.fromkeys(stroke.curve.key for stroke in picture.strokes))
    if wanted == "png":
        return {"Title": title.encode("latin-1", "replace").decode("latin-1"), "Kleio-Trial": trials}
    said = f"kleio trial {trials}"
    if wanted == "pdf":
        return {"Title": title, "Subject": said, "CreationDate": None}
    return {"Title": title, "Description": said, "Date": None}


def _draw(figure: Figure, picture: Picture) -> None:
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(visible=True, color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xscale("log" if picture.x.log else "linear")
    axes.set_yscale("log" if picture.y.log else "linear")
    colours = [_colour(at) for at in range(len(picture.strokes))]
    for stroke, colour in zip(picture.strokes, colours, strict=True):
        _curve(axes, picture, stroke, colour)
    axes.set_xlabel(picture.x_label, parse_math=False)
    axes.set_ylabel(picture.y_label, parse_math=False)
    axes.set_title(picture.title, fontsize="medium", parse_math=False)
    if picture.x.whole and not picture.x.log:
        axes.locator_params(axis="x", integer=True)
    if len(picture.strokes) > 1 or picture.strokes[0].curve.label != picture.y_label:
        _legend(figure, axes, picture.strokes, colours)


def _colour(at: int) -> str | tuple[float, float, float]:
    """The user's own ten, or matplotlib's; beyond them each has another than its neighbours."""
    import colorsys

    return f"C{at}" if at < 10 else colorsys.hls_to_rgb(at * 0.618034 % 1, 0.35 + at % 3 * 0.12, 0.6)


def _curve(axes: Axes, picture: Picture, stroke: Stroke, colour: Any) -> None:
    """Its lines, and lighter behind them those that were not smoothed."""
    for x, y in stroke.behind:
        axes.plot(*thinned((x, y), picture.x, COLUMNS), color=colour, alpha=0.25, linewidth=0.8)
    few = sum(len(x) for x, _ in stroke.lines) <= FEW and not stroke.behind
    for line in stroke.lines:
        x, y = thinned(line, picture.x, COLUMNS)
        marker = "o" if few or len(x) == 1 else None
        axes.plot(x, y, color=colour, linewidth=1.4, solid_joinstyle="round", marker=marker, markersize=3)


def _legend(figure: Figure, axes: Axes, strokes: Sequence[Stroke], colours: Sequence[Any]) -> None:
    """Inside where there is room, else beside."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour) for colour in colours[:LISTED]]
    names = [_short(stroke.curve.label) for stroke in strokes[:LISTED]]
    if len(strokes) > LISTED:
        handles.append(Line2D([], [], linestyle="none"))
        names.append(f"and {len(strokes) - LISTED:,} more")
    if len(names) <= INSIDE and max(map(len, names)) <= WIDE:
        legend = axes.legend(handles, names, loc="best", fontsize="small", frameon=False)
    else:
        legend = figure.legend(handles, names, loc="outside right upper", fontsize="x-small", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _short(label: str) -> str:
    return label if len(label) <= LONG else f"{label[: LONG - 1]}…"
