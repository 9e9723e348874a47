import re

import pytest

from server.duty.escalation import EscalationError, default_escalation, load_escalation, parse_escalation
from server.duty.ladder import LEVELS, Selector

GOOD = """\
levels:
  critical:
    - {after: 0s, to: [room_person, unit_duty]}
    - {after: 1h30m, to: [archive_head]}
  urgent: []
  alarm: []
  warn: []
quiet_hours:
  from: "22:00"
  until: "07:00"
  deliver_at: "07:30"
  hold: [{level: warn}]
"""
MINUTE = 60_000


def test_a_file_is_read():
    table = parse_escalation(GOOD, "mine.yaml")
    assert [step.after for step in table.steps("critical")] == [0, 90 * MINUTE]
    assert table.steps("critical")[1].to == ("nearest_head",)
    assert table.steps("warn") == ()
    assert table.quiet_hours.deliver_at == 7.5 * 60 * MINUTE


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("unit_duty", "unit_boss", 3, "levels.critical.0.to.1: 'unit_boss' is not a role"),
        ("unit_duty", "42", 3, "42 is not a role"),
        ("1h30m", "later", 4, "levels.critical.1.after: 'later' is not a duration"),
        ("1h30m", "0s", 2, "must stand in ascending order"),
        ("[archive_head]", "[]", 4, "levels.critical.1.to"),
        ("  warn: []\n", "", 1, "levels must say something about warn"),
        ("  warn: []", "  mild: []", 7, "'mild' is not a level"),
        ('"22:00"', '"25:00"', 9, "is not a time of day"),
        ('"22:00"', "22", 9, "is not a time of day"),
        ('"07:30"', '"06:30"', 8, "deliver_at lies within the quiet hours"),
        ("{level: warn}", "{}", 12, "a selector without a field would mean every alarm"),
        ("{level: warn}", "{colour: red}", 12, "Extra inputs are not permitted"),
        ("quiet_hours:", "silent_hours:", 8, "Extra inputs are not permitted"),
        ("levels:", "levels: [", 3, "expected"),
    ],
)
def test_a_wrong_file_is_refused_with_file_line_and_reason(old, new, line, reason):
    with pytest.raises(EscalationError, match=re.escape(reason)) as caught:
        parse_escalation(GOOD.replace(old, new), "mine.yaml")
    assert (caught.value.file, caught.value.line) == ("mine.yaml", line)
    assert str(caught.value).startswith(f"mine.yaml:{line}: ")


@pytest.mark.parametrize("text", ["", "[]", "just words"])
def test_something_else_is_refused(text):
    with pytest.raises(EscalationError, match="expected a mapping"):
        parse_escalation(text, "mine.yaml")


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(EscalationError, match="No such file"):
        load_escalation(tmp_path / "none.yaml")
    (tmp_path / "gbk.yaml").write_bytes("levels: 特急".encode("gbk"))
    with pytest.raises(EscalationError, match="not UTF-8"):
        load_escalation(tmp_path / "gbk.yaml")


def test_the_product_default_is_that_of_the_domain():
    table = default_escalation()
    after = {level: [step.after // MINUTE for step in table.steps(level)][:3] for level in LEVELS}
    assert after == {"critical": [0, 2, 5], "urgent": [0, 5, 15], "alarm": [15, 60, 240], "warn": []}
    by_day, at_night = (table.steps("urgent", night=night) for night in (False, True))
    assert [step.to[0] for step in by_day[:5]] == ["unit_duty", "unit_charge", "county_duty", "city_duty", "province_duty"]
    assert at_night[0].to == ("nearest_desk", "unit_shift")  # the duty room on site first, people at home after it
    assert at_night[1].to == ("unit_duty", "room_person")
    assert set(table.steps("critical", night=True)[0].to) == {"nearest_desk", "unit_duty", "room_person"}  # both at once


def test_repetitions_loops_and_the_contingency_list_are_written_out():
    text = GOOD.replace(
        "urgent: []",
        """urgent:
    day:
      - {after: 0s, to: [unit_duty], times: 3, every: 5m}
      - {after: 20m, to: [county_duty]}
    loop: {to: 1, every: 10m, times: 2}
    contingency: {after: 30m, to: [province_head]}""",
    )
    steps = parse_escalation(text, "loops.yaml").steps("urgent")
    assert [(step.after // MINUTE, step.to[0]) for step in steps] == [
        (0, "unit_duty"), (5, "unit_duty"), (10, "unit_duty"), (20, "county_duty"), (30, "county_duty"), (40, "county_duty"), (70, "province_head"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("urgent", "reason"),
    [
        ("{day: [{after: 0s, to: [unit_duty], times: 2}]}", "needs `every`"),
        ("{day: [{after: 0s, to: [unit_duty]}], loop: {to: 3, every: 1m, times: 1}}", "no step 3 to loop to"),
        (
            "{day: [{after: 0s, to: [unit_duty], times: 9, every: 1m}], loop: {to: 0, every: 1m, times: 20}}",
            "at most",
        ),
        ("{day: [{after: 0s, to: [unit_duty], times: 3, every: 5m}, {after: 7m, to: [unit_head]}]}", "ascending"),
    ],
)
def test_ladders_that_cannot_be_walked_are_refused(urgent, reason):
    with pytest.raises(EscalationError, match=re.escape(reason)):
        parse_escalation(GOOD.replace("urgent: []", f"urgent: {urgent}"), "mine.yaml")


@pytest.mark.parametrize(
    ("rule", "kind", "quantity", "level", "waits"),
    [
        ("humidity_high", "threshold", "humidity", "urgent", True),
        ("temperature_high", "threshold", "temperature", "urgent", True),
        ("humidity_swing", "swing", "humidity", "warn", True),
        ("condensation", "dew_point", "humidity", "urgent", True),
        ("mould", "mould", "humidity", "urgent", True),
        ("sensor_stale", "stale", "humidity", "alarm", True),
        ("sensor_stale", "stale", "smoke", "alarm", True),
        ("camera_fault", "camera", "camera", "alarm", True),
        ("temperature_rise", "rate", "temperature", "critical", False),
        ("smoke", "state", "smoke", "critical", False),
        ("smoke_density_high", "threshold", "smoke_density", "urgent", False),
        ("smoke_then_silence", "stale", "smoke", "critical", False),
        ("leak", "state", "leak", "urgent", False),
        ("door_held", "state", "door", "alarm", False),
        ("door_off_hours", "off_hours", "door", "alarm", False),
        ("door_forced", "forced", "door", "alarm", False),
        ("smoke_confirmed", "voting", "smoke", "critical", False),
        ("heat", "heat", "temperature", "urgent", False),
        ("group_weather", "group", "humidity", "alarm", True),
        ("power_lost", "state", "power", "urgent", False),
        ("camera_fault", "camera", "camera", "urgent", False),
        ("gateway_offline", "stale", "gateway", "alarm", False),
        ("room_blind", "stale", "room", "urgent", False),
    ],
)
def test_what_waits_for_the_morning(rule, kind, quantity, level, waits):
    facts = {"rule": rule, "kind": kind, "quantity": quantity, "level": level, "stage": "in_use"}
    assert default_escalation().quiet_hours.holds(facts) is waits


@pytest.mark.parametrize(("hour", "quiet"), [(21.99, False), (22, True), (0, True), (6.99, True), (7, False), (12, False)])
def test_quiet_hours_pass_over_midnight(hour, quiet):
    assert default_escalation().quiet_hours.covers(round(hour * 60) * MINUTE) is quiet


def test_quiet_hours_within_a_day():
    table = parse_escalation(GOOD.replace('"22:00"', '"12:00"').replace('"07:00"', '"14:00"').replace('"07:30"', '"14:00"'), "noon.yaml")
    assert [table.quiet_hours.covers(hour * 60 * MINUTE) for hour in (11, 12, 13, 14)] == [False, True, True, False]


def test_selectors_need_every_field_and_one_pattern_of_each():
    selector = Selector(rule="hum*", level=("alarm", "urgent"))
    assert selector.matches({"rule": "humidity_high", "level": "urgent"})
    assert not selector.matches({"rule": "humidity_high", "level": "warn"})
    assert not selector.matches({"rule": "leak", "level": "urgent"})
