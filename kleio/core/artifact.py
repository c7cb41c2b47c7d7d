"""Artifacts: bytes kept once per content, and the records that name them.

Writing is the client's side and uses the standard library only. The bytes are copied and digested in one pass, a
megabyte at a time, so the file may change or go as soon as the call returns, and no artifact is ever whole in memory.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from kleio.core.descriptors import opener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

PIECE = 1 << 20
LOCK = "artifacts.lock"
"""In the spool: held shared while bytes and their record are put there, alone by whoever takes bytes away."""
PAUSE, TRIES = 0.001, 2000
"""Seconds, and so many times: no longer does a script wait for it, as a launcher that is stopped just then must not stop it.
A script that is held up itself does not use them up.
"""


def digest_of(path: str) -> str:
    """The sha256 of a file, read a piece at a time. Raises OSError."""
    import hashlib  # 2 ms, for scripts that log artifacts

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def keep(blobs: str, content: Any, said: Callable[[str, int], object] = lambda *_: None) -> tuple[str, int]:
    """Copy ``content``, a path, bytes or a file open for reading, into the directory ``blobs``: (sha256, bytes).

    ``said`` is called with the two once the bytes are there, and is to append the record that names them: whoever takes bytes
    out of the spool waits until it has returned. Raises OSError for a file that cannot be read or a disk that is full,
    TypeError for anything else; then nothing is kept.
    """
    import hashlib  # 2 ms, for scripts that log artifacts

    digest = hashlib.sha256()
    size = 0
    temporary = os.path.join(blobs, f"{os.getpid()}-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb", buffering=0, opener=opener) as kept:
            for piece in _pieces(content):
                digest.update(piece)
                size += len(piece)
                _write(kept, piece)
        with _together(os.path.join(os.path.dirname(blobs), LOCK)):
            os.replace(temporary, os.path.join(blobs, digest.hexdigest()))
            said(digest.hexdigest(), size)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    return digest.hexdigest(), size


@contextmanager
def _together(path: str) -> Iterator[None]:
    """With others who log, and without anybody who tidies up: he does not take long, unless he has been stopped."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(PAUSE)
        yield
    finally:
        os.close(descriptor)


def _write(file: Any, piece: Any) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def _pieces(content: Any) -> Iterator[Any]:
    if isinstance(content, (bytes, bytearray, memoryview)):
        view = memoryview(content).cast("B")
        for at in range(0, len(view), PIECE):
            yield view[at : at + PIECE]
    elif isinstance(content, str) or hasattr(content, "__fspath__"):
        with open(content, "rb", buffering=0) as file:
            yield from _read(file)
    elif hasattr(content, "read"):
        yield from _read(content)
    else:
        raise TypeError(f"an artifact is a path, bytes or an open file, not {type(content).__name__}")


def _read(file: BinaryIO) -> Iterator[Any]:
    while piece := file.read(PIECE):
        yield piece.encode() if hasattr(piece, "encode") else piece
