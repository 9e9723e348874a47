"""演练报告: a province's drill as a paper, from rows to a PDF that a person can read."""

import io
from datetime import date

import pypdf
import pytest

from server.duty.clock import midnight
from server.duty.drills import _sign
from server.reports import drills
from server.reports.kinds import make
from server.reports.paper import Facts, Table, Text
from server.reports.period import parse_period
from server.reports.render import render
from server.reports.sources import Sources
from server.store.session import Database
from server.store.tables import Room, Unit
from server.store.tables_drill import Drill, DrillCampaign
from tests.fresh import fresh

PROVINCE, EAST, WEST = "350000000000", "350100000000", "350200000000"
NOW = midnight(date(2026, 11, 25))


@pytest.fixture
def sources(tmp_path):
    db = Database(fresh(tmp_path / "aw.db"))
    with db.write() as session:
        for code, parent, name in ((PROVINCE, None, "省厅"), (EAST, PROVINCE, "福州市局"), (WEST, PROVINCE, "厦门市局")):
            session.add(Unit(code=code, parent=parent, level=1 if parent is None else 2, name=name, short_name=name[:2]))
            session.flush()
        for unit, count in ((EAST, 3), (WEST, 2)):
            for n in range(1, count + 1):
                session.add(Room(code=f"{unit}-0{n}", unit=unit, name=f"{n}号库房", short_name="库", sms_place="库", stage="in_use"))
        session.add(DrillCampaign(id=1, unit=PROVINCE, by="省厅", at=NOW - 7_200_000))
        session.flush()
        drill(session, EAST, 1, answered_s=40.0)
        drill(session, EAST, 2, answered_s=None)
        drill(session, WEST, 1, state="failed", reason="网关离线，演练无法开始。")
        drill(session, WEST, 1, answered_s=90.0)
    yield Sources(db=db, store=None, bands=lambda _room: {}, generator="ArchiveWatch 0.1.0")
    db.close()


def drill(session, unit, number, *, state="ended", reason="", answered_s=None):
    row = Drill(campaign=1, unit=unit, room=f"{unit}-0{number}", state=state, due_at=NOW - 3_600_000, reason=reason)
    session.add(row)
    session.flush()
    measured = state == "ended"
    result = {"detected_s": 2.0, "told_s": 3.0, "delivered_s": 6.0, "answered_s": answered_s} if measured else {"reason": reason}
    _sign(session, row, result, NOW - 1)


def made(sources, code=PROVINCE):
    return make(sources, "drills", code, parse_period("2026-11"), NOW)[0]


def test_a_province_drill_in_figures(sources):
    overview, by_unit, failed, left_out = made(sources).sheets[0].blocks
    assert isinstance(overview, Facts)
    assert dict(overview.pairs) == {
        "演练间次": "4", "覆盖库房": "3 间，占在用 5 间的 60.0 %", "测到": "3 间，占已演练 3 间的 100.0 %，中位 2 秒，最慢 2 秒",
        "发出": "3 间，占已演练 3 间的 100.0 %，中位 3 秒，最慢 3 秒", "送达": "3 间，占已演练 3 间的 100.0 %，中位 6 秒，最慢 6 秒",
        "答复": "2 间，占已演练 3 间的 66.7 %，中位 65 秒，最慢 90 秒", "签名核对": "4 份一致，共 4 份",
    }  # fmt: skip
    assert isinstance(by_unit, Table)
    assert by_unit.rows == (("福州市局", 3, 2, 2, 2, 2, 1, 40, 40), ("厦门市局", 2, 1, 1, 1, 1, 1, 90, 90))
    assert isinstance(failed, Table)
    assert [row[1:] for row in failed.rows] == [
        ("福州市局", "2号库房", "已通知，规定时间内无人答复。"), ("厦门市局", "1号库房", "网关离线，演练无法开始。"),
    ]  # fmt: skip
    assert isinstance(left_out, Text)
    assert left_out.paragraphs == ("福州市局3号库房、厦门市局2号库房，共 2 间。",)


def test_a_drill_that_still_runs_is_counted_as_running_and_not_as_undetected(sources):
    with sources.db.write() as session:
        for unit, number in ((EAST, 1), (EAST, 3)):
            session.add(Drill(campaign=1, unit=unit, room=f"{unit}-0{number}", state="sent", due_at=NOW - 60_000, reason=""))
    overview, _, _, left_out = made(sources).sheets[0].blocks
    pairs = dict(overview.pairs)
    assert (pairs["演练间次"], pairs["正在演练"]) == ("4", "2 间，还没有结果")
    assert (pairs["覆盖库房"], pairs["测到"][:18]) == ("3 间，占在用 5 间的 60.0 %", "3 间，占已演练 3 间的 100.0 %"[:18])
    assert left_out.paragraphs == ("厦门市局2号库房，共 1 间。",)


def test_a_result_that_was_changed_afterwards_is_seen(sources):
    with sources.db.write() as session:
        row = session.get_one(Drill, 1)
        row.result = row.result | {"answered_s": 1.0}
        assert not drills.intact(row)
    assert dict(made(sources).sheets[0].blocks[0].pairs)["签名核对"] == "3 份一致，共 4 份"


def test_the_paper_is_one_that_can_be_read(sources, tmp_path):
    content = render(made(sources), "pdf")
    (tmp_path / "drills.pdf").write_bytes(content)
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages).replace("\n", "")
    for words in ("告警演练报告", "福州市局", "网关离线", "60.0 %"):
        assert words in text
    assert "没有在用库房" not in text


def test_a_unit_without_rooms(sources):
    with sources.db.write() as session:
        session.add(Unit(code="350300000000", parent=PROVINCE, level=2, name="莆田市局", short_name="莆田"))
    assert made(sources, "350300000000").sheets[0].blocks[1].paragraphs == ("没有在用库房。",)
