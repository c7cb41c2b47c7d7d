"""Libraries that kleio can do without, loaded where something needs them."""

from __future__ import annotations

from importlib import import_module

from kleio.core.errors import KleioError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def needed(name: str, extra: str, need: str) -> Any:
    """The module ``name``, which the extra ``extra`` of kleio brings along. Raises KleioError that begins with ``need``."""
    try:
        return import_module(name)
    except ImportError as error:
        absent = (error.name or "").partition(".")[0] == name.partition(".")[0]
        why = "" if absent else f" (it is there, but: {' '.join(str(error).split())[:200]})"
        raise KleioError(f"{need} {name.partition('.')[0]}: pip install 'kleio[{extra}]'{why}") from None
