"""What never gets recorded: secrets in arguments, addresses, variables and files.

What is taken out leaves :data:`GONE` behind; a file that holds a secret is not kept at all (:func:`secret_in`), because
half a file brings nothing back.
"""

from __future__ import annotations

import re

from kleio.core.secret_names import KEYS, PREFIXED, is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

__all__ = ["GONE", "SHORTEST", "address", "command", "is_secret", "is_secret_file", "named", "secret_in", "secret_in_file",
           "secret_in_pieces", "text", "variables"]  # fmt: skip

GONE = "<redacted>"
SHORTEST = 14
"""Characters: no key of a known shape, and no header with one, is shorter."""

# Compiled by re when first used, and few commands use any: together they would cost a launch 2 ms.
_URL = r"(?<![\w+.-])([a-zA-Z][\w+.-]{0,20}://)([^\s/@:]{0,200})(:\S{0,500})?@(?![^\s@]{0,500}@)"
_QUERY = r"([?&;])([\w.-]{1,60})=([^&;\s]+)"
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
_TOKENS = rf"(?<![\w-]){KEYS}|{_PRIVATE_KEY}|(?P<glued>{PREFIXED})"
_HEADER = r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}"
_LITERAL = (
    r"""(?<![\w.-])([A-Za-z_][\w.-]{0,60})(\\?["']?\]?(?::[ ]?[\w.\[\]| ]{1,40}(?==))?\s{0,9}(?:=>|:=|=|:)\s{0,9}"""
    r"""[rbufRBUF]{0,2})(?:(\\["'])[^"']+\\["']|(")(?:[^"\\]|\\.)+"|(')(?:[^'\\]|\\.)+')"""
)
_INNER = (
    r"""(?<![^\s"';|&])(--?[A-Za-z][\w.-]{1,60}[= ](?!-)|(?:\+{1,2}|~)?[A-Za-z_][\w.@-]{0,60}=)"""
    r"""("[^"]{1,500}"|'[^']{1,500}'|[^\s"';|&()$`]{1,500})(?=[\s"';|&]|\Z)"""
)
_FIELD = (
    r"""(?<=[{,])(\s?["']?)([A-Za-z_][\w.-]{0,60})(["']\s{0,3}:\s{0,3}|:)"""
    r"""(?!(?:null|true|false|None|True|False)\b)[^\s"',{}\[\]()]+(?=[,}])"""
)
_SAID = r"""(?<![\w.-])([A-Za-z][\w.-]{0,60})(["']?\s?[:=]\s{0,2})(?!//)([^\s"'<>(),;|&]{6,500})(?![^\s"',;|&)])"""
_TOOL = (
    r"""\b((?:(?:mysql|mariadb)[\w-]{0,20}\s(?:[^;|&\n]{0,200}?\s)?-p|sshpass\s{1,3}-p\s?"""
    r"""|curl\s(?:[^;|&\n]{0,200}?\s)?(?:-u\s?|--user[= ])(?!["']?\$)["']?[^\s:"']{1,100}:))"""
    r"""(?!["']?\$)("[^"]+"|'[^']+'|[^\s"';|&]+)"""
)
_NAMED = r"(?s)(-D|[-+~]{0,2})([A-Za-z][\w.-]*)([=:])(?!//)(.*)\Z"
_SENSITIVE_FILE = (
    r"(?i)\.env(?:\..*)?|.*\.(?:pem|key|p12|pfx|keystore)|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc|\.pgpass|\.git-credentials"
    r"|credentials(?:\.\w+)?|secrets?\.\w+"
)
_HINTS = ("pass", "pw", "cre", "key", "tok", "uth", "bearer")
"""Every secret name has one of them."""
_TOOLS = ("mysql", "mariadb", "sshpass", "curl")
_EXAMPLE = (".example", ".sample", ".template", ".dist")


def text(value: str) -> str:
    """``value`` without passwords in addresses, queries and headers, and without anything of a known key's shape."""
    if "://" in value and "@" in value:
        value = re.sub(_URL, _without_password, value)
    if "=" in value and ("?" in value or "&" in value or ";" in value):
        value = re.sub(_QUERY, lambda m: f"{m[1]}{m[2]}={GONE}" if is_secret(m[2]) else m[0], value)
    if any(sign in value for sign in "=:-,(|?") and any(hint in value.lower() for hint in _HINTS):
        value = _without_values(value)
    if len(value) < SHORTEST:
        return value
    if " -" in value and any(tool in value for tool in _TOOLS):
        value = re.sub(_TOOL, rf"\1{GONE}", value)
    return re.sub(_TOKENS, _without_key, re.sub(_HEADER, rf"\1\2{GONE}", value))


def _without_values(value: str) -> str:
    """Of a script, a document or a remark, without what follows a secret name in it."""
    if '"' in value or "'" in value:
        value = re.sub(_LITERAL, _without_literal, value)
        from kleio.core.secret_files import without_defaults  # 1 ms, as below

        value = without_defaults(value, GONE)
    value = re.sub(_INNER, lambda m: f"{m[1]}{GONE}" if is_secret(m[1]) else m[0], value)
    if "{" in value and ":" in value:
        value = re.sub(_FIELD, lambda m: f"{m[1]}{m[2]}{m[3]}{GONE}" if is_secret(m[2]) else m[0], value)
    return re.sub(_SAID, _without_said, value)


def _without_literal(match: re.Match[str]) -> str:
    quote = match[3] or match[4] or match[5]
    return f"{match[1]}{match[2]}{quote}{GONE}{quote}" if is_secret(match[1]) else match[0]


def _without_said(match: re.Match[str]) -> str:
    """Words may follow such a name in prose, and names in code: only what looks like a secret is one."""
    if not is_secret(match[1]):
        return match[0]
    from kleio.core.secret_files import looks_secret  # 1 ms, for those who name one

    return f"{match[1]}{match[2]}{GONE}" if looks_secret(match[1], match[3]) else match[0]


def _without_key(match: re.Match[str]) -> str:
    """What only ends like a key, ``task-…``, is one if it was drawn at random."""
    key = match["glued"]
    if key is None:
        return GONE
    from kleio.core.secret_files import drawn

    varied = key.lower() != key != key.upper()
    return GONE if drawn(key) and (varied or not key.startswith("sk-")) else key


def _without_password(match: re.Match[str]) -> str:
    scheme, user, password = match[1], match[2], match[3]
    if password is None and scheme.startswith("http"):  # a lone name before a web host is a token
        return f"{scheme}{GONE}@"
    return f"{scheme}{user}@" if password is None else f"{scheme}{user}:{GONE}@"


def address(url: str) -> str:
    """A remote's address without user, password and query: where it is, and nothing of who may read it.

    Of ssh the user is a part of where it is: without ``git@`` nothing can be cloned.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    user, at, place = rest.rpartition("@")
    kept = user.partition(":")[0] + at if "ssh" in scheme.lower().split("+") else ""
    return f"{scheme}://{kept}{place.partition('?')[0]}"


def is_secret_file(name: str) -> bool:
    """Whether a file of this name is likely to hold secrets: ``.env``, ``id_rsa``, ``server.pem``."""
    return bool(re.fullmatch(_SENSITIVE_FILE, name)) and not name.endswith(_EXAMPLE)


def command(argv: Sequence[str]) -> tuple[str, ...]:
    """``argv`` with the values of secret options, and secrets of known shapes, taken out."""
    redacted: list[str] = []
    hide_next = False
    for at, word in enumerate(argv):
        if _is_script(argv, at):
            redacted.append(text(word))
            hide_next = False
            continue
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


def _is_script(argv: Sequence[str], at: int) -> bool:
    """Whether a word is a program by itself: all after ``TOKEN=`` in it is no secret."""
    if at < 2 or not re.fullmatch("-[a-z]{0,3}c", argv[at - 1]):
        return False
    return any(re.match(r"(?:.*/)?(?:ba|da|z|k|)sh\Z|(?:.*/)?python[0-9.]*\Z", word) for word in argv[: at - 1])


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the values of secret variables taken out."""
    return {name: GONE if is_secret(name) else text(value) for name, value in environment.items()}


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Named values, nested at will, names joined with dots or not, without what secret names have and without known keys."""
    return {text(name): _of_name(any(map(is_secret, name.split("."))), value) for name, value in values.items()}


def _of_name(secret: bool, value: Any) -> Any:
    if value is None or value == "" or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        shown = {name: _of_name(True, inner) for name, inner in value.items()} if secret else named(value)
        return {str(name): inner for name, inner in shown.items()}
    if secret:
        return GONE
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(one, str) for one in value):
            return list(command(value))  # words, perhaps those of another program
        return [_of_name(False, one) for one in value]
    return value


def secret_in(path: str, content: bytes) -> str | None:
    """Why a file must not be kept, in words for its user (``a token of GitHub's``, ``a value for db_password``); else None."""
    from kleio.core import secret_files  # 1 ms, for those who changed a file

    return secret_files.secret_in(path, content)


def secret_in_file(path: str, name: str) -> str | None:
    """As :func:`secret_in`, of a regular file of any size. In a large one only keys of known shapes and private keys are found.

    ``name`` decides how it is read. Raises OSError if it cannot be.
    """
    from kleio.core import secret_files

    return secret_files.secret_in_file(path, name)


def secret_in_pieces(pieces: Iterable[bytes]) -> str | None:
    """As :func:`secret_in_file`, of large content that comes piece by piece, wherever it is cut."""
    from kleio.core import secret_files

    return secret_files.secret_in_pieces(pieces)
