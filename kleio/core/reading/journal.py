"""A journal, opened for reading."""

from __future__ import annotations

from collections.abc import Iterable

from kleio.core.config import Config
from kleio.core.journal.base import Selection
from kleio.core.lookup import resolve
from kleio.core.reading.readonly import ReadOnly
from kleio.core.reading.source import Source
from kleio.core.reading.trial import Trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.core.reading.trials import Trials


NEWEST_FIRST = [("created", True)]
"""How journals sort without being told; then they need not look at a single fact."""


class Journal(ReadOnly):
    """Where trials live, for reading: what :func:`kleio.connect` returns.

    It may be used by several threads, and after a fork by parent and child, each of which has a connection of its own.
    """

    _source: Source

    def __init__(self, source: Source) -> None:
        self.__dict__["_source"] = source

    @classmethod
    def opened(cls, uri: str | None = None) -> Journal:
        """See :func:`kleio.connect`."""
        if uri is not None and not isinstance(uri, str):
            raise TypeError(f"a journal's address is a text, as sqlite:///PATH, not of type {type(uri).__name__}")
        return cls(Source(Config({"journal": uri})))

    @property
    def uri(self) -> str:
        """Its address, without a password."""
        return self._source.uri

    @property
    def absent(self) -> bool:
        """Whether there is nothing at its address yet; it reads as empty, and is looked for again."""
        return self._source.journal.absent

    def trial(self, prefix: str, *, all_executions: bool = False) -> Trial:
        """The one trial whose id begins with ``prefix``.

        ``last`` is the newest: of the project of the working directory, or of all where that has none. Raises UnknownTrial,
        which says what to do. With ``all_executions`` what was given up by resuming from before it is read as well.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"the beginning of an id, or 'last', is a text, not of type {type(prefix).__name__}")
        entry = resolve(self._source.journal, prefix, self._source.config)
        return Trial(self._source, self._source.seen([entry])[0], all_executions=all_executions)

    def trials(
        self,
        where: str | Sequence[str] | None = None,
        sort: str | Sequence[str] = "-created",
        limit: int | None = None,
        *,
        project: str | None = None,
        all_executions: bool = False,
    ) -> Trials:
        """The trials that a query holds for, as ``kleio ls --all-projects`` gives them. They are looked for when they are used.

        ``where`` is as for ``kleio ls --where``; of several all must hold. ``sort`` is the name of a field, as
        ``summary.loss.min``, with ``-`` before it for the greatest first; of several the first counts most. At most ``limit``;
        None is all. ``project`` is the name of one. With ``all_executions`` they are read with what was given up by resuming
        from before it; queries do not see that. Raises QueryError, which is a UsageError, for what is no query.
        """
        from kleio.core import choosing  # with the query language: only who looks for something pays for it
        from kleio.core.reading.trials import Trials, Wanted

        if limit is not None and not hasattr(limit, "__index__"):
            raise TypeError(f"limit is a whole number, not of type {type(limit).__name__}")
        if limit is not None and limit < 0:
            raise ValueError(f"limit={limit} is less than none; leave it away for all")
        journal = self._source.journal
        chosen = choosing.Chosen(project=project, where=_several(where))
        order = choosing.order(journal, _several(sort))
        node = choosing.condition(journal, chosen)
        return Trials(self._source, Wanted(node, [] if order == NEWEST_FIRST else order, limit, all_executions=all_executions))

    def statuses(self, project: str | None = None) -> dict[str, int]:
        """How many trials have which status, of one project or of all."""
        return self._source.journal.counts(Selection(project=project))[0]

    def close(self) -> None:
        """Give its connection back. What was read stays; reading more raises JournalError."""
        self._source.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {self.uri}>"

    def _repr_html_(self) -> str:
        from kleio.core.reading.notebook import journal

        return journal(self)


def _several(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None or isinstance(given, str):
        return () if given is None else (given,)
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(one, str) for one in found):
        raise TypeError(f"where and sort are texts, or lists of them, not {given!r}")
    return found
