"""Workdays of the mainland: the State Council's holidays and make-up workdays, from the library's data and from a file where it ends.

# holidays.txt: one day a line, overrides the library
2027-02-05 rest 春节
2027-02-07 work 调休
"""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import chinese_calendar

from server.duty.clock import BEIJING

_WORDS = {"work": True, "rest": False}


class CalendarError(ValueError):
    """A holiday file cannot be used; `str` is "file:line: reason"."""


class Workdays:
    """Whether a day is worked. `given` wins over the library; beyond the library's years Monday to Friday are worked (see `known`)."""

    def __init__(self, given: Mapping[date, bool] | None = None) -> None:
        self._given = dict(given or {})

    @property
    def given(self) -> Mapping[date, bool]:
        """The days of the operator's file."""
        return self._given

    def works(self, day: date) -> bool:
        """Whether a day is a workday."""
        if day in self._given:
            return self._given[day]
        try:
            return bool(chinese_calendar.is_workday(day))
        except NotImplementedError:
            return day.weekday() < 5

    def known(self, year: int) -> bool:
        """Whether the holidays of a year are known, from the library or a file; where not, doctor says so."""
        if any(day.year == year for day in self._given):
            return True
        try:
            chinese_calendar.is_workday(date(year, 1, 1))
        except NotImplementedError:
            return False
        return True

    def works_at(self, now: int) -> bool:
        """Whether the Beijing day of an instant is a workday."""
        return self.works(datetime.fromtimestamp(now / 1000, BEIJING).date())


def load_workdays(path: Path) -> Workdays:
    """Read a holiday file. Raises CalendarError."""
    given: dict[date, bool] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise CalendarError(f"{path}:1: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) < 2 or words[1] not in _WORDS:
            raise CalendarError(f"{path}:{number}: expected a day and work or rest")
        try:
            given[date.fromisoformat(words[0])] = _WORDS[words[1]]
        except ValueError as error:
            raise CalendarError(f"{path}:{number}: {error}") from error
    return Workdays(given)
