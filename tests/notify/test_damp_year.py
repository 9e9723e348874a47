"""A damp year in rooms that nobody dries: a great many climate alarms of every level, by night as by day, and nobody is woken by any of them.

Alarms and instants are seeded; the dispatcher, the escalation table, the texts and the database are real. The file channel is the outside world.
"""

import random
from collections import Counter

import pytest
from sqlalchemy import func, insert, select

from server.duty.escalation import default_escalation
from server.notify.dispatch import Dispatcher
from server.store.tables import Alarm, EscalationStep, Notification, Person, Room, Unit
from tests.notify.conftest import MINUTE, Desk, beijing

HOUR = 60 * MINUTE
DAY = 24 * HOUR
CLIMATE = (
    ("humidity_high", "threshold", "humidity", "alarm"), ("humidity_high", "threshold", "humidity", "urgent"),
    ("dew_point", "dew_point", "humidity", "urgent"), ("mould", "mould", "humidity", "urgent"), ("humidity_swing", "swing", "humidity", "alarm"),
)  # fmt: skip


def damp(desk, rooms):
    """Rooms in stations of a few each, every station with a duty officer and a keeper."""
    stations = [f"350102{n + 200:04d}00" for n in range(-(-rooms // 4))]
    rows = {
        Unit: [{"code": code, "parent": desk.COUNTY, "level": 4, "name": code, "short_name": f"站{n}"} for n, code in enumerate(stations)],
        Person: [
            {"id": 100 + 2 * n + k, "code": f"p{n}{k}", "name": f"人{n}", "phone": f"13{6 + k}{n:08d}", "unit": code, "duty": duty}
            for n, code in enumerate(stations)
            for k, duty in enumerate(("duty_officer", "person_in_charge"))
        ],
        Room: [
            {
                "code": f"{stations[n // 4]}-{n % 4 + 1:02d}", "unit": stations[n // 4], "name": "库", "short_name": "库",
                "sms_place": f"{n}库", "person": 101 + 2 * (n // 4),
            }
            for n in range(rooms)
        ],
    }  # fmt: skip
    with desk.db.write() as session:
        for table, values in rows.items():
            session.execute(insert(table), values)
    return [row["code"] for row in rows[Room]]


def live(desk, rooms, days, every_days, seed):
    """Each room raises a climate alarm about once in `every_days`, at any hour; a third is dealt with by day, the rest clears by itself."""
    dice, start = random.Random(seed), beijing("2026-04-06 00:00")
    plan = sorted((start + dice.randrange(days * DAY), room, dice.choice(CLIMATE)) for room in rooms for _ in range(max(days // every_days, 1)))
    dispatcher = Dispatcher(desk.db, [desk.file_channel()], default_escalation())
    desk.now, waiting = start, list(reversed(plan))
    while desk.now < start + (days + 2) * DAY:
        while waiting and waiting[-1][0] <= desk.now:
            at, room, (rule, kind, quantity, level) = waiting.pop()
            desk.annunciate(rule=rule, kind=kind, quantity=quantity, level=level, value=78.0, room=room, at=at, key=str(len(waiting)))
        dispatcher.run_once(desk.now)
        with desk.db.read() as session:
            step = session.scalar(select(func.min(EscalationStep.due)).where(EscalationStep.state == "pending", EscalationStep.reason != "expire"))
            note = session.scalar(select(func.min(Notification.due)).where(Notification.state == "queued"))
        coming = [at for at in (waiting[-1][0] if waiting else None, step, note) if at is not None and at > desk.now]
        desk.now = min([*coming, start + (days + 2) * DAY])
    dispatcher.close()
    return plan


def judge(desk, plan):
    with desk.db.read() as session:
        sent = session.execute(select(Notification.phone, Notification.sent_at, Notification.state).where(Notification.sent_at.is_not(None))).all()
        told = set(session.scalars(select(Notification.alarm).where(Notification.state.in_(("sent", "delivered", "merged")))))
        alarms = set(session.scalars(select(Alarm.id)))
    hours = [((row.sent_at // HOUR) + 8) % 24 for row in sent]
    mornings = Counter((row.phone, row.sent_at // DAY) for row in sent if (row.sent_at // MINUTE + 8 * 60) % 1440 == 450)
    return {
        "alarms": len(plan), "messages": len(sent), "at_night": sum(hour >= 22 or hour < 7 for hour in hours), "told_nobody": len(alarms - told),
        "two_digests_in_one_morning": sum(count > 1 for count in mornings.values()),
    }  # fmt: skip


def test_a_damp_week_wakes_nobody(tmp_path):
    desk = Desk(tmp_path)
    found = judge(desk, live(desk, damp(desk, 12), 7, 7, 1))
    desk.db.close()
    assert (found["alarms"], found["at_night"], found["told_nobody"], found["two_digests_in_one_morning"]) == (12, 0, 0, 0)
    assert found["messages"] > 10


@pytest.mark.soak
def test_a_damp_year_of_1300_rooms_wakes_nobody(tmp_path):
    desk = Desk(tmp_path)
    found = judge(desk, live(desk, damp(desk, 1300), 365, 180, 2))
    print(found)
    desk.db.close()
    assert (found["at_night"], found["told_nobody"], found["two_digests_in_one_morning"]) == (0, 0, 0)
    assert found["alarms"] == 2600
