"""Scopes inside real scripts: what statistics inherit, and what is kept when something goes wrong."""

from __future__ import annotations

import os

import pytest
from commands import PYTHON, info, kleio, printed, script, trials

from kleio.core import branch, lineage, statistics
from kleio.core.journal import open_journal
from kleio.core.statistics import Record, pack, unpack

IMPORT = "from kleio.client.logger import kleio_logger as k\n"


def run(tmp_path, text, check=0, **environment):
    path = script(tmp_path, IMPORT + text)
    return kleio(PYTHON, path, cwd=tmp_path, check=check, **environment)


def logged(uri, trial=None):
    """(values, number of the scope or None) of every statistic, in the order of their times; and all scopes."""
    journal = open_journal(uri, writing=False)
    try:
        entry = journal.entry(trial or trials()[0]["id"])
        found, scopes = lineage.logged(journal, entry)
        return [(dict(one.values), scope and scope.number) for one, scope in found], list(scopes)
    finally:
        journal.close()


def test_statistics_inherit_at_any_depth_and_values_are_stored_once(tmp_path, journal_uri):
    run(
        tmp_path,
        """
with k.scope(experiment=1) as experiment:
    for episode in range(2):
        run = experiment.scope(episode=episode)
        run.log_statistic(x=1, y=episode)
        run.add(loss=0.3); run.add(lr=0.1); run.commit()
        experiment.set(seed=3)
k.log_statistic(outside=True)
inner = k.scope(a=1).scope(b=2).scope(c=3).scope(a=4)
inner.log_statistic(d=5, b=6)
k.add(p=1); k.commit(q=2)
k.commit()
""",
    )
    found, scopes = logged(journal_uri)
    assert found == [
        ({"experiment": 1, "seed": 3, "episode": 0, "x": 1, "y": 0}, 2),
        ({"experiment": 1, "seed": 3, "episode": 0, "loss": 0.3, "lr": 0.1}, 2),
        ({"experiment": 1, "seed": 3, "episode": 1, "x": 1, "y": 1}, 3),
        ({"experiment": 1, "seed": 3, "episode": 1, "loss": 0.3, "lr": 0.1}, 3),
        ({"outside": True}, None),
        ({"a": 4, "b": 6, "c": 3, "d": 5}, 7),
        ({"p": 1, "q": 2}, None),
    ]
    assert [scope.own for scope in scopes] == [{"experiment": 1, "seed": 3}, {"episode": 0}, {"episode": 1}, {"a": 1},
                                               {"b": 2}, {"c": 3}, {"a": 4}]  # fmt: skip
    assert all(scope.over is not None and scope.over >= scope.started for scope in scopes[:3])
    assert scopes[-1].over is None
    summary = info(trials()[0]["id"])["summary"]
    assert (summary["episode"]["count"], summary["episode"]["max"], summary["experiment"]["count"]) == (2, 1, 1)
    assert summary["x"]["count"] == 2


def test_the_script_reads_scopes_beside_its_statistics(tmp_path, journal_uri):
    done = run(
        tmp_path,
        """
with k.scope(model="a") as model:
    model.log_statistic(x=1)
model = k.scope(model="b")
model.log_statistic(x=2)
one, two = k.load_statistic("x")
print(one["model"], one.scope.number, one.scope.error, one.scope.duration >= 0, one.scope.start <= one.scope.end)
print(two["model"], two.scope.end, two.scope.duration, k.load_statistic(model="b") == [two], dict(two.scope))
model.set(rank=2)
print(k.load_statistic("x", rank=2)[0]["x"], [scope.own for scope in k.load_scopes(model="b")], model.number)
""",
    )
    assert done.stdout.splitlines() == [
        "a 1 None True True",
        "b None None True {'model': 'b'}",
        "2 [{'model': 'b', 'rank': 2}] 2",
    ]


def test_what_was_not_committed_when_it_fails_is_kept_and_marked(tmp_path, journal_uri):
    run(
        tmp_path,
        """
try:
    with k.scope(fold=1) as fold:
        step = fold.scope(step=2)
        step.add(loss=0.5)
        fold.add(a=1)
        fold.log_statistic(ok=1)
        raise ValueError("the loss is NaN")
except ValueError:
    pass
with k.scope(fold=2) as fold:
    fold.add(fine=1)
k.add(left=1)
for scope in k.load_scopes():
    print(dict(scope), scope.error, scope.uncommitted)
""",
    )
    found, scopes = logged(journal_uri)
    assert [values for values, _ in found] == [{"fold": 1, "ok": 1}, {"fold": 2, "fine": 1}]
    told = {scope.number: (scope.own, scope.error, scope.uncommitted) for scope in scopes}
    error = {"type": "ValueError", "message": "the loss is NaN"}
    assert told == {
        0: ({}, None, [{"left": 1}]),
        1: ({"fold": 1}, error, [{"a": 1}]),
        2: ({"step": 2}, None, [{"loss": 0.5}]),
        3: ({"fold": 2}, None, []),
    }
    text = printed("info", trials()[0]["id"])
    assert "1 ended by an error, the last (fold=1) by ValueError: the loss is NaN" in text
    assert "3 records added to, but never committed" in text
    assert "loss" not in info(trials()[0]["id"])["summary"]


def test_threads_tasks_and_forks_do_not_mix_their_records(tmp_path, journal_uri):
    run(
        tmp_path,
        """
import asyncio, os, threading
shared = k.scope(what="shared")
barrier = threading.Barrier(4)
def work(n):
    for round in range(20):
        shared.add(a=n)
        barrier.wait()
        shared.add(b=n)
        barrier.wait()
        shared.commit(kind="thread")
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
async def task(n):
    shared.add(a=n)
    await asyncio.sleep(0)
    shared.add(b=n)
    await asyncio.sleep(0)
    shared.commit(kind="task")
async def main():
    await asyncio.gather(*[task(n) for n in range(5)])
asyncio.run(main())
shared.add(a=100)
pids = []
for n in (1, 2):
    pid = os.fork()
    if pid == 0:
        inner = shared.scope(child=n)
        inner.add(a=n); inner.commit(b=n, kind="fork")
        shared.add(b=n)
        shared.commit(a=n, kind="fork")
        os._exit(0)
    pids.append(pid)
[os.waitpid(pid, 0) for pid in pids]
shared.set(late=1)
shared.commit(b=100, kind="main")
""",
    )
    found, scopes = logged(journal_uri)
    assert all(values["a"] == values["b"] and values["what"] == "shared" and values["late"] == 1 for values, _ in found)
    kinds = [values["kind"] for values, _ in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {"thread": 80, "task": 5, "fork": 4, "main": 1}
    assert sorted(values["child"] for values, _ in found if "child" in values) == [1, 2]
    assert len(scopes) == 3  # a fork goes on in the same scope, and the two that it opened are two
    assert len({number for _, number in found if number}) >= 2


def test_scopes_that_begin_and_end_in_several_threads_disturb_nobody(tmp_path):
    done = run(
        tmp_path,
        """
import sys, threading
sys.setswitchinterval(1e-6)
root = k.scope(a=1)
kept = [root.scope(s=n) for n in range(300)]
for one in kept: one.add(q=1)
over = threading.Event()
def opens():
    while not over.is_set():
        one = root.scope(o=1); one.add(x=1); one.commit()
def closes():
    for n in range(200):
        with root.scope(c=n) as one: one.add(y=1)
opening = [threading.Thread(target=opens) for _ in range(2)]
closing = [threading.Thread(target=closes) for _ in range(2)]
[t.start() for t in opening + closing]; [t.join() for t in closing]
over.set(); [t.join() for t in opening]
""",
    )
    assert "Error" not in done.stderr
    found, scopes = logged(f"sqlite:///{os.environ['KLEIO_HOME']}/journal.db")
    assert sorted(values["c"] for values, _ in found if "c" in values) == sorted([*range(200)] * 2)
    assert sum(len(scope.uncommitted) for scope in scopes) == 300


def test_values_of_a_scope_are_metadata_whatever_their_names(tmp_path):
    done = run(
        tmp_path,
        """
k.scope(filename="f", artifact=1, wait=0, keep_last=1, keep_best=3, self=4).log_artifact("x", b"1", n=1)
k.scope(keep_last=1).log_artifact("x", b"2", n=2)
for one in k.load_artifacts("x"): print(one.meta)
""",
    )
    assert done.stdout.splitlines() == [
        "{'filename': 'f', 'artifact': 1, 'wait': 0, 'keep_last': 1, 'keep_best': 3, 'self': 4, 'n': 1}",
        "{'keep_last': 1, 'n': 2}",
    ]


def test_very_deep_scopes_and_a_clock_that_is_set_back(tmp_path):
    done = run(
        tmp_path,
        """
import os, time
one = k.scope(depth=0)
for depth in range(1, 1200): one = one.scope(depth=depth)
one.log_statistic(x=1); one.log_artifact("a", b"")
if os.fork() == 0:
    one.log_statistic(x=2)
    os._exit(0)
os.wait()
now = time.time_ns
with k.scope(back=1): time.time_ns = lambda: now() - 50_000_000_000
time.time_ns = now
print([one["depth"] for one in k.load_statistic("x")], k.load_artifacts("a")[0].meta, k.load_scopes(back=1)[0].duration)
""",
    )
    assert done.stdout == "[1199, 1199] {'depth': 1199} 0.0\n"


def test_info_counts_the_scopes_that_count(tmp_path):
    text = """
import sys
k.resume_from(k.latest_artifact("ck"))
if k.execution == 1:
    k.scope(a=1); k.log_artifact("ck", b"1"); k.scope(a=2).scope(b=3)
sys.exit(k.execution == 1)
"""
    run(tmp_path, text, check=1)
    run(tmp_path, text)
    (trial,) = trials()
    assert "scopes     1\n" in printed("info", trial["id"])
    assert "scopes     3\n" in printed("info", "--all-executions", trial["id"])


def test_a_branch_cuts_at_a_value_that_a_scope_has(tmp_path, journal_uri):
    run(
        tmp_path,
        """
for epoch in range(4):
    with k.scope(epoch=epoch) as scope:
        for step in range(3):
            scope.log_statistic(step=step)
        scope.set(done=True)
""",
    )
    journal = open_journal(journal_uri)
    entry = journal.entry(trials()[0]["id"])
    cut = branch.cut(journal, entry, "epoch=1", "branch")
    summaries = statistics.combine(branch.inherited_summaries(journal, entry.id, "c" * 32, cut))
    kept = [record for part in cut.parts for record in _of_part(journal, part)]
    journal.close()
    assert [one.values for one in kept if one.mark[1:].isdigit()] == [{"step": n} for n in (0, 1, 2, 0, 1, 2)]
    assert (summaries["epoch"]["last"], summaries["step"]["count"]) == (1, 6)


def _of_part(journal, part):
    segments = journal.segments(part.trial, (part.stream,), None, {part.key: part.end})
    return statistics.records(lineage.clipped(segment, part.end) for segment in segments)


def test_marks_are_packed_and_come_back():
    marks = ["", "@1", "@1", "", "@+2", "@2", "@2"]
    records = [Record(at * 20, at, {"x": at}, mark) for at, mark in enumerate(marks)]
    assert unpack(pack(records)) == records
    plain = [Record(at, at, {"x": at}) for at in range(3)]
    assert pack(plain)[:3] == b"KS1"  # an older kleio reads what has no marks, and refuses the others
    assert pack(records)[:3] == b"KS2"


@pytest.mark.parametrize("marked", [True, False])
def test_a_scoped_point_takes_few_bytes(marked):
    import random

    rng = random.Random(1)
    points = [
        Record(
            70 * n, 1_700_000_000_000_000_000 + 5_000 * n + rng.randrange(900), {"x": rng.random(), "y": rng.random()},
            "@7" if marked else "",
        )
        for n in range(4_000)
    ]  # fmt: skip
    assert len(pack(points)) / (2 * len(points)) < 12


def test_without_kleio_statistics_are_printed_with_what_they_inherit(tmp_path):
    import subprocess

    text = "s = k.scope(a=1)\ns.log_statistic(x=1)\ns.add(y=2)\ns.commit()\n"
    text += "print(k.execution, k.load_scopes(), k.latest_artifact('w'))\n"
    path = script(tmp_path, IMPORT + text + "with k.scope(b=object()): pass\nk.resume_from(None)\n")
    done = subprocess.run([PYTHON, path], capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ)
    assert done.stdout == "1 [] None\n"
    assert done.stderr == 'kleio_logger: {"a":1,"x":1}\nkleio_logger: {"a":1,"y":2}\n'


def test_values_that_cannot_be_kept_cost_a_scope_only_themselves(tmp_path):
    done = run(tmp_path, "s = k.scope(a=1, bad=object())\ns.log_statistic(x=1)\ns.set(worse=object(), c=2)\nprint('end')")
    assert done.stdout == "end\n"
    found, _ = logged(f"sqlite:///{os.environ['KLEIO_HOME']}/journal.db")
    assert found == [({"a": 1, "c": 2, "x": 1}, 1)]
    assert [done.stderr.count(f"'{name}' cannot be recorded") for name in ("bad", "worse")] == [1, 1]


def test_very_many_distinct_names_neither_grow_nor_stop_the_script(tmp_path):
    done = run(
        tmp_path,
        """
import tracemalloc
def log(numbers):
    for n in numbers:
        k.log_statistic(**{f"key{n}": n})
tracemalloc.start()
log(range(2_000))
before = tracemalloc.get_traced_memory()[0]
log(range(2_000, 22_000))
print(tracemalloc.get_traced_memory()[0] - before < 500_000)
""",
    )
    assert done.stdout == "True\n"
    shown = printed("info", trials()[0]["id"])
    assert "… and 9,800 more (--json)" in shown
    assert len(shown.splitlines()) < 250
