"""A month of a province with seeded incidents: every one reaches a human by its bound, nothing is lost or doubled, while the provider fails 30 % of
the calls and the server is killed (kill -9) at random commits and requests. Time is simulated; the server's parts, database, HTTP and kills are real.

The incidents are readings of gateways, which keep what the server has not acknowledged. The provider in the test is the judge: what it accepted is
what people got.
"""

import multiprocessing
import random
import signal
from collections import Counter, defaultdict
from datetime import datetime

import chinese_calendar
import pytest
from sqlalchemy import select

from server.duty.clock import BEIJING
from server.notify.channels.twilio_voice import spoken
from server.store.session import Database
from server.store.tables import Alarm, EscalationStep, Notification
from simulators.sms_core import Faults
from simulators.sms_gateway import SmsGateway
from tests.fresh import fresh
from tests.notify.conftest import MINUTE
from tests.notify.month_server import Beat, Orders, serve, settings
from tests.notify.month_world import DAY, HOUR, OUT_OF_REACH_MS, START, World, incidents, populate, room

PROMPT_MS = 10 * MINUTE  # at once; two ambiguous sends in a row cost a minute of grace each
BURNS_MS = 2 * HOUR  # kills fall into this time after an incident
LOOKS_MS = 30_000  # the server looks at what is due of itself no more often


class Unreliable(Faults):
    """Three calls in ten fail: refused, or cut before or after the provider has accepted."""

    def __init__(self, seed):
        super().__init__()
        self._dice = random.Random(seed)

    def take(self, on, to, *, callback=False):
        if callback or self._dice.random() >= 0.3:
            return None
        return self._dice.choice(("rate", "500", "503", "reset", "reset_after") if on == "create" else ("500", "reset"))


class Server:
    """One life after the other, each forked from a process that has imported everything."""

    def __init__(self, orders):
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.notify.month_nursery"])
        self._orders, self.lives = orders, 0

    def start(self, now, fuse):
        self.lives += 1
        self._pipe, end = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(end, self._orders(now, fuse)))
        self._process.start()
        end.close()
        assert self._pipe.recv() == "ready"

    def beat(self, beat):
        """What the server says to it; None when it has died."""
        try:
            self._pipe.send(beat)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            self.stop()
            assert self._process.exitcode == -signal.SIGKILL
            return None

    def stop(self):
        self._pipe.close()
        self._process.join()


def month(world, server, clock, plan, end, kills, dice):
    """Let the time pass, with so many kills."""
    clock.now = START
    server.start(clock.now, dice.randrange(3, 60))
    while clock.now < end:
        begun = sum(one.at <= clock.now for one in plan)
        armed = server.lives <= kills * begun / len(plan) and any(one.at <= clock.now <= one.at + BURNS_MS for one in plan)
        messages = world.messages(clock.now)
        reply = server.beat(Beat(clock.now, messages, armed))
        if reply is None:
            world.lost(messages)
            clock.now += OUT_OF_REACH_MS
            server.start(clock.now, dice.randrange(3, 60))
            continue
        world.take(reply.commands)
        due = end if reply.due is None else max(reply.due, clock.now + LOOKS_MS)
        clock.now = max(clock.now + 1, min(world.next(clock.now), due, end))
    server.stop()


class Clock:
    now = START

    def __call__(self):
        return self.now


# -- the judge ----------------------------------------------------------------------------------------------------------------------------


def bound(one):
    """The last instant at which somebody must have been told: at once after the rule's delay; climate waits for the morning where it must."""
    asked = one.at + one.kind.delay_ms + (15 * MINUTE if one.kind.level == "alarm" else 0)
    if one.kind.rule == "humidity_high" and _waits(asked, one.kind.level):
        day = (asked + 8 * HOUR) // DAY * DAY - 8 * HOUR
        asked = next(at for at in (day + 7 * HOUR + 30 * MINUTE, day + DAY + 7 * HOUR + 30 * MINUTE) if at >= asked)
    return asked + PROMPT_MS


def _waits(at, level):
    when = datetime.fromtimestamp(at / 1000, BEIJING)
    if level == "alarm":
        return not (chinese_calendar.is_workday(when.date()) and 8 <= when.hour < 18)
    return when.hour >= 22 or when.hour < 7


def _quiet(at):
    return not 7 <= (at // HOUR + 8) % 24 < 22


def judge(db, world, plan, sms, end):
    """What must not be, by name."""
    with db.read() as session:
        alarms, notes = list(session.scalars(select(Alarm))), list(session.scalars(select(Notification)))
        steps = list(session.scalars(select(EscalationStep)))
    rows = [note for note in notes if note.state in ("sent", "delivered", "undelivered")]
    wanted = Counter((n.phone, n.text if n.channel != "twilio_voice" else spoken(n.text, n.number, reason=n.reason, drill=False)) for n in rows)
    came = Counter((m["to"], m["body"]) for m in sms.messages()) + Counter((c["to"], c["said"][0]) for c in sms.calls())
    # Of these nobody learned whether the provider had taken them, as every look-up failed too; their rows say so. Each may have come, once.
    unknown = Counter((n.phone, n.text) for n in notes if n.state == "failed" and n.error.startswith("结果不明"))
    rule = {alarm.id: alarm.rule for alarm in alarms}
    asleep = [n for n in rows if rule.get(n.alarm) == "humidity_high" and n.sent_at and _quiet(n.sent_at) and n.reason in ("raised", "supervise")]
    return {
        "lost": sum((wanted - came).values()), "doubled": sum((came - wanted - unknown).values()), "late": _late(world, plan, alarms, notes),
        "steps": _steps({alarm.id for alarm in alarms if alarm.level != "warn"}, steps, notes, end),
        "woken_by_climate": len(asleep), "unacknowledged": world.held(),
    }  # fmt: skip


def _late(world, plan, alarms, notes):
    """Incidents of which nobody heard by the bound."""
    first, late = defaultdict(list), []
    sent = {(note.phone, note.text): note.sent_at for note in notes if note.sent_at}
    for note in notes:
        # What was merged into the digest of the morning was told with the digest.
        if (at := note.sent_at or (sent.get((note.phone, note.text)) if note.state == "merged" else None)) is not None:
            first[note.alarm].append(at)
    for one in plan:
        where = ("room", room(one.unit)) if one.kind.quantity else ("subject", f"gateway:{world.gateway[one.unit]}")
        mine = [alarm for alarm in alarms if getattr(alarm, where[0]) == where[1] and alarm.rule == one.kind.rule]
        told = min((at for alarm in mine for at in first[alarm.id] if at >= one.at), default=None)
        if told is None or told > bound(one):
            late.append((one, len(mine), told and told - one.at))
    return late


def _steps(alarms, steps, notes, end):
    """Steps that were never taken, taken twice, left out or taken without a word."""
    found, ladders = [], defaultdict(list)
    told = Counter(note.escalation_step for note in notes)
    for step in (step for step in steps if step.alarm in alarms):
        if step.state == "blocked" or (step.state == "pending" and step.due <= end):
            found.append(("stuck", step.alarm, step.reason, step.step))
        if step.reason in ("raised", "supervise") and step.state == "done":
            ladders[step.annunciation, step.reason].append(step.step)
            if not told[step.id]:
                found.append(("silent", step.alarm, step.reason, step.step))
    for (annunciation, reason), numbers in ladders.items():
        if sorted(numbers) != list(range(min(numbers), max(numbers) + 1)):
            found.append(("gap", annunciation, reason, sorted(numbers)))
    return found


def run(folder, url, *, units, days, count, kills, seed=7):
    clock, plan, db = Clock(), incidents(seed, units, days, count), Database(url)
    populate(db, units, plan)
    world, dice, end = World(units, plan, START, seed), random.Random(seed), START + (days + 1) * DAY
    with SmsGateway(clock=clock) as sms:
        sms.core.faults = Unreliable(seed)
        orders = settings(folder, url, sms)
        server = Server(lambda now, fuse: Orders(orders, now, fuse, seed))
        month(world, server, clock, plan, end, kills, dice)
        found = judge(db, world, plan, sms, end)
        sent = len(sms.messages()), len(sms.calls())
    db.close()
    print(f"{units} units, {days} days, {count} incidents, {server.lives - 1} kills, {sent[0]} messages, {sent[1]} calls: {found}")
    assert server.lives == kills + 1
    assert found == {"lost": 0, "doubled": 0, "late": [], "steps": [], "woken_by_climate": 0, "unacknowledged": 0}
    assert sum(sent) >= 2 * count


@pytest.mark.faults
def test_a_month_with_twenty_kills(tmp_path):
    run(tmp_path, fresh(tmp_path / "aw.db"), units=20, days=30, count=12, kills=20)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_month_of_the_province_with_two_hundred_kills(tmp_path):
    run(tmp_path, fresh(tmp_path / "aw.db"), units=1300, days=30, count=120, kills=200)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_month_of_the_province_with_two_hundred_kills_on_postgresql(tmp_path, postgres_url):
    run(tmp_path, postgres_url, units=1300, days=30, count=120, kills=200)
