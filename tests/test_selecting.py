"""Choosing trials on the command line: ids, or ``--where`` and what goes with it."""

from __future__ import annotations

import json
import re
import time
from uuid import uuid4

import pytest
from commands import PYTHON, info, kleio, printed, read, script, trials
from experiments import run

from kleio.core.errors import UnknownTrial, UsageError
from kleio.core.indexing import index
from kleio.core.journal import open_journal
from kleio.core.trial import Event, Trial


@pytest.fixture
def swept(journal_uri, workplace):
    """Six trials of the project here with learning rates and optimisers, the oldest first, and a newer one of another."""
    journal = open_journal(journal_uri)
    pairs = [(lr, optimizer) for lr in (0.1, 0.2, 0.3) for optimizer in ("sgd", "adam")]
    found = [added(journal, str(workplace), at, lr=lr, optimizer=optimizer) for at, (lr, optimizer) in enumerate(pairs)]
    added(journal, "elsewhere", 9, lr=0.1, optimizer="exact")
    journal.close()
    return found


def added(journal, project, at, tags=(), **params):
    words = ("python", "train.py", *(word for name, value in params.items() for word in (f"--{name}", str(value))))
    trial, execution, created = uuid4().hex, uuid4().hex, time.time() - 100 + at
    journal.create(Trial(trial, uuid4().hex, project, words, ".", created, params))
    journal.claim(trial, execution, {"host": "here", "user": "me", "started": created, "pid": 1}, 3600)
    ended = {"status": "completed", "exit_code": 0}
    journal.record(trial, Event(f"ended-{execution}", "ended", created + 1, 1, execution, ended))
    index(journal, trial)
    return trial


def refused(*words):
    """What kleio says."""
    with pytest.raises((UnknownTrial, UsageError)) as caught:
        printed(*words)
    return "\n".join(caught.value.lines)


def test_a_command_for_one_trial(swept):
    assert read("info", "--json", "--where", "params.lr == 0.2 and params.optimizer == 'sgd'")["id"] == swept[2]
    assert read("info", "--json", "--where", "params.lr < 0.3", "--newest")["id"] == swept[3]
    assert read("info", "--json", "--newest")["id"] == swept[5]
    said = refused("info", "--where", "params.optimizer matches '.'").splitlines()
    assert said[0] == "6 trials match; one is needed: give its id, a condition more, or --newest"
    assert [line.split()[0] for line in said[1:6]] == [one[:7] for one in swept[:0:-1]]
    assert re.fullmatch(r"  [0-9a-f]{7}  completed    +[0-9msh]+ ago  python train.py --lr 0.3 --optimize…", said[1])
    assert said[6:] == ["  … and 1 more"]
    assert refused("info", "--where", "params.lr > 7") == (
        "none of the 6 trials of this project matches --where; --all-projects looks in those of others"
    )
    assert "give one of them" in refused("info", swept[0], "--where", "params.lr > 7")
    assert "--where" in refused("info")


def test_the_project_here_unless_others_are_asked_for(swept):
    exact = "params.optimizer == 'exact'"
    assert "of this project" in refused("info", "--where", exact)
    assert read("info", "--json", "-a", "--where", exact)["project"] == "elsewhere"
    assert read("info", "--json", "--where", f"{exact} and (not project == 'x' or status == 'new')")["project"] == "elsewhere"
    assert refused("info", "--where", "project == 'x'").startswith("none of the 7 trials in ")


def listed(*words):
    return [one["id"] for one in read("ls", "--json", *words)]


def test_words_to_include_and_to_exclude(swept):
    first, second, third, fourth, fifth, sixth = swept
    assert listed("--include", "sgd") == [fifth, third, first]
    assert listed("--include", "lr:0.1", "sgd") == listed("--include=sgd", "--include", "lr:.1") == [first]
    assert listed("--include", "optimizer", "--exclude", "lr:0.1", "lr:0.2") == [sixth, fifth]
    assert listed("--exclude", "sgd", "--include", "train.py", "-n", "2", "--where", "params.lr < 0.3") == [fourth, second]
    assert listed("-a", "--include", "exact") != []
    assert listed("--include", "sg") == listed("--include", "lr:0.15") == listed("--include", "0.1", "0.2") == []
    assert read("info", "--json", "--include", "0.2", "--exclude", "adam")["id"] == third
    assert "--include needs a word" in refused("ls", "--include", "--exclude", "sgd")


def test_ls_stays_in_the_project_unless_a_query_speaks_of_projects(swept):
    assert len(listed("--where", "params.lr == 0.1")) == 2
    assert len(listed("--where", "params.lr == 0.1 and project != 'x'")) == 3
    assert listed("--project", "x", "--where", "project != 'x'") == []


def test_commands_with_another_word(swept):
    assert read("status", "--json", "--where", "params.lr < 0.3", "--exclude", "adam")["statuses"] == {"completed": 2}
    assert read("cat", "--json", "--include", "0.1", "adam")["id"] == swept[1]
    one = "params.lr == 0.1 and params.optimizer == 'sgd'"
    apart = ("diff", "--json", "--params")
    assert read(*apart, swept[1], swept[0]) == read(*apart, swept[1], "--where", one)
    assert read(*apart, *swept[:2]) == read(*apart, "--where", "params.lr == 0.1")
    assert refused("diff", "--where", "params.lr > 0").startswith("6 trials match; one or two are needed")
    assert "one too many" in refused("diff", *swept[:2], "--newest")
    assert json.loads(kleio("scrub", "--json", "--dry-run", "--where", one, "sgd", check=0).stdout)["id"] == swept[0]
    assert refused("scrub", "--where", one) == "missing argument PATTERN"
    assert "unexpected argument: c" in refused("checkout", "--newest", "b", "c")
    assert read("tree", "--json", "--where", one)[0]["id"] == swept[0]


def test_launching_what_is_chosen(tmp_path, workplace):
    script(workplace, "import os, sys\nsys.exit(int(os.environ['CODE']))")
    for lr in ("1", "2"):
        kleio("-q", PYTHON, "train.py", "--lr", lr, check=3, CODE=3)
    second, first = (one["id"] for one in trials())
    broken = "status == 'broken'"
    assert "2 trials match" in kleio("run", "--where", broken, check=125).stderr
    assert "no place for a command: ls" in kleio("run", "--where", broken, "ls", check=125).stderr
    kleio("run", "-q", "--where", f"{broken} and params.lr == 1", check=0, CODE=0)
    assert [one["status"] for one in info(first)["executions"]] == ["broken", "completed"]
    kleio("exec", "-q", "--include", "lr:2", check=0, CODE=0)
    assert [one["status"] for one in info(second)["executions"]] == ["broken", "completed"]
    kleio("branch", "--where", "params.lr == 2", "-q", "--lr", "5", "--newest", check=0, CODE=0)
    branched = trials()[0]
    assert (branched["parent"], branched["command"][1:]) == (second, ["train.py", "--lr", "5", "--newest"])
    kleio("branch", "-q", "--newest", "--timestamp", "end", "--", PYTHON, "train.py", check=0, CODE=0)
    assert (trials()[0]["parent"], trials()[0]["params"]) == (branched["id"], {})


RUNS = """
for optimizer in ("sgd", "adam"):
    for bsz in (12, 64):
        for lr in (0.1, 0.01):
            params = {"optimizer": optimizer, "bsz": bsz, "lr": lr, "device": "cuda:0", "layers": [bsz, 8]}
            params["model"] = {"depth": 3}
            if optimizer == "adam":
                params |= {"eps": "1e-8", "fused": True}
            with Experiment(params=params) as experiment:
                experiment.log_statistic(loss=lr * bsz)
"""


def test_the_search_of_litetracer(journal_uri, workplace):
    """Its ``lite_trace.py --include NAME:VALUE NAME … --exclude …``: all of the former hold, and none of the latter."""
    run(RUNS)

    def searched(*words):
        """(optimizer, bsz, lr), sorted."""
        found = [one["params"] for one in read("ls", "--json", "-n", "0", *words)]
        return sorted((one["optimizer"], one["bsz"], one["lr"]) for one in found)

    every = searched()
    sgd, adam = every[4:], every[:4]
    assert searched("--include", "sgd") == searched("--include", "optimizer:sgd") == searched("--exclude", "adam") == sgd
    assert searched("--exclude", "bsz:12", "--include", "sgd") == [("sgd", 64, 0.01), ("sgd", 64, 0.1)]
    assert searched("--include", "lr:0.1", "sgd", "--exclude", "bsz:12") == [("sgd", 64, 0.1)]
    assert searched("--include", "eps") == searched("--include", "eps:1e-8") == searched("--include", "fused:true") == adam
    assert searched("--include", "device:cuda:0", "cuda:0", "model.depth:3", "layers") == every
    assert searched("--include", "layers:12") == searched("--include", "bsz:12.0") == [one for one in every if one[1] == 12]
    assert searched("--exclude", "lr:0.1", "bsz:12") == [("adam", 64, 0.01), ("sgd", 64, 0.01)]
    assert searched("--include", "lr", "--exclude", "lr") == searched("--include", "SGD") == searched("--include", "nope:1")
    assert searched("--include", "nope:1") == []
