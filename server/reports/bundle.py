"""Papers of many rooms: a ZIP with one PDF for each unit, or for each county where there are many units, and an index of all of them.

Made group by group, so that memory holds one of them; while the worker process draws one, the next is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from server.reports import kinds
from server.reports.kinds import Order
from server.reports.paper import Column, Paper, Progress, Sheet, Table, sealed
from server.reports.period import Period, local, parse_period
from server.reports.render import render
from server.reports.sources import Sources
from server.store.tables import Unit
from server.store.tables_papers import ExportJob

ENDING, MEDIA = "zip", "application/zip"
MOST_UNITS = 200
"""More units than this, and a document is about a county (the first six digits of the code) instead of a unit."""
MOST_SHEETS = 400
"""So many sheets one document may have; a PDF of the whole province would take gigabytes to draw."""
_INDEX = ("序号", "编号", "名称", "库房数", "页数", "文件", "文件 SHA-256", "内容校验值")


class _Entry(NamedTuple):
    """One document of the bundle."""

    code: str
    name: str
    rooms: int
    sheets: int
    file: str
    sha256: str
    digest: str


def write(sources: Sources, runner: Any, job: ExportJob, now: int, target: Path, progress: Progress) -> tuple[str, str]:
    """Write the bundle of an order; its name and the SHA-256 of its index. Raises UnknownSubjectError, FormError."""
    kind, period, by = job.kind, parse_period(job.period), job.asked_by
    with sources.db.read() as session:
        whole = kinds.order(session, kind, job.subject)
        names = {row.code: row.name for row in session.execute(select(Unit.code, Unit.name))}
    parts = list(_parts(whole, names))
    entries: list[_Entry] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as book, ThreadPoolExecutor(1) as drawing:
        waiting: list[tuple[Order, Paper, Future[bytes]]] = []
        for part in [*parts, None]:
            if part is not None:
                paper = kinds.paper_of(sources, kind, part, period, now, lambda _done, _total: None, by=by)
                waiting.append((part, paper, drawing.submit(runner.run, render, paper, "pdf", sources.settings.forms)))
            while len(waiting) > (0 if part is None else 1):
                entries.append(_add(book, len(entries) + 1, *waiting.pop(0), now))
                progress(sum(entry.rooms for entry in entries), len(whole.rooms))
        index = _index(entries)
        _put(book, "目录.csv", index, now)
        paper = _contents(sources, kind, whole, period, now, entries, by)
        _put(book, "目录.pdf", runner.run(render, paper, "pdf", sources.settings.forms), now)
    return f"{whole.name}_{kinds.KINDS[kind].heading}_{period.text}.{ENDING}".replace("/", "-").replace(" ", ""), hashlib.sha256(index).hexdigest()


def _parts(whole: Order, names: Mapping[str, str]) -> Iterator[Order]:
    """The rooms by unit, or by county; in the order of their codes."""
    by_unit = len({room.unit for room in whole.rooms}) <= MOST_UNITS
    groups: dict[str, list[Any]] = defaultdict(list)
    for room in whole.rooms:
        groups[room.unit if by_unit else room.unit[:6]].append(room)
    for key in sorted(groups):
        code = key if by_unit else _county(key, names, groups[key])
        yield Order(code, names[code], code, names[code], groups[key])


def _county(prefix: str, names: Mapping[str, str], rooms: Sequence[Any]) -> str:
    """The unit that stands for a county: the one with its code, else that of the first room."""
    whole = f"{prefix}000000"
    return whole if whole in names else rooms[0].unit


def _add(book: zipfile.ZipFile, number: int, part: Order, paper: Paper, drawn: Future[bytes], now: int) -> _Entry:
    content = drawn.result()
    name = f"{number:04d}_{part.name}.pdf".replace("/", "-").replace(" ", "")
    _put(book, name, content, now)
    return _Entry(part.code, part.name, len(part.rooms), len(paper.sheets), name, hashlib.sha256(content).hexdigest(), paper.digest)


def _put(book: zipfile.ZipFile, name: str, content: bytes, now: int) -> None:
    book.writestr(zipfile.ZipInfo(name, local(now).timetuple()[:6]), content)


def _rows(entries: Sequence[_Entry]) -> Iterator[tuple[str | int, ...]]:
    return ((number, *entry) for number, entry in enumerate(entries, 1))


def _index(entries: Sequence[_Entry]) -> bytes:
    stream = io.StringIO()
    out = csv.writer(stream)
    out.writerow(_INDEX)
    out.writerows(_rows(entries))
    return stream.getvalue().encode("utf-8-sig")


def _contents(sources: Sources, kind: str, whole: Order, period: Period, now: int, entries: Sequence[_Entry], by: str) -> Paper:
    widths = (0.5, 1.4, 2.4, 0.6, 0.6, 2.6, 2.2)
    columns = tuple(Column(title=title, width=width) for title, width in zip(_INDEX, widths, strict=False))
    rows = tuple((*row[:6], f"{str(row[6])[:16]}…") for row in _rows(entries))
    note = "文件的 SHA-256 和内容校验值的全文在“目录.csv”里。"
    title = f"{kinds.KINDS[kind].heading}目录"
    sheet = Sheet(title=title, subject=f"{whole.name}　{period.label}", blocks=(Table(columns=columns, rows=rows, small=True),), notes=(note,))
    return sealed(kinds.framed(sources, "index", title, whole, period, now, [sheet], by))
