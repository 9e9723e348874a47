"""人工抄录: readings that people take from a dial, for rooms without sensors. Checked against room, neighbours and weather; what looks odd must be
confirmed. They reach the series store as `uncertain` with the reason "manual": shown and exported, never counted as watched. Instants are UTC ms.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.climate import absolute_humidity
from contract.quantities import QUANTITIES
from server.live.board import OUTDOOR
from server.series import GOOD, Row, SeriesStore
from server.store import audit, manual, rooms
from server.store.session import Database
from server.store.tables import Point, Room
from server.store.tables_papers import ManualReading
from server.store.units import below

log = logging.getLogger("server.org")

REASON = "manual"
ZONE = ZoneInfo("Asia/Shanghai")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
OLDEST_MS = 45 * DAY_MS
_UNCERTAIN = 1
_RANGES = {"temperature": (-25.0, 55.0), "humidity": (1.0, 100.0)}
_JUMP = {"temperature": (8.0, "℃"), "humidity": (25.0, "%RH")}
_APART = {"temperature": (6.0, "℃"), "humidity": (25.0, "%RH")}
_WATER_APART = 6.0
_COPIES = 5
_AT_ONCE = 500


class ReadingError(ValueError):
    """The reading cannot be taken; the sentence says why."""


class DoubtfulError(ReadingError):
    """The reading looks odd and has not been confirmed; `doubts` are the sentences."""

    def __init__(self, doubts: Sequence[str]) -> None:
        super().__init__("".join(doubts))
        self.doubts = list(doubts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a person entered. `key` is chosen by the form, so that sending it twice makes one reading; `replaces` names a wrong earlier entry."""

    room: str
    taken_at: int
    temperature: float | None
    humidity: float | None
    reader: str
    key: str
    weather: str = ""
    measures: str = ""
    via: str = "form"
    replaces: int | None = None
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A room whose reading of a half-day is not there: 0 morning, 1 afternoon."""

    room: str
    name: str
    unit: str
    half: int


def enter(db: Database, store: SeriesStore, entry: Entry, by: str, now: int) -> int:
    """Check and keep a reading; its id. The same key again returns the first id. Raises ReadingError, DoubtfulError."""
    with db.read() as session:
        known = manual.by_key(session, entry.key)
        if known is not None:
            return known.id
        _refuse(session, entry, now)
        doubts = check(session, store, entry)
    if doubts and not entry.confirmed:
        raise DoubtfulError(doubts)
    with db.write() as session:
        row = ManualReading(
            room=entry.room, taken_at=entry.taken_at, temperature=entry.temperature, humidity=entry.humidity, weather=entry.weather,
            measures=entry.measures, reader=entry.reader, entered_by=by, entered_at=now, via=entry.via, doubts=doubts, replaces=entry.replaces,
            key=entry.key,
        )  # fmt: skip
        session.add(row)
        session.flush()
        detail = {"reading": row.id, "taken_at": entry.taken_at, "reader": entry.reader, "replaces": entry.replaces, "doubts": len(doubts)}
        audit.append(session, by, "reading.correct" if entry.replaces else "reading.enter", entry.room, detail, now)
        return row.id


def check(session: Session, store: SeriesStore, entry: Entry) -> list[str]:
    """Sentences about what looks odd: a jump since the last reading, far from the neighbours, wetter than the air outside, always the same."""
    earlier = [r for r in manual.valid(session, [entry.room], entry.taken_at - 30 * DAY_MS, entry.taken_at)[entry.room] if r.id != entry.replaces]
    return [*_jumps(entry, earlier[-1:]), *_copies(entry, earlier), *_neighbours(session, store, entry), *_weather(session, store, entry)]


def drain(db: Database, store: SeriesStore) -> int:
    """Job: bring readings into the series store; how many. A store that fails leaves them for the next time."""
    with db.read() as session:
        if not list(manual.waiting(session, 1)):
            return 0
    with db.write() as session:
        waiting = list(manual.waiting(session, _AT_ONCE))
        rows = [row for reading in waiting for row in _rows(session, reading)]
        if rows:
            store.write(rows)  # idempotent by point and time: a crash before the commit only means that it is written again
        for reading in waiting:
            reading.stored = True
    return len(waiting)


def missing(session: Session, scope: str | None, times: tuple[str, str], works: Callable[[date], bool], now: int) -> list[Missing]:
    """Rooms without climate sensors whose reading of a half-day that has begun is not there; on days that `works` says are worked."""
    at = datetime.fromtimestamp(now / 1000, ZONE)
    if not works(at.date()):
        return []
    midnight = round(at.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1000
    sensed = select(Point.room).where(Point.quantity.in_(_RANGES), Point.room.is_not(None), Point.gateway != manual.GATEWAY, Point.channel != OUTDOOR)
    query = select(Room).where(Room.unit.in_(below(scope)), Room.stage != "retired", Room.code.not_in(sensed)).order_by(Room.code)
    found = list(session.scalars(query))
    entries = manual.valid(session, [room.code for room in found], midnight, midnight + DAY_MS)
    begun = [half for half, clock in enumerate(times) if f"{at:%H:%M}" >= clock]
    result = []
    for room in found:
        done = {int(reading.taken_at - midnight >= 12 * HOUR_MS) for reading in entries[room.code]}
        result += [Missing(room=room.code, name=room.name, unit=room.unit, half=half) for half in begun if half not in done]
    return result


def _refuse(session: Session, entry: Entry, now: int) -> None:
    if session.get(Room, entry.room) is None:
        raise ReadingError("没有这间库房。")
    if entry.temperature is None and entry.humidity is None:
        raise ReadingError("温度和湿度至少填一项。")
    if not entry.reader.strip():
        raise ReadingError("请填抄录人。")
    if entry.taken_at > now + 60_000:
        raise ReadingError("抄录时间不能晚于现在。")
    if entry.taken_at < now - OLDEST_MS:
        raise ReadingError(f"只能补录 {OLDEST_MS // DAY_MS} 天以内的抄录。")
    for name, (low, high) in _RANGES.items():
        value = getattr(entry, name)
        if value is not None and not low <= value <= high:
            raise ReadingError(f"{QUANTITIES[name].zh}应在 {low:g} 到 {high:g} 之间，请看清刻度再填。")
    if entry.replaces is not None:
        old = session.get(ManualReading, entry.replaces)
        if old is None or old.room != entry.room:
            raise ReadingError("要更正的那条抄录不在本库。")
        if manual.replacement(session, entry.replaces) is not None:
            raise ReadingError("那条抄录已经更正过，请更正最新的一条。")


def _jumps(entry: Entry, last: Sequence[ManualReading]) -> list[str]:
    found = []
    for reading in last:
        if entry.taken_at - reading.taken_at > 3 * DAY_MS:
            continue
        for name, (most, unit) in _JUMP.items():
            value, before = getattr(entry, name), getattr(reading, name)
            if value is not None and before is not None and abs(value - before) > most:
                found.append(f"{QUANTITIES[name].zh}与上次抄录的 {before:g} {unit} 相差 {abs(value - before):.0f} {unit}，请再看一眼。")
    return found


def _copies(entry: Entry, earlier: Sequence[ManualReading]) -> list[str]:
    same = [r for r in earlier[-_COPIES:] if (r.temperature, r.humidity) == (entry.temperature, entry.humidity)]
    return [f"最近 {_COPIES + 1} 次数值完全相同，请确认表计没有停走。"] if len(same) == _COPIES else []


def _neighbours(session: Session, store: SeriesStore, entry: Entry) -> list[str]:
    """The sensors of the same unit within two hours."""
    room = session.get_one(Room, entry.room)
    near = select(Point).join(Room, Room.code == Point.room)
    near = near.where(Room.unit == room.unit, Room.code != room.code, Point.gateway != manual.GATEWAY, Point.channel != OUTDOOR)
    found = []
    for name, (most, unit) in _APART.items():
        points = [point.id for point in session.scalars(near.where(Point.quantity == name).limit(20))]
        values = _values(store, points, entry.taken_at)
        value = getattr(entry, name)
        if value is not None and values:
            middle = sorted(values)[len(values) // 2]
            if abs(value - middle) > most:
                found.append(f"{QUANTITIES[name].zh}与同单位其他库房的 {middle:.0f} {unit} 相差 {abs(value - middle):.0f} {unit}。")
    return found


def _weather(session: Session, store: SeriesStore, entry: Entry) -> list[str]:
    """A room is rarely wetter by more than 6 g/m³ than the air outside."""
    if entry.temperature is None or entry.humidity is None:
        return []
    unit = session.get_one(Room, entry.room).unit
    outside = []
    for name in _RANGES:
        shared = rooms.shared_outdoor(session, unit, name)
        outside.append(_values(store, [shared[0].id], entry.taken_at) if shared is not None else [])
    if not all(outside):
        return []
    gap = absolute_humidity(entry.temperature, entry.humidity) - absolute_humidity(outside[0][0], outside[1][0])
    return [f"库内空气含水比室外（{outside[0][0]:.0f} ℃、{outside[1][0]:.0f} %RH）多 {gap:.0f} 克每立方米，少见。"] if gap > _WATER_APART else []


def _values(store: SeriesStore, points: Sequence[int], at: int) -> list[float]:
    rows = store.last(points, at - 2 * HOUR_MS) if points else {}
    return [row.value for row in rows.values() if row.quality == GOOD and row.value is not None and row.taken_at <= at + 2 * HOUR_MS]


def _rows(session: Session, reading: ManualReading) -> list[Row]:
    """Samples of a reading. A correction of the same minute lies a millisecond behind what it corrects: no stored sample is ever changed."""
    depth, old = 0, reading.replaces
    while old is not None:
        depth, old = depth + 1, session.get_one(ManualReading, old).replaces
    rows = []
    for name in _RANGES:
        value = getattr(reading, name)
        if value is not None:
            point = _point(session, reading.room, name, reading.entered_at)
            rows.append(Row(point, reading.taken_at + depth, value, _UNCERTAIN, reading.entered_at, REASON))
    return rows


def _point(session: Session, room: str, quantity: str, now: int) -> int:
    point = manual.point(session, room, quantity)
    if point is None:
        point = Point(gateway=manual.GATEWAY, device=room, quantity=quantity, channel="", room=room, unit=QUANTITIES[quantity].unit, created_at=now)
        session.add(point)
        session.flush()
    return point.id


def instant(text: str) -> int:
    """UTC ms of a local time as a form writes it, e.g. 2026-10-01T09:10. Raises ReadingError."""
    try:
        local = datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=ZONE)
    except ValueError as error:
        raise ReadingError("时间写作 2026-10-01T09:10。") from error
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
