"""resume_from: what earlier executions logged after it no longer counts, and is still there."""

from __future__ import annotations

import random

import pytest
from commands import PYTHON, info, kleio, printed, read, script, trials

from kleio.core import lineage
from kleio.core.findings import resumed_from
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment
from kleio.core.resuming import Resumed, limits, told
from kleio.core.spool import Spool
from kleio.core.statistics import Record, pack
from kleio.core.streams import Source
from kleio.core.trial import Event

IMPORT = "from kleio.client.logger import kleio_logger as k\n"

TRAINING = """
import sys
dies_after = int(sys.argv[2])
checkpoint = k.resume_from(k.latest_artifact("weights"))
start = checkpoint.meta["epoch"] + 1 if checkpoint else 1
for epoch in range(start, 11):
    k.log_statistic(epoch=epoch, loss=100 * k.execution + epoch)
    if epoch % 2 == 0:
        k.log_artifact("weights", b"%d" % epoch, epoch=epoch)
    if epoch == dies_after:
        sys.exit(1)
print([int(one["epoch"]) for one in k.load_statistic("epoch")], [a.meta["epoch"] for a in k.load_artifacts("weights")])
print(len(k.load_statistic("epoch", all_executions=True)), len(k.load_artifacts("weights", all_executions=True)))
"""


@pytest.fixture(autouse=True)
def here(workplace):
    """One says when to die by an argument that is no part of the work."""
    (workplace / "pyproject.toml").write_text('[tool.kleio]\nvolatile = ["--die"]\n')
    return workplace


def train(here, dies_after, check, text=TRAINING):
    return kleio(PYTHON, script(here, IMPORT + text), "--die", str(dies_after), check=check)


def curve(uri, trial, all_executions=False):
    journal = open_journal(uri, writing=False)
    try:
        found, _ = lineage.logged(journal, journal.entry(trial), all_executions)
        return [one.values["epoch"] for one, _ in found]
    finally:
        journal.close()


def test_a_resumed_run_reads_as_one_curve(here, journal_uri):
    train(here, 7, 1)
    train(here, 9, 1)
    done = train(here, 99, 0)
    assert done.stdout.splitlines() == [
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10] [2, 4, 6, 8, 10]",
        "12 5",
    ]
    (trial,) = trials()
    assert curve(journal_uri, trial["id"]) == list(range(1, 11))
    assert curve(journal_uri, trial["id"], all_executions=True) == [*range(1, 8), 7, 8, 9, 9, 10]
    assert trial["summary"]["epoch"]["count"] == 10
    assert trial["summary"]["loss"] == {"last": 310, "min": 101, "max": 310, "mean": 165.5, "count": 10}
    everything = read("info", "--json", "--all-executions", trial["id"])
    assert everything["summary"]["epoch"]["count"] == 12
    text = printed("info", trial["id"])
    assert "execution 2 went on from weights epoch=6: what execution 1 logged after it, and any between, is not counted" in text
    assert "curves go back" not in text


def test_a_branch_of_it_inherits_the_one_curve(here, journal_uri):
    train(here, 7, 1)
    train(here, 99, 0)
    parent = trials()[0]["id"]
    kleio("branch", "--timestamp", "epoch=8", parent, check=0)
    child = next(one for one in trials() if one["parent"])
    assert child["id"] != parent
    assert curve(journal_uri, child["id"]) == list(range(1, 11))
    assert child["summary"]["epoch"]["count"] == 10


def test_resuming_from_what_a_branch_inherits(here, journal_uri):
    train(here, 99, 0)
    parent = trials()[0]["id"]
    text = TRAINING.replace('k.latest_artifact("weights")', 'k.load_artifacts("weights", {"epoch": 2})[-1]')
    (here / "back.py").write_text(IMPORT + text)
    kleio("branch", "--timestamp", "epoch=8", parent, "--", PYTHON, "back.py", "--die", "99", check=0)
    child = next(one for one in trials() if one["parent"])
    assert curve(journal_uri, child["id"]) == list(range(1, 11))
    assert curve(journal_uri, child["id"], all_executions=True) == [*range(1, 9), *range(3, 11)]
    assert child["summary"]["loss"]["count"] == 10


def test_beginning_anew_gives_up_everything_before(here):
    text = "import sys\nk.resume_from(None)\nk.log_statistic(epoch=1, n=k.execution)\nsys.exit(k.execution < 3)\n"
    for check in (1, 1, 0):
        train(here, 0, check, text)
    (trial,) = trials()
    assert trial["summary"]["n"] == {"last": 3, "min": 3, "max": 3, "mean": 3, "count": 1}
    assert "execution 3 began anew" in printed("info", trial["id"])


def test_offline_runs_resume_the_same(here, monkeypatch, journal_uri):
    monkeypatch.setenv("KLEIO_OFFLINE", "1")
    train(here, 7, 1)
    done = train(here, 99, 0)
    assert done.stdout.splitlines()[0] == "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10] [2, 4, 6, 8, 10]"
    monkeypatch.delenv("KLEIO_OFFLINE")
    kleio("sync", check=0)
    (trial,) = trials()
    assert trial["summary"]["epoch"]["count"] == 10
    assert curve(journal_uri, trial["id"]) == list(range(1, 11))


def test_info_warns_where_epochs_go_back_and_nothing_was_said(here):
    text = "import sys\nfor epoch in range(1, 4): k.log_statistic(epoch=epoch)\nsys.exit(k.execution < 2)\n"
    train(here, 0, 1, text)
    assert "go back" not in printed("info", trials()[0]["id"])
    train(here, 0, 0, text)
    text = printed("info", trials()[0]["id"])
    assert "epoch begins at 1 in execution 2, though execution 1 had come to 3" in text
    assert info(trials()[0]["id"])["summary"]["epoch"]["count"] == 6


def test_folds_that_each_count_their_epochs_are_no_going_back(here):
    text = """
import sys
for n in range(5 * (k.execution - 1), 10 if k.execution == 2 else 5):
    k.log_statistic(fold=n // 4, epoch=n % 4)
sys.exit(k.execution < 2)
"""
    train(here, 0, 1, text)
    train(here, 0, 0, text)
    assert "go back" not in printed("info", trials()[0]["id"])


def test_what_comes_late_of_the_execution_that_was_resumed_from_is_summarised_as_well(here, journal_uri):
    """Its launcher was killed on another machine, with records still in the spool there."""
    train(here, 7, 1)
    train(here, 99, 0)
    (trial,) = trials()
    first = trial["executions"][0]["id"]
    journal = open_journal(journal_uri)
    entry = journal.entry(trial["id"])
    (said,) = told(entry.events).values()
    late = [Record(25, said.until - 5, {"late": 1}), Record(50, said.until + 5, {"late": 2})]
    journal.append([Segment(entry.id, first, "other", "statistics", 0, 75, pack(late))])
    resumed_from(journal, Source(Spool("nowhere"), entry.id, first))
    journal.close()
    assert info(trial["id"])["summary"]["late"]["count"] == 1
    assert info(trial["id"])["summary"]["epoch"]["count"] == 10


ANEW = """
k.resume_from(k.latest_artifact("ck"))
for epoch in range(1, 5):
    k.log_statistic(epoch=epoch, n=int(sys.argv[1]) + epoch)
    k.log_artifact("w", b"%d" % epoch, epoch=epoch)
print([one["n"] for one in k.load_statistic("n")], [one.meta["epoch"] for one in k.load_artifacts("w")])
print(len(k.load_statistic("n", all_executions=True)), [one["late"] for one in k.load_statistic("late")])
"""


def branch(here, parent, number, options=("--timestamp", "epoch=2"), text=ANEW):
    (here / "rn.py").write_text("import sys\n" + IMPORT + text)
    done = kleio("branch", *options, parent, "--", PYTHON, "rn.py", str(number), check=0)
    return trials()[0], done.stdout.splitlines()


def test_a_branch_that_begins_anew_has_nothing_of_what_it_inherits(here, journal_uri):
    path = script(here, "import sys\n" + IMPORT + ANEW, "rn.py")
    kleio(PYTHON, path, "100", check=0)
    parent = trials()[0]["id"]
    late = f"a = k.analysis({parent!r})\na.log_statistic(at=a.load_artifacts('w')[0], late=7)\n"
    evaluate = script(here, IMPORT + late, "e.py")
    kleio(PYTHON, evaluate, check=0)

    child, said = branch(here, parent, 200)
    assert said == ["[201, 202, 203, 204] [1, 2, 3, 4]", "6 []"]
    assert curve(journal_uri, child["id"]) == [1, 2, 3, 4]
    assert child["summary"]["n"] == {"last": 204, "min": 201, "max": 204, "mean": 202.5, "count": 4}
    assert "late" not in child["summary"]
    told = printed("info", child["id"])
    assert "execution 1 began anew" in told
    assert "go back" not in told
    assert "in trial" not in told.partition("analyses")[2]
    everything = read("info", "--json", "--all-executions", child["id"])["summary"]
    assert (everything["n"]["count"], everything["late"]["count"]) == (6, 1)

    plain = ANEW.replace('k.resume_from(k.latest_artifact("ck"))', "")
    grandchild, said = branch(here, child["id"], 300, text=plain)
    assert said == ["[201, 202, 301, 302, 303, 304] [1, 2, 1, 2, 3, 4]", "8 []"]
    assert grandchild["summary"]["n"]["count"] == 6
    assert "epoch begins at 1 in execution 1, though what is inherited had come to 2" in printed(
        "info", grandchild["id"]
    ).replace("\n", " ")

    again, said = branch(here, child["id"], 400, ())
    assert said == ["[401, 402, 403, 404] [1, 2, 3, 4]", "10 []"]
    assert again["summary"]["n"]["count"] == 4


def test_going_on_from_what_the_same_execution_logged_gives_up_nothing_and_is_not_said(here):
    text = """
import sys
k.log_statistic(n=1)
k.log_artifact("a", b"1", epoch=1)
k.log_statistic(n=2)
k.resume_from(k.latest_artifact("a"))
sys.exit(k.execution < 2)
"""
    train(here, 0, 1, text)
    train(here, 0, 0, text)
    (trial,) = trials()
    assert trial["summary"]["n"]["count"] == 4
    assert "went on from" not in printed("info", trial["id"])


def test_what_was_resumed_from_holds_though_the_execution_goes_back_to_its_own_later(here):
    text = """
import sys
k.resume_from(k.latest_artifact("a"))
for n in range(1, 4):
    k.log_statistic(n=n)
    if n == 1: k.log_artifact("a", b"1", epoch=1)
k.resume_from(k.latest_artifact("a"))
sys.exit(k.execution < 2)
"""
    train(here, 0, 1, text)
    train(here, 0, 0, text)
    (trial,) = trials()
    assert trial["summary"]["n"]["count"] == 4  # 1 of the first, 3 of the second
    assert "execution 2 went on from a epoch=1: what execution 1" in printed("info", trial["id"])


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ([{"iteration": n} for n in range(1, 4)], [{"iteration": n} for n in range(1, 4)], "iteration begins at 1"),
        ([{"i": n} for n in range(3)], [{"i": n} for n in range(3)], "i begins at 0"),
        ([{"epoch": n, "step": 9 * n} for n in range(3)], [{"epoch": n, "step": n} for n in range(3)], "epoch begins"),
        ([{"epoch": 1, "batch": n} for n in range(3)], [{"epoch": 2, "batch": n} for n in range(3)], None),
        ([{"i": n % 3} for n in range(6)], [{"i": n} for n in range(3)], None),
        ([{"step": n % 4} for n in range(6)], [{"step": n} for n in range(3)], None),
        ([{"t": n} for n in range(3)], [{"t": n} for n in range(3, 6)], None),
        ([{"loss": n} for n in range(3)], [{"loss": n} for n in range(3)], None),
    ],
)  # fmt: skip
def test_going_back_is_noticed_by_the_usual_names_of_counters_once_an_execution(local, first, then, said):
    trial = local.trial(first, status="broken")
    local.journal.claim(trial, "e2", {"host": "here", "started": 1.8e9}, 3600)
    local.log(trial, "e2", 1.8e9, then)
    remarks = [line for line in printed("info", trial).splitlines() if "go back" in line]
    assert len(remarks) == (said is not None)
    assert all(said in one for one in remarks)


def test_an_execution_that_said_it_of_itself_said_nothing():
    """As clients used to record it."""
    said = [Event("a", "resumed", 1.0, 1, "e2", {"execution": "e1", "time": 5}),
            Event("b", "resumed", 2.0, 1, "e2", {"execution": "e2", "time": 7})]  # fmt: skip
    assert {execution: one.of for execution, one in told(said).items()} == {"e2": "e1"}


# -- the rule itself ---------------------------------------------------------------------------------------------------


def model(logs, resumed):
    """What counts, by playing it: each execution begins with what counted at the time it resumed from."""
    line = []
    order = list(logs)
    counts_after = {}
    for execution in order:
        begin = list(line)
        if execution in resumed:
            of, until = resumed[execution]
            begin = [one for one in counts_after[of] if one[0] != of or one[1] <= until] if of else []
        line = begin + [(execution, when) for when in logs[execution]]
        counts_after[execution] = line
    return line


@pytest.mark.parametrize("seed", range(200))
def test_what_counts_is_the_line_that_was_followed(seed):
    rng = random.Random(seed)
    logs, resumed, clock = {}, {}, 0
    for number in range(rng.randrange(1, 7)):
        execution, began = f"e{number}", clock
        clock += 1
        if number and rng.random() < 0.7:
            of = f"e{rng.randrange(number)}"
            resumed[execution] = (of, rng.choice(logs[of]))
        elif number and rng.random() < 0.2:
            resumed[execution] = ("", 0)
        logs[execution] = list(range(began + 1, began + rng.randrange(2, 6)))
        clock = logs[execution][-1] + 1
    said = {execution: Resumed(of, until, min(logs[execution]) - 1) for execution, (of, until) in resumed.items()}
    found = limits(list(logs), said)
    seen = [(execution, when) for execution, times in logs.items() for when in times if when <= found.get(execution, when)]
    assert seen == model(logs, resumed)
