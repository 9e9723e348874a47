"""合并告警: alarms of one cause in one place become one alarm that speaks for them, so that people are told once; every room stays counted.

A group is formed by a burst (alarms/grouping.py), grows while its burst lasts, climbs and falls with the worst of its members, and clears with the
last of them. What is left of it when the burst is long over, one or two rooms, is released and speaks for itself again.
"""

from collections.abc import Iterable

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from alarms.builtin import GROUP_QUANTITY, GROUPS
from alarms.grouping import CAUSES, Open, cause_of, fold, level_of, scope_of, smallest_unit
from alarms.lifecycle import AskAgain, Event, NotAllowedError, Seen, next_due, step
from alarms.model import Level, Rule
from contract.sample import Quality
from server.store.coverage import watched_since
from server.store.tables import Alarm, EscalationStep, Transition
from server.store.tables_watch import AlarmGroup, AlarmGroupMember
from server.watch.commit import Subject
from server.watch.escalation import PART
from server.watch.infos import Foldable, GroupInfo, Key
from server.watch.state import World
from server.watch.steps import Steps

LEAST_ROOMS = 3
RESTART_MS = 10 * 60_000
"""Gateways found missing within so long of a restart of the server are one event: nobody can say when they were lost."""
_INHIBITED = ("shelved", "suppressed", "out_of_service")


class Groups:
    """Folding within one transaction; runs after everything else has been judged."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx, self._session = steps, steps.world, steps.tx, steps.session

    def finish(self) -> None:
        """Take in what has changed: members come, change and leave; groups form, grow and end."""
        fresh: set[tuple[str, str]] = set()
        stirred: set[int] = set()
        for ident, (key, alarm) in self._tx.changed.items():
            known, wanted = self._world.foldable.get(ident), foldable(self._world, self._session, key, alarm)
            if known is not None and wanted is None:
                stirred |= self._leave(known, alarm)
            elif known is None and wanted is not None:
                self._world.foldable[ident] = wanted
                fresh.add((wanted.cause, scope_of(wanted.cause, wanted.path)))
            elif known is not None and wanted is not None:
                known.level, known.raised_at = wanted.level, wanted.raised_at
                if known.group is not None:
                    stirred.add(known.group)
                    self._tx.quieten(alarm)
        for cause, scope in sorted(fresh):
            stirred |= self._gather(cause, scope)
        stirred |= self._settled()
        for ident in sorted(stirred):
            if (group := self._world.groups.get(ident)) is not None:
                self._restate(group)

    def follow(self, alarm: Alarm, event: Event, via: str = "group") -> None:
        """What a person does with a group's alarm (take over, take back) holds for its members, those that have cleared included."""
        members = (
            select(Alarm)
            .join(AlarmGroupMember, AlarmGroupMember.alarm == Alarm.id)
            .join(AlarmGroup, AlarmGroup.id == AlarmGroupMember.group_id)
            .where(AlarmGroup.alarm == alarm.id, Alarm.closed_at.is_(None))
        )
        for row in self._session.scalars(members.order_by(Alarm.id)).all():
            key = Key(row.subject, row.rule)
            memory = self._world.memory.get(key)
            if memory is None or memory.alarm != row.id or (row.group_alarm is None and memory.state.tripped):
                continue  # a member that has been released speaks for itself
            try:
                result = step(rule := self._world.rule_or_rest(key), memory.state, event, self._steps.now)
            except NotAllowedError:
                continue  # e.g. one that a person has taken over himself
            self._tx.apply(self._subject_of(row, key), rule, memory, result, via=via)
            self._tx.escalation.hold(row)

    # -- members --------------------------------------------------------------------------------------------------------------------------

    def _leave(self, member: Foldable, alarm: Alarm) -> set[int]:
        del self._world.foldable[member.alarm]
        if member.group is None:
            return set()
        group = self._world.groups[member.group]
        group.members.discard(member.alarm)
        self._left(group, alarm)
        return {group.id}

    def _left(self, group: GroupInfo, alarm: Alarm) -> None:
        alarm.group_alarm = None
        membership = update(AlarmGroupMember).where(AlarmGroupMember.group_id == group.id, AlarmGroupMember.alarm == alarm.id)
        self._session.execute(membership.values(left_at=self._steps.now))
        self._tx.restate(alarm)

    # -- groups ---------------------------------------------------------------------------------------------------------------------------

    def _gather(self, cause: str, scope: str) -> set[int]:
        """New alarms of a cause in a scope: they join a burst that goes on, or make a new one."""
        window = CAUSES[cause].burst_ms
        singles = [one for one in self._world.foldable.values() if one.group is None and one.cause == cause and scope_of(cause, one.path) == scope]
        group = next((one for one in self._world.groups.values() if (one.cause, one.scope) == (cause, scope)), None)
        if group is not None and self._steps.now - group.joined_at <= window:
            self._join(group, [one for one in singles if one.raised_at >= group.joined_at - window])
            return {group.id}
        recent = [one for one in singles if not one.released and one.raised_at > self._steps.now - 2 * window]
        bursts, _ = fold([Open(one.alarm, cause, one.rooms, one.path, one.raised_at, one.level) for one in recent], LEAST_ROOMS)
        for burst in bursts:
            members = [self._world.foldable[ident] for ident in burst.alarms]
            inside = [one for one in singles if one.rooms and set(one.rooms) <= set(burst.rooms) and one not in members]
            if group is None:
                group = self._form(cause, scope, [*members, *inside])
            else:
                self._join(group, [*members, *inside])
                self._again(group)
        return {group.id} if group is not None and bursts else set()

    def _form(self, cause: str, scope: str, members: list[Foldable]) -> GroupInfo | None:
        path = self._common(members)
        key = Key(f"unit:{path[-1]}", GROUPS[cause])
        group = GroupInfo(0, 0, key, cause, scope, path, self._steps.now)
        rule = self._world.builtin[key.rule]
        level = level_of(cause, (one.level for one in members))
        alarm = self._feed(group, rule, Seen(self._steps.now, float(level), Quality.GOOD, ""), self._steps.now)
        if alarm is None:
            return None  # its alarm is out of service or waits, cleared, for a person: the members speak for themselves
        since = min(one.raised_at for one in members)
        group.id, group.alarm, alarm.raised_at = self._record(alarm.id, cause, scope, since), alarm.id, since
        self._world.groups[group.id] = group
        self._join(group, members)
        return group

    def _record(self, alarm: int, cause: str, scope: str, since: int) -> int:
        """The row of a group that begins. An alarm that has cleared and that nobody has answered speaks for the next burst too: its row goes on."""
        row = self._session.scalar(select(AlarmGroup).where(AlarmGroup.alarm == alarm))
        if row is None:
            row = AlarmGroup(alarm=alarm, cause=cause, scope=scope, since=since, joined_at=self._steps.now)
            self._session.add(row)
        row.scope, row.since, row.joined_at, row.ended_at = scope, since, self._steps.now, None
        self._session.flush()
        return row.id

    def _join(self, group: GroupInfo, members: Iterable[Foldable]) -> None:
        for one in members:
            one.group = group.id
            group.members.add(one.alarm)
            alarm = self._session.get_one(Alarm, one.alarm)
            alarm.group_alarm = group.alarm
            values = {"group_id": group.id, "alarm": one.alarm, "joined_at": self._steps.now, "left_at": None}
            updated = update(AlarmGroupMember).where(AlarmGroupMember.group_id == group.id, AlarmGroupMember.alarm == one.alarm).values(left_at=None)
            if not self._session.execute(updated).rowcount:  # type: ignore[attr-defined]
                self._session.execute(insert(AlarmGroupMember).values(values))
            self._tx.quieten(alarm)
            self._tell(group, alarm)
            group.joined_at = self._steps.now
        self._session.execute(update(AlarmGroup).where(AlarmGroup.id == group.id).values(joined_at=group.joined_at))
        self._widen(group)

    def _tell(self, group: GroupInfo, alarm: Alarm) -> None:
        """The group's own alarm asks at its unit and above; the desk of each further unit with a member hears of it once, by the first of its own."""
        if alarm.unit == group.path[-1] or alarm.unit in group.told:
            return
        group.told.add(alarm.unit)
        newest = self._session.scalar(select(func.max(Transition.id)).where(Transition.alarm == alarm.id))
        asked = select(EscalationStep.id).where(EscalationStep.alarm == alarm.id, EscalationStep.reason == PART)
        if newest is not None and self._session.scalar(asked.where(EscalationStep.annunciation == newest)) is None:
            self._tx.escalation.ask(alarm, newest, PART, self._steps.now)

    def _widen(self, group: GroupInfo) -> None:
        """A group that now reaches over more than its unit is one of the unit above both."""
        path = self._common([self._world.foldable[ident] for ident in group.members], group.path)
        key = Key(f"unit:{path[-1]}", group.key.rule)
        if key == group.key or key in self._world.memory:
            return
        alarm, memory = self._session.get_one(Alarm, group.alarm), self._world.memory.pop(group.key)
        alarm.subject, alarm.unit, alarm.open_key = key.subject, path[-1], f"{key.subject}|{key.rule}"
        rule = self._world.builtin[key.rule]
        self._world.timers.set(group.key, None)
        self._world.timers.set(key, next_due(rule, memory.state))
        self._tx.move(group.key, key, memory)
        group.key, group.path = key, path

    def _again(self, group: GroupInfo) -> None:
        """A second wave asks anew, although somebody had taken over the first."""
        memory, rule = self._world.memory[group.key], self._world.builtin[group.key.rule]
        if memory.state.acknowledged:
            alarm = self._session.get_one(Alarm, group.alarm)
            self._tx.apply(self._subject_of(alarm, group.key), rule, memory, step(rule, memory.state, AskAgain(), self._steps.now))

    def _settled(self) -> set[int]:
        """Groups whose burst is long over and of which only one or two rooms are left."""
        ended = set()
        for group in self._world.groups.values():
            if self._steps.now - group.joined_at > CAUSES[group.cause].burst_ms:
                rooms = {room for ident in group.members for room in self._world.foldable[ident].rooms}
                if len(rooms) < LEAST_ROOMS:
                    ended.add(group.id)
        for ident in ended:
            group = self._world.groups[ident]
            for member in sorted(group.members):
                self._release(group, self._world.foldable[member])
            group.members.clear()
        return ended

    def _release(self, group: GroupInfo, member: Foldable) -> None:
        """It speaks for itself again: whoever is in charge has not heard of it yet."""
        member.group, member.released = None, True
        alarm, memory, rule = self._session.get_one(Alarm, member.alarm), self._world.memory[member.key], self._world.rule(member.key)
        self._left(group, alarm)
        if rule is not None:
            self._tx.apply(self._subject_of(alarm, member.key), rule, memory, step(rule, memory.state, AskAgain(), self._steps.now))

    def _restate(self, group: GroupInfo) -> None:
        """Level and number of rooms follow the members; with the last one gone the group clears."""
        members = [self._world.foldable[ident] for ident in group.members]
        rooms = {room for one in members for room in one.rooms}
        level = level_of(group.cause, (one.level for one in members))
        rule = self._world.builtin[group.key.rule]
        self._feed(group, rule, Seen(self._steps.now, float(level), Quality.GOOD, ""), self._steps.now)
        alarm = self._session.get_one(Alarm, group.alarm)
        alarm.limit = None
        if rooms:
            alarm.raised_value = float(len(rooms))
        else:
            alarm.raised_value = float(self._widest(group))
            self._session.execute(update(AlarmGroup).where(AlarmGroup.id == group.id).values(ended_at=self._steps.now))
            del self._world.groups[group.id]
        self._tx.say(alarm)

    def _widest(self, group: GroupInfo) -> int:
        """How many rooms it was about in all: once it is over nobody wants to know which one came back last."""
        members = select(Alarm.room, Alarm.subject).join(AlarmGroupMember, AlarmGroupMember.alarm == Alarm.id)
        rows = self._session.execute(members.where(AlarmGroupMember.group_id == group.id)).all()
        return len({room for place, subject in rows for room in _rooms_of(self._world, place, subject)})

    # -- helpers --------------------------------------------------------------------------------------------------------------------------

    def _feed(self, group: GroupInfo, rule: Rule, event: Event, at: int) -> Alarm | None:
        quantity = GROUP_QUANTITY.get(group.cause, "")
        return self._steps.feed(Subject(group.key, group.path[-1], None, quantity, kind="group"), rule, event, at)

    @staticmethod
    def _subject_of(alarm: Alarm, key: Key) -> Subject:
        return Subject(key, alarm.unit, alarm.room, alarm.quantity, kind=alarm.kind)

    def _common(self, members: Iterable[Foldable], path: tuple[str, ...] | None = None) -> tuple[str, ...]:
        paths = [one.path for one in members] + ([path] if path is not None else [])
        return self._world.units[smallest_unit(paths)]


def foldable(world: World, session: Session, key: Key, alarm: Alarm) -> Foldable | None:
    """An alarm as something that may have a common cause with others; None for one that is over, inhibited, or never folded."""
    memory = world.memory.get(key)
    if memory is None or memory.alarm != alarm.id or not memory.state.tripped or alarm.known_late or alarm.drill or alarm.state in _INHIBITED:
        return None
    level = memory.state.level or Level.WARN
    cause = cause_of(alarm.rule, alarm.kind, alarm.quantity, level) if alarm.kind not in ("group", "lost") else ""
    if not cause or (cause == "weather" and not _moved(world, session, alarm)):
        return None
    if cause == "offline" and world.outages and 0 <= alarm.raised_at - world.started_at < RESTART_MS:
        cause = "restart"
    return Foldable(
        alarm.id, key, cause, _rooms_of(world, alarm.room, alarm.subject), world.units.get(alarm.unit, (alarm.unit,)), alarm.raised_at, level
    )


def _moved(world: World, session: Session, alarm: Alarm) -> bool:
    """Whether there was a time before, which a front can have changed: a room that was out of band when it was first seen has its own reasons
    (and becomes a standing state, chronic.py)."""
    room = world.rooms[alarm.room or ""]
    if room.watched_since is None:
        room.watched_since = watched_since(session, room.code)
    return room.watched_since is not None and alarm.raised_at - room.watched_since > CAUSES["weather"].burst_ms


def _rooms_of(world: World, room: str | None, subject: str) -> tuple[str, ...]:
    if room is not None:
        return (room,)
    gateway = world.gateways.get(subject.partition(":")[2])
    points = map(world.points.__getitem__, gateway.points) if gateway is not None else ()
    return tuple(sorted({point.room for point in points if point.room}))
