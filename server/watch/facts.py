"""Everything that stands, as facts: what a board needs that has just been born."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.rules import Level, RuleSet
from contract.quantities import QUANTITIES
from server.live.facts import CoverageFact, Fact, GatewayFact, PointFact, ReadingFact, RoomFact, UnitFact
from server.store.journal import QUALITIES
from server.store.tables import Room, Unit
from server.watch.infos import GatewayInfo, PointInfo
from server.watch.state import World


def standing_facts(world: World, session: Session) -> Iterator[Fact]:
    """Units, rooms, points, gateways, newest readings and coverage, in an order in which each finds what it refers to."""
    for unit in session.scalars(select(Unit)):
        yield UnitFact(code=unit.code, path=world.units[unit.code], name=unit.name, short_name=unit.short_name)
    for room in session.scalars(select(Room)):
        yield room_fact(world, room)
    for point in world.points.values():
        yield point_fact(point, world.gateways.get(point.key.gateway))
        if point.received_at:
            yield ReadingFact(
                point_id=point.id, value=point.value, quality=QUALITIES[point.quality], reason=point.reason,
                taken_at=point.taken_at, received_at=point.received_at, at=point.last_at,
            )  # fmt: skip
    for gateway in world.gateways.values():
        yield gateway_fact(world, gateway)
    for info in world.rooms.values():
        if info.coverage:
            yield CoverageFact(room=info.code, state=info.coverage, cause=info.coverage_cause, since=info.coverage_since)


def room_fact(world: World, room: Room) -> RoomFact:
    """A room with the band that its own rules give it."""
    info = world.rooms[room.code]
    return RoomFact(
        code=room.code, unit=room.unit, unit_path=info.path, name=room.name, unit_name=world.unit_names[room.unit], short_name=room.short_name,
        medium=room.medium, stage=room.stage, band=band(world.rule_set, room.medium, info.path, room.code), demanded=tuple(room.demanded),
        maintenance_until=room.maintenance_until, maintenance_by=room.maintenance_by, maintenance_reason=room.maintenance_reason,
        maintenance_second=room.maintenance_second,
    )  # fmt: skip


def band(rules: RuleSet, medium: str, path: tuple[str, ...], room: str) -> dict[str, tuple[float | None, float | None]]:
    """Lower and upper limit per quantity: those of the least severe rungs of the threshold rules."""
    bands: dict[str, tuple[float | None, float | None]] = {}
    for quantity in ("temperature", "humidity"):
        low = high = None
        for rule in rules.for_point(quantity, medium, path, room):
            for rung in rule.ladder:
                if rule.kind == "threshold" and rung.level == min(r.level for r in rule.ladder) and rung.level <= Level.ALARM:
                    low, high = (rung.limit, high) if rung.side == "below" else (low, rung.limit)
        if low is not None or high is not None:
            bands[quantity] = (low, high)
    return bands


def point_fact(point: PointInfo, gateway: GatewayInfo | None) -> PointFact:
    """A point as the board wants it."""
    return PointFact(
        point_id=point.id, room=point.room, gateway=point.key.gateway, device=point.key.device, quantity=point.key.quantity,
        channel=point.key.channel, unit=QUANTITIES[point.key.quantity].unit, interval_ms=point.interval_ms, deadline_ms=point.deadline_ms,
        acknowledges=gateway is not None and gateway.acknowledges,
    )  # fmt: skip


def gateway_fact(world: World, gateway: GatewayInfo) -> GatewayFact:
    """A gateway as the board wants it."""
    rooms = {world.points[ident].room for ident in gateway.points}
    return GatewayFact(
        code=gateway.code, unit=gateway.unit, online=gateway.online, since=gateway.changed_at, last_seen_at=gateway.last_seen_at,
        acknowledges=gateway.acknowledges, rooms=tuple(sorted(room for room in rooms if room)),
    )  # fmt: skip
