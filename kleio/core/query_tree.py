"""What a query says, as a tree: fields and constants, their comparisons, and what these are joined by."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """A value of what is looked for. ``name`` is what it is stored under, ``kind`` how it is compared."""

    name: str
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Prefix:
    """An id, or the beginning of one."""

    text: str


@dataclass(frozen=True, slots=True)
class Constant:
    value: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """``operator`` is one of ``== != < <= > >= in matches`` and ``not in``, ``not matches``.

    Or ``among``, which the grammar has no word for, but :mod:`kleio.core.shorthand`: the field to the left, or with a dot at
    its end any of its group, is one of the values to the right, or a list that holds one.
    """

    operator: str
    left: Field | Constant
    right: Field | Constant


@dataclass(frozen=True, slots=True)
class Truth:
    """The field is there, and neither false, zero, null nor empty."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Node, ...]


if TYPE_CHECKING:
    Node = Comparison | Truth | Not | And | Or


def fields(node: Node) -> Iterator[Field]:
    """The fields that a condition speaks of."""
    if isinstance(node, (And, Or)):
        for part in node.parts:
            yield from fields(part)
    elif isinstance(node, Not):
        yield from fields(node.part)
    elif isinstance(node, Truth):
        yield node.field
    else:
        yield from (side for side in (node.left, node.right) if isinstance(side, Field))
