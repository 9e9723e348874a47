"""Other writers keep their turns short: an alarm waits for whoever writes before it."""

from sqlalchemy import event

from server.duty.cards import default_cards
from server.duty.incidents import TOGETHER, Incidents
from tests.server.test_watch_groups import die, gateways


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
