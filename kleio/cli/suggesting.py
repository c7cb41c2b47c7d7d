"""What a shell may complete a word to: ids, tags, names, programs, files. Given to parameters as ``shell_complete``.

What cannot be typed without quotation marks is not suggested: tags come from everywhere, and shells insert them as they are.
"""

from __future__ import annotations

import os
import re
import time
from itertools import islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from kleio.cli import wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kleio.core.config import Config
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

    Item = CompletionItem[str]

SHOWN = 30
"""Trials whose ids are suggested, and whose names."""
MOST = 100
"""Names that are suggested: who has more of them types another letter."""
TOLD = 60
PLAIN = re.compile(r"[\w.,@%+/:-]+")
PATIENCE = 0.7
"""Seconds to wait for a journal, for each second of patience."""


def ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:  # noqa: ARG001 - click's interface
    """The newest trials of the project here that have such an id; where it has none, of all."""
    from kleio.core.lookup import SHORT

    journal, config = _opened(ctx)
    begun = incomplete.lower()
    if len(begun) >= 2:
        found = [entry for entry in map(journal.entry, journal.resolve(begun, SHOWN)) if entry]
        found.sort(key=lambda entry: entry.trial.created, reverse=True)
    else:
        found = [entry for entry in _newest(journal, config) if entry.id.startswith(begun)]
    length = max(SHORT, len(begun) + 1)
    last = [CompletionItem("last", help="the newest")] if begun and "last".startswith(begun) else []
    return [*last, *(CompletionItem(entry.id[:length], help=_told(entry)) for entry in found)]


def first_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Where one id comes first, and then something else."""
    return [] if ctx.params.get(str(param.name)) else ids(ctx, param, incomplete)


def id_and_artifacts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Where one id comes first, and then names of its artifacts; nothing where a query chooses the trial."""
    from kleio.core.artifact_listing import listed
    from kleio.core.lookup import resolve

    words = _words(ctx)
    if ctx.params.get("chosen"):
        return []
    if not words:
        return ids(ctx, param, incomplete)
    journal, config = _opened(ctx)
    found = listed(journal, resolve(journal, words[0], config))
    newest = {one.name: f"{wording.size(one.size)}  {wording.meta(one.meta)}".rstrip() for one in found}
    return _of_names({name: told for name, told in newest.items() if name not in words[1:]}, incomplete)


def ids_and_statistics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Where ids come first, unless trials are chosen otherwise, and then statistics of these trials."""
    from kleio.core.lookup import resolve
    from kleio.core.plotting.choosing import told_apart

    words, chosen = _words(ctx), any(ctx.params.get(name) for name in ("where", "include", "exclude", "newest"))
    if not words and not chosen:
        return ids(ctx, param, incomplete)
    journal, config = _opened(ctx)
    newest = _newest(journal, config) if chosen else []
    entries, keys = told_apart(words, newest, journal, lambda word: resolve(journal, word, config))
    found = {key: told for key, told in _statistics(journal, entries).items() if key not in keys}
    return [*_of_names(found, incomplete), *(ids(ctx, param, incomplete) if incomplete and not keys else [])]


def statistics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Of the trials that are named, or else of the newest."""
    from kleio.core.lookup import resolve
    from kleio.core.plotting.choosing import like_an_id

    journal, config = _opened(ctx)
    entries = [resolve(journal, word, config) for word in _words(ctx) if like_an_id(word)] or _newest(journal, config)
    more = {"time": "", "index": "the number of the point"} if param.name == "across" else {}
    return _of_names({**_statistics(journal, entries), **more}, incomplete, several=param.name == "key")


def fields(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Names by which trials are listed: those that all have, and of parameters and statistics those that the newest have."""
    from kleio.core.facts import CODE, flat
    from kleio.core.grouping import COUNT, ENDINGS
    from kleio.core.vocabulary import KINDS, STATISTICS, written

    journal, config = _opened(ctx)
    newest = _newest(journal, config)
    params = dict.fromkeys(name for entry in newest for name, _ in flat("", entry.params))
    keys = _statistics(journal, newest)
    found = dict.fromkeys([*KINDS, *(written("params", name) for name in params)], "")
    if ctx.params.get("group_by") and param.name != "group_by":
        found = {COUNT: "", **{f"{key}{ending}": "" for key in keys for ending in ENDINGS}, **found}
    paths = {f"summary.{key.replace('/', '.')}": told for key, told in keys.items()}
    summary = {path: told for path, told in paths.items() if all(map(str.isidentifier, path.split(".")))}
    found |= {path: told for path, told in summary.items() if path.rpartition(".")[2] not in STATISTICS}
    found |= dict.fromkeys([f"code.{name}" for name in CODE], "")
    begun = incomplete.rpartition(",")[2].rpartition(".")[0]
    found |= dict.fromkeys([f"{begun}.{figure}" for figure in STATISTICS] if begun in summary else [], "")
    return _of_names(found, incomplete, several=param.name != "sort")


def target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:  # noqa: ARG001 - click's interface
    """For which tool, and then the directory; the words of the line are what click was given to hand on."""
    from kleio.core.exports import TARGETS

    if ctx.obj[-1] != "--to":
        return [CompletionItem(incomplete, type="dir")]
    return _of_names(dict.fromkeys(TARGETS, ""), incomplete)


def id_and_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Where one id comes first, and then a file."""
    return files(ctx, param, incomplete) if ctx.params.get(str(param.name)) else ids(ctx, param, incomplete)


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:  # noqa: ARG001 - click's interface
    return [CompletionItem(incomplete, type="file")]


def tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:  # noqa: ARG001 - click's interface
    """The tags of the project here."""
    from kleio.core.journal.base import Selection
    from kleio.core.project import project_here

    journal, config = _opened(ctx)
    _, counted = journal.counts(Selection(project=project_here(config)))
    fitting = [tag for tag in counted if tag.startswith(incomplete) and PLAIN.fullmatch(tag)]
    return [CompletionItem(tag, help=wording.several(counted[tag], "trial")) for tag in fitting]


def programs(incomplete: str) -> list[Item]:
    """Programs of the path; files where a path is begun."""
    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="file")]
    found: set[str] = set()
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            names = os.listdir(directory or ".")
        except OSError:
            continue
        begun = [name for name in names if name.startswith(incomplete) and PLAIN.fullmatch(name)]
        found.update(name for name in begun if os.access(os.path.join(directory, name), os.X_OK))
    return [CompletionItem(name) for name in sorted(found)]


def _of_names(known: Mapping[str, str], incomplete: str, several: bool = False) -> list[Item]:
    """Those that begin so, each with what is told of it; where there may be several, the last of those between commas."""
    before, comma, begun = incomplete.rpartition(",") if several else ("", "", incomplete)
    fitting = (name for name in known if name.startswith(begun) and PLAIN.fullmatch(name) and name[0] != "-")
    return [CompletionItem(f"{before}{comma}{name}", help=known[name] or None) for name in islice(fitting, MOST)]


def _words(ctx: click.Context) -> Sequence[str]:
    """Those that are no options. Where the value of an option is still missing, click has not given them to an argument."""
    argument = next(one for one in ctx.command.params if isinstance(one, click.Argument))
    return ctx.params.get(str(argument.name)) or ctx.args


def _newest(journal: Journal, config: Config) -> list[Entry]:
    """The newest trials of the project here; where it has none, of all."""
    from kleio.core.journal.base import Selection
    from kleio.core.project import project_here

    return journal.entries(Selection(project=project_here(config)), SHOWN) or journal.entries(Selection(), SHOWN)


def _statistics(journal: Journal, entries: Sequence[Entry]) -> dict[str, str]:
    """What these trials have logged, each with its last value; what kleio itself measures last."""
    from kleio.core.plotting.choosing import summaries
    from kleio.core.statistics import is_logged

    found: dict[str, str] = {}
    for own in summaries(journal, entries):
        for key, figures in own.items():
            found.setdefault(key, wording.printable(f"last {wording.number(figures.get('last'))}") if len(entries) == 1 else "")
    return dict(sorted(found.items(), key=lambda pair: (not is_logged(pair[0]), pair[0])))


def _given(ctx: click.Context | None, name: str) -> str | None:
    """The option of the command, or of those around it."""
    if ctx is None:
        return None
    value = ctx.params.get(name)
    return value if isinstance(value, str) else _given(ctx.parent, name)


def _opened(ctx: click.Context) -> tuple[Journal, Config]:
    from kleio.core.config import Config
    from kleio.core.journal import open_journal

    config = Config({name: value for name in ("journal", "project") if (value := _given(ctx, name))})
    return open_journal(config["journal"], timeout=min(config["timeout"], PATIENCE * config["patience"]), writing=False), config


def _told(entry: Entry) -> str:
    """What a shell shows beside an id."""
    age = wording.span(max(time.time() - entry.trial.created, 0))
    text = wording.printable(f"{entry.status.value}, {age} ago: {wording.command(entry.trial.command)}")
    return text if len(text) <= TOLD else text[: TOLD - 1] + "…"
