"""When the end has come the newest artifact ships before all others, and nothing else changes by that."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from commands import PYTHON, kleio, script, trials, until
from processes import SECONDS

from kleio.core import statistics
from kleio.core.config import Config, spool_root
from kleio.core.journal import open_journal
from kleio.core.lineage import artifacts
from kleio.core.shipping import Shipper, went_ahead
from kleio.core.spool import Spool, Writer, spools
from kleio.core.streams import LineStream, Source
from kleio.core.values import dumps

LOGGING = """
import os, signal, sys, time
from kleio.client.logger import kleio_logger as k
for n in range(3):
    k.log_artifact("state", b"old %d" % n * 1000, n=n)
k.log_artifact("other", b"old other", n=9)
def asked(*_):
    k.log_artifact("state", b"newest", n=3)
    k.log_statistic(x=1)
    sys.exit(int(len(sys.argv) > 1))
signal.signal(signal.SIGTERM, asked)
print("ready", flush=True)
while True: time.sleep(0.1)  # a signal that comes just before pause() would be waited for
"""
# A store to which the old contents never get through: whatever sends one hangs until the launcher is killed.
STUCK = """
import sys, threading
from kleio.core.journal.{module} import {name} as Journal
put = Journal.put_blob
def stuck(self, sha256, path):
    with open(path, "rb") as file:
        if file.read(6).startswith(b"old "):
            print("stuck", file=sys.stderr, flush=True)
            threading.Event().wait()
    return put(self, sha256, path)
Journal.put_blob = stuck
from kleio.cli.main import main
main()
"""


def logged(uri):
    """(name, n) of what is listed, and whether each has its bytes."""
    journal = open_journal(uri, writing=False)
    try:
        records = artifacts(journal, journal.entry(trials()[0]["id"]))
        for record in records:
            opened = journal.blob(record.values["sha256"])
            assert opened is not None, "listed without its bytes"
            opened.close()
        return [(record.values["name"], record.values["meta"]["n"]) for record in records]
    finally:
        journal.close()


def test_the_newest_is_there_though_an_older_one_never_gets_through(tmp_path, journal_uri, monkeypatch):
    monkeypatch.setenv("KLEIO_DRAIN", "600")
    kind = ("sqlite", "SqliteJournal") if journal_uri.startswith("sqlite") else ("mongo", "MongoJournal")
    program = STUCK.replace("{module}", kind[0]).replace("{name}", kind[1])
    process = subprocess.Popen(
        [sys.executable, "-c", program, PYTHON, script(tmp_path, LOGGING), "1"], cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        assert "stuck\n" in iter(process.stderr.readline, "")
        process.send_signal(signal.SIGTERM)
        until(lambda: logged(journal_uri) == [("state", 3)])
        until(lambda: trials()[0]["summary"].get("x"))  # nor do the other streams wait
        (spool,) = spools(spool_root(Config()))
        assert spool.has("ending")
    finally:
        process.kill()  # in the middle of the drain
        process.communicate()
    journal = open_journal(journal_uri)
    trial = trials()[0]["id"]
    (execution,) = journal.entry(trial).executions
    assert {end for (_, stream), end in journal.extents(execution.id, trial).items() if stream == "artifacts"} == {0}
    journal.close()
    kleio("sync", check=0)
    everything = [("state", 0), ("state", 1), ("state", 2), ("other", 9), ("state", 3)]
    assert logged(journal_uri) == everything
    journal = open_journal(journal_uri)
    segments = sorted((one.start, one.end) for one in journal.segments(trial, ("artifacts",)))
    assert len(segments) == 2  # what went ahead, and what came before it: nothing twice
    assert segments[0][1] == segments[1][0]
    assert max(journal.extents(execution.id, trial).values()) >= segments[1][1]
    journal.close()
    assert trials()[0]["status"] == "interrupted"


# -- the parts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    for name in ("blobs", "requests"):
        (tmp_path / "spool" / name).mkdir(parents=True)
    return Source(Spool(str(tmp_path / "spool")), "t" * 32, "spool", over=True)


def log(source, writer, *numbers, name="a"):
    from kleio.core.artifact import keep

    for number in numbers:
        keep(
            source.spool.file("blobs"),
            b"%d" % number,
            lambda digest, size, number=number: writer.append(
                dumps({"name": name, "meta": {"n": number}, "sha256": digest, "size": size})
            ),
        )


def read(journal):
    return [one.values["meta"]["n"] for one in statistics.records(journal.segments("t" * 32, ("artifacts",)))]


def test_what_went_ahead_is_sent_again_or_passed_over_and_read_once(source, journal_uri):
    journal = open_journal(journal_uri)
    writer = Writer(source.spool.path, "artifacts")
    log(source, writer, 1, 2, 3)
    Shipper(source, journal, lambda _: True, {}).ship_newest(lambda: True)
    assert read(journal) == [3]
    assert journal.extents("spool", "t" * 32)[writer.name, "artifacts"] == 0
    live = Shipper(source, journal, lambda _: True, {})  # the same launcher goes on: it overlaps
    log(source, writer, 4, 5)
    while live.round():
        pass
    assert read(journal) == [1, 2, 3, 4, 5]
    live.ship_newest(lambda: True)
    log(source, writer, 6, 7)
    live.ship_newest(lambda: True)
    assert read(journal) == [1, 2, 3, 4, 5, 7]
    log(source, writer, 8)
    live.ship_newest(lambda: True)
    known = journal.extents("spool", "t" * 32)
    assert len(went_ahead(source, journal, known)[writer.name, "artifacts"]) == 2
    again = Shipper(source, journal, lambda _: True, known)  # another launcher, after a kill
    while again.round():
        pass
    assert read(journal) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert journal.extents("spool", "t" * 32)[writer.name, "artifacts"] == writer.end()
    journal.close()
    writer.close()


def test_a_range_is_not_sealed_out_by_what_went_ahead_and_was_replaced(source, journal_uri):
    """A scrub of what went ahead must not keep the others out."""
    from kleio.core.journal.replacement import Replacement

    journal = open_journal(journal_uri)
    writer = Writer(source.spool.path, "artifacts")
    log(source, writer, 1, 2, 3)
    Shipper(source, journal, lambda _: True, {}).ship_newest(lambda: True)
    (ahead,) = journal.segments("t" * 32, ("artifacts",))
    cleaned = statistics.pack([statistics.Record(ahead.start, 5, {"meta": {"n": "***"}})])
    journal.replace(Replacement("t" * 32, segments=(replace(ahead, payload=cleaned),)))
    log(source, writer, 4)
    journal.close()
    journal = open_journal(journal_uri)
    again = Shipper(source, journal, lambda _: True, journal.extents("spool", "t" * 32))
    while again.round():
        pass
    assert read(journal) == [1, 2, "***", 4]
    journal.close()
    writer.close()


def test_of_several_names_each_newest_goes_but_not_what_the_launcher_collected(source, journal_uri):
    journal = open_journal(journal_uri)
    writer, launcher = Writer(source.spool.path, "artifacts"), Writer(source.spool.path, "artifacts", "launcher")
    log(source, writer, 1, 2)
    log(source, writer, 3, 4, name="b")
    log(source, launcher, 5, name="output/x")
    Shipper(source, journal, lambda _: True, {}).ship_newest(lambda: True)
    assert sorted(read(journal)) == [2, 4]
    Shipper(source, journal, lambda _: True, {}).ship_newest(lambda: False)
    journal.close()
    for one in (writer, launcher):
        one.close()


def test_what_is_just_being_sent_is_not_sent_twice(source, journal_uri):
    journal = open_journal(journal_uri)
    writer = Writer(source.spool.path, "artifacts")
    log(source, writer, 1)
    sending, go_on, sent = threading.Event(), threading.Event(), []
    put = journal.put_blob

    def slow(sha256, path):
        sent.append(sha256)
        sending.set()
        assert go_on.wait(SECONDS)
        return put(sha256, path)

    journal.put_blob = slow
    shipper = Shipper(source, journal, lambda _: True, {})
    uploader = threading.Thread(target=shipper.round)
    uploader.start()
    assert sending.wait(SECONDS)
    newest = threading.Thread(target=shipper.ship_newest, args=(lambda: True,))
    newest.start()
    go_on.set()
    uploader.join(SECONDS)
    newest.join(SECONDS)
    assert len(sent) <= 2  # once more at most, to find that it is there
    assert read(journal) == [1]
    assert [one for one in journal.traces("bytes:", prefix=True) if one.key.endswith(":")] == []
    journal.close()
    writer.close()


def test_a_stream_hops_over_what_is_ahead(source):
    writer = Writer(source.spool.path, "artifacts")
    log(source, writer, *range(6))
    everything = list(LineStream(source, writer.name, "artifacts", 0).everything())
    at = [*(record.offset for record in everything), writer.end()]
    stream = LineStream(source, writer.name, "artifacts", 0, [(at[4], at[5]), (at[1], at[3])])
    ranges = []
    while found := stream.segments():
        ranges += [(one.start, one.end) for one in found]
        stream.sent()
    assert ranges == [(0, at[1]), (at[3], at[4]), (at[5], at[6])]
    assert stream.shipped == writer.end()
    writer.close()
