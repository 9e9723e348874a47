"""What the page says of the calls to come is what is sent: the same alarms, foretold and then lived through."""

import pytest

from server.duty.calendar import Workdays
from server.duty.escalation import default_escalation
from server.notify.dispatch import Dispatcher
from server.store.tables import Unit
from tests.notify.conftest import MINUTE, Line, beijing

NIGHT, DAY = beijing("2026-11-24 02:00"), beijing("2026-11-23 10:00")
DESK = "0591-87654321"
DAMP = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "level": "urgent", "value": 78.0}
LEAK = {"rule": "leak", "quantity": "leak", "level": "urgent"}


@pytest.fixture
def told(desk, sms, channel):
    made = Dispatcher(desk.db, [channel], default_escalation(), workdays=Workdays())
    desk.set(Unit, desk.STATION, duty_phone=DESK)
    yield Line(desk, sms, made, channel)
    made.close()


def foretold(line, alarm):
    with line.desk.db.read() as session:
        coming = line.dispatcher.forecast.of(session, alarm, line.desk.now)
    return [((one.due - line.desk.now) // MINUTE, one.reason, set(one.names), one.waits) for one in coming]


def by_minute(pairs):
    """{minute: names}: two lines may want the same words for the same phone in the same minute, which are said once."""
    found = {}
    for minute, names in pairs:
        found.setdefault(minute, set()).update(names)
    return found


@pytest.mark.parametrize(("now", "what"), [(NIGHT, {}), (DAY, {}), (NIGHT, LEAK), (DAY, LEAK)])
def test_what_is_foretold_at_the_beginning_is_what_comes(told, now, what):
    told.desk.now = now
    alarm = told.desk.annunciate(**what)
    told.run()
    since, coming = told.desk.now, foretold(told, alarm)
    assert coming
    told.run(50, every_s=30)
    sent = [((row.created_at - since) // MINUTE, [row.person_name]) for row in told.desk.notes(alarm) if row.created_at > since]
    assert by_minute((minute, names) for minute, _, names, _ in coming if minute < 50) == by_minute(sent)


def test_what_waits_for_the_morning_says_so(told):
    told.desk.now = NIGHT
    alarm = told.desk.annunciate(**DAMP)
    told.run()
    minutes, reason, names, waits = foretold(told, alarm)[0]
    assert (minutes, reason, waits) == (330, "raised", True)
    assert names


def test_after_the_take_over_the_level_above_and_the_question_for_progress_are_to_come(told):
    told.desk.now = DAY
    alarm = told.desk.annunciate(**LEAK)
    told.run()
    told.desk.acknowledge(alarm)
    told.run(0.3)
    assert [reason for _, reason, _, _ in foretold(told, alarm)] == ["supervise", "progress"]
