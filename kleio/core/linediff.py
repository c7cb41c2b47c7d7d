"""Which lines two files share, in a time that no file can make long.

difflib alone takes minutes for some pairs of 20,000 lines. Here lines that occur once in both files divide them into
pieces, as in a patience diff, and difflib sees only small ones. A large piece without such a line counts as replaced.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SMALL = 100_000
"""Lines of one piece times lines of the other that difflib is given: a tenth of a second at the worst."""
CONTEXT = 3


class _Lines(difflib.SequenceMatcher[bytes]):
    """difflib's bookkeeping over blocks that were found here."""

    def __init__(self, before: Sequence[bytes], after: Sequence[bytes]) -> None:
        super().__init__(None, (), (), autojunk=False)
        self.a, self.b = before, after

    def get_matching_blocks(self) -> list[difflib.Match]:
        merged: list[list[int]] = []
        for at, new_at, size in sorted(one for one in _shared(self.a, self.b) if one[2]):
            if merged and (merged[-1][0] + merged[-1][2], merged[-1][1] + merged[-1][2]) == (at, new_at):
                merged[-1][2] += size
            else:
                merged.append([at, new_at, size])
        return [difflib.Match(*one) for one in [*merged, [len(self.a), len(self.b), 0]]]


def split(data: bytes) -> list[bytes]:
    """Lines with their newlines, as git sees lines: a carriage return ends none."""
    lines = data.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def counts(before: Sequence[bytes], after: Sequence[bytes]) -> tuple[int, int]:
    """How many lines were added, and how many removed."""
    shared = sum(size for _, _, size in _shared(before, after))
    return len(after) - shared, len(before) - shared


def hunks(before: Sequence[bytes], after: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The hunks of a unified diff, each with its head; lines end in newlines."""
    for group in _Lines(before, after).get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        head = f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n".encode()
        yield [head, *(line for one in group for line in _marked(one, before, after))]


def _marked(one: tuple[str, int, int, int, int], before: Sequence[bytes], after: Sequence[bytes]) -> Iterator[bytes]:
    kind, start, stop, new_start, new_stop = one
    if kind == "equal":
        yield from (_ended(b" " + line) for line in before[start:stop])
        return
    yield from (_ended(b"-" + line) for line in before[start:stop])
    yield from (_ended(b"+" + line) for line in after[new_start:new_stop])


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def _range(start: int, stop: int) -> str:
    """As in the head of a hunk: counted from one, and an empty range by the line before it."""
    length = stop - start
    return f"{start + 1 if length else start}" + ("" if length == 1 else f",{length}")


def _shared(before: Sequence[bytes], after: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """Blocks of (line before, line after, how many) that are the same, in no order."""
    pieces = [(0, len(before), 0, len(after))]
    while pieces:
        low, high, new_low, new_high = pieces.pop()
        start, new_start = low, new_low
        while low < high and new_low < new_high and before[low] == after[new_low]:
            low, new_low = low + 1, new_low + 1
        yield start, new_start, low - start
        end = high
        while low < high and new_low < new_high and before[high - 1] == after[new_high - 1]:
            high, new_high = high - 1, new_high - 1
        yield high, new_high, end - high
        if (high - low) * (new_high - new_low) <= SMALL:
            matcher = difflib.SequenceMatcher(None, before[low:high], after[new_low:new_high], autojunk=False)
            yield from ((low + at, new_low + new_at, size) for at, new_at, size in matcher.get_matching_blocks())
            continue
        edges = [(low, new_low), *_anchors(before, after, low, high, new_low, new_high), (high, new_high)]
        if len(edges) > 2:
            pieces += [(a, c, b, d) for (a, b), (c, d) in pairwise(edges)]


def _anchors(
    before: Sequence[bytes], after: Sequence[bytes], low: int, high: int, new_low: int, new_high: int
) -> list[tuple[int, int]]:
    """Lines that occur once in either piece, the longest series of them that is in order in both."""
    once, new_once = _once(before, low, high), _once(after, new_low, new_high)
    pairs = sorted((at, new_once[line]) for line, at in once.items() if line in new_once)
    tails: list[int] = []
    chain: list[tuple[int, int]] = []  # (index of the pair, index into chain of the one before it)
    ends: list[int] = []
    for index, (_, new_at) in enumerate(pairs):
        rank = bisect_left(tails, new_at)
        chain.append((index, ends[rank - 1] if rank else -1))
        tails[rank : rank + 1], ends[rank : rank + 1] = [new_at], [len(chain) - 1]
    found = []
    link = ends[-1] if ends else -1
    while link >= 0:
        index, link = chain[link]
        found.append(pairs[index])
    return found[::-1]


def _once(lines: Sequence[bytes], low: int, high: int) -> dict[bytes, int]:
    seen: dict[bytes, int] = {}
    for at in range(low, high):
        seen[lines[at]] = -1 if lines[at] in seen else at
    return {line: at for line, at in seen.items() if at >= 0}
