"""A trial as programs and people see it: the stable document of ``--json``, and how far away its run is."""

from __future__ import annotations

import datetime
from dataclasses import replace

from kleio.core import resuming
from kleio.core.codedocument import recorded_code
from kleio.core.errors import JournalError, JournalUnreachable
from kleio.core.lookup import SHORT, is_alive
from kleio.core.statistics import combine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry, Execution


def from_here(entries: Iterable[Entry], root: str) -> list[Entry]:
    """``entries`` with what this machine knows about the life of their owners."""
    return [replace(entry, live=is_alive(entry, root)) if entry.holder else entry for entry in entries]


def documents(
    journal: Journal, entries: Sequence[Entry], whole: bool = False, all_executions: bool = False
) -> list[dict[str, Any]]:
    """The documents of several trials. With ``whole`` their code and environment are given in full; with ``all_executions``
    the summary is of all that was ever logged, what was given up by resuming from before it included.
    """
    summaries = journal.summaries([entry.id for entry in entries])
    found = []
    for entry in entries:
        own = summaries.get(entry.id, ())
        summary = combine(resuming.everything(own) if all_executions else resuming.counted(entry, own))
        found.append(_document(entry, summary, _code(journal, entry, whole), _environment(journal, entry, whole), whole))
    return found


def _document(
    entry: Entry, summary: Mapping[str, Any], code: Mapping[str, Any], environment: Mapping[str, Any] | None,
    whole: bool,
) -> dict[str, Any]:
    trial = entry.trial
    return {
        "id": trial.id,
        "short_id": trial.id[:SHORT],
        "work_key": trial.work_key,
        "project": trial.project,
        "command": list(trial.command),
        "cwd": trial.cwd,
        "params": entry.params,
        "param_sources": entry.param_sources,
        "param_defaults": entry.param_defaults,
        "status": entry.status.value,
        "tags": list(entry.tags),
        "name": entry.name,
        "note": entry.note,
        "parent": trial.parent,
        "cut": trial.cut,
        "previous": trial.previous,
        "within": trial.within,
        "code": code,
        "environment": environment,
        "executions": [_execution(one, whole) for one in entry.executions],
        "created": iso(trial.created),
        "summary": summary,
    }


def _execution(one: Execution, whole: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "number": one.number,
        "status": one.status.value,
        "host": one.host,
        "user": one.user,
        "pid": one.pid,
        "started": iso(one.started),
        "ended": iso(one.ended),
        "exit_code": one.exit_code,
        "signal": one.signal,
        "reason": one.reason,
        "output": one.output,
        "exceptions": [{name: told[name] for name in told if whole or name != "traceback"} for told in one.exceptions],
    }


def _code(journal: Journal, entry: Entry, whole: bool) -> dict[str, Any]:
    brief = dict(entry.trial.code)
    if not whole:
        return brief
    try:
        return brief | (recorded_code(journal, brief.get("document")) or {})
    except JournalUnreachable:
        raise
    except JournalError as error:
        return brief | {"damaged": str(error)}


def _environment(journal: Journal, entry: Entry, whole: bool) -> dict[str, Any] | None:
    digests = [one.environment for one in entry.executions if one.environment]
    if not digests:
        return None
    return {"digest": digests[-1]} | ((journal.document(digests[-1]) or {}) if whole else {})


def iso(seconds: float | None) -> str | None:
    """ISO-8601 in UTC, to the microsecond."""
    if seconds is None:
        return None
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
