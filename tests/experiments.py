"""Scripts that open experiments in themselves."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from commands import PYTHON, script

from kleio.core import statistics, view
from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.journal.base import Selection
from kleio.core.lookup import by_stream
from kleio.core.values import portable

IMPORTS = "from kleio.client import Experiment, kleio_logger\n"


def run(text, *words, check=0, name="train.py", apart=False, **environment):
    """Run a script that has ``Experiment`` imported; ``apart`` with a recorder process of its own."""
    path = script(Path.cwd(), IMPORTS + text, name)
    done = subprocess.run(
        [PYTHON, path.name, *words],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        start_new_session=apart,
    )
    assert done.returncode == check, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def background(text, *words, name="train.py"):
    path = script(Path.cwd(), IMPORTS + text, name)
    return subprocess.Popen(
        [PYTHON, path.name, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@contextmanager
def journal():
    """As a command that reads has it."""
    opened = open_journal(Config()["journal"], writing=False)
    try:
        yield opened
    finally:
        opened.close()


def trials():
    """What ``kleio ls --json --all-projects`` gives, without a process of its own: newest first."""
    with journal() as opened:
        entries = view.from_here(opened.entries(Selection()), spool_root(Config()))
        return json.loads(json.dumps(portable(view.documents(opened, entries))))


def artifact(trial, name):
    """The bytes of the newest one."""
    with journal() as opened:
        records = [one for _, segments in by_stream(opened, trial, ("artifacts",)) for one in statistics.records(segments)]
        digest = [one.values["sha256"] for one in records if one.values["name"] == name][-1]
        with opened.blob(digest) as file:
            return file.read()


def statuses():
    return [one["status"] for one in reversed(trials())]


def said(done):
    """What kleio said besides the ids of trials, and the rest of stderr."""
    lines = done.stderr.splitlines()
    own = [line for line in lines if line.startswith("kleio: ") and "reserved with id" not in line]
    return own, [line for line in lines if not line.startswith("kleio: ")]
