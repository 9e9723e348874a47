"""Gateways: what they declare, their deaths and returns, and the silence of a whole gateway."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import bindparam, update

from alarms.lifecycle import Seen, Suppress, Tick
from alarms.rules import Rule
from contract.batch import PointDeclaration
from contract.sample import PointKey, Quality
from server.store import declared_rooms, lines, steps
from server.store.tables import Gateway, Point
from server.store.tables_series import PointStep
from server.watch.facts import gateway_fact, point_fact
from server.watch.infos import GatewayInfo, Key, PointInfo
from server.watch.inputs import GatewayBirth
from server.watch.ledger import TOGETHER_MS, Ledger, city
from server.watch.lost import Lost
from server.watch.state import gateway_info
from server.watch.steps import Steps

SILENCE_MS = 90_000
SEEN_SAVE_MS = 10_000
ABSENT_EVERY_MS = 250
"""How often all gateways are looked at; their absence is dated exactly all the same."""
OFFLINE = "gateway_offline"
FLAPS, FLAP_MS, STEADY_MS = 3, 10 * 60_000, 5 * 60_000
"""A link that fell three times in ten minutes flaps: its alarm stands until the link has held for five."""


class Gateways:
    """Births, deaths and silence of gateways within one transaction."""

    def __init__(self, steps: Steps, ledger: Ledger, lost: Lost) -> None:
        self._steps, self._ledger, self._lost = steps, ledger, lost
        self._alive: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []
        self._fallen: list[GatewayInfo] = []
        self._world, self._tx, self._session = steps.world, steps.tx, steps.session

    def born(self, item: GatewayBirth) -> GatewayInfo:
        """A gateway says who it is; what it measures counts once somebody has claimed it."""
        row = self._session.get(Gateway, item.gateway)
        if row is None:
            row = Gateway(code=item.gateway, group_id=item.group, changed_at=self._steps.now, online=False)
            self._session.add(row)
        if not row.online:
            row.online, row.changed_at = True, self._steps.now
        row.bd_seq, row.last_seen_at, row.clock_offset_ms = item.bd_seq, item.received_at, item.offset_ms
        row.born_stamp = item.stamp if item.stamp is not None else row.born_stamp
        row.rules_version = item.rules_version or row.rules_version
        row.offers = row.offers if item.offers is None else msgspec.to_builtins(item.offers)
        if item.outbox is not None:
            row.acknowledges, row.epoch = True, str(item.outbox.epoch)
        self._session.flush()
        gateway = self._remember(row)
        if gateway.unit is not None:
            self._declare(gateway, item.points)
            if item.outbox is not None:
                self._compare(gateway, item.points)
            self.back(gateway, item.received_at)
        return gateway

    def _remember(self, row: Gateway) -> GatewayInfo:
        info = gateway_info(self._world, row)
        known = self._world.gateways.get(row.code)
        if known is not None:
            known.unit, known.path, known.rules, known.acknowledges, known.group = info.unit, info.path, info.rules, info.acknowledges, info.group
            return known
        self._world.gateways[row.code] = info
        return info

    def _declare(self, gateway: GatewayInfo, declarations: Iterable[PointDeclaration]) -> None:
        """The points of a birth: those that are new or told otherwise are written together, and their rooms judged once."""
        rows = [row for declaration in declarations if (row := self._row(gateway, declaration)) is not None]
        self._session.flush()
        points = [self._world.add_point(row) for row in rows]
        for code in sorted({point.room for point in points if point.room is not None}):
            self._ledger.cover(self._world.rooms[code], self._steps.now)
            self._ledger.recause(self._world.rooms[code], self._steps.now)
        for point in points:
            self._world.watch_deadline(point)
            self._tx.facts.append(point_fact(point, gateway))

    def _row(self, gateway: GatewayInfo, declaration: PointDeclaration) -> Point | None:
        """The row of a declared point that has to be written. The server's own assignment of a room wins; a proposed one must lie in the unit."""
        key = PointKey.of(gateway.code, declaration.metric)
        interval = int(declaration.interval_s * 1000) if declaration.interval_s is not None else None
        known = self._world.by_metric[key.gateway].get(key.metric)
        room = self._world.rooms.get(declaration.room)
        accepted = room.code if room is not None and gateway.unit in room.path else None
        if known is None:
            row = Point(
                gateway=key.gateway, device=key.device, quantity=key.quantity, channel=key.channel, room=accepted,
                unit=declaration.unit, interval_ms=interval, klass=declaration.klass, created_at=self._steps.now,
            )  # fmt: skip
            self._session.add(row)
        else:
            if known.interval_ms == interval and (known.room is not None or accepted is None):
                self._tx.facts.append(point_fact(known, gateway))
                return None
            row = self._session.get_one(Point, known.id)
            if known.interval_ms != interval and known.last_at:
                self._session.add(PointStep(point=row.id, **steps.until(row.interval_ms, self._steps.now)))
            row.interval_ms, row.room, row.klass = interval, row.room or accepted, declaration.klass
        return row

    def _compare(self, gateway: GatewayInfo, declarations: Iterable[PointDeclaration]) -> None:
        """Note for which points the gateway names another room than they stand in, where that is news."""
        here = self._world.by_metric[gateway.code]
        named = {one.metric: one.room for one in declarations if one.room and (point := here.get(one.metric)) is not None and point.room is not None}
        differ = {metric: room for metric, room in named.items() if room != here[metric].room}
        if gateway.named is None:
            gateway.named = declared_rooms.told(self._session, gateway.code)
        if differ != gateway.named:
            declared_rooms.tell(self._session, gateway.code, differ, self._steps.now)
            gateway.named = differ

    def seen(self, gateway: GatewayInfo, at: int) -> None:
        """A sign of life."""
        gateway.last_seen_at = max(gateway.last_seen_at, at)
        if not gateway.online:
            gateway.online, gateway.changed_at = True, at
            self._line(gateway, lines.FLAPPING if self._flaps(gateway, at) else lines.BACK, at)
            self._session.execute(update(Gateway).where(Gateway.code == gateway.code).values(online=True, changed_at=at))
            self.back(gateway, at)
        if at - gateway.saved_seen_at >= SEEN_SAVE_MS:
            gateway.saved_seen_at = at
            self._alive.append({"gateway": gateway.code, "at": at})

    def back(self, gateway: GatewayInfo, at: int) -> None:
        """It is here again. Its points get a full deadline to report before their silence is said, also those that never have."""
        returned = not gateway.online
        self.seen(gateway, at)
        gateway.online, gateway.missed = True, False
        self._ledger.forget_dead()
        flaps = self._flaps(gateway, at)
        for rule in gateway.rules:
            if flaps and self._tripped(gateway, rule):
                gateway.steady_at = at + STEADY_MS
            else:
                self._steps.gateway(gateway, rule, Seen(at, 1, Quality.GOOD, "gateway"), at)
        for point in self.points(gateway):
            owes = point.silent or point.id in self._world.hushed or (returned and not point.last_usable_at)
            if owes and point.grace_until <= at:
                left = 0 if flaps else point.grace_left  # while it flaps its own alarm stands
                point.silent, point.grace_until, point.grace_left = False, at + self._world.settings.grace_ms(point.deadline_ms, left), 0
                self._world.watch_deadline(point)
        self._publish(gateway)

    def _flaps(self, gateway: GatewayInfo, at: int) -> bool:
        """Whether its alarm stands although it is here again: a link that has fallen so often must hold for a while first."""
        often = sum(at - fall <= FLAP_MS for fall in gateway.falls) >= FLAPS
        return often and any(self._tripped(gateway, rule) for rule in gateway.rules)

    def _tripped(self, gateway: GatewayInfo, rule: Rule) -> bool:
        memory = self._world.memory.get(Key(gateway.subject, rule.name))
        return memory is not None and memory.state.tripped

    def _line(self, gateway: GatewayInfo, kind: str, at: int) -> None:
        """Its line has gone or come: kept in its logbook, for whoever judges the case again."""
        self._lines.append(lines.row(gateway.code, kind, at, self._steps.now))

    def gone(self, gateway: GatewayInfo, at: int) -> None:
        """Its absence is certain since an instant: its points' silence is suppressed by design."""
        gateway.missed, gateway.steady_at = True, None
        self._line(gateway, lines.LOST, at)
        gateway.falls = (*gateway.falls[1 - FLAPS :], at)
        if gateway.online:
            gateway.online, gateway.changed_at = False, at
            self._session.execute(update(Gateway).where(Gateway.code == gateway.code).values(online=False, changed_at=at))
        for rule in gateway.rules:
            self._steps.gateway(gateway, rule, Tick(fresh=False, deadline=at), self._steps.now)
        for point in self.points(gateway):
            point.grace_left, point.grace_until = max(point.grace_until - at, 0), 0
            self._hush(point)
        self._lost.silent(self.points(gateway), at)
        self._fallen.append(gateway)
        self._publish(gateway)

    def settle(self) -> None:
        """Rooms that are not watched: their gateway's death, and that others died with it, say why. Once for all deaths of a transaction: when a
        region is cut, each of them changes what is said of all the others.
        """
        if not self._fallen:
            return
        self._ledger.forget_dead()
        rooms: set[str] = set()
        offline: dict[str, list[GatewayInfo]] = defaultdict(list)
        for other in self._world.gateways.values():
            if not other.online and other.path:
                offline[city(other)].append(other)
        for name, instants in self._cities().items():
            near = [one for one in offline[name] if any(abs(one.changed_at - at) <= TOGETHER_MS for at in instants)]
            rooms |= {point.room for one in near for point in self.points(one) if point.room is not None}
        rooms |= {point.room for gateway in self._fallen for point in self.points(gateway) if point.room is not None}
        for code in sorted(rooms):
            self._ledger.recause(self._world.rooms[code], self._steps.now)
        self._fallen.clear()

    def _cities(self) -> dict[str, set[int]]:
        """Cities in which gateways fell together in this transaction, and when."""
        found: dict[str, set[int]] = defaultdict(set)
        for gateway in self._fallen:
            if gateway.path and gateway.changed_at not in found[city(gateway)] and self._ledger.cut_off(gateway):
                found[city(gateway)].add(gateway.changed_at)
        return found

    def _hush(self, point: PointInfo) -> None:
        for rule in point.rules:
            if rule.kind == "stale" and Key(point.subject, rule.name) in self._world.memory:
                self._steps.point(point, rule, Suppress(OFFLINE), self._steps.now)
                self._world.hushed.add(point.id)
                point.loud()

    def timer(self, gateway: GatewayInfo, rule: Rule, key: Key, due: int) -> None:
        """A delay of its alarm has ended; while its link flaps the alarm stands as it is."""
        if gateway.online and gateway.steady_at is not None:
            self._world.timers.set(key, gateway.steady_at)
            return
        tick = Tick(fresh=True) if gateway.online else Tick(fresh=False, deadline=gateway.changed_at)
        self._steps.gateway(gateway, rule, tick, due)

    def absent(self) -> None:
        """Find the gateways that have said nothing for too long; a claimed one that never spoke owes a birth since the server listens."""
        if self._steps.now - self._world.absent_at < ABSENT_EVERY_MS:
            return
        self._world.absent_at = self._steps.now
        for gateway in self._world.gateways.values():
            if gateway.unit is not None and not gateway.missed and (gateway.acknowledges or not gateway.online):
                since = max(gateway.last_seen_at, self._world.started_at) + SILENCE_MS
                if self._steps.now > since:
                    self.gone(gateway, since)
            if gateway.steady_at is not None and gateway.steady_at <= self._steps.now:
                steady, gateway.steady_at = gateway.steady_at, None
                self._line(gateway, lines.BACK, steady)
                for rule in gateway.rules:
                    self._steps.gateway(gateway, rule, Seen(steady, 1, Quality.GOOD, "gateway"), steady)

    def finish(self) -> None:
        """Write the signs of life, and whose line has gone or come."""
        lines.write(self._session, self._lines)
        if self._alive:
            table = Gateway.__table__
            statement = update(table).where(table.c.code == bindparam("gateway")).values(last_seen_at=bindparam("at"))  # type: ignore[arg-type]
            self._session.connection().execute(statement, self._alive)

    def points(self, gateway: GatewayInfo) -> list[PointInfo]:
        """Its points."""
        return [self._world.points[ident] for ident in gateway.points]

    def _publish(self, gateway: GatewayInfo) -> None:
        self._tx.facts.append(gateway_fact(self._world, gateway))
