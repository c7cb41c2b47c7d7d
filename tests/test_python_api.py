"""Reading in Python: what runs left, as ``kleio.connect()`` gives it."""

from __future__ import annotations

import copy
import datetime
import doctest
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from commands import kleio as run_kleio
from commands import printed, read, script
from conftest import PATIENT, with_database
from recorded import Recorded

import kleio
from kleio.core import view
from kleio.core.errors import Damaged, JournalError, JournalUnreachable, UnknownTrial, UsageError
from kleio.core.journal import open_journal
from kleio.core.query_syntax import QueryError
from kleio.core.reading import html
from kleio.core.reading.source import Source
from kleio.core.trial import Event, Trial
from kleio.core.values import portable

ROOT = Path(__file__).parent.parent
TRAIN = """
import argparse, sys
from kleio.client.logger import kleio_logger
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
args = parser.parse_args()
for epoch in range(4):
    print(f"epoch {epoch}:  50%\\repoch {epoch}: 100%")
    kleio_logger.log_statistic(epoch=epoch, loss=args.lr / (epoch + 1))
    kleio_logger.log_artifact("weights.pt", f"weights of epoch {epoch}".encode(), epoch=epoch)
print("trained", file=sys.stderr)
"""


@pytest.fixture(scope="module", params=["sqlite", "mongo"])
def recorded(request, tmp_path_factory):
    """A journal with three runs, a branch of the first, and one that broke."""
    place = tmp_path_factory.mktemp("recorded")
    uri = f"sqlite:///{place}/home/journal.db"
    if request.param == "mongo":
        client = request.getfixturevalue("mongo_client")
        uri = with_database(request.getfixturevalue("mongod_uri"), f"kleio_test_{uuid4().hex[:12]}")
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    variables = {"KLEIO_HOME": place / "home", "HOME": place, "KLEIO_JOURNAL": uri, "PATH": path}
    variables |= {**PATIENT, "KLEIO_TIMEOUT": 60}
    project = place / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q", project], check=True)
    script(project, TRAIN)

    def run(*words, check=0):
        return run_kleio(*words, cwd=project, check=check)

    with pytest.MonkeyPatch.context() as patch:  # what is recorded for all has no home of its own yet
        for name in [name for name in os.environ if name.startswith("KLEIO_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, str(value))
        for lr in (0.1, 0.05, 0.2):
            run("--split", "--tag", "sweep", "--name", f"lr{lr}", "python", "train.py", "--lr", str(lr))
        run("python", "train.py", "--lr", "many", check=2)
        with kleio.connect(uri) as journal:
            first = journal.trials("params.lr == 0.1")[0].id
        run("branch", "--timestamp", "epoch=1", first, "--lr", "0.01")
    yield SimpleNamespace(uri=uri, home=place / "home", project=project, first=first)
    if request.param == "mongo":
        client.drop_database(uri.rpartition("/")[2].partition("?")[0])


@pytest.fixture
def journal(recorded, monkeypatch):
    monkeypatch.setenv("KLEIO_HOME", str(recorded.home))
    monkeypatch.setenv("KLEIO_JOURNAL", recorded.uri)
    monkeypatch.chdir(recorded.project)
    with kleio.connect() as opened:
        yield opened


@pytest.fixture
def trial(journal, recorded):
    return journal.trial(recorded.first)


# -- a trial ----------------------------------------------------------------------------------------------------------


def test_a_trial_says_what_its_document_says(journal, trial):
    opened = Source(journal._source.config)
    [document] = portable(view.documents(opened.journal, opened.entries([trial.id]), whole=True))
    opened.close()
    assert trial.document() == document == json.loads(json.dumps(trial.document()))
    times = ("created",)
    for key in set(document) - {"executions", "summary", *times}:
        value = getattr(trial, key)
        assert (list(value) if isinstance(value, tuple) else value) == document[key], key
    assert trial.created == moment(document["created"])
    assert trial.created.utcoffset() == datetime.timedelta(0)
    [execution] = trial.executions
    [told] = document["executions"]
    for key in set(told) - {"started", "ended", "exceptions"}:
        assert getattr(execution, key) == told[key], key
    assert (execution.started, execution.ended) == (moment(told["started"]), moment(told["ended"]))
    assert (trial.started, trial.ended) == (execution.started, execution.ended)
    assert execution.duration == (execution.ended - execution.started).total_seconds() > 0
    assert {key: dict(own) for key, own in trial.summary.items()} == document["summary"]
    assert (trial.summary["loss"].min, trial.summary["loss"].last, trial.summary["loss"].count) == (0.025, 0.025, 4)
    assert trial.summary["epoch"].mean == 1.5
    assert trial.param_sources == {"lr": "command line"}


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_what_ended_a_trial(journal):
    [broken] = journal.trials("status == 'broken'")
    assert [(one.exit_code, one.signal, one.status) for one in broken.executions] == [(2, None, "broken")]
    assert not broken.is_alive
    assert "many" in broken.output.text
    assert not broken.artifacts
    assert broken.summary == {}


def test_lineage_and_branches(journal, trial):
    [branch] = trial.branches
    assert branch.parent == trial.id
    assert branch.lineage == (trial, branch)
    assert trial.lineage == (trial,)
    assert (branch.cut["criterion"], branch.branches) == ("epoch=1", ())
    assert "cut" in repr(branch.document())


def test_trials_are_found_by_their_beginnings(journal, trial):
    assert journal.trial(trial.id[:9]) == trial == journal.trial(trial.id.upper())
    assert journal.trial("last") == journal.trials()[0]
    assert journal.trial("last") != trial
    assert len({trial, journal.trial(trial.id)}) == 1
    for wrong, said in (("zz", "no trial id"), ("", "no trial id"), ("0" * 32, "no trial has an id"), ("lr0.1", "is called")):
        with pytest.raises(UnknownTrial, match=said):
            journal.trial(wrong)


def test_a_trial_is_as_it_was_when_it_was_read(journal_uri):
    own = Trial("a" * 32, "b" * 32, "p", ("true",), ".", 1.7e9)
    writing = open_journal(journal_uri)
    writing.create(own)
    with kleio.connect() as journal:
        trial = journal.trial("aaa")
        assert (trial.status, trial.executions, trial.environment, trial.ended) == ("new", (), None, None)
        writing.claim(own.id, "e", {"host": "h", "pid": 1, "machine": "elsewhere"}, 600)
        assert trial.status == "new"
        now = trial.refresh()
        assert (now.status, now.is_alive, trial.is_alive, now == trial) == ("reserved", True, False, True)
        writing.record(own.id, Event("ended-e", "ended", 1.7e9 + 5, 1, "e", {"status": "broken", "signal": "SIGKILL"}))
        assert [(one.signal, one.exit_code) for one in trial.refresh().executions] == [("SIGKILL", None)]
        assert now.executions[0].duration is None
    writing.close()


def test_what_was_given_up_counts_when_it_is_asked_for(workplace):
    text = """
from kleio.client.logger import kleio_logger
kleio_logger.resume_from(None)
kleio_logger.log_statistic(n=kleio_logger.execution)
kleio_logger.log_artifact("ck", b"1")
raise SystemExit(kleio_logger.execution < 2)
"""
    for check in (1, 0):
        run_kleio(sys.executable, script(workplace, text), check=check)
    with kleio.connect() as journal:
        for all_executions, counted in ((False, [2]), (True, [1, 2])):
            one = journal.trial("last", all_executions=all_executions)
            several = journal.trials("status == 'completed'", all_executions=all_executions)
            for trial in (one, one.refresh(), one.lineage[0], several[:1][0], several.where("executions == 2")[0]):
                assert trial.summary["n"].count == len(counted)
                assert trial.statistics.column("n") == counted
                assert len(trial.artifacts) == len(counted)
                assert trial.document()["summary"]["n"]["count"] == len(counted)
            assert list(several.to_pandas()["summary.n.count"]) == [len(counted)]
            assert several.statistics.column("n") == counted
        assert one.duration == pytest.approx(sum(each.duration for each in one.executions), abs=1e-4)


# -- what was printed -------------------------------------------------------------------------------------------------


def test_output_as_cat_shows_it(trial):
    lines = [f"epoch {epoch}: 100%" for epoch in range(4)]
    assert list(trial.stdout) == trial.stdout.lines == lines
    assert trial.stdout.text == str(trial.stdout) == printed("cat", trial.id)
    assert trial.stdout.bytes == "".join(f"{line[:9]} 50%\r{line}\n" for line in lines).encode()
    assert trial.stderr.text == "trained\n"
    assert trial.output.lines == [*lines, "trained"]


def test_a_branch_has_printed_what_it_inherits(trial):
    [branch] = trial.branches
    assert branch.stdout.lines[0] == "epoch 0: 100%"


def test_lines_whatever_they_end_in(journal_uri):
    pieces = [b"one\r\ntw", b"o\n\nthr\xffee\xe2\x80", b"\xa8 four\x0b\n", b"last"]
    own = printing(journal_uri, *pieces)
    with kleio.connect() as journal:
        output = journal.trial(own).stdout
        assert output.lines == ["one", "two", "", "thr\N{REPLACEMENT CHARACTER}ee\u2028 four\x0b", "last"]
        assert output.bytes == b"".join(pieces)
        assert bool(output)
        assert not journal.trial(own).stderr


def printing(uri, *pieces):
    """The id of a trial that printed these, each in a segment of its own."""
    from kleio.core import output
    from kleio.core.journal.base import Segment

    writing = open_journal(uri)
    own = Trial("c" * 32, "b" * 32, "p", ("true",), ".", 1.7e9)
    writing.create(own)
    writing.claim(own.id, "e", {}, 600)
    at = 0
    for piece in pieces:
        segment = Segment(own.id, "e", "launcher", "output", at, at + len(piece), output.pack(piece, [(at, 1)]))
        writing.append([segment])
        at += len(piece)
    writing.close()
    return own.id


# -- artifacts --------------------------------------------------------------------------------------------------------


def test_artifacts_are_chosen_by_name_and_values(trial):
    assert [one.meta["epoch"] for one in trial.artifacts] == [0, 1, 2, 3]
    assert [one.name for one in trial.artifacts[1:3]] == ["weights.pt"] * 2
    [one] = trial.artifacts("weights.pt", epoch=2)
    assert (one.size, one.execution) == (18, trial.executions[0].id)
    assert trial.created < one.time < trial.ended
    assert one in trial.artifacts("w*.p?")
    assert not trial.artifacts("weights")
    assert not trial.artifacts(epoch="2")
    assert not trial.artifacts(lr=None)
    assert len(trial.artifacts(epoch=2)("*.pt")) == 1
    [branch] = trial.branches
    assert branch.artifacts("weights.pt", epoch=0)[0].execution == trial.executions[0].id


def test_their_bytes(trial, tmp_path):
    [one] = trial.artifacts(epoch=2)
    assert one.read() == b"weights of epoch 2"
    with one.open() as file:
        assert file.read(7) == b"weights"
        assert file.seek(-1, os.SEEK_END) == 17
        assert file.read() == b"2"
        assert file.seek(0) == 0
        assert list(file) == [b"weights of epoch 2"]
    told = []
    one.save(tmp_path / "w", lambda *said: told.append(said))
    assert (tmp_path / "w").read_bytes() == b"weights of epoch 2"
    assert told == [(0, 18), (18, 18)]


def logging(uri, name, content):
    """A trial that logged an artifact, and a function that damages its bytes."""
    import hashlib

    from kleio.core import statistics
    from kleio.core.journal.base import Segment

    writing = open_journal(uri)
    own = Trial("d" * 32, "b" * 32, "p", ("true",), ".", 1.7e9)
    writing.create(own)
    writing.claim(own.id, "e", {}, 600)
    digest = hashlib.sha256(content).hexdigest()
    Path("blob").write_bytes(content)
    writing.put_blob(digest, "blob")
    record = statistics.Record(0, 1, {"name": name, "sha256": digest, "size": len(content), "meta": {}})
    writing.append([Segment(own.id, "e", "w", "artifacts", 0, 10, statistics.pack([record]))])

    def damage(client, changed=lambda data: data[:-1] + b"!"):
        if uri.startswith("sqlite"):
            path = Path(writing.directory, "blobs", digest[:2], digest)
            path.write_bytes(changed(content))
        else:
            chunks = client[uri.rpartition("/")[2].partition("?")[0]]["blobs.chunks"]
            last = chunks.find_one(sort=[("n", -1)])
            chunks.update_one({"_id": last["_id"]}, {"$set": {"data": changed(bytes(last["data"]))}})

    writing.close()
    return own.id, damage


def test_damaged_bytes_are_never_taken_for_whole(journal_uri, workplace, mongo_client):
    content = b"x" * 3_000_000
    trial, damage = logging(journal_uri, "big.npy", content)
    with kleio.connect() as journal:
        [artifact] = journal.trial(trial).artifacts
        assert artifact.read() == content
        damage(mongo_client)
        with artifact.open() as file:
            assert file.read(10) == b"x" * 10  # the end has not been seen
            assert file.seek(10) == file.tell() == 10
            for _ in range(2):
                with pytest.raises(Damaged, match=r"artifact 'big\.npy' are damaged in the journal .* sha256"):
                    file.read()
        with artifact.open() as file, pytest.raises(Damaged):
            file.read(len(content))  # who knows how much there is looks for no end
        with artifact.open() as file, pytest.raises(Damaged):
            file.seek(0, os.SEEK_END)
        with artifact.open() as file, pytest.raises(Damaged):
            zipfile.is_zipfile(file)
        (workplace / "kept").write_text("before")
        with pytest.raises(Damaged):
            artifact.save("kept")
        assert (workplace / "kept").read_text() == "before"
        assert sorted(os.listdir(workplace)) in (["blob", "kept"], ["kept"])


@pytest.mark.parametrize("changed", [lambda data: data + b"x", lambda data: data[:-1], lambda data: b""])
def test_too_many_bytes_and_too_few(home, tmp_path, monkeypatch, changed):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{home}/journal.db"
    content = b"x" * (1 << 20)  # just as much as is read at once
    trial, damage = logging(uri, "big.npy", content)
    with kleio.connect(uri) as journal:
        [artifact] = journal.trial(trial).artifacts
        assert artifact.read() == content
        damage(None, changed)
        with artifact.open() as file, pytest.raises(Damaged):
            file.read(len(content))
        with artifact.open() as file, pytest.raises(Damaged):
            file.seek(5)


def test_nothing_is_an_artifact_as_well(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial, _ = logging(f"sqlite:///{home}/journal.db", "empty", b"")
    with kleio.connect(f"sqlite:///{home}/journal.db") as journal:
        [artifact] = journal.trial(trial).artifacts
        assert artifact.read() == b""
        artifact.save("there")
    assert Path("there").read_bytes() == b""


def test_bytes_that_are_not_there(journal_uri, workplace):
    trial, _ = logging(journal_uri, "big.npy", b"x")
    with kleio.connect() as journal:
        [artifact] = journal.trial(trial).artifacts
        writing = open_journal(journal_uri)
        assert writing.release(artifact.sha256, lambda: False)
        with pytest.raises(JournalError, match=r"'big\.npy'.*not in the journal"):
            artifact.open()
        writing.delete_blob(artifact.sha256)
        writing.close()
        with pytest.raises(JournalError, match="scrubbed"):
            artifact.save("there")
        assert not Path("there").exists()


def test_checkout(trial, tmp_path):
    found = trial.checkout(tmp_path / "there")
    assert (tmp_path / "there" / "train.py").read_text() == TRAIN
    assert (found.directory, found.inexact) == (str(tmp_path / "there"), ())


# -- many trials ------------------------------------------------------------------------------------------------------


def test_trials_are_those_that_ls_lists(journal):
    query, sort = "params.lr > 0.02 and 'sweep' in tags", "-summary.loss.min"
    listed = read("ls", "-a", "--json", "--where", query, f"--sort={sort}", "-n", "2")
    assert [one.id for one in journal.trials(query, sort, 2)] == [one["id"] for one in listed]
    assert [one["params"]["lr"] for one in listed] == [0.2, 0.1]
    assert len(journal.trials()) == 5
    assert journal.trials().ids == tuple(one.id for one in journal.trials([], ["-created"]))
    assert [one.params["lr"] for one in journal.trials(query, ["status", "params.lr"])] == [0.05, 0.1, 0.2]
    assert len(journal.trials([query, "params.lr < 0.15"])) == 2
    project = journal.trials()[0].project
    assert (len(journal.trials(project=project)), len(journal.trials(project="another"))) == (5, 0)
    assert journal.statuses() == {"broken": 1, "completed": 4}


def test_what_cannot_be_meant(journal):
    with pytest.raises(QueryError, match=r"params.lr >\n"):
        journal.trials("params.lr >")
    with pytest.raises(UsageError, match="did you mean status"):
        journal.trials("stauts == 'new'")
    with pytest.raises(QueryError, match="did you mean"):
        journal.trials(sort="-creatd")
    with pytest.raises(ValueError, match="less than none"):
        journal.trials(limit=-1)
    with pytest.raises(QueryError):
        journal.trials().where("lr ==")


BATCH = 20


@pytest.fixture
def many(journal_uri, monkeypatch):
    """A journal with 50 trials, two and a half batches, the newest first."""
    monkeypatch.setattr("kleio.core.reading.trials.BATCH", BATCH)
    writing = open_journal(journal_uri)
    ids = [f"{number:032x}" for number in range(50)]
    for number, one in enumerate(ids):
        writing.create(Trial(one, "b" * 32, "p", ("true",), ".", 1.7e9 - number, {"n": number}))
    writing.close()
    return ids


def test_a_sequence_like_any_other(many):
    with kleio.connect() as journal:
        for trials in (journal.trials(), journal.trials(limit=len(many)), journal.trials()[:]):
            assert len(trials) == len(many)
            assert [one.id for one in trials] == many
            assert [one.id for one in reversed(trials)] == many[::-1]
            assert trials[7].id == many[7]
            assert trials[-1].id == many[-1]
            assert trials[-1] in trials
            assert trials.index(trials[33]) == trials.index(many[33]) == 33
            assert trials.count(trials[3]) == 1
        for at in (slice(3), slice(5, 9), slice(None, None, 2), slice(-3, None), slice(9, 5), slice(45, 80), slice(0),
                   slice(None, None, -1), slice(2, None), slice(1, -1)):  # fmt: skip
            for wanted, choose in ((many, journal.trials), (many[:40], lambda: journal.trials(limit=40)),
                                   (many[1:44], lambda: journal.trials()[1:44])):  # fmt: skip
                found = choose()
                assert list(found[at].ids) == wanted[at]
                assert list(choose()[at][1:3].ids) == wanted[at][1:3]  # nobody knew yet which they are
                assert list(found.ids) == wanted
                assert list(found[at].ids) == wanted[at]
        assert not journal.trials(limit=0)
        assert not journal.trials("params.n < 0")
        with pytest.raises(IndexError, match="none at 50"):
            journal.trials()[50]
        with pytest.raises(IndexError):
            journal.trials()[-51]
        assert "nothing" not in journal.trials()


def test_narrowing_keeps_order_and_choice(many):
    with kleio.connect() as journal:
        by_n = journal.trials("params.n > 20", sort="-params.n")
        assert [one.params["n"] for one in by_n.where("params.n < 25")] == [24, 23, 22, 21]
        assert [one.params["n"] for one in by_n[:5].where("params.n != 48")] == [49, 47, 46, 45]
        assert len(by_n[3:9].where("params.n < 25")) == 0
        listed = by_n[::10]
        assert [one.params["n"] for one in listed.where("params.n > 30")] == [49, 39]


def test_what_is_read_is_read_once_and_in_batches(many, monkeypatch):
    with kleio.connect() as journal:
        opened = journal._source.journal
        read = []
        monkeypatch.setattr(type(opened), "entries", counting(type(opened).entries, read))
        trials = journal.trials(sort="params.n")
        read.clear()  # nothing is indexed, so trials were looked at until one had the parameter
        assert len(trials) == len(many)
        read.clear()  # none of them is indexed, and so each was looked at
        iterator = iter(trials)
        next(iterator)
        assert read == [BATCH]
        assert [trials[number].id for number in range(BATCH)] == many[:BATCH]
        assert read == [BATCH, BATCH]
        list(iterator)
        assert sum(read[2:]) == len(many) - BATCH


def counting(method, read):
    def call(self, *given):
        found = method(self, *given)
        read.append(len(found))
        return found

    return call


def test_summaries_are_read_together(journal, monkeypatch):
    opened = journal._source.journal
    asked = []
    whole = type(opened).summaries
    monkeypatch.setattr(type(opened), "summaries", lambda self, ids: asked.append(len(ids)) or whole(self, ids))
    assert len([one.summary for one in journal.trials()]) == 5
    assert asked == [5]


def test_a_table_of_pandas(journal):
    frame = journal.trials(sort="created").to_pandas()
    assert list(frame["status"]) == ["completed"] * 3 + ["broken", "completed"]
    assert str(frame["created"].dtype) == "datetime64[us, UTC]"
    assert str(frame["exit_code"].dtype) == "int64"
    assert str(frame["summary.epoch.last"].dtype) == "Int64"
    assert frame["summary.epoch.last"].isna().tolist() == [False] * 3 + [True, False]
    assert frame["summary.loss.min"].tolist()[:3] == [0.025, 0.0125, 0.05]
    assert str(frame["duration"].dtype) == "float64"
    assert list(frame["params.lr"]) == [0.1, 0.05, 0.2, "many", 0.01]
    assert frame["tags"][0] == ["sweep"]
    assert frame["name"][4] is None
    assert frame["created"][0] == journal.trials()[-1].created
    assert str(frame["code.dirty"].dtype) == "bool"
    nothing = journal.trials("params.lr == 7").to_pandas()
    assert len(nothing) == 0
    assert str(nothing["created"].dtype) == "datetime64[us, UTC]"


def test_pandas_is_asked_for_by_its_extra(journal, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(kleio.core.errors.KleioError, match=re.escape("pip install 'kleio[pandas]'")):
        journal.trials().to_pandas()


# -- read only --------------------------------------------------------------------------------------------------------


def test_nothing_can_be_set(journal, trial):
    for one, name in ((journal, "uri"), (trial, "params"), (trial, "new"), (trial.artifacts[0], "name"),
                      (journal.trials(), "ids"), (trial.stdout, "text")):  # fmt: skip
        with pytest.raises(AttributeError, match="read only"):
            setattr(one, name, 1)
    with pytest.raises(AttributeError):
        del trial.status
    with pytest.raises(AttributeError):
        trial.executions[0].exit_code = 0
    for own in (trial.params, trial.code, trial.environment["python"], trial.summary, trial.summary["loss"]):
        with pytest.raises(TypeError, match="read only"):
            own["new"] = 1
        with pytest.raises(TypeError, match="read only"):
            own.update(new=1)
        with pytest.raises(TypeError, match="read only"):
            own.clear()
        assert json.loads(json.dumps(own)) == own
        assert type(copy.deepcopy(own)) is dict
        assert pickle.loads(pickle.dumps(own)) == own
    document = trial.document()
    document["params"]["lr"] = 3
    trial.code["changes"]["train.py"].clear()
    assert (trial.params, trial.document()["params"]) == ({"lr": 0.1}, {"lr": 0.1})
    assert trial.code["changes"]["train.py"]


def test_a_journal_that_may_only_be_read(home):
    """The roles of a server are tested with its journal."""
    printing(f"sqlite:///{home}/journal.db", b"x")
    os.chmod(home / "journal.db", 0o400)
    before = {name: (home / name).stat().st_mtime_ns for name in os.listdir(home)}
    with kleio.connect() as journal:
        assert journal.trials()[0].stdout.text == "x"
    assert {name: (home / name).stat().st_mtime_ns for name in before} == before


# -- opening and closing ----------------------------------------------------------------------------------------------


def test_closed_is_closed(recorded):
    with kleio.connect(recorded.uri) as journal:
        trial = journal.trials()[0]
        trials = journal.trials()
    assert trial.params
    for reading in (journal.trials, lambda: trial.summary, lambda: len(trials), lambda: journal.trial("last")):
        with pytest.raises(JournalError, match="has been closed"):
            reading()
    journal.close()


def test_no_journal_yet(journal_uri):
    with kleio.connect() as journal:
        assert list(journal.trials()) == []
        assert repr(journal.trials()[:3])
        assert "no trials" in journal._repr_html_()
        with pytest.raises(UnknownTrial, match="is empty"):
            journal.trial("last")
        if journal_uri.startswith("sqlite"):
            assert journal.absent
        own = printing(journal_uri, b"made since")
        assert [one.id for one in journal.trials()] == [own]
        assert not journal.absent


def test_addresses_that_are_none(home, tmp_path):
    with pytest.raises(JournalError, match="is not one kleio knows"):
        kleio.connect("postgres://here")
    with pytest.raises(JournalUnreachable):
        kleio.connect("mongodb://127.0.0.1:9/kleio?serverSelectionTimeoutMS=100").trials()[:1].ids  # noqa: B018
    (tmp_path / "text").write_text("no database, but a text that is long enough to be taken for one by whoever asks")
    with pytest.raises(JournalError, match="text"):
        kleio.connect(f"sqlite:///{tmp_path}/text")


def test_the_address_stays_whatever_becomes_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printing("sqlite:///here.db", b"x")
    with kleio.connect("sqlite:///here.db") as journal:
        monkeypatch.chdir("/")
        assert journal.uri == f"sqlite:///{tmp_path}/here.db"
        assert in_a_child(lambda: journal.trials()[0].stdout.text) == "x"


def in_a_child(work):
    """What ``work`` gives in a process that was forked off, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_connection_does_not_cross_a_fork(journal, trial):
    trials = journal.trials()
    assert trials[0] == journal.trial("last")
    mine = journal._source.journal
    assert in_a_child(lambda: journal._source.journal is mine) == "False"
    assert in_a_child(lambda: (trial.summary["loss"].min, trials[2].stdout.lines[-1], len(trials))) == str(
        (0.025, trials[2].stdout.lines[-1], 5)
    )
    assert in_a_child(journal.close) == "None"
    assert journal._source.journal is mine
    assert len(trial.artifacts) == 4


def test_threads_read_together(journal, trial):
    said, failed = [], []

    def read():
        try:
            said.extend((one.short_id, len(one.stdout.bytes), dict(one.summary), [own.read() for own in one.artifacts])
                        for one in journal.trials())  # fmt: skip
        except Exception as error:  # noqa: BLE001 - to be seen by the test
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    assert len(said) == 20
    assert len({json.dumps(one[:3]) for one in said}) == 5


def test_connections_are_not_for_pickle(trial):
    with pytest.raises(TypeError, match="give them ids"):
        pickle.dumps(trial)
    assert copy.deepcopy(trial) is trial


def test_what_reading_loads():
    code = "import kleio; kleio.connect().trials(limit=20).ids; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])})  # fmt: skip
    assert not set(loaded.stdout.split()) & {"numpy", "pandas", "pymongo", "click", "rich", "platformdirs", "matplotlib"}


# -- in notebooks -----------------------------------------------------------------------------------------------------

HOSTILE = "<script>alert('&')</script>\x1b[31m\ud800" + "x" * 1000


def test_tables_escape_cut_and_count():
    made = html.table([f"h{n}<b>" for n in range(500)], [[HOSTILE] * 500] * 100, rest=7)
    assert "<script" not in made
    assert "<b>" not in made
    assert "\x1b" not in made
    made.encode()
    assert "77 more rows and 460 more columns" in made
    assert made.count("<tr>") == 1 + html.MOST_ROWS
    assert "x" * 200 in made  # in the tooltip
    assert 'title="&lt;script&gt;alert(&#x27;&amp;' in made


def test_trials_as_html(journal_uri):
    writing = open_journal(journal_uri)
    for number in range(40):
        params = {"lr": number, "same": 1, HOSTILE.replace("\ud800", ""): HOSTILE.replace("\ud800", "") * 3}
        own = Trial(f"{number:032x}", "b" * 32, "<p>", ("echo", "<script>"), ".", 1.7e9 + number, params)
        writing.create(own)
    writing.close()
    with kleio.connect() as journal:
        for made in (journal._repr_html_(), journal.trials()._repr_html_(), journal.trials()[0]._repr_html_()):
            assert "<script" not in made
            assert "<table>" in made
            assert "&lt;script&gt;" in made
        made = journal.trials()._repr_html_()
        assert "10 more rows" in made
        assert ">lr<" in made
        assert ">same<" not in made  # only what differs
        assert "2023-11-14 22:13:59 UTC" in made
        assert len(repr(journal.trials()[0])) < 120


@pytest.mark.parametrize("recorded", ["sqlite"], indirect=True)
def test_in_a_notebook(journal, recorded):
    import nbclient
    import nbformat

    cells = ["import kleio; journal = kleio.connect(); journal", "journal.trials(sort='created')", "journal.trial('last')",
             "journal.trials()[0].artifacts"]  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    at = {"metadata": {"path": str(recorded.project)}}
    nbclient.NotebookClient(notebook, timeout=600, startup_timeout=600, kernel_name="python3", resources=at).execute()
    for cell in notebook.cells:
        [output] = cell.outputs
        assert "<table>" in output["data"]["text/html"]
        assert output["data"]["text/plain"].startswith("<")
    assert "completed" in notebook.cells[1].outputs[0]["data"]["text/html"]


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", ["sqlite"], indirect=True)
def test_the_examples_of_the_page(recorded, journal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, "reading.md", "docs/reading.md", 0)
    said = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
    assert len(test.examples) > 20


def test_what_is_of_no_type_that_can_be_meant_is_said(tmp_path, journal_uri):
    made = Recorded(journal_uri, tmp_path)
    trial = made.trial([{"a\x1b[2J": 1}])
    made.close()
    with pytest.raises(TypeError, match="address is a text"):
        kleio.connect(5)
    with kleio.connect(journal_uri) as journal:
        for wrong, said in (
            (lambda: journal.trial(None), "is a text"), (lambda: journal.trial(0), "is a text"),
            (lambda: journal.trials(where=1), "where and sort"), (lambda: journal.trials(limit=1.5), "limit is a whole number"),
            (lambda: journal.trial(trial).statistics[[]], "at least one"),
        ):  # fmt: skip
            with pytest.raises(TypeError, match=said):
                wrong()
        assert repr(journal.trial(trial).statistics) == r"<Statistics: 1 row of 'a\x1b[2J'>"
