"""Tables on terminals: whatever trials hold they stay readable and harmless; what is larger than the screen is paged."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from commands import KLEIO, printed, script
from processes import Terminal, until
from rich.cells import cell_len

from kleio.cli import render_table, render_trials
from kleio.cli.render_pager import page
from kleio.core.journal import open_journal
from kleio.core.table import Table
from kleio.core.trial import Trial

WORDS = ["plain", "日本語" * 20, "\N{PARTY POPPER}" * 30, "e\N{COMBINING ACUTE ACCENT}" * 9, "\x1b[2J\x1b]0;title\x07\r\n\ttab",
         "x" * 1000, "", "\ud800\udcff", "\N{RIGHT-TO-LEFT OVERRIDE}abc", "a\0b"]  # fmt: skip
WIDE = {
    "one trial": [{"lr": 0.1, "name": "resnet"}],
    "hostile": [{"word": word, word or "empty": at, "lr": at / 3} for at, word in enumerate(WORDS)],
    "500 columns": [{f"p{at}": at * number for at in range(500)} for number in range(3)],
}
SUMMARIES = {"loss": 0.123456789, "train/a rather long name of a statistic": 1e-9, "epoch": 3, "word": "\x1b[31mred" * 9}


def documents(params):
    return [
        {"short_id": f"{at:07x}", "status": "completed", "created": "2026-11-21T12:00:00.000000Z", "executions": [],
         "project": "p" * 50, "tags": ["\x1b[31mtag"], "name": "n\n" * 9 if at % 2 else None, "command": ["python", *WORDS],
         "params": own, "param_sources": {}, "summary": {key: {"last": value} for key, value in SUMMARIES.items()}}
        for at, own in enumerate(params)
    ]  # fmt: skip


def harmless(lines, width):
    for line in lines:
        plain = re.sub(r"\x1b\[\d*m", "", line)
        assert all(one.isprintable() for one in plain), ascii(plain)
        assert cell_len(plain) <= width, (cell_len(plain), width, plain)
        line.encode()


@pytest.mark.parametrize("params", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("width", [39, 80, 200])
def test_what_is_listed_by_default(params, width):
    lines = render_trials.on_a_terminal(documents(params), with_project=width > 100, width=width)
    harmless(lines, width)
    assert [line[:7] for line in lines[1 : len(params) + 1]] == [f"{at:07x}" for at in range(len(params))]
    assert lines[0].startswith("ID       STATUS     CREATED")
    if width > 39:
        assert "COMMAND" in lines[0]
        assert "loss" in lines[0]


def test_parameters_that_differ_are_columns_and_what_does_not_fit_is_counted():
    params = [{"lr": 0.1, "seed": 1, "same": 1, "_1": "a"}, {"lr": 0.25, "seed": 2, "same": 1, "_1": "b"}]
    head, first, *_ = render_trials.on_a_terminal(documents(params), with_project=False, width=200)
    assert head.split()[:8] == ["ID", "STATUS", "CREATED", "TIME", "NAME", "TAGS", "lr", "seed"]
    assert "same" not in head
    assert "_1" not in head
    assert "0.1235" in first
    wide = render_trials.on_a_terminal(documents(WIDE["500 columns"]), with_project=False, width=80)
    assert re.fullmatch(r"… 49\d parameters and \d statistics more \(--columns, --export\)", wide[-1])


@pytest.mark.parametrize("width", [20, 80, 200])
def test_any_table(width):
    table = Table(["word", "\x1b[2J" * 9, "n", *(f"c{at}" for at in range(500))], [[w, w, 0.5, *range(500)] for w in WORDS])
    columns = render_table.columns(table, 4, {})
    lines = render_table.lines(columns, width)
    harmless(lines, width)
    assert len(lines) == len(WORDS) + 2
    assert re.search(r"… 4\d\d columns more|… 50\d columns more", lines[-1]) or width == 20
    whole = render_table.lines(columns, 10_000)
    harmless(whole, 10_000)
    assert whole[0].split()[-1] == "c499"


def test_numbers_stand_on_the_right_and_are_not_cut():
    table = Table(["text", "value"], [["a" * 90, 0.25], ["b", -1e-12], ["c", None]])
    lines = render_table.lines(render_table.columns(table, 3, {}), 30)
    assert lines == [f"{'text':<22}   value", f"{'a' * 21}…    0.25", f"{'b':<22}  -1e-12", "c"]


def test_in_a_pipe_there_is_everything(capsys):
    table = Table(["word", *(f"c{at}" for at in range(500))], [[word, *range(500)] for word in WORDS])
    render_table.show(table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(WORDS) + 1
    assert all(len(line.split("\t")) == 501 for line in lines)
    assert lines[6].startswith("x" * 1000 + "\t")
    assert not any(unicodedata.category(one) == "Cc" for line in lines for one in line.replace("\t", ""))


@pytest.fixture
def listed(workplace, home):
    """Sixty trials with forty parameters."""
    home.mkdir()
    journal = open_journal(os.environ["KLEIO_JOURNAL"])
    for at in range(60):
        params = {f"p{number}": at * number for number in range(40)}
        journal.create(Trial(f"{at:032x}", f"{at:032x}", str(workplace), ("python", "train.py"), ".", 1.79e9 + at, params))
    journal.close()


PAGER = """
import sys
text = sys.stdin.read()
open("paged", "w").write(text)
print("the pager had", len(text.splitlines()), "lines")
"""


def shown(*words, size=(24, 80), **environment):
    with Terminal(*KLEIO, "ls", "-a", *words, size=size, env={"NO_COLOR": "1", **environment}) as terminal:
        seen = terminal.finish().decode()
        assert terminal.process.returncode == 0, seen
    return [line for line in seen.replace("\r", "").split("\n") if line]


def test_what_is_larger_than_the_screen_is_paged(listed, workplace):
    pager = f"{sys.executable} {script(workplace, PAGER, 'pager.py')}"
    assert shown("-n", "0", PAGER=pager) == ["the pager had 62 lines"]
    assert shown("-n", "0", PAGER="false", KLEIO_PAGER=pager) == ["the pager had 62 lines"]
    many = ",".join(f"params.p{at}" for at in range(40))
    assert shown("-n", "5", "--columns", many, PAGER=pager) == ["the pager had 6 lines"]
    assert Path("paged").read_text().splitlines()[0].split() == many.split(",")
    assert len(shown("-n", "0", "--no-pager", PAGER=pager)) == 62
    for off in ("cat", "", "no-such-pager"):
        assert len(shown("-n", "0", "--columns", many, KLEIO_PAGER=off)) == 62
    assert len(shown("-n", "9", PAGER=pager)) == 11  # with what is left out
    assert shown("-n", "9", "--columns", "id,params.p1", PAGER=pager)[0] == "id       params.p1"


def test_a_pager_is_left(listed):
    with Terminal(*KLEIO, "ls", "-a", "-n", "0", size=(24, 80), env={"PAGER": "less -S -R", "LESS": ""}) as terminal:
        terminal.until(b":\x1b[K")
        terminal.type(b"\x03")
        terminal.until(b"\x07")  # to less it means nothing
        until(lambda: terminal.type(b"q") or terminal.process.poll() is not None)  # it drops what it reads meanwhile
        terminal.finish()
        assert terminal.process.returncode == 0
    assert shown("-n", "0", PAGER="true") == []  # left before anything was read


def test_a_pager_for_which_nothing_can_be_made_is_not_waited_for(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("KLEIO_PAGER", "sh -c 'cat >&2'")
    with pytest.raises(ZeroDivisionError):
        page(lambda: [str(1 // 0)])


SLOW = """
import time
class writer:
    def __init__(self, file):
        self.file = file
    def writerow(self, row):
        self.file.write("half")
    def writerows(self, rows):
        self.file.flush()
        print("writing", flush=True)
        while True:
            time.sleep(0.01)
"""


def test_an_export_that_is_interrupted_leaves_the_old_file(listed, workplace):
    """Ctrl-C while the file is written: here into a module that writes CSV slowly."""
    Path("x.csv").write_text("old")
    (workplace / "slow").mkdir()
    (workplace / "slow" / "csv.py").write_text(SLOW)
    places = os.pathsep.join([str(workplace / "slow"), os.environ.get("PYTHONPATH", "")])
    with Terminal(*KLEIO, "ls", "-a", "--export", "x.csv", env={"PYTHONPATH": places}) as terminal:
        terminal.until(b"writing")
        terminal.type(b"\x03")
        terminal.finish()
        assert terminal.process.returncode == -2
    assert Path("x.csv").read_text() == "old"
    assert sorted(os.listdir()) == ["slow", "x.csv"]
    assert printed("ls", "-a", "--export", "x.csv") == ""
    assert Path("x.csv").read_text().startswith("id,status")
