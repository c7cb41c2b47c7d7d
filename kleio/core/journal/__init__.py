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
    scheme = uri.partition("://")[0]
    if scheme == "sqlite":
        from kleio.core.journal.sqlite import SqliteJournal

        return SqliteJournal(uri, writing=writing)
    if scheme in ("mongodb", "mongodb+srv"):
        from kleio.core.journal.mongo import MongoJournal  # pymongo costs 90 ms

        return MongoJournal(uri, timeout=timeout, writing=writing)
    raise JournalError(
        f"the journal's address {place(uri)!r} is not one kleio knows; "
        "write sqlite:///PATH (sqlite:////PATH when absolute) or mongodb://HOST/DATABASE"
    )
