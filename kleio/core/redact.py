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

_WORDS = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "apikey", "credential", "credentials",
          "auth"}  # fmt: skip
_PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("account", "key"), ("signing", "key"),
          ("encryption", "key"), ("service", "key"), ("license", "key")}  # fmt: skip
_HARMLESS = {"file", "path", "dir", "type", "count", "counts", "len", "length", "size", "limit", "id", "ids", "max", "min",
             "num", "index", "pad", "eos", "bos", "unk", "mask", "sep", "cls", "per", "name", "level", "budget", "dim",
             "embedding", "embeddings", "embed", "drop", "dropout", "loss", "prob", "weight", "n", "special",
             "every"}  # fmt: skip
_SEGMENTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:]*):([^\s/@]+)@")
_TOKENS = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,}|glpat-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}"
    r"|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_NAMED = re.compile(r"^(-{0,2}[A-Za-z][\w.-]*)=(.*)$", re.DOTALL)


def is_secret(name: str) -> bool:
    """Whether something of this name is a secret: ``DB_PASSWORD``, ``--api-key``, ``accessToken``."""
    segments = [segment.lower() for segment in _SEGMENTS.findall(name)]
    if _HARMLESS.intersection(segments):
        return False
    return bool(_WORDS.intersection(segments)) or any(pair in _PAIRS for pair in pairwise(segments))


def text(value: str) -> str:
    """``value`` without passwords in addresses and without anything of a known key's shape."""
    if "://" in value and "@" in value:
        value = _URL.sub(rf"\1:{GONE}@", value)
    return _TOKENS.sub(GONE, value)


def command(argv: Sequence[str]) -> tuple[str, ...]:
    """``argv`` with the values of secret options, and secrets of known shapes, taken out."""
    redacted: list[str] = []
    hide_next = False
    for word in argv:
        if hide_next and not (word.startswith("--") and len(word) > 2):
            redacted.append(GONE)
            hide_next = False
            continue
        named = _NAMED.match(word)
        if named and named[2] and is_secret(named[1]):
            redacted.append(f"{named[1]}={GONE}")
            hide_next = False
        else:
            redacted.append(text(word))
            hide_next = word.startswith("--") and "=" not in word and " " not in word and is_secret(word)
    return tuple(redacted)


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the values of secret variables taken out."""
    return {name: GONE if is_secret(name) else text(value) for name, value in environment.items()}
