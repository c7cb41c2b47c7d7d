"""What was found + what is here + what was asked → what to do. Pure: the table of the design, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kleio.core.trial import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Action(str, Enum):
    """What a launch comes to."""

    NEW = "start a new trial"
    RESUME = "add an execution to the trial"
    SKIP_DONE = "do nothing: the work is done"
    REFUSE_RUNNING = "refuse: it runs elsewhere"
    WAIT = "wait until it has ended, then look again"
    SKIP_RUNNING = "do nothing: it runs elsewhere"
    REFUSE_CHANGED = "refuse: what it would resume from belongs to other code or another environment"
    BRANCH = "continue the trial, as far as it came, in a new trial with what is here"


@dataclass(frozen=True, slots=True)
class Found:
    """A trial of the same work, compared with what is here. ``resumable``: it has artifacts or declared checkpoints."""

    id: str
    status: Status
    live: bool
    same_code: bool
    same_environment: bool
    resumable: bool
    created: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What was asked for. ``if_running`` is refuse, wait or skip; the last two say which changes make a branch."""

    fresh: bool = False
    once: bool = False
    if_running: str = "refuse"
    allow_code_change: bool = False
    allow_environment_change: bool = False

    @property
    def branches(self) -> bool:
        """Whether any change may make a branch."""
        return self.allow_code_change or self.allow_environment_change

    def allows(self, one: Found) -> bool:
        """Whether all that changed since this trial may make a branch."""
        code = one.same_code or self.allow_code_change
        return code and (one.same_environment or self.allow_environment_change)


@dataclass(frozen=True, slots=True)
class Plan:
    """``trial`` is the one acted on, with BRANCH the parent; ``previous`` the one that a new trial follows. With ``explained``
    it has been said why.
    """

    action: Action
    trial: str | None = None
    previous: str | None = None
    explained: bool = False


_RUNNING = {"refuse": Action.REFUSE_RUNNING, "wait": Action.WAIT, "skip": Action.SKIP_RUNNING}


def decide(found: Sequence[Found], policy: Policy) -> Plan:
    """The row of the table that applies."""
    chosen = choose(found)
    if chosen is None:
        return Plan(Action.NEW)
    if policy.fresh:
        return Plan(Action.NEW, previous=chosen.id)
    if chosen.live:
        return Plan(_RUNNING[policy.if_running], chosen.id)
    same = chosen.same_code and chosen.same_environment
    if not same and policy.branches and policy.allows(chosen):
        return Plan(Action.BRANCH, chosen.id)
    if chosen.status is Status.COMPLETED:
        if same and policy.once:
            return Plan(Action.SKIP_DONE, chosen.id)
        return Plan(Action.NEW, previous=chosen.id)
    if same:
        return Plan(Action.RESUME, chosen.id)
    if chosen.resumable:
        return Plan(Action.REFUSE_CHANGED, chosen.id)
    return Plan(Action.NEW, previous=chosen.id)


def choose(found: Sequence[Found]) -> Found | None:
    """Among several trials: a live one, then one with the same code, then the newest."""
    return max(found, key=lambda one: (one.live, one.same_code, one.created, one.id), default=None)
