"""Trials as plain files, tables, event files and runs of MLflow, and back again: every point, and nothing of anybody else's."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from commands import kleio, script
from conftest import PATIENT
from experiments import journal
from repositories import git
from trackers import artifacts, by_name, call, points, told

from kleio.core import lineage
from kleio.core.errors import KleioError
from kleio.core.exports import laying, material
from kleio.core.statistics import flat

TRAIN = """
import sys
from kleio.client.logger import kleio_logger
print("printed"); print("warned", file=sys.stderr)
for epoch in range(3):
    val = {"loss": 0.1 * epoch, "acc": epoch}
    kleio_logger.log_statistic(epoch=epoch, loss=1 / (epoch + 3), val=val, word="w,\\n\\"" * epoch)
kleio_logger.log_statistic(step=7, loss=float("nan"), done=True, nested=[1, 2])
kleio_logger.log_statistic(big=2**70, minus=float("-inf"), val=0.5)
for name in ("../../escaped.txt", "/etc/absolute.txt", "a", "a/b", "weights.pt", "weights.pt", "", "A",
             "x/../y\\n\\x1b[31m.txt"):
    kleio_logger.log_artifact(name, name.encode() + b"!", epoch=1)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One run, recorded by kleio: its code changed since the commit, its streams apart."""
    top = tmp_path_factory.mktemp("recorded")
    work = top / "work"
    work.mkdir()
    environment = {"KLEIO_HOME": top / "home", "HOME": top, "KLEIO_JOURNAL": f"sqlite:///{top}/journal.db"}
    environment |= PATIENT  # it has no home of the tests' yet
    script(work, "print()\n", "train.py")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    script(work, TRAIN, "train.py")
    command = [sys.executable, "train.py", "--lr", "0.1", "--act", "relu"]
    kleio("--split", "--tag", "base", "--name", "my/run", *command, cwd=work, check=0, **environment)
    return top


@pytest.fixture
def trial(recorded, workplace, monkeypatch):
    """Its id; the journal is a copy."""
    for name in os.listdir(recorded):
        if name.startswith(("journal.db", "blobs")):
            (shutil.copytree if (recorded / name).is_dir() else shutil.copy)(recorded / name, workplace.parent / name)
    monkeypatch.setenv("KLEIO_JOURNAL", f"sqlite:///{workplace.parent}/journal.db")
    return by_name()["my/run"]["id"]


def rows(trial):
    with journal() as opened:
        return list(lineage.logged(opened, opened.entry(trial))[0])


def test_plain_files(trial, workplace, capsys):
    assert call("export", trial, "--to", "folder", "out", "--json") == 0
    (one,) = told(capsys)
    assert (one["id"], one["path"], one["points"], one["artifacts"]) == (trial, str(workplace / "out" / "my-run"), 5, 9)
    directory = workplace / "out" / "my-run"
    assert (directory / "stdout.txt").read_text() == "printed\n"
    assert (directory / "stderr.txt").read_text() == "warned\n"
    assert not (directory / "output.txt").exists()
    args = json.loads((directory / "args.json").read_text())
    assert args["command"][1:] == ["train.py", "--lr", "0.1", "--act", "relu"]
    assert args["params"]["lr"] == 0.1
    metadata = json.loads((directory / "metadata.json").read_text())
    assert (metadata["id"], metadata["tags"], metadata["status"]) == (trial, ["base"], "completed")
    lines = [json.loads(line) for line in (directory / "statistics.jsonl").read_text().splitlines()]
    assert lines[1] | {"time": None} == {"time": None, "epoch": 1, "loss": 0.25, "val/loss": 0.1, "val/acc": 1, "word": 'w,\n"'}
    assert lines[3]["loss"] == "NaN"
    with open(directory / "statistics.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["val/acc"] for line in table] == ["0", "1", "2", "", ""]
    assert table[2]["word"] == 'w,\n"w,\n"'
    kept = {one["path"]: one["name"] for one in json.loads((directory / "artifacts.json").read_text())}
    assert list(kept) == [
        "artifacts/escaped.txt", "artifacts/etc/absolute.txt", "artifacts/a", f"artifacts/{_digest(b'a/b!')}-2",
        "artifacts/weights.pt", "artifacts/weights-2.pt", f"artifacts/artifact-{_digest(b'!')}", "artifacts/A-2",
        "artifacts/x/y__[31m.txt",
    ]  # fmt: skip
    assert all((directory / path).read_bytes() == name.encode() + b"!" for path, name in kept.items())
    assert not (workplace / "escaped.txt").exists()
    assert sorted(os.listdir(workplace)) == ["out"]
    patch = (directory / "code.patch").read_text()
    assert "-print()" in patch
    assert "+from kleio.client.logger import kleio_logger" in patch


def _digest(content):
    import hashlib

    return hashlib.sha256(content).hexdigest()[:12]


def test_what_is_there_stays_and_what_was_exported_is_replaced(trial, workplace, capsys):
    taken = workplace / "out" / "my-run"
    taken.mkdir(parents=True)
    (taken / "mine.txt").write_text("mine")
    (workplace / "out" / "other.txt").write_text("other")
    call("export", trial, "--to", "folder", "out")
    directory = workplace / "out" / f"my-run-{trial[:7]}"
    assert directory.is_dir()
    assert os.listdir(taken) == ["mine.txt"]
    (directory / "stdout.txt").write_text("stale")
    (directory / "artifacts" / "notes.txt").write_text("mine")
    (directory / "link").symlink_to("nowhere")
    call("export", trial, "--to", "folder", "out")
    assert (directory / "stdout.txt").read_text() == "printed\n"
    assert (directory / "artifacts" / "notes.txt").read_text() == "mine"
    assert os.readlink(directory / "link") == "nowhere"
    assert sorted(os.listdir(workplace / "out")) == ["my-run", directory.name, "other.txt"]


def test_one_that_cannot_be_written_leaves_nothing_and_stops_no_other(trial, workplace, monkeypatch, capsys):
    (workplace / "a.csv").write_text("step,loss\n1,2\n")
    call("import", "csv", "a.csv", "--json")
    (other,) = told(capsys)
    real = material.Material.save

    def full(self, *given):
        if self.id == trial:
            raise OSError(28, "No space left on device")
        return real(self, *given)

    monkeypatch.setattr(material.Material, "save", full)
    assert call("export", trial, other["id"], "--to", "folder", "out") == 1
    out, err = capsys.readouterr()
    assert out == f"{other['id'][:7]}\t{workplace}/out/a\t1 row\n"
    assert f"{trial[:7]}: {workplace}/out/my-run cannot be written: No space left on device" in err
    assert "\nkleio: 1 trial could not be written, of 2" in err
    assert os.listdir(workplace / "out") == ["a"]


def test_who_is_killed_while_he_writes_leaves_what_the_next_takes_away(trial, workplace):
    (workplace / "out").mkdir()
    call("export", trial, "--to", "folder", "out")
    code = ("import os, signal, sys; from kleio.core.exports import material\n"
            "material.Material.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "from kleio.cli.main import main; main()")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, "export", trial, "--to", "folder", "out"])
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(workplace / "out")) == 2
    (workplace / "out" / "my-run").rename(workplace / "out" / f"{laying.MAKING}0123{laying.OLD}")  # between the two renames
    with laying.ready("out"):
        pass
    assert os.listdir(workplace / "out") == ["my-run"]


@pytest.mark.parametrize("target", ["folder", "csv"])
def test_who_is_asked_to_end_while_he_writes_leaves_nothing(trial, workplace, target):
    code = ("import os, signal, sys, time; from kleio.core.exports import folder, csv, tables, material\n"
            "signal.signal(signal.SIGTERM, signal.SIG_DFL); signal.pthread_sigmask(signal.SIG_SETMASK, [])\n"
            "def end(*_): os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)\n"
            "material.Material.save = tables.write_csv = end\n"
            "from kleio.cli.main import main; main()")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, "export", trial, "--to", target, "out"])
    assert done.returncode == -signal.SIGTERM
    assert not (workplace / "out").exists()


def test_a_full_disk_is_told_of_with_the_path_and_leaves_nothing(trial, workplace, monkeypatch, capsys):
    from kleio.core.exports import tensorboard

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard._Events, "write", full)
    assert call("export", trial, "--to", "tensorboard", "out") == 1
    assert f"{workplace}/out/my-run cannot be written: No space left on device" in capsys.readouterr().err
    assert not (workplace / "out").exists()


def test_tables_and_back(trial, workplace, capsys):
    assert call("export", trial, "--to", "csv", "out") == 0
    assert f"kleio: left out: 9 artifacts, of {trial[:7]}\n" in capsys.readouterr().err
    assert sorted(os.listdir("out")) == [f"{trial[:12]}.csv", "trials.csv"]
    with open("out/trials.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["id"], line["name"], line["tags"], line["params.lr"]) == (trial, "my/run", "base", "0.1")
    assert call("import", "csv", "out", "--json") == 0
    (one,) = told(capsys)
    with journal() as opened:
        original, back = opened.entry(trial), opened.entry(one["id"])
    assert (back.params, back.tags, back.name) == ({"lr": 0.1, "act": "relu"}, original.tags, "my/run")
    assert (back.status, back.trial.command) == (original.status, original.trial.command)
    assert back.trial.created == pytest.approx(original.trial.created, abs=1e-3)
    assert back.executions[-1].ended == pytest.approx(original.executions[-1].ended, abs=1e-3)
    before, after = rows(trial), points(one["id"])
    assert [record.time for record, _ in before] == [moment for moment, _ in after]
    assert [values.get("loss") for _, values in after][:3] == [1 / 3, 0.25, 0.2]
    assert after[1][1] == {"epoch": 1, "loss": 0.25, "val/loss": 0.1, "val/acc": 1, "word": 'w,\n"'}
    assert after[4][1] == {"big": 2**70, "minus": float("-inf"), "val": 0.5}
    (workplace / "b.csv").write_text("step,loss\n1,2\n")
    call("import", "csv", "b.csv", "--json")
    call("export", told(capsys)[0]["id"], "--to", "csv", "out")
    call("export", trial, "--to", "csv", "out")
    with open("out/trials.csv", newline="") as file:
        assert sorted(line["name"] for line in csv.DictReader(file)) == ["b", "my/run"]
    (workplace / "theirs").mkdir()
    (workplace / "theirs" / "trials.csv").write_text("a,b\n1,2\n")
    with pytest.raises(KleioError, match=r"trials\.csv is there already, and not kleio's"):
        call("export", trial, "--to", "csv", "theirs")


def test_event_files_and_back(trial, workplace, capsys):
    assert call("export", trial, "--to", "tensorboard", "out") == 0
    assert call("export", trial, "--to", "tensorboard", "out") == 0
    assert [line for line in capsys.readouterr().err.splitlines() if "left out" in line][2:] == [
        f"kleio: left out: 1 values that are neither numbers nor texts, of {trial[:7]}",
        f"kleio: left out: 9 artifacts, of {trial[:7]}",
    ]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    read = EventAccumulator(str(workplace / "out" / "my-run"))
    read.Reload()
    assert {"loss", "val/loss", "val/acc", "epoch"} <= set(read.Tags()["scalars"])
    assert "word" in read.Tags()["tensors"]
    first = read.Scalars("val/loss")
    assert [(one.step, round(one.value, 7)) for one in first] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert [round(one.wall_time, 6) for one in first] == [round(record.time / 1e9, 6) for record, _ in rows(trial)[:3]]
    content = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    told_of = metadata.parse_session_start_info_plugin_data(content).hparams
    assert (told_of["lr"].number_value, told_of["act"].string_value) == (0.1, "relu")
    assert call("import", "tensorboard", "out", "--json") == 0
    (one,) = told(capsys)
    before, after = rows(trial), points(one["id"])
    assert all(abs(record.time - moment) <= 1000 for (record, _), (moment, _) in zip(before, after, strict=True))
    assert after[1][1] == {"step": 1, "epoch": 1, "loss": 0.25, "val/loss": 0.1, "val/acc": 1}
    assert after[3][1]["step"] == 7
    assert repr(after[3][1]["loss"]) == "nan"
    assert artifacts(one["id"])[0].keys() == {"word.md"}
    found = by_name()["my-run"]
    assert (found["status"], found["params"]["lr"], found["params"]["act"]) == ("completed", 0.1, "relu")


def test_mlflow_and_back(trial, workplace, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert call("export", trial, "--to", "mlflow", "out", "--json") == 0
        (first,) = told(capsys)
        assert call("export", trial, "--to", "mlflow", "out", "--json") == 0
    (again,) = told(capsys)
    assert again["path"] == first["path"]
    assert again["artifacts"] == 0
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"file://{workplace}/out")
    run = client.get_run(os.path.basename(first["path"]))
    assert (run.info.status, run.data.params["lr"], run.data.tags["kleio.trial_id"]) == ("FINISHED", "0.1", trial)
    assert run.data.tags["base"] == ""
    history = client.get_metric_history(run.info.run_id, "val/loss")
    assert [(one.step, one.value) for one in history] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert [one.timestamp for one in history] == [record.time // 10**6 for record, _ in rows(trial)[:3]]
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 4
    assert [one.value for one in client.get_metric_history(run.info.run_id, "val_")] == [0.5]  # what is a directory is no file
    assert len(client.search_runs([run.info.experiment_id])) == 1
    shutil.rmtree(Path(first["path"]) / "metrics" / "val")  # an export that was cut short
    call("export", trial, "--to", "mlflow", "out")
    assert len(client.get_metric_history(run.info.run_id, "val/loss")) == 3
    capsys.readouterr()
    assert call("import", "mlflow", "out", "--json") == 0
    (one,) = told(capsys)
    assert one["artifacts"] == 9
    found = points(one["id"])
    assert sum(len(values) - 1 for _, values in found) == sum(
        isinstance(value, (int, float)) for record, _ in rows(trial)
        for key, value in flat(record.values) if key != "step"
    )  # fmt: skip
    assert {"step": 1, "epoch": 1.0, "loss": 0.25, "val/loss": 0.1, "val/acc": 1.0}.items() <= _at(found, 1).items()
    assert (by_name()["my-run"]["tags"], by_name()["my-run"]["params"]["lr"]) == (["base"], 0.1)


def _at(found, step):
    return {key: value for _, values in found if values["step"] == step for key, value in values.items()}


def test_halves_of_characters_are_written_for_mlflow_and_what_fails_is_not_listed(trial, workplace, monkeypatch, capsys):
    from mlflow.tracking import MlflowClient

    from kleio.core.exports import mlflow

    monkeypatch.setattr(material.Material, "params", {"half": "\ud800", "key\udfff": 1})
    metrics = mlflow._Run._metrics
    monkeypatch.setattr(mlflow._Run, "_metrics", lambda _: 1 / 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert call("export", trial, "--to", "mlflow", "out") == 1
        client = MlflowClient(tracking_uri=f"file://{workplace}/out")
        experiments = [one.experiment_id for one in client.search_experiments()]
        assert client.search_runs(experiments) == []
        monkeypatch.setattr(mlflow._Run, "_metrics", metrics)
        assert call("export", trial, "--to", "mlflow", "out") == 0
        (run,) = client.search_runs(experiments)
    assert run.data.params == {"half": "\\ud800", "key_": "1"}


def test_trials_are_chosen_by_a_query_too(trial, workplace, capsys):
    assert call("export", "--where", "params.act == 'relu'", "-a", "--to", "folder", "out") == 0
    assert capsys.readouterr().out.startswith(f"{trial[:7]}\t")


@pytest.mark.parametrize(("place", "said"), [
    ("file", "file is no directory; give one to write to"),
    ("file/below", "file/below cannot be made: Not a directory"),
    ("/proc/nothing", "/proc/nothing cannot be made"),
])  # fmt: skip
def test_a_place_that_cannot_be_written_is_said_at_once(trial, workplace, place, said):
    (workplace / "file").write_text("x")
    for kind in ("folder", "csv", "tensorboard"):
        with pytest.raises(KleioError, match=said):
            call("export", trial, "--to", kind, place)
    assert os.listdir(workplace) == ["file"]


def test_libraries_that_are_missing_are_named_and_mlflow_calls_nobody(trial, workplace):
    for name in ("tensorboard", "mlflow"):
        code = f"import sys; sys.modules[{name!r}] = None; from kleio.cli.main import main; main()"
        command = [sys.executable, "-c", code, "export", trial, "--to", name, "out"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.endswith(f" {name}: pip install 'kleio[{name}]'\n")
        assert len(done.stderr.splitlines()) == 1
    from kleio.core.mlflow_client import VARIABLES

    assert (VARIABLES["MLFLOW_DISABLE_TELEMETRY"], VARIABLES["DO_NOT_TRACK"]) == ("true", "true")
