"""The message log of the SMS gateway: one SQLite file, synchronous FULL, so that what was accepted survives kill -9 and a power cut."""

import secrets
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from simulators.sms_wire import Message

# columns in the order of the fields of Message
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sid TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL, sender TEXT NOT NULL, body TEXT NOT NULL,
  direction TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, sent_at INTEGER,
  error_code INTEGER, error_message TEXT, callback TEXT NOT NULL, fate TEXT NOT NULL, due_at INTEGER, expires_at INTEGER);
CREATE INDEX IF NOT EXISTS message_due ON message (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS message_to ON message (recipient, id);
"""
_INSERT = "INSERT INTO message VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# every clause is there always; a filter that is not asked for is NULL
_SELECT = """
SELECT * FROM message WHERE (:to IS NULL OR recipient = :to) AND (:sender IS NULL OR sender = :sender) AND (:sid IS NULL OR sid = :sid)
  AND (:sent_from IS NULL OR sent_at >= :sent_from) AND (:sent_before IS NULL OR sent_at < :sent_before)
  AND (:below IS NULL OR id < :below) AND (:above IS NULL OR id > :above) ORDER BY id DESC LIMIT :limit
"""
_NO_FILTER: Mapping[str, str | int | None] = dict.fromkeys(("to", "sender", "sid", "sent_from", "sent_before", "below", "above"))


class Store:
    """Messages by id; safe from several threads. `path` None keeps them in memory."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL").close()
        self._db.execute("PRAGMA synchronous=FULL").close()
        self._db.executescript(_SCHEMA).close()

    def add(
        self,
        to: str,
        sender: str,
        body: str,
        *,
        now: int,
        direction: str = "outbound-api",
        status: str = "queued",
        callback: str = "",
        fate: str = "delivered",
        due_at: int | None = None,
        expires_at: int | None = None,
        sent_at: int | None = None,
    ) -> Message:
        """Write a new message durably and return it with its sid (SM and 32 hex digits)."""
        sid = "SM" + secrets.token_hex(16)
        row = (sid, to, sender, body, direction, status, now, now, sent_at, None, None, callback, fate, due_at, expires_at)
        with self._lock:
            self._db.execute(_INSERT, row)
        (message,) = self.find(sid=sid)
        return message

    def find(self, *, limit: int = -1, **filters: str | int | None) -> list[Message]:
        """Messages, newest first. Filters: to, sender, sid, sent_from ≤ sent_at < sent_before (ms; unsent ones never match), below/above (id)."""
        with self._lock:
            rows = self._db.execute(_SELECT, {**_NO_FILTER, **filters, "limit": limit}).fetchall()
        return [Message(*row) for row in rows]

    def due(self, now: int) -> list[Message]:
        """Messages whose next status is due, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM message WHERE due_at <= ? ORDER BY due_at, id", (now,)).fetchall()
        return [Message(*row) for row in rows]

    def save(self, messages: Iterable[Message]) -> None:
        """Write the changed status fields of messages durably: one wait for the disk for all, or those that are just being sent stand behind it."""
        columns = ("status", "updated_at", "sent_at", "error_code", "error_message", "due_at")
        values = [tuple(getattr(message, name) for name in (*columns, "id")) for message in messages]
        sql = f"UPDATE message SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?"  # noqa: S608 - names of ours
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(sql, values)
            self._db.execute("COMMIT")

    def clear(self) -> None:
        """Forget every message."""
        with self._lock:
            self._db.execute("DELETE FROM message")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
