"""Answers by SMS and by the keys of a call: who it is, which alarm is meant, and the command it becomes.

An answer acts only when it is attributable: from a number that is registered and was tested, from a duty room's own telephone, or with the 编号 and
the own code of somebody who was called. Any other is on the record as 已看到 and stops nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from server.duty import looks, phones, words
from server.duty.answers import ASKS, NOT_UNDERSTOOD, Answer
from server.duty.routing import e164, landline
from server.store.tables import Alarm, Notification, Person, Unit
from server.watch import commands
from server.web import door
from server.web.problems import ProblemError
from server.web.services import Services

log = logging.getLogger("server.web")

_WAITING = ("active_unacked", "active_acked", "latched_unacked", "latched_acked", "cleared_unacked")
_COMMANDS: Mapping[str, type[commands.AlarmCommand]] = {
    "acknowledge": commands.Acknowledge, "decline": commands.Decline, "progress": commands.Progress, "assist": commands.Assist,
    "no-danger": commands.NoDanger,
}  # fmt: skip
_SAID = {
    1: "已记录：接手，请马上处置。", 2: "已记录：已转给下一位。", 3: "已记录：到场。", 4: "已记录：已通知上一级支援。",
    5: "已记录：现场无险情，锁定的告警还要复位。",
}  # fmt: skip


_REFUSED = {
    404: "没有这条告警，或已经办结。",
    409: "已有人接手，或告警已变化。你的答复已记录，请致电值班室。",
    403: "现在不能这样答复，请致电值班室。",
}
_LATER = "没有记录成功，请再试一次，或致电值班室。"
_SEVERAL = "你有几件事等着答复，请加上短信末尾的编号再回，例如：1 483925。"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who answers. `proven`: the number is registered and tested, or a duty room's."""

    name: str
    phone: str
    person: int | None
    proven: bool


def caller(session: Session, phone: str) -> Caller:
    """Whose number this is. Of several who share it: for whom it is proven, then who was called last."""
    same = select(Person).where(Person.phone.in_((phone, phone.removeprefix("+86"))), Person.disabled_at.is_(None)).order_by(Person.id)
    owners = [person for person in session.scalars(same) if e164(person.phone) == phone]
    if owners:
        called = _called_last(session, phone) if len(owners) > 1 else None
        person = min(owners, key=lambda one: (one.phone_verified_at is None, one.id != called))
        return Caller(person.name, phone, person.id, person.phone_verified_at is not None)
    for unit in session.scalars(select(Unit).where(Unit.duty_phone.is_not(None))):
        if phone in (landline(unit.duty_phone), e164(unit.duty_phone)):
            return Caller(words.desk(unit.short_name), phone, None, proven=True)
    return Caller(phone, phone, None, proven=False)


def _called_last(session: Session, phone: str) -> int | None:
    query = select(Notification.person).where(Notification.phone == phone, Notification.alarm.is_not(None))
    return session.scalar(query.order_by(Notification.id.desc()).limit(1))


def _speaker(session: Session, phone: str, answer: Answer) -> Caller:
    """Who answers: the owner of the number, or, from any other telephone, the person whose code stands beside the 编号."""
    who = caller(session, phone)
    if who.proven or not (answer.code and answer.number):
        return who
    person = session.scalar(select(Person).where(Person.code == answer.code, Person.disabled_at.is_(None)))
    return who if person is None else Caller(person.name, phone, person.id, proven=True)


async def take(services: Services, phone: str, answer: Answer, via: str, notification: int | None = None) -> str:
    """Carry an answer out and say so in one sentence. `notification`: the message or call that it answers, where that is known."""
    with services.db.read() as session:
        who = _speaker(session, phone, answer)
        item = looks.waiting_for(session, phone, answer.number, notification)
        exact = bool(answer.number) or notification is not None
        alarm = None if item is not None and exact else _alarm(session, who, answer.number, notification)
    if answer.digit is None:
        return looks.NOT_UNDERSTOOD if item is not None and alarm is None else NOT_UNDERSTOOD
    if item is not None and alarm is not None:
        return _SEVERAL  # 1 would be 接手 of the one and 平安 of the other
    if item is not None:
        return await _looked(services, item, answer.digit, who, via)
    if alarm is None and answer.digit == 1 and await run_in_threadpool(_tested, services, phone, answer.number, who):
        return "已记录：收到试发短信，号码已验证。"
    if isinstance(alarm, str):
        return alarm
    return "没有需要答复的告警。" if alarm is None else await _act(services, alarm, answer.digit, who, via)


def _tested(services: Services, phone: str, number: str, who: Caller) -> bool:
    with services.db.write() as session:
        return phones.answered_test(session, phone, number, who.name, services.clock())


async def _looked(services: Services, item: int, digit: int, who: Caller, via: str) -> str:
    """An answer to 派查; nothing wrong, said by somebody who is known, counts as watched by a person."""
    sentence, rooms = await run_in_threadpool(looks.answered, services.db, item, digit, who.name, via, who.proven, services.clock())
    if looks.ANSWERS.get(digit) == "normal" and who.proven:
        for room in rooms:
            try:
                await door.submit(services, commands.Report(room=room, by=who.name, via=via, note="派查：平安"))
            except ProblemError as problem:  # the answer stands; one room that is gone meanwhile keeps no other from counting as watched
                log.warning("the answer of %s about room %s is on record, but it does not count as watched: %s", who.name, room, problem.detail)
    return sentence


async def _act(services: Services, alarm: int, digit: int, who: Caller, via: str) -> str:
    try:
        if not who.proven:
            await door.submit(services, commands.Seen(alarm=alarm, by=who.name, via=via, note=f"答复 {digit}，号码未验证"))
            return "已看到。你的号码还没有验证，请致电值班室接手。"
        await door.submit(services, _COMMANDS[ASKS[digit]](alarm=alarm, by=who.name, via=via, person_id=who.person))
    except ProblemError as problem:
        return _REFUSED.get(problem.status, _LATER)  # the watch's own sentence may name a person, which no message may
    return _SAID[digit]


def _alarm(session: Session, who: Caller, number: str, notification: int | None) -> int | str | None:
    """The alarm that is meant, of those about which this telephone or person was called; a sentence when more than one could be."""
    if notification is not None:
        row = session.get(Notification, notification)
        return row.alarm if row is not None and row.phone == who.phone else None
    called = Notification.phone == who.phone
    if who.person is not None:
        called |= Notification.person == who.person
    told = select(Notification.alarm).where(called, Notification.alarm.is_not(None)).distinct()
    query = select(Alarm.id).where(Alarm.id.in_(told), Alarm.closed_at.is_(None), Alarm.state.in_(_WAITING))
    if number:
        query = query.where(Alarm.number == number)
    found = session.scalars(query.order_by(Alarm.id.desc()).limit(2)).all()
    if len(found) > 1 and not number:
        return _SEVERAL
    return found[0] if found else None
