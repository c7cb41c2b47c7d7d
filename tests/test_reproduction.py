"""Whether two trials came out the same, on each kind of journal; and which inputs have changed since."""

from __future__ import annotations

import itertools
import os
import tracemalloc

import pytest
from versions import repository, write

from kleio.core import inputs, statistics
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment
from kleio.core.reproduction import Difference, Tolerance, repetition_of, verify
from kleio.core.statistics import Record
from kleio.core.trial import Event, Trial

NAN = float("nan")
EXACT = Tolerance()


@pytest.fixture
def journal(journal_uri):
    opened = open_journal(journal_uri)
    yield opened
    opened.close()


@pytest.fixture
def trial(journal):
    """Makes a trial of executions, each a list of streams, each a list of statistics; with artifacts in the last one."""
    numbers = itertools.count(1)

    def make(*executions, artifacts=(), exit_code=0, signal=None, previous=None, created=0.0, piece=7, parent=None):
        name = f"{next(numbers):032x}"
        journal.create(Trial(name, "work", "project", ("true",), ".", created, previous=previous, parent=parent))
        executions = executions or ([],)
        for streams in executions:
            execution = os.urandom(16).hex()
            assert journal.claim(name, execution, {"started": 1.0}, 600)
            for records in streams:
                append(journal, name, execution, "statistics", records, next(numbers), piece)
            kept = [{"name": one[0], "sha256": one[1], "size": one[2], "meta": {}} for one in artifacts]
            if artifacts and streams is executions[-1]:
                append(journal, name, execution, "artifacts", kept, next(numbers))
            ended = {"status": "completed", "exit_code": exit_code, "signal": signal, "reason": ""}
            journal.record(name, Event(f"ended-{execution}", "ended", 2.0, next(numbers) + 1000, execution, ended))
        return journal.entry(name)

    return make


def append(journal, trial, execution, stream, values, time, piece=7):
    """Records of one writer, whose name says nothing, in segments of a few."""
    writer = os.urandom(8).hex()
    records = [Record(offset, time * 1000 + offset, one) for offset, one in enumerate(values)]
    for at in range(0, len(records), piece):
        some = records[at : at + piece]
        journal.append([Segment(trial, execution, writer, stream, at, at + len(some), statistics.pack(some))])


def losses(count, **more):
    return [{"epoch": epoch, "loss": 1 / (epoch + 1)} | more for epoch in range(count)]


def test_the_same_values_are_reproduced(journal, trial):
    records = [*losses(20), {"nested": {"a": NAN, "b": [1, NAN]}, "text": "x", "none": None, "big": 1 << 70}]
    kept = [("w.pt", "a" * 64, 10), ("w.pt", "b" * 64, 10)]
    found = verify(journal, trial([records], artifacts=kept), trial([records], artifacts=kept), EXACT)
    assert (found.reproduced, found.statistics, found.artifacts, found.notes) == (True, (21, 21), (2, 2), ())


def test_where_they_first_differ(journal, trial):
    before, after = losses(30), losses(30)
    after[11] = after[11] | {"loss": 0.25}
    after[20] = {"epoch": 20, "accuracy": 1}
    found = verify(journal, trial([before]), trial([after]), EXACT)
    assert found.differences == (
        Difference("statistic", "loss", 12, before[11]["loss"], 0.25, 2),
        Difference("statistic", "accuracy", 21, None, 1),
    )


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "same"),
    [
        (1.0, 1.0 + 1e-7, EXACT, False),
        (1.0, 1.0 + 1e-7, Tolerance(rtol=1e-6), True),
        (100.0, 100.5, Tolerance(atol=0.5), True),
        (100.0, 100.5, Tolerance(rtol=0.001), False),
        (NAN, NAN, EXACT, True),
        (NAN, 1.0, Tolerance(rtol=1, atol=1), False),
        (float("inf"), float("inf"), EXACT, True),
        (float("inf"), 1e300, Tolerance(rtol=1), False),
        (1, 1.0, EXACT, True),
        (True, 1, EXACT, False),
        ("1", 1, EXACT, False),
        ([1, [2.0, NAN]], [1, [2.0 + 1e-9, NAN]], Tolerance(atol=1e-6), True),
        ([1, 2], [1, 2, 3], EXACT, False),
        ({"a": 1}, {"a": 2}, EXACT, False),
    ],
)
def test_when_two_values_are_the_same(before, after, tolerance, same):
    assert tolerance.same(before, after) is same


def test_one_that_logged_less_differs_in_its_length(journal, trial):
    found = verify(journal, trial([losses(10)]), trial([losses(8)]), EXACT)
    assert found.differences == (Difference("count", "statistics", 9, 10, 8),)


def test_what_is_ignored_and_what_looks_like_a_clock(journal, trial):
    before, after = ([one | {"time": {"wall": number}} for one in losses(3)] for number in (1.5, 2.5))
    found = verify(journal, trial([before]), trial([after]), EXACT)
    assert found.clocks == ["time/wall"]
    assert verify(journal, trial([before]), trial([after]), Tolerance(ignore=("time/*",))).reproduced
    after[1]["loss"] = 0
    assert verify(journal, trial([before]), trial([after]), EXACT).clocks == []


def test_artifacts_are_compared_by_name_and_order(journal, trial):
    before = [("w.pt", "a" * 64, 10), ("plot.png", "c" * 64, 5), ("w.pt", "b" * 64, 10)]
    after = [("plot.png", "c" * 64, 5), ("w.pt", "a" * 64, 10), ("w.pt", "d" * 64, 12), ("new", "e" * 64, 1)]
    found = verify(journal, trial(artifacts=before), trial(artifacts=after), EXACT)
    assert found.differences == (
        Difference("artifact", "w.pt", 2, {"sha256": "b" * 64, "size": 10}, {"sha256": "d" * 64, "size": 12}),
        Difference("artifact", "new", 1, None, {"sha256": "e" * 64, "size": 1}),
    )
    assert verify(journal, trial(artifacts=before), trial(artifacts=after), Tolerance(ignore=("w.*", "new"))).reproduced


def test_another_end_is_a_difference(journal, trial):
    found = verify(journal, trial(exit_code=0), trial(exit_code=3), EXACT)
    assert found.differences == (Difference("end", "exit status", 1, 0, 3),)
    found = verify(journal, trial(exit_code=None, signal="SIGSEGV"), trial(exit_code=0), EXACT)
    assert found.differences[0].before == "SIGSEGV"


def test_executions_are_compared_one_after_the_other_and_that_is_said(journal, trial):
    whole = losses(30)
    assert verify(journal, trial([whole[:12]], [whole[12:]]), trial([whole]), EXACT).reproduced
    again = verify(journal, trial([whole[:12]], [whole[10:]]), trial([whole]), EXACT)
    assert not again.reproduced
    assert "was resumed: its 2 executions are compared one after the other, with all that" in again.notes[0]


def test_a_branch_that_was_repeated_from_the_beginning_says_so(journal, trial):
    parent = trial([losses(10)])
    branch = trial([losses(10)[5:]], parent=parent.id)
    found = verify(journal, branch, trial([losses(10)]), EXACT)
    assert f"continues trial {parent.id[:7]}" in found.notes[0]
    assert verify(journal, branch, trial([losses(10)[5:]], parent=parent.id), EXACT).notes == ()


def test_processes_are_paired_by_what_they_logged_first(journal, trial):
    ranks = [[{"rank": rank, "step": step} for step in range(10)] for rank in range(4)]
    assert verify(journal, trial(ranks), trial([ranks[2], ranks[0], ranks[3], ranks[1]]), EXACT).reproduced
    found = verify(journal, trial(ranks), trial(ranks[:3]), EXACT)
    assert found.differences == (Difference("count", "statistics", 1, 10, 0),)
    assert found.statistics == (40, 30)


def test_memory_does_not_grow_with_what_was_logged(journal, trial):
    """Side by side, a segment at a time: 16 MB each."""
    before, after = (trial([losses(8_000, text="x" * 2000)], piece=100) for _ in range(2))
    tracemalloc.start()
    assert verify(journal, before, after, EXACT).reproduced
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20


def test_the_repetition_is_the_newest_that_follows_the_trial(journal, trial):
    original = trial(created=1.0)
    trial(created=2.0, previous=original.id)
    mine = trial(created=5.0, previous=original.id)
    trial(created=6.0)
    assert repetition_of(journal, original, 4.0).id == mine.id
    assert repetition_of(journal, original, 5.5) is None


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_inputs_that_changed_since(tmp_path):
    root = repository(tmp_path, {"train.py": "1\n", ".gitignore": "data\n*.csv\n__pycache__\nresults\nout\n"})
    write(root, {"data/a/old": "1", "data/a/new": "1", "x.csv": "1", "y.csv": "1", "__pycache__/m.pyc": "1", "results/r": "1"})
    write(root, {"out/log": "1"})
    for name in ("data/a/old", "y.csv"):
        os.utime(root / name, (50, 50))
    paths = inputs.beside(str(root), {"kind": "git", "left_out": [{"path": "big.bin"}]}, patience=600.0)
    assert paths == ["big.bin", "data/", "out/", "x.csv", "y.csv"]
    assert inputs.changed(str(root), paths, 100.0, ["out/log"], budget=600.0) == ["data/a/new", "x.csv"]
    assert inputs.changed(str(root), paths, 100.0, budget=0.0) == []


def test_inputs_outside_git(tmp_path):
    root = tmp_path / "project"
    write(root, {"train.py": "1\n", "package/m.py": "1\n", "data/x": "1", "y.csv": "1"})
    document = {"kind": "files", "changes": {"train.py": [], "package/m.py": []}}
    assert inputs.beside(str(root), document) == ["data/", "y.csv"]
