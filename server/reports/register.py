"""温湿度登记表: what the 1987 rule (art. 10) wants written down twice a day, inside and outside, filled from the samples.

A sensor's value is the good sample nearest to the set time within the tolerance; without one it is 缺测. Where people read the dial, their entry
of that half-day stands, with the reader's name.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.reports.paper import MISSING, Cell, Column, Facts, Progress, Sheet, Table
from server.reports.period import HOUR_MS, Period, at_clock, local, midnight
from server.reports.sources import CLIMATE, Place, Reading, Sources, chunks, nearest, places
from server.reports.words import band_text, medium
from server.store import manual
from server.store.tables import Alarm, Room, Transition
from server.store.tables_papers import ManualReading

TITLE = "档案库房温湿度登记表"
HALVES = ("上午", "下午")
_NOON_MS = 12 * HOUR_MS
_MOST_TEXT = 22
_WEEKDAYS = "一二三四五六日"


class Slot(NamedTuple):
    """What stands in one half-day of one room: cells and, for the summary, the values inside."""

    clock: str
    values: tuple[float | None, float | None]
    outside: tuple[float | None, float | None]
    by_hand: bool
    reader: str
    future: bool


def build(sources: Sources, rooms: Sequence[Room], period: Period, now: int, progress: Progress = lambda _done, _total: None) -> list[Sheet]:
    """One sheet per room and calendar month of the period, in the order of the rooms."""
    sheets: list[Sheet] = []
    for some in chunks(rooms):
        made = [_month(sources, some, month, now) for month in period.months()]
        sheets += [month[index] for index in range(len(some)) for month in made]
        progress(len(sheets), len(rooms) * len(made))
    return sheets


class Recorded(NamedTuple):
    """How many half-days of a room should have a value by now, how many have one for temperature and humidity, how many of these by hand."""

    due: int
    done: int
    by_hand: int


def recorded(sources: Sources, found: Sequence[Place], period: Period, now: int) -> dict[str, Recorded]:
    """Count what the registers of these rooms would show, by room."""
    with sources.db.read() as session:
        by_hand = manual.valid(session, [place.code for place in found], period.since, period.until)
    readings, instants = _readings(sources, found, period, now)
    return {place.code: _recorded(place, instants, readings, by_hand[place.code]) for place in found}


def _recorded(place: Place, instants: Sequence[int], readings: Mapping[tuple[int, int], Reading], by_hand: Sequence[ManualReading]) -> Recorded:
    entered = {(local(row.taken_at).date(), _half_of(row.taken_at)) for row in by_hand if row.temperature is not None and row.humidity is not None}
    sensed = {at for at in instants if None not in _pair(place.inside, at, readings)}
    hand = sum(1 for at in instants if at not in sensed and (local(at).date(), _half_of(at)) in entered)
    return Recorded(len(instants), len(sensed) + hand, hand)


def _readings(sources: Sources, found: Sequence[Place], period: Period, now: int) -> tuple[dict[tuple[int, int], Reading], list[int]]:
    """The readings at the set times of a period up to now, and these times."""
    idents = sorted({ident for place in found for ident in place.points()})
    readings: dict[tuple[int, int], Reading] = {}
    due: list[int] = []
    for clock in sources.settings.times:
        instants = [at for day in period.dates() if (at := at_clock(day, clock)) <= now]
        readings |= nearest(sources.store, idents, instants, sources.settings.tolerance_ms)
        due += instants
    return readings, due


def columns(times: tuple[str, str]) -> tuple[Column, ...]:
    """The heads of the form."""
    halves: list[Column] = []
    for half, clock in zip(HALVES, times, strict=True):
        top = f"{half}（{clock}）"
        halves.append(Column(title="时间", groups=(top,), width=1.0))
        for where in ("库内", "库外"):
            halves.append(Column(title="温度℃", groups=(top, where), width=1.02, missing=MISSING))
            halves.append(Column(title="湿度%", groups=(top, where), width=1.02, decimals=0, missing=MISSING))
    return (
        Column(title="日期", width=1.25),
        *halves,
        Column(title="天气", width=0.95, missing=""),
        Column(title="处置措施", width=2.9, align="left", missing=""),
        Column(title="登记人", width=1.25, missing=""),
    )


def _month(sources: Sources, rooms: Sequence[Room], month: Period, now: int) -> list[Sheet]:
    with sources.db.read() as session:
        found = places(session, sources, rooms)
        by_hand = manual.valid(session, [room.code for room in rooms], month.since, month.until)
        measures = _measures(session, [room.code for room in rooms], month.since, month.until)
    readings, _ = _readings(sources, found, month, now)
    return [_sheet(sources, place, month, readings, by_hand[place.code], measures, now) for place in found]


def _sheet(
    sources: Sources,
    place: Place,
    month: Period,
    readings: Mapping[tuple[int, int], Reading],
    by_hand: Sequence[ManualReading],
    measures: Mapping[tuple[str, date], list[str]],
    now: int,
) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    slots: list[Slot] = []
    for day in month.dates():
        halves = [_slot(sources, place, day, index, readings, by_hand, now) for index in range(2)]
        slots += halves
        rows.append(_row(day, halves, _of_day(by_hand, day), measures.get((place.code, day), [])))
    tolerance = sources.settings.tolerance_ms // 60_000
    outside = place.outside_name or "没有室外参考，库外一栏空缺"
    return Sheet(
        title=TITLE,
        subject=month.label,
        pairs=(
            ("单位", place.unit_name),
            ("库房", f"{place.name}（{place.code}）"),
            ("载体", medium(place.medium)),
            ("适用范围", "　".join(band_text(quantity, place.band(quantity)) for quantity in CLIMATE)),
            ("库房责任人", place.person or "未填写"),
            ("室外参考", outside),
        ),
        blocks=(Table(columns=columns(sources.settings.times), rows=tuple(rows), small=True), _summary(place, slots)),
        notes=(
            "“在范围内”的分母为已登记次数，“缺测”的分母为应登记次数。",
            f"自动登记取规定时间前后 {tolerance} 分钟内最近一个有效值；没有有效值记“缺测”，不补、不估。人工抄录在时间后注“抄”。",
            "月平均为表内各次登记值的平均，不是全月连续测量的时间加权平均；后者见库房气候月报。",
        ),
        signatures=("登记人", "库房责任人", "审核人"),
    )


def _slot(
    sources: Sources, place: Place, day: date, half: int, readings: Mapping[tuple[int, int], Reading], by_hand: Sequence[ManualReading], now: int
) -> Slot:
    instant = at_clock(day, sources.settings.times[half])
    outside = _pair(place.outside, instant, readings)
    entry = next((row for row in by_hand if local(row.taken_at).date() == day and _half_of(row.taken_at) == half), None)
    inside = _pair(place.inside, instant, readings)
    taken = next((readings[ident, instant].taken_at for q in CLIMATE for ident in place.inside.get(q, ()) if (ident, instant) in readings), None)
    if entry is not None and inside == (None, None):
        return Slot(f"{local(entry.taken_at):%H:%M}抄", (entry.temperature, entry.humidity), outside, True, entry.reader, False)
    return Slot("" if taken is None else f"{local(taken):%H:%M}", inside, outside, False, "" if taken is None else "自动", instant > now)


def _pair(group: Mapping[str, tuple[int, ...]], instant: int, readings: Mapping[tuple[int, int], Reading]) -> tuple[float | None, float | None]:
    """Temperature and humidity at an instant: of several points the first that has a value."""
    values = [next((readings[i, instant].value for i in group.get(quantity, ()) if (i, instant) in readings), None) for quantity in CLIMATE]
    return values[0], values[1]


def _row(day: date, halves: Sequence[Slot], entries: Sequence[ManualReading], measures: Sequence[str]) -> tuple[Cell, ...]:
    cells: list[Cell] = [f"{day.day}日 {_WEEKDAYS[day.weekday()]}"]
    for slot in halves:
        if slot.future:
            cells += ["", "", "", "", ""]
        else:
            outside: tuple[Cell, Cell] = slot.outside
            cells += [slot.clock or MISSING, *slot.values, *outside]
    said = [*(entry.measures for entry in entries if entry.measures), *measures]
    weather = next((entry.weather for entry in entries if entry.weather), "")
    signers = "、".join(dict.fromkeys(slot.reader for slot in halves if slot.reader))
    return (*cells, weather, _short(said), signers)


def _short(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    text = "；".join(texts)
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"


def _of_day(entries: Sequence[ManualReading], day: date) -> list[ManualReading]:
    return [entry for entry in entries if local(entry.taken_at).date() == day]


def _half_of(taken_at: int) -> int:
    return int(taken_at - midnight(local(taken_at).date()) >= _NOON_MS)


def _summary(place: Place, slots: Sequence[Slot]) -> Facts:
    due = [slot for slot in slots if not slot.future]
    pairs: list[tuple[str, str]] = []
    for index, (quantity, word, unit) in enumerate((("temperature", "温度", "℃"), ("humidity", "湿度", "%RH"))):
        values = [value for slot in due if (value := slot.values[index]) is not None]
        low, high = place.band(quantity)
        inside = sum(1 for value in values if (low is None or value >= low) and (high is None or value <= high))
        decimals = 1 - index
        mean = f"{sum(values) / len(values):.{decimals}f} {unit}" if values else "—"
        extremes = f"{max(values):.{decimals}f} / {min(values):.{decimals}f} {unit}" if values else "—"
        missed = len(due) - len(values)
        pairs += [(f"月平均{word}", mean), (f"最高 / 最低{word}", extremes), (f"{word}在范围内", f"{inside} / {len(values)} 次")]
        pairs.append((f"{word}缺测", f"{missed} / {len(due)} 次"))
    return Facts(pairs=tuple(pairs), columns=4)


def _measures(session: Session, rooms: Sequence[str], start: int, end: int) -> dict[tuple[str, date], list[str]]:
    """What people wrote when they took over, went there or commented, by room and day."""
    found: dict[tuple[str, date], list[str]] = defaultdict(list)
    names = ("acknowledged", "progress", "comment", "reset")
    for offset in range(0, len(rooms), 500):
        query = (
            select(Transition.at, Transition.note, Alarm.room)
            .join(Alarm, Alarm.id == Transition.alarm)
            .where(Alarm.room.in_(rooms[offset : offset + 500]), Alarm.drill.is_(False))
            .where(Transition.at >= start, Transition.at < end, Transition.name.in_(names), Transition.note != "")
            .order_by(Transition.at)
        )
        for at, note, room in session.execute(query):
            found[room or "", local(at).date()].append(note)
    return found
