"""The shared journal: a MongoDB database of its own, server 4.4 or newer.

Whatever the user says (parameters, event data, documents) is stored as JSON text and never as BSON: keys with ``$``,
dots or NUL, integers beyond 64 bits and lone surrogates come back as they went in. A trial carries its events, so a
claim is one atomic update of one document. Leases are decided by the server's clock (``$$NOW``, ms), wherever the
launchers are. Every write is acknowledged by a majority and is in the server's own journal: without ``j``, killing a
standalone server lost acknowledged writes.
"""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager, suppress

from bson.errors import BSONError
from pymongo import IndexModel, MongoClient
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from kleio.core.errors import JournalError, JournalUnreachable
from kleio.core.journal import pipelines
from kleio.core.journal.base import SCHEMA, Journal, newer, outdated, place, storable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Document = dict[str, Any]

DATABASE = "kleio"  # when the URI names none
PATIENCE = 30_000  # milliseconds for one answer of a server that is there: a list of all trials may take a while

INDEXES = {
    "trials": [
        IndexModel([("work_key", 1)]),
        IndexModel([("project", 1), ("created", -1), ("_id", -1)]),
        IndexModel([("created", -1), ("_id", -1)]),
        IndexModel([("parent", 1)], sparse=True),
        IndexModel([("unindexed", 1)], partialFilterExpression={"unindexed": True}),
        IndexModel([("holder", 1)], partialFilterExpression={"holder": {"$type": "string"}}),
    ],
    "cards": [
        IndexModel([("created", -1), ("_id", -1)]),
        IndexModel([("$**", 1)], wildcardProjection={"f": 1, "j": 1, "h": 1}),
    ],
    # It holds whatever says which bytes are there, so that nobody reads payloads to learn that.
    "segments": [
        IndexModel([*((f"_id.{part}", 1) for part in pipelines.SEGMENT), ("end", 1)]),
        IndexModel([("sealed", 1)], sparse=True),
    ],
    "summaries": [IndexModel([("_id.trial", 1)])],
    "traces": [IndexModel([("_id.key", 1)])],
    "blobs.files": [IndexModel([("filename", 1)], unique=True)],
    "blobs.chunks": [IndexModel([("files_id", 1), ("n", 1)], unique=True)],
}
OWN = {*INDEXES, "documents", "gone", "journal"}


class MongoDatabase(Journal):
    """What a journal in MongoDB does with its database; what is in the collections is for who inherits from it."""

    def __init__(self, uri: str, timeout: float = 3.0, writing: bool = True, upgrading: bool = False) -> None:
        self.uri = place(uri)
        self._reading_only, self._upgrading = not writing, upgrading
        self._seals: dict[str, list[Document]] = {}
        self._client = _connect(uri, self.uri, timeout)
        self._db = self._client.get_default_database(DATABASE)
        try:
            with self.told():
                self._check_schema()
        except BaseException:
            self.close()
            raise

    def _check_schema(self) -> None:
        schema = self._db.journal.find_one({"_id": "schema"})
        if schema is None:
            self._first_use()
        elif not isinstance(version := schema.get("version"), int):
            raise JournalError(f"the database at {self.uri} is no kleio journal; name another")
        elif version > SCHEMA:
            raise newer(self.uri, version)
        elif version < SCHEMA and not self._upgrading:
            raise outdated(self.uri, version)

    def _first_use(self) -> None:
        """Any number of first users may come here together; each step may be repeated, and the mark comes last."""
        names = self._db.list_collection_names()
        if foreign := sorted(name for name in names if name not in OWN and not name.startswith("system.")):
            raise JournalError(
                f"the database at {self.uri} holds something else ({foreign[0]}), but no kleio journal; "
                "name another: mongodb://HOST/DATABASE"
            )
        if self._reading_only:
            return
        self._make_indexes()
        self._insert("journal", "schema", {"version": SCHEMA})

    def _make_indexes(self) -> None:
        for name, indexes in INDEXES.items():
            self._db[name].create_indexes(indexes)

    def upgrade(self) -> int:
        """Each step may be repeated and goes together with others; the mark comes last."""
        with self._writing():
            version = int((self._db.journal.find_one({"_id": "schema"}) or {"version": SCHEMA})["version"])
            if version < SCHEMA:
                self._make_indexes()
                self._db.trials.update_many({}, {"$set": {"unindexed": True}})
            if version < 2:
                for one in self._db.trials.find({"parent": {"$exists": False}}, {"body": 1}):
                    if parent := json.loads(one["body"]).get("parent"):
                        self._db.trials.update_one({"_id": one["_id"]}, {"$set": {"parent": storable(parent)}})
            if version < SCHEMA:
                self._db.journal.update_one({"_id": "schema", "version": {"$lt": SCHEMA}}, {"$set": {"version": SCHEMA}})
        return version

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """The one place where MongoDB's errors become kleio's; the last three are those that are no PyMongoError."""
        try:
            yield
        except (PyMongoError, BSONError, OverflowError, UnicodeEncodeError) as error:
            raise _explained(self.uri, error) from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._reading_only:
            raise JournalError(f"{self.uri} was opened for reading only")
        with self.told():
            yield

    def _insert(self, collection: str, key: Any, document: Document) -> None:
        """Unless a document with this ``_id`` is there. Of two at once the server may refuse one as a duplicate."""
        with suppress(DuplicateKeyError):
            self._db[collection].update_one({"_id": key}, {"$setOnInsert": document}, upsert=True)


def _connect(uri: str, address: str, timeout: float) -> MongoClient[Document]:
    """A client that has not yet said a word to the server. What the URI says of times is respected.

    Polling, the driver watches the server through one connection, not two.
    """
    soon = max(1, pipelines.milliseconds(timeout))  # 0 would mean for ever
    wanted = {
        "serverSelectionTimeoutMS": soon,
        "connectTimeoutMS": soon,
        "socketTimeoutMS": max(soon, PATIENCE),
        "wTimeoutMS": max(soon, PATIENCE),
        "serverMonitoringMode": "poll",
        "appname": "kleio",
    }
    options = {name: value for name, value in wanted.items() if f"{name}=".lower() not in uri.lower()}
    if "." in address.partition("://")[2].partition("/")[2]:
        raise JournalError(f"the journal's address {address} names a database with a dot, which MongoDB forbids")
    try:
        return _client(uri, options)
    except (PyMongoError, Warning, ValueError, TypeError) as error:
        if _passing(error):
            raise _explained(address, error) from None
        raise JournalError(f"the journal's address {address} is malformed: {_fault(uri, options, error)}") from None


def _client(uri: str, options: Mapping[str, Any]) -> MongoClient[Document]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a misspelt option, or tls=maybe, the driver only warns
        return MongoClient(uri, w="majority", journal=True, **options)


def _fault(uri: str, options: Mapping[str, Any], error: Exception) -> str:
    """What the driver has against ``uri``. Its words may quote the password, so it is asked again without one."""
    scheme, _, rest = uri.partition("://")
    if "@" not in rest:
        return _line(error)
    try:
        _client(f"{scheme}://{rest.rpartition('@')[2]}", options).close()
    except (PyMongoError, Warning, ValueError, TypeError) as without:
        return _line(without)
    return "write reserved characters in user and password (as / : @ ? %) in percent-encoding, as %2F"


def _explained(address: str, error: Exception) -> JournalError:
    """One line that says what to do; whether the server did not answer, or refused."""
    code = _code(error)
    if isinstance(error, ServerSelectionTimeoutError):
        return JournalUnreachable(f"nobody answers at {address} ({_line(error)})")
    if _passing(error):
        return JournalUnreachable(f"the journal {address} went away ({_line(error)})")
    if code == AUTHENTICATION_FAILED:
        return JournalError(f"{address} refuses the user or the password; check both, and authSource=, in the URI")
    if code == UNAUTHORIZED:
        return JournalError(f"{address} does not allow this ({_line(error)}); name a user with the role readWrite")
    if code in TOO_LARGE or isinstance(error, (DocumentTooLarge, OverflowError)):
        return JournalError(f"a value is too large for the journal {address} ({_line(error)}); log it as an artifact")
    return JournalError(f"the journal {address} failed: {_line(error)}")


AUTHENTICATION_FAILED = 18
UNAUTHORIZED = 13
TOO_LARGE = (10334, 17419, 17420)
PASSING = (6, 7, 24, 50, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436)
"""Of hosts and sockets, locks, time limits, conflicts, primaries that step down and servers that shut down."""


def _passing(error: Exception) -> bool:
    """Whether sending it again may help."""
    if isinstance(error, BulkWriteError) and error.details["writeConcernErrors"]:
        return True
    if isinstance(error, OperationFailure):
        return _code(error) in PASSING or isinstance(error, WriteConcernError)
    # Names that no name server resolves, as without a network, are no fault of the URI.
    unresolved = isinstance(error, ConfigurationError) and type(error.__cause__).__module__.startswith("dns.")
    return unresolved or isinstance(error, ConnectionFailure)


def _code(error: Exception) -> int | None:
    """What the server calls the error; of many writes that failed, the first says it."""
    if isinstance(error, BulkWriteError):
        return next((int(one["code"]) for one in error.details["writeErrors"]), None)
    return error.code if isinstance(error, OperationFailure) else None


def _line(error: Exception) -> str:
    """The driver's words without its account of the topology."""
    said = str(error)
    if isinstance(error, BulkWriteError):
        said = "; ".join(one["errmsg"] for one in error.details["writeErrors"][:1])
    for verbose in (" (configured timeouts", ", Timeout:", ", full error:"):
        said = said.partition(verbose)[0]
    return " ".join(said.split())[:300]
