"""A county with its duty people, a real database, the real SMS gateway, and a clock that only the test moves."""

import tempfile
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import select

from alarms.rules import RuleSet
from server.duty.numbers import number
from server.duty.routing import BEIJING
from server.notify.channels.outbox_file import OutboxFile
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.settings import WatchSettings
from server.store.schema import Base
from server.store.session import Database
from server.store.tables import Alarm, EscalationStep, Notification, Person, Room, Transition, Unit
from server.watch.commit import Transaction
from server.watch.state import World
from simulators.sms_gateway import SmsGateway
from tests.duty.ladders import ten_minutes

MINUTE = 60_000
PROVINCE, CITY, COUNTY, STATION = "350000000000", "350100000000", "350102000000", "350102010000"
ROOM = f"{STATION}-01"
SENDER = "+8613900009999"
PEOPLE = {  # code: (name, phone, unit, duty)
    "wang": ("王仓", "13800000001", STATION, "person_in_charge"),
    "li": ("李班", "13800000002", STATION, "duty_officer"),
    "chen": ("陈县", "13800000003", COUNTY, "duty_officer"),
    "lin": ("林市", "13800000004", CITY, "duty_officer"),
    "zheng": ("郑省", "13800000005", PROVINCE, "duty_officer"),
}
UNITS = ((PROVINCE, None, 1, "省厅"), (CITY, PROVINCE, 2, "福州"), (COUNTY, CITY, 3, "鼓楼"), (STATION, COUNTY, 4, "东街"))


def beijing(text):
    """UTC ms of a Beijing wall time, `2026-11-23 10:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp() * 1000)


class Counts:
    """The metrics' counter."""

    def __init__(self):
        self.all = {}

    def __call__(self, channel, result):
        self.all[result] = self.all.get(result, 0) + 1

    def __getitem__(self, result):
        return self.all.get(result, 0)


def _people(db):
    Base.metadata.create_all(db.engine)
    with db.write() as session:
        for code, parent, level, name in UNITS:
            session.add(Unit(code=code, parent=parent, level=level, name=f"{name}全称", short_name=name))
            session.flush()
        for ident, (code, (name, phone, unit, duty)) in enumerate(PEOPLE.items(), start=1):
            session.add(Person(id=ident, code=code, name=name, phone=phone, unit=unit, duty=duty))
        session.flush()
        session.add(Room(code=ROOM, unit=STATION, name="1号库房", short_name="1号库", sms_place="鼓楼东街01库", person=1))


@cache
def _template():
    """The file of a desk: its tables take longer than most tests here, so it is made once a process and copied."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "desk.db"
        db = Database(f"sqlite:///{file}")
        _people(db)
        db.close()
        return file.read_bytes()


class Desk:
    """What the watch would write, on a real database; `phone(code)` is E.164."""

    PROVINCE, CITY, COUNTY, STATION, ROOM = PROVINCE, CITY, COUNTY, STATION, ROOM
    MINUTE = MINUTE

    def __init__(self, folder, url=""):
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'desk.db'}"
        if not url:
            (folder / "desk.db").write_bytes(_template())
        self.db = Database(self.url)
        if url:
            _people(self.db)
        self.now = beijing("2026-11-23 10:00")
        self.counts = Counts()

    @staticmethod
    def phone(code):
        return "+86" + PEOPLE[code][1]

    def add_room(self, code, phone, place):
        """A room with a person of its own in a unit where nobody else is on duty."""
        unit = code[:12]
        with self.db.write() as session:
            session.add(Unit(code=unit, parent=COUNTY, level=4, name=place, short_name=place[:6]))
            session.flush()
            person = Person(code=f"p{code}", name=f"人{code[-2:]}", phone=phone, unit=unit, duty="")
            session.add(person)
            session.flush()
            session.add(Room(code=code, unit=unit, name=place, short_name=place, sms_place=place, person=person.id))
        return code

    def annunciate(self, alarm=None, *, rule="smoke", kind="state", quantity="smoke", level="critical", room=ROOM, at=None, value=None, **changes):
        """Raise an alarm, or ask for attention anew; one transaction, as the watch does it. Returns the alarm's id."""
        at = self.now if at is None else at
        with self.db.write() as session:
            row = session.get(Alarm, alarm) if alarm else None
            if row is None:
                row = Alarm(
                    open_key=f"{room}|{rule}|{at}|{changes.pop('key', '')}", subject=room or "gateway:G", rule=rule, kind=kind, quantity=quantity,
                    room=room, unit=(room or STATION)[:12], raised_at=at, raised_value=value, number="", state="active_unacked", level=level,
                )  # fmt: skip
                session.add(row)
                session.flush()
                row.number = number(row.id)
            row.state, row.level, row.cleared_at = "active_unacked", level, None
            for name, what in changes.items():
                setattr(row, name, what)
            change = Transition(alarm=row.id, at=at, name="raised", before="normal", after=row.state, level=level, value=value)
            session.add(change)
            session.flush()
            tx = self._transaction(session)
            tx.escalation.hold(row)
            tx.escalation.ask(row, change.id, "raised", self.now)
            return row.id

    def acknowledge(self, alarm, by="王仓"):
        self._change(alarm, "acknowledged", "active_acked", by, "taken", delay=10_000)

    def clear(self, alarm):
        with self.db.read() as session:
            state = session.get_one(Alarm, alarm).state
        self._change(alarm, "cleared", "normal" if state == "active_acked" else "cleared_unacked", "", "cleared")

    def assist(self, alarm):
        with self.db.write() as session:
            tx = self._transaction(session)
            row = tx.add_transition(session.get_one(Alarm, alarm), "assist", by="王仓", via="page")
            tx.escalation.ask(session.get_one(Alarm, alarm), row, "assist", self.now)

    def undo(self, alarm):
        """The take-over is taken back."""
        with self.db.write() as session:
            row = session.get_one(Alarm, alarm)
            row.state = "active_unacked"
            tx = self._transaction(session)
            tx.add_transition(row, "unacknowledged", by="王仓", via="page")
            tx.escalation.hold(row)
            tx.escalation.resume(row)

    def set(self, table, ident, **changes):
        with self.db.write() as session:
            row = session.get_one(table, ident)
            for name, what in changes.items():
                setattr(row, name, what)

    def steps(self, alarm):
        return self._rows(EscalationStep, EscalationStep.alarm == alarm)

    def notes(self, alarm=None, **wanted):
        found = self._rows(Notification, Notification.alarm == alarm if alarm else True)
        return [row for row in found if all(getattr(row, name) == what for name, what in wanted.items())]

    def file_channel(self):
        return OutboxFile(self.folder / "outbox.jsonl")

    def _change(self, alarm, name, state, by, reason, delay=0):
        with self.db.write() as session:
            row = session.get_one(Alarm, alarm)
            row.state = state
            if name == "acknowledged":
                row.acked_at, row.acked_by = self.now, by
            if state == "normal":
                row.closed_at, row.open_key = self.now, None
            change = Transition(alarm=alarm, at=self.now, name=name, before="", after=state, level=row.level, by=by)
            session.add(change)
            session.flush()
            tx = self._transaction(session)
            tx.escalation.hold(row)
            tx.escalation.ask(row, change.id, reason, self.now + delay)

    def _transaction(self, session):
        return Transaction(session, World(RuleSet(), WatchSettings()), self.now)

    def _rows(self, table, condition):
        with self.db.read() as session:
            return list(session.scalars(select(table).where(condition).order_by(table.id)))


class Line:
    """Desk, gateway and dispatcher together."""

    def __init__(self, desk, sms, dispatcher, channel):
        self.desk, self.sms, self.dispatcher, self.channel = desk, sms, dispatcher, channel

    def run(self, minutes=0.0, every_s=5):
        """Let time pass, as the dispatcher's loop would see it."""
        end = self.desk.now + round(minutes * MINUTE)
        while True:
            self.dispatcher.run_once(self.desk.now)
            if self.desk.now >= end:
                return
            self.desk.now = min(self.desk.now + every_s * 1000, end)

    def texts(self, who=None):
        """What the provider really accepted for a phone."""
        to = self.desk.phone(who) if who in PEOPLE else who
        return [message["body"] for message in self.sms.messages(to=to)]


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def sms(desk):
    with SmsGateway(clock=lambda: desk.now, hold_s=5) as gateway:
        yield gateway


@pytest.fixture
def channel(sms):
    made = TwilioSms(account_sid=sms.account, token=sms.token, sender=SENDER, base_url=sms.url, timeout_s=3)
    yield made
    made.close()


@pytest.fixture
def line(desk, sms, channel):
    made = Dispatcher(desk.db, [channel], ten_minutes(), settings=DispatchSettings(), count=desk.counts)
    yield Line(desk, sms, made, channel)
    made.close()
