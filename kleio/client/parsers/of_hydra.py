"""Hydra: the composed config of a job, and what in it the command line asked for.

Of several jobs (``--multirun``) what is swept over stays as it was typed; the rest is the same for all, or told of all.
"""

from __future__ import annotations

import sys
from functools import wraps

from kleio.client.reporting import COMMAND_LINE, CONFIG_FILE, NONE, Parameter, flattened, report, trouble
from kleio.client.tracebacks import step_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any

_MISSING = "???"
_before: dict[str, Any] = {}
"""What the config files have where the command line has something else."""

_values: dict[str, list[Any]] = {}
"""Of the jobs of this process."""
_MOST_VALUES = 20


def attach(module: ModuleType) -> None:
    """Watch one of hydra's three places: where overrides are applied, where a job gets its config, where it fails."""
    names = {"config_loader_impl": _overrides, "hydra_config": _configs, "utils": _failures}
    names[module.__name__.rpartition(".")[2]](module)


def _overrides(module: Any) -> None:
    loader = module.ConfigLoaderImpl
    original = loader._apply_overrides_to_config

    @wraps(original)
    def apply(overrides: Any, cfg: Any) -> Any:
        try:
            for one in overrides:
                value = module.OmegaConf.select(cfg, one.key_or_group, throw_on_missing=False)
                _before[one.key_or_group] = _plain(value)
        except Exception as error:  # noqa: BLE001 - the script matters more
            trouble(error)
        try:
            return original(overrides, cfg)
        except BaseException as error:
            step_aside(error)
            raise

    loader._apply_overrides_to_config = staticmethod(apply)


def _configs(module: Any) -> None:
    config = module.HydraConfig
    original = config.set_config

    @wraps(original)
    def set_config(self: Any, cfg: Any) -> Any:
        try:
            result = original(self, cfg)
        except BaseException as error:
            step_aside(error)
            raise
        try:
            _tell(cfg)
        except Exception as error:  # noqa: BLE001 - as above
            trouble(error)
        return result

    config.set_config = set_config


def _failures(module: Any) -> None:
    """Hydra prints what a job raises, and exits: nothing of it is left when the process ends."""
    job = module.JobReturn
    original = job.return_value

    def note(self: Any, value: Any) -> None:
        original.fset(self, value)
        if isinstance(value, BaseException) and sys.exc_info()[1] is value:
            try:
                from kleio.client import exceptions

                exceptions.record(value)
            except Exception as error:  # noqa: BLE001 - as above
                trouble(error)

    job.return_value = original.setter(note)


def _tell(cfg: Any) -> None:
    from omegaconf import OmegaConf  # hydra has it loaded

    lines = [str(one) for one in cfg.hydra.overrides.task]
    named = {_key(line).partition("@")[0] for line in lines}
    asked = named - set(cfg.hydra.runtime.choices)
    mode = getattr(OmegaConf.select(cfg, "hydra.mode"), "name", "RUN")
    several = mode == "MULTIRUN" or not OmegaConf.is_missing(cfg.hydra.job, "num")
    values = _plain(cfg)
    values.pop("hydra", None)
    words = sys.argv[1:]
    found = _swept(cfg, [word for word in words if _key(word).partition("@")[0] in named]) if several else []
    for name, value in flattened("", values):
        own = _asked_for(name, asked)
        if value == _MISSING or (own is not None and several):
            continue
        default = _default(name, own) if own is not None else NONE
        final = _looked_up(cfg, name, value)
        final = _of_all_jobs(name, final) if several else final
        found.append(Parameter(name, final, COMMAND_LINE if own is not None else CONFIG_FILE, default))
    reached = {_asked_for(one.name, asked) or one.name for one in found}
    report(found, words, [word for word in words if _key(word) not in reached and word not in ("-m", "--multirun")])


def _of_all_jobs(name: str, value: Any) -> Any:
    """What follows from a choice that is swept over differs from job to job: the values so far, as a sweep is typed."""
    values = _values.setdefault(name, [])
    if value not in values and len(values) < _MOST_VALUES:
        values.append(value)
    return value if len(values) == 1 else ",".join(map(str, values))


def _swept(cfg: Any, words: list[str]) -> list[Parameter]:
    """What the command line has, and what the config files sweep over besides, as it is written there."""
    from omegaconf import OmegaConf

    from kleio.core.commandline import typed

    found = {_key(word): Parameter(_key(word), typed(word.partition("=")[2]), COMMAND_LINE) for word in words}
    params = OmegaConf.select(cfg, "hydra.sweeper.params")
    for name, value in params.items() if hasattr(params, "items") else ():
        if isinstance(value, (str, int, float)):
            found.setdefault(_key(name), Parameter(_key(name), typed(str(value)), CONFIG_FILE))
    return list(found.values())


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _asked_for(name: str, asked: set[str]) -> str | None:
    """The override that a leaf of the config is of: its own, or that of a mapping around it."""
    return next((one for one in _around(name) if one in asked), None)


def _around(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _default(name: str, override: str) -> Any:
    known = _before.get(override)
    if known is None:
        return NONE
    return dict(flattened(override, known)).get(name, NONE)


def _plain(value: Any) -> Any:
    """Of OmegaConf's containers dictionaries and lists. Nothing is looked up: a resolver of the script's own is called as
    often as the script has it called.
    """
    from omegaconf import Container, OmegaConf

    return OmegaConf.to_container(value, resolve=False) if isinstance(value, Container) else value


def _looked_up(cfg: Any, name: str, value: Any) -> Any:
    """What ``${model.width}`` or ``${oc.env:HOME}`` stands for; other resolvers are left alone."""
    if not isinstance(value, str) or "${" not in value or any(":" in one and one[:3] != "oc." for one in value.split("${")[1:]):
        return value
    from omegaconf import OmegaConf

    try:
        return _plain(OmegaConf.select(cfg, name))
    except Exception:  # noqa: BLE001 - what cannot be looked up yet
        return value
