"""Artifacts: bytes kept once per content, and the records that name them.

Writing is the client's side and uses the standard library only. The bytes are copied and digested in one pass, a
megabyte at a time, so the file may change or go as soon as the call returns, and no artifact is ever whole in memory.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

PIECE = 1 << 20


def digest_of(path: str) -> str:
    """The sha256 of a file, read a piece at a time. Raises OSError."""
    import hashlib  # 2 ms, for scripts that log artifacts

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def keep(blobs: str, content: Any) -> tuple[str, int]:
    """Copy ``content``, a path, bytes or a file open for reading, into the directory ``blobs``: (sha256, bytes).

    Raises OSError for a file that cannot be read or a disk that is full, TypeError for anything else; then nothing is
    kept.
    """
    import hashlib  # 2 ms, for scripts that log artifacts

    digest = hashlib.sha256()
    size = 0
    temporary = os.path.join(blobs, f"{os.getpid()}-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb", buffering=0) as kept:
            for piece in _pieces(content):
                digest.update(piece)
                size += len(piece)
                _write(kept, piece)
        os.replace(temporary, os.path.join(blobs, digest.hexdigest()))
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    return digest.hexdigest(), size


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
