"""派查: one click asks the duty room of each of many rooms to send somebody; answers fill the list.

"Nothing wrong" makes the room count as watched by a person for a while: the caller tells the watch so (commands.Report).
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty.numbers import number
from server.duty.routing import e164, landline
from server.store import audit
from server.store.session import Database
from server.store.tables import Notification, Person, Room, Unit
from server.store.tables_duty import LookCall, LookItem

REASON = "look"
_NUMBERS = 50_000_000 + 50_000  # numbers repeat every 100,000: half a cycle away from the alarms of the day
"""Numbers of calls to look come from another part of the cycle than those of alarms raised in the same days."""
ANSWERS = {1: "normal", 2: "problem"}
_SAID = {"normal": "已记录：平安。谢谢。", "problem": "已记录：有情况，上级值班室会马上联系你。"}


def order(
    session: Session, unit: str, rooms: Sequence[Room], by: str, note: str, now: int, *, text: str, sms: str, voice: str, alarm: int | None = None
) -> LookCall:
    """Ask for every room once. `text` is the registered text with {place} and {number}; `sms` and `voice` are channel names ('' = none).

    Each room is asked of its unit's duty room, else of the person of the room, else of the nearest duty room above. A room where nobody can be
    reached is `unreachable` at once: somebody must see that.
    """
    call = LookCall(unit=unit, alarm=alarm, by=by, at=now, note=note)
    session.add(call)
    session.flush()
    for room in rooms:
        item = LookItem(call=call.id, room=room.code, unit=room.unit, state="waiting")
        session.add(item)
        session.flush()
        item.number = number(_NUMBERS + item.id)
        reach = _reach(session, room, sms, voice)
        if reach is None:
            item.state = "unreachable"
            continue
        item.phone, channel, name, person = reach
        session.add(
            Notification(
                escalation_step=None, alarm=None, unit=room.unit, number=item.number, reason=REASON, step=item.id, person=person,
                person_name=name[:60], phone=item.phone, channel=channel, created_at=now, due=now, state="queued",
                text=text.format(place=clean(room.sms_place) or "库房", number=item.number),
            )
        )  # fmt: skip
    audit.append(session, by, "look", f"unit:{unit}", {"rooms": len(rooms), "note": note}, now)
    session.flush()
    return call


def clean(place: str) -> str:
    """A place as it may stand in a message: nothing but letters and digits of it, nine at most."""
    return "".join(c for c in place if (c.isalnum() or c in "-#·") and ord(c) <= 0xFFFF)[:9]


def room_of(session: Session, item: int) -> str:
    """The room of an item."""
    return session.get_one(LookItem, item).room


def items(session: Session, call: int) -> Sequence[LookItem]:
    """The rooms of a call, those that need somebody first."""
    found = session.scalars(select(LookItem).where(LookItem.call == call)).all()
    order_of = {"problem": 0, "unreachable": 1, "waiting": 2, "normal": 3}
    return sorted(found, key=lambda item: (order_of[item.state], item.room))


def waiting_for(session: Session, phone: str, digits: str, notification: int | None) -> int | None:
    """The item that an answer from this phone is about."""
    if notification is not None:
        row = session.get(Notification, notification)
        return row.step if row is not None and row.reason == REASON and row.phone == phone else None
    query = select(LookItem.id).where(LookItem.phone == phone, LookItem.state == "waiting")
    if digits:
        query = query.where(LookItem.number == digits)
    found = session.scalars(query.order_by(LookItem.id.desc()).limit(2)).all()
    return found[0] if len(found) == 1 else None


def answered(db: Database, item: int, digit: int, by: str, via: str, proven: bool, now: int) -> str:
    """Record an answer to a call to look. 1 nothing wrong, 2 something is wrong; the last answer counts and both stay in the audit log."""
    state = ANSWERS.get(digit)
    if state is None:
        return "没有听懂。平安回1，有情况回2。"
    with db.write() as session:
        row = session.get_one(LookItem, item)
        row.state, row.answered_at, row.answered_by, row.via, row.proven = state, now, by[:60], via, proven
        audit.append(session, by, "look.answer", f"room:{row.room}", {"answer": state, "via": via, "proven": proven}, now)
    return _SAID[state]


def _reach(session: Session, room: Room, sms: str, voice: str) -> tuple[str, str, str, int | None] | None:
    """(phone, channel, name, person) by which a room's people can be asked."""
    unit = session.get(Unit, room.unit)
    person = session.get(Person, room.person) if room.person is not None else None
    candidates: list[tuple[str | None, str, int | None]] = []
    if unit is not None:
        candidates.append((unit.duty_phone, f"{unit.short_name}值班室", None))
    if person is not None and person.disabled_at is None:
        candidates.append((person.phone, person.name, person.id))
    while unit is not None and unit.parent is not None:
        unit = session.get(Unit, unit.parent)
        if unit is not None:
            candidates.append((unit.duty_phone, f"{unit.short_name}值班室", None))
    for phone, name, ident in candidates:
        if voice and (fixed := landline(phone)) is not None:
            return fixed, voice, name, ident
        if sms and (mobile := e164(phone)) is not None:
            return mobile, sms, name, ident
    return None
