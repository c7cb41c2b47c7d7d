"""Statistics: packed columns for the journal, and a summary for each key.

A record is a time and named values, nested at will. A packed segment holds one column for each top-level name: its
rows, and its values as 64-bit floats, 64-bit integers, or JSON where they are of any other kind. Numbers are
transposed into planes of bytes before zlib sees them, which halves what a point takes. Marks, which tell of scopes
(:mod:`kleio.core.scopes`), are the same for many records in a row and are kept as runs.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import sub

from kleio.core.errors import Damaged
from kleio.core.scopes import said
from kleio.core.values import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from kleio.core.journal.base import Segment, Summary

    Buffer = bytes | memoryview

MAGIC = b"KS1"
MARKED = b"KS2"
"""What a segment with marks begins with: a kleio that does not know them refuses it instead of misreading it."""
_HEAD = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Record:
    """One ``log_statistic`` call. ``time`` is nanoseconds since the epoch, ``offset`` where it stands in its stream.

    ``mark`` is empty, or says what it has to do with a scope (:mod:`kleio.core.scopes`).
    """

    offset: int
    time: int
    values: Mapping[str, Any]
    mark: str = ""


@contextmanager
def legible(trial: str) -> Iterator[None]:
    """What cannot be unpacked is no fault of who reads: raises Damaged, which names the trial."""
    try:
        yield
    except (zlib.error, struct.error, ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        name = f" of trial {trial[:7]}" if trial else ""
        raise Damaged(f"what the journal holds{name} is damaged ({str(error) or type(error).__name__})") from None


def pack(records: list[Record]) -> bytes:
    """A segment's payload: a list of columns as JSON, then the columns."""
    blocks = [_pack_integers([r.offset for r in records]), _pack_integers([r.time for r in records])]
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        for key in record.values:
            rows.setdefault(key, []).append(row)
    listing = []
    for key, own in rows.items():
        kind, block = _pack_column([records[row].values[key] for row in own])
        everywhere = len(own) == len(records)
        listing.append([key, kind, len(own), everywhere])
        if not everywhere:
            blocks.append(_pack_integers(own))
        blocks.append(block)
    runs = _runs([record.mark for record in records])
    head = dumps([len(records), [len(block) for block in blocks], listing, *([runs] if runs else [])]).encode()
    packed = zlib.compress(_HEAD.pack(len(head), len(records)) + head, 1) + b"".join(blocks)
    return (MARKED if runs else MAGIC) + packed


def _runs(marks: list[str]) -> list[tuple[int, str]]:
    """(row, mark) wherever another mark begins; empty if there are none."""
    if not any(marks):
        return []
    return [(row, mark) for row, mark in enumerate(marks) if row == 0 or mark != marks[row - 1]]


def _unrolled(runs: list[tuple[int, str]], count: int) -> list[str]:
    ends = [*(row for row, _ in runs[1:]), count]
    return [mark for (row, mark), end in zip(runs, ends, strict=True) for _ in range(row, end)]


class Packed:
    """A segment's payload, opened: ``count`` rows, and the ``names`` of its columns, in the order in which they first appeared,
    each with its kind (``f``, ``i`` or ``j``). ``runs`` are (row, mark) wherever another mark begins; without marks empty.

    A column is unpacked when it is asked for, by whoever knows how to do that best: blocks of bytes are what there is.
    """

    __slots__ = ("_blocks", "count", "names", "runs")

    def __init__(self, payload: bytes) -> None:
        if payload[:3] not in (MAGIC, MARKED):
            raise ValueError("not a packed segment of statistics")
        opened = zlib.decompressobj()
        head = opened.decompress(memoryview(payload)[3:])
        self.count: int
        self.count, sizes, listing, *marked = loads(head[_HEAD.size :])
        self.runs: list[tuple[int, str]] = [(row, mark) for row, mark in marked[0]] if marked else []
        rest = memoryview(opened.unused_data)
        self._blocks = [rest[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
        self.names: dict[str, tuple[str, int, bool]] = {}
        at = 2
        for key, kind, _, everywhere in listing:
            self.names[key] = (kind, at, everywhere)
            at += 1 if everywhere else 2

    @property
    def offsets(self) -> memoryview:
        """Whole numbers, for :func:`integers`."""
        return self._blocks[0]

    @property
    def times(self) -> memoryview:
        """Whole numbers, for :func:`integers`: nanoseconds since the epoch."""
        return self._blocks[1]

    def column(self, name: str) -> tuple[memoryview | None, str, memoryview]:
        """Its rows, as whole numbers, None if it is in all of them; the kind of its values; and these."""
        kind, at, everywhere = self.names[name]
        return (None, kind, self._blocks[at]) if everywhere else (self._blocks[at], kind, self._blocks[at + 1])


def unpacked(segment: Segment) -> list[Record]:
    """The records of a segment. Raises Damaged."""
    with legible(segment.trial):
        return unpack(segment.payload)


def unpack(payload: bytes) -> list[Record]:
    """The records that :func:`pack` was given, their names in the order in which they first appeared."""
    packed = Packed(payload)
    values: list[dict[str, Any]] = [{} for _ in range(packed.count)]
    for key in packed.names:
        own, kind, block = packed.column(key)
        rows: Iterable[int] = range(packed.count) if own is None else integers(own)
        for row, value in zip(rows, unpack_column(kind, block), strict=True):
            values[row][key] = value
    marks = _unrolled(packed.runs, packed.count) if packed.runs else [""] * packed.count
    return [Record(*one) for one in zip(integers(packed.offsets), integers(packed.times), values, marks, strict=True)]


def is_marked(payload: bytes) -> bool:
    """Whether a segment tells anything of scopes."""
    return payload[:3] == MARKED


def _pack_column(values: list[Any]) -> tuple[str, bytes]:
    kinds = {type(value) for value in values}
    if kinds == {float}:
        return "f", _squeeze(array("d", values))
    if kinds == {int} and all(-(1 << 62) <= value < 1 << 62 for value in values):
        return "i", _pack_integers(values)
    return "j", zlib.compress(dumps(values).encode(), 1)


def unpack_column(kind: str, block: Buffer) -> Iterable[Any]:
    """The values of a column of one of the three kinds."""
    if kind == "f":
        return _unsqueeze(block, "d")
    return integers(block) if kind == "i" else loads(zlib.decompress(block))


def _pack_integers(values: list[int]) -> bytes:
    return _squeeze(array("q", chain(values[:1], map(sub, values[1:], values))))


def integers(block: Buffer) -> list[int]:
    """Whole numbers, of which a block has the differences."""
    return list(accumulate(_unsqueeze(block, "q")))


def _squeeze(numbers: array[Any]) -> bytes:
    """Little-endian, byte planes one after the other, zlib."""
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return zlib.compress(b"".join(data[plane::8] for plane in range(8)), 1)


def _unsqueeze(block: Buffer, kind: str) -> array[Any]:
    planes = zlib.decompress(block)
    count = len(planes) // 8
    data = bytearray(len(planes))
    for plane in range(8):
        data[plane::8] = planes[plane * count : (plane + 1) * count]
    numbers = array(kind, bytes(data))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def records(segments: Iterable[Segment]) -> Iterator[Record]:
    """The records of one stream's segments, each offset once."""
    for segment, covered in in_turn(segments):
        yield from (record for record in unpacked(segment) if record.offset >= covered)


def in_turn(segments: Iterable[Segment]) -> Iterator[tuple[Segment, int]]:
    """Those of one stream's segments that hold something new, each with the offset before which it is known already."""
    covered = 0
    for segment in segments:
        if segment.end > covered:
            yield segment, covered
            covered = segment.end


class Summariser:
    """Keeps first, last, min, max, mean and count of every numeric key, and last and count of the others."""

    LARGEST_TEXT = 200
    MOST_KEYS = 10_000
    LONGEST_KEY = 500

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}

    def add(self, record: Record) -> None:
        """Take one more record into account; nested names are joined with ``/``. What a scope holds counts once."""
        for key, value in flat(said(record)):
            known = self.keys.get(key)
            if known is None:
                if len(self.keys) >= self.MOST_KEYS or len(key) > self.LONGEST_KEY:
                    continue
                known = self.keys[key] = {"count": 0}
            _take(known, value, record.time)


SYSTEM = "system."
"""What the keys begin with that kleio itself samples (:mod:`kleio.core.sampling`)."""


def is_logged(key: str) -> bool:
    """Whether a key is one that the script logged, and not one of kleio's own."""
    return not key.startswith(SYSTEM)


LARGEST_INTEGER = 1 << 960
"""Whole numbers up to it can be summed and divided as floats; larger ones are kept, but have no mean."""


def _take(known: dict[str, Any], value: Any, when: int) -> None:
    known["count"] += 1
    known["time"] = when
    kind = type(value)
    if kind is str and len(value) > Summariser.LARGEST_TEXT:
        value = value[: Summariser.LARGEST_TEXT] + "…"
    plain = kind is float or isinstance(value, (int, float, str)) or value is None
    known["last"] = value if plain else dumps(value)[: Summariser.LARGEST_TEXT]
    if (kind is not float and kind is not int) or value != value or (kind is int and abs(value) > LARGEST_INTEGER):
        return
    if "numbers" not in known:
        known |= {"first": value, "since": when, "numbers": 1, "min": value, "max": value, "sum": value}
        return
    known["numbers"] += 1
    known["sum"] += value
    known["min"] = min(known["min"], value)
    known["max"] = max(known["max"], value)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, under names joined with ``/``."""
    for key, value in values.items():
        if type(value) is dict and value:
            yield from flat({str(k): v for k, v in value.items()}, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def combine(summaries: Iterable[Summary]) -> dict[str, dict[str, Any]]:
    """One summary a key, of all writers and executions: last, min, max, mean, count.

    ``last`` is the one with the latest time. min, max and mean are of the numbers among the values that are not NaN,
    and absent where there are none. What the script logged comes before what was sampled of the machine.
    """
    found = merged(summaries)
    return {key: _presented(found[key]) for key in sorted(found, key=lambda key: (not is_logged(key), key))}


def merged(summaries: Iterable[Summary]) -> dict[str, dict[str, Any]]:
    """The same as it is kept: with the ``first`` number, and when the first and the last came."""
    into: dict[str, dict[str, Any]] = {}
    for summary in summaries:
        for key, own in summary.keys.items():
            _merge(into.setdefault(key, {"count": 0, "time": 0}), own)
    return into


def _merge(into: dict[str, Any], own: Mapping[str, Any]) -> None:
    into["count"] += own["count"]
    if own["time"] >= into["time"]:
        into["time"], into["last"] = own["time"], own.get("last")
    if "first" in own and own["since"] <= into.get("since", own["since"]):
        into["first"], into["since"] = own["first"], own["since"]
    if "numbers" in own:
        into["numbers"] = into.get("numbers", 0) + own["numbers"]
        into["sum"] = into.get("sum", 0) + own["sum"]
        into["min"] = min(own["min"], into.get("min", own["min"]))
        into["max"] = max(own["max"], into.get("max", own["max"]))


def _presented(own: Mapping[str, Any]) -> dict[str, Any]:
    mean = {"mean": own["sum"] / own["numbers"]} if own.get("numbers") else {}
    return {name: own[name] for name in ("last", "min", "max") if name in own} | mean | {"count": own["count"]}
