"""Files beside the embedded journal: artifact bytes by their digest, and what a filesystem can be trusted with."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from kleio.core.errors import JournalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

DOOMED = ".doomed"
"""What names of bytes that are out of sight end in."""
LOOKS, ROUNDS = 5, 50
"""Looks without a sight of bytes before they are said not to be there, and at most where two take them from each other."""
NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "fuse.sshfs", "afs")


class Blobs:
    """One file a content, named by its sha256, written so that it is there whole or not at all."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def _path(self, sha256: str) -> str:
        return os.path.join(self.directory, sha256[:2], sha256)

    def put(self, sha256: str, path: str) -> bool:
        """Keep the bytes of the file at ``path``; False if they are there. Raises JournalError, and then nothing is kept."""
        final = self._path(sha256)
        if os.path.exists(final):
            return False
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
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # where another has just linked the same file
            sync(os.path.dirname(final))
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)
            raise JournalError(f"cannot store artifact bytes in {os.path.dirname(final)}: {error.strerror}") from None
        return True

    def delete(self, sha256: str) -> None:
        """Delete the bytes, if they are there, out of sight as well. Raises JournalError."""
        for path in (self._path(sha256), *self._doomed(sha256)):
            self._unlink(path)

    def open(self, sha256: str) -> BinaryIO | None:
        """The bytes, to be read and closed by the caller; None if they are not there."""
        with suppress(FileNotFoundError):
            return open(self._path(sha256), "rb")
        unseen = 0
        while unseen < LOOKS:  # it may get another name, and a directory that is being read may then not show it
            places = self._doomed(sha256)
            unseen = 0 if places else unseen + 1
            for path in (*places, self._path(sha256)):
                with suppress(FileNotFoundError):
                    return open(path, "rb")
        return None

    # -- bytes that are about to go ------------------------------------------------------------------------------

    def doom(self, sha256: str) -> list[str]:
        """Take the bytes out of sight, also those that another has: the names that they have now, none if they are not there.

        The names are of this call alone: nobody who decided earlier deletes under them. What another puts back, or takes over,
        between a look and the renaming has yet another name by then, so it is looked until nothing is seen.
        """
        taken: list[str] = []
        unseen = 0
        for _ in range(ROUNDS):
            seen = [path for path in self._doomed(sha256) if path not in taken]
            took = [own for path in (self._path(sha256), *seen) if (own := self._taken(sha256, path))]
            taken += took
            unseen = 0 if seen or took else unseen + 1
            if unseen == (1 if taken else LOOKS):
                break
        return taken

    def _taken(self, sha256: str, path: str) -> str | None:
        """A name that nobody has had, for what had the name ``path``; None where that is gone."""
        own = f"{self._path(sha256)}.{os.urandom(8).hex()}{DOOMED}"
        try:
            os.rename(path, own)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"cannot release {path}: {error.strerror}") from None
        return own

    def spare(self, sha256: str, doomed: Sequence[str]) -> None:
        """Put back what :meth:`doom` took away, unless another has taken it over since."""
        for one in doomed:
            with suppress(FileNotFoundError):
                os.rename(one, self._path(sha256))
                os.unlink(one)  # where it was a name of the same file: of two, none goes away by renaming

    def drop(self, doomed: Sequence[str]) -> bool:
        """Delete what :meth:`doom` took away; False if another has taken it over since."""
        return sum(self._unlink(one) for one in doomed) > 0

    def _doomed(self, sha256: str) -> list[str]:
        directory = os.path.dirname(self._path(sha256))
        try:
            names = os.listdir(directory)
        except OSError:
            return []
        return [os.path.join(directory, name) for name in names if name.startswith(sha256) and name.endswith(DOOMED)]

    def _unlink(self, path: str) -> bool:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise JournalError(f"cannot delete {path}: {error.strerror}") from None
        return True


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
