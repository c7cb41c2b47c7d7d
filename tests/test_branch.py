"""Branches: what they see of the trial they continue, and how they are asked for."""

from __future__ import annotations

import random
import re

import pytest
from commands import PYTHON, info, kill, kleio, printed, read, script, start, trials, until
from repositories import git

from kleio.core import branch, lineage, output, statistics
from kleio.core.errors import KleioError, UsageError
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment
from kleio.core.statistics import Record
from kleio.core.trial import Entry, Event, Trial

TRAIN = """
import argparse, json, sys
from kleio.client.logger import kleio_logger as k
parser = argparse.ArgumentParser()
parser.add_argument("data", nargs="?")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--fail-at", type=int)
options = parser.parse_args()
found = k.load_artifacts("state.json")
state = json.load(found[-1].open()) if found else {"epoch": 0, "loss": 1.0}
print("from", state["epoch"], "of", len(k.load_statistic("loss")), flush=True)
while state["epoch"] < options.epochs:
    state = {"epoch": state["epoch"] + 1, "loss": state["loss"] * (1 - options.lr)}
    k.log_statistic(**state)
    k.log_artifact("state.json", json.dumps(state).encode(), epoch=state["epoch"])
    print("epoch", state["epoch"], flush=True)
    if state["epoch"] == options.fail_at:
        sys.exit(3)
"""


def losses(lr, epochs):
    found, loss = [], 1.0
    for _ in range(epochs):
        loss *= 1 - lr
        found.append(loss)
    return found


@pytest.fixture
def project(workplace):
    """A repository with a script that keeps checkpoints; each journal in turn where the test asks for them."""
    script(workplace, TRAIN)
    git(workplace, "init", "-q")
    commit(workplace)
    return workplace


def commit(directory, message="one"):
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", message)


def edit(directory, text="# changed\n"):
    path = directory / "train.py"
    path.write_text(path.read_text() + text)


def logged(trial, journal_uri):
    """The (epoch, loss) that a trial sees, in order."""
    journal = open_journal(journal_uri)
    try:
        found, _ = lineage.logged(journal, journal.entry(trial))
        return [(record.values["epoch"], record.values["loss"]) for record, _ in found]
    finally:
        journal.close()


def newest():
    return trials()[0]


def train(*options, status=0):
    kleio(PYTHON, "train.py", *options, check=status)
    return newest()["id"]


# -- what a branch sees --------------------------------------------------------------------------------------------


def test_a_branch_goes_on_from_the_checkpoint_at_its_cut(project, journal_uri):
    parent = train("--lr", "0.1")
    done = kleio("branch", "--timestamp", "epoch=5", parent, "--lr", "0.5", check=0)
    assert done.stdout.startswith("from 5 of 5\n")
    child = newest()
    assert child["command"][1:] == ["train.py", "--lr", "0.5"]
    assert (child["parent"], child["cut"]["criterion"]) == (parent, "epoch=5")
    assert logged(child["id"], journal_uri)[:5] == logged(parent, journal_uri)[:5]
    assert [epoch for epoch, _ in logged(child["id"], journal_uri)] == list(range(1, 9))
    assert logged(child["id"], journal_uri)[5][1] == pytest.approx(losses(0.1, 5)[-1] * 0.5)
    assert child["summary"]["epoch"]["count"] == 8
    assert child["summary"]["loss"]["max"] == pytest.approx(0.9)
    before, after = (printed("cat", one).splitlines() for one in (parent, child["id"]))
    own = after.index("from 5 of 5")
    assert after[:own] == before[:own]  # how much of it had been read by then is a matter of milliseconds
    assert after[own:] == ["from 5 of 5", "epoch 6", "epoch 7", "epoch 8"]


def test_a_branch_of_a_branch_sees_through_to_the_first(project, journal_uri):
    first = train("--lr", "0.1")
    kleio("branch", "--timestamp", "epoch=6", first, "--lr", "0.2", check=0)
    second = newest()["id"]
    done = kleio("branch", "--timestamp", "epoch=3", second, "--lr", "0.3", check=0)
    assert done.stdout.startswith("from 3 of 3\n")
    third = newest()
    assert logged(third["id"], journal_uri)[:3] == logged(first, journal_uri)[:3]
    assert {end[0] for end in third["cut"]["ends"]} == {first}
    done = kleio("branch", "--timestamp", "epoch=7", second, "--lr", "0.3", check=0)
    assert done.stdout.startswith("from 7 of 7\n")
    assert logged(newest()["id"], journal_uri)[:7] == logged(second, journal_uri)[:7]


def test_what_a_branch_sees_stays_however_its_parent_goes_on(project, journal_uri):
    parent = train("--fail-at", "4", status=3)
    kleio("branch", parent, "--lr", "0.5", "--fail-at", "6", check=3)
    child = newest()["id"]
    before = logged(child, journal_uri)
    kleio("run", parent, check=0)
    assert len(logged(parent, journal_uri)) == 8
    assert logged(child, journal_uri) == before
    assert kleio("run", child, check=0).stdout.startswith("from 6 of 6\n")


def test_only_the_last_execution_that_matches_counts_and_later_ones_are_dropped(project, journal_uri):
    parent = train("--fail-at", "4", status=3)
    done = kleio("branch", "--timestamp", "epoch=2", parent, "--fail-at", "3", check=3)
    assert done.stdout == "from 2 of 2\nepoch 3\n"
    child = newest()["id"]
    kleio("run", child, check=0)
    assert [e["status"] for e in info(child)["executions"]] == ["broken", "completed"]
    done = kleio("branch", "--timestamp", "epoch=3", child)
    assert done.stdout.startswith("from 3 of 3\n")
    first = info(child)["executions"][0]["id"]
    assert {end[1] for end in newest()["cut"]["ends"] if end[0] == child} == {first}


# -- how it is asked for -------------------------------------------------------------------------------------------


def test_the_same_branch_asked_for_twice_is_the_same_trial(project, journal_uri):
    parent = train()
    asked = ("branch", "--timestamp", "epoch=5", parent, "--lr", "0.5", "--fail-at", "7")
    kleio(*asked, check=3)
    child = newest()["id"]
    later = ("branch", parent, "--timestamp=epoch=5", "--lr", "0.5", "--fail-at", "7")
    done = kleio(*later, check=0)  # goes on behind epoch 7
    assert newest()["id"] == child
    assert done.stdout.startswith("from 7 of 7\n")
    assert len(info(child)["executions"]) == 2
    edit(project)
    kleio(*asked, check=3)
    assert newest()["id"] != child


def test_a_branch_that_is_run_anew_begins_where_it_began(project, journal_uri):
    parent = train()
    kleio("branch", "--timestamp", "epoch=5", parent, check=0)
    child = newest()["id"]
    done = kleio("run", child, check=0)
    assert done.stdout.startswith("from 5 of 5\n")
    again = newest()
    assert (again["parent"], again["previous"]) == (parent, child)
    assert again["cut"] == info(child)["cut"]
    done = kleio("run", "--fresh", child, check=0)
    assert done.stdout.startswith("from 5 of 5\n")


def test_another_command_altogether(project):
    parent = train()
    done = kleio("branch", "--timestamp", "epoch=2", parent, "--", PYTHON, "-c", "print('other')", check=0)
    assert done.stdout == "other\n"
    assert newest()["command"][1:] == ["-c", "print('other')"]
    assert newest()["parent"] == parent


def test_positional_arguments_stay_and_the_refusal_names_the_way_on(project):
    parent = train("images", "--lr", "0.1")
    kleio("branch", parent, "--lr", "0.2", check=0)
    assert newest()["command"][1:] == ["train.py", "images", "--lr", "0.2"]
    refused = kleio("branch", parent, "--lr", "0.3", "--", check=125)
    assert "no command after --" in refused.stderr
    refused = kleio("branch", parent, "sounds", check=125)
    assert "positional" in refused.stderr
    assert "-- " in refused.stderr


def test_a_branch_that_is_completed_is_not_made_again(project):
    parent = train()
    asked = ("branch", "--timestamp", "epoch=5", parent, "--lr", "0.5")
    kleio(*asked, check=0)
    child = newest()["id"]
    again = kleio(*asked, check=0)
    assert (again.stdout, newest()["id"]) == ("", child)
    assert f"trial {child[:7]}" in again.stderr
    kleio("branch", "--timestamp", "epoch=5", "--fresh", parent, "--lr", "0.5", check=0)
    assert newest()["id"] != child


def test_a_cut_that_matches_nothing_says_what_there_is(project, journal_uri):
    parent = train()
    cases = {
        "2h30m": "leave --timestamp away",
        "epoch=99": "epoch goes from 1 to 8",
        "step=1": "what there is: epoch, loss",
        "yesterday": "NAME=VALUE (epoch=10)",
        "1999-01-01": "nothing of trial",
        "0001-01-01": "NAME=VALUE (epoch=10)",
        "=3": "NAME=VALUE (epoch=10)",
    }
    journal = open_journal(journal_uri, writing=False)
    for where, says in cases.items():
        with pytest.raises(KleioError, match=re.escape(says)):
            branch.cut(journal, journal.entry(parent), where, "branch")
    journal.close()
    assert "epoch goes from 1 to 8" in kleio("branch", "--timestamp", "epoch=99", parent, check=125).stderr
    assert "--timestamp was given nothing" in kleio("branch", "--timestamp", "", parent, check=125).stderr
    assert len(trials()) == 1


def test_an_explicit_branch_is_not_what_its_command_means(project):
    parent = train("--fail-at", "4", status=3)
    kleio("branch", "--timestamp", "epoch=2", parent, "--fail-at", "3", check=3)
    done = kleio(PYTHON, "train.py", "--fail-at", "3", check=3)
    assert done.stdout.startswith("from 0 of 0\n")


def test_a_branch_needs_the_journal(project):
    parent = train()
    refused = kleio("--offline", "branch", parent, check=125)
    assert "needs the journal" in refused.stderr


# -- because something changed -------------------------------------------------------------------------------------


def test_changed_code_is_refused_with_the_ways_on(project):
    parent = train("--fail-at", "4", status=3)
    edit(project, "# one\n# two\n")
    refused = kleio(PYTHON, "train.py", "--fail-at", "4", check=78)
    assert "train.py (+2)" in refused.stderr
    ways = [line for line in refused.stderr.splitlines() if "  kleio " in line]
    assert [line.split("  kleio ")[1].split()[0] for line in ways] == ["--allow-code-change", "--fresh", "exec"]
    way = ways[0].split("  kleio ")[1].split()
    done = kleio(*way, check=0)
    assert "branched" in done.stderr
    assert done.stdout.startswith("from 4 of 4\n")
    assert (newest()["parent"], newest()["cut"]["by"]) == (parent, "change")
    assert "train.py (+2)" in newest()["cut"]["changed"][0]


def test_a_branch_made_because_of_a_change_is_resumed_by_the_command_itself(project, journal_uri):
    parent = train("--fail-at", "4", status=3)
    edit(project)
    original = (project / "train.py").read_text()
    command = (PYTHON, "train.py", "--fail-at", "4")
    (project / "train.py").write_text(original.replace("options.fail_at", "6"))
    kleio("--allow-code-change", *command, check=3)
    child = newest()["id"]
    done = kleio(*command, check=0)
    assert done.stdout.startswith("from 6 of 6\n")
    assert newest()["id"] == child
    git(project, "checkout", "-q", "train.py")  # the original has its own code again
    done = kleio(*command, check=0)
    assert done.stdout.startswith("from 4 of 4\n")
    assert [one["id"] for one in trials()] == [child, parent]


def test_a_change_of_the_environment_needs_its_own_consent(project, tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "numpy_like-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(site))
    parent = train("--fail-at", "4", status=3)
    (site / "numpy_like-1.0.dist-info").rename(site / "numpy_like-2.0.dist-info")
    command = (PYTHON, "train.py", "--fail-at", "4")
    refused = kleio(*command, check=78)
    assert "numpy-like 1.0 → 2.0" in refused.stderr
    assert "--allow-env-change" in refused.stderr
    refused = kleio("--allow-code-change", *command, check=78)
    edit(project)
    refused = kleio("--allow-env-change", *command, check=78)
    assert "--allow-any-change" in refused.stderr
    kleio("--allow-any-change", *command, check=0)
    assert newest()["parent"] == parent
    assert newest()["cut"]["changed"][-1] == "numpy-like 1.0 → 2.0"


def test_with_nothing_changed_an_option_that_allows_changes_nothing(project):
    parent = train("--fail-at", "4", status=3)
    kleio("--allow-any-change", PYTHON, "train.py", "--fail-at", "4", check=0)
    assert [one["id"] for one in trials()] == [parent]


def test_a_completed_trial_is_branched_where_a_change_is_allowed(project):
    parent = train()
    edit(project)
    done = kleio("--allow-code-change", PYTHON, "train.py", check=0)
    assert done.stdout == "from 8 of 8\n"
    assert newest()["parent"] == parent


def test_declared_checkpoints_count_as_artifacts_do(project, monkeypatch):
    script(project, "open('weights.ckpt', 'w').write('1')\nraise SystemExit(3)\n", "plain.py")
    commit(project, "two")
    kleio(PYTHON, "plain.py", check=3)
    script(project, "open('weights.ckpt', 'w').write('1')\nraise SystemExit(4)\n", "plain.py")
    monkeypatch.setenv("KLEIO_CHECKPOINTS", "*.ckpt")
    refused = kleio(PYTHON, "plain.py", check=78)
    assert "plain.py (+1 \N{MINUS SIGN}1)" in refused.stderr
    monkeypatch.delenv("KLEIO_CHECKPOINTS")
    kleio(PYTHON, "plain.py", check=4)
    assert trials()[0]["previous"] == trials()[1]["id"]


# -- what is said --------------------------------------------------------------------------------------------------


def test_no_artifact_before_the_cut_is_said(project):
    plain = "from kleio.client.logger import kleio_logger as k\nfor e in range(3): k.log_statistic(epoch=e)"
    script(project, plain, "plain.py")
    kleio(PYTHON, "plain.py", check=0)
    done = kleio("branch", "--timestamp", "epoch=1", newest()["id"], check=0)
    assert "no artifact before the cut" in done.stderr


def test_a_parent_that_was_killed_is_said(project, journal_uri, monkeypatch):
    script(project, "from kleio.client.logger import kleio_logger as k\nk.log_statistic(epoch=1)\nk.flush()\n"
           "import os, signal\nprint('up', flush=True)\nsignal.pause()", "waits.py")  # fmt: skip
    process = start(PYTHON, "waits.py", KLEIO_LEASE="1")
    assert process.stdout.readline() == "up\n"
    kill(process)
    parent = newest()["id"]
    monkeypatch.setenv("KLEIO_SPOOL_DIR", str(project.parent / "elsewhere"))  # as another machine
    until(lambda: info(parent)["status"] == "failover")
    done = kleio("branch", "--timestamp", "epoch=1", parent, "--", PYTHON, "-c", "pass", check=0)
    assert "ended without a word" in done.stderr


def test_what_a_killed_parent_left_on_this_machine_is_shipped_first(project, journal_uri):
    script(project, "import os, signal\nfrom kleio.client.logger import kleio_logger as k\n"
           "for e in range(1, 4): k.log_statistic(epoch=e)\nprint('up', flush=True)\nsignal.pause()", "waits.py")  # fmt: skip
    process = start(PYTHON, "waits.py", KLEIO_OFFLINE="1")
    assert process.stdout.readline() == "up\n"
    kill(process)
    kleio("sync", check=0)
    parent = newest()["id"]
    process = start(PYTHON, "waits.py")
    assert process.stdout.readline() == "up\n"
    kill(process)
    kleio("branch", parent, "--", "true", check=0)
    assert newest()["summary"]["epoch"]["count"] == 6


def test_info_and_tree_show_the_lineage(project, journal_uri):
    first = train("--lr", "0.1")
    kleio("branch", "--timestamp", "epoch=6", first, "--lr", "0.2", check=0)
    second = newest()["id"]
    kleio("branch", "--timestamp", "epoch=7", second, "--lr", "0.3", check=0)
    third = newest()["id"]
    page = printed("info", second)
    assert f"continues  {first[:7]} at epoch=6 (lr 0.1 → 0.2)" in page
    assert f"{third[:7]}  a branch of this one at epoch=7" in page
    assert f"{first[:7]}  continued" in page
    drawn = printed("tree", second).splitlines()
    assert drawn[0].startswith(f"{first[:7]}  completed")
    assert drawn[1].startswith(f"└── {second[:7]} *  completed  at epoch=6: lr 0.1 → 0.2")
    assert drawn[2].startswith(f"    └── {third[:7]}  completed  at epoch=7: lr 0.2 → 0.3")
    assert printed("tree").splitlines()[1].startswith(f"└── {second[:7]}")
    (root,) = read("tree", "--json", third)
    assert root["branches"][0]["branches"][0]["id"] == third


# -- cuts, on streams made by hand ---------------------------------------------------------------------------------


def _fabricated(journal, seed):
    """A trial of three executions with two writers each, whose segments are cut at random: what each record holds."""
    rng = random.Random(seed)
    journal.create(Trial("a" * 32, "w" * 32, "p", ("x",), ".", 1.0))
    everything, clock = [], 10_000_000_000
    for number in range(3):
        execution = f"{number:032x}"
        began = Event(f"reserved-{execution}", "reserved", 1.0 + number, number + 1, execution, {"started": 10.0})
        journal.record("a" * 32, began)
        offsets = {"one": 10, "two": 10}
        pending = {"one": [], "two": []}
        begun = dict(offsets)
        for step in range(rng.randrange(1, 30)):
            writer = rng.choice(["one", "two"])
            clock += rng.randrange(1, 1000)
            record = Record(offsets[writer], clock, {"epoch": step // 3, "n": len(everything)})
            offsets[writer] += rng.randrange(5, 50)
            pending[writer].append(record)
            everything.append((execution, writer, record))
            if rng.random() < 0.3:
                _send(journal, execution, writer, begun, offsets, pending)
        for writer in pending:
            _send(journal, execution, writer, begun, offsets, pending)
    return everything


def _send(journal, execution, writer, begun, offsets, pending):
    if pending[writer]:
        start, begun[writer] = (0 if begun[writer] == 10 else begun[writer]), offsets[writer]
        payload = statistics.pack(pending[writer])
        journal.append([Segment("a" * 32, execution, writer, "statistics", start, offsets[writer], payload)])
        pending[writer] = []


@pytest.mark.parametrize("seed", range(25))
def test_a_cut_keeps_what_came_before_and_nothing_else(journal_uri, seed):
    journal = open_journal(journal_uri)
    everything = _fabricated(journal, seed)
    epochs = {record.values["epoch"] for _, _, record in everything}
    wanted = random.Random(seed).choice(sorted(epochs))
    found = branch.cut(journal, journal.entry("a" * 32), f"epoch={wanted}", "branch")
    child = Trial("b" * 32, "w" * 32, "p", ("x",), ".", 2.0, parent="a" * 32, cut=found.as_dict())
    seen = [record.values["n"] for record, _ in lineage.logged(journal, Entry(child))[0]]
    last = max(record.values["n"] for _, _, record in everything if record.values["epoch"] == wanted)
    execution = next(one for one, _, record in everything if record.values["n"] == last)
    assert seen == [record.values["n"] for one, _, record in everything if record.values["n"] <= last and one <= execution]
    (summary,) = [statistics.combine(branch.inherited_summaries(journal, "a" * 32, "b" * 32, found))]
    assert summary["n"]["count"] == len(seen)
    assert summary["n"]["last"] == last
    whole = branch.cut(journal, journal.entry("a" * 32), "end", "change")
    other = Trial("c" * 32, "", "", (), "", 3.0, cut=whole.as_dict())
    assert len(lineage.logged(journal, Entry(other))[0]) == len(everything)
    journal.close()


def test_output_is_cut_at_the_end_of_a_line(journal_uri):
    journal = open_journal(journal_uri)
    journal.create(Trial("a" * 32, "w" * 32, "p", ("x",), ".", 1.0))
    journal.record("a" * 32, Event("reserved-e", "reserved", 1.0, 1, "e", {"started": 10.0}))
    payload = output.pack(b"one\ntw", [(0, 11 * 10**9), (4, 12 * 10**9)])
    journal.append([Segment("a" * 32, "e", "launcher", "output", 0, 6, payload)])
    payload = output.pack(b"o\nthree\n", [(6, 13 * 10**9), (8, 14 * 10**9)])
    journal.append([Segment("a" * 32, "e", "launcher", "output", 6, 14, payload)])
    entry = journal.entry("a" * 32)

    def printed(where):
        cut = branch.cut(journal, entry, where, "branch")
        trial = Trial("b" * 32, "", "", (), "", 2.0, parent="a" * 32, cut=cut.as_dict())
        journal.create(trial)
        return b"".join(lineage.printed(journal, type(entry)(trial), ("output",)))

    assert printed("1.5s") == b"one\n"
    assert printed("3.5s") == b"one\ntwo\n"
    assert printed("1h") == b"one\ntwo\nthree\n"
    with pytest.raises(KleioError, match="nothing of trial"):
        printed("1970-01-01T00:00:01+00:00")
    with pytest.raises(UsageError):
        printed("soon")
    journal.close()
