"""Tables of very many columns: the same as small ones, and no work that is done again for each column or each trial."""

from __future__ import annotations

import csv
import datetime
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
from commands import printed
from trackers import call, told

import kleio
from kleio.cli import render_table
from kleio.core import finding, wholefile
from kleio.core.exporting import in_pandas, typed

TRIALS, OWN = 4, 60
"""So many trials, each with so many parameters that no other has."""
WHEN = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)


@pytest.fixture
def wide(local):
    kinds = (int, float, str, bool)
    return [
        local.trial([{"loss": n / 7}], params={f"p{n}_{at}": kinds[at % 4](at + 1) for at in range(OWN)}) for n in range(TRIALS)
    ]


def test_every_value_is_in_its_column(wide, workplace):
    assert len(printed("ls", "--export", "all.csv", "-n", "0")) == 0
    with open("all.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    for n, trial in enumerate(wide):
        own = {name: value for name, value in rows[trial].items() if name.startswith("params.") and value}
        assert own == {f"params.p{n}_{at}": [f"{at + 1}", f"{at + 1}.0", f"{at + 1}", "true"][at % 4] for at in range(OWN)}
    pytest.importorskip("pandas")
    with kleio.connect() as journal:
        table = journal.trials(sort="created").to_pandas()
    found = table[[f"params.p1_{at}" for at in range(OWN)]]
    assert list(map(str, found.dtypes)) == ["Int64", "float64", "object", "boolean"] * (OWN // 4)
    assert found.iloc[1].tolist() == [(int, float, str, bool)[at % 4](at + 1) for at in range(OWN)]
    assert found.iloc[[0, 2, 3]].isna().all(axis=None)


@pytest.mark.parametrize("missing", [0, 1, 3])
@pytest.mark.parametrize(
    ("values", "dtypes"),
    [
        ([True, False, True], ("bool", "boolean")),
        ([1, -(1 << 63), (1 << 63) - 1], ("int64", "Int64")),
        ([1.5, float("nan"), 2], ("float64", "float64")),
        (["a", "", "\N{SNOWMAN}"], ("object", "object")),
        ([[1, 2], [3, 4], [5, 6]], ("object", "object")),
        ([WHEN, WHEN, WHEN], ("datetime64[us, UTC]", "datetime64[us, UTC]")),
    ],
)
def test_columns_are_those_that_pandas_makes_of_lists(values, dtypes, missing):
    pd = pytest.importorskip("pandas")
    kind, plain = typed([*values, *[None] * missing])
    index = pd.RangeIndex(len(plain))
    found = pd.DataFrame({"a": in_pandas(pd, kind, plain, index)}, index=index)
    expected = pd.DataFrame({"a": pd.Series(plain, dtype=dtypes[missing > 0])})
    pd.testing.assert_frame_equal(found, expected)


def test_the_journal_is_not_asked_for_names_that_it_gave(local, workplace, monkeypatch, capsys):
    for n in range(3):
        values = {f"m{n}_{at}": at for at in range(20)}
        local.trial([values], ended=n > 0)  # one is in no index: to look for a name is to look at it
    asked = []
    monkeypatch.setattr(finding, "has", lambda _, name: asked.append(name) or True)
    assert call("ls", "--group-by", "status", "--json") == 0
    assert asked == []
    assert sum(name.endswith("_mean") for name in told(capsys)[0]) == 60


def test_a_terminal_shows_as_many_columns_as_fit():
    some = [render_table.Column(f"c{at}", [str(at) * (at % 5)], elastic=at % 3 == 0) for at in range(40)]
    for width in range(20, 200, 7):
        most = max([at for at in range(1, 41) if render_table.fits(some[:at], width)], default=1)
        assert render_table.lines(some, width)[-1].startswith(f"… {40 - most} column") or most == 40


def test_the_overview_of_tables_is_written_once(wide, workplace, monkeypatch):
    written, whole = Counter(), wholefile.whole
    monkeypatch.setattr(wholefile, "whole", lambda path: written.update([os.path.basename(path)]) or whole(path))
    assert call("export", *wide, "--to", "csv", "out") == 0
    assert written == {"trials.csv": 1} | {f"{trial[:12]}.csv": 1 for trial in wide}
    with open("out/trials.csv", newline="") as file:
        lines = {line["id"]: line for line in csv.DictReader(file)}
    assert [lines[trial][f"params.p{n}_0"] for n, trial in enumerate(wide)] == ["1"] * TRIALS


def test_tables_of_who_was_killed_are_known_again(wide, workplace):
    code = ("import os, signal; from kleio.core.exports import csv\n"
            "line, made = csv._line, []\n"
            "def end(*given):\n"
            "    if made: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    made.append(1)\n"
            "    return line(*given)\n"
            "csv._line = end\n"
            "from kleio.cli.main import main; main()")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, "export", *wide, "--to", "csv", "out"], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert call("export", *wide, "--to", "csv", "out") == 0
    with open("out/trials.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert sorted(line["id"] for line in lines) == sorted(wide)
    assert all(line["status"] == "completed" for line in lines)


def test_a_directory_of_mlflow_is_searched_once(wide, workplace, monkeypatch, capsys):
    mlflow = pytest.importorskip("mlflow")
    searched, search = [], mlflow.MlflowClient.search_runs

    def counted(*given, **named):
        searched.append(given)
        return search(*given, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "search_runs", counted)
    paths = []
    for _ in range(2):
        assert call("export", *wide, "--to", "mlflow", "out", "--json") == 0
        paths.append([one["path"] for one in told(capsys)])
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == TRIALS
    assert len(searched) == 2
