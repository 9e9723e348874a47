"""The watch against an oracle: random months of faults that meet, and a second model that knows only what was done to the rooms.

Two rooms, two gateways, restarts, cuts, late data, moves, stages, works, shelves and other rules. After each step: no room is green without
fresh readings, smoke is told where it burns, silence is told in time; at the end the ledger is the truth to the second and nothing rings for ever.
"""

import itertools
import random

import pytest

from alarms.rules import parse_rules
from contract.batch import Outbox, PointDeclaration
from contract.sample import PointKey, Quality, Sample
from server import coverage
from server.live.board import Board
from server.store.tables import Alarm, CoverageSpan, Gateway, Point
from server.store.tables_watch import Annunciation
from server.watch import commands
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath
from tests.server.conftest import GATEWAY, OTHER, ROOM, RULES

LIMIT, HOLDOFF, BOUND, ABSENT = 30_000, 10_000, 2_000, 90_000
SECOND = "GW-2"
DEMANDED = {"humidity", "temperature"}
MORE = """
  - {name: vote, kind: voting, quantity: humidity, least: 70, ladder: {warn: {above: 0.5}, alarm: {above: 1.5}}}
  - {name: mixed, kind: expression, expression: humidity + temperature > 99, every: 5s, ladder: {warn: {equals: 1}}}
"""
OTHERWISE = """
  - {name: vote, kind: deviation, quantity: humidity, every: 5s, ladder: {warn: {above: 9}}}
  - {name: mixed, kind: expression, expression: humidity > 60 && smoke < 2, every: 5s, ladder: {warn: {equals: 1}}}
"""


class Oracle:
    """Does random things to the county and knows what must follow, without the server's code."""

    def __init__(self, made, seed):
        self.made, self.dice, self.board = made, random.Random(seed), Board()
        self.points = {(GATEWAY, "a/humidity"): ROOM, (GATEWAY, "a/temperature"): ROOM, (GATEWAY, "s/smoke"): ROOM, (GATEWAY, "b/humidity"): OTHER}
        self.points |= {(SECOND, "a/humidity"): OTHER, (SECOND, "a/temperature"): OTHER, (SECOND, "s/smoke"): OTHER}
        self.now = self.up = made.now
        self.heard, self.good = dict.fromkeys(self.points, 0), dict.fromkeys(self.points, 0)
        self.burns = dict.fromkeys(self.points, False)
        self.online, self.back, self.spoke = dict.fromkeys((GATEWAY, SECOND), False), {}, {}
        self.sequence = dict.fromkeys((GATEWAY, SECOND), 0)
        self.stage, self.manual, self.two = dict.fromkeys((ROOM, OTHER), "in_use"), {}, {}
        self.deaf, self.muted, self.log = [], {}, []
        self.truth, self.since = {ROOM: [], OTHER: []}, made.now

    # -- what is done ------------------------------------------------------------------------------------------------------------------------

    def birth(self, gateway):
        declared = [(metric, room) for (owner, metric), room in self.points.items() if owner == gateway]
        points = tuple(PointDeclaration(metric, index, room, "", 10) for index, (metric, room) in enumerate(declared))
        birth = GatewayBirth(gateway=gateway, group="350100", received_at=self.made.now, bd_seq=0, outbox=Outbox(77, 1, 0), points=points)
        self.made.watch.offer(birth)
        self.made.run()
        if not self.online[gateway]:
            self.back[gateway] = self.made.now
        self.online[gateway], self.spoke[gateway] = True, self.made.now

    def send(self, gateway, readings, ago=0, historical=False):
        at = self.made.now - ago
        samples = tuple(Sample(PointKey.of(gateway, m), at, v, Quality.GOOD, historical=historical) for m, v in readings)
        first = self.sequence[gateway] + 1
        self.sequence[gateway] += len(samples)
        self.made.watch.offer(
            GatewayData(gateway=gateway, received_at=self.made.now, samples=samples, outbox=Outbox(77, first, self.sequence[gateway]))
        )
        self.made.run()
        if not self.online[gateway]:
            self.back[gateway] = self.made.now
        self.online[gateway], self.spoke[gateway] = True, self.made.now
        for metric, value in readings:
            if not historical and at > self.heard[gateway, metric]:
                self.heard[gateway, metric] = at
                self.burns[gateway, metric] = metric == "s/smoke" and value == 1

    def calm(self, gateway, share=0.8, smoke=0.06):
        readings = []
        for owner, metric in self.points:
            if owner == gateway and self.dice.random() < share:
                value = {"s/smoke": float(self.dice.random() < smoke), "a/temperature": self.dice.uniform(15, 40)}
                readings.append((metric, value.get(metric, self.dice.uniform(40, 80))))
        if readings:
            self.send(gateway, readings)

    def act(self):
        ways = {
            self.speak: 62, self.late: 6, self.die: 4, self.come: 5, self.stop: 3, self.adopt: 3, self.swap: 4, self.turn: 3, self.work: 3,
            self.report: 2, self.answer: 5,
        }  # fmt: skip
        [way] = self.dice.choices([*ways], [*ways.values()])
        way(self.dice.choice([GATEWAY, SECOND]), self.dice.choice([ROOM, OTHER]))

    def speak(self, gateway, _room):
        if self.online[gateway] or self.dice.random() < 0.3:
            self.calm(gateway)

    def late(self, gateway, _room):
        mine = [metric for owner, metric in self.points if owner == gateway]
        readings = [(metric, float(self.dice.random() < 0.2) if metric == "s/smoke" else 70.0) for metric in mine]
        self.send(gateway, readings, ago=self.dice.randint(20, 400) * 1000, historical=True)

    def die(self, gateway, _room):
        self.made.watch.offer(GatewayDeath(gateway=gateway, at=self.made.now))
        self.made.run()
        self.online[gateway] = False

    def come(self, gateway, _room):
        self.birth(gateway)

    def stop(self, _gateway, _room):
        self.restart(self.dice.choice([1, 2, 30, 120]))

    def adopt(self, _gateway, _room):
        self.made.rules = RULES + self.dice.choice([MORE, OTHERWISE, ""])
        self.made.order(commands.NewRules(by="", rules=parse_rules(self.made.rules, "x.yaml")))

    def swap(self, _gateway, room):
        self.move(self.dice.choice(sorted(self.points)), room)

    def turn(self, _gateway, room):
        stage = self.dice.choice(["in_use", "in_use", "trial", "retired"])
        self.made.order(commands.SetStage(room=room, stage=stage, by="林一", reason="变动", second="王二"))
        if (stage == "retired") != (self.stage[room] == "retired"):
            for key in [key for key, place in self.points.items() if place == room]:
                self.muted[key], self.burns[key] = self.made.now, False  # what was measured while nothing was expected of the room is no alarm
        self.stage[room] = stage

    def work(self, _gateway, room):
        second, until = self.dice.choice(["", "王二"]), self.made.now + self.dice.choice([0, 20_000, 90_000])
        self.made.order(commands.Maintenance(room=room, until=until, reason="换线", person="林一", by="林一", second=second))
        self.two[room] = until if second else 0

    def report(self, _gateway, room):
        self.made.order(commands.Report(room=room, by="林一", note="看过"))
        self.manual[room] = self.made.now + 3_600_000

    def answer(self, _gateway, _room):
        waiting = [alarm.id for alarm in self.made.rows(Alarm) if alarm.open_key is not None]
        if waiting:
            alarm, until = self.dice.choice(waiting), self.made.now + 40_000
            shelf = commands.Shelve(alarm=alarm, by="林一", until=until, reason="处理中")
            self.made.order(self.dice.choice([commands.Acknowledge(alarm=alarm, by="林一"), commands.Reset(alarm=alarm, by="林一"), shelf]))

    def move(self, key, room):
        gateway, metric = key
        with self.made.db.write() as session:
            point = next(row for row in session.query(Point).filter_by(gateway=gateway) if f"{row.device}/{row.quantity}" == metric)
            point.room, ident = room, point.id
        self.made.order(commands.Reload(by="x", points=(ident,)))
        if self.points[key] != room:
            self.muted[key] = self.made.now
            self.burns[key] = self.burns[key] and self.stage[self.points[key]] != "retired"
        self.points[key] = room

    def restart(self, seconds):
        self.pass_time(seconds * 1000, down=seconds > 2)
        if seconds > 2:
            self.deaf.append((self.made.now - seconds * 1000, self.made.now))
        self.made.start()
        self.up = self.made.now

    def pass_time(self, ms, *, down=False):
        for _ in range(ms // 1000):
            for room in (ROOM, OTHER):
                if self.stage[room] != "retired":
                    self.truth[room].append(self.watch(room, self.made.now, down=down))
            self.made.now += 1000
            if not down:
                self.made.watch.run_once(lambda: self.made.now)
            for gateway, spoke in self.spoke.items():
                if self.online[gateway] and self.made.now - max(spoke, self.up) > ABSENT:
                    self.online[gateway] = False

    # -- what must follow --------------------------------------------------------------------------------------------------------------------

    def fresh(self, room, now):
        return {
            metric.partition("/")[2] for key, place in self.points.items() if place == room and now < self.heard[key] + LIMIT for metric in key[1:]
        }

    def watch(self, room, now, *, down):
        missing = DEMANDED - (set() if down else self.fresh(room, now))
        if not missing:
            return "watched"
        if now < self.manual.get(room, 0):
            return "manual"
        return "blind" if missing == DEMANDED else "degraded"

    def check(self):
        made, now = self.made, self.made.now
        self.board.apply(made.facts)
        made.facts.clear()
        alarms = {(alarm.subject, alarm.rule): alarm for alarm in made.rows(Alarm) if alarm.open_key is not None}
        ids = {(row.gateway, f"{row.device}/{row.quantity}"): f"point:{row.id}" for row in made.rows(Point)}
        for room in (ROOM, OTHER):
            state = self.board.room(room, now).state
            if state == "normal" and self.stage[room] != "retired":
                assert self.fresh(room, now) >= DEMANDED, f"{room} is green"
                assert not any(self.burns[key] for key, place in self.points.items() if place == room), f"{room} burns and is green"
        for key, room in self.points.items():
            if self.stage[room] == "retired" or key not in ids:
                continue
            if self.burns[key]:
                alarm = alarms.get((ids[key], "smoke"))
                assert alarm is not None, f"{key} burns and there is no alarm"
                assert alarm.room == room, f"{key} burns in {room}, its alarm is in {alarm.room}"
                if not self.two.get(room, 0) > now and key not in self.muted:
                    assert alarm.state.startswith(("active", "latched")) or alarm.known_late, f"{key} burns and its alarm is {alarm.state}"
                    assert alarm.id in self.annunciated(), f"{key} burns and nobody was asked"
            if self.online[key[0]] and key[0] in self.back:
                heard = max(self.heard[key], self.back[key[0]], self.muted.get(key, 0))
                deaf = sum(end - max(begin, heard) for begin, end in self.deaf if end > heard)
                if now > max(heard + LIMIT + deaf, self.up + HOLDOFF) + BOUND:
                    assert (ids[key], "sensor_stale") in alarms, f"{key} has been silent since {now - heard} ms and nobody was told"

    def annunciated(self):
        with self.made.db.read() as session:
            return {row.alarm for row in session.query(Annunciation)}

    def ledger(self):
        for room in (ROOM, OTHER):
            with self.made.db.read() as session:
                [found] = coverage.sums(session, None, self.since, self.made.now, room=room)
            spans = sorted(self.made.rows(CoverageSpan, room=room), key=lambda span: span.since)
            for one, other in itertools.pairwise(spans):
                assert one.until is not None
                assert one.until <= other.since, "no instant counts twice"
            lived = {state: sum((span.until or self.made.now) - span.since for span in spans if span.state == state) / 1000 for state in STATES}
            told = {state: float(self.truth[room].count(state)) for state in STATES}
            assert lived == told, (room, lived, told, found)

    def calm_down(self):
        """Everything is well again, and people answer: nothing may stay open."""
        for room in (ROOM, OTHER):
            self.made.order(commands.SetStage(room=room, stage="in_use", by="林一", reason="恢复", second="王二"))
            self.made.order(commands.Maintenance(room=room, until=self.made.now, reason="完工", person="林一", by="林一"))
        quiet = {"humidity": 50.0, "temperature": 20.0, "smoke": 0.0}
        for _ in range(50):
            self.made.now += 9_000
            for gateway in (GATEWAY, SECOND):
                self.send(gateway, [(metric, quiet[metric.partition("/")[2]]) for owner, metric in self.points if owner == gateway])
        for order in (commands.Acknowledge, commands.Reset):
            for alarm in self.made.rows(Alarm):
                if alarm.open_key is not None:
                    self.made.order(order(alarm=alarm.id, by="林一"))
        left = [(alarm.subject, alarm.rule, alarm.state) for alarm in self.made.rows(Alarm) if alarm.open_key is not None]
        assert left == [], "nothing rings for ever"


STATES = ("watched", "degraded", "blind", "manual")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 300))])
def test_faults_that_meet_leave_nobody_unwatched(slice_, seed):
    with slice_.db.write() as session:
        session.add(Gateway(code=SECOND, group_id="350100", unit="350102000000", changed_at=0, online=False))
    slice_.start()
    oracle = Oracle(slice_, seed)
    oracle.birth(GATEWAY)
    oracle.birth(SECOND)
    for _ in range(30 if seed == 0 else 70):
        oracle.act()
        oracle.check()
        oracle.pass_time(oracle.dice.choice([1, 1, 2, 3, 5, 9, 15]) * 1000)
        oracle.check()
    oracle.ledger()
    oracle.calm_down()
