"""What a journal holds of some code, looked through before anybody relies on its shape: journals get damaged, or forged."""

from __future__ import annotations

from kleio.core.errors import JournalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal

DEEPEST = 50


def recorded_code(journal: Journal, digest: str | None) -> dict[str, Any] | None:
    """The code document with this digest, None where there is none. Raises JournalError for one that makes no sense."""
    document = journal.document(digest) if digest else None
    if document is not None and not _is_sound(document, 0):
        raise JournalError(f"what the journal {journal.uri} holds of this code ({digest}) is damaged and cannot be used")
    return document


def _is_sound(document: Mapping[str, Any], depth: int) -> bool:
    inner = document.get("submodules") or {}
    return (
        document.get("kind") in ("git", "files")
        and depth < DEEPEST
        and all(check(document.get(name)) for name, check in _SHAPES.items() if document.get(name) is not None)
        and isinstance(inner, dict)
        and all(isinstance(one, dict) and _is_sound(one, depth + 1) for one in inner.values())
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_change(value: Any) -> bool:
    if value is None:
        return True
    fits = isinstance(value, list) and len(value) == 4
    return fits and _is_text(value[0]) and _is_text(value[1]) and all(one is None or type(one) is int for one in value[2:])


def _is_left_out(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(_is_text(value.get(name)) for name in ("path", "why"))
        and all(type(value.get(name)) in (int, float) for name in ("size", "time"))
    )


def _table_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


_SHAPES: dict[str, Callable[[Any], bool]] = {
    "commit": _is_text, "branch": _is_text, "remote": _is_text, "fingerprint": _is_text, "pack": _is_text,
    "changes": _table_of(_is_change), "outside": _table_of(_is_change), "config": _table_of(_is_text),
    "left_out": _list_of(_is_left_out), "untracked": _list_of(_is_text),
}  # fmt: skip
