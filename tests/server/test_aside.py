"""Who decodes steps aside while the writer judges, and goes on when only the disk is waited for; other writers keep their turns short."""

import threading

import pytest
from sqlalchemy import event

from server.duty.cards import default_cards
from server.duty.incidents import TOGETHER, Incidents
from server.watch import loop
from tests.server.test_watch_groups import die, gateways


def passes(watch) -> bool:
    """Whether somebody who steps aside now goes on at once, let go by the writer alone."""
    gone = threading.Event()
    threading.Thread(target=lambda: (watch.aside(3600), gone.set()), daemon=True).start()
    return gone.wait(5)


def test_who_decodes_waits_while_a_group_is_judged_and_not_for_the_disk(slice_, monkeypatch):
    slice_.birth()
    seen = {}
    judged = loop.Judge.data

    def data(self, item):
        seen["judging"] = slice_.watch._at_rest.is_set()
        return judged(self, item)

    def commit(_connection):
        seen["committing"] = passes(slice_.watch)

    monkeypatch.setattr(loop.Judge, "data", data)
    event.listen(slice_.db.engine, "commit", commit)
    assert passes(slice_.watch)
    slice_.send(("th1/humidity", 55.0))
    assert seen == {"judging": False, "committing": True}
    assert passes(slice_.watch)


def test_nobody_stays_aside_after_a_group_that_failed(slice_):
    slice_.birth()
    with slice_.db.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE journal RENAME TO journal_away")
    slice_.send(("th1/humidity", 55.0), wait=False)
    with pytest.raises(Exception, match="journal"):
        slice_.run()
    assert passes(slice_.watch)


def test_a_storm_of_incidents_leaves_turns_for_alarms(county):
    gateways(county)
    county.run(20)
    made = Incidents(county.db, None, default_cards(), lambda _alarm, _sentence: None)
    made.run_once(county.now)
    county.send(*[(f"th{n}/humidity", 99.0) for n in range(1, 10)])
    die(county, 2, 3, 4, 5)
    county.run(6)
    joined = [0]
    event.listen(
        county.db.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: joined.append(joined.pop() + ("INTO incident_alarm" in statement)),
    )
    event.listen(county.db.engine, "commit", lambda _connection: joined.append(0))
    made.run_once(county.now)
    assert sum(joined) > TOGETHER
    assert max(joined) <= TOGETHER
