"""CPU, memory and I/O of a command's processes, sampled while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from commands import PYTHON, kleio, printed, script, trials, until
from experiments import journal, run
from processes import SECONDS

from kleio.core import lineage, statistics
from kleio.core.config import Config, spool_root
from kleio.core.journal.base import Selection
from kleio.core.sampling import Sampler, Taken, Tree, grown
from kleio.core.spool import LAUNCHER, SYSTEM, Spool, spools

KEYS = ["cpu", "memory", "processes", "read", "read_rate", "write_rate", "written"]

# Goes on until it has been sampled three times since it last looked, and after every third a step further.
SAMPLED = """
import os, time
from kleio.client.logger import kleio_logger as k
path = os.path.join(os.environ["KLEIO_SPOOL"], "launcher.system")
def sampled():
    try:
        with open(path) as file:
            return len(file.read().splitlines()) - 1
    except FileNotFoundError:
        return 0
for epoch in range(2):
    k.log_statistic(epoch=epoch, loss=1 / (epoch + 1))
    had = sampled()
    while sampled() < had + 3:
        time.sleep(0.01)
"""


# -- what is counted ---------------------------------------------------------------------------------------------


def tree(**processes):
    """NAME=(parent, seconds) by process, its number being that of the letter."""
    return {(ord(name), 0.0): Taken(ord(parent), cpu, int(10 * cpu)) for name, (parent, cpu) in processes.items()}


@pytest.mark.parametrize(
    ("before", "now", "more"),
    [
        ({}, {"a": ("-", 2.0)}, 2.0),
        ({"a": ("-", 2.0)}, {"a": ("-", 3.0), "b": ("a", 0.5)}, 1.5),
        # b has ended, and a has waited for it: what b had is in what a has now
        ({"a": ("-", 1.0), "b": ("a", 5.0)}, {"a": ("-", 7.0)}, 1.0),
        ({"a": ("-", 1.0), "b": ("a", 1.0), "c": ("b", 5.0)}, {"a": ("-", 7.5)}, 0.5),
        # nobody waited for b: it is lost, and takes nothing away from c
        ({"a": ("-", 1.0), "b": ("a", 5.0), "c": ("a", 1.0)}, {"a": ("-", 1.0), "c": ("a", 3.0)}, 2.0),
        # c's parent has ended, c has not
        ({"a": ("-", 1.0), "b": ("a", 1.0), "c": ("b", 1.0)}, {"a": ("-", 2.0), "c": ("-", 2.0)}, 1.0),
        ({"a": ("b", 1.0), "b": ("a", 1.0)}, {"c": ("-", 2.0)}, 2.0),  # who is whose parent makes no sense
    ],
)
def test_what_a_tree_has_taken_since(before, now, more):
    cpu, read, written = grown(tree(**before), tree(**now))
    assert (round(cpu, 6), read, written) == (more, int(10 * more), 0)


# Each line that it reads it carries out, and then says so.
OBEDIENT = """
import os, subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
def child(): return subprocess.Popen([sys.executable, "-S", "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def tell(process, line):
    process.stdin.write(line.encode() + b"\\n"); process.stdin.flush(); process.stdout.readline()
source = os.environ["OBEDIENT"]
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Obedient:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", OBEDIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OBEDIENT": OBEDIENT},
        )  # fmt: skip
        self("pass")  # before, it may be a program that is just being loaded

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def obedient():
    one = Obedient()
    yield one
    one.process.kill()
    one.process.communicate()


def test_processes_that_come_and_go(obedient, tmp_path):
    seen = Tree(obedient.process.pid)
    first = seen.sample(1.0)
    assert first["system.processes"] == 1
    assert first["system.memory"] > 1 << 20
    obedient("burn(0.2); one = child(); tell(one, 'burn(0.3)'); tell(one, 'kept = bytearray(100 << 20)')")
    second = seen.sample(1.0)
    assert second["system.processes"] == 2
    assert second["system.memory"] > first["system.memory"] + (100 << 20)
    assert 49 <= second["system.cpu"] < 400
    obedient("tell(one, 'two = child(); tell(two, \"burn(0.1)\")')")
    assert seen.sample(0.1)["system.cpu"] >= 90
    # Who waits for a child takes over what it took, which is not taken anew.
    obedient("one.stdin.close(); one.wait()")
    last = until(lambda: seen.sample(1.0) if seen.sample(1.0)["system.processes"] == 1 else None)
    assert last["system.cpu"] < 20
    path = tmp_path / "data"
    obedient(f"file = open({str(path)!r}, 'wb'); file.write(bytes(8 << 20)); file.flush(); os.fsync(file.fileno())")
    wrote = seen.sample(2.0)
    assert wrote["system.written"] >= 8 << 20
    assert wrote["system.write_rate"] >= 4 << 20


def test_who_outlives_his_parent_is_still_followed_and_the_dead_are_not_counted(obedient):
    seen = Tree(obedient.process.pid)
    obedient("one = child(); tell(one, 'two = subprocess.Popen([\"sleep\", \"1000\"])')")
    assert seen.sample(1.0)["system.processes"] == 3
    obedient("one.kill(); os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)")  # a zombie
    sample = seen.sample(1.0)
    assert sample["system.processes"] == 2
    sleeper = next(one for one in seen._processes.values() if one.name() == "sleep")
    sleeper.kill()
    obedient("one.wait()")
    until(lambda: seen.sample(1.0)["system.processes"] == 1)
    obedient.process.kill()
    obedient.process.wait()
    assert seen.sample(1.0) == {}


def test_what_cannot_be_read_is_left_away(obedient, monkeypatch):
    import psutil

    def denied(process):
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "io_counters", denied)
    assert list(Tree(obedient.process.pid).sample(1.0)) == ["system.cpu", "system.memory", "system.processes"]
    monkeypatch.setattr(psutil.Process, "status", denied)
    assert Tree(obedient.process.pid).sample(1.0) == {}


# -- how it is recorded ------------------------------------------------------------------------------------------


@pytest.fixture
def sampled(workplace, journal_uri, monkeypatch):
    """A trial that was sampled at least six times, in each journal."""
    monkeypatch.setenv("KLEIO_SYSTEM_INTERVAL", "0.03")
    kleio(PYTHON, script(workplace, SAMPLED), check=0)
    with journal() as opened:
        yield opened, opened.entries(Selection())[0]


def test_samples_are_statistics_apart_from_those_of_the_script(sampled):
    opened, entry = sampled
    (found,) = trials()
    assert list(found["summary"]) == ["epoch", "loss", *(f"system.{key}" for key in KEYS)]
    assert all(found["summary"][f"system.{key}"]["count"] >= 6 for key in KEYS)
    assert found["summary"]["system.processes"]["last"] >= 1
    assert found["summary"]["system.cpu"]["max"] > 0
    records, _ = lineage.logged(opened, entry)  # what load_statistic and every reader of statistics sees
    assert [dict(record.values) for record, _ in records] == [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5}]
    segments = list(opened.segments(entry.id, (SYSTEM,)))
    assert {one.writer for one in segments} == {LAUNCHER}
    times = [record.time for record in statistics.records(segments)]
    assert times == sorted(times)
    assert len(times) >= 6
    assert not list(spools(spool_root(Config())))
    last = printed("ls").split("\t")[-1]
    assert last == "epoch=1 loss=0.5\n"  # what is sampled has its own tables
    # The last sample may be of a process that is on its way out, and has given its memory back.
    where = "summary['system.processes'] > 0 and summary.system.cpu.max > 0 and summary['system.memory'].max > 1000"
    assert len(json.loads(printed("ls", "--json", "--where", where))) == 1


def test_it_can_be_switched_off(workplace, monkeypatch):
    monkeypatch.setenv("KLEIO_SYSTEM_INTERVAL", "0.01")
    path = script(workplace, "import time; time.sleep(0.3)")
    kleio("--no-system", PYTHON, path, check=0)
    kleio(PYTHON, path, check=0, KLEIO_NO_SYSTEM="1")
    kleio(PYTHON, path, check=0, KLEIO_SYSTEM_INTERVAL="0")
    assert [one["summary"] for one in trials()] == [{}, {}, {}]


def test_offline_they_wait_in_the_spool(workplace, monkeypatch):
    monkeypatch.setenv("KLEIO_SYSTEM_INTERVAL", "0.03")
    kleio("--offline", PYTHON, script(workplace, SAMPLED), check=0)
    assert kleio("sync", check=0)
    assert trials()[0]["summary"]["system.memory"]["count"] >= 6


def test_what_was_taken_was_taken_whatever_of_the_results_counts(workplace, monkeypatch):
    monkeypatch.setenv("KLEIO_SYSTEM_INTERVAL", "0.03")
    text = SAMPLED + "k.resume_from(None)\nk.log_statistic(loss=7)\nimport sys\nsys.exit(os.path.exists('go') - 1)\n"
    path = script(workplace, text)
    kleio(PYTHON, path, check=255)
    (workplace / "go").touch()
    kleio(PYTHON, path, check=0)
    (found,) = trials()
    assert len(found["executions"]) == 2
    assert found["summary"]["system.memory"]["count"] >= 12
    assert found["summary"]["loss"]["count"] == 3


def test_of_an_experiment_what_the_script_had_taken_before_is_not_counted(workplace, monkeypatch):
    monkeypatch.setenv("KLEIO_SYSTEM_INTERVAL", "0.2")
    loop = SAMPLED.replace("had + 3", "had + 1").replace("0.01", "0.1")  # which takes next to nothing
    text = "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass\nwith Experiment({'k': 1}):\n"
    text += "".join(f"    {line}\n" for line in loop.strip().splitlines())
    run(text)
    (found,) = trials()
    assert found["summary"]["system.memory"]["count"] >= 2
    assert found["summary"]["system.cpu"]["max"] < 300  # a second within a sample would be 500


def test_a_sampler_that_finds_nothing_ends_without_a_word(tmp_path, capfd):
    (tmp_path / "spool").mkdir()
    sampler = Sampler(Spool(str(tmp_path / "spool")), 1 << 30, 0.01, None)
    sampler.start()
    sampler.join(SECONDS)
    assert not sampler.is_alive()
    assert not list((tmp_path / "spool").iterdir())
    assert capfd.readouterr() == ("", "")
