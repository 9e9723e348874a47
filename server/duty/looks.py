"""派查: one click asks the duty room of each of many rooms to send somebody; answers fill the list.

"Nothing wrong" makes the room count as watched by a person for a while: the caller tells the watch so (commands.Report).
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.duty import words
from server.duty.numbers import number
from server.duty.routing import e164, landline
from server.store import audit
from server.store.session import Database
from server.store.tables import Notification, Person, Room, Unit
from server.store.tables_duty import LookCall, LookItem

REASON = "look"
_NUMBERS = 50_000_000 + 50_000  # numbers repeat every 100,000: half a cycle away from the alarms of the day
"""Numbers of calls to look come from another part of the cycle than those of alarms raised in the same days."""
_PLACE = 9
"""Characters that a place may take in a message (language.md 3.2)."""
ANSWERS = {1: "normal", 2: "problem"}
NOT_UNDERSTOOD = "没有听懂。平安回1，有情况回2。"
_SAID = {"normal": "已记录：平安。谢谢。", "problem": "已记录：有情况，上级值班室会马上联系你。"}


class _Reach(NamedTuple):
    phone: str
    channel: str
    name: str
    person: int | None


def order(
    session: Session, unit: str, rooms: Sequence[Room], by: str, note: str, now: int, *, text: str, sms: str, voice: str, alarm: int | None = None
) -> LookCall:
    """Ask for every room once. `text` is the registered text with {place} and {number}; `sms` and `voice` are channel names ('' = none).

    Each room is asked of its unit's duty room, else of the person of the room, else of the nearest duty room above. Who answers for several
    rooms is called once: ten calls to one telephone are nine busy lines. A room where nobody can be reached is `unreachable` at once: somebody must
    see that.
    """
    call = LookCall(unit=unit, alarm=alarm, by=by, at=now, note=note)
    session.add(call)
    session.flush()
    asked: dict[_Reach, list[tuple[Room, LookItem]]] = {}
    for room in rooms:
        item = LookItem(call=call.id, room=room.code, unit=room.unit, state="waiting")
        session.add(item)
        session.flush()
        item.number = number(_NUMBERS + item.id)
        if (reach := _reach(session, room, sms, voice)) is None:
            item.state = "unreachable"
        else:
            asked.setdefault(reach, []).append((room, item))
    for reach, wanted in asked.items():
        session.add(_message(reach, wanted, text, now))
    audit.append(session, by, "look", f"unit:{unit}", {"rooms": len(rooms), "note": note}, now)
    session.flush()
    return call


def _message(reach: _Reach, wanted: Sequence[tuple[Room, LookItem]], text: str, now: int) -> Notification:
    """One call for all rooms that somebody answers for, under one number."""
    room, first = wanted[0]
    for _, item in wanted:
        item.number, item.phone = first.number, reach.phone
    place = clean(room.sms_place) or "库房"
    more = f"等{len(wanted)}间"
    return Notification(
        escalation_step=None, alarm=None, unit=room.unit, number=first.number, reason=REASON, step=first.id, person=reach.person,
        person_name=reach.name[:60], phone=reach.phone, channel=reach.channel, created_at=now, due=now, state="queued",
        text=text.format(place=place[: _PLACE - len(more)] + more if len(wanted) > 1 else place, number=first.number),
    )  # fmt: skip


def clean(place: str) -> str:
    """A place as it may stand in a message: nothing but letters and digits of it, nine at most."""
    return "".join(c for c in place if (c.isalnum() or c in "-#·") and ord(c) <= 0xFFFF)[:_PLACE]


def asked_with(session: Session, item: int) -> Sequence[LookItem]:
    """The items of the same message: all rooms that one answer is about."""
    row = session.get_one(LookItem, item)
    return session.scalars(select(LookItem).where(LookItem.call == row.call, LookItem.number == row.number).order_by(LookItem.id)).all()


def items(session: Session, call: int) -> Sequence[tuple[LookItem, str]]:
    """The rooms of a call with how each stands, those that need somebody first. A call that nobody took is unreachable, not waiting."""
    found = session.scalars(select(LookItem).where(LookItem.call == call)).all()
    lost = _lost(session, [item.number for item in found if item.state == "waiting"])
    states = [(item, "unreachable" if item.state == "waiting" and item.number in lost else item.state) for item in found]
    order_of = {"problem": 0, "unreachable": 1, "waiting": 2, "normal": 3}
    return sorted(states, key=lambda pair: (order_of[pair[1]], pair[0].room))


def _lost(session: Session, numbers: Sequence[str]) -> set[str]:
    """Numbers of which every message has failed."""
    query = select(Notification.number, Notification.state).where(Notification.reason == REASON, Notification.number.in_(numbers))
    rows = session.execute(query).all()
    return {row[0] for row in rows} - {row[0] for row in rows if row[1] not in ("failed", "undelivered", "dropped")}


def waiting_for(session: Session, phone: str, digits: str, notification: int | None) -> int | None:
    """The item that an answer from this phone is about."""
    if notification is not None:
        row = session.get(Notification, notification)
        return row.step if row is not None and row.reason == REASON and row.phone == phone else None
    query = select(func.min(LookItem.id)).where(LookItem.phone == phone, LookItem.state == "waiting").group_by(LookItem.call, LookItem.number)
    if digits:
        query = query.where(LookItem.number == digits)
    found = session.scalars(query.limit(2)).all()
    return found[0] if len(found) == 1 else None


def answered(
    db: Database, item: int, digit: int | None, by: str, via: str, proven: bool, now: int, *, alone: bool = False
) -> tuple[str, tuple[str, ...]]:
    """Record an answer to a call to look: 1 nothing wrong, 2 something is wrong. It holds for every room of the message, or for one room `alone`.

    The last answer counts and all stay in the audit log. Returns the sentence to say back and the rooms.
    """
    state = ANSWERS.get(digit or 0)
    if state is None:
        return NOT_UNDERSTOOD, ()
    with db.write() as session:
        rows = [session.get_one(LookItem, item)] if alone else asked_with(session, item)
        for row in rows:
            row.state, row.answered_at, row.answered_by, row.via, row.proven = state, now, by[:60], via, proven
            audit.append(session, by, "look.answer", f"room:{row.room}", {"answer": state, "via": via, "proven": proven}, now)
        return _SAID[state], tuple(row.room for row in rows)


def _reach(session: Session, room: Room, sms: str, voice: str) -> _Reach | None:
    """By which telephone a room's people can be asked."""
    unit = session.get(Unit, room.unit)
    person = session.get(Person, room.person) if room.person is not None else None
    candidates: list[tuple[str | None, str, int | None]] = []
    if unit is not None:
        candidates.append((unit.duty_phone, words.desk(unit.short_name), None))
    if person is not None and person.disabled_at is None:
        candidates.append((person.phone, person.name, person.id))
    while unit is not None and unit.parent is not None:
        unit = session.get(Unit, unit.parent)
        if unit is not None:
            candidates.append((unit.duty_phone, words.desk(unit.short_name), None))
    for phone, name, ident in candidates:
        if voice and (fixed := landline(phone)) is not None:
            return _Reach(fixed, voice, name, ident)
        if sms and (mobile := e164(phone)) is not None:
            return _Reach(mobile, sms, name, ident)
    return None
