"""What happens at the start of a Python under kleio: next to nothing.

The modules that parse command lines are watched for; one that the script imports is attached to in this moment, so that a
script which uses none pays for none. What ends the script uncaught is looked at when everything else is over. Nothing is
imported that Python has not loaded by then, ``__future__`` included, but for ``atexit``, which is built in.
"""

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

WATCHED = {
    "argparse": "of_argparse",
    "click.core": "of_click",
    "typer._click.core": "of_click",  # typer's own copy of click
    "absl.flags._flagvalues": "of_absl",
    "fire.core": "of_fire",
    "hydra.core.hydra_config": "of_hydra",
    "hydra.core.utils": "of_hydra",
    "hydra._internal.config_loader_impl": "of_hydra",
}
"""Module → who knows it, in ``kleio.client.parsers``: its ``attach(module)``."""


def begin() -> None:
    """Watch, and look back at the end. Called once, by the hook, before anything of the script."""
    if _is_kleio():
        return
    watching = _Watching()
    sys.meta_path.insert(0, watching)
    for name in WATCHED:
        if name in sys.modules:
            watching.attach(sys.modules[name])
    atexit.register(_at_exit)  # the first one to be registered is the last one to run


def _is_kleio() -> bool:
    return os.path.basename(sys.argv[0]) == "kleio" or sys.orig_argv[1:3] == ["-m", "kleio"]


class _Watching:
    """Finds nothing itself: what the others find of the watched modules gets a loader that attaches once it has loaded."""

    def __init__(self) -> None:
        self._left = set(WATCHED)
        self._looking: set[str] = set()

    def find_spec(self, name: str, path: "Any" = None, target: "ModuleType | None" = None) -> "ModuleSpec | None":
        if name not in self._left or name in self._looking:  # somebody else who looks through all finders, us included
            return None
        self._looking.add(name)
        try:
            spec = self._found(name, path, target)
        finally:
            self._looking.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Attaching(self, spec.loader)  # type: ignore[assignment]
        return spec

    def _found(self, name: str, path: "Any", target: "ModuleType | None") -> "ModuleSpec | None":
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None) if finder is not self else None
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                return spec
        return None

    def attach(self, module: "ModuleType") -> None:
        """Once; who has been attached to all steps aside. Whatever goes wrong here is not the script's trouble."""
        name = module.__name__
        if name not in self._left:
            return
        self._left.discard(name)
        if not self._left and self in sys.meta_path:
            sys.meta_path.remove(self)
        try:
            from importlib import import_module

            import_module(f"kleio.client.parsers.{WATCHED[name]}").attach(module)
        except Exception as error:  # noqa: BLE001 - as above
            from kleio.client.reporting import trouble

            trouble(error)


class _Attaching:
    """Stands in for a loader until it has loaded; then it is as if it had never been."""

    def __init__(self, watching: _Watching, loader: "Any") -> None:
        self._watching, self._loader = watching, loader

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        try:
            self._loader.exec_module(module)
        except BaseException as error:
            from kleio.client.tracebacks import step_aside

            step_aside(error)
            raise
        self._watching.attach(module)

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)


def _at_exit() -> None:
    if getattr(sys, "last_value", None) is None:
        return
    try:
        from kleio.client import exceptions

        exceptions.record_last()
    except Exception as error:  # noqa: BLE001 - the script is over, and its status decided
        from kleio.client.reporting import trouble

        trouble(error)
