"""What is learnt of an execution while its command runs, or right after: environment, parameters, files written.

Whoever learns something leaves it in the spool as a finding; the recorder, or after a crash the next kleio, brings it into the
journal. So nothing learnt is lost to an outage, and nobody waits for the journal to learn it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from kleio.core import resuming
from kleio.core.journal.base import BYTES, Trace
from kleio.core.lineage import cut_short
from kleio.core.trial import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.resuming import Resumed
    from kleio.core.spool import Spool
    from kleio.core.streams import Source

PREFIX = "finding-"
EXCEPTION = f"{PREFIX}exception-"
MOST_EXCEPTIONS = 16
"""Of one execution: when one process of many fails, the others do so because of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An event of ``kind`` with ``data``, or None where only ``documents`` are kept; ``time`` in seconds since the epoch.

    ``documents`` and the bytes of ``blobs``, which lie in the spool, are in the journal before the event that names them.
    ``traces`` are keys under which the execution is found again.
    """

    kind: str | None
    time: float
    data: Mapping[str, Any] = field(default_factory=dict)
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    blobs: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()


def leave(spool: Spool, name: str, finding: Finding) -> None:
    """Put it into the spool. Raises OSError."""
    spool.write(
        f"{PREFIX}{name}",
        {
            "kind": finding.kind, "time": finding.time, "data": dict(finding.data),
            "documents": {key: dict(document) for key, document in finding.documents.items()},
            "blobs": list(finding.blobs), "traces": list(finding.traces),
        },
    )  # fmt: skip


def found(spool: Spool, name: str) -> dict[str, Any] | None:
    """What was left under this name."""
    return spool.read(f"{PREFIX}{name}")


def resumed(spool: Spool) -> resuming.Resumed | None:
    """What the execution said last that it resumed from."""
    said = [one for stem in spool.stems(f"{PREFIX}{resuming.KIND}") if (one := spool.read(stem))]
    others = [one for one in said if one["data"]["execution"] != spool.execution]
    last = max(others, key=lambda one: float(one["time"]), default=None)
    return resuming.from_data(last["data"], last["time"]) if last else None


def bring(journal: Journal, source: Source, token: int, told: set[str]) -> None:
    """Record every finding that is not among ``told``, the names of those that are in the journal. May be repeated."""
    for stem in source.spool.stems(PREFIX):
        one = source.spool.read(stem) if stem not in told else None
        if stem.startswith(EXCEPTION) and sum(name.startswith(EXCEPTION) for name in told) >= MOST_EXCEPTIONS:
            continue
        if one is not None:
            _record(journal, source, token, stem[len(PREFIX) :], one)
            told.add(stem)


def _record(journal: Journal, source: Source, token: int, name: str, one: Mapping[str, Any]) -> None:
    keep(journal, source, one)
    if one["kind"] == resuming.KIND:
        _cut_short(journal, source.trial, resuming.from_data(one["data"], one["time"]))
    if one["kind"] is not None:
        suffix = "" if name == one["kind"] else f"-{name}"
        identity = f"{one['kind']}-{source.execution}{suffix}"
        data = _without_secrets(one["kind"], one["data"])
        journal.record(source.trial, Event(identity, one["kind"], one["time"], token, source.execution, data))


def _without_secrets(kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What processes told of themselves is as they had it."""
    if kind == "parameters":
        from kleio.core.redact import named

        return {**data, **{part: named(data[part]) for part in ("params", "defaults") if part in data}}
    if kind == "exception":
        from kleio.core.redact import text

        return {name: text(value) if isinstance(value, str) else value for name, value in data.items()}
    return data


def resumed_from(journal: Journal, source: Source) -> None:
    """More of an execution has come to the journal than was there when another resumed from it: summarise its part again."""
    entry = journal.entry(source.trial)
    for said in resuming.told(entry.events).values() if entry else ():
        if said.of == source.execution:
            _cut_short(journal, source.trial, said)


def _cut_short(journal: Journal, trial: str, said: Resumed) -> None:
    for summary in cut_short(journal, trial, said.of, said.until):
        journal.summarise(summary)


def keep(journal: Journal, source: Source, one: Mapping[str, Any]) -> None:
    """Store the documents, blobs and traces that a finding, or a launch, brings along. May be repeated."""
    traces = [*one.get("traces", ()), *(f"{BYTES}{digest}:" for digest in one.get("blobs", ()))]
    if traces:  # before anybody looks whether the bytes are there: see kleio.core.stock
        journal.leave([Trace(key, source.trial, source.execution) for key in traces])
    for digest in one.get("blobs", ()):
        path = source.spool.file("blobs", digest)
        if os.path.exists(path):
            journal.put_blob(digest, path)
    for key, document in one.get("documents", {}).items():
        journal.put_document(key, document)
