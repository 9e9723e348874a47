"""A small province for the tests of the watch: one county with two rooms, one gateway, real SQLite, time as an argument."""

import tempfile
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import select

from alarms.rules import parse_rules
from contract.batch import Outbox, PointDeclaration
from contract.sample import PointKey, Quality, Sample
from server.metrics import Metrics
from server.settings import WatchSettings
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Gateway, Person, Room, Unit
from server.store.tables_watch import Annunciation
from server.watch.inputs import GatewayBirth, GatewayData
from server.watch.loop import Watch
from tests.fresh import fresh

T0 = 1_790_000_000_000
RULES = """
rules:
  - name: humidity_high
    kind: threshold
    quantity: humidity
    ladder: {warn: {above: 60, on_delay: 30s}, alarm: {above: 65, on_delay: 20s}, urgent: {above: 75, on_delay: 10s}}
    deadband: 2
    off_delay: 20s
  - name: smoke
    kind: state
    quantity: smoke
    ladder: {critical: {equals: 1, on_delay: 0s}}
    latch: true
  - name: sensor_stale
    kind: stale
    quantity: any
    ladder: {warn: {on_delay: 0s}}
  - name: gateway_offline
    kind: stale
    subject: gateway
    ladder: {urgent: {on_delay: 5s}}
"""
ROOM, OTHER = "350102000000-01", "350102000000-02"
GATEWAY = "GW-350102-01"


class Slice:
    """A watch on a real database, driven by hand."""

    T0, ROOM, OTHER, GATEWAY = T0, ROOM, OTHER, GATEWAY

    def __init__(self, folder, rules=RULES, url=None):
        self.folder, self.rules = folder, rules
        self.db = Database(url or f"sqlite:///{folder / 'aw.db'}")
        if url is not None:
            migrate(self.db)
        self.now = T0
        self.facts = []
        self.sequence = 0
        self.settings = WatchSettings(stale_intervals=3, stale_min_s=30, restart_holdoff_s=10)
        self.start()

    def start(self):
        self.metrics = Metrics()
        self.watch = Watch(
            self.db, parse_rules(self.rules, "test.yaml"), self.settings, self.metrics, publish=lambda facts, now: self.facts.extend(facts)
        )
        self.watch.open(self.now)

    def run(self, seconds=0):
        """Let time pass in steps of a quarter second, as the writer's own ticks do; a long time in whole seconds."""
        end, step = self.now + int(seconds * 1000), 250 if seconds <= 10 else 1_000
        while True:
            self.watch.run_once(lambda: self.now)
            if self.now >= end:
                return
            self.now = min(self.now + step, end)

    def birth(self, points=None, interval_s=10, **changes):
        points = points or [("th1/humidity", ROOM), ("th1/temperature", ROOM), ("smoke1/smoke", ROOM)]
        declarations = tuple(PointDeclaration(metric, index, room, "", interval_s) for index, (metric, room) in enumerate(points))
        values = {"outbox": Outbox(77, 1, 0), "bd_seq": 0, "group": "350100", "gateway": GATEWAY} | changes
        future = self.watch.offer(GatewayBirth(received_at=self.now, points=declarations, **values))
        self.run()
        return future.result(0)

    def send(self, *readings, ago=0, historical=False, epoch=77, outbox=True, offset_ms=0, wait=True):
        """Send (metric, value[, quality]) readings taken `ago` seconds ago in one batch."""
        at = self.now - int(ago * 1000)
        samples = tuple(
            Sample(PointKey.of(GATEWAY, metric), at, value, quality[0] if quality else Quality.GOOD, historical=historical)
            for metric, value, *quality in readings
        )
        first, self.sequence = self.sequence + 1, self.sequence + len(samples)
        item = GatewayData(
            gateway=GATEWAY, received_at=self.now, samples=samples, offset_ms=offset_ms,
            outbox=Outbox(epoch, first, self.sequence) if outbox else None,
        )  # fmt: skip
        future = self.watch.offer(item)
        if wait:
            self.run()
            return future.result(0)
        return item, future

    def rows(self, table, **wanted):
        with self.db.read() as session:
            return list(session.scalars(select(table).filter_by(**wanted).order_by(table.id)))

    def asked(self):
        """Ids of the transitions that asked people for attention."""
        with self.db.read() as session:
            return set(session.scalars(select(Annunciation.transition)))

    def rows_of_gateway(self):
        with self.db.read() as session:
            return session.get(Gateway, GATEWAY)

    def order(self, command):
        future = self.watch.submit(command)
        self.run()
        return future.result(0)


def _people(db):
    """The county with its people, rooms and gateway."""
    with db.write() as session:
        session.add(Unit(code="350000000000", level=1, name="福建省厅", short_name="省厅"))
        session.flush()
        session.add(Unit(code="350100000000", parent="350000000000", level=2, name="福州市局", short_name="福州"))
        session.flush()
        session.add(Unit(code="350102000000", parent="350100000000", level=3, name="鼓楼分局", short_name="鼓楼"))
        session.add(Unit(code="350200000000", parent="350000000000", level=2, name="厦门市局", short_name="厦门"))
        session.flush()
        session.add(Person(id=1, code="P1", name="林一", phone="+8613900000001", unit="350102000000", duty="person_in_charge"))
        session.flush()
        for code in (ROOM, OTHER):
            session.add(
                Room(code=code, unit="350102000000", name=f"{code[-2:]}号库", short_name=f"{code[-2:]}库", sms_place=f"鼓楼{code[-2:]}库",
                     demanded=["temperature", "humidity"], person=1)
            )  # fmt: skip
        session.add(Gateway(code=GATEWAY, group_id="350100", unit="350102000000", changed_at=0, online=False))


@cache
def _county():
    """A file with the schema and the county: making it takes a second, so it is made once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "county.db"
        db = Database(f"sqlite:///{file}")
        migrate(db)
        _people(db)
        db.close()
        return file.read_bytes()


def populated(folder, rules=RULES, url=None):
    """The county, the watch open; in SQLite unless `url` names another database."""
    folder.mkdir(exist_ok=True)
    if url is None:
        (folder / "aw.db").write_bytes(_county())
        return Slice(folder, rules)
    made = Slice(folder, rules, url)
    _people(made.db)
    made.start()
    return made


@pytest.fixture
def db(tmp_path):
    """An empty database at the newest schema."""
    made = Database(fresh(tmp_path / "aw.db"))
    yield made
    made.close()


@pytest.fixture
def slice_(tmp_path):
    made = populated(tmp_path)
    yield made
    made.db.close()


COUNTY, SISTER = "350102000000", "350103000000"
POWER = """
  - name: power_lost
    kind: state
    quantity: power
    ladder: {urgent: {equals: 0, on_delay: 0s}}
"""


@pytest.fixture
def county(slice_):
    """Five more rooms and three more gateways in the county, two rooms and a gateway in its sister."""
    with slice_.db.write() as session:
        session.add(Unit(code=SISTER, parent="350100000000", level=3, name="台江分局", short_name="台江"))
        session.flush()
        for unit, numbers in ((COUNTY, range(3, 9)), (SISTER, range(1, 4))):
            for n in numbers:
                code = f"{unit}-{n:02}"
                session.add(Room(code=code, unit=unit, name=code, short_name=code[-2:], sms_place=code[-5:], demanded=["humidity"]))
        for n, unit in ((2, COUNTY), (3, COUNTY), (4, COUNTY), (5, SISTER)):
            session.add(Gateway(code=f"GW-{n}", group_id="350100", unit=unit, changed_at=0, online=False))
    slice_.rules += POWER
    slice_.start()
    return slice_
