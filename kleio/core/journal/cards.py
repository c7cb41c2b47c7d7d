"""Cards: the facts of trials as journals index them."""

from __future__ import annotations

import json

from kleio.core.journal.base import storable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Scalar = bool | int | float | str

MOST = 2000
"""Facts of a trial that are indexed; one that has more is looked at as a whole, whenever something is looked for."""
LONGEST = 4096
"""Characters of a text among them."""
GREATEST = (1 << 63) - 1
PLAIN = (bool, int, float, str)


class Card:
    """What is known of a trial: ``values`` by name, and ``lists`` as :func:`listed` has them, with what they hold.

    ``events`` is how many the trial had when this was gathered.
    """

    __slots__ = ("created", "events", "lists", "trial", "values")

    def __init__(self, trial: str, created: float, events: int) -> None:
        self.trial = trial
        self.created = created
        self.events = events
        self.values: dict[str, Scalar] = {}
        self.lists: dict[str, tuple[str, tuple[Scalar, ...]]] = {}


def card(trial: str, created: float, events: int, facts: Mapping[str, Any]) -> Card | None:
    """None where the facts are too many, too long or too large to be indexed."""
    made = Card(trial, created, events)
    for name, value in facts.items():
        if isinstance(value, (list, tuple)):
            held = tuple(dict.fromkeys((type(one), one) for one in value if isinstance(one, PLAIN)))
            if not all(_fits(one) for _, one in held):
                return None
            made.lists[storable(name)] = listed(value), tuple(_kept(one) for _, one in held)
        elif isinstance(value, PLAIN):
            if not _fits(value):
                return None
            made.values[storable(name)] = _kept(value)
    size = len(made.values) + sum(1 + len(held) for _, held in made.lists.values())
    return made if size <= MOST else None


def _kept(value: Scalar) -> Scalar:
    return storable(value) if isinstance(value, str) else value


def _fits(value: Scalar) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST
    return not isinstance(value, int) or -GREATEST <= value <= GREATEST


def listed(value: Iterable[Any]) -> str:
    """A list as text, the same for lists that are equal."""
    return json.dumps([_plain(one) for one in value])


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    return value
