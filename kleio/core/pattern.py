"""What is to be taken out of a record: a text or an expression, looked for in texts, in bytes, and in nested values.

A text is found in UTF-8 and as JSON may write it, escaped; an expression in the decoded text.
"""

from __future__ import annotations

import json
import re

from kleio.core.errors import UsageError
from kleio.core.redact import GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any, BinaryIO

LONGEST = 1 << 16
"""Bytes that a match of an expression may have to be found for certain across the borders of what is read at once."""
PIECE = 1 << 20
_SHORT = {"\n": "n", "\t": "t", "\r": "r", "\b": "b", "\f": "f", '"': '"', "\\": "\\", "/": "/"}
_OFTEN_ESCAPED = "<>&'="


class Pattern:
    """``longest`` is how many bytes a match may have."""

    def __init__(self, text: str, regex: bool = False) -> None:
        """Raises UsageError for what is no expression, or would match nothing at all everywhere."""
        if not text:
            raise UsageError("an empty pattern is everywhere; give the text that is to go")
        try:
            self._text = re.compile(text if regex else "".join(map(_forms, text)))
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(f"this is no regular expression: {error}") from None
        if self._text.search(""):
            raise UsageError("this expression also matches where nothing is; make it need at least one character")
        if self._text.search(GONE) or self._text.search("*" * 99):
            raise UsageError(f"this pattern is also in {GONE} or ***, which is put in its place; give more of it")
        plain = text.encode("utf-8", "surrogateescape") if not regex else b""
        self._bytes = None if regex else re.compile("".join(map(_forms, text)).encode("utf-8", "surrogateescape"))
        self.longest = LONGEST if regex else 6 * len(plain)

    # -- texts and bytes -----------------------------------------------------------------------------------------

    def hide(self, text: str) -> tuple[str, int]:
        """``text`` with every match replaced, and how many there were."""
        return self._text.subn(lambda match: GONE if match[0] else "", text)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where it is: (start, end) in bytes."""
        if self._bytes:
            return [match.span() for match in self._bytes.finditer(data)]
        text = data.decode("utf-8", "surrogateescape")
        found = [match.span() for match in self._text.finditer(text) if match[0]]
        return found if text.isascii() else list(_in_bytes(text, found))

    def streamed(self, pieces: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
        """The same in pieces (offset, bytes) of something longer, across their borders; a gap ends what is before it."""
        held, at = b"", 0
        for offset, piece in pieces:
            if offset != at + len(held):
                yield from ((at + start, at + end) for start, end in self.spans(held))
                held, at = b"", offset
            held += piece
            done = 0
            for start, end in self.spans(held):
                if start < len(held) - self.longest:
                    yield at + start, at + end
                    done = end
            done = max(done, len(held) - self.longest, 0)
            held, at = held[done:], at + done
        yield from ((at + start, at + end) for start, end in self.spans(held))

    def in_file(self, file: BinaryIO) -> int:
        """How many there are in what ``file`` has from where it stands."""
        return sum(1 for _ in self.streamed(_pieces(file)))

    def blotted(self, data: bytes) -> tuple[bytes, int]:
        """``data``, as long as before, with stars in place of every match; and how many there were."""
        spans = self.spans(data)
        return blot(data, spans), len(spans)

    # -- values --------------------------------------------------------------------------------------------------

    def cleaned(self, value: Any, kept: Collection[str] = (), numbers: bool = False) -> tuple[Any, int]:
        """A nested value without it, names of mappings included, and how often it was there.

        What a mapping has under the names ``kept`` stays as it is. A number goes where ``numbers`` may, and it is the whole.
        """
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return self._mapping(value, kept, numbers)
        if isinstance(value, (list, tuple, set, frozenset)):
            pairs = [self.cleaned(item, (), numbers) for item in value]
            return type(value)(item for item, _ in pairs), sum(count for _, count in pairs)
        if isinstance(value, bytes):
            return self.blotted(value)
        if hasattr(value, "__fspath__"):
            hidden, count = self.hide(str(value))
            return (hidden, count) if count else (value, 0)
        if numbers and isinstance(value, (int, float)) and self._is(json.dumps(value)):
            return GONE, 1
        return value, 0

    def _mapping(self, value: dict[Any, Any], kept: Collection[str], numbers: bool) -> tuple[dict[Any, Any], int]:
        found: dict[Any, Any] = {}
        total = 0
        for name, item in value.items():
            shown, count = self.cleaned(name, (), numbers)
            new, more = (item, 0) if name in kept else self.cleaned(item, (), numbers)
            while shown in found and count:  # two names that differed in the secret alone
                shown = f"{shown}'"
            found[shown] = new
            total += count + more
        return found, total

    def _is(self, number: str) -> bool:
        return bool(self._text.fullmatch(number))


def blot(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """``data`` with stars at these places, each cut to what there is."""
    changed = bytearray(data)
    for start, end in spans:
        first, last = max(start, 0), min(end, len(data))
        changed[first:last] = b"*" * (last - first)
    return bytes(changed)


def _forms(character: str) -> str:
    """An expression for a character as it is, and as JSON may write it."""
    plain = re.escape(character)
    if character.isascii() and character.isprintable() and character not in _SHORT and character not in _OFTEN_ESCAPED:
        return plain  # nobody escapes it, and without alternatives the search is fast
    units = character.encode("utf-16-be", "surrogatepass")
    escaped = "".join(rf"\\u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))
    short = [rf"\\{re.escape(_SHORT[character])}"] if character in _SHORT else []
    return f"(?:{'|'.join([*short, escaped, plain])})"


def _in_bytes(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places in ``text`` as places in its bytes."""
    at = done = 0
    for start, end in spans:
        first = done + len(text[at:start].encode("utf-8", "surrogateescape"))
        done = first + len(text[start:end].encode("utf-8", "surrogateescape"))
        at = end
        yield first, done


def _pieces(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    at = 0
    while piece := file.read(PIECE):
        yield at, piece
        at += len(piece)
