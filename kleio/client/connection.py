"""From a script to the recorder process, which is started when there is none yet; one for all processes of a process group."""

from __future__ import annotations

import _thread
import os
import select
import signal
import socket
import sys

import kleio
from kleio.client.origin import variables
from kleio.core.descriptors import clear, far
from kleio.core.errors import KleioError, SpoolError
from kleio.core.spool import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The recorder is nobody's child, keeps nothing that it inherits but the socket, and finds kleio and what it needs where the
# script does, behind the standard library, and nothing beside the script or in variables meant for it.
_START = """
import os
os.fork() and os._exit(0)
os.setsid()
os.chdir("/")
os.umask(0o077)
os.closerange(4, 1 << 16)
import sys
from importlib import util
sys.path += [one for one in {path!r} if one not in sys.path]
found = util.spec_from_file_location("kleio", {package!r} + "/__init__.py", submodule_search_locations=[{package!r}])
sys.modules["kleio"] = util.module_from_spec(found)
found.loader.exec_module(sys.modules["kleio"])
from kleio.core.serving import main
main(3)
"""


class Presence:
    """That this process is there: watched by the recorder, and watching it. Ends with the process, and is not inherited.

    One thread at a time may begin or end to watch.
    """

    def __init__(self, path: str, alarm: Callable[[bool], None]) -> None:
        """``alarm`` is called, in a thread of its own, when the recorder has gone, or with False when nobody takes what this
        process prints.
        """
        from kleio.core import messages

        self.path, self.pid = path, os.getpid()
        self._alarm = alarm
        self._connection = connected(path)
        messages.send(self._connection, {"op": "hello", "pid": self.pid})
        answer = messages.receive(self._connection)
        if answer is None:
            raise SpoolError("the recorder process did not start")
        if answer[0]["version"] != messages.VERSION:
            raise SpoolError("the recorder process of this terminal is of another kleio; try again when its scripts have ended")
        self.recorder: int = answer[0]["pid"]
        self.lost = False
        self._stop = -1
        self._stopped: _thread.LockType

    def watch(self) -> None:
        """Begin to watch the recorder. Not with threading: neither the end of the script nor its count of threads changes.

        Raises OSError where it has been let go already, and RuntimeError where there can be no more threads.
        """
        if self._connection.fileno() < 0:
            raise OSError("the recorder process has gone")
        if self._stop < 0:
            reading, stop = map(clear, os.pipe())
            stopped = _thread.allocate_lock()
            stopped.acquire()
            try:
                beside(self._watch, reading, stopped)
            except RuntimeError:
                os.close(reading)
                os.close(stop)
                raise
            self._stop, self._stopped = stop, stopped

    def pause(self) -> bool:
        """Watch no more, and return when the thread is gone; whether there was one."""
        if self._stop < 0:
            return False
        stop, self._stop = self._stop, -1  # Ctrl-C may end the wait, and the number be some other file's by then
        os.close(stop)
        self._stopped.acquire()
        return True

    @property
    def watching(self) -> bool:
        """Whether a thread watches the recorder, or did until that was lost."""
        return self._stop >= 0

    def _watch(self, stop: int, stopped: _thread.LockType) -> None:
        try:
            both = select.poll()
            both.register(self._connection, select.POLLIN)
            both.register(stop, select.POLLIN)
            while stop not in (ready := dict(both.poll())):
                if self._connection.fileno() in ready:
                    self.lost = not self._heard()
                    self._alarm(self.lost)
                    if self.lost:
                        break
        finally:
            os.close(stop)
            stopped.release()

    def _heard(self) -> bool:
        try:
            return bool(self._connection.recv(1))
        except OSError:
            return False

    def close(self) -> None:
        """This process ends."""
        self.pause()
        self._connection.close()

    def forget(self) -> None:
        """In a child after a fork: it is the parent's."""
        self._connection.close()
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1


def beside(action: Callable[..., None], *arguments: Any) -> None:
    """Do something in a thread that takes no signals: one that it took would not wake the script out of a sleep."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _thread.start_new_thread(action, arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def connected(path: str) -> socket.socket:
    """A connection to the recorder. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection = socket.socket(fileno=clear(connection.detach()))
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def recorder() -> str:
    """The path of a socket at which a recorder serves this process group, started now if there was none."""
    from hashlib import sha256

    from kleio.core.messages import VERSION, directory

    package = os.path.dirname(os.path.abspath(kleio.__file__))
    what = [package, sys.executable, kleio.__version__, VERSION, _namespaces()]
    path = os.path.join(directory(), f"{os.getpgid(0)}-{sha256(repr(what).encode()).hexdigest()[:16]}")
    if _serves(path):
        return path
    lock = None
    for _ in range(1200):  # another process may be starting it
        lock = hold(f"{path}.lock")
        if lock is not None:
            break
        select.select([], [], [], 0.05)
    if lock is None:
        raise SpoolError(f"the recorder process could not be started: {path}.lock is held")
    try:
        if not _serves(path):
            _start(path, package)
    finally:
        os.close(lock)
    return path


def _serves(path: str) -> bool:
    try:
        connected(path).close()
    except OSError:
        return False
    return True


def _namespaces() -> list[int]:
    """Numbers of process groups, and files, mean the same only inside of one."""
    found = []
    for name in ("pid", "mnt", "user"):
        try:
            found.append(os.stat(f"/proc/self/ns/{name}").st_ino)
        except OSError:
            found.append(0)
    return found


def _start(path: str, package: str) -> None:
    """Start a recorder that serves at ``path``, which takes connections when this returns."""
    if not sys.executable or not os.path.basename(sys.executable).startswith(("python", "pypy")):
        raise KleioError(f"no recorder process can be started: this Python says its interpreter is {sys.executable!r}")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(128)
        moved = far(listener.fileno())
        try:
            places = [os.path.abspath(one) for one in sys.path[1:] if one and isinstance(one, str)]
            program = _START.format(path=places, package=package)
            started = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-c", program],
                {name: value for name, value in variables().items() if not name.startswith("PYTHON")},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, moved, 3),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD],
            )
        finally:
            os.close(moved)
    try:
        os.waitpid(started, 0)  # it is no child of ours once it is at work
    except ChildProcessError:
        pass  # somebody waits for any child there is


def begin(path: str, request: dict[str, Any], descriptors: list[int]) -> tuple[socket.socket, dict[str, Any], list[int]]:
    """Ask for an experiment: the connection that it lives by, what was answered, and the descriptors that came along."""
    from kleio.core import messages

    connection = connected(path)
    try:
        messages.send(connection, request, descriptors)
        answer = messages.receive(connection)
        if answer is None:
            raise SpoolError("the recorder process has gone")
    except BaseException:
        connection.close()
        raise
    return connection, answer[0], [clear(descriptor) for descriptor in answer[1]]
