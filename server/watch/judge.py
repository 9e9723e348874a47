"""Judging: samples, silence, births, deaths and time itself, turned into steps of the pure alarm core within one transaction.

Live lane: a sample newer than anything judged of its point. Late lane: a delayed or historical one; it goes to the journal, and what it would have
raised becomes a known-late alarm (补记). It never lowers or clears what is true now.
"""

import dataclasses
import heapq
from collections.abc import Sequence

from sqlalchemy import select, update

from alarms.coverage import classify
from alarms.lifecycle import INITIAL, Change, Event, Seen, Suppress, Tick, Unsuppress, advance, step
from alarms.rules import Rule
from contract.batch import PointDeclaration
from contract.quantities import QUANTITIES
from contract.sample import PointKey, Quality, Sample
from server.live.facts import CoverageFact, ReadingFact
from server.metrics import Metrics
from server.store import journal
from server.store.journal import QUALITY_CODE, JournalRow
from server.store.tables import Alarm, CoverageSpan, Gateway, Point, Room, Watermark
from server.watch.commit import Subject, Transaction
from server.watch.facts import gateway_fact, point_fact, room_fact
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath, Receipt
from server.watch.spools import Mark
from server.watch.state import GOOD, UNCERTAIN, GatewayInfo, Key, Memory, PointInfo, RoomInfo, World, gateway_info

GATEWAY_SILENCE_MS = 90_000
SEEN_SAVE_MS = 10_000
GATEWAY_OFFLINE = "gateway_offline"
MAINTENANCE = "maintenance"
ALWAYS_HEARD = ("smoke", "smoke_density")
"""Quantities that maintenance does not silence: that needs two persons."""


class Judge:
    """One transaction's worth of judging. Built anew for each commit; everything lasting lives in the World."""

    def __init__(self, world: World, tx: Transaction, metrics: Metrics) -> None:
        self._world, self._tx, self._metrics = world, tx, metrics
        self._session, self._now = tx.session, tx.now
        self._rows: list[JournalRow] = []
        self._marks: dict[tuple[str, int], Mark] = {}
        self._touched: set[str] = set()

    # -- inputs -------------------------------------------------------------------------------------------------------------------------

    def data(self, item: GatewayData) -> Receipt:
        """Samples of one message."""
        gateway = self._world.gateways.get(item.gateway)
        if gateway is None or gateway.unit is None:
            self._metrics.refused.labels("unclaimed").inc()
            return Receipt(claimed=False)
        self._seen(gateway, item.received_at)
        if item.outbox is not None:
            mark = self._mark(item.gateway, item.outbox.epoch)
            if mark.holds(item.outbox.first, item.outbox.last):
                self._metrics.duplicates.inc()
                return Receipt(item.outbox.epoch, mark.upto)
            mark = mark.add(item.outbox.first, item.outbox.last, lost=item.gap is not None)
            self._marks[item.gateway, item.outbox.epoch] = mark
        for sample in item.samples:
            self._sample(sample, item)
        return Receipt(item.outbox.epoch, self._marks[item.gateway, item.outbox.epoch].upto) if item.outbox is not None else Receipt()

    def birth(self, item: GatewayBirth) -> Receipt:
        """A gateway says who it is and what it measures."""
        row = self._session.get(Gateway, item.gateway)
        if row is None:
            row = Gateway(code=item.gateway, group_id=item.group, changed_at=self._now, online=False)
            self._session.add(row)
        if not row.online:
            row.online, row.changed_at = True, self._now
        row.bd_seq, row.last_seen_at, row.clock_offset_ms = item.bd_seq, item.received_at, item.offset_ms
        row.rules_version = item.rules_version or row.rules_version
        if item.outbox is not None:
            row.acknowledges, row.epoch = True, str(item.outbox.epoch)
        self._session.flush()
        gateway = self._remember_gateway(row)
        if gateway.unit is None:
            return Receipt(claimed=False)
        for declaration in item.points:
            self._declare(gateway, declaration)
        self._gateway_back(gateway, item.received_at)
        if item.outbox is None:
            return Receipt()
        mark = self._mark(item.gateway, item.outbox.epoch).declared(item.outbox.first)
        self._marks[item.gateway, item.outbox.epoch] = mark
        return Receipt(item.outbox.epoch, mark.upto)

    def death(self, item: GatewayDeath) -> Receipt:
        """A gateway, or one device of a foreign one, is gone."""
        gateway = self._world.gateways.get(item.gateway)
        if gateway is None:
            return Receipt(claimed=False)
        if item.device is not None:
            for point in self._points_of(gateway):
                if point.key.device == item.device:
                    self._silence(point, item.at)
        elif gateway.online:
            self._gateway_gone(gateway, item.at)
        return Receipt()

    def tick(self) -> None:
        """Everything that time alone makes due."""
        now = self._now
        self._fire_timers()
        while self._world.deadlines and self._world.deadlines[0][0] < now:
            _, ident = heapq.heappop(self._world.deadlines)
            point = self._world.points.get(ident)
            if point is None or point.silent:
                continue
            due = self._world.silent_from(point)
            if due >= now:
                self._world.watch_deadline(point)
            else:
                self._silence(point, due)
        for gateway in self._world.gateways.values():
            if gateway.unit is not None and not gateway.missed and (gateway.acknowledges or not gateway.online):
                # Also one that has never spoken: a claimed gateway owes us a birth from the moment the server listens.
                since = max(gateway.last_seen_at, self._world.started_at) + GATEWAY_SILENCE_MS
                if now > since:
                    self._gateway_gone(gateway, since)
        self._rooms_due()

    def finish(self) -> int:
        """Write what was collected: journal row, watermarks, coverage. Returns the number of samples."""
        if self._rows:
            journal.append(self._session, self._rows, self._now)
        for (gateway, epoch), mark in self._marks.items():
            self._session.merge(Watermark(gateway=gateway, epoch=str(epoch), upto=mark.upto, ranges=[list(r) for r in mark.ranges], lost=mark.lost))
        for room in self._touched:
            self.cover(self._world.rooms[room], self._now)
        return len(self._rows)

    # -- samples ------------------------------------------------------------------------------------------------------------------------

    def _sample(self, sample: Sample, item: GatewayData) -> None:
        point = self._world.by_key.get(sample.point)
        if point is None:
            self._metrics.refused.labels("unknown_point").inc()
            return
        code = QUALITY_CODE[sample.quality]
        at = min(sample.taken_at + item.offset_ms, item.received_at)
        live = at > point.last_at and not sample.historical
        self._rows.append(JournalRow(point.id, sample.taken_at, sample.value, code, not live, item.received_at, sample.reason))
        if live:
            self._live(point, sample, item, at, code)
        else:
            for rule in point.rules:
                if rule.kind != "stale":
                    self._late(point, rule, sample, at)

    def _live(self, point: PointInfo, sample: Sample, item: GatewayData, at: int, code: int) -> None:
        event = Seen(at, sample.value, sample.quality, point.key.quantity)
        for rule in point.rules:
            self._catch_up(point, rule, at)
            self._feed(point, rule, event, at)
        point.last_at, point.value, point.quality, point.reason = at, sample.value, code, sample.reason
        point.taken_at, point.received_at = sample.taken_at, item.received_at
        if code == GOOD:
            point.last_good_at = at
        if code in (GOOD, UNCERTAIN):
            point.last_usable_at = at
            if point.silent:
                point.silent = False
                self._world.watch_deadline(point)
        if point.room is not None:
            self._touched.add(point.room)
            self._judge_room(self._world.rooms[point.room], event)
        self._tx.facts.append(
            ReadingFact(
                point_id=point.id, value=sample.value, quality=sample.quality, reason=sample.reason,
                taken_at=sample.taken_at, received_at=item.received_at, offset_ms=item.offset_ms,
            )
        )  # fmt: skip

    def _feed(self, point: PointInfo, rule: Rule, event: Event, at: int) -> Alarm | None:
        key = Key(point.subject, rule.name)
        memory = self._world.memory.get(key)
        result = step(rule, memory.state if memory is not None else INITIAL, event, at)
        if memory is None:
            if result.state is INITIAL and not result.transitions:
                return None
            memory = Memory()
            self._world.memory[key] = memory
        return self._tx.apply(self._subject(point, key), rule, memory, result)

    def _judge_room(self, room: RoomInfo, event: Seen) -> None:
        """Rules about the room as a whole (dew point, mould, expressions) are fed by every quantity that they name."""
        for rule in room.rules:
            if rule.wants(event.quantity):
                self._feed_room(room, rule, event, event.at)

    def _feed_room(self, room: RoomInfo, rule: Rule, event: Event, at: int) -> None:
        key = Key(room.subject, rule.name)
        memory = self._world.memory.get(key)
        result = step(rule, memory.state if memory is not None else INITIAL, event, at)
        if memory is None:
            if result.state is INITIAL and not result.transitions:
                return
            memory = Memory()
            self._world.memory[key] = memory
        self._tx.apply(Subject(key, room.unit, room.code, rule.inputs[0] if rule.inputs else rule.quantity), rule, memory, result)

    def _tick_room(self, room: RoomInfo, rule: Rule, due: int) -> None:
        newest = [
            max((p.last_usable_at + p.deadline_ms for p in map(self._world.points.__getitem__, room.points) if p.key.quantity == quantity), default=0)
            for quantity in rule.inputs
        ]
        deadline = min(newest, default=0)
        self._feed_room(room, rule, Tick(fresh=deadline > due, deadline=deadline), due)

    def _catch_up(self, point: PointInfo, rule: Rule, at: int) -> None:
        """Fire the delays that ended before a sample, so that samples of one batch meet timers in the order of time."""
        memory = self._world.memory.get(Key(point.subject, rule.name))
        if memory is not None and rule.kind != "stale" and (memory.state.onsets or memory.state.releases):
            result = advance(rule, memory.state, at, point.last_usable_at + point.deadline_ms)
            if result.transitions:
                key = Key(point.subject, rule.name)
                self._tx.apply(self._subject(point, key), rule, memory, result)

    def _late(self, point: PointInfo, rule: Rule, sample: Sample, at: int) -> None:
        """Judge a delayed sample on a machine of its own; only a new alarm comes out of it."""
        key = Key(point.subject, rule.name)
        state, last = self._world.late.get(key, (INITIAL, 0))
        if at - last > point.deadline_ms:
            state = INITIAL  # nothing is known of the time between
        result = step(rule, state, Seen(at, sample.value, sample.quality, point.key.quantity), at)
        self._world.late[key] = (result.state, max(at, last))
        raised = next((change for change in result.transitions if change.annunciate), None)
        if raised is not None:
            self._known_late(point, rule, Memory(result.state), raised)

    def _known_late(self, point: PointInfo, rule: Rule, late: Memory, raised: Change) -> None:
        key = Key(point.subject, rule.name)
        live = self._world.memory.get(key)
        if live is not None and live.alarm is not None:
            alarm = self._session.get_one(Alarm, live.alarm)
            if raised.at < alarm.raised_at:
                alarm.raised_at, alarm.raised_value = raised.at, raised.value
                self._tx.add_transition(alarm, "known_late", by="", via="")
            return
        # Whether it still holds only a live sample can say: the record starts as "gone before anybody took it".
        state = dataclasses.replace(late.state, tripped=False, latched=rule.latch, cleared_at=raised.at, onsets=(), releases=())
        memory = Memory(state)
        self._world.memory[key] = memory
        alarm = self._tx.new_row(self._subject(point, key), rule, memory, known_late=True)
        transition = self._tx.add_transition(alarm, "known_late", by="", via="")
        transition.value = raised.value
        if QUANTITIES[point.key.quantity].urgent:
            self._tx.escalate(alarm, transition.id, "raised", self._now)
        self._tx.store(key, memory, alarm)

    # -- silence and gateways -----------------------------------------------------------------------------------------------------------

    def _silence(self, point: PointInfo, at: int) -> None:
        point.silent = True
        if point.room is not None:
            self._touched.add(point.room)
        gateway = self._world.gateways.get(point.key.gateway)
        if gateway is None or not gateway.online:
            return  # the gateway's own alarm speaks for its points
        for rule in point.rules:
            if rule.kind == "stale":
                self._feed(point, rule, Tick(fresh=False, deadline=at), self._now)

    def _gateway_gone(self, gateway: GatewayInfo, at: int) -> None:
        gateway.missed = True
        if gateway.online:
            gateway.online, gateway.changed_at = False, at
            self._session.execute(update(Gateway).where(Gateway.code == gateway.code).values(online=False, changed_at=at))
        for rule in gateway.rules:
            self._feed_gateway(gateway, rule, Tick(fresh=False, deadline=at), self._now)
        for point in self._points_of(gateway):
            self._suppress_silence(point, Suppress(GATEWAY_OFFLINE))
            if point.room is not None:
                self._touched.add(point.room)
        self._publish_gateway(gateway)

    def _gateway_back(self, gateway: GatewayInfo, at: int) -> None:
        self._seen(gateway, at)
        gateway.online, gateway.missed = True, False
        for rule in gateway.rules:
            self._feed_gateway(gateway, rule, Seen(at, 1, Quality.GOOD, "gateway"), at)
        for point in self._points_of(gateway):
            self._suppress_silence(point, Unsuppress(GATEWAY_OFFLINE))
            if point.silent:  # silent points get a full deadline to report again
                point.silent = False
                heapq.heappush(self._world.deadlines, (at + point.deadline_ms, point.id))
        self._publish_gateway(gateway)

    def _suppress_silence(self, point: PointInfo, event: Event) -> None:
        for rule in point.rules:
            if rule.kind == "stale" and Key(point.subject, rule.name) in self._world.memory:
                self._feed(point, rule, event, self._now)

    def _feed_gateway(self, gateway: GatewayInfo, rule: Rule, event: Event, at: int) -> None:
        if gateway.unit is None:
            return
        key = Key(gateway.subject, rule.name)
        memory = self._world.memory.setdefault(key, Memory())
        result = step(rule, memory.state, event, at)
        self._tx.apply(Subject(key, gateway.unit, None, "gateway"), rule, memory, result)

    def _seen(self, gateway: GatewayInfo, at: int) -> None:
        gateway.last_seen_at = max(gateway.last_seen_at, at)
        if not gateway.online:
            gateway.online, gateway.changed_at = True, at
            self._session.execute(update(Gateway).where(Gateway.code == gateway.code).values(online=True, changed_at=at))
            self._gateway_back(gateway, at)
        if at - gateway.saved_seen_at >= SEEN_SAVE_MS:
            gateway.saved_seen_at = at
            self._session.execute(update(Gateway).where(Gateway.code == gateway.code).values(last_seen_at=at))

    def _remember_gateway(self, row: Gateway) -> GatewayInfo:
        info = gateway_info(self._world, row)
        known = self._world.gateways.get(row.code)
        if known is not None:
            known.unit, known.path, known.rules, known.acknowledges = info.unit, info.path, info.rules, info.acknowledges
            return known
        self._world.gateways[row.code] = info
        return info

    def _declare(self, gateway: GatewayInfo, declaration: PointDeclaration) -> None:
        """A point of a birth. The server's own assignment of a room wins; a proposed one must lie inside the gateway's unit."""
        key = PointKey.of(gateway.code, declaration.metric)
        interval = int(declaration.interval_s * 1000) if declaration.interval_s is not None else None
        known = self._world.by_key.get(key)
        room = self._world.rooms.get(declaration.room)
        accepted = room.code if room is not None and gateway.unit in room.path else None
        if known is None:
            row = Point(
                gateway=key.gateway, device=key.device, quantity=key.quantity, channel=key.channel, room=accepted,
                unit=declaration.unit, interval_ms=interval, klass=declaration.klass, created_at=self._now,
            )  # fmt: skip
            self._session.add(row)
        else:
            if known.interval_ms == interval and (known.room is not None or accepted is None):
                self._tx.facts.append(point_fact(known, gateway))
                return
            row = self._session.get_one(Point, known.id)
            row.interval_ms, row.room, row.klass = interval, row.room or accepted, declaration.klass
        self._session.flush()
        point = self._world.add_point(row)
        heapq.heappush(self._world.deadlines, (self._now + point.deadline_ms, point.id))
        self._tx.facts.append(point_fact(point, gateway))

    def _publish_gateway(self, gateway: GatewayInfo) -> None:
        self._tx.facts.append(gateway_fact(self._world, gateway))

    # -- time ---------------------------------------------------------------------------------------------------------------------------

    def _fire_timers(self) -> None:
        for due, key in list(self._world.timers.pop(self._now)):
            memory, rule = self._world.memory.get(key), self._world.rule(key)
            if memory is None or rule is None:
                continue
            if key.subject.startswith("room:"):
                self._tick_room(self._world.rooms[key.subject.partition(":")[2]], rule, due)
                continue
            point = self._world.points.get(int(key.subject.partition(":")[2])) if key.subject.startswith("point:") else None
            if point is not None:
                self._tx.apply(self._subject(point, key), rule, memory, step(rule, memory.state, self._world.tick(point, due), due))
            else:
                gateway = self._world.gateways[key.subject.partition(":")[2]]
                tick = Tick(fresh=True) if gateway.online else Tick(fresh=False, deadline=gateway.changed_at)
                self._feed_gateway(gateway, rule, tick, due)

    # -- coverage and maintenance -------------------------------------------------------------------------------------------------------

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

    def _rooms_due(self) -> None:
        while self._world.room_changes and self._world.room_changes[0][0] <= self._now:
            due, code = heapq.heappop(self._world.room_changes)
            room = self._world.rooms.get(code)
            if room is not None:
                self.cover(room, due)
                if room.maintenance_until is not None and room.maintenance_until <= self._now:
                    self.maintain(room, None)

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
                    self._feed(point, rule, event, self._now)

    # -- helpers ------------------------------------------------------------------------------------------------------------------------

    def _mark(self, gateway: str, epoch: int) -> Mark:
        if (gateway, epoch) not in self._marks:
            row = self._session.scalar(select(Watermark).where(Watermark.gateway == gateway, Watermark.epoch == str(epoch)))
            self._marks[gateway, epoch] = Mark(row.upto, tuple((r[0], r[1]) for r in row.ranges), row.lost) if row is not None else Mark()
        return self._marks[gateway, epoch]

    def _subject(self, point: PointInfo, key: Key) -> Subject:
        room = self._world.rooms.get(point.room or "")
        unit = room.unit if room is not None else self._world.gateways[point.key.gateway].unit
        assert unit is not None  # noqa: S101 - points of an unclaimed gateway are never judged
        return Subject(key, unit, point.room, point.key.quantity)

    def _points_of(self, gateway: GatewayInfo) -> Sequence[PointInfo]:
        return [self._world.points[ident] for ident in gateway.points]
