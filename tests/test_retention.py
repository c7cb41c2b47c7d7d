"""``keep_last`` and ``keep_best``: what stays, what is deleted, and that nothing is deleted that somebody needs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import subprocess
import time
from itertools import count
from types import SimpleNamespace

import pytest
from commands import PYTHON, kleio, printed, script, start, trials, until
from hypothesis import given
from hypothesis import strategies as st

from kleio.core.artifact import LOCK, keep
from kleio.core.artifacts import View, needed
from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.journal.base import Trace
from kleio.core.lineage import artifacts
from kleio.core.retention import kept, measured, policy
from kleio.core.shipping import Shipper
from kleio.core.spool import Spool, Writer, spools
from kleio.core.statistics import Record
from kleio.core.streams import LineStream, Source
from kleio.core.trial import Trial
from kleio.core.values import dumps

IMPORT = "import json, os, sys\nfrom kleio.client.logger import kleio_logger as k\n"


def logged(*said, execution="e", writer="w"):
    """Records of (time, metadata, policy)."""
    return [
        ((execution, writer, "artifacts"), Record(at, time, {"name": "a", "meta": meta} | ({"keep": keep} if keep else {})))
        for at, (time, meta, keep) in enumerate(said)
    ]


def times(found):
    return [record.time for _, record in found]


def losses(*values, **keep):
    return logged(*((at, {"loss": value}, keep) for at, value in enumerate(values, 1)))


def test_the_newest_and_the_best_stay():
    assert times(kept(losses(5, 1, 3, 4, 2, last=2, best="loss"))) == [2, 4, 5]
    assert times(kept(losses(5, 1, 3, 4, 2, last=2, best="-loss"))) == [1, 4, 5]
    assert times(kept(losses(5, 1, 3, 4, 2, last=2))) == [4, 5]
    assert times(kept(losses(5, 1, 3, 4, 2, best="loss"))) == [2]
    assert times(kept(losses(1, 1, 1, best="loss"))) == [1]
    assert times(kept(losses(5, 1, 3))) == [1, 2, 3]
    assert kept([]) == []


def test_no_number_is_never_the_best():
    nan = float("nan")
    assert times(kept(losses(nan, 3, None, "1", True, [0], last=1, best="loss"))) == [2, 6]
    assert times(kept(losses(nan, nan, best="loss"))) == [2]
    assert times(kept(losses(float("inf"), float("-inf"), 0, best="loss"))) == [2]
    nested = logged((1, {"val": {"loss": 1}}, {"best": "val/loss"}), (2, {"val/loss": 2}, {"best": "val/loss"}))
    assert times(kept(nested)) == [1]
    assert measured({"a": 2}, "-a") == -2
    assert measured("no mapping", "a") is None


def test_what_has_no_policy_is_never_dropped_and_the_policy_of_the_newest_rules():
    mixed = logged((1, {}, None), (2, {}, {"last": 1}), (3, {}, None), (4, {}, {"last": 3}), (5, {}, {"last": 1}))
    assert times(kept(mixed)) == [1, 3, 5]
    assert times(kept(mixed[:4])) == [1, 2, 3, 4]
    assert times(kept(logged((1, {}, {"last": 1}), (2, {}, {"last": 1}), (3, {}, {"last": 9})))) == [2, 3]  # 1 is gone
    assert times(kept(logged(*((at, {}, "nonsense") for at in range(3))))) == [0, 1, 2]
    assert times(kept(logged(*((at, {}, {"last": "2", "best": 5}) for at in range(3))))) == [0, 1, 2]


def test_names_do_not_mix():
    one = [(key, Record(r.offset, r.time, {**r.values, "name": f"n{r.time % 2}"})) for key, r in losses(1, 2, 3, 4, last=1)]
    assert times(kept(one)) == [3, 4]


def test_what_was_given_up_is_neither_best_nor_among_the_newest():
    first = logged(*((at, {"loss": 1 / at}, {"last": 2, "best": "loss"}) for at in (1, 2, 3, 4)), execution="one")
    second = logged(*((at, {"loss": at}, {"last": 2, "best": "loss"}) for at in (11, 12, 13)), execution="two")
    turns = [(10, {"one": 3})]
    assert times(kept(first)) == [3, 4]
    assert times(kept(first + second[:1], turns)) == [3, 11]
    assert times(kept(first + second, turns)) == [3, 12, 13]
    assert times(kept(first + second)) == [4, 12, 13]


@given(st.data())
def test_nothing_that_was_dropped_comes_back_whatever_arrives_later(data):
    both = {"last": 2, "best": "-x"}, {"last": 1, "best": "x"}
    keeps = st.sampled_from([None, {"last": 1}, {"last": 3}, {"best": "x"}, *both])
    values = st.sampled_from([float("nan"), 1, 2, 3.5, None])
    said = data.draw(st.lists(st.tuples(st.integers(1, 30), values, keeps), max_size=20))
    whole = [
        *logged(*((time, {"x": x}, keep) for time, x, keep in said[::2]), writer="v"),
        *logged(*((time, {"x": x}, keep) for time, x, keep in said[1::2]), writer="w", execution="f"),
    ]
    turns = data.draw(st.lists(st.tuples(st.integers(1, 30), st.fixed_dictionaries({"e": st.integers(0, 30)})), max_size=2))
    part = [one for one in whole if data.draw(st.booleans())]
    places = {(key, record.offset) for key, record in kept(part, turns)}
    dropped = {(key, record.offset) for key, record in part} - places
    assert not dropped & {(key, record.offset) for key, record in kept(whole, turns)}


@pytest.mark.parametrize(
    ("last", "best"), [(0, None), (-1, None), (True, None), (2.0, None), ("2", None), (None, ""), (1, "-"), (1, 3)]
)
def test_policies_that_cannot_be_meant(last, best):
    with pytest.raises(ValueError, match="keep_"):
        policy(last, best)
    assert policy(None, None) is None


# -- with a journal ----------------------------------------------------------------------------------------------------

TRAIN = IMPORT + """
for n in range(int(sys.argv[1]), int(sys.argv[2])):
    k.log_artifact("state", b"%d " % n * 50_000, keep_last=2, keep_best="loss", epoch=n, loss=abs(n - 3.0))
    if len(sys.argv) > 3: k.flush()
found = k.load_artifacts("state")
print([one.meta["epoch"] for one in found], [one.open().read()[:3].decode() for one in found])
"""


@pytest.fixture
def sqlite_uri(home):
    return f"sqlite:///{home}/journal.db"


def stored(uri, *, content=lambda n: b"%d " % n * 50_000, among=range(60)):
    """Which of the contents are in the journal."""
    journal = open_journal(uri, writing=False)
    try:
        found = []
        for n in among:
            opened = journal.blob(hashlib.sha256(content(n)).hexdigest())
            if opened:
                assert opened.read() == content(n)
                opened.close()
                found.append(n)
        return found
    finally:
        journal.close()


@pytest.mark.parametrize("how", ["", "flush"])
def test_a_long_training_keeps_what_was_asked_for(tmp_path, journal_uri, how):
    done = kleio(PYTHON, script(tmp_path, TRAIN), "0", "12", *how.split(), cwd=tmp_path, check=0)
    assert done.stdout == "[3, 10, 11] ['3 3', '10 ', '11 ']\n"
    assert stored(journal_uri) == [3, 10, 11]
    shown = printed("info", "last")
    assert "(the newest of 3)" in shown
    again = kleio(PYTHON, tmp_path / "train.py", "0", "12", *how.split(), "flush", cwd=tmp_path, check=0)
    assert again.stdout == done.stdout  # another trial with the same contents
    assert stored(journal_uri) == [3, 10, 11]


def test_offline_nothing_is_dropped_before_it_must_and_sync_ships_what_is_kept(tmp_path, sqlite_uri):
    done = kleio("--offline", PYTHON, script(tmp_path, TRAIN), "0", "12", cwd=tmp_path, check=0)
    assert done.stdout == "[3, 10, 11] ['3 3', '10 ', '11 ']\n"
    kleio("sync", check=0)
    assert stored(sqlite_uri) == [3, 10, 11]


STOPPING = IMPORT + """
found = k.load_artifacts("state")
begin = found[-1].meta["epoch"] + 1 if found else 0
if "anew" in open("how").read():
    found = [one for one in found if one.meta["epoch"] == 3]
    k.resume_from(found[-1])
    begin = 4
for n in range(begin, begin + 5):
    k.log_artifact("state", b"%d " % n * 50_000, keep_last=2, keep_best="loss", epoch=n, loss=abs(n - 3.0))
print(begin, [one.meta["epoch"] for one in k.load_artifacts("state")])
raise SystemExit(int(begin < 20))
"""


def test_a_resumed_run_goes_on_dropping(tmp_path, sqlite_uri):
    (tmp_path / "how").write_text("")
    script(tmp_path, STOPPING)
    assert kleio(PYTHON, "train.py", cwd=tmp_path, check=1).stdout == "0 [3, 4]\n"
    assert kleio(PYTHON, "train.py", cwd=tmp_path, check=1).stdout == "5 [3, 8, 9]\n"
    assert stored(sqlite_uri) == [3, 8, 9]
    (tmp_path / "how").write_text("anew")
    assert kleio(PYTHON, "train.py", cwd=tmp_path, check=1).stdout == "4 [3, 7, 8]\n"
    assert stored(sqlite_uri) == [3, 7, 8]


def test_a_branch_keeps_what_its_parent_drops_and_is_told_what_had_been_dropped(tmp_path, journal_uri):
    (tmp_path / "how").write_text("")
    script(tmp_path, STOPPING)
    kleio(PYTHON, "train.py", cwd=tmp_path, check=1)
    parent = trials()[0]["id"]
    done = kleio("branch", "--timestamp", "epoch=2", parent, "--lr", "1", cwd=tmp_path, check=1)
    assert done.stdout == "0 [3, 4]\n"  # of what lies before the cut nothing was kept
    assert "the artifact state (epoch=2 loss=1.0) was not kept (keep_last, keep_best); none of them was" in done.stderr
    done = kleio("branch", "--timestamp", "epoch=4", parent, "--lr", "2", cwd=tmp_path, check=1)
    assert done.stdout == "5 [3, 8, 9]\n"
    assert "not kept" not in done.stderr
    branch = trials()[0]["id"]
    assert stored(journal_uri) == [3, 4, 8, 9]  # 4 is the parent's, and a first branch's
    kleio("run", parent, cwd=tmp_path, check=1)
    kleio("run", trials()[1]["id"], cwd=tmp_path, check=1)
    assert stored(journal_uri) == [3, 8, 9]
    done = kleio("branch", "--timestamp", "epoch=4", parent, "--lr", "3", cwd=tmp_path, check=1)
    assert "(epoch=4 loss=1.0) was not kept (keep_last, keep_best); the newest that was is epoch=3 loss=0.0" in done.stderr
    assert done.stdout == "4 [3, 7, 8]\n"
    assert kleio("run", branch, cwd=tmp_path, check=1).stdout == "10 [3, 13, 14]\n"


def test_a_branch_of_the_moment_keeps_what_the_parent_drops_afterwards(tmp_path, sqlite_uri):
    (tmp_path / "how").write_text("")
    script(tmp_path, STOPPING)
    text = IMPORT + "print([one.open().read()[:2].decode() for one in k.load_artifacts('state')])\nraise SystemExit(1)\n"
    script(tmp_path, text, "look.py")
    kleio(PYTHON, "train.py", cwd=tmp_path, check=1)
    parent = trials()[0]["id"]
    kleio("branch", parent, "--", PYTHON, "look.py", cwd=tmp_path, check=1)
    branch = trials()[0]["id"]
    for _ in range(2):
        kleio("run", parent, cwd=tmp_path, check=1)
    assert stored(sqlite_uri) == [3, 4, 13, 14]
    assert kleio("run", branch, cwd=tmp_path, check=1).stdout == "['3 ', '4 ']\n"
    assert kleio("--fresh", "run", branch, cwd=tmp_path).stdout == "['3 ', '4 ']\n"


def test_other_names_and_what_is_code_or_has_no_policy_keep_their_bytes(tmp_path, journal_uri):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "big.py").write_text("# " + "x" * 400_000)
    script(
        tmp_path,
        IMPORT + "big = open('big.py', 'rb').read()\n"
        "k.log_artifact('other', b'1', n=1)\n"
        "for content in (b'1', b'2', big, b'3', b'4', b'5'):\n"
        "    k.log_artifact('a', content, keep_last=1)\n    k.flush()\n",
    )
    kleio(PYTHON, "train.py", cwd=tmp_path, check=0)
    assert stored(journal_uri, content=lambda n: b"%d" % n, among=range(1, 6)) == [1, 5]
    trial = trials()[0]
    journal = open_journal(journal_uri, writing=False)
    document = journal.document(journal.entry(trial["id"]).trial.code["document"])
    blob = document["changes"]["big.py"]
    held = journal.blob(blob[1] if blob[3] is None else document["pack"])
    assert held is not None
    held.close()
    journal.close()


def test_bytes_that_an_older_kleio_brought_stay(tmp_path, journal_uri):
    """It left no word of whose they are."""
    journal = open_journal(journal_uri)
    (tmp_path / "old").write_bytes(b"2")
    journal.put_blob(hashlib.sha256(b"2").hexdigest(), str(tmp_path / "old"))
    journal.close()
    text = IMPORT + "for n in (1, 2, 3, 4):\n    k.log_artifact('a', b'%d' % n, keep_last=1)\n    k.flush()\n"
    kleio(PYTHON, script(tmp_path, text), cwd=tmp_path, check=0)
    assert stored(journal_uri, content=lambda n: b"%d" % n, among=range(1, 5)) == [2, 4]


def test_what_a_killed_launcher_had_brought_is_released_later(tmp_path, journal_uri):
    """Its bytes are there, and its trace; whoever goes on must not take them for an older kleio's, and keep them for ever."""
    text = IMPORT + """
from glob import glob
launcher = os.getppid()
def stopped():
    try:
        return {open(task).read().rpartition(")")[2].split()[0] for task in glob(f"/proc/{launcher}/task/*/stat")} == {"T"}
    except OSError:
        return False  # a thread has just ended
if not k.load_artifacts("a"):
    k.log_artifact("a", b"1", keep_last=1)
    k.flush()
    os.kill(launcher, 19)
    while not stopped(): pass
    k.log_artifact("a", b"2", keep_last=1)
    os.kill(launcher, 9)
    os.kill(os.getpid(), 9)
k.log_artifact("a", b"3", keep_last=1)
"""
    process = start(PYTHON, script(tmp_path, text), cwd=tmp_path)
    process.communicate()
    (spool,) = spools(spool_root(Config()))
    until(lambda: not spool.alive())
    (digest,) = (name for name in os.listdir(spool.file("blobs")) if name == hashlib.sha256(b"2").hexdigest())
    journal = open_journal(journal_uri)
    (writer,) = (writer for writer, stream in spool.streams() if stream == "artifacts")
    offset = list(LineStream(Source(spool, "t", "e"), writer, "artifacts", 0).everything())[1].offset
    journal.leave([Trace(f"bytes:{digest}:{writer}:{offset}", spool.read("launch")["trial"]["id"], spool.execution)])
    (tmp_path / "copy").write_bytes(b"2")
    journal.put_blob(digest, str(tmp_path / "copy"))
    journal.close()
    kleio(PYTHON, "train.py", cwd=tmp_path, check=0)
    assert stored(journal_uri, content=lambda n: b"%d" % n, among=range(1, 4)) == [3]


RANK = IMPORT + """
print("ready", flush=True)
sys.stdin.readline()
for n in range(40):
    k.log_artifact("state", b"%d" % (n // 2), keep_last=2, rank=int(sys.argv[1]), n=n)
"""


def test_several_processes_log_the_same_contents_under_one_name(tmp_path, sqlite_uri):
    script(tmp_path, RANK, "rank.py")
    script(
        tmp_path,
        "import subprocess, sys\n" + IMPORT +
        "many = [subprocess.Popen([sys.executable, 'rank.py', str(n)], stdin=-1, stdout=-1, text=True) for n in range(3)]\n"
        "for one in many: one.stdout.readline()\n"
        "for one in many: one.stdin.write('go\\n'); one.stdin.flush()\n"
        "for one in many: one.communicate()\n"
        "found = k.load_artifacts('state')\nprint(len(found), {one.open().read().decode() for one in found})\nk.flush()\n",
    )  # fmt: skip
    done = kleio(PYTHON, "train.py", cwd=tmp_path, check=0)
    assert done.stdout.startswith("2 {'19'"), done.stdout
    journal = open_journal(sqlite_uri)
    records = artifacts(journal, journal.entry(trials()[0]["id"]))
    journal.close()
    assert {record.values["sha256"] for record in records} == {
        hashlib.sha256(b"%d" % n).hexdigest() for n in stored(sqlite_uri, content=lambda n: b"%d" % n, among=range(20))
    }


def test_trials_that_run_at_once_with_the_same_contents_never_lose_any(tmp_path, journal_uri):
    """Each drops what another is just bringing; in the end each has all that it lists."""
    text = IMPORT + """
print("ready", flush=True)
open("go" + sys.argv[1]).read()
for n in range(60):
    k.log_artifact("state", b"%d " % (n % 5), keep_last=2, n=n)
    if n % 7 == int(sys.argv[1]): k.flush()
"""
    script(tmp_path, text)
    gates = [tmp_path / f"go{n}" for n in range(4)]  # one each: a gate that another had opened could be shut by then
    for gate in gates:
        os.mkfifo(gate)
    running = [start(PYTHON, "train.py", str(n), cwd=tmp_path, KLEIO_IF_RUNNING="wait") for n in range(4)]
    for one in running:
        assert one.stdout.readline() == "ready\n"
    for gate in gates:
        gate.write_text("")
    for one in running:
        _, complaints = one.communicate()
        assert one.returncode == 0, complaints
    journal = open_journal(journal_uri)
    wanted = set()
    for trial in trials():
        records = artifacts(journal, journal.entry(trial["id"]))
        assert len(records) == 2
        wanted |= {record.values["sha256"] for record in records}
    for digest in wanted:
        opened = journal.blob(digest)
        assert opened is not None, "an artifact that is listed has no bytes"
        opened.close()
    contents = [hashlib.sha256(b"%d " % n).hexdigest() for n in range(5)]
    there = {digest for digest in contents if (one := journal.blob(digest)) and not one.close()}
    assert there == wanted
    journal.close()


class Bounded:
    """A trial that keeps the last of its artifacts, and who ships them."""

    def __init__(self, journal, directory, letter):
        for name in ("blobs", "requests"):
            (directory / letter / name).mkdir(parents=True)
        journal.create(Trial(letter * 32, letter, "p", ("true",), ".", 1.0))
        source = Source(Spool(str(directory / letter)), letter * 32, letter)
        self.blobs, self.writer = source.spool.file("blobs"), Writer(source.spool.path, "artifacts")
        self.shipper = Shipper(source, journal, lambda _: True, {})

    def log(self, content, name="state"):
        values = {"name": name, "meta": {}, "keep": {"last": 1}}
        keep(self.blobs, content, lambda digest, size: self.writer.append(dumps(values | {"sha256": digest, "size": size})))

    def ship(self):
        while self.shipper.round():
            pass


def test_a_script_that_is_held_up_before_it_has_asked_keeps_its_bytes_from_who_tidies_up(tmp_path, monkeypatch):
    (tmp_path / "blobs").mkdir()
    moments = count(step=100.0)
    monkeypatch.setattr("kleio.core.artifact.time", SimpleNamespace(monotonic=lambda: next(moments), sleep=time.sleep))

    def said(*_):
        with (tmp_path / LOCK).open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    keep(str(tmp_path / "blobs"), b"content", said)


def test_what_is_not_in_the_journal_yet_releases_nothing(tmp_path, journal_uri, monkeypatch):
    """Each of two would see that the other needs it still, and nobody would come back to it."""
    journal = open_journal(journal_uri)
    first, second = (Bounded(journal, tmp_path, letter) for letter in "ab")
    for one in (first, second):
        one.log(b"shared")
        one.ship()
    append = journal.append

    def logs_meanwhile(segments):
        append(segments)
        second.log(b"2")

    monkeypatch.setattr(journal, "append", logs_meanwhile)
    second.log(b"another", name="another")
    second.shipper.round()
    monkeypatch.undo()
    first.log(b"1")
    first.ship()
    journal.blob(hashlib.sha256(b"shared").hexdigest()).close()
    second.ship()
    assert journal.blob(hashlib.sha256(b"shared").hexdigest()) is None
    for one in (first.writer, second.writer, journal):
        one.close()


def test_what_others_kept_at_an_older_look_may_be_dropped_since(tmp_path, home):
    """Who dropped it may have found that we need it: then only we are left to release it."""
    journal = open_journal(f"sqlite:///{home}/journal.db")
    first, second = (Bounded(journal, tmp_path, letter) for letter in "ab")
    for one in (first, second):
        one.log(b"shared")
        one.ship()
    first.log(b"1")
    first.ship()
    views = {letter * 32: View(journal, journal.entry(letter * 32)) for letter in "ab"}
    second.log(b"2")
    second.ship()
    assert not needed(journal, hashlib.sha256(b"shared").hexdigest(), views, "a" * 32)
    for one in (first.writer, second.writer, journal):
        one.close()


def test_a_record_on_its_way_keeps_its_bytes(tmp_path, home):
    """Another launcher has left its trace and looked; its record comes a moment later."""
    uri = f"sqlite:///{home}/journal.db"
    script(tmp_path, IMPORT + "for n in range(6):\n    k.log_artifact('a', b'%d' % n, keep_last=1)\n    k.flush()\n")
    kleio(PYTHON, "train.py", cwd=tmp_path, check=0)
    assert stored(uri, content=lambda n: b"%d" % n, among=range(6)) == [5]
    journal = open_journal(uri)
    journal.leave([Trace(f"bytes:{hashlib.sha256(b'3').hexdigest()}:somebody:14", trials()[0]["id"], "f" * 32)])
    journal.close()
    kleio("--fresh", PYTHON, "train.py", cwd=tmp_path, check=0)
    assert stored(uri, content=lambda n: b"%d" % n, among=range(6)) == [3, 5]


def test_what_is_missing_is_said_once_and_what_cannot_be_meant_is_refused(tmp_path):
    text = IMPORT + (
        "for n in range(3):\n    k.log_artifact('a', b'%d' % n, keep_best='loss', n=n)\n"
        "k.log_artifact('b', b'x', keep_last=0)\n"
        "print([one.meta for one in k.load_artifacts('a')], k.load_artifacts('b'))"
    )
    done = kleio(PYTHON, script(tmp_path, text), cwd=tmp_path, check=0)
    assert done.stderr.count("no number 'loss'") == 1
    assert "artifact 'b' is not recorded: keep_last is how many" in done.stderr
    assert done.stdout == "[{'n': 2}] []\n"
    strict = start(PYTHON, "train.py", cwd=tmp_path, KLEIO_STRICT="1")
    assert "ValueError: keep_last" in strict.communicate()[1]
    assert strict.returncode == 1


def test_a_journal_of_one_megabyte_each_stays_small(tmp_path, home):
    text = IMPORT + (
        "for n in range(20):\n    k.log_artifact('w', os.urandom(1 << 20), keep_last=2, keep_best='loss', loss=abs(n - 8))\n"
        "    if n == 10: k.flush()\n"
    )
    kleio(PYTHON, script(tmp_path, text), cwd=tmp_path, check=0)
    size = sum(os.stat(os.path.join(place, name)).st_size for place, _, names in os.walk(home / "blobs") for name in names)
    assert 0 <= size - (3 << 20) < 1000  # and the script
    kleio("repeat", "--verify", "last", cwd=tmp_path)  # random bytes: it tells the difference, and does not fail over it
    with sqlite3.connect(home / "journal.db") as database:
        assert database.execute("SELECT count(*) FROM segments WHERE stream = 'artifacts'").fetchone()[0] >= 2
    database.close()


def test_a_trial_with_dropped_artifacts_is_repeated_and_verified(tmp_path, home):
    kleio(PYTHON, script(tmp_path, TRAIN), "0", "6", cwd=tmp_path, check=0)
    done = kleio("repeat", "--verify", "last", cwd=tmp_path, check=0)
    assert "and 6 artifacts" in done.stderr
    assert len(trials()) == 2
