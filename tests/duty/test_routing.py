from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.duty.escalation import default_escalation, parse_escalation
from server.duty.ladder import LEVELS
from server.duty.routing import BEIJING, Member, Org, OrgUnit, Recipient, StepContext, addresses, e164, inform, plan
from tests.duty.ladders import ten_minutes

MINUTE = 60_000
TABLE = ten_minutes()


def at(text):
    return int(datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=BEIJING).timestamp() * 1000)


NOON = at("23 12:00")


def duty(number, phone="ok", role="duty_officer"):
    return Member(number, f"P{number}", f"1380000000{number}" if phone == "ok" else phone, role)


def org(station=(), county=(), city=(), province=(), person=None):
    """Station to province; each a sequence of members."""
    units = (("s", 4, station), ("c", 3, county), ("f", 2, city), ("p", 1, province))
    return Org(tuple(OrgUnit(code, level, tuple(members)) for code, level, members in units), person)


FULL = org([duty(1)], [duty(2)], [duty(3)], [duty(4)], person=duty(9, role=""))


def step(number=0, level="critical", now=NOON, **changes):
    values = {"reason": "raised", "step": number, "due": now, "annunciated_at": now, "level": level, "rule": "smoke", "kind": "state",
              "quantity": "smoke", "channel": "sms"}  # fmt: skip
    return StepContext(**{**values, **changes})


def who(outcome):
    return [one.person_id for one in outcome.recipients]


@pytest.mark.parametrize(("number", "people", "next_in"), [(0, [9, 1], 10), (1, [9, 1], 10), (2, [2], 10), (3, [3], 10), (4, [4], None)])
def test_the_line_from_the_room_to_the_province(number, people, next_in):
    outcome = plan(step(number, told=frozenset({"x"})), FULL, TABLE, NOON)
    assert who(outcome) == people
    assert outcome.next_due == (None if next_in is None else NOON + next_in * MINUTE)
    assert (outcome.step, outcome.skipped, outcome.nobody) == (number, (), False)


def test_a_group_goes_first_to_the_people_of_the_level_where_it_lies():
    """A table that names the room's person alone: a group, a gateway has no room, and its own unit must not be passed over."""
    table = parse_escalation(
        "levels: {critical: [{after: 0s, to: [unit_duty]}], urgent: [], warn: [],"
        " alarm: [{after: 0s, to: [room_person]}, {after: 5m, to: [above_duty]}]}",
        "test",
    )
    chain = org([duty(1)], [duty(2)]).chain
    of_group = plan(step(level="alarm", rule="group_offline", kind="group"), Org(chain, roomless=True), table, NOON)
    assert (who(of_group), of_group.skipped, of_group.next_due) == ([1], (), NOON + 5 * MINUTE)
    nobodys_room = plan(step(level="alarm"), Org(chain), table, NOON)
    assert who(nobodys_room) == [2]


def test_recipients_carry_what_a_message_needs():
    outcome = plan(step(), FULL, TABLE, NOON)
    assert outcome.recipients[0] == Recipient(9, "P9", "+8613800000009", "sms")


def test_the_first_delay_is_waited_for():
    damp = {"level": "alarm", "rule": "humidity_high", "kind": "threshold", "quantity": "humidity"}
    waiting = plan(step(**damp), FULL, TABLE, NOON + MINUTE)
    assert (waiting.deferred_until, waiting.recipients) == (NOON + 15 * MINUTE, ())
    due = plan(step(due=NOON + 15 * MINUTE, **damp), FULL, TABLE, NOON + 15 * MINUTE)
    assert (who(due), due.next_due) == ([9, 1], NOON + 25 * MINUTE)


def test_warn_tells_nobody():
    outcome = plan(step(level="warn"), FULL, TABLE, NOON)
    assert (outcome.recipients, outcome.next_due, outcome.deferred_until, outcome.nobody) == ((), None, None, False)


def test_a_step_without_anybody_goes_on_at_once():
    outcome = plan(step(), org(city=[duty(3)], province=[duty(4)]), TABLE, NOON)
    assert (who(outcome), outcome.step, outcome.skipped) == ([3], 3, (0, 1, 2))
    assert outcome.next_due == NOON + 10 * MINUTE


@pytest.mark.parametrize("phone", [None, "", "059187654321", "110", "abc"])
def test_people_without_a_mobile_do_not_count(phone):
    outcome = plan(step(), org([duty(1, phone)], [duty(2)]), TABLE, NOON)
    assert who(outcome) == [2]


def test_a_county_room_goes_on_to_the_city_not_to_itself():
    own = Org((OrgUnit("c", 3, (duty(2),)), OrgUnit("f", 2, (duty(3),)), OrgUnit("p", 1, (duty(4),))))
    assert who(plan(step(2, told=frozenset({"x"})), own, TABLE, NOON)) == [3]


def test_when_all_steps_reach_nobody_the_last_resort_does():
    alone = org(city=[duty(5, role="archive_head")])
    lean = parse_escalation("levels: {critical: [{after: 0s, to: [unit_duty]}], urgent: [], alarm: [], warn: []}\nlast_resort: [nearest_head]", "x")
    outcome = plan(step(), alone, lean, NOON)
    assert (who(outcome), outcome.step, outcome.next_due, outcome.nobody) == ([5], 1, None, False)


def test_what_nobody_answers_is_said_again_for_ever_where_the_table_says_so():
    text = "levels: {critical: [{after: 0s, to: [unit_duty]}, {after: 5m, to: [above_duty]}], urgent: [], alarm: [], warn: []}\n"
    table, told = parse_escalation(f"{text}unanswered: {{critical: 30m}}", "x.yaml"), frozenset({"+8613800000002"})
    last = plan(step(1, told=told), FULL, table, NOON)
    assert (who(last), last.next_due) == ([2], NOON + 30 * MINUTE)
    again = plan(step(2, due=last.next_due, told=told), FULL, table, last.next_due)
    assert (who(again), again.step, again.next_due) == ([2], 2, NOON + 60 * MINUTE)
    assert plan(step(1, told=told), FULL, parse_escalation(text, "x.yaml"), NOON).next_due is None


def test_smoke_that_nobody_answers_asks_to_its_end_and_on():
    table, at, number, told = default_escalation(), NOON, 0, frozenset[str]()
    hours = []
    for _ in range(40):
        outcome = plan(step(number, due=at, told=told, begun=NOON, annunciated_at=NOON), FULL, table, at)
        hours.append((at - NOON) // (60 * MINUTE))
        told, number, at = told | {one.phone for one in outcome.recipients}, outcome.step + 1, outcome.next_due
        assert outcome.recipients
    assert hours[-1] >= 12
    assert plan(step(0, stage="trial"), FULL, table, NOON).next_due is None


def test_nobody_at_all_is_said():
    assert plan(step(), org(), TABLE, NOON).nobody
    assert plan(step(6), FULL, TABLE, NOON).nobody  # the last resort itself has failed
    assert not plan(step(5, told=frozenset({"x"})), FULL, TABLE, NOON).nobody


def test_the_last_resort_is_not_asked_when_somebody_was_told():
    outcome = plan(step(5, told=frozenset({"+8613800000001"})), FULL, TABLE, NOON)
    assert (outcome.recipients, outcome.nobody) == ((), False)


def test_one_phone_is_told_once():
    twice = org([duty(1), Member(7, "P7", "+86 138 0000 0001", "duty_officer")], person=Member(8, "P8", "138-0000-0001"))
    assert who(plan(step(), twice, TABLE, NOON)) == [8]


def test_help_comes_from_the_nearest_unit_above():
    assert who(plan(step(reason="assist"), FULL, TABLE, NOON)) == [2]
    assert who(plan(step(reason="assist"), org([duty(1)], province=[duty(4)]), TABLE, NOON)) == [4]
    assert plan(step(reason="assist"), org([duty(1)]), TABLE, NOON).nobody


def test_before_acceptance_only_the_person_of_the_room_and_no_escalation():
    outcome = plan(step(stage="commissioning"), FULL, TABLE, NOON)
    assert (who(outcome), outcome.next_due) == ([9], None)
    assert plan(step(stage="commissioning", level="warn"), FULL, TABLE, NOON).recipients == ()


@pytest.mark.parametrize(("late", "next_due"), [(0, 10 * MINUTE), (59_000, 10 * MINUTE), (MINUTE + 1, 11 * MINUTE + 1), (3_600_000, 70 * MINUTE)])
def test_a_step_that_we_held_up_moves_the_next_one(late, next_due):
    assert plan(step(), FULL, TABLE, NOON + late).next_due == NOON + next_due


HUMID = {"level": "urgent", "rule": "humidity_high", "kind": "threshold", "quantity": "humidity"}


@pytest.mark.parametrize(
    ("now", "until"),
    [("23 21:59", None), ("23 22:00", "24 07:30"), ("24 00:30", "24 07:30"), ("24 06:59", "24 07:30"), ("24 07:00", None), ("24 07:29", None)],
)
def test_climate_waits_for_the_morning(now, until):
    moment = at(now)
    outcome = plan(step(now=moment, **HUMID), FULL, TABLE, moment)
    assert outcome.deferred_until == (None if until is None else at(until))
    assert bool(outcome.recipients) is (until is None)


def test_smoke_never_waits():
    night = at("24 03:00")
    assert who(plan(step(now=night), FULL, TABLE, night)) == [9, 1]


def test_later_steps_wait_for_the_morning_too():
    night = at("23 22:05")
    outcome = plan(step(1, now=night, **HUMID), FULL, TABLE, night)
    assert outcome.deferred_until == at("24 07:30")


WANG, LI = Recipient(1, "王", "+8613800000001", "sms"), Recipient(2, "李", "+8613800000002", "sms")


def test_a_take_over_is_told_to_the_others_at_any_hour():
    for now in (NOON, at("24 03:00")):
        assert inform([WANG, LI, WANG], frozenset({1}), "taken", TABLE, now) == ((LI, now),)


def test_a_recovery_is_told_to_all_by_day_and_at_night_only_to_who_took_over():
    assert inform([WANG, LI], frozenset({1}), "cleared", TABLE, NOON) == ((WANG, NOON), (LI, NOON))
    night = at("24 03:00")
    assert inform([WANG, LI], frozenset({1}), "cleared", TABLE, night) == ((WANG, night), (LI, at("24 07:30")))


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("13800000001", "+8613800000001"),
        ("138 0000-0001", "+8613800000001"),
        ("+86 13800000001", "+8613800000001"),
        ("+15005550006", "+15005550006"),
        ("059187654321", None),
        ("+8659187654321", None),
        ("+86 10 6901 2345", None),
        ("12800000001", None),
        ("1380000000", None),
        ("+86", None),
        ("１３８００００００１", None),
        ("", None),
        (None, None),
    ],
)
def test_numbers_that_an_sms_can_reach(text, phone):
    assert e164(text) == phone


@pytest.mark.parametrize("text", ["0591-87654321", "+8659187654321", "+86 591 8765 4321", "+86 0591 87654321"])
def test_a_landline_is_called_however_it_is_written(text):
    assert addresses(text) == {"sms": None, "voice": "+8659187654321", "email": None}


@given(
    levels=st.lists(st.sampled_from([0, 1, 2]), min_size=4, max_size=4), number=st.integers(0, 7), level=st.sampled_from(LEVELS),
    late=st.integers(0, 10**8), told=st.booleans(), person=st.booleans(),
)  # fmt: skip
def test_every_plan_ends_waits_or_reaches_somebody(levels, number, level, late, told, person):
    """No step vanishes: it tells somebody, it waits, it was not meant to tell anybody, or it says that there is nobody."""
    members = [[duty(unit * 2 + index) for index in range(count)] for unit, count in enumerate(levels)]
    phones = frozenset({"+8613900000000"}) if told else frozenset()
    outcome = plan(step(number, level=level, told=phones), org(*members, person=duty(9) if person else None), TABLE, NOON + late)
    silent = not TABLE.steps(level) or (told and number + len(outcome.skipped) >= len(TABLE.steps(level)))
    assert [bool(outcome.recipients), outcome.deferred_until is not None, outcome.nobody, silent].count(True) == 1
    assert outcome.next_due is None or outcome.next_due > NOON
    assert len({one.phone for one in outcome.recipients}) == len(outcome.recipients)
