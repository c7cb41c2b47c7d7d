"""What shells complete after ``kleio``: its own words, ids and tags; and the words of other commands as without it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from uuid import uuid4

import pytest
from commands import PYTHON, kleio, printed
from processes import Terminal

from kleio.cli.completion import SHELLS, items
from kleio.cli.door import group
from kleio.core.journal import open_journal
from kleio.core.trial import Event, Trial


@pytest.fixture
def program(workplace, tmp_path, monkeypatch):
    """``kleio`` on the path, and beside it little else; a few files in the directory."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "kleio").write_text(f'#!/bin/sh\nexec {PYTHON} -m kleio "$@"\n')
    (directory / "trainer").write_text("#!/bin/sh\n")
    for path in directory.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (workplace / "training.py").touch()
    return directory


@pytest.fixture
def recorded(workplace):
    """Two trials, of which the newer is first."""
    journal = open_journal(os.environ["KLEIO_JOURNAL"])
    found = []
    for at, number in enumerate(("aaaa" + uuid4().hex[4:], "bbbb" + uuid4().hex[4:])):
        journal.create(Trial(number, uuid4().hex, str(workplace), ("python", "train.py", str(at)), ".", time.time() - 10 + at))
        tags = {"tags": ["baseline", "group:first", "$(touch oh-no)", "two words"]}
        journal.record(number, Event(uuid4().hex, "annotated", time.time(), 1, None, tags))
        found.append(number[:7])
    journal.close()
    return found[::-1]


def completed(line, shell="bash"):
    """What the last word of a line may become: values of their types, or where the command begins that is run."""
    *words, incomplete = line.split(" ")
    asked = SHELLS[shell](group, {}, "kleio", "")
    return [one.value if one.type == "plain" else (one.type, one.value) for one in items(asked, words[1:], incomplete)]


def test_words_of_kleio(program, recorded):
    assert completed("kleio inf")[0] == "info"
    assert completed("kleio ")[:3] == ["run", "exec", "branch"]
    assert "trainer" not in completed("kleio ")
    assert completed("kleio traine") == ["trainer"]
    assert completed("kleio -- traine") == completed("kleio run --once traine") == ["trainer"]
    assert completed("kleio ./tr") == [("file", "./tr")]
    assert completed("kleio ls --stat") == ["--status"]
    assert completed("kleio ls --status comp") == ["completed"]
    assert completed("kleio ls --status=comp") == ["completed"]
    assert completed("kleio ls --status=comp", "zsh") == completed("kleio ls --status=comp", "fish") == ["--status=completed"]
    assert completed("kleio --onc") == ["--once"]
    assert completed("kleio ls --include ") == completed("kleio ls --include a ") == []


def test_ids_and_tags(program, recorded):
    newer, older = recorded
    for words in ("info", "cat --raw", "-q run", "exec", "diff aaaa", "get", "branch -q", "stats", "plot"):
        line = f"kleio {words} "
        assert completed(line) == [newer, older], line
    assert completed("kleio info aa") == [older]
    assert completed("kleio info la") == ["last"]
    assert completed(f"kleio info {older}") == [completed(f"kleio info {older}")[0]] != [older]  # one digit more is as good
    assert completed("kleio get aaaa ") == completed("kleio scrub aaaa ") == []
    assert completed("kleio plot aaaa b") == [newer]
    assert completed("kleio checkout aaaa d") == [("file", "d")]
    assert completed("kleio ls --tag ") == ["baseline", "group:first"]  # nothing that a shell would obey
    assert completed("kleio --tag b") == ["baseline"]


@pytest.fixture
def trained(local):
    """Two trials that have logged something, of which the newer is first."""
    weights = [("weights.pt", b"1", {"epoch": 1}), ("weights.pt", b"12", {"epoch": 2}), ("plots/a.png", b"3", {})]
    said = {"epoch": 1, "val": {"loss": 0.5}, "loss": 0.25, "two words": 1, "-odd": 1}
    older = local.trial([said], weights, params={"lr": 0.1, "model": {"depth": 2}, "num-workers": 4})
    newer = local.trial([{"epoch": 1, "accuracy": 0.5}], [("odd name", b"1", {}), ("last.bin", b"1", {})], params={"lr": 0.2})
    return newer, older


def test_artifacts(trained):
    newer, older = trained
    for command in ("get", "artifacts", "get --force", "-q get --all"):
        assert completed(f"kleio {command} {older} ") == ["weights.pt", "plots/a.png"]
    assert completed(f"kleio get {newer[:7]} ") == completed("kleio get last ") == ["last.bin"]
    assert completed(f"kleio get {older} weights.pt ") == ["plots/a.png"]
    assert completed(f"kleio get {older} w") == ["weights.pt"]
    assert completed("kleio get --trial params.lr==0.1 w") == []
    assert completed(f"kleio get {older} weights.pt -o ") == [("file", "")]
    [item] = items(SHELLS["zsh"](group, {}, "kleio", ""), ["get", older], "w")
    assert item.help == "2 B  epoch=2"


def test_statistics(trained):
    newer, older = trained
    assert completed(f"kleio plot {older} ") == ["epoch", "loss", "val/loss"]
    assert completed(f"kleio plot {older} {newer} ") == ["accuracy", "epoch", "loss", "val/loss"]
    assert completed(f"kleio plot {older} loss ") == ["epoch", "val/loss"]
    assert completed("kleio plot --where params.lr==0.1 acc") == ["accuracy"]
    assert completed(f"kleio plot {older} -x ") == ["epoch", "loss", "val/loss", "time", "index"]
    assert completed(f"kleio stats {older} --key ") == ["epoch", "loss", "val/loss"]
    assert completed(f"kleio stats {older} --columns epoch,l") == completed("kleio stats --key epoch,l") == ["epoch,loss"]
    assert completed(f"kleio stats {newer} --sort -") == ["-accuracy", "-epoch"]
    assert completed("kleio stats --keys a") == completed("kleio stats a")


def test_columns(trained):
    found = completed("kleio ls --columns ")
    assert found[:3] == ["id", "short_id", "parent"]
    assert {"params.lr", "params.model.depth", "summary.val.loss", "code.commit"} < set(found)
    assert not [one for one in found if "workers" in one or " " in one]
    assert completed("kleio ls --columns id,params.m") == ["id,params.model.depth"]
    assert completed("kleio ls --columns summary.val.loss.m") == ["summary.val.loss." + one for one in ("min", "max", "mean")]
    assert completed("kleio ls --group-by=params.l") == completed("kleio ls --sort params.l") == ["params.lr"]
    assert completed("kleio ls --sort=-cre") == completed("kleio ls --sort -cre") == ["-created"]
    assert completed("kleio ls --sort=-cre", "zsh") == ["--sort=-created"]
    assert completed("kleio ls --group-by params.lr --sort -loss_m") == ["-loss_mean", "-loss_min", "-loss_max"]
    assert completed("kleio ls --group-by params.lr --columns cou") == ["count"]
    assert completed("kleio ls --columns cou") == []


def test_names_are_no_more_than_one_can_look_at(local):
    local.trial([{f"layer{n:04}": 1 for n in range(3000)}])
    assert len(completed("kleio plot last ")) == 100
    assert completed("kleio plot last layer299") == [f"layer299{n}" for n in range(10)]


def test_where_an_export_goes(workplace):
    assert completed("kleio export --to ") == ["tensorboard", "mlflow", "csv", "folder"]
    assert completed("kleio export aaaa --to m") == completed("kleio export --to=m") == ["mlflow"]
    assert completed("kleio export --to csv ou") == [("dir", "ou")]
    assert completed("kleio plot -o ") == completed("kleio compare --export ") == [("file", "")]


def test_every_name_that_is_suggested_can_be_asked_for(trained, capsys):
    for option in ("--columns", "--sort", "--group-by"):
        for name in completed(f"kleio ls {option} "):
            printed("ls", option, name)
    for name in completed("kleio ls --group-by id --columns "):
        printed("ls", "--group-by", "id", "--columns", name)


@pytest.mark.parametrize("line", ["kleio trainer ", "kleio -q --tag x trainer ls ", "kleio run trainer --tag ", "kleio -- ls "])
def test_words_of_another_command_are_its_own(program, recorded, line):
    words = line.split()
    name = "ls" if "--" in words else "trainer"
    assert completed(line) == [("command", name)]
    assert completed(line, "zsh") == [("command", str(words.index(name)))]
    assert completed(line, "fish") == [("command", " ".join(words[words.index(name) :]) + " ")]


def test_who_waits_at_a_keyboard_is_told_nothing_rather_than_late(program):
    asked = {"COMP_LINE": "kleio info --journal mongodb://10.255.255.1/x ", "COMP_POINT": "46", "_KLEIO_COMPLETE": "bash"}
    asked |= {"KLEIO_PATIENCE": "1", "KLEIO_TIMEOUT": "600"}  # for which nobody would wait
    done = kleio(check=0, **asked)
    assert (done.stdout, done.stderr) == ("", "")
    done = kleio(check=0, **asked | {"COMP_LINE": "kleio info --journal nonsense "})
    assert (done.stdout, done.stderr) == ("", "")


SET_UP = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(kleio completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'bindkey -e; autoload -U compinit; compinit -u -D; eval "$(kleio completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "kleio completion fish | source"),
}


@pytest.mark.parametrize("shell", SET_UP)
def test_in_the_shell_itself(program, recorded, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")  # bash is everywhere
    newer, _ = recorded
    command, set_up = SET_UP[shell]
    with Terminal(*command, env={"PS1": "$ ", "TERM": "dumb" if shell == "fish" else "xterm"}) as terminal:

        def line(typed):
            """What the line is after TAB: printed instead of being run."""
            terminal.type(f"{typed}\t\x01echo '<\x05>'\r".encode())
            terminal.until(b">\r\n")
            return re.findall(rb"<(.*)>\r\n", terminal.seen)[-1].decode().rstrip()

        terminal.type(f"{set_up}; echo re''ady\r".encode())
        terminal.until(b"ready\r\n")
        assert line("kleio inf") == "kleio info"
        assert line("kleio info bb") == f"kleio info {newer}"
        assert line("kleio ls --sta") == "kleio ls --status"
        assert line("kleio ls --status=run") == "kleio ls --status=running"
        assert line("kleio --tag ba") == "kleio --tag baseline"
        assert line("kleio --tag group:f") == line("kleio --tag group:") == "kleio --tag group:first"
        assert line("kleio ls --columns id,project,statu") == "kleio ls --columns id,project,status"
        assert line("kleio ls --sort -dur") == "kleio ls --sort -duration"
        assert line("kleio python train") == "kleio python training.py"
        assert line("kleio info --json nothing") == "kleio info --json nothing"
        terminal.type(b"exit\r")
        terminal.finish()
    assert b"Error" not in terminal.seen

