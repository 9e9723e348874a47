"""The states of alarms as the watch writes them: many at once, one statement per kind."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from server.store.tables import AlarmMemory, Base, Watermark
from server.store.tables_watch import LateMemory

Kept = tuple[tuple[str, str], int | None, dict[str, Any]]


def keep(session: Session, kept: Sequence[Kept]) -> None:
    """Insert or replace states: (subject, rule), alarm id, body."""
    _upsert(session, AlarmMemory, [{"subject": key[0], "rule": key[1], "alarm": alarm, "body": body} for key, alarm, body in kept])


def forget(session: Session, keys: Sequence[tuple[str, str]]) -> None:
    """Delete states that are the initial ones again."""
    _delete(session, AlarmMemory, keys)


def keep_late(session: Session, kept: Sequence[tuple[tuple[str, str], int | None, int, dict[str, Any]]]) -> None:
    """Insert or replace states of the late lane: (subject, rule), alarm id, instant of the newest sample, body."""
    rows = [{"subject": key[0], "rule": key[1], "alarm": alarm, "last_at": last, "body": body} for key, alarm, last, body in kept]
    _upsert(session, LateMemory, rows)


def forget_late(session: Session, keys: Sequence[tuple[str, str]]) -> None:
    """Delete states of the late lane."""
    _delete(session, LateMemory, keys)


def mark(session: Session, marks: Sequence[tuple[str, int, int, Sequence[Sequence[int]], int]]) -> None:
    """Insert or replace watermarks: gateway, epoch, highest contiguous sequence, ranges above it, lost ones."""
    rows = [{"gateway": gateway, "epoch": str(epoch), "upto": upto, "ranges": [list(r) for r in ranges], "lost": lost}
            for gateway, epoch, upto, ranges, lost in marks]  # fmt: skip
    _upsert(session, Watermark, rows, ("gateway", "epoch"))


def _upsert(session: Session, table: type[Base], rows: list[dict[str, Any]], key: tuple[str, str] = ("subject", "rule")) -> None:
    if not rows:
        return
    session.connection().execute(_statement(session.get_bind().dialect.name, table, key, tuple(rows[0])), rows)


@cache
def _statement(dialect: str, table: type[Base], key: tuple[str, str], columns: tuple[str, ...]) -> Any:
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table.__table__)
    return statement.on_conflict_do_update(index_elements=key, set_={name: statement.excluded[name] for name in columns if name not in key})


def _delete(session: Session, table: type[AlarmMemory] | type[LateMemory], keys: Sequence[tuple[str, str]]) -> None:
    if keys:
        session.connection().execute(_deletion(table), [{"s": subject, "r": rule} for subject, rule in keys])


@cache
def _deletion(table: type[AlarmMemory] | type[LateMemory]) -> Any:
    columns = table.__table__.c
    return delete(table.__table__).where(and_(columns.subject == bindparam("s"), columns.rule == bindparam("r")))  # type: ignore[arg-type]
