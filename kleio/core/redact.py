"""What never gets recorded: secrets in arguments, addresses, variables and files.

What is taken out leaves :data:`GONE` behind; a file that holds a secret is not kept at all (:func:`secret_in`), because
half a file brings nothing back.
"""

from __future__ import annotations

import re

from kleio.core.secret_names import KEYS, is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["GONE", "SHORTEST", "address", "command", "is_secret", "is_secret_file", "secret_in", "secret_in_file",
           "secret_in_pieces", "text", "variables"]  # fmt: skip

GONE = "<redacted>"
SHORTEST = 14
"""Characters: no key of a known shape, and no header with one, is shorter."""

# Compiled by re when first used, and few commands use any: together they would cost a launch 2 ms.
_URL = r"(?<![\w+.-])([a-zA-Z][\w+.-]{0,20}://)([^\s/@:]{0,200})(:\S{0,500})?@(?![^\s@]{0,500}@)"
_QUERY = r"([?&;])([\w.-]{1,60})=([^&;\s]+)"
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
_TOKENS = rf"(?<![\w-]){KEYS}|{_PRIVATE_KEY}"
_HEADER = r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}"
_QUOTED = r"""(["'])([\w.-]{1,60})\1(\s*:\s*)(["'])[^"']*\4"""
_INNER = (
    r"""(?<![^\s"';|&])(--?[A-Za-z][\w-]{1,60}[= ](?!-)|[A-Za-z_]\w{0,60}=)"""
    r"""("[^"]{1,500}"|'[^']{1,500}'|[^\s"';|&()$`]{1,500})(?=[\s"';|&]|\Z)"""
)
_NAMED = r"(?s)(-D|[-+~]{0,2})([A-Za-z][\w.-]*)([=:])(?!//)(.*)\Z"
_SENSITIVE_FILE = (
    r"(?i)\.env(?:\..*)?|.*\.(?:pem|key|p12|pfx|keystore)|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc|\.pgpass|\.git-credentials"
    r"|credentials(?:\.\w+)?|secrets?\.\w+"
)
_EXAMPLE = (".example", ".sample", ".template", ".dist")


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
    if " " in value and ("=" in value or "-" in value):  # the script of sh -c
        value = re.sub(_INNER, lambda m: f"{m[1]}{GONE}" if is_secret(m[1]) else m[0], value)
    return re.sub(_TOKENS, GONE, re.sub(_HEADER, rf"\1\2{GONE}", value))


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
