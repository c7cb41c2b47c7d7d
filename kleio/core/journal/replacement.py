"""What a scrub hands to the journal. A module of its own, because no launch needs it."""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.core.journal.base import Segment, Summary, Trace
    from kleio.core.trial import Event, Trial


@dataclass(frozen=True, slots=True)
class Replacement:
    """What takes the place of what is stored of one trial, when something in it must not be kept.

    ``events`` name by their ids those whose data are replaced; ``segments`` and ``summaries`` replace those with the same
    key and the same end; ``documents`` maps digests to what is kept under them from now on; ``traces`` are taken away.
    """

    trial: str
    body: Trial | None = None
    events: tuple[Event, ...] = ()
    segments: tuple[Segment, ...] = ()
    summaries: tuple[Summary, ...] = ()
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    traces: tuple[Trace, ...] = ()
