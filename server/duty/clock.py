"""Wall time of Beijing, in which all duty is planned."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

BEIJING = ZoneInfo("Asia/Shanghai")
DAY_MS = 86_400_000


def local(now: int) -> datetime:
    """An instant (UTC ms) as Beijing wall time."""
    return datetime.fromtimestamp(now / 1000, BEIJING)


def midnight(day: date) -> int:
    """The instant (UTC ms) at which a Beijing day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=BEIJING).timestamp() * 1000)


def time_of_day(now: int) -> int:
    """Ms since midnight in Beijing."""
    moment = local(now)
    return (moment.hour * 3600 + moment.minute * 60 + moment.second) * 1000


def next_at(time: int, now: int) -> int:
    """The next instant after `now` at which the Beijing clock shows `time` (ms since midnight)."""
    moment = local(now)
    due = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(milliseconds=time)
    return int((due if due > moment else due + timedelta(days=1)).timestamp() * 1000)
