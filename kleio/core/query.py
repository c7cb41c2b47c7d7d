"""Queries: ``params.lr > 0.1 and status == "completed" and summary["train/loss"].min < 0.3``.

One language for the shell, for Python and for both journals. A query is parsed (:mod:`kleio.core.query_syntax`) against a
vocabulary, which knows the names, and holds for a mapping from the names of fields to their values or not:

* What is missing is null. A comparison with something missing never holds, but for ``== null``; ``not`` is the opposite of
  what it stands before, missing or not.
* Numbers are compared with numbers, texts with texts, by code points; ``==`` between values of different kinds does not hold,
  ``!=`` does, and neither is less than the other. A truth value is no number. NaN equals NaN, and is neither less nor greater.
* ``in`` is for lists, for the words of a command, for the names of a group, and for parts of a text. ``matches`` searches a
  text for a regular expression (Python's); of a list, each element and all of them with spaces between.
* A time is compared with a text that says one (:mod:`kleio.core.moments`): equal is what lies within that day or minute,
  less what lies before all of it. A duration is compared with seconds, or with a text such as ``2h30m``.
* An id equals each beginning of it.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

from kleio.core import query_syntax
from kleio.core.moments import Moment
from kleio.core.query_tree import And, Comparison, Constant, Field, Not, Or, Prefix, Truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kleio.core.query_syntax import Vocabulary
    from kleio.core.query_tree import Node

    Facts = Mapping[str, Any]


class Query:
    """A parsed query. ``node`` is its tree, ``text`` what was written."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        """Raises :class:`~kleio.core.query_syntax.QueryError`, which points at the place."""
        self.text = text
        self.node = query_syntax.parse(text, vocabulary)

    def holds(self, facts: Facts) -> bool:
        """Whether it holds for these values, by the names of their fields."""
        return holds(self.node, facts)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"


def holds(node: Node, facts: Facts) -> bool:
    """Whether a condition holds. What journals answer of their own must be the same; this says what is right."""
    if isinstance(node, And):
        return all(holds(part, facts) for part in node.parts)
    if isinstance(node, Or):
        return any(holds(part, facts) for part in node.parts)
    if isinstance(node, Not):
        return not holds(node.part, facts)
    if isinstance(node, Truth):
        return bool(facts.get(node.field.name))
    return _compares(node, facts)


def _compares(node: Comparison, facts: Facts) -> bool:
    if node.operator == "among":
        return _is_among(node, facts)
    left, right = _value(node.left, facts), _value(node.right, facts)
    if left is None or right is None:
        return _with_null(node, left, right)
    if node.operator.endswith("matches"):
        return _matches(left, right) is (node.operator == "matches")
    if node.operator.endswith("in"):
        return _contains(right, left) is (node.operator == "in")
    if node.operator in ("==", "!="):
        return equal(left, right) is (node.operator == "==")
    return _ordered(node.operator, left, right)


def _is_among(node: Comparison, facts: Facts) -> bool:
    assert isinstance(node.left, Field)
    assert isinstance(node.right, Constant)
    name = node.left.name
    group = name.endswith(".")
    found = [value for one, value in facts.items() if one.startswith(name)] if group else [facts.get(name)]
    held = [one for value in found for one in (value if isinstance(value, (list, tuple)) else (value,))]
    return any(equal(one, wanted) for one in held for wanted in node.right.value)


def _value(operand: Field | Constant, facts: Facts) -> Any:
    return facts.get(operand.name) if isinstance(operand, Field) else operand.value


def _with_null(node: Comparison, left: Any, right: Any) -> bool:
    """Only with a null that was written."""
    for written, other in ((node.left, right), (node.right, left)):
        if isinstance(written, Constant) and written.value is None:
            return node.operator in ("==", "!=") and (other is None) is (node.operator == "==")
    return False


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; a moment, or the beginning of an id, is the same as what lies within."""
    if isinstance(left, Prefix) or isinstance(right, Prefix):
        value, prefix = (right, left) if isinstance(left, Prefix) else (left, right)
        return isinstance(value, str) and bool(prefix.text) and value.startswith(prefix.text)
    if isinstance(left, Moment) or isinstance(right, Moment):
        value, moment = (right, left) if isinstance(left, Moment) else (left, right)
        return _is_number(value) and (moment.start <= value < moment.end or value == moment.start)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if _is_number(left) and _is_number(right):
        return bool(left == right or (left != left and right != right))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _ordered(sign: str, left: Any, right: Any) -> bool:
    if isinstance(left, Moment):
        return _ordered(_TURNED[sign], right, left)
    if isinstance(right, Moment):
        return _is_number(left) and _beside(sign, left, right)
    both_numbers = _is_number(left) and _is_number(right)
    both_texts = isinstance(left, str) and isinstance(right, str)
    return (both_numbers or both_texts) and _ORDERS[sign](left, right)


def _beside(sign: str, value: float, moment: Moment) -> bool:
    """Before all of it, within it or before, …"""
    within = equal(value, moment)
    if sign in ("<", "<="):
        return value < moment.start or (within and sign == "<=")
    return (value > moment.start and not within) or (within and sign == ">=")


def _contains(container: Any, value: Any) -> bool:
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    if isinstance(container, (list, tuple)) and not isinstance(container, (Moment, Prefix)):
        return any(equal(value, one) for one in container)
    return False


def _matches(value: Any, pattern: Any) -> bool:
    if isinstance(value, str):
        return pattern.search(value) is not None
    if isinstance(value, (list, tuple)):
        texts = [one for one in value if isinstance(one, str)]
        return any(pattern.search(one) for one in texts) or pattern.search(" ".join(texts)) is not None
    return False
