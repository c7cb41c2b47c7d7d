"""Tables as files: every format holds what the table does, whatever is in it, and a file is written whole or not at all."""

from __future__ import annotations

import csv
import datetime
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import PYTHON

from kleio.core import exporting, wholefile
from kleio.core.errors import KleioError, UsageError
from kleio.core.exporting import export
from kleio.core.table import Table

NOW = datetime.datetime(2026, 11, 21, 12, 0, 0, 250, datetime.timezone.utc)
ANYTHING = Table(
    ["params.lr", "loss", "n", "count", "when", "flag", "mixed", "tags", "text", "none"],
    [
        [1e-05, math.nan, 3, 7, NOW, True, "auto", ["a", "b"], "x|y\n*b* a_b & 5% $1 {c} \\d ~ ^ # _e_ `q` <b> --lr", None],
        [-0.123456789, None, None, 8, None, None, 3, [1, [2]], '[a], "q" \x1b[31m日本語 \N{PARTY POPPER}', None],
        [2, -math.inf, 2**40, 9, None, False, None, None, "\ud800", None],
    ],
)


def written(suffix, table=ANYTHING, precision=None):
    export(table, f"x.{suffix}", precision)
    with open(f"x.{suffix}", encoding="utf-8", newline="") as file:
        return file.read()


def test_csv(workplace):
    text = written("csv")
    assert text.count("\r\n") == 4
    head, first, second, third = csv.reader(text.splitlines(keepends=True))
    assert head == ANYTHING.headings
    assert first == ["1e-05", "nan", "3", "7", "2026-11-21T12:00:00.000250Z", "true", "auto", "a,b", ANYTHING.rows[0][8], ""]
    assert second[:9] == ["-0.123456789", "", "", "8", "", "", "3", "[1,[2]]", ANYTHING.rows[1][8]]
    assert third == ["2", "-inf", str(2**40), "9", "", "false", "", "", "?", ""]
    assert written("csv", precision=3).splitlines()[3].startswith("-0.123,")


def test_json(workplace):
    rows = json.loads(written("json"))
    assert list(rows[0]) == ANYTHING.headings
    assert rows[0] | {"text": ""} == {
        "params.lr": 1e-05, "loss": "NaN", "n": 3, "count": 7, "when": "2026-11-21T12:00:00.000250Z", "flag": True,
        "mixed": "auto", "tags": ["a", "b"], "text": "", "none": None,
    }  # fmt: skip
    assert rows[1]["loss"] is None
    assert rows[2]["loss"] == "-Infinity"
    assert rows[1]["text"] == ANYTHING.rows[1][8]
    assert json.loads(written("json", precision=2))[1]["params.lr"] == -0.12
    assert json.loads(written("json", Table(["a"], []))) == []


def test_markdown(workplace):
    lines = written("md").splitlines()
    assert len(lines) == 5
    assert lines[1].startswith("| --------: | ---: |")
    assert lines[2].startswith("|     1e-05 |  nan |")
    assert r"x\|y<br>\*b\* a_b &amp; 5% $1 {c} \\d \~ ^ # \_e\_ \`q\` &lt;b&gt; --lr" in lines[2]
    assert "-0.1235" in lines[3]
    assert "\x1b" not in lines[3]
    assert "日本語 \N{PARTY POPPER}" in lines[3]


def test_latex(workplace):
    text = written("tex", Table(["a_b", "n"], [*([row[8], row[0]] for row in ANYTHING.rows), ["*", 1.5], ["[x", math.inf]]))
    assert r"\begin{tabular}{lr}" in text
    assert "\\toprule\na\\_b & n \\\\\n\\midrule\n" in text
    first, second, third, star, bracket = text.splitlines()[5:10]
    assert first == (
        r"x\textbar{}y *b* a\_b \& 5\% \$1 \{c\} \textbackslash{}d \textasciitilde{} \textasciicircum{} \# \_e\_ "
        r"\textasciigrave{}q\textasciigrave{} \textless{}b\textgreater{} -{}-lr & $1 \times 10^{-5}$ \\"
    )
    assert second.startswith('{[}a], "q" \N{REPLACEMENT CHARACTER}[31m')
    assert second.endswith(r"& $-0.1235$ \\")
    assert (third[-4:], star, bracket) == (r"2 \\", r"{*} & 1.5 \\", r"{[}x & $\infty$ \\")


def test_parquet_keeps_kinds(workplace):
    import pyarrow.parquet as pq

    export(ANYTHING, "x.parquet", precision=1)
    found = pq.read_table("x.parquet")
    assert [str(one.type) for one in found.schema] == [
        "double", "double", "int64", "int64", "timestamp[us, tz=UTC]", "bool", "string", "string", "string", "double",
    ]  # fmt: skip
    columns = found.to_pydict()
    assert columns["params.lr"] == [1e-05, -0.123456789, 2.0]
    assert math.isnan(columns["loss"][0])
    assert columns["loss"][1:] == [None, -math.inf]
    assert columns["when"] == [NOW, None, None]
    assert columns["mixed"] == ["auto", "3", None]
    assert columns["tags"] == ['["a","b"]', "[1,[2]]", None]
    assert columns["none"] == [None, None, None]
    export(Table(["big", "sum"], [[2**70, 2**60], [1, 0.5]]), "x.parquet")
    assert pq.read_table("x.parquet").to_pydict() == {"big": [str(2**70), "1"], "sum": [str(2**60), "0.5"]}


def test_pickle_keeps_kinds(workplace):
    import pandas as pd

    export(ANYTHING, "x.pkl", precision=1)
    found = pd.read_pickle("x.pkl")
    assert list(map(str, found.dtypes)) == [
        "float64", "float64", "Int64", "int64", "datetime64[us, UTC]", "boolean", "object", "object", "object", "float64",
    ]  # fmt: skip
    assert found["params.lr"].tolist() == [1e-05, -0.123456789, 2.0]
    assert found["when"][0] == NOW
    export(Table(["a", "b"], []), "x.pkl")
    assert list(pd.read_pickle("x.pkl").columns) == ["a", "b"]


def test_a_format_that_there_is_not():
    with pytest.raises(UsageError, match=r"x.xlsx is of no format .* \.csv, \.json, \.md, \.tex, \.parquet, \.pkl$"):
        exporting.check("x.xlsx")
    with pytest.raises(UsageError, match="of no format"):
        exporting.check("csv")


def test_a_library_that_is_missing(workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(KleioError, match=r"\.pkl files need pandas: pip install 'kleio\[pandas\]'"):
        exporting.check("x.pkl")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(KleioError, match=r"\.parquet files need pyarrow: pip install 'kleio\[arrow\]'"):
        export(ANYTHING, "x.parquet")
    assert os.listdir() == []


def test_what_cannot_be_written(workplace):
    os.mkdir("d.csv")
    for path, why in (("d.csv", "is a directory"), ("no/x.csv", "there is no directory"), ("/proc/x.csv", "cannot be written")):
        with pytest.raises(KleioError, match=why):
            export(ANYTHING, path)
    os.symlink("/dev/full", "full.csv")
    with pytest.raises(KleioError, match=r"full\.csv cannot be written: No space left on device"):
        export(ANYTHING, "full.csv")
    assert sorted(os.listdir()) == ["d.csv", "full.csv"]


def test_a_disk_that_is_full_leaves_the_old_file(workplace):
    """As far as a process may write: what fails is the same."""
    program = """
import resource, sys
from kleio.core.exporting import export
from kleio.core.table import Table
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for suffix in sys.argv[1:]:
    try:
        export(Table(["a"], [["x" * 50]] * 10000 + [[str(one)] for one in range(10000)]), f"x.{suffix}")
    except Exception as error:
        print(error)
"""
    for suffix in exporting.FORMATS:
        Path(f"x.{suffix}").write_text("old")
    done = subprocess.run([PYTHON, "-c", program, *exporting.FORMATS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"x.{one} cannot be written: File too large" for one in exporting.FORMATS]
    assert {Path(name).read_text() for name in os.listdir()} == {"old"}
    assert len(os.listdir()) == len(exporting.FORMATS)


def test_a_file_is_written_whole_or_not_at_all(workplace):
    Path("x.txt").write_text("old")
    os.chmod("x.txt", 0o640)
    for trouble in (KeyboardInterrupt, ValueError):
        with pytest.raises(trouble):
            _half("x.txt", trouble)
    assert os.listdir() == ["x.txt"]
    assert Path("x.txt").read_text() == "old"
    os.symlink("x.txt", "link.txt")
    with wholefile.whole("link.txt") as path:
        assert path.endswith(".txt")
        Path(path).write_text("new")
        assert Path("x.txt").read_text() == "old"
    assert Path("x.txt").read_text() == "new"
    assert os.path.islink("link.txt")
    assert os.stat("x.txt").st_mode & 0o777 == 0o640
    with pytest.raises(FileNotFoundError), wholefile.whole("x.txt"):
        Path("/not/there").read_text()  # somebody else's trouble stays what it is


def _half(name, trouble):
    with wholefile.whole(name) as path:
        Path(path).write_text("half")
        raise trouble


def test_in_a_thread(workplace):
    worker = threading.Thread(target=export, args=(ANYTHING, "x.csv"))
    worker.start()
    worker.join()
    assert os.listdir() == ["x.csv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(workplace, number):
    program = """
import os, signal, sys, time
from kleio.core.wholefile import whole
signal.signal(signal.SIGINT, signal.SIG_DFL)
with whole("x.csv") as path:
    open(path, "w").write("half")
    os.kill(os.getpid(), int(sys.argv[1]))
    while True:
        time.sleep(0.01)
"""
    done = subprocess.run([PYTHON, "-c", program, str(int(number))], capture_output=True, check=False)
    assert done.returncode == -number, done.stderr
    assert os.listdir() == []


def test_a_place_that_cannot_be_written_is_said_before_anybody_waits(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(KleioError, match="nobody reads"):
        export(Table(["a"], [[1]]), pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    export(Table(["a"], [[1]]), pipe)
    assert os.read(reader, 100).split() == [b"a", b"1"]
    os.close(reader)
    with pytest.raises(KleioError, match="too long"):
        wholefile.check(tmp_path / ("x" * 300 + ".csv"))
