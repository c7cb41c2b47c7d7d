"""``complete()``: a script that ends in order, and says that it had got to the end."""

from __future__ import annotations

import os
import signal

import pytest
from commands import PYTHON, info, kleio, printed, script, start, trials, until

from kleio.core.config import Config, spool_root
from kleio.core.spool import spools

ENDING = """
import os, signal, sys, time
from kleio.client.logger import kleio_logger as k
def asked(*_):
    if sys.argv[1] == "complete": k.complete()
    sys.exit(int(sys.argv[2]))
for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1): signal.signal(one, asked)
print("ready", flush=True)
while True: time.sleep(0.1)  # a signal that comes just before pause() would be waited for
"""
COMING = {"SIGTERM": "interrupted", "SIGINT": "suspended", "SIGUSR1": "interrupted"}


@pytest.mark.parametrize("said", ["complete", "nothing"])
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 0), ("SIGTERM", 3), ("SIGINT", 3), ("SIGUSR1", 0)])
def test_who_is_asked_to_end_and_was_done(tmp_path, home, said, name, code):
    process = start(PYTHON, script(tmp_path, ENDING), said, str(code), cwd=tmp_path)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=600)
    assert process.returncode == code
    execution = info("last")["executions"][0]
    completed = code == 0 and (said == "complete" or name == "SIGUSR1")
    assert execution["status"] == ("completed" if completed else COMING[name])
    if completed and said == "complete":
        assert execution["reason"] == f"exit status 0; {name} came, and the script said that it was complete"


@pytest.mark.parametrize("said", [True, False])
def test_the_launcher_is_killed_and_the_script_was_done(tmp_path, journal_uri, said):
    os.mkfifo(tmp_path / "go")
    text = (
        "from kleio.client.logger import kleio_logger as k\nimport os\nprint(os.getpid(), flush=True)\n"
        f"open('go').read()\nk.log_statistic(x=1)\n{'k.complete()' if said else ''}\n"
    )
    process = start(PYTHON, script(tmp_path, text), cwd=tmp_path)
    process.stdout.readline()
    process.kill()
    process.communicate()
    (tmp_path / "go").write_text("")
    (spool,) = spools(spool_root(Config()))
    until(lambda: not spool.alive())
    kleio("sync", check=0)
    trial = trials()[0]
    assert trial["status"] == ("completed" if said else "failover")
    execution = info(trial["id"])["executions"][0]
    if said:
        assert execution["reason"] == "the script said that it was complete; kleio was killed before it saw the end"
        assert execution["exit_code"] is None
        assert execution["ended"] is not None
        assert kleio("--once", PYTHON, "train.py", cwd=tmp_path, check=0).stdout == ""
    assert trial["summary"]["x"]["count"] == 1
    printed("info", "last")


def test_an_offline_run_whose_launcher_was_killed_counts_as_done_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KLEIO_OFFLINE", "1")
    text = "from kleio.client.logger import kleio_logger as k\nk.complete()\nimport os, signal\nos.kill(os.getppid(), 9)\n"
    process = start(PYTHON, script(tmp_path, text), cwd=tmp_path)
    process.communicate(timeout=600)
    (spool,) = spools(spool_root(Config()))
    until(lambda: not spool.alive())
    done = kleio("--once", PYTHON, "train.py", cwd=tmp_path, check=0)
    assert "skipped: completed" in done.stderr


def test_without_kleio_it_does_nothing(tmp_path, monkeypatch):
    from kleio.client.logger import Logger

    Logger().complete()
    strict = Logger(None, strict=True)
    strict.complete()
