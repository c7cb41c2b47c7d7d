"""Kleiṓ, an experiment journal: one word in front of any command, and the run can be found again."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.reading.journal import Journal


def connect(uri: "str | None" = None) -> "Journal":
    """Open a journal for reading: the one at ``uri``, else the one that the settings name, as for the commands.

    ``uri`` is ``sqlite:///PATH`` (absolute: four slashes) or ``mongodb://HOST/DATABASE``. Nothing is ever written. A SQLite
    journal that is not there yet reads as empty until the first run makes it. Use it as a context manager, or ``close()`` it.
    Raises :class:`~kleio.core.errors.JournalUnreachable` where nobody answers, :class:`~kleio.core.errors.JournalError` for
    what is no journal, :class:`~kleio.core.errors.UsageError` for settings that make no sense.
    """
    from kleio.core.reading.journal import Journal  # nothing that launches or logs pays for it

    return Journal.opened(uri)
