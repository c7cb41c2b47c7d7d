"""``log_config``: parameters that only the script knows, and ``load_config``: all that are known."""

from __future__ import annotations

from itertools import islice

from kleio.client.reporting import MOST, SCRIPT, Parameter, flattened, leave
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def log_config(directory: str, config: Any) -> None:
    """Leave it in the spool, flat. Raises OSError; TypeError for what has no names, ValueError for what contains itself."""
    found = [Parameter(name, value, SCRIPT) for name, value in islice(flattened("", config), MOST + 1)]
    if len(found) == 1 and not found[0].name:
        if not hasattr(config, "__len__") or len(config):
            raise TypeError(f"a {type(config).__name__} has no names; give a mapping, a namespace or a data class")
        return
    leave(Spool(directory), found)


def load_config(directory: str) -> dict[str, Any]:
    """The parameters of this execution: what its command line says, what the program made of it, what it logged itself."""
    from kleio.core.trial import united

    spool = Spool(directory)
    trial = (spool.read("launch") or {}).get("trial", {})
    told = [one for one in map(spool.read, spool.stems("finding-parameters")) if one is not None]
    in_order = sorted(told, key=lambda one: float(one["time"]))
    return united(trial.get("params", {}), trial.get("param_sources", {}), [one["data"] for one in in_order])["params"]
