"""What is plotted: which words name trials and which statistics, which statistics where none is named, and what x is.

Decided from the summaries of the trials, which no statistic has to be read for.
"""

from __future__ import annotations

import difflib

from kleio.core import resuming
from kleio.core.plotting.curves import NUMBER, TIME
from kleio.core.statistics import combine, is_logged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

    Summaries = Sequence[Mapping[str, Mapping[str, Any]]]

SHORTEST = 4
"""Hex digits of a word that may be the id of a trial where a statistic may stand too."""
MOST = 4
"""Statistics that are plotted where none is named."""
FAMILIES = (
    ("loss",),
    ("error", "err", "mse", "rmse", "mae", "nll", "perplexity", "ppl"),
    ("acc", "accuracy", "score", "f1", "auc", "reward", "return"),
)
"""Words in the names of statistics, by what one looks at first. Those of one family share a scale."""
COUNTERS = (*resuming.OUTER, *resuming.INNER)
BORING = (*COUNTERS, "time", "timestamp", "seconds", "seed")
"""Names that are seldom what is meant."""


def told_apart(
    words: Sequence[str],
    chosen: Sequence[Entry],
    journal: Journal,
    trial: Callable[[str], Entry],
) -> tuple[list[Entry], list[str]]:
    """The trials and the keys among ``words``. Raises UnknownTrial.

    Unless trials are ``chosen`` otherwise the first word is one. Words go on being trials up to the first that is none: that is
    not hex digits, or no beginning of an id, or a statistic that the trials before it have logged.
    """
    entries = list(chosen)
    for at, word in enumerate(words):
        if entries and not _is_trial(word, entries, journal):
            return _once(entries), list(words[at:])
        entries.append(trial(word))
    return _once(entries), []


def _is_trial(word: str, entries: Sequence[Entry], journal: Journal) -> bool:
    if not like_an_id(word) or any(word in keys for keys in summaries(journal, entries)):
        return False
    return word == "last" or bool(journal.resolve(word.lower()))


def like_an_id(word: str) -> bool:
    return word == "last" or (SHORTEST <= len(word) <= 32 and set(word.lower()) <= set("0123456789abcdef"))


def _once(entries: Iterable[Entry]) -> list[Entry]:
    return list({entry.id: entry for entry in entries}.values())


def summaries(journal: Journal, entries: Sequence[Entry], all_executions: bool = False) -> Summaries:
    """For each trial its keys, with last, min, max, mean and count."""
    found = journal.summaries([entry.id for entry in entries])
    owns = [(entry, found.get(entry.id, ())) for entry in entries]
    return [combine(resuming.everything(own) if all_executions else resuming.counted(entry, own)) for entry, own in owns]


# -- which statistics ----------------------------------------------------------------------------------------------


def sensible(known: Summaries) -> list[str]:
    """Up to four keys that one would want to see together: of the first family of which anything varies."""
    keys = dict.fromkeys(key for own in known for key in own)
    moving = [key for key in keys if is_logged(key) and not _is(key, BORING) and any(_varies(own.get(key)) for own in known)]
    for family in FAMILIES:
        if found := [key for key in moving if _is_of(key, family)]:
            return _commonest(found, known)
    return _commonest(moving or [key for key in keys if any("min" in own.get(key, {}) for own in known)], known)


def _commonest(keys: Sequence[str], known: Summaries) -> list[str]:
    def rank(key: str) -> tuple[Any, ...]:
        return -sum(key in own for own in known), not is_logged(key), _is(key, BORING), len(key), key

    return sorted(keys, key=rank)[:MOST]


def _varies(own: Mapping[str, Any] | None) -> bool:
    return own is not None and "min" in own and own["min"] != own["max"]


def _parts(key: str) -> list[str]:
    """The words of a key: ``val``, ``loss`` of ``val/mean_loss``."""
    return "".join(c if c.isalnum() else " " for c in key.lower()).split()


def _is(key: str, names: Iterable[str]) -> bool:
    return key.rpartition("/")[2].lower() in names


def _is_of(key: str, family: Sequence[str]) -> bool:
    return any(part == word or (len(word) > 3 and part.endswith(word)) for part in _parts(key) for word in family)


# -- x -------------------------------------------------------------------------------------------------------------


def across(word: str | None, known: Summaries) -> list[str]:
    """What x may be, the best first; the last can always be had, unless a statistic was asked for."""
    if word is None:
        keys = {*COUNTERS, *(key for own in known for key in own if _is(key, COUNTERS))}  # it may be logged only later
        return [*sorted(keys, key=lambda key: (_rank(key), len(key), key)), TIME]
    logged = any(word in own for own in known)
    return [word if logged else {"time": TIME, "index": NUMBER}.get(word, word)]


def _rank(key: str) -> int:
    return COUNTERS.index(key.rpartition("/")[2].lower())


# -- what cannot be meant ------------------------------------------------------------------------------------------


def unknown(word: str, known: Summaries) -> str:
    """That no trial has logged it, in words, with the nearest."""
    keys = sorted({key for own in known for key in own})
    said = f"no trial here has logged {word}"
    near = [key for key in keys if word.lower() in _parts(key)] or difflib.get_close_matches(word, keys, 3)
    if near:
        return f"{said}; did you mean {' or '.join(near[:3])}?"
    if like_an_id(word):
        said += ", and no trial has an id that begins so"
    if not keys:
        return f"{said}: they have logged nothing"
    return f"{said}; they have {', '.join(keys[:20])}{', …' if len(keys) > 20 else ''}"


def no_numbers(key: str, known: Summaries) -> str:
    """Why nothing of a key that was logged can be drawn."""
    last = next((own[key].get("last") for own in reversed(known) if key in own), None)
    return f"{key} has no numbers to plot: its last value is {last!r}"
