"""A run of Sacred, wherever it observed it: the document of a run, and what becomes of it."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING

from kleio.core.importing.found import About, File, Row, Run, nanoseconds, seconds, stepped
from kleio.core.redact import address
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

STATUSES = {"COMPLETED": Status.COMPLETED, "FAILED": Status.BROKEN, "TIMEOUT": Status.INTERRUPTED}
"""Any other has not come to an end of its own."""


class SacredRun(Run):
    """What both kinds have in common: the document of a run."""

    def __init__(self, document: Mapping[str, Any], number: str, place: str) -> None:
        self._document = document
        experiment, host = mapping(document.get("experiment")), mapping(document.get("host"))
        name = str(experiment.get("name") or "")
        start = seconds(document.get("start_time"))
        super().__init__(
            f"{name}/{number}" if name else number,
            place,
            json.dumps([number, name, host.get("hostname"), start if start is not None else place]),
        )

    def series(self) -> Iterable[tuple[str, Iterator[Row | File]]]:
        for key, metric in sorted(self.metrics()):
            yield key, self._points(key, metric)
        result = self._document.get("result")
        when = self._ended()
        if result is not None and when is not None:
            yield "result", iter([Row(nanoseconds(when), {"result": result})])
        yield "files", self.files()

    @abstractmethod
    def metrics(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each with its steps, timestamps and values."""

    @abstractmethod
    def files(self) -> Iterator[File]:
        """Artifacts, sources, resources."""

    def _points(self, key: str, metric: Mapping[str, Any]) -> Iterator[Row]:
        steps, times, values = (metric.get(name) for name in ("steps", "timestamps", "values"))
        if not (isinstance(steps, list) and isinstance(times, list) and isinstance(values, list)):
            self.damaged = f"metric {key} has no steps, timestamps and values"
            return
        if len({len(steps), len(times), len(values)}) > 1:
            self.remarks.append(f"metric {key} was read while it was written: only whole points are taken")
        for step, stamp, value in zip(steps, times, values, strict=False):
            moment = seconds(stamp)
            if moment is not None:
                yield Row(nanoseconds(moment), stepped(step, {key: value}))
            else:
                self.leave_out("points without a time")

    def _ended(self) -> float | None:
        return seconds(self._document.get("stop_time")) or seconds(self._document.get("heartbeat"))

    def about(self) -> About:
        document = self._document
        experiment, host = mapping(document.get("experiment")), mapping(document.get("host"))
        said = str(document.get("status") or "")
        return About(
            params=dict(mapping(self.config())),
            name=str(experiment.get("name") or "") or None,
            note=str(mapping(document.get("meta")).get("comment") or "") or None,
            status=STATUSES.get(said, Status.INTERRUPTED),
            said=said or None,
            started=seconds(document.get("start_time")),
            ended=self._ended(),
            host=str(host.get("hostname") or ""),
            command=self._command(experiment),
            code=_code(experiment),
            output=self.output(),
            exception=_exception(document.get("fail_trace")),
        )

    @abstractmethod
    def config(self) -> Any:
        """The parameters."""

    @abstractmethod
    def output(self) -> bytes:
        """What it printed."""

    def _command(self, experiment: Mapping[str, Any]) -> list[str]:
        """As one would type it: the file, Sacred's command, and what was changed of the configuration."""
        meta = mapping(self._document.get("meta"))
        options = mapping(meta.get("options"))
        main = experiment.get("mainfile")
        if not main:
            return []
        command = options.get("COMMAND") or self._document.get("command")
        named = [str(one) for one in meta.get("named_configs") or ()]
        updates = options.get("UPDATE") or [f"{name}={value}" for name, value in mapping(meta.get("config_updates")).items()]
        changed = [*named, *(str(one) for one in updates if str(one) not in named)]
        return [str(main), *([str(command)] if command and command != "main" else []), *(["with", *changed] if changed else [])]


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is one, else an empty one: documents may hold anything."""
    return value if isinstance(value, dict) else {}


def _code(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """The first repository that it names."""
    found = [mapping(one) for one in experiment.get("repositories") or ()]
    if not found or not found[0].get("commit"):
        return {}
    first = found[0]
    remote = address(str(first.get("url") or "")) or None
    return {"commit": str(first["commit"]), "branch": None, "dirty": bool(first.get("dirty")), "remote": remote}


def _exception(trace: Any) -> tuple[str, str, str] | None:
    """What ended it, as the lines of its traceback tell."""
    text = "".join(map(str, trace)) if isinstance(trace, list) else str(trace or "")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    kind, _, message = last.partition(":")
    return (kind.strip().rpartition(".")[2], message.strip(), text) if last else None
