"""The first things that a newcomer runs: the example, the demonstration, the MongoDB of docker-compose.yml."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PYTHON, info, kleio, printed, read, start, trials
from conftest import PATIENT, patient

from kleio.core import lineage
from kleio.core.journal import open_journal

ROOT = Path(__file__).parent.parent
EPOCHS = 12
COMMAND = [PYTHON, "digits.py", "--lr", "0.1", "--epochs", str(EPOCHS)]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with the examples in it, and nobody else at work there. What it trains is small, and soon done."""
    shutil.copytree(ROOT / "examples", tmp_path / "work" / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "work")
    change("default=16", "default=64")
    change("default=512", "default=128")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    patience = "".join(f"{name.removeprefix('KLEIO_').lower()} = {seconds}\n" for name, seconds in PATIENT.items())
    Path("pyproject.toml").write_text(f"[tool.kleio]\n{patience}")  # of variables the demonstration wants to know nothing
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "examples"]):
        subprocess.run(["git", *words], check=True)
    return tmp_path / "work"


def change(text, other):
    """Change the example."""
    example = Path("examples/digits.py")
    assert example.read_text().count(text) == 1
    example.write_text(example.read_text().replace(text, other))


LOAD = """def load_digits(return_X_y):
    from importlib.util import find_spec

    (place,) = find_spec("sklearn").submodule_search_locations
    data = np.loadtxt(f"{place}/datasets/data/digits.csv.gz", delimiter=",")
    return data[:, :-1], data[:, -1].astype(int)
"""


@pytest.fixture
def quick(checkout):
    """The same where the images are loaded without scikit-learn, which is most of the work of so short a training."""
    change("from sklearn.datasets import load_digits\n", LOAD)
    return checkout


BEGINS = "        began = time.perf_counter()\n"


def records(uri, trial, stream):
    journal = open_journal(uri, writing=False)
    try:
        entry = journal.entry(trial)
        if stream == "artifacts":
            return [dict(one.values) for one in lineage.artifacts(journal, entry)]
        return [dict(one.values) for one, _ in lineage.logged(journal, entry)[0]]
    finally:
        journal.close()


def by_epoch(uri, trial):
    """What a run measured and kept, epoch by epoch. An epoch that was done twice came out the same both times."""
    measured, kept = {}, {}
    for one in records(uri, trial, "statistics"):
        assert measured.setdefault(one["epoch"], one) == one
    for one in records(uri, trial, "artifacts"):
        assert kept.setdefault(one["meta"]["epoch"], one["sha256"]) == one["sha256"]
    return measured, kept


def test_a_stopped_and_resumed_run_ends_with_the_very_bits_of_an_uninterrupted_one(quick, journal_uri):
    waits = "        while epoch == 8 and __import__('os').path.exists('wait'):\n            time.sleep(0.01)\n"
    change(BEGINS, BEGINS + waits)
    examples = quick / "examples"
    (examples / "wait").touch()
    run = start(*COMMAND, cwd=examples)
    for line in run.stdout:
        if line.startswith("epoch   5/"):
            run.send_signal(signal.SIGTERM)
    run.communicate()
    assert run.returncode == -signal.SIGTERM
    (examples / "wait").unlink()
    (stopped,) = trials()
    assert stopped["status"] == "interrupted"
    assert 4 <= stopped["summary"]["epoch"]["last"] < 8

    again = kleio(*COMMAND, cwd=examples, check=0)
    assert "continuing after epoch" in again.stdout
    (resumed,) = trials()
    assert resumed["id"] == stopped["id"]
    assert [one["status"] for one in resumed["executions"]] == ["interrupted", "completed"]

    kleio("--fresh", *COMMAND, cwd=examples, check=0)
    whole = trials()[0]["id"]
    measured, kept = by_epoch(journal_uri, whole)
    assert sorted(measured) == sorted(kept) == list(range(1, EPOCHS + 1))
    assert by_epoch(journal_uri, resumed["id"]) == (measured, kept)
    assert measured[EPOCHS]["accuracy"] > 0.9


@pytest.mark.parametrize("journal_uri", ["mongo"], indirect=True)
def test_killed_in_epoch_7_and_resumed_from_the_checkpoint_of_epoch_6_it_reads_as_one_curve(quick, journal_uri):
    """It dies between the statistic of the epoch and its checkpoint, so that the epoch is done and logged twice."""
    measured = "kleio_logger.log_statistic(epoch=epoch, loss=loss, accuracy=accuracy)\n"
    dies = "        if epoch == 7 and kleio_logger.execution == 1:\n            import os; os.kill(os.getpid(), 9)\n"
    change(measured, measured + dies)
    examples = quick / "examples"
    kleio(*COMMAND, cwd=examples, check=-signal.SIGKILL)
    (killed,) = trials()
    assert killed["summary"]["epoch"]["last"] == 7
    assert "continuing after epoch 6" in kleio(*COMMAND, cwd=examples, check=0).stdout
    (trial,) = trials()
    assert [one["epoch"] for one in records(journal_uri, trial["id"], "statistics")] == list(range(1, EPOCHS + 1))
    assert [one["meta"]["epoch"] for one in records(journal_uri, trial["id"], "artifacts")] == list(range(1, EPOCHS + 1))
    assert trial["summary"]["loss"]["count"] == EPOCHS
    page = printed("info", trial["id"])
    assert "execution 2 went on from checkpoint.npz epoch=6" in page
    everything = read("info", "--json", "--all-executions", trial["id"])
    assert everything["summary"]["epoch"]["count"] == EPOCHS + 1


@pytest.mark.parametrize("journal_uri", ["sqlite"], indirect=True)
def test_a_branch_at_epoch_10_goes_on_from_its_checkpoint_with_another_learning_rate(quick, journal_uri):
    kleio(*COMMAND, cwd=quick / "examples", check=0)
    (parent,) = trials()
    done = kleio("branch", "--timestamp", "epoch=10", parent["id"], "--lr", "0.01", cwd=quick / "examples", check=0)
    assert done.stdout.startswith("continuing after epoch 10\n")
    child = trials()[0]
    assert child["params"]["lr"] == 0.01
    before, after = by_epoch(journal_uri, parent["id"]), by_epoch(journal_uri, child["id"])
    assert sorted(after[0]) == list(range(1, EPOCHS + 1))
    for theirs, ours in zip(before, after, strict=True):
        assert {epoch: ours[epoch] for epoch in range(1, 11)} == {epoch: theirs[epoch] for epoch in range(1, 11)}
        assert ours[11] != theirs[11]


def test_the_example_runs_without_kleio(checkout):
    command = [*COMMAND[:5], "2"]
    alone = subprocess.run(command, cwd="examples", capture_output=True, text=True, check=True)
    journaled = kleio(*command, cwd="examples", check=0)
    untimed = re.compile(r"\(.*\)")
    assert untimed.sub("", alone.stdout) == untimed.sub("", journaled.stdout)
    assert alone.stderr.count("kleio_logger: {") == 2
    assert trials()[0]["params"] == {"lr": 0.1, "epochs": 2, "batch_size": 64, "hidden": 128, "seed": 1}


def test_the_demonstration_holds(checkout):
    """The run that is to be stopped waits for that, however long the look at its first half takes."""
    change(BEGINS, BEGINS + "        if epoch == 10 and not checkpoint:\n            __import__('signal').pause()\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "EPOCHS": "14", "KLEIO_TAG": "not,for,the,demonstration"}
    done = subprocess.run(["sh", "examples/demo.sh"], env=environment, capture_output=True, text=True, timeout=1400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "continuing after epoch" in done.stdout
    branch, trial = trials(KLEIO_HOME=".demo")
    assert (trial["status"], trial["tags"], trial["summary"]["epoch"]["max"]) == ("completed", [], 14)
    assert (branch["status"], branch["parent"], branch["summary"]["epoch"]["count"]) == ("completed", trial["id"], 14)


def test_the_example_of_secrets_names_all_that_the_server_takes():
    wanted = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert wanted == set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_the_users_of_the_server_may_do_what_kleio_needs(mongod_with_users, monkeypatch):
    """The image's shell is not here: the users that its script would make are made as it would."""
    server, administrator = mongod_with_users
    script = (ROOT / "docker" / "mongo-users.js").read_text()
    users = json.loads(re.search(r"const USERS = (\[.*?\]);", script, re.DOTALL)[1])
    assert {one["password"] for one in users} <= set(re.findall(r"\w+", (ROOT / "docker-compose.yml").read_text()))
    for one in users:
        roles = [{"role": one["role"], "db": "kleio"}]
        administrator.kleio.command("createUser", one["user"], pwd=f"secret-of-{one['user']}", roles=roles)
    at = f"{server.address}/kleio"
    uris = {one["user"]: patient(f"mongodb://{one['user']}:secret-of-{one['user']}@{at}") for one in users}
    try:
        program = "import os; print('secret-of' in str(os.environ))"
        written = kleio("--require-journal", PYTHON, "-c", program, check=0, KLEIO_JOURNAL=uris["kleio"])
        assert written.stdout == "False\n"
        (trial,) = trials(KLEIO_JOURNAL=uris["reader"])
        assert info(trial["id"], KLEIO_JOURNAL=uris["reader"])["status"] == "completed"
        assert kleio("cat", trial["id"], check=0, KLEIO_JOURNAL=uris["reader"]).stdout == "False\n"
        refused = kleio("--require-journal", PYTHON, "-c", "pass", check=125, KLEIO_JOURNAL=uris["reader"])
        assert refused.stderr.startswith("kleio: ")
        wrong = kleio("ls", check=1, KLEIO_JOURNAL=uris["kleio"].replace("secret-of", "a-wrong-guess"))
        assert "a-wrong-guess" not in wrong.stderr
    finally:
        administrator.drop_database("kleio")
        for one in users:
            administrator.kleio.command("dropUser", one["user"])
