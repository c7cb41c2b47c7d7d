"""The index of the SQLite journal: facts of trials in rows, so that queries look at few of them.

Whatever changes a trial marks it as unindexed, by triggers: whoever writes, an older kleio included, cannot forget to. Such
trials, and those that somebody holds, are looked at as they are; whoever has written indexes them again when he is done.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from kleio.core.journal.cards import Card, Scalar

_CHANGES = (
    ("INSERT ON trials", "id"), ("UPDATE OF body ON trials", "id"),
    ("INSERT ON events", "trial"), ("UPDATE ON events", "trial"),
    ("INSERT ON summaries", "trial"), ("UPDATE ON summaries", "trial"),
)  # fmt: skip


def _marking(number: int, change: str, trial: str) -> str:
    """A trigger. What the statement that fires it does about conflicts would hold in it as well, so it has none."""
    missing = f"NOT EXISTS (SELECT 1 FROM unindexed WHERE trial = new.{trial})"
    marked = f"INSERT INTO unindexed SELECT new.{trial} WHERE {missing}"
    return f"CREATE TRIGGER unindexed_{number} AFTER {change} BEGIN {marked}; END"


STATEMENTS = [
    "CREATE TABLE unindexed (trial TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE cards (card INTEGER PRIMARY KEY, trial TEXT NOT NULL UNIQUE, created REAL NOT NULL)",
    "CREATE INDEX cards_by_time ON cards (created, trial)",
    "CREATE TABLE names (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE facts (name INTEGER NOT NULL, kind INTEGER NOT NULL, value NOT NULL, card INTEGER NOT NULL,
    PRIMARY KEY (name, kind, value, card)) WITHOUT ROWID""",
    "CREATE INDEX facts_of ON facts (card, name)",
    "CREATE INDEX trials_held ON trials (id) WHERE holder IS NOT NULL",
    *(_marking(number, *change) for number, change in enumerate(_CHANGES)),
]

NUMBER, TEXT, TRUTH, LIST, NAN, HELD = range(6)
"""Kinds of facts, in the order of sorting. HELD is for each of what a list holds; its value begins with that one's own kind."""
FREE = "SELECT trial FROM unindexed WHERE trial NOT IN (SELECT id FROM trials WHERE holder IS NOT NULL)"
WAITING = "SELECT trial FROM unindexed UNION SELECT id FROM trials WHERE holder IS NOT NULL"


def put(connection: sqlite3.Connection, card: Card) -> None:
    """In the place of what was known of the trial."""
    connection.execute("INSERT OR IGNORE INTO cards (trial, created) VALUES (?, ?)", (card.trial, card.created))
    (number,) = connection.execute("SELECT card FROM cards WHERE trial = ?", (card.trial,)).fetchone()
    connection.execute("DELETE FROM facts WHERE card = ?", (number,))
    rows = [(name, *kept(value)) for name, value in card.values.items()]
    for name, (text, held) in card.lists.items():
        rows.append((name, LIST, text))
        rows += [(name, HELD, held_key(value)) for value in held]
    names = _numbers(connection, {name for name, _, _ in rows})
    connection.executemany(
        "INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?)", [(names[name], kind, value, number) for name, kind, value in rows]
    )
    connection.execute("DELETE FROM unindexed WHERE trial = ?", (card.trial,))


def forget(connection: sqlite3.Connection, trial: str) -> None:
    """Nothing of a trial stays in the index, no name either that no other has; it is unindexed until :func:`put`."""
    connection.execute("INSERT OR IGNORE INTO unindexed SELECT id FROM trials WHERE id = ?", (trial,))
    connection.execute("DELETE FROM facts WHERE card IN (SELECT card FROM cards WHERE trial = ?)", (trial,))
    connection.execute("DELETE FROM cards WHERE trial = ?", (trial,))
    connection.execute("DELETE FROM names WHERE NOT EXISTS (SELECT 1 FROM facts WHERE name = number)")


def _numbers(connection: sqlite3.Connection, names: set[str]) -> dict[str, int]:
    connection.executemany("INSERT OR IGNORE INTO names (name) VALUES (?)", [(name,) for name in sorted(names)])
    select = "SELECT number FROM names WHERE name = ?"
    return {name: connection.execute(select, (name,)).fetchone()[0] for name in names}


def kept(value: Scalar) -> tuple[int, Scalar]:
    if isinstance(value, bool):
        return TRUTH, int(value)
    if isinstance(value, str):
        return TEXT, value
    return (NAN, 0) if value != value else (NUMBER, value)


def held_key(value: Scalar) -> str:
    kind, own = kept(value)
    return f"{kind}{int(own) if isinstance(own, float) and own.is_integer() else own}"
