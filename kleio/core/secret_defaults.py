"""What source says a secret is when nobody says otherwise: ``add_argument("--api-key", default="…")``,
``getenv("DB_PASSWORD", "…")``, ``api_key: str = field(default="…")``.

Such a literal does not stand right behind the name. So the source is read on from there, a token at a time, to the end of the
call or of the assignment, and no further than a bound: what is not source costs no more than its length.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST, _FEW, _TOGETHER = 60, 6, 100_000
"""Tokens behind a name, of which a help text is one; as many, when so many have been read behind others."""
_FURTHEST = 2500
"""Characters behind a name."""
_BEFORE = 160
"""Characters before a name in which the call begins that it is an argument of."""
_SEPARATOR = r"""\\?(["']?)\]?(?:\s{0,9}(:=|=>|=(?!=)|:|(?<!\w)or\b|\|\||\?\?)|([,)]))"""
_SPACE = r"""(?:[\s+-]|\\n(?:",?\s{1,80}")?){0,80}"""  # a patch has signs before its lines, a notebook has quotes around them
_ARGUMENT = rf"""(?:[(\[,]|\b(?:name|dest|env|envvar|alias|validation_alias)\s?=){_SPACE}[rbuf]?\\?["']\Z"""
_CALL = r"([A-Za-z]\w*)\]?\((?:[^()\[\]{},]*,)?[^()\[\]{},]*\Z"
"""The name is the first or second of its arguments."""
_DECLARED = r"argument\Z|[oO]ption\Z|Parameter\Z"
_PIECE = (
    r"""(?P<joint>\\n",?\s{1,80}")|(?P<line>\\n|\n)|\#[^\n\\]{0,500}|(?P<long>"{3}|'{3})(?s:.{0,1000}?)(?P=long)"""
    r"""|[rbufRBUF]{0,2}(?:\\"(?P<a>[^"\\\n]{0,500}(?:\\\\.[^"\\\n]{0,500}){0,20})\\"|"(?P<b>[^"\\\n]{0,500}(?:\\.[^"\\\n]{0,500}){0,20})\""""
    r"""|'(?P<c>[^'\\\n]{0,500}(?:\\.[^'\\\n]{0,500}){0,20})')"""
    r"""|(?P<word>[A-Za-z_$][\w.]{0,200})|(?P<mark>[=!<>]=|=>|[()\[\]{},=]|\|\||\?\?)"""
)
_ALTERNATIVES = {"or", "||", "??"}
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
_ENDS = (",", *_CLOSING)
_BEFORE_VALUES = {"=", "(", ",", "else", "lambda", "return", *_ALTERNATIVES}
_KEYWORDS = {"default", "const", "fallback", "value"}
_PLACES = {
    "get": 1, "getenv": 1, "pop": 1, "setdefault": 1, "env": 1, "config": 1,
    "Argument": 0, "Field": 0, "Option": 0, "Secret": 0, "SecretBytes": 0, "SecretStr": 0, "str": 0,
}  # fmt: skip
"""Call → its argument, counted from 0, that becomes its value by itself or if there is no other."""


class _Bracket:
    """One that is open: which of its arguments is read, by number and keyword, and which number is a value, if not any."""

    __slots__ = ("at", "keyword", "place", "sure")

    def __init__(self, place: int, sure: bool = True) -> None:
        self.place, self.sure = place, sure
        self.at, self.keyword = 0, ""

    def next(self) -> None:
        self.at, self.keyword = self.at + 1, ""

    def has_value(self) -> bool:
        return self.keyword in _KEYWORDS if self.keyword else self.at == self.place


class Source:
    """Text that may be source, read on from one name after the other."""

    def __init__(self, plain: str) -> None:
        self._plain = plain
        self._left = _TOGETHER

    def defaults(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Where literals stand, without their quotes, that become the value of the name at ``start`` to ``end`` by a call.

        With each, whether that is sure, as in ``getenv("API_KEY", "…")``, and not only likely, as in ``login("token", "…")``.
        """
        separator = re.compile(_SEPARATOR).match(self._plain, end)
        if separator is None:
            return
        if separator[2]:
            yield from self._values(separator.end(), separator[2], [])
        elif separator[1] and re.search(_ARGUMENT, before := self._plain[max(start - _BEFORE, 0) : start]):
            call = re.search(_CALL, before)
            known = call is not None and call[1] in _PLACES
            option = self._plain[start : start + 2] == "--" and call is None  # of a command, as a list of its words
            declared = call and re.search(_DECLARED, call[1])  # several names of one parameter may follow each other there
            place = 1 if option or (call and not declared) else -1
            yield from self._values(separator.end(3) - 1, "", [_Bracket(place, known or option)])

    def _values(self, start: int, before: str, brackets: list[_Bracket]) -> Iterator[tuple[int, int, bool]]:
        """Of what is read from ``start``, inside of ``brackets``; without any it is what is assigned."""
        ended, assigned = start, not brackets
        for found in self._tokens(start):
            mark = found["mark"] or found["word"] or ""
            if found["joint"] or (found["line"] and brackets):
                continue
            if mark in _ALTERNATIVES:
                assigned = True
            if not brackets and (not assigned or found["line"] or mark in _ENDS):
                return
            literal = next((kind for kind in "abc" if found[kind] is not None), None)
            if literal and before in _BEFORE_VALUES and all(one.has_value() for one in brackets):
                yield *found.span(literal), all(one.sure or one.keyword for one in brackets)
                continue  # and so with one right behind it, which it goes on with
            if mark in _OPENING:
                brackets.append(_opened(mark, before if ended == found.start() else ""))
            elif mark in _CLOSING:
                brackets.pop()
            elif mark == ",":
                brackets[-1].next()
            elif mark == "=" and brackets:
                brackets[-1].keyword = before
            before, ended = mark or '"', found.end()

    def _tokens(self, start: int) -> Iterator[re.Match[str]]:
        """Few, once much has been read."""
        at = start
        for _ in range(_MOST if self._left > 0 else _FEW):
            found = re.compile(_PIECE).search(self._plain, at, start + _FURTHEST)
            if found is None:
                return
            self._left -= 1
            at = found.end()
            yield found


def _opened(mark: str, word: str) -> _Bracket:
    """A bracket right behind a ``word`` is a call's, or what something is looked up by; another one only groups."""
    called = word.rpartition(".")[2] if word[:1].isalpha() or word[:1] in ("_", "$") else ""
    return _Bracket(-1 if mark != "(" else _PLACES.get(called, -1) if called else 0)
