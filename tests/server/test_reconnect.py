"""All gateways of a province come back within ten seconds after the server was killed: no false alarm, none lost, no sample lost or twice."""

import random

import pytest
from sqlalchemy import func, select

from alarms.rules import default_rules
from contract.batch import Outbox, PointDeclaration
from contract.sample import PointKey, Sample
from server import coverage
from server.metrics import Metrics
from server.settings import WatchSettings
from server.store.session import Database
from server.store.tables import Alarm, Gateway, Journal, Room, Unit, Watermark
from server.store.tables_watch import Annunciation
from server.watch.inputs import GatewayBirth, GatewayData
from server.watch.loop import Watch
from tests.fresh import fresh

T0 = 1_790_000_000_000
UNIT, EVERY_MS, AWAY_MS = "350102000000", 10_000, 45_000
CALM = {"th1/temperature": 20.0, "th1/humidity": 52.0, "s1/smoke": 0.0, "d1/door": 0.0}


class Province:
    """Gateways with a spool each in front of a watch that is driven by hand."""

    def __init__(self, folder, count):
        self.db, self.now, self.dice = Database(fresh(folder / "aw.db")), T0, random.Random(count)
        self.codes = [f"GW-{n:04}" for n in range(count)]
        self.rooms = {code: f"{UNIT[:6]}{n // 90:06}-{n % 90 + 1:02}" for n, code in enumerate(self.codes)}
        with self.db.write() as session:
            session.add(Unit(code="350000000000", level=1, name="省", short_name="省"))
            session.flush()
            session.add(Unit(code=UNIT, parent="350000000000", level=2, name="鼓楼", short_name="鼓楼"))
            session.flush()
            for code, room in self.rooms.items():
                session.add(Room(code=room, unit=UNIT, name=room, short_name="库", sms_place="库", demanded=["temperature", "humidity", "smoke"]))
                session.add(Gateway(code=code, group_id="350100", unit=UNIT, changed_at=0, online=False))
        self.sequence, self.spool = dict.fromkeys(self.codes, 0), {code: [] for code in self.codes}
        self.sent, self.smoking = 0, set()
        self.start()

    def start(self):
        self.watch = Watch(self.db, default_rules(), WatchSettings(), Metrics(), publish=lambda facts, now: None)
        self.watch.open(self.now)

    def measure(self, code):
        """One reading of each point goes into the spool."""
        values = CALM | ({"s1/smoke": 1.0} if code in self.smoking else {})
        samples = [Sample(PointKey.of(code, metric), self.now, value) for metric, value in values.items()]
        first, self.sequence[code] = self.sequence[code] + 1, self.sequence[code] + len(samples)
        self.spool[code].append((first, self.sequence[code], samples))
        self.sent += len(samples)

    def born(self, code):
        points = tuple(PointDeclaration(metric, n, self.rooms[code], "", EVERY_MS / 1000) for n, metric in enumerate(CALM))
        first = self.spool[code][0][0] if self.spool[code] else self.sequence[code] + 1
        box = Outbox(7, first, self.sequence[code])
        self.watch.offer(GatewayBirth(gateway=code, group="350100", received_at=self.now, bd_seq=0, outbox=box, points=points))

    def drain(self, code):
        """The newest batch first, then what has waited, marked as delayed; twice, as a broker may deliver it."""
        for first, last, samples in (spool := self.spool[code])[-1:] + spool[:-1]:
            late = self.now - samples[0].taken_at > 2 * EVERY_MS
            told = tuple(Sample(one.point, one.taken_at, one.value, historical=late) for one in samples)
            for _ in range(1 + (self.dice.random() < 0.2)):
                self.watch.offer(GatewayData(gateway=code, received_at=self.now, samples=told, outbox=Outbox(7, first, last)))
        self.spool[code] = []

    def settle(self):
        while len(self.watch.inbox):
            self.watch.run_once(lambda: self.now)
        self.watch.run_once(lambda: self.now)

    def alive(self, seconds):
        """Everybody reports at his own time in every ten seconds."""
        for _ in range(seconds):
            for n, code in enumerate(self.codes):
                if n % 10 == self.now // 1000 % 10:
                    self.measure(code)
                    self.drain(code)
            self.settle()
            self.now += 1_000
        self.settle()


@pytest.mark.parametrize("count", [40, pytest.param(1_300, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_a_province_reconnects_without_a_false_alarm_and_without_a_lost_one(tmp_path, count):
    province = Province(tmp_path, count)
    for code in province.codes:
        province.born(code)
    province.alive(40)
    province.start_of_outage = province.now
    burning = set(province.dice.sample(province.codes, 3))
    for second in range(AWAY_MS // 1000):  # killed: nothing is closed, nothing said; the gateways measure on
        if second == 20:
            province.smoking = burning
        for n, code in enumerate(province.codes):
            if n % 10 == province.now // 1000 % 10:
                province.measure(code)
        province.now += 1_000
    province.start()
    coming = sorted((province.now + province.dice.randrange(10_000), code) for code in province.codes)
    province.settle()
    while coming:
        while coming and coming[0][0] <= province.now:
            _, code = coming.pop(0)
            province.born(code)
            province.measure(code)
            province.drain(code)
        province.settle()
        province.now += 250
    province.alive(240)  # beyond every deadline, hold-off and delay
    with province.db.read() as session:
        alarms = session.scalars(select(Alarm)).all()
        asked = set(session.scalars(select(Annunciation.alarm)))
        stored = session.scalar(select(func.sum(Journal.count)))
        marks = {row.gateway: (row.upto, row.ranges, row.lost) for row in session.scalars(select(Watermark))}
        [watched] = coverage.sums(session, None, T0 + 40_000, province.now)
    assert {(alarm.room, alarm.rule) for alarm in alarms} == {(province.rooms[code], "smoke") for code in burning}
    assert len(alarms) == 3
    assert asked == {alarm.id for alarm in alarms}
    assert all(alarm.raised_at < province.start_of_outage + AWAY_MS for alarm in alarms)  # since its true start
    assert stored == province.sent
    assert marks == {code: (province.sequence[code], [], 0) for code in province.codes}
    assert set(watched.causes) == {"server"}
    assert abs(watched.causes["server"] - count * AWAY_MS) <= count * 1_000  # up to the last sign of life before the kill
    province.db.close()
