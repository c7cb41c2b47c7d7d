"""Times as people write them: ``2h30m``, ``3 days``, ``2026-11-20``, ``yesterday``, ``2 weeks ago``."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta, timezone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Moment(NamedTuple):
        """Seconds since the epoch: a day, a month or a minute from ``start`` up to ``end``; of an instant both are one."""

        start: float
        end: float

else:
    from collections import namedtuple

    Moment = namedtuple("Moment", "start end")

_UNITS = {
    "w": 604800.0, "week": 604800.0, "d": 86400.0, "day": 86400.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 0.001,
}  # fmt: skip
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")
_CLOCK = re.compile(r"(\d{1,4}):(\d\d)(?::(\d\d(?:\.\d+)?))?\Z")
_MONTHS = re.compile(r"(\d{1,4})\s*(month|year)s?\Z")
_ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(\.\d{1,9})?)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?\Z"
)


def span(text: str) -> float | None:
    """Seconds that ``2h30m``, ``90 s``, ``1 day, 3 hours`` or ``1:30:00`` last; None for what is none of these."""
    clock = _CLOCK.match(text.strip())
    if clock:
        hours, minutes, seconds = clock.groups()
        return int(hours) * 3600.0 + int(minutes) * 60.0 + float(seconds or 0)
    rest, total = text.strip().lower(), 0.0
    if not rest:
        return None
    while rest:
        part = _PART.match(rest)
        unit = _unit(part[2]) if part else None
        if part is None or unit is None:
            return None
        total += float(part[1]) * unit
        rest = rest[part.end() :].strip()
    return total


def _unit(word: str) -> float | None:
    return _UNITS.get(word) or (_UNITS.get(word[:-1]) if len(word) > 3 and word.endswith("s") else None)


def moment(text: str, now: float) -> Moment | None:
    """What ``text`` means at ``now``; None for what is no time. Without a time zone it is local."""
    words = " ".join(text.split())
    lowered = words.lower()
    if lowered == "now":
        return Moment(now, now)
    if lowered in ("today", "yesterday"):
        day = _local(now).replace(hour=0, minute=0, second=0, microsecond=0)
        return _lasting(day - timedelta(days=lowered == "yesterday"), "day")
    try:
        if lowered.endswith(" ago"):
            return _ago(lowered[: -len(" ago")], now)
        return _iso(words)
    except (ValueError, OverflowError, OSError):  # the 31st of February, the year 0
        return None


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006 - of local days, which a zone that stays the same would not have


def _ago(words: str, now: float) -> Moment | None:
    words = re.sub(r"\Aan? ", "1 ", words)
    months = _MONTHS.match(words)
    if months:
        then = _earlier(_local(now), int(months[1]) * (12 if months[2] == "year" else 1)).timestamp()
        return Moment(then, then)
    seconds = span(words)
    return None if seconds is None else Moment(now - seconds, now - seconds)


def _earlier(moment: datetime, months: int) -> datetime:
    """So many months before, on the same day of the month or its last."""
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))


def _iso(words: str) -> Moment | None:
    found = _ISO.match(words)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    parts = (int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
    start = datetime(*parts)  # noqa: DTZ001 - local, unless it names a zone
    if zone:
        start = start.replace(tzinfo=_zone(zone))
    if fraction:
        instant = start.timestamp() + float(fraction)
        return Moment(instant, instant)
    units = ((second, "second"), (minute, "minute"), (hour, "hour"), (day, "day"), (month, "month"), (year, "year"))
    return _lasting(start, next(unit for given, unit in units if given))


def _zone(written: str) -> timezone:
    if written == "Z":
        return timezone.utc
    minutes = int(written[1:3]) * 60 + int(written[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=-minutes if written[0] == "-" else minutes))


def _lasting(start: datetime, unit: str) -> Moment:
    """The whole of a unit. A local day has 23 hours when the clocks go forward."""
    if unit in ("year", "month"):
        months = 12 if unit == "year" else 1
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        end = start.replace(year=year, month=month + 1)
    else:
        end = start + timedelta(**{f"{unit}s": 1})
    return Moment(start.timestamp(), end.timestamp())
