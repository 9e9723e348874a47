"""The history page: range in the address, tables, comparison, export as a job, remarks; and the page of papers."""

import csv
import io
import json
from datetime import datetime

import pytest
from pypdf import PdfReader
from python_calamine import CalamineWorkbook

from alarms.climate import dew_point
from contract.quantities import EQUIPMENT
from server.store import audit
from server.store.tables import Point
from server.store.tables_papers import ExportJob
from server.web.formats import BEIJING
from server.web.pages.history import _instant
from tests.web.house import COUNTY, FOREIGN, OTHER, QUIET, ROOM, House

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def past(shared_house: House) -> House:
    shared_house.history.run_once(shared_house.now)
    return shared_house


def test_the_range_stands_in_the_address(past: House) -> None:
    client = past.client("inspector")
    page = client.get(f"/rooms/{ROOM}/history?since=2026-09-20T08:00&until=2026-09-22T08:00&quantity=humidity&beside={OTHER}", headers=HTML)
    assert page.status_code == 200
    assert f'data-start="{_instant("2026-09-20T08:00", "since")}"' in page.text
    assert page.text.count("data-rooms=") == 1
    assert f"{ROOM},{OTHER}" in page.text
    assert "二号库房" in page.text
    assert "52" in page.text
    for address in page.text.split('class="button" href="')[1:4]:
        assert client.get(address.split('"')[0].replace("&amp;", "&"), headers=HTML).status_code == 200


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("since=2026-09-20&until=2026-09-21", "2026-09-20T00:00", "2026-09-22T00:00"),
        ("until=2026-09-21", "2026-09-15T00:00", "2026-09-22T00:00"),
        ("since=2026-09-20T08:00", "2026-09-20T08:00", None),
    ],
)
def test_days_alone_and_one_end_alone_are_understood(past: House, query: str, since: str, until: str | None) -> None:
    page = past.client("inspector").get(f"/rooms/{ROOM}/history?{query}", headers=HTML).text
    assert f'data-start="{_instant(since, "since")}"' in page
    assert f'data-end="{past.now if until is None else _instant(until, "until")}"' in page


@pytest.mark.parametrize("span", ["today", "24h", "7d", "30d", "month", "365d", "nonsense"])
def test_every_preset_shows_something(past: House, span: str) -> None:
    page = past.client("duty").get(f"/rooms/{ROOM}/history?span={span}&quantity=dew_point&quantity=temperature", headers=HTML)
    assert page.status_code == 200
    assert "露点" in page.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=x&until=y", 422),
        ("since=2026-09-22T08:00&until=2026-09-20T08:00", 422),
        ("since=2001-01-01T00:00&until=2026-01-01T00:00", 422),
        (f"beside={FOREIGN}", 403),
    ],
)
def test_what_is_refused(past: House, query: str, status: int) -> None:
    assert past.client("duty").get(f"/rooms/{ROOM}/history?{query}", headers=HTML).status_code == status


def test_a_room_without_sensors_says_so(past: House) -> None:
    assert "请按规定上午、下午人工抄录" in past.client("duty").get(f"/rooms/{QUIET}/history", headers=HTML).text


@pytest.mark.parametrize("ending", ["csv", "xlsx", "json", "pdf"])
@pytest.mark.parametrize("step", ["0", "600"])
def test_the_range_is_exported_by_a_job(past: House, ending: str, step: str) -> None:
    client = past.client("duty")
    form = {"since": "2026-09-21T00:00", "until": "2026-09-22T12:00", "quantity": ["temperature", "humidity"], "format": ending, "step": step}
    ordered = client.post(f"/rooms/{ROOM}/history/export", data=form, headers=HTML)
    assert ordered.status_code == 303, ordered.text
    ident = int(ordered.headers["location"].partition("job=")[2])
    assert "排队" in client.get(ordered.headers["location"], headers=HTML).text
    assert past.desk.run_once(past.now) == ident
    with past.db.read() as session:
        job = session.get_one(ExportJob, ident)
        assert (job.state, job.error, job.done) == ("done", "", job.total)
    content = client.get(f"/papers/{ident}/file").content
    if ending == "csv":
        *rows, last = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))[1:]
        assert "由 陈值班 生成于 2026-09-2" in last[0]
        assert {float(row[7]) for row in rows if row[4] == "温度" and "outdoor" not in row[3]} == {21.4}
    elif ending == "json":
        rows = json.loads(content)
        assert {row["quantity"] for row in rows} >= {"温度", "湿度"}
        utc = datetime.fromisoformat(rows[0]["utc"])
        assert f"{utc.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}" == rows[0]["time"], "the same instant, once in Beijing and once in UTC"
    elif ending == "xlsx":
        cells = [cell for row in CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python() for cell in row]
        assert 21.4 in cells
        assert [cell for cell in cells if "由 陈值班 生成于" in str(cell)]
    else:
        assert "由 陈值班 生成于" in "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


def test_an_export_of_a_sister_room_is_refused(past: House) -> None:
    client = past.client("duty")
    form = {"since": "2026-09-21T00:00", "until": "2026-09-22T00:00", "format": "csv", "step": "600"}
    assert client.post(f"/rooms/{FOREIGN}/history/export", data=form, headers=HTML).status_code == 403
    assert client.post(f"/rooms/{ROOM}/history/export", data=form | {"beside": FOREIGN}, headers=HTML).status_code == 403
    assert client.post(f"/rooms/{ROOM}/history/export", data=form | {"step": "7"}, headers=HTML).status_code == 422
    smuggled = {"kind": "history", "code": ROOM, "period": "2026-09", "format": "csv", "options": {"rooms": [FOREIGN]}}
    assert client.post("/api/v1/exports", json=smuggled).status_code == 403


def test_a_remark_comes_back_on_the_page(past: House) -> None:
    client = past.client("duty")
    form = {"since": "2026-09-20T00:00", "until": "2026-09-23T00:00", "at": "2026-09-21T10:00", "text": "空调检修"}
    saved = client.post(f"/rooms/{ROOM}/history/remark", data=form, headers=HTML)
    assert saved.status_code == 303, saved.text
    assert "空调检修" in client.get(saved.headers["location"], headers=HTML).text
    assert past.client("inspector").post(f"/rooms/{ROOM}/history/remark", data=form, headers=HTML).status_code == 403


def test_a_paper_is_ordered_from_the_page(past: House) -> None:
    client = past.client("duty")
    page = client.get("/papers", headers=HTML)
    assert "温湿度登记表" in page.text
    assert FOREIGN[:12] not in page.text
    ordered = client.post("/papers", data={"kind": "changes", "subject": COUNTY, "period": "2026-09", "format": "html"}, headers=HTML)
    assert ordered.status_code == 303, ordered.text
    past.desk.run_once(past.now)
    listed = client.get(f"{ordered.headers['location']}&part=list", headers=HTML)
    assert "已生成" in listed.text
    assert client.post("/papers", data={"kind": "changes", "subject": COUNTY, "period": "x"}, headers=HTML).status_code == 422


@pytest.mark.parametrize("step", ["0", "600"])
def test_derived_quantities_are_exported_too(past: House, step: str) -> None:
    client = past.client("duty")
    form = {
        "since": "2026-09-20T00:00",
        "until": "2026-09-23T00:00",
        "quantity": ["temperature", "dew_point", "mould"],
        "format": "csv",
        "step": step,
    }
    ordered = client.post(f"/rooms/{ROOM}/history/export", data=form, headers=HTML)
    assert past.desk.run_once(past.now) == int(ordered.headers["location"].partition("job=")[2])
    content = client.get(f"/papers/{ordered.headers['location'].partition('job=')[2]}/file").content
    rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if "outdoor" not in row[3]]
    dew = [float(row[7]) for row in rows if row[4] == "露点"]
    assert dew
    assert dew == pytest.approx([dew_point(21.4, 52.0)] * len(dew), abs=0.01)
    assert {row[5] for row in rows if row[4] == "露点"} == {"°C"}
    assert [row[10] for row in rows if row[4] == "霉变风险累计"]


def test_alarms_and_doors_stand_beside_the_curves(past: House) -> None:
    page = past.client("inspector").get(f"/rooms/{ROOM}/history?since=2026-09-20T00:00&until=2026-09-23T00:00", headers=HTML)
    assert "告警与开门" in page.text
    assert 'data-alarms="' in page.text


def test_what_was_changed_is_listed_by_group(past: House) -> None:
    with past.db.write() as session:
        for action, subject in (
            ("stage", f"room:{ROOM}"),
            ("shelve", f"room:{ROOM}"),
            ("session.open", f"room:{ROOM}"),
            ("stage", f"room:{FOREIGN}"),
        ):
            audit.append(session, "王检查员", action, subject, {"reason": f"{action}的原因"}, past.now)
    client = past.client("inspector")
    page = client.get("/papers/changes", headers=HTML)
    assert page.status_code == 200, page.text
    assert page.text.count("王检查员") == 2
    assert "session.open的原因" not in page.text
    stages = client.get("/papers/changes?group=stages&period=2026-Q3", headers=HTML)
    assert (stages.text.count("stage的原因"), stages.text.count("shelve的原因")) == (1, 0)
    assert client.get(f"/papers/changes?unit={FOREIGN[:12]}", headers=HTML).status_code == 403
    assert client.get("/papers/changes?period=x", headers=HTML).status_code == 422


def test_how_devices_are_is_no_quantity_of_the_room(past: House) -> None:
    with past.db.write() as session:
        session.add_all(
            Point(gateway="GW-350102-01", device=device, quantity=quantity, room=ROOM, created_at=0)
            for device, quantity in (("th1-01", "battery"), ("gateway", "spool_fill"), ("air1-01", "co2"))
        )
    page = past.client("inspector").get(f"/rooms/{ROOM}/history?span=24h&quantity=battery", headers=HTML).text
    assert 'value="co2"' in page
    for equipment in EQUIPMENT:
        assert f'"{equipment}"' not in page
