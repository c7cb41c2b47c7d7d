"""Runs of TensorBoard: directories with event files, whoever wrote them.

TensorBoard's own reader takes the records apart and its own messages say what they mean; TensorFlow is never loaded. Scalars
and histograms become statistics, images, sounds and texts become artifacts, hyperparameters become parameters.
"""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING

from kleio.core.errors import KleioError
from kleio.core.extras import needed
from kleio.core.importing.found import About, Damage, File, Row, Run, nanoseconds, stepped
from kleio.core.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

NEED = "reading event files needs"
_NAMED = re.compile(r"tfevents\.\d+\.(?P<host>.+?)(?:\.\d+\.\d+)?(?:\.v2)?$")
_OF_HPARAMS = re.compile(r"\d{9,10}\.\d+")
"""The directory, named by the time, in which PyTorch's ``add_hparams`` writes beside the run that it tells of."""
_ENDINGS = {"image": (b"\x89PNG", "png", "jpg"), "audio": (b"RIFF", "wav", "audio")}
_STATUSES = {1: (Status.COMPLETED, "success"), 2: (Status.BROKEN, "failure"), 3: (Status.INTERRUPTED, "running")}
LARGEST = 1 << 20
"""Values of one tensor that are taken: a few bytes may stand for any number of equal ones."""


def find(place: str) -> Iterator[Run | Damage]:
    """The runs at or below a directory, or that of one event file. One that has only just begun is none yet."""
    needed("tensorboard.compat.proto.event_pb2", "tensorboard", NEED)
    top = os.path.abspath(place)
    none = True
    for directory, own in sorted(_directories(top).items()):
        below = os.path.relpath(directory, top) if os.path.isdir(top) else "."
        name = os.path.basename(directory) if below == "." else below
        files = sorted(own, key=os.path.basename)
        damage: list[str] = []
        identity = next(filter(None, (_begun(path, damage) for path in files)), None)
        if identity is not None or damage:
            none = False
            yield Damage(name, directory, damage[0]) if identity is None else EventRun(name, directory, files, identity)
    if none:
        raise KleioError(f"there are no event files of TensorBoard (…tfevents…) {'in' if os.path.isdir(top) else 'at'} {place}")


def _begun(path: str, damage: list[str]) -> str | None:
    """What a run that begins with this file is known by, wherever it lies: the name, with host and process, and the moment of
    the first event.
    """
    first = next(_events(path, damage), None)
    return None if first is None else f"{os.path.basename(path)} {first.wall_time!r}"


def _directories(top: str) -> dict[str, list[str]]:
    if os.path.isfile(top):
        return {os.path.dirname(top): [top]} if "tfevents" in os.path.basename(top) else {}
    found: dict[str, list[str]] = {}
    for directory, _, names in os.walk(top):
        own = [os.path.join(directory, name) for name in names if "tfevents" in name and not name.endswith(".profile-empty")]
        above = os.path.dirname(directory)
        if own:
            belongs = above if above in found and _OF_HPARAMS.fullmatch(os.path.basename(directory)) else directory
            found.setdefault(belongs, []).extend(own)
    return found


class EventRun(Run):
    """One directory of event files, each a series of its own: a file only grows."""

    def __init__(self, name: str, directory: str, files: list[str], identity: str) -> None:
        super().__init__(name, directory, identity)
        self._files = files
        self._about = About(name=name)
        self._first = self._last = 0.0

    def series(self) -> Iterable[tuple[str, Iterator[Row | File]]]:
        for path in self._files:
            yield os.path.basename(path), _EventFile(self, path).items()

    def about(self) -> About:
        about = self._about
        started = [one for one in (about.started, self._first) if one]
        about.started = min(started) if started else None
        about.ended = max(about.ended or 0.0, self._last) or None
        hosts = [found["host"] for path in self._files if (found := _NAMED.search(os.path.basename(path)))]
        about.host = hosts[0] if hosts else ""
        return about

    def happened(self, when: float) -> None:
        """Something was written at this time."""
        self._first = min(self._first or when, when)
        self._last = max(self._last, when)

    def tell(self, content: bytes) -> None:
        """What the plugin of hyperparameters knows."""
        from tensorboard.plugins.hparams import plugin_data_pb2

        try:
            data = plugin_data_pb2.HParamsPluginData.FromString(content)
        except Exception:  # noqa: BLE001 - of another version, or none
            self.leave_out("hyperparameters that cannot be read")
            return
        about, start, end = self._about, data.session_start_info, data.session_end_info
        if data.HasField("session_start_info"):
            about.params.update((name, _param(value)) for name, value in start.hparams.items())
            about.started = start.start_time_secs or about.started
        if data.HasField("session_end_info"):
            about.status, about.said = _STATUSES.get(end.status, (Status.COMPLETED, None))
            about.ended = end.end_time_secs or about.ended


def _param(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value" and value.number_value.is_integer() and abs(value.number_value) < 1 << 53:
        return int(value.number_value)
    return getattr(value, kind) if kind in ("number_value", "string_value", "bool_value") else str(value)


def _events(path: str, damage: list[str]) -> Iterator[Any]:
    """The events of a file. One that is cut off at its end does not exist yet; ``damage`` hears of any other that is broken."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.compat.tensorflow_stub import errors
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader, count = PyRecordReader_New(path, 0, b"", None), 0
    try:
        while True:
            try:
                reader.GetNext()
                event = event_pb2.Event.FromString(reader.curr_event)
            except errors.OutOfRangeError:
                return
            except errors.DataLossError as error:
                if "truncated" not in str(error):
                    damage.append(f"{os.path.basename(path)} is damaged behind its event {count:,}")
                return
            except Exception as error:  # noqa: BLE001 - a record that is no event
                damage.append(f"{os.path.basename(path)} holds something else than events: {type(error).__name__}")
                return
            yield event
            count += 1
    finally:
        reader.file_handle.close()


class _EventFile:
    """One event file on its way: which plugin a name belongs to is said with its first value only."""

    def __init__(self, run: EventRun, path: str) -> None:
        self._run, self._path = run, path
        self._plugins: dict[str, str] = {}

    def items(self) -> Iterator[Row | File]:
        damage: list[str] = []
        for event in _events(self._path, damage):
            if event.wall_time == event.wall_time and 0 < event.wall_time < 1e11:
                self._run.happened(event.wall_time)
                yield from self._of_event(event, nanoseconds(event.wall_time))
            elif event.HasField("summary"):
                self._run.leave_out("values without a time")
        if damage:
            self._run.damaged = damage[0]

    def _of_event(self, event: Any, when: int) -> Iterator[Row | File]:
        kind = event.WhichOneof("what")
        if kind in ("graph_def", "meta_graph_def", "tagged_run_metadata"):
            self._run.leave_out("graphs" if kind != "tagged_run_metadata" else "profiles of runs")
        values: dict[str, Any] = {}
        for value in event.summary.value if kind == "summary" else ():
            for item in self._of_value(value, when, event.step):
                if isinstance(item, File):
                    yield item
                elif value.tag in values:  # twice in one event
                    yield Row(when, stepped(event.step, {value.tag: item[0]}))
                else:
                    values[value.tag] = item[0]
        if values:
            yield Row(when, stepped(event.step, values))

    def _of_value(self, value: Any, when: int, step: int) -> Iterator[tuple[Any] | File]:
        """The number or nested value that it is, or files."""
        plugin = value.metadata.plugin_data.plugin_name
        if plugin:
            self._plugins[value.tag] = plugin
        plugin = self._plugins.get(value.tag, "")
        kind = value.WhichOneof("value")
        if plugin == "hparams":
            self._run.tell(value.metadata.plugin_data.content)
        elif kind == "simple_value":
            yield (_shortest(value.simple_value),)
        elif kind == "histo":
            yield (_histogram(value.histo),)
        elif kind in ("image", "audio"):
            content = value.image.encoded_image_string if kind == "image" else value.audio.encoded_audio_string
            yield _file(kind, value.tag, content, when, step)
        elif kind == "tensor" and plugin == "scalars" and (number := _number(value.tensor)) is not None:
            yield (number,)
        elif kind == "tensor":
            yield from self._of_tensor(value, plugin, when, step)
        else:
            self._run.leave_out(f"values of the plugin {plugin or 'none'}")

    def _of_tensor(self, value: Any, plugin: str, when: int, step: int) -> Iterator[tuple[Any] | File]:
        from tensorboard.util import tensor_util

        if math.prod(dimension.size for dimension in value.tensor.tensor_shape.dim) > LARGEST:
            self._run.leave_out("tensors that are too large")
            return
        array = tensor_util.make_ndarray(value.tensor)
        if array.dtype.kind in "OS":
            texts = [one for one in array.ravel().tolist() if isinstance(one, bytes)]
            yield from self._of_texts(texts, value.tag, plugin, when, step)
        elif plugin == "histograms" and array.ndim == 2 and array.shape[1] == 3:
            left, right, count = array.T.tolist()
            yield ({"left": left, "right": right, "count": count},)
        elif plugin in ("scalars", "") and array.size == 1:
            yield (_shortest(array.item()) if array.dtype.itemsize == 4 and array.dtype.kind == "f" else array.item(),)
        elif plugin == "":
            yield (array.tolist(),)
        else:
            self._run.leave_out(f"values of the plugin {plugin}")

    def _of_texts(self, texts: list[bytes], tag: str, plugin: str, when: int, step: int) -> Iterator[File]:
        if plugin == "images":
            for number, content in enumerate(texts[2:]):  # before them width and height
                yield _file("image", f"{tag}-{number}" if len(texts) > 3 else tag, content, when, step)
        elif plugin == "audio":
            for number, content in enumerate(texts[::2]):  # behind each what is said of it
                yield _file("audio", f"{tag}-{number}" if len(texts) > 2 else tag, content, when, step)
        elif plugin in ("text", ""):
            yield File(f"{tag}.md", b"\n\n".join(texts), when, {"step": step})
        else:
            self._run.leave_out(f"values of the plugin {plugin}")


def _number(tensor: Any) -> float | None:
    """That of an ordinary scalar, ten times as fast as any tensor is read; None for another."""
    if tensor.tensor_shape.dim:
        return None
    if len(tensor.double_val) == 1:
        return float(tensor.double_val[0])
    return _shortest(tensor.float_val[0]) if len(tensor.float_val) == 1 else None


def _file(kind: str, tag: str, content: bytes, when: int, step: int) -> File:
    magic, ending, other = _ENDINGS[kind]
    return File(f"{tag}.{ending if content.startswith(magic) else other}", content, when, {"step": step})


def _histogram(histogram: Any) -> dict[str, Any]:
    """As the newer kind has it: buckets by where they begin and end."""
    right = list(histogram.bucket_limit)
    return {"left": [histogram.min, *right[:-1]][: len(right)], "right": right, "count": list(histogram.bucket)}


def _shortest(number: float) -> float:
    """The shortest number that is the same 32-bit float: 0.1 for what was stored of 0.1."""
    import numpy as np  # tensorboard needs it itself

    return float(str(np.float32(number)))
