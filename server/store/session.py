"""Engines and sessions. SQLite runs with WAL and synchronous FULL: an acknowledgement hangs on every commit."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker

from server.store.tree import UnitTree

_PAGES = 16_384
"""Of the write-ahead log, 64 MB: only where nobody calls `checkpoint`."""
_LONG = _PAGES * 3 // 4
"""A log so long must be begun anew soon, or a commit would."""
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=30000",
    "journal_size_limit=67108864",
    f"wal_autocheckpoint={_PAGES}",
)


def _pragmas(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is switched off so that BEGIN is ours (below) and IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A write transaction that starts as a read fails with "database is locked" at its first write, whatever the timeout.
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _no_jit(connection: Any, _record: Any) -> None:
    # A subtree is a recursive query, whose cost PostgreSQL overrates: it would compile code for a tenth of a second to save a millisecond.
    connection.execute("SET jit = off")
    connection.commit()


def make_engine(url: str) -> Engine:
    """Open a database by SQLAlchemy URL, e.g. `sqlite:///var/archivewatch.db`."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _pragmas)
        event.listen(engine, "begin", _begin)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _no_jit)
    return engine


class _Turns:
    """Who may write next, in order; `first` goes before those that wait.

    SQLite has one writer. Left to itself it lets the others look again and again whether he is gone, and who commits without a pause keeps them all
    out until their time is over.
    """

    def __init__(self) -> None:
        self._mutex, self._busy, self._waiting = threading.Lock(), False, deque[threading.Event]()

    @contextmanager
    def mine(self, *, first: bool) -> Iterator[None]:
        """Wait for the turn and hold it."""
        with self._mutex:
            turn = threading.Event() if self._busy else None
            self._busy = True
            if turn is not None:
                self._waiting.insert(0, turn) if first else self._waiting.append(turn)
        if turn is not None:
            turn.wait()
        try:
            yield
        finally:
            with self._mutex:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._busy = False


class ReadOnlyError(RuntimeError):
    """Something was to be written in a session for queries: it would be lost without a word, or meet a writer outside his turn."""


def _refuse_flush(session: Session, *_: Any) -> None:
    changed = [*session.new, *session.dirty, *session.deleted]
    raise ReadOnlyError(f"a session for queries was to write {', '.join(sorted({type(one).__name__ for one in changed}))}")


def _refuse_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        raise ReadOnlyError(f"a session for queries was to run {state.statement}")


class NestedWriteError(RuntimeError):
    """A thread opened a write transaction inside its own: on SQLite it would wait for itself for ever, on PostgreSQL perhaps."""


class Database:
    """The way in for every module: `read()` for queries, `write()` for one transaction."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._turns = _Turns() if self.engine.dialect.name == "sqlite" else None
        self.tree = UnitTree(self.engine)
        self._read = sessionmaker(self.engine, info={"tree": self.tree})
        event.listen(self._read, "before_flush", _refuse_flush)
        event.listen(self._read, "do_orm_execute", _refuse_statement)
        self._write = sessionmaker(self.engine.execution_options(write=True), info={"tree": self.tree})
        self._mine = threading.local()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for queries; nothing is committed. Raises ReadOnlyError when something is to be written."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self, *, first: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back on an exception. `first`: before others that wait (the watch, whose alarms hurry).

        Raises NestedWriteError when this thread has one open already.
        """
        if getattr(self._mine, "writing", False):
            raise NestedWriteError("a write transaction inside a write transaction of the same thread")
        self._mine.writing = True
        turn = self._turns.mine(first=first) if self._turns is not None else nullcontext()
        try:
            with turn, self._write() as session, session.begin():
                yield session
        finally:
            self._mine.writing = False
            self.tree.settle()

    def checkpoint(self) -> None:
        """Bring SQLite's write-ahead log into the file, beside the writers: left to itself, a commit that happens to fill the log pays for it, and an
        alarm waits. Where the log has become long all the same, what came meanwhile follows in a turn of our own, so that it is empty once and starts
        anew; that waits for the disk with everybody behind it, and is therefore seldom done. Nothing elsewhere.
        """
        if self._turns is None:
            return
        connection = self.engine.raw_connection()
        try:
            _busy, pages, _moved = connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages >= _LONG:
                with self._turns.mine(first=False):
                    connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()

    def counted(self, tables: Iterable[str]) -> None:
        """Much was written to these tables: let PostgreSQL count them now, for which it takes a minute by itself and plans for empty ones until then.

        SQLite plans without counts.
        """
        if self.engine.dialect.name == "postgresql":
            with self.write() as session:
                session.execute(text(f"ANALYZE {', '.join(sorted(tables))}"))

    def close(self) -> None:
        """Release all connections."""
        self.engine.dispose()
