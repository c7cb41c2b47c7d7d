"""Looking for trials: the index of each journal finds what the query language says, no more and no less."""

from __future__ import annotations

import math
import random
import time

import pytest

from kleio.core.facts import surroundings
from kleio.core.finding import find
from kleio.core.indexing import gathered, index, index_others
from kleio.core.journal import open_journal
from kleio.core.journal.base import Summary
from kleio.core.query import Query, holds
from kleio.core.query_syntax import QueryError
from kleio.core.query_tree import Not
from kleio.core.shorthand import condition
from kleio.core.trial import Event, Trial
from kleio.core.vocabulary import Trials

NOW = 1_790_000_000.0
NAMES = ["lr", "n", "name", "flag", "sizes", "a.b", "a", "dol$lar", "per%cent", "sp ace", "emoji🎉", "nul\0l", "none",
         "x", "q'u\"o"]  # fmt: skip
TEXTS = ["", "sgd", "adam", "Adam", "ada", "résnet", "3", "0.1", "true", "null", "$where", "a.b", "% _", "日本",
         "🎉", "x\0y", "a\nb"]  # fmt: skip
NUMBERS = [0, 1, -1, 3, 2**53, 2**53 + 1, 2**63 - 1, 2**70, 0.0, 0.1, 0.30000000000000004, -2.5, 1e300, 5e-324,
           math.inf, -math.inf, math.nan, 3.0]  # fmt: skip


def value(rng, depth=0):
    kind = rng.randrange(10)
    if kind < 3:
        return rng.choice(TEXTS)
    if kind < 6:
        return rng.choice(NUMBERS)
    if kind < 7:
        return rng.choice([True, False, None])
    if kind < 9 and depth < 2:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(3))} if depth < 2 else rng.random()


def trial(rng, number, known):
    return Trial(
        id=f"{rng.getrandbits(128):032x}", work_key=f"{number:032x}", project="p",
        command=("python", rng.choice(TEXTS) or "t.py"), cwd=".",
        created=NOW - rng.choice([0, 60, 3600, 86400, 9e6]) - number % 7,
        params={name: value(rng) for name in rng.sample(NAMES, rng.randrange(6))},
        parent=rng.choice([None, None, *known[:3]]),
        code={"commit": rng.choice([None, "c1", "c2"]), "dirty": rng.random() < 0.5},
    )  # fmt: skip


def filled(journal, rng, count):
    """Trials of every kind: that ended and were indexed, that changed since, that somebody holds, that never ran."""
    known = []
    for number, (python, torch) in enumerate([("3.11.7", "1"), ("3.11.7", "2"), ("3.12", "1"), ("3.12", "2")]):
        packages = {"torch": torch, "scikit-learn": "1.5"}
        journal.put_document(f"e{number}", {"python": {"version": python}, "packages": packages})
    for number in range(count):
        own = trial(rng, number, known)
        journal.create(own)
        known.append(own.id)
        fate = rng.randrange(10)
        if fate == 0:
            continue
        execution = f"{number:x}e" * 4
        journal.claim(own.id, execution, {"host": rng.choice(TEXTS), "user": "me", "started": own.created, "pid": 1}, 3600)
        if rng.random() < 0.7:
            data = {"environment": f"e{rng.randrange(4)}"}
            journal.record(own.id, Event(f"environment-{execution}", "environment", own.created, 1, execution, data))
        keys = {rng.choice(["loss", "train/loss", "a.b", "sp ace"]): rng.choice(NUMBERS) for _ in range(rng.randrange(3))}
        counted = {"count": 1, "time": 1, "numbers": 1, "since": 1}
        summary = {key: {**counted, **dict.fromkeys(("last", "sum", "min", "max", "first"), n)} for key, n in keys.items()}
        journal.summarise(Summary(own.id, execution, "w", 10, summary))
        if fate == 1:
            continue
        status = rng.choice(["completed", "broken"])
        ended = {"status": status, "exit_code": rng.choice([0, 1, None]), "reason": rng.choice(TEXTS)}
        journal.record(own.id, Event(f"ended-{execution}", "ended", own.created + rng.randrange(9999), 1, execution, ended))
        index(journal, own.id)
        if fate == 2:
            tags = {"tags": rng.sample(TEXTS[1:], 2), "note": rng.choice(TEXTS)}
            journal.record(own.id, Event(f"annotated-{number}", "annotated", time.time(), 1, None, tags))
            if rng.random() < 0.5:
                index(journal, own.id)
    return known


def literal(rng, depth=0):
    one = rng.choice([*TEXTS, *NUMBERS, True, False, None])
    if isinstance(one, str):
        return "'" + one.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"
    if one is None or isinstance(one, bool):
        return {None: "null", True: "true", False: "false"}[one]
    return repr(one)


def field(rng, ids):
    kind = rng.randrange(12)
    if kind < 5:
        return "params['" + rng.choice(NAMES).replace("'", "\\'").replace("\0", "\\0") + "']"
    if kind < 7:
        return f"summary['{rng.choice(['loss', 'train/loss', 'a.b', 'nope'])}'].{rng.choice(['last', 'min', 'mean', 'count'])}"
    if kind < 8:
        return rng.choice(["environment.packages.torch", "environment.packages['scikit-learn']", "environment.python.version"])
    return rng.choice(["status", "tags", "command", "host", "exit_code", "note", "reason", "code.commit", "code.dirty",
                       "params", "executions", "duration", "created", "params.a.b", "params.a['a.b']"])  # fmt: skip


def expression(rng, ids, depth=0):
    kind = rng.randrange(10)
    if depth < 3 and kind < 4:
        joined = rng.choice([" and ", " or "]).join(expression(rng, ids, depth + 1) for _ in range(rng.randrange(2, 4)))
        return f"({joined})"
    if depth < 4 and kind < 5:
        return f"not ({expression(rng, ids, depth + 1)})"
    which = rng.randrange(12)
    if which == 0:
        return field(rng, ids)
    if which == 1:
        return f"{field(rng, ids)} {rng.choice(['==', '!=', '<', '>=', 'in'])} {field(rng, ids)}"
    if which == 2:
        pattern = rng.choice(["a", "^a", "d.*m", "é", "^$", "[0-9]"])
        return f"{field(rng, ids)} {rng.choice(['matches', 'not matches'])} '{pattern}'"
    if which == 3:
        return f"id {rng.choice(['==', '!='])} '{rng.choice(ids)[: rng.randrange(1, 33)]}'"
    if which == 4:
        return f"'{rng.choice(ids)[:4]}' in ancestor"
    if which == 5:
        return f"{literal(rng)} {rng.choice(['in', 'not in'])} {field(rng, ids)}"
    if which == 6:
        return f"{field(rng, ids)} {rng.choice(['in', 'not in'])} [{literal(rng)}, {literal(rng)}]"
    if which == 7:
        return f"params['{rng.choice(['sizes', 'lr'])}'] {rng.choice(['==', '!='])} [{literal(rng)}, {literal(rng)}]"
    return f"{field(rng, ids)} {rng.choice(['==', '!=', '<', '<=', '>', '>='])} {literal(rng)}"


def parsed(text):
    try:
        return Query(text, Trials(NOW))
    except QueryError as error:
        if "is a time" in error.what or "is in seconds" in error.what:
            return None
        raise


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_is_what_the_language_says(journal_uri, seed):
    rng = random.Random(seed)
    journal = open_journal(journal_uri)
    ids = filled(journal, rng, 150)
    entries = [journal.entry(one) for one in ids]
    known = []
    for entry, own in zip(entries, gathered(journal, entries), strict=True):
        digest = own.get("environment.digest")
        known.append((entry.id, own | (surroundings(journal.document(digest)) if digest else {})))
    assert 10 < len(journal.unindexed()) < 100
    asked = several = 0
    while asked < 300:
        text = expression(rng, ids)
        one = parsed(text)
        if one is None:
            continue
        asked += 1
        wanted = {trial for trial, own in known if one.holds(own)}
        found = find(journal, one.node)
        assert set(found) == wanted, text
        assert len(found) == len(wanted), text
        several += 0 < len(wanted) < len(ids)
    assert several > 70
    several = 0
    for _ in range(50):
        word = rng.choice([str(rng.choice([*TEXTS, *NUMBERS])), f"{rng.choice(NAMES)}:{rng.choice([*TEXTS, *NUMBERS])}"])
        node = rng.choice([condition, lambda word: Not(condition(word))])(word)
        wanted = {trial for trial, own in known if holds(node, own)}
        assert set(find(journal, node)) == wanted, word
        several += 0 < len(wanted) < len(ids)
    assert several > 20
    journal.close()


def test_sorting_and_limits_are_the_same_whatever_is_indexed(journal_uri):
    rng = random.Random(7)
    journal = open_journal(journal_uri)
    filled(journal, rng, 80)
    before = {}
    for name in ("params.lr", "params.name", "created", "summary.loss.last", "params.sizes", "nothing"):
        for descending in (False, True):
            found = before[name, descending] = find(journal, None, [(name, descending)])
            assert len(found) == 80
            assert find(journal, None, [(name, descending)], 7) == found[:7]
    newest = find(journal, None)
    index_others(journal)
    for asked, found in before.items():
        assert find(journal, None, [asked]) == found, asked
    assert find(journal, None) == newest
    assert find(journal, None, limit=5) == newest[:5]
    created = {one: journal.entry(one).trial.created for one in newest}
    assert newest == sorted(newest, key=lambda one: (created[one], one), reverse=True)
    journal.close()


def test_numbers_that_no_float_holds_lie_beyond_all_that_do(journal_uri):
    journal = open_journal(journal_uri)
    for number, lr in enumerate([0.5, math.inf, -math.inf]):
        body = {"work_key": "w", "project": "p", "command": ("x",), "cwd": ".", "created": NOW, "params": {"lr": lr}}
        journal.create(Trial(id=f"{number:032x}", **body))
    index_others(journal)
    great = "9" * 400

    def found(text):
        return {int(one, 16) for one in find(journal, parsed(text).node)}

    assert found(f"params.lr < {great}") == {0, 2}
    assert found(f"params.lr >= {great}") == {1}
    assert found(f"params.lr <= -{great}") == {2}
    assert found(f"params.lr == {great} or {great} in params") == set()
    journal.close()
