"""Trials as runs of MLflow, written with MLflow's own client: into a directory, a database, or to a tracking server.

A run carries the id of its trial as the tag ``kleio.trial_id``. It is found again by that, and brought up to date.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from kleio.core import mlflow_client
from kleio.core.exports.laying import ready
from kleio.core.exports.material import step_of
from kleio.core.redact import address
from kleio.core.table import text
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kleio.core.exports.material import Material

NEED = "writing MLflow needs"
TRIAL = "kleio.trial_id"
METRICS, OTHERS = 1000, 100
"""How many a server takes at once."""
MOST_RUNS = 50_000
"""How many MLflow looks for at once."""
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 500, 5000
"""Characters that every version takes."""
STATUSES = {Status.COMPLETED: "FINISHED", Status.BROKEN: "FAILED"}
"""Of trials that have ended; any other was killed."""


class Store:
    """Where they go. ``directory`` is that of a store that is one."""

    def __init__(self, uri: str, directory: str | None) -> None:
        self._uri, self._directory = uri, directory
        self._client = mlflow_client.client(uri, NEED)
        self._runs: dict[str, dict[str, str]] = {}

    def write(self, material: Material) -> str:
        with mlflow_client.in_words(self._uri):
            experiment = self._experiment(material.entry.trial.project)
            run = _Run(self._client, experiment, material, self._found(experiment, material.id))
            run.write_or_take_away()
        return os.path.join(self._directory, experiment, run.id) if self._directory else f"{address(self._uri)}#{run.id}"

    def _found(self, experiment: str, trial: str) -> Any:
        """The run that a trial is already. A directory has no index: all of its runs are read to find one, so that is done once
        for all trials.
        """
        if self._directory is None:
            return next(iter(self._client.search_runs([experiment], f"tags.`{TRIAL}` = '{trial}'", max_results=1)), None)
        if experiment not in self._runs:
            found = self._client.search_runs([experiment], f"tags.`{TRIAL}` LIKE '%'", max_results=MOST_RUNS)
            self._runs[experiment] = {one.data.tags[TRIAL]: one.info.run_id for one in found}
        run = self._runs[experiment].get(trial)
        return None if run is None else self._client.get_run(run)

    def _experiment(self, project: str) -> str:
        name = _encodable(project or "kleio")
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        beside = None  # where a server, or a directory, has artifacts is its own affair; a file would have them here and now
        if self._uri.startswith("sqlite:///"):
            path = os.path.abspath(self._uri[len("sqlite:///") :])
            beside = f"file://{quote(os.path.splitext(path)[0])}-artifacts"
        return str(self._client.create_experiment(name, artifact_location=beside))


@contextmanager
def target(place: str) -> Iterator[Store]:
    """A directory, a database file ``*.db``, or an address."""
    if "://" in place:
        yield Store(place, None)
    elif place.endswith((".db", ".sqlite")) or os.path.isfile(place):
        yield Store(f"sqlite:///{os.path.abspath(place)}", None)
    else:
        with ready(place) as top:
            yield Store(f"file://{quote(top)}", top)


class _Run:
    """One trial on its way."""

    def __init__(self, client: Any, experiment: str, material: Material, there: Any) -> None:
        self._client, self._material, self._there = client, material, there
        begun, name = int(material.started * 1000), _cut(material.title, LONGEST_NAME)
        run = there or client.create_run(experiment, start_time=begun, run_name=name, tags=_tags(material))
        self.id = str(run.info.run_id)

    def write_or_take_away(self) -> None:
        """A run that was not there before is there whole or not at all."""
        try:
            self._write()
        except BaseException:
            if self._there is None:
                with suppress(Exception):
                    self._client.delete_run(self.id)
            raise

    def _write(self) -> None:
        """What it does not have; at the very end, how it ended."""
        self._params()
        self._metrics()
        self._artifacts()
        material = self._material
        if self._there:
            for name, value in _tags(material).items():
                if self._there.data.tags.get(name) != value:
                    self._client.set_tag(self.id, name, value)
        if material.ended is not None:
            status = STATUSES.get(material.entry.status, "KILLED")
            self._client.set_terminated(self.id, status, end_time=int(material.ended * 1000))

    def _params(self) -> None:
        from mlflow.entities import Param

        params = {_name(key): _cut(text(value), LONGEST_PARAM) for key, value in self._material.params.items()}
        there = self._there.data.params if self._there else {}
        others = [name for name, value in params.items() if there.get(name, value) != value]
        if others:
            self._material.remarks.append(f"MLflow changes no parameter; as they were before stay {', '.join(others[:5])}")
        new = [Param(name, value) for name, value in params.items() if name not in there]
        for start in range(0, len(new), OTHERS):
            self._client.log_batch(self.id, params=new[start : start + OTHERS])

    def _metrics(self) -> None:
        there = self._known()
        batch: list[Any] = []
        for one in self._points():
            point = (one.key, one.timestamp, one.step, repr(one.value))
            if there[point]:
                there[point] -= 1
                continue
            batch.append(one)
            if len(batch) >= METRICS:
                self._client.log_batch(self.id, metrics=batch)
                batch = []
        if batch:
            self._client.log_batch(self.id, metrics=batch)

    def _known(self) -> Counter[tuple[Any, ...]]:
        """The points that it has."""
        keys = self._there.data.metrics if self._there else ()
        history = (one for key in keys for one in self._client.get_metric_history(self.id, key))
        return Counter((one.key, one.timestamp, one.step, repr(one.value)) for one in history)

    def _points(self) -> Iterator[Any]:
        from mlflow.entities import Metric

        material = self._material
        names = _names(material.keys)
        for count, row in enumerate(material.rows()):
            counted, step = step_of(row, count)
            for key, value in row.items():
                if key == counted == "step" and len(row) > 1:
                    continue
                if isinstance(value, (bool, int, float)) and (not isinstance(value, int) or abs(value) < 1 << 1000):
                    yield Metric(names.get(key) or _name(key), float(value), row.nanoseconds // 1_000_000, step)
                else:
                    material.leave_out("values that are no numbers")

    def _artifacts(self) -> None:
        there = dict(self._listed("")) if self._there else {}
        scratch = tempfile.mkdtemp(prefix="kleio-export-")
        try:
            for one, path in self._material.artifacts():
                local = os.path.join(scratch, path)
                if there.get(path) != one.size and self._material.save(one, local):
                    self._client.log_artifact(self.id, local, os.path.dirname(path) or None)
                    os.unlink(local)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _listed(self, path: str) -> Iterator[tuple[str, int]]:
        for one in self._client.list_artifacts(self.id, path or None):
            if one.is_dir:
                yield from self._listed(one.path)
            else:
                yield one.path, one.file_size


def _tags(material: Material) -> dict[str, str]:
    """What MLflow shows of a run, and kleio's own tags, each by its name."""
    import shlex

    entry, code = material.entry, material.entry.trial.code
    last = entry.executions[-1] if entry.executions else None
    found = {
        TRIAL: material.id,
        "kleio.status": entry.status.value,
        "mlflow.user": last.user if last else "",
        "mlflow.source.name": shlex.join(entry.trial.command),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": code.get("commit"),
        "mlflow.source.git.branch": code.get("branch"),
        "mlflow.source.git.repoURL": code.get("remote"),
        "mlflow.note.content": entry.note,
        "mlflow.runName": material.title,
        **{_name(name): value for name, _, value in (tag.partition("=") for tag in entry.tags)},
    }
    return {name: _cut(str(value), LONGEST_TAG) for name, value in found.items() if value is not None}


def _names(keys: list[str]) -> dict[str, str]:
    """The names of metrics: none is at the same time the directory of others, which a store of files cannot have."""
    found = {key: _name(key) for key in keys}
    above = {one for name in found.values() for one in _above(name)}
    return {key: f"{name}_" if name in above else name for key, name in found.items()}


def _above(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _name(key: str) -> str:
    """A key as MLflow takes it."""
    parts = [re.sub(r"[^\w.\- ]", "_", part) for part in key.split("/") if part not in ("", ".", "..")]
    return _cut("/".join(parts), LONGEST_NAME) or "_"


def _encodable(value: str) -> str:
    """Halves of characters, which MLflow cannot send or write, as they are typed in Python."""
    return value.encode("utf-8", "backslashreplace").decode()


def _cut(value: str, longest: int) -> str:
    value = _encodable(value)
    return value if len(value) <= longest else value[: longest - 1] + "…"
