"""Synthetic organisations on real ground: Fujian's cities and counties with made-up stations, people, rooms and points.

`small` is the demo: three gateways whose sensors are simulated down to the wire (feed edge), the rest by the fleet. `full` has the size of the whole
province: 1,310 units, 58,900 people. Everything depends on the seed alone.
"""

import argparse
import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from simulators import province_books, wiring
from simulators.fujian import CITIES, JINMEN, PINGTAN, PROVINCE, City, bureau
from simulators.province_rows import Person, Point, Province, Room, Unit, write

__all__ = ["Person", "Point", "Province", "Room", "Unit", "full", "small", "write"]

_SURNAMES = "陈林黄张吴李郑王刘苏蔡杨许郭曾谢赖邱江罗叶游傅沈潘何施卢魏钟余洪庄柯"
_GIVEN = "国建志文明华荣德平海峰伟强军勇杰斌涛超辉丽芳娟敏静霞玉秀兰英梅红燕玲晨宇浩然欣怡雅婷思远嘉诚"
# names of streets and towns that occur everywhere, two characters each
_TOWNS = re.findall(
    "..",
    "东街南街西街北街中山华侨温泉城关溪口龙门白沙大湖青口上街新店洪山桥头湖滨江滨东园西园南山北峰石井水门"
    "大田新桥长桥双溪水口三洲五里七里下洋上坪前洲后山金星银河红星永兴太平安宁和平团结胜利光明前进丰田榕树",
)
# what a specialised station is for -> its kind
_SPECIAL: Final[Mapping[str, str]] = {
    "交通": "traffic", "港口": "port", "森林": "forest", "铁路": "railway", "机场": "airport", "水上": "water", "园区": "zone", "轨道": "metro",
    "边防": "border", "监所": "detention",
}  # fmt: skip
# what a store is called in brackets -> its medium
_MEDIA: Final[Mapping[str, str]] = {"": "paper", "特藏": "special", "磁带": "magnetic", "光盘": "optical", "胶片": "film_copy"}
# premises that are no store -> name, kind and medium
_OTHER: Final[Mapping[str, tuple[str, str, str]]] = {
    "阅览": ("阅览室", "reading", "reading"), "整理": ("整理室", "sorting", "work"), "办公": ("办公室", "office", "service"),
    "数字": ("数字化室", "digitising", "work"), "机房": ("机房", "server_room", "magnetic"), "展览": ("展览室", "exhibition", "exhibition"),
}  # fmt: skip
# quantity -> device and class in the rooms of the fleet; the edge gateways are in wiring.py
_FLEET: Final[Mapping[str, tuple[str, str]]] = {
    "temperature": ("th", "measure"),
    "humidity": ("th", "measure"),
    "smoke": ("smoke", "alarm"),
    "door": ("door", "alarm"),
    "leak": ("leak", "alarm"),
}
_FLEET_INTERVAL_S: Final = 30
# people per level: in the demo, in the whole province (stations there share 28,500), and the duties of the first of them
_STAFF: Final[Mapping[int, tuple[int, int, Mapping[str, int]]]] = {
    1: (12, 900, {"duty_officer": 4, "person_in_charge": 2, "archive_head": 1, "inspector": 2}),
    2: (8, 900, {"duty_officer": 4, "person_in_charge": 2, "archive_head": 1, "inspector": 1}),
    3: (6, 250, {"duty_officer": 3, "person_in_charge": 2, "archive_head": 1}),
    4: (3, 23, {"duty_officer": 2, "person_in_charge": 1}),
}
_EXTRA_STATION_STAFF: Final = 28_500 - 1217 * 23
_TOWN_STATIONS, _SPECIAL_STATIONS = 1107, 110


@dataclass(frozen=True, slots=True)
class _Site:
    """A unit with what its rows are derived from: `place` begins the SMS place of its rooms, `local` their short name."""

    code: str
    parent: str
    level: int
    name: str
    short: str
    place: str
    local: str
    climate: str
    group: str
    area: str
    kind: str = ""

    @property
    def gateway(self) -> str:
        return f"GW-{self.code[:6] if self.code.endswith('000000') else self.code[:9]}-01"


class _Builder:
    """Collects rows in the order in which they can be imported."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"province/{seed}")
        self._units: list[Unit] = []
        self._people: list[Person] = []
        self._rooms: list[Room] = []
        self._points: list[Point] = []
        # 139 1000 0000 and up: above the numbers with a meaning in the SMS gateway
        self._mobile = (f"+86139{10_000_000 + i * 7919 % 80_000_000:08d}" for i in itertools.count(seed % 1000 * 1000))

    def add(self, site: _Site, people: int, kinds: Sequence[str], feed: str = "fleet") -> None:
        """A unit with `people`, and one room with its points for each of `kinds` (keys of _MEDIA)."""
        # a landline that begins with 0 cannot exist
        self._units.append(Unit(site.code, site.parent, site.level, site.name, site.short, f"+86{site.area}0{len(self._units) + 1:07d}", site.kind))
        keepers = self._staff(site, people)
        for index, kind in enumerate(kinds):
            demanded = ["smoke"] if kind == "办公" else ["temperature", "humidity", "smoke"]
            if kind not in _OTHER:
                demanded += ["door", "leak"] if feed == "edge" or self._rng.random() < 0.3 else ["door"]
            room = _room(site, index + 1, kind, demanded, keepers[index % len(keepers)])
            self._rooms.append(room)
            if feed == "fleet":
                self._points += _fleet_points(site, room, demanded)
        if feed == "edge":
            self._points += _edge_points(site, self._rooms[-len(kinds) :])

    def add_weather(self, site: _Site) -> None:
        """The outdoor gateway of a city."""
        for quantity in ("temperature", "humidity"):
            named = (f"GW-{site.group}-WX", f"{site.local}室外气象", site.code, site.group, "outdoor", "")
            self._points.append(Point(*named, quantity, "", "", _FLEET_INTERVAL_S, "measure", "weather"))

    def finish(self) -> Province:
        return Province(tuple(self._units), tuple(self._people), tuple(self._rooms), tuple(self._points))

    def _staff(self, site: _Site, count: int) -> list[str]:
        """Add people; returns the codes of the persons in charge."""
        duties = [duty for duty, number in _STAFF[site.level][2].items() for _ in range(number)]
        people = []
        for index, duty in zip(range(count), itertools.chain(duties, itertools.repeat("")), strict=False):
            name = self._rng.choice(_SURNAMES) + "".join(self._rng.sample(_GIVEN, self._rng.choice((1, 2, 2))))
            people.append(Person(f"P{site.code}-{index + 1:04d}", name, next(self._mobile), site.code, duty))
        self._people += people
        return [person.code for person in people if person.duty == "person_in_charge"]


def _room(site: _Site, number: int, kind: str, demanded: Sequence[str], person: str) -> Room:
    code = f"{site.code}-{number:02d}"
    where = f"档案楼 {1 + number % 4} 层{'东西南北'[number % 4]}侧"
    if kind in _OTHER:
        title, of, medium = _OTHER[kind]
        names = (f"{site.name}{title}", f"{site.local}{kind}室" if kind != "机房" else f"{site.local}机房", f"{site.place}{kind}{number:02d}室", of)
    else:
        names, medium = (
            (f"{site.name}{number}号档案库房{f'（{kind}）' if kind else ''}", f"{site.local}{number}号库", f"{site.place}{number:02d}库", "store"),
            _MEDIA[kind],
        )
    return Room(code, site.code, *names, medium, "in_use", site.climate, ";".join(demanded), person, where)


def _fleet_points(site: _Site, room: Room, demanded: Sequence[str]) -> Iterator[Point]:
    for quantity in demanded:
        device, klass = _FLEET[quantity]
        yield Point(*_gateway(site), f"{device}{int(room.code[-2:])}", "", quantity, "", room.code, _FLEET_INTERVAL_S, klass, "fleet")


def _edge_points(site: _Site, rooms: Sequence[Room]) -> Iterator[Point]:
    for wire in wiring.wires(site.gateway, [room.code for room in rooms]):
        for p in wiring.points(wire):
            yield Point(*_gateway(site), p.device, p.profile, p.quantity, p.channel, p.room, int(p.interval_s), p.klass, "edge")


def _gateway(site: _Site) -> tuple[str, str, str, str]:
    return site.gateway, f"{site.name}网关", site.code, site.group


def _province_site() -> _Site:
    code = PROVINCE + "000000"
    return _Site(code, "", 1, "福建省厅", "省厅", "省中心", "省厅", "fuzhou", PROVINCE, "591")


def _city_site(city: City) -> _Site:
    code, name = city.code + "000000", city.name
    return _Site(code, PROVINCE + "000000", 2, f"{name}市局", f"{name}市局", name, name, city.climate, city.code, city.area)


def _county_site(city: City, code: str) -> _Site:
    """A county; Pingtan counts as a city of its own."""
    name, full = city.counties[code], code + "000000"
    if code == PINGTAN:
        return _Site(full, PROVINCE + "000000", 2, "平潭综合实验区局", "平潭区局", name, name, "pingtan", PINGTAN, city.area)
    office = bureau(code, name)
    return _Site(full, city.code + "000000", 3, office, office, name, name, city.climate, city.code, city.area)


def _station_site(county: _Site, number: int, town: str, kind: str = "") -> _Site:
    """Station `number` of a county. Its code is synthetic: 9xx is no town code, so it cannot be taken for a real place."""
    code = f"{county.code[:6]}9{number:02d}000"
    name, short = f"{county.name}{town}所", f"{county.local}{town}所"
    return _Site(code, county.code, 4, name, short, county.place + town, town, county.climate, county.group, county.area, kind)


def small(seed: int = 1) -> Province:
    """The demo: 3 cities, 5 counties, 20 stations, 39 rooms, three edge gateways, one weather gateway per city."""
    build, rng = _Builder(seed), random.Random(f"towns/{seed}")
    fuzhou, xiamen = CITIES[0], CITIES[1]
    build.add(_province_site(), _STAFF[1][0], ("", "特藏", "阅览"))
    for city in (fuzhou, xiamen):
        build.add(_city_site(city), _STAFF[2][0], ("", "光盘"))
        build.add_weather(_city_site(city))
    plan = [
        (fuzhou, "350102", ("", "磁带", "胶片"), "edge", 4),
        (fuzhou, "350103", ("",), "fleet", 3),
        (fuzhou, "350181", ("", "特藏"), "fleet", 3),
        (xiamen, "350203", ("", "磁带", "胶片"), "edge", 4),
        (xiamen, "350206", ("",), "fleet", 3),
        (fuzhou, PINGTAN, ("", "磁带"), "edge", 3),
    ]
    for city, code, kinds, feed, stations in plan:
        county = _county_site(city, code)
        build.add(county, _STAFF[county.level][0], kinds, feed)
        if county.level == 2:
            build.add_weather(county)
        for index, town in enumerate(rng.sample(_TOWNS, stations)):
            build.add(_station_site(county, index + 1, town), _STAFF[4][0], ("",))
    return build.finish()


def full(seed: int = 1) -> Province:
    """The whole province: 1,310 units (1 + 10 + 82 + 1,217), 58,900 people, every gateway fed by the fleet."""
    build, rng = _Builder(seed), random.Random(f"towns/{seed}")
    counties = [_county_site(city, code) for city in CITIES for code in city.counties if code != JINMEN]
    counties.sort(key=lambda site: site.level)  # Pingtan, a city, before the counties
    build.add(_province_site(), _STAFF[1][1], ("", "", "特藏", "磁带", "光盘", "胶片", "整理", "数字", "机房", "阅览", "展览", "办公"))
    for site in [_city_site(city) for city in CITIES] + [c for c in counties if c.level == 2]:
        build.add(site, _STAFF[2][1], ("", "特藏", "磁带", "光盘", "整理", "阅览"))
        build.add_weather(site)
    third = itertools.cycle(("磁带", "数字", "阅览", "机房"))
    for site in counties:
        if site.level == 3:
            build.add(site, _STAFF[3][1], ("", "特藏", next(third)))
    extra = itertools.chain(itertools.repeat(1, _EXTRA_STATION_STAFF), itertools.repeat(0))
    for site in _stations(counties, rng):
        build.add(site, _STAFF[4][1] + next(extra), ("", "") if rng.random() < 0.33 else ("",))
    return build.finish()


def _stations(counties: Sequence[_Site], rng: random.Random) -> Iterator[_Site]:
    """One station per town, in proportion to the towns of each city, and the specialised ones spread over all counties."""
    shares = _apportion(_TOWN_STATIONS, [city.towns for city in CITIES])
    for city, share in zip(CITIES, shares, strict=True):
        members = [site for site in counties if site.code[:4] == city.code[:4]]
        for site, count in zip(members, _apportion(share, [1] * len(members)), strict=True):
            order = counties.index(site)
            specials = len(range(order, _SPECIAL_STATIONS, len(counties)))
            names = tuple(_SPECIAL)
            towns = [*rng.sample(_TOWNS, count), *(names[(order + k) % len(names)] for k in range(specials))]
            for index, town in enumerate(towns):
                yield _station_site(site, index + 1, town, _SPECIAL.get(town, "") if index >= count else "")


def _apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split a number in proportion to weights by largest remainder."""
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim province`."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where units.csv, people.csv, rooms.csv and the others go")
    parser.add_argument("--full", action="store_true", help="the whole province instead of the demo's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=date.fromisoformat, default=None, metavar="DAY", help="calibrations lie around this day; default: today")


def main(args: argparse.Namespace) -> int:
    """Write the files and print how many rows they have."""
    made = full(args.seed) if args.full else small(args.seed)
    write(made, args.output)
    books = province_books.make(made, args.seed, args.today or datetime.now(ZoneInfo("Asia/Shanghai")).date())
    province_books.write(books, args.output)
    counts = {"units": len(made.units), "people": len(made.people), "rooms": len(made.rooms), "points": len(made.points)}
    counts |= {"sheets": len(books.sheets), "holdings": len(books.holdings), "calibrations": len(books.calibrations)}
    print(json.dumps({"folder": str(args.output), **counts}, ensure_ascii=False))
    return 0
