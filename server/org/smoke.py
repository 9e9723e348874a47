"""Smoke is silenced by two people only. What an import, an edit of the organisation or the undo of one may not do to rooms and points that have it.

Two people do it at the room: its stage, its maintenance (server/watch/rooms.py, works.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from alarms.builtin import ALWAYS_HEARD
from server.org.checks import CheckError
from server.org.vocabulary import HEARD, quieter
from server.store.tables import Point, Room

Row = Mapping[str, Any]
_OF: Mapping[str, tuple[str, Any]] = {"point": ("id", Point.id), "room": ("code", Point.room), "gateway": ("code", Point.gateway)}
"""Table -> its key, and what of a point names it."""
_WATCHED = select(Room.code).where(Room.stage.in_(HEARD))


def keep_stage(session: Session, old: Row | None, stage: str) -> None:
    """A room may not leave its stage for a quieter one here. Raises CheckError."""
    if old is not None and quieter(old["stage"], stage) and _any(session, Point.room == old["code"]):
        raise CheckError("有烟感的库房须两人共同退出“在用”或停用，请在库房页办理")


def keep_demanded(session: Session, old: Row | None, demanded: Iterable[str]) -> None:
    """A room with smoke detectors may not stop having to report them while anybody hears it: it would be green without them. Raises CheckError."""
    if old is None or old["stage"] not in HEARD or not (set(old["demanded"]) & set(ALWAYS_HEARD)) - set(demanded):
        return
    if _any(session, Point.room == old["code"]):
        raise CheckError("应测的量里不能去掉烟感；确需去掉，请先由两人在库房页退出“在用”至未接入或停用")


def keep_room(session: Session, old: Row | None, room: str | None) -> None:
    """A point of smoke may not go to no room, nor to one in which fewer people would hear it. Raises CheckError."""
    if old is None or old["quantity"] not in ALWAYS_HEARD or old["room"] in (None, room):
        return
    if room is None or quieter(_stage(session, old["room"]), _stage(session, room)):
        raise CheckError("烟感不能移出库房，也不能移到不再值守的库房；确需停用，请由两人在库房页办理")


def keep_undone(session: Session, table: str, row: Row, before: Row | None) -> None:
    """A row that carries smoke may not go back to `before` (None: be taken away) by one person's undo. Raises CheckError."""
    if before is None and table in _OF:
        key, column = _OF[table]
        if _any(session, column == row[key], Point.last_at.is_not(None), Point.room.in_(_WATCHED)):
            raise CheckError("有烟感在用，须先由两人在库房页停用")
    elif before is None:
        return
    elif table == "room":
        keep_stage(session, row, before.get("stage", row["stage"]))
        keep_demanded(session, row, before.get("demanded", row["demanded"]))
    elif table == "point" and "room" in before:
        keep_room(session, row, before["room"])


def _any(session: Session, *wanted: ColumnElement[bool]) -> bool:
    return session.scalar(select(Point.id).where(Point.quantity.in_(ALWAYS_HEARD), *wanted).limit(1)) is not None


def _stage(session: Session, room: str) -> str:
    return session.scalars(select(Room.stage).where(Room.code == room)).one()
