"""``plot("loss")``: the current matplotlib figure into the output directory, numbered, and cleared for the next."""

from __future__ import annotations

import os

from kleio.client.figures import current_figure, saved
from kleio.client.logger import kleio_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_TRIES = 10_000


def plot(name: str = "", figure: Any = None, format: str | None = None, **options: Any) -> Path | None:  # noqa: A002
    """Save the current figure, or ``figure``, as ``0001-NAME.png`` in the output directory, with the trial in its metadata,
    and clear it. Where it is now; None where that is not to be had, which is said.

    ``format`` is one that matplotlib knows, else what the name ends with, else matplotlib's own choice. ``options`` are those
    of ``savefig``. Raises ImportError where there is no matplotlib.
    """
    try:
        found = figure if figure is not None else current_figure()
        kind = format or _format_of(name, found)
        if kind and name.endswith(f".{kind}"):
            name = name[: -len(kind) - 1]
        content, kind = saved(found, kind, name, options)
        path = _numbered(name, kind, content)
        found.clear()
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 - a figure is drawn only now, by anybody's code
        kleio_logger._refuse(error, f"the plot {name!r} is not saved")
        return None
    return path


def _format_of(name: str, figure: Any) -> str | None:
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    known = figure.canvas.get_supported_filetypes() if ending else ()
    return ending if ending in known else None


def _numbered(name: str, kind: str, content: bytes) -> Path:
    """Write it under the next number that is free."""
    from kleio.client.outputs import directory
    from kleio.core.outputs import fitting

    place = directory()
    numbers = [one.partition("-")[0].partition(".")[0] for one in os.listdir(place)]
    last = max((int(one) for one in numbers if one.isascii() and one.isdecimal()), default=0)
    fits = fitting(name)
    for number in range(last + 1, last + _TRIES):
        path = place / f"{number:04d}{f'-{fits}' if fits else ''}.{kind}"
        try:
            with open(path, "xb") as file:
                file.write(content)
        except FileExistsError:  # another process was quicker
            continue
        return path
    raise FileExistsError(f"no number is free in {place}")
