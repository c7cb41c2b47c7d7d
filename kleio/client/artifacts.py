"""``log_artifact``: bytes into the spool, and the record that names them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kleio.client.logger import Logger


def log(logger: Logger, name: str, content: Any, meta: Mapping[str, Any], last: int | None, best: str | None) -> None:
    """Raises whatever reading ``content`` raises, ValueError for a policy that cannot be meant; then nothing is recorded."""
    from kleio.core.artifact import keep
    from kleio.core.retention import measured, policy
    from kleio.core.values import dumps, loads

    record: dict[str, Any] = {"name": name, "meta": meta}
    wanted = policy(last, best)
    if wanted:
        record["keep"] = wanted
    encoded = dumps(record)  # refused before anything is copied
    if best and measured(loads(encoded)["meta"], best) is None:
        logger._say(f"an artifact {name!r} has no number {best.lstrip('-')!r} in its metadata; it is never the best")
    writer = logger._writer("artifacts")
    keep(
        os.path.join(logger._directory, "blobs"),
        content,
        lambda digest, size: writer.append(dumps(record | {"sha256": digest, "size": size})),
    )
