"""What never gets recorded: secrets in arguments, addresses and variables.

Names are matched by segment, so ``--api-key`` and ``HF_TOKEN`` are secrets and ``TOKENIZERS_PARALLELISM`` is none. Values
are matched by the shapes that providers document for their keys. What is taken out leaves :data:`GONE` behind.
"""

from __future__ import annotations

import re
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GONE = "<redacted>"
SHORTEST = 14
"""Characters: no key of a known shape, and no header with one, is shorter."""

_WORDS = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "apikey", "credential", "credentials",
          "auth", "pw", "passcode", "bearer"}  # fmt: skip
_PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("account", "key"), ("signing", "key"),
          ("encryption", "key"), ("service", "key"), ("license", "key")}  # fmt: skip
_HARMLESS = {"file", "path", "dir", "type", "count", "counts", "len", "length", "size", "limit", "id", "ids", "max", "min",
             "num", "index", "pad", "eos", "bos", "unk", "mask", "sep", "cls", "per", "name", "level", "budget", "dim",
             "embedding", "embeddings", "embed", "drop", "dropout", "loss", "prob", "weight", "n", "special",
             "every"}  # fmt: skip
# Compiled by re when first used, and few commands use any: together they would cost a launch 2 ms.
_SEGMENTS = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
_URL = r"(?<![\w+.-])([a-zA-Z][\w+.-]{0,20}://)([^\s/@:]{0,200})(:\S{0,500})?@(?![^\s@]{0,500}@)"
_QUERY = r"([?&;])([\w.-]{1,60})=([^&;\s]+)"
_TOKENS = (
    r"(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{50,255}|glpat-[A-Za-z0-9_-]{20,255}"
    r"|hf_[A-Za-z0-9]{30,255}|sk-[A-Za-z0-9_-]{20,255}|AKIA[A-Z0-9]{16}|xox[abprs]-[A-Za-z0-9-]{10,255}"
    r"|AIza[A-Za-z0-9_-]{35}|eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,4000})"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
)
_HEADER = r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}"
_QUOTED = r"""(["'])([\w.-]{1,60})\1(\s*:\s*)(["'])[^"']*\4"""
_NAMED = r"(?s)(-D|-{0,2})([A-Za-z][\w.-]*)([=:])(?!//)(.*)\Z"
_SENSITIVE_FILE = (
    r"(?i)\.env(?:\..*)?|.*\.(?:pem|key|p12|pfx|keystore)|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc|\.pgpass|\.git-credentials"
    r"|credentials(?:\.\w+)?|secrets?\.\w+"
)
_EXAMPLE = (".example", ".sample", ".template", ".dist")


def is_secret(name: str) -> bool:
    """Whether something of this name is a secret: ``DB_PASSWORD``, ``--api-key``, ``accessToken``."""
    segments = [segment.lower() for segment in re.findall(_SEGMENTS, name)]
    if _HARMLESS.intersection(segments):
        return False
    if segments[1:] and segments[-1] == "pass":  # --db-pass, but not --pass 2
        return True
    return bool(_WORDS.intersection(segments)) or any(pair in _PAIRS for pair in pairwise(segments))


def text(value: str) -> str:
    """``value`` without passwords in addresses, queries and headers, and without anything of a known key's shape."""
    if "://" in value and "@" in value:
        value = re.sub(_URL, _without_password, value)
    if "=" in value and ("?" in value or "&" in value or ";" in value):
        value = re.sub(_QUERY, lambda m: f"{m[1]}{m[2]}={GONE}" if is_secret(m[2]) else m[0], value)
    if ":" in value:
        value = re.sub(_QUOTED, lambda m: f"{m[1]}{m[2]}{m[1]}{m[3]}{m[4]}{GONE}{m[4]}" if is_secret(m[2]) else m[0], value)
    if len(value) < SHORTEST:
        return value
    return re.sub(_TOKENS, GONE, re.sub(_HEADER, rf"\1\2{GONE}", value))


def _without_password(match: re.Match[str]) -> str:
    scheme, user, password = match[1], match[2], match[3]
    if password is None and scheme.startswith("http"):  # a lone name before a web host is a token
        return f"{scheme}{GONE}@"
    return f"{scheme}{user}@" if password is None else f"{scheme}{user}:{GONE}@"


def address(url: str) -> str:
    """A remote's address without user, password and query: where it is, and nothing of who may read it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def is_secret_file(name: str) -> bool:
    """Whether a file of this name is likely to hold secrets: ``.env``, ``id_rsa``, ``server.pem``."""
    return bool(re.fullmatch(_SENSITIVE_FILE, name)) and not name.endswith(_EXAMPLE)


def command(argv: Sequence[str]) -> tuple[str, ...]:
    """``argv`` with the values of secret options, and secrets of known shapes, taken out."""
    redacted: list[str] = []
    hide_next = False
    for word in argv:
        if hide_next and not (word.startswith("--") and len(word) > 2):
            redacted.append(GONE)
            hide_next = False
            continue
        named = re.match(_NAMED, word) if "=" in word or ":" in word else None
        if named and named[4] and is_secret(named[2]):
            redacted.append(f"{named[1]}{named[2]}{named[3]}{GONE}")
            hide_next = False
        else:
            redacted.append(text(word))
            hide_next = word.startswith("-") and len(word) > 2 and not {"=", ":", " "} & set(word) and is_secret(word)
    return tuple(redacted)


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the values of secret variables taken out."""
    return {name: GONE if is_secret(name) else text(value) for name, value in environment.items()}
