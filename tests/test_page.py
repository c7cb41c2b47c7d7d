"""``kleio info``: the page of a trial."""

from __future__ import annotations

import math
import os
import re
import subprocess

import pytest
from commands import KLEIO, on_a_terminal, printed, read

from kleio.cli import render_info
from kleio.cli.render_courses import BLOCKS, PLAIN, sparkline
from kleio.core import glance as glancing
from kleio.core import statistics
from kleio.core.glance import POINTS, glance
from kleio.core.journal.base import Segment
from kleio.core.statistics import Record
from kleio.core.trial import Event

NAN, INF = float("nan"), float("inf")
CURVE = [{"epoch": n, "loss": 1 / (n + 1), "train": {"acc": n / 100}} for n in range(24)]


def section(page, title):
    """The lines below a title."""
    lines = page.splitlines()
    at = next(n for n, line in enumerate(lines) if line.split()[:1] == title.split()[:1] and not line.startswith(" "))
    return [line.strip() for line in lines[at + 1 : next((n for n in range(at + 1, len(lines)) if lines[n][0] != " "), None)]]


def courses(records, trial, *keys, all_executions=False):
    return glance(records.journal, records.journal.entry(trial), keys, all_executions)


def test_statistics_have_their_course_and_where_their_extremes_were(records):
    page = printed("info", records.trial(CURVE))
    head, epoch, loss, acc = ["statistics  " + page.partition("\nstatistics")[2].splitlines()[0], *section(page, "statistics")]
    assert head.split() == ["statistics", "last", "min", "@epoch", "max", "@epoch", "count", "mean"]
    assert loss.split() == ["loss", "▇▃▂▂▂▁▁▁▁▁▁▁", "0.04167", "0.04167", "23", "1", "0", "24", "0.1573"]
    assert acc.split() == ["train/acc", "▁▂▂▃▃▄▄▅▅▆▆▇", "0.23", "0", "0", "0.23", "23", "24", "0.115"]
    assert epoch.split() == ["epoch", "▁▂▂▃▃▄▄▅▅▆▆▇", "23", "0", "23", "24", "11.5"]


def test_where_is_said_by_what_counts_there_or_by_the_scope(local):
    trial = local.trial([
        {"iter": 1, "loss": 3.0},
        ({"values": {"epoch": 7}}, "@+1"),
        ({"loss": 1.0}, "@1"),
        ({"loss": 9.0, "step": 4}, "@1"),
        ({"values": {"fold": "a"}}, "@+2"),
        ({"loss": 2.0}, "@2"),
        ({"error": None}, "@-1"),
    ])  # fmt: skip
    found = courses(local, trial, "loss")
    assert found.courses["loss"].lowest == (1.0, ("epoch", 7))
    assert found.courses["loss"].greatest == (9.0, ("step", 4))
    assert [scope.own for scope in found.scopes if scope.number] == [{"epoch": 7}, {"fold": "a"}]
    line = next(line for line in printed("info", trial).splitlines() if line.startswith("  loss"))
    assert "epoch 7" in line
    assert "step 4" in line


def test_what_is_no_number_is_a_gap(local):
    values = [1.0, NAN, NAN, INF, 2.0, -INF, 10**400, "text", None, True, 3.0]
    trial = local.trial([{"x": value} for value in values] + [{"only": NAN}, {"only": NAN}])
    found = courses(local, trial, "x", "only").courses
    assert found["x"].heights == (1.0, None, None, None, 2.0, None, None, 3.0)
    assert found["only"].heights == (None, None)
    assert found["only"].lowest is None
    page = printed("info", trial)
    assert "▁   ▄  ▇" in page
    assert len(printed("info", trial, "--json")) > 0


@pytest.mark.parametrize(
    ("heights", "drawn"),
    [
        ((), ""), ((1.0,), "▁"), ((2.0, 2.0), "▁▁"), ((0.0, None, 6.0), "▁ ▇"), ((-1e308, 0.0, 1e308), "▁▄▇"),
        ((5e-324, 0.0), "▇▁"), ((0, 1, 2, 3, 4, 5, 6), BLOCKS), ((None,), " "),
    ],
)  # fmt: skip
def test_sparklines(heights, drawn):
    assert sparkline(heights, BLOCKS) == drawn
    assert sparkline(heights, PLAIN).isascii()


def test_of_very_much_some_is_looked_at(local, monkeypatch):
    monkeypatch.setattr(glancing, "MOST", 4000)
    monkeypatch.setattr(glancing, "ENOUGH", 1000)
    looked = []
    monkeypatch.setattr(glancing._Piece, "look", lambda self, _, look=glancing._Piece.look: looked.append(1) or look(self, _))
    trial = local.trial()
    execution = local.journal.entry(trial).executions[0].id
    local.log(trial, execution, 1.7e9, [{"step": n, "loss": 2000.0 - n} for n in range(2000)], piece=10)
    found = courses(local, trial, "loss")
    assert (found.whole, found.courses["loss"].lowest) == (False, None)
    assert len(looked) <= 2 * POINTS
    heights = found.courses["loss"].heights
    assert len(heights) == POINTS
    assert list(heights) == sorted(heights, reverse=True)
    assert heights[0] > 1850
    assert heights[-1] < 150
    assert re.search(r"loss +▇▆▆▅▅▄▄▃▃▂▂▁ +1 +1 +2000 +2000", printed("info", trial))


def test_a_branch_goes_on_where_its_parent_was_cut(local):
    first = local.trial(CURVE[:4])
    own = local.journal.entry(first).executions[0]
    cut = {"criterion": "epoch=1", "by": "branch", "changed": [], "ends": [[first, own.id, "w0", "statistics", 20]]}
    branch = local.trial([{"epoch": 2, "loss": 7.0}], parent=first, cut=cut)
    assert courses(local, branch, "loss").courses["loss"].heights == (1.0, 0.5, 7.0)


def test_what_was_given_up_by_resuming_does_not_count(local):
    trial = local.trial([{"epoch": n, "loss": float(n)} for n in range(4)])
    first = local.journal.entry(trial).executions[0]
    again = "f" * 32
    local.journal.record(trial, Event("again", "running", first.started + 50, 2, again, {"host": "here", "user": "me"}))
    local.log(trial, again, first.started + 51, [{"epoch": 2, "loss": 9.0}])
    said = {"execution": first.id, "time": int((first.started + 1.5) * 1e9), "artifact": "w.pt"}
    local.journal.record(trial, Event("said", "resumed", first.started + 50.5, 2, again, said))
    assert courses(local, trial, "loss").courses["loss"].heights == (0.0, 1.0, 9.0)
    everything = courses(local, trial, "loss", all_executions=True).courses["loss"]
    assert everything.heights == (0.0, 1.0, 2.0, 3.0, 9.0)


def test_each_value_counts_once_in_the_order_of_time_if_it_was_committed(local):
    trial = local.trial()
    execution = local.journal.entry(trial).executions[0].id
    local.log(trial, execution, 2000.0, [{"x": 3.0}, {"x": 4.0}, ({"x": -5.0}, "@!0")], writer="a")
    local.log(trial, execution, 1000.0, [{"x": 1.0}, {"x": 2.0}], writer="b")
    again = [Record(10, int(1001e9), {"x": 2.0}), Record(20, int(1002e9), {"x": 2.5})]
    local.journal.append([Segment(trial, execution, "b", "statistics", 10, 30, statistics.pack(again))])
    found = courses(local, trial, "x").courses["x"]
    assert found.heights == (1.0, 2.0, 2.5, 3.0, 4.0)
    assert (found.lowest, found.greatest) == ((1.0, None), (4.0, None))


def test_the_lineage_and_what_was_started_within(records):
    first = records.trial(CURVE[:4])
    entry = records.journal.entry(first)
    cut = {"criterion": "epoch=1", "by": "branch", "changed": [],
           "ends": [[first, entry.executions[0].id, "w0", "statistics", 20]]}  # fmt: skip
    branch = records.trial(parent=first, cut=cut, status="broken")
    inner = [records.trial(within=first, command=("python", f"inner\x1b[2J{n}.py"), ended=n != 1) for n in range(3)]
    later = records.trial(previous=first)
    page = printed("info", first)
    assert section(page, "lineage") == [
        f"{branch[:7]}  a branch of this one at epoch=1, broken",
        f"{inner[0][:7]}  run within this one, completed: python 'inner␛[2J0.py'",
        f"{inner[1][:7]}  run within this one, running: python 'inner␛[2J1.py'",
        f"{inner[2][:7]}  run within this one, completed: python 'inner␛[2J2.py'",
        f"{later[:7]}  the same work, later, completed",
    ]
    found = read("info", first, "--json")
    assert (found["branches"], found["inner"], found["followers"]) == ([branch], inner, [later])
    assert f"{first[:7]}  continued, completed" in printed("info", branch)
    assert f"compare  kleio compare {first[:7]} {branch[:7]}" in printed("info", branch)


def test_what_comes_next_is_ready_to_paste(local):
    done = local.trial(CURVE, artifacts=[("weights.pt", b"w", {}), ("the best.pt", b"b", {})])
    broken = local.trial(CURVE, status="broken", previous=done)
    running = local.trial(ended=False, artifacts=[("bad\nname", b"w", {})])
    short = done[:7]
    lines = dict(line.split("  ", 1) for line in section(printed("info", done), "next"))
    assert {name: said.strip() for name, said in lines.items() if name != "plot"} == {
        "run again": f"kleio run {short}", "output": f"kleio cat {short}", "artifact": f"kleio get {short} 'the best.pt'",
    }  # fmt: skip
    assert section(printed("info", broken), "next")[:2] == [
        f"resume   kleio run {broken[:7]}", f"branch   kleio branch --timestamp epoch=23 {broken[:7]}",
    ]  # fmt: skip
    assert f"compare  kleio compare {short} {broken[:7]}" in section(printed("info", broken), "next")
    assert section(printed("info", running), "next") == [
        f"follow    kleio tail -f {running[:7]}", f"output    kleio cat {running[:7]}",
        f"artifact  kleio artifacts {running[:7]}",
    ]  # fmt: skip


def test_json_has_artifacts_and_resources(records):
    trial = records.trial(artifacts=[("w.pt", b"w", {"epoch": 1, "loss": NAN})])
    entry = records.journal.entry(trial)
    read_ = Record(0, 1, {"path": "data.csv", "kind": "file", "size": 3, "sha256": "ab" * 32, "meta": {}})
    packed = statistics.pack([read_])
    records.journal.append([Segment(trial, entry.executions[0].id, "w0", "resources", 0, 10, packed)])
    found = read("info", trial, "--json")
    (artifact,) = found["artifacts"]
    assert artifact["meta"] == {"epoch": 1, "loss": "NaN"}
    assert (artifact["trial"], artifact["number"]) == (trial, 1)
    (resource,) = found["resources"]
    assert (resource["path"], resource["sha256"], resource["change"]) == ("data.csv", "ab" * 32, None)


def test_on_a_terminal_long_values_are_cut_and_nothing_is_obeyed(local):
    evil = "evil\x1b[2J" * 200
    wide = "日本" * 300
    trial = local.trial(
        [{"epoch": 1, evil: 1.0, wide: 2.0, "text": evil}, {"epoch": 2, "loss": -1.2345e-5}],
        [(wide, b"x", {evil: evil})],
        "broken",
        params={"evil": evil, wide: "x", "nested": {"a": [evil] * 50}},
        command=("sh", evil),
        reports=[("exception", {"type": "ValueError", "message": evil + "\nsecond", "traceback": evil, "process": "1"})],
    )
    for columns in (40, 80, 200):
        page = on_a_terminal("info", trial, columns=columns, NO_COLOR="1")
        assert "\x1b" not in page
        title, *lines = page.splitlines()
        assert title.startswith(f"trial {trial}")
        assert max(len(line) for line in lines) <= 3 * columns
        assert max(len(line) for line in lines if line.startswith("  loss") or "statistics" in line) <= columns
    assert evil in read("info", trial, "--json")["params"]["evil"]


def test_where_the_encoding_has_no_blocks(local):
    trial = local.trial(CURVE, params={"text": "日本"})
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([*KLEIO, "info", trial], capture_output=True, check=True, env=ascii_only).stdout.decode("ascii")
    assert "text  ??" in shown
    assert re.search(r"loss +#[_.~=+*-]{11} ", shown)


def test_a_page_looks_at_no_other_trials(local, monkeypatch):
    """However many there are: nothing is asked for all of them."""
    trial = local.trial(CURVE)
    for _ in range(20):
        local.trial()
    asked = []
    kind = type(local.journal)
    entries = kind.entries

    def listening(self, selection, limit=None):
        asked.append(selection)
        return entries(self, selection, limit)

    monkeypatch.setattr(kind, "entries", listening)
    printed("info", trial)
    assert all(one.ids is not None or one.parent is not None for one in asked)
    assert sum(len(one.ids or ()) for one in asked) == 0


def test_means_are_finite_where_numbers_are_huge():
    assert math.isclose(glancing._mean([1e308, 1e308]), 1e308)
    assert glancing._mean([10**400]) is None
    assert glancing._mean([INF, NAN]) is None


def test_what_the_machine_gave_stands_apart_and_brief(local):
    told = [{"loss": 1.0, "system.memory": 3 * 2**20, "system.cpu": 97.5, "system.read_rate": 2048, "system.written": 4096}]
    page = printed("info", local.trial(told)).splitlines()
    at = page.index("system")
    assert [line.split(maxsplit=1) for line in page[at + 1 : at + 5]] == [
        ["cpu", "mean 98 %, max 98 %"], ["memory", "mean 3.0 MiB, max 3.0 MiB"],
        ["read", "rate  mean 2.0 KiB/s, max 2.0 KiB/s"], ["written", "4.0 KiB"],
    ]  # fmt: skip
    assert not any("system." in line for line in page)


def test_numbers_in_remarks_are_rounded_and_nobody_is_no_place(local):
    said = {"execution": "", "time": 0, "artifact": ""}
    trial = local.trial(reports=[("resumed", said | {"execution": "0" * 32, "artifact": "a.b=1.25 v=0.08563437582343703"})])
    assert "went on from a.b=1.25 v=0.08563: " in printed("info", trial)
    nobody = {"number": 1, "user": "", "host": "", "status": "completed", "started": "2024-01-01T00:00:00Z", "ended": None}
    assert "@" not in render_info._attempt(nobody | {"reason": None}, str)
