"""What the names of queries about trials mean: :mod:`kleio.core.facts` says what there is."""

from __future__ import annotations

import difflib
import re

from kleio.core import moments, query_syntax
from kleio.core.facts import CODE, CUT
from kleio.core.query_tree import Field, Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

STATISTICS = ("last", "min", "max", "mean", "count")
KINDS = {
    "id": "id", "short_id": "id", "parent": "id", "previous": "id", "within": "id", "ancestor": "id",
    "created": "moment", "started": "moment", "ended": "moment", "duration": "span",
    **dict.fromkeys(
        ("work_key", "project", "cwd", "status", "name", "note", "host", "user", "exit_code", "signal", "reason", "executions"),
        "plain",
    ),
    **dict.fromkeys(("command", "tags", "exceptions"), "words"),
}  # fmt: skip
"""Names of one value, and how it is compared."""
GROUPS = ("params", "param_sources", "param_defaults", "summary", "code", "environment", "cut")
"""Names of many."""
OPEN = ("params", "param_sources", "param_defaults", "summary", "environment")
"""Groups in which any name may be: whether one is, only the trials tell."""
_PLAIN = re.compile(r"[^\W\d]\w*\Z")


class Trials:
    """The vocabulary of queries about trials (:class:`~kleio.core.query_syntax.Vocabulary`).

    ``known`` gives names of parameters and statistics to suggest, ``there`` says whether any trial has a fact of a name;
    ``now`` is what times such as "2 days ago" are counted from.
    """

    def __init__(
        self, now: float, known: Callable[[], Iterable[str]] = tuple, there: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._now = now
        self._known = known
        self._there = there
        self._found: dict[str, str | None] = {}

    def field(self, path: Sequence[str]) -> Field:
        first, rest = path[0], list(path[1:])
        if first in KINDS:
            if rest:
                raise LookupError(f"{first} has no parts, so no {'.'.join(path)}")
            return Field(first, KINDS[first])
        if first not in GROUPS:
            raise LookupError(self._unknown(first))
        if first == "summary" and rest and (len(rest) == 1 or rest[-1] not in STATISTICS):
            rest.append("last")
        for group, names in (("code", CODE), ("cut", CUT)):
            if first == group and rest and rest[0] not in names:
                wanted = ".".join(path)
                raise LookupError(_suggested(f"there is no {wanted}", wanted, [f"{group}.{one}" for one in names]))
        if not rest:
            return Field(first, "words")
        return Field(self._that_is_there(first, rest) if first in OPEN else ".".join([first, *rest]))

    def constant(self, field: Field, value: Any) -> Any:
        if isinstance(value, list):
            return [self.constant(field, one) for one in value]
        if not isinstance(value, str):
            return value
        if field.kind == "moment":
            moment = moments.moment(value, self._now)
            if moment is None:
                raise ValueError(f"{field.name} is a time, such as '2026-11-20', '2026-11-20 14:30', 'today' or '2 days ago'")
            return moment
        if field.kind == "span":
            seconds = moments.span(value)
            if seconds is None:
                raise ValueError(f"{field.name} is in seconds, or a text such as '2h30m', '90 s' or '1 day'")
            return seconds
        return Prefix(value.lower()) if field.kind == "id" else value

    def sorting(self, keys: Sequence[str]) -> list[tuple[str, bool]]:
        """Names of fields, and whether the greatest comes first: what ``-created`` says with its dash."""
        found = []
        for key in keys:
            name = key.removeprefix("-")
            field = query_syntax.name(name, self)
            found.append((field.name, key.startswith("-")))
        return found

    def _that_is_there(self, group: str, rest: Sequence[str]) -> str:
        """The name of a fact that some trial has: ``summary.val.loss`` is that of val/loss too, where nothing is val.loss."""
        name = ".".join([group, *rest])
        if name not in self._found:
            nested = [f"summary.{'/'.join(rest[:-1])}.{rest[-1]}"] if group == "summary" and len(rest) > 2 else []
            self._found[name] = next((one for one in (name, *nested) if self._there(one)), None)
        found = self._found[name]
        if found is None:
            raise LookupError(self._nowhere(name))
        return found

    def _nowhere(self, name: str) -> str:
        """That no trial has it, with the nearest that one has."""
        group = name.partition(".")[0]
        known = [one for one in self._known() if one.startswith(f"{group}.")]
        said = f"no trial has {_in_a_query(name)}"
        near = difflib.get_close_matches(name, known, 1)
        if not near:
            return f"{said}; kleio info and kleio ls --json show what there is"
        return f"{said}; did you mean {_in_a_query(near[0])}?"

    def _unknown(self, name: str) -> str:
        """Those that are known have the name of a group in front, and statistics that of a figure behind."""
        short = {one.split(".", 1)[-1].removesuffix(".last"): one for one in self._known()}
        names = {**short, **dict.fromkeys([*KINDS, *GROUPS])}
        said = f"there is no {name}"
        if name in short:
            return f"{said}; did you mean {short[name]}?"
        near = difflib.get_close_matches(name, names, 1)
        if near:
            return f"{said}; did you mean {names[near[0]] or near[0]}?"
        return f"{said}; there are {', '.join([*KINDS, *(f'{group}.…' for group in GROUPS)])}"


def _suggested(said: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"{said}; did you mean {near[0]}?" if near else f"{said}; there are {', '.join(known)}"


def written(group: str, name: str) -> str:
    """How the name of a parameter or statistic is written in queries."""
    parts = [name] if group == "summary" else name.split(".")
    if all(map(_PLAIN.match, parts)):
        return ".".join([group, *parts])
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{group}["{quoted}"]'


def _in_a_query(fact: str) -> str:
    """The name of a fact of an open group as one writes it."""
    group, _, name = fact.partition(".")
    if group != "summary":
        return written(group, name)
    key, _, figure = name.rpartition(".")
    return f"{written(group, key)}{'' if figure == 'last' else f'.{figure}'}"
