"""The watch alone: batches of many gateways judged and committed on a real SQLite database, with the product's own rules and simulated time.

Beside it: bare SQLite commits (WAL, synchronous FULL) of the very journal bodies that the watch wrote, grouped as it grouped them.
"""

from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import select

import alarms
from alarms.rules import parse_rules
from benchmarks.figures import bare_commits, row, spread, took_ms
from contract.batch import Outbox, PointDeclaration
from contract.sample import PointKey, Sample
from server.metrics import Metrics
from server.settings import WatchSettings
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Alarm, Gateway, Journal, Room, Unit
from server.watch.inbox import GROUP_LIMIT, GROUP_SAMPLES
from server.watch.inputs import GatewayBirth, GatewayData
from server.watch.loop import Watch

T0 = 1_790_000_000_000
UNIT = "350102000000"
QUANTITIES = ("temperature", "humidity", "smoke", "door", "leak")
CALM = {"temperature": 20.0, "humidity": 50.0}
INTERVAL_S = 10
RULES = Path(alarms.__file__).with_name("default-rules.yaml")


class House:
    """Gateways with their points, claimed and in rooms of five points, in front of a watch that is driven by hand."""

    def __init__(self, folder: Path, gateways: int, points: int) -> None:
        self.db = Database(f"sqlite:///{folder / 'watch.db'}")
        migrate(self.db)
        self.now, self.points, self.facts = T0, points, 0
        self.gateways = [f"GW-350102-{n:04}" for n in range(gateways)]
        self.sequence = dict.fromkeys(self.gateways, 0)
        with self.db.write() as session:
            session.add(Unit(code=UNIT, level=1, name="鼓楼分局", short_name="鼓楼"))
            session.flush()
            for number in range(gateways * points // len(QUANTITIES)):
                session.add(Room(code=self.room(number), unit=UNIT, name=f"{number}号库", short_name=f"{number}库", sms_place="鼓楼",
                                 demanded=["temperature", "humidity"]))  # fmt: skip
            session.add_all(Gateway(code=code, group_id="350100", unit=UNIT, changed_at=0, online=False) for code in self.gateways)
        self.watch = Watch(self.db, parse_rules(RULES.read_text("utf-8"), RULES.name), WatchSettings(), Metrics(), publish=self.publish)
        self.watch.open(self.now)
        for code in self.gateways:
            self.watch.offer(self.birth(code))
        while self.step():
            pass

    def publish(self, facts: Any, _now: int) -> None:
        self.facts += len(facts)

    @staticmethod
    def room(number: int) -> str:
        return f"{350102000000 + number // 90:012}-{number % 90 + 1:02}"

    def metrics(self, code: str) -> list[tuple[str, str]]:
        first = self.gateways.index(code) * self.points // len(QUANTITIES)
        return [(f"d{n}/{QUANTITIES[n % len(QUANTITIES)]}", self.room(first + n // len(QUANTITIES))) for n in range(self.points)]

    def birth(self, code: str) -> GatewayBirth:
        points = tuple(PointDeclaration(metric, index, room, "", INTERVAL_S) for index, (metric, room) in enumerate(self.metrics(code)))
        return GatewayBirth(gateway=code, group="350100", received_at=self.now, bd_seq=0, outbox=Outbox(77, 1, 0), points=points)

    def data(self, code: str, tick: int) -> GatewayData:
        keys = [PointKey.of(code, metric) for metric, _ in self.metrics(code)]
        values = [CALM.get(key.quantity, 0.0) + ((tick * 3 + n) % 20 / 10 if key.quantity in CALM else 0) for n, key in enumerate(keys)]
        samples = tuple(Sample(key, self.now - 500, value) for key, value in zip(keys, values, strict=True))
        first, self.sequence[code] = self.sequence[code] + 1, self.sequence[code] + len(samples)
        return GatewayData(gateway=code, received_at=self.now, samples=samples, outbox=Outbox(77, first, self.sequence[code]))

    def step(self) -> int:
        """One group; instants differ so that the journal shows what one commit held."""
        self.now += 1
        pending = len(self.watch.inbox)  # births carry no samples, so only the queue tells when all are in
        self.watch.run_once(lambda: self.now)
        return pending

    def rounds(self, times: int, alone: bool) -> list[float]:
        """ms of every commit over `times` rounds of all gateways: each batch alone, or as many together as the watch takes."""
        taken = []
        for tick in range(times):
            self.now = T0 + (self.now - T0) // (INTERVAL_S * 1000) * INTERVAL_S * 1000 + INTERVAL_S * 1000
            items = [self.data(code, tick) for code in self.gateways]
            size = 1 if alone else max(1, min(GROUP_LIMIT, GROUP_SAMPLES // self.points))
            for start in range(0, len(items), size):
                futures = [self.watch.offer(item) for item in items[start : start + size]]
                self.now += 1
                taken.append(took_ms(lambda: self.watch.run_once(lambda: self.now)))
                if any(future.result(0).upto is None for future in futures):
                    raise AssertionError("a batch was not acknowledged")
        return taken

    def bodies(self, after: int) -> list[list[bytes]]:
        """Journal bodies above an id, by commit."""
        with self.db.read() as session:
            found = session.execute(select(Journal.received_at, Journal.body).where(Journal.id > after).order_by(Journal.id)).all()
        return [[body for _, body in some] for _, some in groupby(found, key=lambda entry: entry[0])]

    def newest(self) -> int:
        with self.db.read() as session:
            return session.scalar(select(Journal.id).order_by(Journal.id.desc()).limit(1)) or 0

    def alarms(self) -> int:
        with self.db.read() as session:
            return len(session.scalars(select(Alarm.id)).all())


def measure(folder: Path, house: House, times: int, alone: bool) -> list[dict[str, Any]]:
    before = house.newest()
    ours = house.rounds(times, alone)
    bodies = house.bodies(before)
    bare = bare_commits(folder, bodies)
    samples = times * len(house.gateways) * house.points
    how = "one batch a commit" if alone else f"up to {GROUP_SAMPLES:,} samples a commit"
    name = "bare SQLite FULL commits of the same bytes"
    one, other = spread(ours), spread(bare)
    written = sum(len(body) for some in bodies for body in some)
    return [
        row(f"samples committed, {how}", samples / sum(ours) * 1000, "/s", name, samples / sum(bare) * 1000),
        row(f"commit p50, {how}", one["p50"], "ms", name, other["p50"], spread=one, bare=other),
        row(f"commit p99, {how}", one["p99"], "ms", name, other["p99"], journal_bytes_per_sample=round(written / samples, 2)),
    ]


def run(folder: Path, quick: bool) -> dict[str, Any]:
    gateways, points = (50, 50) if quick else (200, 50)
    house = House(folder, gateways, points)
    try:
        rows = measure(folder / "grouped", house, 20 if quick else 60, alone=False)
        rows += measure(folder / "alone", house, 4, alone=True)
        return {"rows": rows, "gateways": gateways, "points": gateways * points, "alarms": house.alarms(), "facts": house.facts}
    finally:
        house.db.close()
