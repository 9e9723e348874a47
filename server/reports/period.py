"""Periods of papers: a month (2026-10), a quarter (2026-Q3), a year (2026) or days FROM..TO, both included. Calendar: Asia/Shanghai."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MOST_DAYS = 1_100
_EARLIEST_YEAR, _LATEST_YEAR = 1990, 2200


class PeriodError(ValueError):
    """Not a period; the sentence says what one looks like."""


@dataclass(frozen=True, slots=True)
class Period:
    """The days [first, last], both included. `text` is what the person wrote, `label` is what the paper prints."""

    text: str
    label: str
    first: date
    last: date

    @property
    def since(self) -> int:
        """UTC ms of the beginning of the first day."""
        return midnight(self.first)

    @property
    def until(self) -> int:
        """UTC ms of the end of the last day."""
        return midnight(self.last + timedelta(days=1))

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.last - self.first).days + 1

    def dates(self) -> Iterator[date]:
        """Each day in order."""
        return (self.first + timedelta(days=index) for index in range(self.days))

    def months(self) -> Iterator["Period"]:
        """The calendar months that it touches, each cut to it."""
        here = self.first
        while here <= self.last:
            end = min(_month_end(here.year, here.month), self.last)
            yield Period(f"{here:%Y-%m}", f"{here.year}年{here.month}月", here, end)
            here = end + timedelta(days=1)


def parse_period(text: str) -> Period:
    """A period as written on the command line or in an address. Raises PeriodError."""
    text = text.strip()
    found = _month(text) or _quarter(text) or _year(text) or _range(text)
    if found is None:
        raise PeriodError(f"时间范围“{text}”不对，应写作 2026-10、2026-Q3、2026 或 2026-10-01..2026-10-15。")
    if found.last < found.first:
        raise PeriodError("结束日期不能早于开始日期。")
    if found.days > MOST_DAYS:
        raise PeriodError(f"一份报表最多 {MOST_DAYS} 天。")
    return found


def previous(period: Period) -> Period:
    """The same days a year before; 29 February becomes the 28th."""
    first, last = _year_before(period.first), _year_before(period.last)
    return Period(f"{first}..{last}", f"{_spoken(first)}至{_spoken(last)}", first, last)


@lru_cache(maxsize=4096)
def midnight(day: date) -> int:
    """UTC ms of 00:00 in Beijing."""
    return round(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp()) * 1000


def at_clock(day: date, clock: str) -> int:
    """UTC ms of hh:mm on a day in Beijing."""
    hour, minute = clock.split(":")
    return midnight(day) + int(hour) * HOUR_MS + int(minute) * 60_000


def local(ms: int) -> datetime:
    """An instant in Beijing time."""
    return datetime.fromtimestamp(ms / 1000, ZONE)


def month_of(ms: int) -> str:
    """The month of an instant as a period is written."""
    return f"{local(ms):%Y-%m}"


def _month(text: str) -> Period | None:
    found = re.fullmatch(r"(\d{4})-(\d{2})", text)
    if found is None or not _year_fits(found[1]) or not 1 <= int(found[2]) <= 12:
        return None
    year, month = int(found[1]), int(found[2])
    return Period(text, f"{year}年{month}月", date(year, month, 1), _month_end(year, month))


def _quarter(text: str) -> Period | None:
    found = re.fullmatch(r"(\d{4})-Q([1-4])", text)
    if found is None or not _year_fits(found[1]):
        return None
    year, quarter = int(found[1]), int(found[2])
    return Period(text, f"{year}年第{'一二三四'[quarter - 1]}季度", date(year, 3 * quarter - 2, 1), _month_end(year, 3 * quarter))


def _year(text: str) -> Period | None:
    if not re.fullmatch(r"\d{4}", text) or not _year_fits(text):
        return None
    return Period(text, f"{text}年", date(int(text), 1, 1), date(int(text), 12, 31))


def _range(text: str) -> Period | None:
    first, dots, last = text.partition("..")
    if not dots:
        return None
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        return None
    if not (_year_fits(str(start.year)) and _year_fits(str(end.year))):
        return None
    return Period(text, f"{_spoken(start)}至{_spoken(end)}", start, end)


def _year_fits(year: str) -> bool:
    return _EARLIEST_YEAR <= int(year) <= _LATEST_YEAR


def _spoken(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"


def _year_before(day: date) -> date:
    if (day + timedelta(days=1)).day == 1:
        return _month_end(day.year - 1, day.month)
    return day.replace(year=day.year - 1)


def _month_end(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(days=1)
