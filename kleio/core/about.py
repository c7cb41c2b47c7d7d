"""What ``kleio info`` tells of a trial beyond its document: artifacts, files, scopes, lineage, and what looks odd."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kleio.core import analyses, hashcode, lineage, resources, resuming
from kleio.core.artifact_listing import listed
from kleio.core.collecting import in_words
from kleio.core.errors import Damaged
from kleio.core.glance import Glance, glance
from kleio.core.journal.base import Selection
from kleio.core.journal.filters import Either, Is
from kleio.core.lookup import files_written
from kleio.core.scopes import Scopes
from kleio.core.streams import RESOURCES, UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    from kleio.core.artifact_listing import Listed
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

REFUSED = "refused"
MOST = 100
"""Trials that are looked for among those that may have to do with one."""


@dataclass(slots=True)
class About:
    """``artifacts`` are those that the trial sees, in the order of logging, ``resources`` the (path, record, change in
    words) that it read, ``files`` the (path, size, …) that it wrote, ``ancestors`` the oldest first; ``inner`` are the trials
    that it started, ``followers`` those that name it as the previous one; ``unreadable`` counts lines of statistics;
    ``remarks`` are lines of text. ``analyses`` are who said something of it in another trial, and how many values of each
    key; ``imported`` says which tool recorded it (``from``) and where (``place``), if another did; ``hash_codes`` are those by
    which it is found, the oldest first. ``statistics`` is how they went.
    """

    artifacts: list[Listed] = field(default_factory=list)
    resources: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    files: list[Any] = field(default_factory=list)
    unreadable: int = 0
    ancestors: list[Entry] = field(default_factory=list)
    branches: list[Entry] = field(default_factory=list)
    inner: list[Entry] = field(default_factory=list)
    followers: list[Entry] = field(default_factory=list)
    scrubs: list[Mapping[str, Any]] = field(default_factory=list)
    scopes: str = ""
    remarks: list[str] = field(default_factory=list)
    experiment: bool = False
    imported: Mapping[str, str] | None = None
    analyses: list[tuple[dict[str, Any], dict[str, int]]] = field(default_factory=list)
    hash_codes: list[str] = field(default_factory=list)
    statistics: Glance = field(default_factory=lambda: Glance(Scopes()))


def about(journal: Journal, entry: Entry, all_executions: bool = False, keys: Collection[str] = ()) -> About:
    """Look a trial over, and how these ``keys`` of its statistics went. What was given up by resuming from before it is told
    only with ``all_executions``.
    """
    inner, followers = started(journal, entry)
    statistics = glance(journal, entry, keys, all_executions)
    return About(
        artifacts=listed(journal, entry, all_executions),
        resources=resources.told(journal, entry, lineage.emitted(journal, entry.trial, RESOURCES)),
        files=files_written(journal, entry),
        unreadable=sum(1 for _ in lineage.emitted(journal, entry.trial, f"{UNREADABLE}-statistics")),
        ancestors=lineage.ancestors(journal, entry),
        branches=lineage.children(journal, entry.id),
        inner=inner,
        followers=followers,
        scrubs=[event.data for event in entry.events if event.kind == "scrubbed"],
        scopes=_in_words(statistics.scopes),
        remarks=list(_remarks(journal, entry)),
        experiment=entry.trial.experiment,
        imported=entry.trial.imported,
        analyses=analyses.told(journal, entry, all_executions),
        hash_codes=hashcode.told(entry.events),
        statistics=statistics,
    )


def started(journal: Journal, entry: Entry) -> tuple[list[Entry], list[Entry]]:
    """The trials that were started within this one, and those that name it as the previous one, each the oldest first.

    By the journal's index; of trials that are not in it, as those that run, the first few are looked at as they are.
    """
    wanted = Either((Is("within", (entry.id,)), Is("previous", (entry.id,))))
    found, waiting = journal.find(wanted, (("created", False),), MOST)
    ids = dict.fromkeys([*(one.trial for one in found), *waiting[:MOST]])
    near = _read(journal, list(ids))[::-1] if ids else []
    return [one for one in near if one.trial.within == entry.id], [one for one in near if one.trial.previous == entry.id]


def _read(journal: Journal, ids: list[str]) -> list[Entry]:
    """The newest first. A damaged one is nothing that stops the look at another trial."""
    try:
        return journal.entries(Selection(ids=tuple(ids)))
    except Damaged:
        halves = (ids[len(ids) // 2 :], ids[: len(ids) // 2]) if len(ids) > 1 else ()
        found = [entry for half in halves for entry in _read(journal, half)]
        return sorted(found, key=lambda entry: (entry.trial.created, entry.id), reverse=True)


def beyond(journal: Journal, entry: Entry, all_executions: bool = False) -> dict[str, Any]:
    """What ``kleio info --json`` has besides the trial's document."""
    inner, followers = started(journal, entry)
    read = resources.told(journal, entry, lineage.emitted(journal, entry.trial, RESOURCES))
    return {
        "artifacts": [one.as_document() for one in listed(journal, entry, all_executions)],
        "resources": [{**record, "path": path, "change": change or None} for path, record, change in read],
        "branches": [one.id for one in lineage.children(journal, entry.id)],
        "imported": entry.trial.imported,
        "inner": [one.id for one in inner],
        "followers": [one.id for one in followers],
    }


def _in_words(scopes: Scopes) -> str:
    """How many there were, which failed, and what was never committed."""
    found = [scope for scope in scopes if scope.number]
    uncommitted = sum(len(scope.uncommitted) for scope in scopes)
    failed = [scope for scope in found if scope.error]
    said = [f"{len(found):,}"] if found else []
    if failed:
        last = failed[-1]
        assert last.error is not None
        where = " ".join(f"{name}={value}" for name, value in last.values.items())
        said.append(f"{len(failed)} ended by an error, the last ({where}) by {last.error['type']}: {last.error['message']}")
    if uncommitted:
        said.append(f"{uncommitted} {'record' if uncommitted == 1 else 'records'} added to, but never committed")
    return "; ".join(said)


def _remarks(journal: Journal, entry: Entry) -> Iterator[str]:
    last_kept = max((event for event in entry.events if event.kind == "output"), key=lambda event: event.time, default=None)
    if last_kept is not None and last_kept.data["kept"]["left_out"]:
        kept = last_kept.data["kept"]
        yield in_words(last_kept.data["output"], kept["left_out"], kept["left"])
    summaries = journal.summaries([entry.id]).get(entry.id, ())
    for key, number, first, earlier, last in resuming.went_back(entry, summaries):
        before = f"execution {earlier}" if earlier else "what is inherited"
        yield (
            f"{key} begins at {first} in execution {number}, though {before} had come to {last}: curves go back and forth "
            "there; kleio_logger.resume_from(artifact) in the script says where it goes on from"
        )
    yield from _refused(entry)
    numbers = {one.id: one.number for one in entry.executions}
    for execution, said in resuming.told(entry.events).items():
        if said.of in numbers:
            dropped = f"what execution {numbers[said.of]} logged after it, and any between, is not counted"
        else:
            dropped = "what was logged after it is not counted" if said.of else "what was logged before is not counted"
        began = f"went on from {_LONG.sub(_rounded, said.what)}" if said.of else "began anew"
        yield f"execution {numbers.get(execution, '?')} {began}: {dropped} (--all-executions)"


_LONG = re.compile(r"(?<==)-?\d+\.\d{5,}(e[-+]?\d+)?(?!\S)")
"""A float in all its digits, in what an artifact was logged with."""


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.4g}"


def _refused(entry: Entry) -> Iterator[str]:
    """What scripts could not record, as their processes counted it (:mod:`kleio.client.refusals`)."""
    told = sorted((event for event in entry.events if event.kind == REFUSED), key=lambda event: event.time)
    for execution in entry.executions:
        own = [event.data for event in told if event.execution == execution.id]
        last = {one["process"]: one for one in own}.values()  # each has counted on
        counts: dict[str, int] = {}
        for one in last:
            for kind, count in one["counts"].items():
                counts[kind] = counts.get(kind, 0) + count
        if counts:
            found = [f"{counts[kind]:,} {kind if counts[kind] != 1 else kind[:-1]}" for kind in sorted(counts)]
            keys = list(dict.fromkeys(key for one in last for key in one["keys"]))
            of = f" (of {', '.join(keys)})" if keys else ""
            where = f"execution {execution.number}: " if len(entry.executions) > 1 else ""
            least = "" if all(one["over"] for one in last) else "at least "
            yield f"{where}{least}{' and '.join(found)} could not be recorded{of}: {own[0]['reason']}"
