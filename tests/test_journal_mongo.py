"""MongoDB keeps the contract on a real server: its clock, its users, its failures."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import subprocess
import sys

import journal_workers
import pytest
from conftest import patient
from journal_suite import AWKWARD, JournalContract, a_trial
from pymongo.errors import OperationFailure

from kleio.core.errors import JournalError, JournalUnreachable
from kleio.core.journal import open_journal, pipelines, place
from kleio.core.journal.base import Segment, Selection, Summary
from kleio.core.trial import Event, Status

CHUNK = 255 << 10

# Carried out, but the reply is that nobody knows whether it will last.
UNKNOWN = {"writeConcernError": {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting timed out"}}


@pytest.fixture
def database(mongo_uri, mongo_client):
    """What the journal of this test stores, seen from behind."""
    return mongo_client[place(mongo_uri).rpartition("/")[2]]


class TestMongo(JournalContract):
    @pytest.fixture
    def uri(self, mongo_uri, database):
        self.database = database
        return mongo_uri

    def where_it_looks(self, journal):
        return journal, "_listed"

    def assert_nothing_there(self, uri):
        assert self.database.list_collection_names() == []

    def assert_stored_once(self, uri, digest, size):
        assert self.database["blobs.files"].count_documents({}) == 1
        assert self.database["blobs.chunks"].count_documents({}) == -(-size // CHUNK)

    @pytest.mark.parametrize("writing", [True, False])
    def test_a_newer_schema_is_refused(self, uri, database, writing):
        open_journal(uri).close()
        database.journal.update_one({"_id": "schema"}, {"$set": {"version": 99}})
        with pytest.raises(JournalError, match=r"newer kleio \(schema 99, .*pip install -U kleio"):
            open_journal(uri, writing=writing)

    @pytest.mark.parametrize("writing", [True, False])
    @pytest.mark.parametrize("collection", ["users", "journal"])
    def test_what_is_no_journal_is_refused_and_left_alone(self, uri, database, writing, collection):
        database[collection].insert_one({"_id": "schema", "mine": True})
        with pytest.raises(JournalError, match="no kleio journal"):
            open_journal(uri, writing=writing)
        assert database.list_collection_names() == [collection]

    def test_the_status_is_ordered_as_events_are(self, journal, trial, database):
        def stored():
            return database.trials.find_one({"_id": trial.id})["status_order"]

        for execution in ("e1", "$e2"):
            journal.claim(trial.id, execution, {}, -1)
            assert stored() == max(event.order for event in journal.entry(trial.id).events)
        journal.record(trial.id, Event("$end", "ended", 1.0, 2, "$e2", {"status": "broken"}))
        assert stored() == Event("$end", "ended", 1.0, 2).order
        assert journal.entry(trial.id).holder is None

    def test_keys_of_streams_come_from_the_index_alone(self, journal, database):
        journal.append([Segment("t", "e", "w", "out", start, start + 9, bytes(9)) for start in range(0, 90, 9)])
        stages = pipelines.within("t", ["out", "err"], {("e", "w", "out"): 20}, {("e", "w", "out"): 50})
        plan = {"aggregate": "segments", "pipeline": stages, "cursor": {}}
        explained = database.command("explain", plan, verbosity="executionStats")
        while "stages" in explained:
            explained = explained["stages"][0].get("$cursor", explained["stages"][0])
        assert explained["executionStats"]["totalDocsExamined"] == 0
        find = {"find": "segments", "filter": {"_id.trial": "t", "_id.execution": "e"}, "projection": pipelines.EXTENT}
        explained = database.command("explain", find, verbosity="executionStats")
        assert explained["executionStats"]["totalDocsExamined"] == 0
        assert explained["executionStats"]["nReturned"] == 10

    def test_many_segments_are_fetched_in_pieces(self, journal, monkeypatch):
        monkeypatch.setattr("kleio.core.journal.mongo.BATCH", 1000)
        written = [Segment("t", "e", "w", "out", start, start + 300, bytes(300)) for start in range(0, 9000, 300)]
        journal.append(written)
        assert list(journal.segments("t", ["out"])) == written

    # -- too large -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "write",
        [
            lambda journal, trial, big: journal.put_document("d", {"text": big}),
            lambda journal, trial, big: journal.create(a_trial(params={"text": big})),
            lambda journal, trial, big: journal.summarise(Summary(trial, "e", "w", 1, {"k": {"last": big}})),
            lambda journal, trial, big: journal.append([Segment("t", "e", "w", "out", 0, len(big), big.encode())]),
            lambda journal, trial, big: journal.append([Segment("t", "e", "w", "out", 2**63, 2**63 + 1, b"")]),
            lambda journal, trial, big: journal.claim(trial, "e", {"text": big}, 600),
            lambda journal, trial, big: [
                journal.record(trial, Event(str(half), "annotated", 1.0, data={"text": big[: len(big) // 2]}))
                for half in range(2)
            ],
        ],
    )
    def test_a_value_too_large_for_the_store(self, journal, trial, write):
        with pytest.raises(JournalError, match=r"too large for the journal .* artifact") as told:
            write(journal, trial.id, "x" * (17 << 20))
        assert not isinstance(told.value, JournalUnreachable)
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 500

    def test_an_id_that_is_no_unicode(self, journal):
        with pytest.raises(JournalError):
            journal.create(a_trial(id="\udc80"))

    # -- blobs ---------------------------------------------------------------------------------------------------

    def test_an_interrupted_upload_is_never_listed(self, uri, journal, database, tmp_path):
        """The writer reads a pipe, and is killed when it has had half of the bytes."""
        content = random.Random(1).randbytes(52 << 20)  # the driver sends 48 MB at a time
        digest = hashlib.sha256(content).hexdigest()
        os.mkfifo(tmp_path / "pipe")
        process = subprocess.Popen(
            [sys.executable, journal_workers.__file__, "put", uri, digest, tmp_path / "pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        with process:
            process.stdin.write(b"go\n")
            process.stdin.flush()
            with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
                pipe.write(content[: 48 << 20])
                process.kill()
        assert database["blobs.chunks"].count_documents({}) > 0
        assert journal.blob(digest) is None
        (tmp_path / "whole").write_bytes(content)
        journal.put_blob(digest, str(tmp_path / "whole"))
        with journal.blob(digest) as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest

    def test_a_file_that_cannot_be_read_to_its_end(self, journal, database, tmp_path):
        with pytest.raises(JournalError, match=r"cannot read artifact bytes from .*Is a directory"):
            journal.put_blob("0" * 64, str(tmp_path))
        assert database["blobs.files"].count_documents({}) == database["blobs.chunks"].count_documents({}) == 0

    def test_bytes_that_are_gone_from_the_store(self, journal, database, tmp_path):
        digest = self._put(journal, tmp_path / "file", bytes(3 * CHUNK))
        database["blobs.chunks"].delete_one({"n": 1})
        with journal.blob(digest) as file, pytest.raises(JournalError):
            file.read()

    # -- failures of the server ----------------------------------------------------------------------------------

    @pytest.fixture
    def failing(self, mongo_client):
        """Makes the server fail the next of kleio's commands of one name."""

        def fail(command, **how):
            point = {"failCommands": [command], "appName": "kleio", **how}
            try:
                mongo_client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=point)
            except OperationFailure:
                pytest.skip("the server given with KLEIO_TEST_MONGODB has no enableTestCommands")

        yield fail
        with contextlib.suppress(OperationFailure):
            mongo_client.admin.command("configureFailPoint", "failCommand", mode="off")

    def test_a_claim_whose_reply_is_lost(self, journal, trial, failing):
        failing("findAndModify", **UNKNOWN)
        with pytest.raises(JournalUnreachable):
            journal.claim(trial.id, "e1", {"pid": 1}, 600)
        assert journal.entry(trial.id).holder == "e1"
        assert journal.claim(trial.id, "e2", {}, 600) is None
        assert journal.claim(trial.id, "e1", {"pid": 1}, 600).token == 1
        assert len(journal.entry(trial.id).events) == 1

    @pytest.mark.parametrize("failure", [UNKNOWN, {"closeConnection": True}, {"errorCode": 112}, {"errorCode": 50}])
    def test_whatever_fails_is_sent_again(self, journal, trial, failing, database, failure, tmp_path):
        (tmp_path / "file").write_bytes(b"bytes")
        event = Event("x", "annotated", 1.0, data={"tags": ["a"]})
        segment = Segment("t", "e", "w", "out", 0, 3, b"abc")
        for command, write in (
            ("update", lambda: journal.create(a_trial(id="9" * 32))),
            ("findAndModify", lambda: journal.claim(trial.id, "e1", {}, 600)),
            ("update", lambda: journal.renew(trial.id, "e1", 600)),
            ("update", lambda: journal.record(trial.id, event)),
            ("update", lambda: journal.append([segment])),
            ("update", lambda: journal.summarise(Summary(trial.id, "e", "w", 3, {}))),
            ("update", lambda: journal.put_document("d", AWKWARD)),
            ("insert", lambda: journal.put_blob("b" * 64, str(tmp_path / "file"))),
        ):
            failing(command, **failure)
            with contextlib.suppress(JournalUnreachable):  # where the driver may, it has sent it again itself
                write()
            write()
        entry = journal.entry(trial.id)
        assert (entry.holder, entry.token, entry.live, entry.tags) == ("e1", 1, True, ("a",))
        assert len(entry.events) == 2
        assert list(journal.segments("t", ["out"])) == [segment]
        assert journal.document("d") == AWKWARD
        assert journal.blob("b" * 64).read() == b"bytes"
        assert database["blobs.files"].count_documents({}) == 1
        assert journal.counts(Selection())[0] == {"new": 1, "reserved": 1}

    def test_a_refusal_is_no_outage(self, journal, trial, failing):
        failing("update", errorCode=14031)  # OutOfDiskSpace
        with pytest.raises(JournalError, match=r"the journal mongodb://.* failed") as told:
            journal.renew(trial.id, "e", 600)
        assert not isinstance(told.value, JournalUnreachable)


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("mongodb://", "malformed"),
        ("mongodb:///kleio", "malformed"),
        ("mongodb://host:port/kleio", "Port"),
        ("mongodb://host:99999/kleio", "Port"),
        ("mongodb://host/kleio?tls=maybe", "tls"),
        ("mongodb://host/kleio?retrywrite=true", "retrywrite"),
        ("mongodb://host/kleio?authsorce=admin", "authsorce"),
        ("mongodb://host/kleio?tls", "key=value"),
        ("mongodb://host/kleio?connectTimeoutMS=soon", "connecttimeoutms"),
        ("mongodb://host/kleio.trials", "dot"),
        ("mongodb://host/a$b", "database"),
        ("mongodb+srv://host:27017/kleio", "port"),
        ("mongodb://me:pass/SECRET@host/kleio", "percent-encod"),
        ("mongodb://me:pass:SECRET@host/kleio", "percent-encod"),
        ("mongodb://me:pass@SECRET@host/kleio", "percent-encod"),
        ("mongodb://me:pass%SECRET@host/kleio", "percent-encod"),
        ("mongodb://me:pass?SECRET@host/kleio", "percent-encod"),
        ("mongodb://me:SECRET@host:port/kleio", "Port"),
        ("mongodb://me:SECRET@host/kleio?tls=maybe", "tls"),
    ],
)
def test_a_malformed_address_says_what_is_wrong(uri, complaint):
    with pytest.raises(JournalError, match=f"(?i){complaint}") as told:
        open_journal(uri, timeout=0.1)
    assert not isinstance(told.value, JournalUnreachable)
    assert "SECRET" not in str(told.value)
    assert "\n" not in str(told.value)


def test_nobody_at_the_address():
    with socket.socket() as probe:  # who has a port and does not listen refuses, and nobody else gets it meanwhile
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(JournalUnreachable, match=f"nobody answers at mongodb://127.0.0.1:{port}/kleio ") as told:
            open_journal(f"mongodb://me:SECRET@127.0.0.1:{port}/kleio", timeout=0.2)
    assert "SECRET" not in str(told.value)
    assert len(str(told.value)) < 200


def test_somebody_who_accepts_and_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(JournalUnreachable, match="nobody answers"):
            open_journal(f"mongodb://127.0.0.1:{port}/kleio", timeout=0.3)


def test_a_name_that_does_not_resolve():
    with pytest.raises(JournalUnreachable):
        open_journal("mongodb://nowhere.invalid/kleio", timeout=0.3)
    with pytest.raises(JournalUnreachable):
        open_journal("mongodb+srv://cluster.nowhere.invalid/kleio", timeout=0.3)


def test_what_the_address_says_of_times_and_durability(mongo_uri):
    journal = open_journal(f"{mongo_uri}&w=1&journal=false")
    assert journal._client.options.server_selection_timeout == 120
    for one in (journal._db, journal._db.trials):
        concern = one.write_concern.document
        assert (concern["w"], concern["j"]) == ("majority", True)
    journal.close()


def test_the_database_has_a_default(mongod_with_users):
    server, _ = mongod_with_users
    journal = open_journal(patient(f"mongodb://root:root@{server.address}/?authSource=admin"))
    assert journal._db.name == "kleio"
    assert journal.uri == f"mongodb://{server.address}/"
    journal.close()


# -- users -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def users(mongod_with_users):
    """A database with a user who may write and one who may only read; their addresses."""
    server, client = mongod_with_users
    name = f"shared_{os.urandom(4).hex()}"
    for user, role in (("writer", "readWrite"), ("reader", "read")):
        client[name].command("createUser", user, pwd="p@ss/SECRET", roles=[role])
    yield {user: patient(f"mongodb://{user}:p%40ss%2FSECRET@{server.address}/{name}") for user in ("writer", "reader")}
    client.drop_database(name)


def test_a_role_that_may_read_suffices_for_reading(users, tmp_path):
    empty = open_journal(users["reader"], writing=False)
    assert empty.entries(Selection()) == []
    writer = open_journal(users["writer"])
    assert "SECRET" not in writer.uri
    trial = a_trial()
    (tmp_path / "file").write_bytes(b"bytes")
    writer.create(trial)
    writer.claim(trial.id, "e", {}, 600)
    writer.append([Segment(trial.id, "e", "w", "out", 0, 3, b"abc")])
    writer.summarise(Summary(trial.id, "e", "w", 3, {}))
    writer.put_document("d", AWKWARD)
    writer.put_blob("b" * 64, str(tmp_path / "file"))
    for reader in (empty, open_journal(users["reader"], writing=False)):
        assert reader.entry(trial.id).status == Status.RESERVED
        assert reader.resolve(trial.id[:5]) == [trial.id]
        assert reader.counts(Selection()) == ({"reserved": 1}, {})
        assert len(list(reader.segments(trial.id, ["out"]))) == len(reader.summaries([trial.id])) == 1
        assert reader.extents("e", trial.id) == {("w", "out"): 3}
        assert reader.document("d") == AWKWARD
        with reader.blob("b" * 64) as file:
            assert file.read() == b"bytes"
        reader.close()
    writer.close()


def test_a_role_that_may_only_read_cannot_write(users):
    with pytest.raises(JournalError, match=r"does not allow .*role readWrite") as told:
        open_journal(users["reader"])
    assert "SECRET" not in str(told.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [("SECRET", "SECRETX"), ("writer:", "nobody:"), ("/shared", "/other"), ("SECRET@", "SECRET@")],
)
def test_a_wrong_password(users, before, after):
    wrong = users["writer"].replace(before, after) + ("&authSource=admin" if before == after else "")
    with pytest.raises(JournalError, match=r"user or the password.*authSource") as told:
        open_journal(wrong)
    assert not isinstance(told.value, JournalUnreachable)
    assert "SECRET" not in str(told.value)


def test_no_password(users, mongod_with_users):
    server, _ = mongod_with_users
    with pytest.raises(JournalError, match=r"does not allow"):
        open_journal(patient(f"mongodb://{server.address}/kleio"))
