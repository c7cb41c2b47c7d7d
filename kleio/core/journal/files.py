"""Files beside the embedded journal: artifact bytes by their digest, and what a filesystem can be trusted with."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from kleio.core.errors import JournalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "fuse.sshfs", "afs")


class Blobs:
    """One file a content, named by its sha256, written so that it is there whole or not at all."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def _path(self, sha256: str) -> str:
        return os.path.join(self.directory, sha256[:2], sha256)

    def put(self, sha256: str, path: str) -> None:
        """Keep the bytes of the file at ``path``. Raises JournalError, and then nothing is kept."""
        final = self._path(sha256)
        if os.path.exists(final):
            return
        temporary = f"{final}.{os.urandom(8).hex()}.tmp"
        try:
            for directory in (self.directory, os.path.dirname(final)):
                os.makedirs(directory, 0o700, exist_ok=True)
            try:
                os.link(path, temporary)  # the spool lies on the same filesystem: no copy
            except OSError:
                import shutil

                shutil.copyfile(path, temporary)
            os.chmod(temporary, 0o600)
            sync(temporary)
            os.replace(temporary, final)
            sync(os.path.dirname(final))
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)
            raise JournalError(f"cannot store artifact bytes in {os.path.dirname(final)}: {error.strerror}") from None

    def delete(self, sha256: str) -> None:
        """Delete the bytes, if they are there. Raises JournalError."""
        try:
            os.unlink(self._path(sha256))
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"cannot delete {self._path(sha256)}: {error.strerror}") from None

    def open(self, sha256: str) -> BinaryIO | None:
        """The bytes, to be read and closed by the caller; None if they are not there."""
        try:
            return open(self._path(sha256), "rb")
        except FileNotFoundError:
            return None


def sync(path: str) -> None:
    """Bring a file, or the names in a directory, to the disk; what is not there needs no bringing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise JournalError(f"{path} does not reach the disk: {error.strerror}") from None
    finally:
        os.close(descriptor)


def size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def locks_hold(path: str) -> bool:
    """Whether a lock taken through one opening of a file keeps another opening out."""
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for _ in range(2))
    try:
        fcntl.flock(first, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(first)
        os.close(second)
    return False


def on_network(directory: str) -> bool:
    """Whether ``directory`` lies on a network filesystem, as /proc/mounts says."""
    real = os.path.realpath(directory) + "/"
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                point, filesystem = line.split(" ")[1:3]
                if real.startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                    best, kind = point, filesystem
    except OSError:
        return False
    return kind in NETWORK_FILESYSTEMS
