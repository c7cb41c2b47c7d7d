"""What a shell may complete a word to: ids, tags, programs, files. Given to parameters as ``shell_complete``.

What cannot be typed without quotation marks is not suggested: tags come from everywhere, and shells insert them as they are.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

from kleio.cli import wording

if TYPE_CHECKING:
    import click

    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

    Item = CompletionItem[str]

SHOWN = 30
"""Trials whose ids are suggested."""
TOLD = 60
PLAIN = re.compile(r"[\w.,@%+/:-]+")
PATIENCE = 0.7
"""Seconds to wait for a journal."""


def ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:  # noqa: ARG001 - click's interface
    """The newest trials of the project here that have such an id; where it has none, of all."""
    from kleio.core.journal.base import Selection
    from kleio.core.lookup import SHORT
    from kleio.core.project import project_here

    journal, config = _opened(ctx)
    begun = incomplete.lower()
    if len(begun) >= 2:
        found = [entry for entry in map(journal.entry, journal.resolve(begun, SHOWN)) if entry]
        found.sort(key=lambda entry: entry.trial.created, reverse=True)
    else:
        newest = journal.entries(Selection(project=project_here(config)), SHOWN) or journal.entries(Selection(), SHOWN)
        found = [entry for entry in newest if entry.id.startswith(begun)]
    length = max(SHORT, len(begun) + 1)
    last = [CompletionItem("last", help="the newest")] if begun and "last".startswith(begun) else []
    return [*last, *(CompletionItem(entry.id[:length], help=_told(entry)) for entry in found)]


def first_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Where one id comes first, and then something else."""
    return [] if ctx.params.get(str(param.name)) else ids(ctx, param, incomplete)


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


def _given(ctx: click.Context | None, name: str) -> str | None:
    """The option of the command, or of those around it."""
    if ctx is None:
        return None
    value = ctx.params.get(name)
    return value if isinstance(value, str) else _given(ctx.parent, name)


def _opened(ctx: click.Context) -> tuple[Journal, Any]:
    from kleio.core.config import Config
    from kleio.core.journal import open_journal

    config = Config({name: value for name in ("journal", "project") if (value := _given(ctx, name))})
    return open_journal(config["journal"], timeout=min(config["timeout"], PATIENCE), writing=False), config


def _told(entry: Entry) -> str:
    """What a shell shows beside an id."""
    age = wording.span(max(time.time() - entry.trial.created, 0))
    text = wording.printable(f"{entry.status.value}, {age} ago: {wording.command(entry.trial.command)}")
    return text if len(text) <= TOLD else text[: TOLD - 1] + "…"
