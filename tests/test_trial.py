from __future__ import annotations

import itertools

import pytest

from kleio.core.trial import Ending, Entry, Event, Status, Trial, executions, fold, verdict

TRIAL = Trial("a" * 32, "b" * 32, "p", ("x",), ".", 1.0, params={"lr": 1}, previous="c" * 32)


def event(kind, time, token, execution, **data):
    return Event(f"{kind}-{execution}-{time}", kind, time, token, execution, data)


def test_a_trial_reads_back_and_passes_over_what_it_does_not_know():
    assert Trial.from_dict(TRIAL.as_dict() | {"added in 2031": 1}) == TRIAL


HISTORY = [
    event("reserved", 1, 1, "one", host="h1"),
    event("running", 2, 1, "one"),
    event("failover", 60, 1, "one"),
    event("reserved", 61, 2, "two", host="h2"),
    event("ended", 99, 1, "one", status="completed", exit_code=0),  # late: it was only asleep
]


def test_the_status_does_not_depend_on_the_order_of_arrival():
    for order in itertools.permutations(HISTORY):
        assert fold(order) is Status.RESERVED


def test_a_late_end_closes_its_own_execution_only():
    one, two = executions(HISTORY, live="two")
    assert (one.status, one.exit_code, one.host) == (Status.COMPLETED, 0, "h1")
    assert (two.status, two.number) == (Status.RESERVED, 2)
    entry = Entry(TRIAL, tuple(HISTORY), holder="two", live=True, token=2)
    assert entry.status is Status.RESERVED
    done = [*HISTORY, event("ended", 70, 2, "two", status="broken", exit_code=1)]
    assert fold(done) is Status.BROKEN


def test_a_silent_holder_reads_as_failover():
    entry = Entry(TRIAL, tuple(HISTORY[:2]), holder="one", live=False, token=1)
    assert entry.status is Status.FAILOVER
    assert entry.executions[0].status is Status.FAILOVER


def test_annotations_unite():
    said = (
        Event("1", "annotated", 1, 1, "e", {"tags": ["a", "b"], "name": "first"}),
        Event("2", "annotated", 2, 2, "f", {"tags": ["b", "c"], "name": "second", "note": "n"}),
    )
    for order in itertools.permutations(said):
        entry = Entry(TRIAL, order)
        assert (entry.tags, entry.name, entry.note) == (("a", "b", "c"), "second", "n")


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Ending(0), Status.COMPLETED),
        (Ending(1), Status.BROKEN),
        (Ending(None, "SIGSEGV"), Status.BROKEN),
        (Ending(None, "SIGINT", (("SIGINT", 0.1),)), Status.SUSPENDED),
        (Ending(130, None, (("SIGINT", 0.1),)), Status.SUSPENDED),
        (Ending(0, None, (("SIGINT", 0.1),)), Status.COMPLETED),
        (Ending(0, None, (("SIGTERM", 0.1),)), Status.INTERRUPTED),
        (Ending(None, "SIGTERM", (("SIGTERM", 9.0),)), Status.INTERRUPTED),
        (Ending(None, "SIGTERM"), Status.BROKEN),
        (Ending(None, "SIGUSR1", (("SIGUSR1", 500.0),)), Status.INTERRUPTED),
        (Ending(1, None, (("SIGUSR2", 1.0),)), Status.INTERRUPTED),
        (Ending(1, None, (("SIGHUP", 500.0),)), Status.BROKEN),
        (Ending(0, None, (("SIGUSR1", 1.0),)), Status.COMPLETED),
    ],
)
def test_verdict(ending, status):
    assert verdict(ending)[0] is status


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        *((Ending(0, None, ((name, 1.0),)), Status.COMPLETED) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")),
        (Ending(0, None, (("SIGINT", 9.0), ("SIGTERM", 1.0))), Status.COMPLETED),
        (Ending(0), Status.COMPLETED),
        (Ending(1), Status.BROKEN),
        (Ending(None, "SIGSEGV"), Status.BROKEN),
        (Ending(1, None, (("SIGTERM", 1.0),)), Status.INTERRUPTED),
        (Ending(None, "SIGTERM", (("SIGTERM", 1.0),)), Status.INTERRUPTED),
        (Ending(1, None, (("SIGINT", 1.0),)), Status.SUSPENDED),
        (Ending(None, "SIGUSR1", (("SIGUSR1", 1.0),)), Status.INTERRUPTED),
    ],
)
def test_verdict_of_a_script_that_said_it_was_complete(ending, status):
    assert verdict(ending, complete=True)[0] is status


def test_a_script_is_taken_at_its_word_only_where_that_makes_a_difference():
    assert verdict(Ending(0), complete=True) == verdict(Ending(0))
    said = "exit status 0; SIGINT, SIGTERM came, and the script said that it was complete"
    assert verdict(Ending(0, None, (("SIGTERM", 1.0), ("SIGINT", 0.5))), complete=True)[1] == said
