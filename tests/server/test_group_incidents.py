"""One cause, one incident: the rooms of a group are worked through together, whenever their alarms and the group's were found."""

import pytest
from sqlalchemy import select

from server.duty.cards import default_cards
from server.duty.incidents import Incidents
from server.store.tables import Alarm
from server.store.tables_incident import Incident, IncidentAlarm, IncidentEntry
from tests.server.test_watch_groups import die, gateways, groups


@pytest.fixture
def cut(county):
    gateways(county)
    county.run(20)
    made = Incidents(county.db, None, default_cards(), lambda _alarm, _sentence: None)  # the series is asked only about reports
    return county, made


def of_members(county):
    group = groups(county)[0].id
    members = {alarm.id for alarm in county.rows(Alarm) if alarm.group_alarm == group}
    with county.db.read() as session:
        found = session.scalars(select(IncidentAlarm.incident).where(IncidentAlarm.alarm.in_({group, *members})))
        return set(found), len(members)


def test_a_group_and_its_rooms_are_one_incident(cut):
    county, made = cut
    die(county, 2, 3, 4)
    county.run(6)
    made.run_once(county.now)
    incidents, members = of_members(county)
    assert (len(incidents), members) == (1, 3)
    before = len(county.rows(IncidentEntry))
    assert (made.run_once(county.now), len(county.rows(IncidentEntry))) == (0, before), "nothing is done twice"


def test_what_opened_before_the_group_was_found_goes_over_to_it(cut):
    county, made = cut
    die(county, 2)
    county.run(6)
    made.run_once(county.now)
    [single] = [row for row in county.rows(Incident) if row.event == "gateway" and row.state == "open"]
    die(county, 3, 4)
    county.run(6)
    made.run_once(county.now)
    made.run_once(county.now)
    incidents, members = of_members(county)
    assert (len(incidents), members) == (1, 3)
    assert single.id not in incidents
    assert not [row for row in county.rows(IncidentEntry) if row.incident == single.id]


def test_what_somebody_has_begun_stays_his(cut):
    county, made = cut
    die(county, 2)
    county.run(6)
    made.run_once(county.now)
    [single] = [row for row in county.rows(Incident) if row.event == "gateway"]
    with county.db.write() as session:
        session.get_one(Incident, single.id).owner = "周夜"
    die(county, 3, 4)
    county.run(6)
    made.run_once(county.now)
    made.run_once(county.now)
    assert single.id in of_members(county)[0]
