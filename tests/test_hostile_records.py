"""Records that nobody expects, processes that outlive their launcher, launchers killed at the worst moment: nothing is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess

from commands import PYTHON, info, kleio, printed, script, start, trials, until

from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.recorder import introduce
from kleio.core.recovery import recover_all
from kleio.core.shipping import Shipper
from kleio.core.spool import Spool, spools
from kleio.core.streams import Source

IMPORT = "from kleio.client.logger import kleio_logger as k\n"

HOSTILE = [
    '{"a":{"$kleio":"timedelta","value":[1e300]}}',
    '{"a":' + "[" * 300 + "]" * 300 + "}",
    '{"$kleio":"dict","value":[[1,2]]}',
    '{"$kleio":"set","value":[1]}',
    '{"a":1' + "0" * 400 + "}",
    '{"a":1' + "0" * 5000 + "}",
    '{"a":{"$kleio":"bytes","value":"!"}}',
    "{" * 10_000,
]


def test_no_line_stops_the_others(tmp_path):
    lines = [one for at, line in enumerate(HOSTILE) for one in (line, f'{{"ok": {at + 0.5}, "a": 0.5}}')]
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
    done = kleio("sh", "-c", "cat lines >> $KLEIO_STATISTICS", cwd=tmp_path, check=0)
    assert done.stderr.count("\n") == 1  # the trial's id, and nothing else
    summary = trials()[0]["summary"]
    assert (summary["ok"]["count"], summary["ok"]["last"], summary["a"]["last"]) == (len(HOSTILE), len(HOSTILE) - 0.5, 0.5)
    assert list(spools(spool_root(Config()))) == []
    printed("info", "last")


def test_no_value_stops_the_script(tmp_path):
    text = IMPORT + (
        "class Bad:\n    def tolist(self): raise TypeError('no')\n"
        "class Worse(dict):\n    def items(self): raise KeyError('no')\n"
        "for value in (10**400, 10**5000, Bad(), Worse(a=1), {1: Bad()}):\n    k.log_statistic(a=value)\n"
        "k.log_statistic(a=0.5)\nprint('end')\n"
    )
    assert kleio(PYTHON, script(tmp_path, text), cwd=tmp_path, check=0).stdout == "end\n"
    assert trials()[0]["summary"]["a"]["last"] == 0.5


def killed(tmp_path, text):
    """A run whose launcher is killed with kill -9 once the script has said ready."""
    process = start("sh", "-c", text, cwd=tmp_path)
    assert process.stdout.readline() == "ready\n"
    end_all(process)


def end_all(process):
    """Kill it and its command, and wait until all of them are gone: whoever is not yet may keep the spool."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not any(spool.alive() for spool in spools(spool_root(Config()))))


def test_what_ran_is_kept_when_the_journal_has_lost_its_reservation(tmp_path, home):
    """A power cut may cost an SQLite journal its last transactions; the spool still knows."""
    kleio("true", cwd=tmp_path, check=0)
    killed(tmp_path, """echo '{"n": 1}' >> $KLEIO_STATISTICS; echo ready; sleep 1000""")
    connection = sqlite3.connect(home / "journal.db")
    connection.execute("DELETE FROM trials WHERE status != 'completed'")
    connection.commit()
    connection.close()
    kleio("sync", check=0)
    assert [one["status"] for one in trials()] == ["failover", "completed"]
    assert trials()[0]["summary"]["n"]["last"] == 1


def test_the_tail_of_long_output_survives_its_launcher(tmp_path, monkeypatch):
    monkeypatch.setenv("KLEIO_OUTPUT_LIMIT", "200000")
    process = start("sh", "-c", "head -c 400000 /dev/zero | tr '\\0' x; echo; echo LASTLINE; sleep 1000", cwd=tmp_path)
    until(lambda: process.stdout.readline() == "LASTLINE\n")
    end_all(process)
    kleio("sync", check=0)
    shown = kleio("cat", "--raw", "last", check=0).stdout
    assert shown.endswith("LASTLINE\n")
    assert "were dropped" in shown


def test_what_goes_on_logging_in_the_background_is_shipped_later(tmp_path):
    for name in ("ready", "go"):
        os.mkfifo(tmp_path / name)
    daemon = IMPORT + "k.log_statistic(n=1)\nopen('ready', 'w').close()\nopen('go').read()\nk.log_statistic(n=2)\n"
    script(tmp_path, daemon, "daemon.py")
    text = f"{PYTHON} daemon.py > /dev/null 2>&1 < /dev/null & read line < ready; :"
    kleio("sh", "-c", text, cwd=tmp_path, check=0)
    assert trials()[0]["status"] == "completed"
    assert trials()[0]["summary"]["n"]["count"] == 1
    (spool,) = spools(spool_root(Config()))
    (tmp_path / "go").write_text("")
    until(lambda: not spool.alive())
    kleio("sync", check=0)
    assert trials()[0]["summary"]["n"] == {"last": 2, "min": 1, "max": 2, "mean": 1.5, "count": 2}
    assert list(spools(spool_root(Config()))) == []


def test_a_summary_that_was_not_sent_is_made_up_for(tmp_path, journal_uri):
    """Killed between a batch and its summary: everything is shipped, and yet the summary is behind."""
    killed(tmp_path, """for n in 1 2 3; do echo "{\\"n\\": $n}" >> $KLEIO_STATISTICS; done; echo ready; sleep 1000""")
    journal = open_journal(Config()["journal"])
    (spool,) = spools(spool_root(Config()))
    source = Source(spool, spool.read("launch")["trial"]["id"], spool.execution, over=True)
    introduce(journal, source, 1)

    class Forgetful:
        append = staticmethod(journal.append)
        leave = staticmethod(journal.leave)
        summarise = staticmethod(lambda _: None)

    shipper = Shipper(source, Forgetful(), lambda _: True, {})
    while shipper.round():
        pass
    journal.close()
    assert "n" not in trials()[0]["summary"] or trials()[0]["summary"]["n"]["count"] <= 3
    kleio("sync", check=0)
    assert trials()[0]["summary"]["n"]["count"] == 3


def test_one_spools_trouble_is_not_the_others(tmp_path, monkeypatch):
    for n in range(3):
        kleio("--offline", "sh", "-c", f"echo {n}", cwd=tmp_path, check=0)
    victim = next(iter(spools(spool_root(Config())))).execution
    journal = open_journal(Config()["journal"])
    record = type(journal).record

    def refuse(self, trial, event):
        if event.execution == victim:
            raise RuntimeError("never this one")
        record(self, trial, event)

    monkeypatch.setattr(type(journal), "record", refuse)
    found = list(recover_all(spool_root(Config()), journal, 60))
    journal.close()
    assert sorted(one.fate.value for one in found) == ["not taken by the journal", "shipped", "shipped"]
    assert [spool.execution for spool in spools(spool_root(Config()))] == [victim]


FORKING = (
    IMPORT
    + """
import os, sys, threading, time
class Slow:
    def find_spec(self, *_):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.02)  # what the threads import as they log, they import while others fork
sys.meta_path.insert(0, Slow())
def log():
    for n in range(50):
        k.log_statistic(n=n, s="text")
threads = [threading.Thread(target=log) for _ in range(4)]
children = []
for thread in threads:
    thread.start()
    pid = os.fork()
    if pid == 0:
        log()
        os._exit(0)
    children.append(pid)
for thread in threads:
    thread.join()
for pid in children:
    os.waitpid(pid, 0)
"""
)


def test_a_fork_while_others_log_for_the_first_time_hangs_nobody(tmp_path):
    kleio(PYTHON, script(tmp_path, FORKING), cwd=tmp_path, check=0)
    assert trials()[0]["summary"]["n"]["count"] == 400


def test_a_file_truncated_by_mistake_goes_on_being_read(tmp_path):
    text = """echo '{"n": 1}' > $KLEIO_STATISTICS; exec 3<> go; read x <&3; echo '{"n": 2}' > $KLEIO_STATISTICS"""
    os.mkfifo(tmp_path / "go")
    process = start("sh", "-c", text, cwd=tmp_path)
    until(lambda: trials() and trials()[0]["summary"].get("n"))
    with open(tmp_path / "go", "w") as go:
        go.write("\n")
    process.communicate(timeout=600)
    assert trials()[0]["summary"]["n"] == {"last": 2, "min": 1, "max": 2, "mean": 1.5, "count": 2}


def test_a_spool_is_gone_at_once_or_not_at_all(tmp_path):
    spool, lock, recorder = Spool.create(str(tmp_path / "spools"), "a" * 32, {})
    os.close(lock)
    os.close(recorder)
    spool.delete()
    assert list((tmp_path / "spools").iterdir()) == []


def test_what_is_too_large_or_secret_is_left_out_loudly(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "p"], check=True)
    project = tmp_path / "p"
    (project / "tracked.bin").write_bytes(b"x")
    git = ["git", "-C", project, "-c", "user.name=a", "-c", "user.email=b"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    (project / "tracked.bin").write_bytes(bytes(11 << 20))
    (project / "large.npy").write_bytes(bytes(11 << 20))
    (project / ".env").write_text("HF_TOKEN=hf_" + "a" * 34)
    os.symlink("loop.py", project / "loop.py")
    done = kleio("true", cwd=project, check=0)
    code = info("last")["code"]
    assert {one["path"]: one["why"].split()[0] for one in code["left_out"]} == {
        "tracked.bin": "too", "large.npy": "too", ".env": "its",
    }  # fmt: skip
    assert "not kept with the code" in done.stderr
    found = subprocess.run(["grep", "-r", "hf_aaaa", os.environ["KLEIO_HOME"]], capture_output=True, check=False)
    assert found.returncode == 1
    first = code["fingerprint"]
    (project / "tracked.bin").write_bytes(bytes(12 << 20))
    kleio("true", cwd=project, check=0)
    assert info("last")["code"]["fingerprint"] != first


def test_a_loop_of_links_beside_the_script_is_no_obstacle(tmp_path):
    os.symlink("loop.py", tmp_path / "loop.py")
    kleio(PYTHON, script(tmp_path, "print(1)"), cwd=tmp_path, check=0)
