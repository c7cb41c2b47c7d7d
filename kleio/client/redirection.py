"""What this process prints, led to the recorder process while an experiment is open: also what C code and programs print.

File descriptors 1 and 2 are replaced by channels whose other end the recorder reads, so that a killed script loses nothing that
it printed. Streams of Python that do not end there (a notebook's, pytest's) are heard where they are written to.
"""

from __future__ import annotations

import _thread
import os
import sys

from kleio.core.descriptors import far, retire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_lock = _thread.RLock()
_active: list[Redirection] = []
"""Those of this process, the innermost last."""
_PIECE = 1 << 16
LINGER = 2.0
"""Seconds for which what is printed is waited for to be passed on, where the recorder is gone."""


class Redirection:
    """One experiment's: undone in any order with others."""

    def __init__(self, told: list[dict[str, Any]], descriptors: list[int]) -> None:
        """``told`` says what each channel replaces; ``descriptors`` are, for each, our end and a copy of the recorder's.

        Raises OSError, and has replaced nothing then, where no more files can be open.
        """
        self.saved = _copies([fd for channel in told for fd in channel.get("replaces", ())])
        self._ours: dict[int, tuple[int, int]] = {}
        self._rescue: list[tuple[int, list[int]]] = []
        self._relays: list[_thread.LockType] = []
        self._tees: list[Tee] = []
        flush()
        with _lock:
            for at, channel in enumerate(told):
                theirs, ours = descriptors[2 * at : 2 * at + 2]
                if "tees" in channel:
                    self._tees.append(Tee(channel["tees"], theirs))
                    os.close(ours)
                else:
                    self._replace(channel["replaces"], theirs)
                    self._rescue.append((ours, channel["replaces"]))
            _active.append(self)

    def _replace(self, fds: list[int], theirs: int) -> None:
        for fd in fds:
            os.dup2(theirs, fd, inheritable=True)
            self._ours[fd] = _file(fd)
        os.close(theirs)

    def undo(self) -> None:
        """Give the streams back. What was printed is on its way to the recorder then."""
        flush()
        with _lock:
            if self not in _active:
                return
            self._give_back()
            for ours, _ in self._rescue:
                os.close(ours)
            self._rescue = []
        for passed_on in self._relays:
            passed_on.acquire(timeout=LINGER)  # a program in the background may go on printing

    def _give_back(self) -> None:
        at = _active.index(self)
        del _active[at]
        for tee in self._tees:
            tee.stop()
        for fd, saved in self.saved.items():
            above = next((one for one in _active[at:] if fd in one.saved), None)
            if above is None:
                if _file(fd) == self._ours[fd]:  # else the script has put something else there meanwhile
                    os.dup2(saved, fd, inheritable=True)
            else:  # one that began later goes on: what lies below us lies below it now
                saved, above.saved[fd] = above.saved[fd], saved  # noqa: PLW2901
            os.close(saved)
        self.saved = {}

    def abandon(self, lost: bool) -> None:
        """The recorder is ``lost``: pass on in its place what is printed, in order. Else nobody takes it: print as if we were
        not there.
        """
        from kleio.client.connection import beside

        with _lock:
            if self not in _active:
                return
            rescue, self._rescue = self._rescue, []
            for ours, fds in rescue if lost else ():
                passed_on = _thread.allocate_lock()
                passed_on.acquire()
                self._relays.append(passed_on)
                beside(_pump, ours, far(self.saved[fds[0]]), passed_on)
            if not lost:
                self._give_back()
                for ours, _ in rescue:
                    os.close(ours)

    def forget(self) -> None:
        """In a child after a fork: it goes on printing where it did, and gives nothing back."""
        for ours, _ in self._rescue:
            os.close(ours)
        for saved in self.saved.values():
            os.close(saved)


def _copies(fds: list[int]) -> dict[int, int]:
    """A copy of each, or of none. Raises OSError."""
    found: dict[int, int] = {}
    try:
        for fd in fds:
            found[fd] = far(fd)
    except OSError:
        for copy in found.values():
            os.close(copy)
        raise
    return found


def _file(fd: int) -> tuple[int, int]:
    """What tells whether a descriptor is still the same channel; (0, 0) where it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _pump(source: int, onward: int, ended: _thread.LockType) -> None:
    """In the recorder's place, to the end."""
    try:
        while data := os.read(source, _PIECE):
            view = memoryview(data)
            while view:
                view = view[os.write(onward, view) :]
    except OSError:
        pass  # a pseudo-terminal that nobody has open; or nobody reads what we write
    finally:
        os.close(source)
        os.close(onward)
        ended.release()


def abandon_all(lost: bool) -> None:
    """See :meth:`Redirection.abandon`."""
    with _lock:
        for one in reversed(list(_active)):
            one.abandon(lost)


def forget_all() -> None:
    """In a child after a fork."""
    global _lock  # noqa: PLW0603 - a thread that held it is not here
    _lock = _thread.RLock()
    for one in _active:
        one.forget()
    _active.clear()


class Tee:
    """Passes on what is written to ``sys.stdout`` or ``sys.stderr``, which stays the object that it is."""

    def __init__(self, name: str, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stream = getattr(sys, name)
        self._held = ""
        self._before = vars(self._stream).get("write")
        write: Callable[[str], int] = self._stream.write
        watcher = getattr(self._stream, "watch_fd_thread", None)

        def teed(text: str) -> int:
            # What a notebook's own thread brings from the file descriptors has been recorded on its way.
            if self._descriptor >= 0 and (watcher is None or watcher.ident != _thread.get_ident()):
                self._record(text)
            return write(text)

        self._teed = teed
        try:
            self._stream.write = teed
        except AttributeError:
            self._close()

    def _record(self, text: str) -> None:
        """Whole lines: what goes through the file descriptors comes another way, and could get in between."""
        try:
            text = self._held + text
            whole = max(text.rfind("\n"), text.rfind("\r")) + 1 or (len(text) if len(text) > _PIECE else 0)
            self._held = text[whole:]
            self._write(text[:whole])
        except (OSError, TypeError):
            self._close()

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            retire(descriptor)

    def stop(self) -> None:
        if self._descriptor >= 0 and self._held:
            try:
                self._write(self._held)
            except OSError:
                pass  # the recorder has gone
        self._close()
        if vars(self._stream).get("write") is self._teed:
            if self._before is None:
                del self._stream.write
            else:
                self._stream.write = self._before


def wanted() -> tuple[list[int], list[str]]:
    """The file descriptors to capture, and the streams of ``sys`` that do not end there."""
    fds = [fd for fd in (1, 2) if _inherited(fd)]
    return fds, [name for name, fd in (("stdout", 1), ("stderr", 2)) if _is_apart(getattr(sys, name, None), fd)]


def _inherited(fd: int) -> bool:
    """Whether it was there when the process began: else it is a file that the script opened."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _is_apart(stream: Any, fd: int) -> bool:
    """Whether what is written to it goes elsewhere than to the file descriptors; one that also writes there does not."""
    if stream is None or not hasattr(stream, "write") or not hasattr(stream, "__dict__") or _number(stream) == fd:
        return False
    return not any(_number(inner) in (1, 2) for inner in list(vars(stream).values()) if inner is not stream)


def _number(stream: Any) -> int | None:
    try:
        number = stream.fileno() if hasattr(stream, "write") else None
    except Exception:  # noqa: BLE001 - whatever it is
        return None
    return number if isinstance(number, int) else None


def flush() -> None:
    """Bring what Python and C hold back to where it goes."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except Exception:  # noqa: BLE001, S110 - closed, or nobody reads: the script meets that itself
            pass
    try:
        import ctypes

        c = ctypes.CDLL(None)
        for name in ("stdout", "stderr"):  # not all that are open: what a thread reads from is locked until there is a line
            c.fflush(ctypes.c_void_p.in_dll(c, name))
    except (ImportError, OSError, AttributeError, ValueError):
        pass
