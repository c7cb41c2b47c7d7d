"""Processes that use a journal at the same time as others. Started by ``journal_suite``; imports nothing heavy.

Each says ``ready``, waits for a line, does its work and answers with one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import count

from kleio.core.journal import open_journal
from kleio.core.journal import upgrade as upgrade_journal
from kleio.core.journal.base import Segment, Summary
from kleio.core.trial import Event, Trial

PIECE = 16


def piece(writer: str, number: int) -> bytes:
    """The bytes that a writer writes at ``number * PIECE``."""
    return f"{writer}-{number}".encode().ljust(PIECE, b".")


def reserve(uri: str, execution: str, *trials: str) -> dict[str, int]:
    """Claim each trial; the tokens of those that were won."""
    journal = open_journal(uri)
    _wait()
    claims = {trial: journal.claim(trial, execution, {}, 600) for trial in trials}
    return {trial: held.token for trial, held in claims.items() if held}


def append(uri: str, writer: str, pieces: str) -> int:
    """Open the journal together with others, perhaps creating it; then write, a call each piece."""
    _wait()
    journal = open_journal(uri)
    journal.create(Trial("f" * 32, "work", "project", ("true",), ".", 1.0))
    for number in range(int(pieces)):
        journal.append([_segment(writer, number)])
    return int(pieces)


def write_on(uri: str, trial: str, writer: str) -> None:
    """Write for ever, and say after each round that it is written."""
    journal = open_journal(uri)
    _wait()
    for number in count():
        journal.append([_segment(writer, number, trial)])
        journal.record(trial, Event(f"{writer}-{number}", "annotated", 1.0, data={"tags": [f"{writer}-{number}"]}))
        journal.summarise(Summary(trial, "e", writer, number, {"n": {"last": number}}))
        print(number, flush=True)


def put(uri: str, sha256: str, path: str) -> str:
    """Store a file."""
    journal = open_journal(uri)
    _wait()
    journal.put_blob(sha256, path)
    return sha256


def upgrade(uri: str) -> int:
    """Bring the journal up to date; the schema it had."""
    _wait()
    return upgrade_journal(uri)


def _segment(writer: str, number: int, trial: str = "f" * 32) -> Segment:
    start = number * PIECE
    return Segment(trial, "e", writer, "stdout", start, start + PIECE, piece(writer, number))


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    work = {"reserve": reserve, "append": append, "write_on": write_on, "put": put, "upgrade": upgrade}[sys.argv[1]]
    print(json.dumps(work(*sys.argv[2:])), flush=True)
    os._exit(0)  # an open MongoClient takes half a second to leave
