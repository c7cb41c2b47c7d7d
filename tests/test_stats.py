"""``kleio stats``, on trials of both journals."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import printed
from rich.cells import cell_len
from test_statistics_reading import NAN, SECOND, START, Book

from kleio.cli import render_stats
from kleio.cli.render_table import separated
from kleio.core.errors import KleioError, UsageError
from kleio.core.journal.base import Segment
from kleio.core.spool import LAUNCHER, SYSTEM
from kleio.core.statistics import Record, pack
from kleio.core.trial import Event


@pytest.fixture
def book(journal_uri):
    made = Book(journal_uri)
    yield made
    made.journal.close()


@pytest.fixture
def local(home, monkeypatch):
    made = Book(f"sqlite:///{home}/journal.db")
    monkeypatch.setenv("KLEIO_JOURNAL", made.uri)
    yield made
    made.journal.close()


def lines(*words):
    """What a pipe gets."""
    return [line.split("\t") for line in printed("stats", *words).splitlines()]


def document(*words):
    return json.loads(printed("stats", *words, "--json"))


def a_training(book, lr=0.1):
    trial, (run,) = book.trial(params={"lr": lr})
    steps = [{"epoch": n // 3, "loss": 1 / (n + 1) ** lr, "training": True} for n in range(6)]
    book.log(trial, run, *enumerate([*steps, {"epoch": 1, "val": {"loss": NAN}}, {"note": "a\tb\x1b[31m 🙂 漢字"}]))
    return trial


def test_rows_and_keys(book):
    trial = a_training(book, 1)
    found = lines(trial)
    assert found[0] == ["time", "epoch", "loss", "training", "val/loss", "note"]
    assert found[1] == ["2023-11-14T22:13:20.000000Z", "0", "1.0", "true", "", ""]
    assert found[7][1:] == ["1", "", "", "nan", ""]
    assert found[8][-1] == "a␉b␛[31m 🙂 漢字"
    assert lines(trial, "--keys", "--precision", "3")[:3] == [
        ["key", "count", "min", "max", "mean", "last"],
        ["epoch", "7", "0", "1", "0.571", "1"],
        ["loss", "6", "0.167", "1", "0.408", "0.167"],
    ]
    assert lines(trial, "--key", "val/loss", "--key", "note", "--no-header")[0][1:] == ["nan", ""]
    where = "--where", "training and epoch == 1"
    assert [row[1] for row in lines(trial, *where, "--key", "loss", "--precision", "2")] == ["loss", "0.25", "0.2", "0.17"]
    assert [row[1:] for row in lines(trial, "--columns", "loss,note", "-n", "7", "--tail", "2")[1:]] == [
        ["0.16666666666666666", ""], ["", "a␉b␛[31m 🙂 漢字"]]  # fmt: skip
    assert [row[2] for row in lines(trial, *where, "--sort", "loss", "-n", "2")[1:]] == ["0.16666666666666666", "0.2"]
    assert [row[1] for row in lines(trial, "--key", "epoch", "--sort=-epoch", "--sort", "loss", "--tail", "3")[1:]] == ["0"] * 3
    assert [row[1] for row in lines(trial, "--key", "loss", "--reverse", "--tail", "1")[1:]] == ["1.0"]
    assert len(lines(trial, "--sort", "epoch", "--reverse", "--limit", "0")) == 9


def test_rows_in_a_pipe_come_one_by_one(capsys):
    def rows():
        yield ["1"]
        assert capsys.readouterr().out == "a\n1\n"
        yield ["2"]

    separated(["a"], rows())


def test_json(book):
    trial = a_training(book)
    found = document(trial)
    assert found[0] == {"time": "2023-11-14T22:13:20.000000Z", "trial": trial, "execution": found[0]["execution"],
                        "values": {"epoch": 0, "loss": 1.0, "training": True}}  # fmt: skip
    assert found[6]["values"] == {"epoch": 1, "val/loss": "NaN"}
    keys = document(trial, "--keys")
    assert keys["epoch"] == {"last": 1, "min": 0, "max": 1, "mean": 4 / 7, "count": 7}
    assert keys["val/loss"] == {"last": "NaN", "count": 1}
    assert document(trial, "--where", "epoch > 9") == []


def test_several_trials_by_ids_and_by_what_is_known_of_them(book):
    one, two = a_training(book, 0.1), a_training(book, 0.5)
    assert [row[1] for row in lines(two, one, "--key", "note")[1:]] == [two, one]
    assert {row["trial"] for row in document("--trials", "params.lr > 0.2", "-a", "--where", "epoch == 0")} == {two}
    assert {row["trial"] for row in document("--where", "params.lr < 0.2", "-a")} == {one}
    assert {row["trial"] for row in document("--include", "lr:0.5", "-a", "--where", "training")} == {two}
    with pytest.raises(UsageError, match="which trial"):
        printed("stats")


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.md", "x.tex", "x.parquet", "x.pkl"])
def test_export(local, workplace, name):
    trial = a_training(local)
    printed("stats", trial, "--export", name, "--where", "epoch != null", "--sort", "loss")
    if name == "x.parquet":
        found = pd.read_parquet(name)
    elif name == "x.pkl":
        found = pd.read_pickle(name)
    elif name == "x.csv":
        found = pd.read_csv(name)
    else:
        assert "loss" in Path(name).read_text()
        return
    assert list(found.columns) == ["time", "epoch", "loss", "training", "val/loss", "note"]
    assert found["loss"].tolist()[:6] == sorted(1 / (n + 1) ** 0.1 for n in range(6))
    assert found["epoch"].tolist() == [1, 1, 1, 0, 0, 0, 1]
    assert name == "x.csv" or found["time"].iloc[-1] == pd.Timestamp(START + 6 * SECOND, tz="UTC")


def test_bad_input_is_one_error_and_leaves_no_file(local, workplace):
    trial = a_training(local)
    wrong = {
        ("--where", "los > 1"): "there is no statistic los; did you mean loss?",
        ("--where", "loss >"): "something is missing at the end",
        ("--sort", "los"): "did you mean loss?",
        ("--key", "los"): "did you mean loss?",
        ("--key", "system.cpu"): "there is no statistic system.cpu",
        ("--export", "x.txt"): "x.txt is of no format",
        ("--tail", "-1"): "not in the range",
        ("--json",): "--export writes a file",
    }
    for words, said in wrong.items():
        with pytest.raises(UsageError, match=re.escape(said)):
            printed("stats", trial, "--export", "x.csv", *words)
    with pytest.raises(KleioError, match="no/x"):
        printed("stats", trial, "--export", "no/x.csv")
    assert list(workplace.iterdir()) == []


def test_what_was_given_up_and_what_was_sampled(book, capfd):
    trial, (first, second) = book.trial(executions=2)
    book.log(trial, first, (0, {"x": 1}), (5, {"x": 2})).log(trial, second, (9, {"x": 3}))
    data = {"execution": first, "time": START + SECOND, "artifact": "a"}
    book.journal.record(trial, Event("resumed", "resumed", START / 1e9 + 8, 2, second, data))
    sampled = [Record(0, START, {"system.cpu": 90.5}), Record(10, START + 4 * SECOND, {"system.cpu": 1.5})]
    book.journal.append([Segment(trial, first, LAUNCHER, SYSTEM, 0, 20, pack(sampled))])
    assert [row[1] for row in lines(trial)] == ["x", "1", "3"]
    assert [row[1] for row in lines(trial, "--all-executions")] == ["x", "1", "2", "3"]
    assert [row[1] for row in lines(trial, "--system")] == ["system.cpu", "90.5", "1.5"]
    assert [row[1] for row in lines(trial, "--key", "system.cpu")] == ["system.cpu", "90.5", "1.5"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_times_are_local_and_no_more_than_ten_thousand_rows_are_shown(local, monkeypatch, capfd):
    trial, (run,) = local.trial()
    local.log(trial, run, *[(0, {"n": n, "text": "\x1b[2J" + "漢" * 200}) for n in range(10_005)])
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    render_stats.rows(local.of(trial), pager=False)
    heading, *rows = sys.stdout.getvalue().splitlines()
    assert (heading.split(), len(rows)) == (["time", "n", "text"], 10_000)
    assert rows[0].split()[:2] == [time.strftime("%H:%M:%S", time.localtime(START // SECOND)), "5"]
    assert "\x1b" not in rows[0]
    assert max(map(cell_len, rows)) <= 80
    assert "the last 10,000 of 10,005 rows" in capfd.readouterr().err


def test_nothing_logged_is_said(local, capfd):
    trial, _ = local.trial()
    assert printed("stats", trial) == ""
    assert f"nothing was logged in {trial[:7]}" in capfd.readouterr().err
    assert document(trial) == []
    assert document(trial, "--keys") == {}
