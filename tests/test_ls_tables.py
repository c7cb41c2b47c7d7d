"""``kleio ls`` as a table tool: columns, groups, order, tail and exports, of one journal of each kind."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path
from uuid import uuid4

import pytest
from commands import printed

from kleio.core import finding
from kleio.core.errors import KleioError, UsageError
from kleio.core.indexing import index
from kleio.core.journal import open_journal
from kleio.core.journal.base import Summary
from kleio.core.query_syntax import QueryError
from kleio.core.trial import Event, Trial

EPOCH = 1_790_000_000.0
LOSSES = {  # by k and method: numbers, one that is none, one that is missing
    (2, "sgd"): [0.5, 0.25, 0.75],
    (2, "adam"): [0.125, math.nan],
    (4, "sgd"): [1.0],
    (4, "adam"): [None, 0.5],
    (None, "sgd"): [2.0, 4.0],
}


def added(journal, at, params, summary, status="completed", tags=(), ends=True):
    trial, execution, created = f"{at:032x}"[::-1], uuid4().hex, EPOCH + 60 * at
    params = {name: value for name, value in params.items() if value is not None}
    journal.create(Trial(trial, f"{at:032x}", "p", ("python", "train.py"), ".", created, params))
    journal.claim(trial, execution, {"host": "here", "user": "me", "started": created, "pid": 1}, 3600)
    if tags:
        journal.record(trial, Event(f"annotated-{at}", "annotated", created, 1, None, {"tags": list(tags)}))
    keys = {key: {"count": 3, "time": 1, "last": value} for key, value in summary.items() if value is not None}
    for own in keys.values():
        if isinstance(own["last"], (int, float)) and own["last"] == own["last"]:
            own.update(dict.fromkeys(("min", "max", "first", "sum"), own["last"]) | {"numbers": 1, "since": 1})
    journal.summarise(Summary(trial, execution, "w", 10, keys))
    if ends:
        ended = {"status": status, "exit_code": 0 if status == "completed" else 1}
        journal.record(trial, Event(f"ended-{execution}", "ended", created + at, 1, execution, ended))
        index(journal, trial)
    return trial


@pytest.fixture
def swept(journal_uri, workplace):
    journal = open_journal(journal_uri)
    at = 0
    for (k, method), losses in LOSSES.items():
        for loss in losses:
            at += 1
            params = {"k": k, "method": method, "seed": at, "same": 1, "deep": {"flag": at % 2 == 0}}
            summary = {"loss": loss, "train/acc": at / 10, "epoch": 9, "note": "fine" if at % 3 else "so so"}
            added(journal, at, params, summary, "broken" if at == 3 else "completed", ["even"] if at % 2 == 0 else [])
    journal.close()


def rows(*words):
    """What is printed in a pipe: the headings and the rows."""
    lines = printed("ls", "-a", *words).splitlines()
    return lines[0].split("\t"), [line.split("\t") for line in lines[1:]]


def objects(*words):
    return json.loads(printed("ls", "-a", "--json", *words))


def test_columns_by_the_names_of_queries(swept):
    names = 'id,status, params.k,params.deep.flag,summary["train/acc"].max,summary.loss.count,duration,created,tags,command'
    head, found = rows("--columns", names, "--sort", "params.seed", "-n", "2")
    assert head == [name.strip() for name in names.split(",")]
    assert found[1] == [
        f"{2:032x}"[::-1], "completed", "2", "true", "0.2", "3", "2.0", "2026-09-21T14:15:20.000000Z", "even",
        "python train.py",
    ]  # fmt: skip
    assert found[0][3] == "false"
    assert found[0][8] == ""
    assert rows("--columns", "params.seed", "--columns", "status,params.seed", "-n", "1")[0] == ["params.seed", "status"]
    assert objects("--columns", "params.k,summary.loss", "--where", "params.k == 2 and params.method == 'adam'") == [
        {"params.k": 2, "summary.loss": "NaN"}, {"params.k": 2, "summary.loss": 0.125},
    ]  # fmt: skip
    assert printed("ls", "-a", "--columns", "params.seed", "--no-header", "--sort", "params.seed", "-n", "3") == "1\n2\n3\n"
    assert rows("--columns", "summary.loss", "--precision", "2", "--where", "params.seed == 3")[1] == [["0.75"]]


def test_the_last_of_what_would_be_shown(swept):
    def seeds(*words):
        return [int(seed) for (seed,) in rows("--columns", "params.seed", *words)[1]]

    assert seeds() == list(range(10, 0, -1))
    assert seeds("--tail", "3") == [3, 2, 1]
    assert seeds("--tail", "3", "--reverse") == [8, 9, 10]
    assert seeds("-n", "4", "--tail", "3") == [9, 8, 7]
    assert seeds("--tail", "0") == []
    assert seeds("--tail", "99", "-n", "2") == [10, 9]
    assert [one["params"]["seed"] for one in objects("--tail", "2", "--sort", "params.seed")] == [9, 10]
    assert printed("ls", "-a", "--ids", "--tail", "2").split() == [f"{at:032x}"[::-1] for at in (2, 1)]
    assert objects("--ids", "-n", "1") == [f"{10:032x}"[::-1]]


def test_groups(swept):
    head, found = rows("--group-by", "params.k,params.method", "--columns", "summary.loss,status,count")
    figures = ["loss_mean", "loss_std", "loss_min", "loss_max", "loss_count"]
    assert head == ["params.k", "params.method", *figures, "status", "count"]
    assert [row[:2] for row in found] == [["2", "adam"], ["2", "sgd"], ["4", "adam"], ["4", "sgd"], ["", "sgd"]]
    for row in found:
        losses = LOSSES[int(row[0]) if row[0] else None, row[1]]
        numbers = [loss for loss in losses if loss is not None and loss == loss]
        wanted = [statistics.mean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None, min(numbers), max(numbers)]
        assert [float(cell) if cell else None for cell in row[2:6]] == pytest.approx(wanted)
        assert (row[6], row[8]) == (str(len(numbers)), str(len(losses)))
    assert found[1][7] == "completed:2 broken:1"


def test_groups_are_sorted_by_their_columns(swept):
    def keys(*words):
        return [(row[0], row[1]) for row in rows("--group-by", "params.k,params.method", *words)[1]]

    ascending = [("2", "adam"), ("2", "sgd"), ("4", "adam"), ("4", "sgd"), ("", "sgd")]
    assert keys("--sort", "loss_mean") == ascending
    assert keys("--sort=-loss_mean") == [("", "sgd"), ("4", "sgd"), ("2", "sgd"), ("4", "adam"), ("2", "adam")]
    assert keys("--sort=-summary.loss.last_std", "--tail", "4")[0] == ("2", "sgd")
    assert keys("--sort", "loss_std")[2:] == [("2", "adam"), ("4", "adam"), ("4", "sgd")]  # without one last, either way
    assert keys("--sort=-loss_std")[2:] == [("2", "adam"), ("4", "adam"), ("4", "sgd")]
    assert keys("--sort=-count", "-n", "1") == [("2", "sgd")]
    assert keys("--sort=-params.method", "--sort", "params.k")[0] == ("2", "sgd")
    assert keys("--reverse")[0] == ("4", "sgd")
    assert keys("--where", "params.k == 2", "--tail", "1") == [("2", "sgd")]


def test_columns_of_groups(swept):
    names = ["loss_mean", "train/acc_max", "params.k", "params.method", "duration_min", "tags"]
    head, found = rows("--group-by", "params.k", "--columns", ",".join(names))
    assert head == names
    assert [row[2:] for row in found] == [
        ["2", "sgd:3 adam:2", "1.0", "even:2"], ["4", "adam:2 sgd:1", "6.0", "even:2"], ["", "sgd:2", "9.0", "even:1"],
    ]  # fmt: skip
    assert rows("--group-by", "status", "--columns", "params.deep.flag,summary.note.last,created_max")[1] == [
        ["broken", "false:1", '"so so":1', "2026-09-21T14:16:20.000000Z"],
        ["completed", "true:5 false:4", 'fine:7 "so so":2', "2026-09-21T14:23:20.000000Z"],
    ]
    head, _ = rows("--group-by", "params.method")
    assert head[:3] == ["params.method", "count", "status"]
    assert {name.rpartition("_")[0] for name in head[3:] if "_" in name} == {"loss", "train/acc"}  # epoch does not differ
    deviation = statistics.stdev([0.5, 0.25, 0.75, 1, 2, 4])
    assert objects("--group-by", "params.method", "--columns", "summary.loss.min,count", "--tail", "1") == [
        {"params.method": "sgd", "loss.min_mean": pytest.approx(8.5 / 6), "loss.min_std": pytest.approx(deviation),
         "loss.min_min": 0.25, "loss.min_max": 4.0, "loss.min_count": 6, "count": 6},
    ]  # fmt: skip


def test_a_statistic_that_is_called_as_something_else(journal_uri, workplace):
    journal = open_journal(journal_uri)
    added(journal, 1, {"a": 1, "x_mean": 5}, {"duration": 7.0, "loss_mean": 3})
    journal.close()
    head, found = rows("--group-by", "params.a", "--columns", "duration,summary.duration,summary.loss_mean,params.x_mean")
    named = dict(zip(head, found[0], strict=True))
    assert (named["duration_mean"], named["summary.duration_mean"]) == ("1.0", "7.0")
    assert (named["loss_mean_mean"], named["params.x_mean_mean"]) == ("3.0", "5.0")


def test_what_runs_and_what_no_index_holds(journal_uri, workplace, monkeypatch):
    """Of many trials the index tells; the rest is looked at."""
    journal = open_journal(journal_uri)
    for at, python in enumerate(("3.11", "3.12")):
        journal.put_document(f"e{at}", {"python": {"version": python}})
    for at in range(8):
        day = f"2026-01-0{1 + at % 2}" if at % 4 else None
        huge = {"text": "x" * 5000} if at == 6 else {}
        trial = added(journal, at, {"day": day, "k": at % 3, "list": [1, at]} | huge, {"loss": at * 1.0}, ends=at != 5)
        journal.record(trial, Event(f"environment-{at}", "environment", EPOCH, 1, uuid4().hex, {"environment": f"e{at % 2}"}))
        if at != 5:
            index(journal, trial)
    journal.close()
    names = "params.day,params.k,params.list,summary.loss,status,environment.python.version"
    words = ["--columns", names, "--sort", "params.k"]
    looked_at = objects(*words)
    monkeypatch.setattr(finding, "BATCH", 3)
    monkeypatch.setattr(finding, "AT_ONCE", 2)
    assert objects(*words) == looked_at
    assert looked_at[0] == {
        "params.day": "2026-01-01", "params.k": 0, "params.list": [1, 6], "summary.loss": 6.0, "status": "completed",
        "environment.python.version": "3.11",
    }  # fmt: skip
    grouped = objects("--group-by", "params.day", "--columns", "count,status")
    assert grouped == [
        {"params.day": "2026-01-01", "count": 2, "status": "completed:2"},
        {"params.day": "2026-01-02", "count": 4, "status": "completed:3 reserved:1"},
        {"params.day": None, "count": 2, "status": "completed:2"},
    ]


def test_exports(swept, capsys):
    words = ["-a", "--group-by", "params.method", "--columns", "loss_mean,count", "--sort", "loss_mean"]
    for name in ("t.csv", "t.json", "t.md", "t.tex", "t.parquet", "t.pkl"):
        assert printed("ls", *words, "--export", name) == ""
        assert capsys.readouterr().err == f"kleio: 2 rows → {name}\n"
    lines = Path("t.csv").read_bytes().split(b"\r\n")
    assert lines == [b"params.method,loss_mean,count", b"adam,0.3125,4", b"sgd,1.4166666666666667,6", b""]
    assert Path("t.md").read_text() == (
        "| params.method | loss_mean | count |\n| ------------- | --------: | ----: |\n"
        "| adam          |    0.3125 |     4 |\n| sgd           |     1.417 |     6 |\n"
    )
    assert json.loads(Path("t.json").read_text())[1] == {"params.method": "sgd", "loss_mean": 8.5 / 6, "count": 6}
    assert "sgd & 1.417 & 6 \\\\" in Path("t.tex").read_text()
    import pandas as pd

    for frame in (pd.read_parquet("t.parquet"), pd.read_pickle("t.pkl")):
        assert frame.to_dict("list") == {"params.method": ["adam", "sgd"], "loss_mean": [0.3125, 8.5 / 6], "count": [4, 6]}


def test_an_export_has_all_trials_and_says_when_it_has_not(swept, capsys):
    printed("ls", "-a", "--export", "all.csv")
    head, *found = csv.reader(io.StringIO(Path("all.csv").read_text()))
    assert head[:8] == ["id", "status", "created", "duration", "name", "tags", "command", "project"]
    assert head[8:] == ["params.deep.flag", "params.method", "params.seed", "params.k", "summary.epoch", "summary.note",
                        'summary["train/acc"]', "summary.loss"]  # fmt: skip
    assert len(found) == 10
    assert capsys.readouterr().err == "kleio: 10 rows → all.csv\n"
    printed("ls", "-a", "--export", "few.json", "-n", "3")
    assert len(json.loads(Path("few.json").read_text())) == 3
    assert capsys.readouterr().err == "kleio: 3 rows → few.json\nkleio: 3 of 10 rows; -n 0: all\n"


def test_what_is_cut_without_being_asked_is_said(journal_uri, workplace, capsys):
    journal = open_journal(journal_uri)
    for at in range(21):
        added(journal, at, {"at": at}, {})
    journal.close()
    assert len(printed("ls", "-a").splitlines()) == 21
    assert capsys.readouterr().err == "kleio: these are the first 20; -n 0 lists all\n"
    for words in ("-n 20", "-n 0", "--ids", "--group-by status", "-n 21 --reverse", "-n 2 --columns id"):
        printed("ls", "-a", *words.split())
        assert capsys.readouterr().err == "", words
    printed("ls", "-a", "--export", "x.md")
    assert capsys.readouterr().err == "kleio: 21 rows → x.md\n"


def refused(*words, kind=KleioError):
    with pytest.raises(kind) as caught:
        printed("ls", "-a", *words)
    return caught.value.lines


def test_what_cannot_be_meant(swept, workplace):
    assert refused("--columns", "status,k", kind=QueryError) == ("there is no k; did you mean params.k?", "  k", "  ^")
    assert refused("--columns", "status,,id", kind=UsageError)[0].startswith("a name is missing: 'status,,id'")
    assert refused("--group-by", "params.k", "--sort", "loss_men", kind=QueryError)[0] == (
        "there is no loss_men; did you mean loss_mean?"
    )
    assert refused("--group-by", "k", kind=QueryError)[0] == "there is no k; did you mean params.k?"
    assert refused("--export", "x.xlsx", "--columns", "nonsense", kind=UsageError)[0].startswith("x.xlsx is of no format")
    assert "--ids" in refused("--ids", "--group-by", "status", kind=UsageError)[0]
    assert "one of them" in refused("--json", "--export", "x.md", kind=UsageError)[0]
    (workplace / "d.csv").mkdir()
    assert refused("--export", "d.csv") == ("d.csv is a directory; give the name of a file",)
    assert refused("--export", "no/x.csv")[0].startswith("no/x.csv cannot be written: there is no directory")
    assert [one.name for one in workplace.iterdir()] == ["d.csv"]
