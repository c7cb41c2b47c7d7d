"""The artifacts of a trial without their bytes: what ``kleio info``, ``kleio artifacts`` and ``kleio get`` know of each."""

from __future__ import annotations

from dataclasses import dataclass

from kleio.core import lineage
from kleio.core.view import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry


@dataclass(frozen=True, slots=True)
class Listed:
    """One of them. ``values`` is its record as it was logged, ``trial`` the id of the trial that logged it: another than the
    one that is asked where it is inherited. ``number`` is that of the execution, of this trial's own.
    """

    values: Mapping[str, Any]
    nanoseconds: int
    execution: str
    trial: str | None
    number: int | None

    @property
    def name(self) -> str:
        return str(self.values["name"])

    @property
    def size(self) -> int:
        return int(self.values["size"])

    @property
    def sha256(self) -> str:
        return str(self.values["sha256"])

    @property
    def meta(self) -> Mapping[str, Any]:
        """The keyword arguments that it was logged with."""
        return self.values.get("meta") or {}

    @property
    def left(self) -> bool:
        """Whether it was not logged, but left in the directory for a trial's files."""
        return bool(self.values.get("output"))

    @property
    def time(self) -> str:
        """ISO-8601 in UTC."""
        return iso(self.nanoseconds / 1e9) or ""

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name, "size": self.size, "sha256": self.sha256, "meta": self.meta, "time": self.time,
            "execution": self.execution, "number": self.number, "trial": self.trial,
        }  # fmt: skip


def listed(journal: Journal, entry: Entry, all_executions: bool = False) -> list[Listed]:
    """All that a trial has, in the order of logging; what was given up only with ``all_executions``."""
    inherited = {part.execution: (part.trial, None) for part in lineage.parts(entry.trial)}
    origins = {**inherited, **{one.id: (entry.id, one.number) for one in entry.executions}}
    found = sorted(lineage.having(journal, entry, all_executions), key=lambda one: one[1].time)
    return [Listed(record.values, record.time, key[0], *origins.get(key[0], (None, None))) for key, record in found]
