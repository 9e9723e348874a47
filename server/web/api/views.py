"""Rows of the database as answers."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from server.store import rooms, units
from server.store.notifications import Sent
from server.store.tables import Alarm, Notification, Transition
from server.web.api.alarm_models import AlarmView, NotificationView, TransitionView
from server.web.api.common import at, at_or_none
from server.web.auth import Principal
from server.web.formats import Formats
from server.web.i18n import SOURCE, Words
from server.web.rights import Action

WORDS = Words(SOURCE)
_FORMATS = Formats(WORDS)


def alarm_views(session: Session, rows: Sequence[Alarm]) -> list[AlarmView]:
    """Alarms with the names of their places."""
    places = rooms.names(session, [row.room for row in rows if row.room])
    names = units.names(session, [row.unit for row in rows])
    return [_alarm(row, places.get(row.room or "", (None, ""))[0], names.get(row.unit, "")) for row in rows]


def _alarm(row: Alarm, room_name: str | None, unit_name: str) -> AlarmView:
    return AlarmView(
        id=row.id,
        number=row.number,
        room=row.room,
        room_name=room_name,
        unit=row.unit,
        unit_name=unit_name,
        subject=row.subject,
        rule=row.rule,
        kind=row.kind,
        quantity=row.quantity,
        event=WORDS.event(row.rule, row.kind, row.quantity),
        state=row.state,
        level=row.level,
        raised_at=at(row.raised_at),
        raised_value=row.raised_value,
        limit=row.limit,
        cleared_at=at_or_none(row.cleared_at),
        closed_at=at_or_none(row.closed_at),
        occurrence=row.occurrence,
        acked_at=at_or_none(row.acked_at),
        acked_by=row.acked_by,
        note=row.note,
        shelved_until=at_or_none(row.shelved_until),
        known_late=row.known_late,
        drill=row.drill,
        behaviour=row.behaviour,
        group=row.group_alarm,
        rooms=int(row.raised_value or 1) if row.kind == "group" else 1,
    )


def transition(row: Transition) -> TransitionView:
    """One change of an alarm."""
    return TransitionView(
        id=row.id,
        at=at(row.at),
        name=row.name,
        before=row.before,
        after=row.after,
        level=row.level,
        by=row.by,
        via=row.via,
        note=row.note,
        value=row.value,
    )


def notification(sent: Sent, who: Principal) -> NotificationView:
    """A message; the number is shown in full only to those who call people."""
    row: Notification = sent.row
    return NotificationView(
        id=row.id,
        alarm=row.alarm,
        room=sent.room,
        level=sent.level,
        number=row.number,
        reason=row.reason,
        step=row.step,
        person=row.person_name,
        phone=row.phone if who.may(Action.PHONES) else _FORMATS.masked(row.phone),
        channel=row.channel,
        text=row.text,
        state=row.state,
        attempts=row.attempts,
        created_at=at(row.created_at),
        due_at=at(row.due),
        sent_at=at_or_none(row.sent_at),
        receipt=row.receipt,
        receipt_at=at_or_none(row.receipt_at),
        error=row.error,
    )
