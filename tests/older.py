"""Journals as older versions of kleio made them."""

from __future__ import annotations

import contextlib
import sqlite3

from kleio.core.journal import place

TABLES = {2: ("children", "traces", "seals", "gone"), 3: ("unindexed", "cards", "names", "facts")}
"""What came with a schema."""


def make_old(uri, version=1):
    """Turn a journal into one that this schema wrote."""
    if uri.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=60)) as connection:
            _make_old_sqlite(connection, version)
        return
    from pymongo import MongoClient

    with MongoClient(uri) as client:
        _make_old_mongo(client[place(uri).rpartition("/")[2]], version)


def _make_old_sqlite(connection, version):
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DROP INDEX trials_held")
    for schema, tables in TABLES.items():
        for table in tables if schema > version else ():
            connection.execute(f"DROP TABLE {table}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()


def _make_old_mongo(database, version):
    database.cards.drop()
    database.trials.update_many({}, {"$unset": {"unindexed": ""}})
    database.trials.drop_indexes()
    if version < 2:
        database.trials.update_many({}, {"$unset": {"parent": ""}})
        for name in ("traces", "gone"):
            database[name].drop()
        database.segments.drop_indexes()
    database.journal.update_one({"_id": "schema"}, {"$set": {"version": version}})
