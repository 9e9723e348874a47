"""The four main tables that describe a province, as rows and as CSV files that `archivewatch import` loads (UTF-8 with byte-order mark)."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from contract.sample import PointKey
from simulators.rooms import RoomSpec


class Unit(NamedTuple):
    """A unit of the organisation; `level` 1 province to 4 station, `parent` '' at the top, `kind` '' for a territorial one."""

    code: str
    parent: str
    level: int
    name: str
    short_name: str
    duty_phone: str
    kind: str = ""


class Person(NamedTuple):
    """A person; `duty` is duty_officer, person_in_charge, archive_head, inspector or ''."""

    code: str
    name: str
    phone: str
    unit: str
    duty: str


class Room(NamedTuple):
    """A room; `demanded` joins quantities by ';', `person` is the code of the person in charge."""

    code: str
    unit: str
    name: str
    short_name: str
    sms_place: str
    kind: str
    medium: str
    stage: str
    city: str
    demanded: str
    person: str
    location: str = ""


class Point(NamedTuple):
    """A measured point. `feed` tells who sends it: edge (a real gateway process), fleet or weather (the fleet simulator); `room` '' outdoors."""

    gateway: str
    gateway_name: str
    unit: str
    group: str
    device: str
    profile: str
    quantity: str
    channel: str
    room: str
    interval_s: int
    klass: str
    feed: str

    @property
    def key(self) -> PointKey:
        """The identity of the point."""
        return PointKey(self.gateway, self.device, self.quantity, self.channel)


@dataclass(frozen=True, slots=True)
class Province:
    """Units (parents first), people, rooms and points."""

    units: tuple[Unit, ...]
    people: tuple[Person, ...]
    rooms: tuple[Room, ...]
    points: tuple[Point, ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the four files that `write` made. Raises OSError, or KeyError and ValueError for other tables."""
        return cls(
            tuple(Unit(level=int(row.pop("level")), **row) for row in read_rows(folder / "units.csv")),
            tuple(Person(**row) for row in read_rows(folder / "people.csv")),
            tuple(Room(**row) for row in read_rows(folder / "rooms.csv")),
            load_points(folder / "devices.csv"),
        )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of one CSV file by column name."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def load_points(path: Path) -> tuple[Point, ...]:
    """Read devices.csv. Raises OSError, ValueError or TypeError for another table."""
    return tuple(Point(interval_s=int(row.pop("interval_s")), **row) for row in read_rows(path))


def load_rooms(path: Path) -> tuple[Room, ...]:
    """Read rooms.csv. Raises OSError, TypeError for another table."""
    return tuple(Room(**row) for row in read_rows(path))


def write(province: Province, folder: Path) -> None:
    """Write units.csv, people.csv, rooms.csv and devices.csv into a folder (made if missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "units.csv", Unit._fields, province.units)
    write_rows(folder / "people.csv", Person._fields, province.people)
    write_rows(folder / "rooms.csv", Room._fields, province.rooms)
    write_points(province.points, folder / "devices.csv")


def write_points(points: Iterable[Point], path: Path) -> None:
    """Write devices.csv."""
    write_rows(path, Point._fields, points)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one CSV file with a header (UTF-8 with byte-order mark)."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def room_spec(room: Room) -> RoomSpec:
    """How the simulated room is equipped: climate plant after its medium; of the stations one in six has only a window and office-hours cooling."""
    if room.unit[6:] != "000000" and sum(map(int, room.unit[:9])) % 6 == 0:
        return RoomSpec(room.code, room.city, dehumidifier=None, humidifier=None, cooling=25.0, cooling_hours="office", heating=None)
    cooling, heating, dry, damp = _CLIMATE.get(room.medium, (22.0, 16.0, 53.0, 47.0))
    return RoomSpec(room.code, room.city, dehumidifier=dry, humidifier=damp, cooling=cooling, heating=heating)


# cooling, heating (°C), dehumidifier, humidifier (%RH) well inside the band of the medium
_CLIMATE = {
    "special": (18.5, 15.5, 52.0, 48.0),
    "magnetic": (21.0, 17.0, 52.0, 45.0),
    "film_copy": (21.0, 17.0, 52.0, 45.0),
    "optical": (18.5, 16.5, 41.0, 30.0),
    "reading": (25.0, 20.0, 58.0, 40.0),
}
