"""Runs of MLflow: directories (``mlruns``), databases and tracking servers, read with MLflow's own client.

Metrics that were logged at one time and step become one statistic.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlparse

from kleio.core import mlflow_client
from kleio.core.commandline import typed
from kleio.core.errors import KleioError, in_words
from kleio.core.importing.found import About, Damage, File, Row, Run, stepped
from kleio.core.redact import address
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

NEED = "reading MLflow needs"
PAGE = 500
MINE = "kleio."
"""What the names of tags begin with that ``kleio export`` writes."""
STATUSES = {
    "FINISHED": Status.COMPLETED, "FAILED": Status.BROKEN, "KILLED": Status.INTERRUPTED, "RUNNING": Status.INTERRUPTED,
    "SCHEDULED": Status.INTERRUPTED,
}  # fmt: skip
META = "meta.yaml"


def find(place: str) -> Iterator[Run | Damage]:
    """The runs of a store: a directory, in it one experiment or one run, a database file, or an address."""
    none = True
    for one in _found(place):
        none = False
        yield one
    if none:
        raise KleioError(f"there are no runs of MLflow in {address(place)}")


def _found(place: str) -> Iterator[Run | Damage]:
    store = _store(place)
    if isinstance(store, str):
        client = mlflow_client.client(store, NEED)
        yield from (Tracked(client, store, one, None) for one in _in_store(client, store))
        return
    top, wanted = store
    with _beside(top, wanted[:1]) as uri:
        client = mlflow_client.client(uri, NEED)
        for one in _in_directory(client, top, wanted):
            yield one if isinstance(one, Damage) else Tracked(client, uri, one, top)


def _store(place: str) -> str | tuple[str, list[str]]:
    """The address of a store; or its directory, and which experiment, or which run of it, if not all are meant."""
    if place.startswith("sqlite:///") and not os.path.isfile(place[len("sqlite:///") :].partition("?")[0]):
        raise KleioError(f"there is no file {place[len('sqlite:///') :]}")  # which MLflow would make
    if "://" in place and not place.startswith("file:"):
        return place
    path = os.path.abspath(unquote(urlparse(place).path) if place.startswith("file:") else place)
    if os.path.isfile(path):
        return f"sqlite:///{path}"
    for top in (os.path.join(path, "mlruns"), path):
        if os.path.isdir(top) and any(os.path.isfile(os.path.join(top, name, META)) for name in os.listdir(top)):
            if os.path.isfile(os.path.join(path, META)):  # an experiment: what it holds are runs
                return os.path.dirname(path), [os.path.basename(path)]
            return top, []
    if os.path.isfile(os.path.join(path, META)):
        above, run = os.path.split(path)
        return os.path.dirname(above), [os.path.basename(above), run]
    raise KleioError(f"{place} is no store of MLflow: neither a directory mlruns, nor a database file, nor an address")


@contextmanager
def _beside(top: str, wanted: list[str]) -> Iterator[str]:
    """The address of a directory with links to experiments: MLflow writes into a store before it reads it."""
    with tempfile.TemporaryDirectory(prefix="kleio-import-") as scratch:
        for name in wanted or os.listdir(top):
            if not name.startswith(".") and os.path.isdir(os.path.join(top, name)):
                os.symlink(os.path.join(top, name), os.path.join(scratch, name))
        yield f"file://{quote(scratch)}"


def _in_directory(client: Any, top: str, wanted: list[str]) -> Iterator[Any]:
    """All at once where that can be done; one by one what a search passes over, or stumbles over."""
    for experiment in sorted(wanted[:1] or os.listdir(top)):
        directory = os.path.join(top, experiment)
        if experiment.startswith(".") or not os.path.isfile(os.path.join(directory, META)):
            continue
        runs = sorted(wanted[1:] or (one for one in os.listdir(directory) if len(one) == 32))  # others are tags, models, data
        known = {} if wanted[1:] else _searched(client, experiment)
        for run in runs:
            place = os.path.join(directory, run)
            if run in known:
                yield known[run]
            elif os.path.isdir(place):
                yield from _one(client, run, place)


def _searched(client: Any, experiment: str) -> dict[str, Any]:
    try:
        found = _pages(lambda token: client.search_runs([experiment], max_results=PAGE, page_token=token))
        return {one.info.run_id: one for one in found}
    except Exception:  # noqa: BLE001 - one that is damaged spoils it for all
        return {}


def _one(client: Any, run: str, place: str) -> Iterator[Any]:
    try:
        with mlflow_client.in_words(place):
            found = client.get_run(run)
    except KleioError as error:
        yield Damage(run, place, in_words(error))
        return
    if found.info.lifecycle_stage == "active":
        yield found


def _in_store(client: Any, uri: str) -> Iterator[Any]:
    with mlflow_client.in_words(uri):
        experiments = [one.experiment_id for one in _pages(lambda token: client.search_experiments(page_token=token))]
        for experiment in experiments:
            yield from _pages(lambda token, own=experiment: client.search_runs([own], max_results=PAGE, page_token=token))


def _pages(asked: Any) -> Iterator[Any]:
    token = None
    while True:
        page = asked(token)
        yield from page
        token = page.token
        if not token:
            return


class Tracked(Run):
    """One run. ``directory`` is the store, where it is one."""

    def __init__(self, client: Any, uri: str, run: Any, directory: str | None) -> None:
        info = run.info
        self._client, self._run, self._tags = client, run, dict(run.data.tags)
        own = (info.experiment_id, info.run_id)
        place = os.path.join(directory, *own) if directory else f"{address(uri)}#{info.run_id}"
        super().__init__(info.run_name or self._tags.get("mlflow.runName") or info.run_id, place, info.run_id)
        self._artifacts = _local(info.artifact_uri, os.path.join(directory, *own, "artifacts") if directory else None)

    # -- what it logged ------------------------------------------------------------------------------------------

    def series(self) -> Iterable[tuple[str, Iterator[Row | File]]]:
        yield "", self._rows()
        yield "artifacts", self._files()
        for what, part, names in (("data sets", "inputs", "dataset_inputs"), ("models", "outputs", "model_outputs")):
            for _ in getattr(getattr(self._run, part, None), names, None) or ():  # which older ones do not have
                self.leave_out(what)

    def _rows(self) -> Iterator[Row]:
        together: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for key in sorted(self._run.data.metrics):
            for one in self._history(key):
                rows = together.setdefault((one.timestamp, one.step), [{}])
                if key in rows[-1]:
                    rows.append({})
                rows[0 if key not in rows[0] else -1][key] = one.value
        for (moment, step), rows in sorted(together.items()):
            for values in rows:
                yield Row(moment * 1_000_000, stepped(step, values))

    def _history(self, key: str) -> list[Any]:
        try:
            with mlflow_client.in_words(self.place):
                return list(self._client.get_metric_history(self._run.info.run_id, key))
        except KleioError as error:
            self.damaged = f"metric {key}: {error}"
            return []

    def _files(self) -> Iterator[File]:
        if self._artifacts is not None:
            yield from _below(self._artifacts)
            return
        scratch = tempfile.mkdtemp(prefix="kleio-import-")
        try:
            yield from self._downloaded("", scratch)
        except KleioError as error:
            self.damaged = f"artifacts: {error}"
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _downloaded(self, path: str, scratch: str) -> Iterator[File]:
        """One at a time: a run may have more than there is room for."""
        run = self._run.info.run_id
        with mlflow_client.in_words(self.place):
            found = self._client.list_artifacts(run, path or None)
        for one in found:
            if one.is_dir:
                yield from self._downloaded(one.path, scratch)
                continue
            with mlflow_client.in_words(self.place):
                local = self._client.download_artifacts(run, one.path, scratch)
            yield File(one.path, local, self._end() * 1_000_000)
            os.unlink(local)

    # -- what is told of it --------------------------------------------------------------------------------------

    def _end(self) -> int:
        return int(self._run.info.end_time or self._run.info.start_time or 0)

    def about(self) -> About:
        info, tags = self._run.info, self._tags
        said = str(info.status)
        source = tags.get("mlflow.source.name", "")
        code = {
            "commit": tags.get("mlflow.source.git.commit"), "branch": tags.get("mlflow.source.git.branch"),
            "dirty": None, "remote": address(tags.get("mlflow.source.git.repoURL", "")) or None,
        }  # fmt: skip
        return About(
            params={name: typed(value) for name, value in self._run.data.params.items()},
            tags=[_tag(name, value) for name, value in sorted(tags.items()) if not name.startswith(("mlflow.", MINE))],
            name=self.name,
            note=tags.get("mlflow.note.content"),
            status=STATUSES.get(said, Status.INTERRUPTED),
            said=said,
            started=info.start_time / 1000 if info.start_time else None,
            ended=info.end_time / 1000 if info.end_time else self._last_seen(),
            user=tags.get("mlflow.user") or ("" if info.user_id in (None, "unknown") else info.user_id),
            command=[source] if source else [],
            code=code if code["commit"] else {},
            within=tags.get("mlflow.parentRunId"),
        )

    def _last_seen(self) -> float | None:
        """Of a run that has not ended the time of its newest metric."""
        metrics = getattr(self._run.data, "_metric_objs", ()) or ()
        return max((one.timestamp / 1000 for one in metrics), default=None)


def _tag(name: str, value: str) -> str:
    return f"{name}={value}" if value else name


def _local(uri: str | None, beside: str | None) -> str | None:
    """The directory of a run's artifacts, where it is one here: as recorded, or where the store lies now."""
    path = unquote(urlparse(uri or "").path) if urlparse(uri or "").scheme in ("", "file") else None
    if path is None:
        return None
    return next((one for one in (beside, path) if one and os.path.isdir(one)), path)


def _below(top: str) -> Iterator[File]:
    """The files of a directory; a link that leads out of it is none of the run's."""
    real = os.path.realpath(top)
    for directory, below, names in os.walk(top):
        below.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and os.path.realpath(path).startswith(f"{real}/"):
                yield File(os.path.relpath(path, top), path, os.stat(path).st_mtime_ns)
