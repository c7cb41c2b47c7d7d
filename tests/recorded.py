"""Trials written into a journal without running anything: what reading commands are shown."""

from __future__ import annotations

import hashlib
import os
from uuid import uuid4

from kleio.core import statistics
from kleio.core.indexing import index
from kleio.core.journal import open_journal
from kleio.core.journal.base import Segment, Summary, Trace
from kleio.core.statistics import Record, Summariser
from kleio.core.trial import Event, Trial

SECOND = 1_000_000_000
START = 1_700_000_000


class Recorded:
    """A journal to write trials into. Each lasts as many seconds as it has statistics, and one more."""

    def __init__(self, uri, directory, project="project"):
        self.journal = open_journal(uri)
        self._directory = directory
        self._project = project
        self._made = 0

    def close(self):
        self.journal.close()

    def trial(self, statistics=(), artifacts=(), status="completed", ended=True, environment=None, reports=(), **body):
        """The id. ``statistics`` are mappings, one a second, or (mapping, mark), ``artifacts`` (name, bytes, meta), ``reports``
        (kind, data) of events.
        """
        self._made += 1
        created = float(START + 1000 * self._made)
        trial, execution = uuid4().hex, uuid4().hex
        words = body.pop("command", ("python", "train.py"))
        known = {"id": trial, "work_key": "w", "project": self._project, "command": words, "cwd": ".", "created": created}
        made = Trial(**(known | body))
        self.journal.create(made)
        told = {"host": "here", "user": "me", "started": created, "pid": 1, "cwd": "/nowhere"}
        self.journal.claim(made.id, execution, told, 3600)
        self.journal.record(made.id, Event(f"running-{execution}", "running", created, 1, execution, told))
        if environment is not None:
            digest = hashlib.sha256(repr(sorted(environment.items())).encode()).hexdigest()
            self.journal.put_document(digest, environment)
            self.journal.record(
                made.id, Event(f"e-{execution}", "environment", created, 1, execution, {"environment": digest})
            )
        for kind, data in reports:
            self.journal.record(made.id, Event(uuid4().hex, kind, created + 0.5, 1, execution, data))
        self.log(made.id, execution, created, statistics)
        self.put(made.id, execution, created, artifacts)
        if ended:
            said = {"status": status, "exit_code": 0 if status == "completed" else 1}
            self.journal.record(
                made.id, Event(f"ended-{execution}", "ended", created + len(statistics) + 1, 1, execution, said)
            )
            index(self.journal, made.id)
        return made.id

    def log(self, trial, execution, created, said, piece=1000, writer="w0"):
        """A stream of statistics, in segments of ``piece`` records, and its summary."""
        pairs = [one if isinstance(one, tuple) else (one, "") for one in said]
        records = [Record(10 * n, int((created + n) * SECOND), *one) for n, one in enumerate(pairs)]
        summary = Summariser()
        for start in range(0, len(records), piece):
            few = records[start : start + piece]
            packed = statistics.pack(few)
            self.journal.append(
                [Segment(trial, execution, writer, "statistics", few[0].offset, few[-1].offset + 10, packed)]
            )
        for record in records:
            summary.add(record)
        if records:
            self.journal.summarise(Summary(trial, execution, writer, 10 * len(records), summary.keys))

    def put(self, trial, execution, created, artifacts):
        """Artifacts and their bytes."""
        records = []
        for n, (name, data, meta) in enumerate(artifacts):
            digest = hashlib.sha256(data).hexdigest()
            values = {"name": name, "meta": meta, "sha256": digest, "size": len(data)}
            records.append(Record(10 * n, int((created + n) * SECOND), values))
            path = os.path.join(self._directory, digest)
            with open(path, "wb") as file:
                file.write(data)
            self.journal.leave([Trace(f"bytes:{digest}:w0:{10 * n}", trial, execution)])
            self.journal.put_blob(digest, path)
        if records:
            self.journal.append(
                [Segment(trial, execution, "w0", "artifacts", 0, 10 * len(records), statistics.pack(records))]
            )
