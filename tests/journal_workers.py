"""Processes that use a journal at the same time as others. Started by ``journal_suite``; imports nothing heavy.

Each says ``ready``, waits for a line, does its work and answers with one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from itertools import count

from kleio.core.journal import open_journal
from kleio.core.journal import upgrade as upgrade_journal
from kleio.core.journal.base import Segment, Summary, Trace
from kleio.core.journal.replacement import Replacement
from kleio.core.trial import Event, Trial

PIECE = 16
TIMEOUT = 60.0
"""Seconds: a server that is busy is there."""
RACING = 300.0
"""Seconds for which who releases may take to come to it."""


def piece(writer: str, number: int) -> bytes:
    """The bytes that a writer writes at ``number * PIECE``."""
    return f"{writer}-{number}".encode().ljust(PIECE, b".")


def reserve(uri: str, execution: str, *trials: str) -> dict[str, int]:
    """Claim each trial; the tokens of those that were won."""
    journal = open_journal(uri, timeout=TIMEOUT)
    _wait()
    claims = {trial: journal.claim(trial, execution, {}, 600) for trial in trials}
    return {trial: held.token for trial, held in claims.items() if held}


def append(uri: str, writer: str, pieces: str) -> int:
    """Open the journal together with others, perhaps creating it; then write, a call each piece."""
    _wait()
    journal = open_journal(uri, timeout=TIMEOUT)
    journal.create(Trial("f" * 32, "work", "project", ("true",), ".", 1.0))
    for number in range(int(pieces)):
        journal.append([_segment(writer, number)])
    return int(pieces)


def write_on(uri: str, trial: str, writer: str) -> None:
    """Write for ever, and say after each round that it is written."""
    journal = open_journal(uri, timeout=TIMEOUT)
    _wait()
    for number in count():
        journal.append([_segment(writer, number, trial)])
        journal.record(trial, Event(f"{writer}-{number}", "annotated", 1.0, data={"tags": [f"{writer}-{number}"]}))
        journal.summarise(Summary(trial, "e", writer, number, {"n": {"last": number}}))
        print(number, flush=True)


def put(uri: str, sha256: str, path: str) -> str:
    """Store a file."""
    journal = open_journal(uri, timeout=TIMEOUT)
    _wait()
    journal.put_blob(sha256, path)
    return sha256


def bring(uri: str, sha256: str, path: str, rounds: str) -> list[int]:
    """Need the bytes, again and again, and look whether they are there; how often they were stored, and not there.

    Until they had to be stored a second time, or the others have had all the time of the world.
    """
    journal, me = open_journal(uri, timeout=TIMEOUT), str(os.getpid())
    stored = missing = 0
    _wait()
    late = time.monotonic() + RACING
    for number in count():
        if number >= int(rounds) and (stored >= 2 or time.monotonic() > late):
            break
        need = Trace(f"need:{number}", me, "e"), Trace("need", me, f"{number}")
        journal.leave(need)
        stored += journal.put_blob(sha256, path)
        for _ in range(10):
            journal.traces("something else")
            opened = journal.blob(sha256)
            missing += opened is None
            if opened is not None:
                opened.close()
        journal.replace(Replacement(me, traces=need))
        for _ in range(20):  # let the others come to it
            opened = journal.blob(sha256)
            if opened is None:
                break
            opened.close()
    return [stored, missing]


def release(uri: str, sha256: str) -> None:
    """Release them for ever, unless somebody needs them; now and then two go together, who take over from each other."""
    journal = open_journal(uri, timeout=TIMEOUT)

    def needed() -> bool:
        said = bool(journal.traces("need"))
        for _ in range(10):  # and then he is slow
            journal.traces("something else")
        return said

    _wait()
    while True:
        journal.release(sha256, needed)
        for _ in range(random.randrange(20)):
            journal.traces("need")


def release_and_hang(uri: str, sha256: str) -> None:
    """Never come to a decision."""
    journal = open_journal(uri, timeout=TIMEOUT)
    _wait()
    journal.release(sha256, _hang)


def _hang() -> bool:
    print("looking", flush=True)
    sys.stdin.read()
    return False


def upgrade(uri: str) -> int:
    """Bring the journal up to date; the schema it had."""
    _wait()
    return upgrade_journal(uri, timeout=TIMEOUT)


def _segment(writer: str, number: int, trial: str = "f" * 32) -> Segment:
    start = number * PIECE
    return Segment(trial, "e", writer, "stdout", start, start + PIECE, piece(writer, number))


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    every = (reserve, append, write_on, put, upgrade, bring, release, release_and_hang)
    work = {one.__name__: one for one in every}[sys.argv[1]]
    print(json.dumps(work(*sys.argv[2:])), flush=True)
    os._exit(0)  # an open MongoClient takes half a second to leave
