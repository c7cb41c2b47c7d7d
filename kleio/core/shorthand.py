"""Trials by a word or two, as ``lr:0.1`` and ``sgd``: what ``--include`` and ``--exclude`` say, as a condition.

``NAME:VALUE``
    the parameter has this value, or is a list that holds it.
``WORD``
    a parameter has this value or this name, or it is a word of the command, or a tag.

A value is compared as what it reads as (``0.1`` a number, ``true`` a truth value) and as the text that it is. Names are written
as on the command line or as in ``--json``: ``batch-size:32``, ``batch_size:32``.
"""

from __future__ import annotations

import math
import re

from kleio.core.journal.cards import GREATEST
from kleio.core.query_tree import Comparison, Constant, Field, Not, Or

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from kleio.core.query_tree import Node

PARAMETERS = "params."
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAMED = {"true": True, "false": False, "nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}


def conditions(include: Sequence[str], exclude: Sequence[str]) -> list[Node]:
    """All of ``include`` hold, and none of ``exclude``."""
    return [*map(condition, include), *(Not(condition(word)) for word in exclude)]


def condition(word: str) -> Node:
    """A word with a colon in it may be one of the command as well: ``cuda:0``."""
    name, colon, value = word.partition(":")
    anywhere: list[Node] = [
        _among(PARAMETERS, word),
        *(Comparison("in", Constant(one), Field("params", "words")) for one in _names(word)),
        *(Comparison("in", Constant(word), Field(field, "words")) for field in ("command", "tags")),
    ]
    named: list[Node] = [_among(PARAMETERS + one, value) for one in _names(name)] if colon and name else []
    return Or((*named, *anywhere))


def _among(name: str, value: str) -> Comparison:
    return Comparison("among", Field(name), Constant(_read(value)))


def _names(name: str) -> Iterator[str]:
    """As it is written, and as the command line's options are called."""
    return iter(dict.fromkeys((name, name.replace("-", "_"))))


def _read(value: str) -> tuple[Any, ...]:
    """What a value may be."""
    if value.lower() in _NAMED:
        return _NAMED[value.lower()], value
    if not _NUMBER.fullmatch(value):
        return (value,)
    exact = value.lstrip("+-").isdigit() and len(value) <= 20 and abs(int(value)) <= GREATEST
    return (int(value) if exact else float(value)), value
