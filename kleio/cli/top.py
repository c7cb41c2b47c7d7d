"""``kleio top``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kleio.cli import render, render_top, watching
from kleio.cli.options import EVERY, as_json, reading
from kleio.core.choosing import Chosen
from kleio.core.config import spool_root
from kleio.core.running import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kleio.cli.options import Reading
    from kleio.core.running import Running

    Found = tuple[list[Running], list[Running], float]

ORDERS: dict[str, Callable[[Running], float]] = {
    "newest": lambda one: one.execution.started,
    "time": lambda one: one.elapsed,
    "cpu": lambda one: one.system.get("cpu", -1.0),
    "memory": lambda one: one.system.get("memory", -1.0),
    "io": lambda one: -1.0 if (found := render_top.rate(one)) is None else found,
}
"""What trials may be sorted by, the greatest first, and by the first letter of which key."""


@click.command()
@click.option("--project", metavar="NAME", help="only of this project")
@click.option("--user", metavar="NAME", help="only of this user")
@click.option("--tag", multiple=True, metavar="TAG", help="only with this tag; repeatable, then all are needed")
@click.option("--where", metavar="QUERY", multiple=True, help="only for which this holds; repeatable, then all must hold")
@click.option("--sort", type=click.Choice([*ORDERS]), default="newest", show_default=True, help="by this, the greatest first")
@click.option("--reverse", is_flag=True, help="the last first")
@click.option("--every", metavar="SECONDS", type=click.FloatRange(min=0.1), default=EVERY, show_default=True,
              help="seconds between two looks")
@as_json
@reading
def top(
    with_: Reading,
    project: str | None,
    user: str | None,
    tag: tuple[str, ...],
    where: tuple[str, ...],
    sort: str,
    reverse: bool,
    every: float,
    json: bool,
) -> None:
    """Watch the trials that run, in all projects: what they take of the machine, and their last values.

    What ends while you look is shown for another minute. Where there is no terminal, what runs now is printed once.
    """
    watched = Watched(with_.present, Chosen(project, tags=tag, user=user, where=where), spool_root(with_.config))
    order = Order(sort, reverse)
    if json or not watching.is_possible():
        running = order.sorted(watched.look()[0])
        if json:
            render.document([one.document() for one in running])
        else:
            render_top.snapshot(running)
        return
    watching.watch(lambda: (*watched.look(), time.time()), order.frame, every, order.pressed, order.hint)


class Order:
    """What the user has chosen to see first, and how far down he has gone."""

    def __init__(self, by: str, reverse: bool) -> None:
        self._by, self._reverse = by, reverse
        self._first = self._page = self._most = 0

    def sorted(self, running: Sequence[Running]) -> list[Running]:
        return sorted(running, key=ORDERS[self._by], reverse=not self._reverse)

    def frame(self, found: Found, columns: int, rows: int) -> list[str]:
        """The screen."""
        running, ended, when = found
        self._page = max(rows - 3, 1)
        self._most = max(len(running) + len(ended) - self._page, 0)
        self._first = min(max(self._first, 0), self._most)
        return render_top.screen(self.sorted(running), ended, when, columns, rows, self._first)

    def pressed(self, key: str) -> None:
        """Sort by what begins with this letter, turn it round, or go up or down."""
        by = next((one for one in ORDERS if one[0] == key), None)
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -self._page, "page down": self._page,
                 "home": -self._most, "end": self._most}  # fmt: skip
        if by:
            self._by, self._first = by, 0
        elif key == "r":
            self._reverse = not self._reverse
        else:
            self._first += steps.get(key, 0)

    def hint(self) -> str:
        """Which keys there are."""
        others = " ".join(f"[{one[0]}]{one[1:]}" if one != self._by else one.upper() for one in ORDERS)
        more = f" · ↓ {self._most - self._first} more" if self._most > self._first else ""
        return f"q: quit{more} · sort: {others} · [r]everse"
