"""How a journal and its trials look in a notebook."""

from __future__ import annotations

from kleio.core.reading import html

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core.reading.journal import Journal
    from kleio.core.reading.trial import Trial
    from kleio.core.reading.trials import Trials

NEWEST = 10


def journal(one: Journal) -> str:
    """Its address, how many trials have which status, and the newest."""
    counted = ", ".join(f"{count:,} {status}" for status, count in one.statuses().items()) or "no trials"
    return f"<p>{html.text(f'{one.uri}: {counted}')}</p>{trials(one.trials(limit=NEWEST))}"


def trials(several: Trials) -> str:
    """One row a trial, with the parameters that differ."""
    listed = list(several[: html.MOST_ROWS])
    params = [one.params for one in listed]  # put together each time that they are asked for
    names = _differing(params)
    keys = list(dict.fromkeys(key for one in listed for key in one.summary))
    some, most = names[: html.MOST_COLUMNS], keys[: html.MOST_COLUMNS]
    rows = [
        (one.short_id, one.status, one.created, " ".join(one.command), *(own.get(name) for name in some),
         *(one.summary[key].last if key in one.summary else None for key in most))
        for one, own in zip(listed, params, strict=True)
    ]  # fmt: skip
    return html.table(["id", "status", "created", "command", *names, *keys], rows, len(several) - len(listed))


def _differing(listed: list[Mapping[str, Any]]) -> list[str]:
    known: dict[str, list[object]] = {}
    for one in listed:
        for name, value in one.items():
            known.setdefault(name, []).append(value)
    same = {name for name, values in known.items() if len(values) == len(listed) and all(v == values[0] for v in values)}
    return [name for name in known if name not in same or len(listed) == 1]


def trial(one: Trial) -> str:
    """What a trial is, how it went, its parameters and its statistics."""
    last = one.executions[-1] if one.executions else None
    about = {
        "trial": one.id, "name": one.name, "status": one.status, "reason": last.reason if last else None,
        "command": " ".join(one.command), "project": one.project, "tags": one.tags or None, "note": one.note,
        "created": one.created, "ended": one.ended, "seconds": one.duration, "host": last.host if last else None,
        "parent": one.parent,
    }  # fmt: skip
    params = [(name, value, one.param_sources.get(name)) for name, value in one.params.items()]
    figures = [(key, own.last, own.min, own.max, own.mean, own.count) for key, own in one.summary.items()]
    return (
        html.pairs({name: value for name, value in about.items() if value is not None})
        + (html.table(["parameter", "value", "source"], params) if params else "")
        + (html.table(["statistic", "last", "min", "max", "mean", "count"], figures) if figures else "")
    )
