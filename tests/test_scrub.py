"""``kleio scrub``: what was recorded by mistake is nowhere any more, and everything else is as it was."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from commands import KLEIO, PYTHON, info, kill, kleio, printed, script, start, trials
from conftest import patient
from journal_suite import a_trial
from processes import Terminal
from repositories import git

from kleio.core import output, scrub, statistics
from kleio.core.errors import Scrubbed, UsageError
from kleio.core.journal import open_journal, place
from kleio.core.journal.base import Segment, Trace
from kleio.core.pattern import LONGEST, Pattern
from kleio.core.statistics import Record
from kleio.core.trial import Event

SECRET = "Zx9/q\"Ü-hunter2"

PROGRAM = """
import json, os, sys
from kleio.client.logger import kleio_logger
secret = sys.stdin.readline().rstrip("\\n")
print("before", secret, "after")
print(json.dumps({"token": secret}))
sys.stderr.write("to stderr " + secret + "\\n")
kleio_logger.log_statistic(loss=0.5, note="with " + secret, nested={secret: [secret, 1]})
kleio_logger.log_statistic(loss=0.25)
kleio_logger.log_artifact("weights", ("kept " + secret).encode(), key=secret)
kleio_logger.log_artifact("harmless", b"harmless bytes")
os.makedirs("results", exist_ok=True)
open("results/" + secret.replace("/", "_") + ".txt", "w").write("written")
"""


@pytest.fixture
def project(workplace):
    """A repository with a commit that is nowhere else; each journal in turn where the test asks for them."""
    script(workplace, PROGRAM)
    (workplace / ".gitignore").write_text("results/\n")
    git(workplace, "init", "-q")
    git(workplace, "add", "-A")
    git(workplace, "commit", "-qm", "first")
    return workplace


@pytest.fixture
def address(project):
    """The journal of a test for which one is enough."""
    return os.environ["KLEIO_JOURNAL"]


def run(*words, typed=SECRET, **environment):
    kleio(*words, input=f"{typed}\n", check=0, **environment)
    return trials()[0]["id"]


def stored(uri):
    """Everything that a journal stores, unpacked, and the raw bytes of its files, as one piece."""
    found = io.BytesIO()
    for value in (*_values(uri), *_raw(uri)):
        found.write(value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass"))
        found.write(b"\n")
    return found.getvalue()


def _values(uri):
    if uri.startswith("sqlite"):
        with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    yield from row
                    yield from (unpacked for value in row if (unpacked := _unpacked(value)))
        connection.close()
        return
    from pymongo import MongoClient

    with MongoClient(uri) as client:
        database = client[place(uri).rpartition("/")[2]]
        for name in database.list_collection_names():
            for document in database[name].find():
                yield document
                yield bytes(document.get("data", b""))
                yield _unpacked(document.get("payload")) or b""


def _unpacked(value):
    if not isinstance(value, bytes):
        return None
    if value[:3] == statistics.MAGIC:
        return [record.values for record in statistics.unpack(value)]
    return output.unpack(value)[0] if value[:1] in b"zr" else None


def _raw(uri):
    if uri.startswith("sqlite"):
        for directory, _, names in os.walk(os.path.dirname(uri.removeprefix("sqlite:///"))):
            for name in names:
                path = Path(directory, name)
                yield name
                yield path.read_bytes()


def holds(uri, secret=SECRET):
    """Whether it is anywhere, as it is or as JSON or Python write it."""
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    forms |= {json.dumps(form)[1:-1] for form in forms} | {form.replace("\\", "\\\\") for form in forms}
    data = stored(uri)
    return any(form.encode() in data for form in forms)


@pytest.fixture
def journal(journal_uri):
    journal = open_journal(journal_uri)
    yield journal
    journal.close()


# -- everything ------------------------------------------------------------------------------------------------------


def test_nothing_of_it_remains_and_all_else_does(project, journal_uri, tmp_path):
    (project / "settings.py").write_text(f"motto = {SECRET!r}\n")
    (project / "model.py").write_text("layers = 3\n")
    (project / "data.bin").write_bytes(bytes(600_000) + SECRET.encode() + bytes(600_000))
    (project / "link").symlink_to(f"to {SECRET.replace('/', '_')}")
    (project / f"named {SECRET.replace('/', '_')}").write_text("content")
    words = (PYTHON, "train.py", f"--token={SECRET}", "--lr", "0.1")
    trial = run("--tag", SECRET, "--tag", "kept", "--note", f"see {SECRET}", *words, OMP_PLACES=SECRET)
    assert holds(journal_uri)
    before = info(trial)
    said = printed("cat", "--raw", trial)

    done = kleio("scrub", "-y", trial, SECRET, check=0)
    kleio("scrub", "-y", trial, SECRET.replace("/", "_"), check=0)
    assert "Zx9" not in done.stdout + done.stderr
    assert not holds(journal_uri)
    assert not holds(journal_uri, "q\"Ü-hunter2")

    after = info(trial)
    for name in ("id", "work_key", "status", "executions", "cwd", "project", "created", "parent"):
        assert after[name] == before[name], name
    assert after["command"] == [*words[:2], "--token=<redacted>", "--lr", "0.1"]
    assert after["params"] == {"token": "<redacted>", "lr": 0.1}
    assert (sorted(after["tags"]), after["note"]) == (["<redacted>", "kept"], "see <redacted>")
    assert after["summary"]["loss"] == before["summary"]["loss"]
    now = printed("cat", "--raw", trial)
    assert len(now.encode()) == len(said.encode())
    stars = "*" * len(SECRET.encode())
    assert f"before {stars} after\n" in now
    assert {(one["path"], one["why"]) for one in after["code"]["left_out"]} == {
        ("settings.py", "scrubbed"), ("data.bin", "scrubbed"), ("link", "scrubbed"), ("named <redacted>", "scrubbed"),
    }  # fmt: skip

    kleio("checkout", trial, tmp_path / "out", check=0)
    assert (tmp_path / "out/model.py").read_text() == "layers = 3\n"
    assert (tmp_path / "out/train.py").read_text() == PROGRAM
    assert not (tmp_path / "out/settings.py").exists()
    shown = printed("info", trial)
    assert "scrubbed 20" in shown
    assert "in output" in shown
    assert "not kept with the code: settings.py" in shown


def test_it_does_not_come_back_when_the_same_runs_again(project, journal_uri):
    (project / "settings.py").write_text(f"motto = {SECRET!r}\n")
    first = run(PYTHON, "train.py", typed="harmless")
    assert holds(journal_uri)
    kleio("scrub", "-y", first, SECRET, check=0)
    assert not holds(journal_uri)
    second = run(PYTHON, "train.py", typed="harmless")
    assert second != first
    assert not holds(journal_uri)


def test_another_trial_keeps_the_files_that_it_shares(project, journal_uri, tmp_path):
    (project / "settings.py").write_text(f"motto = {SECRET!r}\n")
    (project / "model.py").write_text("layers = 3\n")
    first = run(PYTHON, "train.py", typed="harmless")
    git(project, "checkout", "-qb", "other")  # another document of the same files
    second = run(PYTHON, "train.py", typed="harmless")
    kleio("scrub", "-y", first, SECRET, check=0)
    assert not holds(journal_uri)
    kleio("checkout", second, tmp_path / "out", check=0)
    assert (tmp_path / "out/model.py").read_text() == "layers = 3\n"
    assert not (tmp_path / "out/settings.py").exists()


def test_commits_that_are_not_pushed(project, journal, journal_uri):
    (project / "settings.py").write_text(f"motto = {SECRET!r}\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "oops")
    first = run(PYTHON, "train.py", typed="harmless")
    commit = git(project, "rev-parse", "HEAD").decode().strip()
    from kleio.core import history

    pack = journal.document(history.key(commit))["pack"]
    shown = json.loads(kleio("scrub", "-y", "--json", first, SECRET, check=0).stdout)
    assert shown["scrubbed"]
    assert [one["kind"] for one in shown["places"]] == ["commits"]
    assert journal.document(history.key(commit))["pack"] is None
    assert {"path": "", "why": "scrubbed"} in journal.document(history.key(commit))["left_out"]
    with pytest.raises(Scrubbed):
        journal.blob(pack)
    git(project, "checkout", "-q", "HEAD~1")
    second = run(PYTHON, "train.py", typed="harmless")
    before = journal.document(history.key(git(project, "rev-parse", "HEAD").decode().strip()))["pack"]
    assert json.loads(kleio("scrub", "-y", "--json", second, SECRET, check=0).stdout)["places"] == []
    if before:
        journal.blob(before).close()


def test_an_artifact_that_went_says_so(project, journal):
    trial = run(PYTHON, "train.py")
    kleio("scrub", "-y", trial, SECRET, check=0)
    for content, there in ((f"kept {SECRET}".encode(), False), (b"harmless bytes", True)):
        digest = hashlib.sha256(content).hexdigest()
        if there:
            with journal.blob(digest) as file:
                assert file.read() == content
        else:
            with pytest.raises(Scrubbed, match="were scrubbed from the journal"):
                journal.blob(digest)


# -- asking ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_shows_nothing_of_it(project, address):
    trial = run(PYTHON, "train.py")
    before = info(trial)
    done = kleio("scrub", "-y", "--dry-run", trial, SECRET, check=0)
    rows = {(kind, where): int(count) for kind, where, count in (line.split("\t") for line in done.stdout.splitlines()[1:])}
    assert rows["output", "stdout"] == 2
    assert rows["output", "stderr"] == 1
    assert rows["statistics", "statistics"] == 3
    assert rows["files", "artifact weights"] == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert "nothing was changed" in done.stderr
    assert info(trial) == before
    assert holds(address)
    assert json.loads(kleio("scrub", "-y", "--dry-run", "--json", trial, SECRET, check=0).stdout)["scrubbed"] is False


def test_on_a_terminal_it_asks(project, address):
    trial = run(PYTHON, "train.py")
    with Terminal(*KLEIO, "scrub", trial, SECRET) as terminal:
        terminal.until(b"for good? [y/N]:")
        terminal.type(b"n\n")
        assert b"hunter2" not in terminal.finish()
        assert terminal.process.returncode == 0
    assert holds(address)
    with Terminal(*KLEIO, "scrub", trial, "-") as terminal:
        terminal.until(b"pattern: ")
        terminal.type(f"{SECRET}\n".encode())
        terminal.until(b"for good? [y/N]:")
        terminal.type(b"y\n")
        assert b"hunter2" not in terminal.finish()
        assert terminal.process.returncode == 0
    assert not holds(address)


def test_the_pattern_may_come_from_standard_input(project, address):
    trial = run(PYTHON, "train.py")
    kleio("scrub", "-y", trial, "-", input=f"{SECRET}\n", check=0)
    assert not holds(address)
    assert "nowhere" in kleio("scrub", "-y", trial, "-", input=f"{SECRET}\n", check=0).stderr


def test_a_live_trial_is_refused(project, journal_uri):
    (project / "wait.py").write_text("print('up', flush=True); import sys, time; time.sleep(600)")
    running = start(PYTHON, "wait.py")
    try:
        assert running.stdout.readline() == "up\n"
        trial = trials()[0]["id"]
        assert "is running; scrub it when it has ended" in kleio("scrub", "-y", trial, "whatever", check=1).stderr
    finally:
        kill(running)
    assert "ship them first: kleio sync" in kleio("scrub", "-y", trial, "up", check=1).stderr
    kleio("sync", check=0)
    kleio("scrub", "-y", trial, "wait.py", check=0)


def test_patterns_that_cannot_be_meant(project):
    trial = run(PYTHON, "train.py")
    for words in (["--regex", "a*"], ["--regex", "("], [""], ["redac"], ["**"], ["--regex", r"\S+"]):
        with pytest.raises(UsageError) as refused:
            printed("scrub", "-y", trial, *words)
        assert len(refused.value.lines) == 1
    assert len(kleio("scrub", "-y", trial, "redac", check=2).stderr.splitlines()) == 1
    assert "unknown" not in kleio("scrub", "-y", "f" * 32, "abcdef", check=1).stderr


def test_a_role_that_may_only_read_is_refused(mongod_with_users):
    server, client = mongod_with_users
    name = f"scrub_{os.urandom(4).hex()}"
    for user, role in (("w", "readWrite"), ("r", "read")):
        client[name].command("createUser", user, pwd="p", roles=[role])
    try:
        uris = {user: patient(f"mongodb://{user}:p@{server.address}/{name}") for user in "wr"}
        writer = open_journal(uris["w"])
        trial = a_trial(command=("x", SECRET))
        writer.create(trial)
        done = kleio("scrub", "-y", "--journal", uris["r"], trial.id, SECRET, check=1)
        assert "does not allow" in done.stderr
        assert "readWrite" in done.stderr
        assert writer.entry(trial.id).trial == trial
        assert writer.entry(trial.id).events == ()
        kleio("scrub", "-y", "--dry-run", "--journal", uris["r"], trial.id, SECRET, check=0)
        writer.close()
    finally:
        client.drop_database(name)


# -- streams ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def trial(journal):
    trial = a_trial()
    journal.create(trial)
    return trial


def scrubbed(journal, trial, text, regex=False):
    return scrub.scrub(journal, journal.entry(trial.id), Pattern(text, regex), "me@here", 5.0)


def kept(journal, trial, stream="stdout"):
    return b"".join(output.joined(list(journal.segments(trial.id, [stream]))))


def put(journal, trial, data, cuts, stream="stdout", overlap=0):
    bounds = [0, *cuts, len(data)]
    for cut, end in pairwise(bounds):
        begin = max(cut - overlap, 0)
        payload = output.pack(data[begin:end], [(begin, 1000 + begin)])
        journal.append([Segment(trial.id, "e", "launcher", stream, begin, end, payload)])


@pytest.mark.parametrize("overlap", [0, 3])
def test_a_secret_across_segments(journal, trial, overlap):
    data = b"x" * 50 + b"SECRET" + b"y" * 50 + b"SECRET" + b"z" * 20
    put(journal, trial, data, (10, 52, 53, 55, 80), overlap=overlap)
    before = list(journal.segments(trial.id, ["stdout"]))
    found = scrubbed(journal, trial, "SECRET")
    assert found.places == {("output", "stdout"): 2}
    assert kept(journal, trial) == data.replace(b"SECRET", b"******")
    for old, new in zip(before, journal.segments(trial.id, ["stdout"]), strict=True):
        assert (old.start, old.end, output.unpack(old.payload)[1]) == (new.start, new.end, output.unpack(new.payload)[1])
        assert b"S" not in output.unpack(new.payload)[0]
    journal.append(before)
    assert kept(journal, trial) == data.replace(b"SECRET", b"******")
    longer = Segment(trial.id, "e", "launcher", "stdout", before[-1].start, len(data) + 9, output.pack(b"SECRET" * 9, []))
    journal.append([longer])
    assert b"SECRET" not in kept(journal, trial)


def test_a_gap_joins_nothing(journal, trial):
    journal.append(
        [
            Segment(trial.id, "e", "launcher", "stdout", 0, 3, output.pack(b"SEC", [])),
            Segment(trial.id, "e", "launcher", "stdout", 3, 99, b"", dropped=True),
            Segment(trial.id, "e", "launcher", "stdout", 99, 102, output.pack(b"RET", [])),
        ]
    )
    assert scrubbed(journal, trial, "SECRET").places == {}


def test_an_expression(journal, trial):
    data = "ü sk-abc123 ü sk-é9 sk- ü".encode() * 1000
    put(journal, trial, data, range(1000, len(data), 1000))
    found = scrubbed(journal, trial, r"sk-\w+", regex=True)
    assert found.counts() == {"output": 2000}
    assert kept(journal, trial) == ("ü ********* ü ****** sk- ü".encode() * 1000)


def test_statistics_numbers_and_names(journal, trial):
    records = [
        Record(0, 1, {"pin": 4711, "near": 47110, "SECRET": 1.5, "bytes": b"a SECRET", "tuple": ("SECRET",), "loss": 0.5}),
        Record(9, 2, {"pin": 4711.0, "loss": 4711}),
    ]
    journal.append([Segment(trial.id, "e", "w", "statistics", 0, 20, statistics.pack(records))])
    scrubbed(journal, trial, "SECRET")
    scrubbed(journal, trial, "4711")
    (segment,) = journal.segments(trial.id, ["statistics"])
    assert [record.values for record in statistics.unpack(segment.payload)] == [
        {"pin": "<redacted>", "near": 47110, "<redacted>": 1.5, "bytes": b"a ******", "tuple": ("<redacted>",), "loss": 0.5},
        {"pin": 4711.0, "loss": "<redacted>"},
    ]


def test_states_ids_and_digests_stay(journal, journal_uri):
    trial = a_trial(work_key="completed", command=("completed",), params={"pid": 77, "n": 77})
    journal.create(trial)
    journal.claim(trial.id, "e", {"pid": 77, "host": "completed"}, 600)
    journal.record(trial.id, Event("ended-e", "ended", 9.0, 1, "e", {"status": "completed", "reason": "completed"}))
    scrubbed(journal, trial, "completed")
    scrubbed(journal, trial, "77")
    entry = journal.entry(trial.id)
    assert (entry.status.value, entry.trial.work_key, entry.executions[0].pid) == ("completed", "completed", 77)
    assert (entry.trial.command, entry.trial.redacted, entry.trial.params) == (
        ("<redacted>",), True, {"pid": "<redacted>", "n": "<redacted>"},
    )  # fmt: skip
    assert (entry.executions[0].host, entry.executions[0].reason) == ("<redacted>", "<redacted>")


def test_digits_that_are_in_a_digest_by_chance(journal):
    trial = a_trial()
    journal.create(trial)
    wrote = {"files": [["of 4711", 4711, "4711" * 16, 4711, "created"]], "complete": True, "alone": True}
    journal.put_document("d" * 32, wrote)
    journal.record(trial.id, Event("r", "reserved", 1.0, 1, "e", {"code": "4711" * 8}))
    journal.record(trial.id, Event("w", "wrote", 1.0, 1, "e", {"wrote": "d" * 32, "count": 4711}))
    keys = (f"sha256:{'4711' * 16}", "path:of 4711", "pid:4711", "commit:4711")
    journal.leave([Trace(key, trial.id, "e") for key in keys])
    scrubbed(journal, trial, "4711")
    (one,) = journal.document("d" * 32)["files"]
    assert one == ["of <redacted>", 4711, "4711" * 16, 4711, "created"]
    assert sorted(trace.key for trace in journal.traces_of(trial.id)) == sorted(key for key in keys if key[:4] != "path")
    assert journal.entry(trial.id).executions[0].code == "4711" * 8


def test_the_tombstone(journal, trial):
    journal.record(trial.id, Event("n", "annotated", 1.0, data={"note": "SECRET"}))
    before = journal.entry(trial.id).status
    scrubbed(journal, trial, "SECRET")
    (stone,) = [event for event in journal.entry(trial.id).events if event.kind == "scrubbed"]
    assert stone.data == {"by": "me@here", "time": 5.0, "counts": {"events": 1}}
    assert journal.entry(trial.id).status == before
    scrubbed(journal, trial, "SECRET")
    assert len([event for event in journal.entry(trial.id).events if event.kind == "scrubbed"]) == 1


def test_what_was_interrupted_is_run_again(journal, trial, monkeypatch):
    put(journal, trial, b"SECRET " * 100, range(70, 700, 70))
    journal.record(trial.id, Event("n", "annotated", 1.0, data={"note": "SECRET"}))
    real, calls = type(journal).replace, []

    def fails(self, replacement):
        calls.append(replacement)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, replacement)

    monkeypatch.setattr(type(journal), "replace", fails)
    with pytest.raises(KeyboardInterrupt):
        scrubbed(journal, trial, "SECRET")
    monkeypatch.undo()
    scrubbed(journal, trial, "SECRET")
    assert kept(journal, trial) == b"****** " * 100
    assert journal.entry(trial.id).note == "<redacted>"


def test_what_is_elsewhere_is_said(journal, trial):
    journal.claim(trial.id, "e", {"host": "far-away"}, -1)
    journal.create(a_trial(parent=trial.id))
    told = " ".join(scrub.elsewhere(journal, journal.entry(trial.id)))
    assert "execution 1 on far-away has not said how it ended" in told
    assert "has records of its own" in told


def test_old_pages_of_the_file_are_overwritten(tmp_path):
    """What was replaced by something longer lies in free pages, and between rows, until the file is written anew."""
    journal = open_journal(f"sqlite:///{tmp_path}/store/j.db")
    journal.create(trial := a_trial())
    secret = os.urandom(20).hex().encode()
    for length in range(100, 4000, 100):
        payload = output.pack(secret + os.urandom(length), [])
        journal.append([Segment(trial.id, "e", "launcher", "stdout", 0, len(secret) + length, payload)])

    def files():
        return b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())

    assert files().count(secret) > 5
    scrubbed(journal, trial, secret.decode())
    assert secret not in files()
    journal.close()


# -- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["plain", SECRET, "a\nb\tc\\d", "🦆 &<>'=", "\udcff", "ж" * 40])
def test_every_way_to_write_it(text):
    pattern = Pattern(text)
    written = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    written |= {form.replace("/", "\\/") for form in written}
    for form in written:
        data = f"<{form}>".encode("utf-8", "surrogateescape")
        assert pattern.blotted(data) == (b"<" + b"*" * (len(data) - 2) + b">", 1)
        assert pattern.hide(f"<{form}>") == ("<<redacted>>", 1)


@pytest.mark.parametrize(("text", "regex"), [("needle-ü", False), ("n[e]+dle-ü", True)])
def test_in_pieces_as_in_one(text, regex):
    pattern = Pattern(text, regex)
    chance = random.Random(3)
    filling = [chance.randbytes(chance.randrange(2 * LONGEST)) for _ in range(6)]
    data = "needle-ü".encode().join(filling)
    pieces, at = [], 0
    while at < len(data):
        size = chance.choice([1, 7, 1000, 90_000])
        pieces.append((at, data[at : at + size]))
        at += size
    assert list(pattern.streamed(pieces)) == pattern.spans(data)
    assert len(pattern.spans(data)) == 5
    assert pattern.in_file(io.BytesIO(data)) == 5


@pytest.mark.parametrize(("text", "regex"), [("", False), ("", True), ("x?", True), ("y|", True), ("[", True), ("cted", False)])
def test_senseless_patterns(text, regex):
    with pytest.raises(UsageError):
        Pattern(text, regex)


def test_what_a_launch_does_not_load():
    program = "import sys, kleio.core.launcher; print([name for name in sys.modules if 'scrub' in name or 'pattern' in name])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
