"""The yearly analysis and the report on the alarm system, out of real stores; and who ordered a paper, on every page of it."""

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import docx
import numpy as np
import pytest
from pypdf import PdfReader
from sqlalchemy import delete

from alarms.performance import measure
from server.reports import kinds, measures
from server.reports.desk import Desk, Here, Wanted
from server.reports.paper import Paper, Table, Text
from server.reports.performance import FIGURES
from server.reports.period import HOUR_MS, midnight, parse_period, previous
from server.reports.render import render
from server.reports.sources import ReportSettings, Sources
from server.series import Limits
from server.series.batch import Batch
from server.series.choose import open_store
from server.store.session import Database
from server.store.tables import Alarm, CoverageSpan, Gateway, Point, Room, Transition, Unit
from server.store.tables_papers import ManualReading
from server.store.tables_watch import Annunciation
from tests.fresh import fresh

UNIT = "350102000000"
DRY, DAMP, BARE, NEW = (f"{UNIT}-{number:02d}" for number in (1, 2, 3, 4))
BANDS = {"temperature": (14.0, 24.0), "humidity": (45.0, 60.0)}
NOW = midnight(date(2026, 1, 10))
STEP = 30 * 60_000
JULY = midnight(date(2025, 7, 1))


def series(point: int, value: float) -> Batch:
    """All of 2025 every half hour."""
    start, end = midnight(date(2025, 1, 1)), midnight(date(2026, 1, 1))
    taken = np.arange(start, end, STEP, dtype=np.int64)
    count = len(taken)
    return Batch(np.full(count, point), taken, np.full(count, value), np.full(count, 2, np.uint8), taken, np.zeros(count, np.int32))


def alarms(db: Database) -> None:
    """Twelve alarms of one rule within a minute, and one that somebody paused."""
    with db.write() as session:
        for number in range(13):
            at = JULY + number * 5_000
            session.add(
                Alarm(
                    id=number + 1, subject=f"{DAMP}:humidity", rule="humidity_high", kind="threshold", quantity="humidity", room=DAMP, unit=UNIT,
                    state="normal", level="warn", raised_at=at, cleared_at=at + 1000, closed_at=at + 1000, number=f"A{number}",
                    behaviour="chattering",
                )
            )  # fmt: skip
            session.flush()
            raised = Transition(alarm=number + 1, at=at, name="raised", before="normal", after="active_unacked", level="warn")
            session.add(raised)
            session.flush()
            session.add(Annunciation(transition=raised.id, alarm=number + 1, at=at, level="warn"))
        session.add(
            Transition(alarm=1, at=JULY, name="shelved", before="active_unacked", after="shelved", level="warn", by="张三", note="除湿机检修")
        )


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    folder: Path = tmp_path_factory.mktemp("year")
    db = Database(fresh(folder / "aw.db"))
    store = open_store("embedded", folder / "series")
    with db.write() as session:
        session.add(Unit(code=UNIT, parent=None, level=3, name="鼓楼分局", short_name="鼓楼"))
        session.flush()
        for code, name in ((DRY, "干库"), (DAMP, "湿库"), (BARE, "无传感器库")):
            session.add(Room(code=code, unit=UNIT, name=name, short_name=name, sms_place=name))
        session.add(Room(code=NEW, unit=UNIT, name="新库", short_name="新库", sms_place="新库", stage="trial"))
        session.add(Gateway(code="GW", group_id="350100", unit=UNIT, name="网关"))
        session.flush()
        for ident, room, quantity in ((1, DRY, "temperature"), (2, DRY, "humidity"), (3, DAMP, "temperature"), (4, DAMP, "humidity")):
            session.add(Point(id=ident, gateway="GW", device=room, quantity=quantity, room=room, unit="", interval_ms=STEP, created_at=0))
        session.add(
            ManualReading(
                room=BARE, taken_at=JULY + 9 * HOUR_MS, temperature=22.0, humidity=55.0, reader="李四", entered_by="李四",
                entered_at=JULY + 10 * HOUR_MS, key="k1",
            )
        )  # fmt: skip
    settings = ReportSettings()
    store.set_limits({point: Limits(settings.deadline_ms(STEP), *BANDS["temperature" if point % 2 else "humidity"]) for point in range(1, 5)})
    for point, value in enumerate((20.0, 50.0, 22.0, 70.0), 1):
        store.write(series(point, value))
    alarms(db)
    yield Sources(db=db, store=store, bands=lambda _room: BANDS, generator="test", settings=settings)
    store.close()
    db.close()


def made(sources: Sources, kind: str, code: str = UNIT, period: str = "2025") -> Paper:
    return kinds.make(sources, kind, code, parse_period(period), NOW, by="王检查员")[0]


def table(paper: Paper, sheet: int, title: str) -> Table:
    return next(block for block in paper.sheets[sheet].blocks if isinstance(block, Table) and title in block.title)


def test_a_year_of_a_unit_names_what_was_wrong_and_what_would_have_helped(sources: Sources) -> None:
    paper = made(sources, "analysis")
    assert len(paper.sheets) == 5  # the unit and its four rooms
    rows = {row[0]: row for row in table(paper, 0, "各库房").rows}
    assert "新库" not in rows, "a room on trial is in no figure of the unit"
    assert ("库房数", "共 4 间，合计只算其中在用的 3 间") in paper.sheets[0].pairs
    assert rows["干库"][2:10] == (20.0, 20.0, 20.0, 100.0, 50.0, 50.0, 50.0, 100.0)
    assert rows["湿库"][9] == 0.0
    assert rows["无传感器库"][9] == 100.0  # one entry, in band
    summary = next(block for block in paper.sheets[0].blocks if isinstance(block, Text)).paragraphs
    assert any("湿度达标率（占有效测量时间）低于 85 % 的有 1 间" in line and "湿库" in line for line in summary)
    assert any(f"应登记 {3 * 730} 次，已登记 {2 * 730 + 1} 次" in line for line in summary)
    measures = table(paper, 0, "可以做什么").rows
    assert [row[3] for row in measures] == sorted((row[3] for row in measures), reverse=True)
    assert [row[2] for row in measures if "除湿" in str(row[1])] == [1, 1]  # by night and by day, in the damp room alone
    assert len(table(paper, 2, "逐月").rows) == 12


@pytest.mark.parametrize(("period", "months"), [("2025-07", 1), ("2025-Q3", 3), ("2025-07-10..2025-08-03", 2)])
def test_every_kind_of_period(sources: Sources, period: str, months: int) -> None:
    assert len(table(made(sources, "analysis", DRY, period), 0, "逐月").rows) == months
    assert made(sources, "performance", period=period).period_label


def test_the_same_days_a_year_before() -> None:
    assert previous(parse_period("2026-10")).text == "2025-10-01..2025-10-31"
    assert previous(parse_period("2024-02")).text == "2023-02-01..2023-02-28"
    assert previous(parse_period("2025-02")).text == "2024-02-01..2024-02-29"


def test_every_figure_has_its_words() -> None:
    found = {figure.name for figure in measure([], [], 0, HOUR_MS).figures}
    assert found == set(FIGURES)


def test_readings_by_hand_are_told_with_their_grade_and_count_for_nothing_else(sources: Sources) -> None:
    paper = made(sources, "inspection")
    lines = [line for block in paper.sheets[0].blocks if isinstance(block, Text) for line in block.paragraphs]
    (told,) = [line for line in lines if "无传感器库" in line]
    assert "人工抄录：本期 1 次（应 730 次）；可信度低于自动测量，不计入值守和达标率" in told
    notes = made(sources, "scorecard").sheets[0].notes
    assert any("没有温湿度传感器的 1 间由人工抄录：本期 1 次（应 730 次）；可信度低于自动测量" in note for note in notes)


def test_the_alarm_system_is_judged_and_who_paused_what_is_listed(sources: Sources) -> None:
    paper = made(sources, "performance", period="2025-07")
    figures = {row[0]: row for row in table(paper, 0, "指标").rows}
    assert figures["10 分钟内最多"][1:] == ("13", "≤ 10", "", "—", "可改进")
    assert figures["频繁跳变（项）"][1] == "1"
    assert table(paper, 0, "最多的 10 种").rows[0][:3] == ("湿库　湿度", "湿度过高", 13)
    assert table(paper, 0, "告警高峰").rows
    assert table(paper, 0, "暂停与停用").rows[0][1:] == ("暂停提醒", "湿库", "湿度过高", "张三", "除湿机检修")
    assert made(sources, "performance", period="2025-08").sheets[0].blocks[0].paragraphs == ("本期没有提醒。",)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["analysis", "performance"])
def test_pdf_and_word_say_for_whom_they_were_made(sources: Sources, kind: str) -> None:
    paper = made(sources, kind, period="2025-Q3")
    pages = PdfReader(io.BytesIO(render(paper, "pdf"))).pages
    assert all("由王检查员生成于2026-01-10" in page.extract_text().replace(" ", "") for page in pages)
    document = docx.Document(io.BytesIO(render(paper, "docx")))
    assert any("由 王检查员 生成于 2026-01-10 00:00" in paragraph.text for paragraph in document.paragraphs)
    for ending in ("csv", "html"):
        assert "由 王检查员 生成于" in render(paper, ending).decode("utf-8-sig")


def test_the_desk_puts_the_name_on_it(sources: Sources, tmp_path: Path) -> None:
    desk = Desk(sources, Here(), tmp_path)
    job = desk.make_now(Wanted(kind="analysis", code=DRY, period="2025-07", ending="json", by="赵六", options={}), NOW)
    assert job.state == "done", job.error
    assert '"made_for":"赵六"' in desk.path(job).read_text()


def test_only_the_part_of_a_period_in_which_a_room_was_in_use_is_measured(sources: Sources) -> None:
    """On trial until July: the months before are on record, and in no percentage."""
    period = parse_period("2025")
    with sources.db.write() as session:
        room = session.get_one(Room, DAMP)
        session.add(CoverageSpan(room=DAMP, since=period.since, until=JULY, state="watched", counted=False))
        session.add(CoverageSpan(room=DAMP, since=JULY, until=None, state="watched", counted=True))
        session.flush()
        session.expunge(room)
    [item] = measures.measure(sources, [room], period, NOW)
    assert item.coverage.watched == item.accounted_ms == period.until - JULY
    assert item.inside["humidity"].valid_ms == item.inside["temperature"].in_band_ms == period.until - JULY
    with sources.db.write() as session:
        session.execute(delete(CoverageSpan))
