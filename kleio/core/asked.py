"""What is to be launched. Plain classes: every launch makes these, and a dataclass takes half a millisecond to be made."""

from __future__ import annotations


class Branching:
    """A branch that is asked for: cut at ``criterion``, with ``options`` changed or added, or another command altogether."""

    __slots__ = ("command", "criterion", "options")

    def __init__(self, criterion: str, options: tuple[str, ...] = (), command: tuple[str, ...] = ()) -> None:
        self.criterion, self.options, self.command = criterion, options, command


class Asked:
    """A command to launch, or the ``trial`` whose recorded one is meant, to be gone on with or, with ``branch``, branched.

    ``repeat`` asks for a repetition of it, which is not what its command means from then on.
    """

    __slots__ = ("argv", "branch", "repeat", "trial")

    def __init__(
        self, argv: tuple[str, ...] = (), trial: str | None = None, branch: Branching | None = None, repeat: bool = False
    ) -> None:
        self.argv, self.trial, self.branch, self.repeat = argv, trial, branch, repeat
