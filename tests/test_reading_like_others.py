"""What meticulous' command line showed of a directory of experiments, from a journal of runs that really happened."""

from __future__ import annotations

import json
from pathlib import Path

import experiments
import pytest
from commands import printed

SWEEP = """
import random

random.seed(7)
for lr in (0.01, 0.1, 1.0):
    for batch_size in (16, 64):
        for seed in range(3):
            arguments = {"lr": lr, "batch_size": batch_size, "seed": seed, "epochs": 10, "optimizer": "sgd"}
            try:
                with Experiment(arguments):
                    loss = lr + random.random()
                    for epoch in range(3):
                        kleio_logger.log_statistic(val_loss=loss / (epoch + 1), epoch=epoch)
                    if lr == 1.0 and seed == 2:
                        raise ArithmeticError("diverged")
            except ArithmeticError:
                pass
with Experiment({"lr": 0.1, "batch_size": 16, "seed": 0, "epochs": 20, "optimizer": "sgd"}):
    kleio_logger.log_statistic(val_loss=99.0)
"""


@pytest.fixture
def swept(workplace):
    experiments.run(SWEEP)
    return experiments.trials()


def test_meticulous_grouped_table(swept):
    """``meticulous experiments/ --filter "args_epochs == 10 and meta_status == 'SUCCESS'" --groupby args_lr,args_batch_size
    --columns summary_val_loss --sort summary_val_loss_mean --export table.md``, which pandas worked out for it.
    """
    import pandas as pd

    words = ["--where", "params.epochs == 10 and status == 'completed'", "--group-by", "params.lr,params.batch_size"]
    words += ["--columns", "val_loss_mean,val_loss_std,count", "--sort", "val_loss_mean"]
    assert printed("ls", *words, "--export", "table.md") == ""

    frame = pd.json_normalize(swept)
    frame = frame[(frame["params.epochs"] == 10) & (frame["status"] == "completed")]
    wanted = frame.groupby(["params.lr", "params.batch_size"])["summary.val_loss.last"].agg(["mean", "std", "count"])
    wanted = wanted.reset_index().sort_values("mean")
    assert len(wanted) == 6
    assert sorted(wanted["count"]) == [2, 2, 3, 3, 3, 3]

    head, rule, *lines = Path("table.md").read_text().splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "params.lr", "params.batch_size", "val_loss_mean", "val_loss_std", "count",
    ]  # fmt: skip
    assert rule.count("-:") == 5
    table = [[float(cell) for cell in line.split("|")[1:-1]] for line in lines]
    assert table == [pytest.approx(list(row), rel=1e-3) for row in wanted.itertuples(index=False)]

    exact = json.loads(printed("ls", "--json", *words))
    assert [one["val_loss_std"] for one in exact] == pytest.approx(list(wanted["std"]), rel=1e-12)


def test_meticulous_arguments_that_differ(swept):
    """``meticulous experiments/ --args truncated --summary``."""
    printed("ls", "--tail", "3", "--export", "table.csv")
    import pandas as pd

    frame = pd.read_csv("table.csv", dtype={"summary.val_loss": str})  # older ones read numbers less exactly
    assert [name for name in frame.columns if name.startswith("params.")] == ["params.seed"]
    assert list(frame["params.seed"]) == [2, 1, 0]
    assert list(map(float, frame["summary.val_loss"])) == [one["summary"]["val_loss"]["last"] for one in swept[-3:]]
    assert "params.epochs" in printed("ls", "--export", "table.csv") + Path("table.csv").read_text()
