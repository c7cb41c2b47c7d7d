"""What is recorded of an environment, and what of it counts as changed."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import kleio, until
from processes import state

from kleio.client.logger import Logger
from kleio.core import hardware
from kleio.core.environment import capture, changes, interpreter, packages, unknown, wanted
from kleio.core.spool import Spool

asked = functools.partial(capture, patience=600)
"""What tools say, however long they take."""


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


# -- the interpreter -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#!{python}\n", True), ("#!/usr/bin/env -S {python} -u\n", True), ("#!/usr/bin/env A=1 {python}\n", True),
        ("#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n", True), ("#!/bin/sh\n", False), ("\x7fELF", False), ("", False),
    ],
)  # fmt: skip
def test_the_interpreter_of_a_script(tmp_path, text, found):
    script = executable(tmp_path / "train", text.format(python=sys.executable))
    assert interpreter(script) == (sys.executable if found else None)


def test_the_child_s_python_not_ours(tmp_path):
    venv = tmp_path / "venv"
    executable(venv / "bin" / "python3", "")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.9.7\nuv = 0.4.18\n")
    (venv / "lib" / "python3.9" / "site-packages" / "My_Pack.age-1.2.dist-info").mkdir(parents=True)
    found = capture(str(venv / "bin" / "python3"), ())
    assert found["python"] == {"executable": str(venv / "bin" / "python3"), "version": "3.9.7"}
    assert found["packages"] == {"my-pack-age": "1.2"}
    assert found["uv"] == "0.4.18"
    assert "conda" not in found


def test_a_python_that_has_to_be_asked(tmp_path):
    python = executable(tmp_path / "bin" / "python", "#!/bin/sh\necho '[\"3.8.1\", [\"/nowhere\"]]'\n")
    assert asked(python, ())["python"] == {"executable": python, "version": "3.8.1"}
    broken = executable(tmp_path / "broken" / "python", "#!/bin/sh\nexit 3\n")
    assert asked(broken, ())["python"] == {"executable": broken, "version": None}


def test_what_conda_installed_besides_python_packages(tmp_path, monkeypatch):
    prefix = tmp_path / "envs" / "torch"
    python = executable(prefix / "bin" / "python", "#!/bin/sh\necho '[\"3.11.0\", []]'\n")
    (prefix / "conda-meta").mkdir()
    for name in ("mkl-2023.1.0-h213fc3f_46344.json", "ca-certificates-2024.7.2-h06a4308_0.json", "history"):
        (prefix / "conda-meta" / name).write_text("{}")
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    found = asked(python, ())
    assert found["conda"] == {"ca-certificates": "2024.7.2", "mkl": "2023.1.0"}
    assert found["conda_environment"] == "torch"


def test_what_the_client_reported_counts_where_the_program_is_no_python(tmp_path):
    (tmp_path / "site" / "numpy-2.0.1.dist-info").mkdir(parents=True)
    told = {"executable": "/opt/python", "version": "3.10.2", "path": [str(tmp_path / "site")], "prefix": "/opt"}
    found = capture("/bin/sh", (), told)
    assert found["python"] == {"executable": "/opt/python", "version": "3.10.2", "reported": True, "path": told["path"]}
    assert found["packages"] == {"numpy": "2.0.1"}
    assert capture(sys.executable, (), told)["python"]["executable"] == sys.executable
    assert capture("/bin/sh", ())["python"] is None


def test_on_resuming_the_python_of_the_earlier_run_is_looked_at_anew(tmp_path):
    python = executable(tmp_path / "bin" / "python", "#!/bin/sh\necho '[\"3.12.0\", []]'\n")
    before = asked("/bin/sh", (), {"executable": python, "version": "3.10.2", "path": [str(tmp_path)], "prefix": "/"})
    now = asked("/bin/sh", (), before["python"])
    assert changes(before, now) == [("python", "3.10.2", "3.12.0")]
    assert now["python"]["path"] == [str(tmp_path)]


def test_a_logger_reports_its_python_once(tmp_path):
    spool, *locks = Spool.create(str(tmp_path), "a" * 32, {})
    script = "from kleio.client.logger import kleio_logger\nassert not __import__('os').path.exists({0!r})\n{1}"
    path = spool.file("reported.json")
    told = []
    for call in ("kleio_logger.log_statistic(a=1)", "kleio_logger.log_statistic(a=1)", "kleio_logger.log_artifact('a', b'x')"):
        given = os.environ | {"KLEIO_SPOOL": spool.path, "KLEIO_STRICT": "1"}
        subprocess.run([sys.executable, "-c", script.format(path, call)], env=given, check=True)
        told.append(json.loads(Path(path).read_text()))
        os.unlink(path)
    assert told[0] == told[1] == told[2]
    assert told[0]["executable"] == sys.executable
    assert told[0]["version"] == "{}.{}.{}".format(*sys.version_info[:3])
    assert capture("/bin/sh", (), told[0])["packages"] == capture(sys.executable, ())["packages"]
    for lock in locks:
        os.close(lock)


def test_the_first_python_that_logs_is_the_one(tmp_path):
    spool, *locks = Spool.create(str(tmp_path), "a" * 32, {})
    spool.write("reported", {"executable": "first"})
    Logger(spool.path).log_statistic(a=1)
    assert spool.read("reported") == {"executable": "first"}
    assert [name for name in os.listdir(spool.path) if name.startswith("reported")] == ["reported.json"]
    for lock in locks:
        os.close(lock)


def test_a_spool_that_takes_no_report_loses_no_record(tmp_path):
    spool, *locks = Spool.create(str(tmp_path), "a" * 32, {})
    os.symlink("/nowhere/at/all", spool.file("reported.json"))
    os.mkdir(spool.file("reported.json.d"))
    logger = Logger(spool.path, strict=True)
    sys.path.append(Path("not text"))
    try:
        logger.log_statistic(a=1)
    finally:
        sys.path.pop()
    assert any(stream == "statistics" for writer, stream in spool.streams() if writer != "shared")
    for lock in locks:
        os.close(lock)


# -- the machine ---------------------------------------------------------------------------------------------------


def smi(tmp_path, monkeypatch, text):
    executable(tmp_path / "bin" / "nvidia-smi", f"#!/bin/sh\n{text}\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def test_gpus_as_nvidia_smi_answers(tmp_path, monkeypatch):
    answer = 'echo "NVIDIA A100, 80GB, 81920, 535.104.05, GPU-1"\necho "T4, [N/A], 535.104.05, GPU-2"'
    smi(tmp_path, monkeypatch, f'echo "$@" > "$0.asked"\n{answer}')
    assert hardware.gpus(str(tmp_path), hardware.Asking(600)) == [
        {"name": "NVIDIA A100, 80GB", "memory": 81920, "driver": "535.104.05", "uuid": "GPU-1"},
        {"name": "T4", "memory": None, "driver": "535.104.05", "uuid": "GPU-2"},
    ]
    said = (tmp_path / "bin" / "nvidia-smi.asked").read_text()
    assert said == "--query-gpu=name,memory.total,driver_version,uuid --format=csv,noheader,nounits\n"


@pytest.mark.parametrize("text", ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo 'T4, 1, 2, GPU-1'; exit 1"])
def test_gpus_as_the_driver_tells_where_nvidia_smi_fails(tmp_path, monkeypatch, text):
    smi(tmp_path, monkeypatch, text)
    assert hardware.gpus(str(tmp_path), hardware.Asking(600)) == []
    driver = tmp_path / "proc" / "driver" / "nvidia"
    (driver / "gpus" / "0000:3b:00.0").mkdir(parents=True)
    (driver / "gpus" / "0000:3b:00.0" / "information").write_text("Model: \t\t NVIDIA A100\nIRQ: 1\nGPU UUID: \t GPU-1\n")
    (driver / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\nGCC version: 12\n")
    expected = [{"name": "NVIDIA A100", "memory": None, "driver": "535.104.05", "uuid": "GPU-1"}]
    assert hardware.gpus(str(tmp_path), hardware.Asking(600)) == expected


def begun(pid):
    """The process of which a file tells, None while it does not."""
    text = pid.read_text() if pid.exists() else ""
    return int(text) if text.endswith("\n") else None


def ended(pid):
    """Whether a process has, though nobody may have waited for it."""
    try:
        return state(pid) == "Z"
    except OSError:
        return True


def test_a_tool_that_hangs_is_given_up_with_all_that_it_began(tmp_path, monkeypatch, clock):
    smi(tmp_path, monkeypatch, "sleep 600 &\necho $! > \"$0.pid\"\nwait")
    pid = tmp_path / "bin" / "nvidia-smi.pid"
    clock(pid)
    found = capture(sys.executable, (), root=str(tmp_path), patience=500)
    assert found["unanswered"] == ["nvidia-smi"]
    assert "gpus" not in found
    assert changes(found | {"gpus": [{"name": "T4", "driver": "5"}]}, found, (), ("gpu",)) == []
    until(lambda: ended(begun(pid)))


@pytest.fixture
def clock(monkeypatch):
    """A function that has all time pass for those who ask tools as soon as one has begun that writes its process there."""

    def passes(pid):
        now = time.monotonic
        monkeypatch.setattr(hardware, "time", SimpleNamespace(monotonic=lambda: now() + (1000 if begun(pid) else 0)))

    return passes


def test_what_the_driver_tells_counts_where_nvidia_smi_hangs(tmp_path, monkeypatch):
    smi(tmp_path, monkeypatch, "sleep 600")
    (tmp_path / "proc" / "driver" / "nvidia" / "gpus" / "0").mkdir(parents=True)
    (tmp_path / "proc" / "driver" / "nvidia" / "gpus" / "0" / "information").write_text("Model: \t T4\n")
    found = capture(sys.executable, (), root=str(tmp_path), patience=0.2)
    assert [one["name"] for one in found["gpus"]] == ["T4"]


def test_two_seconds_is_all_that_tools_have():
    assert hardware.PATIENCE <= 2


def test_nobody_waits_for_nvidia_smi_when_the_command_is_over(tmp_path, monkeypatch):
    smi(tmp_path, monkeypatch, 'echo $$ > "$0.pid"\nsleep 600')
    over = threading.Event()
    found: list[dict] = []
    beside = threading.Thread(target=lambda: found.append(capture(sys.executable, (), patience=600, over=over)))
    beside.start()
    pid = tmp_path / "bin" / "nvidia-smi.pid"
    until(lambda: begun(pid))
    over.set()
    beside.join()
    assert "unanswered" not in found[0]  # it may be well
    until(lambda: ended(begun(pid)))
    pid.unlink()
    assert "gpus" not in capture(sys.executable, (), root=str(tmp_path), over=over)
    assert not pid.exists()


def test_a_run_does_not_wait_for_a_tool_that_hangs(tmp_path, monkeypatch):
    smi(tmp_path, monkeypatch, 'echo $$ > "$0.pid"\nexec sleep 600')
    until(lambda: "nvidia-smi" not in kleio("true", cwd=tmp_path, check=0).stderr)  # it had no time to show that it hangs
    left = 'until ls "$KLEIO_SPOOL" | grep -q ^finding-environment; do sleep 0.1; done'

    def said():  # nothing, where all the time had passed before it was asked
        return kleio("sh", "-c", left, cwd=tmp_path, check=0).stderr.count("nvidia-smi did not answer in time")

    assert until(said) == 1
    assert ended(begun(tmp_path / "bin" / "nvidia-smi.pid"))


def test_a_python_is_waited_for_though_the_command_is_over(tmp_path):
    python = executable(tmp_path / "bin" / "python", "#!/bin/sh\necho '[\"3.8.1\", [\"/nowhere\"]]'\n")
    over = threading.Event()
    over.set()
    assert asked(python, (), over=over)["python"]["version"] == "3.8.1"


def test_the_version_of_a_python_that_hangs_is_unknown(tmp_path, monkeypatch, clock):
    smi(tmp_path, monkeypatch, 'touch "$0.asked"')
    python = executable(tmp_path / "bin" / "python", '#!/bin/sh\necho $$ > "$0.pid"\nsleep 600\n')
    clock(tmp_path / "bin" / "python.pid")
    found = capture(python, (), patience=500)
    assert found["python"] == {"executable": python, "version": None}
    assert found["unanswered"] == ["python"]
    assert not (tmp_path / "bin" / "nvidia-smi.asked").exists()  # the time is spent
    before = ALL | {"python": {"version": "3.8.1"}}
    assert changes(before, found) == []
    assert "Python that is here is not known" in unknown(before, found)


@pytest.mark.parametrize(
    "answer",
    [b"5", b"null", b"[1, 2]", b'["3.8", {}]', b'["3.8", [1, null]]',
     b"[]", b"\xff", b"{", b"x" * 10_000, b"y\n" * (1 << 20)],
)  # fmt: skip
def test_what_a_python_answers_may_be_nonsense(tmp_path, answer):
    (tmp_path / "answer").write_bytes(answer)
    python = executable(tmp_path / "bin" / "python", f"#!/bin/sh\ncat {tmp_path}/answer\n")
    assert asked(python, ())["packages"] == {}


def test_a_python_that_says_something_first(tmp_path):
    python = executable(tmp_path / "bin" / "python", "#!/bin/sh\necho hello\necho '[\"3.8.1\", []]'\n")
    assert asked(python, ())["python"]["version"] == "3.8.1"


def test_a_tool_that_never_stops_talking(tmp_path, monkeypatch):
    smi(tmp_path, monkeypatch, "exec yes")
    assert capture(sys.executable, (), root=str(tmp_path), patience=600)["unanswered"] == ["nvidia-smi"]


@pytest.mark.parametrize(
    ("files", "variables", "expected"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, {"kind": "docker", "image": None}),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"kind": "kubernetes", "image": None}),
        ({"run/.containerenv": 'engine="podman-4"\nimage="docker.io/x:1"\n'}, {}, {"kind": "podman", "image": "docker.io/x:1"}),
        ({"run/.containerenv": ""}, {}, {"kind": "podman", "image": None}),
        ({}, {"APPTAINER_CONTAINER": "/x.sif"}, {"kind": "apptainer", "image": "/x.sif"}),
        ({}, {"SINGULARITY_CONTAINER": "/x.sif"}, {"kind": "singularity", "image": "/x.sif"}),
    ],
)
def test_the_container(tmp_path, files, variables, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert hardware.container(variables, str(tmp_path)) == expected


def test_the_system(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text('ID=x\nPRETTY_NAME="Some Linux 1"\n')
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU\n")
    found = hardware.machine(str(tmp_path))
    assert (found["system"]["name"], found["cpu"]) == ("Some Linux 1", "Some CPU")
    assert hardware.machine(str(tmp_path / "nowhere"))["cpu"] is None


def test_variables_are_chosen_and_redacted(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_TOKEN", "abc")
    monkeypatch.setenv("OTHER", "1")
    found = capture(sys.executable, ("CUDA_*", "SLURM_*"))
    assert found["variables"].items() >= {"CUDA_VISIBLE_DEVICES": "0", "SLURM_TOKEN": "<redacted>"}.items()
    assert "OTHER" not in found["variables"]
    assert json.loads(json.dumps(found)) == found
    assert "gpus" not in capture(sys.executable, (), gpus=False)


def test_the_first_of_two_packages_counts(tmp_path):
    for place, version in (("a", "1.0"), ("b", "2.0")):
        (tmp_path / place / f"numpy-{version}.dist-info").mkdir(parents=True)
    assert packages([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "gone"), ""]) == {"numpy": "1.0"}


def test_broken_metadata_is_no_package(tmp_path):
    site = tmp_path / "site"
    (site / "good-1.0.dist-info").mkdir(parents=True)
    (site / "file-2.0.dist-info").write_text("a file")
    for name in ("~ood-1.0", "-x-1", "noversion", "-1.0", "", "a\nb-1"):
        (site / f"{name}.dist-info").mkdir()
    os.mkdir(os.fsencode(site) + b"/odd\xff-1.\xfe.dist-info")
    (site / "loop-1.dist-info").symlink_to("loop-1.dist-info")
    (tmp_path / "archive.zip").write_text("")
    os.symlink("loop", tmp_path / "loop")
    path = ["\0", str(tmp_path / "archive.zip"), str(tmp_path / "loop"), "/" + "x" * 5000, str(site), "/dev/null"]
    told = {"executable": "/opt/py\0thon", "version": "3.10.2", "path": [*path, None, 5]}
    found = capture("/bin/sh", (), told)
    assert found["packages"] == {"good": "1.0", "file": "2.0", "loop": "1"}
    assert capture("/bin/sh", (), found["python"])["packages"] == found["packages"]


def test_a_pipe_where_a_virtual_environment_says_what_it_is(tmp_path):
    python = executable(tmp_path / "bin" / "python", "#!/bin/sh\necho '[\"3.8.1\", []]'\n")
    os.mkfifo(tmp_path / "pyvenv.cfg")
    os.mkdir(tmp_path / "conda-meta")
    (tmp_path / "conda-meta" / os.fsdecode(b"odd\xff-1-2.json")).write_text("")
    found = asked(python, ())
    assert found["python"]["version"] == "3.8.1"
    assert "conda" not in found


def test_many_entries(tmp_path):
    for number in range(20_000):
        os.close(os.open(tmp_path / f"package-{number}-1.{number}.dist-info", os.O_CREAT))
    started = time.process_time()
    assert len(packages([str(tmp_path)])) == 20_000
    assert time.process_time() - started < 10


# -- what changed --------------------------------------------------------------------------------------------------

PYTHON = {"python": {"executable": "/p", "version": "3.11.1"}, "packages": {"numpy": "1.0", "mine": "1"}}
MACHINE = {
    "system": {"name": "A", "kernel": "Linux 6.1", "machine": "x86_64"}, "cpu": "c", "cores": 2, "memory": 1 << 31, "host": "h",
    "user": "u", "gpus": [{"name": "T4", "driver": "5", "uuid": "GPU-1"}], "container": None,
    "variables": {"CUDA_X": "0", "SLURM_JOB_ID": "1"}, "patterns": ["CUDA_*", "SLURM_*"],
}  # fmt: skip
ALL = PYTHON | MACHINE


@pytest.mark.parametrize(
    ("now", "compare", "expected"),
    [
        ({}, (), []),
        ({"python": {"version": "3.12.0"}}, (), [("python", "3.11.1", "3.12.0")]),
        ({"python": None}, (), []),
        ({"packages": {"numpy": "2.0", "mine": "2", "new": "1"}}, (), [("numpy", "1.0", "2.0")]),
        ({"packages": {"mine": "1"}}, (), [("numpy", "1.0", "gone")]),
        ({"packages": {}}, (), []),
        ({"conda": {"mkl": "2"}}, (), []),
        (dict.fromkeys(MACHINE) | {"host": "other"}, (), []),
        ({"host": "other"}, ("host",), [("host", "h", "other")]),
        ({"host": None}, ("host",), []),
        ({"user": "v"}, ("user", "host"), [("user", "u", "v")]),
        ({"system": {"name": "B", "kernel": "Linux 6.1", "machine": "x86_64"}}, ("os",), [
            ("os", "A, Linux 6.1, x86_64", "B, Linux 6.1, x86_64")]),
        ({"cores": 4}, ("hardware",), [("hardware", "c, 2 cores, 2 GiB", "c, 4 cores, 2 GiB")]),
        ({"gpus": [{"name": "T4", "driver": "5", "uuid": "GPU-2"}]}, ("gpu",), []),
        ({"gpus": []}, ("gpu",), [("gpu", "1 T4 (driver 5)", "none")]),
        ({"container": {"kind": "docker", "image": None}}, ("container",), [("container", "none", "docker")]),
        ({"variables": {"CUDA_X": "1", "SLURM_JOB_ID": "2"}}, (), []),
        ({"variables": {"CUDA_X": "1", "SLURM_JOB_ID": "2"}}, ("variables",), [("CUDA_X", "0", "1")]),
        ({"variables": {"CUDA_X": "1", "SLURM_JOB_ID": "2"}}, ("SLURM_*",), [("SLURM_JOB_ID", "1", "2")]),
        ({"variables": {"SLURM_JOB_ID": "1"}}, ("CUDA_*", "variables"), [("CUDA_X", "0", "unset")]),
        ({"variables": {"CUDA_X": "0", "SLURM_JOB_ID": "1", "MY": "1"}}, ("MY",), []),
        ({"variables": {"CUDA_X": "0", "SLURM_JOB_ID": "1", "CUDA_Y": "1"}}, ("CUDA_Y",), [("CUDA_Y", "unset", "1")]),
    ],
)  # fmt: skip
def test_what_counts_as_changed(now, compare, expected):
    assert changes(ALL, ALL | now, ("mine",), compare) == expected


def test_what_conda_installed_counts_too():
    before = ALL | {"conda": {"mkl": "1", "numpy": "1.0", "python": "3.11.1"}}
    now = ALL | {"conda": {"mkl": "2", "numpy": "1.0", "python": "3.11.1"}}
    assert changes(before, now) == [("mkl", "1", "2")]


def test_an_environment_of_an_earlier_kleio_compares():
    old = {name: value for name, value in ALL.items() if name not in ("gpus", "container", "user", "patterns")}
    assert changes(old, ALL, (), ("gpu", "container", "user", "variables", "os")) == []
    assert changes(None, ALL, (), ("gpu",)) == []


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (ALL, ALL, None),
        (None, ALL, "environment that it ran with is not recorded"),
        (ALL | {"python": None}, ALL, "Python that it ran with is not known"),
        (ALL, ALL | {"python": {"version": None}}, "Python that is here is not known"),
        (ALL, ALL | {"packages": {}}, "packages that are here cannot be listed"),
    ],
)
def test_what_could_not_be_compared_is_said(before, now, words):
    said = unknown(before, now)
    assert said is None if words is None else words in said


def test_variables_that_are_compared_are_recorded():
    assert wanted(("CUDA_*",), ("gpu", "variables", "MY_FLAG", "CUDA_*")) == ["CUDA_*", "MY_FLAG"]
