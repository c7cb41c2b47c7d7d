"""The journal goes away and comes back; launchers are killed; nothing that was logged is lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
from contextlib import closing
from uuid import uuid4

import pytest
from commands import PYTHON, info, kleio, read, script, start, trials, until
from conftest import _server
from processes import state

from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.output import OutputWriter
from kleio.core.spool import spools

LOGGING = """
from kleio.client.logger import kleio_logger as k
n = 0
def log(count):
    global n
    for _ in range(count):
        k.log_statistic(n=n)
        n += 1
    k.log_artifact("state", b"%d" % n, n=n)
    print("logged", n, flush=True)
log(1000)
open("go").read()
log(1000)
open("go").read()
log(1000)
"""


@pytest.fixture(scope="module")
def one_server():
    with _server() as one:
        yield one


@pytest.fixture
def server(one_server, monkeypatch):
    """One that runs and may be killed. What it was asked then has failed at once, however long it would be waited for."""
    if one_server.process.poll() is not None:
        until(one_server.restart)
    monkeypatch.setenv("KLEIO_JOURNAL", f"mongodb://{one_server.address}/{uuid4().hex}?retryWrites=false")
    monkeypatch.setenv("KLEIO_TIMEOUT", "60")
    return one_server


def a_third(trial):
    """Whether all that is logged first is in the journal, and nothing on its way."""
    return trial["summary"].get("n", {}).get("count") == 1000 and read("artifacts", "--json", trial["id"])


def complete(trial):
    found = info(trial)
    assert found["summary"]["n"]["count"] == 3000
    assert found["summary"]["n"]["last"] == 2999
    assert kleio("cat", trial, check=0).stdout == "logged 1000\nlogged 2000\nlogged 3000\n"


def test_an_outage_is_said_once_and_its_end_once_and_nothing_is_lost(tmp_path, server):
    os.mkfifo(tmp_path / "go")
    process = start(PYTHON, script(tmp_path, LOGGING), cwd=tmp_path)
    assert process.stdout.readline() == "logged 1000\n"
    until(lambda: a_third(trials()[0]))
    process.stderr.readline()  # trial reserved
    server.process.kill()
    server.process.wait()
    (tmp_path / "go").write_text("")
    assert process.stdout.readline() == "logged 2000\n"  # the script does not notice
    away = process.stderr.readline()
    assert away.startswith("kleio: ")
    assert "wait in the spool" in away
    until(server.restart)  # unless somebody has its port in this moment
    back = process.stderr.readline()
    assert "is back" in back
    (tmp_path / "go").write_text("")
    assert (process.stdout.read(), process.stderr.read()) == ("logged 3000\n", "")
    process.communicate(timeout=600)
    assert process.returncode == 0
    complete(trials()[0]["id"])
    assert trials()[0]["status"] == "completed"


def test_a_journal_that_stays_away_leaves_the_rest_to_sync(tmp_path, server):
    os.mkfifo(tmp_path / "go")
    process = start(PYTHON, script(tmp_path, LOGGING), cwd=tmp_path, KLEIO_TIMEOUT="0.3")
    assert process.stdout.readline() == "logged 1000\n"
    server.process.kill()
    server.process.wait()
    for _ in range(2):
        (tmp_path / "go").write_text("")
        process.stdout.readline()
    assert "kleio sync" in process.stderr.read()
    process.communicate(timeout=600)
    assert process.returncode == 0
    until(server.restart)
    kleio("sync", check=0)
    complete(trials()[0]["id"])
    assert trials()[0]["status"] == "completed"
    assert list(spools(spool_root(Config()))) == []


@pytest.mark.parametrize("both", [True, False])
def test_a_killed_launcher_loses_nothing(tmp_path, journal_uri, both):
    """kill -9 of the launcher alone, or of everything: what had returned in the script reaches the journal."""
    os.mkfifo(tmp_path / "go")
    process = start(PYTHON, script(tmp_path, LOGGING), cwd=tmp_path)
    assert process.stdout.readline() == "logged 1000\n"
    (tmp_path / "go").write_text("")
    assert process.stdout.readline() == "logged 2000\n"
    if both:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    else:
        process.kill()
        process.wait()
        assert "still running" in kleio("sync", check=0).stdout
        (tmp_path / "go").write_text("")
        process.communicate(timeout=600)
    until(lambda: "still running" not in kleio("sync", check=0).stdout)  # who is killed lives for another moment
    (trial,) = trials()
    assert trial["status"] == "failover"
    count = 2000 if both else 3000
    assert trial["summary"]["n"]["count"] == count
    assert re.match("(logged 1000\nlogged 2000\n)", kleio("cat", trial["id"], check=0).stdout)
    assert len(read("artifacts", "--json", trial["id"])) == count / 1000


def test_sync_cut_short_goes_on_where_it_stopped(tmp_path, journal_uri):
    text = "from kleio.client.logger import kleio_logger as k\n"
    text += "for n in range(30000): k.log_statistic(n=n)\nprint('x' * 3_000_000)\n"
    kleio("--offline", PYTHON, script(tmp_path, text), cwd=tmp_path, check=0)
    (spool,) = spools(spool_root(Config()))
    trial = spool.read("launch")["trial"]["id"]
    with closing(open_journal(journal_uri, timeout=60)) as journal:

        def shipped():
            return sum(journal.extents(spool.execution, trial).values())

        for _ in range(3):
            before, syncing = shipped(), start("sync")
            until(lambda over=syncing.poll, had=before: over() is not None or shipped() > had)
            syncing.kill()  # when some of it is in the journal, unless all was before that was seen
            syncing.communicate()
    kleio("sync", check=0)
    (trial,) = trials()
    assert trial["summary"]["n"]["count"] == 30000
    assert len(kleio("cat", "--raw", trial["id"], check=0).stdout) == 3_000_001


def test_two_syncs_at_once_ship_everything_once(tmp_path, journal_uri):
    for n in range(3):
        kleio("--offline", "sh", "-c", f"echo {n}", cwd=tmp_path, check=0)
    both = [start("sync") for _ in range(3)]
    for one in both:
        one.communicate(timeout=600)
    kleio("sync", check=0)
    found = trials()
    assert len(found) == 3
    assert all(len(one["executions"]) == 1 and one["status"] == "completed" for one in found)


def test_a_full_disk_is_said_and_stops_nothing(tmp_path):
    """A real full disk, where this user may mount one; the command goes on and its output goes through."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        disk = None
    try:
        home = disk / "kleio" if disk else tmp_path / "small"
        limit = "" if disk else "ulimit -f 2000; "
        text = f"{limit}{PYTHON} -m kleio sh -c 'head -c 20000000 /dev/zero; echo end >&2; exit 7'"
        done = subprocess.run(
            ["bash", "-c", text], capture_output=True, env=os.environ | {"KLEIO_HOME": str(home)}, cwd=tmp_path, check=False
        )
        assert done.returncode == 7, done.stderr
        assert len(done.stdout) == 20_000_000
        assert b"end" in done.stderr
        assert b"could not be recorded" in done.stderr
        assert b"Traceback" not in done.stderr
    finally:
        if disk:
            subprocess.run(["umount", "-l", disk], check=True)


def test_a_launcher_that_fell_silent_is_taken_over_and_keeps_its_own_record(tmp_path, journal_uri):
    """Two machines, as two spool directories: neither sees the other's locks, so the lease decides."""
    for name in ("one", "two"):
        os.mkfifo(tmp_path / f"{name}.go")
    text = "echo $KLEIO_SPOOL_DIR; read x < $KLEIO_SPOOL_DIR.go; echo end"
    first = start("sh", "-c", text, cwd=tmp_path, KLEIO_SPOOL_DIR=str(tmp_path / "one"), KLEIO_LEASE="1.5")
    assert first.stdout.readline() == f"{tmp_path}/one\n"
    put_to_sleep(first.pid, journal_uri)  # the launcher: a machine that sleeps
    second = until(lambda: taking_over(tmp_path, text))
    assert second.stdout.readline() == f"{tmp_path}/two\n"
    first.send_signal(signal.SIGCONT)
    until(lambda: "taken this trial over" in first.stderr.readline())
    until(lambda: [one["status"] for one in trials()[0]["executions"]] == ["failover", "running"])
    for name in ("one", "two"):
        (tmp_path / f"{name}.go").write_text("")
    first.communicate(timeout=600)
    second.communicate(timeout=600)
    (trial,) = trials()
    assert [one["status"] for one in trial["executions"]] == ["completed", "completed"]
    assert kleio("cat", trial["id"], check=0).stdout == f"{tmp_path}/one\nend\n{tmp_path}/two\nend\n"


def taking_over(tmp_path, text):
    """The second launcher once it may run; None while the trial is the first one's."""
    process = start("sh", "-c", text, cwd=tmp_path, KLEIO_SPOOL_DIR=str(tmp_path / "two"))
    said = process.stderr.readline()
    if "reserved" in said:
        return process
    assert "running already" in said
    process.communicate(timeout=600)
    assert process.returncode == 75
    return None


def put_to_sleep(pid, uri):
    """Stop a process, but not while it keeps a file from others, which those on another machine would not notice."""
    with open(f"{uri.removeprefix('sqlite:///')}.lock" if uri.startswith("sqlite") else os.devnull) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(pid, signal.SIGSTOP)
        until(lambda: is_stopped(pid))


def is_stopped(pid):
    """Whether all of its threads are."""
    with contextlib.suppress(OSError):  # one has just ended
        return all(state(pid, thread) == "T" for thread in os.listdir(f"/proc/{pid}/task"))
    return False


def test_a_package_of_another_version_is_a_changed_environment(tmp_path):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for name in ("foo-1.0", "bar-1.0"):
        (site / f"{name}.dist-info").mkdir()
    crash = [tmp_path / "venv" / "bin" / "python", "-c", "raise SystemExit(1)"]
    kleio(*crash, cwd=tmp_path, check=1)
    (site / "added-1.0.dist-info").mkdir()
    kleio(*crash, cwd=tmp_path, check=1)
    assert len(trials()) == 1  # an added package does not count
    (site / "foo-1.0.dist-info").rename(site / "foo-2.0.dist-info")
    kleio(*crash, cwd=tmp_path, check=1)
    newest, oldest = trials()
    assert newest["previous"] == oldest["id"]
    assert info(newest["id"])["environment"]["packages"] == {"added": "1.0", "bar": "1.0", "foo": "2.0"}


def test_a_relative_journal_is_the_same_from_its_directory_and_by_its_full_name(tmp_path):
    kleio("--journal", "sqlite:///j.db", "--offline", "echo", "hi", cwd=tmp_path, check=0)
    assert "shipped" in kleio("sync", "--journal", f"sqlite:///{tmp_path}/j.db", check=0).stdout


def test_what_is_meant_for_another_journal_is_left_for_it(tmp_path):
    kleio("--journal", f"sqlite:///{tmp_path}/one.db", "--offline", "echo", "hi", cwd=tmp_path, check=0)
    done = kleio("sync", check=0)
    (spool,) = spools(spool_root(Config()))
    assert f"({tmp_path}/one.db), in {spool.path}\n" in done.stdout.replace("sqlite:///", "")
    assert "--from ADDRESS, or delete the directory" in done.stderr
    assert trials() == []


def test_what_is_meant_for_a_journal_that_is_gone_for_good_is_shipped_to_another(tmp_path, journal_uri):
    gone = "mongodb://127.0.0.1:9/gone"
    kleio("--journal", gone.replace("//", "//me:secret@"), "--offline", "echo", "hi", cwd=tmp_path, check=0)
    kleio("--journal", "mongodb://127.0.0.1:9/other", "--offline", "echo", "other", cwd=tmp_path, check=0)
    assert sorted(re.findall("shipped|another journal", kleio("sync", "--from", gone, check=0).stdout)) == [
        "another journal", "shipped",
    ]  # fmt: skip
    (trial,) = trials()
    assert (trial["command"], trial["status"]) == (["echo", "hi"], "completed")


# -- a file that goes away, or takes nothing more --------------------------------------------------------------------


@pytest.fixture
def logging(tmp_path, sqlite_journal):
    """A run that has logged a third of what it will, all of which is in the journal, and what lets it go on."""
    os.mkfifo(tmp_path / "go")
    process = start(PYTHON, script(tmp_path, LOGGING), cwd=tmp_path)
    assert "reserved" in process.stderr.readline()
    assert process.stdout.readline() == "logged 1000\n"
    until(lambda: a_third(trials()[0]))

    def go(*expected):
        for line in expected:
            (tmp_path / "go").write_text("")
            assert process.stdout.readline() == line

    return process, go


@pytest.fixture
def sqlite_journal(home, monkeypatch):
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{home}/journal.db")
    return home / "journal.db"


def remove(journal):
    for path in journal.parent.glob("journal.db*"):
        path.unlink()


def move(journal):
    journal.rename(journal.parent / "moved.db")


def replace(journal):
    remove(journal)
    kleio("echo", "another journal", check=0)


@pytest.mark.parametrize("lose", [remove, move, replace])
def test_a_file_that_goes_away_is_an_outage(sqlite_journal, logging, lose):
    """Written on into a file that nobody finds, everything would be lost, and nobody told."""
    process, go = logging
    lose(sqlite_journal)
    go("logged 2000\n", "logged 3000\n")
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0
    assert re.search("has been (deleted or moved|replaced)", said)
    assert said.count("wait in the spool") == 1
    assert "ship it with: kleio sync" in said
    kleio("sync", check=0)
    (trial,) = [one for one in trials() if one["command"][0] == PYTHON]
    assert list(spools(spool_root(Config()))) == []
    complete(trial["id"])
    assert [one["status"] for one in trial["executions"]] == ["completed"]


def test_a_file_that_comes_back_is_gone_on_with(sqlite_journal, logging):
    process, go = logging
    moved = sqlite_journal.rename(sqlite_journal.parent / "moved.db")
    go("logged 2000\n")
    assert "has been deleted or moved" in process.stderr.readline()
    moved.rename(sqlite_journal)
    assert "is back" in process.stderr.readline()
    go("logged 3000\n")
    assert process.communicate(timeout=600)[1] == ""
    complete(trials()[0]["id"])
    assert list(spools(spool_root(Config()))) == []


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, where this user may mount one: a function that mounts it again, with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        words = ["mount", "-t", "tmpfs", "-o", options, "none", place]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount")
        return place

    yield mount
    subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def fill(place):
    with open(place / "fill", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_journal_that_may_only_be_read_or_is_full_is_an_unreachable_one(tmp_path, disk, monkeypatch):
    place = disk("size=4m")
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{place}/journal.db")
    kleio("echo", "before", cwd=tmp_path, check=0)
    for reason, hinder, mend in (
        ("Read-only", lambda: disk("remount,ro"), lambda: disk("remount,rw")),
        ("is full", lambda: fill(place), (place / "fill").unlink),
    ):
        hinder()
        done = kleio("sh", "-c", f"echo {reason}; exit 7", cwd=tmp_path, check=7)
        assert done.stdout == f"{reason}\n"
        assert done.stderr.count("running offline") == done.stderr.count(reason) == 1
        for words in (["--require-journal", "true"], ["exec", "last"], ["branch", "last"]):
            hinder()  # SQLite may just have given room back
            refused = kleio(*words, cwd=tmp_path, check=125).stderr
            assert reason in refused
            assert "offline" not in refused
        mend()
        kleio("sync", check=0)
        assert trials()[0]["command"][2] == f"echo {reason}; exit 7"
        assert [one["status"] for one in trials()[0]["executions"]] == ["broken"]
    assert len(trials()) == 3


def test_where_nothing_can_be_written_that_is_said_in_one_line_with_what_to_do(tmp_path, disk, monkeypatch):
    place = disk("size=1m,ro")
    script(tmp_path, "pass\n")
    for home in ({"KLEIO_HOME": place / "kleio"}, {"HOME": place, "KLEIO_HOME": ""}):
        for words in ((), ("--offline",), ("--offline", "--fresh")):
            done = kleio(*words, PYTHON, "train.py", cwd=tmp_path, check=125, **home)
            (line,) = done.stderr.splitlines()
            assert "Read-only file system" in line
            assert "KLEIO_HOME" in line
    (line,) = kleio("echo", "hi", check=125, KLEIO_SPOOL_DIR=place).stderr.splitlines()
    assert "choose another directory with KLEIO_SPOOL_DIR" in line


FILLS = """
import base64, os, sys
print("ran", flush=True)
with open(sys.argv[1], "wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)):
            pass
    except OSError:
        file.truncate(file.tell() - int(sys.argv[2]) * 1024)
print(base64.b64encode(os.urandom(60000)).decode())
sys.exit(7)
"""


@pytest.mark.parametrize("room", [0, 140, 180, 220, 260])
def test_a_disk_that_fills_up_does_not_change_how_the_command_ends(tmp_path, disk, room):
    """Whatever there is no room for: what is logged, the end, or that which SQLite does to make sure of it."""
    place = disk("size=1m")
    kleio("true", cwd=tmp_path, check=0, KLEIO_HOME=place)
    settings = {"KLEIO_HOME": place, "KLEIO_DRAIN": 1}  # what there is no room for is not waited for
    done = kleio(PYTHON, script(tmp_path, FILLS), place / "fill", str(room), cwd=tmp_path, check=7, **settings)
    assert done.stdout.startswith("ran\n")
    assert len(done.stdout) > 80000
    (place / "fill").unlink()
    if list(spools(spool_root(Config(environment={"KLEIO_HOME": str(place)})))):
        assert "kleio sync" in done.stderr
        kleio("sync", check=0, KLEIO_HOME=place)
    assert trials(KLEIO_HOME=place)[0]["executions"][0]["status"] in ("broken", "failover")


def test_output_that_there_is_no_room_to_record_from_the_first_byte_on(tmp_path):
    limit = OutputWriter(str(tmp_path), "output", 100)
    limit.close()
    assert not limit.failed
    gone = OutputWriter(str(tmp_path / "gone"), "output", 100)
    gone.record(b"passes all the same")
    gone.close()
    assert gone.failed == "No such file or directory"


def test_output_over_its_limit_that_there_is_no_room_for(tmp_path):
    directory = tmp_path / "spool"
    directory.mkdir()
    writer = OutputWriter(str(directory), "output", 100)
    directory.rename(tmp_path / "away")
    writer.record(b"x" * 1000)
    assert writer.failed
    reused = os.open(os.devnull, os.O_RDONLY)
    writer.close()
    os.fstat(reused)  # it was not taken for the writer's
    os.close(reused)
