"""Settings: flag > environment > project file > user file > default; each value knows where it came from.

The table :data:`SETTINGS` is the only place where a setting is defined: its option, its ``KLEIO_*`` variable, its key
in ``[tool.kleio]`` of ``pyproject.toml`` and in the user's ``config.toml``, and its help all follow from it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kleio.core.errors import KleioError, UsageError
from kleio.core.repository import working_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """``key`` is spelled as in files and, with ``--``, as an option; ``kind`` is bool, str, list, float, size or choice.
    ``option`` says that it is a run option as well.
    """

    key: str
    kind: str
    default: Any
    help: str
    option: bool = False
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        return "KLEIO_" + self.key.upper().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value and where it came from."""

    value: Any
    source: str


_EXCLUDE = ("*.md", "*.rst", "docs/", "*.ipynb", "results/")
_SOURCE_TYPES = (
    ".py .pyx .pxd .pyi .ipynb .r .R .jl .m .c .h .cc .cpp .cxx .hpp .cu .cuh .rs .go .java .scala .kt .js .ts .sh .bash "
    ".pl .rb .lua .f .f90 .sql .stan .nf .smk .proto .yaml .yml .json .toml .ini .cfg .conf .gin .mk .cmake"
)
_IDENTITY_ENV = ("SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "SGE_TASK_ID", "LSB_JOBINDEX")
_VARIABLES = ("CUDA_*", "SLURM_*", "OMP_*", "MKL_*", "NCCL_*", "PBS_*", "SGE_*", "LSB_*", "PYTHON*", "CONDA_DEFAULT_ENV",
              "VIRTUAL_ENV", "HIP_*", "ROCR_*", "JAX_*", "XLA_*", "TF_*", "TORCH_*", "LANG", "LC_*", "TZ",
              "HOSTNAME")  # fmt: skip

SETTINGS = (
    Setting("journal", "str", None, "the journal's address: sqlite:///PATH or mongodb://HOST/DATABASE", True),
    Setting("project", "str", None, "the project's name; else the origin remote, the root commit or the directory", True),
    Setting("tag", "list", (), "a tag for the trial; may be given several times", True),
    Setting("name", "str", None, "a name for the trial", True),
    Setting("note", "str", None, "a remark kept with the trial", True),
    Setting("fresh", "bool", False, "start a new trial whatever the journal holds", True),
    Setting("once", "bool", False, "do nothing if this work is completed already", True),
    Setting("if-running", "choice", "refuse", "what to do if the trial runs elsewhere", True, ("refuse", "wait", "skip")),
    Setting("offline", "bool", False, "do not contact the journal; ship later with kleio sync", True),
    Setting("require-journal", "bool", False, "fail rather than run offline", True),
    Setting("no-capture", "bool", False, "leave stdout and stderr alone and do not record them", True),
    Setting("no-hook", "bool", False, "leave Python children without the start-up hook: no parameters, no exceptions", True),
    Setting("no-system", "bool", False, "do not sample CPU, memory and I/O of the command's processes", True),
    Setting("split", "bool", False, "record stdout and stderr apart even when they are one file", True),
    Setting("unbuffered", "bool", False, "have Python children print at once (PYTHONUNBUFFERED=1)", True),
    Setting("quiet", "bool", False, "say nothing of kleio's own", True),
    Setting("allow-code-change", "bool", False, "branch although the code changed", True),
    Setting("allow-env-change", "bool", False, "branch although the environment changed", True),
    Setting("allow-any-change", "bool", False, "branch although anything changed", True),
    Setting("require-clean", "bool", False, "refuse a work tree with uncommitted changes", True),
    Setting("code", "choice", "here", "run a trial again with the code here, or with its own", True, ("here", "recorded")),
    Setting("exclude", "list", _EXCLUDE, "files that do not count as code (patterns)"),
    Setting("source-types", "list", tuple(_SOURCE_TYPES.split()), "endings of untracked files that count as code"),
    Setting("volatile", "list", (), "arguments that are recorded but are not identity"),
    Setting("identity-env", "list", (), "variables that are identity, besides those of job arrays"),
    Setting("variables", "list", _VARIABLES, "variables to record with the environment (patterns)"),
    Setting("output-limit", "size", 2 << 30, "bytes of output kept of an execution: its head and its tail"),
    Setting("output-file-limit", "size", 100 << 20, "bytes up to which a file in the output directory becomes an artifact"),
    Setting("output-total", "size", 1 << 30, "bytes up to which an execution's files there become artifacts together"),
    Setting("untracked-limit", "size", 10 << 20, "bytes up to which an untracked file is kept with the code"),
    Setting("untracked-total", "size", 100 << 20, "bytes up to which untracked files are kept together"),
    Setting("history-limit", "size", 100 << 20, "bytes up to which commits that are not pushed are kept"),
    Setting("compare", "list", (), "what else counts as a change: os, hardware, gpu, host, user, container, variables, NAME"),
    Setting("checkpoints", "list", (), "files that a run resumes from (patterns), as artifacts are"),
    Setting("lease", "float", 60.0, "seconds after which a silent launcher's reservation expires"),
    Setting("drain", "float", 30.0, "seconds to go on shipping after the command has ended"),
    Setting("timeout", "float", 3.0, "seconds to wait for a journal that does not answer"),
    Setting("patience", "float", 1.0, "seconds for looking at the code; those for git and for files written are in proportion"),
    Setting("system-interval", "float", 10.0, "seconds between two samples of CPU, memory and I/O; 0: none"),
    Setting("unlaunched", "bool", True, "record scripts that ask for a hash code, also where kleio is not put before them"),
    Setting("spool-dir", "str", None, "where records wait; by default the user's state directory"),
)  # fmt: skip
BY_KEY = {setting.key: setting for setting in SETTINGS}
IDENTITY_ENV = _IDENTITY_ENV
CHILD_VARIABLES = ("KLEIO_TRIAL_ID", "KLEIO_EXECUTION", "KLEIO_SPOOL", "KLEIO_STATISTICS", "KLEIO_OUTPUT_DIR")
HOOK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "client", "site")
"""Holds the ``sitecustomize`` that begins recording in Python children."""


class Config:
    """The settings in force. ``config["if-running"]`` is a value, ``config.sources()`` says where each came from."""

    def __init__(
        self, options: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, cwd: str | None = None
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self.cwd = cwd or working_directory()
        self.options = {key: value for key, value in (options or {}).items() if value not in (None, (), False)}
        self.project_file, self._project = _project_table(self.cwd)
        self.user_file = os.path.join(self.directory("config"), "config.toml")
        self._user = _table(self.user_file, ())

    def __getitem__(self, key: str) -> Any:
        return self.look_up(BY_KEY[key]).value

    def sources(self) -> dict[str, Value]:
        """Every setting, in the order of the table."""
        return {setting.key: self.look_up(setting) for setting in SETTINGS}

    def check(self) -> None:
        """Raise UsageError if any setting makes no sense, before anything has been done with the others."""
        self.sources()

    def look_up(self, setting: Setting) -> Value:
        """The first of flag, environment, project file, user file that has it, else the default."""
        if setting.key in self.options:
            return Value(self.options[setting.key], f"--{setting.key}")
        text = self._environment.get(setting.variable)
        if text:
            return Value(_from_text(setting, text), setting.variable)
        for table, file in ((self._project, self.project_file), (self._user, self.user_file)):
            if setting.key in table:
                return Value(_from_file(setting, table[setting.key], file), _located(file, setting.key))
        return self._default(setting)

    def _default(self, setting: Setting) -> Value:
        if setting.key == "journal":
            within = self._environment.get("KLEIO_SPOOL")
            if within:  # a kleio inside a trial: the launcher keeps the address, passwords included, out of our environment
                try:
                    with open(os.path.join(within, "journal"), encoding="utf-8") as file:
                        return Value(file.read(), "the enclosing trial")
                except OSError:
                    near = _journal_of(within)
                    if near:
                        return Value(near, "the enclosing trial")
            return Value("sqlite:///" + os.path.join(self.directory("data"), "journal.db"), "default")
        if setting.key == "spool-dir":
            return Value(os.path.join(self.directory("state"), "spool"), "default")
        return Value(setting.default, "default")

    def directory(self, kind: str) -> str:
        """The user's directory for ``kind``: data, state or config. ``KLEIO_HOME`` moves them all into one."""
        home = self._environment.get("KLEIO_HOME")
        if home:
            return os.path.abspath(home)
        return _user_directory(kind, self._environment)


def _journal_of(spool: str) -> str | None:
    """The SQLite journal of the run whose spool this is; another's address, without its password, says too little."""
    import json

    try:
        with open(os.path.join(spool, "launch.json"), "rb") as file:
            address = str(json.loads(file.read())["journal"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if address.startswith("sqlite:") else None


def _user_directory(kind: str, environment: Mapping[str, str]) -> str:
    """As platformdirs gives it; the plain case of Linux is answered here, because that library costs 10 ms."""
    variable, usual = {
        "data": ("XDG_DATA_HOME", ".local/share"),
        "state": ("XDG_STATE_HOME", ".local/state"),
        "config": ("XDG_CONFIG_HOME", ".config"),
    }[kind]
    home = environment.get("HOME") or _home()
    if not os.path.isabs(home):
        raise UsageError("there is no home directory to keep the journal in; set KLEIO_HOME to a directory")
    if os.uname().sysname == "Linux" and not environment.get(variable):
        return os.path.join(home, usual, "kleio")
    import platformdirs

    return str(getattr(platformdirs, f"user_{kind}_dir")("kleio", appauthor=False))


def _home() -> str:
    """Where the variables do not say it: as the system knows it, whatever ours say, which may not be the asker's. Or empty."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _project_table(cwd: str) -> tuple[str, dict[str, Any]]:
    """``[tool.kleio]`` of the nearest ``pyproject.toml`` at or above ``cwd`` that has one."""
    directory = cwd
    while True:
        path = os.path.join(directory, "pyproject.toml")
        try:
            with open(path, "rb") as file:
                if b"tool.kleio" in file.read():
                    return path, _table(path, ("tool", "kleio"))
        except OSError:
            pass
        parent = os.path.dirname(directory)
        if parent == directory:
            return "", {}
        directory = parent


def _table(path: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The settings in a TOML file; none if there is no file. Raises UsageError for what kleio does not know."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return {}
    import sys

    if sys.version_info >= (3, 11):
        import tomllib  # 5 ms, for those who have such a file
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    for key in keys:
        table = dict(table.get(key, {}))
    for key in table:
        if key not in BY_KEY:
            import difflib

            near = difflib.get_close_matches(key, BY_KEY, 1)
            raise UsageError(f"{path}: unknown setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return dict(table)


def _located(path: str, key: str) -> str:
    """``path:line``, as well as a plain search can tell."""
    import re

    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
                return f"{path}:{number}"
    return path


_MEANT = {
    "bool": "true or false", "str": "a text", "choice": "a text", "list": "a list of texts",
    "float": "a number of seconds, 0 or more", "size": "a number of bytes, such as 2000 or 100MB",
}  # fmt: skip


def _from_text(setting: Setting, text: str) -> Any:
    if setting.kind == "bool":
        if text.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
            raise UsageError(f"{setting.variable}={text!r} is neither true nor false; write 1 or 0")
        return text.lower() in ("1", "true", "yes", "on")
    if setting.kind == "list":
        return tuple(item.strip() for item in text.split(",") if item.strip())
    return _checked(setting, text, setting.variable)


def _from_file(setting: Setting, value: Any, path: str) -> Any:
    if setting.kind == "list" and isinstance(value, str):
        value = [value]
    wanted: Any = {"bool": bool, "list": list, "str": str, "choice": str}.get(setting.kind, (int, float, str))
    if not isinstance(value, wanted) or (setting.kind != "bool" and isinstance(value, bool)):
        raise UsageError(f"{path}: {setting.key} = {value!r} is not {_MEANT[setting.kind]}")
    return tuple(value) if setting.kind == "list" else _checked(setting, value, path)


def _checked(setting: Setting, value: Any, where: str) -> Any:
    """A number, size or choice from its text."""
    if setting.kind == "choice" and value not in setting.choices:
        raise UsageError(f"{where}: {setting.key} is one of {', '.join(setting.choices)}, not {value!r}")
    if setting.kind not in ("float", "size"):
        return value
    try:
        return _seconds(value) if setting.kind == "float" else _size(str(value))
    except (ValueError, OverflowError):
        raise UsageError(f"{where}: {setting.key} = {value!r} is not {_MEANT[setting.kind]}") from None


def _seconds(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(value)
    return number


def _size(text: str) -> int:
    """``2000``, ``10MB``, ``2 GiB``: bytes; units are powers of 1024."""
    digits = text.strip().lower().rstrip("ib ")
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}.get(digits[-1:], 1)
    number = float(digits[:-1] if factor > 1 else digits)
    if number < 0:
        raise ValueError(text)
    return int(number * factor)


def hooked(environment: Mapping[str, str], wanted: bool) -> dict[str, str]:
    """``environment`` with the start-up hook first on PYTHONPATH, if it is ``wanted``; that of a kleio around us goes."""
    given = dict(environment)
    path = given.get("PYTHONPATH", "")
    others = os.pathsep.join(place for place in path.split(os.pathsep) if place != HOOK)
    if wanted:
        given["PYTHONPATH"] = os.pathsep.join([HOOK, others]) if others else HOOK
    elif HOOK in path:
        given["PYTHONPATH"] = others
        if not others:
            del given["PYTHONPATH"]
    return given


def patience() -> float:
    """The setting, or the usual where the settings make no sense: that is told by those who must have them."""
    try:
        return float(Config()["patience"])
    except (KleioError, OSError):
        return 1.0


def spool_root(config: Config) -> str:
    """Where this machine's spools lie; machines that share a home directory have one each."""
    return os.path.join(os.path.abspath(config["spool-dir"]), machine_id())


def machine_id() -> str:
    """A short name for this machine, the same until it is installed anew."""
    import hashlib

    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, "rb") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text:
            # hosts started from one image have one machine-id, so the name counts too
            return hashlib.sha256(text + b"/" + os.uname().nodename.encode()).hexdigest()[:16]
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:16]


def user_name() -> str:
    """Who runs this; a number where the system knows no name for it."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
