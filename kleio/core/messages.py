"""Messages between a script and the recorder process: a document a message, descriptors beside it, through a Unix socket.

Standard library only, because scripts load it. A message is its length in four bytes, then a line of :mod:`kleio.core.values`.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

from kleio.core.errors import SpoolError
from kleio.core.values import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

VERSION = 1
"""Of what is said. A recorder process of another version is not talked to."""
LARGEST = 64 << 20
MOST_DESCRIPTORS = 16
_LENGTH = struct.Struct("<I")
_LONGEST_PATH = 100
"""Bytes of a socket's path: the system has room for 107."""


def send(connection: socket.socket, document: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message; the descriptors stay ours as well. Raises OSError."""
    body = dumps(document).encode("ascii")
    if len(body) > LARGEST:
        raise ValueError(f"a message of {len(body):,} bytes is too large")
    data = memoryview(_LENGTH.pack(len(body)) + body)
    sent = socket.send_fds(connection, [data[:4096]], list(descriptors)) if descriptors else 0
    if sent < len(data):  # sending nothing fails where the other end has answered and gone already
        connection.sendall(data[sent:])


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors, which nothing inherits; None at the end. Raises OSError, ValueError."""
    data, descriptors, _, _ = socket.recv_fds(connection, 4096, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    while 0 < len(data) < _LENGTH.size:
        piece = connection.recv(4096)
        if not piece:
            break
        data += piece
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if length > LARGEST:
        raise ValueError(f"a message of {length:,} bytes is too large")
    body = bytearray(data[_LENGTH.size :])
    while len(body) < length:
        piece = connection.recv(min(length - len(body), 1 << 20))
        if not piece:
            return None
        body += piece
    return dict(loads(bytes(body))), descriptors


def peer(connection: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end; 0 for a process that is not to be seen from here."""
    pid, user, _ = struct.unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, user


def directory() -> str:
    """A directory of the user's alone for sockets. Raises SpoolError where there is none to be had."""
    import tempfile

    places = [f"/run/user/{os.getuid()}", tempfile.gettempdir(), "/tmp"]  # noqa: S108 - a directory in it that must be ours
    for place in places:
        path = os.path.join(place, f"kleio-{os.getuid()}")
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError:
            continue
        found = os.lstat(path)
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        if private and os.access(path, os.W_OK) and len(os.fsencode(path)) < _LONGEST_PATH - 40:
            return path
    raise SpoolError(f"there is no private directory for a socket: tried {', '.join(places)}")
