"""The artifacts of a trial, and their bytes, which are checked against their digest as they are read."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
from collections.abc import Sequence
from functools import cached_property
from typing import overload

from kleio.core import lineage
from kleio.core.errors import Damaged, JournalError
from kleio.core.reading import html
from kleio.core.reading.readonly import ReadOnly, frozen
from kleio.core.reading.rows import moment
from kleio.core.wholefile import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping
    from typing import Any, BinaryIO

    from kleio.core.reading.source import Source
    from kleio.core.trial import Entry

PIECE = 1 << 20


class Artifact(ReadOnly):
    """A named file that a trial logged.

    ``meta`` are the keyword arguments that it was logged with, ``size`` is in bytes, ``time`` an aware datetime in UTC,
    ``execution`` the id of the execution that logged it, in this trial or in one that it continues.
    """

    name: str
    size: int
    sha256: str
    time: datetime.datetime
    execution: str
    nanoseconds: int
    _source: Source
    _meta: dict[str, Any]

    def __init__(self, source: Source, values: Mapping[str, Any], nanoseconds: int, execution: str) -> None:
        self.__dict__.update(
            _source=source, _meta=values.get("meta", {}), name=values["name"], size=values["size"], sha256=values["sha256"],
            time=moment(nanoseconds), nanoseconds=nanoseconds, execution=execution,
        )  # fmt: skip

    @property
    def meta(self) -> Mapping[str, Any]:
        """What it was logged with."""
        return frozen(self._meta)

    @property
    def journal(self) -> str:
        """The address of the journal that has its bytes."""
        return self._source.uri

    def open(self) -> BinaryIO:
        """Its bytes, to be read, sought in, and closed. They are digested on the way.

        Reading the last of them, or seeking before that, raises :class:`~kleio.core.errors.Damaged` where they are not those
        that were logged. Raises JournalError when they are not in the journal, Scrubbed when they were taken out of it.
        """
        stored = self._source.journal.blob(self.sha256)
        if stored is None:
            which = f"{self.name!r} ({self.sha256[:12]})"
            raise JournalError(f"the bytes of artifact {which} are not in the journal {self.journal}")
        return io.BufferedReader(_Checked(stored, self), PIECE)

    def read(self) -> bytes:
        """All its bytes, checked. Raises as :meth:`open`."""
        with self.open() as file:
            return file.read()

    def save(self, path: str | os.PathLike[str], progress: Callable[[int, int], object] = lambda *_: None) -> None:
        """Write its bytes to ``path``: whole and checked, or not at all; a file that is there is replaced.

        ``progress`` is called with the bytes that are written, and those that there are. Raises as :meth:`open`, and
        KleioError when the file cannot be written.
        """
        with whole(path) as temporary, self.open() as source, open(temporary, "wb") as file:
            written = 0
            progress(written, self.size)
            while piece := source.read(PIECE):
                file.write(piece)
                written += len(piece)
                progress(written, self.size)

    def __repr__(self) -> str:
        return f"Artifact({self.name!r}, size={self.size}, meta={dict(self.meta)!r})"


class Artifacts(ReadOnly, Sequence[Artifact]):
    """The artifacts that a trial has, in the order in which they were logged; those that a branch inherits come first.

    They are looked up once, when they are first used. Called, it chooses: ``trial.artifacts("weights.pt", epoch=10)``.
    """

    _source: Source
    _entry: Entry
    _all: bool

    def __init__(
        self, source: Source, entry: Entry, all_executions: bool = False, found: Sequence[Artifact] | None = None
    ) -> None:
        self.__dict__.update(_source=source, _entry=entry, _all=all_executions)
        if found is not None:
            self.__dict__["_found"] = tuple(found)

    def __call__(self, name: str | None = None, /, **meta: Any) -> Artifacts:
        """Those of this name, which may hold ``*`` and ``?``, that were logged with these values.

        In the order in which they were logged; ``[-1]`` is the newest. Those without such a value are not meant.
        """
        fitting = [one for one in self._found if _named(one, name) and _has(one, meta)]
        return Artifacts(self._source, self._entry, found=fitting)

    @cached_property
    def _found(self) -> tuple[Artifact, ...]:
        records = lineage.having(self._source.journal, self._entry, self._all)
        logged = sorted(records, key=lambda one: one[1].time)
        return tuple(Artifact(self._source, record.values, record.time, key[0]) for key, record in logged)

    @overload
    def __getitem__(self, at: int) -> Artifact: ...
    @overload
    def __getitem__(self, at: slice) -> Artifacts: ...
    def __getitem__(self, at: int | slice) -> Artifact | Artifacts:
        if isinstance(at, slice):
            return Artifacts(self._source, self._entry, found=self._found[at])
        return self._found[at]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<{len(self)} artifacts of trial {self._entry.id[:7]}>"

    def _repr_html_(self) -> str:
        rows = [(one.name, one.size, one.time, ", ".join(f"{k}={v}" for k, v in one.meta.items())) for one in self]
        return html.table(["name", "size", "time", "meta"], rows)


def _named(one: Artifact, name: str | None) -> bool:
    if name is None or one.name == name:
        return True
    return ("*" in name or "?" in name) and fnmatch.fnmatchcase(one.name, name)


def _has(one: Artifact, meta: Mapping[str, Any]) -> bool:
    return all(key in one.meta and one.meta[key] == value for key, value in meta.items())


class _Checked(io.RawIOBase):
    """Bytes that are digested as they are read from the beginning; before anybody goes elsewhere all of them are checked.

    The last of them is given away only when all are known to be right: many readers know how much there is, and look for no
    end. Once they are known to be wrong, nothing is.
    """

    def __init__(self, stored: BinaryIO, artifact: Artifact) -> None:
        self._stored = stored
        self._artifact = artifact
        self._digest = hashlib.sha256()
        self._left = artifact.size
        self._right: bool | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        piece = self._stored.read(len(into))
        if len(into):
            self._take(piece)
        into[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = self._stored.tell()
        if (offset, whence) not in ((0, os.SEEK_CUR), (at, os.SEEK_SET)):
            while self._right is None:
                self._take(self._stored.read(PIECE))
            self._stored.seek(at)
        return self._stored.seek(offset, whence)

    def tell(self) -> int:
        return self._stored.tell()

    def close(self) -> None:
        self._stored.close()
        super().close()

    def _take(self, piece: bytes) -> None:
        """``piece`` comes next, unless all were checked before. Raises Damaged."""
        if self._right is None:
            self._digest.update(piece)
            self._left -= len(piece)
            if self._left > 0 and piece:
                return
            self._right = self._digest.hexdigest() == self._artifact.sha256 and not self._stored.read(1)
        if not self._right:
            one = self._artifact
            raise Damaged(
                f"the bytes of artifact {one.name!r} are damaged in the journal {one.journal}: "
                f"they are not those with the sha256 {one.sha256[:12]}… that were logged"
            )
