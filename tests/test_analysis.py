"""``kleio_logger.analysis``: statistics computed later, attached to another trial at its own times, with their author."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import subprocess
import time

import pytest
from commands import PYTHON, info, kleio, printed, script, start, trials, until

from kleio.client.analysis import _nanoseconds
from kleio.client.loaded import LoggedArtifact, Statistic
from kleio.core import analyses
from kleio.core.errors import JournalUnreachable
from kleio.core.journal import open_journal
from kleio.core.shipping import Shipper
from kleio.core.spool import Spool, Writer
from kleio.core.streams import SEALED, Source
from kleio.core.trial import Trial

IMPORT = "import sys, json\nfrom kleio.client.logger import kleio_logger as k\n"
TRAIN = """
for epoch in range(4):
    k.log_statistic(epoch=epoch, loss=1.0 / (epoch + 1))
    k.log_artifact("weights", b"%d" % epoch, epoch=epoch)
"""
EVALUATE = """
a = k.analysis(sys.argv[1])
for one in a.load_artifacts("weights"):
    a.log_statistic(at=one, accuracy=0.5 + int(one.open().read()) / 10, epoch=one.meta["epoch"])
"""


def run(tmp_path, text, *words, check=0, name="train.py", options=(), **environment):
    """Run a script; the newest trial's id and what the run printed and said."""
    path = script(tmp_path, IMPORT + text, name)
    done = kleio(*options, PYTHON, path, *words, cwd=tmp_path, check=check, **environment)
    return trials()[0]["id"], done


@pytest.fixture
def trained(tmp_path, journal_uri):
    return run(tmp_path, TRAIN, "--lr", "0.1")[0]


def said(journal_uri, trial):
    """(time, values, author) of all that was said of a trial."""
    journal = open_journal(journal_uri, writing=False)
    try:
        found = analyses.of(journal, journal.entry(trial).trial)
        return sorted(((one.time, dict(one.values), by) for one, by in found), key=lambda one: one[0])
    finally:
        journal.close()


def test_checkpoints_are_evaluated_later(trained, tmp_path, journal_uri):
    author, done = run(tmp_path, EVALUATE + "print(a.id, json.dumps(a.params))", trained[:9], name="evaluate.py")
    assert done.stdout == f'{trained} {{"lr": 0.1}}\n'
    by = {"user": getpass.getuser(), "trial": author, "execution": info(author)["executions"][0]["id"]}
    summary = info(trained)["summary"]
    assert summary["accuracy"] == {"last": 0.8, "min": 0.5, "max": 0.8, "mean": 0.65, "count": 4}
    assert summary["epoch"]["count"] == 8
    assert "accuracy" not in info(author)["summary"]
    assert [one["id"] for one in trials()] == [author, trained]
    shown = printed("info", trained)
    assert "analyses\n" in shown
    assert f"{author[:7]}  by {getpass.getuser()}: accuracy (4), epoch (4)" in shown
    assert "analyses" not in printed("info", author)
    text = """
a = k.analysis(sys.argv[1])
both = zip(a.load_statistic("accuracy"), a.load_artifacts("weights"))
print(json.dumps([[one, one.author, one.time == at.time] for one, at in both]))
losses = a.load_statistic("loss")
print(len(a.load_statistic()), len(losses), losses[0].author, len(a.load_statistic(epoch=2)))
"""
    _, done = run(tmp_path, text, trained, name="read.py")
    first, second = done.stdout.splitlines()
    wanted = [[{"accuracy": 0.5 + n / 10, "epoch": n}, by, True] for n in range(4)]
    assert json.loads(first) == wanted
    assert second == "8 4 None 2"
    assert [one for _, one, _ in said(journal_uri, trained)] == [one[0] for one in wanted]


def test_the_trial_itself_finds_it_when_it_goes_on(tmp_path, journal_uri):
    text = "found = k.load_statistic('score')\nprint([[dict(one), one.author['user']] for one in found])\nsys.exit(not found)"
    other = script(tmp_path, IMPORT + "k.analysis(sys.argv[1]).log_statistic(score=3, deep={'a': 1})", "score.py")
    trial, done = run(tmp_path, text, check=1)
    assert done.stdout == "[]\n"
    kleio(PYTHON, other, trial, cwd=tmp_path, check=0)
    again, done = run(tmp_path, text)
    assert (done.stdout, again) == (f"[[{{'score': 3, 'deep': {{'a': 1}}}}, '{getpass.getuser()}']]\n", trials()[0]["id"])
    assert len(info(trial)["executions"]) == 2
    assert info(trial)["summary"]["deep/a"]["count"] == 1


def test_what_was_just_said_is_read_and_flushed(trained, tmp_path, journal_uri):
    text = """
a, again = k.analysis(sys.argv[1]), k.analysis(sys.argv[1])
k.log_statistic(own=1)
a.log_statistic(at=a.load_statistic(epoch=1)[0], x=1)
print([(dict(one), one.author["trial"] == sys.argv[1]) for one in again.load_statistic("x")], again.load_statistic("own"))
assert k.flush()
print(len(again.load_statistic("x")), k.load_statistic("x"), len(k.load_statistic("own")))
"""
    _, done = run(tmp_path, text, trained, name="a.py")
    assert done.stdout == "[({'x': 1}, False)] []\n1 [] 1\n"
    assert len(said(journal_uri, trained)) == 1


def test_unknown_and_ambiguous_ids_are_one_clear_error(trained, tmp_path, journal_uri):
    journal = open_journal(journal_uri)
    for last in "ab":
        journal.create(Trial(f"{'f' * 31}{last}", "w", "p", ("x",), ".", 1.0))
    journal.close()
    text = """
from kleio.core.errors import KleioError
for which in ("0000000", "f" * 31, "no id", ""):
    try:
        k.analysis(which)
    except KleioError as error:
        print(error)
"""
    _, done = run(tmp_path, text, name="a.py")
    unknown, ambiguous, wrong, empty = done.stdout.splitlines()
    assert "no trial has an id that begins with 0000000" in unknown
    assert "ambiguous" in ambiguous
    assert "'no id' is no trial id" in wrong
    assert "'' is no trial id" in empty
    done = kleio("--offline", PYTHON, tmp_path / "a.py", cwd=tmp_path, check=0)
    assert set(done.stdout.splitlines()) == {"this run is offline, and other trials are in the journal"}


def test_what_cannot_be_said_is_said_once_and_stops_only_the_strict(trained, tmp_path):
    text = "a = k.analysis(sys.argv[1])\na.log_statistic(at=10**18, x=1)\na.log_statistic(x=object())\na.log_statistic(x=2)\n"
    _, done = run(tmp_path, text, trained, name="a.py")
    assert done.stderr.count("no time in seconds since the epoch") == 1
    assert done.stderr.count("cannot be logged") == 1
    assert info(trained)["summary"]["x"]["count"] == 1
    raising = "try:\n    k.analysis(sys.argv[1]).log_statistic(at=-1, x=3)\nexcept ValueError as error:\n    print(error)"
    _, done = run(tmp_path, raising, trained, name="b.py", KLEIO_STRICT="1")
    assert "no time" in done.stdout
    assert info(trained)["summary"]["x"]["count"] == 1


def test_in_an_experiment(trained, tmp_path, journal_uri):
    text = "from kleio.client import Experiment\n"
    text += "with Experiment({'k': 1}) as e:\n    e.analysis(sys.argv[1]).log_statistic(at=1.0, x=1)\n"
    subprocess.run([PYTHON, script(tmp_path, IMPORT + text, "e.py"), trained], cwd=tmp_path, check=True)
    ((_, values, author),) = until(lambda: said(journal_uri, trained))
    assert (values, info(author["trial"])["params"]) == ({"x": 1}, {"k": 1})


def test_without_kleio_it_is_printed(tmp_path):
    text = "a = k.analysis('3f2a91c')\na.log_statistic(at=1.0, x=1)\n"
    text += "print(a.id, a.params, a.load_statistic(), a.load_artifacts('x'))"
    path = script(tmp_path, IMPORT + text)
    done = subprocess.run([PYTHON, path], capture_output=True, text=True, check=True)
    assert done.stdout == "3f2a91c {} [] []\n"
    told, printed = done.stderr.splitlines()
    assert told == "kleio: nothing is read of other trials without kleio: put kleio before the command, as in kleio python …"
    assert printed == 'kleio_logger: {"x":1}'


def test_last_is_the_newest_other_trial_of_the_project(trained, tmp_path):
    text = "try: a = k.analysis('last'); a.log_statistic(x=1); print(a.id)\nexcept Exception as error: print(error)\n"
    _, done = run(tmp_path, text, name="a.py")
    assert done.stdout == f"{trained}\n"
    assert info(trained)["summary"]["x"]["count"] == 1
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".git").mkdir()
    _, done = run(elsewhere, text, name="b.py")
    assert done.stdout.startswith("there is no other trial in the project ")


def test_times():
    artifact = LoggedArtifact(None, {"name": "x", "sha256": "0", "size": 1}, 1763700000123456789, "e")
    assert _nanoseconds(artifact) == 1763700000123456789
    for seconds in (1763700000.1234567, 0.0, 1e-9, 1763700000.9999998, 2.5):
        assert _nanoseconds(seconds) / 1e9 == seconds
        assert _nanoseconds(Statistic({}, seconds)) / 1e9 == seconds
    assert _nanoseconds(5) == 5_000_000_000
    moment = datetime.datetime(2026, 11, 21, 7, 0, 0, 250000, tzinfo=datetime.timezone.utc)
    assert _nanoseconds(moment) == round(moment.timestamp() * 4) * 250_000_000
    before = time.time_ns()
    assert before <= _nanoseconds(None) <= time.time_ns()
    for wrong in (True, "now", 1763700000123456789, -1.0, float("nan"), float("inf"), object(), datetime.date(2026, 1, 1)):
        with pytest.raises(ValueError, match="no artifact, statistic or datetime"):
            _nanoseconds(wrong)


# -- branches --------------------------------------------------------------------------------------------------------


def test_a_branch_has_what_was_said_before_its_cut_and_before_it_was_made(trained, tmp_path, journal_uri):
    run(tmp_path, EVALUATE, trained, name="evaluate.py")
    late = script(tmp_path, IMPORT + "k.analysis(sys.argv[1]).log_statistic(at=1.0, late=1)", "late.py")
    text = "print([one['epoch'] for one in k.load_statistic('accuracy')], k.load_statistic('late'))"
    go_on = script(tmp_path, IMPORT + text, "go_on.py")
    words = ("branch", trained, "--timestamp", "epoch=1", "--", PYTHON, go_on)
    assert kleio(*words, cwd=tmp_path, check=0).stdout == "[0, 1] []\n"
    branch = trials()[0]
    assert branch["parent"] == trained
    kleio(PYTHON, late, trained, cwd=tmp_path, check=0)
    found = info(branch["id"])["summary"]
    assert found["accuracy"]["count"] == len(said(journal_uri, branch["id"])) == 2
    assert "late" not in found
    assert info(trained)["summary"]["late"]["count"] == 1
    assert "accuracy (2), epoch (2)" in printed("info", branch["id"])
    assert "skipped: completed" in kleio(*words, cwd=tmp_path, check=0).stderr  # it is the same branch all the same
    second = kleio("branch", branch["id"], "--", PYTHON, go_on, cwd=tmp_path, check=0)
    assert second.stdout == "[0, 1] []\n"
    at_its_end = kleio("branch", trained, "--", PYTHON, go_on, cwd=tmp_path, check=0)
    assert at_its_end.stdout.startswith("[0, 1, 2, 3] [{'late': 1}]")


# -- shipping --------------------------------------------------------------------------------------------------------


@pytest.fixture
def analysing(tmp_path, journal_uri):
    """A journal with three trials, and the spool of an execution of a fourth."""
    journal = open_journal(journal_uri)
    ids = [f"{letter}{'0' * 31}" for letter in "abc"]
    for one in (*ids, "d" * 32):
        journal.create(Trial(one, "w", "p", ("x",), ".", 1.0))
    directory = tmp_path / ("e" * 32)
    directory.mkdir()
    spool = Spool(str(directory))
    spool.write("launch", {"execution": {"user": "me"}, "trial": {"id": "d" * 32}})
    yield journal, ids, spool
    journal.close()


def shipper(journal, spool):
    source = Source(spool, "d" * 32, spool.execution)
    return Shipper(source, journal, lambda _: True, journal.extents(spool.execution, "d" * 32))


def line(trial, number, text=""):
    return json.dumps({"trial": trial, "at": number * 10**9, "values": {"n": number, "text": text}}, separators=(",", ":"))


def there(journal, trial):
    return [one.values["n"] for one, _ in analyses.of(journal, journal.entry(trial).trial)]


def test_several_trials_share_one_file_however_shipping_is_cut_short(analysing):
    journal, ids, spool = analysing
    writer = Writer(spool.path, "analysis", "w")
    sent, number, ongoing = {one: [] for one in ids}, 0, shipper(journal, spool)
    for turn in range(40):
        for _ in range(7):
            trial = ids[number * 7 // 4 % 3 if turn > 10 else 0]
            writer.append(line(trial, number, "x" * 2000))
            sent[trial].append(number)
            number += 1
        if turn % 3 == 0:
            ongoing = shipper(journal, spool)  # another process goes on, having the journal and the file
        if turn % 4:
            while ongoing.round():
                pass
    last = shipper(journal, spool)
    while last.round():
        pass
    last.summarise()
    for trial in ids:
        assert there(journal, trial) == sent[trial]
        (summary,) = journal.summaries([trial])[trial]
        assert summary.keys["n"]["count"] == len(sent[trial])
        assert journal.extents(spool.execution, trial)["w", "analysis"] > 0
    assert writer.end() > 4 * SEALED
    assert len(list(journal.segments(ids[0], ("analysis",)))) > 1
    assert journal.entry(ids[0]).executions == ()
    assert [event.data["user"] for event in journal.entry(ids[0]).events] == ["me"]
    before = [list(journal.segments(trial, ("analysis",))) for trial in ids]
    again = shipper(journal, spool)
    while again.round():
        pass
    assert [list(journal.segments(trial, ("analysis",))) for trial in ids] == before


def test_lines_that_mean_nothing_are_set_aside(analysing):
    journal, ids, spool = analysing
    writer = Writer(spool.path, "analysis", "w")
    wrong = ("{}", "no", line("0" * 32, 1), '{"trial":1,"at":"x","values":{}}', '{"trial":"a","at":1,"values":3}')
    for text in (*wrong, line(ids[0], 1), *wrong):
        writer.append(text)
    ongoing = shipper(journal, spool)
    while ongoing.round():
        pass
    assert there(journal, ids[0]) == [1]
    assert {one.stream for one in journal.segments("d" * 32, ("unreadable-analysis",))} == {"unreadable-analysis"}


def test_a_journal_that_goes_away_loses_nothing(analysing, monkeypatch):
    journal, ids, spool = analysing
    writer = Writer(spool.path, "analysis", "w")
    ongoing, failing = shipper(journal, spool), iter("record append summarise extents append entry".split())
    for number in range(6):
        writer.append(line(ids[number % 3], number))
        name = next(failing)
        with monkeypatch.context() as patched:
            patched.setattr(journal, name, _unreachable)
            try:
                while ongoing.round():
                    pass
            except JournalUnreachable:
                pass
    while ongoing.round():
        pass
    assert [there(journal, trial) for trial in ids] == [[0, 3], [1, 4], [2, 5]]


def _unreachable(*_, **__):
    raise JournalUnreachable("away")


def test_a_killed_launcher_is_recovered(trained, tmp_path, journal_uri):
    os.mkfifo(tmp_path / "go")
    path = script(tmp_path, IMPORT + EVALUATE + "print('ready', flush=True)\nopen('go').read()\n", "evaluate.py")
    with start(PYTHON, path, trained, cwd=tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        until(lambda: "is analysing trial" in kleio("scrub", trained, "x", "--dry-run").stderr)
        process.kill()
    (tmp_path / "go").write_text("")
    until(lambda: "still running" not in kleio("sync").stdout)
    assert len(said(journal_uri, trained)) == 4
    assert info(trained)["summary"]["accuracy"]["count"] == 4


def test_a_scrub_takes_it_out_too(trained, tmp_path, journal_uri):
    run(tmp_path, "k.analysis(sys.argv[1]).log_statistic(at=1.0, note='hunter2 is bad', n=1)", trained, name="a.py")
    counts = kleio("scrub", trained, "hunter2", "--yes", check=0).stdout
    assert "analysis" in counts or "statistics" in counts
    assert [one["note"] for _, one, _ in said(journal_uri, trained)] == ["<redacted> is bad"]
    assert "hunter2" not in json.dumps(info(trained))
