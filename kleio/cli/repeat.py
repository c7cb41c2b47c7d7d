"""``kleio repeat [--verify] [ID]``."""

from __future__ import annotations

import signal
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from kleio.cli import render_repeat
from kleio.cli.launching import launch
from kleio.cli.options import choosing_options, given, run_options, suggested
from kleio.cli.selecting import signals_kept, taken
from kleio.core import inputs
from kleio.core.codedocument import recorded_code
from kleio.core.config import Config
from kleio.core.errors import KleioError
from kleio.core.journal import open_journal
from kleio.core.lookup import SHORT, files_written, resolve
from kleio.core.reproduction import Tolerance, repetition_of, verify
from kleio.core.restore import original_root

if TYPE_CHECKING:
    from kleio.core.journal.base import Journal
    from kleio.core.launcher import Outcome
    from kleio.core.reproduction import Verdict
    from kleio.core.trial import Entry

DECIDED = {"project", "code", "fresh", "once", "if_running", "offline", "require_clean", "allow_code_change",
           "allow_env_change", "allow_any_change"}  # fmt: skip
"""Options of a launch that a repetition leaves no choice in."""
ENDED_BY_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(
    params=[
        *(option for option in run_options() if option.name not in DECIDED),
        click.Option(["--verify"], is_flag=True, help="compare statistics and artifacts afterwards; status 1 if they differ"),
        click.Option(["--rtol"], metavar="X", type=click.FloatRange(0), default=0.0, help="relative difference that is none"),
        click.Option(["--atol"], metavar="X", type=click.FloatRange(0), default=0.0, help="absolute difference that is none"),
        click.Option(["--ignore"], multiple=True, metavar="KEY", help="a statistic or artifact that may differ (a pattern)"),
        click.Option(["--json"], is_flag=True, help="print the comparison as one JSON document, and all else on stderr"),
        *choosing_options(),
        click.Argument(["trial"], metavar="[ID]", required=False, shell_complete=suggested("ids")),
    ]
)
@click.pass_context
def repeat(
    ctx: click.Context, /, trial: str | None, verify: bool, rtol: float, atol: float, ignore: tuple[str, ...], json: bool,
    **rest: Any,
) -> Outcome | int:
    """Run a trial again, from its own code and with the inputs that are here, as a new trial."""
    options = given(ctx) | {"code": "recorded", "fresh": True}
    config = Config(options)
    quiet = bool(config["quiet"])
    with signals_kept() as mask:
        journal = _journal(options)
        original = taken(rest).one(journal, config, trial)
        if not quiet:
            _say_changed_inputs(journal, original, config["patience"])
        journal.close()
    since = time.time()
    with render_repeat.stdout_on_stderr() if json else nullcontext():
        outcome = launch(options, (), original.id, repeat=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # the launcher leaves them blocked
    if not (verify or json) or outcome.signal in ENDED_BY_US:
        return outcome
    verdict = _verdict(_journal(options), original.id, since, Tolerance(rtol, atol, ignore))
    if json:
        render_repeat.as_document(verdict)
    elif not quiet:
        render_repeat.verdict(verdict)
    return 0 if verdict.reproduced else 1


def _verdict(journal: Journal, trial: str, since: float, tolerance: Tolerance) -> Verdict:
    original = resolve(journal, trial)
    repetition = repetition_of(journal, original, since)
    if repetition is None:
        raise KleioError("the repetition is not in the journal yet, so it cannot be compared; ship it with: kleio sync")
    return verify(journal, original, repetition, tolerance)


def _journal(options: dict[str, Any]) -> Journal:
    config = Config(options)
    return open_journal(config["journal"], timeout=config["timeout"], writing=False)


def _say_changed_inputs(journal: Journal, entry: Entry, patience: float) -> None:
    """Inputs are linked as they are now, which need not be as they were."""
    root, document = original_root(entry), recorded_code(journal, entry.trial.code.get("document"))
    if not root or not document or not entry.executions:
        return
    wrote = [file[0] for file in files_written(journal, entry)]
    paths = inputs.beside(root, document, patience)
    changed = inputs.changed(root, paths, entry.executions[0].started, wrote, patience)
    render_repeat.changed_inputs(entry.id[:SHORT], changed)
