"""A month of a province with seeded incidents: every one reaches a human by its bound, nothing is lost or doubled, while the provider fails 30 % of
the calls and the process is killed (kill -9) at random commits and sends. Time is simulated; database, HTTP and kills are real.

The gateway in the test is the judge: what it accepted is what people got.
"""

import mmap
import os
import random
import signal
import struct
from collections import Counter

import pytest
from sqlalchemy import event, func, insert, or_, select

from server.duty.escalation import default_escalation
from server.notify.channels import ChannelError, Failure
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher
from server.store.session import Database
from server.store.tables import Alarm, EscalationStep, Notification, Person, Room, Unit
from simulators.sms_gateway import SmsGateway
from tests.notify.conftest import MINUTE, SENDER, Counts, Desk, beijing

START = beijing("2026-11-02 00:00")
DAY = 24 * 60 * MINUTE
KINDS = (
    ("smoke", "state", "smoke", "critical", None), ("leak", "state", "leak", "urgent", None), ("power_lost", "state", "power", "urgent", None),
    ("room_blind", "stale", "room", "urgent", None), ("humidity_high", "threshold", "humidity", "urgent", 78.0),
    ("humidity_high", "threshold", "humidity", "alarm", 66.0),
)  # fmt: skip
PROMPT_MS = 10 * MINUTE  # step 0 at once; two ambiguous sends in a row cost a minute of grace each


class Clock:
    """Simulated time that outlives a killed child: eight bytes shared between the processes."""

    def __init__(self, path):
        path.write_bytes(struct.pack("q", START))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def __call__(self):
        return struct.unpack("q", self._map[:8])[0]

    def set(self, now):
        self._map[:8] = struct.pack("q", now)


class Flaky(TwilioSms):
    """Three calls in ten fail: half of them before anything was sent, half after the provider had accepted."""

    dice = random.Random()
    here = staticmethod(lambda: None)

    def send(self, message):
        fate = self.dice.random()
        if fate < 0.15:
            raise ChannelError("30 %", Failure.RETRY)
        receipt = super().send(message)
        self.here()
        if fate < 0.30:
            raise ChannelError("30 %", Failure.AMBIGUOUS)
        return receipt


def incidents(seed, units, days, count):
    """(instant, unit number, kind) in order of time."""
    dice = random.Random(seed)
    found = [(START + int(dice.random() * days * DAY), dice.randrange(units), dice.choice(KINDS)) for _ in range(count)]
    return sorted(found, key=lambda one: one[0])


def people(desk, units):
    """Units of the county, each with a room and the person of it, in one transaction."""
    codes = [f"350102{n + 200:04d}00" for n in range(units)]
    rows = {
        Unit: [{"code": code, "parent": desk.COUNTY, "level": 4, "name": code, "short_name": f"站{n}"} for n, code in enumerate(codes)],
        Person: [
            {"id": n + 100, "code": f"p{n}", "name": f"人{n}", "phone": f"137{n:08d}", "unit": code, "duty": ""} for n, code in enumerate(codes)
        ],
        Room: [
            {"code": f"{code}-01", "unit": code, "name": "库", "short_name": "库", "sms_place": f"{n}号点库", "person": n + 100}
            for n, code in enumerate(codes)
        ],
    }
    with desk.db.write() as session:
        for table, values in rows.items():
            session.execute(insert(table), values)
    return [f"{code}-01" for code in codes]


def reopened(desk):
    """The desk as a restarted process sees it: nothing in memory, everything in the database."""
    made = Desk.__new__(Desk)
    made.folder, made.url, made.counts, made.now = desk.folder, desk.url, Counts(), desk.now
    made.db = Database(desk.url)
    return made


def live(desk, clock, sms, plan, rooms, end, kill_after, seed):
    """One life of server and dispatcher, in a forked child: until the end, or until the commit or send at which it is killed."""
    desk, left = reopened(desk), [kill_after]

    def here(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(desk.db.engine, "commit", here)
    channel = Flaky(account_sid=sms.account, token=sms.token, sender=SENDER, base_url=sms.url, timeout_s=10)
    channel.dice, channel.here = random.Random(seed), here
    dispatcher = Dispatcher(desk.db, [channel], default_escalation())
    known = _known(desk)
    while clock() < end:
        desk.now = clock()
        for number, (at, unit, kind) in enumerate(plan):
            if at <= desk.now and number not in known:
                known.add(number)
                rule, what, quantity, level, value = kind
                desk.annunciate(rule=rule, kind=what, quantity=quantity, level=level, value=value, room=rooms[unit], at=at, key=str(number))
        _humans(desk, seed)
        dispatcher.run_once(desk.now)
        clock.set(_next(desk, plan, end))
    os._exit(0)


def _known(desk):
    """The incidents whose alarm is committed: what a restarted server finds."""
    return {int(alarm.open_key.rpartition("|")[2]) for alarm in desk._rows(Alarm, Alarm.open_key.is_not(None))}


def _humans(desk, seed):
    """People answer twenty minutes after they were told, two in three of them."""
    told = select(Alarm.id).join(Notification, Notification.alarm == Alarm.id).where(Alarm.state == "active_unacked")
    with desk.db.read() as session:
        due = session.scalars(told.group_by(Alarm.id).having(func.min(Notification.sent_at) <= desk.now - 20 * MINUTE)).all()
    for alarm in due:
        if random.Random(f"{seed}{alarm}").random() < 0.67:
            desk.acknowledge(alarm, by="王仓")


def _next(desk, plan, end):
    """The next instant at which anything can happen."""
    with desk.db.read() as session:
        step = session.scalar(select(func.min(EscalationStep.due)).where(EscalationStep.state == "pending", EscalationStep.reason != "expire"))
        waits = Notification.state.in_(("queued", "claimed"))
        note = session.scalar(select(func.min(func.coalesce(Notification.claimed_until, Notification.due))).where(waits))
        told = select(func.min(Notification.sent_at)).join(Alarm, Alarm.id == Notification.alarm).where(Alarm.state == "active_unacked")
        answer = session.scalar(told.where(Notification.sent_at > desk.now - 20 * MINUTE))
    coming = [at for at, _, _ in plan if at > desk.now][:1]
    times = [*coming, *(t for t in (step, note, answer and answer + 20 * MINUTE) if t)]
    return min(end, max(min(times, default=end), desk.now + 1000))


def month(desk, clock, plan, rooms, days, kills, seed):
    """Run it with so many kills. Returns how many lives there were."""
    dice, lives = random.Random(seed), 0
    end = START + days * DAY
    with SmsGateway(clock=clock) as sms:
        while True:
            lives += 1
            after = dice.randrange(3, 60) if lives <= kills else 0
            child = os.fork()
            if child == 0:
                try:
                    live(desk, clock, sms, plan, rooms, end, after, seed + lives)
                finally:
                    os._exit(9)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, -signal.SIGKILL), code
            if code == 0:
                return lives, sms.messages()


def judge(desk, plan, messages):
    """Lost, doubled, foreign, late."""
    rows = [note for note in desk.notes() if note.state in ("sent", "delivered")]
    wanted, came = Counter((n.phone, n.text) for n in rows), Counter((m["to"], m["body"]) for m in messages)
    steps = desk._rows(EscalationStep, or_(EscalationStep.state == "pending", EscalationStep.state == "blocked"))
    stuck = [step for step in steps if step.state == "blocked" or (step.due <= desk.now and step.reason != "expire")]
    late = []
    alarms = {int(alarm.open_key.rpartition("|")[2]): alarm for alarm in desk._rows(Alarm, Alarm.open_key.is_not(None))}
    for number, (at, _, kind) in enumerate(plan):
        first = min((n.sent_at for n in desk.notes(alarms[number].id) if n.sent_at), default=None)
        merged = any(n.state == "merged" for n in desk.notes(alarms[number].id))
        prompt = kind[0] != "humidity_high"
        if first is None and not merged:
            late.append((number, kind[0], None))
        elif (prompt and first - at > PROMPT_MS) or (not prompt and first is not None and first - at > DAY + 8 * 60 * MINUTE + 3 * DAY):
            late.append((number, kind[0], first - at))
    asleep = [n for n in rows if n.sent_at and kind_of(desk, n) == "humidity_high" and _quiet(n.sent_at) and n.reason in ("raised", "escalated")]
    return {
        "lost": sum((wanted - came).values()), "doubled": sum(count - 1 for count in came.values() if count > 1),
        "foreign": sum((came - wanted).values()), "stuck": len(stuck), "late": late, "woken_by_climate": len(asleep),
    }  # fmt: skip


def kind_of(desk, note):
    with desk.db.read() as session:
        return session.get_one(Alarm, note.alarm).rule


def _quiet(at):
    hour = (at // 3_600_000 + 8) % 24
    return hour >= 22 or hour < 7


def run(folder, url, *, units, days, count, kills, seed=7):
    desk = Desk(folder, url=url)
    clock, plan = Clock(folder / "clock"), incidents(seed, units, days, count)
    rooms = people(desk, units)
    desk.db.engine.dispose()  # no connection may cross a fork
    lives, messages = month(desk, clock, plan, rooms, days + 1, kills, seed)
    desk.now = clock()
    found = judge(desk, plan, messages)
    desk.db.close()
    print(f"{units} units, {days} days, {count} incidents, {lives - 1} kills, {len(messages)} messages: {found}")
    assert lives == kills + 1
    assert found == {"lost": 0, "doubled": 0, "foreign": 0, "stuck": 0, "late": [], "woken_by_climate": 0}
    assert len(messages) >= count


@pytest.mark.faults
def test_a_month_with_twenty_kills(tmp_path):
    run(tmp_path, "", units=20, days=30, count=20, kills=20)


@pytest.mark.faults
def test_a_week_with_kills_on_postgresql(tmp_path, postgres_url):
    run(tmp_path, postgres_url, units=10, days=7, count=6, kills=6)


@pytest.mark.soak
def test_a_month_of_the_province_with_two_hundred_kills(tmp_path):
    run(tmp_path, "", units=1300, days=30, count=200, kills=200)


@pytest.mark.soak
def test_a_month_of_the_province_with_two_hundred_kills_on_postgresql(tmp_path, postgres_url):
    run(tmp_path, postgres_url, units=1300, days=30, count=200, kills=200)
