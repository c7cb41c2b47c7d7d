"""``kleio pdb [ID]``: Python's debugger as a prompt, with a trial at hand."""

from __future__ import annotations

import importlib.util
import inspect
import os
import pdb as debugger  # noqa: T100 - for those who ask for it
import re
import signal
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click

from kleio.cli import render
from kleio.cli.options import all_executions, reading
from kleio.cli.selecting import one_trial
from kleio.core.errors import in_words
from kleio.core.lookup import SHORT
from kleio.core.reading.journal import Journal
from kleio.core.reading.source import Source
from kleio.core.reading.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kleio.cli.options import Reading
    from kleio.core.trial import Entry

HISTORY = 1000
"""Lines of earlier sessions that are kept."""


@click.command()
@all_executions
@reading
@one_trial
def pdb(with_: Reading, entry: Entry, all_executions: bool) -> None:
    """Look at a trial from a prompt of Python's debugger, with trial, statistics, journal and, where pandas is, df: its
    statistics as a data frame. pp prints what is large, interact goes on as Python itself, q or Ctrl-D ends it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C gives up a line, not the session
    source = Source(with_.config, with_.journal)
    trial = Trial(source, entry, all_executions=all_executions)
    names = {"trial": trial, "statistics": trial.statistics, "journal": Journal(source)}
    prompt = Prompt(names)
    if prompt.is_typed and not with_.config["quiet"]:
        frame = ", df" if prompt.can_frame else ""
        render.complain(f"here are trial, statistics, journal{frame}; pp VALUE prints nicely, q ends")
    with _history(os.path.join(with_.config.directory("state"), "pdb_history")) if prompt.is_typed else nullcontext():
        prompt.ask(f"trial {entry.id[:SHORT]}")


class Prompt(debugger.Pdb):
    """The debugger, stopped in a module in which there is nothing but ``names``."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__(nosigint=True, readrc=False)
        self._names = names
        self.can_frame = importlib.util.find_spec("pandas") is not None
        self.is_typed = bool(sys.stdin and sys.stdin.isatty())
        self.use_rawinput = self.is_typed
        self.prompt = "(kleio) " if self.is_typed else ""

    def ask(self, name: str) -> None:
        """Until it is ended."""
        self._names |= {"__name__": name, "_ask": self._stopped}
        exec(compile("_ask()", f"<{name}>", "exec"), self._names)  # noqa: S102 - a frame of a module, whose names nest

    def _stopped(self) -> None:
        frame = inspect.currentframe()
        assert frame is not None
        self.reset()
        self.botframe = here = frame.f_back  # what is around it is of no interest
        del self._names["_ask"]
        self.interaction(here, None)

    def print_stack_entry(self, *_: Any) -> None:
        """Where it stopped says nothing here."""

    def precmd(self, line: str) -> str:
        """The frame is made when it is first spoken of: a million rows take a moment, and NumPy and pandas longer."""
        if self.can_frame and "df" not in self._names and re.search(r"\bdf\b|^\s*interact\b", line):
            try:
                self._names["df"] = self._names["statistics"].to_pandas()
            except Exception as error:  # noqa: BLE001 - said as all that goes wrong at the prompt
                self.error(f"there is no df: {in_words(error)}")
        return super().precmd(line)

    def do_EOF(self, _: str) -> bool:  # noqa: N802 - its name in pdb
        """End it, with the terminal's next words on a line of their own."""
        if self.is_typed:
            self.message("")
        return bool(self.do_quit(""))

    def _goes_on(self, _: str) -> None:
        """There is nothing to go on with."""
        self.error("no program runs here; q ends")


RUNNING = ("c", "cont", "continue", "s", "step", "n", "next", "unt", "until", "r", "return", "j", "jump", "run", "restart",
           "debug")  # fmt: skip
for _name in RUNNING:
    setattr(Prompt, f"do_{_name}", Prompt._goes_on)  # noqa: SLF001 - of this module


@contextmanager
def _history(path: str) -> Iterator[None]:
    """The lines of earlier sessions are there, and those of this one next time; where these cannot be kept they are not."""
    import readline  # only where somebody types

    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        with suppress(OSError):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            readline.set_history_length(HISTORY)
            readline.write_history_file(path)
