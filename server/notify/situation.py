"""What the database knows about a due step: the alarm, who is above its room, who was told. Read within the caller's transaction."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from alarms.rules import Rule
from server.duty.ladder import TOGETHER_MS
from server.duty.routing import Recipient, StepContext, e164
from server.duty.words import POSTS
from server.notify.texts import AlarmFacts
from server.store.tables import Alarm, Base, EscalationStep, Notification, Person, Room, Transition, Unit

REACHED = ("queued", "claimed", "sent", "delivered", "merged")
"""States of a message that has gone or still will."""
GONE = ("claimed", "sent", "delivered")
"""States of a message that somebody may have on the screen."""
CALLED = (*GONE, "merged", "undelivered")
"""States of a call that somebody may know of: also a missed call, also one of many in a digest. What never left has called nobody."""
CALLS = ("raised", "escalated", "assist", "reopened", "group", "digest", "summary")
"""Reasons that ask for somebody; they end with a take-over. taken and cleared are news, supervise keeps the level above informed."""
CLOCK = re.compile(r"\d\d:\d\d")
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What texts say that the tables do not hold: on-delays by (rule, level) in ms, and the battery minutes of a room's power supply."""

    on_delays: Mapping[tuple[str, str], int] = field(default_factory=dict)
    backup_minutes: Callable[[str], int | None] = lambda _room: None


def on_delays(rules: Iterable[Rule]) -> dict[tuple[str, str], int]:
    """The on-delays of a rule set, for Knowledge."""
    return {(rule.name, rung.level.word): rung.on_delay_ms for rule in rules for rung in rule.ladder}


@dataclass(frozen=True, slots=True)
class Situation:
    """One due step and everything around it."""

    step: EscalationStep
    alarm: Alarm
    annunciation: Transition | None
    room: Room | None
    unit: Unit
    value: float | None
    """What was measured when the alarm reached the level at which it asks."""

    @property
    def annunciated_at(self) -> int:
        """When attention was asked for."""
        return self.annunciation.at if self.annunciation is not None else self.alarm.raised_at

    @property
    def level(self) -> str:
        """The level at which attention was asked for."""
        return self.annunciation.level if self.annunciation is not None else self.alarm.level

    def context(self, channel: str, told: frozenset[str], *, voice: str = "", email: str = "", begun: int | None = None) -> StepContext:
        """For routing."""
        alarm, step = self.alarm, self.step
        return StepContext(
            voice=voice, email=email, begun=begun, held=step.held,
            reason=step.reason, step=step.step, due=step.due, annunciated_at=self.annunciated_at, level=self.level, rule=alarm.rule,
            kind=alarm.kind, quantity=alarm.quantity, stage=self.room.stage if self.room is not None else "in_use", channel=channel, told=told,
        )  # fmt: skip

    def text_facts(self, knowledge: Knowledge, now: int) -> AlarmFacts:
        """For the texts. A first call counts the minutes of the condition, a later one those without an answer."""
        alarm = self.alarm
        waited = max(now - self.annunciated_at, 0)
        before = knowledge.on_delays.get((alarm.rule, self.level), 0) if self.step.step == 0 else 0
        return AlarmFacts(
            level=self.level, rule=alarm.rule, kind=alarm.kind, quantity=alarm.quantity, number=alarm.number, drill=alarm.drill,
            place=self.room.sms_place if self.room is not None else self.unit.short_name,
            at=alarm.raised_at if alarm.known_late and self.step.reason == "raised" else self.annunciated_at,
            since=alarm.raised_at, now=now, value=self.value, minutes=(waited + before) // _MINUTE_MS,
            time=alarm.note[:5] if alarm.rule == "duty_vacancy" and CLOCK.fullmatch(alarm.note[:5]) else None, acked=alarm.state.endswith("_acked"),
            backup_minutes=knowledge.backup_minutes(self.room.code) if self.room is not None and alarm.quantity == "power" else None,
        )  # fmt: skip


def prefetch(session: Session, steps: Collection[int], alarms: Collection[int]) -> Sequence[Unit]:
    """The rows of many steps in five queries; the session, which knows its rows only as long as somebody holds them, keeps them to its end. Returns
    the units."""
    found = list[Base](session.scalars(select(EscalationStep).where(EscalationStep.id.in_(steps))))
    found += session.scalars(select(Transition).where(Transition.id.in_([step.annunciation for step in found if isinstance(step, EscalationStep)])))
    concerned = session.scalars(select(Alarm).where(Alarm.id.in_(alarms))).all()
    found += concerned
    found += session.scalars(select(Room).where(Room.code.in_({alarm.room for alarm in concerned if alarm.room is not None})))
    units = session.scalars(select(Unit).where(Unit.code.in_({alarm.unit for alarm in concerned}))).all()
    session.info["prefetched"] = [*found, *units]
    return units


def load(session: Session, step: EscalationStep) -> Situation:
    """Everything around a step."""
    alarm = session.get_one(Alarm, step.alarm)
    room = session.get(Room, alarm.room) if alarm.room is not None else None
    call = session.get(Transition, step.annunciation)
    return Situation(step, alarm, call, room, session.get_one(Unit, alarm.unit), _value(session, alarm, call))


def _value(session: Session, alarm: Alarm, call: Transition | None) -> float | None:
    """A call that time alone made (the end of a shelf) carries no value: then that with which the occurrence had come to the same level. Of a group:
    how many rooms it has by now."""
    if call is None or alarm.kind == "group":
        return alarm.raised_value
    if call.value is not None:
        return call.value
    reached = select(Transition.value).where(
        Transition.alarm == alarm.id, Transition.level == call.level, Transition.value.is_not(None), Transition.at >= alarm.raised_at,
        Transition.id < call.id,
    )  # fmt: skip
    found = session.scalar(reached.order_by(Transition.id.desc()).limit(1))
    return alarm.raised_value if found is None else found


def needed(alarm: Alarm, reason: str) -> bool:
    """Whether a message of this reason still makes sense.

    A call for attention ends with the take-over, the shelf, and the return to normal (S11 follows); an alarm found late in old data is asked for
    although it has returned. A call for help stands while the alarm is open; a report that the
    sensor contradicts is told in any case. News is worthless when the opposite has become true.
    """
    holds = alarm.closed_at is None and alarm.state.startswith(("active", "latched"))
    waiting = ("active_unacked", "latched_unacked", "cleared_unacked") if alarm.known_late else ("active_unacked", "latched_unacked")
    answers = {
        "assist": alarm.closed_at is None,
        "reopened": True,
        "supervise": holds,
        "progressed": holds and alarm.acked_at is not None,
        "progress": holds and alarm.acked_at is not None,
        "taken": not alarm.state.endswith("_unacked"),
        "cleared": not alarm.state.startswith("active"),
    }
    return answers.get(reason, alarm.closed_at is None and alarm.state in waiting)


def wanted(session: Session, row: Notification) -> bool:
    """Whether a message of the outbox still makes sense, for its alarm or for one that was merged into it."""
    if row.alarm is None or _makes_sense(session, row):
        return True
    merged = select(Notification).where(Notification.phone == row.phone, Notification.channel == row.channel, Notification.text == row.text)
    merged = merged.where(Notification.created_at > row.created_at - TOGETHER_MS, Notification.state == "merged")
    merged = merged.where(Notification.alarm.is_not(None), Notification.alarm != row.alarm)
    return any(_makes_sense(session, one) for one in session.scalars(merged))


def _makes_sense(session: Session, row: Notification) -> bool:
    reason = "raised" if row.reason in ("escalated", "digest", "summary") else row.reason
    return needed(session.get_one(Alarm, row.alarm), reason)


def superseded(session: Session, step: EscalationStep) -> bool:
    """Whether attention was asked for anew since: that escalation carries on, this one ends."""
    newer = select(EscalationStep.id).where(
        EscalationStep.alarm == step.alarm, EscalationStep.reason == "raised", EscalationStep.annunciation > step.annunciation
    )
    return step.reason in ("raised", "supervise") and session.scalar(newer.limit(1)) is not None


def told(session: Session, alarm: int, annunciation: int | None = None, states: tuple[str, ...] = REACHED) -> list[Recipient]:
    """Who was called because of an alarm, or of one annunciation of it."""
    asked: list[ColumnElement[bool]] = [Notification.alarm == alarm, Notification.reason.in_(CALLS), Notification.state.in_(states)]
    query = select(Notification).join(EscalationStep, EscalationStep.id == Notification.escalation_step)
    if annunciation is not None:
        asked.append(EscalationStep.annunciation == annunciation)
    rows = session.scalars(query.where(*asked).order_by(Notification.id))
    return [Recipient(row.person, row.person_name, row.phone, row.channel) for row in rows]


def asks_for(session: Session, but: int, address: str, since: int) -> bool:
    """Whether another alarm than `but` has called an address since then and still waits for somebody; drills do not count."""
    query = select(Alarm).join(Notification, Notification.alarm == Alarm.id).where(Notification.phone == address, Alarm.id != but)
    query = query.where(Notification.created_at > since, Notification.state.in_(REACHED), Notification.reason.in_(CALLS), Alarm.drill.is_(False))
    return any(needed(alarm, "raised") for alarm in session.scalars(query))


def taker(session: Session, alarm: int) -> Transition | None:
    """The take-over that stands or stood last."""
    query = select(Transition).where(Transition.alarm == alarm, Transition.name == "acknowledged").order_by(Transition.id.desc())
    return session.scalar(query.limit(1))


def takers(session: Session, alarm: int) -> frozenset[int]:
    """Ids of the persons who took an alarm over last. Where nobody is proven, those of the same name among the called.

    Whoever is on his way must not be told to stay at home.
    """
    last = taker(session, alarm)
    if last is not None and last.person is not None:
        return frozenset({last.person})
    name = "" if last is None else last.by.partition("（")[0]
    return frozenset(one.person_id for one in told(session, alarm, states=CALLED) if name and one.person_id is not None and one.name == name)


def post_of_taker(session: Session, alarm: int) -> str:
    """The post of who took an alarm over: what may stand in a message, which never carries a name."""
    for ident in takers(session, alarm):
        person = session.get(Person, ident)
        if person is not None and person.duty in POSTS:
            return POSTS[person.duty]
    return "值班人员"


def begun(session: Session, step: EscalationStep) -> int | None:
    """When the first step of an annunciation was due; None while it is the first one."""
    if step.step == 0 or step.reason != "raised":
        return None
    query = select(EscalationStep.due).where(EscalationStep.annunciation == step.annunciation, EscalationStep.alarm == step.alarm)
    return session.scalar(query.where(EscalationStep.reason == "raised", EscalationStep.step == 0))


def tried(session: Session, step: EscalationStep, since: int) -> frozenset[str]:
    """Addresses that an annunciation has tried since an instant, whatever became of it. What was given up counts from then."""
    query = select(Notification.phone).join(EscalationStep, EscalationStep.id == Notification.escalation_step)
    query = query.where(EscalationStep.alarm == step.alarm, EscalationStep.annunciation == step.annunciation, Notification.due > since)
    return frozenset(session.scalars(query))


def told_of(session: Session, alarm: int, reason: str) -> list[Recipient]:
    """Who got a message of one reason because of an alarm."""
    rows = session.scalars(
        select(Notification).where(Notification.alarm == alarm, Notification.reason == reason, Notification.state.in_(GONE)).order_by(Notification.id)
    )
    return [Recipient(row.person, row.person_name, row.phone, row.channel) for row in rows]


def reachable(session: Session, ids: Iterable[int], channel: str) -> list[Recipient]:
    """Persons by id whom a text can reach."""
    found = session.scalars(select(Person).where(Person.id.in_(list(ids)))).all()
    return [Recipient(one.id, one.name, phone, channel) for one in found if (phone := e164(one.phone)) is not None]


def path_of(session: Session, unit: Unit) -> tuple[str, ...]:
    """Codes of a unit and those above it."""
    codes, current = [unit.code], unit
    while current.parent is not None and (above := session.get(Unit, current.parent)) is not None and above.code not in codes:
        codes.append(above.code)
        current = above
    return tuple(codes)
