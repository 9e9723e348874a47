"""The past of a province: a Parquet file of regular readings with the holes that a real one has, for `archivewatch import history`.

Columns: point_key (`gateway/device/quantity`), time (int64, UTC ms), value (double), quality (good, uncertain or bad; bad has no value).
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from contract.quantities import Kind, quantity
from simulators.faults import PERFECT, SENSORS
from simulators.noise import Floats, Ints, gauss, normal, uniform
from simulators.plant import Plant
from simulators.province import small
from simulators.province_rows import Point, Province, room_spec
from simulators.weather import DAY, HOUR, Weather, first_instant

Flags = npt.NDArray[np.bool_]
_QUALITIES: Final = ("good", "uncertain", "bad")
_CLIMATE: Final = ("temperature", "humidity")
_AT_REST: Final = ("smoke", "leak", "camera", "picture_age")


@dataclass(frozen=True, slots=True)
class _Column:
    """One point's past: instants, values, and codes into _QUALITIES."""

    time: Ints
    value: Floats
    quality: npt.NDArray[np.int8]


def instants(until_ms: int, days: float, step_s: int) -> Ints:
    """Multiples of the step, the last not after `until_ms`, `days` back. Raises ValueError when there is none."""
    step = step_s * 1000
    if step <= 0 or days <= 0:
        raise ValueError("days and step must be positive")
    last = until_ms // step * step
    times = np.arange(last - int(days * DAY) // step * step + step, last + 1, step, dtype=np.int64)
    if not times.size:
        raise ValueError(f"{days} days hold no step of {step_s} s")
    return times


def write(province: Province, path: Path, times: Ints, seed: int) -> int:
    """Write the readings of every point at `times` (ascending) and return their number. Raises ValueError for a province without points."""
    if not province.points:
        raise ValueError("a province without points has no past")
    rows = 0
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE past (point_key VARCHAR, time BIGINT, value DOUBLE, quality VARCHAR)")
        for point, column in _columns(province, times, seed):
            found = {"time": column.time, "value": column.value, "quality": column.quality}
            connection.register("found", found)
            sql = "INSERT INTO past SELECT ?, time, CASE WHEN quality < 2 THEN value END, list_extract(?, quality + 1) FROM found"
            connection.execute(sql, [str(point.key), list(_QUALITIES)])
            connection.unregister("found")
            rows += len(column.time)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection.execute("COPY (FROM past) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
    return rows


def _columns(province: Province, times: Ints, seed: int) -> Iterator[tuple[Point, _Column]]:
    truth = _truth(province, times, seed)
    outages = {gateway: _outages(seed, gateway, group, times) for gateway, group in {(p.gateway, p.group) for p in province.points}}
    for point in province.points:
        where = (point.room or point.unit, point.quantity)
        measured = _measured(truth.get(where, np.zeros(len(times))), point, times, seed)
        yield point, _judged(measured, point, times, ~outages[point.gateway], seed)


def _truth(province: Province, times: Ints, seed: int) -> dict[tuple[str, str], Floats]:
    """The true values by (room or, outdoors, unit; quantity). What is missing was at rest all the time: smoke, leak, camera."""
    plant = Plant([room_spec(room) for room in province.rooms], seed=seed, start_ms=int(times[0]))
    wanted = {(p.room, p.quantity) for p in province.points if p.room and p.quantity not in (*_CLIMATE, *_AT_REST)}
    climate = {name: np.empty((len(times), len(plant.rooms))) for name in _CLIMATE}
    truth = {where: np.empty(len(times)) for where in wanted}
    for row, at in enumerate(times):
        plant.advance(int(at))
        for name in _CLIMATE:
            climate[name][row] = plant.values(name)
        for where in wanted:
            truth[where][row] = plant.value(*where)
    truth |= {(spec.code, name): climate[name][:, i] for i, spec in enumerate(plant.rooms) for name in _CLIMATE}
    for unit in {p.unit for p in province.points if not p.room}:
        outdoor = Weather(unit, seed).series(times)
        truth |= {(unit, "temperature"): outdoor.temperature_c, (unit, "humidity"): outdoor.humidity_percent}
    return truth


def _measured(truth: Floats, point: Point, times: Ints, seed: int) -> Floats:
    """What the sensor reported: bias, noise and resolution of simulators.faults; its lag is shorter than a step."""
    sensor = SENSORS.get(point.quantity, PERFECT)
    if quantity(point.quantity).kind is Kind.STATE or sensor is PERFECT:
        return truth
    name = str(point.key)
    bias = sensor.bias * min(max(gauss(seed, f"{name}/bias", 0) / 2.0, -1.0), 1.0)
    noisy = truth + bias + sensor.sigma * normal(seed, name, times // 1000)
    result: Floats = np.round(np.clip(noisy, None, sensor.ceiling) / sensor.resolution) * sensor.resolution
    return np.round(result, 4)


def _judged(values: Floats, point: Point, times: Ints, present: Flags, seed: int) -> _Column:
    """Drop what an outage swallowed; a probe fails now and then (bad), and reads doubtfully above 95 %RH or just before it fails (uncertain)."""
    name = f"past/{point.key}"
    failing = _spells(seed, f"{name}/bad", times, every_days=25.0, shortest_h=0.2, longest_h=3.0)
    doubtful = np.append(failing[1:], False) & ~failing
    if point.quantity == "humidity":
        doubtful |= values > 95.0
    quality = np.where(failing, 2, np.where(doubtful, 1, 0)).astype(np.int8)
    return _Column(times[present], values[present], quality[present])


def _outages(seed: int, gateway: str, group: str, times: Ints) -> Flags:
    """When nothing of a gateway arrived: its own line, and once in a while the power or the network of the whole city (its group)."""
    own = _spells(seed, f"past/{gateway}/line", times, every_days=12.0, shortest_h=0.3, longest_h=7.0)
    return own | _spells(seed, f"past/{group}/power", times, every_days=45.0, shortest_h=1.0, longest_h=4.0)


def _spells(seed: int, stream: str, times: Ints, *, every_days: float, shortest_h: float, longest_h: float) -> Flags:
    """Random spells: each day begins one with probability 1/every_days. A function of the calendar day, so two files of one seed agree."""
    hit = np.zeros(len(times), dtype=np.bool_)
    for day in range(int(times[0]) // DAY - 1, int(times[-1]) // DAY + 1):
        chance, hour, length = uniform(seed, stream, np.array([3 * day, 3 * day + 1, 3 * day + 2], dtype=np.int64))
        if chance < 1.0 / every_days:
            start = day * DAY + int(hour * DAY)
            end = start + int((shortest_h + length * (longest_h - shortest_h)) * HOUR)
            hit |= (times >= start) & (times < end)
    return hit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim history`."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where history.parquet goes")
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--step", type=int, default=600, metavar="S", help="seconds between readings")
    parser.add_argument("--until", type=datetime.fromisoformat, metavar="ISO", help="last instant; without zone: Asia/Shanghai (default: now)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--province", type=Path, metavar="DIR", help="files of `province` (default: the demo's, of the same seed)")


def main(args: argparse.Namespace) -> int:
    """Write the file and print what it holds. 2 for options that do not fit, 3 when the province's files are missing."""
    began = time.monotonic()
    try:
        province = small(args.seed) if args.province is None else Province.load(args.province)
        times = instants(first_instant(args.until), args.days, args.step)
        rows = write(province, args.output / "history.parquet", times, args.seed)
    except OSError as error:
        print(json.dumps({"error": str(error)}, ensure_ascii=False))
        return 3
    except (ValueError, TypeError, KeyError) as error:
        print(json.dumps({"error": str(error)}, ensure_ascii=False))
        return 2
    told = {"file": str(args.output / "history.parquet"), "rows": rows, "points": len(province.points), "seconds": round(time.monotonic() - began, 2)}
    print(json.dumps(told, ensure_ascii=False))
    return 0
