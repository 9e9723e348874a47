"""The series store beside InfluxDB 1.6 and VictoriaMetrics on the same data in one run, then alone: a year of a room, the whole province, the loop.

Full: 500 rooms × 6 points × 30 days at a minute (129.6 million samples), the province (1,916 rooms) at 5 minutes; `quick`: 20 rooms, 10 days, and a
fifth of the province. Questions go to another room each time, the same rooms for all; the figure is the median.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import history_http
from benchmarks.figures import Row, row, spread, took_ms
from benchmarks.history_alone import import_figures, loop_figures
from benchmarks.series_data import HOUR, MINUTE, START, Plan, days
from benchmarks.series_peers import Influx, Ours, Peer, Victoria
from server.series.partition import DAY_MS

TIMES = 7
PROVINCE_ROOMS, PROVINCE_POINTS = 1_916, 4


def run(folder: Path, quick: bool) -> dict[str, Any]:
    """All figures; see the module."""
    plan = Plan(20, 10) if quick else Plan(500, 30)
    stores, missing = _stores(folder, plan)
    try:
        written = _write_all(stores, plan)
        asked = {store.name: _ask(store, plan) for store in stores}
    finally:
        for store in stores:
            store.close()
    alone = _year(folder / "year", quick) | _province(folder / "province", quick)
    http = history_http.figures(folder / "http", min(plan.rooms, 20), plan.days)
    rows = [*_written_rows(written), *_asked_rows(asked), *_http_rows(http, asked), *(_goal(*each) for each in _goals(written, asked, alone))]
    details = {"samples": plan.samples, "written": written, "asked": asked, "http": http, "alone": alone}
    more = {"loop": loop_figures(folder / "loop", 100 if quick else 400), "import": import_figures(folder / "import", 10 if quick else 40)}
    return {"rows": rows, **details, **more} | ({"missing": "; ".join(missing)} if missing else {})


def _stores(folder: Path, plan: Plan) -> tuple[list[Peer], list[str]]:
    stores: list[Peer] = [Ours(folder, plan)]
    missing = []
    for kind in (Victoria, Influx):
        try:
            stores.append(kind(folder, plan))
        except FileNotFoundError as absent:
            missing.append(str(absent))
    return stores, missing


def _write_all(stores: list[Peer], plan: Plan) -> dict[str, dict[str, float]]:
    """Each day to each store in turn, so that a change of load meets all; then each comes to rest and is weighed."""
    spent = dict.fromkeys([store.name for store in stores], 0.0)
    for day in days(plan):
        for store in stores:
            spent[store.name] += store.take(day)
    found = {}
    for store in stores:
        rest = store.settle()
        found[store.name] = {
            "samples_per_s": plan.samples / spent[store.name] * 1000,
            "rest_s": rest / 1000,
            "samples_per_s_with_rest": plan.samples / (spent[store.name] + rest) * 1000,
            "bytes_per_sample": store.size() / plan.samples,
        }
        if isinstance(store, Ours):
            found[store.name]["bytes_per_sample_without_rollups"] = store.store.stats().bytes / plan.samples
    return found


def _ask(store: Peer, plan: Plan) -> dict[str, dict[str, float]]:
    """Milliseconds of every question. Raises AssertionError when a store does not answer it in full."""
    end, three = plan.end, START + 3 * DAY_MS
    expected: dict[str, tuple[Callable[[int], int], int | None]] = {
        "one series, raw, 3 days": (lambda n: store.raw(plan.room(31 * n)[:1], START, three), 3 * DAY_MS // plan.step_ms),
        "one room, raw, the month": (lambda n: store.raw(plan.room(37 * n), START, end), plan.samples // plan.rooms),
        "one room, hourly, the month": (lambda n: store.hourly(plan.room(41 * n), START, end), plan.points_of_room * plan.days * 24),
        "all series, daily share in band": (lambda _: store.shares(START, end), None),
        "all series, newest value": (lambda _: store.newest(end), plan.points),
    }
    found = {}
    for question, (ask, count) in expected.items():
        if count is not None and (got := ask(0)) != count:
            raise AssertionError(f"{store.name} answers “{question}” with {got} values instead of {count}")
        found[question] = _median(ask)
    return found


def _median(ask: Callable[[int], object], times: int = TIMES) -> dict[str, float]:
    return spread([took_ms(partial(ask, number)) for number in range(1, times + 1)])


def _year(folder: Path, quick: bool) -> dict[str, Any]:
    """One year of a few rooms, merged to months: a room of it in hours, and a month of it raw."""
    plan = Plan(3, 365, 10 * MINUTE if quick else MINUTE)
    folder.mkdir()
    ours = Ours(folder, plan)
    try:
        for day in days(plan):
            ours.take(day)
        ours.store.compact(plan.end + 60 * DAY_MS)
        month = START + 30 * DAY_MS
        return {
            "year_hourly_ms": _median(lambda n: ours.hourly(plan.room(n), START, plan.end)),
            "year_month_raw_ms": _median(lambda n: ours.raw(plan.room(n), month, month + 30 * DAY_MS)),
            "year_files": ours.store.stats().files,
        }
    finally:
        ours.close()


def _province(folder: Path, quick: bool) -> dict[str, Any]:
    """Every room of the province for a month: write, compact, compliance of all, bytes."""
    folder.mkdir()
    plan = Plan(PROVINCE_ROOMS // 5 if quick else PROVINCE_ROOMS, 30, 30 * MINUTE if quick else 5 * MINUTE, PROVINCE_POINTS)
    ours = Ours(folder, plan)
    try:
        wrote = sum(ours.take(day) for day in days(plan))
        rest = ours.settle()
        limits = plan.limits()
        return {
            "province_rooms": plan.rooms,
            "province_samples": plan.samples,
            "province_samples_per_s": plan.samples / wrote * 1000,
            "province_compact_s": rest / 1000,
            "province_bytes_per_sample": ours.store.stats().bytes / plan.samples,
            "province_month_compliance_ms": _median(lambda _: ours.store.figures(limits, START, plan.end)),
            "province_month_hourly_of_a_room_ms": _median(lambda n: ours.store.figures(plan.limits(plan.room(n)), START, plan.end, HOUR)),
        }
    finally:
        ours.close()


def _written_rows(written: dict[str, dict[str, float]]) -> list[Row]:
    ours = written[Ours.name]
    rows = []
    for name, peer in written.items():
        if name != Ours.name:
            for key, unit in (("samples_per_s", "/s"), ("samples_per_s_with_rest", "/s"), ("bytes_per_sample", "B")):
                words = {"samples_per_s": "samples written", "samples_per_s_with_rest": "… until compacted", "bytes_per_sample": "bytes per sample"}
                rows.append(row(words[key], ours[key], unit, name, peer[key]))
    return rows


def _asked_rows(asked: dict[str, dict[str, dict[str, float]]]) -> list[Row]:
    peers = [name for name in asked if name != Ours.name]
    return [row(question, mine["p50"], "ms", name, asked[name][question]["p50"]) for question, mine in asked[Ours.name].items() for name in peers]


def _http_rows(http: dict[str, dict[str, float]], asked: dict[str, dict[str, dict[str, float]]]) -> list[Row]:
    """Ours over our own HTTP interface, beside peers that were asked the same."""
    return [
        row(f"over our HTTP: {question}", mine["p50"], "ms", name, peer[question]["p50"])
        for question, mine in http.items()
        for name, peer in asked.items()
        if name != Ours.name and question in peer
    ]


def _goals(
    written: dict[str, dict[str, float]], asked: dict[str, dict[str, dict[str, float]]], alone: dict[str, Any]
) -> list[tuple[str, float, str, float]]:
    return [
        ("goal: bytes per sample, roll-ups included", written[Ours.name]["bytes_per_sample"], "B", 0.5),
        ("goal: bytes per sample, without roll-ups", written[Ours.name]["bytes_per_sample_without_rollups"], "B", 0.5),
        ("goal: samples written", written[Ours.name]["samples_per_s"], "/s", 1_000_000),
        ("goal: one room, one year, hourly", alone["year_hourly_ms"]["p50"], "ms", 50),
        ("goal: one room, one month, raw", asked[Ours.name]["one room, raw, the month"]["p50"], "ms", 150),
        ("goal: province, one month, compliance of all", alone["province_month_compliance_ms"]["p50"], "ms", 1_000),
    ]


def _goal(figure: str, value: float, unit: str, goal: float) -> Row:
    return row(figure, value, unit, "the goal", goal)
