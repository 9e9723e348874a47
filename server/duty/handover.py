"""交接班: what a shift gives to the next one, out of the records, and the two signatures under it.

A signature is SHA-256 over the sheet's own hash, the account, the name and the instant: whoever signed, signed this content then.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from alarms.model import Level
from server.duty import book as books
from server.duty import looks, vacancy
from server.duty.calendar import Workdays
from server.duty.roster import Book, Shift, gaps, shifts
from server.store import audit, works
from server.store.tables import Alarm, Room, Transition
from server.store.tables_duty import HandOver, LookItem
from server.store.units import inside

HOUR_MS = 3_600_000
SHORTEST_MS = 12 * HOUR_MS
_LISTED = 200
_GRAVEST = case({level.word: int(level) for level in Level}, value=Alarm.level).desc()


class SignError(ValueError):
    """A sheet cannot be signed so; `str` is one Chinese sentence."""


def draft(session: Session, unit: str, now: int, workdays: Workdays) -> tuple[int, int, dict[str, Any]]:
    """(since, until, body) of the sheet that would be signed now: since the last one that was taken, else the last twelve hours."""
    last = session.scalar(select(HandOver).where(HandOver.unit == unit, HandOver.taken_at.is_not(None)).order_by(HandOver.until.desc()).limit(1))
    since = max(last.until, now - 7 * 24 * HOUR_MS) if last is not None else now - SHORTEST_MS
    return since, now, content(session, unit, since, now, workdays)


def content(session: Session, unit: str, since: int, until: int, workdays: Workdays) -> dict[str, Any]:
    """The sheet of a time: who was on duty, alarms, actions, what stays open."""
    scope = and_(inside(session, Alarm.unit, unit), Alarm.drill.is_(False))
    raised = select(Alarm).where(scope, Alarm.raised_at >= since, Alarm.raised_at < until)
    open_ = select(Alarm).where(scope, Alarm.open_key.is_not(None))
    acted = select(Transition, Alarm.number).join(Alarm, Alarm.id == Transition.alarm)
    acted = acted.where(scope, Transition.at >= since, Transition.at < until, Transition.by != "")
    counted = {"alarms": raised, "open": open_, "actions": acted}
    book = books.load(session, [unit], workdays, since)
    return {
        "on_duty": [
            {"shift": shift.sheet.name, "since": shift.since, "until": shift.until, "people": names_of(book, shift)}
            for shift in shifts(book, unit, since, until)
        ],
        "counts": {name: session.scalar(select(func.count()).select_from(found.subquery())) or 0 for name, found in counted.items()},
        "alarms": [_alarm(row) for row in session.scalars(raised.order_by(Alarm.id).limit(_LISTED))],
        "open": [_alarm(row) for row in session.scalars(open_.order_by(_GRAVEST, Alarm.id).limit(_LISTED))],
        "actions": [
            {"at": row.at, "what": row.name, "by": row.by, "via": row.via, "note": row.note, "number": number}
            for row, number in session.execute(acted.order_by(Transition.id).limit(_LISTED))
        ],
        "pending": _pending(session, unit, until, workdays),
    }  # fmt: skip


def names_of(book: Book, shift: Shift) -> list[str]:
    """Names of those who are planned for a shift."""
    return [book.people[ident].name for ident in shift.planned if ident in book.people]


def _alarm(row: Alarm) -> dict[str, Any]:
    return {
        "id": row.id, "number": row.number, "level": row.level, "rule": row.rule, "kind": row.kind, "quantity": row.quantity, "room": row.room or "",
        "state": row.state, "raised_at": row.raised_at, "acked_by": row.acked_by, "cleared_at": row.cleared_at,
    }  # fmt: skip


def _pending(session: Session, unit: str, now: int, workdays: Workdays) -> list[dict[str, Any]]:
    """What the next shift must know that is no alarm: maintenance, pauses, rooms to look at, gaps in the roster."""
    rooms = session.scalars(select(Room).where(inside(session, Room.unit, unit), Room.maintenance_until > now)).all()
    announced = [row for row in works.ahead(session, unit) if row.state == "planned"]
    shelved = session.scalars(select(Alarm).where(inside(session, Alarm.unit, unit), Alarm.shelved_until > now)).all()
    asked = session.scalars(
        select(LookItem).where(inside(session, LookItem.unit, unit), LookItem.state.in_((*looks.OPEN, "unreachable"))).limit(_LISTED)
    ).all()
    book = books.load(session, [unit], workdays, now)
    ahead = gaps(book, unit, now, now + vacancy.AHEAD_MS, vacancy.reaches)
    return [
        *({"kind": "maintenance", "subject": row.code, "until": row.maintenance_until, "note": row.maintenance_reason} for row in rooms),
        *({"kind": "planned", "subject": row.room, "until": row.since, "note": row.reason} for row in announced),
        *({"kind": "shelved", "subject": row.number, "until": row.shelved_until, "note": ""} for row in shelved),
        *({"kind": "look", "subject": row.room, "until": None, "note": row.state} for row in asked),
        *({"kind": "gap", "subject": unit, "until": gap.since, "note": vacancy.sentence(gap)} for gap in ahead),
    ]


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of a sheet's content."""
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def signature(sha256: str, account: int | None, name: str, at: int) -> str:
    """What stands under a sheet for one person."""
    return hashlib.sha256(f"{sha256}|{account or ''}|{name}|{at}".encode()).hexdigest()


def give(session: Session, unit: str, name: str, account: int | None, remark: str, now: int, workdays: Workdays) -> HandOver:
    """交班: make the sheet of the shift and sign it. Raises SignError while an earlier one waits for its second signature."""
    if session.scalar(select(HandOver.id).where(HandOver.unit == unit, HandOver.taken_at.is_(None)).limit(1)) is not None:
        raise SignError("上一张交接班记录还没有接班签名。")
    since, until, body = draft(session, unit, now, workdays)
    sheet = HandOver(
        unit=unit, since=since, until=until, body=body, sha256=digest(body), remark=remark, given_by=name, given_account=account, given_at=now
    )
    sheet.given_sign = signature(sheet.sha256, account, name, now)
    session.add(sheet)
    session.flush()
    audit.append(session, name, "handover.give", f"handover:{sheet.id}", {"sha256": sheet.sha256}, now)
    return sheet


def take(session: Session, sheet: HandOver, name: str, account: int | None, now: int) -> None:
    """接班: the second signature, by somebody else. Raises SignError."""
    if sheet.taken_at is not None:
        raise SignError("这张交接班记录已经签完。")
    if account is not None and account == sheet.given_account:
        raise SignError("交班人和接班人不能是同一个账号。")
    sheet.taken_by, sheet.taken_account, sheet.taken_at = name, account, now
    sheet.taken_sign = signature(sheet.sha256, account, name, now)
    audit.append(session, name, "handover.take", f"handover:{sheet.id}", {"sha256": sheet.sha256}, now)


def intact(sheet: HandOver) -> bool:
    """Whether a sheet is still what was signed."""
    given = sheet.given_at is None or sheet.given_sign == signature(sheet.sha256, sheet.given_account, sheet.given_by, sheet.given_at)
    taken = sheet.taken_at is None or sheet.taken_sign == signature(sheet.sha256, sheet.taken_account, sheet.taken_by, sheet.taken_at)
    return digest(sheet.body) == sheet.sha256 and given and taken


def sheets(session: Session, unit: str, limit: int = 30) -> Sequence[HandOver]:
    """The sheets of a unit, newest first."""
    return session.scalars(select(HandOver).where(HandOver.unit == unit).order_by(HandOver.until.desc()).limit(limit)).all()
