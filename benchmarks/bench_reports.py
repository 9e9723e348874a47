"""Papers out of a filled store: the year report of a unit, and the registers of every room of the province for a month.

The store holds a month of the province (1,916 rooms; `quick`: 150) and a year of the six rooms of one unit. Beside the whole stands typst alone.
"""

import resource
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.figures import row, took_ms
from benchmarks.series_data import MINUTE
from server.pool import Pool
from server.reports import kinds
from server.reports.desk import Desk, Wanted
from server.reports.period import midnight
from server.reports.sources import ReportSettings, Sources
from server.series import Limits
from server.series.batch import Batch
from server.series.embedded import EmbeddedStore
from server.store.session import Database
from server.store.tables import Base, Gateway, Point, Room, Unit
from server.store.tables_papers import ExportJob

TOP, UNIT = "350000000000", "350102000000"
YEAR, MONTH = 2025, "2025-12"
UNIT_ROOMS, PROVINCE_ROOMS, STEP = 6, 1_916, 10 * MINUTE
NOW = midnight(date(2026, 2, 1))
BANDS = {"temperature": (14.0, 24.0), "humidity": (45.0, 60.0)}


def run(folder: Path, quick: bool) -> dict[str, Any]:
    """All figures; see the module."""
    rooms = 150 if quick else PROVINCE_ROOMS
    db = Database(f"sqlite:///{folder / 'aw.db'}")
    store = EmbeddedStore(folder / "series", memory_limit="2GB")
    pool = Pool()
    try:
        _people(db, rooms)
        _fill(store, rooms)
        sources = Sources(db=db, store=store, bands=lambda _room: BANDS, generator="bench", settings=ReportSettings())
        desk = Desk(sources, pool, folder / "papers")
        pool.run(int)  # the worker is there, as it is in a server that runs
        return _measure(desk, pool, rooms)
    finally:
        pool.close()
        store.close()
        db.close()


class Took(NamedTuple):
    """ms by the clock, and ms of CPU of this process and the worker: on a busy machine only the second says much."""

    ms: float
    cpu_ms: float


def _measure(desk: Desk, pool: Pool, rooms: int) -> dict[str, Any]:
    year = {kind: _order(desk, pool, kind, UNIT, str(YEAR)) for kind in kinds.KINDS if kind not in ("scorecard", "changes")}
    province, scaled = _order(desk, pool, "register", TOP, MONTH, "zip"), PROVINCE_ROOMS / rooms
    rows = [
        row(f"{kinds.KINDS[kind].title}, a unit's year, PDF", took.ms, "ms", "the goal", 3_000, cpu_ms=round(took.cpu_ms))
        for kind, took in year.items()
    ]
    rows.append(
        row(
            f"registers of {rooms} rooms, a month, a ZIP of PDFs",
            province.ms / 1000,
            "s",
            "the goal, as many rooms",
            60 / scaled,
            cpu_ms=round(province.cpu_ms),
        )
    )
    return {"rows": rows, "rooms": rooms, "a_unit_has_rooms": UNIT_ROOMS, "peak_mb_of_this_process": _peak_mb()}


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _order(desk: Desk, pool: Pool, kind: str, code: str, period: str, ending: str = "pdf") -> Took:
    """From the order to the finished file. Raises RuntimeError when it did not come."""
    made: list[ExportJob] = []
    before = time.process_time() + pool.run(time.process_time)
    took = took_ms(lambda: made.append(desk.make_now(Wanted(kind=kind, code=code, period=period, ending=ending, by="bench", options={}), NOW)))
    if made[0].state != "done":
        raise RuntimeError(made[0].error)
    return Took(took, 1000 * (time.process_time() + pool.run(time.process_time) - before))


def _people(db: Database, rooms: int) -> None:
    """Units of six rooms, the first of which is the one whose year is reported."""
    Base.metadata.create_all(db.engine)
    with db.write() as session:
        session.add(Unit(code=TOP, parent=None, level=1, name="福建省局", short_name="省局"))
        session.flush()
        codes = [UNIT, *(f"3502{number:08d}" for number in range(-(-rooms // UNIT_ROOMS) - 1))]
        session.add_all(Unit(code=code, parent=TOP, level=3, name=f"单位{code}", short_name=code) for code in codes)
        session.flush()
        session.add_all(Gateway(code=f"GW{code}", group_id="350100", unit=code, name=f"网关{code}") for code in codes)
        session.flush()
        for room in range(rooms):
            unit = codes[room // UNIT_ROOMS]
            code = f"{unit}-{room % UNIT_ROOMS + 1:02d}"
            session.add(Room(code=code, unit=unit, name=f"{room}号库房", short_name=f"{room}号", sms_place=f"{room}号库"))
            session.flush()
            for offset, quantity in enumerate(BANDS):
                ident = 2 * room + offset + 1
                session.add(
                    Point(id=ident, gateway=f"GW{unit}", device=f"th{room}", quantity=quantity, room=code, unit="", interval_ms=STEP, created_at=0)
                )


def _fill(store: EmbeddedStore, rooms: int) -> None:
    """A year of the unit, and December of all."""
    deadline = ReportSettings().deadline_ms(STEP)
    store.set_limits({2 * room + n + 1: Limits(deadline, *band) for room in range(rooms) for n, band in enumerate(BANDS.values())})
    for month in range(1, 13):
        first = date(YEAR, month, 1)
        days = (date(YEAR + month // 12, month % 12 + 1, 1) - first).days
        points = 2 * (rooms if month == 12 else UNIT_ROOMS)
        for day in range(days):
            store.write(_day(points, midnight(first + timedelta(days=day))))
        store.compact(midnight(first + timedelta(days=days + 1)))
    store.compact(NOW)


def _day(points: int, start: int) -> Batch:
    instants = 24 * 60 * MINUTE // STEP
    taken = start + np.repeat(np.arange(instants, dtype=np.int64) * STEP, points)
    point = np.tile(np.arange(1, points + 1, dtype=np.int64), instants)
    swing = np.sin(taken / 86_400_000 * 2 * np.pi) + 3 * np.sin(taken / 86_400_000 / 58)
    value = np.round(np.where(point % 2 == 1, 21 + swing, 55 + 4 * swing + point % 7), 1)
    return Batch(point, taken, value, np.full(len(point), 2, np.uint8), taken + 500, np.zeros(len(point), np.int32))
