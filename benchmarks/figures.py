"""What a benchmark found."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Figure:
    """``limit`` is what is promised, ``wanted`` what is aimed at; of rates the larger is the better."""

    name: str
    measured: float
    unit: str
    wanted: float | None = None
    limit: float | None = None
    floor: float | None = None
    rate: bool = False

    @property
    def kept(self) -> bool | None:
        if self.limit is None:
            return None
        return self.measured >= self.limit if self.rate else self.measured <= self.limit
