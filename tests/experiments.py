"""Scripts that open experiments in themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from commands import PYTHON, script, trials

from kleio.core import statistics
from kleio.core.journal import open_journal
from kleio.core.lookup import by_stream

IMPORTS = "from kleio.client import Experiment, kleio_logger\n"


def run(text, *words, check=0, name="train.py", apart=False, **environment):
    """Run a script that has ``Experiment`` imported; ``apart`` with a recorder process of its own."""
    path = script(Path.cwd(), IMPORTS + text, name)
    done = subprocess.run(
        [PYTHON, path.name, *words],
        capture_output=True,
        text=True,
        timeout=60,
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


def artifact(trial, name):
    """The bytes of the newest one."""
    journal = open_journal(os.environ["KLEIO_JOURNAL"], writing=False)
    records = [one for _, segments in by_stream(journal, trial, ("artifacts",)) for one in statistics.records(segments)]
    digest = [one.values["sha256"] for one in records if one.values["name"] == name][-1]
    with journal.blob(digest) as file:
        content = file.read()
    journal.close()
    return content


def statuses():
    return [one["status"] for one in reversed(trials())]


def said(done):
    """What kleio said besides the ids of trials, and the rest of stderr."""
    lines = done.stderr.splitlines()
    own = [line for line in lines if line.startswith("kleio: ") and "reserved with id" not in line]
    return own, [line for line in lines if not line.startswith("kleio: ")]
