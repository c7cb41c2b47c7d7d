"""The table of the design, row by row."""

from __future__ import annotations

import itertools

import pytest

from kleio.core.plan import Action, Found, Plan, Policy, decide
from kleio.core.trial import Status

UNFINISHED = [s for s in Status if s is not Status.COMPLETED]


def found(id="a", status=Status.BROKEN, live=False, code=True, environment=True, resumable=False, created=1.0):
    return Found(id, status, live, code, environment, resumable, created)


CHANGES = [(False, True), (True, False), (False, False)]


def test_nothing_found_is_a_new_trial():
    assert decide([], Policy()) == Plan(Action.NEW)


@pytest.mark.parametrize(("code", "environment"), [(True, True), *CHANGES])
@pytest.mark.parametrize(
    ("if_running", "action"),
    [("refuse", Action.REFUSE_RUNNING), ("wait", Action.WAIT), ("skip", Action.SKIP_RUNNING)],
)
def test_a_live_trial_is_left_alone_whatever_changed(code, environment, if_running, action):
    live = found(status=Status.RUNNING, live=True, code=code, environment=environment)
    assert decide([live], Policy(if_running=if_running)) == Plan(action, "a")


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("status", UNFINISHED)
def test_an_unfinished_trial_of_the_same_code_is_resumed(status, resumable):
    assert decide([found(status=status, resumable=resumable)], Policy()) == Plan(Action.RESUME, "a")


@pytest.mark.parametrize(("code", "environment"), CHANGES)
@pytest.mark.parametrize("status", UNFINISHED)
def test_changed_with_nothing_to_resume_from_starts_anew(status, code, environment):
    one = found(status=status, code=code, environment=environment)
    assert decide([one], Policy()) == Plan(Action.NEW, previous="a")


@pytest.mark.parametrize(("code", "environment"), CHANGES)
@pytest.mark.parametrize("status", UNFINISHED)
def test_changed_with_artifacts_is_refused(status, code, environment):
    one = found(status=status, code=code, environment=environment, resumable=True)
    assert decide([one], Policy()) == Plan(Action.REFUSE_CHANGED, "a")
    assert decide([one], Policy(fresh=True)) == Plan(Action.NEW, previous="a")


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize(("code", "environment"), [(True, True), *CHANGES])
def test_completed_runs_again_unless_once_was_asked(once, code, environment):
    one = found(status=Status.COMPLETED, code=code, environment=environment)
    same = code and environment
    expected = Plan(Action.SKIP_DONE, "a") if once and same else Plan(Action.NEW, previous="a")
    assert decide([one], Policy(once=once)) == expected


def test_among_several_a_live_one_then_the_same_code_then_the_newest():
    live = found("live", Status.RUNNING, live=True, code=False, created=1)
    same = found("same", code=True, created=2)
    older = found("older", code=True, created=1)
    newest = found("newest", code=False, created=9)
    for order in itertools.permutations([live, same, older, newest]):
        assert decide(order, Policy()).trial == "live"
    for order in itertools.permutations([same, older, newest]):
        assert decide(order, Policy()) == Plan(Action.RESUME, "same")
    assert decide([newest, found("old", code=False, created=3)], Policy()).previous == "newest"


def test_fresh_starts_beside_a_live_one():
    live = found(status=Status.RUNNING, live=True)
    assert decide([live], Policy(fresh=True)) == Plan(Action.NEW, previous="a")
