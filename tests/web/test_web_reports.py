"""Papers over HTTP: made at once or ordered, with rights, audit and hashes; scorecards."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store.tables import AuditEntry
from server.store.tables_papers import ExportJob
from tests.web.house import CITY, COUNTY, FOREIGN, ROOM, SERVICE_KEY, SISTER, House

PERIOD = "2026-09-20..2026-09-22"


@pytest.fixture(scope="module")
def papers(shared_house: House) -> Iterator[House]:
    shared_house.history.run_once(shared_house.now)
    return shared_house


def test_a_register_is_made_at_once_and_its_hash_is_in_the_audit_log(papers: House) -> None:
    client = papers.client("inspector")
    answer = client.get("/api/v1/reports/register", params={"room": ROOM, "period": PERIOD, "format": "json"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-sha256"] == hashlib.sha256(answer.content).hexdigest()
    document = answer.json()
    assert document["kind"] == "register"
    assert document["digest"] == answer.headers["x-report-digest"]
    assert "attachment" in answer.headers["content-disposition"]
    table = document["sheets"][0]["blocks"][0]
    assert [row[0][:3] for row in table["rows"]] == ["20日", "21日", "22日"]
    assert table["rows"][0][1] == "缺测"  # before the house began
    assert table["rows"][2][1] == ""  # after its now
    with papers.db.read() as session:
        entry = session.query(AuditEntry).filter_by(action="report.register").order_by(AuditEntry.id.desc()).first()
    assert (entry.actor, entry.subject, entry.detail["sha256"]) == ("inspector", ROOM, answer.headers["x-content-sha256"])


@pytest.mark.parametrize("kind", ["register", "climate", "inspection", "scorecard", "changes"])
@pytest.mark.parametrize("ending", ["pdf", "html"])
def test_every_kind_can_be_made_of_a_unit(papers: House, kind: str, ending: str) -> None:
    answer = papers.client("duty").get(f"/api/v1/reports/{kind}", params={"unit": COUNTY, "period": PERIOD, "format": ending})
    assert answer.status_code == 200, answer.text
    assert answer.content[:4] == (b"%PDF" if ending == "pdf" else b"<!do")


def test_an_order_is_worked_off_in_the_background(papers: House) -> None:
    client = papers.client("duty")
    ordered = client.post("/api/v1/exports", json={"kind": "inspection", "code": COUNTY, "period": "2026-09", "format": "docx"})
    assert ordered.status_code == 202, ordered.text
    ident = ordered.json()["id"]
    assert ordered.json()["state"] == "queued"
    waiting = client.get(f"/api/v1/exports/{ident}/file")
    assert (waiting.status_code, waiting.json()["state"]) == (409, "queued")
    assert papers.desk.run_once(papers.now) == ident
    assert papers.desk.run_once(papers.now) is None
    done = client.get(f"/api/v1/exports/{ident}").json()
    assert done["state"] == "done"
    content = client.get(f"/api/v1/exports/{ident}/file").content
    assert hashlib.sha256(content).hexdigest() == done["sha256"]
    assert len(content) == done["bytes"]


def test_an_order_that_fails_says_why(papers: House, tmp_path: Path) -> None:
    client = papers.client("duty")
    ident = client.post("/api/v1/exports", json={"kind": "changes", "code": COUNTY, "period": "2026-09", "format": "pdf"}).json()["id"]
    blocked = papers.desk.path(ExportJob(id=ident, ending="pdf")).with_suffix(".pdf.part")
    blocked.mkdir(parents=True)
    papers.desk.run_once(papers.now)
    failed = client.get(f"/api/v1/exports/{ident}").json()
    assert (failed["state"], failed["error"]) == ("failed", "没有做成：IsADirectoryError")
    assert client.get(f"/api/v1/exports/{ident}/file").status_code == 409


def test_what_was_left_half_done_is_begun_anew(papers: House) -> None:
    client = papers.client("duty")
    ident = client.post("/api/v1/exports", json={"kind": "changes", "code": COUNTY, "period": "2026-09", "format": "csv"}).json()["id"]
    with papers.db.write() as session:
        session.get_one(ExportJob, ident).state = "running"  # as a killed process leaves it
    assert papers.desk.run_once(papers.now) is None
    papers.desk.recover()
    assert papers.desk.run_once(papers.now) == ident


@pytest.mark.parametrize(
    ("address", "status"),
    [
        (f"/api/v1/reports/register?room={FOREIGN}", 403),
        (f"/api/v1/reports/inspection?unit={SISTER}", 403),
        (f"/api/v1/reports/inspection?unit={CITY}", 403),
        (f"/api/v1/reports/register?room={ROOM}&unit={SISTER}", 403),
        (f"/api/v1/reports/nothing?unit={COUNTY}", 404),
        ("/api/v1/reports/register?room=350102000000-99", 404),
        (f"/api/v1/reports/inspection?room={ROOM}", 404),
        (f"/api/v1/reports/register?room={ROOM}&period=2026-13", 422),
        (f"/api/v1/reports/register?room={ROOM}&format=odt", 422),
        (f"/api/v1/reports/register?unit={COUNTY}&period=2025-01-01..2026-12-31", 422),
        (f"/api/v1/scorecards?unit={SISTER}", 403),
        (f"/api/v1/scorecards?unit={COUNTY}&period=x", 422),
    ],
)
def test_what_is_refused(papers: House, address: str, status: int) -> None:
    answer = papers.client("duty").get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_nobody_fetches_the_papers_of_a_sister_unit(papers: House) -> None:
    sister = papers.client("sister-duty")
    ident = sister.post("/api/v1/exports", json={"kind": "changes", "code": SISTER, "period": "2026-09", "format": "csv"}).json()["id"]
    papers.desk.run_once(papers.now)
    own = papers.client("duty")
    assert own.get(f"/api/v1/exports/{ident}").status_code == 403
    assert own.get(f"/api/v1/exports/{ident}/file").status_code == 403
    assert SISTER not in own.get("/api/v1/exports").text
    assert own.post("/api/v1/exports", json={"kind": "changes", "code": SISTER, "format": "csv"}).status_code == 403


def test_scorecards_carry_their_fractions(papers: House) -> None:
    answer = papers.client("province-inspector").get("/api/v1/scorecards", params={"unit": CITY, "period": PERIOD})
    assert answer.status_code == 200, answer.text
    cards = {card["unit"]: card for card in answer.json()["items"]}
    assert set(cards) == {CITY, COUNTY, SISTER}
    assert [part["name"] for part in cards[COUNTY]["parts"]] == ["coverage", "answering", "climate", "data"]
    for part in cards[COUNTY]["parts"]:
        if part["denominator"]:
            assert part["percent"] == pytest.approx(100 * part["numerator"] / part["denominator"], abs=0.1)
    assert cards[COUNTY]["rooms"] == 2


def test_scorecards_of_a_subtree_come_in_pages(papers: House) -> None:
    client = papers.client()
    client.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
    seen, address = [], f"/api/v1/scorecards?limit=3&period={PERIOD}"
    while address:
        answer = client.get(address).json()
        seen += [card["unit"] for card in answer["items"]]
        address = answer["next"]
    assert len(seen) == len(set(seen)) == 4
    assert json.dumps(sorted(seen)) == json.dumps(seen)
