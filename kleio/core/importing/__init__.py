"""Runs that other tools recorded, as trials of a journal.

One module a source finds its runs and reads them (:data:`SOURCES`); :mod:`kleio.core.importing.found` is what they make of
them; :mod:`kleio.core.importing.recording` writes that into a journal, the same way for all; :func:`imported` goes through
everything that was named.
"""

from __future__ import annotations

from importlib import import_module

from kleio.core.errors import JournalError, KleioError, in_words
from kleio.core.importing.found import Damage
from kleio.core.importing.recording import Recorded, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kleio.core.importing.found import Run
    from kleio.core.importing.recording import Into

SOURCES = ("tensorboard", "mlflow", "sacred", "csv")
"""One module of this name here each, with ``find(place)``: the runs there, and the :class:`Damage` of those that cannot be
read. It raises KleioError where there is nothing of the kind at all."""


def imported(kind: str, places: Sequence[str], into: Into, say: Callable[[str, int], None]) -> Iterator[Recorded]:
    """Import all runs of ``places``; what became of each. ``say`` hears of a run's name, and how many points there are of it.

    One that cannot be read stops no other. Raises KleioError where nothing can be imported: no such place, no such library,
    no journal.
    """
    source = import_module(f"kleio.core.importing.{kind}")
    for place in places:
        for one in source.find(place):
            yield Recorded.failed(one) if isinstance(one, Damage) else _tried(kind, one, into, say)


def _tried(kind: str, run: Run, into: Into, say: Callable[[str, int], None]) -> Recorded:
    try:
        return record(kind, run, into, lambda points: say(run.name, points))
    except JournalError:
        raise
    except (KleioError, OSError) as error:
        return Recorded.failed(Damage(run.name, run.place, in_words(error)))
    except Exception as error:  # noqa: BLE001 - a file may hold anything, and the libraries that read it raise anything
        return Recorded.failed(Damage(run.name, run.place, f"{type(error).__name__}: {in_words(error)}"))
