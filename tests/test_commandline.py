from __future__ import annotations

import pytest

from kleio.core.commandline import interpreter_words, parameters, script, without


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("python train.py --lr 0.1", {"lr": 0.1}),
        ("python -u train.py --lr=1e-3 --name x", {"lr": 0.001, "name": "x"}),
        ("python -m pkg.train -x 3", {"x": 3}),
        ("./run data.csv --flag", {"_1": "data.csv", "flag": True}),
        ("./run --batch-size 32 --lr -0.5", {"batch_size": 32, "lr": -0.5}),
        ("./run --layers 3 4 5 --out f", {"layers": [3, 4, 5], "out": "f"}),
        ("./run --lr 0.1 data.csv", {"lr": 0.1, "_1": "data.csv"}),
        ("./run --tag a --tag b", {"tag": ["a", "b"]}),
        ("./run lr=0.1 model.depth=3 +x=true", {"lr": 0.1, "model.depth": 3, "x": True}),
        ("./run a -- --lr 1", {"_1": "a", "_2": "--lr", "_3": 1}),
        ("./run", {}),
        ("python", {}),
        ("python -c pass", {}),
    ],
)
def test_parameters(argv, expected):
    assert parameters(argv.split()) == expected


def test_a_parameter_may_be_empty_or_hold_anything():
    assert parameters(["./run", "--note", "", "--x=a=b\nc", "é"]) == {"note": "", "x": "a=b\nc", "_1": "é"}


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ("python train.py", "train.py"), ("python3.11 -u -W error a/b.py x", "a/b.py"), ("./run.sh x", "./run.sh"),
        ("bash job.sh", "job.sh"), ("python -c pass", None), ("python -m pkg", None), ("ls", None),
    ],
)  # fmt: skip
def test_script(argv, name):
    assert script(argv.split()) == name


def test_interpreter_words():
    assert interpreter_words(["python", "-u", "train.py", "x"]) == 3
    assert interpreter_words(["python"]) == 1


def test_without_volatile():
    words = "run --num-workers 4 --lr 1 --device=cuda -v x".split()
    assert without(words, ["--num-workers", "device"]) == "run --lr 1 -v x".split()
