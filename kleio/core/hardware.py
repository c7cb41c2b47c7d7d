"""The machine of a run: system, processor, memory, GPUs, and the container around it.

``root`` is where the files of the system are looked for: ``/``, but for tests. What a machine does not tell is None.
"""

from __future__ import annotations

import os
import shutil

from kleio.core import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

PATIENCE = 3.0
"""Seconds that a tool may take to answer."""
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


def gpus(root: str = "/", patience: float = PATIENCE) -> list[dict[str, Any]]:
    """Name, memory in MiB, driver and uuid of each: what nvidia-smi answers, else what the driver's files tell, else none."""
    smi = shutil.which("nvidia-smi")
    answer = answer_of([smi, *_GPU_QUERY], patience) if smi else None
    found = [_gpu(line) for line in (answer or "").splitlines() if line.strip()]
    if found and all(found):
        return [one for one in found if one]
    return _gpus_of_the_driver(root)


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


def answer_of(command: Sequence[str], patience: float = PATIENCE) -> str | None:
    """What a tool prints; None if it fails, or has not ended after ``patience`` seconds: then it is killed, and left if even
    that does not end it, as with a driver that hangs in the kernel.
    """
    import signal
    import subprocess  # 3 ms, beside the command

    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError:
        return None
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # what it started holds the pipe as well
        assert process.stdout is not None
        process.stdout.close()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.returncode = -signal.SIGKILL
        return None
    return output.decode(errors="replace") if process.returncode == 0 else None
