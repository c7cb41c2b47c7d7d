"""The recorder process: what the launcher is to a command, this is to the experiments that scripts open in themselves.

Started by the first experiment and shared by every process of its process group. It is in a session of its own, so that what
ends a script from the keyboard does not end it; it outlives every script that it serves, and ends soon after the last one.
A connection is either a process, which says hello and is then only watched, or an experiment, which begins, ends, and is over
when its process is: whatever that died of, what it logged and printed is in the journal then.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import threading
import time
from contextlib import suppress

from kleio.core import messages
from kleio.core.errors import KleioError, in_words
from kleio.core.journals import Journals
from kleio.core.spool import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kleio.core.experiments import Recording

LINGER = 1.0
"""Seconds to wait for the next process."""
GOOD_BYE, DYING = 5.0, 0.5
TERMINATED = 60.0
"""Seconds: a script that is gone so soon after SIGTERM came to us was meant by it too. Schedulers kill half a minute later."""
_EXITING = 0x4
"""The flag of the kernel for a process that has begun to end, before it closes anything."""


class Server:
    """Serves at ``listener``, a Unix socket that listens already, until nobody is left."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._journals = Journals()
        self._environments: dict[Any, dict[str, Any]] = {}
        self._here: dict[int, socket.socket] = {}
        self._threads: set[threading.Thread] = set()
        self._recordings: list[Recording] = []
        self._lock = threading.Lock()
        self._terminated = float("-inf")

    def serve(self) -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, self._note)  # who ends a whole job means the scripts; we go when they have gone
        idle = time.monotonic()
        while True:
            if select.select([self._listener], [], [], LINGER / 2)[0] and not self._accept():
                time.sleep(LINGER / 10)  # too many files are open: until some are not
            self._journals.tidy()
            if self._in_use():
                idle = time.monotonic()
            elif time.monotonic() - idle > LINGER:
                self._leave()
                return

    def _leave(self) -> None:
        """Nobody finds us from now on; who came just before is served."""
        path = self._listener.getsockname()
        with suppress(OSError):
            os.unlink(path)
        self._listener.setblocking(False)
        while self._accept():
            pass
        self._listener.close()  # who is later still is refused, and starts the next one
        while self._in_use():
            time.sleep(LINGER / 2)
        lock = hold(f"{path}.lock")
        if lock is not None:  # else somebody is starting the next one
            with suppress(OSError):
                os.unlink(f"{path}.lock")
            os.close(lock)

    def _note(self, number: int, _: object) -> None:
        if number == signal.SIGTERM:
            self._terminated = time.monotonic()

    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return False
        thread = threading.Thread(target=self._attend, args=(connection,), name="kleio-experiment", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        return True

    def _in_use(self) -> bool:
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            self._recordings = [one for one in self._recordings if one.busy]
            return bool(self._threads or self._recordings)

    # -- a connection --------------------------------------------------------------------------------------------

    def _attend(self, connection: socket.socket) -> None:
        with connection:
            pid, user = messages.peer(connection)
            if user != os.getuid():
                return
            try:
                received = messages.receive(connection)
                if received is not None and received[0]["op"] == "hello":
                    self._watch(connection, pid)
                elif received is not None:
                    self._record(connection, pid, *received)
            except (OSError, ValueError):
                return  # its other end has gone

    def _watch(self, connection: socket.socket, pid: int) -> None:
        """A process is there: tell it who we are, and wait until it is gone."""
        with self._lock:  # an experiment that it opens as soon as it is answered finds it here
            messages.send(connection, {"version": messages.VERSION, "pid": os.getpid()})
            self._here[pid] = connection
        try:
            connection.recv(1)
        finally:
            with self._lock:
                if self._here.get(pid) is connection:
                    del self._here[pid]

    def _record(self, connection: socket.socket, pid: int, request: dict[str, Any], descriptors: list[int]) -> None:
        from kleio.core.experiments import Recording

        life = _Life(connection, pid)
        recording = Recording(
            request, descriptors, self._journals, self._environments, lambda: life.over(0), lambda: self._output_broken(pid)
        )
        try:
            opened = recording.begin()
        except Exception as error:  # noqa: BLE001 - the script is told, whatever it is, and goes on
            kind = type(error).__name__ if isinstance(error, KleioError) else ""
            message = in_words(error) if kind or isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            refused = {"refused": message, "kind": kind, "ways_on": list(getattr(error, "ways_on", ())), "said": recording.said}
            recording.close()
            messages.send(connection, refused)
            return
        with self._lock:
            self._recordings.append(recording)
        try:
            self._go_on(connection, life, recording, opened.document, opened.descriptors)
        finally:
            life.close()
            recording.close()

    def _go_on(
        self, connection: socket.socket, life: _Life, recording: Recording, document: dict[str, Any], descriptors: list[int]
    ) -> None:
        said, recording.said = recording.said, []
        try:
            messages.send(connection, document | {"said": said}, descriptors)
        except OSError:
            pass  # it has gone already, which is its end
        for descriptor in descriptors:
            os.close(descriptor)
        if document.get("done"):
            return
        threading.Thread(target=recording.recover_others, name="kleio-recover", daemon=True).start()
        ending = life.told()
        if ending is None:
            recording.end(*self._gone(life))
            return
        complete = False
        try:
            complete = recording.end(ending)
        except Exception as error:  # noqa: BLE001 - the script waits for an answer
            recording.said.append(f"an experiment could not be recorded to its end: {in_words(error)}")
        try:
            messages.send(connection, {"complete": complete, "said": recording.said})
        except OSError:
            return
        life.over(GOOD_BYE)

    def _gone(self, life: _Life) -> tuple[dict[str, Any], bool]:
        """How an experiment ended whose process has said nothing."""
        nothing = {"exit_code": None, "signal": None}
        if life.goes_on():
            return {"status": "suspended", "reason": "its script let go of it", **nothing}, False
        if time.monotonic() - self._terminated < TERMINATED:
            return {"status": "interrupted", "reason": "SIGTERM, and its process is gone", **nothing}, True
        return {"status": "broken", "reason": "its process is gone: killed, or left without an end", **nothing}, False

    def _output_broken(self, pid: int) -> None:
        """Nobody takes the output of a script any more: it is to meet that itself, as it would without us."""
        with self._lock:
            connection = self._here.get(pid)
        if connection is not None:
            with suppress(OSError):
                connection.send(b"!")


class _Life:
    """Of a process, as far as it is to be seen from here: by itself, or by its connection."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._connection, self._pid = connection, pid
        self._process = -1
        if pid and hasattr(os, "pidfd_open"):
            try:
                self._process = os.pidfd_open(pid)  # somebody it forked may hold the connection
            except OSError:
                pass

    def told(self) -> dict[str, Any] | None:
        """How its experiment ended, as it says; None when it is gone."""
        ready = self._wait(None)
        if self._connection.fileno() not in ready:
            return None
        try:
            received = messages.receive(self._connection)
        except (OSError, ValueError):
            return None
        return received[0]["ending"] if received else None

    def over(self, seconds: float) -> bool:
        """Whether it has gone, or lets go, within ``seconds``."""
        return bool(self._wait(seconds))

    def goes_on(self) -> bool:
        """Whether the process is there without its connection; one that is being killed closes that a moment before."""
        if self._process < 0:
            return False
        only = select.poll()
        only.register(self._process, select.POLLIN)
        return not (only.poll(DYING * 1000) or _is_exiting(self._pid) or only.poll(0))

    def _wait(self, seconds: float | None) -> dict[int, int]:
        both = select.poll()
        both.register(self._connection, select.POLLIN)
        if self._process >= 0:
            both.register(self._process, select.POLLIN)
        return dict(both.poll(None if seconds is None else seconds * 1000))

    def close(self) -> None:
        if self._process >= 0:
            os.close(self._process)
            self._process = -1


def _is_exiting(pid: int) -> bool:
    """Whether it is on its way out, which on a busy machine takes a while."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return bool(int(file.read().rpartition(b")")[2].split()[6]) & _EXITING)
    except (OSError, ValueError, IndexError):
        return False


def main(listening: int) -> None:
    """Serve at an inherited socket: scripts and workers by the hundred, who have a dozen files open each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Server(socket.socket(fileno=listening)).serve()
    os._exit(0)  # everything is stored, and an open MongoClient would take half a second to be let go
