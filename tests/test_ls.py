"""``kleio ls``: the trials that are asked for, in the order that is asked for."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

import pytest
from commands import PYTHON, kleio, read, script, start, trials, until
from conftest import PATIENT, with_database

SWEEP = """
import sys
from kleio.client.logger import kleio_logger as k
lr, opt = float(sys.argv[2]), sys.argv[4]
for epoch in range(3):
    k.log_statistic(epoch=epoch, loss=lr / (epoch + 1))
"""


@pytest.fixture(scope="module", params=["sqlite", "mongo"])
def runs(request, tmp_path_factory):
    """Four runs of a script, with learning rates and optimisers: where they are, and the variables with which they are read."""
    place = tmp_path_factory.mktemp("swept")
    uri = f"sqlite:///{place}/home/journal.db"
    if request.param == "mongo":
        client = request.getfixturevalue("mongo_client")
        uri = with_database(request.getfixturevalue("mongod_uri"), f"kleio_test_{uuid4().hex[:12]}")
    variables = {"HOME": str(place), "KLEIO_HOME": f"{place}/home", "KLEIO_JOURNAL": uri, "KLEIO_TIMEOUT": "60"}
    script(place, SWEEP)
    for lr, opt in ((0.1, "sgd"), (0.1, "adam"), (0.5, "sgd"), (0.01, "adam")):
        words = ("--tag", opt, PYTHON, "train.py", "--lr", str(lr), "--opt", opt)
        kleio(*words, cwd=place, check=0, **variables, **PATIENT)
    yield place, variables
    if request.param == "mongo":
        client.drop_database(uri.rpartition("/")[2].partition("?")[0])


@pytest.fixture
def swept(runs, monkeypatch):
    place, variables = runs
    monkeypatch.chdir(place)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def listed(*words):
    """(lr, opt) of the trials that are listed."""
    found = read("ls", "--json", *words)
    return [(one["params"]["lr"], one["params"]["opt"]) for one in found]


def test_where(swept):
    assert listed("--where", "params.lr > 0.05 and params.opt == 'sgd'") == [(0.5, "sgd"), (0.1, "sgd")]
    assert listed("--where", "params.lr > 0.05", "--where", "params.opt == 'adam'") == [(0.1, "adam")]
    assert listed("--where", "summary.loss.min < 0.01") == [(0.01, "adam")]
    assert listed("--where", "'adam' in tags and created > '1 hour ago'", "--tag", "adam", "-n", "1") == [(0.01, "adam")]
    assert listed("--where", "created < '1 hour ago'") == []
    assert listed("--where", "environment.python.version matches '^3' and params.lr == 0.5") == [(0.5, "sgd")]
    assert listed("--user", "nobody-here") == []


def test_sorting(swept):
    assert [lr for lr, _ in listed("--sort", "summary.loss.min")] == [0.01, 0.1, 0.1, 0.5]
    assert [lr for lr, _ in listed("--sort", "-summary.loss.min", "-n", "2")] == [0.5, 0.1]
    assert listed("--sort", "params.opt", "--sort", "-params.lr") == [(0.1, "adam"), (0.01, "adam"), (0.5, "sgd"), (0.1, "sgd")]
    assert listed("--reverse") == listed()[::-1] == [(0.1, "sgd"), (0.1, "adam"), (0.5, "sgd"), (0.01, "adam")]
    assert listed("--reverse", "--sort", "params.lr")[0] == (0.5, "sgd")


def test_a_running_trial_is_found_as_it_is_now(tmp_path, journal_uri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("go")
    program = SWEEP + "open('go').read()\n"
    process = start(PYTHON, script(tmp_path, program), "--lr", "7", "--opt", "sgd")
    until(lambda: [one for one in trials() if one["summary"].get("loss", {}).get("count") == 3])
    assert listed("--where", "status == 'running' and summary.loss.count == 3 and duration > 0") == [(7, "sgd")]
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "go").write_text("")
    until(lambda: listed("--where", "status == 'failover' and params.lr == 7"))
    process.stdout.close()
    process.stderr.close()


def test_a_query_that_cannot_be_meant(swept):
    done = kleio("ls", "--where", "lr > 0.1", check=2)
    assert done.stderr.splitlines() == [
        "kleio: there is no lr; did you mean params.lr?", "kleio:   lr > 0.1", "kleio:   ^^",
    ]  # fmt: skip
    assert "did you mean summary.loss.last?" in kleio("ls", "--sort", "los", check=2).stderr


def test_a_name_that_no_trial_has(swept):
    cases = {
        ("--where", "params.lrr > 0.1"): "no trial has params.lrr; did you mean params.lr?",
        ("--sort", "summary.los.min"): "no trial has summary.los.min; did you mean summary.loss.min?",
        ("--columns", "id,params.nothing_like_it"): "no trial has params.nothing_like_it; kleio info and kleio ls --json",
        ("--where", "environment.python.versio == '3'"): "no trial has environment.python.versio;",
        ("--sort", "val/loss"): """'/' means nothing here; names that have it are written summary["train/loss"]""",
    }
    for words, said in cases.items():
        assert kleio("ls", *words, check=2).stderr.startswith(f"kleio: {said}")


def test_dots_reach_nested_statistics(tmp_path, monkeypatch, journal_uri):
    assert kleio("ls", "--where", "params.lr > 0.1", check=0).stdout.count("\n") == 1  # nobody knows yet what there will be
    kleio("sh", "-c", """echo '{"val": {"loss": 0.5}}' >> "$KLEIO_STATISTICS" """, check=0)
    names = ("summary.val.loss.min", 'summary["val/loss"]')
    found = [read("ls", "-a", "--json", "--where", f"{name} == 0.5") for name in names]
    assert [len(one) for one in found] == [1, 1]
