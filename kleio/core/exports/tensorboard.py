"""Trials as event files, written with TensorBoard's own writer and messages.

Numbers are scalars of 32 bits, as everywhere in TensorBoard, at their times and steps; parameters are hyperparameters, with how
the trial ended.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from kleio.core.exports.laying import laid, ready
from kleio.core.exports.material import step_of
from kleio.core.extras import needed
from kleio.core.table import text
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kleio.core.exports.material import Material

NEED = "writing event files needs"
_ENDS = {Status.COMPLETED: 1, Status.RUNNING: 3, Status.RESERVED: 3}
FAILED = 2


class EventFiles:
    """A directory with one for each trial, that holds one event file."""

    def __init__(self, top: str) -> None:
        self._top = top

    def write(self, material: Material) -> str:
        host = next((one.host for one in material.entry.executions if one.host), "") or "kleio"
        name = f"events.out.tfevents.{int(material.started):010d}.{host.replace('/', '_')}.{int(material.id[:6], 16)}.0"
        with laid(self._top, material.title, material.id) as (directory, path), open(f"{directory}/{name}", "wb") as file:
            _Events(file, material).write()
        return path


@contextmanager
def target(place: str) -> Iterator[EventFiles]:
    """A directory, made if it is not there."""
    needed("tensorboard.compat.proto.event_pb2", "tensorboard", NEED)
    with ready(place) as top:
        yield EventFiles(top)


class _Events:
    """The events of one trial on their way into a file."""

    def __init__(self, file: Any, material: Material) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
        from tensorboard.util import tensor_util

        self._writer, self._material = RecordWriter(file), material
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._of_plugin, self._hparams, self._data = summary_pb2.SummaryMetadata, metadata, plugin_data_pb2
        self._tensor = tensor_util.make_tensor_proto
        self._known: set[str] = set()

    def write(self) -> None:
        material = self._material
        self._put(material.started, 0, file_version="brain.Event:2")
        self._begin()
        for count, row in enumerate(material.rows()):
            counted, step = step_of(row, count)
            told = {key: value for key, value in row.items() if key != "step" or key != counted or len(row) == 1}
            values = [one for key, value in told.items() for one in self._value(key, value)]
            if values:
                self._put(row.nanoseconds / 1e9, step, summary=self._summary(value=values))
        artifacts = sum(1 for _ in material.artifacts())
        if artifacts:
            material.leave_out("artifacts", artifacts)
        self._end()
        self._writer.flush()

    def _put(self, when: float, step: int, **what: Any) -> None:
        self._writer.write(self._event(wall_time=when, step=step, **what).SerializeToString())

    def _value(self, key: str, value: Any) -> list[Any]:
        """What a key has in one event. Numbers are of 32 bits: of others TensorBoard's data server reads none."""
        tag = key.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, (bool, int, float)) and (not isinstance(value, int) or abs(value) < 1 << 1000):
            return [self._summary.Value(tag=tag, simple_value=float(value))]
        if isinstance(value, str):
            return [self._text(tag, value)]
        self._material.leave_out("values that are neither numbers nor texts")
        return []

    def _text(self, tag: str, value: str) -> Any:
        """That it is one is said with the first."""
        tensor = self._tensor([value.encode("utf-8", "backslashreplace")])
        if tag in self._known:
            return self._summary.Value(tag=tag, tensor=tensor)
        self._known.add(tag)
        plugin = self._of_plugin(plugin_data=self._of_plugin.PluginData(plugin_name="text"))
        return self._summary.Value(tag=tag, tensor=tensor, metadata=plugin)

    # -- hyperparameters -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        start = self._data.SessionStartInfo(group_name=self._material.id, start_time_secs=self._material.started)
        for name, value in self._material.params.items():
            own = start.hparams[name.encode("utf-8", "backslashreplace").decode()]
            if isinstance(value, bool):
                own.bool_value = value
            elif isinstance(value, (int, float)) and abs(value) < 1 << 53:
                own.number_value = value
            else:
                own.string_value = text(value).encode("utf-8", "backslashreplace").decode()
        self._tell(self._hparams.SESSION_START_INFO_TAG, self._material.started, session_start_info=start)

    def _end(self) -> None:
        ended = self._material.ended
        if ended is not None:
            status = _ENDS.get(self._material.entry.status, FAILED)
            end = self._data.SessionEndInfo(status=status, end_time_secs=ended)
            self._tell(self._hparams.SESSION_END_INFO_TAG, ended, session_end_info=end)

    def _tell(self, tag: str, when: float, **what: Any) -> None:
        told = self._hparams.create_summary_metadata(self._data.HParamsPluginData(**what))
        value = self._summary.Value(tag=tag, metadata=told, tensor=self._hparams.NULL_TENSOR)
        self._put(when, 0, summary=self._summary(value=[value]))
