"""Days of the operator's file in the rules that ask for the calendar of the mainland."""

from datetime import date, datetime

from alarms.doors import working
from alarms.rules import RuleSet, parse_rules
from server.store.holidays import filled

RULES = "rules: [{name: door_off_hours, kind: off_hours, quantity: door, holidays: china, ladder: {alarm: {equals: 1}}}]"
NOW = int(datetime.fromisoformat("2026-11-23T00:00+08:00").timestamp() * 1000)


def works(given, day):
    [rule] = filled(parse_rules(RULES, "x"), NOW, given).rules
    options = dict(rule.options)
    at = int(datetime.fromisoformat(f"{day}T10:00+08:00").timestamp() * 1000)
    return working(at, *(str(options[key]) for key in ("hours", "holidays", "workdays")))


def test_a_medium_with_hours_of_its_own_keeps_them_and_has_the_same_holidays():
    own = RULES.replace("ladder:", "by_medium: {exhibition: {hours: 'mon-sun 08:30-17:30'}, photo: off}, ladder:")
    [rule] = filled(parse_rules(own, "x"), NOW).rules
    [shown, photo] = [variant for _, variant in rule.by_medium]
    usual, there = dict(rule.options), dict(shown.options)
    assert photo is None
    assert (there.pop("hours"), usual.pop("hours")) == ("mon-sun 08:30-17:30", "mon-fri 08:00-18:00")
    assert there == usual
    assert "2026-10-01" in there["holidays"]
    again = parse_rules(RuleSet((rule,)).canonical(), "sent to a gateway")
    assert again.rules[0].by_medium == rule.by_medium, "gateways judge by the same hours"


def test_the_file_wins_over_the_library():
    assert (works({}, "2026-10-01"), works({}, "2026-10-10"), works({}, "2026-11-23"), works({}, "2026-11-22")) == (False, True, True, False)
    given = {date(2026, 10, 1): True, date(2026, 10, 10): False, date(2026, 11, 23): False, date(2026, 11, 22): True}
    assert (works(given, "2026-10-01"), works(given, "2026-10-10"), works(given, "2026-11-23"), works(given, "2026-11-22")) == (
        True,
        False,
        False,
        True,
    )
