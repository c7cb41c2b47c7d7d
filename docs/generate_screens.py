"""Write the screens in docs/*.md anew: what commands show on a terminal, of a small journal of runs of the examples.

    python docs/generate_screens.py            write them
    python docs/generate_screens.py --check    exit with 1 if any is stale

A screen stands between two comments, ``<!-- screen: kleio ls -n 3 -->`` and ``<!-- end of screen -->``. An image stands behind
``<!-- image: kleio plot $1 loss -o plots.svg -->`` and is written beside the pages. ``$1`` is the first of the runs below.
These are real; what is never the same twice is replaced (ids, times, host, user, versions): pages change only when kleio does.
"""

import contextlib
import fcntl
import hashlib
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kleio.core import output, statistics
from kleio.core.indexing import index
from kleio.core.journal import open_journal
from kleio.core.journal.base import Journal, Segment, Selection, Summary, Trace
from kleio.core.lookup import by_stream
from kleio.core.spool import OUTPUT_STREAMS
from kleio.core.statistics import Record, Summariser
from kleio.core.trial import Entry, Event, Trial

ROOT = Path(__file__).parent.parent
SCRIPTS = {"train.py": "spiral.py", "fit.py": "scopes.py"}
"""Examples, and what they are called here."""
RUNS = ["train.py --lr 0.03", "train.py --lr 0.1", "train.py --lr 0.3", "train.py --lr 0.1 --hidden 3",
        "train.py --lr 0.1 --seed 2", "train.py --lr 0.3 --seed 2", "train.py --lr 0.1 --epochs x", "fit.py"]  # fmt: skip
"""The oldest first; one is refused by its script."""
SIZE = (40, 100)
"""Lines and columns of the terminal."""
LONGEST = 110
"""Characters of a line that are shown."""
FIRST = 1_795_168_800.0  # 2026-11-20 10:00 UTC
APART = 1200.0
EPOCH = 4.0
"""Seconds between the beginnings of two runs, and between two statistics."""
NOW = FIRST + 8 * 3600
PYTHON = {"executable": "/home/ada/spiral/.venv/bin/python", "version": "3.11.7"}
MACHINE = {
    "python": PYTHON, "packages": {"kleio": "0.1.0"}, "cpu": "AMD EPYC 7313", "cores": 16, "memory": 64 << 30, "host": "atlas",
    "user": "ada", "gpus": [], "container": None, "variables": {}, "patterns": [],
    "system": {"kernel": "Linux 6.1", "machine": "x86_64", "name": "Debian GNU/Linux 12"},
}  # fmt: skip
OWNER: dict[str, Any] = {"host": "atlas", "user": "ada", "pid": 4242, "machine": "0" * 16, "cwd": "/home/ada/spiral"}
SCREEN = re.compile(r"(<!-- screen: (.*?) -->\n)(.*?)(<!-- end of screen -->\n)", re.DOTALL)
IMAGE = re.compile(r"<!-- image: (.*?) -->\n")


# -- the journal ---------------------------------------------------------------------------------------------------


def run(project: Path) -> None:
    """All of RUNS, at the same time."""
    for name, example in SCRIPTS.items():
        shutil.copy(ROOT / "examples" / example, project / name)
    (project / "python").symlink_to(sys.executable)
    (project / ".gitignore").write_text("python\nresults/\n*.html\n*.svg\n")
    author = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
              for what, value in (("NAME", "ada"), ("EMAIL", "ada@example.org"), ("DATE", "2026-11-20T09:00:00Z"))}  # fmt: skip
    for words in ("init -q -b main", "add .", "commit -q -m first", "remote add origin https://example.org/ada/spiral.git"):
        subprocess.run(["git", *words.split()], cwd=project, env=os.environ | author, check=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda words: _run(project, words.split()), RUNS))


def _run(project: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "kleio", "run", "./python", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    environment |= {"KLEIO_PATIENCE": "600", "KLEIO_DRAIN": "600"}  # all at once they are slow, and nothing may be missing
    subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False)


class Copy:
    """Trials, copied from one journal into another, with everything replaced that is different each time."""

    def __init__(self, before: Journal, after: Journal) -> None:
        self._before, self._after = before, after
        self.ids: list[str] = []

    def all(self) -> None:
        entries = {" ".join(entry.trial.command[1:]): entry for entry in self._before.entries(Selection())}
        for number, words in enumerate(RUNS):
            self.ids.append(hashlib.sha256(f"trial {number}".encode()).hexdigest()[:32])
            self._trial(number, entries[words])

    def _trial(self, number: int, entry: Entry) -> None:
        trial, created = self.ids[-1], FIRST + number * APART
        execution = hashlib.sha256(f"execution {number}".encode()).hexdigest()[:32]
        known = entry.trial.as_dict() | {"id": trial, "created": created, "command": ("python", *entry.trial.command[1:])}
        self._after.create(Trial.from_dict(known))
        records = self._streams(entry, trial, execution, created)
        last = created + 2 + EPOCH * records
        times = {"reserved": created, "running": created + 0.1, "ended": last + 1, "exception": last + 0.5}
        self._after.claim(trial, execution, {**OWNER, "started": created}, 60)
        for event in sorted(entry.events, key=lambda one: times.get(one.kind, created + 0.5)):
            if event.kind != "reserved":
                when, data = times.get(event.kind, created + 0.5), self._data(event, created)
                self._after.record(trial, Event(f"{event.kind}-{execution}", event.kind, when, event.token, execution, data))
        self._contents(entry, trial, execution)
        index(self._after, trial)

    def _data(self, event: Event, created: float) -> dict[str, Any]:
        data = dict(event.data)
        if "environment" in data:
            self._after.put_document("0" * 32, MACHINE)
            data["environment"] = "0" * 32
        if "traceback" in data:
            data["traceback"] = re.sub(r'File "[^"]*/', 'File "/home/ada/spiral/', data["traceback"])
        for name in ("pid", "host", "user", "machine", "cwd"):
            if name in data:
                data[name] = OWNER[name]
        return data | ({"started": created} if "started" in data else {})

    def _streams(self, entry: Entry, trial: str, execution: str, created: float) -> int:
        """Every stream, statistics EPOCH seconds apart; how many statistics there are."""
        found = {key: list(segments) for key, segments in by_stream(self._before, entry.id, ("statistics", "artifacts"))}
        logged = sorted(record.time for (_, _, stream), segments in found.items() if stream == "statistics"
                        for record in statistics.records(segments))  # fmt: skip
        for (_, _, stream), segments in found.items():
            records = []
            for record in statistics.records(segments):
                before = sum(one <= record.time for one in logged)
                records.append(Record(record.offset, int((created + 2 + EPOCH * before) * 1e9), record.values, record.mark))
            self._append(trial, execution, stream, segments[-1].end, records)
        for (_, _, stream), segments in by_stream(self._before, entry.id, OUTPUT_STREAMS):
            data = b"".join(output.unpack(one.payload)[0] for one in segments)
            packed = output.pack(data, [(0, int((created + 2) * 1e9))])
            self._after.append([Segment(trial, execution, "launcher", stream, 0, len(data), packed)])
        return len(logged)

    def _append(self, trial: str, execution: str, stream: str, end: int, records: list[Record]) -> None:
        packed = statistics.pack(records)
        self._after.append([Segment(trial, execution, "w0", stream, 0, end, packed)])
        if stream == "statistics":
            summariser = Summariser()
            for record in records:
                summariser.add(record)
            self._after.summarise(Summary(trial, execution, "w0", end, summariser.keys))

    def _contents(self, entry: Entry, trial: str, execution: str) -> None:
        """Documents, artifacts, and the traces of them."""
        document = self._before.document(entry.trial.code["document"])
        assert document is not None
        self._after.put_document(entry.trial.code["document"], document)
        traces = [one.key for one in self._before.traces_of(entry.id) if not one.key.startswith(("pid:", "bytes:"))]
        digests = [key.partition(":")[2] for key in traces if key.startswith("sha256:")]
        self._after.leave([Trace(key, trial, execution) for key in (*traces, *(f"bytes:{one}:" for one in digests))])
        for digest in digests:
            with tempfile.NamedTemporaryFile() as file, self._before.blob(digest) as blob:  # type: ignore[union-attr]
                shutil.copyfileobj(blob, file)
                file.flush()
                self._after.put_blob(digest, file.name)


@contextlib.contextmanager
def workplace() -> Iterator[list[str]]:
    """Be in the project, with the journal and the user's own settings out of sight; the ids of the runs."""
    with tempfile.TemporaryDirectory(prefix="kleio-screens-") as directory:
        project = Path(directory, "spiral")
        project.mkdir()
        for name in [name for name in os.environ if name.startswith(("KLEIO_", "XDG_", "GIT_", "COLUMNS", "LINES"))]:
            del os.environ[name]
        os.environ |= {"HOME": directory, "KLEIO_HOME": f"{directory}/runs", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        time.tzset()
        os.chdir(project)
        run(project)
        before = open_journal(f"sqlite:///{directory}/runs/journal.db", writing=False)
        os.environ |= {"KLEIO_HOME": f"{directory}/kleio", "KLEIO_JOURNAL": f"sqlite:///{directory}/kleio/journal.db"}
        after = open_journal(os.environ["KLEIO_JOURNAL"])
        copy = Copy(before, after)
        copy.all()
        before.close()
        after.close()
        yield copy.ids
        os.chdir(ROOT)


# -- the pages -----------------------------------------------------------------------------------------------------


def shown(command: str, ids: list[str]) -> str:
    """Commands, joined with ``&&``, as a user types them, and what the terminal shows."""
    for number, trial in enumerate(ids, 1):
        command = command.replace(f"${number}", trial[:7])
    lines = []
    for one in command.split(" && "):
        found = _run_there(shlex.split(one))
        lines += [f"$ {one}", *(line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} […]" for line in found)]
    return "\n".join(["```", *lines, "```", ""])


def _run_there(words: list[str]) -> list[str]:
    if words[0] == "cat":
        return Path(words[1]).read_text(encoding="utf-8").splitlines()
    if words[-2:] == ["|", "cat"]:
        done = subprocess.run([sys.executable, "-m", *words[:-2]], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()
    return _on_terminal(words[1:])


def _on_terminal(words: list[str]) -> list[str]:
    """What ``kleio WORDS`` shows on a terminal of SIZE. In a process of its own, which has everything loaded already."""
    sys.stdout.flush()
    child, terminal = pty.fork()
    if not child:
        _be_kleio(words)
    seen = b""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 1 << 16):
            seen += data
    os.waitpid(child, 0)
    os.close(terminal)
    if b"Traceback" in seen:
        raise RuntimeError(f"kleio {shlex.join(words)}\n{seen.decode()}")
    plain = re.sub(r"[^\n]*\r", "", seen.decode().replace("\r\n", "\n"))  # progress bars, as they are in the end
    plain = re.sub(r"\x1b\[[\d;]*[mK]", "", plain)  # what is bold is so without colours too
    return [line.rstrip() for line in plain.replace(os.getcwd(), OWNER["cwd"]).rstrip().splitlines()]


def _be_kleio(words: list[str]) -> None:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    os.environ |= {"NO_COLOR": "1", "TERM": "xterm", "PAGER": "cat", "KLEIO_PAGER": "cat"}
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    formatted = time.strftime
    time.time = lambda: NOW
    time.strftime = lambda form, moment=None: formatted(form, time.gmtime(NOW) if moment is None else moment)  # type: ignore[assignment]
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, mode) for fd, mode in ((0, "r"), (1, "w"), (2, "w")))
    from kleio.cli import main

    sys.argv = ["kleio", *words]
    main.main()


def renewed(text: str, ids: list[str]) -> str:
    """A page with its screens as they are now."""
    return SCREEN.sub(lambda found: f"{found[1]}{shown(found[2], ids)}{found[4]}", text)


def commands(text: str) -> list[str]:
    """Those whose screens and images are in a page."""
    return [*(found[2] for found in SCREEN.finditer(text)), *IMAGE.findall(text)]


def main(check: bool) -> int:
    """Write the pages, or look whether they are stale."""
    pages = {path: text for path in sorted(ROOT.glob("docs/*.md")) if commands(text := path.read_text(encoding="utf-8"))}
    stale = []
    with workplace() as ids:
        for path, text in pages.items():
            new = renewed(text, ids)
            if new != text:
                stale.append(path.name)
                if not check:
                    path.write_text(new, encoding="utf-8")
            for command in () if check else IMAGE.findall(text):
                shown(command, ids)
                name = shlex.split(command)[-1]
                shutil.copy(name, ROOT / "docs" / name)
    if stale:
        sys.stdout.write(f"{'stale' if check else 'written anew'}: {', '.join(stale)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
