"""The public holidays of China and the working days made up for them, filled into the rules that ask for them by the word `china`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from types import MappingProxyType

import chinese_calendar

from alarms.doors import CALENDAR
from alarms.model import Rule, RuleSet

_SHANGHAI = timedelta(hours=8)
Given = Mapping[date, bool]
"""Days of the operator's file: worked or not, whatever the library says."""
NONE_GIVEN: Given = MappingProxyType({})


def filled(rules: RuleSet, now: int, given: Given = NONE_GIVEN) -> RuleSet:
    """The rules with the days of this year, the one before and the next in place of the word; years that nobody has announced yet are empty."""
    if not any(_asks(rule) for rule in rules.rules):
        return rules
    year = (datetime.fromtimestamp(now / 1000, UTC) + _SHANGHAI).year
    return RuleSet(tuple(_filled(rule, year, given) if _asks(rule) else rule for rule in rules.rules))


def _asks(rule: Rule) -> bool:
    return rule.settings.get("holidays") == CALENDAR


def _filled(rule: Rule, year: int, given: Given) -> Rule:
    off, made_up = _days(year, given)
    options = dict(rule.options)
    options["holidays"] = ", ".join((CALENDAR, *off))
    options["workdays"] = ", ".join(filter(None, (str(options["workdays"]), *made_up)))
    variants = tuple((medium, variant and (_filled(variant, year, given) if _asks(variant) else variant)) for medium, variant in rule.by_medium)
    return replace(rule, options=tuple(sorted(options.items())), by_medium=variants)


def _days(year: int, given: Given) -> tuple[list[str], list[str]]:
    """(days off, days made up for) of a year, the one before and the next, as the rules write days."""
    years = [days_of_year(number) for number in (year - 1, year, year + 1)]
    free = {day.isoformat() for day, worked in given.items() if not worked}
    worked = {day.isoformat() for day in given} - free
    off = {day for holidays, _ in years for day in holidays} | free
    made_up = {day for _, days in years for day in days} | worked
    return sorted(off - worked), sorted(made_up - free)


@cache
def days_of_year(year: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(holidays on weekdays, worked weekend days) of a year; empty for a year that is not announced."""
    off, worked, day = [], [], date(year, 1, 1)
    try:
        while day.year == year:
            if chinese_calendar.is_holiday(day) and day.weekday() < 5:
                off.append(day.isoformat())
            elif chinese_calendar.is_workday(day) and day.weekday() >= 5:
                worked.append(day.isoformat())
            day += timedelta(days=1)
    except NotImplementedError:
        return (), ()
    return tuple(off), tuple(worked)
