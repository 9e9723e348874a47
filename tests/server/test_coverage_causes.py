"""Every cause of a gap against an injected truth: sensor, bus, gateway, uplink, power, server, planned; exact to the second, also after back-fill."""

from collections import Counter

import pytest

from contract.batch import Outbox
from contract.sample import PointKey, Sample
from server import coverage
from server.store.tables import Gateway, Room
from server.watch import commands
from server.watch.inputs import GatewayData, GatewayDeath

LIMIT_S = 30
OTHER_GATEWAY = "GW-350102-09"
CALM = {"humidity": 50.0, "temperature": 20.0, "smoke": 0.0, "power": 1.0}
MINE = ("th1/humidity", "th2/temperature")


class World:
    """The slice with a second gateway, driven second by second; `quiet` are the metrics that are not sent, `gone` the gateways that are dead."""

    def __init__(self, slice_):
        self.slice, self.second, self.quiet, self.gone = slice_, 0, set(), set()
        with slice_.db.write() as session:
            session.add(Gateway(code=OTHER_GATEWAY, group_id="350100", unit="350102000000", changed_at=0, online=False))
            session.get_one(Room, slice_.OTHER).demanded = ["smoke"]
        slice_.start()
        self.points = {slice_.GATEWAY: [*MINE, "s1/smoke", "p1/power"], OTHER_GATEWAY: ["x1/smoke"]}
        self.sequence, self.missed, self.values = Counter(), [], dict(CALM)
        for gateway in self.points:
            self.birth(gateway)

    def birth(self, gateway):
        rooms = {"s1/smoke": self.slice.OTHER, "x1/smoke": ""}
        points = [(metric, rooms.get(metric, self.slice.ROOM)) for metric in self.points[gateway]]
        self.slice.birth(points, gateway=gateway, outbox=Outbox(77, self.sequence[gateway] + 1, self.sequence[gateway]))

    def send(self, gateway, metrics, at, historical=False):
        samples = tuple(Sample(PointKey.of(gateway, m), at, self.values[m.split("/")[1]], historical=historical) for m in metrics)
        first = self.sequence[gateway] + 1
        self.sequence[gateway] += len(samples)
        item = GatewayData(gateway=gateway, received_at=self.slice.now, samples=samples, outbox=Outbox(77, first, self.sequence[gateway]))
        self.slice.watch.offer(item)

    def go(self, seconds, *, listening=True):
        """Readings each ten seconds of what is not quiet and not gone; what is not sent will come as back-fill."""
        for _ in range(seconds):
            if self.second % 10 == 0:
                for gateway, metrics in self.points.items():
                    said = [m for m in metrics if gateway not in self.gone and m not in self.quiet] if listening else []
                    self.missed += [(gateway, m, self.slice.now) for m in metrics if m not in said]
                    if said:
                        self.send(gateway, said, self.slice.now)
            if listening:
                self.slice.watch.run_once(lambda: self.slice.now)
            self.second += 1
            self.slice.now += 1000
            if listening:
                self.slice.watch.run_once(lambda: self.slice.now)

    def die(self, *gateways):
        self.gone |= set(gateways)
        for gateway in gateways:
            self.slice.watch.offer(GatewayDeath(gateway=gateway, at=self.slice.now))

    def back(self):
        for gateway in sorted(self.gone):
            self.birth(gateway)
        self.gone, self.quiet = set(), set()

    def sums(self):
        with self.slice.db.read() as session:
            [found] = coverage.sums(session, None, self.slice.T0, self.slice.now, room=self.slice.ROOM)
        return ({k: v // 1000 for k, v in found.states.items() if v}, {k: v // 1000 for k, v in found.causes.items()}, found.unknown)


@pytest.fixture
def world(slice_):
    return World(slice_)


def test_each_cause_has_exactly_its_seconds_also_after_back_fill(world):
    here = world.slice.GATEWAY
    world.go(31)  # the last reading at 30
    expected = {"watched": 31}

    def gap(length, cause, state):
        """From the last reading on, whole tens before, the room goes without for `length` seconds more; then everything is back."""
        lacking = length - (LIMIT_S - 1)
        world.go(length)
        world.back()
        assert world.second % 10 == 0
        world.go(1)
        expected[cause] = lacking
        expected[state] = expected.get(state, 0) + lacking
        expected["watched"] += length - lacking + 1
        world.go(10)
        expected["watched"] += 10

    world.quiet = {MINE[0]}
    gap(59, "sensor", "degraded")
    world.quiet = set(MINE)
    gap(59, "bus", "blind")
    world.die(here)
    gap(59, "gateway", "blind")
    world.die(here, OTHER_GATEWAY)
    gap(69, "uplink", "blind")
    world.values["power"] = 0.0
    world.go(10)
    expected["watched"] += 10
    world.die(here)
    world.values["power"] = 1.0
    gap(79, "power", "blind")
    world.slice.order(commands.Maintenance(room=world.slice.ROOM, until=world.slice.now + 3_600_000, reason="换探头", person="林一", by="林一"))
    world.quiet = set(MINE)
    gap(89, "planned", "blind")
    world.go(20, listening=False)
    world.slice.start()  # the last sign of life was at the end of the last second
    expected["server"], expected["blind"] = 20, expected["blind"] + 20
    world.go(9)  # up to the next reading: what was heard before still counts, for time in which nobody listened does not
    world.go(11)
    expected["watched"] += 20
    states, causes, unknown = before = world.sums()
    assert causes == {name: expected[name] for name in ("sensor", "bus", "gateway", "uplink", "power", "planned", "server")}
    assert states == {name: expected[name] for name in ("watched", "degraded", "blind")}
    assert (sum(states.values()), unknown) == (world.second, 0)
    for gateway, metric, at in world.missed:  # recorded is not watched
        world.send(gateway, [metric], at, historical=True)
        world.slice.watch.run_once(lambda: world.slice.now)
    assert world.sums() == before
