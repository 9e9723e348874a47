"""One transaction's worth of judging: inputs, then time itself, then what was collected is written.

The parts: samples.py (samples and silence), late.py, gateways.py, ledger.py (coverage), rooms.py (what people say about a room), lost.py (silence
after smoke), and behind everything groups.py, floods.py and chronic.py; all feed the pure core through steps.py.
"""

import logging

from sqlalchemy import insert, select, update

from server.metrics import Metrics
from server.store import journal, memories
from server.store.tables import Alarm, Watermark
from server.store.tables_watch import ServerOutage, WatchPulse
from server.watch.chronic import Standing
from server.watch.commit import Transaction
from server.watch.drills import Drills
from server.watch.floods import Floods
from server.watch.gateways import Gateways
from server.watch.groups import Groups
from server.watch.infos import Key
from server.watch.inputs import Columns, GatewayBirth, GatewayData, GatewayDeath, Receipt
from server.watch.ledger import Ledger
from server.watch.lost import Lost
from server.watch.rewind import put_back
from server.watch.rooms import Rooms
from server.watch.samples import Samples
from server.watch.spools import FOREIGN, Mark
from server.watch.state import World
from server.watch.steps import Steps
from server.watch.strays import Strays
from server.watch.works import Works

PULSE_MS, OUTAGE_MS = 1000, 2500

log = logging.getLogger("server.watch")


class Judge:
    """Built anew for each commit; everything lasting lives in the World."""

    def __init__(self, world: World, tx: Transaction, metrics: Metrics) -> None:
        self._world, self._tx, self._session, self._metrics = world, tx, tx.session, metrics
        self._steps = Steps(world, tx, metrics)
        self._ledger, self._lost = Ledger(self._steps), Lost(self._steps)
        self.rooms, self.groups = Rooms(self._steps, self._ledger), Groups(self._steps)
        self.works = Works(self._steps, self._ledger, self.rooms)
        self._strays = Strays(self._steps)
        self._samples = Samples(self._steps, self._ledger, self._lost)
        self._gateways = Gateways(self._steps, self._ledger, self._lost)
        self._marks: set[tuple[str, int]] = set()
        if tx.now < world.pulse_at - OUTAGE_MS:
            put_back(world, tx, self._ledger, self.works, world.pulse_at - tx.now)

    # -- inputs -------------------------------------------------------------------------------------------------------------------------

    def data(self, item: GatewayData) -> Receipt:
        """Samples of one message."""
        gateway = self._world.gateways.get(item.gateway)
        if gateway is None or gateway.unit is None:
            self._metrics.refused.labels("unclaimed").inc()
            return Receipt(claimed=False)
        if gateway.strange(item.group):
            return self._wrong_group()
        self._gateways.seen(gateway, item.received_at)
        if item.outbox is None:
            self._samples.take(item)
            return Receipt()
        mark = self._mark(item.gateway, item.outbox.epoch)
        if mark.holds(item.outbox.first, item.outbox.last):
            self._metrics.duplicates.inc()
            if self._unheard(item):
                self._samples.take(item)
                return self._foreign(item.gateway, item.outbox.epoch)
            return Receipt(item.outbox.epoch, mark.upto)
        mark = self._moved(item.gateway, item.outbox.epoch, mark.add(item.outbox.first, item.outbox.last, lost=item.gap is not None))
        self._samples.take(item)
        return Receipt(item.outbox.epoch, mark.upto)

    def birth(self, item: GatewayBirth) -> Receipt:
        """A gateway says who it is and what it measures."""
        known = self._world.gateways.get(item.gateway)
        if known is not None and known.strange(item.group):
            return self._wrong_group()
        if self._gateways.born(item).unit is None:
            return Receipt(claimed=False)
        if item.outbox is None:
            return Receipt()
        mark = self._mark(item.gateway, item.outbox.epoch)
        if mark.upto <= item.outbox.last < mark.top:  # below the watermark the gateway sees it for itself
            return self._foreign(item.gateway, item.outbox.epoch)
        mark = mark.declared(item.outbox.first)
        return Receipt(item.outbox.epoch, self._moved(item.gateway, item.outbox.epoch, mark).upto)

    def death(self, item: GatewayDeath) -> Receipt:
        """A gateway, or one device of a foreign one, is gone."""
        gateway = self._world.gateways.get(item.gateway)
        if gateway is None:
            return Receipt(claimed=False)
        if gateway.strange(item.group):
            return self._wrong_group()
        if item.device is not None:
            for point in self._gateways.points(gateway):
                if point.key.device == item.device:
                    self._samples.silence(point, item.at)
        elif gateway.online:
            self._gateways.gone(gateway, item.at)
        return Receipt()

    def _unheard(self, item: GatewayData) -> bool:
        """Whether a repeat holds a reading, taken just now, that is newer than any of its point: then it is none, whatever its sequences say."""
        columns = item.samples if isinstance(item.samples, Columns) else Columns.of(item.samples)
        points = self._world.by_metric[item.gateway]
        return any(
            place not in columns.special and (point := points.get(metric)) is not None and 0 < point.taken_at < columns.taken_at[place]
            for place, metric in enumerate(columns.metrics)
        )

    def _foreign(self, gateway: str, epoch: int) -> Receipt:
        """A gateway restored from an old image gives new readings the numbers of old ones: it is told to begin a new epoch, so that none is lost."""
        log.error("the spool of %s is not the one that the server knows (restored or copied); it is told to number anew", gateway)
        self._metrics.refused.labels("reused_sequence").inc()
        return Receipt(epoch, FOREIGN)

    def _wrong_group(self) -> Receipt:
        """A claimed gateway's name under another group is somebody else: neither believed nor acknowledged."""
        self._metrics.refused.labels("wrong_group").inc()
        return Receipt(claimed=False)

    def reread(self) -> None:
        """Rows or rules were read again: what they had bound is let go."""
        self._strays.mend()

    def end_drill(self, alarm: Alarm) -> None:
        """A drill is over; its alarm clears and closes."""
        Drills(self._steps).end(alarm)

    # -- time and the end -----------------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """After a start: time in which nobody listened is nobody's watch."""
        alive = self._world.pulse_at
        if alive and self._tx.now - alive > OUTAGE_MS:
            self._session.execute(insert(ServerOutage).values(began=alive, ended=self._tx.now))
            self._world.outages.append((alive, self._tx.now))
            self._ledger.outage(alive, self._tx.now)
        self._strays.mend()

    def tick(self) -> None:
        """Everything that time alone makes due."""
        for due, key in list(self._world.timers.pop(self._tx.now)):
            self._timer(key, due)
        self._samples.deadlines()
        self._samples.late.due()
        self._gateways.absent()
        self._ledger.due()
        self.works.due()

    def _timer(self, key: Key, due: int) -> None:
        world, rule = self._world, self._world.rule(key)
        kind, _, ident = key.subject.partition(":")
        if rule is not None and kind == "point" and (point := world.points.get(int(ident))) is not None:
            self._samples.timer(point, rule, key, due)
        elif rule is not None and kind == "room" and (room := world.rooms.get(ident)) is not None:
            self.rooms.timer(room, rule, due)
        elif rule is not None and kind == "gateway" and (gateway := world.gateways.get(ident)) is not None:
            self._gateways.timer(gateway, rule, key, due)
        else:
            self._strays.timer(key, due)

    def finish(self) -> int:
        """Fold what has a common cause, and write what was collected. Returns the number of samples."""
        self._gateways.settle()
        self._samples.late.finish()
        Standing(self._steps).finish()
        self.groups.finish()
        Floods(self._steps).finish()
        if self._samples.rows:
            journal.append(self._session, self._samples.rows, self._tx.now)
        marks = [(gateway, epoch, self._world.marks[gateway, epoch]) for gateway, epoch in sorted(self._marks)]
        memories.mark(self._session, [(gateway, epoch, mark.upto, mark.ranges, mark.lost) for gateway, epoch, mark in marks])
        self._gateways.finish()
        self._ledger.finish()
        self._tx.flush()
        self._pulse()
        return len(self._samples.rows)

    def _pulse(self) -> None:
        """A sign of life at least each second: after a crash it says since when nobody has watched."""
        if self._tx.now - self._world.pulse_at >= PULSE_MS:
            self._world.pulse_at = self._tx.now
            if not self._session.execute(update(WatchPulse).values(at=self._tx.now)).rowcount:  # type: ignore[attr-defined]
                self._session.execute(insert(WatchPulse).values(id=1, at=self._tx.now))

    def _mark(self, gateway: str, epoch: int) -> Mark:
        mark = self._world.marks.get((gateway, epoch))
        if mark is None:
            row = self._session.scalar(select(Watermark).where(Watermark.gateway == gateway, Watermark.epoch == str(epoch)))
            mark = Mark(row.upto, tuple((r[0], r[1]) for r in row.ranges), row.lost) if row is not None else Mark()
            self._world.marks[gateway, epoch] = mark
        return mark

    def _moved(self, gateway: str, epoch: int, mark: Mark) -> Mark:
        self._world.marks[gateway, epoch] = mark
        self._marks.add((gateway, epoch))
        return mark
