"""Columns of tables of trials: names of the query language, and the values that trials have of them."""

from __future__ import annotations

import datetime
import re
import shlex
from collections import Counter
from dataclasses import dataclass

from kleio.core import query_syntax
from kleio.core.errors import UsageError
from kleio.core.lookup import SHORT
from kleio.core.values import loads, portable
from kleio.core.vocabulary import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from kleio.core.vocabulary import Trials

ALWAYS = ("id", "status", "created", "duration", "name", "tags", "command")
"""Columns of a table of trials for which nobody asked for others; after them come parameters and statistics."""
_NAME = re.compile(r"""(?:\[\s*(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')\s*\]|[^,])+""", re.DOTALL)
_TAGGED = '{"$kleio":'


@dataclass(frozen=True, slots=True)
class Column:
    """``heading`` is the name that was typed, ``name`` that of the field, ``kind`` how it is compared, and so what it is."""

    heading: str
    name: str
    kind: str = "plain"


def split(words: Iterable[str]) -> list[str]:
    """The names in ``--columns a,b --columns c``, each once. Raises UsageError where one is empty."""
    found: dict[str, None] = {}
    for word in words:
        names = [one.strip() for one in _NAME.findall(word)]
        if not names or not all(names) or word.strip().endswith(",") or ",," in word.replace(" ", ""):
            raise UsageError(f"a name is missing: {word!r}; names have commas between them, as status,params.lr")
        found |= dict.fromkeys(names)
    return list(found)


def column(heading: str, vocabulary: Trials) -> Column:
    """Raises QueryError."""
    field = query_syntax.name(heading, vocabulary)
    return Column(heading, field.name, field.kind)


def parameter(name: str) -> Column:
    """That of a parameter which there is."""
    return Column(written("params", name), f"params.{name}")


def statistic(name: str) -> Column:
    """That of the last value of a statistic which there is."""
    return Column(written("summary", name), f"summary.{name}.last")


def value(known: Any, one: Column) -> Any:
    """What a fact is in a table: times are datetimes, a command is as one would paste it."""
    if known is None or isinstance(known, bool):
        return known
    if one.kind == "moment":
        return moment(known)
    if one.name == "short_id":
        return str(known)[:SHORT]
    if one.name == "command":
        return shlex.join(map(str, known))
    if isinstance(known, str):
        return untagged(known)
    if isinstance(known, datetime.datetime) and known.tzinfo is not None:
        return known
    return known if isinstance(known, (int, float, list, tuple)) else portable(known)


def moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def untagged(text: str) -> Any:
    """A value that JSON has no form of is kept in summaries as a text, and is here as in ``--json``."""
    if not text.startswith(_TAGGED):
        return text
    try:
        return portable(loads(text))
    except ValueError:
        return text  # not stored by kleio, but like it


def known_names(groups: Iterable[Iterable[str]]) -> list[str]:
    """All names in the lists of the names that trials have: those that most have first, then in the order of the alphabet."""
    found = Counter(name for names in groups for name in names)
    return sorted(found, key=lambda name: (-found[name], name))
