"""Parameters with their defaults and sources, from scripts that know nothing of kleio, with the real libraries."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from commands import KLEIO, PYTHON, info, kleio, printed, script, start, trials, until

from kleio.core.commandline import named_words, parameters
from kleio.core.trial import united

LINE, FILE, ENVIRONMENT, DEFAULT, SCRIPT = "command line", "config file", "environment", "default", "script"


def run(tmp_path, text, *words, before=(), check=0, **environment):
    """Run a script under kleio, see that it prints what it prints without, and return the trial."""
    path = script(tmp_path, text)
    command = (PYTHON, path.name, *words)
    plain = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | environment)
    done = subprocess.run(
        [*KLEIO, "-q", *before, *command], cwd=tmp_path, capture_output=True, text=True, env=os.environ | environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert done.returncode == check, done.stderr
    return trials()[0]


def told(trial):
    """name → (value, source, default); of what has no default only two."""
    values, sources, defaults = trial["params"], trial["param_sources"], trial["param_defaults"]
    assert values.keys() == sources.keys()
    assert defaults.keys() <= values.keys()
    return {n: (values[n], sources[n], *([defaults[n]] if n in defaults else [])) for n in values}


# -- argparse --------------------------------------------------------------------------------------------------------

ARGPARSE = """
import argparse, enum, pathlib
class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
parser = argparse.ArgumentParser(fromfile_prefix_chars="@")
group = parser.add_argument_group("training")
group.add_argument("--learning-rate", "--lr", type=float, default=0.1)
group.add_argument("-x", "--count", type=int, default="3")
group.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
either = parser.add_mutually_exclusive_group()
either.add_argument("--fast", dest="mode", action="store_const", const=Mode.FAST, default=Mode.SLOW)
either.add_argument("--slow", dest="mode", action="store_const", const=Mode.SLOW)
parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("-v", dest="verbose", action="count", default=0)
parser.add_argument("--layer", action="append", type=int, default=None)
parser.add_argument("--must", required=True)
parser.add_argument("--hidden", default=argparse.SUPPRESS)
parser.add_argument("data")
parser.add_argument("more", nargs="*", default=["none"])
parser.set_defaults(seed=1)
print(parser.parse_args())
"""


def test_argparse(tmp_path):
    words = ("--lr", "0.1", "-x", "5", "--no-amp", "-vv", "--layer", "64", "--layer", "32", "--must", "be", "d.csv", "--fast")
    trial = run(tmp_path, ARGPARSE, *words)
    assert told(trial) == {
        "learning_rate": (0.1, LINE, 0.1), "count": (5, LINE, 3), "out": ("runs", DEFAULT, "runs"),
        "mode": ("FAST", LINE, "SLOW"), "amp": (False, LINE, True), "verbose": (2, LINE, 0), "layer": ([64, 32], LINE, None),
        "must": ("be", LINE), "data": ("d.csv", LINE), "more": (["none"], DEFAULT, ["none"]), "seed": (1, DEFAULT, 1),
    }  # fmt: skip
    shown = printed("info", trial["id"])
    assert "  learning_rate  0.1  (command line)\n" in shown
    assert "  count          5  (command line, default 3)\n" in shown


def test_argparse_with_abbreviations_equals_signs_and_files_of_arguments(tmp_path):
    (tmp_path / "more.txt").write_text("--must\nbe\n--amp\n7\n")
    trial = run(tmp_path, ARGPARSE, "--learning=0.2", "-x9", "@more.txt", "--slow", "--hidden", "1")
    found = told(trial)
    assert {name: found[name] for name in ("learning_rate", "count", "must", "amp", "data", "mode", "hidden")} == {
        "learning_rate": (0.2, LINE, 0.1), "count": (9, LINE, 3), "must": ("be", FILE), "amp": (True, FILE, True),
        "data": ("7", FILE), "mode": ("SLOW", LINE, "SLOW"), "hidden": ("1", LINE),
    }  # fmt: skip
    assert not {"learning", "x9", "_1", "slow"} & set(found)


SUBPARSERS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
commands = parser.add_subparsers({dest})
train = commands.add_parser("train")
train.add_argument("--lr", type=float, default=0.1)
train.set_defaults(function=print)
commands.add_parser("test").add_argument("--checkpoint")
print(parser.parse_args())
"""


def test_argparse_with_subparsers(tmp_path):
    trial = run(tmp_path, SUBPARSERS.format(dest="dest='command', required=True"), "--seed", "4", "train", "--lr", "0.5")
    assert told(trial) == {
        "seed": (4, LINE, 0), "command": ("train", LINE), "lr": (0.5, LINE, 0.1), "function": ("print", DEFAULT, "print"),
    }  # fmt: skip
    trial = run(tmp_path, SUBPARSERS.format(dest=""), "train")
    assert told(trial) == {
        "seed": (0, DEFAULT, 0), "_1": ("train", LINE), "lr": (0.1, DEFAULT, 0.1), "function": ("print", DEFAULT, "print"),
    }  # fmt: skip


def test_argparse_in_stages(tmp_path):
    """Unknown words stay what the plain parse makes of them; a second parser may be given them, and the first's namespace."""
    text = """
import argparse, sys
first = argparse.ArgumentParser()
first.add_argument("--lr", type=float, default=0.1)
known, rest = first.parse_known_args()
print(known, rest)
second = argparse.ArgumentParser()
second.add_argument("--depth", type=int, default=2)
known.fixed = 5
print(second.parse_known_args(rest, namespace=known))
third = argparse.ArgumentParser()
third.add_argument("--depth")
third.parse_known_args(["--depth", "77"])
"""
    trial = run(tmp_path, text, "--lr", "1", "--depth", "3", "--other", "x")
    assert told(trial) == {
        "other": ("x", LINE), "lr": (1.0, LINE, 0.1), "depth": (3, LINE, 2), "fixed": (5, SCRIPT),
    }  # fmt: skip


def test_argparse_with_intermixed_arguments_and_words_for_another_program(tmp_path):
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=1.0)\n"
    trial = run(tmp_path, text + "p.add_argument('files', nargs='*')\nprint(p.parse_intermixed_args())", "a", "--lr", "2", "b")
    assert told(trial) == {"lr": (2.0, LINE, 1.0), "files": (["a", "b"], LINE)}
    text += "p.add_argument('program')\np.add_argument('words', nargs=argparse.REMAINDER)\nprint(p.parse_args())"
    trial = run(tmp_path, text, "--lr", "2", "other.py", "--width", "7", "--token", "hunter2x")
    found = told(trial)
    assert found["width"] == (7, LINE)
    assert found["words"] == (["--width", "7", "--token", "<redacted>"], LINE)
    assert "hunter2x" not in json.dumps(trial)


def test_a_parse_of_other_words_is_none_of_the_command_line(tmp_path):
    text = """
import argparse, sys
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.1)
p.parse_args(["--lr", "3"])
try:
    p.parse_args(["--lr", "no"])
except SystemExit as error:
    print(error)
"""
    assert told(run(tmp_path, text, "--lr", "2")) == {"lr": (2, LINE)}


def test_a_config_file_that_sets_defaults(tmp_path):
    text = """
import argparse, json
p = argparse.ArgumentParser()
p.add_argument("--config")
p.add_argument("--lr", type=float, default=0.1)
p.add_argument("--depth", type=int, default=2)
first, rest = p.parse_known_args()
p.set_defaults(**json.load(open(first.config)))
print(p.parse_args())
"""
    (tmp_path / "c.json").write_text('{"lr": 0.7, "depth": 9}')
    found = told(run(tmp_path, text, "--config", "c.json", "--depth", "4"))
    assert found["lr"][:2] == (0.7, FILE)
    assert found["depth"][:2] == (4, LINE)


def test_help_is_no_parse_and_what_cannot_be_recorded_is_nobodys_trouble(tmp_path):
    text = "import argparse\np = argparse.ArgumentParser(prog='p')\np.add_argument('--lr')\nprint(p.parse_args())"
    assert told(run(tmp_path, text, "--help")) == {"help": (True, LINE)}
    odd = """
import argparse
class Odd:
    def __repr__(self):
        raise ValueError
class Lazy(argparse.Namespace):
    __slots__ = ()
p = argparse.ArgumentParser()
p.add_argument("--odd", default=Odd())
p.add_argument("--big", default="x" * 10_000_000)
p.add_argument("--many", default=list(range(100_000)))
p.add_argument("--number", default=float("nan"))
p.add_argument("--text", default="a\\0b\\udcff$.")
p.add_argument("--function", default=lambda x: x)
p.parse_args(namespace=Lazy())
"""
    found = told(run(tmp_path, odd))
    assert found["odd"][0] == "<Odd>"
    assert len(found["big"][0]) < 1100
    assert len(found["many"][0]) < 1100
    assert found["number"][0] == "NaN"
    assert found["text"][0] == "a\0b\udcff$."
    assert found["function"][0] == "<lambda>"


# -- click and typer -------------------------------------------------------------------------------------------------

CLICK = """
import click
@click.group()
@click.option("--seed", type=int, default=0)
@click.pass_context
def main(context, seed):
    context.default_map = {"train": {"depth": 9}}
@main.command()
@click.argument("data")
@click.option("--learning-rate", "-l", default=0.1, show_default=True)
@click.option("--width", default=8, envvar="WIDTH")
@click.option("--depth", default=2)
@click.option("--amp/--no-amp", default=True)
@click.option("--name", prompt=True)
@click.option("--code", prompt=True, hide_input=True)
@click.option("--tag", multiple=True)
@click.option("--seed", default=3)
def train(**values):
    click.echo(values)
main()
"""


def test_click(tmp_path):
    path = script(tmp_path, CLICK)
    words = ("--seed", "1", "train", "d.csv", "-l", "0.1", "--no-amp", "--tag", "a", "--tag", "b")
    kleio(PYTHON, path, *words, cwd=tmp_path, check=0, input="ada\nhunter2x\n", WIDTH="16")
    assert told(trials()[0]) == {
        "_1": ("train", LINE), "seed": (1, LINE, 0), "data": ("d.csv", LINE), "learning_rate": (0.1, LINE, 0.1),
        "width": (16, ENVIRONMENT, 8), "depth": (9, FILE, 2), "amp": (False, LINE, True), "name": ("ada", LINE, None),
        "code": ("<redacted>", LINE), "tag": (["a", "b"], LINE, None), "train.seed": (3, DEFAULT, 3),
    }  # fmt: skip


TYPER = """
import enum, typer
from pathlib import Path
class Mode(str, enum.Enum):
    fast = "fast"
    slow = "slow"
app = typer.Typer()
@app.command()
def main(data: Path, lr: float = 0.1, mode: Mode = Mode.slow, amp: bool = True, width: int = typer.Option(8, envvar="WIDTH")):
    print(data, lr, mode, amp, width)
app()
"""


def test_typer(tmp_path):
    assert told(run(tmp_path, TYPER, "d.csv", "--no-amp", "--lr", "0.1", WIDTH="4")) == {
        "data": ("d.csv", LINE), "lr": (0.1, LINE, 0.1), "mode": ("slow", DEFAULT, "slow"), "amp": (False, LINE, True),
        "width": (4, ENVIRONMENT, 8),
    }  # fmt: skip
    run(tmp_path, TYPER, "--help")
    run(tmp_path, TYPER, "--lr", "x", "d.csv", check=2)


def test_a_command_that_another_program_invokes_is_none_of_the_command_line(tmp_path):
    other = "from click.testing import CliRunner\nCliRunner().invoke(main, ['--seed', '5', 'train', '--help'])"
    text = CLICK.replace("main()\n", other)
    assert told(run(tmp_path, text, "--seed", "2")) == {"seed": (2, LINE)}


# -- hydra -----------------------------------------------------------------------------------------------------------

HYDRA = """
import hydra, os
@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(cfg):
    print(cfg.lr, cfg.model.depth, cfg.double)
    assert cfg.lr != 13, "bad luck"
main()
"""


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "conf" / "db").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text(
        "defaults:\n  - db: sqlite\n  - _self_\nlr: 0.1\nmodel:\n  depth: 2\n  sizes: [1, 2]\n  kind: ???\n"
        "double: ${model.depth}\nhome: ${oc.env:MY_PLACE,nowhere}\nhydra:\n  run:\n    dir: out\n  sweep:\n    dir: out\n"
    )
    for name in ("sqlite", "mysql"):
        (tmp_path / "conf" / "db" / f"{name}.yaml").write_text(f"driver: {name}\npassword: hunter2x\n")


def test_hydra(tmp_path, conf):
    words = ("db=mysql", "lr=0.5", "model.depth=7", "+extra=1", "+model.more={a: 1, b: x}")
    assert told(run(tmp_path, HYDRA, *words, MY_PLACE="here")) == {
        "db": ("mysql", LINE), "lr": (0.5, LINE, 0.1), "model.depth": (7, LINE, 2), "model.sizes": ([1, 2], FILE),
        "extra": (1, LINE), "model.more.a": (1, LINE), "model.more.b": ("x", LINE), "double": (7, FILE), "home": ("here", FILE),
        "db.driver": ("mysql", FILE), "db.password": ("<redacted>", FILE),
    }  # fmt: skip


def test_hydra_with_several_jobs_keeps_what_is_swept_over(tmp_path, conf):
    text = HYDRA.replace("print(cfg.lr", "print('job', cfg.lr")
    script(tmp_path, text)
    kleio(PYTHON, "train.py", "--multirun", "lr=0.1,0.2", "model.depth=3", cwd=tmp_path, check=0)
    found = told(trials()[0])
    assert found["lr"] == ("0.1,0.2", LINE)
    assert found["model.depth"] == (3, LINE)
    assert found["db.driver"] == ("sqlite", FILE)
    assert "overrides" not in found


def test_what_differs_from_job_to_job_is_told_of_all(tmp_path, conf):
    script(tmp_path, HYDRA)
    kleio(PYTHON, "train.py", "-m", "db=sqlite,mysql", "model.depth=3,4", cwd=tmp_path, check=0)
    found = told(trials()[0])
    assert found["db"] == ("sqlite,mysql", LINE)
    assert found["db.driver"] == ("sqlite,mysql", FILE)
    assert found["double"] == ("3,4", FILE)
    assert found["lr"] == (0.1, FILE)
    assert not {"m", "multirun"} & set(found)


def test_a_sweep_that_a_config_file_asks_for(tmp_path, conf):
    with (tmp_path / "conf" / "config.yaml").open("a") as file:
        file.write("  mode: MULTIRUN\n  sweeper:\n    params:\n      lr: 0.1,0.2\n      +extra: a,b\n")
    script(tmp_path, HYDRA)
    kleio(PYTHON, "train.py", "model.depth=3,4", cwd=tmp_path, check=0)
    found = told(trials()[0])
    assert (found["lr"], found["extra"], found["model.depth"]) == (("0.1,0.2", FILE), ("a,b", FILE), ("3,4", LINE))


def test_what_a_job_of_hydra_raises_is_recorded_though_hydra_prints_it(tmp_path, conf):
    trial = run(tmp_path, HYDRA, "lr=13", check=1)
    (one,) = info(trial["id"])["executions"][0]["exceptions"]
    assert (one["type"], one["message"]) == ("AssertionError", "bad luck")
    run(tmp_path, HYDRA, "lr=13", check=1, HYDRA_FULL_ERROR="1")
    (one,) = info(trials()[0]["id"])["executions"][-1]["exceptions"]
    assert one["type"] == "AssertionError"


def test_hydras_warnings_are_about_who_they_are_about_without_the_hook(tmp_path, conf):
    run(tmp_path, HYDRA.replace(', version_base="1.3"', ""), "lr=2")


# -- absl and fire ---------------------------------------------------------------------------------------------------

ABSL = """
from absl import app, flags, logging
FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 0.1, "")
flags.DEFINE_integer("depth", 2, "", short_name="d")
flags.DEFINE_bool("amp", True, "")
flags.DEFINE_enum("mode", "slow", ["slow", "fast"], "")
flags.DEFINE_list("names", ["a"], "")
flags.DEFINE_string("api_key", "hunter2x", "")
flags.DEFINE_integer("set_later", 1, "")
flags.DEFINE_string("needed", None, "", required=True)
FLAGS.set_default("set_later", 5)
def main(argv):
    print(argv[1:], FLAGS.lr, FLAGS.names)
    assert FLAGS.depth != 13
app.run(main)
"""


def test_absl(tmp_path):
    (tmp_path / "flags.txt").write_text("--mode=fast\n")
    words = ("--lr=0.1", "-d", "4", "--noamp", "--flagfile=flags.txt", "--verbosity=1", "--needed", "x", "rest")
    assert told(run(tmp_path, ABSL, *words)) == {
        "_1": ("rest", LINE), "lr": (0.1, LINE, 0.1), "depth": (4, LINE, 2), "amp": (False, LINE, True),
        "mode": ("fast", FILE, "slow"), "names": (["a"], DEFAULT, ["a"]), "api_key": ("<redacted>", DEFAULT, "<redacted>"),
        "set_later": (5, DEFAULT, 5), "needed": ("x", LINE), "verbosity": (1, LINE, -1),
    }  # fmt: skip
    run(tmp_path, ABSL, "--nothing", check=1)
    trial = run(tmp_path, ABSL, "--depth=13", "--needed=x", check=1)
    assert info(trial["id"])["executions"][0]["exceptions"][0]["type"] == "AssertionError"


FIRE = """
import fire
class Trainer:
    def __init__(self, seed=0, *, device="cpu"):
        self.seed = seed
    def train(self, data, lr=0.1, depth=2, *files, width: int = 3, **more):
        return repr((self.seed, data, lr, depth, files, width, more))
fire.Fire({target})
"""


def test_fire(tmp_path):
    trial = run(tmp_path, FIRE.format(target="Trainer"), "train", "d.csv", "--lr=0.1", "--seed=4", "--extra=7")
    assert told(trial) == {
        "_1": ("train", LINE), "seed": (4, LINE, 0), "device": ("cpu", DEFAULT, "cpu"), "data": ("d.csv", LINE),
        "lr": (0.1, LINE, 0.1), "depth": (2, DEFAULT, 2), "width": (3, DEFAULT, 3), "extra": (7, LINE),
    }  # fmt: skip
    trial = run(tmp_path, FIRE.format(target="Trainer().train"), "d.csv", "0.5", "6", "x", "y", "--width", "9")
    assert told(trial) == {
        "data": ("d.csv", LINE), "lr": (0.5, LINE, 0.1), "depth": (6, LINE, 2), "files": (["x", "y"], LINE),
        "width": (9, LINE, 3),
    }  # fmt: skip
    run(tmp_path, FIRE.format(target=""), "Trainer", "train", "d", "--", "--trace")
    run(tmp_path, FIRE.format(target="Trainer, command='train x'"), "--seed=3", check=0)
    assert told(trials()[0]) == {"seed": (3, LINE)}


# -- who tells -------------------------------------------------------------------------------------------------------

SIMPLE = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default={})
print(p.parse_args())
"""


def test_processes_with_the_same_parameters_tell_once_and_installed_tools_nothing(tmp_path, home):
    script(tmp_path, SIMPLE.format(0.1))
    text = """
import os, subprocess, sys
for rank in range(3):
    subprocess.run([sys.executable, "train.py", *sys.argv[1:]], env=os.environ | {"RANK": str(rank)}, check=True)
subprocess.run([sys.executable, "-m", "pip", "--version"], check=True)
subprocess.run([sys.executable, "-m", "kleio", "-q", sys.executable, "train.py", "--lr", "9"], check=True)
"""
    script(tmp_path, text, "starts.py")
    kleio(PYTHON, "starts.py", "--lr", "2", cwd=tmp_path, check=0)
    inner, outer = sorted(trials(), key=lambda one: one["within"] is None)
    assert told(outer) == {"lr": (2.0, LINE, 0.1)}
    assert told(inner) == {"lr": (9.0, LINE, 0.1)}


def test_words_of_somebody_elses_replace_nothing(tmp_path):
    script(tmp_path, SIMPLE.format(0.1))
    kleio("sh", "-c", f"{PYTHON} train.py --lr 3", "name", "first", "second", cwd=tmp_path, check=0)
    assert told(trials()[0]) == {
        "_1": ("name", LINE), "_2": ("first", LINE), "_3": ("second", LINE), "lr": (3.0, LINE, 0.1),
    }  # fmt: skip


def test_they_are_shown_while_it_runs(tmp_path, journal_uri):
    text = SIMPLE.format(0.1) + "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start("sh", "-c", f"{PYTHON} {script(tmp_path, text)} --lr 3 < {fifo}", cwd=tmp_path)
    with open(fifo, "w") as file:
        until(lambda: trials() and trials()[0]["params"])
        assert until(lambda: "lr" in (found := told(trials()[0])) and found)["lr"] == (3.0, LINE, 0.1)
        assert trials()[0]["status"] == "running"
        file.write("go on\n")
    process.communicate(timeout=600)
    assert process.returncode == 0


def test_what_goes_wrong_in_recording_is_said_only_when_asked_for(tmp_path):
    break_it = "import kleio.client.reporting as r\ndef fail(*_):\n    raise OSError('no room')\nr.leave = fail\n"
    path = script(tmp_path, SIMPLE.format(0.1).replace("print(", break_it + "print(") + "p.parse_args()\n")
    assert kleio("-q", PYTHON, path, cwd=tmp_path, check=0).stderr == ""
    said = "kleio: what the start-up hook saw is not recorded: no room\n"
    assert kleio("-q", PYTHON, path, cwd=tmp_path, check=0, KLEIO_STRICT="1").stderr == said


def test_a_namespace_that_is_filled_with_the_defaults_has_defaults(tmp_path):
    text = """
import argparse
p = argparse.ArgumentParser()
for name in ("--depth", "--lr", "--mode"):
    p.add_argument(name, default="".join(["fa", "st"]))
p.parse_args(namespace=argparse.Namespace(depth="".join(["f", "ast"]), lr="mine"))
"""
    assert told(run(tmp_path, text)) == {
        "depth": ("fast", DEFAULT, "fast"), "lr": ("mine", "script", "fast"), "mode": ("fast", DEFAULT, "fast"),
    }  # fmt: skip


def test_a_secret_default_is_nowhere_in_the_journal(tmp_path, home):
    text = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--db-password", default="hunter2x")
p.add_argument("--url", default="https://ada:hunter2x@example.org")
p.add_argument("--headers", default={"Authorization": "Bearer hunter2xhunter2x"}, type=dict)
p.parse_args()
raise ValueError("cannot reach https://ada:hunter2x@example.org")
"""
    subprocess.run([*KLEIO, "-q", PYTHON, script(tmp_path, text)], cwd=tmp_path, capture_output=True)
    subprocess.run([*KLEIO, "-q", "--offline", PYTHON, "train.py", "--url", "x"], cwd=tmp_path, capture_output=True)
    kleio("sync", cwd=tmp_path)
    found = [info(one["id"]) for one in trials()]
    assert [one["params"]["db_password"] for one in found] == ["<redacted>"] * 2
    assert [one["executions"][0]["exceptions"][0]["type"] for one in found] == ["ValueError"] * 2
    kept = json.dumps(found)
    assert "cannot reach https://ada:<redacted>@example.org" in kept
    for one in found:
        one.pop("code")
    assert "hunter2x" not in json.dumps(found)


def test_offline_the_parameters_come_with_the_rest(tmp_path):
    script(tmp_path, SIMPLE.format(0.1))
    kleio("--offline", PYTHON, "train.py", cwd=tmp_path, check=0)
    kleio("sync", cwd=tmp_path, check=0)
    assert told(trials()[0]) == {"lr": (0.1, DEFAULT, 0.1)}


def test_a_difference_in_a_default_is_one_between_trials_and_none_from_what_is_here(tmp_path):
    for default in (0.1, 0.2):
        script(tmp_path, SIMPLE.format(default))
        kleio(PYTHON, "train.py", cwd=tmp_path, check=0)
    new, old = (one["id"] for one in trials())
    found = json.loads(kleio("diff", old, new, "--params", "--json", cwd=tmp_path).stdout)
    assert found["params"] == [{"name": "lr", "before": 0.1, "after": 0.2}]
    found = json.loads(kleio("diff", new, "--params", "--json", cwd=tmp_path).stdout)
    assert found["params"] == []


def test_a_branch_says_what_its_default_was(tmp_path):
    script(tmp_path, SIMPLE.format(0.1) + "from kleio.client.logger import kleio_logger as k\nk.log_statistic(x=1)\n")
    kleio(PYTHON, "train.py", cwd=tmp_path, check=0)
    done = kleio("branch", trials()[0]["id"], "--lr", "0.01", cwd=tmp_path, check=0)
    assert "lr 0.1 → 0.01" in done.stderr
    assert told(trials()[0]) == {"lr": (0.01, LINE, 0.1)}


# -- what the script logs itself -------------------------------------------------------------------------------------

LOG = "from kleio.client.logger import kleio_logger as k\n"


def test_log_config(tmp_path, journal_uri):
    text = LOG + """
import argparse, dataclasses, numpy as np
from omegaconf import OmegaConf
@dataclasses.dataclass
class Model:
    depth: int = 3
    sizes: tuple = (1, 2)
k.log_config({"lr": 0.5, "model": {"width": 4, "a.b": {"$c": 1, "": 2, "é 😀": None}}, 3: "three"})
k.log_config(argparse.Namespace(model=Model(), array=np.arange(3), secret_token="hunter2x", note="ghp_" + "aB3" * 12))
k.log_config(OmegaConf.create({"data": {"path": "/x", "again": "${data.path}"}}))
k.log_config({})
config = k.load_config()
assert config["lr"] == 0.5 and config["x"] == 1 and config["model.depth"] == 3, config
"""
    path = script(tmp_path, text)
    kleio(PYTHON, path, "--lr", "0.1", "--x", "1", cwd=tmp_path, check=0, KLEIO_STRICT="1")
    trial = trials()[0]
    assert told(trial) == {
        "x": (1, LINE), "lr": (0.5, SCRIPT), "model.width": (4, SCRIPT), "model.a.b.$c": (1, SCRIPT),
        "model.a.b.": (2, SCRIPT), "model.a.b.é 😀": (None, SCRIPT), "3": ("three", SCRIPT), "model.depth": (3, SCRIPT),
        "model.sizes": ([1, 2], SCRIPT), "array": ([0, 1, 2], SCRIPT), "secret_token": ("<redacted>", SCRIPT),
        "note": ("<redacted>", SCRIPT), "data.path": ("/x", SCRIPT), "data.again": ("/x", SCRIPT),
    }  # fmt: skip


def test_load_config_knows_what_the_parser_made_of_the_command_line(tmp_path):
    text = SIMPLE.format(0.1) + LOG + "print(k.load_config(), k.active)"
    done = kleio(PYTHON, script(tmp_path, text), "--lr", "1", cwd=tmp_path, check=0)
    assert done.stdout.endswith("{'lr': 1.0} True\n")
    done = kleio("--no-hook", PYTHON, script(tmp_path, text), "--lr", "1", cwd=tmp_path, check=0)
    assert done.stdout.endswith("{'lr': 1} True\n")
    plain = subprocess.run([PYTHON, tmp_path / "train.py"], capture_output=True, text=True, check=True)
    assert plain.stdout.endswith("{} False\n")


def test_configs_of_all_kinds_are_stored_or_refused_and_the_script_goes_on(tmp_path):
    text = LOG + """
k.log_config([1, 2])
cycle = {"a": 1}
cycle["b"] = cycle
k.log_config(cycle)
many = [0]
for _ in range(100):
    many = [many, many]
k.log_config({"many": many, "large": "x" * 10_000_000, "odd": object()})
k.log_config({f"key{n}": n for n in range(1_000_000)})
for n in range(300):
    k.log_config({"step": n})
print("done")
"""
    done = kleio(PYTHON, script(tmp_path, text), cwd=tmp_path, check=0)
    assert done.stdout == "done\n"
    assert [line for line in done.stderr.splitlines() if "reserved" not in line] == [
        "kleio: the config is not recorded: a list has no names; give a mapping, a namespace or a data class",
        "kleio: the config is not recorded: b contains itself",
        "kleio: of the parameters the first 10,000 are recorded, and no more: they are too many, or too large",
        "kleio: parameters were told in 100 different ways; what comes now is not recorded",
    ]
    params = trials()[0]["params"]
    assert params["odd"] == "<object object>"
    assert len(params) == 10_004
    command, strict = [*KLEIO, PYTHON, tmp_path / "train.py"], os.environ | {"KLEIO_STRICT": "1"}
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, env=strict)
    assert refused.returncode == 1


# -- the pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["python", "-u", "t.py", "--lr", "0.1", "-v", "a", "b", "x=1"], ["", "", "", "lr", "lr", "v", "v", "_1", "x"]),
        (["./t", "--a=1", "--", "--b", "c"], ["", "a", "", "_1", "_2"]),
        (["./t", "--n", "1", "2", "3"], ["", "n", "n", "n", "n"]),
        (["./t"], [""]),
    ],
)
def test_the_name_of_each_word(argv, names):
    assert named_words(argv) == names
    assert {name for name in names if name} == set(parameters(argv))


def test_what_is_told_later_and_what_gives_way():
    read = {"params": {"lr": 1, "deep": 2}, "sources": {"lr": FILE, "deep": FILE}}
    mine = {"params": {"learning_rate": 5.0, "deep": 2}, "sources": {"learning_rate": LINE, "deep": DEFAULT},
            "defaults": {"learning_rate": 1.0, "deep": 2}, "replaces": ["x"]}  # fmt: skip
    found = united({"x": 5, "lr": 3}, {"x": LINE, "lr": LINE}, [mine, read])
    assert found["params"] == {"lr": 3, "deep": 2, "learning_rate": 5.0}
    assert found["sources"] == {"lr": LINE, "deep": FILE, "learning_rate": LINE}
    assert found["defaults"] == {"learning_rate": 1.0, "deep": 2}
