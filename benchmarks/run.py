"""What kleio costs: ``python benchmarks/run.py [--json] [-n PAIRS] [NAME…]``.

Every figure is a difference or a ratio within one run: the two sides take turns (A B A B …) and the median counts, so
that a busy machine slows both. kleio is measured as pip leaves it, in an environment of its own with compiled bytecode,
because an editable installation adds 8 ms to the start of every Python. The mongod is that of the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from compileall import compile_dir
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sysconfig import get_paths
from typing import TYPE_CHECKING, Any

import reading
from figures import Figure

import kleio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parent.parent / "tests"
LINE = b"x" * 79 + b"\n"
MEGABYTES = 200
TRIALS = 10_000
CALLS, ROUNDS = 500, 200


class Bench:
    """A place to measure in: an installed kleio, a git repository of 500 files, and journals."""

    def __init__(self, directory: Path, pairs: int, trials: int) -> None:
        self.directory, self.pairs, self.trials = directory, pairs, trials
        self.bin = installed(directory / "environment")
        self.kleio, self.python = str(self.bin / "kleio"), str(self.bin / "python")
        self.repository = repository(directory / "repository")
        self._works = 0
        self._stack = contextlib.ExitStack()
        self._mongod: str | None = None

    def close(self) -> None:
        self._stack.close()

    def variables(self, journal: str | None = None) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("KLEIO_", "PYTHON", "GIT_"))}
        self._works += 1  # each launch is work that the journal does not know yet
        own |= {"KLEIO_HOME": str(self.directory / "home"), "SLURM_ARRAY_TASK_ID": str(self._works)}
        own["PATH"] = f"{self.bin}{os.pathsep}{own['PATH']}"
        return own | ({"KLEIO_JOURNAL": journal} if journal else {})

    def run(self, *words: str, journal: str | None = None, **options: object) -> float:
        """Milliseconds of wall time."""
        settings = {"cwd": self.repository, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        variables = self.variables(journal)
        started = time.perf_counter()
        subprocess.run(words, check=True, env=variables, **settings)  # type: ignore[call-overload]
        return (time.perf_counter() - started) * 1e3

    def answer(self, *words: str, journal: str | None = None) -> Any:
        """What a reading command says."""
        done = subprocess.run(
            [self.kleio, *words, "--json"], cwd=self.repository, env=self.variables(journal), check=True, capture_output=True
        )
        return json.loads(done.stdout)

    def added(self, words: list[str], over: list[str], journal: str | None = None) -> float:
        """The median of what ``words`` take longer than ``over``, which take turns."""
        for _ in range(2):
            self.run(*words, journal=journal)
        return statistics.median(-self.run(*over) + self.run(*words, journal=journal) for _ in range(self.pairs))

    def journals(self) -> dict[str, str]:
        """A journal of each kind."""
        if self._mongod is None:
            self._mongod = self._stack.enter_context(mongod())
        sqlite = f"sqlite:///{self.directory / 'home' / 'journal.db'}"
        return {"SQLite": sqlite, "mongod": f"{self._mongod}kleio_benchmarks"}


def installed(directory: Path) -> Path:
    """The ``bin`` of an environment that has kleio and sees the packages of this one."""
    venv.create(directory, symlinks=True)
    site = Path(get_paths(vars={"base": str(directory), "platbase": str(directory)})["purelib"])
    shutil.copytree(Path(kleio.__file__).parent, site / "kleio", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "packages.pth").write_text(get_paths()["purelib"] + "\n")
    compile_dir(site / "kleio", quiet=1)
    script = directory / "bin" / "kleio"
    body = "import re\nimport sys\nfrom kleio.cli.main import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    script.write_text(f"#!{directory}/bin/python\n{body}")
    script.chmod(0o755)
    return directory / "bin"


def repository(directory: Path) -> Path:
    """500 committed files in 20 directories."""
    for number in range(500):
        path = directory / f"package{number % 20}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" * 20)
    who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all of it"]):
        subprocess.run(["git", *words], cwd=directory, check=True)
    return directory


@contextlib.contextmanager
def mongod() -> Iterator[str]:
    """The address of the tests' server: KLEIO_TEST_MONGODB, or one of our own."""
    sys.path.insert(0, str(TESTS))
    import conftest

    if conftest.GIVEN_SERVER:
        yield conftest.GIVEN_SERVER.rstrip("/") + "/"
        return
    with conftest._server() as server:  # noqa: SLF001 - a fixture of the tests, without pytest
        yield f"mongodb://{server.address}/"


# -- the figures ---------------------------------------------------------------------------------------------------


def launch(bench: Bench) -> Iterator[Figure]:
    """What ``kleio`` adds to ``python -c pass``."""
    limits = {"SQLite": (60.0, 75.0, 40.0), "mongod": (180.0, 200.0, 140.0)}
    command = [bench.python, "-c", "pass"]
    for name, journal in bench.journals().items():
        wanted, limit, floor = limits[name]
        added = bench.added([bench.kleio, *command], command, journal)
        yield Figure(f"launch added, clean repository, {name}", added, "ms", wanted, limit, floor)
        with dirty(bench.repository):
            added = bench.added([bench.kleio, *command], command, journal)
        yield Figure(f"launch added, dirty repository, {name}", added, "ms", wanted, limit)


@contextlib.contextmanager
def dirty(directory: Path) -> Iterator[None]:
    """A changed and a new file."""
    changed, new = directory / "package0" / "module0.py", directory / "new.py"
    before = changed.read_text()
    changed.write_text(before + "CHANGED = True\n")
    new.write_text("NEW = True\n")
    yield
    changed.write_text(before)
    new.unlink()


def hook(bench: Bench) -> Iterator[Figure]:
    """What the start-up hook adds to a Python that parses nothing."""
    where = [bench.python, "-c", "from kleio.core.config import HOOK; print(HOOK)"]
    path = subprocess.run(where, env=bench.variables(), capture_output=True, text=True, check=True).stdout.strip()
    plain, hooked = (["env", f"{name}={path}", "KLEIO_SPOOL=/", bench.python, "-c", "pass"] for name in ("OTHER", "PYTHONPATH"))
    yield Figure("start-up hook added", bench.added(hooked, plain), "ms", wanted=1.0, limit=3.0)


def client(bench: Bench) -> Iterator[Figure]:
    """What the logger's import adds to bare Python."""
    bare, logger = ([bench.python, "-c", code] for code in ("pass", "from kleio.client.logger import kleio_logger"))
    yield Figure("import of kleio_logger added", bench.added(logger, bare), "ms", limit=10.0)


LOOP = """
import json, os, statistics, sys, time
from kleio.client.logger import kleio_logger
file = os.open(sys.argv[1] + ".plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
CALLS, ROUNDS = int(sys.argv[2]), int(sys.argv[3])

def one(): kleio_logger.log_statistic(loss=x)
def five(): kleio_logger.log_statistic(loss=x, accuracy=y, lr=1e-3, epoch=i, grad=0.5 * x)
within = kleio_logger.scope(model="a").scope(fold=1)
def scoped(): within.log_statistic(loss=x)
def plain(): os.write(file, (json.dumps({"time": time.time_ns(), "loss": x}) + "\\n").encode())

taken = {one: [], five: [], scoped: [], plain: []}
for _ in range(ROUNDS):
    for call, own in taken.items():
        started = time.perf_counter()
        for i in range(CALLS):
            x, y = i / 7.0, i / 11.0
            call()
        own.append((time.perf_counter() - started) / CALLS * 1e6)
with open(sys.argv[1], "w") as report:
    json.dump([statistics.median(own) for own in taken.values()], report)
os.kill(os.getpid(), 9)
"""


def logging(bench: Bench) -> Iterator[Figure]:
    """``log_statistic`` in a loop, under kleio, in a script that dies of kill -9."""
    report = bench.directory / "calls.json"
    words = [bench.kleio, bench.python, "-c", LOOP, str(report), str(CALLS), str(ROUNDS)]
    done = subprocess.run(words, cwd=bench.repository, env=bench.variables(), check=False, stderr=subprocess.DEVNULL)
    assert done.returncode == -9, done
    one, five, scoped, plain = json.loads(report.read_text())
    yield Figure("log_statistic(loss=x)", one, "µs", limit=4.0, floor=2.3)
    yield Figure("log_statistic of five values", five, "µs", limit=6.0, floor=3.5)
    yield Figure("log_statistic(loss=x) inside two scopes", scoped, "µs", limit=5.0)
    yield Figure("json.dumps and os.write, the same value", plain, "µs")
    kept = bench.answer("ls", "-n", "1")[0]["summary"]["loss"]["count"] / (3 * CALLS * ROUNDS)
    yield Figure("calls that survived kill -9", kept * 100, "%", limit=100.0, rate=True)


POINTS = 100_000
SCOPED = """
import random, sys
from kleio.client.logger import kleio_logger
draw = random.Random(1).random
for experiment in range(3):
    with kleio_logger.scope(experiment=experiment) as around:
        for episode in range(10):
            run = around.scope(episode=episode)
            for _ in range(int(sys.argv[1])):
                run.log_statistic(x=draw(), y=draw())
"""


def stored(bench: Bench) -> Iterator[Figure]:
    """What a value takes on disk: 3 experiments of 10 episodes, two random numbers a record, each in a scope."""
    home = bench.directory / "scoped"
    words = [bench.kleio, bench.python, "-c", SCOPED, str(POINTS)]
    variables = bench.variables() | {"KLEIO_HOME": str(home), "KLEIO_DRAIN": "120"}
    subprocess.run(words, cwd=bench.repository, env=variables, check=True, stderr=subprocess.DEVNULL)
    taken = sum(file.stat().st_size for file in home.glob("journal.db*"))
    yield Figure("a value in a scope, on disk", taken / (3 * 10 * POINTS * 2), "bytes", limit=12.0)


def listing(bench: Bench) -> Iterator[Figure]:
    """``kleio ls``, a whole process, among many trials."""
    for name, journal in bench.journals().items():
        fill(bench, journal)
        assert len(bench.answer("ls", journal=journal)) == 20
        taken = statistics.median(bench.run(bench.kleio, "ls", journal=journal) for _ in range(bench.pairs))
        limit = 100.0 if name == "SQLite" else None
        yield Figure(f"kleio ls, 20 of {bench.trials:,} trials, {name}", taken, "ms", limit=limit)


def fill(bench: Bench, journal: str) -> None:
    """Completed trials of this project, through the journal's own interface."""
    from kleio.core.config import Config
    from kleio.core.journal import open_journal
    from kleio.core.journal.base import Summary
    from kleio.core.project import project_here
    from kleio.core.trial import Event, Trial

    project, opened = project_here(Config(cwd=str(bench.repository))), open_journal(journal)
    values = {"count": 100, "numbers": 100, "time": 1, "last": 0.1, "min": 0.1, "max": 1.0, "sum": 40.0}

    def make(number: int) -> None:
        trial, execution = os.urandom(16).hex(), os.urandom(16).hex()
        command, params = ("python", "train.py", "--lr", str(number)), {"lr": number, "seed": 1}
        opened.create(Trial(trial, os.urandom(16).hex(), project, command, ".", time.time(), params))
        opened.record(trial, Event(f"reserved-{execution}", "reserved", time.time(), 1, execution, {"host": "here", "pid": 1}))
        ended = {"status": "completed", "exit_code": 0, "reason": "exit status 0"}
        opened.record(trial, Event(f"ended-{execution}", "ended", time.time(), 1, execution, ended))
        opened.summarise(Summary(trial, execution, "1-1", 100, {"loss": values, "accuracy": values}))

    with ThreadPoolExecutor(1 if journal.startswith("sqlite") else 32) as pool:
        list(pool.map(make, range(bench.trials)))
    opened.settle()
    opened.close()


def finding(bench: Bench) -> Iterator[Figure]:
    """Filters with sort and limit, inside a process."""
    yield from reading.finding(bench.journals(), bench.trials, max(bench.pairs // 4, 3))


def points(bench: Bench) -> Iterator[Figure]:
    """The statistics of a trial, inside a process."""
    yield from reading.points(bench.journals()["SQLite"], max(bench.pairs // 4, 3))


def throughput(bench: Bench) -> Iterator[Figure]:
    """Lines through pipes: until the command has ended, which is when kleio has read them, and until all is journaled."""
    lines, ended, copy = (bench.directory / name for name in ("lines", "ended", "copy"))
    lines.write_bytes(LINE * (MEGABYTES * 1_000_000 // len(LINE)))
    command = f"cat {lines}; date +%s.%N > {ended}"
    ways = {
        "cat": f"sh -c '{command}' | cat",
        "tee": f"sh -c '{command}' | tee {copy} | cat",
        "kleio": f"kleio sh -c '{command}' | cat",
    }
    rates: dict[str, list[float]] = {name: [] for name in (*ways, "journal")}
    for _ in range(max(bench.pairs // 6, 3)):
        for name, line in ways.items():
            copy.unlink(missing_ok=True)
            started = time.time()
            whole = bench.run("bash", "-o", "pipefail", "-c", line) / 1e3
            rates[name].append(MEGABYTES / (float(ended.read_text()) - started))
            if name == "kleio":
                rates["journal"].append(MEGABYTES / whole)
    middle = {name: statistics.median(own) for name, own in rates.items()}
    yield Figure("200 MB of lines into the spool", middle["kleio"], "MB/s", limit=250.0, rate=True)
    yield Figure("200 MB of lines into the journal", middle["journal"], "MB/s", rate=True)
    yield Figure("200 MB of lines through tee", middle["tee"], "MB/s", rate=True)
    yield Figure("200 MB of lines through cat", middle["cat"], "MB/s", rate=True)
    yield Figure("kleio as part of tee", middle["kleio"] / middle["tee"], "ratio", rate=True)


FIGURES: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "launch": launch, "hook": hook, "import": client, "logging": logging, "stored": stored, "ls": listing,
    "find": finding, "points": points, "throughput": throughput,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(FIGURES)}; all of it by default")
    parser.add_argument("-n", "--pairs", type=int, default=30, help="how often each side runs (30)")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"trials to list among ({TRIALS})")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(FIGURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(FIGURES)}")
    found = []
    if not chosen.json:
        print(f"{'':52}{'measured':>12}{'wanted':>9}{'limit':>9}{'floor':>9}")
    with tempfile.TemporaryDirectory(prefix="kleio-benchmark-") as directory:
        bench = Bench(Path(directory), chosen.pairs, chosen.trials)
        try:
            for name in chosen.names or FIGURES:
                for figure in FIGURES[name](bench):
                    found.append(figure)
                    if not chosen.json:
                        print(row(figure), flush=True)
        finally:
            bench.close()
    if chosen.json:
        print(json.dumps([dataclasses.asdict(figure) | {"kept": figure.kept} for figure in found]))


def row(figure: Figure) -> str:
    asked = "".join(f"{'' if value is None else f'{value:g}':>9}" for value in (figure.wanted, figure.limit, figure.floor))
    return f"{figure.name:52}{figure.measured:>7.1f} {figure.unit:4}{asked}{'' if figure.kept in (None, True) else '  missed'}"


if __name__ == "__main__":
    main()
