"""Data exports of history: the samples or steps of one room (or several) over a period, as CSV, JSON lines in a list, XLSX or PDF.

Rows are written day by day, so that a year of raw samples needs the memory of a day; XLSX and PDF are made from the rows in the worker process.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import structs
from sqlalchemy.orm import Session

from contract.quantities import QUANTITIES
from server.org import sources as found_in
from server.reports import derived_export
from server.reports.derived_export import DerivedPoint, DerivedRow
from server.reports.paper import Column, Paper, Progress, Sheet, Table, sealed
from server.reports.period import DAY_MS, local, parse_period
from server.reports.render import render
from server.reports.render.parts import origin
from server.reports.sources import Sources, held
from server.safe_cells import harmless
from server.series import Limits
from server.series.derived import DERIVED, Air
from server.store.tables import Point, Room, Unit
from server.store.tables_papers import ExportJob

HEAD = ("时间（北京时间）", "UTC", "库房", "测点", "测量量", "单位", "最低", "平均", "最高", "有数据（秒）", "质量")
MOST_XLSX, MOST_PDF = 1_000_000, 4_000
_QUALITY = ("无效", "存疑", "有效", "过期")
Row = tuple[str, str, str, str, str, str, float | None, float | None, float | None, float | None, str]


class _Point(NamedTuple):
    ident: int
    room: str
    key: str
    quantity: str
    limits: Limits


def product(sources: Sources, runner: Any, job: ExportJob, target: Path, progress: Progress) -> str:
    """Write the file of an order; the digest is that of its rows as CSV. Raises ValueError when there are too many for XLSX or PDF."""
    points, start, end, step = _asked(sources, job)
    airs, limits = _airs(sources, job)
    rows = target.with_suffix(".rows")
    derived = map(_derived, derived_export.rows(sources, airs, limits, _quantities(job), (start, end), step))
    count, digest = _write_csv(rows, chain(_rows(sources, points, start, end, step, progress), derived))
    try:
        paper = _paper(sources, job, start, end)
        if job.ending == "csv":
            _sign(rows, origin(paper))
            rows.replace(target)
        elif job.ending == "json":
            _to_json(rows, target)
        elif job.ending == "xlsx":
            if count > MOST_XLSX:
                raise ValueError(f"共 {count} 行，超过 Excel 一张表能放的行数，请改用 CSV 或缩短时间。")
            runner.run(to_xlsx, rows, target, origin(paper))
        elif job.ending == "pdf":
            if count > MOST_PDF:
                raise ValueError(f"共 {count} 行，PDF 最多 {MOST_PDF} 行，请加大间隔或改用 CSV。")
            target.write_bytes(runner.run(to_pdf, rows, paper, sources.settings.forms))
        else:
            raise ValueError("历史数据只能导出为 CSV、XLSX、JSON 或 PDF。")
    finally:
        rows.unlink(missing_ok=True)
    return digest


def to_xlsx(rows: Path, target: Path, made: str) -> None:
    """A workbook of the rows; `made` says by whom and when, on every printed page and below the rows. Text is never taken for a formula."""
    import xlsxwriter  # noqa: PLC0415 - in the worker process, where it is used

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(target), options) as book:
        page = book.add_worksheet("历史数据")
        page.freeze_panes(1, 0)
        page.set_landscape()
        page.set_paper(9)
        page.fit_to_pages(1, 0)
        page.repeat_rows(0)
        page.set_footer(f"&L&8{made.replace('&', '&&')}&R&8第 &P 页 共 &N 页")
        index = 0
        page.set_column(0, len(HEAD) - 1, 16)
        for index, row in enumerate(_read(rows)):
            for column, value in enumerate(row):
                if index and 6 <= column <= 9 and value:
                    page.write_number(index, column, float(value))
                else:
                    page.write_string(index, column, value)
        page.write_string(index + 1, 0, made)


def to_pdf(rows: Path, paper: Paper, forms: Path | None) -> bytes:
    """The rows as a table, by the operator's form where there is one."""
    cells = tuple((row[0], row[3], row[4], *(float(v) if v else None for v in row[6:9]), row[10]) for row in islice(_read(rows), 1, None))
    columns = (
        Column(title="时间", width=1.6),
        Column(title="测点", width=2.4, align="left"),
        Column(title="测量量"),
        Column(title="最低"),
        Column(title="平均"),
        Column(title="最高"),
        Column(title="质量", missing=""),
    )
    sheet = Sheet(
        title="库房历史数据", subject=paper.subject, pairs=(("时段", paper.period_label),), blocks=(Table(columns=columns, rows=cells, small=True),)
    )
    return render(sealed(structs.replace(paper, sheets=(sheet,))), "pdf", forms)


def _asked(sources: Sources, job: ExportJob) -> tuple[list[_Point], int, int, int | None]:
    """Points, range and step of an order; `options`: from, to (UTC ms), step (seconds, 0 raw), quantities, rooms."""
    period, options = parse_period(job.period), job.options
    start, end = int(options.get("from", period.since)), int(options.get("to", period.until))
    step = int(options.get("step", 0)) * 1000 or None
    quantities = [name for name in _quantities(job) if name in QUANTITIES]
    if not _quantities(job):
        raise ValueError("没有可导出的测量量。")
    points: dict[int, _Point] = {}
    with sources.db.read() as session:
        for code in _codes(job):
            room = session.get(Room, code)
            if room is None:
                continue
            bands = sources.bands(room)
            for quantity in quantities:
                for source in found_in.sources(session, code, quantity):
                    low, high = (None, None) if source.outdoor else bands.get(quantity, (None, None))
                    limits = _held(sources, session, [source.ident])[source.ident]._replace(low=low, high=high)
                    points.setdefault(source.ident, _Point(source.ident, code, source.key, quantity, limits))
    return sorted(points.values()), start, end, step


def _quantities(job: ExportJob) -> list[str]:
    return [name for name in job.options.get("quantities", ["temperature", "humidity"]) if name in QUANTITIES or name in DERIVED]


def _codes(job: ExportJob) -> list[str]:
    return list(dict.fromkeys([job.subject, *job.options.get("rooms", [])]))


def _airs(sources: Sources, job: ExportJob) -> tuple[list[DerivedPoint], dict[int, Limits]]:
    """The pairs that derived quantities are made of, and how long their points hold; nothing where none is wanted."""
    found: list[DerivedPoint] = []
    limits: dict[int, Limits] = {}
    if not set(_quantities(job)) & set(DERIVED):
        return found, limits
    with sources.db.read() as session:
        for code in _codes(job):
            for pair in found_in.pairs(session, code):
                found.append(DerivedPoint(code, pair.temperature.key, Air(pair.temperature.ident, pair.humidity.ident)))
                limits |= _held(sources, session, [pair.temperature.ident, pair.humidity.ident])
    return found, limits


def _derived(row: DerivedRow) -> Row:
    known = DERIVED[row.quantity]
    place = (f"{local(row.at):%Y-%m-%d %H:%M:%S}", f"{row.at // 1000}.{row.at % 1000:03d}", row.point.room, row.point.key, known.zh, known.unit)
    return (*place, row.low, row.mean, row.high, row.watched_s, "导算")


def _held(sources: Sources, session: Session, idents: Sequence[int]) -> dict[int, Limits]:
    return held(sources, session, [session.get_one(Point, ident) for ident in idents])


def _rows(sources: Sources, points: Sequence[_Point], start: int, end: int, step: int | None, progress: Progress) -> Iterator[Row]:
    by_ident = {point.ident: point for point in points}
    days = range(start - (start + 8 * 3_600_000) % DAY_MS, end, DAY_MS)
    for index, day in enumerate(days):
        since, until = max(day, start), min(day + DAY_MS, end)
        if points:
            yield from _raw(sources, by_ident, since, until) if step is None else _steps(sources, by_ident, since, until, step)
        progress(index + 1, len(days))


def _raw(sources: Sources, points: Mapping[int, _Point], since: int, until: int) -> Iterator[Row]:
    batch = sources.store.samples(sorted(points), since, until)
    columns = (batch.point, batch.taken_at, batch.value, batch.quality)
    for ident, taken, value, quality in zip(*(column.tolist() for column in columns), strict=True):
        shown = None if value != value else round(value, 4)  # noqa: PLR0124 - NaN is "no value"
        yield (*_place(points[ident], taken), shown, shown, shown, None, _QUALITY[quality])


def _steps(sources: Sources, points: Mapping[int, _Point], since: int, until: int, step: int) -> Iterator[Row]:
    grid = since - (since + 8 * 3_600_000) % step
    figures = sources.store.figures({ident: point.limits for ident, point in points.items()}, grid, until, step)
    columns = (figures.point, figures.time, figures.min, figures.mean, figures.max, figures.watched_ms)
    for ident, time, low, mean, high, watched in zip(*(column.tolist() for column in columns), strict=True):
        yield (*_place(points[ident], time), round(low, 3), round(mean, 3), round(high, 3), watched / 1000, "")


def _place(point: _Point, at: int) -> tuple[str, str, str, str, str, str]:
    known = QUANTITIES[point.quantity]
    utc = f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"
    return f"{local(at):%Y-%m-%d %H:%M:%S}", utc, point.room, point.key, known.zh, known.unit


def _write_csv(path: Path, rows: Iterator[Row]) -> tuple[int, str]:
    count, digest = 0, hashlib.sha256()
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(HEAD)
        for row in rows:
            safe = tuple(harmless(cell) if isinstance(cell, str) else "" if cell is None else cell for cell in row)
            out.writerow(safe)
            digest.update(repr(safe).encode())
            count += 1
    return count, digest.hexdigest()


def _sign(path: Path, made: str) -> None:
    """A last line that says by whom the file was ordered and when."""
    with path.open("a", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerow((harmless(made), *("" for _ in HEAD[1:])))


def _read(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        yield from csv.reader(stream)


def _to_json(rows: Path, target: Path) -> None:
    names = ("time", "utc", "room", "point", "quantity", "unit", "min", "mean", "max", "watched_s", "quality")
    with target.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for index, row in enumerate(islice(_read(rows), 1, None)):
            values = [float(cell) if 6 <= i <= 9 and cell else None if 6 <= i <= 9 else cell for i, cell in enumerate(row)]
            stream.write((",\n" if index else "\n") + json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False))
        stream.write("\n]\n")


def _paper(sources: Sources, job: ExportJob, start: int, end: int) -> Paper:
    with sources.db.read() as session:
        unit = session.get_one(Unit, job.unit)
    label = f"{local(start):%Y-%m-%d %H:%M} 至 {local(end):%Y-%m-%d %H:%M}"
    return Paper(
        kind="history",
        title=job.title,
        subject=job.title,
        subject_code=job.subject,
        unit=unit.name,
        made_for=job.asked_by,
        period=job.period,
        period_label=label,
        since=start,
        until=end,
        generated_at=job.asked_at,
        generator=sources.generator,
        sheets=(),
    )
