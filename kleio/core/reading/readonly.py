"""Objects that say what is recorded, and cannot be made to say anything else."""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn


class ReadOnly:
    """Its attributes are set when it is made, and by ``functools.cached_property``."""

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is read only: a journal is not written by reading it")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is read only")


def frozen(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A view of a copy of ``values`` that refuses to be changed, and so do the mappings in it. Lists in it are copies."""
    return MappingProxyType({key: _frozen(value) for key, value in values.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozen(value)
    return [_frozen(one) for one in value] if isinstance(value, list) else value


def thawed(value: Any) -> Any:
    """What :func:`frozen` was given, as plain dicts and lists."""
    if isinstance(value, MappingProxyType):
        return {key: thawed(one) for key, one in value.items()}
    return [thawed(one) for one in value] if isinstance(value, list) else value
