"""``output_dir``: a directory for the files of this run, made when it is first asked for.

Under ``kleio`` it is the trial's, whichever process and whichever execution asks; without, every run has one of its own,
and the processes that it starts share it.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock

from kleio.client.logger import Logger, kleio_logger
from kleio.core.errors import KleioError, in_words
from kleio.core.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    output_dir: OutputDirectory

_being_made = RLock()
_made: dict[str, OutputDirectory] = {}
"""By the trial that they belong to; that of no trial is the process's own."""


class OutputDirectory(str):
    """An absolute path that ends with a slash: ``output_dir + "x.png"`` and ``output_dir / "x.png"`` are both in it."""

    __slots__ = ()

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        from pathlib import Path

        return Path(self) / name

    def __fspath__(self) -> str:
        return str(self)


def __getattr__(name: str) -> object:
    if name == "output_dir":
        return directory()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def directory() -> OutputDirectory:
    """What ``output_dir`` is: the same for every thread, made by the first, and in an ``Experiment`` that one's own."""
    with _being_made:
        trial = os.environ.get("KLEIO_TRIAL_ID", "")
        if trial not in _made:
            _made[trial] = _find(trial)
        return _made[trial]


def _before_fork() -> None:
    """A fork waits for a directory that another thread makes: the child has the same."""
    _being_made.acquire()


def _after_fork() -> None:
    _being_made.release()


def _forked() -> None:
    global _being_made  # noqa: PLW0603
    _being_made = RLock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)


def _find(trial: str) -> OutputDirectory:
    path = os.environ.get("KLEIO_OUTPUT_DIR")
    if path and trial:
        own = of_trial(path, trial, os.environ.get("KLEIO_EXECUTION", ""), kleio_logger)
        os.environ["KLEIO_OUTPUT_DIR"] = own.rstrip("/")  # another one if another trial was quicker to take that
        return own
    run = f"{os.getpid()}-{os.urandom(8).hex()}"
    try:
        found = _claimed(path, run, "run", given=True) if path else _own(run)
    except (OSError, KleioError) as error:  # the working directory is gone
        found = _elsewhere("run")
        kleio_logger._refuse(error, f"there is no place for files here, they go to {found}")
        found = _claimed(found, run, "run")
    os.environ["KLEIO_OUTPUT_DIR"] = found  # for what this process starts
    return OutputDirectory(os.path.join(found, ""))


def of_trial(path: str, trial: str, execution: str, logger: Logger) -> OutputDirectory:
    """The directory ``path`` of a trial, made for it unless it has it already; ``logger`` writes to its spool."""
    from kleio.client import circumstances
    from kleio.core.outputs import note_execution

    found = _claimed(path, trial, "trial")
    try:
        if note_execution(found, execution):
            circumstances.resumed(found)
        if found != path and logger.active:
            Spool(logger._directory).write("output", {"path": found})
    except OSError as error:
        logger._refuse(error, f"{found} could not be described")
    return OutputDirectory(os.path.join(found, ""))


def _own(run: str) -> str:
    """Without a launcher: ``results/NAME`` of the project that the working directory is in."""
    from kleio.core.outputs import RESULTS, fitting
    from kleio.core.repository import root_around, working_directory

    here = working_directory()
    name, project = _settings()
    usual = fitting(_script()) or "run"
    asked = name or _answer(usual) or usual
    fits = fitting(asked) or usual
    if fits != asked:
        kleio_logger._say(f"{asked!r} cannot be a directory's name, so {fits!r} is")
    root = root_around(here) or project or here
    path = _claimed(os.path.join(root, RESULTS, fits), run, "run")
    kleio_logger._say(f"files of this run go to {os.path.relpath(path, here)}/")
    return path


def _claimed(path: str, identity: str, kind: str, given: bool = False) -> str:
    """Make the directory, elsewhere if it cannot be made here. With ``given`` it is the one that another process made, or
    the user named: whatever is in it.
    """
    from functools import partial

    from kleio.client import circumstances
    from kleio.core.outputs import claim, owner

    furnish = partial(circumstances.furnish, refuse=kleio_logger._refuse)

    try:
        if given and owner(path):
            return path
        return claim(path, identity, kind, furnish, adopt=given or kind == "trial")
    except OSError as error:
        elsewhere = _elsewhere(os.path.basename(path))
        kleio_logger._refuse(error, f"{path} cannot be made, files go to {elsewhere}")
        try:
            return claim(elsewhere, identity, kind, furnish)
        except OSError as another:
            kleio_logger._refuse(another, f"{elsewhere} cannot be made either")
            return path


def _elsewhere(name: str) -> str:
    """A place that is this user's alone, the same for all processes."""
    import tempfile

    private = os.path.join(tempfile.gettempdir(), f"kleio-{os.getuid()}")
    try:
        os.mkdir(private, 0o700)
    except FileExistsError:
        found = os.lstat(private)
        if found.st_uid != os.getuid() or found.st_mode & 0o170077 != 0o040000:  # another user's, or open to others
            private = tempfile.mkdtemp(prefix="kleio-")
    except OSError:
        pass
    return os.path.join(private, name)


def _settings() -> tuple[str, str]:
    """The name that was given, by ``KLEIO_NAME`` say, and the directory of the project's settings."""
    from kleio.core.config import Config

    try:
        config = Config()
        return str(config["name"] or ""), os.path.dirname(config.project_file)
    except KleioError as error:
        kleio_logger._say(in_words(error))
        return os.environ.get("KLEIO_NAME", ""), ""


def _script() -> str:
    """What the program is called: a script without its ending, a module run by ``-m``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = str(spec.name).removesuffix(".__main__") if spec else os.path.basename(sys.argv[0] if sys.argv else "")
    return "" if name in ("-c", "-") or name.startswith("ipykernel") else name.removesuffix(".py")


def _answer(usual: str) -> str:
    """What the user at the terminal wants to call it; empty where nobody can be asked."""
    if not _somebody_there():
        return ""
    kleio_logger._say(f"a name for the files of this run, or Enter for {usual}:")
    return (sys.stdin.readline() or "").strip()


def _somebody_there() -> bool:
    """Whether stdin and stderr are a terminal, and this process may read from it."""
    try:
        return sys.stdin.fileno() == 0 and os.isatty(0) and os.isatty(2) and os.tcgetpgrp(0) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # no stdin, or what stands for it in a test or a notebook
        return False
