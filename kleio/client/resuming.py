"""Saying where an execution goes on from; the journal's side is :mod:`kleio.core.resuming`."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.client.loaded import LoggedArtifact
    from kleio.client.logger import Logger
    from kleio.core.spool import Spool


def resume_from(logger: Logger, spool: Spool, artifact: LoggedArtifact | None) -> None:
    """Leave it in the spool, where the launcher finds it, and answers accordingly from now on. Raises OSError.

    What this very execution logged is its own line: to go on from that gives up nothing, and is not said.
    """
    if artifact is None:
        if logger.execution == 1 and not _is_branch(spool):
            return
        said = {"execution": "", "time": 0, "artifact": None}
    elif artifact.execution == spool.execution:
        return
    else:
        where = "".join(f" {key}={value}" for key, value in list(artifact.meta.items())[:3])
        said = {"execution": artifact.execution, "time": artifact.nanoseconds, "artifact": f"{artifact.name}{where}"[:200]}
    name = f"finding-resumed-{os.getpid()}-{os.urandom(4).hex()}"
    spool.write(name, {"kind": "resumed", "time": time.time(), "data": said, "documents": {}, "blobs": [], "traces": []})
    spool.wake()


def _is_branch(spool: Spool) -> bool:
    """Whether there is something before the first execution: what the trial inherits."""
    return bool(((spool.read("launch") or {}).get("trial") or {}).get("parent"))
