"""Bytes in the shared journal: GridFS, where a file's name is the digest of its bytes."""

from __future__ import annotations

import io
from contextlib import suppress

from bson import ObjectId
from pymongo.errors import DuplicateKeyError, PyMongoError

from kleio.core.errors import JournalError, Scrubbed
from kleio.core.journal.base import SCHEMA
from kleio.core.journal.mongo_database import MongoDatabase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    from _typeshed import WriteableBuffer
    from gridfs import GridFSBucket, GridIn, GridOut

    Document = dict[str, Any]

ROUNDS = 50
"""Times that two may take bytes from each other."""
CHUNK = 255 << 10  # bytes of an artifact in one document: twice as fast as 4 MiB


class MongoBlobs(MongoDatabase):
    """What the contract (:class:`~kleio.core.journal.base.Journal`) says of blobs."""

    _blobs: GridFSBucket | None = None

    def _bucket(self) -> GridFSBucket:
        if self._blobs is None:
            from gridfs import GridFSBucket  # only where there are artifacts

            self._blobs = GridFSBucket(self._db, "blobs", chunk_size_bytes=CHUNK)
        return self._blobs

    def put_blob(self, sha256: str, path: str) -> bool:
        with self._writing():
            if self._db["blobs.files"].find_one({"filename": sha256}, {"_id": 1}) is not None or self._is_gone(sha256):
                return False
            try:
                with open(path, "rb") as file:
                    stored = self._upload(sha256, file)
            except OSError as error:
                raise JournalError(f"cannot read artifact bytes from {path}: {error.strerror}") from None
            if self._is_gone(sha256):  # since
                self._delete(sha256)
            return stored

    def _upload(self, sha256: str, file: BinaryIO) -> bool:
        """The document that lists the bytes is written last, by ``close``, when all of them are in the journal."""
        from gridfs.errors import FileExists

        upload = self._bucket().open_upload_stream(sha256)
        try:
            while piece := file.read(CHUNK):
                upload.write(piece)
        except BaseException:
            with suppress(PyMongoError):
                self._forget(upload)
            raise
        try:
            upload.close()
        except FileExists:  # somebody else was quicker
            stored = self._db["blobs.files"].find_one({"filename": sha256}, {"_id": 1})
            if stored is None or stored["_id"] != upload._id:  # noqa: SLF001 - GridFS spells its public id so
                self._forget(upload)
                if stored is None:  # and it was released since
                    file.seek(0)
                    return self._upload(sha256, file)
                return False
        # After any other failure nobody knows whether it is listed: the chunks stay, and gc finds the orphans.
        return True

    def _forget(self, upload: GridIn) -> None:
        self._db["blobs.chunks"].delete_many({"files_id": upload._id})  # noqa: SLF001 - as above

    def blob(self, sha256: str) -> BinaryIO | None:
        with self.told():
            from gridfs.errors import NoFile

            while listed := self._listed(sha256):
                for stored in listed:
                    with suppress(NoFile):  # released in this very moment: the others, or what is there now
                        return io.BufferedReader(_Blob(self, self._bucket().open_download_stream(stored["_id"])), CHUNK)
            if self._is_gone(sha256):
                raise Scrubbed(f"the bytes {sha256[:12]} were scrubbed from the journal {self.uri}")
            return None

    def _listed(self, sha256: str) -> list[Document]:
        """The files with these bytes: what is in sight first, then what is about to be released."""
        named = {"filename": {"$gte": sha256, "$lt": f"{sha256}/"}}  # a name out of sight is the digest, a dot, and more
        return list(self._db["blobs.files"].find(named, {"filename": 1}).sort("filename", 1))

    def _is_gone(self, sha256: str) -> bool:
        return self._db.gone.find_one({"_id": sha256}) is not None

    def delete_blob(self, sha256: str) -> None:
        with self._writing():
            self._insert("gone", sha256, {"schema": SCHEMA})
            self._delete(sha256)

    def release(self, sha256: str, needed: Callable[[], bool]) -> bool:
        with self._writing():
            if self._db.read_preference.mode != 0:  # reads elsewhere than from the primary may not see who needs it
                return False
            taken = self._doom(sha256)
        if not taken:
            return False
        spared = True
        try:
            spared = needed()
        finally:
            with self._writing():
                deleted = [one for one in taken if not (spared and self._spare(sha256, one)) and self._drop(one)]
        return not spared and bool(deleted)

    def _doom(self, sha256: str) -> list[Document]:
        """Give the bytes names of this call's own, which nobody who decided earlier deletes under: the files, so named.

        What another puts back, or takes over, between a look and the renaming has yet another name by then.
        """
        taken: list[Document] = []
        for _ in range(ROUNDS):
            seen = [one for one in self._listed(sha256) if one not in taken]
            for one in seen:
                own = f"{sha256}.{ObjectId()}"
                if self._db["blobs.files"].update_one(one, {"$set": {"filename": own}}).matched_count:
                    taken.append({"_id": one["_id"], "filename": own})
            if not seen:
                break
        return taken

    def _spare(self, sha256: str, doomed: Document) -> bool:
        """Put it back, unless another has taken it over; False if the same bytes have been stored anew."""
        try:
            self._db["blobs.files"].update_one(doomed, {"$set": {"filename": sha256}})
        except DuplicateKeyError:
            return False
        if self._is_gone(sha256):  # meanwhile
            self._delete(sha256)
        return True

    def _drop(self, doomed: Document) -> bool:
        """Delete it, unless another has taken it over. What is not listed is not there, so the list comes first."""
        if not self._db["blobs.files"].delete_one(doomed).deleted_count:
            return False
        self._db["blobs.chunks"].delete_many({"files_id": doomed["_id"]})
        return True

    def _delete(self, sha256: str) -> None:
        """The chunks first: what is listed without its bytes is no secret, and is found again by who repeats this."""
        for file in self._listed(sha256):
            self._db["blobs.chunks"].delete_many({"files_id": file["_id"]})
            self._db["blobs.files"].delete_one({"_id": file["_id"]})


class _Blob(io.RawIOBase):
    """Bytes in GridFS as a file, whose errors are the journal's."""

    def __init__(self, journal: MongoDatabase, stored: GridOut) -> None:
        self._journal = journal
        self._stored = stored

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with self._journal.told():
            piece = self._stored.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stored.seek(offset, whence)

    def tell(self) -> int:
        return self._stored.tell()
