"""``experiment.open``: files that become artifacts when they are closed, and artifacts as files."""

from __future__ import annotations

import io
import os

from kleio.core.descriptors import opener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import IO, Any

    from kleio.client.experiment import Experiment

_MODES = {"r", "w", "x", "a", "r+", "w+", "x+", "a+"}


def opened(experiment: Experiment, name: str, mode: str, encoding: str | None, meta: dict[str, Any]) -> IO[Any]:
    """See :meth:`kleio.client.Experiment.open`. Raises ValueError, FileNotFoundError."""
    plain = mode.replace("b", "").replace("t", "")
    kind = plain[:1] + ("+" if "+" in plain else "")
    if kind not in _MODES or len(plain) != len(kind) or ("b" in mode and "t" in mode):
        raise ValueError(f"invalid mode: {mode!r}")
    binary = "b" in mode
    if kind == "r":
        found = _newest(experiment, name)
        return found if binary else io.TextIOWrapper(found, encoding or "utf-8")
    path = _place(experiment.logger.directory)
    if kind[0] in "ar":
        try:
            with _newest(experiment, name) as before, open(path, "wb") as copy:
                import shutil

                shutil.copyfileobj(before, copy)
        except FileNotFoundError:
            if kind[0] == "r":
                raise
    raw = io.FileIO(path, {"w": "w+", "x": "w+", "a": "a+", "r": "r+"}[kind[0]], opener=opener)

    def keep() -> None:
        experiment.logger.log_artifact(name, path, **meta)

    kept = _Kept(raw, path, keep)
    file: IO[Any] = kept if binary else _KeptText(kept, encoding or "utf-8")
    experiment.files[:] = [*(one for one in experiment.files if not one.closed), file]
    return file


def _newest(experiment: Experiment, name: str) -> IO[bytes]:
    found = experiment.logger.latest_artifact(name)
    if found is None:
        raise FileNotFoundError(f"this trial has no artifact called {name!r}")
    return found.open()


def _place(directory: str) -> str:
    """A path for a new file, beside the other blobs."""
    if directory:
        return os.path.join(directory, "blobs", f"{os.getpid()}-{os.urandom(8).hex()}.tmp")
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="kleio-")
    os.close(descriptor)
    return path


class _Kept(io.BufferedRandom):
    """A binary file that is kept when it is closed, unless an exception ended what wrote it."""

    def __init__(self, raw: io.FileIO, path: str, keep: Callable[[], None]) -> None:
        super().__init__(raw)
        self.whole = True
        self._path, self._keep, self._owner = path, keep, os.getpid()

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        if self._owner != os.getpid():
            return
        try:
            if self.whole:
                self._keep()
        finally:
            try:
                os.unlink(self._path)
            except OSError:
                pass

    def end(self, error: BaseException | None) -> None:
        """The experiment ends, and nobody closed it."""
        self.whole = error is None
        self.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.whole = self.whole and kind is None
        super().__exit__(kind, error, trace)


class _KeptText(io.TextIOWrapper):
    """The same for text."""

    def __init__(self, kept: _Kept, encoding: str) -> None:
        super().__init__(kept, encoding, newline=None)
        self._kept = kept

    def end(self, error: BaseException | None) -> None:
        """The experiment ends, and nobody closed it."""
        self._kept.whole = error is None
        self.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._kept.whole = self._kept.whole and kind is None
        super().__exit__(kind, error, trace)
