"""Runs of Sacred's ``MongoObserver``, read with pymongo as they lie in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kleio.core.errors import KleioError, in_words
from kleio.core.importing.found import Damage, File, nanoseconds
from kleio.core.importing.sacred_run import SacredRun
from kleio.core.redact import address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

DATABASE = "sacred"
"""Which Sacred uses where none is named."""
PATIENCE = 5000  # milliseconds


def find(uri: str) -> Iterator[SacredRun | Damage]:
    """All runs of a database. Raises KleioError where nobody answers, or there are none."""
    from pymongo import MongoClient  # 100 ms
    from pymongo.errors import PyMongoError

    where = address(uri)
    try:
        patience: dict[str, Any] = {} if "serverSelectionTimeoutMS" in uri else {"serverSelectionTimeoutMS": PATIENCE}
        client: MongoClient[Any] = MongoClient(uri, **patience)
        with client:
            database = client.get_default_database(DATABASE)
            none = True
            for name in sorted(database.list_collection_names()):
                if name == "runs" or name.endswith("_runs"):
                    for document in database[name].find().sort("_id", 1):
                        none = False
                        try:
                            one: SacredRun | Damage = Stored(database, name, document, where)
                        except (ValueError, TypeError, RecursionError, MemoryError) as error:
                            number = str(document.get("_id"))
                            one = Damage(number, f"{where}#{name}/{number}", in_words(error))
                        yield one
            if none:
                raise KleioError(f"there are no runs of Sacred in {where} (database {database.name})")
    except PyMongoError as error:
        raise KleioError(f"{where} cannot be read: {' '.join(str(error).split()).partition(' (configured')[0][:200]}") from None


class Stored(SacredRun):
    """One run. Its metrics are documents beside it, its files in GridFS."""

    def __init__(self, database: Any, collection: str, document: Mapping[str, Any], where: str) -> None:
        number = str(document.get("_id"))
        self._database, self._prefix = database, collection.removesuffix("runs")
        super().__init__(document, number, f"{where}#{collection}/{number}")

    def metrics(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for one in self._database[f"{self._prefix}metrics"].find({"run_id": self._document["_id"]}):
            yield str(one.get("name")), one

    def config(self) -> Any:
        return self._document.get("config")

    def output(self) -> bytes:
        return str(self._document.get("captured_out") or "").encode("utf-8", "surrogateescape")

    def files(self) -> Iterator[File]:
        ended = nanoseconds(self._ended() or 0.0)
        document = self._document
        for one in document.get("artifacts") or ():
            yield from self._file(str(one.get("name")), one.get("file_id"), ended)
        for name, file in (document.get("experiment") or {}).get("sources") or ():
            yield from self._file(f"sources/{name}", file, ended)
        if document.get("resources"):
            for _ in document["resources"]:
                self.leave_out("resources")

    def _file(self, name: str, file: Any, when: int) -> Iterator[File]:
        from gridfs import GridFS
        from gridfs.errors import NoFile

        try:
            stored = GridFS(self._database).get(file)
            meta = dict(stored.metadata or {})
            meta.pop("run_id", None)
            yield File(name, stored.read(), when, meta)
        except NoFile:
            self.leave_out("files that are not there")
