"""Engines and sessions. SQLite runs with WAL and synchronous FULL: an acknowledgement hangs on every commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from server.store.tree import UnitTree


def _pragmas(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is switched off so that BEGIN is ours (below) and IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000", "journal_size_limit=67108864"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A write transaction that starts as a read fails with "database is locked" at its first write, whatever the timeout.
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def make_engine(url: str) -> Engine:
    """Open a database by SQLAlchemy URL, e.g. `sqlite:///var/archivewatch.db`."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _pragmas)
        event.listen(engine, "begin", _begin)
    return engine


class Database:
    """The way in for every module: `read()` for queries, `write()` for one transaction."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self.tree = UnitTree(self.engine)
        self._read = sessionmaker(self.engine, info={"tree": self.tree})
        self._write = sessionmaker(self.engine.execution_options(write=True), info={"tree": self.tree})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for queries; nothing is committed."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back on an exception."""
        try:
            with self._write() as session, session.begin():
                yield session
        finally:
            self.tree.settle()

    def close(self) -> None:
        """Release all connections."""
        self.engine.dispose()
