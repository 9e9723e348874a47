"""The coverage ledger: every instant of every connected room is watched, degraded, blind or manual, with its cause.

A stretch turns at the exact instant at which the watch over the room changed. What a batch brings changes the ledger from its receipt on: before,
nobody could have been alarmed. Late data never change it (recorded is not watched).
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, delete, insert, update

from alarms.builtin import ROOM_BLIND
from alarms.coverage import Watch, classify
from alarms.lifecycle import Seen, Tick
from contract.sample import Quality
from server.live.facts import CoverageFact
from server.store import audit
from server.store.tables import CoverageSpan
from server.store.tables_watch import RoomReport
from server.watch.infos import GatewayInfo, Key, PointInfo, RoomInfo
from server.watch.steps import Steps

TOGETHER_MS = 5 * 60_000
BUS_TOGETHER_MS = 60_000
"""Gateways that died within five minutes, and devices that fell silent within one, have a common cause."""
_CITY_DEPTH = 2
_SPAN = CoverageSpan.__table__
_BEGIN = insert(_SPAN)  # type: ignore[arg-type]
_OPEN = update(_SPAN).where(_SPAN.c.room == bindparam("of"), _SPAN.c.since == bindparam("began"), _SPAN.c.until.is_(None))  # type: ignore[arg-type]
_END = _OPEN.values(until=bindparam("ended"))
_CHANGE = _OPEN.values({name: bindparam(name) for name in ("state", "cause", "detail", "counted")})
"""Built once, and each run once a transaction: after a restart thousands of rooms turn within seconds."""


class Ledger:
    """Coverage within one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._session = steps, steps.world, steps.session
        self._dead: dict[str, list[int]] | None = None
        self._begun: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._ended: list[dict[str, Any]] = []
        self._open: dict[str, dict[str, Any]] = {}

    # -- time -----------------------------------------------------------------------------------------------------------------------------

    def before(self, codes: Iterable[str], at: int) -> None:
        """Bring rooms up to an instant, by what was known before it."""
        for code in codes:
            room = self._world.rooms[code]
            while room.next_change is not None and room.next_change <= at:
                self.cover(room, room.next_change)

    def after(self, codes: Iterable[str], at: int) -> None:
        """Samples came from these rooms at an instant. A watched room stays so; when it turns is found when its earliest deadline comes up."""
        for code in codes:
            room = self._world.rooms[code]
            if room.coverage != Watch.WATCHED:
                self.cover(room, at)

    def due(self) -> None:
        """Turn the rooms whose coverage has changed by time alone."""
        changes, now = self._world.room_changes, self._steps.now
        while changes and changes[0][0] <= now:
            due, code = heapq.heappop(changes)
            room = self._world.rooms.get(code)
            if room is not None and room.next_change is not None and room.next_change <= due:
                self.before((code,), now)

    def schedule(self, room: RoomInfo, at: int) -> None:
        """Have a room looked at no later than at an instant."""
        if room.next_change is None or at < room.next_change:
            room.next_change = at
            heapq.heappush(self._world.room_changes, (at, room.code))

    # -- one room -------------------------------------------------------------------------------------------------------------------------

    def cover(self, room: RoomInfo, at: int) -> None:
        """Judge a room as it was at an instant, and begin a new stretch there if it has turned."""
        room.next_change = None
        if not room.connected:
            self._close(room, at)
            return
        result = classify(room.demanded, self._deadlines(room), at, room.manual_until)
        planned = room.planned(at)
        for change in (result.next_change_at, *(turn for turn in room.work_turns() if turn > at)):
            if change is not None:
                self.schedule(room, change)
        state, missing = str(result.state), tuple(result.missing)
        lacking = state != Watch.WATCHED
        known = (room.coverage, room.coverage_missing, room.coverage_cause == "planned", room.span_counted)
        if (state, missing, planned and lacking, room.counted) != known:
            self._turn(room, state, missing, at, self._cause(room, missing, at) if lacking else "")

    def recause(self, room: RoomInfo, at: int) -> None:
        """Something has become known about why a room is not watched."""
        if room.coverage and room.coverage != Watch.WATCHED:
            cause = self._cause(room, room.coverage_missing, at)
            if cause != room.coverage_cause:
                self._turn(room, room.coverage, room.coverage_missing, at, cause)

    def outage(self, began: int, ended: int) -> None:
        """The server did not run: nobody watched but persons who had reported."""
        for room in self._world.rooms.values():
            if room.connected and room.coverage:
                until = room.manual_until or 0
                if until > began:
                    self._turn(room, Watch.MANUAL, room.demanded, began, "server")
                if until < ended:
                    self._turn(room, Watch.BLIND, room.demanded, max(began, until), "server")
            self.cover(room, ended)

    def rewind(self, now: int, by: int) -> None:
        """The clock was ahead and was put back `by` ms: what the ledger says of the time to come is taken back, and what held last holds from now on.

        Otherwise a room that is blind in that time would stand there as watched, and its time would count twice. A person's report counts as long
        from now on as it would have counted.
        """
        connection = self._session.connection()
        gone = connection.execute(delete(CoverageSpan).where(CoverageSpan.since >= now)).rowcount
        connection.execute(update(CoverageSpan).where(CoverageSpan.until > now).values(until=now))
        reports = update(RoomReport).where(RoomReport.at > now)
        connection.execute(reports.values(at=RoomReport.at - by, until=RoomReport.until - by))
        for room in self._world.rooms.values():
            if room.manual_until is not None:
                room.manual_until = min(room.manual_until, now + int(self._world.settings.manual_min * 60_000))
            if room.open and room.coverage_since >= now:
                room.coverage_since = now
                self._write(room, begun=True)
        audit.append(self._session, "系统", "clock_put_back", "coverage", {"seconds": by // 1000, "stretches": gone}, now)

    def _deadlines(self, room: RoomInfo) -> dict[str, list[int]]:
        deadlines: dict[str, list[int]] = {}
        for ident in room.points:
            point = self._world.points[ident]
            deadlines.setdefault(point.key.quantity, []).append(point.last_good_at + point.deadline_ms if point.last_good_at else 0)
        return deadlines

    def _turn(self, room: RoomInfo, state: str, missing: tuple[str, ...], at: int, cause: str) -> None:
        at = max(at, room.coverage_since)
        again = room.open and at == room.coverage_since
        if not again:
            self._close(room, at)
        turned_blind, was_blind = state == Watch.BLIND, room.coverage == Watch.BLIND
        room.coverage, room.coverage_missing, room.coverage_cause, room.coverage_since = str(state), missing, cause, at
        room.span_counted = room.counted
        self._write(room, begun=not again)
        if turned_blind != was_blind:
            self._tell(room, turned_blind, at)

    def _write(self, room: RoomInfo, *, begun: bool) -> None:
        """The open stretch of a room as it is now, for the database and the board."""
        detail = ",".join(room.coverage_missing)[:120]
        values = {"state": room.coverage, "cause": room.coverage_cause, "detail": detail, "counted": room.span_counted}
        if begun:
            self._open[room.code] = {"room": room.code, "since": room.coverage_since, "until": None, **values}
            self._begun.append(self._open[room.code])
            room.open = True
        elif room.code in self._open:
            self._open[room.code].update(values)
        else:
            self._changed.append({"of": room.code, "began": room.coverage_since, **values})
        self._steps.tx.facts.append(CoverageFact(room=room.code, state=room.coverage, cause=room.coverage_cause, since=room.coverage_since))

    def _close(self, room: RoomInfo, at: int) -> None:
        if room.open:
            until = max(at, room.coverage_since)
            if (begun := self._open.pop(room.code, None)) is not None:
                begun["until"] = until
            else:
                self._ended.append({"of": room.code, "began": room.coverage_since, "ended": until})
            if not room.connected:
                room.open, room.coverage, room.coverage_missing, room.coverage_cause = False, "", (), ""
                self._tell(room, False, at)

    def finish(self) -> None:
        """Write the stretches that have changed, ended and begun."""
        for statement, rows in ((_CHANGE, self._changed), (_END, self._ended), (_BEGIN, self._begun)):
            if rows:
                self._session.connection().execute(statement, rows)

    def _tell(self, room: RoomInfo, blind: bool, at: int) -> None:
        """A room that is blind becomes an alarm when that lasts; one that has no points or of which nothing is demanded was never connected."""
        rule, now = self._world.builtin[ROOM_BLIND], self._steps.now
        if blind and room.points and room.demanded:
            # What was blind because the server was away gets the rule's whole delay to come back.
            self._steps.room(room, rule, Tick(fresh=False, deadline=max(at, self._world.started_at)), now)
        elif Key(room.subject, ROOM_BLIND) in self._world.memory:
            self._steps.room(room, rule, Seen(at, 1, Quality.GOOD), at)

    # -- causes ---------------------------------------------------------------------------------------------------------------------------

    def _cause(self, room: RoomInfo, missing: tuple[str, ...], at: int) -> str:
        points = [point for ident in room.points if (point := self._world.points[ident]).key.quantity in missing]
        if not points:
            return "not_connected"
        if room.planned(at):
            return "planned"
        gateways = [gateway for code in {p.key.gateway for p in points} if (gateway := self._world.gateways.get(code)) is not None]
        if gateways and not any(gateway.online for gateway in gateways):
            if any(self._unpowered(gateway) for gateway in gateways):
                return "power"
            return "uplink" if any(self.cut_off(gateway) for gateway in gateways) else "gateway"
        return "bus" if any(self._bus(point, at) for point in points) else "sensor"

    def _unpowered(self, gateway: GatewayInfo) -> bool:
        """Whether the last that it said of its mains is that they are gone: it ran on its battery until that was empty."""
        return any(point.key.quantity == "power" and point.value == 0 for point in map(self._world.points.__getitem__, gateway.points))

    def cut_off(self, gateway: GatewayInfo) -> bool:
        """Whether another gateway of its city died about when it did."""
        if self._dead is None:
            self._dead = defaultdict(list)
            for other in self._world.gateways.values():
                if not other.online and other.path and other.changed_at:  # one that never spoke has not died
                    self._dead[city(other)].append(other.changed_at)
        return sum(abs(died - gateway.changed_at) <= TOGETHER_MS for died in self._dead.get(city(gateway), ())) > 1

    def forget_dead(self) -> None:
        """A gateway has gone or come: count anew."""
        self._dead = None

    def _bus(self, point: PointInfo, at: int) -> bool:
        """Whether another device of its gateway fell silent about when this one did: it has missed two of its own readings."""
        gateway = self._world.gateways.get(point.key.gateway)
        if gateway is None or not point.last_usable_at:
            return False
        newest: dict[str, int] = {}
        patience: dict[str, int] = {}
        for other in map(self._world.points.__getitem__, gateway.points):
            device = other.key.device
            newest[device] = max(newest.get(device, 0), other.last_usable_at)
            wait = other.deadline_ms if other.interval_ms is None else min(2 * other.interval_ms, other.deadline_ms)
            patience[device] = min(patience.get(device, wait), wait)
        mine = newest.pop(point.key.device)
        return any(abs(last - mine) <= BUS_TOGETHER_MS and last + patience[device] <= at for device, last in newest.items())


def city(gateway: GatewayInfo) -> str:
    """Its city, or the province for a gateway of the province itself."""
    return gateway.path[:_CITY_DEPTH][-1]
