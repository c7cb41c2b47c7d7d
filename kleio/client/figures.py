"""Figures as files, with what they were drawn by in their metadata."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def current_figure() -> Any:
    """What ``plt.gcf()`` gives, where there is a figure at all. Raises ImportError without matplotlib, else ValueError."""
    try:
        from matplotlib import pyplot  # whoever has a figure has it loaded
    except ImportError as error:
        raise ImportError(f"a figure needs matplotlib, which cannot be imported ({error}): pip install matplotlib") from None
    if not pyplot.get_fignums():
        raise ValueError("there is no figure; draw one first, or pass it as figure=")
    return pyplot.gcf()


def saved(figure: Any, kind: str | None, title: str, options: dict[str, Any]) -> tuple[bytes, str]:
    """The figure as a file, and in which format. What it was drawn by and for is in its metadata where a format has that."""
    import io

    if hasattr(figure, "get_children") and len(figure.get_children()) <= 1:  # its background
        raise ValueError("there is nothing to plot")
    if kind is None:
        from matplotlib import rcParams

        kind = str(rcParams["savefig.format"])
    metadata = {**_metadata(kind, title), **(options.pop("metadata", None) or {})}
    if metadata:
        options["metadata"] = metadata
    file = io.BytesIO()
    figure.savefig(file, format=kind, **options)
    return file.getvalue(), kind


def _metadata(kind: str, title: str) -> dict[str, str]:
    """What made it, by the names that the format allows."""
    from kleio.client.circumstances import command

    trial, words = os.environ.get("KLEIO_TRIAL_ID", ""), command()
    said = f"{f'kleio trial {trial}: ' if trial else ''}{words}"
    if kind == "png":
        return {"Title": title, "Kleio-Command": words} | ({"Kleio-Trial": trial} if trial else {})
    if kind == "pdf":
        return {"Title": title, "Subject": said}
    if kind in ("svg", "svgz"):
        return {"Title": title, "Description": said}
    return {"Creator": said} if kind in ("ps", "eps") else {}
