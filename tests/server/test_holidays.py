"""Days of the operator's file in the rules that ask for the calendar of the mainland."""

from datetime import date, datetime

from alarms.doors import working
from alarms.rules import parse_rules
from server.store.holidays import filled

RULES = "rules: [{name: door_off_hours, kind: off_hours, quantity: door, holidays: china, ladder: {alarm: {equals: 1}}}]"
NOW = int(datetime.fromisoformat("2026-11-23T00:00+08:00").timestamp() * 1000)


def works(given, day):
    [rule] = filled(parse_rules(RULES, "x"), NOW, given).rules
    options = dict(rule.options)
    at = int(datetime.fromisoformat(f"{day}T10:00+08:00").timestamp() * 1000)
    return working(at, *(str(options[key]) for key in ("hours", "holidays", "workdays")))


def test_the_file_wins_over_the_library():
    assert (works({}, "2026-10-01"), works({}, "2026-10-10"), works({}, "2026-11-23"), works({}, "2026-11-22")) == (False, True, True, False)
    given = {date(2026, 10, 1): True, date(2026, 10, 10): False, date(2026, 11, 23): False, date(2026, 11, 22): True}
    assert (works(given, "2026-10-01"), works(given, "2026-10-10"), works(given, "2026-11-23"), works(given, "2026-11-22")) == (
        True,
        False,
        False,
        True,
    )
