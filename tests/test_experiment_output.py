"""What is printed inside an ``Experiment`` is recorded and shown, wherever it goes; streams and terminal are given back."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from commands import PYTHON, kleio, script
from experiments import IMPORTS, run, statuses, trials
from processes import Terminal, recorded

pytestmark = pytest.mark.usefixtures("workplace")


def test_ctrl_c_on_the_terminal_does_not_reach_the_recorder():
    script(
        Path.cwd(),
        """
from kleio.client import Experiment
import sys, time, os
with Experiment({"k": 1}) as experiment:
    print(sys.stdout.isatty(), os.isatty(2), os.get_terminal_size(1), flush=True)
    print("ready", flush=True)
    while True:
        time.sleep(0.1)
""",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"ready")
        terminal.type(b"\x03")
        seen = terminal.finish()
    assert b"True True os.terminal_size(columns=101, lines=33)" in seen
    assert b"KeyboardInterrupt" in seen
    assert trials()[0]["status"] == "suspended"
    assert b"ready" in recorded()


def test_the_terminal_is_given_back():
    script(
        Path.cwd(),
        """
from kleio.client import Experiment
import os, termios
before = os.fstat(1), os.ttyname(1), termios.tcgetattr(1)
for k in range(2):
    with Experiment({"k": k}):
        assert os.isatty(1) and os.ttyname(1) != before[1]
        print("inside", k)
    print("outside", k)
assert (os.fstat(1).st_ino, os.ttyname(1), termios.tcgetattr(1)) == (before[0].st_ino, before[1], before[2])
print("same", flush=True)
""",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        seen = terminal.finish()
    order = [word for word in seen.decode().split("\r\n") if word and not word.startswith("kleio")]
    assert order == ["inside 0", "outside 0", "inside 1", "outside 1", "same"]


def test_a_reader_that_goes_ends_the_script_as_ever(tmp_path):
    path = script(
        Path.cwd(),
        """
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
from kleio.client import Experiment
with Experiment({"k": 1}):
    while True:
        print("x" * 1000)
""",
    )
    process = subprocess.Popen([PYTHON, path.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(600) == -signal.SIGPIPE


def test_a_program_that_outlives_its_experiment_goes_on_printing():
    done = run(
        """
import subprocess, sys
with Experiment({"k": 1}):
    print("inside")
    program = subprocess.Popen(["sh", "-c", "read go; echo late; exit 7"], stdin=subprocess.PIPE)
print("outside", flush=True)
program.communicate(b"go\\n")
sys.exit(program.returncode)
""",
        check=7,
    )
    assert done.stdout == "inside\noutside\nlate\n"
    assert kleio("cat", trials()[0]["id"], check=0).stdout == "inside\n"


def test_the_size_of_the_terminal_is_followed():
    script(
        Path.cwd(),
        """
from kleio.client import Experiment
import os, time
with Experiment({"k": 1}):
    print("ready", flush=True)
    while os.get_terminal_size(1).columns != 47:
        time.sleep(0.01)
    print("seen", flush=True)
""",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"ready")
        terminal.resize(20, 47)
        terminal.until(b"seen")
        terminal.finish()


def test_asking_on_the_terminal():
    script(
        Path.cwd(),
        "from kleio.client import Experiment\nwith Experiment({'k': 1}):\n    print('hello', input('name? '))\n",
    )
    with Terminal(PYTHON, "train.py") as terminal:
        terminal.until(b"name? ")
        terminal.type(b"ada\n")
        assert b"hello ada" in terminal.finish()
    assert b"name? hello ada" in recorded()


@pytest.mark.parametrize("where", [">log", ">log 2>&1", ">&-", ">&- 2>&-", "| cat", ">/dev/null"])
def test_wherever_output_goes(where, workplace):
    script(workplace, IMPORTS + "with Experiment({'k': 1}):\n    print('inside')\nprint('outside')\n")
    done = subprocess.run(f"{PYTHON} train.py {where}", shell=True, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = "inside\noutside\n"
    if "log" in where:
        text = (workplace / "log").read_text()
        assert [line for line in text.splitlines() if not line.startswith("kleio:")] == said.split()
    elif "cat" in where:
        assert done.stdout == said
    assert statuses() == ["completed"]
    assert kleio("cat", trials()[0]["id"], check=0).stdout == ("" if ">&-" in where else "inside\n")


def test_a_stream_of_the_users_own():
    done = run(
        """
import contextlib, io, sys
class Tee:
    def __init__(self, stream):
        self.stream, self.kept = stream, []
    def write(self, text):
        self.kept.append(text)
        return self.stream.write(text)
    def flush(self):
        self.stream.flush()
sys.stdout = Tee(sys.stdout)
with Experiment({"k": 1}):
    print("through a tee")
    with contextlib.redirect_stdout(io.StringIO()) as inner:
        print("kept by the script")
assert sys.stdout.kept[0] == "through a tee"
with contextlib.redirect_stdout(io.StringIO()) as outer:
    with Experiment({"k": 2}):
        print("in memory")
    print("not recorded")
assert outer.getvalue() == "in memory\\nnot recorded\\n"
"""
    )
    assert done.stdout == "through a tee\n"
    second, first = trials()
    assert kleio("cat", first["id"], check=0).stdout == "through a tee\n"
    assert kleio("cat", second["id"], check=0).stdout == "in memory\n"


@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_under_pytest(capture, workplace):
    (workplace / "test_it.py").write_text(
        """
import os
from kleio.client import Experiment

def test_it(capfd):
    with Experiment({"k": 1}) as experiment:
        print("python")
        os.write(1, b"c level\\n")
        experiment.log_statistic(a=1)
    assert "python\\n" in capfd.readouterr().out
    assert experiment.id

def test_other():
    with Experiment({"k": 2}) as experiment:
        print("shown")
    assert 0

def test_inside():
    with Experiment({"k": 3}):
        assert 0

def test_kept():
    with Experiment({"k": 4}, reraise=False):
        assert 0
"""
    )
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", f"--capture={capture}", "test_it.py"],
        capture_output=True, text=True, timeout=600,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )  # fmt: skip
    assert "2 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("shown\n") == 1
    found = {one["params"]["k"]: one for one in trials()}
    assert {k: one["status"] for k, one in found.items()} == {1: "completed", 2: "completed", 3: "broken", 4: "broken"}
    assert kleio("cat", found[2]["id"], check=0).stdout == "shown\n"
    assert sorted(kleio("cat", found[1]["id"], check=0).stdout.split("\n")) == ["", "c level", "python"]
