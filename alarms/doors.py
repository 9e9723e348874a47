"""Rule kinds about doors: forced (opened without a grant) and off-hours (open outside the schedule). Calendar and grants are data, not clocks."""

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from alarms.conditions import Inputs, Judged, Memory, Options, Still

CALENDAR = "china"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHANGHAI = timedelta(hours=8)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PART = re.compile(r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)")
Hours = tuple[tuple[frozenset[int], time, time], ...]


def forced(options: Options, memory: Memory, at: int, quantity: str, value: float, source: int = 0) -> Judged:
    """1 while a door stands open that was opened without a grant in the last `within`; 0 else.

    A grant that comes up to two seconds after the contact still counts (two devices, two clocks). Until a reader was heard nothing is
    judged: a room without access control would cry at each visit. A room may have several doors, and each is judged by its own opening.
    Memory: last grant (-1 never, 0 reader heard), then (door, opened at, forced) of each that stands open.
    """
    grant, doors = _doors(memory)
    if quantity == "grant":
        grant = float(at) if value > 0 else max(grant, 0.0)
        if value > 0:
            doors = {door: (opened, 0.0 if at - opened <= _LATE_GRANT_MS else broken) for door, (opened, broken) in doors.items()}
    elif value > 0 and source not in doors:
        doors[float(source)] = (float(at), float(at - grant > float(options["within"])))
    elif value <= 0:
        doors.pop(source, None)
    after = (grant, *(number for door, opening in sorted(doors.items()) for number in (door, *opening)))
    return (memory if after == memory else after), _worst(grant, doors)


def forced_still(_options: Options, memory: Memory, _inputs: Inputs, quantity: str, source: int) -> Still | None:
    """A door that stays as it is, and a reader that grants nothing."""
    if not memory or (quantity == "grant" and memory[0] < 0):
        return None
    grant, doors = _doors(memory)
    judged = _worst(grant, doors)
    if quantity == "grant" or source not in doors:
        return Still(high=0.0, judged=judged)
    return Still(low=math.nextafter(0.0, math.inf), judged=judged)


def _doors(memory: Memory) -> tuple[float, dict[float, tuple[float, float]]]:
    """The last grant, and by door (its source) since when it stands open and whether it was forced."""
    grant, *rest = memory or (-1.0,)
    whole = rest if len(rest) % 3 == 0 else []  # a memory of a version that knew one door: it is opened anew by its next reading
    return grant, {whole[i]: (whole[i + 1], whole[i + 2]) for i in range(0, len(whole), 3)}


def _worst(grant: float, doors: dict[float, tuple[float, float]]) -> float | None:
    return None if grant < 0 else max((broken for _, broken in doors.values()), default=0.0)


_LATE_GRANT_MS = 2_000


def off_hours(options: Options, memory: Memory, at: int, _quantity: str, value: float, _source: int = 0) -> Judged:
    """The reading while nobody should be there, else 0: outside `hours`, or on a day of `holidays`; `workdays` are the made-up working days."""
    hours, holidays, workdays = (str(options[key]) for key in ("hours", "holidays", "workdays"))
    return memory, 0.0 if working(at, hours, holidays, workdays) else value


def off_hours_still(_options: Options, _memory: Memory, _inputs: Inputs, _quantity: str, _source: int) -> Still:
    """A shut door is 0 at any hour."""
    return Still(0.0, 0.0, judged=0.0)


def working(at: int, hours: str, holidays: str = "", workdays: str = "") -> bool:
    """Whether an instant (UTC ms) lies in the working hours of Asia/Shanghai. Raises ValueError for hours or dates that cannot be read."""
    local = _EPOCH + timedelta(milliseconds=at) + _SHANGHAI
    weekday = 0 if local.date() in days_of(workdays) else local.weekday()
    if local.date() in days_of(holidays):
        return False
    return any(weekday in days and begin <= local.time() < end for days, begin, end in hours_of(hours))


@cache
def hours_of(text: str) -> Hours:
    """Working hours like "mon-fri 08:00-18:00, sat 08:00-12:00". Raises ValueError."""
    parts = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _PART.fullmatch(part)
        if match is None or {match["first"], match["last"] or match["first"]} - set(_DAYS):
            raise ValueError(f"{part!r} is not like mon-fri 08:00-18:00")
        first, last = _DAYS.index(match["first"]), _DAYS.index(match["last"] or match["first"])
        begin, end = time.fromisoformat(match["begin"]), time.max if match["end"] == "24:00" else time.fromisoformat(match["end"])
        if begin >= end or first > last:
            raise ValueError(f"{part!r} ends before it begins")
        parts.append((frozenset(range(first, last + 1)), begin, end))
    return tuple(parts)


@cache
def days_of(text: str) -> frozenset[date]:
    """Days like "2026-10-01..2026-10-07, 2027-01-01"; the word `china` stands for days that the server fills in. Raises ValueError."""
    days: set[date] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if part == CALENDAR:
            continue
        first, _, last = part.partition("..")
        day, end = date.fromisoformat(first), date.fromisoformat(last or first)
        while day <= end:
            days.add(day)
            day += timedelta(days=1)
    return frozenset(days)
