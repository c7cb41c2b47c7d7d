"""What differs between two trials, or between a trial and what is here now: command, parameters, code, packages,
environment, statistics. What cannot be compared is said in :attr:`Differences.notes`, and is no difference.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

from kleio.core import resuming, statistics
from kleio.core.codedocument import recorded_code
from kleio.core.errors import KleioError
from kleio.core.filechanges import changed_files, patch, unseen
from kleio.core.lookup import SHORT
from kleio.core.repository import Repository
from kleio.core.sourcefiles import Version
from kleio.core.values import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from kleio.core.config import Config
    from kleio.core.filechanges import FileChange
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

SECTIONS = ("params", "code", "env", "stats")
BRIEF = ("commit", "branch", "dirty", "pushed", "fingerprint")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. ``id`` is None for what is here now, which has no status, duration (in seconds) and ``summary``.

    ``code`` and ``environment`` are None where they are not known; ``notes`` say why.
    """

    id: str | None
    command: tuple[str, ...]
    params: Mapping[str, Any]
    code: Version | None
    environment: Mapping[str, Any] | None
    status: str | None = None
    duration: float | None = None
    summary: Mapping[str, Mapping[str, Any]] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A named value that differs; None stands for one that is not there, or not known."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Differences:
    """What :func:`compare` found. ``patch`` is as git writes it; ``summary`` has (before, after) of every statistic."""

    before: Side
    after: Side
    params: list[Change]
    files: list[FileChange]
    patch: str | None
    packages: list[Change]
    environment: list[Change]
    summary: dict[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]
    notes: list[str] = field(default_factory=list)

    @property
    def command(self) -> bool:
        """Whether the commands differ."""
        return self.before.command != self.after.command

    @property
    def whole(self) -> bool:
        """Whether the code of both sides could be looked at."""
        return self.before.code is not None and self.after.code is not None

    def differ(self, section: str) -> bool:
        """Whether anything of a section does; how long two trials took is no difference."""
        if section == "params":
            return self.command or bool(self.params)
        if section == "code":
            return bool(self.files)
        if section == "env":
            return bool(self.packages or self.environment)
        ended = self.after.id is not None and self.before.status != self.after.status
        return ended or any(before != after for before, after in self.summary.values())

    def as_document(self, sections: Iterable[str] = SECTIONS) -> dict[str, Any]:
        """For ``--json``: the keys do not depend on what differs; of other ``sections`` nothing is said."""
        sides = (self.before, self.after)
        parts: dict[str, dict[str, Any]] = {
            "params": {"command": [list(one.command) for one in sides] if self.command else None,
                       "params": _documents(self.params)},
            "code": {"code": self._code_document()},
            "env": {"packages": _documents(self.packages), "environment": _documents(self.environment)},
            "stats": {"status": [one.status for one in sides], "duration": [one.duration for one in sides],
                      "summary": {key: {"before": own[0], "after": own[1]} for key, own in self.summary.items()}},
        }  # fmt: skip
        shown = {name: value for section in SECTIONS if section in sections for name, value in parts[section].items()}
        return {"before": self.before.id, "after": self.after.id, **shown, "notes": self.notes}

    def _code_document(self) -> dict[str, Any]:
        sides = {"before": _brief(self.before.code), "after": _brief(self.after.code)}
        return {**sides, "files": [asdict(one) for one in self.files], "patch": self.patch}


def _brief(code: Version | None) -> dict[str, Any] | None:
    return {name: code.document.get(name) for name in BRIEF} if code else None


def _documents(changes: Iterable[Change]) -> list[dict[str, Any]]:
    return [asdict(one) for one in changes]


# -- the two sides -----------------------------------------------------------------------------------------------------


def recorded(journal: Journal, entry: Entry, here: str) -> Side:
    """A trial. The commits of its code are looked for where it ran and around the directory ``here``."""
    notes = []
    code = version(journal, entry, here)
    if code is None:
        notes.append(f"the code of trial {entry.id[:SHORT]} is not in the journal")
    digests = [one.environment for one in entry.executions if one.environment]
    environment = journal.document(digests[-1]) if digests else None
    if environment is None:
        notes.append(f"the environment of trial {entry.id[:SHORT]} was not recorded")
    summary = statistics.combine(resuming.counted(entry, journal.summaries([entry.id]).get(entry.id, ())))
    return Side(
        entry.id, entry.trial.command, entry.params, code, environment, entry.status.value,
        lasted(entry), summary, tuple(notes),
    )  # fmt: skip


def lasted(entry: Entry) -> float | None:
    """Seconds of all executions that have ended; None if none has."""
    spans = [one.ended - one.started for one in entry.executions if one.ended]
    return sum(spans) if spans else None


def version(journal: Journal, entry: Entry, here: str) -> Version | None:
    """The code that a trial was recorded with; None when the journal does not have it."""
    document = recorded_code(journal, entry.trial.code.get("document"))
    return Version(journal, document, repository_of(entry, document.get("commit"), here)) if document else None


def repository_of(entry: Entry, commit: str | None, here: str) -> str | None:
    """The work tree, of where the trial ran and where we are, whose repository has the commit; None if none has it."""
    for directory in dict.fromkeys([*directories(entry), here]):
        repository = Repository.around(directory)
        if repository and (not commit or repository.run("rev-parse", "--verify", "-q", f"{commit}^{{commit}}")):
            return repository.root
    return None


def directories(entry: Entry) -> list[str]:
    """Where the trial ran, the last execution first, as far as these directories are on this machine."""
    return [one.cwd for one in reversed(entry.executions) if one.cwd and os.path.isdir(one.cwd)]


def present(config: Config, entry: Entry, scratch: str) -> Side:
    """What is in the working directory of ``config`` now, for the command of a trial. ``scratch`` is a directory that must
    stay until the comparison is made.
    """
    from kleio.core import code as capturing  # what only a launch and this need
    from kleio.core.project import project_here

    notes: list[str] = []
    command, found = entry.trial.command, None
    project = project_here(config)
    if project == entry.trial.project or config["project"]:
        captured = capturing.capture(config, command, Repository.asked(config.cwd, config["patience"]), scratch)
        found = Version.present(captured)
        notes += captured.remarks
    else:
        notes.append(
            f"the code of {entry.trial.project} is not here, this is {project}: run kleio diff "
            f"where trial {entry.id[:SHORT]} ran, or in a checkout of it"
        )
    environment, problem = _environment(config, command)
    return Side(None, command, _parameters(entry, config.cwd), found, environment, notes=(*notes, *problem))


def _parameters(entry: Entry, cwd: str) -> dict[str, Any]:
    """Those of the command and of the config files that it names, as these are now; what the program told of others when it
    ran, it would have to be run to tell anew.
    """
    from kleio.core.commandline import config_files, config_values, parameters_with_sources
    from kleio.core.trial import united

    values = {}
    for word, path in config_files(entry.trial.command, cwd):
        with open(path, "rb") as file:
            values[word] = config_values(path, file.read())
    params, sources = parameters_with_sources(entry.trial.command, values)
    read = {name: value for name, value in params.items() if sources[name] == "config file"}
    told = sorted((event for event in entry.events if event.kind == "parameters"), key=lambda event: event.order)
    reported = [event.data for event in told if "replaces" in event.data]
    plain = {name: value for name, value in params.items() if name not in read}
    return united(plain, sources, [{"params": read, "sources": sources}, *reported])["params"]


def _environment(config: Config, command: tuple[str, ...]) -> tuple[dict[str, Any] | None, list[str]]:
    from kleio.core import environment, process

    word = os.path.join(config.cwd, command[0]) if "/" in command[0] else command[0]
    try:
        return environment.capture(process.find_program(word), config["variables"]), []
    except KleioError as error:
        return None, [f"the environment cannot be compared: {error}"]


# -- comparing ---------------------------------------------------------------------------------------------------------


def compare(before: Side, after: Side, with_patch: bool = True, binary: bool = False) -> Differences:
    """Everything in which the two differ. With ``binary`` the patch holds binary files too, unless they are large."""
    notes = list(dict.fromkeys([*before.notes, *after.notes]))
    files: list[FileChange] = []
    text = None
    if before.code and after.code:
        files = changed_files(before.code, after.code)
        text = patch(before.code, after.code, binary=binary) if with_patch else None
        notes += unseen(before.code, after.code)
    old, new = before.environment, after.environment
    known = old is not None and new is not None
    packages = _changes((old or {}).get("packages") or {}, (new or {}).get("packages") or {}) if known else []
    return Differences(
        before, after, _changes(before.params, after.params), files, text, packages,
        _changes(surroundings(old or {}), surroundings(new or {})) if known else [],
        _summaries(before, after), notes,
    )  # fmt: skip


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    names = sorted(before.keys() | after.keys())
    found = [Change(name, before.get(name), after.get(name)) for name in names]
    return [one for one in found if one.before != one.after and dumps(one.before) != dumps(one.after)]  # NaN is itself


def surroundings(environment: Mapping[str, Any]) -> dict[str, Any]:
    """All of an environment but its packages, whatever a later kleio adds to it, under names joined with dots."""
    return {name: value for name, value in _flat(environment) if not name.startswith("packages.") and name != "packages"}


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, [], ""):
            yield f"{prefix}{name}", value


def _summaries(before: Side, after: Side) -> dict[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    if before.summary is None or after.summary is None:
        return {}
    keys = sorted(filter(statistics.is_logged, before.summary.keys() | after.summary.keys()))
    return {key: (before.summary.get(key), after.summary.get(key)) for key in keys}
