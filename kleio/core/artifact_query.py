"""Which artifacts of a trial are meant: by name, and by queries about what they were logged with.

``epoch == 10 and val_loss < 0.3`` is of the language of queries. Its names are those of the keyword arguments, behind ``meta``
where they are no words (``meta["val/loss"]``), and ``name``, ``size`` and ``time`` where none is called so. ``epoch=10`` is
short for one value.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
import time

from kleio.core import moments, query, query_syntax
from kleio.core.errors import KleioError
from kleio.core.query_tree import Comparison, Constant, Field, Or
from kleio.core.vocabulary import GROUPS, KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.artifact_listing import Listed
    from kleio.core.query_tree import Node

OWN = ("name", "size", "time")
"""What is known of every artifact."""
_SHORT = re.compile(r"\s*([^\W\d][\w.]*)\s*=(?!=)\s*(\S*|\"[^\"]*\"|'[^']*')\s*\Z")
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}


def chosen(artifacts: Sequence[Listed], names: Sequence[str], where: Sequence[str] = ()) -> list[Listed]:
    """Those of one of these names or patterns, all without any, for which the queries hold, in the order of logging.

    Raises KleioError for a name that none has, QueryError for what is no query.
    """
    nodes = [_condition(one, artifacts) for one in where] if artifacts else []
    meant = {name for wanted in names for name in _named(artifacts, wanted)} if names else None
    return [
        one
        for one in artifacts
        if (meant is None or one.name in meant) and all(query.holds(node, _facts(one)) for node in nodes)
    ]


def newest(artifacts: Sequence[Listed]) -> list[Listed]:
    """Of each name the one that was logged last, in the order of logging."""
    last = {one.name: one for one in artifacts}
    return [one for one in artifacts if last[one.name] is one]


def _named(artifacts: Sequence[Listed], wanted: str) -> set[str]:
    """The names that are meant: the one that is exactly this, else those that the pattern fits."""
    known = {one.name for one in artifacts}
    if wanted in known:
        return {wanted}
    found = {name for name in known if fnmatch.fnmatchcase(name, wanted)}
    if not found:
        near = difflib.get_close_matches(wanted, known, 1)
        raise KleioError(f"there is no artifact {wanted!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    return found


def _facts(one: Listed) -> dict[str, Any]:
    own: dict[str, Any] = {"name": one.name, "size": one.size, "time": one.nanoseconds / 1e9}
    return own | dict(_flat("", one.meta))


def _flat(before: str, values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        yield f"{before}{key}", value
        if isinstance(value, dict):
            yield from _flat(f"{before}{key}.", value)


def _condition(where: str, artifacts: Sequence[Listed]) -> Node:
    known = {name for one in artifacts for name, _ in _flat("", one.meta)}
    names, short = _Names(known), _SHORT.match(where)
    if short is None:
        return query_syntax.parse(where, names)
    field = query_syntax.name(short[1], names)
    if field.kind == "moment":
        return query_syntax.parse(f"{short[1]} == {_quoted(short[2])}", names)
    return _equals(field, short[2])


def _quoted(written: str) -> str:
    return written if written[:1] in ("'", '"') else f'"{written}"'


def _equals(field: Field, written: str) -> Node:
    """What a shell hands over is text, and may mean a number: both will do."""
    text = written[1:-1] if written[:1] in ("'", '"') and written[-1:] == written[:1] and len(written) > 1 else written
    same: Node = Comparison("==", field, Constant(text))
    if text != written:
        return same
    if written.lower() in _CONSTANTS:
        return Or((Comparison("==", field, Constant(_CONSTANTS[written.lower()])), same))
    try:
        number = int(written) if re.fullmatch(r"[+-]?\d{1,400}", written) else float(written)
    except ValueError:
        return same
    return Or((Comparison("==", field, Constant(number)), same))


class _Names:
    """A vocabulary (:class:`~kleio.core.query_syntax.Vocabulary`): the keywords that artifacts were logged with."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = set(known)

    def field(self, path: Sequence[str]) -> Field:
        name = ".".join(path[1:] if path[0] == "meta" and "meta" not in self._known and len(path) > 1 else path)
        if name in self._known:
            return Field(name)
        if name in OWN:
            return Field(name, "moment" if name == "time" else "plain")
        said = f"no artifact was logged with {name}"
        if path[0] in (*KINDS, *GROUPS):
            raise LookupError(f"{said}; trials are chosen with --trial")
        near = difflib.get_close_matches(name, [*self._known, *OWN], 1)
        raise LookupError(f"{said}; did you mean {near[0]}?" if near else f"{said}; known are {', '.join(self._listed())}")

    def _listed(self) -> list[str]:
        return [*sorted(self._known)[:20], *OWN]

    def constant(self, field: Field, value: Any) -> Any:
        if isinstance(value, list):
            return [self.constant(field, one) for one in value]
        if field.kind != "moment" or not isinstance(value, str):
            return value
        moment = moments.moment(value, time.time())
        if moment is None:
            raise ValueError("time is compared with a time, such as '2026-11-20 14:30' or '2 hours ago'")
        return moment
