"""What a script's own function raises inside a parser looks as it does without kleio, on the terminal and in the journal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import KLEIO, PYTHON, info, script, trials
from test_startup import OTHERS

import kleio

ROOT = Path(kleio.__file__).parents[1]
RAISING = """
import sys
def plain(*a):
    raise RuntimeError("mine")
def led(*a):
    try:
        {}["k"]
    except KeyError as error:
        raise LookupError("led to") from error
def during(*a):
    try:
        {}["k"]
    except KeyError:
        raise OSError("during")
def interrupted(*a):
    raise KeyboardInterrupt
def left(*a):
    sys.exit("x")
def refused(*a):
    raise TypeError("a wrong one")
def many(*a):
    try:
        plain()
    except RuntimeError as error:
        raise ExceptionGroup("several", [error, ValueError("b")])
"""
ARGPARSE = """
import argparse
class Act(argparse.Action):
    def __call__(self, *a):
        RAISE()
p = argparse.ArgumentParser()
q = p.add_subparsers().add_parser("q")
q.add_argument("--x", PLACE)
q.add_argument("--y", type=lambda x: q.error("no"))
p.parse_args(["q", "--x", "1"] if len(sys.argv) == 1 else None)
"""
CLICK = """
import click
class Kind(click.ParamType):
    name = "kind"
    def convert(self, value, parameter, context):
        return RAISE()
@click.group()
def group():
    pass
@group.command()
@click.option("--x", PLACE)
def q(x):
    pass
group()
"""
ABSL = """
from absl import app, flags
flags.DEFINE_integer("x", 0, "")
flags.register_validator("x", lambda x: x == 0 or RAISE())
app.run(lambda _: None)
"""
FIRE = """
import fire
@fire.decorators.SetParseFn(RAISE)
def q(x=0):
    pass
fire.Fire({"q": q})
"""
HYDRA = """
import hydra
@hydra.main(version_base=None)
def main(config):
    pass
main()
"""
KINDS = ["plain", "led", "during", "interrupted", "left", "refused", *(["many"] if sys.version_info >= (3, 11) else [])]
CASES = [
    *((ARGPARSE, kind, "type=RAISE", ["q", "--x", "1"]) for kind in KINDS),
    (ARGPARSE, "plain", "action=Act", ["q", "--x", "1"]), (ARGPARSE, "plain", "", ["q", "--y", "1"]),
    (ARGPARSE, "led", "type=RAISE", []),
    *((CLICK, kind, "callback=RAISE", ["q", "--x", "1"]) for kind in KINDS),
    (CLICK, "plain", "type=Kind()", ["q", "--x", "1"]), (CLICK, "plain", "", ["q", "--nowhere"]),
    *((ABSL, kind, "", ["--x=1"]) for kind in KINDS), (FIRE, "plain", "", ["q", "1"]), (FIRE, "led", "", ["q", "--x=1"]),
    (HYDRA, "plain", "", ["nowhere=1", "hydra.run.dir=.", "hydra.output_subdir=null"]),
]  # fmt: skip


def ran(*command, cwd, **environment):
    done = subprocess.run([*map(os.fspath, command)], cwd=cwd, env=os.environ | environment, capture_output=True, timeout=600)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def without_the_last(said):
    """Python 3.10 adds the outermost watcher when it raises again."""
    if sys.version_info >= (3, 11):
        return said
    own = re.compile(r'  File "[^"]*/kleio/client/parsers/of_\w+\.py", line \d+, in \w+\n    .*\n')
    return *said[:2], own.sub("", said[2], count=1)


@pytest.mark.parametrize(("text", "kind", "place", "words"), CASES)
def test_an_error_in_a_parser_is_shown_and_recorded_as_without_kleio(tmp_path, text, kind, place, words):
    program = script(tmp_path, RAISING + text.replace("PLACE", place).replace("RAISE", kind))
    full = {"HYDRA_FULL_ERROR": "1"} if text is HYDRA else {}
    plain = ran(PYTHON, program, *words, cwd=tmp_path, **full)
    assert plain[0], plain
    assert without_the_last(ran(*KLEIO, "-q", PYTHON, program, *words, cwd=tmp_path, **full)) == plain
    recorded = info(trials()[0]["id"])["executions"][-1]["exceptions"]
    assert bool(recorded) == ("Traceback" in plain[2])
    for one in recorded:
        assert one["traceback"] == plain[2][-len(one["traceback"]) :]


def test_what_a_watched_module_raises_while_it_is_imported(tmp_path):
    (tmp_path / "own" / "click").mkdir(parents=True)
    script(tmp_path / "own" / "click", "from click import core", "__init__.py")
    script(tmp_path / "own" / "click", "import nowhere_to_be_found", "core.py")
    program = script(tmp_path / "own", "import click")
    plain = ran(PYTHON, program, cwd=tmp_path)
    done = ran(*KLEIO, "-q", PYTHON, program, cwd=tmp_path)
    assert "nowhere_to_be_found" in plain[2]
    if sys.version_info >= (3, 11):
        assert done == plain
    (one,) = info(trials()[0]["id"])["executions"][-1]["exceptions"]
    assert "kleio" not in one["traceback"].replace(str(tmp_path), "")


@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parent.parent.name)
def test_in_other_pythons(tmp_path, python):
    version = tuple(map(int, python.parent.parent.name.split(".")[:2])) if python.parent.parent.name[0].isdigit() else (3, 0)
    if version < (3, 10):
        pytest.skip("there is no hook")
    program = script(tmp_path, RAISING + ARGPARSE.replace("PLACE", "type=RAISE").replace("RAISE", "led"))
    plain = ran(python, program, "q", "--x", "1", cwd=tmp_path)
    done = ran(*KLEIO, "-q", python, program, "q", "--x", "1", cwd=tmp_path, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
    extra = [line for line in done[2].splitlines() if line not in plain[2].splitlines()]
    assert len(extra) == (0 if version >= (3, 11) else 2)
    (one,) = info(trials()[0]["id"])["executions"][-1]["exceptions"]
    assert one["traceback"] == plain[2]
