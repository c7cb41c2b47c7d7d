"""What cannot be recorded: the script goes on, the rest is kept, it is said once, and the journal has how much it was."""

from __future__ import annotations

import inspect

import pytest
from commands import PYTHON, info, kleio, printed, script, trials

from kleio.client.logger import Logger
from kleio.core.journal import open_journal
from kleio.core.lineage import logged

IMPORT = "import os, signal, sys\nfrom kleio.client.logger import kleio_logger as k\n"


def run(tmp_path, text, check=0, **environment):
    done = kleio(PYTHON, script(tmp_path, IMPORT + text), cwd=tmp_path, check=check, **environment)
    return trials()[0]["id"], done.stderr.splitlines(), done.stdout


def told(trial):
    return " ".join(printed("info", trial).split())


def test_values_beside_one_that_cannot_be_recorded_are_and_the_journal_counts_what_was_not(tmp_path, journal_uri):
    trial, said, _ = run(
        tmp_path,
        """
for i in range(100): k.log_statistic(i=i, opt=object(), loss=1.0)
for i in range(5): k.log_artifact("a", "missing")
k.log_statistic(opt=object())
""",
    )
    said = [line for line in said if "recorded" in line]
    assert len(said) == 2
    assert "'opt' cannot be recorded and is left out: a value of type builtins.object cannot be logged" in said[0]
    summary = info(trial)["summary"]
    assert (summary["i"]["count"], summary["loss"]["count"], "opt" in summary) == (100, 100, False)
    assert "5 artifacts and 101 values could not be recorded (of opt): 'opt' cannot be recorded" in told(trial)
    journal = open_journal(journal_uri, writing=False)
    assert len(logged(journal, journal.entry(trial))[0]) == 100
    journal.close()


def test_a_kill_leaves_how_many_it_was_at_least(tmp_path):
    text = "for i in range(57): k.log_statistic(i=i, opt=object())\nos.kill(os.getpid(), signal.SIGKILL)\n"
    trial, _, _ = run(tmp_path, text, -9)
    assert "at least 10 values could not be recorded (of opt)" in told(trial)


def test_what_forked_processes_could_not_record_is_counted_too(tmp_path):
    text = "for n in range(3):\n    k.log_statistic(a=object())\n"
    text += "    if os.fork() == 0: k.log_statistic(a=object()); sys.exit()\n    os.wait()\n"
    assert " 6 values could not be recorded (of a)" in f" {told(run(tmp_path, text)[0])}"


def test_an_experiment_counts_its_own(tmp_path):
    text = "from kleio.client import Experiment\n"
    text += "for n in range(2):\n    with Experiment({'n': n}) as e:\n        e.log_statistic(a=object(), b=1)\n"
    import subprocess

    subprocess.run([PYTHON, script(tmp_path, text)], cwd=tmp_path, check=True, capture_output=True)
    for one in trials():
        assert "1 value could not be recorded (of a)" in told(one["id"])
        assert one["summary"]["b"]["count"] == 1


CALLS = [
    ("k.log_statistic({'a': 1})", "log_statistic takes names: log_statistic(a=1), or log_statistic(**values)"),
    ("k.add({'a': 1})", "add takes names: add(a=1), or add(**values)"),
    ("k.commit({'a': 1})", "commit takes names: commit(a=1), or commit(**values)"),
    ("with k.scope({'a': 1}) as s: s.log_statistic(b=1)", "scope takes names: scope(a=1), or scope(**values)"),
    ("k.scope(a=1).set({'b': 1})", "set takes names: set(a=1), or set(**values)"),
    ("k.scope(a=1).log_statistic({'b': 1})", "log_statistic takes names: log_statistic(a=1), or log_statistic(**values)"),
    ("k.log_artifact('a')", "log_artifact is not called so: "),
    ("k.log_artifact()", "log_artifact is not called so: "),
    ("k.log_config()", "log_config is not called so: "),
    ("k.log_image('a')", "log_image is not called so: "),
    ("assert k.load_artifacts('a', None, 3) == []", "load_artifacts is not called so: "),
    ("assert k.latest_artifact() is None", "latest_artifact is not called so: "),
    ("assert k.load_statistic(all=1, **{'all_executions': 0}) == []", None),
]


def test_calls_that_nothing_takes_are_said_once_and_the_script_goes_on(tmp_path):
    text = "".join(f"for _ in range(2): {call}\n" if not call.startswith("with") else f"{call}\n" for call, _ in CALLS)
    _, said, printed = run(tmp_path, text + "print('end')\n")
    assert printed == "end\n"
    for words in {words for _, words in CALLS if words}:
        times = 2 if words.startswith("log_artifact") else 1  # one, or two arguments are missing
        assert sum(line.startswith(f"kleio: {words}") for line in said) == times, words


@pytest.mark.parametrize("call", [call for call, words in CALLS if words])
def test_the_strict_are_told_by_an_exception(call):
    logger = Logger(None, strict=True)
    with pytest.raises(TypeError):
        exec(call, {"k": logger})


def test_a_type_error_from_inside_is_what_it_was_and_signatures_are_to_be_seen():
    assert list(inspect.signature(Logger.log_artifact).parameters)[:3] == ["self", "filename", "artifact"]
    with pytest.raises(TypeError, match="not iterable"):
        Logger(None).scope(a=1).log_statistic(**dict(5))


def test_artifacts_of_all_names(tmp_path):
    text = "k.log_artifact('a', b'1')\nk.log_artifact('b', b'2', n=2)\n"
    text += "print([one.name for one in k.load_artifacts()], [one.name for one in k.load_artifacts(where={'n': 2})])\n"
    assert run(tmp_path, text)[2] == "['a', 'b'] ['b']\n"
