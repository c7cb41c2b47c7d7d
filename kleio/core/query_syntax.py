"""The syntax of queries: text to tokens to a tree (:mod:`kleio.core.query_tree`).

What names mean is asked of a vocabulary; nothing is ever evaluated here.

::

    or          →  and ("or" and)*
    and         →  not ("and" not)*
    not         →  "not" not | comparison
    comparison  →  true | false | operand (OPERATOR operand)*      OPERATOR: == != < <= > >= in, not in, matches, not matches
    operand     →  NAME | "(" or ")" | constant
    constant    →  NUMBER | STRING | true | false | null | "[" constant, … "]" | "(" constant, … ")"
    NAME        →  word ("." word | "[" STRING "]")*

Binding and chaining (``0.1 < params.lr < 1``) are Python's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kleio.core.errors import UsageError
from kleio.core.query_tree import And, Comparison, Constant, Field, Not, Or, Truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn, Protocol

    from kleio.core.query_tree import Node

    class Vocabulary(Protocol):
        """What the names of a query mean."""

        def field(self, path: Sequence[str]) -> Field:
            """The field of this name. Raises LookupError, with the nearest known name or none, for one that is not known."""

        def constant(self, field: Field, value: Any) -> Any:
            """``value`` as it is compared with the field. Raises ValueError, in words, for what it is never compared with."""


DEEPEST = 100
"""Parentheses and negations within each other."""
LONGEST = 100_000
"""Characters of a query."""
LONGEST_NUMBER = 400

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|&&|\|\||[<>()\[\],.=!&|+-])
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"and", "or", "not", "in", "matches", "true", "false", "null", "none", "nan", "inf"}
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None, "nan": float("nan"), "inf": float("inf")}
_SAME = {"&&": "and", "||": "or", "!": "not"}
_COMPARING = ("==", "!=", "<", "<=", ">", ">=")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


class QueryError(UsageError):
    """A query that cannot be meant: what is wrong, the query, and a caret under the place."""

    def __init__(self, what: str, query: str, start: int, end: int) -> None:
        self.what, self.query, self.start, self.end = what, query, start, end
        before = query[:start]
        line = before.rpartition("\n")[2]
        shown = query[start - len(line) :].partition("\n")[0]
        left = max(0, len(line) - 60)  # of a very long query, what is around the place
        shown = ("…" if left else "") + shown[left : left + 110]
        indent = len(line) - left + bool(left)
        carets = "^" * max(1, min(end - start, len(shown) - indent))
        self._lines = what, f"  {shown}", f"  {' ' * indent}{carets}"
        super().__init__("\n".join(self._lines))

    @property
    def lines(self) -> tuple[str, ...]:
        return self._lines


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A field or constant, and where it stands."""

    operand: Field | Constant
    start: int
    end: int


def parse(query: str, vocabulary: Vocabulary) -> Node:
    """The tree of ``query``. Raises QueryError."""
    if len(query) > LONGEST:
        raise UsageError(f"a query of {len(query):,} characters; the most is {LONGEST:,}")
    return _Parser(query, vocabulary).whole()


def name(written: str, vocabulary: Vocabulary) -> Field:
    """The field that a name alone stands for, as what to sort by. Raises QueryError."""
    return _Parser(written, vocabulary).name_alone()


class _Parser:
    def __init__(self, query: str, vocabulary: Vocabulary) -> None:
        self._query = query
        self._vocabulary = vocabulary
        self._tokens = self._read()
        self._at = 0
        self._depth = 0

    # -- tokens --------------------------------------------------------------------------------------------------

    def _read(self) -> list[_Token]:
        query, tokens, at = self._query, [], 0
        stop = len(query.rstrip())
        while at < stop:
            found = _TOKEN.match(query, at)
            if found is None:
                self._unreadable(at + len(query[at:]) - len(query[at:].lstrip()))
            kind = str(found.lastgroup)
            value, start = found[kind], found.start(kind)
            if kind == "string":
                value = _unquoted(value)
            elif kind == "number":
                if len(value) > LONGEST_NUMBER:
                    self._fail(f"a number of {len(value):,} digits", start, found.end())
                value = _number(value)
            elif kind == "sign" or value.lower() in _WORDS:
                kind, value = "sign", _SAME.get(value, value if kind == "sign" else value.lower())
            tokens.append(_Token(kind, value, start, found.end()))
            at = found.end()
        return [*tokens, _Token("end", None, stop, stop)]

    def _unreadable(self, at: int) -> NoReturn:
        if self._query[at] in "\"'":
            self._fail("this text has no end: a quotation mark is missing", at, len(self._query))
        if self._query[at].isdigit():
            self._fail("this is no number; names and texts that begin with a digit stand in quotation marks", at, at + 1)
        hint = '; names that have it are written summary["train/loss"]' if self._query[at] in "/-: %@" else ""
        self._fail(f"{self._query[at]!r} means nothing here{hint}", at, at + 1)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> _Token | None:
        """The next token if it is one of these signs or words."""
        token = self._next
        if token.kind != "sign" or token.value not in signs:
            return None
        self._at += 1
        return token

    def _fail(self, what: str, start: int, end: int) -> NoReturn:
        raise QueryError(what, self._query, start, end)

    def _fail_here(self, what: str) -> NoReturn:
        self._fail(what, self._next.start, self._next.end)

    # -- the grammar ---------------------------------------------------------------------------------------------

    def whole(self) -> Node:
        if self._next.kind == "end":
            self._fail_here("the query is empty; for example: params.lr > 0.1 and status == 'completed'")
        node = self._or()
        if self._next.kind != "end":
            self._unexpected()
        return node

    def name_alone(self) -> Field:
        if self._next.kind != "word":
            self._fail_here("here stands a name, such as created, params.lr or summary.loss.min")
        operand = self._name().operand
        if self._next.kind != "end":
            self._fail_here("here stands a name and nothing else")
        assert isinstance(operand, Field)
        return operand

    def _unexpected(self) -> NoReturn:
        token = self._next
        if token.kind == "end":
            self._fail_here("something is missing at the end")
        if token.value == "=":
            self._fail_here("values are compared with ==")
        if token.value in ("&", "|"):
            self._fail_here("conditions are joined with and, or")
        said = self._query[token.start : token.end]
        self._fail_here(f"{said} makes no sense here; conditions are joined with and, or, and texts stand in quotation marks")

    def _or(self) -> Node:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Node:
        if self._take("not"):
            with_depth = self._deeper()
            node = Not(self._not())
            self._depth = with_depth
            return node
        return self._comparison()

    def _deeper(self) -> int:
        before = self._depth
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail_here(f"more than {DEEPEST} conditions within each other")
        return before

    def _comparison(self) -> Node:
        if self._next.value == "(" and self._next.kind == "sign" and not self._is_list():
            return self._parenthesised()
        left = self._operand()
        found: list[Node] = []
        while operator := self._operator():
            right = self._operand()
            found.append(self._compared(operator, left, right))
            left = right
        if not found:
            if isinstance(left.operand, Constant):
                if isinstance(left.operand.value, bool):
                    return And(()) if left.operand.value else Or(())
                self._fail("a value alone is no condition; compare it with something", left.start, left.end)
            return Truth(left.operand)
        return found[0] if len(found) == 1 else And(tuple(found))

    def _parenthesised(self) -> Node:
        opening = self._next
        self._at += 1
        before = self._deeper()
        node = self._or()
        self._depth = before
        if not self._take(")"):
            if self._next.kind == "end":
                self._fail("this parenthesis is never closed", opening.start, opening.end)
            self._unexpected()
        if self._next.kind == "sign" and self._next.value in (*_COMPARING, "in", "matches"):
            self._fail_here("what stands in parentheses is a condition, which is not compared with anything")
        return node

    def _is_list(self) -> bool:
        """Whether the parenthesis here holds constants, as in ``x in (1, 2)``."""
        at = self._at + 1
        while self._tokens[at].kind in ("number", "string") or self._tokens[at].value in ("-", "+", ",", *_CONSTANTS):
            at += 1
        token = self._tokens[at]
        return token.kind == "sign" and token.value == ")"

    def _operator(self) -> _Token | None:
        if token := self._take(*_COMPARING, "in", "matches"):
            return token
        if self._next.value == "not" and self._next.kind == "sign":
            after = self._tokens[self._at + 1]
            if after.kind == "sign" and after.value in ("in", "matches"):
                self._at += 2
                return _Token("sign", f"not {after.value}", self._tokens[self._at - 2].start, after.end)
        return None

    # -- operands ------------------------------------------------------------------------------------------------

    def _operand(self) -> _Placed:
        token = self._next
        if token.kind == "word":
            return self._name()
        value = self._constant()
        return _Placed(Constant(value), token.start, self._tokens[self._at - 1].end)

    def _constant(self) -> Any:
        token = self._next
        if token.kind in ("number", "string"):
            self._at += 1
            return token.value
        if token.kind == "sign" and token.value in _CONSTANTS:
            self._at += 1
            return _CONSTANTS[token.value]
        if sign := self._take("-", "+"):
            value = self._constant()
            if type(value) not in (int, float):
                self._fail("a sign stands before a number", sign.start, sign.end)
            return -value if sign.value == "-" else value
        if opening := self._take("[", "("):
            return self._list(opening)
        if token.kind == "word":
            self._fail_here("a list holds values, not names; texts stand in quotation marks")
        return self._unexpected()

    def _list(self, opening: _Token) -> list[Any]:
        closing = "]" if opening.value == "[" else ")"
        found: list[Any] = []
        before = self._deeper()
        while not self._take(closing):
            if self._next.kind == "end":
                self._fail("this list is never closed", opening.start, opening.end)
            found.append(self._constant())
            if not self._take(",") and self._next.kind != "end" and self._next.value != closing:
                self._unexpected()
        self._depth = before
        return found

    def _name(self) -> _Placed:
        first = self._next
        self._at += 1
        path = [first.value]
        while True:
            if self._take("."):
                token = self._next
                if token.kind == "word" or (token.kind == "sign" and str(token.value).isalpha()):
                    path.append(self._query[token.start : token.end])
                else:
                    self._fail_here('after a dot comes a name; one with other characters in brackets: summary["train/loss"]')
                self._at += 1
            elif self._next.value == "[" and self._next.kind == "sign" and self._next.start == self._tokens[self._at - 1].end:
                path.append(self._bracketed())
            else:
                break
        end = self._tokens[self._at - 1].end
        try:
            return _Placed(self._vocabulary.field(path), first.start, end)
        except LookupError as error:
            self._fail(str(error.args[0]), first.start, end)

    def _bracketed(self) -> str:
        self._at += 1
        key = self._next
        if key.kind not in ("string", "number"):
            self._fail_here('in brackets stands a name in quotation marks: params["lr"]')
        self._at += 1
        if not self._take("]"):
            self._fail_here("a bracket is missing: ]")
        return str(key.value)

    # -- comparisons ---------------------------------------------------------------------------------------------

    def _compared(self, operator: _Token, left: _Placed, right: _Placed) -> Node:
        if isinstance(left.operand, Constant) and isinstance(right.operand, Constant):
            self._fail("two values are always the same or never; compare with a name", left.start, right.end)
        name = str(operator.value)
        if name.endswith("matches"):
            return Comparison(name, self._searched(left), Constant(self._pattern(right)))
        return Comparison(name, self._as_for(right, left), self._as_for(left, right))

    def _searched(self, left: _Placed) -> Field:
        if isinstance(left.operand, Constant):
            self._fail("before matches stands a name, after it a pattern", left.start, left.end)
        return left.operand

    def _pattern(self, right: _Placed) -> re.Pattern[str]:
        value = right.operand.value if isinstance(right.operand, Constant) else None
        if not isinstance(value, str):
            self._fail("after matches stands a regular expression in quotation marks", right.start, right.end)
        try:
            return re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            self._fail(f"this is no regular expression: {error}", right.start, right.end)

    def _as_for(self, other: _Placed, one: _Placed) -> Field | Constant:
        """``one``, which is compared with ``other``: a text becomes a time, where the other is a time."""
        if isinstance(one.operand, Field) or isinstance(other.operand, Constant):
            return one.operand
        try:
            return Constant(self._vocabulary.constant(other.operand, one.operand.value))
        except ValueError as error:
            self._fail(str(error), one.start, one.end)


def _number(written: str) -> int | float:
    plain = written.replace("_", "")
    return int(plain) if plain.isdigit() else float(plain)


def _unquoted(written: str) -> str:
    """Backslashes before quotation marks and themselves are gone; what else they stand before is of regular expressions."""
    return re.sub(r"\\(.)", _unescaped, written[1:-1], flags=re.DOTALL)


def _unescaped(found: re.Match[str]) -> str:
    letter = found[1]
    return letter if letter in "\\\"'" else _ESCAPES.get(letter, f"\\{letter}")
