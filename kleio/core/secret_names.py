"""What a secret is called, and what keys look like.

Names are matched by segment, so ``--api-key`` and ``HF_TOKEN`` are secrets and ``TOKENIZERS_PARALLELISM`` is none; names of
one segment by how they end: ``PGPASSWORD``, ``mysqlpass``. Values are matched by the shapes that providers document.
"""

from __future__ import annotations

import re
from itertools import pairwise

WORDS = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "apikey", "credential", "credentials",
          "auth", "pw", "passcode", "bearer"}  # fmt: skip
PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("account", "key"), ("signing", "key"),
          ("encryption", "key"), ("service", "key"), ("license", "key"), ("wandb", "key"), ("openai", "key"), ("hf", "key"),
          ("aws", "key"), ("anthropic", "key"), ("gemini", "key"), ("azure", "key"), ("comet", "key"), ("neptune", "key"),
          ("github", "key"), ("master", "key")}  # fmt: skip
_HARMLESS = {"file", "path", "dir", "type", "count", "counts", "len", "length", "size", "limit", "id", "ids", "max", "min",
             "num", "index", "pad", "eos", "bos", "unk", "mask", "sep", "cls", "per", "name", "level", "budget", "dim",
             "embedding", "embeddings", "embed", "drop", "dropout", "loss", "prob", "weight", "n", "special",
             "every"}  # fmt: skip
_HARMLESS_END = {"url", "uri", "endpoint", "ttl", "timeout", "prefix", "suffix", "header", "field", "column", "label", "prompt",
                 "class", "mode", "method", "provider", "env", "var", "scope", "scopes", "pattern", "regex", "mixer", "pooling",
                 "hint"}  # fmt: skip
_GLUED = ("password", "passwd", "passphrase", "passcode", "apikey", "secretkey", "accesskey", "privatekey", "authtoken",
          "apitoken", "secret", "credentials")  # fmt: skip
"""What a name without separators may end with."""
_SHORT = ("pass", "pwd", "pw")
_ACCOUNTS = {"db", "database", "sql", "mysql", "mariadb", "pg", "postgres", "postgresql", "psql", "redis", "mongo", "mongodb",
             "rabbitmq", "ldap", "smtp", "imap", "mail", "ftp", "sftp", "http", "proxy", "ssh", "vpn", "wifi", "sudo", "root",
             "admin", "user", "my", "login"}  # fmt: skip
"""What may stand before the short words: ``dbpass``, but not ``bypass``, ``lowpass``, ``oldpwd``."""
_DENIALS = {"no", "non", "un", "ask"}
_OF_TEXTS = {"sub", "image", "next", "last", "first", "new", "start", "end", "stop", "begin"}
"""Tokens that a model reads."""
SEGMENTS = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
PREFIXED = (
    r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{50,255}|glpat-[A-Za-z0-9_-]{20,255}"
    r"|hf_[A-Za-z0-9]{30,255}|sk-[A-Za-z0-9_-]{20,255}|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{10,255}"
    r"|xapp-[A-Za-z0-9-]{20,255}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{50,255}"
    r"|[sr]k_live_[A-Za-z0-9]{20,255}|dop_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|wandb_v1_[A-Za-z0-9_]{40,255}"
    r"|nvapi-[A-Za-z0-9_-]{40,255}|tskey-[A-Za-z0-9-]{20,255})"
)
"""Keys that tell themselves by how they begin. An expression, compiled by re when first used: few launches use any."""
KEYS = rf"(?:{PREFIXED}|eyJ[A-Za-z0-9_-]{{10,4000}}\.eyJ[A-Za-z0-9_-]{{10,4000}}\.[A-Za-z0-9_-]{{10,4000}})"
"""Those and web tokens."""


def is_secret(name: str) -> bool:
    """Whether something of this name is a secret: ``DB_PASSWORD``, ``--api-key``, ``accessToken``, ``PGPASSWORD``."""
    parts = re.findall(SEGMENTS, name)
    segments = [part.lower() for part in parts]
    if _HARMLESS.intersection(segments):
        return False
    if segments[1:] and segments[-1] in _HARMLESS_END:
        return False
    if segments[1:] and segments[-1] == "pass":  # --db-pass, but not --pass 2
        return True
    if WORDS.intersection(segments) or any(pair in PAIRS for pair in pairwise(segments)):
        return True
    return any(glued(part) for part in parts)


def glued(segment: str) -> str:
    """The secret word that a segment of a name ends with: ``password`` for ``PGPASSWORD``; "" if with none."""
    lower = segment.lower()
    if lower.endswith(_GLUED):
        word = max((one for one in _GLUED if lower.endswith(one)), key=len)
        return word if lower[: -len(word)] not in _DENIALS else ""
    for word in _SHORT:
        if lower.endswith(word) and lower[: -len(word)] in _ACCOUNTS:
            return word
    before = lower[:-5]  # of a variable: GITHUBTOKEN, but not tokenizer, padtoken, EOSTOKEN
    token = segment.isupper() and lower.endswith("token") and before and before not in _HARMLESS | _OF_TEXTS
    return "token" if token else ""
