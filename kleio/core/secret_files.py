"""Secrets in the content of files, which are then not kept.

A false alarm costs the user an exact checkout, a miss leaks. So config files and shell scripts are read strictly: any scalar
with a secret name is a secret. In source only a literal that looks like one is. Placeholders, templates and references to
variables are none. It runs on every changed file at every launch: substrings first, expressions only where they hit.
"""

from __future__ import annotations

import os
import re
from itertools import chain

from kleio.core.secret_defaults import Source
from kleio.core.secret_names import KEYS, PAIRS, SEGMENTS, WORDS, glued, is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROVIDERS = {"gh": "GitHub", "gl": "GitLab", "hf": "Hugging Face", "AK": "AWS", "AS": "AWS", "xo": "Slack", "xa": "Slack",
              "AI": "Google", "np": "npm", "py": "PyPI", "rk": "Stripe", "do": "DigitalOcean", "da": "Databricks",
              "wa": "W&B", "nv": "NVIDIA", "ts": "Tailscale"}  # fmt: skip
_BEGINNINGS = {beginning.encode() for beginning in (*_PROVIDERS, "sk", "ey")}
_FRAGMENTS = ("pass", "pw", "cre[td]", "ke[ny]", "uth")
"""Every secret name has one of them. They are few, and begin with a rare letter, because each is a pass over the file."""
_RUN = bytes(97 if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "_-") else 32 for byte in range(256))
_KEY_LENGTH = 32  # characters of [A-Za-z0-9_-], at least, in a key of a known shape, but for two
_SHORT_KEYS = ("A[KS]IA", "glpat-")
_SHORTEST_KEY = 20  # characters of any
_PIECE = 1 << 20
_OVERLAP = 1 << 14  # bytes; no key is longer
_VOCABULARY = 2000  # names in a file that nobody wrote by hand: the numbers in it are indices
_KINDS = {
    "config": (".yaml", ".yml", ".json", ".jsonl", ".toml", ".ini", ".cfg", ".conf", ".env", ".properties", ".tfvars"),
    "shell": (".sh", ".bash", ".zsh", ".slurm", ".sbatch", ".pbs", "Dockerfile", "Makefile"),
    "prose": (".md", ".rst", ".txt", ".log"),
}
_ADDRESS = (
    r"""://(?:([^\s/@:"'`<>\\]{0,200}):([^\s/"'`<>\\]{1,500})@([\w.-]+)|([\w-]{20,500})@"""
    r"""|hooks\.slack\.com/services/T\w+/B\w+/\w{20})"""
)
_PRIVATE = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.{0,600})"
_AFTER = {
    "shell": r"([\w-]{0,60})[= :]",
    "": r"""([\w.-]{0,60})(?:\\?["']?\]?[ \t]{0,20}(?:[=:]|(?<!\w)or\b|\|\||\?\?)|\\?["'][,)])""",
}
_LITERALS = {
    "config": r"""\\?["']?[ \t]{0,20}(?:=>|:=|=(?!=)|:(?=[ \t"']))[ \t]{0,80}(?:\\?"([^"\n\\]{0,500})|\\?'([^'\n\\]{0,500})"""
    r"""|([^\s"'\[{,}\]](?:[^\n]{0,200}?(?=,\s|[}\]]|\s\#|\s{0,9}(?:\n|\Z)))))""",
    "shell": r"""(?:=|[ ](?!-))(?:"([^"\n]{0,500})|'([^'\n]{0,500})|([^\s"'`;|&)]{1,500}))""",
    "source": r"""\\?["']?\]?(?::[ ]?[\w.\[\]| ]{1,40}(?==|[ ]=))?[ \t]{0,20}(?:=>|:=|=(?!=)|:)[ \t]{0,20}[rbuf]{0,2}\(?\\?"""
    r"""(?:"([^\s"\\]{8,500})\\?"|'([^\s'\\]{8,500})\\?'|`([^\s`]{8,500})`)""",
    "prose": r"""\\?["']?\]?[ ]?[=:][ ]?(?:"([^\s"]{8,500})"|'([^\s']{8,500})'|([\w+/=.~-]{16,500})(?![^\s,;"'`]))""",
    "query": r"""=()()([^\s&;"'<>{}()$\\]{8,500})(?![(\[{$])""",
}
_AUTHORIZATION = (
    r"""(?i)authorization\\?["']?\s{0,3}[:=,]\s{0,3}f?\\?["']?(?:bearer|basic|token)\s{1,3}([A-Za-z0-9._~+/=-]{16,4000})"""
)
_TEMPLATE = (
    r"\$[A-Za-z_({]|\$[0-9@*?]\Z|.*(?:\$\{|\{\{|%\(|%[sdr]\b|<[A-Za-z_][\w .-]*>)|[<\[{].*[>\]}]\Z|.*\{[A-Za-z_][\w.\[\]!:]*\}"
    r"|[!&*@`|>]|ENC\[|op://|arn:|vault:|env:|ref\+|os\.|process\.env|secrets?\.|var\.|[A-Za-z_][\w.]*\("
    r"|[A-Za-z_]+(?:\.[A-Za-z_]+)+\Z|(?:~|\.{1,2})?(?:/[\w.@-]{1,40}){2,}/?\Z|[A-Za-z]:\\|\w+://[^\s@]*\Z"
)
_GIVEN = r"""\$\{(?:oc\.env:|env:)?[\w.]{1,60}(?::?[-=]|,)["']?([^{}"'$]{4,500})["']?(?:\}|\Z)"""
"""A variable of the environment, and what stands for one that is not set."""
_EXAMPLES = r"(?i)example|change_?-?me|placeholder|your[-_ ]|xxxx|redacted|dummy|1234567|abcdefg|\.\.\.|\*\*\*|\xe2\x80\xa6"
_PLACEHOLDERS = (
    "password passwd passphrase pass pwd pw secret secrets token key api apikey access private credential "
    "credentials auth bearer my your the a an user username db database test testing tests fake sample change me "
    "here insert todo tbd none null nil true false yes no on off default hidden removed value string str text some "
    "foo bar baz enter put replace this it with inherit required optional enabled disabled auto ask env keyring "
    "prompt unset undefined empty mock invalid wrong in of is not set number bool boolean int integer object array "
    "name write read"
)
_PASSWORDS = {"password", "passwd", "passphrase", "pass", "pwd", "pw", "passcode"}
_VAGUE = {"token", "auth", "bearer"}
"""Names that are used for many things besides secrets: a plain word after them is none."""


def secret_in(path: str, content: bytes) -> str | None:
    """Why a file must not be kept, in words for its user; else None. ``path`` decides how it is read.

    A megabyte of source takes about five milliseconds.
    """
    plain = content.decode("latin-1")
    return _key_in(plain, content) or _address_in(plain) or _value_in(path, plain, content)


def _key_in(plain: str, content: bytes) -> str | None:
    """A key of a known shape."""
    return next((found for start in _runs(plain, content) if (found := _key_at(plain, start))), None)


def _key_at(plain: str, start: int) -> str | None:
    found = re.compile(KEYS).match(plain, start) if plain[start : start + 2].encode("latin-1") in _BEGINNINGS else None
    if not found or not drawn(found[0]):
        return None
    owner = _PROVIDERS.get(found[0][:2])
    return f"a token of {owner}'s" if owner else "a web token" if found[0].startswith("eyJ") else "a key of an API"


def _runs(plain: str, content: bytes) -> Iterator[int]:
    """Where keys may begin: they are long runs of letters and digits, of which ordinary text has few; two are short."""
    for short in _SHORT_KEYS:
        yield from (found.start() for found in re.compile(short).finditer(plain))
    yield from _long_runs(content, _KEY_LENGTH)


def _long_runs(content: bytes, length: int) -> Iterator[int]:
    """Where, in runs of at least ``length`` letters, digits and dashes, something begins as keys do."""
    runs, run = content.translate(_RUN), b"a" * length
    at = runs.find(run)
    while at >= 0:
        if content[at : at + 2] in _BEGINNINGS:
            yield at
        if at and content[at - 1] in b".\\":
            yield from _short_beginnings(content, runs, at)
        end = runs.find(b" ", at + length)
        at = runs.find(run, end) if end >= 0 else -1


def _short_beginnings(content: bytes, runs: bytes, start: int) -> Iterator[int]:
    """Of what goes on with the run at ``start``."""
    if content[start - 1 : start] == b"\\":  # \nhf_…: the n belongs to what is before
        yield start + 1
    for _ in range(2):  # the short parts of a web token, before a long one
        if content[start - 1 : start] == b".":
            start = runs.rfind(b" ", max(start - 4000, 0), start - 1) + 1
            yield start


def drawn(key: str) -> bool:
    """Whether a key was drawn at random: neither a name with dashes nor a row of x."""
    body = re.split(r"[-_]", key, maxsplit=1)[-1]
    if key.startswith("sk-") and not re.search(r"[A-Za-z0-9]{16}", key):
        return False
    return len(set(body)) >= 8 and len(re.findall(r"[0-9]", body)) >= 2 and not re.search(_EXAMPLES, key)


# -- files of any size -------------------------------------------------------------------------------------------------


def secret_in_file(path: str, name: str) -> str | None:
    """As :func:`secret_in`, of a regular file of any size, in little memory. ``name`` decides how it is read.

    Of one above a mebibyte only keys of a known shape and private keys are found. A gigabyte of text takes a second; what is
    nothing but hashes, eight. Raises OSError if the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        first = file.read(_PIECE + 1)
        if len(first) <= _PIECE:
            return secret_in(name, first)
        return secret_in_pieces(chain((first,), iter(lambda: file.read(_PIECE), b"")))


def secret_in_pieces(pieces: Iterable[bytes]) -> str | None:
    """A key of a known shape or a private key in content that comes piece by piece, wherever it is cut."""
    before = b""
    for piece in pieces:
        content = before + piece
        found = _shape_in(content)
        if found:
            return found
        before = content[-_OVERLAP:]
    return None


def _shape_in(content: bytes) -> str | None:
    for start in _long_runs(content, _SHORTEST_KEY):
        if found := _key_at(content[start : start + _OVERLAP].decode("latin-1"), 0):
            return found
    at = content.find(b"PRIVATE KEY")
    while at >= 0:
        around = content[max(at - 60, 0) : at + 800].decode("latin-1")
        if _private_key(around, min(at, 60)):
            return "a private key"
        at = content.find(b"PRIVATE KEY", at + 1)
    return None


# -- what keys and values look like ------------------------------------------------------------------------------------


def _address_in(plain: str) -> str | None:
    """A password in an address; a lone name before the host counts when it is long and holds digits."""
    if "://" not in plain or ("@" not in plain and "hooks.slack" not in plain):
        return None
    for found in re.finditer(_ADDRESS, plain):
        user, password, host, lone = found.groups()
        if password is None:
            if lone is None or (re.search("[0-9]", lone) and not re.search(_EXAMPLES, lone)):
                return "a token in an address"
        elif len(password) >= 4 and password != user and not _placeholder(password) and not re.search(_EXAMPLES, host):
            return "a password in an address"
    return None


def _value_in(path: str, plain: str, content: bytes) -> str | None:
    """A value for a secret name. The first line of a private key holds such a name, so it is found on the way."""
    if b"\0" in content[:8192]:
        return "a private key" if any(_private_key(plain, found.end()) for found in re.finditer("PRIVATE ", plain)) else None
    kind = _kind(path)
    after = re.compile(_AFTER["shell" if kind == "shell" else ""])
    vocabulary = kind == "config" and content.count(b'":') > _VOCABULARY
    source = Source(plain)
    for at in _hits(content.lower().decode("latin-1")):
        if plain.startswith(("KEY-----", "KEY BLOCK-----"), at) and _private_key(plain, at):
            return "a private key"
        found = after.match(plain, at)
        name = _name_around(plain, at, found.end(1)) if found else ""
        if found and name and _assigned(kind, plain, source, name, found.end(1), vocabulary):
            return f"a value for {name.strip('-._')}"
    return None


def _hits(lower: str) -> Iterator[int]:
    for fragment in _FRAGMENTS:
        for found in re.compile(fragment).finditer(lower):  # half the time of str.find: it looks for the first letter
            yield found.start() - (fragment == "uth")


def _kind(path: str) -> str:
    name = os.path.basename(path)
    if name.startswith(".env") or name in (".npmrc", ".pypirc"):
        return "config"
    ending = os.path.splitext(name)[1].lower()
    for kind, endings in _KINDS.items():
        if ending in endings or (not ending and name in endings):
            return kind
    return "source" if ending else "prose"


def _name_around(plain: str, at: int, end: int) -> str:
    """The whole name that has a hit at ``at``; "" for a reference such as ``$TOKEN`` and for what is too long for a name."""
    start = at
    while start and at - start < 60 and (plain[start - 1].isalnum() or plain[start - 1] in "_.-"):
        start -= 1
    if at - start >= 60 or end - at >= 60 or plain[start - 1 : start] in ("$", "%") or plain[max(start - 2, 0) : start] == "${":
        return ""
    return plain[start:end]


def _assigned(kind: str, plain: str, source: Source, name: str, end: int, vocabulary: bool) -> bool:
    """Whether ``name``, which ends at ``end``, is a secret's and followed by one."""
    start = end - len(name)
    if name.lower() == "authorization":
        headed = re.compile(_AUTHORIZATION).match(plain, start)
        return bool(headed and _random(headed[1]))
    if not is_secret(name):
        return False
    if kind == "shell" and plain[end : end + 1] == " " and not name.startswith("--"):
        return False
    how = "query" if plain[max(start - 1, 0) : start] in ("?", "&", ";") else kind
    if how not in ("config", "shell"):
        return any(_is_literal(name, value) for value in _literals(how, plain, source, start, end))
    found = re.compile(_LITERALS[how]).match(plain, end)
    if found is None:
        return False
    line = plain[max(start - 200, 0) : start].rpartition("\n")[2].lstrip()
    value = (found[1] or found[2] or found[3] or "").strip()
    return _is_scalar(name, value, prose=line.startswith(("#", ";", "//")), index=vocabulary and found[3] is not None)


def _literals(how: str, plain: str, source: Source, start: int, end: int) -> Iterator[str]:
    """What may be the value of the name ``plain[start:end]``."""
    for expression in (how, "source") if how == "prose" else (how,):
        found = re.compile(_LITERALS[expression]).match(plain, end)
        if found is not None:
            yield (found[1] or found[2] or found[3] or "").strip()
            break
    if how != "query":
        yield from (plain[place:to] for place, to, _ in source.defaults(start, end) if _may_be_drawn(plain[place:to]))


def _is_scalar(name: str, value: str, prose: bool, index: bool) -> bool:
    """Whether a value of a config file is a secret. ``prose``: in a comment; ``index``: a number of a vocabulary."""
    given = re.match(_GIVEN, value)
    value = given[1] if given else value
    if len(value) < 4 or _placeholder(value) or (prose and re.search(r"\s", value)):
        return False
    last = _last(name)
    if not re.search(r"[A-Za-z]", value):
        return last in _PASSWORDS and not index
    if last == "":
        return _random(value)
    return last not in _VAGUE or not re.fullmatch(r"[A-Za-z\s_.:+-]{1,30}", value)


def _is_literal(name: str, value: str) -> bool:
    """Whether a literal of source code is a secret: letters and digits, and no word with a number behind it."""
    if _placeholder(value) or not (re.search(r"[A-Za-z]", value) and re.search(r"[0-9]", value)):
        return False
    return _last(name) not in ("", *_VAGUE) or _random(value)


def _is_default(name: str, value: str) -> bool:
    return _may_be_drawn(value) and _is_literal(name, value)


def _may_be_drawn(value: str) -> bool:
    """Whether it is one word, and no name, of which a call may have several: ``("token", "session_of_an_auth2")``."""
    if not re.fullmatch(r"[^\s\\]{8,500}", value):
        return False
    return len(re.findall("[A-Z]?[a-z]{3,}|[A-Z]{3,}", value)) < 3 or not is_secret(value)


def without_defaults(text: str, gone: str) -> str:
    """``text`` with ``gone`` in the place of what calls and options in it give to secret names."""
    plain = text.encode("ascii", "replace").decode()  # as long as the text is, in capitals and in small letters
    places = set()
    source = Source(plain)
    for at in _hits(plain.lower()):
        found = re.compile(_AFTER[""]).match(plain, at)
        name = _name_around(plain, at, found.end(1)) if found else ""
        if found and is_secret(name):
            for start, end, sure in source.defaults(found.end(1) - len(name), found.end(1)):
                value = text[start:end]
                if _is_scalar(name, value, prose=False, index=False) if sure else _is_default(name, value):
                    places.add((start, end))
    for start, end in sorted(places, reverse=True):
        text = text[:start] + gone + text[end:]
    return text


def looks_secret(name: str, value: str) -> bool:
    """Whether what is said of a secret in prose, ``the password: hunter2``, is one: it holds letters and digits."""
    if _placeholder(value) or not (re.search(r"[A-Za-z]", value) and re.search(r"[0-9]", value)):
        return False
    return _last(name) in _PASSWORDS or _random(value)


def _last(name: str) -> str:
    """The secret word that ``name`` ends with, ``key`` for api_key; "" when it goes on: token_pooling."""
    parts: list[str] = [part for part in re.findall(SEGMENTS, name) if not part.isdigit()]
    words = [part.lower() for part in parts]
    if words and (words[-1] in WORDS or words[-1] == "pass" or tuple(words[-2:]) in PAIRS):
        return words[-1]
    return glued(parts[-1]) if parts else ""


def _random(value: str) -> bool:
    """Whether it looks drawn: eight characters with letters and digits, no spaces, and no name like ``bfloat16``."""
    if len(value) < 8 or not (re.search(r"[A-Za-z]", value) and re.search(r"[0-9]", value)):
        return False
    return not re.search(r"\s|://", value) and not re.fullmatch(r"[A-Za-z_.-]+[0-9]{1,2}[a-z]?", value)


def _placeholder(value: str) -> bool:
    """Whether a value only stands for one: a template, a reference to a variable, ``changeme``, ``xxx``."""
    if len(set(value)) <= 2 or re.match(_TEMPLATE, value) or re.search(_EXAMPLES, value):
        return True
    words = [word.lower() for word in re.findall(SEGMENTS, value)]
    if not words or all(word in _PLACEHOLDERS.split() for word in words):
        return True
    return value.isupper() and value.isidentifier() and is_secret(value)  # the name of a variable


def _private_key(plain: str, at: int) -> bool:
    """Whether a private key follows its first line, which ends soon after ``at``: programs name the line alone."""
    found = re.compile(_PRIVATE).match(plain, max(plain.rfind("-----BEGIN", max(at - 60, 0), at), 0))
    run = re.search(r"[A-Za-z0-9+/]{40}", found[0].partition("-----END")[0]) if found else None
    return bool(run and len(set(run[0])) >= 12)
