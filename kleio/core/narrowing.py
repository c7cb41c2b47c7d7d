"""From a query to what a journal looks for: exactly the same trials, or more where only looking at each of them can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kleio.core import query
from kleio.core.journal.base import storable
from kleio.core.journal.cards import GREATEST, listed
from kleio.core.journal.filters import EVERYTHING, NOTHING, All, Beside, Between, Either, Holds, Is, Lists, There
from kleio.core.journal.filters import Not as Opposite
from kleio.core.moments import Moment
from kleio.core.query_tree import And, Comparison, Constant, Field, Not, Or, Prefix, Truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeGuard

    from kleio.core.journal.filters import Filter
    from kleio.core.query import Facts
    from kleio.core.query_tree import Node

    Values = Callable[[str], Iterable[Any]]

DIGEST = "environment.digest"
MOST_NAMES = 300
"""Names of a group that a journal is asked for one by one."""
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_LAST = chr(0x10FFFF)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """``filter`` finds all that the query holds for; if not ``exact`` perhaps others as well."""

    filter: Filter
    exact: bool = True


def narrowed(node: Node, values: Values, environments: Callable[[], Mapping[str, Facts]]) -> Narrowed:
    """``values`` gives all that there are of a name, lists among them, ``environments`` the facts of each by digest."""
    if isinstance(node, (And, Or)):
        parts = [narrowed(part, values, environments) for part in node.parts]
        joined: Filter = (All if isinstance(node, And) else Either)(tuple(part.filter for part in parts))
        return Narrowed(joined, all(part.exact for part in parts))
    if isinstance(node, Not):
        part = narrowed(node.part, values, environments)
        return Narrowed(Opposite(part.filter)) if part.exact else Narrowed(EVERYTHING, exact=False)
    if isinstance(node, Comparison) and node.operator == "among":
        return _among(node, values)
    fields = _fields(node)
    if any(map(is_of_environment, fields)):
        alone = all(map(is_of_environment, fields))
        return _of_environment(node, environments()) if alone else Narrowed(EVERYTHING, exact=False)
    if isinstance(node, Truth):
        name = node.field.name
        falsy = Either((Is(name, (False, 0, "")), Lists(name, (listed([]),))))
        return Narrowed(All((There(name), Opposite(falsy))))
    return _comparison(node, values)


def _among(node: Comparison, values: Values) -> Narrowed:
    assert isinstance(node.left, Field)
    assert isinstance(node.right, Constant)
    name = node.left.name
    known = [name]
    if name.endswith("."):
        named = {one for names in values(name[:-1]) for one in names}
        if len(named) > MOST_NAMES:
            return Narrowed(EVERYTHING, exact=False)
        known = [f"{name}{one}" for one in sorted(named)]
    wanted = [storable(value) if isinstance(value, str) else value for value in node.right.value]
    parts: list[Filter] = []
    for one in known:
        parts += [Is(one, tuple(wanted)), *(Holds(one, value) for value in wanted)]
    return Narrowed(Either(tuple(parts)))


def _fields(node: Truth | Comparison) -> list[Field]:
    sides = (node.field,) if isinstance(node, Truth) else (node.left, node.right)
    return [side for side in sides if isinstance(side, Field)]


def is_of_environment(field: Field) -> bool:
    """Whether the field is one of an environment, which many trials have in common: of a trial only the digest is known."""
    return field.name.partition(".")[0] == "environment" and field.name != DIGEST


def _of_environment(node: Node, environments: Mapping[str, Facts]) -> Narrowed:
    fitting = tuple(digest for digest, known in environments.items() if query.holds(node, known))
    without = (Opposite(There(DIGEST)),) if query.holds(node, {}) else ()
    return Narrowed(Either((*((Is(DIGEST, fitting),) if fitting else ()), *without)))


def _comparison(node: Comparison, values: Values) -> Narrowed:
    left, right = node.left, node.right
    if isinstance(left, Field) and isinstance(right, Field):
        both = All((There(left.name), There(right.name)))
        if node.operator.endswith("in"):
            return Narrowed(both, exact=False)
        if node.operator == "!=":
            return Narrowed(All((both, Opposite(Beside(left.name, "==", right.name)))))
        return Narrowed(Beside(left.name, node.operator, right.name))
    if node.operator.startswith("not ") or node.operator == "!=":
        same = replace(node, operator=node.operator.removeprefix("not ") if node.operator != "!=" else "==")
        field = left if isinstance(left, Field) else right
        assert isinstance(field, Field)
        constant = right if isinstance(left, Field) else left
        if isinstance(constant, Constant) and constant.value is None:
            return Narrowed(There(field.name) if node.operator == "!=" else NOTHING)
        return Narrowed(All((There(field.name), Opposite(_comparison(same, values).filter))))
    if isinstance(left, Field):
        assert isinstance(right, Constant)
        return Narrowed(_of_field(node, left, node.operator, right.value, values))
    assert isinstance(left, Constant)
    assert isinstance(right, Field)
    if node.operator == "in":
        return Narrowed(_held_by(node, right, left.value, values))
    return Narrowed(_of_field(node, right, _TURNED.get(node.operator, node.operator), left.value, values))


def _of_field(node: Comparison, field: Field, sign: str, value: Any, values: Values) -> Filter:
    if value is None:
        return Opposite(There(field.name)) if sign == "==" else NOTHING
    if sign == "matches":
        return _one_by_one(node, field, values)
    if sign == "in":
        if isinstance(value, list):
            return Either(tuple(_same(field, one) for one in value))
        return _one_by_one(node, field, values)
    return _same(field, value) if sign == "==" else _ordered(field.name, sign, value)


def _same(field: Field, value: Any) -> Filter:
    name = field.name
    if isinstance(value, Moment):
        return Is(name, (value.start,)) if value.end <= value.start else Between(name, value.start, value.end, with_low=True)
    if isinstance(value, (list, tuple)):
        return Lists(name, (listed(value),))
    if isinstance(value, Prefix):
        return Between(name, storable(value.text), storable(value.text) + _LAST, with_low=True) if value.text else NOTHING
    if _is_large(value):
        near = _nearest(value)
        return Is(name, (near,)) if near == value else NOTHING
    if isinstance(value, (bool, int, float, str)):
        return Is(name, (storable(value) if isinstance(value, str) else value,))
    return NOTHING


def _is_large(value: Any) -> TypeGuard[int]:
    """Beyond the integers that journals index; what is there and compares with it is a float."""
    return isinstance(value, int) and not -GREATEST <= value <= GREATEST


def _nearest(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # copysign would make a float of it


def _ordered(name: str, sign: str, value: Any) -> Filter:
    if isinstance(value, Moment):
        instant = value.end <= value.start
        edge = {"<": value.start, ">=": value.start}.get(sign, value.end)
        return _half(name, sign if instant else {"<=": "<", ">": ">="}.get(sign, sign), edge)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value != value:
        return NOTHING
    return _half(name, sign, storable(value) if isinstance(value, str) else value)


def _half(name: str, sign: str, edge: float | str) -> Filter:
    if _is_large(edge):
        near = _nearest(edge)
        sign = sign[0] + ("=" if (near < edge if sign[0] == "<" else near > edge) or (near == edge and sign[1:]) else "")
        edge = near
    if sign in ("<", "<="):
        return Between(name, high=edge, with_high=sign == "<=")
    return Between(name, low=edge, with_low=sign == ">=")


def _held_by(node: Comparison, field: Field, value: Any, values: Values) -> Filter:
    if value is None:
        return NOTHING
    if isinstance(value, str) and field.kind == "words":
        return Holds(field.name, storable(value))
    if isinstance(value, str) or not isinstance(value, (bool, int, float)):
        return _one_by_one(node, field, values)
    if _is_large(value):
        near = _nearest(value)
        return Holds(field.name, near) if near == value else NOTHING
    return Holds(field.name, value)


def _one_by_one(node: Comparison, field: Field, values: Values) -> Filter:
    """Of the values that there are, those that will do."""
    fitting = [value for value in values(field.name) if query.holds(node, {field.name: value})]
    plain = tuple(value for value in fitting if not isinstance(value, list))
    lists = tuple(listed(value) for value in fitting if isinstance(value, list))
    return Either((*([Is(field.name, plain)] if plain else []), *([Lists(field.name, lists)] if lists else [])))
