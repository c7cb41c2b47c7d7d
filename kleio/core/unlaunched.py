"""A run that nobody launched: a script without ``kleio`` before it that leaves a record of itself all the same.

What an offline launch would have put into its spool: the command, the code, who ran it. The process itself holds the spool's
lock, so that nothing ships it before its end; then the next kleio command does, or ``kleio sync``. No journal is contacted.
"""

from __future__ import annotations

import os
import time

from kleio.core import identity, plan
from kleio.core.config import IDENTITY_ENV, spool_root
from kleio.core.plan import Action
from kleio.core.reserving import Reserver
from kleio.core.spool import Spool, scratch
from kleio.core.survey import Survey
from kleio.core.trial import Ending, verdict
from kleio.core.waiting import entries_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.core.code import CodeVersion
    from kleio.core.config import Config
    from kleio.core.trial import Entry

LOOKED_AT = 300
"""Spools in which an earlier run of the same work is looked for, the newest: however many wait, a script starts at once."""


class _Nearby(Survey):
    """What the newest spools of this machine tell, looked at once."""

    nearby: list[Entry] | None = None

    def entries(self) -> list[Entry]:
        if self.nearby is None:
            self.nearby = entries_here(self.root, self.key, LOOKED_AT)
        return self.nearby


def record(config: Config, argv: Sequence[str], code: CodeVersion, execution: str) -> tuple[Spool, int]:
    """The spool of this process's run, and the descriptor that holds its lock. Raises KleioError and OSError.

    The rules are those of an offline launch, but nothing is refused: of what runs already, or was changed since, this is a
    trial of its own.
    """
    names = [*IDENTITY_ENV, *config["identity-env"]]
    root = spool_root(config)
    work = identity.work(
        argv, project=code.project, root=code.root, cwd=config.cwd, volatile=config["volatile"],
        variables={name: os.environ[name] for name in names if name in os.environ},
    )  # fmt: skip
    survey = _Nearby(None, root, config, code, work.key, argv[0], argv)
    entries = survey.entries()
    decision = plan.decide(survey.found(entries), plan.Policy(fresh=config["fresh"]))
    if decision.action not in (Action.NEW, Action.RESUME):
        decision = plan.Plan(Action.NEW, previous=decision.trial)
    found = next((one for one in entries if one.id == (decision.trial or decision.previous)), None)
    reserver = Reserver(config, argv, code, work.cwd, survey, execution, config.cwd, _say_nothing)
    reserved = reserver.reserve(decision, found)
    assert reserved is not None  # only a journal may know of somebody quicker
    os.close(reserved.recorder_lock)  # nothing is shipped from here
    return reserved.spool, reserved.lock


def end(spool: Spool, ending: Ending, reason: str | None = None, known: bool = True) -> None:
    """Note how the run ended, and why where an exit status does not say it, or is not ``known``. Raises OSError."""
    status, why = verdict(ending)
    code = ending.exit_code if known else None
    data = {"status": status.value, "exit_code": code, "signal": ending.signal, "reason": reason or why}
    spool.write("ending", {"time": time.time(), "data": data})


def discard(config: Config, execution: str) -> None:
    """Take away what was begun of a record that could not be made."""
    Spool(scratch_of(config, execution)).delete()


def scratch_of(config: Config, execution: str) -> str:
    """Where the code of a run is kept until its spool is made, which then is the same directory."""
    return scratch(spool_root(config), execution)


def _say_nothing(message: str) -> None:
    """A script that runs without kleio is told nothing of trials."""
