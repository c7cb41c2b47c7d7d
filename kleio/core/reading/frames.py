"""Trials as a table of pandas."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kleio.core.reading.source import Source
    from kleio.core.reading.trials import Trials


def of_trials(source: Source, trials: Trials) -> Any:
    """One row a trial."""
    raise NotImplementedError
