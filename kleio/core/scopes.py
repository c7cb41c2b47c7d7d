"""Scopes: named values that hold for many statistics, stored once and inherited.

They are told of in the statistics stream of the process that uses them, by records with a mark, N being a number that
means something in that stream only::

    @+N {"values": {…}, "parent": M}   scope N begins, inside scope M if that is given; "origin": [WRITER, NUMBER] says that it
                                       is one that another process began, before a fork
    @=N {"values": {…}}                it learns values
    @-N {"error": null}                it ends; the error is {"type", "message"} if there was one
    @N  {…}                            a statistic in it
    @!N {…}                            what was added to a statistic that was never committed; N is 0 outside all scopes

So whatever part of a stream is seen, it explains itself. A scope may learn values after a statistic was logged in it, which
has them when it is read: reading takes two passes.
"""

from __future__ import annotations

from dataclasses import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.lookup import Key
    from kleio.core.statistics import Record


def is_statistic(record: Record) -> bool:
    """Whether it is one, in a scope or not, rather than what is told of scopes."""
    return not record.mark or record.mark[1:].isdigit()


def said(record: Record) -> Mapping[str, Any]:
    """The values that a record brings: its own, or those that a scope begins with or learns."""
    if is_statistic(record):
        return record.values
    told = record.values.get("values")
    return told if record.mark[1] in "+=" and isinstance(told, dict) and "origin" not in record.values else {}


class Scope:
    """``number`` counts the scopes of one process; ``started`` and ``ended`` are nanoseconds since the epoch.

    ``error`` is the type and message of the exception that ended it; ``uncommitted`` are the values that were added in it to
    statistics that never came to be.
    """

    def __init__(self, execution: str, writer: str, number: int) -> None:
        self.execution, self.writer, self.number = execution, writer, number
        self.parent: Scope | None = None
        self.started: int | None = None
        self.ended: int | None = None
        self.error: Mapping[str, Any] | None = None
        self.uncommitted: list[Mapping[str, Any]] = []
        self._told: list[tuple[int, Mapping[str, Any]]] = []

    def learn(self, when: int, values: Any) -> None:
        """Take in values that it begins with or learns."""
        if isinstance(values, dict):
            self._told.append((when, values))

    @property
    def own(self) -> dict[str, Any]:
        """Its values without those that it inherits; of two of one name the later counts."""
        return {name: value for _, values in sorted(self._told, key=lambda one: one[0]) for name, value in values.items()}

    @property
    def values(self) -> dict[str, Any]:
        """Its values, inherited ones first."""
        found: dict[str, Any] = {}
        for scope in reversed(list(self.line())):
            found |= scope.own
        return found

    def line(self) -> Iterator[Scope]:
        """Itself, and what it is inside of, from within."""
        known: set[int] = set()
        scope: Scope | None = self
        while scope is not None and id(scope) not in known:  # a stream may say anything
            known.add(id(scope))
            yield scope
            scope = scope.parent

    @property
    def over(self) -> int | None:
        """When it ended, or what it is inside of did."""
        return next((scope.ended for scope in self.line() if scope.ended is not None), None)


class Scopes:
    """All that some streams tell of scopes. Feed it with every record; then ask."""

    def __init__(self) -> None:
        self._by_origin: dict[tuple[str, str, int], Scope] = {}
        self._here: dict[tuple[str, str, int], Scope] = {}

    def __iter__(self) -> Iterator[Scope]:
        """Every scope, in the order in which they began; first what was never committed outside of all."""
        return iter(sorted(self._by_origin.values(), key=lambda one: (one.started or 0, one.number)))

    def __bool__(self) -> bool:
        return bool(self._by_origin)

    def take(self, key: Key, record: Record) -> None:
        """Note what a record tells of a scope, if it does."""
        mark = record.mark
        if not mark or is_statistic(record) or not mark[2:].isdigit():
            return
        number = int(mark[2:])
        if mark[1] == "+":
            self._begin(key, number, record)
        elif mark[1] == "=":
            self._of(key, number).learn(record.time, record.values.get("values"))
        elif mark[1] == "-":
            scope = self._of(key, number)
            scope.ended, scope.error = record.time, record.values.get("error")
        elif mark[1] == "!":
            self._of(key, number).uncommitted.append(record.values)

    def _begin(self, key: Key, number: int, record: Record) -> None:
        writer, own = record.values.get("origin") or (key[1], number)
        scope = self._by_origin.setdefault((key[0], str(writer), own), Scope(key[0], str(writer), own))
        self._here[key[0], key[1], number] = scope
        scope.learn(record.time, record.values.get("values"))
        if scope.started is None or record.time < scope.started:
            scope.started = record.time
        parent = record.values.get("parent")
        if parent is not None:
            scope.parent = self._of(key, parent)

    def _of(self, key: Key, number: int) -> Scope:
        """The scope that a stream calls by a number, though its beginning may be missing."""
        place = (key[0], key[1], number)
        if place not in self._here:
            self._here[place] = self._by_origin.setdefault(place, Scope(*place))
        return self._here[place]

    def of(self, key: Key, record: Record) -> Scope | None:
        """The scope that a statistic is in."""
        return self._of(key, int(record.mark[1:])) if record.mark else None


def resolved(found: Iterable[tuple[Key, Record]]) -> tuple[list[tuple[Record, Scope | None]], Scopes]:
    """The statistics among ``found``, with the values that they inherit, each with its scope; and all scopes.

    The values of a statistic itself count more than those of its scope.
    """
    scopes = Scopes()
    kept = []
    for key, record in found:
        scopes.take(key, record)
        if is_statistic(record):
            kept.append((key, record))
    inherited: dict[int, dict[str, Any]] = {}
    result: list[tuple[Record, Scope | None]] = []
    for key, record in kept:
        scope = scopes.of(key, record)
        if scope is None:
            result.append((record, None))
            continue
        if id(scope) not in inherited:
            inherited[id(scope)] = scope.values
        result.append((replace(record, values={**inherited[id(scope)], **record.values}), scope))
    return result, scopes
