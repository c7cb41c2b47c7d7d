"""The programs of the README files of rigorous-recorder, meticulous, LiteTracer and footsteps, rewritten with kleio's calls:
what their users relied on is there. The page that shows them, docs/coming-from.md, shows nothing else.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from statistics import mean
from textwrap import dedent

import numpy
import pytest
from commands import PYTHON, info, kleio, printed, read, trials
from repositories import repository

from kleio.cli.commands import COMMANDS
from kleio.client import Experiment, kleio_logger
from kleio.client.loaded import LoggedScope
from kleio.client.scope import Scope
from kleio.core import lineage
from kleio.core.journal import open_journal

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "examples" / "migration"
PAGE = ROOT / "docs" / "coming-from.md"


@pytest.fixture(scope="session")
def fonts(tmp_path_factory):
    """Where matplotlib keeps what it found out of the fonts of this machine, which takes it seconds."""
    return str(tmp_path_factory.mktemp("matplotlib"))


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch, fonts):
    """The programs in a repository of their own, and nothing else in it."""
    root = repository(tmp_path / "project", {path.name: path.read_text() for path in PROGRAMS.glob("*.py")})
    monkeypatch.chdir(root)
    monkeypatch.setenv("MPLCONFIGDIR", fonts)
    monkeypatch.setenv("PATH", f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}")
    return root


@pytest.fixture
def journal(home, monkeypatch):
    """One file: what these programs rely on is the same in every journal, of which the nine experiments are proof."""
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{home}/journal.db")


def alone(*words, check=0, **environment):
    """``python WORDS``, without the launcher."""
    done = subprocess.run(
        [PYTHON, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, env=os.environ | environment
    )
    assert done.returncode == check, done.stderr
    return done


def contents(trial):
    """The artifacts of a trial: name → bytes."""
    journal = open_journal(os.environ["KLEIO_JOURNAL"], writing=False)
    try:
        found = {}
        for one in lineage.artifacts(journal, journal.entry(trial)):
            with journal.blob(one.values["sha256"]) as file:
                found[one.values["name"]] = file.read()
        return found
    finally:
        journal.close()


def traced(what):
    return [one["id"] for one in read("trace", "--json", what)]


# -- rigorous-recorder -----------------------------------------------------------------------------------------------


def losses_of_two_models(steps, rate=0.01, seed=1):
    """What the two models of ``two_models.py`` lose, one list each: the textbook's formulas, and nothing of kleio."""
    from sklearn.datasets import load_breast_cancer

    patients, labels = load_breast_cancer(return_X_y=True)
    patients, labels = (patients - patients.mean(0)) / patients.std(0), numpy.where(labels == 1, 1, -1)
    logistic, hinge, found = numpy.zeros(30), numpy.zeros(30), ([], [])
    for one in numpy.random.default_rng(seed).integers(500, size=steps):
        x, y = patients[one], labels[one]
        found[0].append(numpy.log(1 + numpy.exp(-y * logistic.dot(x))))
        found[1].append(max(0, 1 - y * hinge.dot(x)))
        logistic = logistic + rate * y * x / (1 + numpy.exp(y * logistic.dot(x)))
        hinge = hinge + (rate * y * x if y * hinge.dot(x) < 1 else 0)
    return found


def averages(printed):
    return [float(line.split()[-1]) for line in printed.splitlines() if line.startswith("first ")]


def test_rigorous_recorder_two_models_and_three_averages(journal):
    done = kleio("python", "two_models.py", "--steps", "1000", check=0)
    logistic, hinge = losses_of_two_models(1000)
    wanted = [mean(logistic[:500] + hinge[:500]), mean(logistic[:500]), mean(hinge[:500])]
    assert averages(done.stdout) == pytest.approx(wanted, rel=1e-9)
    assert wanted[0] != pytest.approx(wanted[1], rel=0.1)

    summary = trials()[0]["summary"]
    assert (summary["loss"]["count"], summary["loss"]["mean"]) == (2000, pytest.approx(mean(logistic + hinge)))
    assert (summary["accuracy"]["count"], summary["index"]["count"]) == (138, 2138)
    assert 0.9 < summary["accuracy"]["mean"] <= 1
    assert [summary[name]["count"] for name in ("experiment", "seed", "training", "testing")] == [1, 1, 2, 2]


def test_rigorous_recorder_without_the_launcher(home):
    done = alone("two_models.py", "--steps", "2")
    assert done.stdout == ""
    records = [json.loads(line.partition("{")[1] + line.partition("{")[2]) for line in done.stderr.splitlines()]
    assert records[1].items() >= {"experiment": 1, "model": "hinge", "training": True, "index": 0, "loss": 1.0}.items()

    inside = "import two_models; from kleio.client import Experiment\nwith Experiment(): two_models.main()"
    done = alone("-c", inside, "--steps", "30", "--first", "20")
    logistic, hinge = losses_of_two_models(30)
    assert averages(done.stdout) == pytest.approx([mean(logistic[:20] + hinge[:20]), mean(logistic[:20]), mean(hinge[:20])])
    assert trials()[0]["summary"]["loss"]["count"] == 60


# -- meticulous ------------------------------------------------------------------------------------------------------


def test_meticulous_nine_experiments_of_one_script(journal_uri):
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_iris

    alone("kmeans.py")
    found = read("ls", "--json", "--tag", "kmeans")[::-1]
    assert [one["params"] for one in found] == [{"k": k} for k in range(1, 10)]
    assert {one["status"] for one in found} == {"completed"}
    losses = [one["summary"]["loss"]["last"] for one in found]
    assert losses == sorted(losses, reverse=True)

    third = found[2]
    wanted = KMeans(n_clusters=3, n_init=4, random_state=0).fit(load_iris().data)
    assert losses[2] == pytest.approx(wanted.inertia_)
    assert kleio("cat", third["id"], check=0).stdout == f"3 clusters\nloss {wanted.inertia_:.3f}\n"
    for one in found:
        centroids = numpy.load(io.BytesIO(contents(one["id"])["centroids.npy"]))
        assert centroids.shape == (one["params"]["k"], 4)
        if one is third:
            assert centroids == pytest.approx(wanted.cluster_centers_)

    listed = printed("ls").splitlines()[1:]
    assert [line.split("\t")[6] for line in listed[:2]] == ["python kmeans.py (k=9)", "python kmeans.py (k=8)"]


def test_meticulous_arguments(journal):
    done = alone("kmeans_arguments.py", "--k", "3", "--description", "as many as there are species")
    first = trials()[0]
    assert first["params"] == {"k": 3, "seed": 0, "init": "k-means++"}
    assert first["param_sources"] == {"k": "command line", "seed": "default", "init": "default"}
    assert (first["note"], first["status"]) == ("as many as there are species", "completed")
    assert done.stdout == kleio("cat", first["id"], check=0).stdout
    assert first["summary"].keys() == {"loss", "agreement"}
    assert numpy.load(io.BytesIO(contents(first["id"])["centroids.npy"])).shape == (3, 4)

    again = alone("kmeans_arguments.py", "--resume", "--seed", "0", "--k", "3")  # the same arguments
    assert "this is its execution 2" in again.stderr
    assert [(one["id"], len(one["executions"])) for one in trials()] == [(first["id"], 2)]


# -- LiteTracer ------------------------------------------------------------------------------------------------------


def test_litetracer_a_path_leads_back_to_its_run(journal, project):
    path = alone("tracked_results.py").stdout.strip()
    (unlaunched,) = traced(path)  # in the spool, so far
    launched = kleio("python", "tracked_results.py", "--optimizer", "exact", check=0).stdout.strip()
    assert re.fullmatch(r"results/waves_[0-9a-f]{16}\.txt", path)
    assert path != launched
    assert Path(path).read_text().startswith("# mean square 0.01")

    (found,) = traced(launched)
    assert traced(path) == [unlaunched]
    runs = {"sgd": info(unlaunched), "exact": info(found)}
    for optimizer, one in runs.items():
        assert (one["params"].get("optimizer", "sgd"), one["status"]) == (optimizer, "completed")
    assert len({one["code"]["fingerprint"] for one in runs.values()}) == 1  # results are no code

    os.unlink(launched)  # only the name is left, in a paper say
    assert traced(f"figures/{Path(launched).name}") == [found]
    assert traced(launched[-20:-4]) == [found]

    with open("tracked_results.py", "a") as file:
        file.write("# changed\n")
    changed = alone("tracked_results.py").stdout.strip()
    assert changed != path
    assert traced(changed) not in ([found], [unlaunched])


# -- footsteps -------------------------------------------------------------------------------------------------------


def test_footsteps_figures_that_say_what_drew_them(journal, project):
    from PIL import Image

    kleio("--name", "valley", "python", "footsteps_plot.py", check=0)
    (one,) = trials()
    place = project / "results" / "valley"
    assert {path.name for path in place.iterdir() if not path.name.startswith(".")} == {
        "0001-loss.png", "0002-path through the valley.png", "path.csv", "info.txt", "packages.txt",
    }  # fmt: skip
    with Image.open(place / "0001-loss.png") as image:
        assert image.text["Kleio-Trial"] == one["id"]
        assert image.text["Kleio-Command"] == "python footsteps_plot.py"
    described = (place / "info.txt").read_text()
    assert one["code"]["commit"] in described
    assert "python footsteps_plot.py" in described
    assert "matplotlib==" in (place / "packages.txt").read_text()

    kept = contents(one["id"])
    assert kept["output/0001-loss.png"] == (place / "0001-loss.png").read_bytes()
    path = numpy.loadtxt(io.BytesIO(kept["output/path.csv"]), delimiter=",")
    assert path[0] == pytest.approx([-1.5, 2])
    shutil.move(place / "0001-loss.png", project / "figure.png")
    assert traced("figure.png") == [one["id"]]


def test_footsteps_without_the_launcher(home, project):
    (project / "results" / "valley").mkdir(parents=True)
    (project / "results" / "valley" / "mine").touch()
    alone("footsteps_plot.py", KLEIO_NAME="valley")
    assert (project / "results" / "valley-1" / "0001-loss.png").read_bytes().startswith(b"\x89PNG")
    assert (project / "results" / "valley-1" / "info.txt").exists()
    assert trials() == []


# -- the page --------------------------------------------------------------------------------------------------------


def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_what_the_page_shows_is_what_was_run():
    shown = {}
    for block in blocks():
        named = re.match(r"# examples/migration/(\w+\.py)\n", block)
        if named is None:
            assert re.match(r"# (rigorous-recorder|meticulous|LiteTracer|footsteps)\n", block), block
            continue
        program = (PROGRAMS / named[1]).read_text()
        lines = [line.strip() for line in program.splitlines()]
        for piece in block[named.end() :].split("…\n"):
            wanted = [line.strip() for line in piece.strip("\n").splitlines()]
            at = [n for n in range(len(lines)) if lines[n : n + len(wanted)] == wanted]
            assert at, f"{named[1]} has not got, one after the other:\n{piece}"
            assert dedent("\n".join(program.splitlines()[at[0] : at[0] + len(wanted)])) == dedent(piece).strip("\n")
        shown[named[1]] = True
    assert shown.keys() == {path.name for path in PROGRAMS.glob("*.py")}


def test_every_call_that_the_page_names_exists():
    page = re.sub(r"^\| .*? \|", "|", PAGE.read_text(), flags=re.MULTILINE)  # without the other tools' column
    owners = {
        "kleio_logger": dir(kleio_logger), "scope": dir(Scope), "loaded": dir(LoggedScope), "recorder": dir(Scope),
        "Experiment": dir(Experiment), "experiment": [*dir(Experiment), *vars(Experiment()), *dir(kleio_logger)],
        "args": ["hash_code"], "collection": [], "pathlib": ["Path"],
    }  # fmt: skip
    calls = re.findall(r"`(?:with )?(\w+)\.(\w+)(?!\.)", page)
    assert len(set(calls)) > 12
    for owner, name in calls:
        assert name == "txt" or owner == "kleio" or name in owners[owner], f"{owner}.{name}"
    assert set(re.findall(r"`kleio (\w+)", page)) <= set(COMMANDS)
    options = (ROOT / "docs" / "cli.md").read_text() + (ROOT / "docs" / "experiments.md").read_text()
    for option in set(re.findall(r"(?<=`)--[\w-]+|(?<= )--[\w-]+(?=[^`|]*`)", page)):
        assert option in options, option
