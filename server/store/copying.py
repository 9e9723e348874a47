"""A consistent copy of the whole relational database as one SQLite file, and a database made of such a copy: SQLite or PostgreSQL, either way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, select, text
from sqlalchemy.engine import make_url

from server.store.migrate import migrate
from server.store.schema import Base
from server.store.session import Database

_ROWS = 2_000


class CopyError(RuntimeError):
    """A copy that cannot be made or used; the sentence says why."""


def save(db: Database, target: Path) -> None:
    """Write the database as it is at one moment into a new SQLite file; reading and writing go on. Raises CopyError."""
    if target.exists():
        raise CopyError(f"{target} 已经存在")
    if db.engine.dialect.name == "sqlite":
        with sqlite3.connect(make_url(db.engine.url).database or "") as connection:
            connection.execute("VACUUM INTO ?", [str(target)])
        connection.close()
    else:
        copy = Database(f"sqlite:///{target}")
        migrate(copy)
        _copy_rows(db.engine, copy.engine)
        copy.close()
    check(target)


def check(source: Path) -> None:
    """Raises CopyError when a file is not a whole SQLite database."""
    try:
        with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        connection.close()
    except sqlite3.Error as error:
        raise CopyError(f"{source}: {error}") from error
    if found != "ok":
        raise CopyError(f"{source}: {found}")


def load(source: Path, url: str) -> None:
    """Make the database at `url`, which must be new or empty, what the copy is, and bring it to the newest schema. Raises CopyError."""
    check(source)
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        target = Path(parsed.database or "")
        if target.exists():
            raise CopyError(f"{target} 已经存在")
        target.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
            old.backup(new)
        old.close()
        new.close()
        made = Database(url)
        migrate(made)
    else:
        made, copy = Database(url), Database(f"sqlite:///{source}")
        migrate(made)
        migrate(copy)
        _copy_rows(copy.engine, made.engine)
        copy.close()
    made.close()


def _copy_rows(source: Engine, target: Engine) -> None:
    """Every row of every table; parents come before children, by tables and within a table by key. What the migrations wrote is replaced."""
    tables = Base.metadata.sorted_tables
    reading = source.connect() if source.dialect.name == "sqlite" else source.connect().execution_options(isolation_level="REPEATABLE READ")
    with reading as old, target.execution_options(write=True).connect() as new, new.begin():
        for table in reversed(tables):
            new.execute(delete(table))
        for table in tables:
            for rows in old.execute(select(table).order_by(*table.primary_key.columns)).mappings().partitions(_ROWS):
                new.execute(insert(table), [dict(row) for row in rows])
        if target.dialect.name == "postgresql":
            advance_sequences(new)


def advance_sequences(connection: Connection) -> None:
    """Let PostgreSQL number on from the highest id of each table: it does not see ids that were written with the rows."""
    for table in Base.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            statement = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), max({column.name})) FROM {table.name}"  # noqa: S608
            connection.execute(text(statement))
