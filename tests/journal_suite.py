"""Every sentence of ``kleio/core/journal/base.py``, held against each journal.

A test module for a journal subclasses :class:`JournalContract` and gives it the fixture ``uri``, the address of a
store that nobody has used. No test sleeps: a lease of zero or less has expired by the store's clock at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import journal_workers
import pytest
from commands import until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from older import make_old
from processes import SECONDS

from kleio.core.errors import JournalError, Scrubbed
from kleio.core.journal import open_journal, upgrade
from kleio.core.journal.base import SCHEMA, Segment, Selection, Summary, Trace, contiguous, findable, storable
from kleio.core.journal.filters import EVERYTHING
from kleio.core.journal.replacement import Replacement
from kleio.core.trial import Event, Status, Trial, fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = {
    "nul\0key": "nul\0value",
    "$set": {"$inc": "$$NOW"},
    "dotted.key": [{"a.b": 1}],
    "": "no name",
    "surrogate\udc80": "\ud800",
    "big": [2**63, -(2**63) - 1, 2**64, 10**30],
    "infinite": [math.inf, -math.inf],
    "nothing": None,
}

fuzz = settings(
    max_examples=25,
    deadline=None,
    database=None,
    # The journal is the same in all examples, each of which makes a trial of its own; two classes inherit the test. A busy
    # machine is no failure.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow],
)


def a_trial(**said) -> Trial:
    known = {
        "id": uuid4().hex, "work_key": "work", "project": "project", "command": ("python", "train.py"), "cwd": ".",
        "created": 1700000000.25,
    }  # fmt: skip
    return Trial(**(known | said))


def read(journal, trial: str, *streams: str, after=None) -> dict[tuple[str, str, str], bytes]:
    """What a reader sees of each stream, each offset taken once. A gap is a failure."""
    found: dict[tuple[str, str, str], bytearray] = {}
    for one in journal.segments(trial, streams, after):
        own = found.setdefault((one.execution, one.writer, one.stream), bytearray())
        assert one.start <= len(own), "bytes are missing"
        own += one.payload[max(0, len(own) - one.start) :]
    return {key: bytes(own) for key, own in found.items()}


class Crowd:
    """Several processes that begin together."""

    def __init__(self, *commands: tuple[object, ...]) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, journal_workers.__file__, *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for command in commands
        ]

    def begin(self) -> Crowd:
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        return self

    def answers(self) -> list:
        return [json.loads(process.stdout.readline()) for process in self.processes]

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


class JournalContract:
    @pytest.fixture
    def opened(self, uri):
        """Opens the journal, as often as asked; closes all of them."""
        journals = []

        def opening(**how):
            journals.append(open_journal(uri, **how))
            return journals[-1]

        yield opening
        for journal in journals:
            journal.close()

    @pytest.fixture
    def journal(self, opened):
        return opened()

    @pytest.fixture
    def trial(self, journal):
        trial = a_trial()
        journal.create(trial)
        return trial

    # -- trials --------------------------------------------------------------------------------------------------

    def test_a_trial_comes_back_as_it_was(self, journal, opened):
        trial = a_trial(
            params=AWKWARD, param_sources={"lr": "default"}, code={"commit": "abc"}, parent="p" * 32, cut={"end": 3},
            previous="q" * 32, within="r" * 32, redacted=True,
        )  # fmt: skip
        journal.create(trial)
        for other in (journal, opened(), opened(writing=False)):
            entry = other.entry(trial.id)
            assert entry.trial == trial
            assert (entry.status, entry.holder, entry.live, entry.token) == (Status.NEW, None, False, 0)

    def test_create_changes_nothing_the_second_time(self, journal, trial):
        journal.claim(trial.id, "e1", {}, 600)
        journal.create(a_trial(id=trial.id, project="another"))
        entry = journal.entry(trial.id)
        assert (entry.trial.project, entry.status, entry.holder) == ("project", Status.RESERVED, "e1")

    def test_an_unknown_trial(self, journal):
        assert journal.entry("0" * 32) is None
        assert journal.renew("0" * 32, "e", 600) is False
        with pytest.raises(JournalError, match=r"there is no trial 0+ to reserve"):
            journal.claim("0" * 32, "e", {}, 600)
        with pytest.raises(JournalError, match=r"there is no trial 0+ to record"):
            journal.record("0" * 32, Event("x", "annotated", 1.0))
        assert journal.entries(Selection()) == []

    # -- reservations --------------------------------------------------------------------------------------------

    def test_a_claim(self, journal, trial):
        held = journal.claim(trial.id, "e1", {"host": "$here", **AWKWARD}, 600)
        assert (held.trial, held.execution, held.token) == (trial.id, "e1", 1)
        assert held.expires - held.now == pytest.approx(600)
        assert held.now == pytest.approx(time.time(), abs=600)
        entry = journal.entry(trial.id)
        assert (entry.status, entry.holder, entry.live, entry.token) == (Status.RESERVED, "e1", True, 1)
        (event,) = entry.events
        assert (event.id, event.kind, event.token, event.execution) == ("reserved-e1", "reserved", 1, "e1")
        assert event.time == pytest.approx(held.now, abs=0.01)
        assert event.data == {"host": "$here", **AWKWARD}

    def test_a_held_trial_is_refused(self, journal, trial):
        journal.claim(trial.id, "e1", {}, 600)
        before = journal.entry(trial.id)
        assert journal.claim(trial.id, "e2", {}, 600) is None
        assert journal.claim(trial.id, "e2", {}, 600, dead="e3") is None
        assert journal.entry(trial.id) == before

    def test_a_lost_reply_does_not_refuse_itself(self, journal, trial):
        first = journal.claim(trial.id, "e1", {"pid": 1}, -5)  # even when it has expired meanwhile
        before = journal.entry(trial.id).events
        again = journal.claim(trial.id, "e1", {"pid": 2}, 600)
        assert again.token == first.token == 1
        assert again.expires > again.now
        assert again.expires > first.expires
        entry = journal.entry(trial.id)
        assert entry.events == before
        assert entry.live

    @pytest.mark.parametrize("lease", [0, -1, -1e6])
    def test_an_expired_reservation_can_be_claimed(self, journal, trial, lease):
        journal.claim(trial.id, "e1", {}, lease)
        entry = journal.entry(trial.id)
        assert (entry.status, entry.holder, entry.live) == (Status.FAILOVER, "e1", False)
        held = journal.claim(trial.id, "e2", {}, 600)
        assert held.token == 2
        self._assert_superseded(journal.entry(trial.id))

    def test_the_reservation_of_a_dead_holder_can_be_claimed(self, journal, trial):
        journal.claim(trial.id, "e1", {}, 600)
        assert journal.claim(trial.id, "e2", {}, 600, dead="e1").token == 2
        self._assert_superseded(journal.entry(trial.id))

    def test_a_claim_holds_only_for_what_its_caller_has_seen(self, journal, trial):
        assert journal.claim(trial.id, "e1", {}, -1, seen="something") is None
        assert journal.claim(trial.id, "e1", {}, -1, seen="").token == 1
        assert journal.claim(trial.id, "e1", {}, -1, seen="").token == 1  # the reply was lost
        assert journal.claim(trial.id, "e2", {}, 600, seen="") is None  # somebody had it meanwhile
        assert journal.claim(trial.id, "e0", {}, -1, seen=journal.entry(trial.id).decided).token == 2
        seen = journal.entry(trial.id).decided
        journal.record(trial.id, Event("ended-e0", "ended", time.time(), 2, "e0", {"status": "completed"}))
        assert journal.claim(trial.id, "e2", {}, 600, dead="e0", seen=seen) is None  # it was done, not dead
        assert journal.claim(trial.id, "e2", {}, 600, seen=journal.entry(trial.id).decided).token == 3

    def _assert_superseded(self, entry):
        assert (entry.status, entry.holder, entry.token) == (Status.RESERVED, "e2", 2)
        assert sorted((event.id, event.kind, event.token, event.execution) for event in entry.events) == [
            ("failover-e1", "failover", 1, "e1"),
            ("reserved-e1", "reserved", 1, "e1"),
            ("reserved-e2", "reserved", 2, "e2"),
        ]
        assert [one.status for one in entry.executions] == [Status.FAILOVER, Status.RESERVED]

    def test_an_execution_has_one_reservation_in_its_life(self, journal, trial):
        journal.claim(trial.id, "e1", {}, -1)
        journal.claim(trial.id, "e2", {}, -1)
        assert journal.claim(trial.id, "e1", {}, 600) is None  # it lost it
        journal.record(trial.id, Event("end", "ended", 2.0, 2, "e2", {"status": "broken"}))
        before = journal.entry(trial.id)
        for execution in ("e1", "e2"):  # which gave it back
            assert journal.claim(trial.id, execution, {}, 600) is None
            assert journal.claim(trial.id, execution, {}, 600, dead="e2") is None
        assert journal.entry(trial.id) == before
        assert journal.claim(trial.id, "e3", {}, 600).token == 3

    def test_a_failover_that_is_known_is_not_recorded_again(self, journal, trial):
        journal.record(trial.id, Event("failover-e1", "failover", 1.0, 0, "e1"))
        journal.claim(trial.id, "e1", {}, -1)
        journal.claim(trial.id, "e2", {}, 600)
        ids = [event.id for event in journal.entry(trial.id).events]
        assert sorted(ids) == ["failover-e1", "reserved-e1", "reserved-e2"]

    def test_leases_go_by_the_clock_of_the_store(self, journal, trial, monkeypatch):
        real = time.time()
        for wrong in (0.0, 4e9):
            monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
            held = journal.claim(trial.id, "e1", {}, 600)
            assert held.now == pytest.approx(real, abs=600)
            assert journal.claim(trial.id, "e2", {}, 600) is None
            assert journal.entry(trial.id).live

    def test_renewing(self, journal, trial):
        journal.claim(trial.id, "e1", {}, 0)
        assert journal.entry(trial.id).left <= 0
        assert journal.renew(trial.id, "e1", 600)  # expired, but nobody has claimed it since
        assert journal.entry(trial.id).live
        assert 0 < journal.entry(trial.id).left <= 600
        assert journal.claim(trial.id, "e2", {}, 600) is None
        assert journal.renew(trial.id, "e1", -1)
        assert not journal.entry(trial.id).live
        assert not journal.renew(trial.id, "e2", 600)
        assert journal.claim(trial.id, "e2", {}, 600).token == 2
        assert not journal.renew(trial.id, "e1", 600)
        assert journal.entry(trial.id).holder == "e2"

    def test_the_end_of_the_holder_gives_the_reservation_back(self, journal, trial):
        token = journal.claim(trial.id, "e1", {}, 600).token
        journal.record(trial.id, Event("end", "ended", 2.0, token, "e1", {"status": "completed", "exit_code": 0}))
        entry = journal.entry(trial.id)
        assert (entry.status, entry.holder, entry.live, entry.token) == (Status.COMPLETED, None, False, 1)
        assert not journal.renew(trial.id, "e1", 600)
        assert journal.claim(trial.id, "e2", {}, 600).token == 2
        kinds = [event.kind for event in journal.entry(trial.id).events]
        assert sorted(kinds) == ["ended", "reserved", "reserved"]

    def test_a_late_owner_closes_only_its_own_execution(self, journal, trial):
        journal.claim(trial.id, "e1", {}, -1)
        journal.record(trial.id, Event("r1", "running", 1.0, 1, "e1"))
        journal.claim(trial.id, "e2", {}, 600)
        journal.record(trial.id, Event("r2", "running", 2.0, 2, "e2"))
        late = {"status": "broken", "exit_code": 3}
        journal.record(trial.id, Event("end1", "ended", 9e9, 1, "e1", late))
        entry = journal.entry(trial.id)
        assert (entry.status, entry.holder, entry.live) == (Status.RUNNING, "e2", True)
        first, second = entry.executions
        assert (first.status, first.exit_code, first.ended) == (Status.BROKEN, 3, 9e9)
        assert (second.status, second.ended) == (Status.RUNNING, None)
        assert journal.counts(Selection())[0] == {"running": 1}

    def test_a_late_end_overrules_an_inferred_failover(self, journal, trial):
        journal.claim(trial.id, "e1", {}, -1)
        journal.record(trial.id, Event("f", "failover", 5.0, 1, "e1"))
        assert journal.entry(trial.id).holder is None
        journal.record(trial.id, Event("end", "ended", 4.0, 1, "e1", {"status": "completed"}))
        assert journal.entry(trial.id).status == Status.COMPLETED
        assert journal.counts(Selection())[0] == {"completed": 1}

    # -- events --------------------------------------------------------------------------------------------------

    def test_an_event_is_recorded_once(self, journal, trial):
        event = Event("id", "annotated", 1.5, data={"tags": ["a"], "note": "n", **AWKWARD})
        for _ in range(3):
            journal.record(trial.id, event)
        journal.record(trial.id, Event("id", "ended", 9.0, 9, "e", {"status": "broken"}))
        entry = journal.entry(trial.id)
        assert entry.events == (event,)
        assert (entry.tags, entry.note, entry.status) == (("a",), "n", Status.NEW)

    EVENTS = (
        Event("run1", "running", 10.0, 1, "e1"),
        Event("end1", "ended", 30.0, 1, "e1", {"status": "suspended", "signal": "SIGINT"}),
        Event("run2", "running", 20.0, 2, "e2"),
        Event("silent2", "failover", 99.0, 2, "e2"),
        Event("end2", "ended", 21.0, 2, "e2", {"status": "broken", "exit_code": 1}),
        Event("over", "switchover", 50.0, 2),
        Event("seen", "acknowledged", 50.0, 2),
        Event("tags1", "annotated", 5.0, data={"tags": ["b", "a"], "name": "first"}),
        Event("tags2", "annotated", 6.0, data={"tags": ["c", "a"], "name": "second"}),
    )

    @fuzz
    @given(st.lists(st.sampled_from(EVENTS), max_size=14))
    def test_events_mean_the_same_in_any_order(self, journal, events):
        trial = a_trial(work_key=uuid4().hex)
        journal.create(trial)
        for event in events:
            journal.record(trial.id, event)
        (entry,) = journal.entries(Selection(work_key=trial.work_key))
        assert sorted(event.id for event in entry.events) == sorted({event.id for event in events})
        read_as = Status.FAILOVER if fold(events) == Status.RUNNING else fold(events)
        assert entry.status == read_as
        statuses, tags = journal.counts(Selection(work_key=trial.work_key))
        assert statuses == {read_as.value: 1}
        assert tags == dict.fromkeys(sorted(entry.tags), 1)
        in_order = a_trial()
        journal.create(in_order)
        for event in sorted(events, key=lambda event: event.id):
            journal.record(in_order.id, event)
        other = journal.entry(in_order.id)
        seen = [(one.executions, one.tags, one.name, one.status) for one in (entry, other)]
        assert seen[0] == seen[1]

    # -- finding -------------------------------------------------------------------------------------------------

    def test_prefixes(self, journal):
        ids = sorted(["ab" + "0" * 30, "ab" + "f" * 30, "ac" + "0" * 30, "f" * 32])
        for trial in reversed(ids):
            journal.create(a_trial(id=trial))
        assert journal.resolve("ab") == ids[:2]
        assert journal.resolve("ab", limit=1) == ids[:1]
        assert journal.resolve("") == ids
        assert journal.resolve("f" * 32) == ["f" * 32]
        assert journal.resolve("abab") == journal.resolve("zz") == journal.resolve(".*") == []

    def test_newest_first_and_then_by_id(self, journal):
        ids = [letter * 32 for letter in "abcd"]
        for trial, created in zip(ids, (3.0, 1.0, 3.0, 2.0), strict=True):
            journal.create(a_trial(id=trial, created=created))
        newest = [entry.id[0] for entry in journal.entries(Selection())]
        assert newest == ["c", "a", "d", "b"]
        assert [entry.id[0] for entry in journal.entries(Selection(), limit=2)] == ["c", "a"]
        assert journal.entries(Selection(), limit=0) == []

    def test_selections(self, journal):
        for letter, project, work in (("a", "p", "u"), ("b", "p", "v"), ("c", "q", "v"), ("d", "q", "v")):
            journal.create(a_trial(id=letter * 32, project=project, work_key=work))
        for letter, tags in (("a", ["x", "$y"]), ("b", ["x"]), ("c", ["$y", "x", "\udc80"])):
            journal.record(letter * 32, Event(letter, "annotated", 1.0, data={"tags": tags}))
        journal.claim("a" * 32, "ea", {}, 600)
        journal.claim("b" * 32, "eb", {}, -1)
        journal.claim("c" * 32, "ec", {}, 600)
        journal.record("c" * 32, Event("end", "ended", 1.0, 1, "ec", {"status": "completed"}))

        def found(**how):
            selection = Selection(**how)
            letters = "".join(sorted(entry.id[0] for entry in journal.entries(selection)))
            assert sum(journal.counts(selection)[0].values()) == len(letters)
            return letters

        assert found() == "abcd"
        assert (found(project="p"), found(project="p", work_key="v"), found(project="$p")) == ("ab", "b", "")
        assert (found(statuses=("reserved",)), found(statuses=("failover",))) == ("a", "b")
        assert (found(statuses=("completed", "new")), found(statuses=("running",))) == ("cd", "")
        assert (found(tags=("x",)), found(tags=("x", "$y")), found(tags=("\udc80",))) == ("abc", "ac", "c")
        assert found(project="q", work_key="v", statuses=("completed",), tags=("x",)) == "c"
        assert (found(statuses=("running", "reserved")), found(statuses=("reserved", "failover"))) == ("a", "ab")
        statuses, tags = journal.counts(Selection())
        assert statuses == {"completed": 1, "failover": 1, "new": 1, "reserved": 1}
        assert list(statuses) == sorted(statuses)
        assert tags == {"$y": 2, "x": 3, storable("\udc80"): 1}
        assert journal.counts(Selection(project="p")) == ({"failover": 1, "reserved": 1}, {"$y": 1, "x": 2})

    def test_children(self, journal):
        for letter, parent in (("a", None), ("b", "a" * 32), ("c", "a" * 32), ("d", "b" * 32), ("e", "$odd\udc80\0")):
            for _ in range(2):
                journal.create(a_trial(id=letter * 32, parent=parent, project=f"of {letter}"))

        def found(parent, **how):
            return "".join(sorted(entry.id[0] for entry in journal.entries(Selection(parent=parent, **how))))

        assert (found("a" * 32), found("b" * 32), found("c" * 32), found("$odd\udc80\0")) == ("bc", "d", "", "e")
        assert (found("a" * 32, project="of b"), found("a" * 32, statuses=("completed",)), found("")) == ("b", "", "")
        assert journal.counts(Selection(parent="a" * 32)) == ({"new": 2}, {})

    def test_a_project_named_by_no_unicode(self, journal):
        trial = a_trial(project="/home/\udcff/x")
        journal.create(trial)
        assert journal.entries(Selection(project=trial.project))[0].trial == trial

    # -- streams -------------------------------------------------------------------------------------------------

    def test_segments_in_order(self, journal):
        keys = [(e, w, s, n) for e in ("e1", "e2") for w in ("a", "b") for s in ("stderr", "stdout") for n in (0, 9, 100)]
        written = [Segment("t", e, w, s, n, n + 9, bytes(range(n, n + 9))) for e, w, s, n in keys]
        shuffled = random.Random(1).sample(written, len(written))
        journal.append(shuffled[:7])
        journal.append(shuffled[7:])
        journal.append([Segment("u", "e1", "a", "stdout", 0, 1, b"x")])
        assert list(journal.segments("t", ["stdout", "stderr"])) == written
        assert list(journal.segments("t", ["stderr"])) == [one for one in written if one.stream == "stderr"]
        assert list(journal.segments("t", [])) == list(journal.segments("none", ["stdout"])) == []
        journal.append([])

    def test_segments_after_an_offset(self, journal):
        pieces = [Segment("t", "e", "w", "out", start, start + 10, bytes(10)) for start in range(0, 50, 10)]
        journal.append([*pieces, Segment("t", "e", "v", "out", 0, 5, bytes(5))])

        def starts(**after):
            found = journal.segments("t", ["out"], {("e", writer, "out"): end for writer, end in after.items()})
            return [(one.writer, one.start) for one in found]

        assert starts(v=5) == [("w", start) for start in range(0, 50, 10)]
        assert starts(v=5, w=30) == [("w", 30), ("w", 40)]
        assert starts(v=4, w=39) == [("v", 0), ("w", 30), ("w", 40)]
        assert starts(v=5, w=50) == []
        assert starts(x=50, w=50) == [("v", 0)]

    def test_segments_until_an_offset(self, journal):
        pieces = [Segment("t", "e", "w", "out", start, start + 10, bytes(10)) for start in range(0, 50, 10)]
        places = (("e", "v", "out"), ("f", "w", "out"), ("e", "w", "err"))
        others = [Segment("t", *place, 0, 5, bytes(5)) for place in places]
        journal.append([*pieces, *others])

        def found(until, after=None):
            segments = journal.segments("t", ["out", "err"], after, until=until)
            return [(one.execution, one.writer, one.stream, one.start) for one in segments]

        def starts(*at):
            return [("e", "w", "out", start) for start in at]

        assert found({("e", "w", "out"): 30}) == starts(0, 10, 20)
        assert found({("e", "w", "out"): 31}) == starts(0, 10, 20, 30)
        assert found({("e", "w", "out"): 1000, ("f", "w", "out"): 0, ("x", "y", "z"): 9}) == starts(0, 10, 20, 30, 40)
        assert found({("e", "w", "out"): 31}, {("e", "w", "out"): 10}) == starts(10, 20, 30)
        assert found({("e", "w", "out"): 0}) == found({}) == []
        several = found({("f", "w", "out"): 1, ("e", "v", "out"): 5, ("e", "w", "err"): 9})
        assert several == [("e", "v", "out", 0), ("e", "w", "err", 0), ("f", "w", "out", 0)]

    def test_the_longer_segment_is_kept(self, journal):
        long = Segment("t", "e", "w", "out", 0, 6, b"abcdef")
        short = Segment("t", "e", "w", "out", 0, 3, b"abc")
        for segments in ([short], [long], [short], [short, long], [long, short]):
            journal.append(segments)
        assert list(journal.segments("t", ["out"])) == [long]

    def test_the_longer_of_two_that_come_together_is_kept(self, journal):
        together = threading.Barrier(4)

        def put(length):
            for start in range(0, 1000, 10):
                together.wait(timeout=600)
                journal.append([Segment("t", "e", "w", "out", start, start + length, bytes(length))])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, (1, 4, 7, 10)))
        assert [one.end for one in journal.segments("t", ["out"])] == list(range(10, 1001, 10))

    def test_dropped_bytes(self, journal):
        dropped = Segment("t", "e", "w", "out", 3, 9_000_000_000, b"", dropped=True)
        journal.append([Segment("t", "e", "w", "out", 0, 3, b"abc"), dropped])
        assert list(journal.segments("t", ["out"]))[1] == dropped
        assert journal.extents("e", "t") == {("w", "out"): 9_000_000_000}

    def test_extents_end_at_the_first_gap(self, journal):
        def put(writer, *ranges):
            journal.append([Segment("t", "e", writer, "out", start, end, bytes(end - start)) for start, end in ranges])

        put("whole", (0, 5), (5, 9), (3, 7))
        put("gap", (0, 5), (6, 9))
        put("late", (1, 5))
        journal.append([Segment("t", "other", "w", "out", 0, 5, bytes(5))])
        assert journal.extents("e", "t") == {("whole", "out"): 9, ("gap", "out"): 5, ("late", "out"): 0}
        assert journal.extents("none", "t") == journal.extents("e", "none") == {}

    CONTENT = random.Random(7).randbytes(200)

    @fuzz
    @given(
        st.lists(st.tuples(st.sets(st.integers(1, 199), max_size=6), st.randoms(use_true_random=False)), min_size=1, max_size=4)
    )
    def test_batches_cut_at_other_offsets(self, journal, batches):
        trial = uuid4().hex
        for cuts, order in batches:
            bounds = [0, *sorted(cuts), 200]
            pieces = [
                Segment(trial, "e", "w", "out", start, end, self.CONTENT[start:end])
                for start, end in pairwise(bounds)
            ]
            order.shuffle(pieces)
            for piece in pieces:
                journal.append([piece])
        assert read(journal, trial, "out") == {("e", "w", "out"): self.CONTENT}
        assert journal.extents("e", trial) == {("w", "out"): 200}

    def test_recovery_goes_on_from_the_contiguous_end(self, journal, trial):
        content = random.Random(3).randbytes(100_000)
        lost = (5, 6, 11)
        for number, start in enumerate(range(0, 100_000, 7_000)):
            if number not in lost:
                end = min(start + 7_000, 100_000)
                journal.append([Segment(trial.id, "e", "w", "out", start, end, content[start:end])])
        begin = journal.extents("e", trial.id)[("w", "out")]
        assert begin == 35_000
        for start in range(begin, 100_000, 4_096):
            end = min(start + 4_096, 100_000)
            journal.append([Segment(trial.id, "e", "w", "out", start, end, content[start:end])])
        assert read(journal, trial.id, "out") == {("e", "w", "out"): content}

    # -- summaries -----------------------------------------------------------------------------------------------

    def test_summaries(self, journal):
        def a_summary(end, trial="t", writer="w", **keys):
            return Summary(trial, "e", writer, end, keys or {"$loss.x\0": {"last": float(end), "max": math.inf}})

        for end in (5, 9, 7, 9):
            journal.summarise(a_summary(end))
        journal.summarise(a_summary(9, lr={"last": 1}))  # reaches no further
        journal.summarise(a_summary(1, writer="v"))
        journal.summarise(a_summary(2, trial="u"))
        found = journal.summaries(["t", "u", "none"])
        assert sorted(found["t"], key=lambda one: one.writer) == [a_summary(1, writer="v"), a_summary(9)]
        assert found["u"] == [a_summary(2, trial="u")]
        assert set(found) == {"t", "u"}
        assert journal.summaries([]) == {}

    # -- traces --------------------------------------------------------------------------------------------------

    def test_traces(self, journal, opened):
        left = [Trace("commit:abcd", "t1", "e1"), Trace("commit:abce", "t2", "e2"), Trace("commit:abcd", "t2", "e3")]
        for few in (left[:2], left, left[::-1], []):
            journal.leave(few)
        for reader in (journal, opened(writing=False)):
            assert reader.traces("commit:abcd") == [left[0], left[2]]
            assert reader.traces("commit:abc") == reader.traces("commit:") == reader.traces("commit:b", prefix=True) == []
            assert reader.traces("commit:abc", prefix=True) == [left[0], left[2], left[1]]
            assert reader.traces("", prefix=True) == [left[0], left[2], left[1]]
            assert reader.traces_of("t2") == [left[2], left[1]]
            assert reader.traces_of("t") == []

    @pytest.mark.parametrize(
        "key",
        ["", "path:", "path:a\0b", "path:\udcff", "path:$a.b", "path:.*", "path:%_", "path:" + "é" * 3000, "\U0010ffff" * 9],
    )
    def test_a_trace_may_have_any_key(self, journal, key):
        other = Trace("path:other", "t", "e")
        for _ in range(2):
            journal.leave([other, Trace(key, "t", "e"), other])
        assert journal.traces(key) == [Trace(findable(key), "t", "e")]
        assert Trace(findable(key), "t", "e") in journal.traces(key[:-1], prefix=True)
        assert journal.traces(key + "x") == []

    def test_long_keys_are_told_apart(self, journal):
        keys = ["path:" + "d/" * 400 + name for name in "ab"]
        journal.leave([Trace(key, key[-1], "e") for key in keys])
        assert [one.trial for key in keys for one in journal.traces(key)] == ["a", "b"]
        assert [one.trial for one in journal.traces(keys[0][:-1], prefix=True)] != []

    def test_many_traces_at_once(self, journal):
        journal.leave([Trace(f"path:{number}", "t", "e") for number in range(12_000)])
        assert len(journal.traces("path:", prefix=True)) == 12_000

    # -- content -------------------------------------------------------------------------------------------------

    def test_documents(self, journal, opened):
        journal.put_document("d1", AWKWARD)
        journal.put_document("d1", AWKWARD)
        assert opened(writing=False).document("d1") == AWKWARD
        journal.put_document("d1", {"other": 1})
        assert journal.document("d1") == AWKWARD
        assert journal.document("d2") is None

    @pytest.mark.parametrize("size", [0, 1, 255 << 10, 3_000_000])
    def test_blobs(self, journal, opened, tmp_path, size):
        content = random.Random(size).randbytes(size)
        digest = self._put(journal, tmp_path / "file", content)
        self._put(journal, tmp_path / "again", content)
        (tmp_path / "file").unlink(missing_ok=True)
        with opened(writing=False).blob(digest) as file:
            assert file.read(10) == content[:10]
            assert file.read() == content[10:]
            assert file.read() == b""
            assert file.seek(-min(7, size), os.SEEK_END) == max(0, size - 7)
            assert file.read() == content[-7:]
        assert journal.blob("0" * 64) is None

    def _put(self, journal, path: Path, content: bytes) -> str:
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        there = self._is_there(journal, digest)
        assert journal.put_blob(digest, str(path)) is not there
        return digest

    @staticmethod
    def _is_there(journal, digest: str) -> bool:
        """Or was, and must not come again."""
        try:
            opened = journal.blob(digest)
        except Scrubbed:
            return True
        if opened:
            opened.close()
        return opened is not None

    def test_a_file_that_is_gone(self, journal, tmp_path):
        with pytest.raises(JournalError, match="No such file"):
            journal.put_blob("1" * 64, str(tmp_path / "none"))
        assert journal.blob("1" * 64) is None

    def test_one_content_stored_by_several_at_once(self, uri, journal, tmp_path):
        content = random.Random(5).randbytes(2_000_000)
        digest = hashlib.sha256(content).hexdigest()
        for number in range(4):
            (tmp_path / f"{number}").write_bytes(content)
        with Crowd(*(("put", uri, digest, tmp_path / f"{number}") for number in range(4))) as crowd:
            assert crowd.begin().answers() == [digest] * 4
        with journal.blob(digest) as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest
        self.assert_stored_once(uri, digest, len(content))

    def assert_stored_once(self, uri, digest, size) -> None:
        """That nothing is left of the others."""
        raise NotImplementedError

    # -- taking away ---------------------------------------------------------------------------------------------

    def test_what_was_replaced_stays_so(self, journal, opened):
        old = a_trial(command=("x", "SECRET"), project="of SECRET")
        journal.create(old)
        journal.claim(old.id, "e", {"argv": "SECRET"}, 600)
        annotated = Event("a", "annotated", 2.0, 1, "e", {"tags": ["SECRET", "kept"], "note": "SECRET"})
        journal.record(old.id, annotated)
        journal.record(old.id, Event("b", "annotated", 3.0, data={"tags": ["other"]}))
        journal.put_document("d", {"a": "SECRET"})
        journal.leave([Trace("path:SECRET", old.id, "e"), Trace("path:kept", old.id, "e")])
        before = journal.entry(old.id)
        new = a_trial(id=old.id, command=("x", "******"), project="of ******")
        events = tuple(
            Event(one.id, "annotated", 99.0, data={"tags": ["******", "kept"], "argv": "******"})
            for one in before.events
            if one.id in ("a", "reserved-e")
        )
        replacement = Replacement(
            old.id, new, events, documents={"d": {"a": "******"}, "none": {}}, traces=(Trace("path:SECRET", old.id, "e"),)
        )
        for _ in range(2):
            journal.replace(replacement)
            journal.create(old)
            journal.record(old.id, annotated)
            journal.put_document("d", {"a": "SECRET"})
        for reader in (journal, opened(writing=False)):
            entry = reader.entry(old.id)
            assert entry.trial == new
            assert (entry.status, entry.holder, entry.live, entry.token) == (before.status, "e", True, 1)
            assert [(one.id, one.kind, one.time, one.order) for one in sorted(entry.events, key=lambda one: one.id)] == [
                (one.id, one.kind, one.time, one.order) for one in sorted(before.events, key=lambda one: one.id)
            ]
            assert "SECRET" not in json.dumps([event.as_dict() for event in entry.events])
            assert reader.counts(Selection())[1] == {"******": 1, "kept": 1, "other": 1}
            assert (reader.document("d"), reader.document("none")) == ({"a": "******"}, None)
            assert reader.traces_of(old.id) == [Trace("path:kept", old.id, "e")]
            assert reader.entries(Selection(project="of SECRET")) == []
            assert [one.id for one in reader.entries(Selection(project="of ******"))] == [old.id]

    def test_a_replaced_segment_never_gives_way(self, journal, opened):
        def a_segment(start, end, letter=b"s", **key):
            own = {"trial": "t", "execution": "e", "writer": "w", "stream": "out"} | key
            return Segment(**own, start=start, end=end, payload=letter * (end - start))

        journal.append([a_segment(0, 10), a_segment(20, 30), a_segment(30, 40)])
        replaced = tuple(a_segment(start, start + 10, b"*") for start in (0, 20, 50))
        for _ in range(2):
            journal.replace(Replacement("t", segments=replaced))
        elsewhere = [a_segment(0, 9, writer="v"), a_segment(0, 9, execution="f"), a_segment(0, 9, stream="err")]
        late = [a_segment(0, 10), a_segment(0, 15), a_segment(5, 12), a_segment(12, 25), a_segment(29, 50), a_segment(21, 22)]
        for shipper in (journal, opened()):
            shipper.append([*late, a_segment(10, 20, b"n"), a_segment(30, 50, b"n"), *elsewhere])
        kept = [a_segment(0, 10, b"*"), a_segment(10, 20, b"n"), a_segment(20, 30, b"*"), a_segment(30, 50, b"n")]
        assert [one for one in journal.segments("t", ["out"]) if (one.execution, one.writer) == ("e", "w")] == kept
        assert len(list(journal.segments("t", ["out", "err"]))) == 7
        assert journal.extents("e", "t")["w", "out"] == 50

    def test_a_segment_that_has_grown_is_not_replaced(self, journal):
        grown = Segment("t", "e", "w", "out", 0, 20, b"longer")
        journal.append([grown])
        journal.replace(Replacement("t", segments=(Segment("t", "e", "w", "out", 0, 10, b"*"),)))
        assert list(journal.segments("t", ["out"])) == [grown]
        longer = Segment("t", "e", "w", "out", 0, 30, b"longest")
        journal.append([longer])
        assert list(journal.segments("t", ["out"])) == [longer]

    def test_a_replaced_summary_never_gives_way(self, journal):
        old = Summary("t", "e", "w", 5, {"key": {"last": "SECRET"}})
        new = Summary("t", "e", "w", 5, {"key": {"last": "******"}})
        other = Summary("t", "e", "v", 5, {})
        journal.summarise(old)
        journal.summarise(other)
        journal.replace(Replacement("t", summaries=(Summary("t", "e", "w", 4, {}), Summary("t", "e", "none", 1, {}))))
        assert sorted(journal.summaries(["t"])["t"], key=lambda one: one.writer) == [other, old]
        journal.replace(Replacement("t", summaries=(new,)))
        for end in (5, 9):
            journal.summarise(Summary("t", "e", "w", end, {"key": {"last": "SECRET"}}))
            journal.summarise(Summary("t", "e", "v", end, {}))
        found = sorted(journal.summaries(["t"])["t"], key=lambda one: one.writer)
        assert found == [Summary("t", "e", "v", 9, {}), new]

    def test_deleted_bytes_stay_away(self, uri, journal, opened, tmp_path):
        kept = self._put(journal, tmp_path / "kept", b"kept")
        for stored in (True, False):
            content = os.urandom(600_000)
            digest = hashlib.sha256(content).hexdigest()
            if stored:
                self._put(journal, tmp_path / "file", content)
            for _ in range(2):
                journal.delete_blob(digest)
                self._put(opened(), tmp_path / "again", content)
            for reader in (journal, opened(writing=False)):
                with pytest.raises(Scrubbed, match=f"{digest[:12]} were scrubbed"):
                    reader.blob(digest)
                with reader.blob(kept) as file:
                    assert file.read() == b"kept"
        self.assert_stored_once(uri, kept, 4)

    # -- releasing -----------------------------------------------------------------------------------------------

    @staticmethod
    def _bytes(journal, digest: str) -> bytes | None:
        opened = journal.blob(digest)
        if opened is None:
            return None
        with opened:
            return opened.read()

    def test_released_bytes_are_gone_and_may_come_again(self, uri, journal, opened, tmp_path):
        content = random.Random(6).randbytes(600_000)
        digest = self._put(journal, tmp_path / "file", content)
        other = self._put(journal, tmp_path / "other", b"other")
        for _ in range(2):
            assert journal.release(digest, lambda: False) is True
            assert self._bytes(opened(), digest) is None
            assert journal.release(digest, lambda: pytest.fail("asked of what is not there")) is False
            self._put(opened(), tmp_path / "again", content)
            assert self._bytes(journal, digest) == content
        assert self._bytes(journal, other) == b"other"
        journal.release(other, lambda: False)
        self.assert_stored_once(uri, digest, len(content))

    def test_needed_bytes_stay(self, uri, journal, tmp_path):
        digest = self._put(journal, tmp_path / "file", b"needed")
        assert journal.release(digest, lambda: True) is False
        with pytest.raises(ZeroDivisionError):
            journal.release(digest, lambda: 1 // 0)
        assert self._bytes(journal, digest) == b"needed"
        self.assert_stored_once(uri, digest, 6)

    def test_bytes_out_of_sight_can_be_read_and_are_stored_anew(self, uri, journal, opened, tmp_path):
        digest = self._put(journal, tmp_path / "file", b"content")
        (tmp_path / "again").write_bytes(b"content")

        def needed():
            assert self._bytes(opened(), digest) == b"content"
            assert opened().put_blob(digest, str(tmp_path / "again")) is True
            return False

        journal.release(digest, needed)
        assert self._bytes(journal, digest) == b"content"
        self.assert_stored_once(uri, digest, 7)
        (tmp_path / "again").write_bytes(b"content")
        journal.release(digest, lambda: needed() or True)
        assert self._bytes(journal, digest) == b"content"
        self.assert_stored_once(uri, digest, 7)

    @pytest.mark.parametrize(("first", "second"), [(False, True), (True, False), (True, True), (False, False)])
    def test_of_two_who_release_the_one_who_looked_last_decides(self, uri, journal, opened, tmp_path, first, second):
        digest = self._put(journal, tmp_path / "file", b"content")

        def needed():
            opened().release(digest, lambda: second)
            return first

        if second:
            # It is put back, and the first, who has looked already, must not delete what the second spared.
            assert journal.release(digest, needed) is False
            assert self._bytes(journal, digest) == b"content"
            self.assert_stored_once(uri, digest, 7)
        else:
            assert journal.release(digest, needed) is False
            assert self._bytes(journal, digest) is None

    def test_who_is_killed_while_he_looks_takes_nothing_with_him(self, uri, journal, tmp_path):
        digest = self._put(journal, tmp_path / "file", b"content")
        for _ in range(2):
            with Crowd(("release_and_hang", uri, digest)) as crowd:
                (releasing,) = crowd.begin().processes
                assert releasing.stdout.readline() == "looking\n"
                assert self._bytes(journal, digest) == b"content"
                releasing.kill()
                releasing.wait()
            assert self._bytes(journal, digest) == b"content"
        assert journal.release(digest, lambda: True) is False
        assert self._bytes(journal, digest) == b"content"
        self.assert_stored_once(uri, digest, 7)

    def test_deleted_bytes_are_not_put_back(self, journal, opened, tmp_path):
        digest = self._put(journal, tmp_path / "file", b"SECRET")
        journal.release(digest, lambda: opened().delete_blob(digest) or True)
        with pytest.raises(Scrubbed):
            journal.blob(digest)
        assert journal.release(digest, lambda: pytest.fail("asked of what is not there")) is False

    def test_bytes_that_are_put_back_just_when_they_are_looked_for_are_released(self, journal, opened, tmp_path, monkeypatch):
        digest = self._put(journal, tmp_path / "file", b"content")
        other, held, seen = opened(), threading.Event(), threading.Event()
        sparing = threading.Thread(target=other.release, args=(digest, lambda: held.set() or seen.wait()))
        sparing.start()
        assert held.wait(SECONDS)
        place, name = self.where_it_looks(journal)
        look = getattr(place, name)

        def looked(sha256):
            found = look(sha256)
            seen.set()
            sparing.join()
            return found

        monkeypatch.setattr(place, name, looked)
        assert journal.release(digest, lambda: False) is True
        assert self._bytes(journal, digest) is None

    def test_bytes_are_never_released_under_who_needs_them(self, uri, journal, tmp_path):
        content = random.Random(7).randbytes(300_000)
        digest = hashlib.sha256(content).hexdigest()
        for number in range(2):
            (tmp_path / f"{number}").write_bytes(content)
        bringers = [("bring", uri, digest, tmp_path / f"{number}", 20) for number in range(2)]
        with Crowd(*bringers, *[("release", uri, digest)] * 2) as crowd:
            crowd.begin()
            found = [json.loads(process.stdout.readline()) for process in crowd.processes[:2]]
        stored = [stored for stored, _ in found]
        assert [missing for _, missing in found] == [0, 0], "bytes that somebody needed were not there"
        assert sum(stored) > 2, "nothing was ever released: the race did not take place"

    def test_purging(self, journal, trial):
        journal.purge()
        assert journal.entry(trial.id).trial == trial

    # -- upgrading -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("writing", [True, False])
    def test_an_older_schema_waits_for_its_upgrade(self, uri, journal, opened, writing):
        make_old(uri)
        with pytest.raises(JournalError, match=r"older kleio \(schema 1, .*kleio db upgrade") as told:
            opened(writing=writing)
        assert "\n" not in str(told.value)

    @pytest.mark.parametrize("version", range(1, SCHEMA))
    def test_upgrading(self, uri, journal, trial, opened, tmp_path, version):
        child = a_trial(parent=trial.id, command=("odd", "\udcff"))
        journal.create(child)
        journal.claim(child.id, "e", {}, 600)
        segment = Segment(child.id, "e", "w", "out", 0, 3, b"abc")
        journal.append([segment])
        digest = self._put(journal, tmp_path / "file", b"bytes")
        before = [journal.entry(one.id) for one in (trial, child)]
        make_old(uri, version)
        assert [upgrade(uri), upgrade(uri)] == [version, SCHEMA]
        upgraded = opened()
        assert [upgraded.entry(one.id) for one in (trial, child)] == before
        assert list(upgraded.segments(child.id, ["out"])) == [segment]
        with upgraded.blob(digest) as file:
            assert file.read() == b"bytes"
        assert [one.id for one in upgraded.entries(Selection(parent=trial.id))] == [child.id]
        assert [one.trial for one in upgraded.find(EVERYTHING)[0]] == [trial.id]
        assert upgraded.unindexed() == [child.id]  # somebody holds it
        upgraded.leave([Trace("path:x", child.id, "e")])
        assert upgraded.traces("path:x") == [Trace("path:x", child.id, "e")]
        journal.create(another := a_trial())  # who had it open goes on
        journal.append([Segment(child.id, "e", "w", "out", 3, 6, b"def")])
        assert upgraded.entry(another.id).trial == another
        assert read(upgraded, child.id, "out") == {("e", "w", "out"): b"abcdef"}

    def test_several_upgrade_at_once(self, uri, journal, opened):
        for number in range(300):
            journal.create(a_trial(parent=f"{number:032x}"))
        make_old(uri)
        with Crowd(*(("upgrade", uri) for _ in range(4))) as crowd:
            assert set(crowd.begin().answers()) <= {1, SCHEMA}
        assert all(opened().entries(Selection(parent=f"{number:032x}")) for number in (0, 150, 299))

    def test_upgrading_what_is_not_there_yet_makes_it(self, uri, opened):
        assert upgrade(uri) == SCHEMA
        assert opened(writing=False).entries(Selection()) == []

    # -- opening -------------------------------------------------------------------------------------------------

    def test_a_reader_finds_an_empty_journal_and_creates_nothing(self, uri, opened):
        reader = opened(writing=False)
        assert reader.entries(Selection()) == []
        assert reader.counts(Selection()) == ({}, {})
        assert reader.entry("a" * 32) is reader.document("d") is reader.blob("0" * 64) is None
        assert reader.resolve("") == list(reader.segments("t", ["out"])) == []
        assert reader.extents("e", "t") == reader.summaries(["t"]) == {}
        assert reader.traces("", prefix=True) == reader.traces_of("t") == reader.entries(Selection(parent="p")) == []
        self.assert_nothing_there(uri)

    def assert_nothing_there(self, uri) -> None:
        raise NotImplementedError

    def test_a_reader_writes_nothing(self, journal, trial, opened, tmp_path):
        reader = opened(writing=False)
        (tmp_path / "file").write_bytes(b"x")
        for write in (
            lambda: reader.create(a_trial()),
            lambda: reader.claim(trial.id, "e", {}, 600),
            lambda: reader.renew(trial.id, "e", 600),
            lambda: reader.record(trial.id, Event("x", "annotated", 1.0)),
            lambda: reader.append([Segment("t", "e", "w", "out", 0, 1, b"x")]),
            lambda: reader.summarise(Summary("t", "e", "w", 1, {})),
            lambda: reader.put_document("d", {}),
            lambda: reader.put_blob("0" * 64, str(tmp_path / "file")),
            lambda: reader.leave([Trace("k", "t", "e")]),
            lambda: reader.replace(Replacement("t")),
            lambda: reader.delete_blob("0" * 64),
            lambda: reader.release("0" * 64, lambda: True),
            reader.upgrade,
        ):
            with pytest.raises(JournalError, match="reading only"):
                write()
        reader.settle()

    def test_a_closed_journal_says_so(self, journal, trial):
        journal.close()
        with pytest.raises(JournalError):
            journal.entry(trial.id)
        journal.close()

    def test_settle(self, journal, trial):
        journal.settle()

    def test_all_threads_of_a_process_may_use_it(self, journal, trial):
        def use(writer):
            journal.claim(trial.id, f"e{writer}", {}, 600)
            for number in range(50):
                journal.append([Segment("t", "e", writer, "out", number, number + 1, b"x")])
                journal.record(trial.id, Event(f"{writer}{number}", "annotated", 1.0, data={"tags": [writer]}))
                assert journal.entry(trial.id) is not None

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, "abcdefgh"))
        assert journal.extents("e", "t") == {(writer, "out"): 50 for writer in "abcdefgh"}
        entry = journal.entry(trial.id)
        assert entry.token == 1
        assert len(entry.events) == 401

    # -- many processes ------------------------------------------------------------------------------------------

    def test_sixteen_processes_reserve_five_hundred_trials(self, uri, journal):
        trials = [a_trial(id=f"{number:032x}") for number in range(500)]
        for trial in trials:
            journal.create(trial)
        ids = [trial.id for trial in trials]
        with Crowd(*(("reserve", uri, f"e{number}", *ids) for number in range(16))) as crowd:
            won = crowd.begin().answers()
        owners = {trial: f"e{number}" for number, tokens in enumerate(won) for trial in tokens}
        assert sum(map(len, won)) == len(owners) == 500, "a trial has two owners, or none"
        assert {token for tokens in won for token in tokens.values()} == {1}
        entries = journal.entries(Selection())
        assert {entry.id: entry.holder for entry in entries} == owners
        assert {len(entry.events) for entry in entries} == {1}

    def test_eight_processes_append_from_an_empty_store(self, uri, opened):
        with Crowd(*(("append", uri, f"w{number}", 2000) for number in range(8))) as crowd:
            assert crowd.begin().answers() == [2000] * 8
        journal = opened(writing=False)
        assert len(journal.entries(Selection())) == 1
        found: dict[str, list[Segment]] = {}
        for one in journal.segments("f" * 32, ["stdout"]):
            found.setdefault(one.writer, []).append(one)
        assert sorted(found) == [f"w{number}" for number in range(8)]
        for writer, segments in found.items():
            expected = [journal_workers.piece(writer, number) for number in range(2000)]
            assert [one.payload for one in segments] == expected
        assert set(journal.extents("e", "f" * 32).values()) == {2000 * journal_workers.PIECE}

    def test_a_writer_killed_in_the_middle(self, uri, journal, trial, opened):
        with Crowd(*(("write_on", uri, trial.id, writer) for writer in "ab")) as crowd:
            killed, other = crowd.begin().processes
            while int(killed.stdout.readline()) < 200:
                pass
            killed.send_signal(signal.SIGKILL)
            acknowledged = max(int(line) for line in killed.stdout.read().split("\n")[:-1] or ["200"])
            journal.append([Segment(trial.id, "e", "c", "stdout", 0, 1, b"x")])  # it left no lock behind
            before = int(other.stdout.readline())
            while int(other.stdout.readline()) < before + 100:
                pass
        fresh = opened()
        content = read(fresh, trial.id, "stdout")[("e", "a", "stdout")]
        written = len(content) // journal_workers.PIECE
        assert written >= acknowledged + 1
        assert content == b"".join(journal_workers.piece("a", number) for number in range(written))
        assert {f"a-{number}" for number in range(acknowledged + 1)} <= set(fresh.entry(trial.id).tags)
        # A server may yet be at work on the last that one of the two asked for.
        until(lambda: fresh.counts(Selection())[1] == dict.fromkeys(sorted(fresh.entry(trial.id).tags), 1))
        ends = {one.writer: one.end for one in fresh.summaries([trial.id])[trial.id]}
        assert ends["a"] >= acknowledged


def test_what_covers_from_the_beginning():
    assert contiguous([]) == contiguous([(1, 5)]) == 0
    assert contiguous([(4, 9), (0, 5), (10, 12)]) == 9
