"""Which rows of statistics a query holds for: compared as whole columns where NumPy has them, else row by row."""

from __future__ import annotations

from kleio.core import query
from kleio.core.moments import Moment
from kleio.core.query_tree import And, Comparison, Constant, Field, Not, Or, Truth
from kleio.core.reading.column import EXACT, MISSING
from kleio.core.reading.names import ROW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from kleio.core.query_tree import Node
    from kleio.core.reading.column import Rows
    from kleio.core.reading.statistics import Frame


def rows(node: Node, frame: Frame, among: Rows | None) -> Rows:
    """Those ``among`` the rows for which it holds, in their order."""
    if hasattr(frame.times, "tolist"):
        import numpy as np  # it was needed for the frame already

        mask = _mask(node, frame)
        if among is None:
            return np.flatnonzero(mask)
        chosen = np.asarray(among, np.int64)
        kept: Rows = chosen[mask[chosen]]
        return kept
    every = range(frame.count) if among is None else [int(row) for row in among]
    return [row for row, holds in zip(every, _each(node, frame, among), strict=True) if holds]


def fields(node: Node) -> set[str]:
    """The names of the fields that a query asks for."""
    if isinstance(node, (And, Or)):
        return {name for part in node.parts for name in fields(part)}
    if isinstance(node, Not):
        return fields(node.part)
    if isinstance(node, Truth):
        return {node.field.name}
    return {one.name for one in (node.left, node.right) if isinstance(one, Field)}


def _each(node: Node, frame: Frame, among: Rows | None) -> Iterator[bool]:
    """For each row whether it holds."""
    names = sorted(fields(node))
    if not names:  # true, or false
        yield from [query.holds(node, {})] * (frame.count if among is None else len(among))
        return
    known: dict[str, bool] = {}  # texts are most often few, and the same again and again
    if len(names) == 1:
        for value in of_rows(frame, names[0], among):
            if type(value) is not str:
                yield query.holds(node, {names[0]: value} if value is not MISSING else {})
                continue
            if value not in known:
                known[value] = query.holds(node, {names[0]: value})
            yield known[value]
        return
    for values in zip(*(of_rows(frame, name, among) for name in names), strict=True):
        facts = {name: value for name, value in zip(names, values, strict=True) if value is not MISSING}
        yield query.holds(node, facts)


def of_rows(frame: Frame, name: str, rows: Rows | None) -> Sequence[Any]:
    """The values of a field, of these rows or of all."""
    if not name.startswith(ROW):
        return frame.column(name).at(rows)
    which = range(frame.count) if rows is None else rows
    if name == f"{ROW}time":
        return [int(frame.times[row]) / 1e9 for row in which]
    part = 0 if name == f"{ROW}trial" else 1
    return [frame.origins[int(frame.origin[row])][part] for row in which]


def _mask(node: Node, frame: Frame) -> NDArray[Any]:
    """For every row whether it holds."""
    import numpy as np

    if isinstance(node, (And, Or)):
        both = np.logical_and if isinstance(node, And) else np.logical_or
        found = np.full(frame.count, isinstance(node, And))
        for part in node.parts:
            found = both(found, _mask(part, frame))
        return found
    if isinstance(node, Not):
        return ~_mask(node.part, frame)
    quick = _quick(node, frame)
    return np.fromiter(_each(node, frame, None), bool, frame.count) if quick is None else quick


def _quick(node: Comparison | Truth, frame: Frame) -> NDArray[Any] | None:
    """By one comparison of NumPy's, where that says the same as the language; else None."""
    import numpy as np

    field, value = _sides(node)
    if field is None:
        return None
    if field.name in (f"{ROW}trial", f"{ROW}execution"):
        part = 0 if field.name == f"{ROW}trial" else 1
        of_origin = np.array([query.holds(node, {field.name: one[part]}) for one in frame.origins], bool)
        return np.asarray(of_origin[frame.origin])
    if field.name == f"{ROW}time":
        return _at_times(np.asarray(frame.times) / 1e9, node, field, value)
    typed = frame.column(field.name).typed()
    told: NDArray[Any] | None
    if isinstance(node, Comparison) and value is None:
        told = np.ones(len(typed.values), bool) if node.operator == "!=" else None
    elif isinstance(node, Truth):
        told = typed.values != 0 if typed.values.dtype.kind in "fib" else None
    else:
        operator = node.operator if node.left is field else _TURNED.get(node.operator, "")
        told = _compared(typed.values, operator, value)
    if told is None:
        return None
    if typed.rows is None:
        return told
    mask = np.zeros(frame.count, bool)
    mask[typed.rows] = told
    return mask


def _at_times(seconds: NDArray[Any], node: Comparison | Truth, field: Field, value: Any) -> NDArray[Any] | None:
    """As :mod:`kleio.core.query` compares times with what is no instant."""
    if not isinstance(node, Comparison) or not isinstance(value, Moment):
        return None
    within = ((seconds >= value.start) & (seconds < value.end)) | (seconds == value.start)
    before, after = seconds < value.start, (seconds > value.start) & ~within
    found = {"==": within, "!=": ~within, "<": before, "<=": before | within, ">": after, ">=": after | within}
    return found.get(node.operator if node.left is field else _TURNED.get(node.operator, ""))


_TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _sides(node: Comparison | Truth) -> tuple[Field | None, Any]:
    if isinstance(node, Truth):
        return node.field, None
    if isinstance(node.left, Field) and isinstance(node.right, Constant):
        return node.left, node.right.value
    if isinstance(node.right, Field) and isinstance(node.left, Constant):
        return node.right, node.left.value
    return None, None


def _compared(values: NDArray[Any], operator: str, constant: Any) -> NDArray[Any] | None:
    """Numbers with a number, and truth values with one: where both are exactly what NumPy takes them for."""
    import numpy as np

    if operator not in _TURNED or not len(values):
        return None
    if type(constant) is bool:
        if values.dtype.kind != "b" or operator not in ("==", "!="):
            return None
        return np.asarray((values == constant) ^ (operator == "!="))
    if type(constant) not in (int, float) or values.dtype.kind not in "fi":
        return None
    if constant != constant:
        if operator not in ("==", "!="):
            return None
        return np.asarray(np.isnan(values) ^ (operator == "!="))
    if values.dtype.kind == "i" and (abs(constant) > EXACT or max(-int(values.min()), int(values.max())) > EXACT):
        exact = type(constant) is int and -(1 << 63) <= constant < 1 << 63
        return _numbers(values, operator, constant) if exact else None
    if values.dtype.kind == "f" and type(constant) is int and abs(constant) > EXACT:
        return None
    return _numbers(values, operator, constant)


def _numbers(values: NDArray[Any], operator: str, constant: Any) -> NDArray[Any]:
    import numpy as np

    comparing = {"==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
                 ">=": np.greater_equal}  # fmt: skip
    return np.asarray(comparing[operator](values, constant))
