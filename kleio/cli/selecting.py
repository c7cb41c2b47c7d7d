"""How commands are told of trials: by ids, or by ``--where`` and what goes with it.

``one_trial`` and ``several_trials`` stand right above a command's function, below ``reading``, and hand it the trials.
``asked_for`` hands over what was asked, for commands in which other words stand beside ids; :func:`to_launch` is for
those that launch.
"""

from __future__ import annotations

import functools
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kleio.cli import wording
from kleio.cli.options import choosing_options, shorthand_options, suggested
from kleio.core.config import Config, spool_root
from kleio.core.errors import UnknownTrial, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kleio.cli.options import Reading
    from kleio.core.choosing import Chosen
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

SHOWN = 5
"""Trials that are named where one was asked for and there are more."""
TOLD = 36
"""Characters of a command beside each."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of :func:`choosing_options` say."""

    where: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    newest: bool = False
    all_projects: bool = False
    with_tags: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether they choose trials at all."""
        return bool(self.where or self.include or self.exclude or self.newest or self.with_tags)

    def one(self, journal: Journal, config: Config, prefix: str | None = None) -> Entry:
        """The one trial that is meant: the one of an id that begins so, else the one that is chosen. Raises UsageError where
        it is neither or both, UnknownTrial where none is meant or several are.
        """
        if prefix is not None:
            if self.anything:
                raise UsageError(f"{prefix} and --where, or what goes with it, both say which trial; give one of them")
            return _of_ids(journal, config, [prefix])[0]
        found = self._found(journal, config)
        if not found:
            raise self._none(journal, config)
        if len(found) > 1:
            raise _several(found)
        return found[0]

    def with_perhaps_a_word(self, words: Sequence[str]) -> tuple[str | None, str | None]:
        """An id and the word after it, where these are; what is chosen stands in the place of the id. Raises UsageError."""
        given: list[str | None] = [None, *words] if self.anything else [*words]
        if len(given) > 2:
            raise UsageError(f"got an unexpected argument: {given[2]}")
        prefix, word, *_ = [*given, None, None]
        return prefix, word

    def with_word(self, words: Sequence[str], metavar: str) -> tuple[str | None, str]:
        """The same, where the word has to be."""
        prefix, word = self.with_perhaps_a_word(words)
        if word is None:
            raise UsageError(f"missing argument {metavar}" if prefix or self.anything else f"which trial, and which {metavar}?")
        return prefix, word

    def pair(self, journal: Journal, config: Config, prefixes: Sequence[str]) -> tuple[Entry, Entry | None]:
        """Two trials, or one: of ids in their order, with a choice beside an id the chosen one last, of two chosen the older
        first. Raises as :meth:`one` does.
        """
        if len(prefixes) + self.anything > 2:
            raise UsageError(f"two trials are compared, and {prefixes[2 - self.anything]} is one too many")
        if prefixes:
            first, *others = [Asked().one(journal, config, prefix) for prefix in prefixes]
            return first, self.one(journal, config) if self.anything else next(iter(others), None)
        found = self._found(journal, config)
        if not found:
            raise self._none(journal, config)
        if len(found) > 2:
            raise _several(found, "one or two are needed: give ids, or a condition more")
        return found[-1], found[0] if len(found) == 2 else None

    def several(self, journal: Journal, config: Config, prefixes: Sequence[str] = ()) -> list[Entry]:
        """Those of the ids, in their order, then those that are chosen, newest first; each once, and at least one. Raises
        UsageError where nothing is asked, UnknownTrial where nothing is found.
        """
        named = _of_ids(journal, config, prefixes)
        journal.left_out = {} if journal.left_out is None else journal.left_out
        chosen = self._found(journal, config) if self.anything or not prefixes else []
        if not named and not chosen:
            raise self._none(journal, config)
        return list({entry.id: entry for entry in (*named, *chosen)}.values())

    def _found(self, journal: Journal, config: Config) -> list[Entry]:
        from kleio.core import choosing  # only who looks for something pays for it

        if not self.anything:
            raise UsageError("which trial? give an ID (kleio ls lists them), the word last, or --where QUERY")
        ids = choosing.newest(journal, self._chosen(config), spool_root(config), 1 if self.newest else None)
        return choosing.entries(journal, ids, spool_root(config))

    def _chosen(self, config: Config) -> Chosen:
        from kleio.core.choosing import Chosen
        from kleio.core.project import project_here

        here = None if self.all_projects else project_here(config)
        return Chosen(here=here, tags=self.with_tags, where=self.where, include=self.include, exclude=self.exclude)

    def _none(self, journal: Journal, config: Config) -> UnknownTrial:
        from kleio.core.choosing import stays_here

        if journal.absent:
            return UnknownTrial(f"there is no journal {journal.uri} yet; the first command that is run with it makes it")
        chosen = self._chosen(config)
        asked = [f"--{name}" for name in ("where", "include", "exclude") if getattr(self, name)]
        return UnknownTrial(none_of(journal, chosen.here if stays_here(journal, chosen) else None, asked))


def none_of(journal: Journal, here: str | None, asked: Sequence[str]) -> str:
    """That no trial is meant, in words: by which options, and of how many of the project ``here``, or of all."""
    from kleio.core.journal.base import Selection

    count = sum(journal.counts(Selection(project=here))[0].values())
    others = "; --all-projects looks in those of others" if here is not None else ""
    place = "of this project" if here is not None else f"in {journal.uri}"
    if not count or not asked:
        return f"no trials {place}{others}"
    which = f"none of the {count:,} trials {place} matches" if count > 1 else f"the one trial {place} does not match"
    return f"{which} {' and '.join(asked)}{others}"


def _of_ids(journal: Journal, config: Config, prefixes: Sequence[str]) -> list[Entry]:
    from kleio.core.lookup import resolve
    from kleio.core.view import from_here  # 15 ms, which a launch does not pay

    return from_here([resolve(journal, prefix, config) for prefix in prefixes], spool_root(config))


def _several(
    found: Sequence[Entry], ways: str = "one is needed: give its id, a condition more, or --newest"
) -> UnknownTrial:
    lines = [_line(entry) for entry in found[:SHOWN]]
    more = [f"  … and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    return UnknownTrial(f"{len(found):,} trials match; {ways}", (*lines, *more))


def _line(entry: Entry) -> str:
    from kleio.core.lookup import SHORT

    age = wording.span(max(time.time() - entry.trial.created, 0))
    command = wording.command(entry.trial.command)
    shown = command if len(command) <= TOLD else command[: TOLD - 1] + "…"
    return f"  {entry.id[:SHORT]}  {entry.status.value:<11}  {age:>6} ago  {shown}"


def taken(options: dict[str, Any]) -> Asked:
    """What click read, taken out of ``options``."""
    return Asked(**{name: options.pop(name) for name in Asked.__dataclass_fields__ if name in options})


def by_words(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--include`` and ``--exclude`` alone, for a command that chooses trials with options of its own."""
    for option in reversed(shorthand_options()):
        _parameter(command, option)
    return command


def asked_for(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options alone; the command gets ``asked``, what they say."""

    @functools.wraps(command)
    def wrapped(with_: Reading, /, **options: Any) -> Any:
        return command(with_, asked=taken(options), **options)

    return choosing(wrapped)


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options themselves, for a command that reads them with :func:`taken`."""
    for option in reversed(choosing_options()):
        _parameter(command, option)
    return command


def one_trial(command: Callable[..., Any]) -> Callable[..., Any]:
    """An ID, or what :func:`choosing_options` choose; the command gets ``entry``, the one trial that is meant."""

    @functools.wraps(command)
    def wrapped(with_: Reading, /, asked: Asked, trial: str | None, **options: Any) -> Any:
        return command(with_, entry=asked.one(with_.journal, with_.config, trial), **options)

    _parameter(wrapped, click.Argument(["trial"], metavar="[ID]", required=False, shell_complete=suggested("ids")))
    return asked_for(wrapped)


def one_trial_and(name: str, metavar: str, required: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As :func:`one_trial`, for a command with a second word, which is the only one where the trial is chosen."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(with_: Reading, /, asked: Asked, words: tuple[str, ...], **options: Any) -> Any:
            prefix, word = asked.with_word(words, metavar) if required else asked.with_perhaps_a_word(words)
            return command(with_, entry=asked.one(with_.journal, with_.config, prefix), **{name: word}, **options)

        shown = f"[ID] {metavar if required else f'[{metavar}]'}"
        words_told = suggested("first_id" if required else "id_and_file")
        _parameter(wrapped, click.Argument(["words"], metavar=shown, nargs=-1, shell_complete=words_told))
        return asked_for(wrapped)

    return decorated


def to_launch(options: Mapping[str, Any], choice: dict[str, Any], prefix: str | None = None) -> str:
    """For a command that launches: the id of the one trial that is meant, an id that is given unlooked at. ``choice`` is what
    click read of the options of :func:`~kleio.cli.options.choosing_options`.

    The journal is closed again before the launch opens it, and no thread of it has taken a signal.
    """
    from kleio.core.journal import open_journal

    asked = taken(choice)
    if prefix is not None and not asked.anything:
        return prefix
    config = Config(options)
    with signals_kept():
        journal = open_journal(config["journal"], timeout=config["timeout"], writing=False)
        try:
            return asked.one(journal, config, prefix).id
        finally:
            journal.close()


@contextmanager
def signals_kept() -> Iterator[set[int]]:
    """Threads that begin inside take no signals: if one took the child's SIGCHLD, the launcher would wait for ever."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield {int(number) for number in mask}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def several_trials(command: Callable[..., Any]) -> Callable[..., Any]:
    """IDs and what :func:`choosing_options` choose; the command gets ``entries``, the trials that are meant, at least one."""

    @functools.wraps(command)
    def wrapped(with_: Reading, /, asked: Asked, trials: tuple[str, ...], **options: Any) -> Any:
        return command(with_, entries=asked.several(with_.journal, with_.config, trials), **options)

    _parameter(wrapped, click.Argument(["trials"], metavar="[ID]…", nargs=-1, shell_complete=suggested("ids")))
    _parameter(wrapped, click.Option(["--tag", "with_tags"], metavar="TAG", multiple=True, shell_complete=suggested("tags"),
                                     help="those with this tag; repeatable, then all are needed"))
    return asked_for(wrapped)


def _parameter(command: Callable[..., Any], parameter: click.Parameter) -> None:
    """As click's decorators do it: they are listed from the function upwards."""
    params: list[click.Parameter] = command.__dict__.setdefault("__click_params__", [])
    params.append(parameter)
