"""Axes: what a plot spans, where its ticks are, and how they read. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LARGEST = 1e300
"""Values beyond it, of either sign, are drawn at it: the distance of two of them has to be a number."""
UNITS = (("s", 1.0, 180.0), ("min", 60.0, 180.0 * 60), ("h", 3600.0, 72.0 * 3600), ("d", 86400.0, math.inf))
"""Of time: the name of a unit, its seconds, and up to how many seconds it is used."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high``, which is greater. ``log`` axes are of positive numbers, ``whole`` ones have no ticks between
    whole numbers.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high one."""
        low, high, value = (math.log10(one) if self.log else one for one in (self.low, self.high, value))
        return (value - low) / (high - low)

    def back(self, at: float) -> float:
        """The value that is there."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return float(10 ** (low + (high - low) * at))
        return self.low + (self.high - self.low) * at

    def ticks(self, most: int) -> list[float]:
        """At most so many round numbers, evenly spread."""
        if self.log and self.high / self.low >= 10:
            return _decades(self.low, self.high, most)
        return _round(self.low, self.high, most, self.whole)


def spanning(values: Iterable[float], log: bool = False, whole: bool = False) -> Axis:
    """The axis that ``values`` need: at least one, none beyond LARGEST, on a ``log`` axis positive ones."""
    listed = list(values)
    low, high = min(listed), max(listed)
    if log:
        return Axis(low, high, log=True) if low < high else Axis(low / 2, high * 2, log=True)
    if low == high or high - low < abs(high) * 1e-12:
        margin = abs(high) * 0.1 or 1.0
        return Axis(low - margin, high + margin, whole=False)
    return Axis(low, high, whole=whole)


def _round(low: float, high: float, most: int, whole: bool) -> list[float]:
    """Multiples of the smallest of 1, 2, 2.5 and 5 times a power of ten that has at most ``most`` of them in between."""
    power = 10.0 ** (math.floor(math.log10((high - low) / most)) - 1)
    while True:
        for step in (power, 2 * power, 2.5 * power, 5 * power):
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first < most and not (whole and step % 1):
                return [at * step for at in range(first, last + 1)]
        power *= 10


def _decades(low: float, high: float, most: int) -> list[float]:
    """Powers of ten: every second, third … of them where there are too many, twice and five times them where they are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    between = [times * 10.0**power for power in range(first - 1, last + 1) for times in (1, 2, 5)]
    finer = [one for one in between if low * (1 - 1e-9) <= one <= high * (1 + 1e-9)]
    if len(finer) <= most:
        return finer
    every = -(-(last - first + 1) // most)
    return [10.0**power for power in range(first, last + 1) if (power - first) % every == 0]


def shown(ticks: Sequence[float]) -> list[str]:
    """Ticks as text, with as many digits as tell them from each other."""
    if not ticks:
        return []
    step = min((b - a for a, b in pairwise(ticks)), default=abs(ticks[0]))
    ticks = [0.0 if abs(one) < step / 1000 else one for one in ticks]
    greatest = max(map(abs, ticks))
    least = math.floor(math.log10(greatest)) + 1 if 1 <= greatest < 1e6 else 1
    for digits in range(least, 17):
        texts = [f"{one:.{digits}g}" for one in ticks]
        if all(abs(float(text) - one) <= max(step / 100, abs(one) * 1e-14) for text, one in zip(texts, ticks, strict=True)):
            return texts
    return [repr(one) for one in ticks]


def unit(seconds: float) -> tuple[str, float]:
    """The unit in which a time of so many seconds reads best, and its seconds."""
    return next((name, length) for name, length, most in UNITS if seconds <= most)
