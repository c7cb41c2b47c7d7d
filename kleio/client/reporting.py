"""What a process tells of itself through the spool: its parameters, and who may tell.

Not every Python that runs under kleio is the run: ``pip``, started by a script, has parameters of its own, which are nobody's.
"""

from __future__ import annotations

import os
import sys

from kleio.core.errors import in_words
from kleio.core.spool import Spool, on_this_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

COMMAND_LINE, CONFIG_FILE, ENVIRONMENT, DEFAULT, SCRIPT = "command line", "config file", "environment", "default", "script"
EXPERIMENT = "kleio_experiment_"
"""How the options of :meth:`kleio.client.Experiment.add_argument_group` begin in a namespace; they are no parameters."""
NONE = object()
"""There is no default."""
MOST, LONGEST, ITEMS, DEEPEST = 10_000, 1_000, 1_000, 20
"""Parameters, characters of a text, items of a list, levels of a mapping."""
LARGEST = 1 << 18
"""Characters of one report: a journal keeps it with its trial."""
REPORTS = 100
"""Different reports of one execution: whoever changes parameters in a loop means statistics."""
_SHORT = 100
"""Elements of an array that are listed."""
_KLEIO = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "")
_INSTALLED = ("site-packages", "dist-packages")
_said: set[str] = set()


class Parameter:
    """``source`` is one of the words above; ``default`` is :data:`NONE` where there is none."""

    __slots__ = ("default", "name", "source", "value")

    def __init__(self, name: str, value: Any, source: str, default: Any = NONE) -> None:
        self.name, self.value, self.source, self.default = name, value, source, default


# -- who tells -----------------------------------------------------------------------------------------------------


def spool() -> Spool | None:
    """Where this process tells of itself; None for one that is not the run: kleio itself, an installed tool."""
    directory = os.environ.get("KLEIO_SPOOL")
    if not directory or "kleio.cli.main" in sys.modules or not on_this_host(directory):
        return None
    found = Spool(directory)
    return found if _is_launched(found) or _is_own(script()) else None


def _is_launched(found: Spool) -> bool:
    """Whether this is the very command: the launcher is its parent."""
    launch = found.read("launch") or {}
    return bool(launch.get("execution", {}).get("pid") == os.getppid())


def _is_own(path: str | None) -> bool:
    """Whether a script is somebody's own, and no installed tool."""
    if not path:
        return False
    real = os.path.realpath(path)
    if real.startswith(_KLEIO) or any(part in _INSTALLED for part in real.split(os.sep)):
        return False
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    inside = [os.path.join(os.path.realpath(prefix), part, "") for prefix in prefixes for part in ("bin", "lib", "lib64")]
    return not real.startswith(tuple(inside))


def script() -> str | None:
    """The file of the main program; None for ``python -c`` and what multiprocessing starts."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is None:  # Python takes it away from the module before the process ends
        from kleio.core.commandline import script as named

        path = named(sys.orig_argv)
    return path if isinstance(path, str) else None


# -- telling -------------------------------------------------------------------------------------------------------


def report(parameters: Iterable[Parameter], words: Sequence[str] = (), left: Sequence[str] = ()) -> None:
    """Leave word of ``parameters``, parsed from ``words`` of which the words in ``left`` were not taken.

    Raises OSError. The same told twice, be it by many processes, is told once.
    """
    found = spool()
    if found is not None:
        leave(found, parameters, _replaced(found, words, left))


def leave(found: Spool, parameters: Iterable[Parameter], replaces: Sequence[str] = ()) -> None:
    """Put the finding into the spool, bounded."""
    from time import time
    from zlib import adler32, crc32  # to tell reports apart is all they are for, and hashlib costs 3 ms

    from kleio.core.values import dumps

    data = _bounded(parameters) | {"replaces": sorted(replaces)}
    if not data["params"]:
        return
    text = dumps(data).encode()
    name = f"finding-parameters-{crc32(text):08x}{adler32(text):08x}"
    if found.has(name):
        return
    if len(found.stems("finding-parameters-")) >= REPORTS:
        say(f"parameters were told in {REPORTS} different ways; what comes now is not recorded")
        return
    found.write(name, {"kind": "parameters", "time": time(), "data": data, "documents": {}, "blobs": [], "traces": []})


def _bounded(parameters: Iterable[Parameter]) -> dict[str, dict[str, Any]]:
    params: dict[str, Any] = {}
    sources: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    size = 0
    for name, parameter, value in _flat(parameters):
        default = {} if parameter.default is NONE else dict(flattened(name, parameter.default))
        size += len(name) + len(repr(value)) + sum(len(repr(one)) for one in default.values())
        if len(params) >= MOST or size > LARGEST:
            say(f"of the parameters the first {len(params):,} are recorded, and no more: they are too many, or too large")
            break
        params[name], sources[name] = value, parameter.source
        defaults |= {own: one for own, one in default.items() if own == name}
    return {"params": params, "sources": sources, "defaults": defaults}


def _flat(parameters: Iterable[Parameter]) -> Iterator[tuple[str, Parameter, Any]]:
    for one in parameters:
        for name, value in flattened(one.name, one.value):
            yield name, one, value


def flattened(name: str, value: Any, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(name, value) of all that is in mappings, data classes and namespaces, names joined with dots; of anything else itself.

    Raises ValueError for what contains itself.
    """
    items = _items(value)
    if not items:
        yield name[:LONGEST], storable(value)
    elif id(value) in above:
        raise ValueError(f"{name} contains itself")
    elif len(above) >= DEEPEST:
        yield name[:LONGEST], f"<{type(value).__name__}>"
    else:
        for key, inner in items:
            yield from flattened(f"{name}.{key}" if name else str(key), inner, (*above, id(value)))


def _items(value: Any) -> list[tuple[Any, Any]] | None:
    """What a value is made of, where that has names."""
    if isinstance(value, dict):
        return list(value.items())
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return [(name, getattr(value, name)) for name in kind.__dataclass_fields__ if hasattr(value, name)]
    if kind.__name__.endswith("Namespace") and kind.__module__ in ("argparse", "types", "kleio.client.argparse"):
        return list(vars(value).items())
    if kind.__module__.partition(".")[0] == "omegaconf" and hasattr(value, "_get_node"):
        return _of_omegaconf(value)
    return list(value.items()) if hasattr(value, "keys") and hasattr(value, "items") else None


def _of_omegaconf(value: Any) -> list[tuple[Any, Any]] | None:
    from omegaconf import OmegaConf

    try:
        plain = OmegaConf.to_container(value, resolve=True)
    except Exception:  # noqa: BLE001 - what refers to something that is not there yet
        plain = OmegaConf.to_container(value, resolve=False)
    return list(plain.items()) if isinstance(plain, dict) else None


def _replaced(found: Spool, words: Sequence[str], left: Sequence[str]) -> list[str]:
    """What the plain parse of the launched command calls the parameters that were parsed from ``words``."""
    if not words:
        return []
    from kleio.core.commandline import interpreter_words, named_words

    command = (found.read("launch") or {}).get("trial", {}).get("command", ())
    names = named_words(command)
    own = sys.orig_argv[interpreter_words(sys.orig_argv) :]  # scripts change sys.argv
    if len(own) > len(command) or not _same(own, command[len(command) - len(own) :]):
        return []  # it was started with words of somebody else's
    shift = len(command) - len(own)
    places = _places(words, own)
    if len(places) < len(words):
        return []
    untaken = _untaken(left, words)
    taken = {shift + place for at, place in enumerate(places) if at not in untaken}
    return [name for name in set(names) if name and all(at in taken for at, own in enumerate(names) if own == name)]


def _same(own: Sequence[str], recorded: Sequence[str]) -> bool:
    return all(one == other or "<redacted>" in other for one, other in zip(own, recorded, strict=True))


def _places(words: Sequence[str], among: Sequence[str]) -> list[int]:
    """Where ``words`` stand among others, in their order, each as early as may be, up to the first that does not."""
    places: list[int] = []
    at = 0
    for word in words:
        try:
            at = list(among).index(word, at) + 1
        except ValueError:
            break
        places.append(at - 1)
    return places


def _untaken(left: Sequence[str], words: Sequence[str]) -> set[int]:
    """Where the words in ``left`` stand, each as late as may be: what belongs to others mostly comes last."""
    found: set[int] = set()
    for word in reversed(left):
        at = next((at for at in range(len(words) - 1, -1, -1) if words[at] == word and at not in found), None)
        if at is not None:
            found.add(at)
    return found


# -- values --------------------------------------------------------------------------------------------------------


def storable(value: Any, left: list[int] | None = None) -> Any:
    """A value as JSON has it; what JSON has not, as text that is the same in every run, as far as may be.

    ``left`` counts down: a list of lists of lists may stand for more than there are atoms.
    """
    left = [ITEMS] if left is None else left
    left[0] -= 1
    if left[0] < 0:
        return "…"
    try:
        return _storable(value, left)
    except Exception:  # noqa: BLE001 - a value's own methods may raise anything
        return f"<{type(value).__name__}>"


def _storable(value: Any, left: list[int]) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else _number(value)
    if hasattr(kind, "__members__"):  # an enumeration
        member: Any = value
        return storable(member.value if isinstance(value, (str, int)) else member.name, left)
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return shortened(str.__str__(value), LONGEST) if base is str else _storable(base(value), left)
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) < ITEMS:
        return [storable(one, left) for one in (value if isinstance(value, (list, tuple)) else sorted(value, key=repr))]
    if isinstance(value, dict) and len(value) < ITEMS:
        return {shortened(str(key), LONGEST): storable(one, left) for key, one in value.items()}
    return _described(value, left)


def _number(value: int) -> str:
    return str(value) if value.bit_length() < 2000 else "a large number"


def _described(value: Any, left: list[int]) -> Any:
    if hasattr(value, "__fspath__"):
        return storable(os.fspath(value), left)
    if hasattr(value, "isoformat"):
        return shortened(value.isoformat(), LONGEST)
    if hasattr(value, "__qualname__"):
        known = value.__module__ in ("builtins", "__main__")
        return shortened(value.__qualname__ if known else f"{value.__module__}.{value.__qualname__}", LONGEST)
    if hasattr(value, "read") and isinstance(getattr(value, "name", None), str):
        return shortened(value.name, LONGEST)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "tolist") and len(shape) < 2 and (not shape or shape[0] <= _SHORT):
        return storable(value.tolist(), left)
    import re

    return shortened(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)), LONGEST)


def shortened(text: str, longest: int) -> str:
    """The beginning and the end of what is too long. It is cut between words: half a key would no longer look like one."""
    if len(text) <= longest:
        return text
    head, tail = text[: longest * 2 // 3], text[-(longest // 3) :]
    head = head[: max(head.rfind(" "), head.rfind("\n"), 0)]
    starts = [at for at in (tail.find(" "), tail.find("\n")) if at >= 0]
    tail = tail[min(starts) :] if starts else ""
    return f"{head} […{len(text) - len(head) - len(tail):,} characters…] {tail}"


# -- trouble -------------------------------------------------------------------------------------------------------


def trouble(error: Exception) -> None:
    """Recording failed, and the script goes on; with ``KLEIO_STRICT`` that is said."""
    if os.environ.get("KLEIO_STRICT", "") not in ("", "0"):
        say(f"what the start-up hook saw is not recorded: {in_words(error)}")


def say(message: str) -> None:
    """Once a message."""
    if message not in _said:
        _said.add(message)
        on_stderr(f"kleio: {message}\n")


def on_stderr(text: str) -> None:
    """Like Python itself nowhere where there is none, or it cannot be written to."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except Exception:  # noqa: BLE001, S110 - closed, a full disk, or an object of the script's own
        pass
