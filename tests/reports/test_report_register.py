"""The register out of a real series store: the nearest valid sample, 缺测 where none, manual readings, what people did."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from server.reports import register
from server.reports.period import HOUR_MS, at_clock, parse_period
from server.reports.sources import ReportSettings, Sources
from server.series import Row
from server.series.choose import open_store
from server.store.session import Database
from server.store.tables import Alarm, Gateway, Point, Room, Transition, Unit
from server.store.tables_papers import ManualReading
from tests.fresh import fresh

UNIT, ROOM = "350102000000", "350102000000-01"
PERIOD = parse_period("2026-10-01..2026-10-03")
NOW = at_clock(date(2026, 10, 3), "12:00")
MINUTE = 60_000


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    db = Database(fresh(tmp_path / "aw.db"))
    store = open_store("embedded", tmp_path / "series")
    with db.write() as session:
        session.add(Unit(code=UNIT, parent=None, level=3, name="鼓楼分局", short_name="鼓楼"))
        session.flush()
        session.add(Room(code=ROOM, unit=UNIT, name="一号库房", short_name="一号", sms_place="一号库"))
        session.add(Gateway(code="GW", group_id="350100", unit=UNIT, name="楼顶气象站"))
        session.flush()
        for ident, room, device, quantity in ((1, ROOM, "th1", "temperature"), (2, ROOM, "th1", "humidity"), (3, None, "outdoor", "temperature")):
            session.add(Point(id=ident, gateway="GW", device=device, quantity=quantity, room=room, unit="", interval_ms=60_000, created_at=0))
    bands = {"temperature": (14.0, 24.0), "humidity": (45.0, 60.0)}
    yield Sources(db=db, store=store, bands=lambda _room: bands, generator="test", settings=ReportSettings())
    store.close()
    db.close()


def at(day: int, clock: str) -> int:
    return at_clock(date(2026, 10, day), clock)


def write(sources: Sources, *rows: tuple[int, int, float | None, int]) -> None:
    sources.store.write([Row(point, taken, value, quality, taken) for point, taken, value, quality in rows])


def made(sources: Sources, now: int = NOW) -> list[tuple[object, ...]]:
    with sources.db.read() as session:
        rooms = session.query(Room).all()
    (sheet,) = register.build(sources, rooms, PERIOD, now)
    table = sheet.blocks[0]
    assert isinstance(table, register.Table)
    return list(table.rows)


def test_the_nearest_good_sample_within_the_tolerance(sources: Sources) -> None:
    write(
        sources,
        (1, at(1, "09:00") - 14 * MINUTE, 20.0, 2), (1, at(1, "09:00") + 4 * MINUTE, 21.0, 2), (1, at(1, "09:00") + MINUTE, 99.0, 0),
        (1, at(1, "09:00") + 2 * MINUTE, 55.0, 1), (2, at(1, "09:00") - 15 * MINUTE, 51.0, 2), (3, at(1, "09:00"), 28.5, 2),
        (1, at(1, "15:00") + 15 * MINUTE + 1, 22.0, 2), (2, at(1, "15:00") - 3 * MINUTE, 52.0, 2), (2, at(1, "15:00") + 3 * MINUTE, 53.0, 2),
    )  # fmt: skip
    first = made(sources)[0]
    # date, then time, inside t, rh, outside t, rh of each half
    assert first[:6] == ("1日 四", "09:04", 21.0, 51.0, 28.5, None)
    assert first[6:11] == ("14:57", None, 52.0, None, None)
    assert first[-1] == "自动"


def test_what_was_not_measured_is_said_and_what_is_to_come_stays_empty(sources: Sources) -> None:
    rows = made(sources)
    assert rows[1][1:6] == ("缺测", None, None, None, None)
    assert rows[2][1] == "缺测"  # 09:00 of the third is past
    assert rows[2][6:11] == ("", "", "", "", "")  # 15:00 is not
    assert rows[0][-1] == ""


def test_a_reading_by_hand_fills_the_half_day_and_a_correction_replaces_it(sources: Sources) -> None:
    base = {"room": ROOM, "reader": "林一", "entered_by": "林一", "entered_at": NOW, "weather": "阴", "measures": "开除湿机"}
    with sources.db.write() as session:
        session.add(ManualReading(taken_at=at(2, "09:20"), temperature=19.0, humidity=88.0, key="a", **base))
        session.flush()
        session.add(ManualReading(taken_at=at(2, "09:20"), temperature=19.5, humidity=58.0, key="b", replaces=1, **base))
    row = made(sources)[1]
    assert row[1:4] == ("09:20抄", 19.5, 58.0)
    assert row[-3:] == ("阴", "开除湿机", "林一")


def test_a_sensor_goes_before_a_reading_by_hand(sources: Sources) -> None:
    write(sources, (1, at(2, "09:00"), 21.0, 2), (2, at(2, "09:00"), 50.0, 2))
    with sources.db.write() as session:
        entry = {"reader": "林一", "entered_by": "林一", "entered_at": NOW, "taken_at": at(2, "09:20"), "temperature": 19.0, "humidity": 58.0}
        session.add(ManualReading(room=ROOM, key="a", **entry))
    assert made(sources)[1][1:4] == ("09:00", 21.0, 50.0)


def test_what_people_did_stands_beside_the_day(sources: Sources) -> None:
    with sources.db.write() as session:
        session.add(
            Alarm(id=1, subject="point:2", rule="humidity_high", kind="threshold", room=ROOM, unit=UNIT, state="normal", level="alarm",
                  raised_at=at(1, "10:00"), number="000001")
        )  # fmt: skip
        session.flush()
        for name, note in (("acknowledged", "已开除湿机"), ("raised", "不算"), ("comment", "")):
            session.add(Transition(alarm=1, at=at(1, "10:05"), name=name, before="", after="", level="alarm", by="林一", note=note))
    assert made(sources)[0][-2] == "已开除湿机"


def test_the_summary_gives_every_denominator(sources: Sources) -> None:
    write(sources, (1, at(1, "09:00"), 21.0, 2), (1, at(2, "09:00"), 27.0, 2), (2, at(1, "09:00"), 50.0, 2))
    with sources.db.read() as session:
        rooms = session.query(Room).all()
    (sheet,) = register.build(sources, rooms, PERIOD, NOW)
    facts = sheet.blocks[1]
    assert isinstance(facts, register.Facts)
    assert dict(facts.pairs) == {
        "月平均温度": "24.0 ℃", "最高 / 最低温度": "27.0 / 21.0 ℃", "温度在范围内": "1 / 2 次", "温度缺测": "3 / 5 次",
        "月平均湿度": "50 %RH", "最高 / 最低湿度": "50 / 50 %RH", "湿度在范围内": "1 / 1 次", "湿度缺测": "4 / 5 次",
    }  # fmt: skip


def test_a_quarter_gives_a_sheet_per_room_and_month(sources: Sources) -> None:
    with sources.db.write() as session:
        session.add(Room(code=f"{UNIT}-02", unit=UNIT, name="二号库房", short_name="二号", sms_place="二号库"))
    with sources.db.read() as session:
        rooms = session.query(Room).order_by(Room.code).all()
    seen: list[tuple[int, int]] = []
    sheets = register.build(sources, rooms, parse_period("2026-Q4"), NOW + 90 * 24 * HOUR_MS, lambda done, total: seen.append((done, total)))
    assert [sheet.subject for sheet in sheets] == ["2026年10月", "2026年11月", "2026年12月"] * 2
    assert seen[-1] == (6, 6)
