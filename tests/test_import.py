"""Runs of TensorBoard, MLflow, Sacred and tables become trials: every point at its own time, once however often."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import trackers
from commands import kleio, printed, read
from experiments import journal, trials
from hypothesis import given
from hypothesis import strategies as st
from trackers import Events, artifacts, by_name, call, points, sacred, told, tracked

from kleio.core import output
from kleio.core.errors import KleioError, UsageError
from kleio.core.importing import recording
from kleio.core.importing.adding import additions
from kleio.core.importing.found import Row
from kleio.core.statistics import Record

START = 1_700_000_000


# -- TensorBoard ---------------------------------------------------------------------------------------------------


@pytest.fixture
def logdir(workplace):
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import plugin_data_pb2, summary_v2

    events = Events(workplace / "logs" / "first")
    events.raw(summary_v2.hparams_pb({"lr": 0.1, "layers": 3, "act": "relu", "warm": True}, start_time_secs=START))
    for step in range(3):
        events.scalar(START + step + 0.5, step, **{"train/loss": 0.1 * (step + 1), "acc": 0.5})
    events.summary(START + 4, 3, summary_pb2.Summary.Value(tag="view", image=summary_pb2.Summary.Image(
        encoded_image_string=b"\x89PNG picture")))
    events.summary(START + 4, 3, summary_pb2.Summary.Value(tag="weights", histo=summary_pb2.HistogramProto(
        min=-1, max=1, num=3, bucket_limit=[0, 1], bucket=[1, 2])))
    end = plugin_data_pb2.SessionEndInfo(status=2, end_time_secs=START + 60)
    events.raw(summary_v2._summary_pb("_hparams_/session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=end)))
    events.close()
    return workplace / "logs"


def test_event_files_become_trials_with_every_point(logdir, capsys):
    assert call("import", "tensorboard", "logs", "--tag", "old", "--project", "mine") == 0
    capsys.readouterr()
    (one,) = trials()
    assert (one["name"], one["status"], one["project"], one["tags"]) == ("first", "broken", "mine", ["old"])
    assert one["params"] == {"lr": 0.1, "layers": 3, "act": "relu", "warm": True}
    assert set(one["param_sources"].values()) == {"imported"}
    assert one["executions"][0]["host"] == "box"
    assert one["executions"][0]["ended"] == "2023-11-14T22:14:20.000000Z"
    found = points(one["id"])
    assert found[:3] == [
        (START * 10**9 + 500_000_000, {"step": 0, "train/loss": 0.1, "acc": 0.5}),
        (START * 10**9 + 1_500_000_000, {"step": 1, "train/loss": 0.2, "acc": 0.5}),
        (START * 10**9 + 2_500_000_000, {"step": 2, "train/loss": 0.3, "acc": 0.5}),
    ]
    assert found[3][1]["weights"] == {"left": [-1.0, 0.0], "right": [0.0, 1.0], "count": [1.0, 2.0]}
    assert artifacts(one["id"]) == ({"view.png": b"\x89PNG picture"}, {"view.png": {"step": 3}})
    assert one["summary"]["train/loss"]["count"] == 3


def test_newer_kinds_of_values_are_read_and_others_counted(workplace, capsys):
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.util import tensor_util

    def value(tag, content, plugin):
        data = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin))
        return summary_pb2.Summary.Value(tag=tag, tensor=tensor_util.make_tensor_proto(content), metadata=data)

    events = Events(workplace / "logs")
    events.summary(START + 1, 1, value("loss", 0.5, "scalars"))
    events.summary(START + 1, 1, value("picture", [b"1", b"1", b"\xff\xd8jpeg"], "images"))
    events.summary(START + 1, 1, value("note", [b"hello"], "text"))
    events.summary(START + 1, 1, value("spread", [[0.0, 1.0, 4.0]], "histograms"))
    events.summary(START + 1, 1, value("curve", [[0.0, 1.0]], "pr_curves"))
    events.close()
    call("import", "tensorboard", "logs")
    assert "left out: 1 values of the plugin pr_curves" in capsys.readouterr().err
    (one,) = trials()
    assert [values for _, values in points(one["id"])] == [
        {"step": 1, "loss": 0.5}, {"step": 1, "spread": {"left": [0.0], "right": [1.0], "count": [4.0]}},
    ]  # fmt: skip
    assert artifacts(one["id"])[0] == {"picture.jpg": b"\xff\xd8jpeg", "note.md": b"hello"}


def test_imported_twice_is_stored_once_and_what_has_grown_grows(journal_uri, workplace, capsys):
    events = Events(workplace / "logs")
    events.scalar(START + 1, 1, loss=0.5)
    for expected in ("imported", "unchanged"):
        assert call("import", "tensorboard", "logs", "--json") == 0
        assert told(capsys)[0]["result"] == expected
    events.scalar(START + 2, 2, loss=0.25)
    events.close()
    (workplace / "logs").rename(workplace / "moved")  # it is the same run
    call("import", "tensorboard", "moved", "--json")
    (one,) = told(capsys)
    assert (one["result"], one["points"]) == ("updated", 1)
    (trial,) = trials()
    assert trial["id"] == one["id"]
    assert [values for _, values in points(one["id"])] == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    assert trial["summary"]["loss"] == {"last": 0.25, "min": 0.25, "max": 0.5, "mean": 0.375, "count": 2}
    assert trial["executions"][0]["ended"] == "2023-11-14T22:13:22.000000Z"
    found = read("ls", "--where", "summary.loss.min < 0.3 and params == []", "--json", "--all-projects")
    assert [trial["id"] for trial in found] == [one["id"]]


def test_a_file_that_is_cut_off_is_read_up_to_there_and_a_damaged_one_is_named(workplace, capsys):
    events = Events(workplace / "logs" / "cut")
    events.scalar(START + 1, 1, loss=0.5)
    whole = events.path.read_bytes()
    events.scalar(START + 2, 2, loss=0.25)
    events.close()
    content = events.path.read_bytes()
    events.path.write_bytes(content[:-3])  # just being written
    assert call("import", "tensorboard", "logs", "--json") == 0
    assert told(capsys)[0]["points"] == 1
    for name, few in (("begun", b""), ("cut", whole[:9]), ("noise", b"noise" * 9)):
        (workplace / "logs" / name).mkdir(exist_ok=True)
        (workplace / "logs" / name / f"events.out.tfevents.17{name}").write_bytes(few)
    bad = Events(workplace / "logs" / "bad", "events.out.tfevents.1700000009.box.99.0")
    bad.scalar(START + 1, 1, loss=0.5)
    size = bad.path.stat().st_size
    bad.scalar(START + 1, 2, loss=0.5)
    bad.close()
    damaged = bytearray(bad.path.read_bytes())
    damaged[size + 14] ^= 255
    bad.path.write_bytes(damaged)
    events.path.write_bytes(content)
    assert call("import", "tensorboard", "logs") == 1
    out, err = capsys.readouterr()
    told_of = [line.split("\t")[1:] for line in out.splitlines()]
    assert told_of == [["imported", "bad", "1 point"], ["updated", "cut", "1 point"], ["failed", "noise"]]
    assert "bad: events.out.tfevents.1700000009.box.99.0 is damaged behind its event 2" in err
    assert "1 run could not be read and 1 run only in part, of 3" in err
    assert len(whole) < len(content)


# -- MLflow --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A directory of MLflow's own making: three runs, and one that is damaged."""
    from kleio.core import mlflow_client

    top = tmp_path_factory.mktemp("store") / "mlruns"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = mlflow_client.client(f"file://{top}", "the tests need")
    experiment = client.create_experiment("study")
    first = tracked(client, experiment, "first", tags={"team": "blue", "good": "", "mlflow.source.git.commit": "a" * 40,
                                                       "mlflow.note.content": "a note"})  # fmt: skip
    (top.parent / "model.bin").write_bytes(b"model")
    client.log_artifact(first, str(top.parent / "model.bin"), "models/last")
    tracked(client, experiment, "second", "FAILED")
    tracked(client, experiment, "third", "RUNNING", tags={"mlflow.parentRunId": first})
    broken = top / experiment / ("b" * 32)
    broken.mkdir()
    (broken / "meta.yaml").write_text("{{{")
    return client, top


def test_runs_of_mlflow(store, workplace, capsys):
    client, top = store
    (top / ".trash").rmdir()
    assert call("import", "mlflow", top.parent) == 1
    assert not (top / ".trash").exists()  # nothing is written there
    (top / ".trash").mkdir()
    err = capsys.readouterr().err
    assert f"{'b' * 32}: " in err
    assert "1 run could not be read, of 4" in err
    found = by_name()
    assert {name: one["status"] for name, one in found.items()} == {
        "first": "completed", "second": "broken", "third": "interrupted",
    }  # fmt: skip
    one = found["first"]
    assert one["params"] == {"lr": 0.1, "optimizer": "sgd"}
    assert (one["tags"], one["note"], one["code"]["commit"]) == (["good", "team=blue"], "a note", "a" * 40)
    assert (one["executions"][0]["started"], one["executions"][0]["ended"]) == (
        "2023-11-14T22:13:20.000000Z", "2023-11-14T22:13:29.000000Z",
    )  # fmt: skip
    assert one["executions"][0]["reason"] == "imported from mlflow (FINISHED)"
    assert points(one["id"]) == [
        (START * 10**9 + step * 10**9, {"step": step, "loss": 1 / (step + 1), "val/loss": 1 / (step + 1)}) for step in range(3)
    ]
    assert artifacts(one["id"])[0] == {"models/last/model.bin": b"model"}
    assert found["third"]["within"] == one["id"]
    assert call("import", "mlflow", f"file://{top}", "--json") == 1
    runs = told(capsys)
    assert {run["result"] for run in runs} == {"unchanged", "failed"}
    third = client.get_run(os.path.basename(next(line["place"] for line in runs if line["name"] == "third")))
    client.log_metric(third.info.run_id, "loss", 7.0, timestamp=(START - 5) * 1000, step=9)  # it comes late
    client.log_metric(third.info.run_id, "loss", float("nan"), timestamp=(START + 5) * 1000, step=10)
    client.set_terminated(third.info.run_id, "FINISHED", end_time=(START + 6) * 1000)
    place = top / third.info.experiment_id / third.info.run_id
    assert call("import", "mlflow", place, "--json") == 0
    (told_now,) = told(capsys)
    assert (told_now["result"], told_now["points"]) == ("updated", 2)
    again = points(found["third"]["id"])
    assert [values["step"] for _, values in again] == [9, 0, 1, 2, 10]
    assert again[0] == ((START - 5) * 10**9, {"step": 9, "loss": 7.0})
    assert by_name()["third"]["status"] == "completed"


# -- Sacred --------------------------------------------------------------------------------------------------------


def _sacred_trial(one):
    assert one["name"] == "study"
    assert one["params"] == {"lr": 0.2, "net": {"act": "relu", "layers": [1, 2]}, "seed": one["params"]["seed"]}
    found = points(one["id"])
    keys = [(values["step"], values["loss"]) for _, values in found if "loss" in values]
    assert keys == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert found[0][0] < found[-1][0]
    with journal() as opened:
        assert b"trained\n" in b"".join(output.joined(opened.segments(one["id"], ("output",))))


def test_directories_of_sacred(workplace, capsys):
    from sacred.observers import FileStorageObserver

    sacred(FileStorageObserver("runs"))
    sacred(FileStorageObserver("runs"), fails=True)
    (workplace / "runs" / "3").mkdir()
    (workplace / "runs" / "3" / "run.json").write_text('{"status": "RUNN')
    assert call("import", "sacred", "runs") == 1
    assert "3: run.json cannot be read" in capsys.readouterr().err
    failed, one = trials()
    assert (one["status"], failed["status"]) == ("completed", "broken")
    _sacred_trial(one)
    assert points(one["id"])[-1][1] == {"result": 0.75}
    kept = artifacts(one["id"])[0]
    assert kept["weights.bin"] == b"weights"
    assert kept["sources/trackers.py"] == Path(trackers.__file__).read_bytes()
    assert one["command"][:1] == ["trackers.py"]
    assert one["command"][1:] == ["with", "lr=0.2"]
    (exception,) = failed["executions"][0]["exceptions"]
    assert (exception["type"], exception["message"]) == ("ArithmeticError", "diverged")
    call("import", "sacred", "runs/1", "--json")
    assert told(capsys)[0]["result"] == "unchanged"


def test_a_document_nested_too_deeply_is_one_run_that_cannot_be_read(workplace, capsys):
    for number, text in (("1", "[" * 100_000), ("2", '{"status": "COMPLETED"}')):
        (workplace / "runs" / number).mkdir(parents=True)
        (workplace / "runs" / number / "run.json").write_text(text)
    (workplace / "runs" / "2" / "metrics.json").write_text("[" * 100_000)
    assert call("import", "sacred", "runs") == 1
    err = capsys.readouterr().err
    assert "1: run.json cannot be read: maximum recursion depth" in err
    assert "metrics.json cannot be read: maximum recursion depth" in err
    assert [one["status"] for one in trials()] == ["completed"]


def test_databases_of_sacred(workplace, mongo_uri, mongo_client, capsys):
    from sacred.observers import MongoObserver

    name = mongo_uri.rpartition("/")[2].partition("?")[0]
    sacred(MongoObserver(client=mongo_client, db_name=name))
    assert call("import", "sacred", mongo_uri) == 0
    (one,) = trials()
    _sacred_trial(one)
    assert artifacts(one["id"])[0]["weights.bin"] == b"weights"
    assert artifacts(one["id"])[1]["weights.bin"] == {"epoch": 2}


def test_a_document_that_names_other_files_gets_none_and_nothing_is_made_an_object(workplace, capsys):
    (workplace / "secret.txt").write_text("secret")
    run = workplace / "runs" / "1"
    run.mkdir(parents=True)
    (run / "run.json").write_text(
        '{"start_time": "2023-11-14T22:13:20", "status": "RUNNING", "artifacts": ["../../secret.txt", "/etc/passwd"],'
        ' "experiment": {"name": "x", "sources": [["a.py", "../secret.txt"]]}, "resources": [["/d", "/etc/hostname"]]}'
    )
    (run / "config.json").write_text('{"bad": {"py/object": "os.system", "py/newargs": ["touch owned"]}}')
    (run / "info.json").write_text('{"py/reduce": [{"py/function": "os.system"}, ["touch owned"]]}')
    assert call("import", "sacred", "runs") == 0
    assert "left out: 4 files that are not there" in capsys.readouterr().err
    (one,) = trials()
    assert one["status"] == "interrupted"
    assert one["params"]["bad"]["py/object"] == "os.system"
    assert list(artifacts(one["id"])[0]) == ["info.json"]
    assert not Path("owned").exists()


# -- tables --------------------------------------------------------------------------------------------------------


def test_tables(workplace, capsys):
    tables = workplace / "tables"
    tables.mkdir()
    (tables / "a.csv").write_text(
        "epoch,loss,ok,time\n1,0.5,True,1700000000\n2,nan,False,2023-11-14T22:13:21Z\n3,,True,1700000002000\n")
    (tables / "b.csv").write_text("_step;_timestamp;word\n1;1700000003.5;hello\n")
    (tables / "chart.csv").write_text("Step,one - loss,two - loss,two - loss__MAX\n0,1,2,2\n1,0.5,,\n")
    bad = {"empty": b"", "noise": b"\x00\x93\xff,\x01\n1,2\n", "numbers": b"1,2\n3,4\n", "head": b"a,b\n",
           "twice": b"a,a\n1,2\n"}  # fmt: skip
    for name, content in bad.items():
        (tables / f"{name}.csv").write_bytes(content)
    assert call("import", "csv", "tables") == 1
    err = capsys.readouterr().err
    assert "5 runs could not be read, of 9" in err
    assert "numbers: its first line holds numbers and not the names of columns" in err
    found = by_name()
    assert set(found) == {"a", "b", "one", "two"}
    moment = START * 10**9
    first, second, third = points(found["a"]["id"])
    assert first == (moment, {"epoch": 1, "loss": 0.5, "ok": True})
    assert second[0] == moment + 10**9
    assert second[1]["loss"] != second[1]["loss"]
    assert third == (moment + 2 * 10**9, {"epoch": 3, "ok": True})
    assert points(found["b"]["id"]) == [(moment + 3_500_000_000, {"step": 1, "word": "hello"})]
    assert [values for _, values in points(found["one"]["id"])] == [{"step": 0, "loss": 1}, {"step": 1, "loss": 0.5}]
    assert [values for _, values in points(found["two"]["id"])] == [{"step": 0, "loss": 2, "loss__MAX": 2}]
    with open(tables / "chart.csv", "a") as file:
        file.write("2,0.25,1,1\n")
    call("import", "csv", tables / "chart.csv", "--json")
    assert [(one["result"], one["points"]) for one in told(capsys)] == [("updated", 1), ("updated", 1)]


def test_cells_and_times_that_are_not_taken_are_counted(workplace, capsys):
    (workplace / "a.csv").write_text("a,time\n1,1700000000,3,4\n" + "".join(
        f"2,{one}\n" for one in ("nan", "inf", "1e300", "9999-99-99", "")))
    assert call("import", "csv", "a.csv") == 0
    (workplace / "b.csv").write_text("a,time\n1,1700000000,3\n")
    capsys.readouterr()
    assert call("import", "csv", "a.csv", "b.csv") == 0
    assert capsys.readouterr().err.splitlines() == [
        "kleio: left out: 3 cells that are in no column, of 2 runs",
        "kleio: left out: 5 values of time that are no time, of a",
    ]
    assert call("import", "csv", "a.csv", "b.csv", "--json") == 0
    assert [one["left_out"] for one in told(capsys)] == [
        {"cells that are in no column": 2, "values of time that are no time": 5}, {"cells that are in no column": 1},
    ]  # fmt: skip


def test_directories_of_lightning(workplace, capsys):
    for number, text in enumerate(("lr: 0.1\nnet:\n  act: relu\n", "lr: !!python/object/apply:os.system ['touch owned']\n")):
        version = workplace / "logs" / f"version_{number}"
        version.mkdir(parents=True)
        (version / "metrics.csv").write_text("epoch,step,train_loss,val_loss\n0,9,0.5,\n0,9,,0.7\n")
        (version / "hparams.yaml").write_text(text)
    assert call("import", "csv", "logs") == 0
    assert "version_1: the values in" in capsys.readouterr().err
    found = by_name()
    assert found["version_0"]["params"] == {"lr": 0.1, "net.act": "relu"}
    assert found["version_1"]["params"] == {}
    assert not Path("owned").exists()
    assert [values for _, values in points(found["version_0"]["id"])] == [
        {"epoch": 0, "step": 9, "train_loss": 0.5}, {"epoch": 0, "step": 9, "val_loss": 0.7},
    ]  # fmt: skip
    (workplace / "logs" / "version_0" / "hparams.yaml").write_text("lr: 0.2\nnet:\n  act: relu\n")
    call("import", "csv", "logs/version_0/metrics.csv", "--json")
    assert told(capsys)[0]["result"] == "updated"
    assert by_name()["version_0"]["params"] == {"net.act": "relu", "lr": 0.2}


# -- once, and whole -----------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from((1.0, 2.0, float("nan")))), max_size=12),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_whatever_the_order_only_what_is_new_is_added(found, count, random):
    rows = [Row(time, {"step": step, "loss": value}) for time, step, value in found]
    stored = [Record(at, row.time, row.values) for at, row in enumerate(rows[:count])]
    random.shuffle(rows)
    seen = []
    added = list(additions(iter(stored), iter(rows), seen.append))
    assert len(seen) == len(stored)
    both = [(row.time, repr(row.values)) for row in (*stored, *added)]
    assert sorted(both) == sorted((row.time, repr(row.values)) for row in rows)


def test_who_is_stopped_in_the_middle_leaves_nothing_to_be_seen_and_is_followed(journal_uri, workplace, monkeypatch, capsys):
    (workplace / "a.csv").write_text("".join(["step,loss\n", *(f"{step},{step / 2}\n" for step in range(9000))]))

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(recording._Recording, "tell", killed)
        with pytest.raises(Killed):
            call("import", "csv", "a.csv")
    assert trials() == []
    assert call("import", "csv", "a.csv", "--json") == 0
    (one,) = told(capsys)
    assert [values["step"] for _, values in points(one["id"])] == list(range(9000))
    assert trials()[0]["summary"]["loss"]["count"] == 9000


def test_two_at_once_store_each_run_once(workplace):
    for number in range(6):
        rows = "".join(f"{step},{step + number}\n" for step in range(3000))
        (workplace / f"{number}.csv").write_text(f"step,loss\n{rows}")
    both = [subprocess.Popen([sys.executable, "-m", "kleio", "import", "csv", "."], stdout=subprocess.PIPE, text=True)
            for _ in range(2)]  # fmt: skip
    fates = [line.split("\t")[1] for one in both for line in one.communicate()[0].splitlines()]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(fates) == ["imported"] * 6 + ["unchanged"] * 6
    assert [one["summary"]["loss"]["count"] for one in trials()] == [3000] * 6


def test_what_was_scrubbed_does_not_come_back(workplace, capsys):
    (workplace / "a.csv").write_text("step,word\n1,classified\n")
    call("import", "csv", "a.csv", "--json")
    (one,) = told(capsys)
    assert kleio("scrub", one["id"], "classified", "--yes").returncode == 0
    (workplace / "a.csv").write_text("step,word\n1,classified\n2,classified\n")
    assert call("import", "csv", "a.csv") == 0
    out, err = capsys.readouterr()
    assert "scrubbed\ta" in out
    assert "it is left as it is" in err
    assert "classified" not in str(points(one["id"]))


def test_an_imported_trial_cannot_be_run(workplace, capsys):
    (workplace / "a.csv").write_text("step,loss\n1,2\n")
    call("import", "csv", "a.csv", "--json")
    (one,) = told(capsys)
    with pytest.raises(UsageError, match=r"was imported from csv .*a.csv.: kleio has no command to run for it"):
        call("run", one["id"])
    page = printed("info", one["id"])
    assert f"imported   from csv, {workplace}/a.csv\n" in page
    assert "kleio run" not in page
    assert read("info", one["id"], "--json")["imported"] == {"from": "csv", "place": f"{workplace}/a.csv"}


def test_secrets_in_what_is_imported_are_not_recorded(workplace, capsys):
    run = workplace / "runs" / "1"
    run.mkdir(parents=True)
    document = {"experiment": {"name": "x", "mainfile": "a.py"}, "meta": {"config_updates": {"api_key": "a1b2c3d4"}}}
    (run / "run.json").write_text(json.dumps(document))
    (run / "config.json").write_text('{"service": {"api_key": "a1b2c3d4"}, "lr": 0.1}')
    call("import", "sacred", "runs")
    (one,) = trials()
    assert "a1b2c3d4" not in str(one)
    assert one["params"]["lr"] == 0.1


@pytest.mark.parametrize(("kind", "place", "said"), [
    ("tensorboard", "nothing", "there are no event files of TensorBoard"),
    ("mlflow", "nothing", "is no store of MLflow"),
    ("mlflow", "sqlite:////nowhere/at/all.db", "there is no file /nowhere/at/all.db"),
    ("sacred", "nothing", "there are no runs of Sacred"),
    ("csv", "nothing", r"there is no file \*\.csv at nothing"),
    ("sacred", "mongodb://me:hidden@127.0.0.1:1/x?serverSelectionTimeoutMS=50", "^(?!.*hidden).*cannot be read"),
])  # fmt: skip
def test_where_there_is_nothing_that_is_said(workplace, kind, place, said):
    with pytest.raises(KleioError, match=said):
        call("import", kind, place)


def test_a_library_that_is_missing_is_named(workplace):
    (workplace / "events.out.tfevents.1.x").write_bytes(b"")
    code = "import sys; sys.modules['tensorboard'] = None; from kleio.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "import", "tensorboard", "."], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kleio: reading event files needs tensorboard: pip install 'kleio[tensorboard]'\n"
