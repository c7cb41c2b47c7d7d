"""``kleio compare``: trials side by side."""

from __future__ import annotations

import csv
import os
import subprocess

import pytest
from commands import PYTHON, kleio, on_a_terminal, printed, read, script, shown, trials
from rich.cells import cell_len

from kleio.core.comparison import Row
from kleio.core.errors import KleioError, UsageError

NAN, INF = float("nan"), float("inf")
PYTHON_HERE = {"version": "3.11.7", "executable": "/p"}
HERE = {"python": PYTHON_HERE, "packages": {"torch": "2.3", "numpy": "1.26"}, "host": "a", "cores": 2}
THERE = HERE | {"packages": {"torch": "2.4", "scipy": "1.11"}, "host": "b", "gpus": [{"name": "A100", "driver": "535"}]}


def losses(*values):
    return [{"epoch": n, "loss": value} for n, value in enumerate(values)]


def test_what_differs_is_told_by_section(records):
    first = records.trial(losses(3.0, 1.0), params={"lr": 0.1, "seed": 1, "model": {"depth": 2}}, environment=HERE)
    second = records.trial(losses(3.0, 2.0, 4.0), params={"lr": 0.2, "seed": 1, "model": {"depth": 3}, "new": None},
                           environment=THERE, status="broken", command=("python", "other.py", "--lr", "0.2"))  # fmt: skip
    found = read("compare", first, second, "--json")
    assert list(found) == [
        "trials", "same", "trial", "params", "code", "packages", "environment", "results", "files", "notes",
    ]  # fmt: skip
    assert (found["trials"], found["same"]) == ([first, second], False)
    assert found["trial"] == {
        "status": ["completed", "broken"], "duration": [3.0, 4.0], "exit_code": [0, 1],
        "program": [["python", "train.py"], ["python", "other.py"]],
    }  # fmt: skip
    assert found["params"] == {"lr": [0.1, 0.2], "model.depth": [2, 3]}
    assert found["packages"] == {"torch": ["2.3", "2.4"], "numpy": ["1.26", None], "scipy": [None, "1.11"]}
    assert found["environment"] == {"host": ["a", "b"], "gpus": [None, [{"name": "A100", "driver": "535"}]]}
    assert found["results"]["loss"] == {
        "last": [1.0, 4.0], "max": [3.0, 4.0], "mean": [2.0, 3.0], "min": [1.0, 2.0], "count": [2, 3],
    }  # fmt: skip
    assert "seed" in read("compare", first, second, "--json", "--all")["params"]
    rows = list(csv.reader(printed("compare", first, second).splitlines(), delimiter="\t"))
    assert rows[0] == ["section", "name", first[:7], second[:7], "difference"]
    assert ["params", "lr", "0.1", "0.2", "0.1"] in rows
    assert ["results", "loss.last", "1.0", "4.0", "3.0"] in rows


def test_many_by_a_query_and_exported(records):
    made = [records.trial(losses(float(lr)), params={"lr": lr}) for lr in range(5)]
    found = read("compare", made[4], "--where", "params.lr < 3", "--json")
    assert found["trials"] == [made[4], made[2], made[1], made[0]]
    assert found["params"] == {"lr": [4, 2, 1, 0]}
    printed("compare", made[4], "--where", "params.lr < 3", "--export", "table.csv")
    with open("table.csv") as file:
        rows = list(csv.reader(file))
    assert ["params", "lr", "4", "2", "1", "0", "4"] in rows
    with pytest.raises(UsageError, match="two trials"):
        printed("compare", made[0])
    with pytest.raises(KleioError, match="no format"):
        printed("compare", *made, "--export", "table.xyz")
    assert os.listdir() == ["table.csv"]


WRITTEN = {
    "ls": ("ls", "-a", "--export", "t.csv", "2 rows"),
    "stats": ("stats", "$1", "--export", "t.csv", "3 rows"),
    "keys": ("stats", "$1", "--keys", "--export", "t.csv", "2 rows"),
    "compare": ("compare", "$1", "$2", "--export", "t.csv", "3 rows"),
    "plot": ("plot", "$1", "$2", "loss", "-o", "t.html", "2 curves"),
    "one": ("plot", "$1", "loss", "--follow", "-o", "t.html", "1 curve"),
    "get": ("get", "$1", "t.bin", "t.bin  1 B"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_who_writes_a_file_says_so(local, capsys, name):
    *words, told = WRITTEN[name]
    made = {f"${n}": local.trial(losses(1.0, 2.0, 3.0), [("t.bin", b"1", {})], params={"lr": n}) for n in (1, 2)}
    words = [made.get(word, word) for word in words]
    path = words[-1]
    assert (printed(*words), capsys.readouterr().err) == ("", f"kleio: {told} → {path}\n")
    assert os.path.isfile(path)
    os.unlink(path)
    assert (printed("-q", *words), capsys.readouterr().err) == ("", "")
    assert os.path.isfile(path)
    if words[0] in ("plot", "get"):
        os.unlink(path)
        printed(*words, "--json")
        assert (os.path.isfile(path), capsys.readouterr().err) == (True, "")


def test_what_is_written_into_a_pipe_is_not_announced(local, capsys):
    trial = local.trial(losses(1.0, 2.0))
    os.mkfifo("pipe.csv")
    with subprocess.Popen(["cat", "pipe.csv"], stdout=subprocess.PIPE, text=True) as reader:
        writer = os.open("pipe.csv", os.O_WRONLY)  # until somebody reads
        printed("stats", trial, "--key", "loss", "--export", "pipe.csv")
        os.close(writer)
        assert len(reader.communicate()[0].splitlines()) == 3
    assert capsys.readouterr().err == ""


def test_statistics_before_and_after_fit_the_terminal(local):
    many = {"train/loss": 0.123456789, "text": "long words " * 9, "accuracy": 123456.789, "tiny": -1.23456e-05}
    pair = [local.trial([many | {"accuracy": at / 3}]) for at in (1, 2)]
    page = shown("diff", *pair)
    assert max(map(cell_len, page.splitlines())) <= 80
    assert "0.3333 \N{RIGHTWARDS ARROW} 0.6667" in page
    assert "2 columns more (--json)" in shown("diff", *pair, "--stats", columns=60)
    assert "max - min" in shown("compare", *pair, local.trial([many]))
    assert "difference" in shown("compare", *pair)


def test_the_same_is_said_to_be(local):
    first, second = (local.trial(losses(NAN, 1.0), params={"x": NAN}, environment=HERE) for _ in range(2))
    found = read("compare", first, second, "--json")
    assert (found["same"], found["params"], found["results"]) == (True, {}, {})
    assert "nothing differs\n" in kleio("compare", first, second, check=0).stderr
    assert set(read("compare", first, second, "--json", "--all")["results"]["loss"]) == {"last", "min", "max", "mean", "count"}


@pytest.mark.parametrize(
    ("values", "differs", "difference"),
    [
        ((1, 1.0), False, 0), ((1, True), True, None), ((NAN, NAN), False, None), ((1, 3, 2), True, 2), ((3, 1), True, -2),
        ((1, None), True, None), ((None, None), False, None), ((1, INF), True, INF), ((10**400, 1.5), True, None),
        (({"a": [1]}, {"a": [1.0]}), False, None), (("1", 1), True, None),
    ],
)  # fmt: skip
def test_values(values, differs, difference):
    row = Row("x", values)
    assert row.differs is differs
    assert row.difference == difference or (row.difference != row.difference and difference is None)


def test_code_names_files_and_points_to_their_lines(local, workplace):
    project = workplace
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    script(project, "print(1)\n")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    kleio(PYTHON, "train.py", check=0)
    script(project, "print(1)\nprint(2)\n")
    kleio(PYTHON, "train.py", check=0)
    second, first = (one["id"] for one in trials())
    found = read("compare", first, second, "--json")
    assert found["code"]["dirty"] == [False, True]
    assert "commit" not in found["code"]
    (files,) = found["files"]
    assert (files["before"], files["after"]) == (first, second)
    assert [(one["path"], one["added"]) for one in files["files"]] == [("train.py", 1)]
    shown = on_a_terminal("compare", first, second, NO_COLOR="1")
    assert f"  {second[:7]}: train.py (+1)\n  kleio diff {first[:7]} {second[:7]} --code\n" in shown


def test_what_is_not_known_is_no_difference(local):
    first, second = local.trial(params={"lr": 1}, environment=HERE), local.trial(params={"lr": 1})
    found = read("compare", first, second, "--json")
    assert found["environment"] == found["packages"] == {}
    assert found["notes"] == [f"the environment of {second[:7]} was not recorded, so environments are not compared"]
    assert "nothing differs of what can be compared" in kleio("compare", first, second, check=0).stderr


@pytest.mark.parametrize(("count", "columns"), [(2, 80), (4, 40), (30, 80)])
def test_on_a_terminal_nothing_is_wider_than_it(local, count, columns):
    evil = "evil\x1b[2J日本🎉" * 100
    made = [
        local.trial(
            [{f"key{k}": float(n) for k in range(30)} | {evil: 1.0 * n}], params={"lr": n, "text": f"{n}{evil}", evil: n}
        )
        for n in range(count)
    ]
    page = shown("compare", *made, columns=columns)
    assert "\x1b" not in page
    assert max(cell_len(line) for line in page.splitlines() if not line.startswith("kleio: ")) <= columns
    assert made[0][:7] in page
    assert made[-1][:7] in page
