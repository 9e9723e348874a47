"""派查: one click asks the duty room of each of many rooms to send somebody; answers fill the list.

"Nothing wrong" makes the room count as watched by a person for a while: the caller tells the watch so (commands.Report).
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Select, func, select
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
REMIND_MS = 15 * 60_000
GIVE_UP_MS = 2 * 3_600_000
OPEN = ("waiting", "unanswered")
"""States in which an answer is still hoped for."""
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
    place = words.place(room.sms_place, _PLACE) or "库房"
    more = f"等{len(wanted)}间"
    return Notification(
        escalation_step=None, alarm=None, unit=room.unit, number=first.number, reason=REASON, step=first.id, person=reach.person,
        person_name=reach.name[:60], phone=reach.phone, channel=reach.channel, created_at=now, due=now, state="queued",
        text=text.format(place=place[: _PLACE - len(more)] + more if len(wanted) > 1 else place, number=first.number),
    )  # fmt: skip


def asked_with(session: Session, item: int) -> Sequence[LookItem]:
    """The items of the same message: all rooms that one answer is about."""
    row = session.get_one(LookItem, item)
    return session.scalars(select(LookItem).where(LookItem.call == row.call, LookItem.number == row.number).order_by(LookItem.id)).all()


def items(session: Session, call: int) -> Sequence[tuple[LookItem, str]]:
    """The rooms of a call with how each stands, those that need somebody first. A call that nobody took is unreachable, not waiting."""
    found = session.scalars(select(LookItem).where(LookItem.call == call)).all()
    lost = _lost(session, [item.number for item in found if item.state == "waiting"])
    states = [(item, "unreachable" if item.state == "waiting" and item.number in lost else item.state) for item in found]
    order_of = {"problem": 0, "unreachable": 1, "unanswered": 2, "waiting": 3, "normal": 4}
    return sorted(states, key=lambda pair: (order_of[pair[1]], pair[0].room))


def remind(session: Session, now: int) -> int:
    """Who has not answered a quarter of an hour after the call is called once more; a quarter of an hour later the rooms are `unanswered`, or
    `unreachable` where that call failed as well. Whoever asked hours ago has seen to it by other means: no telephone rings for it then. Returns
    how many messages were dealt with; for the caller's write transaction.
    """
    asked: dict[tuple[int, int, str], list[LookItem]] = {}
    for item, at in session.execute(_overdue(now)):
        asked.setdefault((item.call, at, item.number), []).append(item)
    return sum(_remind(session, waiting, at, now) for (_, at, _), waiting in asked.items())


def is_overdue(session: Session, now: int) -> bool:
    """Whether somebody has had a quarter of an hour for an answer: a cheap look before `remind`."""
    return session.execute(_overdue(now).limit(1)).first() is not None


def unanswered(session: Session, since: int) -> Sequence[tuple[LookCall, int]]:
    """The calls since then to which no answer came, with the number of rooms that nobody spoke about."""
    query = select(LookCall, func.count()).join(LookItem, LookItem.call == LookCall.id)
    query = query.where(LookItem.state == "unanswered", LookCall.at > since).group_by(LookCall.id).order_by(LookCall.id)
    return [(call, count) for call, count in session.execute(query)]


def _overdue(now: int) -> Select[LookItem, int]:
    query = select(LookItem, LookCall.at).join(LookCall, LookCall.id == LookItem.call)
    return query.where(LookItem.state == "waiting", LookCall.at <= now - REMIND_MS).order_by(LookItem.id)


def _remind(session: Session, waiting: Sequence[LookItem], at: int, now: int) -> bool:
    mine = select(Notification).where(Notification.reason == REASON, Notification.number == waiting[0].number, Notification.created_at >= at)
    last = session.scalars(mine.order_by(Notification.id.desc()).limit(1)).one_or_none()
    too_late = now - at > GIVE_UP_MS
    if last is not None and not too_late and (last.state in ("queued", "claimed") or (last.sent_at or last.created_at) > now - REMIND_MS):
        return False
    if last is not None and not too_late and last.created_at < at + REMIND_MS:
        same = ("unit", "number", "reason", "step", "person", "person_name", "phone", "channel", "text")
        again = {name: getattr(last, name) for name in same}
        session.add(Notification(escalation_step=None, alarm=None, created_at=now, due=now, state="queued", **again))
        return True
    state = "unreachable" if _lost(session, [waiting[0].number]) else "unanswered"
    for item in waiting:
        item.state = state
        audit.append(session, "系统", "look.unanswered", f"room:{item.room}", {"call": item.call, "state": state}, now)
    return True


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
    query = select(func.min(LookItem.id)).where(LookItem.phone == phone, LookItem.state.in_(OPEN)).group_by(LookItem.call, LookItem.number)
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
