"""What a province knows of its rooms beside their rows: the sheet at the door (一室一卡), what is kept inside, and the calibrations of the sensors.

Made up throughout, and the same for the same seed and day.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from simulators.province_rows import Person, Point, Province, Room, write_rows

_YEAR: Final = timedelta(days=365)
_MEASURED: Final = ("temperature", "humidity")
# title -> first year and the usual number of volumes
_FONDS: Final[Mapping[str, tuple[int, int]]] = {
    "文书档案": (1951, 4_000),
    "户籍档案": (1953, 9_000),
    "刑事案件档案": (1958, 6_000),
    "治安案件档案": (1987, 12_000),
    "干部人事档案": (1952, 1_500),
    "会计档案": (1986, 3_000),
    "基建与设备档案": (1979, 800),
    "出入境档案": (1986, 5_000),
    "交通事故档案": (1988, 4_000),
    "奖章与实物档案": (1955, 300),
}
_OF_MEDIUM: Final[Mapping[str, Sequence[str]]] = {
    "magnetic": ("声像磁带", "办案同录磁带"),
    "optical": ("数字化备份光盘", "执法记录光盘"),
    "film_copy": ("缩微胶片（拷贝）",),
    "special": ("珍贵档案", "荣誉实物"),
}


class Sheet(NamedTuple):
    """The sheet of a room; the fields are columns of the server's import."""

    room: str
    power_switch: str
    water_valve: str
    keys: str
    gas_extinguishing: str
    fire_phone: str
    spare_keys: str
    lock_without_power: str
    compact_shelving: str
    cover_sheets: str
    dehumidifier: str
    air_conditioner: str
    salvage_order: str
    dangers: str
    materials: str
    contacts: str


class Holding(NamedTuple):
    """A fonds in a room; `rank` 1 is saved first."""

    room: str
    fonds: str
    name: str
    volumes: int
    years: str
    rank: int
    place: str


class Calibration(NamedTuple):
    """A calibration of the sensor behind a point; days as 2026-11-05."""

    gateway: str
    device: str
    quantity: str
    channel: str
    serial: str
    certificate: str
    laboratory: str
    calibrated_at: str
    valid_until: str


@dataclass(frozen=True, slots=True)
class Books:
    """Sheets, holdings and calibrations of a province."""

    sheets: tuple[Sheet, ...]
    holdings: tuple[Holding, ...]
    calibrations: tuple[Calibration, ...]


def make(province: Province, seed: int, today: date) -> Books:
    """Sheets of all rooms, holdings of the stores, calibrations of what measures climate: most valid, some due soon, a few over."""
    dice = random.Random(f"books/{seed}")
    people = {person.code: person for person in province.people}
    holdings = {room.code: tuple(_holdings(room, dice)) for room in province.rooms}
    sheets = tuple(_sheet(room, people[room.person], holdings[room.code], dice) for room in province.rooms)
    calibrations = tuple(_calibration(point, dice, today) for point in province.points if point.quantity in _MEASURED and point.room)
    return Books(sheets, tuple(held for found in holdings.values() for held in found), calibrations)


def write(books: Books, folder: Path) -> None:
    """Write sheets.csv, holdings.csv and calibrations.csv into an existing folder."""
    write_rows(folder / "sheets.csv", Sheet._fields, books.sheets)
    write_rows(folder / "holdings.csv", Holding._fields, books.holdings)
    write_rows(folder / "calibrations.csv", Calibration._fields, books.calibrations)


def _holdings(room: Room, dice: random.Random) -> Iterator[Holding]:
    if room.kind != "store":
        return
    names = _OF_MEDIUM.get(room.medium) or dice.sample(list(_FONDS), dice.randint(2, 5))
    for rank, name in enumerate(names, 1):
        first, usual = _FONDS.get(name, (1990, 1_200))
        volumes = round(usual * dice.uniform(0.2, 1.6))
        years = f"{first}—{dice.randint(2005, 2025)}"
        yield Holding(room.code, f"J{dice.randint(1, 399):03d}", name, volumes, years, rank, f"{rank} 区 1—{3 + volumes // 1500} 列")


def _sheet(room: Room, keeper: Person, holdings: Sequence[Holding], dice: random.Random) -> Sheet:
    side = dice.choice("左右")
    gas = f"门外{side}侧，七氟丙烷，喷放前人员撤离" if room.kind in ("store", "server_room") else "无，门口有灭火器 2 具"
    order = "；".join(f"{held.rank} {held.name}" for held in holdings) or "人员先撤离"
    return Sheet(
        room=room.code,
        power_switch=f"走廊{side}侧配电箱 {dice.randint(1, 12)} 号空开",
        water_valve=f"{dice.choice('东西')}侧管道井",
        keys=f"值班室钥匙柜 {int(room.code[-2:])} 号",
        gas_extinguishing=gas,
        fire_phone=f"0{dice.randint(591, 599)}-0{dice.randint(100_000, 999_999)}",
        spare_keys="档案部门负责人保管",
        lock_without_power=dice.choice(("断电自动打开", "断电保持锁闭，用机械钥匙")),
        compact_shelving="手动，先查通道内无人",
        cover_sheets="进门右手柜内",
        dehumidifier="排水管接地漏，满水自动停",
        air_conditioner="遥控器在门边",
        salvage_order=order,
        dangers="密集架移动时勿站在列间",
        materials="防水布 6 块、沙袋 10 个",
        contacts=f"{keeper.name} {keeper.phone}",
    )


def _calibration(point: Point, dice: random.Random, today: date) -> Calibration:
    made = today - timedelta(days=dice.choice((*range(20, 340, 8), 340, 350, 360, 366)))
    serial, certificate = f"SN{dice.randint(10**7, 10**8 - 1)}", f"JZ-{made.year}-{dice.randint(1, 99_999):05d}"
    until = made + _YEAR - timedelta(days=1)
    return Calibration(
        point.gateway, point.device, point.quantity, point.channel, serial, certificate, "省计量院（模拟）", made.isoformat(), until.isoformat()
    )
