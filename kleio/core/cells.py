"""The cells of a notebook that were executed, kept as a file of the code: ``notebook-cells.py``.

The notebook file itself may not be saved, and says nothing of the order in which its cells ran. What counts is which different
cells have run: the same ones run again are the same code, one that was edited is other code.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from kleio.core import identity, redact
from kleio.core.pack import Pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kleio.core.code import CodeVersion

NAME = "notebook-cells.py"


def added(code: CodeVersion, cells: Sequence[str], cwd: str, scratch: str) -> CodeVersion:
    """``code`` with the executed ``cells`` on top of it, as a file in the working directory."""
    content = text(cells).encode("utf-8", "surrogatepass")
    path = os.path.relpath(os.path.join(cwd, NAME), code.root)
    if path.startswith("../"):
        path = NAME
    why = redact.secret_in(path, content)
    counted = sorted({hashlib.sha256(cell.strip().encode("utf-8", "surrogatepass")).hexdigest() for cell in cells})
    fingerprint = identity.digest({"code": code.fingerprint, "cells": counted})
    document = dict(code.document) | {"fingerprint": fingerprint}
    if why:
        left_out = {"path": path, "size": len(content), "time": 0, "why": f"it holds {why}"}
        document["left_out"] = [*document["left_out"], left_out]
        remarks = (*code.remarks, f"the cells of the notebook are not kept: one holds {why}")
        return replace(code, fingerprint=fingerprint, document=document, remarks=remarks)
    pack = Pack(scratch)
    name = pack.alone(content)
    document["changes"] = {**document["changes"], path: ["100644", name, len(content), None]}
    if document["kind"] == "git":
        document |= {"untracked": [*document.get("untracked", ()), path], "dirty": True}
    return replace(code, fingerprint=fingerprint, document=document, blobs={**code.blobs, **pack.blobs})


def text(cells: Sequence[str]) -> str:
    """The cells in the order in which they ran, numbered as the notebook numbers them."""
    return "\n\n".join(f"# In[{number}]\n{cell.rstrip()}" for number, cell in enumerate(cells, 1) if cell.strip()) + "\n"
