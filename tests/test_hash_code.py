"""``kleio.client.argparse``: a namespace with a hash code, and the run found by it, with and without the launcher."""

from __future__ import annotations

import argparse
import datetime
import enum
import json
import math
import os
import pathlib
import pickle
import subprocess

import pytest
from commands import PYTHON, info, kleio, printed, read, script, start, trials, until
from repositories import commands, repository

from kleio.client import argparse as ours
from kleio.core import hashcode
from kleio.core.errors import UnknownTrial

PARSE = """
import os, sys
from kleio.client.argparse import ArgumentParser
parser = ArgumentParser()
parser.add_argument("--lr", type=float, default=0.5)
parser.add_argument("--name", default="x")
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--token")
parser.add_argument("--data", default="data")
args = parser.parse_args()
print(args.hash_code, flush=True)
"""
SETTINGS = '[tool.kleio]\nvolatile = ["--workers"]\n'


def plainly(*words, cwd=None, **environment):
    """Run Python without kleio: its output, which is the hash code."""
    done = subprocess.run(
        [PYTHON, *map(os.fspath, words)], cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch):
    files = {"train.py": PARSE, "pyproject.toml": SETTINGS, "sub/other.py": PARSE, "notes.md": "x"}
    root = repository(tmp_path / "project", files)
    monkeypatch.chdir(root)
    return root


def traced(what):
    try:
        return [(one["id"], one["reasons"]) for one in read("trace", "--json", what)]
    except UnknownTrial:
        return []


# -- what it is ------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Thing:
    def __init__(self, x):
        self.x = x


def of(*, root="/project", fingerprint="f", script="train.py", rest=(), volatile=(), **arguments):
    return hashcode.hash_code(root, fingerprint, script, arguments, rest, volatile)


def test_it_is_what_it_always_was():
    """Changing this makes what is in the names of files unfindable."""
    assert of(lr=0.1, layers=[64, 32], name="a") == "ca09e80a41e05577"
    assert of(rest=["--x", "1"]) == "8b21d3fae61cc28b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0), (0.0, -0.0), ([1, 2], (1, 2)), ({3, 1, 2}, {2, 1, 3}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("/project/data/x", "data/x"), (pathlib.Path("/project/data"), "data"), (math.nan, float("nan")),
        (Thing(3), Thing(3)), (argparse.Namespace(a=1), argparse.Namespace(a=1)), (Colour.RED, Colour.RED), (len, len),
        (1 << 70, 1 << 70), ("\udcff", "\udcff"), (b"x", b"x"), (range(3), range(3)),
        ("postgres://me:one@host/x", "postgres://me:two@host/x"),
    ],
)  # fmt: skip
def test_what_means_the_same_is_the_same(one, other):
    assert of(a=one) == of(a=other)


def test_what_differs_differs():
    values = [None, True, 1, 1.5, "1", "", [], [1], [[1]], {}, {"a": 1}, {"a": "1"}, len, print, Thing(1), Thing(2), Colour.RED,
              b"1", datetime.date(2026, 1, 1), math.inf, -math.inf, math.nan, {1}, "/elsewhere/data",
              2**53, 2.0**53 + 2]  # fmt: skip
    codes = [of(a=value) for value in values] + [of(), of(fingerprint="g"), of(script="s"), of(rest=["x"])]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == hashcode.LENGTH and code.isalnum() for code in codes)


def test_values_of_any_kind_do_no_harm():
    class Hostile:
        def __repr__(self):
            return f"<hostile at {hex(id(self))}>"

    cycle = []
    cycle.append(cycle)
    with open(os.devnull) as file:
        assert of(a=Hostile(), b=cycle, c=file) == of(a=Hostile(), b=cycle, c=file)
    assert of(a=object()) == of(a=object())


def test_volatile_arguments_and_secrets_do_not_count():
    options = {"workers": ["-j", "--jobs"], "key": ["--api-key"], "lr": ["--lr"]}

    def counted(**arguments):
        return hashcode.counted(arguments, options, ["--jobs"])

    assert counted(workers=1, lr=1) == counted(workers=2, lr=1) == {"lr": 1}
    assert counted(key="a") == counted(key="b") != counted(key=None)
    assert counted(password="a") == counted(password="b")
    assert of(rest=["--workers", "1"], volatile=["workers"]) == of(rest=["--workers=2"], volatile=["workers"]) == of()
    assert of(rest=["--password", "1"]) == of(rest=["--password", "2"])


# -- the parser ------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch):
    """Parsers that are not looked at by git: what they tell."""
    calls = []

    class Run:
        status = None

        def hash_code(self, arguments, options, rest, given):
            calls.append((dict(arguments), options, list(rest), set(given)))
            return f"code{len(calls)}"

    monkeypatch.setattr(ours, "run", Run())
    return calls


def parser(**options):
    made = ours.ArgumentParser(**options)
    made.add_argument("-l", "--learning-rate", type=float, default=0.5)
    made.add_argument("file", nargs="?", default="in")
    return made


def test_it_parses_as_the_standard_one_does(told):
    standard = argparse.ArgumentParser()
    standard.add_argument("-l", "--learning-rate", type=float, default=0.5)
    standard.add_argument("file", nargs="?", default="in")
    for words in ([], ["-l1"], ["--learn", "1e-1", "out"], ["out", "--learning-rate=.1"]):
        args = parser().parse_args(words)
        assert args == argparse.Namespace(**vars(standard.parse_args(words)), hash_code=args.hash_code)
    assert vars(pickle.loads(pickle.dumps(args))) == vars(args)
    assert [one[3] for one in told] == [set(), {"learning_rate"}, {"learning_rate", "file"}, {"learning_rate", "file"}]
    assert ours.Namespace is argparse.Namespace


def test_every_way_of_parsing_adds_it_once(told):
    args, rest = parser().parse_known_args(["--other", "1", "-l", "2"])
    assert (args.hash_code, rest) == ("code1", ["--other"])
    assert parser().parse_intermixed_args(["x", "-l", "2"]).hash_code == "code2"
    assert parser().parse_known_intermixed_args(["x", "--y"])[0].hash_code == "code3"
    again = ours.ArgumentParser()
    again.add_argument("--other")
    assert again.parse_args(["--other", "3"], namespace=args).hash_code == "code4"
    assert told[-1][0] == {"learning_rate": 2.0, "file": "1", "other": "3"}


def test_subcommands_are_a_part_of_the_whole(told):
    outer = ours.ArgumentParser(prog="x")
    outer.add_argument("--seed", type=int)
    inner = outer.add_subparsers(dest="command").add_parser("train", aliases=["t"])
    inner.add_argument("--a", type=int, default=7)
    inner.add_subparsers().add_parser("deep").add_argument("--api-key")
    args = outer.parse_args(["--seed", "1", "train", "--a", "2", "deep", "--api-key", "s"])
    assert vars(args) == {"seed": 1, "command": "train", "a": 2, "api_key": "s", "hash_code": "code1"}
    assert len(told) == 1
    assert told[0][1]["api_key"] == ["--api-key"]
    assert told[0][3] >= {"seed", "command", "a", "api_key"}


def test_a_parser_used_while_another_parses_has_its_own(told):
    def read(text):
        return parser().parse_args([text]).hash_code

    outer = ours.ArgumentParser(parents=[parser(add_help=False)])
    outer.add_argument("--inner", type=read)
    args = outer.parse_args(["--inner", "text"])
    assert (args.inner, args.hash_code) == ("code1", "code2")


@pytest.mark.parametrize("how", ["argument", "dest", "group", "default", "subcommand"])
def test_an_argument_of_that_name_is_one_clear_error(told, how):
    made = parser()
    if how == "argument":
        made.add_argument("--hash-code")
    elif how == "dest":
        made.add_argument("--x", dest="hash_code")
    elif how == "group":
        made.add_argument_group("g").add_argument("--hash_code")
    elif how == "default":
        made.set_defaults(hash_code=1)
    else:
        made.add_subparsers().add_parser("x").add_argument("--hash-code")
    with pytest.raises(ValueError, match=r"'hash_code'.*dest="):
        made.parse_args([])


def test_wrong_usage_leaves_no_run(told, capsys):
    for words in (["--nothing"], ["--help"], ["-l", "x"]):
        with pytest.raises(SystemExit):
            parser().parse_args(words)
    assert told == []


# -- the same everywhere ---------------------------------------------------------------------------------------------


def test_it_is_the_same_wherever_and_however_it_is_written(project, tmp_path):
    code = plainly("train.py", "--lr", "0.1", "--name", "a")
    assert len(code) == 16
    assert code == plainly("train.py", "--name=a", "--l", "1e-1")
    assert code == plainly("../train.py", "--lr=.1", "--name=a", "--workers", "8", cwd=project / "sub")
    assert code == plainly("-u", project / "train.py", "--lr=.1", "--name=a", "--data", project / "data")
    assert code == kleio(PYTHON, "train.py", "--lr", "0.1", "--name", "a", check=0).stdout.strip()
    assert code == kleio("sh", "-c", f"cd sub && {PYTHON} ../train.py --na a --lr 0.10", check=0).stdout.strip()
    (project / "notes.md").write_text("changed")
    clone = tmp_path / "clone"
    commands(tmp_path, "git clone -q project clone")  # one has a remote, the other has none
    assert code == plainly("train.py", "--lr", "0.1", "--name", "a", cwd=clone)
    others = {
        plainly("train.py", "--lr", "0.2", "--name", "a"),
        plainly("sub/other.py", "--lr", "0.1", "--name", "a"),
        plainly("train.py"),
    }
    (project / "untracked.py").write_text("1")
    others.add(plainly("train.py", "--lr", "0.1", "--name", "a"))
    (project / "train.py").write_text(PARSE + "\n")
    changed = plainly("train.py", "--lr", "0.1", "--name", "a")
    assert changed == kleio(PYTHON, "train.py", "--lr", "0.1", "--name", "a", check=0).stdout.strip()
    commands(project, "git add -A && git commit -qm second")
    assert changed == plainly("train.py", "--lr", "0.1", "--name", "a")
    assert len(others | {changed, code}) == 6


def test_outside_git_and_with_a_notebook_that_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script(tmp_path, PARSE)
    (tmp_path / "model.py").write_text("1")
    code = plainly("train.py")
    assert code == kleio(PYTHON, "train.py", check=0).stdout.strip()
    (tmp_path / "model.py").write_text("2")
    assert code != plainly("train.py")
    root = repository(tmp_path / "r", {"train.py": PARSE, "a.ipynb": "{}"})
    for words in ([], ["--data", "a.ipynb"]):
        before = plainly("train.py", *words, cwd=root)
        assert before == kleio(PYTHON, "train.py", *words, cwd=root, check=0).stdout.strip()
        (root / "a.ipynb").write_text(f"{{ }} {words}")
        assert (before == plainly("train.py", *words, cwd=root)) is not bool(words)


# -- found again -----------------------------------------------------------------------------------------------------


def test_under_kleio_the_trial_is_found_by_it(project, journal_uri):
    code = kleio(PYTHON, "train.py", "--lr", "0.1", check=0).stdout.strip()
    (trial,) = trials()
    reason = [(trial["id"], [f"its hash code is {code}"])]
    for what in (code, f"results/model-{code}.pt", f"x{code.upper()}.tar.gz", f"figures/{code}/loss.png", code[:8], f"7{code}"):
        assert traced(what) == reason, what
    shown = printed("trace", code).splitlines()
    assert shown[0].startswith(trial["id"][:7])
    assert shown[1].strip() == f"its hash code is {code}"
    assert "a hash code in it" in kleio("trace", "f" * 16, check=1).stderr
    assert len(trials()) == 1
    assert f"  hash code  {code}\n" in printed("info", trial["id"])


def test_without_kleio_it_is_found_at_once_and_shipped_by_the_next_command(project, journal_uri):
    (project / "model.py").write_text("what was not committed")
    code = plainly("train.py", "--lr", "0.1", "--token", "a-secret-word")
    assert trials() == []
    ((trial, reasons),) = traced(f"results/{code}.csv")
    assert reasons == [f"its hash code is {code}"]
    assert traced(trial[:9])[0][0] == trial
    kleio("sync", check=0)
    assert traced(code) == [(trial, reasons)]
    found = info(trial)
    assert found["params"] == {"lr": 0.1, "name": "x", "workers": 1, "token": "<redacted>", "data": "data"}
    assert found["param_sources"]["lr"] == "command line"
    assert found["param_sources"]["name"] == "default"
    assert found["status"] == "completed"
    assert "model.py" in found["code"]["changes"]
    assert "a-secret-word" not in json.dumps(found)
    kleio("checkout", trial, project.parent / "back", check=0)
    assert (project.parent / "back/model.py").read_text() == "what was not committed"


def test_repetitions_follow_the_rules_of_offline_launches(project, journal_uri):
    def run(code, *words):
        path = script(project, f"{PARSE}\n{code}")
        return subprocess.run([PYTHON, path.name, *words], capture_output=True, text=True)

    failing = "raise ValueError('no') if not os.path.exists('ok') else SystemExit(0)"
    for status in (1, 1):
        assert run(failing).returncode == status
    (project / "ok").touch()
    assert run(failing).returncode == 0
    first = run("")
    assert first.returncode == 0
    second = run("")
    kleio("sync", check=0)
    found = {one["id"]: one for one in trials()}
    assert sorted(len(one["executions"]) for one in found.values()) == [1, 1, 3]
    broken = next(one for one in found.values() if len(one["executions"]) == 3)
    assert [one["status"] for one in broken["executions"]] == ["broken", "broken", "completed"]
    assert broken["executions"][0]["reason"] == "uncaught ValueError"
    newest = trials()[0]
    assert newest["previous"] in found
    assert {one for one, _ in traced(second.stdout.strip())} == set(found) - {broken["id"]}


@pytest.mark.parametrize(
    ("end", "status", "exit_code"),
    [
        ("", "completed", None), ("raise SystemExit(0)", "completed", None), ("parser.error('no')", "broken", 2),
        ("raise KeyError(1)", "broken", 1), ("os.kill(os.getpid(), 9)", "failover", None), ("os._exit(0)", "failover", None),
        ("os.kill(os.getpid(), 2)", "suspended", None),
    ],
)  # fmt: skip
def test_how_it_ended(tmp_path, end, status, exit_code):
    path = script(tmp_path, f"{PARSE}\n{end}")
    subprocess.run([PYTHON, path], capture_output=True, cwd=tmp_path)
    kleio("sync", check=0)
    (trial,) = trials()
    assert (trial["status"], trial["executions"][0]["exit_code"]) == (status, exit_code)


def test_while_it_runs_it_is_not_shipped(project):
    path = script(project, PARSE + "sys.stdin.read()\n")
    with subprocess.Popen([PYTHON, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        code = process.stdout.readline().strip()
        assert "still running" in kleio("sync", check=0).stdout
        assert "reserved" in printed("trace", code)
        process.stdin.close()
    assert process.returncode == 0
    assert "shipped" in kleio("sync", check=0).stdout
    assert trials()[0]["status"] == "completed"


def test_one_run_of_several_processes_leaves_one_record(tmp_path):
    text = PARSE + (
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    for way in ('spawn', 'fork'):\n"
        "        one = multiprocessing.get_context(way).Process(target=print)\n"
        "        one.start()\n"
        "        one.join()\n"
    )
    path = script(tmp_path, text)
    codes = plainly(path, cwd=tmp_path).split()
    assert len(codes) == 2
    assert len(set(codes)) == 1
    plainly(path, cwd=tmp_path, RANK="3")
    kleio("sync", check=0)
    assert [len(one["executions"]) for one in trials()] == [1]


def test_another_list_is_another_hash_code_of_the_same_run(tmp_path):
    path = script(tmp_path, PARSE + "print(parser.parse_args(['--lr', '7']).hash_code)\nprint(parser.parse_args().hash_code)")
    one, other, again = plainly(path, cwd=tmp_path).split()
    assert one == again != other
    assert traced(one)[0][0] == traced(other)[0][0]


def test_in_an_experiment_it_is_the_experiment_that_is_found(project, journal_uri):
    text = PARSE.partition("args =")[0]
    text += (
        "from kleio.client import Experiment\n"
        "for k in range(2):\n"
        "    with Experiment({'k': k}):\n"
        "        print(parser.parse_args(['--lr', str(k)]).hash_code)\n"
    )
    script(project, text, "sweep.py")
    codes = subprocess.run([PYTHON, "sweep.py"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert kleio(PYTHON, "sweep.py", check=0).stdout.split() == codes
    found = [{info(one)["params"].get("k") for one, _ in traced(code)} for code in codes]
    assert found == [{0}, {1}]


# -- nothing breaks --------------------------------------------------------------------------------------------------


def said(text, status=0, environment=None, before=()):
    """What a script says on stderr, and its hash code."""
    done = subprocess.run([*before, PYTHON, text], capture_output=True, text=True, env=os.environ | (environment or {}))
    assert done.returncode == status, done.stderr
    return done.stderr, done.stdout.strip()


def test_no_place_to_record_to_is_said_once(project):
    code = plainly("train.py")
    error, found = said("train.py", environment={"KLEIO_HOME": "/dev/null/kleio"})
    assert found == code
    assert error.count("kleio: this run is not recorded: ") == len(error.splitlines()) == 1


def test_no_home_at_all(project, monkeypatch):
    code = plainly("train.py")
    monkeypatch.delenv("KLEIO_HOME")
    error, found = said("train.py", environment={"HOME": "none"})
    assert found == code
    assert error.count("this run is not recorded: there is no home directory") == len(error.splitlines()) == 1


def test_a_full_disk(project):
    (project / "model.py").write_text("1")
    code = plainly("train.py")
    error, found = said("train.py", before=["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"])
    assert found == code
    assert error.count("kleio: this run is not recorded: ") == len(error.splitlines()) == 1


def test_without_git(project, tmp_path):
    (tmp_path / "bin").mkdir()
    error, code = said("train.py", environment={"PATH": str(tmp_path / "bin")})
    assert len(code) == 16
    assert "no git on PATH" in error
    assert len(error.splitlines()) == 1


def test_settings_that_make_no_sense(project):
    (project / "pyproject.toml").write_text("[tool.kleio]\nvolatyle = 1\n")
    error, code = said("train.py")
    assert len(code) == 16
    assert "did you mean 'volatile'" in error
    assert len(error.splitlines()) == 1
    assert "did you mean" in said("train.py", 1, environment={"KLEIO_STRICT": "1"})[0]


def test_the_setting_that_records_nothing(project):
    code = plainly("train.py", KLEIO_UNLAUNCHED="0")
    assert code == plainly("train.py")
    assert len(traced(code)) == 1
    assert "shipped" in kleio("sync", check=0).stdout
    assert [len(one["executions"]) for one in trials()] == [1]


def test_a_script_that_moves_away_before_it_parses(project):
    code = plainly("train.py")
    script(project, PARSE.replace("parser =", "os.chdir('/')\nparser ="))
    moved = plainly("train.py")
    assert moved != code
    assert moved == kleio(PYTHON, "train.py", check=0).stdout.strip()


def test_many_waiting_runs_are_not_all_read(tmp_path, monkeypatch):
    from kleio.core import waiting

    monkeypatch.chdir(tmp_path)
    script(tmp_path, PARSE)
    for _ in range(3):
        plainly("train.py")
    (root,) = (pathlib.Path(os.environ["KLEIO_HOME"]) / "spool").iterdir()
    launches = [json.loads(path.read_text()) for path in root.glob("*/launch.json")]
    key = launches[0]["trial"]["work_key"]
    assert len(waiting.entries_here(str(root), key)) == 3
    assert len(waiting.entries_here(str(root), key, 2)) == 2
    assert waiting.entries_here(str(root), "0" * 32) == []
    assert all(one["offline"] for one in launches)


def test_it_is_there_while_the_launched_run_goes_on(project, journal_uri):
    path = script(project, PARSE + "open('go').read()\n")
    os.mkfifo(project / "go")
    process = start(PYTHON, path)
    code = process.stdout.readline().strip()
    assert until(lambda: traced(code))[0][1] == [f"its hash code is {code}"]
    (project / "go").write_text("")
    process.communicate()
