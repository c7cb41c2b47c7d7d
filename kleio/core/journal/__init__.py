"""Journals by their address."""

from __future__ import annotations

from kleio.core.errors import JournalError
from kleio.core.journal.base import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.journal.base import Journal


def open_journal(uri: str, timeout: float = 3.0, writing: bool = True) -> Journal:
    """The journal at ``uri``: ``sqlite:///path`` (absolute: four slashes), ``mongodb://…`` or ``mongodb+srv://…``.

    ``timeout`` is how many seconds to wait for a server that does not answer. With ``writing`` false nothing is
    created or changed, and a role that may only read suffices. Raises JournalError, JournalUnreachable.
    """
    return _opened(uri, timeout, writing, upgrading=False)


def upgrade(uri: str, timeout: float = 3.0) -> int:
    """Bring the journal at ``uri`` up to the schema of this kleio: the schema it had. One that is not there is made.

    It only adds, and what a kleio that was started before still writes is taken as ever. May be repeated, by several at
    once. Raises JournalError, JournalUnreachable; then the journal reads as before, and the next call goes on.
    """
    from kleio.core.indexing import index_others

    journal = _opened(uri, timeout, writing=True, upgrading=True)
    try:
        version = journal.upgrade()
        index_others(journal)
        return version
    finally:
        journal.close()


def _opened(uri: str, timeout: float, writing: bool, upgrading: bool) -> Journal:
    scheme = uri.partition("://")[0]
    if scheme == "sqlite":
        from kleio.core.journal.sqlite import SqliteJournal

        return SqliteJournal(uri, writing=writing, upgrading=upgrading)
    if scheme in ("mongodb", "mongodb+srv"):
        from kleio.core.journal.mongo import MongoJournal  # pymongo costs 90 ms

        return MongoJournal(uri, timeout=timeout, writing=writing, upgrading=upgrading)
    raise JournalError(
        f"the journal's address {place(uri)!r} is not one kleio knows; "
        "write sqlite:///PATH (sqlite:////PATH when absolute) or mongodb://HOST/DATABASE"
    )
