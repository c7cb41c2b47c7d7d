"""What a journal can look for among the facts of its trials: conditions that both journals answer alike, and exactly.

A fact is a name with a value. Values are compared within their kind: truth values, numbers, texts, lists; a list also by what
it holds. What goes beyond (regular expressions, parts of texts) is asked in two steps: which values there are
(:meth:`~kleio.core.journal.base.Journal.values`), then who has one of those that will do.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.journal.cards import Scalar


@dataclass(frozen=True, slots=True)
class There:
    """There is a fact of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Is:
    """It is one of ``values``, each a truth value, a number or a text."""

    name: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """It is a number, or a text, as the bounds are, of which one may be None; NaN is never between."""

    name: str
    low: float | str | None = None
    high: float | str | None = None
    with_low: bool = False
    with_high: bool = False


@dataclass(frozen=True, slots=True)
class Lists:
    """It is one of these lists, in the form that :func:`~kleio.core.journal.cards.listed` gives them."""

    name: str
    lists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """It is a list that holds this value."""

    name: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Beside:
    """The fact ``left`` is ``sign`` (``==``, ``<``, ``<=``, ``>``, ``>=``) the fact ``right``; both of one kind, numbers or
    texts, for ``==`` any.
    """

    left: str
    sign: str
    right: str


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Filter, ...] = ()


if TYPE_CHECKING:
    Filter = There | Is | Between | Lists | Holds | Beside | Not | All | Either

EVERYTHING = All()
NOTHING = Either()
