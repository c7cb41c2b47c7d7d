"""The machine of a run: system, processor, memory, GPUs, and the container around it.

``root`` is where the files of the system are looked for: ``/``, but for tests. What a machine does not tell is None.
"""

from __future__ import annotations

import os
import shutil
import time

from kleio.core import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

PATIENCE = 2.0
"""Seconds that tools may take to answer, all together."""
_LONGEST_ANSWER = 1 << 20
_SLICE = 0.02
"""Seconds; so soon is it known that nobody waits any more."""
_GPU_QUERY = ("--query-gpu=name,memory.total,driver_version,uuid", "--format=csv,noheader,nounits")


def machine(root: str = "/") -> dict[str, Any]:
    """System, processor, cores and memory in bytes, and the host's name."""
    return {
        "system": _system(root),
        "cpu": next((value for name, value in _pairs(os.path.join(root, "proc/cpuinfo"), ":") if name == "model name"), None),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "host": os.uname().nodename,
    }


def _system(root: str) -> dict[str, str]:
    names = os.uname()
    release = dict(_pairs(os.path.join(root, "etc/os-release"), "="))
    system = {"kernel": f"{names.sysname} {names.release}", "machine": names.machine}
    return system | ({"name": release["PRETTY_NAME"].strip('"')} if "PRETTY_NAME" in release else {})


def gpus(root: str = "/", asking: Asking | None = None) -> list[dict[str, Any]] | None:
    """Name, memory in MiB, driver and uuid of each: what nvidia-smi answers, else what the driver's files tell, else none.

    None where nvidia-smi did not answer in time and there are no such files: then nobody knows.
    """
    smi = shutil.which("nvidia-smi")
    asking = asking or Asking()
    answer = asking.answer_of([smi, *_GPU_QUERY], needed=False) if smi else None
    found = [_gpu(line) for line in (answer or "").splitlines() if line.strip()]
    if found and all(found):
        return [one for one in found if one]
    told = _gpus_of_the_driver(root)
    return told if told or smi not in asking.given_up else None


def _gpu(line: str) -> dict[str, Any] | None:
    fields = [field.strip() for field in line.rsplit(",", 3)]
    if len(fields) != 4:
        return None
    name, memory, driver, uuid = fields
    return {"name": name, "memory": int(memory) if memory.isdigit() else None, "driver": driver, "uuid": uuid}


def _gpus_of_the_driver(root: str) -> list[dict[str, Any]]:
    directory = os.path.join(root, "proc/driver/nvidia")
    driver = _driver(os.path.join(directory, "version"))
    try:
        names = sorted(os.listdir(os.path.join(directory, "gpus")))
    except OSError:
        return []
    told = [dict(_pairs(os.path.join(directory, "gpus", name, "information"), ":")) for name in names]
    return [{"name": one.get("Model"), "memory": None, "driver": driver, "uuid": one.get("GPU UUID")} for one in told]


def _driver(path: str) -> str | None:
    """``NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat …``: the word that begins with a number and a dot."""
    for name, value in _pairs(path, ":"):
        if name == "NVRM version":
            return next((word for word in value.split() if word.split(".")[0].isdigit() and "." in word), None)
    return None


def container(variables: Mapping[str, str], root: str = "/") -> dict[str, Any] | None:
    """``kind`` and, where it can be known, ``image`` of the container that this process is in."""
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if variables.get(name):
            return {"kind": name.partition("_")[0].lower(), "image": redact.text(variables[name])}
    podman = os.path.join(root, "run/.containerenv")
    if os.path.exists(podman):
        image = dict(_pairs(podman, "=")).get("image", "").strip('"')
        return {"kind": "podman", "image": redact.text(image) or None}
    if variables.get("KUBERNETES_SERVICE_HOST"):
        return {"kind": "kubernetes", "image": None}
    return {"kind": "docker", "image": None} if os.path.exists(os.path.join(root, ".dockerenv")) else None


def _pairs(path: str, separator: str) -> Iterator[tuple[str, str]]:
    """The (name, value) of each line with the separator; nothing for a file that cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, found, value = line.partition(separator)
                if found:
                    yield name.strip(), value.strip()
    except OSError:
        return


class Asking:
    """Tools are asked, together for ``patience`` seconds, and, of those that may be given up, not after ``over`` is set.

    ``unanswered`` names those that took too long, ``given_up`` all that were not waited for, by path.
    """

    def __init__(self, patience: float = PATIENCE, over: threading.Event | None = None) -> None:
        self._until = time.monotonic() + patience
        self._over = over
        self.unanswered: list[str] = []
        self.given_up: set[str] = set()

    def answer_of(self, command: Sequence[str], needed: bool = True) -> str | None:
        """What a tool prints, up to a mebibyte; None if it fails, or took too long: then it is killed with all that it began.

        It is left if even that does not end it, as with a driver that hangs in the kernel. One that is not ``needed`` is
        given up as soon as nobody waits for it, which says nothing about the tool.
        """
        over = None if needed else self._over
        if self._too_late(over):
            self.given_up.add(command[0])
            return None
        process = _started(command)
        if process is None:
            return None
        assert process.stdout is not None
        with process.stdout as pipe:
            output = self._read(pipe.fileno(), over)
        if output is not None and _ended(process, max(self._until - time.monotonic(), _SLICE)):
            return output.decode(errors="replace") if process.returncode == 0 else None
        self.given_up.add(command[0])
        self.unanswered += [] if over and over.is_set() else [os.path.basename(command[0])]
        _kill(process)
        return None

    def _too_late(self, over: threading.Event | None) -> bool:
        return time.monotonic() >= self._until or bool(over and over.is_set())

    def _read(self, pipe: int, over: threading.Event | None) -> bytes | None:
        """All that there is; None if it does not end in time."""
        import select

        poll = select.poll()
        poll.register(pipe)
        output = b""
        while len(output) < _LONGEST_ANSWER:
            if self._too_late(over):
                return None
            if poll.poll(_SLICE * 1000):
                piece = os.read(pipe, 1 << 16)
                if not piece:
                    return output
                output += piece
        return None


def _started(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    import subprocess  # 3 ms, beside the command

    nothing = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, start_new_session=True, bufsize=0
        )
    except (OSError, ValueError):
        return None


def _ended(process: subprocess.Popen[bytes], patience: float) -> bool:
    import subprocess

    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    import contextlib
    import signal

    with contextlib.suppress(OSError):  # it may be another user's: nvidia-modprobe is
        os.killpg(process.pid, signal.SIGKILL)
    if not _ended(process, 0.2):
        process.returncode = -signal.SIGKILL
