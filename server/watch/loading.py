"""How the watch's memory is read back after a restart.

The newest sample of each point is not stored on its own: it is found by walking the journal backwards, which a commit has made durable anyway.
"""

import heapq
from collections.abc import Iterable, Mapping

from sqlalchemy import select

from alarms.lifecycle import AlarmState, next_due
from alarms.rules import RuleSet
from server.settings import WatchSettings
from server.store import journal
from server.store.session import Database
from server.store.tables import AlarmMemory, CoverageSpan, Gateway, Point, Room, Unit
from server.watch.state import GOOD, UNCERTAIN, Key, Memory, PointInfo, RoomInfo, World, gateway_info


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
            info.rules = rules.for_room(info.medium, info.path, info.code)
            world.rooms[room.code] = info
        for gateway in session.scalars(select(Gateway)):
            world.gateways[gateway.code] = gateway_info(world, gateway)
        for row in session.scalars(select(Point)):
            world.add_point(row)
        for kept in session.scalars(select(AlarmMemory)):
            world.memory[Key(kept.subject, kept.rule)] = Memory(AlarmState.from_dict(kept.body), kept.alarm)
        for span in session.scalars(select(CoverageSpan).where(CoverageSpan.until.is_(None))):
            room_info = world.rooms[span.room]
            room_info.coverage, room_info.coverage_since, room_info.span = span.state, span.since, span.id
            room_info.coverage_missing, room_info.coverage_cause = tuple(filter(None, span.detail.split(","))), span.cause
        _newest(world, journal.walk_back(session))
    for point in world.points.values():
        world.watch_deadline(point)
    for key, memory in world.memory.items():
        if (rule := world.rule(key)) is not None:
            world.timers.set(key, next_due(rule, memory.state))
    for code in world.rooms:
        world.room_changes.append((now, code))
    heapq.heapify(world.room_changes)
    return world


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
