"""The synthetic provinces: sizes, the rules of names and codes, and that the server's own import takes every row."""

import re
from collections import Counter
from pathlib import Path

import pytest

from contract.quantities import QUANTITIES
from server.org.imports import KINDS, import_csv
from server.store.schema import Base
from server.store.session import Database
from simulators.fujian import CITIES, JINMEN, PINGTAN, bureau
from simulators.province import Province, full, small, write
from simulators.province_rows import Room, load_points, load_rooms, room_spec
from simulators.weather import Weather


@pytest.fixture(scope="module")
def demo() -> Province:
    return small(1)


@pytest.fixture(scope="module")
def whole() -> Province:
    return full(1)


def test_codes_of_fujian() -> None:
    counties = [code for city in CITIES for code in city.counties]
    kinds = Counter("district" if int(c[4:]) <= 20 else "county" if int(c[4:]) <= 80 else "city" for c in counties)
    assert [len(city.counties) for city in CITIES] == [13, 6, 5, 11, 12, 11, 10, 7, 9]
    assert kinds == {"district": 31, "county": 42, "city": 11}
    assert sum(city.towns for city in CITIES) == 1170
    assert {PINGTAN, JINMEN} <= set(counties)
    assert [bureau("350102", "鼓楼"), bureau("350121", "闽侯"), bureau("350782", "武夷山")] == ["鼓楼分局", "闽侯县局", "武夷山市局"]


def test_whole_province_has_its_size(whole: Province) -> None:
    assert Counter(unit.level for unit in whole.units) == {1: 1, 2: 10, 3: 82, 4: 1217}
    assert len(whole.people) == 58_900
    level = _level(whole)
    by_level = Counter(level[person.unit] for person in whole.people)
    assert by_level == {1: 900, 2: 9000, 3: 20_500, 4: 28_500}
    assert 1600 <= len(whole.rooms) <= 2000
    assert not any(unit.code.startswith(JINMEN) for unit in whole.units)
    assert {p.feed for p in whole.points} == {"fleet", "weather"}


def test_demo_has_three_edge_gateways_and_a_weather_gateway_per_city(demo: Province) -> None:
    assert len(demo.rooms) <= 40
    assert {unit.level for unit in demo.units} == {1, 2, 3, 4}
    edge = {(p.gateway, p.group) for p in demo.points if p.feed == "edge"}
    assert edge == {("GW-350102-01", "350100"), ("GW-350203-01", "350200"), ("GW-350128-01", "350128")}
    rooms = Counter(gateway for gateway, _ in {(p.gateway, p.room) for p in demo.points if p.feed == "edge"})
    assert rooms == {"GW-350102-01": 3, "GW-350203-01": 3, "GW-350128-01": 2}
    weather = {(p.gateway, p.device, p.quantity, p.room) for p in demo.points if p.feed == "weather"}
    assert weather == {(f"GW-{c}-WX", "outdoor", q, "") for c in ("350100", "350200", "350128") for q in ("temperature", "humidity")}
    intervals = {(p.feed, p.quantity): p.interval_s for p in demo.points}
    assert (intervals["edge", "humidity"], intervals["edge", "smoke"], intervals["edge", "leak"], intervals["fleet", "smoke"]) == (10, 5, 5, 30)


def _level(province: Province) -> dict[str, int]:
    return {unit.code: unit.level for unit in province.units}


@pytest.mark.parametrize("which", ["demo", "whole"])
def test_names_fit_and_are_unique(which: str, request: pytest.FixtureRequest) -> None:
    province: Province = request.getfixturevalue(which)
    assert all(0 < len(u.short_name) <= 6 for u in province.units)
    assert all(0 < len(r.short_name) <= 6 and 0 < len(r.sms_place) <= 9 for r in province.rooms)
    forbidden = re.compile("公安|派出所|分局|县局|市局")
    assert not [r.sms_place for r in province.rooms if forbidden.search(r.sms_place)]
    for names in (
        [u.code for u in province.units],
        [u.name for u in province.units],
        [u.short_name for u in province.units],
        [u.duty_phone for u in province.units],
        [p.code for p in province.people],
        [p.phone for p in province.people],
        [r.code for r in province.rooms],
        [r.name for r in province.rooms],
        [r.sms_place for r in province.rooms],
        [(r.unit[:6], r.short_name) for r in province.rooms],
        [p.key for p in province.points],
    ):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("which", ["demo", "whole"])
def test_rows_hang_together(which: str, request: pytest.FixtureRequest) -> None:
    province: Province = request.getfixturevalue(which)
    level = _level(province)
    seen: set[str] = set()
    for unit in province.units:
        assert unit.parent in seen or (unit.level == 1 and unit.parent == "")
        seen.add(unit.code)
    people = {p.code: p for p in province.people}
    for room in province.rooms:
        assert room.code.startswith(room.unit)
        assert people[room.person].unit == room.unit
        assert people[room.person].duty == "person_in_charge"
    duties = {(p.unit, p.duty) for p in province.people}
    assert all((code, "duty_officer") in duties for code in level)
    assert all((code, "archive_head") in duties for code, n in level.items() if n <= 3)
    rooms = {r.code: r for r in province.rooms}
    measured: dict[str, set[str]] = {}
    for point in province.points:
        assert point.quantity in QUANTITIES
        assert point.unit in level
        assert not point.room or rooms[point.room].unit == point.unit
        measured.setdefault(point.room, set()).add(point.quantity)
    for room in province.rooms:
        assert set(room.demanded.split(";")) <= measured[room.code]
    assert all(re.fullmatch(r"\+86139[1-8]\d{7}", p.phone) for p in province.people)


def test_seed_decides_everything(demo: Province) -> None:
    assert small(1) == demo
    assert small(2) != demo
    assert {u.code for u in small(2).units} == {u.code for u in demo.units}


def test_files_read_back(tmp_path: Path, demo: Province) -> None:
    write(demo, tmp_path)
    assert (tmp_path / "units.csv").read_bytes().startswith(b"\xef\xbb\xbfcode,parent,level,name,short_name,duty_phone,kind\r\n")
    assert Province.load(tmp_path) == demo
    assert load_points(tmp_path / "devices.csv") == demo.points
    assert load_rooms(tmp_path / "rooms.csv") == demo.rooms


def test_server_imports_every_row(tmp_path: Path, demo: Province) -> None:
    write(demo, tmp_path)
    db = Database(f"sqlite:///{tmp_path / 'server.db'}")
    Base.metadata.create_all(db.engine)
    for kind, rows in zip(("units", "people", "rooms", "devices"), (demo.units, demo.people, demo.rooms, demo.points), strict=True):
        assert kind in KINDS
        first = import_csv(db, kind, tmp_path / f"{kind}.csv", now=0)
        assert (first.errors, first.created) == ([], len(rows))
        assert import_csv(db, kind, tmp_path / f"{kind}.csv", now=1).unchanged == len(rows)
    db.engine.dispose()


def test_every_room_can_be_simulated(demo: Province, whole: Province) -> None:
    for room in (*demo.rooms, *whole.rooms):
        spec = room_spec(room)
        assert spec.code == room.code
        assert Weather(spec.city, 1).climate.name == room.city
    weak = [room for room in demo.rooms if room_spec(room).dehumidifier is None]
    assert 1 <= len(weak) <= 6
    assert all(len(room.unit.rstrip("0")) > 6 for room in weak)


def test_machines_of_a_room_follow_its_medium() -> None:
    disc = Room("350100000000-02", "350100000000", "", "", "", "store", "optical", "in_use", "fuzhou", "", "")
    spec = room_spec(disc)
    assert spec.cooling is not None
    assert spec.dehumidifier is not None
    assert (15 < spec.cooling < 20, 25 < spec.dehumidifier < 45) == (True, True)
