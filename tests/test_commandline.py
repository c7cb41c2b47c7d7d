from __future__ import annotations

import os
import shlex
import time

import pytest

from kleio.core.commandline import (
    changed,
    config_files,
    config_values,
    interpreter_words,
    named_files,
    parameters,
    parameters_with_sources,
    script,
    without,
)
from kleio.core.errors import UsageError
from kleio.core.redact import GONE


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


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        ("python train.py --lr 0.1", "--lr 0.01", "python train.py --lr 0.01"),
        ("python train.py --lr 0.1 --n 3", "--lr=0.01", "python train.py --lr=0.01 --n 3"),
        ("python train.py --lr=0.1", "--lr 0.01", "python train.py --lr 0.01"),
        ("python train.py --lr 0.1", "--seed 3", "python train.py --lr 0.1 --seed 3"),
        ("python train.py --lr 0.1", "--new-flag", "python train.py --lr 0.1 --new-flag"),
        ("./run -x 3 data.csv", "-x 4", "./run -x 4 data.csv"),
        ("./run data.csv -x 3", "-y 4", "./run data.csv -x 3 -y 4"),
        ("./run --layers 3 4 5 --lr 1", "--layers 6 7", "./run --layers 6 7 --lr 1"),
        ("./run --layers 3 4 5 data.csv", "--layers 6", "./run --layers 6 data.csv"),
        ("./run --shift -0.5 --lr 1", "--shift -1e-3", "./run --shift -1e-3 --lr 1"),
        ("./run --shift 1", "--shift -2 -3", "./run --shift -2 -3"),
        ("./run --note '' --lr 1", "--note x", "./run --note x --lr 1"),
        ("./run --note x --lr 1", "--note ''", "./run --note '' --lr 1"),
        ("./run --note=x", "--note=", "./run --note="),
        ("./run --note 'a b' --lr 1", "--note 'c  d'", "./run --note 'c  d' --lr 1"),
        ("./run --lr 1", "--note 'a b'", "./run --lr 1 --note 'a b'"),
        ("./run --tag a --lr 1 --tag b", "--tag c", "./run --tag c --lr 1"),
        ("./run --tag a --lr 1", "--tag c --tag d", "./run --tag c --tag d --lr 1"),
        ("./run --fast --lr 1 --fast", "--fast", "./run --fast --lr 1"),
        ("./run lr=0.1 model.depth=3", "lr=0.01", "./run lr=0.01 model.depth=3"),
        ("./run lr=0.1", "+model.depth=4 ++x=1", "./run lr=0.1 +model.depth=4 ++x=1"),
        ("./run +lr=0.1 b=2", "lr=0.2", "./run lr=0.2 b=2"),
        ("./run --lr 1 lr=2", "lr=3", "./run --lr 1 lr=3"),
        ("./run --batch_size 3", "--batch-size 4", "./run --batch-size 4"),
        ("./run --lr 1 -- --lr 2 x", "--lr 3 --new", "./run --lr 3 --new -- --lr 2 x"),
        ("./run a -- b", "--lr 3", "./run a --lr 3 -- b"),
        ("python -m pkg.train -x 3", "-x 4 -m 5", "python -m pkg.train -x 4 -m 5"),
        ("python -u -W error train.py -u 1", "-u 2 -W x", "python -u -W error train.py -u 2 -W x"),
        ("python -c 'import x; x.run()' --lr 1", "--lr 2", "python -c 'import x; x.run()' --lr 2"),
        ("./run", "--lr 2", "./run --lr 2"),
        ("./run --x=a=b --y 1", "--x=c=d", "./run --x=c=d --y 1"),
        ("./run --lr 1", "", "./run --lr 1"),
    ],
)
def test_a_command_with_other_options(command, words, expected):
    assert changed(shlex.split(command), shlex.split(words)) == shlex.split(expected)


@pytest.mark.parametrize(("command", "word"), [("./run --verbose data.csv", "--verbose"), ("./run --lr=0.1", "--lr")])
def test_an_option_without_the_value_that_it_had_is_refused(command, word):
    with pytest.raises(UsageError, match="without a value"):
        changed(command.split(), [word])


@pytest.mark.parametrize("words", ["data.csv", "--lr 0.1 data.csv", "-", "--lr 1 -- x", "--files a b"])
def test_a_positional_argument_is_not_changed(words):
    with pytest.raises(UsageError, match=r"positional arguments are kept.*kleio branch ID -- "):
        changed(["./run", "old.csv"], words.split())


# -- files ---------------------------------------------------------------------------------------------------------


def files(argv, cwd):
    return [word for word, _ in config_files(argv.split(), str(cwd))]


@pytest.fixture
def there(tmp_path):
    for name in ("c.yaml", "data.csv", "notes", "train.py", "tool", "results.csv", "3", "adam"):
        (tmp_path / name).write_text("x: 1")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.csv").write_text("1")
    (tmp_path / "large.csv").write_bytes(b"1" * ((1 << 20) + 1))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "here.csv").symlink_to("data.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("./run c.yaml", ["c.yaml"]),
        ("./run data.csv notes here.csv", ["data.csv", "notes", "here.csv"]),
        ("./run --data data.csv --n=c.yaml key=notes", ["data.csv", "--n=c.yaml", "key=notes"]),
        ("python train.py data.csv", ["data.csv"]),
        ("python -m train data.csv", ["data.csv"]),
        ("torchrun --n 2 train.py data.csv", ["data.csv"]),
        ("nohup ./tool data.csv", ["data.csv"]),
        ("nohup tool data.csv", ["data.csv"]),
        ("data.csv", []),
        ("./run --out data.csv --log-file=notes results/a.csv", []),
        ("./run results.csv", ["results.csv"]),
        ("./run large.csv pipe results . gone.csv /dev/null /proc/self/stat", []),
        ("./run --n 3 --opt adam", ["adam"]),
        ("./run --api-key notes", []),
        ("./run -- data.csv", ["data.csv"]),
    ],
)
def test_files_that_a_command_names(there, argv, expected):
    assert files(argv, there) == expected


def test_what_may_be_a_file_later(there):
    assert [word for word, _ in named_files("python make.py gone.csv --n 3 --state=s.json -v".split(), str(there))] == [
        "gone.csv", "--state=s.json",
    ]  # fmt: skip


def test_a_file_that_cannot_be_read_is_none(there):
    (there / "data.csv").chmod(0)
    assert files("./run data.csv", there) == ([] if os.geteuid() else ["data.csv"])


def test_ten_thousand_files_on_a_command_line_are_not_all_read(there):
    names = [f"f{n}.csv" for n in range(200)]
    for name in names:
        (there / name).write_text("x")
    assert 0 < len(files("./run " + " ".join(names), there)) < 50


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"lr": 0.1, "model": {"depth": 3, "sizes": [1, 2]}, "n": null}', {
            "lr": 0.1, "model.depth": 3, "model.sizes": [1, 2], "n": None}),
        ("a.toml", 'lr = 0.1\nwhen = 2024-05-01\n[model]\ndepth = 3', {"lr": 0.1, "when": "2024-05-01", "model.depth": 3}),
        ("a.ini", "top = 1\n[model]\nDepth = 3\nname = a%b\nflag", {
            "top": 1, "model.Depth": 3, "model.name": "a%b", "model.flag": ""}),
        ("a.yaml", "lr: 1e-3\nmodel: {depth: 3}\nwhen: 2024-05-01 10:00:00\nlayers:\n- size: 1\n- size: 2", {
            "lr": 0.001, "model.depth": 3, "when": "2024-05-01T10:00:00", "layers.0.size": 1, "layers.1.size": 2}),
        ("a.yml", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", {"a.b": 1, "c.b": 1, "d.b": 1, "d.e": 2}),
        ("a.yaml", "a: .nan\nb: 123456789012345678901234567890\n3: x\nc: !!set {x}\n--- \nz: 1", {
            "a": "nan", "b": "123456789012345678901234567890", "3": "x", "c": ["x"]}),
        ("a.yaml", "password: hunter22\ntype: {api_key: abcd}\nurl: x://me:hunter22@h\npad_token: <pad>\ntoken:", {
            "password": GONE, "type.api_key": GONE, "url": f"x://me:{GONE}@h", "pad_token": "<pad>", "token": None}),
        ("a.json", '{"a": "\\ud800\\u0000b"}', {"a": "?b"}),
        ("a.json", "[1, 2]", {}),
        ("a.yaml", "", {}),
        ("a.csv", "a,b", {}),
    ],
)  # fmt: skip
def test_values_of_config_files(name, text, expected):
    said = []
    assert config_values(name, text.encode(), said.append) == expected
    assert said == []


LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"), ("a.toml", "= 1"), ("a.ini", "[a\n="), ("a.yaml", "a: [1"), ("a.yaml", "a: b: c"),
        ("a.json", "{" * 100_000),
        ("a.yaml", "x: !!python/object/apply:os.system ['touch was-here']"), ("a.yaml", "a: !include x"),
        ("a.json", '{"a":' * 50_000), ("a.yaml", "[" * 50_000), ("a.toml", "a=" + "[" * 50_000), ("a.yaml", MERGES),
        ("a.yaml", "x: 2024-99-99"), ("a.yaml", "a: 1\n" * 100_000), ("a.json", "\udcff"), ("a.toml", "a = " + "9" * 9000),
    ],
)  # fmt: skip
def test_what_cannot_be_parsed_is_said(tmp_path, monkeypatch, name, text):
    monkeypatch.chdir(tmp_path)
    said = []
    started = time.process_time()
    assert config_values(name, text.encode("utf-8", "surrogateescape"), said.append) == {}
    assert len(said) == 1
    assert said[0].startswith(f"the values in {name} are not among the parameters: ")
    assert len(said[0]) < 400
    assert not os.path.exists("was-here")
    assert time.process_time() - started < 20


def test_values_are_few_and_short_whatever_the_file():
    started = time.process_time()
    assert len(config_values("a.yaml", LAUGHS.encode())) <= 1000
    assert len(config_values("a.json", ("{" + ",".join(f'"k{n}": 1' for n in range(50_000)) + "}").encode())) == 1000
    deep = config_values("a.json", ('{"a":' * 50 + "1" + "}" * 50).encode())
    assert deep == {} or max(name.count(".") for name in deep) <= 20
    (text,) = config_values("a.json", b'{"a": "' + b"x" * 5000 + b'"}').values()
    assert len(text) <= 200
    assert len(config_values("a.json", b'{"a": [' + b"1," * 5000 + b"1]}")["a"]) <= 100
    assert time.process_time() - started < 20


def test_the_command_line_wins_and_then_the_later_file():
    given = {"a.yaml": {"lr": 1, "depth": 2, "batch-size": 3}, "b.yaml": {"depth": 4, "model.x": 5}}
    params, sources = parameters_with_sources("./run a.yaml --config b.yaml --lr 0.1 --batch-size 7".split(), given)
    assert params == {"_1": "a.yaml", "config": "b.yaml", "lr": 0.1, "batch_size": 7, "depth": 4, "model.x": 5}
    assert {name for name, source in sources.items() if source == "config file"} == {"depth", "model.x"}
    assert sources["lr"] == "command line"
