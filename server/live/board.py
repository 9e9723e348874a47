"""The live board: a fold of facts into one tile per room. No clock and no I/O; `now` is UTC ms.

A tile is normal only while every demanded quantity has a good sample within its deadline, judged when the tile is made: time alone turns it
degraded or blind, whatever the last fact said.
"""

from collections import Counter
from collections.abc import Iterable
from threading import RLock

import msgspec

from server.live.facts import (
    OUTDOOR,
    AlarmFact,
    ClockFact,
    CoverageFact,
    Fact,
    FloodFact,
    GatewayFact,
    PointFact,
    ReadingFact,
    RoomFact,
    UnitFact,
)
from server.live.tiles import FRESH, STATES, PointView, RoomTile, alarm_order, cause_of, data_state, quality_of, severity, state_of, view_of

__all__ = [
    "OUTDOOR",
    "STATES",
    "AlarmFact",
    "Board",
    "CoverageFact",
    "Fact",
    "GatewayFact",
    "PointFact",
    "PointView",
    "ReadingFact",
    "RoomFact",
    "RoomTile",
    "UnitFact",
    "severity",
]

_NEVER = 1 << 62


class Board:
    """Holds the newest facts and makes tiles. Every method may be called from any thread; a list is made room by room, so that a writer never waits
    for a reader of the whole province.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._units: dict[str, UnitFact] = {}
        self._rooms: dict[str, RoomFact] = {}
        self._points: dict[int, PointFact] = {}
        self._readings: dict[int, ReadingFact] = {}
        self._room_points: dict[str, set[int]] = {}
        self._alarms: dict[int, AlarmFact] = {}
        self._room_alarms: dict[str, dict[int, AlarmFact]] = {}
        self._coverage: dict[str, CoverageFact] = {}
        self._gateways: dict[str, GatewayFact] = {}
        self._floods: dict[str, FloodFact] = {}
        self._due: dict[str, int] = {}
        self._standing: dict[str, tuple[int, int, RoomTile]] = {}
        self._ticked = 0

    def apply(self, facts: Iterable[Fact]) -> set[str]:
        """Fold facts in, in order. Returns the codes of the rooms whose tiles changed; a removed room is among them."""
        changed: set[str] = set()
        with self._lock:
            readings, points, due, ticked = self._readings, self._points, self._due, self._ticked
            for fact in facts:
                if type(fact) is ReadingFact:  # one for every sample of the province: folded in place
                    ident, at = fact.point_id, fact.at
                    before = readings.get(ident)
                    if before is not None and before.at > at:
                        continue
                    readings[ident] = fact
                    point = points.get(ident)
                    if point is not None and (room := point.room):
                        changed.add(room)
                        # The next change of a tile is noted no later than it comes; `tick` looks when it is due.
                        if ticked < (end := at + point.deadline_ms) < due.get(room, _NEVER):
                            due[room] = end
                    continue
                rooms = self._fold(fact)
                readings, ticked = self._readings, self._ticked
                changed |= rooms
                for code in rooms:
                    self._due[code] = self._next_change(code)
            for code in changed:
                self._standing.pop(code, None)
        return changed

    def tick(self, now: int) -> set[str]:
        """Rooms whose tile changed between the last tick and `now` because time passed: a deadline, the end of a maintenance."""
        changed: set[str] = set()
        with self._lock:
            before, self._ticked = self._ticked, max(self._ticked, now)
            for code in [code for code, due in self._due.items() if due <= self._ticked]:
                # A reading has put the deadline off since it was noted, or it has passed.
                if any(before < end <= self._ticked for end in self._ends(code)):
                    changed.add(code)
                self._due[code] = self._next_change(code)
        return changed

    def room(self, code: str, now: int) -> RoomTile | None:
        """The tile of a room at `now`; None when there is no such room."""
        with self._lock:
            fact = self._rooms.get(code)
            return None if fact is None else self._tile(fact, now)

    def rooms(self, now: int, scope: str | None = None) -> list[RoomTile]:
        """Tiles of the subtree `scope` (a unit code; None means all), in the order of their codes."""
        with self._lock:
            codes = sorted(code for code, fact in self._rooms.items() if scope is None or scope in fact.unit_path)
        return [tile for code in codes if (tile := self.room(code, now)) is not None]

    def states(self, now: int) -> Counter[str]:
        """How many rooms are in which state, without making tiles."""
        with self._lock:
            facts = list(self._rooms.values())
        counts: Counter[str] = Counter()
        for fact in facts:
            with self._lock:
                counts[self._state(fact, data_state(fact.demanded, self._missing(fact, now)), now)] += 1
        return counts

    def overview(self, now: int, scope: str | None = None) -> list[RoomTile]:
        """Like `rooms`, for counting, sorting and filtering: all but the ages of readings holds at `now`. Cheap where nothing has changed."""
        with self._lock:
            codes = sorted(code for code, fact in self._rooms.items() if scope is None or scope in fact.unit_path)
        return [tile for code in codes if (tile := self._at(code, now)) is not None]

    def _at(self, code: str, now: int) -> RoomTile | None:
        with self._lock:
            made_at, until, tile = self._standing.get(code, (now + 1, 0, None))
            if tile is None or not made_at <= now < until:
                tile = self.room(code, now)
                if tile is not None:
                    ends = [view.deadline_at for view in tile.points if view.deadline_at is not None] + [tile.fact.maintenance_until or 0]
                    self._standing[code] = (now, min((end for end in ends if end > now), default=_NEVER), tile)
            return tile

    def alarms(self, scope: str | None = None) -> list[AlarmFact]:
        """Open alarms of a subtree, worst first, then newest."""
        with self._lock:
            alarms = [alarm for alarm in self._alarms.values() if self.visible(alarm.unit, scope)]
        return sorted(alarms, key=alarm_order)

    def groups(self, scope: str | None) -> list[tuple[AlarmFact, int]]:
        """Open group alarms that speak for an alarm of a subtree, worst first, each with the number of its rooms there. The group's own unit may lie
        above the subtree: then it is seen, not handled, from here."""
        rooms: dict[int, set[str]] = {}
        with self._lock:
            for alarm in self._alarms.values():
                if alarm.group is not None and alarm.group in self._alarms and self.visible(alarm.unit, scope):
                    rooms.setdefault(alarm.group, set()).update(self._rooms_of(alarm))
            found = [(self._alarms[ident], len(codes)) for ident, codes in rooms.items()]
        return sorted(found, key=lambda entry: alarm_order(entry[0]))

    def _rooms_of(self, alarm: AlarmFact) -> Iterable[str]:
        if alarm.room is not None:
            return (alarm.room,)
        gateway = self._gateways.get(alarm.subject.partition(":")[2])
        return gateway.rooms if gateway is not None else ()

    def present(self, code: str, quantity: str, now: int) -> float | None:
        """The good value of a quantity in a room now, None where there is none."""
        tile = self.room(code, now)
        view = None if tile is None else tile.headline(quantity)
        return view.value if view is not None and view.fresh else None

    def flood(self, scope: str | None) -> FloodFact | None:
        """The flood at the desk of a unit (None: of the topmost one), if there is one."""
        with self._lock:
            desk = scope or next((unit.code for unit in self._units.values() if len(unit.path) == 1), "")
            fact = self._floods.get(desk)
        return fact if fact is not None and fact.since is not None else None

    def point(self, point_id: int) -> PointFact | None:
        """The newest fact about a point."""
        return self._points.get(point_id)

    def view(self, point_id: int, now: int) -> PointView | None:
        """One point with its newest reading as it may be shown now; also one that belongs to no room."""
        point = self._points.get(point_id)
        return None if point is None else view_of(point, self._readings.get(point_id), now)

    def points(self) -> list[int]:
        """Ids of all points."""
        with self._lock:
            return list(self._points)

    def room_fact(self, code: str) -> RoomFact | None:
        """The newest fact about a room."""
        return self._rooms.get(code)

    def gateway(self, code: str) -> GatewayFact | None:
        """The newest fact about a gateway."""
        return self._gateways.get(code)

    def path(self, unit: str) -> tuple[str, ...]:
        """Unit codes from the province down to `unit`; empty when the board has not heard of it."""
        with self._lock:
            known = self._units.get(unit)
            return known.path if known else ()

    def room_path(self, code: str) -> tuple[str, ...]:
        """Unit path of a room; empty when there is no such room."""
        fact = self._rooms.get(code)
        return fact.unit_path if fact else ()

    def visible(self, unit: str | None, scope: str | None) -> bool:
        """Whether something of `unit` may be shown to somebody whose rights reach `scope` and below."""
        return scope is None or (unit is not None and (unit == scope or scope in self.path(unit)))

    def _fold(self, fact: Fact) -> set[str]:
        match fact:
            case AlarmFact():
                return self._fold_alarm(fact)
            case PointFact():
                return self._fold_point(fact)
            case GatewayFact():
                before = self._gateways.get(fact.code)
                self._gateways[fact.code] = fact
                return set(fact.rooms).union(before.rooms if before else ())
            case UnitFact():
                self._units[fact.code] = fact
            case FloodFact():
                self._floods[fact.unit] = fact
            case ClockFact():
                return self._put_back(fact.by)
            case RoomFact() | CoverageFact():
                return {self._fold_room(fact)}
        return set()

    def _put_back(self, by: int) -> set[str]:
        """Otherwise a room would look fresh, and newer readings be passed over, until the clock is there again."""
        self._readings = {ident: msgspec.structs.replace(reading, at=reading.at - by) for ident, reading in self._readings.items()}
        self._ticked = 0
        return set(self._rooms)

    def _fold_alarm(self, fact: AlarmFact) -> set[str]:
        before = self._alarms.get(fact.alarm_id)
        left = before.room if before is not None and before.room != fact.room else None
        if left is not None:
            self._room_alarms[left].pop(fact.alarm_id, None)
        of_room = self._room_alarms.setdefault(fact.room, {}) if fact.room else {}
        if fact.closed:
            self._alarms.pop(fact.alarm_id, None)
            of_room.pop(fact.alarm_id, None)
        else:
            self._alarms[fact.alarm_id] = of_room[fact.alarm_id] = fact
        return {room for room in (fact.room, left) if room}

    def _fold_point(self, fact: PointFact) -> set[str]:
        before = self._points.get(fact.point_id)
        self._points[fact.point_id] = fact
        if before is not None and before.room:
            self._room_points[before.room].discard(fact.point_id)
        if fact.room:
            self._room_points.setdefault(fact.room, set()).add(fact.point_id)
        return {room for room in (fact.room, before.room if before else None) if room}

    def _fold_room(self, fact: RoomFact | CoverageFact) -> str:
        if isinstance(fact, CoverageFact):
            self._coverage[fact.room] = fact
            return fact.room
        if fact.removed:
            self._rooms.pop(fact.code, None)
        else:
            self._rooms[fact.code] = fact
            self._units.setdefault(fact.unit, UnitFact(code=fact.unit, path=fact.unit_path, name=fact.unit_name))
        return fact.code

    def _ends(self, code: str) -> Iterable[int]:
        """When the tile of a room changes by itself: the deadlines of its readings, the end of its maintenance."""
        fact = self._rooms.get(code)
        if fact is None:
            return
        if fact.maintenance_until:
            yield fact.maintenance_until
        for ident in self._room_points.get(code, ()):
            reading = self._readings.get(ident)
            if reading is not None:
                yield reading.at + self._points[ident].deadline_ms

    def _next_change(self, code: str) -> int:
        return min((end for end in self._ends(code) if end > self._ticked), default=_NEVER)

    def _missing(self, fact: RoomFact, now: int) -> tuple[str, ...]:
        points, readings = self._points, self._readings
        fresh = {
            point.quantity
            for ident in self._room_points.get(fact.code, ())
            if (point := points[ident]).channel != OUTDOOR and quality_of(point, readings.get(ident), now) == FRESH
        }
        return tuple(quantity for quantity in fact.demanded if quantity not in fresh)

    def _state(self, fact: RoomFact, data: str, now: int) -> str:
        resting = "maintenance" if fact.maintenance_until is not None and now < fact.maintenance_until else "normal"
        alarms = self._room_alarms.get(fact.code, {}).values()
        return min((data, resting, *(state_of(alarm) for alarm in alarms if not alarm.drill)), key=severity)

    def _tile(self, fact: RoomFact, now: int) -> RoomTile:
        points = sorted((self._points[i] for i in self._room_points.get(fact.code, ())), key=lambda p: (p.quantity, p.device, p.channel))
        views = tuple(view_of(point, self._readings.get(point.point_id), now) for point in points)
        alarms = tuple(sorted(self._room_alarms.get(fact.code, {}).values(), key=lambda one: (one.drill, alarm_order(one))))
        missing = self._missing(fact, now)
        data = data_state(fact.demanded, missing)
        state = self._state(fact, data, now)
        coverage = self._coverage.get(fact.code)
        gateways = tuple(self._gateways[code] for code in sorted({point.gateway for point in points}) if code in self._gateways)
        since = coverage.since if coverage and state in ("blind", "degraded") and coverage.state == state else None
        return RoomTile(
            fact=fact,
            state=state,
            cause=cause_of(fact, data, coverage),
            since=since,
            missing=missing,
            points=views,
            alarms=alarms,
            coverage=coverage,
            gateways=gateways,
        )
