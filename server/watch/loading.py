"""How the watch's memory is read back after a restart.

The newest sample of each point is not stored on its own: it is found by walking the journal backwards, which a commit has made durable anyway.
"""

import heapq
from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.builtin import SMOKE_LOST
from alarms.grouping import FLOOD_WINDOW_MS, Flood, flood_step
from alarms.lifecycle import next_due
from alarms.rules import RuleSet
from server.settings import WatchSettings
from server.store import journal, works
from server.store.manual import GATEWAY as MANUAL
from server.store.session import Database
from server.store.tables import Alarm, AlarmMemory, CoverageSpan, Gateway, Journal, Point, Room, Unit
from server.store.tables_watch import AlarmGroup, AlarmGroupMember, Annunciation, LateMemory, RoomReport, ServerOutage, WatchPulse
from server.watch import chronic
from server.watch.chronic import is_climate
from server.watch.gateways import OFFLINE, STEADY_MS
from server.watch.groups import foldable
from server.watch.infos import GOOD, LATE_CALM_MS, UNCERTAIN, GroupInfo, Key, LateState, Memory, PointInfo, RoomInfo
from server.watch.state import World, gateway_info
from server.watch.works import expect

_OUTAGES_MS = 7 * 86_400_000


def load(db: Database, rules: RuleSet, settings: WatchSettings, now: int) -> World:
    """Read the watch's memory back. `now` starts the hold-off for silence."""
    world = World(rules, settings)
    world.started_at = now
    with db.read() as session:
        parents = {unit.code: unit for unit in session.scalars(select(Unit))}
        world.unit_names = {code: unit.name for code, unit in parents.items()}
        above = {code: unit.parent for code, unit in parents.items()}
        world.units = {code: path_of(code, above) for code in parents}
        for room in session.scalars(select(Room)):
            info = RoomInfo(room.code, room.unit, world.units[room.unit], room.medium, tuple(room.demanded), room.maintenance_until)
            info.stage = room.stage
            info.rules = world.room_rules(info)
            world.rooms[room.code] = info
        for work in reversed(works.planned(session)):  # the first to begin is the one that stays
            world.rooms[work.room].next_work = (work.since, work.until)
        for gateway in session.scalars(select(Gateway)):
            world.gateways[gateway.code] = gateway_info(world, gateway)
        for row in session.scalars(select(Point).where(Point.gateway != MANUAL)):  # what people read has no deadline
            world.add_point(row)
        for kept in session.scalars(select(AlarmMemory)):
            world.memory[Key(kept.subject, kept.rule)] = Memory.stored_as(kept.body, kept.alarm)
        for span in session.scalars(select(CoverageSpan).where(CoverageSpan.until.is_(None))):
            room_info = world.rooms[span.room]
            room_info.coverage, room_info.coverage_since, room_info.open = span.state, span.since, True
            room_info.coverage_missing, room_info.coverage_cause = tuple(filter(None, span.detail.split(","))), span.cause
            room_info.span_counted = span.counted
        for report in session.scalars(select(RoomReport).where(RoomReport.until > now).order_by(RoomReport.until)):
            world.rooms[report.room].manual_until = report.until
        _late(world, session, now)
        _groups(world, session)
        _absences(world, session, now)
        _floods(world, session, now)
        _newest(world, journal.walk_back(session))
    _present(world, now)
    world.fit(world.rooms.values())
    for point in world.points.values():
        world.watch_deadline(point)
    for key, memory in world.memory.items():
        if (rule := world.rule(key)) is not None:
            world.timers.set(key, next_due(rule, memory.state))
    for code, info in world.rooms.items():
        info.next_change = min(world.pulse_at or now, now)
        expect(world, info)
        world.room_changes.append((info.next_change, code))
    heapq.heapify(world.room_changes)
    _hushed(world)
    _steadying(world, now)
    return world


def _steadying(world: World, now: int) -> None:
    """A gateway that is here although its alarm stands is one whose link flapped: the alarm ends when the link has held for long enough."""
    for gateway in world.gateways.values():
        known = (world.memory.get(Key(gateway.subject, rule.name)) for rule in gateway.rules)
        if gateway.online and any(memory is not None and memory.state.tripped for memory in known):
            gateway.steady_at = max(gateway.changed_at + STEADY_MS, now)


def _late(world: World, session: Session, now: int) -> None:
    for row in session.scalars(select(LateMemory)):
        key, late = Key(row.subject, row.rule), LateState.stored_as(row.body, row.last_at, row.alarm)
        world.late[key] = late
        if late.worst is not None:
            world.late_waiting[key] = now + LATE_CALM_MS


def _groups(world: World, session: Session) -> None:
    """Active groups with their members, the alarms that might still be folded, and the climate alarms that may become standing states."""
    for group in session.scalars(select(AlarmGroup).where(AlarmGroup.ended_at.is_(None))):
        alarm = session.get_one(Alarm, group.alarm)
        key = Key(alarm.subject, alarm.rule)
        world.groups[group.id] = GroupInfo(group.id, alarm.id, key, group.cause, group.scope, world.units[alarm.unit], group.joined_at)
    members = select(AlarmGroupMember).where(AlarmGroupMember.group_id.in_(world.groups), AlarmGroupMember.left_at.is_(None))
    group_of = {member.alarm: member.group_id for member in session.scalars(members)}
    for alarm in session.scalars(select(Alarm).where(Alarm.open_key.is_not(None))):
        key = Key(alarm.subject, alarm.rule)
        if (found := foldable(world, session, key, alarm)) is not None:
            found.group = group_of.get(alarm.id)
            found.released = found.group is None
            if found.group is not None:
                found.cause = world.groups[found.group].cause
                world.groups[found.group].members.add(alarm.id)
            world.foldable[alarm.id] = found
        if is_climate(alarm):
            chronic.watch(world, key, alarm)


def _absences(world: World, session: Session, now: int) -> None:
    """The server's own absences, and when it was last alive: a commit of samples proves that too."""
    outages = session.scalars(select(ServerOutage).where(ServerOutage.ended > now - _OUTAGES_MS).order_by(ServerOutage.began))
    world.outages = [(outage.began, outage.ended) for outage in outages]
    signs = (session.scalar(select(WatchPulse.at)), session.scalar(select(Journal.received_at).order_by(Journal.id.desc()).limit(1)))
    world.pulse_at = max((sign for sign in signs if sign is not None), default=0)


def _floods(world: World, session: Session, now: int) -> None:
    asked = select(Annunciation.at, Alarm.unit).join(Alarm, Alarm.id == Annunciation.alarm).where(Alarm.drill.is_(False))
    for at, unit in session.execute(asked.where(Annunciation.at > now - FLOOD_WINDOW_MS).order_by(Annunciation.at)):
        for code in world.units.get(unit, ()):
            world.floods[code] = flood_step(world.floods.get(code, Flood()), at, 1)[0]


def _hushed(world: World) -> None:
    for key, memory in world.memory.items():
        kind, _, ident = key.subject.partition(":")
        if kind == "point" and OFFLINE in memory.state.suppressed and int(ident) in world.points:
            world.hushed.add(int(ident))
        if key.rule == SMOKE_LOST and memory.state.tripped and ident in world.rooms:
            points, raised_at = world.rooms[ident].points, memory.state.raised_at or 0
            silent = [point for point in points if world.points[point].last_usable_at < raised_at]
            world.lost[ident] = frozenset(silent or points)


def _present(world: World, now: int) -> None:
    """What was stored while the clock was ahead, before it was put back: nobody knows how old it is. It keeps nothing fresh, every new reading is
    newer, and whoever does not speak again within his deadline is silent."""
    if world.pulse_at > now:
        return  # the whole memory is put back, once it is read
    for point in world.points.values():
        point.since = min(point.since, now)
        if max(point.last_at, point.last_usable_at, point.last_good_at) > now:
            old, point.grace_until = now - point.deadline_ms, now + point.deadline_ms
            point.last_at, point.last_usable_at, point.last_good_at = (
                min(at, old) for at in (point.last_at, point.last_usable_at, point.last_good_at)
            )
    for gateway in world.gateways.values():
        gateway.last_seen_at, gateway.saved_seen_at = min(gateway.last_seen_at, now), min(gateway.saved_seen_at, now)
    for group in world.groups.values():
        group.joined_at = min(group.joined_at, now)


def path_of(code: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """Unit codes from the top down to and including `code`."""
    path = [code]
    while (parent := parents.get(path[-1])) is not None and parent not in path:
        path.append(parent)
    return tuple(reversed(path))


def _newest(world: World, entries: Iterable[journal.Entry]) -> None:
    """Find each point's newest live sample, newest usable and newest good one, from the journal's end backwards."""
    wanted = {kind: set(world.points) for kind in ("any", "usable", "good")}
    for entry in entries:
        if not any(wanted.values()):
            return
        try:
            columns = entry.columns()
        except journal.JournalDamagedError:
            continue  # reported by the history loop, which owns the finding; here it only hides one batch's freshness
        for row in reversed(list(columns.rows())):
            point = world.points.get(row.point_id)
            if point is not None and not row.historical:
                _take_newest(point, row, wanted)


def _take_newest(point: PointInfo, row: journal.JournalRow, wanted: dict[str, set[int]]) -> None:
    at = min(row.taken_at, row.received_at)
    if point.id in wanted["any"]:
        wanted["any"].discard(point.id)
        point.last_at, point.value, point.quality, point.reason = max(point.last_at, at), row.value, row.quality, row.reason
        point.taken_at, point.received_at = row.taken_at, row.received_at
    if point.id in wanted["usable"] and row.quality in (GOOD, UNCERTAIN):
        wanted["usable"].discard(point.id)
        point.last_usable_at = max(point.last_usable_at, at)
    if point.id in wanted["good"] and row.quality == GOOD:
        wanted["good"].discard(point.id)
        point.last_good_at = at
