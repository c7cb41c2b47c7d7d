"""What queries know of a trial: its document (:mod:`kleio.core.view`) as flat names with plain values.

``params.lr``, ``params["model.lr"]``, ``summary["train/loss"].min``, ``environment.packages.torch``, ``host``, ``duration``.
Nested values have the names of their keys with dots between; of a group as a whole (``params``) there are its names.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from kleio.core.trial import Entry

CODE = ("fingerprint", "commit", "branch", "dirty", "remote", "document")
CUT = ("criterion", "by", "changed")


def facts(entry: Entry, summary: Mapping[str, Mapping[str, Any]], now: float) -> dict[str, Any]:
    """The values of a trial by the names of their fields; what is missing is not there.

    ``summary`` is of its statistics. Times are in seconds since the epoch, ``duration`` is in seconds: of all executions
    together, up to ``now`` for one that is running. Of the environment there is only ``environment.digest``, that of the last
    execution which recorded one: what it stands for (:func:`surroundings`) many trials have in common.
    """
    trial, executions = entry.trial, entry.executions
    found: dict[str, Any] = {
        "id": trial.id, "short_id": trial.id, "work_key": trial.work_key, "project": trial.project,
        "command": list(trial.command), "cwd": trial.cwd, "status": entry.status.value, "tags": list(entry.tags),
        "name": entry.name, "note": entry.note, "parent": trial.parent, "previous": trial.previous, "within": trial.within,
        "created": trial.created, "executions": len(executions), "ancestor": _ancestors(entry),
    }  # fmt: skip
    if executions:
        last = executions[-1]
        found |= {
            "host": last.host, "user": last.user, "exit_code": last.exit_code, "signal": last.signal, "reason": last.reason,
            "started": last.started, "ended": last.ended,
            "duration": sum(max((now if one.ended is None else one.ended) - one.started, 0.0) for one in executions),
            "exceptions": [f"{told['type']}: {told['message']}" for one in executions for told in one.exceptions],
        }  # fmt: skip
    told = entry.parameters()
    groups = {
        "params": told["params"], "param_sources": told["sources"], "param_defaults": told["defaults"],
        "summary": summary, "code": {name: trial.code.get(name) for name in CODE},
        "cut": {name: (trial.cut or {}).get(name) for name in CUT} if trial.cut else {},
    }  # fmt: skip
    environments = [one.environment for one in executions if one.environment]
    if environments:
        found["environment.digest"] = environments[-1]
    for group, values in groups.items():
        own = dict(flat("", values))
        found[group] = sorted(own)
        found.update((f"{group}.{name}", value) for name, value in own.items())
    return {name: value for name, value in found.items() if value is not None}


def surroundings(document: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an environment, as they are named in queries."""
    own = dict(flat("", document))
    return {"environment": sorted(own)} | {f"environment.{name}": value for name, value in own.items()}


def _ancestors(entry: Entry) -> list[str]:
    """Those whose streams it continues, the oldest first."""
    trial = entry.trial
    seen = [end[0] for end in (trial.cut or {}).get("ends", ())]
    return list(dict.fromkeys([*seen, *([trial.parent] if trial.parent else [])]))


def flat(before: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is in ``values``, by names that begin with ``before`` and have dots between the keys of what is nested."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(f"{before}{key}.", value)
        elif value is not None:
            yield f"{before}{key}", value
