"""What the names of queries about statistics mean: their keys, and what every row has."""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING

from kleio.core import moments
from kleio.core.errors import UsageError
from kleio.core.query_tree import Field, Prefix
from kleio.core.statistics import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

OF_ROWS = {"time": "moment", "trial": "id", "execution": "id"}
"""What every row has, and how it is compared; a key that is called so comes first."""
ROW = "\0"
"""Before the names of these fields: no key has it in front that anybody can write in a query."""
GROUP = "statistics"


class UnknownKey(UsageError, KeyError):  # noqa: N818 - the name says it
    """There is no statistic of this name; the message has the nearest."""

    __str__ = Exception.__str__


def unknown(key: str, known: Iterable[str]) -> str:
    """In words, with the nearest."""
    names = list(known)
    near = difflib.get_close_matches(key, names, 1)
    said = f"there is no statistic {key}"
    if near:
        return f"{said}; did you mean {written(near[0])}?"
    if key.startswith(SYSTEM):
        return f"{said} among what was logged; what kleio samples is in .system (kleio stats --system)"
    if not names:
        return f"{said}; none were logged"
    return f"{said}; there are {', '.join(names[:20])}{', …' if len(names) > 20 else ''}"


def written(key: str) -> str:
    """A key as it is written in a query."""
    plain = all(part.isidentifier() for part in key.split("."))
    return key if plain else f'{GROUP}["{key}"]'


class Keys:
    """The vocabulary (:class:`~kleio.core.query_syntax.Vocabulary`). ``keys`` are flat."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = set(keys)

    def field(self, path: Sequence[str]) -> Field:
        """``train.loss`` is the key train/loss, or train.loss; ``statistics["train/loss"]`` any."""
        names = ["/".join(path), ".".join(path)]
        if path[0] == GROUP and len(path) == 2:
            names.append(path[1])
        for name in names:
            if name in self._keys:
                return Field(name)
        if len(path) == 1 and path[0] in OF_ROWS:
            return Field(ROW + path[0], OF_ROWS[path[0]])
        raise LookupError(unknown(names[-1], sorted(self._keys)))

    def constant(self, field: Field, value: Any) -> Any:
        if isinstance(value, list):
            return [self.constant(field, one) for one in value]
        if not isinstance(value, str) or field.kind == "plain":
            return value
        if field.kind == "id":
            return Prefix(value.lower())
        moment = moments.moment(value, time.time())
        if moment is None:
            raise ValueError("time is a time, such as '2026-11-20 14:30' or '2 hours ago'")
        return moment
