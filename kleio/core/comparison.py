"""What differs among trials: parameters, code, packages, environment and results of two or many, side by side.

:mod:`kleio.core.differences` tells of two trials line by line; here each value stands beside those of all others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from kleio.core import differences, query, view
from kleio.core.errors import JournalUnreachable, KleioError
from kleio.core.facts import flat
from kleio.core.filechanges import changed_files, unseen
from kleio.core.lookup import SHORT
from kleio.core.table import Table, is_number
from kleio.core.vocabulary import STATISTICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from kleio.core.filechanges import FileChange
    from kleio.core.journal.base import Journal
    from kleio.core.trial import Entry

CODE = ("commit", "branch", "dirty", "remote", "fingerprint")
NAMED = 3
MOST_CODES = 5
"""Versions of the code whose files are compared with those of the first trial."""
ALWAYS = ("status", "duration")
"""What is told of every trial, and differs as trials do: how long they took is no difference."""


@dataclass(frozen=True, slots=True)
class Row:
    """A named value of each trial, None where it has none."""

    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether they are not all the same; NaN is the same as NaN, and a truth value as no number."""
        first = self.values[0]
        return not all(one is first or query.equal(first, one) for one in self.values)

    @property
    def difference(self) -> float | int | None:
        """Of two numbers the second less the first, of several the greatest less the least; None for anything else."""
        if not all(map(is_number, self.values)):
            return None
        try:
            first, second = self.values if len(self.values) == 2 else (min(self.values), max(self.values))
            found: float | int = second - first
        except OverflowError:
            return None
        return found


@dataclass(frozen=True, slots=True)
class Files:
    """The files in which the code of the trial ``after`` differs from that of the trial ``before``."""

    before: str
    after: str
    files: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``trials`` are their ids. ``sections`` are rows by what they are of; ``notes`` say what could not be compared."""

    trials: tuple[str, ...]
    sections: Mapping[str, tuple[Row, ...]]
    files: tuple[Files, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs but how long they took."""
        rows = (row for rows in self.sections.values() for row in rows if row.name != "duration")
        return not self.files and not any(row.differs for row in rows)

    def chosen(self, everything: bool = False) -> dict[str, list[Row]]:
        """The rows that differ, or all, by section."""
        return {
            name: [row for row in rows if everything or row.differs or (name == "trial" and row.name in ALWAYS)]
            for name, rows in self.sections.items()
        }

    def as_table(self, everything: bool = False) -> Table:
        """A row for each value, a column for each trial."""
        rows = [
            (section, row.name, *row.values, row.difference)
            for section, rows in self.chosen(everything).items()
            for row in rows
        ]
        names = [one[:SHORT] for one in self.trials]
        headings = names if len(set(names)) == len(names) else self.trials
        return Table(["section", "name", *headings, "difference"], rows)

    def as_document(self, everything: bool = False) -> dict[str, Any]:
        """For ``--json``: by section and name the values in the order of ``trials``; of results by key and figure."""
        chosen = self.chosen(everything)
        sections = {
            name: {row.name: list(row.values) for row in rows} for name, rows in chosen.items() if name != "results"
        }
        results: dict[str, dict[str, Any]] = {}
        for row in chosen["results"]:
            key, _, figure = row.name.rpartition(".")
            results.setdefault(key, {})[figure] = list(row.values)
        files = [
            {"before": one.before, "after": one.after, "files": [asdict(file) for file in one.files]} for one in self.files
        ]
        return {"trials": list(self.trials), "same": self.same, **sections, "results": results, "files": files,
                "notes": list(self.notes)}  # fmt: skip


def compare(journal: Journal, entries: Sequence[Entry], here: str, all_executions: bool = False) -> Comparison:
    """Lay trials side by side. Commits are looked for where they ran and around the directory ``here``."""
    documents = view.documents(journal, entries, all_executions=all_executions)
    environments, notes = _environments(journal, entries, documents)
    files, unknown = _files(journal, entries, here)
    packages = [one.get("packages") or {} for one in environments]
    sections = {
        "trial": tuple(_trial(entries, documents)),
        "params": tuple(_rows([dict(flat("", one["params"])) for one in documents])),
        "code": tuple(_rows([_known(one["code"], CODE) for one in documents])),
        "packages": tuple(_rows(packages)),
        "environment": tuple(_rows([differences.surroundings(one) for one in environments])),
        "results": tuple(_results([one["summary"] for one in documents])),
    }
    return Comparison(tuple(entry.id for entry in entries), sections, tuple(files), (*notes, *unknown))


def _rows(found: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for name in dict.fromkeys(name for one in found for name in one):
        yield Row(name, tuple(one.get(name) for one in found))


def _known(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}


def _trial(entries: Sequence[Entry], documents: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """What they are and how they ended."""
    yield Row("status", tuple(one["status"] for one in documents))
    yield Row("duration", tuple(map(differences.lasted, entries)))
    for name in ("name", "tags", "project", "cwd", "parent"):
        yield Row(name, tuple(one[name] or None for one in documents))
    yield Row("cut", tuple((one["cut"] or {}).get("criterion") for one in documents))
    yield Row("program", tuple(_program(one["command"]) for one in documents))
    last = [one["executions"][-1] if one["executions"] else {} for one in documents]
    for name in ("host", "user", "exit_code", "signal"):
        yield Row(name, tuple(one.get(name) for one in last))
    raised = [[told for run in one["executions"] for told in run["exceptions"]] for one in documents]
    yield Row("exception", tuple(one[-1]["type"] if one else None for one in raised))


def _program(command: Sequence[str]) -> list[str]:
    """The words before the first option: the rest is in the parameters."""
    end = next((at for at, word in enumerate(command) if word.startswith("-")), len(command))
    return list(command[:end])


def _results(summaries: Sequence[Mapping[str, Mapping[str, Any]]]) -> Iterator[Row]:
    for key in dict.fromkeys(key for one in summaries for key in one):
        for figure in STATISTICS:
            values = tuple(one.get(key, {}).get(figure) for one in summaries)
            if any(value is not None for value in values):
                yield Row(f"{key}.{figure}", values)


def _environments(
    journal: Journal, entries: Sequence[Entry], documents: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Those of the last executions, each digest fetched once; nothing is compared unless all are known."""
    digests = [(one["environment"] or {}).get("digest") for one in documents]
    known = {digest: journal.document(digest) for digest in dict.fromkeys(digests) if digest}
    found = [known.get(digest) for digest in digests]
    missing = [entry.id[:SHORT] for entry, one in zip(entries, found, strict=True) if one is None]
    if not missing:
        return [one or {} for one in found], []
    some = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
    said = f"the environment of {some} was not recorded, so environments are not compared"
    return [{} for _ in entries], [said]


def _files(journal: Journal, entries: Sequence[Entry], here: str) -> tuple[list[Files], list[str]]:
    """Of every other version of the code, the files that differ from the first trial's."""
    first, *others = entries
    news = {_code(entry): entry for entry in others[::-1]}
    news.pop(_code(first), None)
    found, notes = [], []
    if len(news) > MOST_CODES:
        notes.append(f"there are {len(news) + 1} versions of the code; the files of {MOST_CODES} are compared with the first")
    for entry in [entry for entry in others if news.get(_code(entry)) is entry][:MOST_CODES]:
        try:
            before, after = (differences.version(journal, one, here) for one in (first, entry))
        except JournalUnreachable:
            raise
        except KleioError as error:
            notes.append(str(error))
            continue
        if before is None or after is None:
            missing = (first if before is None else entry).id[:SHORT]
            notes.append(f"the code of trial {missing} is not in the journal")
        else:
            changes = tuple(changed_files(before, after))
            found += [Files(first.id, entry.id, changes)] if changes else []
            notes += unseen(before, after)
    return found, list(dict.fromkeys(notes))


def _code(entry: Entry) -> Any:
    """What two versions of the code that count as one have in common."""
    return entry.trial.code.get("fingerprint") or entry.trial.code.get("document")
