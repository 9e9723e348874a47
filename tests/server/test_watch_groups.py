"""One cause, one alarm: groups form, grow, climb, clear and release exactly; fire, water and intrusion never hide in one; floods are told."""

from sqlalchemy import select

from contract.sample import Quality
from server.live.facts import AlarmFact, FloodFact
from server.store.tables import Alarm, EscalationStep, Transition
from server.store.tables_watch import AlarmGroup, AlarmGroupMember, Chronic
from server.watch import commands
from server.watch.inputs import GatewayDeath

COUNTY, SISTER, CITY = "350102000000", "350103000000", "350100000000"


def born(made, gateway, points):
    return made.birth([(metric, room) for metric, room in points], gateway=gateway)


def gateways(made):
    """Each gateway reads two rooms."""
    for n, unit, first in ((2, COUNTY, 3), (3, COUNTY, 5), (4, COUNTY, 7), (5, SISTER, 1)):
        born(made, f"GW-{n}", [("th/humidity", f"{unit}-{first:02}"), ("th2/humidity", f"{unit}-{first + 1:02}")])


def die(made, *numbers):
    for n in numbers:
        made.watch.offer(GatewayDeath(gateway=f"GW-{n}", at=made.now))


def groups(made, **wanted):
    return made.rows(Alarm, kind="group", **wanted)


def told(made, alarm):
    return [(step.reason, step.state) for step in made.rows(EscalationStep, alarm=alarm)]


def power(made, values):
    made.send(*[(f"p{n}/power", value) for n, value in values.items()])


def powered(made, count=4):
    made.birth([(f"p{n}/power", f"{COUNTY}-{n:02}") for n in range(3, 3 + count)])
    power(made, dict.fromkeys(range(3, 3 + count), 1))
    made.run(1)


def test_a_cut_uplink_is_one_alarm_of_the_unit_that_holds_all_and_its_members_wait(county):
    gateways(county)
    county.run(20)
    die(county, 2, 3, 4)
    county.run(6)
    [group] = groups(county)
    assert (group.subject, group.rule, group.level, group.state) == (f"unit:{COUNTY}", "group_offline", "urgent", "active_unacked")
    assert group.raised_value == 6  # rooms
    members = county.rows(Alarm, rule="gateway_offline")
    assert {alarm.group_alarm for alarm in members if alarm.subject != f"gateway:{county.GATEWAY}"} == {group.id}
    assert told(county, group.id) == [("raised", "pending")]
    assert [told(county, alarm.id)[-1][1] for alarm in members if alarm.group_alarm] == ["cancelled"] * 3
    loud = [fact for fact in county.facts if isinstance(fact, AlarmFact) and fact.annunciate]
    assert group.id in {fact.alarm_id for fact in loud}
    raised = {row.alarm: row.id in county.asked() for row in county.rows(Transition, name="raised")}
    assert [raised[m.id] for m in members if m.group_alarm] == [False] * 3
    assert raised[group.id]


def test_one_gateway_with_many_rooms_is_no_group(county):
    born(county, "GW-2", [(f"th{n}/humidity", f"{COUNTY}-{n:02}") for n in range(3, 8)])
    county.run(20)
    die(county, 2)
    county.run(6)
    assert groups(county) == []


def test_a_group_grows_over_the_county_and_clears_exactly_with_the_last_member(county):
    gateways(county)
    county.run(20)
    die(county, 2, 3)
    county.run(30)
    die(county, 5)
    county.run(6)
    [group] = groups(county)
    assert (group.subject, group.unit, group.raised_value) == (f"unit:{CITY}", CITY, 6)
    county.start()
    for n, left in ((2, 4), (3, 2)):
        born(county, f"GW-{n}", [])
        [group] = groups(county)
        assert (group.raised_value, group.closed_at) == (left, None)
    before = county.now
    county.run(5)
    born(county, "GW-5", [])
    [group] = groups(county)
    assert (group.state, group.cleared_at) == ("cleared_unacked", before + 5000)
    assert group.raised_value == 7, "all its rooms (the births have given one gateway another), not those that came back last"
    assert [row.ended_at for row in county.rows(AlarmGroup)] == [before + 5000]
    assert all(row.left_at for row in county.rows(AlarmGroupMember))


def test_taking_over_the_group_takes_its_members_and_the_undo_gives_them_back(county):
    gateways(county)
    die(county, 2, 3, 4)
    county.run(6)
    [group] = groups(county)
    assert county.order(commands.Acknowledge(alarm=group.id, by="林一")).ok
    assert {a.state for a in county.rows(Alarm, group_alarm=group.id)} == {"active_acked"}
    assert county.order(commands.Unacknowledge(alarm=group.id, by="林一")).ok
    assert {a.state for a in county.rows(Alarm, group_alarm=group.id)} == {"active_unacked"}
    assert {s for a in county.rows(Alarm, group_alarm=group.id) for _, s in told(county, a.id)} == {"cancelled"}
    county.order(commands.Acknowledge(alarm=group.id, by="林一"))
    for n in (2, 3, 4):
        born(county, f"GW-{n}", [])
    assert {a.closed_at is not None for a in county.rows(Alarm, kind="group")} == {True}
    assert {a.acked_by for a in county.rows(Alarm, rule="gateway_offline") if a.subject != f"gateway:{county.GATEWAY}"} == {"林一"}


def test_stragglers_of_a_group_whose_burst_is_over_speak_for_themselves(county):
    powered(county)
    power(county, dict.fromkeys(range(3, 7), 0))
    [group] = groups(county)
    county.order(commands.Acknowledge(alarm=group.id, by="林一"))
    for _ in range(31):
        county.run(10)
        power(county, {3: 1, 4: 1, 5: 1, 6: 0})
    [left] = [a for a in county.rows(Alarm, rule="power_lost") if a.cleared_at is None]
    assert (left.group_alarm, left.state) == (None, "active_unacked")
    assert told(county, left.id)[-1] == ("raised", "pending")
    assert groups(county)[0].closed_at is not None
    county.start()
    county.run(10)
    assert len(groups(county)) == 1  # what was released starts no new group


def test_a_second_wave_asks_anew(county):
    powered(county, 6)
    power(county, {3: 0, 4: 0, 5: 0, 6: 1, 7: 1, 8: 1})
    [group] = groups(county)
    county.order(commands.Acknowledge(alarm=group.id, by="林一"))
    for _ in range(31):
        county.run(10)
        power(county, {3: 0, 4: 0, 5: 0, 6: 1, 7: 1, 8: 1})
    county.run(1)
    power(county, dict.fromkeys(range(3, 9), 0))
    [group] = groups(county)
    assert (group.state, group.raised_value) == ("active_unacked", 6)


def test_a_cut_that_comes_back_before_anybody_has_answered_for_the_first(county):
    """The group's alarm has cleared and waits for an answer: the second burst asks by the same alarm, and the watch goes on."""
    gateways(county)
    county.run(20)
    die(county, 2, 3, 4)
    county.run(6)
    [first] = groups(county)
    gateways(county)
    county.run(2)
    assert groups(county)[0].state == "cleared_unacked"
    county.run(20)
    die(county, 2, 3, 4)
    county.run(6)
    [again] = groups(county, rule="group_offline")
    assert (again.id, again.state, again.raised_value) == (first.id, "active_unacked", 6)
    [row] = county.rows(AlarmGroup, cause="offline")
    assert row.ended_at is None
    assert len(county.rows(AlarmGroupMember, group_id=row.id, left_at=None)) == 3
    assert told(county, first.id)[-1] == ("raised", "pending")


def test_smoke_in_a_storm_is_never_folded_and_never_held(county):
    powered(county)
    county.birth([("smoke1/smoke", county.ROOM)])
    county.send(*[(f"p{n}/power", 0) for n in range(3, 7)], ("smoke1/smoke", 1))
    [smoke] = county.rows(Alarm, rule="smoke")
    assert (smoke.group_alarm, told(county, smoke.id)) == (None, [("raised", "pending")])


def test_what_a_restart_of_the_server_brings_to_light_is_one_event(county):
    gateways(county)
    county.run(2)
    county.now += 600_000
    county.start()
    county.run(96)
    assert [(a.rule, a.subject) for a in groups(county) if "offline" in a.rule] == [("restart_group_offline", f"unit:{CITY}")]


def test_more_than_ten_alarms_in_ten_minutes_are_a_flood_of_each_desk_above(county):
    powered(county, 2)
    for _ in range(6):
        power(county, {3: 0, 4: 0})
        county.run(10)
        power(county, {3: 1, 4: 1})
        county.run(10)
    begun = [fact.unit for fact in county.facts if isinstance(fact, FloodFact) and fact.since is not None]
    assert set(begun) == {COUNTY, CITY, "350000000000"}
    assert len(begun) == 3
    county.facts.clear()
    county.start()
    still = [fact for fact in county.facts if isinstance(fact, FloodFact)]
    assert {(fact.unit, fact.since is not None) for fact in still} == {(COUNTY, True), (CITY, True), ("350000000000", True)}, "a restart hides none"
    county.facts.clear()
    for _ in range(2):  # what falls silent now is told in the first of these instants
        county.now += 601_000
        county.run()
    ended = [fact for fact in county.facts if isinstance(fact, FloodFact)]
    assert {(fact.unit, fact.since) for fact in ended} == {(COUNTY, None), (CITY, None), ("350000000000", None)}


def test_chattering_and_fleeting_alarms_are_named(county):
    powered(county, 2)
    for value in (0, 1, 0, 1, 0):
        power(county, {3: value, 4: 1})
        county.run(5)
    power(county, {3: 0, 4: 0})
    county.run(5)
    power(county, {3: 0, 4: 1})
    found = {a.subject: a.behaviour for a in county.rows(Alarm, rule="power_lost")}
    assert list(found.values()) == ["chattering", "fleeting"]


def test_climate_out_of_band_for_days_becomes_a_standing_state_that_asks_again_only_when_worse(slice_):
    slice_.settings = slice_.settings.model_copy(update={"chronic_after_h": 0.05})
    slice_.start()
    slice_.birth([("th1/humidity", slice_.ROOM)])
    for _ in range(22):
        slice_.send(("th1/humidity", 62.0))
        slice_.run(10)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.level) == ("suppressed", "warn")
    with slice_.db.read() as session:
        assert [(c.alarm, c.since, c.ended_at) for c in session.scalars(select(Chronic))] == [(alarm.id, alarm.raised_at, None)]
    slice_.start()
    for _ in range(4):
        slice_.send(("th1/humidity", 78.0))
        slice_.run(10)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.level) == ("active_unacked", "urgent")
    for _ in range(4):
        slice_.send(("th1/humidity", 50.0, Quality.GOOD))
        slice_.run(10)
    assert slice_.rows(Alarm)[0].state == "cleared_unacked"
    with slice_.db.read() as session:
        assert all(c.ended_at is not None for c in session.scalars(select(Chronic)))


def test_a_room_that_was_back_in_band_is_not_chronic_because_nobody_has_answered_for_the_first_time(slice_):
    slice_.settings = slice_.settings.model_copy(update={"chronic_after_h": 0.05})
    slice_.start()
    slice_.birth([("th1/humidity", slice_.ROOM)])
    for value in (*[62.0] * 4, *[50.0] * 18, *[62.0] * 6):
        slice_.send(("th1/humidity", value))
        slice_.run(11)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.occurrence) == ("active_unacked", 2)


def damp(made, seconds_before):
    """Four rooms, in band when they were first heard and silent since; the last gets worse than the others."""
    rooms = [f"{COUNTY}-{n:02}" for n in range(3, 7)]
    made.birth([(f"h{n}/humidity", room) for n, room in enumerate(rooms)])
    made.send(*[(f"h{n}/humidity", 55.0) for n in range(4)])
    made.now += seconds_before * 1000
    for worst in (66.0, 66.0, 66.0, 80.0, 80.0):
        made.send(*[(f"h{n}/humidity", 66.0) for n in range(3)], ("h3/humidity", worst))
        made.run(10)


def test_a_damp_front_is_one_event_and_the_room_that_gets_urgent_leaves_it(county):
    damp(county, 2 * 3600)
    [group] = groups(county)
    [urgent] = county.rows(Alarm, rule="humidity_high", level="urgent")
    assert (group.rule, group.level, group.raised_value, group.limit) == ("group_weather", "alarm", 3, None)
    assert (urgent.group_alarm, told(county, urgent.id)[-1]) == (None, ("raised", "pending"))
    county.start()  # rooms that a front has moved are known after a restart, too
    county.run(1)
    assert [row.raised_value for row in groups(county)] == [3]


def test_rooms_that_were_never_seen_in_band_for_long_are_no_front(county):
    """A new city's stations without air conditioning: standing states of each, not weather."""
    damp(county, 3600)
    assert groups(county) == []
    assert len(county.rows(Alarm, rule="humidity_high")) == 4
