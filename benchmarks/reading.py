"""What reading costs inside a process: finding among many trials, and the statistics of one."""

from __future__ import annotations

import os
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from figures import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kleio.core.journal.base import Journal

QUERIES = {
    "three conditions, sorted": (
        "params.p1 > 0.3 and status == 'completed' and summary.loss.min < 0.6", "summary.val_loss.min"
    ),
    "one in a hundred": ("params.p1 > 0.99", "-summary.val_loss.min"),
    "words and a pattern": ("params.optimizer matches '^a' and 'a' in tags", "-created"),
    "all but a few": ("not (params.optimizer == 'adam' or host == 'node3')", "-params.p2"),
    "all, by duration": (None, "duration"),
}  # fmt: skip
POINTS = 1_000_000


def finding(journals: Mapping[str, str], trials: int, times: int) -> Iterator[Figure]:
    """A filter with sort and limit, among ``trials`` trials in each of ``journals``."""
    import kleio
    from kleio.core.journal import open_journal

    for name, uri in journals.items():
        opened = open_journal(uri)
        fill(opened, trials, 1 if uri.startswith("sqlite") else 16)
        opened.close()
        with kleio.connect(uri) as journal:
            for what, (where, sort) in QUERIES.items():
                found = middle(times, lambda where=where, sort=sort: list(journal.trials(where, sort=sort, limit=20)))
                limit = 60.0 if trials <= 10_000 else 500.0
                yield Figure(f"20 of {trials:,}: {what}, {name}", found, "ms", limit=limit)


def points(uri: str, times: int) -> Iterator[Figure]:
    """A million points of one trial, from the journal into pandas."""
    import kleio
    from kleio.core.journal import open_journal
    from kleio.core.journal.base import Segment
    from kleio.core.statistics import Record, pack
    from kleio.core.trial import Trial

    chance, size = random.Random(1), 20_000
    opened = open_journal(uri)
    trial = Trial(os.urandom(16).hex(), os.urandom(16).hex(), "points", ("train",), ".", time.time())
    opened.create(trial)
    opened.claim(trial.id, "e", {"host": "here", "user": "me", "started": trial.created, "pid": 1}, 3600)
    for start in range(0, POINTS // 2, size):
        rows = [Record(at, 10**18 + at, {"step": at, "loss": chance.random()}) for at in range(start, start + size)]
        opened.append([Segment(trial.id, "e", "1-1", "statistics", start, start + size, pack(rows))])
    opened.close()

    def read() -> None:
        with kleio.connect(uri) as journal:
            assert journal.trial(trial.id).statistics.to_pandas().shape == (POINTS // 2, 2)

    read()
    yield Figure("1,000,000 points into pandas, SQLite", middle(times, read), "ms", limit=200.0)


def middle(times: int, action: Callable[[], Any]) -> float:
    """The median of the milliseconds that it takes."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def fill(journal: Journal, trials: int, threads: int) -> None:
    """Completed trials with twelve parameters and three statistics, indexed, through the journal's own interface."""
    from kleio.core.indexing import index
    from kleio.core.journal.base import Summary
    from kleio.core.trial import Event, Trial

    chance = random.Random(1)
    names = [f"p{at}" for at in range(12)]
    kinds = [
        ({name: chance.random() for name in names}, chance.choice(["sgd", "adam", "lion"]), chance.random(), chance.random())
        for _ in range(trials)
    ]

    def make(number: int) -> None:
        own, optimizer, loss, lasted = kinds[number]
        trial, execution, began = f"{number:08x}{os.urandom(12).hex()}", os.urandom(16).hex(), 1.7e9 + number
        params = own | {"optimizer": optimizer}
        journal.create(Trial(trial, os.urandom(16).hex(), "many", ("python", "train.py"), ".", began, params))
        about = {"host": f"node{number % 16}", "user": "me", "pid": 1, "started": began}
        journal.record(trial, Event(f"reserved-{execution}", "reserved", began, 1, execution, about))
        tags = {"tags": ["a"] if number % 3 else ["a", "b"]}
        journal.record(trial, Event(f"annotated-{execution}", "annotated", began, 1, execution, tags))
        status = "broken" if number % 5 == 0 else "completed"
        ended = {"status": status, "exit_code": 0, "reason": "exit status 0"}
        journal.record(trial, Event(f"ended-{execution}", "ended", began + lasted * 1e4, 1, execution, ended))
        key = {"count": 9, "numbers": 9, "time": 1, "since": 1, "max": 1.0, "sum": 5.0}
        key |= dict.fromkeys(("first", "last", "min"), loss)
        journal.summarise(Summary(trial, execution, "1-1", 100, {"loss": key, "val_loss": key | {"min": lasted}, "acc": key}))
        index(journal, trial)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(make, range(trials)))
    journal.settle()
