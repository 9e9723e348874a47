"""The world of the month: units and their people, gateways with their spools, a plan of incidents that enter as readings. Time is an argument."""

import random
from typing import NamedTuple

from sqlalchemy import insert

from contract.sample import Quality, Sample
from server.store.tables import Gateway, Person, Room, Unit
from simulators.fleet_node import EdgeNode
from simulators.province_rows import Point
from tests.notify.conftest import MINUTE, beijing

HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
START = beijing("2026-11-02 00:00")
PROVINCE, CITY, COUNTY = "350000000000", "350100000000", "350102000000"
TOGETHER = 40
"""Units that share a gateway."""
REPORT_MS, OUT_OF_REACH_MS = 24 * HOUR, 3_000
CALM = {"smoke": 0.0, "leak": 0.0, "power": 1.0, "humidity": 50.0}


class Kind(NamedTuple):
    """What happens: the metric and its value, the rule that must tell somebody, and the rule's own delay. Without a metric the gateway dies."""

    quantity: str
    value: float
    rule: str
    level: str
    delay_ms: int


KINDS = (
    Kind("smoke", 1, "smoke", "critical", 0), Kind("leak", 1, "leak", "urgent", 5_000), Kind("power", 0, "power_lost", "urgent", 10_000),
    Kind("", 0, "gateway_offline", "urgent", 10 * MINUTE), Kind("humidity", 78, "humidity_high", "urgent", 10 * MINUTE),
    Kind("humidity", 68, "humidity_high", "alarm", 20 * MINUTE),
)  # fmt: skip


class Incident(NamedTuple):
    """One line of the plan; no unit has two."""

    at: int
    unit: int
    kind: Kind

    @property
    def ends(self) -> int:
        """When it is over of itself; what may wait for a morning lasts until eight of the next day, or there is nobody to be told."""
        if self.kind.quantity != "humidity":
            return self.at + 50 * MINUTE
        return (self.at + 8 * HOUR) // DAY * DAY + DAY


def incidents(seed: int, units: int, days: int, count: int) -> list[Incident]:
    """The plan, in order of time."""
    dice = random.Random(seed)
    chosen = dice.sample(range(units), count)
    return sorted(Incident(START + HOUR + int(dice.random() * (days * DAY - HOUR)), unit, KINDS[n % len(KINDS)]) for n, unit in enumerate(chosen))


def code(unit: int) -> str:
    return f"350102{unit + 200:04d}00"


def room(unit: int) -> str:
    return f"{code(unit)}-01"


def populate(db, units: int, plan) -> None:
    """Province, city, county with a duty room, and the units with a duty officer and a room each."""
    above = ((PROVINCE, None, 1, "省局", None), (CITY, PROVINCE, 2, "市局", None), (COUNTY, CITY, 3, "县局", "0591-87654321"))
    rows = [{"code": c, "parent": p, "level": n, "name": name, "short_name": name, "duty_phone": phone} for c, p, n, name, phone in above]
    offices = [
        {"id": n + 1, "code": f"{duty}{n}", "name": f"人{n}", "phone": f"1360000{n:04d}", "unit": unit, "duty": duty}
        for n, (unit, duty) in enumerate((unit, duty) for unit in (PROVINCE, CITY, COUNTY) for duty in ("duty_officer", "archive_head"))
    ]
    with db.write() as session:
        for row in rows:
            session.execute(insert(Unit), [row])
        session.execute(insert(Unit), [
            {"code": code(n), "parent": COUNTY, "level": 4, "name": f"站{n}", "short_name": f"站{n}", "duty_phone": None} for n in range(units)
        ])  # fmt: skip
        session.execute(insert(Person), [
            *offices,
            *(
                {"id": n + 100, "code": f"p{n}", "name": f"人{n}", "phone": f"137{n:08d}", "unit": code(n), "duty": "duty_officer"}
                for n in range(units)
            ),
        ])  # fmt: skip
        session.execute(insert(Room), [
            {"code": room(n), "unit": code(n), "name": "库", "short_name": "库", "sms_place": f"{n}号点库", "person": n + 100, "demanded": []}
            for n in range(units)
        ])  # fmt: skip
        claimed = [{"code": name, "group_id": "350102", "unit": COUNTY if len(of) > 1 else code(of[0])} for name, of in gateways(units, plan).items()]
        session.execute(insert(Gateway), claimed)


def gateways(units: int, plan) -> dict[str, list[int]]:
    """Code of each gateway and its units; one that will die has one unit alone."""
    alone = {one.unit for one in plan if not one.kind.quantity}
    shared = [n for n in range(units) if n not in alone]
    groups = [shared[n : n + TOGETHER] for n in range(0, len(shared), TOGETHER)] + [[n] for n in sorted(alone)]
    return {f"GW-350102-{number:03d}": of for number, of in enumerate(groups)}


class World:
    """The gateways. They keep what the server has not acknowledged and send it again; the broker keeps a last will until the server is there."""

    def __init__(self, units: int, plan, now: int, seed: int) -> None:
        self._dice, self._said = random.Random(seed), []
        self._of, self._nodes = gateways(units, plan), {}
        self.gateway = {unit: name for name, of in self._of.items() for unit in of}
        happens = {one.unit: one.kind.quantity for one in plan}
        measured = {n: sorted({"humidity", happens.get(n) or "smoke"}) for n in range(units)}
        for name, of in self._of.items():
            points = [
                Point(name, "", COUNTY, "350102", f"d{n}", "", quantity, "", room(n), REPORT_MS // 1000, "alarm", "edge")
                for n in of for quantity in measured[n]
            ]  # fmt: skip
            self._nodes[name] = EdgeNode(points, "", epoch=1, rng=self._dice)
            self._nodes[name].will(now)
            self._nodes[name].connected()
        self._is = {(n, quantity): CALM[quantity] for n in range(units) for quantity in measured[n]}
        self._changes = sorted(
            (at, one.unit, one.kind.quantity, value)
            for one in plan
            for at, value in ((one.at, one.kind.value), (one.ends, CALM.get(one.kind.quantity, 1.0)))
        )
        self._report = now

    def next(self, now: int) -> int:
        """When something happens of itself."""
        times = [self._report, *(at for at, *_ in self._changes[:1])]
        return min([*times, *(due for node in self._nodes.values() if (due := node.due(now)) is not None)])

    def messages(self, now: int) -> list[tuple[str, bytes]]:
        """What the gateways send at an instant."""
        while self._changes and self._changes[0][0] <= now:
            self._change(*self._changes.pop(0), now)
        if self._report <= now:
            self._report = now + REPORT_MS
            for name in self._of:
                self._measure(name, None, now)
        said, self._said = self._said, []
        return said + [(one.topic, one.payload) for node in self._nodes.values() for one in node.run_once(now)]

    def lost(self, messages) -> None:
        """The server was not there: of what was sent the broker keeps the wills alone."""
        self._said = [one for one in messages if "/NDEATH/" in one[0]]

    def take(self, commands) -> None:
        """Acknowledgements, and requests to be born again."""
        for topic, payload in commands:
            self._nodes[topic.rsplit("/", 1)[1]].message(topic, payload)

    def held(self) -> int:
        """Readings that nobody has acknowledged."""
        return sum(node.unacknowledged for node in self._nodes.values())

    def _change(self, _at, unit, quantity, value, now) -> None:
        node = self._nodes[self.gateway[unit]]
        if quantity:
            self._is[unit, quantity] = value
            self._measure(self.gateway[unit], [(unit, quantity)], now)
        elif value:
            node.connected()
        else:
            will = node._death(now)
            node.lost()
            node.will(now)
            self._said.append((will.topic, will.payload))

    def _measure(self, name, what, now) -> None:
        """Some (unit, quantity) of a gateway, all where none are named."""
        node = self._nodes[name]
        if not node._connected:
            return
        keys = {(int(point.device[1:]), point.quantity): point.key for point in node.points}
        samples = []
        for one in what or keys:
            noise = self._dice.uniform(-2, 2) if one[1] == "humidity" else 0
            samples.append(Sample(keys[one], now, round(self._is[one] + noise, 1), Quality.GOOD))
        node.sample(samples, now)
