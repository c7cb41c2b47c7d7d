"""What this process is, as its user would type it; and, in a notebook, the cells that it has executed."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOTEBOOK = "jupyter"


def words() -> list[str]:
    """The command: ``python train.py --lr 0.1``; of a worker of multiprocessing that of the script that started it.

    A notebook is ``jupyter NAME``: what its kernel was called with is another each time.
    """
    if _shell() is not None and _is_kernel():
        name = os.path.basename(_notebook())
        return [NOTEBOOK, *([name] if name else [])]
    typed = list(sys.orig_argv)
    if _is_worker(typed):
        typed = _parents()
    interpreter = os.path.basename(typed[0] if typed else sys.executable) or "python"
    if len(typed) > 1 and os.path.isabs(typed[1]) and os.path.dirname(typed[1]) == os.path.dirname(sys.executable):
        return [os.path.basename(typed[1]), *typed[2:]]  # a program that is installed beside the interpreter
    return [interpreter, *typed[1:]]


def variables() -> dict[str, str]:
    """The variables as they are, whatever other threads set and take away meanwhile."""
    found = ((name, os.environ.get(name)) for name in list(os.environ))
    return {name: value for name, value in found if value is not None}


def cells() -> list[str] | None:
    """The cells that ran, in their order, or what was typed into IPython; None elsewhere."""
    shell = _shell()
    history = getattr(shell, "user_ns", {}).get("In") if shell is not None else None
    if not isinstance(history, list):
        return None
    return [str(cell) for cell in history[1:]]


def _shell() -> Any:
    """IPython's shell, if this is one; it is not imported for that."""
    module = sys.modules.get("IPython")
    asked = getattr(module, "get_ipython", None)
    try:
        return asked() if asked else None
    except Exception:  # noqa: BLE001 - half imported
        return None


def _is_kernel() -> bool:
    return getattr(_shell(), "kernel", None) is not None


def _notebook() -> str:
    """The notebook's file, where its editor tells."""
    told = getattr(_shell(), "user_ns", {}).get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or ""
    return str(told)


def _is_worker(typed: list[str]) -> bool:
    """Whether this interpreter was started as one, rather than forked."""
    said = " ".join(typed)
    return any(mark in said for mark in ("--multiprocessing-fork", "-c from multiprocessing", "loky.backend"))


def _parents() -> list[str]:
    """What was typed to start the script that started this worker, as far as it can be known."""
    process = sys.modules.get("multiprocessing.process")
    parent: Any = process.parent_process() if process else None
    try:
        with open(f"/proc/{parent.pid if parent else os.getppid()}/cmdline", "rb") as file:
            typed = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        typed = []
    return typed if typed and not _is_worker(typed) else [sys.executable, *sys.argv]
