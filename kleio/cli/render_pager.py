"""Shows what is longer or wider than the screen in the user's pager."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NONE = ("", "cat")
"""What KLEIO_PAGER or PAGER say where nobody wants one."""


def page(lines: Callable[[], Sequence[str]]) -> bool:
    """Whether there is a pager; returns when it has been left."""
    words = pager()
    if not words or os.environ.get("TERM", "dumb") == "dumb":
        return False
    import subprocess

    # Lines are not wrapped, colours are colours.
    environment = os.environ | {"LESS": os.environ.get("LESS", "-SR"), "LESSCHARSET": "utf-8"}
    sys.stdout.flush()
    try:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, env=environment)
    except OSError:
        return False
    assert process.stdin is not None
    # Ctrl-C is the pager's, and its end is not ours: it would leave a terminal behind that somebody has to repair.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGPIPE)}
    try:
        with suppress(BrokenPipeError), process.stdin as written:  # left before the end; closed, or it would wait for more
            written.write("".join(f"{line}\n" for line in lines()).encode("utf-8", "replace"))
    finally:
        process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    return True


def pager() -> list[str]:
    """Its command; empty where there is none, or none is wanted."""
    import shlex
    import shutil

    for name in ("KLEIO_PAGER", "PAGER"):
        if name in os.environ:
            wanted = os.environ[name].strip()
            try:
                words = shlex.split(wanted)
            except ValueError:
                words = [wanted]
            return [] if wanted in NONE else words
    return ["less"] if shutil.which("less") else []
