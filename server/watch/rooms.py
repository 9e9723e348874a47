"""Rooms: the coverage ledger and maintenance. A room's stretch turns at the exact instant at which the watch over it changes."""

import heapq

from sqlalchemy import update

from alarms.coverage import classify
from alarms.lifecycle import Event, Suppress, Tick, Unsuppress
from alarms.rules import Rule
from server.live.facts import CoverageFact
from server.store.tables import CoverageSpan, Room
from server.watch.facts import room_fact
from server.watch.state import RoomInfo
from server.watch.steps import Steps

MAINTENANCE = "maintenance"
ALWAYS_HEARD = ("smoke", "smoke_density")
"""Quantities that maintenance does not silence: that needs two persons."""


class Rooms:
    """Coverage and maintenance within one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx, self._session = steps, steps.world, steps.tx, steps.session
        self._touched: set[str] = set()

    def touch(self, code: str) -> None:
        """Something was heard from the room, or is missed there: its coverage is judged at the end."""
        self._touched.add(code)

    def finish(self) -> None:
        """Judge the rooms that were touched."""
        for code in self._touched:
            self.cover(self._world.rooms[code], self._steps.now)

    def due(self) -> None:
        """Rooms whose coverage or maintenance changes by time alone."""
        changes, now = self._world.room_changes, self._steps.now
        while changes and changes[0][0] <= now:
            due, code = heapq.heappop(changes)
            room = self._world.rooms.get(code)
            if room is not None:
                self.cover(room, due)
                if room.maintenance_until is not None and room.maintenance_until <= now:
                    self.maintain(room, None)

    def cover(self, room: RoomInfo, at: int) -> None:
        """Judge a room's coverage as it was at an instant, and begin a new stretch there if it has turned."""
        if not room.points:
            return
        deadlines: dict[str, list[int]] = {}
        for ident in room.points:
            point = self._world.points[ident]
            deadlines.setdefault(point.key.quantity, []).append(point.last_good_at + point.deadline_ms if point.last_good_at else 0)
        result = classify(room.demanded, deadlines, at, room.manual_until)
        if result.next_change_at is not None:
            heapq.heappush(self._world.room_changes, (result.next_change_at, room.code))
        missing = tuple(result.missing)
        if (result.state, missing) != (room.coverage, room.coverage_missing):
            self._turn(room, str(result.state), missing, at)

    def _turn(self, room: RoomInfo, state: str, missing: tuple[str, ...], at: int) -> None:
        if room.span is not None:
            self._session.execute(update(CoverageSpan).where(CoverageSpan.id == room.span).values(until=at))
        cause = self._cause(room) if missing else ""
        span = CoverageSpan(room=room.code, since=at, state=state, cause=cause, detail=",".join(missing)[:120])
        self._session.add(span)
        self._session.flush()
        room.coverage, room.coverage_missing, room.coverage_cause, room.coverage_since, room.span = state, missing, cause, at, span.id
        self._tx.facts.append(CoverageFact(room=room.code, state=state, cause=cause, since=at))

    def _cause(self, room: RoomInfo) -> str:
        gateways = {self._world.points[ident].key.gateway for ident in room.points}
        known = [self._world.gateways[code] for code in gateways if code in self._world.gateways]
        return "gateway" if known and not any(gateway.online for gateway in known) else "sensor"

    def maintain(self, room: RoomInfo, until: int | None) -> None:
        """Begin (until an instant) or end (None) maintenance of a room: its alarms are suppressed by design, smoke excepted."""
        room.maintenance_until = until
        values: dict[str, object] = {"maintenance_until": until}
        if until is None:
            values |= {"maintenance_by": "", "maintenance_reason": ""}
        else:
            heapq.heappush(self._world.room_changes, (until, room.code))
        row = self._session.get_one(Room, room.code)
        for name, value in values.items():
            setattr(row, name, value)
        self._session.flush()
        self._tx.facts.append(room_fact(self._world, row))
        event: Event = Unsuppress(MAINTENANCE) if until is None else Suppress(MAINTENANCE)
        for ident in room.points:
            point = self._world.points[ident]
            if point.key.quantity not in ALWAYS_HEARD:
                for rule in point.rules:
                    self._steps.point(point, rule, event, self._steps.now)

    def timer(self, room: RoomInfo, rule: Rule, due: int) -> None:
        """A delay of an alarm of the room as a whole has ended; it counts only while every input is fresh."""
        newest = [
            max((p.last_usable_at + p.deadline_ms for p in map(self._world.points.__getitem__, room.points) if p.key.quantity == quantity), default=0)
            for quantity in rule.inputs
        ]
        deadline = min(newest, default=0)
        self._steps.room(room, rule, Tick(fresh=deadline > due, deadline=deadline), due)
