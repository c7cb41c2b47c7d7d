"""What other trackers write, made with themselves; and kleio called in this process."""

from __future__ import annotations

import json
import os
import warnings

from commands import called as call  # noqa: F401 - what tests of trackers use
from experiments import journal, trials

from kleio.core import lineage


def points(trial):
    """Every statistic of a trial: (nanoseconds, values), in order."""
    with journal() as opened:
        return [(record.time, dict(record.values)) for record, _ in lineage.logged(opened, opened.entry(trial))[0]]


def artifacts(trial):
    """Name → bytes, and name → metadata."""
    with journal() as opened:
        found, meta = {}, {}
        for one in lineage.artifacts(opened, opened.entry(trial)):
            with opened.blob(one.values["sha256"]) as file:
                found[one.values["name"]] = file.read()
            meta[one.values["name"]] = one.values["meta"]
        return found, meta


def by_name():
    return {one["name"]: one for one in trials()}


def told(capsys):
    return json.loads(capsys.readouterr().out)


class Events:
    """An event file, as TensorBoard's own writer has it."""

    def __init__(self, directory, name="events.out.tfevents.1700000000.box.12.0"):
        from tensorboard.summary.writer.record_writer import RecordWriter

        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / name
        self._writer = RecordWriter(open(self.path, "ab"))  # noqa: SIM115 - as long as the run
        if not self.path.stat().st_size:
            self._event(1_700_000_000.25, 0, file_version="brain.Event:2")

    def _event(self, when, step, **what):
        from tensorboard.compat.proto import event_pb2

        self._writer.write(event_pb2.Event(wall_time=when, step=step, **what).SerializeToString())
        self._writer.flush()

    def summary(self, when, step, *values):
        from tensorboard.compat.proto import summary_pb2

        self._event(when, step, summary=summary_pb2.Summary(value=values))

    def scalar(self, when, step, **values):
        from tensorboard.compat.proto import summary_pb2

        self.summary(when, step, *(summary_pb2.Summary.Value(tag=tag, simple_value=one) for tag, one in values.items()))

    def raw(self, summary, when=1_700_000_000.5):
        """What a plugin of TensorBoard makes."""
        self._event(when, 0, summary=summary)

    def close(self):
        self._writer.close()


def sacred(observer, fails=False):
    """A run of Sacred with two metrics, an artifact and output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sacred import Experiment

        experiment = Experiment("study", interactive=True, save_git_info=False)
        experiment.observers.append(observer)

        @experiment.config
        def configuration():
            lr = 0.1  # noqa: F841
            net = {"act": "relu", "layers": [1, 2]}  # noqa: F841

        @experiment.main
        def main(_run, lr):
            for epoch in range(3):
                _run.log_scalar("loss", 1 / (epoch + 1), epoch)
                _run.log_scalar("acc", epoch / 2, epoch)
            with open("weights.bin", "wb") as file:
                file.write(b"weights")
            _run.add_artifact("weights.bin", metadata={"epoch": 2})
            print("trained")
            if fails:
                raise ArithmeticError("diverged")
            return 0.75

        try:
            experiment.run(config_updates={"lr": 0.2}, options={"--capture": "sys", "--loglevel": "CRITICAL"})
        except ArithmeticError:
            pass
    os.unlink("weights.bin")


def tracked(client, experiment, name, status="FINISHED", tags=(), start=1_700_000_000_000):
    """A run of MLflow's with three points of two metrics."""
    run = client.create_run(experiment, start_time=start, run_name=name, tags=dict(tags)).info.run_id
    client.log_param(run, "lr", "0.1")
    client.log_param(run, "optimizer", "sgd")
    for step in range(3):
        for key in ("loss", "val/loss"):
            client.log_metric(run, key, 1 / (step + 1), timestamp=start + 1000 * step, step=step)
    if status != "RUNNING":
        client.set_terminated(run, status, end_time=start + 9000)
    return run
