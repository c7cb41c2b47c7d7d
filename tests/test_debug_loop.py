"""What a day of debugging leaves in the journal: edit, run, crash, edit, Ctrl-C, edit, run …, and what each round did."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest
from commands import PYTHON, info, kleio, script, start, trials
from repositories import git

TRAIN = """
import json, sys, time
from kleio.client.logger import kleio_logger as k
EDIT = {edit}
found = k.load_artifacts("state.json") if {checkpoints} else []
state = json.load(found[-1].open()) if found else {{"epoch": 0}}
print("from", state["epoch"], flush=True)
for epoch in range(state["epoch"] + 1, state["epoch"] + 3):
    k.log_statistic(epoch=epoch)
    if {checkpoints}:
        k.log_artifact("state.json", json.dumps({{"epoch": epoch}}).encode(), epoch=epoch)
end = open("end").read()
if end == "crash":
    sys.exit("a bug")
if end == "wait":
    print("waiting", flush=True)
    while True: time.sleep(0.1)
"""


@dataclass(frozen=True)
class Round:
    """Edit the script or leave it (``edit`` is its version), run with ``options``, and end so; what kleio does of it.

    ``did`` is new, resumed, branched or refused; ``of`` the round whose trial is resumed, branched or named as the one
    before; ``begins`` the epoch that the script goes on from.
    """

    edit: int
    end: str
    did: str
    of: int | None = None
    begins: int = 0
    options: tuple[str, ...] = ()


WITHOUT = [
    Round(1, "crash", "new"),
    Round(2, "crash", "new", of=0),
    Round(2, "crash", "resumed", of=1),
    Round(3, "wait", "new", of=1),
    Round(3, "crash", "resumed", of=3),
    Round(4, "wait", "new", of=3),
    Round(2, "crash", "resumed", of=1),  # the edit was undone: its code has a trial
    Round(4, "done", "resumed", of=5),
    Round(4, "done", "new", of=5),
    Round(5, "crash", "new", of=8),
    Round(5, "wait", "new", of=9, options=("--fresh",)),
    Round(6, "crash", "branched", of=10, options=("--allow-code-change",)),
    Round(6, "wait", "resumed", of=11),
    Round(6, "done", "resumed", of=11),
    Round(7, "done", "new", of=13),
]
WITH = [
    Round(1, "crash", "new"),
    Round(1, "wait", "resumed", of=0, begins=2),
    Round(2, "crash", "refused", of=0),
    Round(2, "crash", "branched", of=0, begins=4, options=("--allow-code-change",)),
    Round(2, "wait", "resumed", of=3, begins=6),
    Round(3, "wait", "refused", of=3),
    Round(3, "wait", "branched", of=3, begins=8, options=("--allow-any-change",)),
    Round(1, "crash", "resumed", of=0, begins=4),  # the original goes on with its own code
    Round(3, "crash", "resumed", of=6, begins=10),
    Round(4, "crash", "new", of=6, options=("--fresh",)),
    Round(4, "wait", "resumed", of=9, begins=2),
    Round(4, "done", "resumed", of=9, begins=4),
    Round(5, "crash", "new", of=9),  # what is done is not mixed with what comes
    Round(6, "done", "branched", of=12, begins=2, options=("--allow-code-change",)),
    Round(6, "done", "new", of=13),
]


@pytest.mark.parametrize(("rounds", "checkpoints"), [(WITHOUT, False), (WITH, True)], ids=["without", "with"])
def test_each_round_does_what_is_said(tmp_path, rounds, checkpoints):
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q")
    (project / ".gitignore").write_text("end\n")
    made: list[str | None] = []
    for number, one in enumerate(rounds):
        script(project, TRAIN.format(edit=one.edit, checkpoints=checkpoints))
        (project / "end").write_text(one.end)
        before = {trial["id"]: len(trial["executions"]) for trial in trials()}
        printed = run(project, one)
        after = {trial["id"]: len(trial["executions"]) for trial in trials()}
        where = f"round {number}: {one}"
        if one.did == "refused":
            assert after == before, where
            made.append(made[one.of])
            continue
        (touched,) = [trial for trial in after if after[trial] != before.get(trial, 0)]
        made.append(touched)
        assert printed[0] == f"from {one.begins}", where
        check(one, touched, made, new=touched not in before, where=where)


def run(project, one):
    """Run the script as the round says; the lines that it printed."""
    words = (*one.options, PYTHON, "train.py")
    if one.did == "refused":
        refused = kleio(*words, cwd=project, check=78)
        assert "train.py (+1 \N{MINUS SIGN}1)" in refused.stderr
        return []
    if one.end != "wait":
        return kleio(*words, cwd=project, check=0 if one.end == "done" else 1).stdout.splitlines()
    process = start(*words, cwd=project)
    lines = [process.stdout.readline().strip() for _ in range(2)]
    assert lines[1] == "waiting"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGINT
    return lines


def check(one, touched, made, new, where):
    found = info(touched)
    assert found["status"] == {"crash": "broken", "wait": "suspended", "done": "completed"}[one.end], where
    before = made[one.of] if one.of is not None else None
    if one.did == "resumed":
        assert touched == before, where
        assert not new, where
        return
    assert new, where
    if one.did == "branched":
        assert (found["parent"], found["previous"]) == (before, None), where
    else:
        assert (found["parent"], found["previous"]) == (None, before), where
