"""What a command takes of the machine: CPU, memory and I/O of its process tree, as statistics ``system.*`` while it runs.

They are lines of a stream of their own, ``system``, which nothing that reads a trial's own statistics looks at, and have
summaries beside those. The first sample is taken once the command has run for one interval, so that a short one costs
nothing, the import of psutil included.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from kleio.core.spool import LAUNCHER, SYSTEM, Writer
from kleio.core.values import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kleio.core.spool import Spool

    Key = tuple[int, float]

FIRST_LOOK = 0.1
"""Of the interval: how long a process is watched first whose beginning we did not see."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process has taken since it began, those of its children that it has waited for included, as the system counts:
    seconds of CPU, bytes from and to the disk. ``parent`` is a process id.
    """

    parent: int
    cpu: float = 0.0
    read: int = 0
    written: int = 0


class Sampler(threading.Thread):
    """Takes samples until it is told to stop. Nothing that goes wrong in it is anybody's concern."""

    def __init__(
        self, spool: Spool, pid: int, interval: float, began: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Of the tree of the process ``pid``, every ``interval`` seconds. ``began`` is when it did, by ``clock``, or None if
        that was before the run: then only what it takes from now on is of it.
        """
        super().__init__(name="kleio-sampler", daemon=True)
        self._spool, self._pid, self._interval, self._began, self._clock = spool, pid, interval, began, clock
        self._over = threading.Event()

    def stop(self) -> None:
        """Take no more samples. One that is being taken may still come."""
        self._over.set()

    def run(self) -> None:
        try:
            self._sample()
        except Exception:  # noqa: BLE001 - no psutil, no /proc, no room: the run goes on without
            return

    def _sample(self) -> None:
        tree, before = Tree(self._pid), self._began
        if before is None:
            before = self._clock()
            tree.look()
            self._over.wait(self._interval * FIRST_LOOK)
        writer = Writer(self._spool.path, SYSTEM, LAUNCHER)
        try:
            while not self._over.is_set():
                now = self._clock()
                values = tree.sample(now - before)
                if values:
                    before = now
                    writer.append(dumps(values))
                self._over.wait(self._interval)
        finally:
            writer.close()


class Tree:
    """A process and all that descend from it, also those whose parents have ended, once they have been seen."""

    def __init__(self, pid: int) -> None:
        import psutil  # 20 ms

        self._gone = psutil.Error, OSError
        self._root = psutil.Process(pid)
        self._zombie = psutil.STATUS_ZOMBIE
        self._processes: dict[Key, Any] = {}
        self._taken: dict[Key, Taken] = {}
        self._total = {"read": 0, "written": 0}
        self._told_of_files = False
        self.memory = self.count = 0

    def look(self) -> dict[Key, Taken]:
        """What each process has taken so far; what it had when it was looked at before, where it does not tell now."""
        found: dict[Key, Taken] = {}
        processes: dict[Key, Any] = {}
        self.memory = self.count = 0
        for process in self._alive():
            try:
                key = process.pid, process.create_time()
                found[key] = self._look_at(process, self._taken.get(key))
                processes[key] = process
            except self._gone:
                continue
        self._processes, self._taken = processes, found
        return found

    def _alive(self) -> list[Any]:
        """Those in the tree, and those that were in it before their parents ended."""
        try:
            inside = [self._root, *self._root.children(recursive=True)]
        except self._gone:
            inside = []
        pids = {process.pid for process in inside}
        return [*inside, *(one for one in self._processes.values() if one.pid not in pids and one.is_running())]

    def _look_at(self, process: Any, known: Taken | None) -> Taken:
        with process.oneshot():  # its files are read once
            times = process.cpu_times()
            cpu = sum(times[:4])  # its own, in user and in system mode, and that of its children
            read, written = (known.read, known.written) if known else (0, 0)
            if process.status() != self._zombie:
                self.count += 1
                self.memory += process.memory_info().rss
                try:
                    told = process.io_counters()
                    read, written = told.read_bytes, told.write_bytes
                    self._told_of_files = True
                except (*self._gone, AttributeError):  # another user's, or a system that does not count
                    pass
            return Taken(process.ppid(), cpu, read, written)

    def sample(self, seconds: float) -> dict[str, Any]:
        """What was taken in the ``seconds`` since it was last looked at, or since it began; empty where nothing is left."""
        before = self._taken
        now = self.look()
        if not self.count or seconds <= 0:
            return {}
        cpu, read, written = grown(before, now)
        values: dict[str, Any] = {
            "system.cpu": round(100 * cpu / seconds, 1), "system.memory": self.memory, "system.processes": self.count,
        }  # fmt: skip
        if self._told_of_files:
            self._total["read"] += read
            self._total["written"] += written
            values |= {
                "system.read": self._total["read"], "system.written": self._total["written"],
                "system.read_rate": round(read / seconds), "system.write_rate": round(written / seconds),
            }  # fmt: skip
        return values


def grown(before: Mapping[Key, Taken], now: Mapping[Key, Taken]) -> tuple[float, int, int]:
    """By how much a tree has taken more: seconds of CPU, bytes read, bytes written.

    What a process took that has ended since is now part of what its parent did, who waited for it: of that, what was known
    before is not new. Nobody takes less than nothing: whose parent did not wait for it is lost.
    """
    keys = {key[0]: key for key in before}
    known = {key: [one.cpu, one.read, one.written] for key, one in before.items() if key in now}
    for key, one in before.items():
        if key not in now:
            heir = _heir(keys, before, now, one.parent)
            if heir is not None:
                known[heir] = [sum(pair) for pair in zip(known[heir], (one.cpu, one.read, one.written), strict=True)]
    more = [0.0, 0, 0]
    for key, one in now.items():
        for at, (value, old) in enumerate(zip((one.cpu, one.read, one.written), known.get(key, (0, 0, 0)), strict=True)):
            more[at] += max(value - old, 0)
    return more[0], int(more[1]), int(more[2])


def _heir(keys: Mapping[int, Key], before: Mapping[Key, Taken], now: Mapping[Key, Taken], parent: int) -> Key | None:
    """The nearest ancestor that is still there."""
    for _ in keys:
        key = keys.get(parent)
        if key is None or key in now:
            return key
        parent = before[key].parent
    return None
