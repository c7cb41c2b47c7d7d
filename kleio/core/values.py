"""Values of any kind to one line of JSON, and back (standard library only).

JSON has no NaN, dates, bytes or tuples. Non-finite numbers are written as Python's ``json`` writes and
reads them (``NaN``, ``Infinity``); the rest is tagged, ``{"$kleio": KIND, "value": …}``, and a mapping of the
user's that has such a key, or keys that are not text, is tagged as well. So whatever goes in comes out.
Scalars of NumPy, PyTorch and their like become the Python number they hold, arrays nested lists of them. What else has one
obvious form takes that: a Decimal or Fraction the number it is or else its text, an enumeration's member its name, a UUID its
text, a named tuple and a data class a mapping of its fields, a range and other sequences a list.
"""

from __future__ import annotations

from kleio.core.errors import told

TYPE_CHECKING = False  # importing typing costs 3 ms at the start of every command
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

TAG = "$kleio"


class UnstorableValueError(TypeError):
    """No faithful form is known for a value; the message names its type and what to do."""


def dumps(value: Any) -> str:
    """One line of ASCII JSON. Raises :class:`UnstorableValueError` and never writes half a value."""
    import json  # 6 ms, which a script that logs only numbers does not pay

    try:
        return json.dumps(plain(value, 0), separators=(",", ":"))
    except RecursionError:
        raise UnstorableValueError("the value contains itself; log its parts by name") from None


def loads(text: str | bytes) -> Any:
    """The inverse of :func:`dumps`. Raises ValueError for what is not JSON."""
    import json

    whole = text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")
    return json.loads(whole, object_hook=_untag if TAG in whole else None)  # the hook, called for every object, takes long


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` in terms of JSON's own types and tags."""
    kind = type(value)
    if kind in (float, int, str, bool) or value is None:
        return value
    if depth > 200:
        raise UnstorableValueError("the value is nested more than 200 deep, or contains itself")
    if kind is dict or isinstance(value, dict):
        if all(type(key) is str for key in value) and TAG not in value:
            return {key: plain(item, depth + 1) for key, item in value.items()}
        return _tag("dict", [[plain(k, depth + 1), plain(v, depth + 1)] for k, v in value.items()])
    if kind is list:
        return [plain(item, depth + 1) for item in value]
    if kind in (tuple, set, frozenset):
        return _tag(kind.__name__, [plain(item, depth + 1) for item in value])
    return _plain_object(value, depth)


def _plain_object(value: Any, depth: int) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        import binascii

        return _tag("bytes", binascii.b2a_base64(bytes(value), newline=False).decode())
    if isinstance(value, complex):
        return _tag("complex", [value.real, value.imag])
    for base in (bool, int, float, str):  # subclasses: enumerations of numbers or texts, numpy.float64, numpy.str_
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    for collection in (tuple, list, set, frozenset):  # subclasses: named tuples, torch.Size
        if isinstance(value, collection):
            return plain(dict(_fields(value)) if hasattr(type(value), "_fields") else collection(value), depth + 1)
    if hasattr(type(value), "__members__") and hasattr(value, "name"):  # an enumeration
        return str(value.name)
    return _plain_other(value, depth)


def _plain_other(value: Any, depth: int) -> Any:
    import datetime

    for name in ("datetime", "date", "time"):
        if isinstance(value, getattr(datetime, name)):
            return _tag(name, value.isoformat())
    if isinstance(value, datetime.timedelta):
        return _tag("timedelta", [value.days, value.seconds, value.microseconds])
    if hasattr(value, "__fspath__"):
        return _tag("path", str(value))
    kind = type(value)
    if (kind.__module__, kind.__name__) in _WITH_A_FORM:
        return plain(_WITH_A_FORM[kind.__module__, kind.__name__](value), depth + 1)
    if hasattr(kind, "__dataclass_fields__"):
        return plain({name: getattr(value, name) for name in kind.__dataclass_fields__ if hasattr(value, name)}, depth + 1)
    return _plain_array(value, depth)


def _fields(value: Any) -> Iterable[tuple[str, Any]]:
    """Those of a named tuple."""
    return zip(type(value)._fields, value, strict=True)


def _of_decimal(value: Any) -> Any:
    """The number whose digits are the same; its text where no number has them."""
    if value.is_finite() and value == value.to_integral_value() and value.as_tuple().exponent >= 0 and value.adjusted() < 400:
        return int(value)
    number = float(value) if not value.is_snan() else float("nan")
    return number if not value.is_finite() or type(value)(repr(number)) == value else str(value)


def _of_fraction(value: Any) -> Any:
    """The number that it is; its text, 1/3, where there is none."""
    if value.denominator == 1:
        return value.numerator
    number = value.numerator / value.denominator
    return number if type(value)(number) == value else str(value)


def _of_range(value: range) -> list[int]:
    if len(value) > _LONGEST_RANGE:
        raise UnstorableValueError(f"{value!r} is too long; log its start, stop and step")
    return list(value)


_LONGEST_RANGE = 1_000_000
_WITH_A_FORM: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("decimal", "Decimal"): _of_decimal,
    ("fractions", "Fraction"): _of_fraction,
    ("builtins", "range"): _of_range,
    ("uuid", "UUID"): str,
    ("collections", "deque"): list,
    ("builtins", "mappingproxy"): dict,
    ("types", "SimpleNamespace"): vars,
    ("builtins", "dict_keys"): list,
    ("builtins", "dict_values"): list,
    ("builtins", "dict_items"): list,
}
"""By module and name, so that none of them is imported to ask."""


def _plain_array(value: Any, depth: int) -> Any:
    if getattr(type(value), "__module__", "").partition(".")[0] == "numpy" and value.dtype.kind in "Mm":
        value = value.astype("M8[us]" if value.dtype.kind == "M" else "m8[us]")
    for convert in ("tolist", "item"):  # NumPy, PyTorch, JAX, TensorFlow, pandas: by what they offer
        if hasattr(value, convert):
            try:
                inner = getattr(value, convert)()
            except Exception as error:  # noqa: BLE001 - a tensor without data, or without a dense form: its library says why
                raise UnstorableValueError(f"{_kind(value)} cannot be logged: {told(error)}") from None
            if type(inner) is not type(value):
                return plain(inner, depth + 1)
    if hasattr(value, "numpy"):
        return plain(value.numpy(), depth + 1)
    raise UnstorableValueError(
        f"{_kind(value)} cannot be logged; give a number, text, bytes, a date, an array, or lists and dicts of them"
    )


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__module__}.{type(value).__qualname__}"


def _tag(kind: str, value: Any) -> dict[str, Any]:
    return {TAG: kind, "value": value}


def _untag(mapping: dict[str, Any]) -> Any:
    kind = mapping.get(TAG)
    if kind is None or len(mapping) != 2 or "value" not in mapping:
        return mapping
    value = mapping["value"]
    try:
        return _untagged(kind, value)
    except (TypeError, ValueError, ArithmeticError):  # somebody else's mapping that looks like a tag stays what it is
        return mapping


def _untagged(kind: str, value: Any) -> Any:
    if kind == "dict":
        return {tuple(k) if isinstance(k, list) else k: v for k, v in value}
    if kind in ("tuple", "set", "frozenset"):
        return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](value)
    if kind == "bytes":
        import binascii

        return binascii.a2b_base64(value)
    if kind == "complex":
        return complex(*value)
    if kind == "path":
        import pathlib

        return pathlib.PurePath(value)
    import datetime

    if kind in ("datetime", "date", "time"):
        return getattr(datetime, kind).fromisoformat(value)
    if kind == "timedelta":
        return datetime.timedelta(*value)
    raise ValueError(kind)


def portable(value: Any, strict: bool = True) -> Any:
    """For ``--json``: strict JSON that any language reads; non-finite numbers and dates are strings.

    Not ``strict``: for parameters as they are kept. Numbers that are not finite stay numbers, as which queries find them.
    """
    if isinstance(value, float):
        return value if not strict or value - value == 0 else {"inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), "NaN")
    if isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): portable(item, strict) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [portable(item, strict) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes):
        import binascii

        return binascii.b2a_base64(value, newline=False).decode()
    return str(value)
