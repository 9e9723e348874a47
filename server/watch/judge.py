"""One transaction's worth of judging: inputs, then time itself, then what was collected is written.

The parts: samples.py (samples and silence), gateways.py, rooms.py (coverage and maintenance), late.py; all feed the pure core through steps.py.
"""

from sqlalchemy import select

from alarms.lifecycle import Tick
from server.metrics import Metrics
from server.store import journal
from server.store.tables import Alarm, Watermark
from server.watch.commit import Transaction
from server.watch.drills import Drills
from server.watch.gateways import Gateways
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath, Receipt
from server.watch.rooms import Rooms
from server.watch.samples import Samples
from server.watch.spools import Mark
from server.watch.state import Key, World
from server.watch.steps import Steps


class Judge:
    """Built anew for each commit; everything lasting lives in the World."""

    def __init__(self, world: World, tx: Transaction, metrics: Metrics) -> None:
        self._world, self._session, self._now, self._metrics = world, tx.session, tx.now, metrics
        self._steps = Steps(world, tx, metrics)
        self.rooms = Rooms(self._steps)
        self._samples = Samples(self._steps, self.rooms)
        self._gateways = Gateways(self._steps, self.rooms)
        self._marks: dict[tuple[str, int], Mark] = {}

    # -- inputs -------------------------------------------------------------------------------------------------------------------------

    def data(self, item: GatewayData) -> Receipt:
        """Samples of one message."""
        gateway = self._world.gateways.get(item.gateway)
        if gateway is None or gateway.unit is None:
            self._metrics.refused.labels("unclaimed").inc()
            return Receipt(claimed=False)
        self._gateways.seen(gateway, item.received_at)
        if item.outbox is None:
            self._samples.take(item)
            return Receipt()
        mark = self._mark(item.gateway, item.outbox.epoch)
        if mark.holds(item.outbox.first, item.outbox.last):
            self._metrics.duplicates.inc()
            return Receipt(item.outbox.epoch, mark.upto)
        mark = mark.add(item.outbox.first, item.outbox.last, lost=item.gap is not None)
        self._marks[item.gateway, item.outbox.epoch] = mark
        self._samples.take(item)
        return Receipt(item.outbox.epoch, mark.upto)

    def birth(self, item: GatewayBirth) -> Receipt:
        """A gateway says who it is and what it measures."""
        if self._gateways.born(item).unit is None:
            return Receipt(claimed=False)
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
            for point in self._gateways.points(gateway):
                if point.key.device == item.device:
                    self._samples.silence(point, item.at)
        elif gateway.online:
            self._gateways.gone(gateway, item.at)
        return Receipt()

    def end_drill(self, alarm: Alarm) -> None:
        """A drill is over; its alarm clears and closes."""
        Drills(self._steps).end(alarm)

    # -- time and the end -----------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Everything that time alone makes due."""
        for due, key in list(self._world.timers.pop(self._now)):
            self._timer(key, due)
        self._samples.deadlines()
        self._gateways.absent()
        self.rooms.due()

    def _timer(self, key: Key, due: int) -> None:
        rule = self._world.rule(key)
        if rule is None or key not in self._world.memory:
            return
        kind, _, ident = key.subject.partition(":")
        if kind == "point":
            self._samples.timer(self._world.points[int(ident)], rule, key, due)
        elif kind == "room":
            self.rooms.timer(self._world.rooms[ident], rule, due)
        else:
            gateway = self._world.gateways[ident]
            tick = Tick(fresh=True) if gateway.online else Tick(fresh=False, deadline=gateway.changed_at)
            self._steps.gateway(gateway, rule, tick, due)

    def finish(self) -> int:
        """Write what was collected: journal row, watermarks, coverage. Returns the number of samples."""
        if self._samples.rows:
            journal.append(self._session, self._samples.rows, self._now)
        for (gateway, epoch), mark in self._marks.items():
            self._session.merge(Watermark(gateway=gateway, epoch=str(epoch), upto=mark.upto, ranges=[list(r) for r in mark.ranges], lost=mark.lost))
        self.rooms.finish()
        return len(self._samples.rows)

    def _mark(self, gateway: str, epoch: int) -> Mark:
        if (gateway, epoch) not in self._marks:
            row = self._session.scalar(select(Watermark).where(Watermark.gateway == gateway, Watermark.epoch == str(epoch)))
            self._marks[gateway, epoch] = Mark(row.upto, tuple((r[0], r[1]) for r in row.ranges), row.lost) if row is not None else Mark()
        return self._marks[gateway, epoch]
