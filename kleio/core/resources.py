"""Resources: inputs that are recorded and not copied. What a directory held is a listing, kept packed, of one line an entry."""

from __future__ import annotations

import zlib
from json import dumps, loads

from kleio.core.errors import JournalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.lookup import Key
    from kleio.core.statistics import Record
    from kleio.core.trial import Entry

    Listed = tuple[str, str, int, str | None]

INPUT = "input:"
"""Of traces: the content of a file that an execution had as an input."""
SHOWN = 3


def line(entry: Listed) -> bytes:
    """What the digest of a tree is made of: (path below it, type, size, digest or target) as JSON."""
    return dumps(list(entry), separators=(",", ":")).encode() + b"\n"


def pack(lines: Iterable[bytes]) -> bytes:
    """A listing: its lines, compressed."""
    return zlib.compress(b"".join(lines), 1)


def unpack(packed: bytes) -> dict[str, Listed]:
    """By path, what a listing tells. Raises ValueError for what is none."""
    try:
        entries = [loads(one) for one in zlib.decompress(packed).splitlines()]
        return {str(one[0]): (str(one[0]), str(one[1]), int(one[2]), one[3]) for one in entries}
    except (zlib.error, LookupError, TypeError) as error:
        raise ValueError(f"not a listing: {error}") from None


def told(journal: Journal, entry: Entry, found: Iterable[tuple[Key, Record]]) -> list[tuple[str, dict[str, Any], str]]:
    """Of each resource, as it was last: its path, its record, and in words whether it was another earlier."""
    latest: dict[str, list[tuple[str, Record]]] = {}
    for key, record in sorted(found, key=lambda one: one[1].time):
        latest.setdefault(str(record.values.get("absolute") or record.values.get("path")), []).append((key[0], record))
    numbers = {one.id: f"execution {one.number}" for one in entry.executions}
    return [
        (str(own[-1][1].values.get("path")), dict(own[-1][1].values), _change(journal, own, numbers)) for own in latest.values()
    ]


def _change(journal: Journal, own: list[tuple[str, Record]], numbers: Mapping[str, str]) -> str:
    execution, last = own[-1]
    earlier = next(((its, record) for its, record in reversed(own) if its != execution), None)
    if earlier is None or earlier[1].values.get("sha256") == last.values.get("sha256"):
        return ""
    since = f"changed since {numbers.get(earlier[0], 'the trial that this one continues')}"
    differing = list(differences(journal, earlier[1].values, last.values))
    more = f", and {len(differing) - SHOWN:,} more" if len(differing) > SHOWN else ""
    return f"{since}: {', '.join(differing[:SHOWN])}{more}" if differing else since


def differences(journal: Journal, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Which files of a directory differ between two of its records, in words; nothing where that is not known."""
    old, new = listing(journal, before), listing(journal, after)
    if old is None or new is None:
        return
    for path in sorted({*old, *new}):
        if path not in old:
            yield f"{path} is new"
        elif path not in new:
            yield f"{path} is gone"
        elif old[path] != new[path]:
            yield f"{path} changed"


def listing(journal: Journal, record: Mapping[str, Any]) -> dict[str, Listed] | None:
    """What a directory held; None for what is none, or has been scrubbed or not been shipped."""
    if not record.get("listing"):
        return None
    try:
        opened = journal.blob(str(record["listing"]))
        if opened is None:
            return None
        with opened:
            return unpack(opened.read())
    except (JournalError, ValueError):
        return None
