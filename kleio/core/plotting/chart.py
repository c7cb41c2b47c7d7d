"""The curves of some trials, read and read again."""

from __future__ import annotations

from dataclasses import dataclass

from kleio.core.errors import KleioError, UsageError
from kleio.core.plotting import choosing
from kleio.core.plotting.curves import NUMBER, TIME, Curve, labels, smoothed
from kleio.core.plotting.points import Points

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be drawn of some trials. Without ``keys`` some are chosen; so is x, where ``across`` is None.

    ``smooth`` is how much (:func:`~kleio.core.plotting.curves.weight`).
    """

    keys: tuple[str, ...] = ()
    across: str | None = None
    smooth: float | None = None
    all_executions: bool = False


class Chart:
    """Its :meth:`curves` are those of what was read last."""

    def __init__(self, journal: Journal, entries: Sequence[Entry], wanted: Wanted) -> None:
        self._journal, self._wanted = journal, wanted
        self.entries = list(entries)
        self.keys: list[str] = []
        self._points: list[Points] = []
        self._across: list[str] = []

    def read(self, entries: Sequence[Entry], gaps: bool = True) -> bool:
        """Take in what is new of the trials, which are ``entries`` now; whether there was anything.

        ``gaps`` as in :meth:`kleio.core.plotting.points.Points.read`.
        """
        self.entries = list(entries)
        first = not self._points
        if first:
            self._choose()
        new = [points.read(entry, gaps) for points, entry in zip(self._points, entries, strict=False)]
        return first or any(new)

    def _choose(self) -> None:
        """Which keys, once there are any; until then nothing is read."""
        known = self.summaries()
        self.keys = list(dict.fromkeys(self._wanted.keys)) or choosing.sensible(known)
        self._across = choosing.across(self._wanted.across, known)
        wanted = [*self.keys, *(one for one in self._across if one not in (TIME, NUMBER))]
        if self.keys:
            self._points = [Points(self._journal, entry, wanted, self._wanted.all_executions) for entry in self.entries]

    def summaries(self) -> choosing.Summaries:
        return choosing.summaries(self._journal, self.entries, self._wanted.all_executions)

    def curves(self) -> list[Curve]:
        """Those that have points, trial by trial, keys in their order."""
        across = self._suiting()
        named = labels(self.entries)
        found = []
        for points in self._points:
            for key in self.keys:
                x, y = points.line(key, across)
                if len(y):
                    label = self._label(named[points.entry.id], key)
                    found.append(Curve(points.entry.id, key, label, across, x, y))
        amount = self._wanted.smooth
        return found if amount is None else [smoothed(curve, amount) for curve in found]

    def _label(self, trial: str, key: str) -> str:
        if len(self.entries) == 1:
            return key
        return trial if len(self.keys) == 1 else f"{trial} {key}"

    def _suiting(self) -> str:
        """The first that every point of every curve has, and that moves: where steps are logged too, epochs have many points.
        If there is none, the last.
        """
        if len(self._across) == 1:
            return self._across[0]
        pairs = [(points, key) for points in self._points for key in self.keys]
        whole = [len(points.line(key, NUMBER)[1]) for points, key in pairs]
        for across in self._across[:-1]:
            lines = ((points.line(key, across)[0], count) for (points, key), count in zip(pairs, whole, strict=True))
            if all(len(x) == count and 2 * len(set(x)) >= count for x, count in lines):
                return across
        return TIME

    def check(self, curves: Sequence[Curve]) -> None:
        """That there is something of each key. Raises UsageError where one was never logged, else KleioError."""
        known = self.summaries()
        if not self.keys:
            raise KleioError("there is nothing to plot: no numbers were logged")
        for key in self.keys:
            if any(curve.key == key for curve in curves):
                continue
            if not any(key in own for own in known):
                raise UsageError(choosing.unknown(key, known))
            if not any(len(points.line(key, NUMBER)[0]) for points in self._points):
                raise KleioError(choosing.no_numbers(key, known))
            (x,) = self._across
            if not any(x in own for own in known):
                raise UsageError(choosing.unknown(x, known))
            if not any(len(points.line(x, NUMBER)[0]) for points in self._points):
                raise KleioError(choosing.no_numbers(x, known))
            raise KleioError(f"no record has both {key} and {x}; leave -x away, or log them together")
