"""The query language: what holds for what, and what is said of queries that cannot be meant."""

from __future__ import annotations

import datetime
import math

import pytest

from kleio.core import moments
from kleio.core.errors import UsageError
from kleio.core.query import Query
from kleio.core.query_syntax import DEEPEST, QueryError
from kleio.core.vocabulary import Trials

NOW = datetime.datetime(2026, 11, 21, 12, 0, 0).timestamp()
HOUR = 3600.0
FACTS = {
    "id": "3f2a91c0" + "0" * 24, "parent": "77" * 16, "ancestor": ["55" * 16, "77" * 16],
    "status": "completed", "tags": ["baseline", "gpu"], "command": ["python", "train.py", "--lr", "0.1"],
    "created": NOW - HOUR, "duration": 5400.0, "exit_code": 0, "host": "node-7", "note": "",
    "params": ["lr", "n"], "params.lr": 0.1, "params.n": 3, "params.big": 2**60 + 1, "params.debug": True, "params.off": False,
    "params.name": "résnet-50", "params.sizes": [1, 2], "params.nan": math.nan, "params.text": "3", "params.model.depth": 18,
    "summary.train/loss.min": 0.25, "summary.loss.last": math.inf, "summary.a.b.max": 7,
}  # fmt: skip


def holds(query):
    return Query(query, Trials(NOW, lambda: ["params.lr", "summary.loss.last"])).holds(FACTS)


@pytest.mark.parametrize(
    "query",
    [
        # the example of the design
        'params.lr > 0.05 and status == "completed" and "baseline" in tags and summary["train/loss"].min < 0.3',
        # numbers
        "params.lr == 1e-1", "params.lr > -.5", "params.n == 3.0", "params.n >= 3", "0.05 < params.lr <= .1", "params.n == +3",
        "params.big == 1152921504606846977", "params.big != 1152921504606846976", "params.n == 3_0 or params.n == 3",
        "summary.loss == inf", "summary.loss > 1e300", "summary.loss != -inf", "params.nan == nan", "params.nan != 3",
        "not params.nan > 1", "not params.nan <= 1",
        # kinds are not mixed
        "params.n != '3'", "params.text == '3'", "params.text != 3", "not params.text < 4", "not params.text > 2",
        "params.debug == true", "params.debug != 1", "not params.debug > 0", "params.sizes == [1, 2]",
        "params.sizes != [2, 1]",
        # truth
        "params.debug", "not params.off", "params.off == false", "exit_code == 0", "not exit_code", "not note", "tags",
        "params",
        # what is missing
        "params.none == null", "not params.none == 3", "params.lr != null", "params.none == None", "not params.none",
        "not (params.none != 3)", "not (params.none not in [1, 2])", "not (params.none < 3)", "not params.none matches 'x'",
        "not (params.none not matches 'x')", "not (params.none == params.other)", "params.lr == params.lr", "note != null",
        # texts
        "status != 'broken'", 'host > "node-6"', "host == 'node-7'", "params.name matches '^r.snet'", "host not matches 'x$'",
        r"params.name matches '-\d+$'", r"params.name matches '\bré'", "'snet' in params.name", r"status != 'it\'s'",
        # lists, words and keys
        "'gpu' in tags", "'cpu' not in tags", "params.n in [1, 2, 3]", "params.n in (3, 'x', null)", "params.n not in []",
        "'train.py' in command", "command matches 'train.py --lr'", "tags matches '^gpu$'", "'lr' in params",
        "2 in params.sizes",
        "status in ['broken', 'completed']", "not (3 in params.n)",
        # names
        'params["lr"] == 0.1', "params['model.depth'] == 18", "params.model.depth == 18", "params.model['depth'] == 18",
        "summary.a.b.max == 7", "summary['a.b'].max == 7", "summary.loss.last == inf",
        # times
        "created > '2 hours ago'", "created == 'today'", "created < 'now'", "created == '2026-11-21'", "created == '2026-11'",
        "created == '2026-11-21 11:00'", "created == '2026-11-21T11'", "created <= '2026-11-21'", "created >= '2026-11-21'",
        "not created > '2026-11-21'", "created > 'yesterday'", "created > '2026-11-20'", "'2026-11-20' < created <= 'today'",
        "created in ['yesterday', 'today']", "created > '1 day, 3 hours ago'", "created > 'a month ago'", "created > 0",
        "duration == 5400", "duration > '1h'", "duration == '1h30m'", "duration < '2 hours'", "duration == '1:30:00'",
        # ids
        "id == '3f2a91c'", "id == '3F2A'", "'77' == parent", "id != '3f2b'", "id in ['aa', '3f2']", "'5555' in ancestor",
        "ancestor matches '^77'",
        # binding and spelling
        "status == 'x' and status == 'y' or params.n == 3", "params.n == 3 or status == 'x' and status == 'y'",
        "not params.n == 2 and params.n == 3", "not not params.n == 3", "not (params.n == 3 and params.n == 4)",
        "params.n == 3 AND NOT status == 'x'", "params.n==3&&!(status=='x')||params.off", "params . lr == .1",
        "(params.n == 3\n and status == 'completed')", "((((params.n == 3))))", "params.debug and params.lr",
        "true", "not false", "false or true and params.n == 3",
    ],
)  # fmt: skip
def test_holds(query):
    assert holds(query)


@pytest.mark.parametrize(
    ("query", "said", "place"),
    [
        ("", "empty", ""),
        ("params.lr = 1", "==", "="),
        ("parms.lr > 1", "did you mean params?", "parms.lr"),
        ("lr > 1", "did you mean params.lr?", "lr"),
        ("loss < 1", "did you mean summary.loss.last?", "loss"),
        ("los < 1", "did you mean summary.loss.last?", "los"),
        ("qqqqqq < 1", "there are id, ", "qqqqqq"),
        ("status == 'x' and stats == 'y'", "did you mean status?", "stats"),
        ("code.comit == 'x'", "did you mean code.commit?", "code.comit"),
        ("status.x == 1", "status has no parts", "status.x"),
        ("params.lr >", "missing at the end", ""),
        ("params.lr > 1 and and", "makes no sense here", "and"),
        ("params.lr > 1 params.x", "makes no sense here", "params"),
        ("(params.lr > 1", "never closed", "("),
        ("params.x in [1, 2", "never closed", "["),
        ("params.lr > 1)", "makes no sense here", ")"),
        ("note == 'abc", "quotation mark is missing", "'abc"),
        ("id == 3f2a", "quotation marks", "3"),
        ("params.x == 1.2.3", "quotation marks", "1"),
        ("3 == 3", "two values", "3 == 3"),
        ("'x'", "no condition", "'x'"),
        ("created > 'soon'", "created is a time", "'soon'"),
        ("created > '2026-02-31'", "created is a time", "'2026-02-31'"),
        ("created in ['today', 'soon']", "created is a time", "['today', 'soon']"),
        ("duration > 'long'", "duration is in seconds", "'long'"),
        ("note matches '('", "no regular expression", "'('"),
        ("note matches 3", "after matches", "3"),
        ("note matches host", "after matches", "host"),
        ("'x' matches note", "before matches", "'x'"),
        ("(params.lr > 1) == 2", "is a condition", "=="),
        ("params.lr in [1, x]", "not names", "x"),
        ("params.", "after a dot", ""),
        ("params['a' > 1", "a bracket is missing", ">"),
        ("params[x] > 1", "in quotation marks", "x"),
        ("params.x @ 3", "means nothing", "@"),
        ("params.x > 1 & note", "joined with and, or", "&"),
        ("params.x == -'a'", "before a number", "-"),
        ("params.x == " + "9" * 500, "500 digits", "9" * 500),
    ],
)
def test_what_cannot_be_meant_is_said_with_a_caret_under_the_place(query, said, place):
    with pytest.raises(QueryError) as raised:
        Query(query, Trials(NOW, lambda: ["params.lr", "summary.loss.last"]))
    error = raised.value
    assert said in error.what
    assert query[error.start : error.end] == place
    what, shown, carets = str(error).splitlines()
    assert what == error.what
    under = shown[carets.index("^") : carets.index("^") + len(place)]
    assert place.startswith(under)
    assert carets.strip() == "^" * max(1, len(under))


def test_too_deep_and_too_long_are_refused():
    assert holds("(" * (DEEPEST - 1) + "params.n == 3" + ")" * (DEEPEST - 1))
    with pytest.raises(QueryError, match="within each other"):
        holds("(" * 5000 + "params.n == 3")
    with pytest.raises(QueryError, match="within each other"):
        holds("not " * 5000 + "params.n == 3")
    with pytest.raises(QueryError, match="within each other"):
        holds("params.n in " + "[" * 5000)
    with pytest.raises(UsageError, match="characters"):
        holds("params.n == 3 or " * 10_000 + "params.n == 3")
    assert holds(" or ".join(["params.n == 4"] * 3000 + ["params.n == 3"]))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h30m", 9000), ("90 s", 90), ("1 day, 3 hours", 97200), ("1.5h", 5400), ("2 weeks", 1209600), ("10min", 600),
     ("250 ms", 0.25), ("1:30", 5400), ("100:00:01.5", 360001.5), ("", None), ("3", None), ("h", None), ("3 parsecs", None),
     ("2h x", None), ("-2h", None)],
)  # fmt: skip
def test_spans(text, seconds):
    assert moments.span(text) == seconds


def local(*parts):
    return datetime.datetime(*parts).timestamp()


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", local(2026, 1, 1), local(2027, 1, 1)),
        ("2026-12", local(2026, 12, 1), local(2027, 1, 1)),
        ("2026-02-28", local(2026, 2, 28), local(2026, 3, 1)),
        ("2026-02-28 23", local(2026, 2, 28, 23), local(2026, 3, 1)),
        ("2026-02-28T23:59", local(2026, 2, 28, 23, 59), local(2026, 3, 1)),
        ("2026-02-28 23:59:59", local(2026, 2, 28, 23, 59, 59), local(2026, 3, 1)),
        ("2026-02-28T12:00:00.5", local(2026, 2, 28, 12) + 0.5, local(2026, 2, 28, 12) + 0.5),
        ("1970-01-02T00:00:00Z", 86400.0, 86401.0),
        ("1970-01-02T01:00+01:00", 86400.0, 86460.0),
        ("1970-01-01 19:00-0500", 86400.0, 86460.0),
        ("yesterday", local(2026, 11, 20), local(2026, 11, 21)),
        (" 3  months ago ", local(2026, 8, 21, 12), local(2026, 8, 21, 12)),
        ("9 months ago", local(2026, 2, 21, 12), local(2026, 2, 21, 12)),
        ("1 year ago", local(2025, 11, 21, 12), local(2025, 11, 21, 12)),
        ("an hour ago", NOW - HOUR, NOW - HOUR),
        ("90 minutes ago", NOW - 1.5 * HOUR, NOW - 1.5 * HOUR),
    ],
)
def test_moments(text, start, end):
    assert moments.moment(text, NOW) == (start, end)


@pytest.mark.parametrize("text", ["", "ago", "x ago", "2026-13", "2026-02-30", "26-01-01", "2026-01-01T25", "0000", "9999-12",
                                  "9999999 years ago", "2026-01-01 10:00 CET"])  # fmt: skip
def test_no_moments(text):
    assert moments.moment(text, NOW) is None


def test_the_last_day_of_a_month():
    march = local(2026, 3, 31, 12)
    assert moments.moment("1 month ago", march).start == local(2026, 2, 28, 12)
