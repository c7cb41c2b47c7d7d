"""Objects that say what is recorded, and cannot be made to say anything else."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn, TypeVar

    Own = TypeVar("Own", bound="ReadOnly")


class ReadOnly:
    """Its attributes are set when it is made, and by ``functools.cached_property``."""

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is read only: nothing is written by reading a journal")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is read only")

    def __copy__(self: Own) -> Own:
        return self

    def __deepcopy__(self: Own, _: dict[int, Any]) -> Own:
        return self


class Frozen(dict[str, "Any"]):
    """A dict that refuses to be changed, for ``json.dumps`` and all who take a dict; ``dict(it)`` and its copies can be."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this is what a journal holds, and read only; make a copy: dict(…)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    def __deepcopy__(self, known: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return deepcopy(dict(self), known)


def frozen(values: Mapping[str, Any]) -> Frozen:
    """A copy of ``values`` that refuses to be changed, and so do the mappings in it; lists in it are copies."""
    return Frozen({key: _frozen(value) for key, value in values.items()})


def _frozen(value: Any) -> Any:
    if type(value) is dict:
        return frozen(value)
    return [_frozen(one) for one in value] if isinstance(value, list) else value
