"""Trials for other tools, and for people: everything of them, in forms that need no kleio.

One module a target writes a trial (:data:`TARGETS`); :mod:`kleio.core.exports.material` is what they write,
:mod:`kleio.core.exports.laying` puts directories in their places; :func:`exported` goes through the trials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module

from kleio.core.errors import JournalUnreachable, KleioError, in_words
from kleio.core.exports.material import Material

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kleio.core.reading.source import Source
    from kleio.core.trial import Entry

TARGETS = ("tensorboard", "mlflow", "csv", "folder")
"""One module of this name here each, with ``target(place)``: a context in which ``write(material)`` says where a trial is now.
It raises KleioError where nothing can be written at all."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of a trial. ``path`` is where it is now, None where it could not be written, for a ``reason``.

    ``points`` and ``artifacts`` count what was written, ``left_out`` by its kind what the target has no place for; ``remarks``
    say what else was not written.
    """

    trial: str
    name: str | None
    path: str | None
    points: int = 0
    artifacts: int = 0
    reason: str | None = None
    remarks: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


def exported(
    kind: str, place: str, source: Source, entries: Sequence[Entry], say: Callable[[str, int], None]
) -> Iterator[Exported]:
    """Write trials; what became of each. ``say`` hears of a trial's name, and how many points are written so far.

    Each is written whole or not at all, in the place of what an earlier export wrote of it; one that cannot be written
    stops no other. Raises KleioError where nothing can be written, JournalUnreachable where nothing can be read.
    """
    with import_module(f"kleio.core.exports.{kind}").target(place) as target:
        for entry in entries:
            material = Material(source, entry, say)
            try:
                path = target.write(material)
            except JournalUnreachable:
                raise
            except (KleioError, OSError) as error:
                yield Exported(entry.id, entry.name, None, reason=in_words(error))
            else:
                told = None, tuple(material.remarks), material.left_out
                yield Exported(entry.id, entry.name, path, material.points, material.kept, *told)
