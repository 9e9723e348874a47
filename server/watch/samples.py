"""Samples and their absence.

Live lane: a sample newer than anything judged of its point. Late lane: a delayed or historical one; it goes to the journal, and what it would have
raised becomes a known-late alarm (late.py). It never lowers or clears what is true now.
"""

import heapq
from collections.abc import Iterable, Sequence

from alarms.lifecycle import INITIAL, Seen, Tick, Unsuppress, advance, step
from alarms.quiet import ALWAYS, NEVER, quiet
from alarms.rules import Rule
from contract.drill import drill_of
from contract.sample import Quality, Sample
from server.live.facts import ReadingFact
from server.store.journal import QUALITY_CODE, Gathered
from server.watch.drills import Drills
from server.watch.gateways import OFFLINE
from server.watch.infos import GOOD, UNCERTAIN, Key, PointInfo
from server.watch.inputs import Columns, GatewayData
from server.watch.late import Late
from server.watch.ledger import Ledger
from server.watch.lost import Lost
from server.watch.steps import Steps

_GOOD = Quality.GOOD
"""By its own name: to look it up among the qualities takes as long as to judge a calm sample."""


class Samples:
    """The samples of one transaction, as rows for the journal and steps of the alarms."""

    def __init__(self, steps: Steps, ledger: Ledger, lost: Lost) -> None:
        self._steps, self._ledger, self._lost, self.late = steps, ledger, lost, Late(steps)
        self._drills = Drills(steps)
        self._world, self._tx = steps.world, steps.tx
        self.rows = Gathered()

    def take(self, item: GatewayData) -> None:
        """All samples of one message, in order. The coverage of their rooms is brought up to the receipt before, and judged anew behind it."""
        columns = item.samples if isinstance(item.samples, Columns) else Columns.of(item.samples)
        points = list(map(self._world.by_metric[item.gateway].get, columns.metrics))
        rooms = {point.room for point in points if point is not None and point.room is not None}
        self._ledger.before(rooms, item.received_at)
        place = 0
        while (place := self._calm(item, columns, points, place)) < len(points):
            point = points[place]
            if point is None:
                self._steps.metrics.refused.labels("unknown_point").inc()
            else:
                self._one(point, columns.sample(place, point.key), item, min(columns.taken_at[place] + item.offset_ms, item.received_at))
            place += 1
        self._ledger.after(rooms, item.received_at)

    def _calm(self, item: GatewayData, columns: Columns, points: Sequence[PointInfo | None], start: int) -> int:
        """Samples from `start` on that are live and good and change nothing but what is known of their points: nearly all of a province are such, so
        no more is done for them. Returns the place of the first that is not one of them."""
        offset, received_at, special = item.offset_ms, item.received_at, columns.special
        taken, values, end = columns.taken_at, columns.values, len(points)
        facts, idents, place = self._tx.facts, list[int](), start
        while place < end:
            point, value, taken_at = points[place], values[place], taken[place]
            if point is None or value is None or (special and place in special):
                break
            at = min(taken_at + offset, received_at)
            if not (point.low <= value <= point.high and point.last_at < at < point.until) or point.restless:
                break
            ident = point.id
            idents.append(ident)
            point.last_at = point.last_usable_at = point.last_good_at = at
            point.value, point.quality, point.reason, point.taken_at, point.received_at = value, GOOD, "", taken_at, received_at
            facts.append(ReadingFact(ident, value, _GOOD, taken_at, received_at, "", at))
            place += 1
        if idents:
            self.rows.good(idents, taken[start:place], values[start:place], received_at)
        return place

    def _one(self, point: PointInfo, sample: Sample, item: GatewayData, at: int) -> None:
        drill = drill_of(sample) if sample.reason else None
        if drill is not None:
            self._drills.take(point, sample, drill)
            return
        code = QUALITY_CODE[sample.quality]
        # Of a clock that is ahead every sample of a message counts as taken at its receipt: then the sender's own order decides.
        newer = at > point.last_at or (at == point.last_at and sample.taken_at > point.taken_at)
        live = newer and not sample.historical
        self.rows.add(point.id, sample.taken_at, sample.value, code, not live, item.received_at, sample.reason)
        if live:
            self._live(point, sample, item, at, code)
        else:
            self.late.take(point, sample, at)

    def _live(self, point: PointInfo, sample: Sample, item: GatewayData, at: int, code: int) -> None:
        value, usable = sample.value, code in (GOOD, UNCERTAIN)
        if not (usable and value is not None and point.low <= value <= point.high and at < point.until):
            self._core(point, sample, at, usable)
        elif point.restless:
            self._feed(point, point.restless, Seen(at, value, sample.quality, point.key.quantity, point.id), at)
        point.last_at, point.value, point.quality, point.reason = at, value, code, sample.reason
        point.taken_at, point.received_at = sample.taken_at, item.received_at
        if usable:
            point.last_usable_at, point.grace_until = at, 0
            if code == GOOD:
                point.last_good_at = at
            if point.silent:
                point.silent = False
                self._world.watch_deadline(point)
            if point.id in self._world.hushed:
                self._unhush(point)
            if point.room in self._world.lost:
                self._lost.heard(point, at)
        self._tx.facts.append(ReadingFact(point.id, value, sample.quality, sample.taken_at, item.received_at, sample.reason, at))

    def _core(self, point: PointInfo, sample: Sample, at: int, usable: bool) -> None:
        """A sample that may change something: the rules of the point, and of its room as a whole, that it may matter to see it; then it is known what
        is quiet."""
        quantity, value, bands = point.key.quantity, sample.value, point.bands
        rules = self._steps.fed(point)
        concerned = rules
        if usable and value is not None:
            concerned = [one for one in rules if (band := bands.get(one[1].name)) is None or not band.holds(at, value)]
        self._feed(point, concerned, Seen(at, value, sample.quality, quantity, point.id), at)
        if not usable or value is None:
            return
        for _, rule in concerned:
            bands.pop(rule.name, None)
        whole, restless = ALWAYS, []
        for subject, rule in rules:
            if (mine := bands.get(rule.name)) is None:
                memory = self._world.memory.get(Key(subject, rule.name))
                mine = quiet(rule, memory.state if memory is not None else INITIAL, value, quantity, point.id)
                if mine is NEVER:
                    restless.append((subject, rule))
                    continue
                bands[rule.name] = mine
            whole = whole.both(mine)
        (point.low, point.high, point.until), point.restless = whole, tuple(restless)

    def _feed(self, point: PointInfo, rules: Iterable[tuple[str, Rule]], event: Seen, at: int) -> None:
        for subject, rule in rules:
            key = Key(subject, rule.name)
            self._catch_up(point, key, rule, at)
            if subject is point.subject:
                self._steps.point(point, rule, event, at)
            else:
                self._steps.room(self._world.rooms[point.room or ""], rule, event, at)

    def _catch_up(self, point: PointInfo, key: Key, rule: Rule, at: int) -> None:
        """Fire the delays that ended before a sample, so that samples of one batch meet timers in the order of time."""
        memory = self._world.memory.get(key)
        if memory is None or rule.kind == "stale" or not (memory.state.onsets or memory.state.releases):
            return
        own = key.subject is point.subject
        deadline = point.last_usable_at + point.deadline_ms if own else self._world.heard_until(self._world.rooms[point.room or ""], rule)
        result = advance(rule, memory.state, at, deadline)
        if result.transitions:
            self._tx.apply(self._steps.subject(point, key, rule), rule, memory, result)

    # -- time and silence -----------------------------------------------------------------------------------------------------------------

    def deadlines(self) -> None:
        """Say which points have been silent for too long."""
        world, now = self._world, self._steps.now
        while world.deadlines and world.deadlines[0][0] < now:
            _, ident = heapq.heappop(world.deadlines)
            point = world.points.get(ident)
            if point is None or point.silent:
                continue
            due = world.silent_from(point)
            if due >= now:
                world.watch_deadline(point)
            else:
                self.silence(point, due)

    def silence(self, point: PointInfo, at: int) -> None:
        """A point is silent since an instant. Behind a dead gateway the gateway's own alarm speaks for it."""
        point.silent = True
        point.loud()
        gateway = self._world.gateways.get(point.key.gateway)
        if gateway is None or not gateway.online:
            return
        if point.id in self._world.hushed:
            self._unhush(point)
        for rule in point.rules:
            if rule.kind == "stale":
                self._steps.point(point, rule, Tick(fresh=False, deadline=at), self._steps.now)
        self._lost.silent((point,), at)
        for code in {other.room for other in map(self._world.points.__getitem__, gateway.points) if other.room is not None}:
            if self._world.rooms[code].coverage_cause in ("sensor", "server", "gateway"):
                self._ledger.recause(self._world.rooms[code], self._steps.now)

    def _unhush(self, point: PointInfo) -> None:
        """Its gateway is back and it has reported, or has had the time to: its own silence counts again."""
        self._world.hushed.discard(point.id)
        for rule in point.rules:
            if rule.kind == "stale":
                self._steps.point(point, rule, Unsuppress(OFFLINE), self._steps.now)

    def timer(self, point: PointInfo, rule: Rule, key: Key, due: int) -> None:
        """A delay of one of the point's alarms has ended."""
        memory = self._world.memory[key]
        self._tx.apply(self._steps.of_point(point, key), rule, memory, step(rule, memory.state, self._world.tick(point, due), due))
