"""``kleio plot [ID]… [KEY]…``."""

from __future__ import annotations

import math
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from kleio.cli import render_plot, watching, wording
from kleio.cli.options import all_executions, as_json, reading, suggested
from kleio.cli.selecting import asked_for
from kleio.core import view
from kleio.core.config import spool_root
from kleio.core.errors import KleioError
from kleio.core.lookup import SHORT, resolve
from kleio.core.plotting import choosing, files
from kleio.core.plotting.chart import Chart, Wanted
from kleio.core.plotting.curves import picture
from kleio.core.trial import HELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kleio.cli.options import Reading
    from kleio.cli.selecting import Asked
    from kleio.core.plotting.curves import Curve, Picture
    from kleio.core.trial import Entry

SMOOTH = 0.6
INTERVAL = 0.5
"""Seconds between two looks at what is new."""
SHARE = 5
"""Times as long as drawing took is waited before it is drawn again: the run that is followed needs the machine more."""
KEYS = "kleio.keys"


class _Plot(click.Command):
    """``--smooth`` stands alone, or with a number; what follows ``--`` are statistics."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[KEYS] = args[end + 1 :]
        words = args[:end]
        for at, word in enumerate(words):
            if word == "--smooth" and not (at + 1 < len(words) and _is_number(words[at + 1])):
                words[at] = f"--smooth={SMOOTH}"
        return super().parse_args(ctx, words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _finite(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 <= value < math.inf:
        raise click.BadParameter("give a weight from 0 to 1, or a number of points")
    return value


@click.command(cls=_Plot)
@click.argument("words", metavar="[ID]… [KEY]…", nargs=-1, shell_complete=suggested("ids_and_statistics"))
@click.option("-x", "across", metavar="KEY", shell_complete=suggested("statistics"),
              help="what x is: a statistic, time, or index for the number of the point  [default: epoch, step or the "
                   "like where all points have it, else time]")
@click.option("--smooth", metavar="[N]", type=float, callback=_finite,
              help=f"moving average: N below 1 is its weight, else a number of points; alone {SMOOTH}")
@click.option("--log-x", is_flag=True, help="logarithmic x")
@click.option("--log-y", is_flag=True, help="logarithmic y")
@click.option("-o", "--output", metavar="FILE", shell_complete=suggested("files"),
              help="write a file: .png, .svg, .pdf or .html")
@click.option("--follow", is_flag=True, help="draw anew while the trials run; q or Ctrl-C ends it")
@click.option("--title", metavar="TEXT", help="what stands above")
@click.option("--width", metavar="N", type=click.IntRange(20, files.LARGEST),
              help="columns of the terminal, or pixels of the file")
@click.option("--height", metavar="N", type=click.IntRange(6, files.LARGEST), help="its lines, or pixels of the file")
@all_executions
@as_json
@reading
@asked_for
def plot(
    with_: Reading,
    asked: Asked,
    words: tuple[str, ...],
    across: str | None,
    smooth: float | None,
    output: str | None,
    follow: bool,
    all_executions: bool,
    json: bool,
    **look: Any,
) -> None:
    """Draw statistics of one or several trials. Words are ids up to the first that is none, then statistics."""
    if output is not None:
        files.check(output, look["width"], look["height"])
    entries, keys = _meant(with_, asked, words)
    chart = Chart(with_.journal, entries, Wanted(tuple(keys), across, smooth, all_executions))
    shown = _Shown(chart, output, json, look)
    if follow:
        _follow(with_, chart, shown)
    else:
        chart.read(entries)
        shown.once(told=not keys)
    if output is not None and shown.drawn and not json:
        with_.written(wording.several(shown.drawn, "curve"), output)


def _meant(with_: Reading, asked: Asked, words: tuple[str, ...]) -> tuple[list[Entry], list[str]]:
    """The trials, and the statistics that were named."""
    journal, config = with_.journal, with_.config
    chosen = asked.several(journal, config) if asked.anything or not words else []
    entries, keys = choosing.told_apart(words, chosen, journal, lambda prefix: resolve(journal, prefix, config))
    return view.from_here(entries, spool_root(config)), [*keys, *click.get_current_context().meta[KEYS]]


class _Shown:
    """A chart, in the way that was asked for: as a document, in a file, or on the terminal."""

    drawn = 0
    """How many curves were drawn last."""

    def __init__(self, chart: Chart, output: str | None, json: bool, look: Mapping[str, Any]) -> None:
        self._chart, self._output, self._json = chart, output, json
        self._log = look["log_x"], look["log_y"]
        self._title, self._size = look["title"], (look["width"], look["height"])

    @property
    def on_terminal(self) -> bool:
        return not self._json and self._output is None

    @property
    def prints(self) -> bool:
        return self._json or self._output is None

    def once(self, told: bool = False) -> None:
        """As it is now. With ``told`` it says which statistics these are. Raises KleioError where nothing is to be seen."""
        curves = self._chart.curves()
        self._chart.check(curves)
        self._draw(curves)
        if told:
            render_plot.chosen(self._chart.keys, self._chart.summaries())
        render_plot.missing(self._chart.keys, curves, len(self._chart.entries))

    def again(self) -> None:
        """As it is now, unless there is nothing yet."""
        if not self.on_terminal and (curves := self._chart.curves()) and (self._json or self._picture(curves)):
            self._draw(curves)

    def picture(self) -> Picture | None:
        """As it is now."""
        return self._picture(self._chart.curves())

    def lines(self, drawn: Picture, width: int, height: int) -> list[str]:
        """For a terminal of this size, or smaller if that was asked for."""
        return render_plot.lines(drawn, min(self._size[0] or width, width), min(self._size[1] or height, height))

    def _draw(self, curves: Sequence[Curve]) -> None:
        if self._json:
            render_plot.points(curves)
        if self._json and self._output is None:
            return
        drawn = self._picture(curves)
        if drawn is None:
            why = "no point is greater than 0, as on logarithmic axes" if any(self._log) else "no value is finite"
            raise KleioError(f"there is nothing to draw of {', '.join(self._chart.keys)}: {why}")
        if self._output is not None:
            files.save(drawn, self._output, (self._size[0] or files.SIZE[0], self._size[1] or files.SIZE[1]))
        else:
            render_plot.show(drawn, *self._size)
        self.drawn = len(curves)

    def _picture(self, curves: Sequence[Curve]) -> Picture | None:
        """Without anything in its texts that a terminal or a file would obey."""
        harmless = [
            replace(curve, label=wording.printable(curve.label), key=wording.printable(curve.key)) for curve in curves
        ]
        return picture(harmless, *self._log, wording.printable(self._heading()), raw=self._output is not None)

    def _heading(self) -> str:
        """In a file that shows one trial, which one it is."""
        if self._title is not None or self._output is None or len(self._chart.entries) > 1:
            return self._title or ""
        entry = self._chart.entries[0]
        return " ".join(filter(None, [entry.id[:SHORT], entry.name]))


# -- following -----------------------------------------------------------------------------------------------------


class _Followed:
    """Looks at trials while they run, and draws what has come. :meth:`look` may be in another thread than the others."""

    def __init__(self, with_: Reading, chart: Chart, shown: _Shown) -> None:
        self._with, self._chart, self._shown = with_, chart, shown
        self._drawn: Picture | None = None
        self._late, self._again = False, 0.0
        self._lock = threading.Lock()
        self._frame: tuple[Picture | None, tuple[int, int], list[str]] = (None, (0, 0), [])

    def look(self) -> tuple[bool, Picture | None]:
        """Whether any still runs, and what is to be seen."""
        with self._lock:
            live = self.read()
            if self._late and (time.monotonic() >= self._again or not live):
                started = time.monotonic()
                self._drawn, self._late = self._shown.picture(), False
                self._again = time.monotonic() + SHARE * (time.monotonic() - started)
            return live, self._drawn

    def last(self) -> bool:
        """As :meth:`read`, after which nobody looks any more."""
        self._lock.acquire()
        return self.read()

    def read(self) -> bool:
        """Take in what is new; whether any of the trials still runs. That is asked first: what has ended is read to its end."""
        journal = self._with.journal
        entries = view.from_here([journal.entry(one.id) or one for one in self._chart.entries], spool_root(self._with.config))
        live = any(entry.status in HELD for entry in entries)
        self._late |= self._chart.read(entries, gaps=not live)
        return live

    def news(self) -> bool:
        """Whether anything has come since this was asked last."""
        late, self._late = self._late, False
        return late

    def frame(self, found: tuple[bool, Picture | None], columns: int, rows: int) -> list[str]:
        """For a terminal of this size."""
        drawn, size = found[1], (columns, rows)
        if drawn is None:
            return [f"waiting for {wording.printable(', '.join(self._chart.keys) or 'statistics')}"]
        if self._frame[0] is not drawn or self._frame[1] != size:
            self._frame = drawn, size, self._shown.lines(drawn, columns, rows)
        return self._frame[2]


def _follow(with_: Reading, chart: Chart, shown: _Shown) -> None:
    """Until all trials have ended, or the user has. In the end it stands on the terminal as without following."""
    followed = _Followed(with_, chart, shown)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if shown.on_terminal and watching.is_possible():
            watching.watch(followed.look, followed.frame, INTERVAL, over=lambda found: not found[0])
            live = followed.last()
        else:
            live = _elsewhere(followed, shown, watching.pause if shown.prints else time.sleep)
    except KeyboardInterrupt:
        live = True
    curves = chart.curves()
    if not live:
        chart.check(curves)
    if shown.on_terminal and curves:
        shown.once()


def _elsewhere(followed: _Followed, shown: _Shown, pause: Callable[[float], None]) -> bool:
    live = True
    while live:
        started = time.monotonic()
        live = followed.read()
        if followed.news():
            shown.again()
        if live:
            pause(max(INTERVAL, SHARE * (time.monotonic() - started)))
    return live
