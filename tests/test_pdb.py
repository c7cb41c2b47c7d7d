"""``kleio pdb``: a prompt with a trial at hand, typed at or fed."""

from __future__ import annotations

import importlib.util
import select

import pytest
from commands import KLEIO, PYTHON, kleio, script, trials
from processes import Terminal

RUN = """
from kleio.client.logger import kleio_logger
for epoch in range(3):
    kleio_logger.log_statistic(epoch=epoch, loss=1 / (epoch + 1))
"""


@pytest.fixture
def trial(workplace):
    script(workplace, RUN)
    kleio("-q", PYTHON, "train.py", "--lr", "0.5", check=0)
    return trials()[0]["id"]


def said(*lines, words=("last",)):
    done = kleio("pdb", *words, check=0, input="".join(f"{line}\n" for line in lines))
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_what_is_fed_to_it(trial, home):
    assert said(
        "trial.short_id", "p trial.params['lr']", "statistics['loss'].tolist()", "journal.trial('last') == trial",
        "keys = statistics.keys()", "[key for key in keys if key in statistics]", "float(df.loss.sum())", "nothing", "next",
        "statistics.where('los > 1')", "q", "print('not any more')",
    ) == [
        repr(trial[:7]), "0.5", "[1.0, 0.5, 0.3333333333333333]", "True",
        "['epoch', 'loss']", "1.8333333333333333", "*** NameError: name 'nothing' is not defined",
        "*** no program runs here; q ends",
        "*** kleio.core.query_syntax.QueryError: there is no statistic los; did you mean loss?", "  los > 1", "  ^^^",
    ]  # fmt: skip
    assert said("trial.status", words=("--where", "params.lr == 0.5")) == ["'completed'"]
    assert not list(home.rglob("pdb_history"))


def give_up_the_line(terminal):
    """Ctrl-C; again where it came just before Python began to wait for more, which then does not see it."""
    terminal.type(b"\x03")
    while not select.select([terminal.master], [], [], 10)[0]:
        terminal.type(b"\x03")


def test_at_a_terminal(trial, home):
    with Terminal(*KLEIO, "pdb", trial[:7]) as terminal:
        terminal.until(b"q ends\r\n")
        terminal.until(b"(kleio) ")
        terminal.type(b"6 * 7 +")
        terminal.until(b"6 * 7 +")
        give_up_the_line(terminal)
        terminal.until(b"(kleio) ")
        terminal.type(b"float(df.loss.max() * 42)\r")
        terminal.until(b"\r\n42.0\r\n")
        terminal.until(b"(kleio) ")  # before, the terminal would take it for its own
        terminal.type(b"\x04")
        shown = terminal.finish()
        assert terminal.process.returncode == 0
    assert b"Traceback" not in shown
    assert shown.endswith(b"\r\n")
    with Terminal(*KLEIO, "pdb", trial[:7]) as terminal:
        terminal.until(b"(kleio) ")
        terminal.type(b"\x10\r")  # the line before, of the session before
        terminal.until(b"\r\n42.0\r\n")
        terminal.type(b"q\r")
        terminal.finish()
        assert terminal.process.returncode == 0
    (history,) = home.rglob("pdb_history")
    assert history.stat().st_mode & 0o777 == 0o600


def test_without_pandas_there_is_no_frame(trial, monkeypatch, tmp_path):
    from kleio.cli import pdb

    found = importlib.util.find_spec
    monkeypatch.setattr(pdb.importlib.util, "find_spec", lambda name: None if name == "pandas" else found(name))
    assert not pdb.Prompt({}).can_frame
