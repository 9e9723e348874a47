"""Long seeded runs, only by `make soak`. SOAK_MINUTES limits both tests together (default 30), SOAK_SEED repeats a run.

The living slice is killed and frozen at random until two minutes are left; then everything must have arrived: once, right, alarmed and sent. Beside
it the rule core walks at random against a naive machine that keeps the whole history and looks at every second anew.
"""

import json
import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from alarms.lifecycle import INITIAL, Acknowledge, NotAllowedError, Reset, Seen, Suppress, Tick, Unsuppress, advance, next_due, step
from alarms.model import Level, Rule, Rung
from contract.sample import PointKey
from server.history import History
from server.series.choose import open_store
from server.store.session import Database
from server.store.tables import Alarm, Notification, Point, Watermark
from simulators.demo import Demo, prepare
from simulators.demo_site import PORTS
from simulators.ledger import Ledger, Stored, check
from simulators.ledger_events import Due, check_messages

BEGAN = time.monotonic()
LIMIT_S = float(os.environ.get("SOAK_MINUTES", "30")) * 60
DRAIN_S = min(120.0, LIMIT_S / 3)
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
EDGE = {"uplink": {"flush_ms": 200, "resend_s": 2, "urgent_resend_s": 1}, "trace_accepted": "accepted.jsonl"}
KILL, FREEZE = 0.75, 0.25
TRACE_LAG_MS = 6_000  # a sample is younger than this when its spool commits it; the trace line follows
NO_NEWS_S = 10.0  # a message that became due within the last moments need not have left

# A wedged process must not outlive the time either: the margin is for ending the children.
pytestmark = [pytest.mark.soak, pytest.mark.timeout(max(LIMIT_S - 15, 30))]


def left():
    return LIMIT_S - (time.monotonic() - BEGAN)


def pause(seconds):
    threading.Event().wait(max(min(seconds, left()), 0))


@pytest.fixture
def say(capsys):
    def print_(text):
        with capsys.disabled():
            print(f"\nsoak: {text}", flush=True)

    return print_


# --- the living slice --------------------------------------------------------------------------------------------------------------------


class Slice:
    """The demo without its fleet, with short resend times and traced spools, and what it left behind."""

    def __init__(self, folder, ports):
        self.folder = folder
        self.site = prepare(folder, ports, lambda _text: None, days=0)
        self.site.write(edge=EDGE, interval_s=1)
        self.demo = Demo(self.site, fleet=False)
        self.gateways = list(self.site.gateways)

    def trace(self, gateway):
        path = self.folder / gateway / "accepted.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []

    def is_mine(self, number):
        try:
            return str(self.folder).encode() in Path(f"/proc/{number}/cmdline").read_bytes()
        except OSError:
            return False

    def smoke(self, room, value):
        body = {"quantity": "smoke", "value": value}
        httpx.post(f"{self.site.control_url}/rooms/{room}/override", json=body, timeout=10).raise_for_status()

    def watermarks(self):
        path = f"file:{self.folder / 'server/data/archivewatch.db'}?mode=ro"
        with sqlite3.connect(path, uri=True, timeout=30) as connection:
            return dict(connection.execute("SELECT gateway, max(upto) FROM watermark GROUP BY gateway"))

    def database(self):
        return Database(f"sqlite:///{self.folder / 'server/data/archivewatch.db'}")

    def rows(self, table):
        db = self.database()
        try:
            with db.read() as session:
                return list(session.scalars(select(table)))
        finally:
            db.close()

    def points(self):
        return {point.id: PointKey(point.gateway, point.device, point.quantity, point.channel) for point in self.rows(Point)}

    def stored(self):
        """Every row of the series store, by gateway, after the server has stopped."""
        db, store = self.database(), open_store("embedded", self.folder / "server/data/series")
        points = self.points()
        found = {gateway: [] for gateway in self.gateways}
        try:
            history = History(db, store)
            while history.run_once(2**41):
                pass
            for row in store.raw([ident for ident, key in points.items() if key.gateway in found], 0, 4_102_444_000_000):
                key = points[row.point_id]
                found[key.gateway].append(Stored(str(key), row.taken_at, row.value))
        finally:
            store.close()
            db.close()
        return found

    def waiting(self):
        return [row for row in self.rows(Notification) if row.state in ("queued", "claimed", "failed")]


def pids(child):
    """The process and, for the broker, the server it runs: freezing the parent alone would freeze nothing."""
    own = [child.said["pid"]] if "pid" in child.said else []
    return [child.pid, *own]


def send(numbers, what):
    for number in numbers:
        try:
            os.kill(number, what)
        except ProcessLookupError:
            continue


def torment(living, dice, until_left, killed_at):
    """Kill and freeze at random until the time for draining comes. Returns how often, by what and by whom."""
    demo, counts = living.demo, {"kills": 0, "freezes": 0, "smokes": 0}
    victims = {"server": demo.server, "broker": demo.broker, **demo.edges}
    smoking = dict.fromkeys((rooms[0] for rooms in living.site.gateways.values()), 0)
    while left() > until_left:
        name, victim = dice.choice(list(victims.items()))
        if dice.random() < KILL:
            killed_at.setdefault(name, []).append(time.time_ns() // 1_000_000)
            also = pids(victim)[1:]  # killing the parent of a broker leaves the broker alive
            victim.kill()
            send(also, signal.SIGKILL)
            pause(dice.uniform(0.1, 0.8))
            victim.launch()
            counts["kills"] += 1
            if name == "broker":
                victim.wait_ready(60)
        else:
            frozen = pids(victim)
            try:
                send(frozen, signal.SIGSTOP)
                pause(dice.uniform(1, 5))
            finally:
                send(frozen, signal.SIGCONT)
            counts["freezes"] += 1
        if dice.random() < 0.1:
            room = dice.choice(list(smoking))
            smoking[room] = 1 - smoking[room]
            living.smoke(room, smoking[room])
            counts["smokes"] += smoking[room]
        pause(dice.choice([dice.uniform(0.5, 2.5), dice.uniform(5, 20)]))
        for name, victim in victims.items():
            assert victim.alive, f"{name} ended by itself:\n{victim.tail()}"
    return counts


def sequences(lines):
    """The highest sequence of a trace; lines that a kill cut in two are passed over."""
    highest = 0
    for line in lines:
        try:
            highest = max(highest, json.loads(line)["seq"])
        except ValueError:
            continue
    return highest


def test_kills_and_freezes_lose_and_repeat_nothing(tmp_path, port_factory, say):
    dice = random.Random(SEED)
    say(f"seed {SEED}, {LIMIT_S / 60:g} min")
    living = Slice(tmp_path / "slice", {name: port_factory() for name in PORTS})
    try:
        _run(living, dice, say)
    finally:
        living.demo.stop()
        send(filter(living.is_mine, pids(living.demo.broker)[1:]), signal.SIGKILL)  # if its parent had died before it


def _run(living, dice, say):
    demo = living.demo
    demo.start()
    while not all(map(living.trace, living.gateways)):
        assert left() > DRAIN_S, "the start took so long that no time is left: raise SOAK_MINUTES"
        pause(0.2)
    living.smoke(next(iter(living.site.gateways.values()))[0], 1)
    killed_at = {}
    counts = torment(living, dice, DRAIN_S, killed_at)
    assert counts["kills"], "the start took so long that no time is left: raise SOAK_MINUTES"
    demo.server.wait_ready(30)
    pause(6)  # every sensor is read at least once more after the last kill

    traces = {gateway: living.trace(gateway) for gateway in living.gateways}
    reached = {gateway: sequences(lines) for gateway, lines in traces.items()}
    while any(living.watermarks().get(gateway, 0) < last for gateway, last in reached.items()):
        assert left() > 45, f"watermarks {living.watermarks()} behind {reached}"
        pause(0.2)
    while living.waiting() and left() > 45:
        pause(0.5)
    stopped_at = time.time_ns() // 1_000_000
    demo.server.stop()
    messages = httpx.get(f"{living.site.sms_url}/control/messages", timeout=10).json()
    say(f"{counts}, by process { ({name: len(at) for name, at in killed_at.items()}) }; judging with {left():.0f} s left")

    accepted = judge_samples(living, traces, killed_at, say)
    judge_alarms(living, accepted)
    judge_messages(living, messages, stopped_at, say)


def judge_samples(living, traces, killed_at, say):
    """Each gateway with the kills of its own process: only those may leave samples without a trace line."""
    stored, everything = living.stored(), []
    for gateway, lines in traces.items():
        ledger = Ledger()
        ledger.read_lines(lines)
        newest = max(sample.taken_at for sample in ledger)
        untraced = [(at - TRACE_LAG_MS, at + 1_000) for at in killed_at.get(gateway, ())]
        verdict = check(ledger, [row for row in stored[gateway] if row.taken_at <= newest], untraced=untraced)
        say(f"{gateway}: {verdict.checked} samples checked, notes {verdict.notes}")
        assert verdict.ok, verdict.table()
        everything += ledger
    assert sum(mark.lost for mark in living.rows(Watermark)) == 0
    return everything


def judge_alarms(living, accepted):
    """Each sensor whose smoke a spool accepted has one alarm, raised by no later sample than the first of them."""
    points = living.points()
    first = {}
    for sample in accepted:
        if "/smoke" in sample.point and sample.value == 1:
            first[sample.point] = min(first.get(sample.point, sample.taken_at), sample.taken_at)
    alarmed = [str(points[int(alarm.subject.split(":")[1])]) for alarm in living.rows(Alarm) if alarm.rule == "smoke"]
    assert first
    assert sorted(alarmed) == sorted(first)


def judge_messages(living, messages, stopped_at, say):
    """What left is at the gateway once, nothing old waits, and no step told one number twice."""
    sent = [row for row in living.rows(Notification) if row.state in ("sent", "delivered", "undelivered")]
    verdict = check_messages([Due(row.phone, (row.text,)) for row in sent], messages)
    say(f"{len(sent)} messages checked")
    assert verdict.ok, verdict.table()
    assert sent
    assert [row for row in living.waiting() if row.due < stopped_at - NO_NEWS_S * 1000] == []
    steps = [(row.escalation_step, row.phone) for row in living.rows(Notification)]
    assert len(steps) == len(set(steps))


# --- the rule core -----------------------------------------------------------------------------------------------------------------------

S = 1_000
ALLOWED_S = 8
LEVELS = (Level.WARN, Level.ALARM, Level.URGENT)


def any_rule(dice):
    limits = sorted(dice.sample(range(55, 75), 3))
    rungs = tuple(Rung(level, "above", limit, dice.randrange(10) * S) for level, limit in zip(LEVELS, limits, strict=True))
    return Rule("damp", "threshold", "humidity", rungs, float(dice.randrange(3)), dice.randrange(8) * S, latch=dice.random() < 0.3)


class Naive:
    """What the level should be, from all samples, second by second."""

    def __init__(self, rule):
        self.rule, self.samples, self.level = rule, [], -1

    def lasted(self, holds, delay_ms, now):
        since = None
        for at, value in reversed(self.samples):
            if not holds(value):
                break
            since = at
        return since is not None and (now - since) * S >= delay_ms

    def second(self, now, value):
        if value is not None:
            self.samples.append((now, value))
        if not self.samples or now > self.samples[-1][0] + ALLOWED_S:
            return
        rungs = self.rule.ladder
        up = [n for n in range(self.level + 1, 3) if self.lasted(rungs[n].breached, rungs[n].on_delay_ms, now)]
        if up:
            self.level = max(up)
            return
        deadband = self.rule.deadband
        while self.level >= 0 and self.lasted(lambda v, n=self.level: rungs[n].cleared(v, deadband), self.rule.off_delay_ms, now):
            self.level -= 1


class Walker:
    """An alarm that is looked at each second, or (`lazy`) only when something comes or its own timer is due."""

    def __init__(self, rule, lazy):
        self.rule, self.lazy, self.state, self.deadline, self.said = rule, lazy, INITIAL, None, []

    def apply(self, event, now):
        before = self.state
        result = step(self.rule, before, event, now)
        assert result.state is before or result.state != before
        for one, other in zip(result.transitions, result.transitions[1:], strict=False):
            assert one.after == other.before
        if result.transitions:
            assert (result.transitions[0].before, result.transitions[-1].after) == (before.isa, result.state.isa)
            assert not (result.state.inhibited and any(change.annunciate for change in result.transitions))
        self.state = result.state
        self.said += [(change.name, change.after, change.at) for change in result.transitions]

    def second(self, now, value, command):
        at = now * S
        fresh = self.deadline is not None and at <= self.deadline
        if value is not None:
            result = advance(self.rule, self.state, at, self.deadline)
            self.said += [(change.name, change.after, change.at) for change in result.transitions]
            self.state = result.state
            self.apply(Seen(at, value), at)
            self.deadline, fresh = at + ALLOWED_S * S, True
        due = next_due(self.rule, self.state)
        if not self.lazy or command or (due is not None and due <= at):
            self.apply(Tick(fresh, self.deadline), at)
        if command:
            try:
                self.apply(command, at)
            except NotAllowedError:
                self.said.append(("refused", self.state.isa, at))


def walk(dice):
    """One alarm over some minutes. Returns the number of steps."""
    rule = any_rule(dice)
    naive, eager, lazy = Naive(rule), Walker(rule, lazy=False), Walker(rule, lazy=True)
    value, commands = 55.0, [Acknowledge("li"), Reset("li"), Suppress("maintenance"), Unsuppress("maintenance")]
    for now in range(1, 240):
        value = min(max(value + dice.uniform(-6, 6), 45), 85)
        sample = round(value, 1) if dice.random() < 0.6 else None
        command = dice.choice(commands) if dice.random() < 0.04 else None
        naive.second(now, sample)
        eager.second(now, sample, command)
        lazy.second(now, sample, command)
        level = LEVELS.index(eager.state.level) if eager.state.tripped else -1
        assert level == naive.level, (rule, now, naive.samples)
    lazy.apply(Tick(lazy.deadline is not None and now * S <= lazy.deadline, lazy.deadline), now * S)
    assert lazy.state._replace(memory=eager.state.memory) == eager.state
    assert lazy.said == eager.said
    return now


def test_the_rule_core_walks_with_a_naive_machine(say):
    """Last: it takes what time the first test has left over, at most a minute."""
    walks, steps, until = 0, 0, time.monotonic() + max(min(left() - 20, LIMIT_S * 0.05, 60), 1)
    while time.monotonic() < until:
        dice = random.Random(f"{SEED}-{walks}")
        try:
            steps += walk(dice)
        except AssertionError:
            say(f"seed {SEED}, walk {walks}")
            raise
        walks += 1
    say(f"seed {SEED}: {walks} walks, {steps} seconds of alarm life")
