"""事毕档成: from the closing of an incident to a PDF/A and its data in the data folder; and pictures from site. Real watch, typst, HTTP."""

import hashlib
import io
import json
from collections.abc import Iterator

import pypdf
import pytest
from PIL import Image
from sqlalchemy import select

from server import stills
from server.duty.cards import default_cards
from server.duty.incidents import Incidents
from server.reports.desk import Here
from server.reports.filing import FOLDER, SETTLE_MS, Filing, path_of
from server.store import audit
from server.store.tables import Snapshot
from server.store.tables_incident import Dossier, IncidentEntry
from server.store.tables_org import Holding, RoomSheet
from server.store.tables_stills import StillMask
from tests.web.house import ROOM, House

M = 60_000


class Broken(Here):
    """A worker that dies."""

    def run(self, work, *args):
        raise OSError("the worker is gone")


class Case:
    """An incident of leak that is worked through."""

    def __init__(self, house: House) -> None:
        self.house, self.client = house, house.client("duty")
        with house.db.write() as session:
            session.add(RoomSheet(room=ROOM, body={"photos": "允许，只拍设备和水迹"}, updated_at=0))
            session.add(Holding(room=ROOM, fonds="J102", name="文书", volumes=1200))
        self.incidents = Incidents(house.db, house.store, default_cards(), lambda _alarm, _sentence: None)
        for _ in range(2):
            house.send(leak=1, temperature=21.4, humidity=52, smoke=0, door=0)
            house.now += 30_000
        self.alarm = house.alarm(ROOM, "leak")
        house.tell(self.alarm.id)
        self.run(1)
        self.ident = self.client.get(f"/api/v1/alarms/{self.alarm.id}").json()["incident"]

    def run(self, minutes: int) -> None:
        for _ in range(minutes):
            self.house.now += M
            self.house.send(leak=0, temperature=21.4, humidity=52, smoke=0, door=0)
        self.house.history.run_once(self.house.now)
        self.incidents.run_once(self.house.now)

    def close(self) -> None:
        self.client.post(f"/api/v1/alarms/{self.alarm.id}/acknowledge", json={"note": "已关水阀"})
        self.client.post(f"/api/v1/incidents/{self.ident}/steps/1", json={})
        body = {"code": "human", "note": "空调滴水，已倒水盘"}
        assert self.client.post(f"/api/v1/incidents/{self.ident}/report", json=body).status_code == 200
        self.run(61)
        assert self.client.get(f"/api/v1/incidents/{self.ident}").json()["state"] == "closed"

    def file(self, runner=None) -> int:
        filing = Filing(self.house.db, self.house.store, default_cards(), runner or Here(), self.house.folder, "ArchiveWatch 0.1.0")
        return filing.run_once(self.house.now)

    def filed(self) -> list[dict]:
        return self.client.get(f"/api/v1/incidents/{self.ident}/dossiers").json()


@pytest.fixture
def case(house: House) -> Iterator[Case]:
    return Case(house)


def not_archival(document: pypdf.PdfReader) -> list[str]:
    """What PDF/A-2u asks for and the document has not: the claim, an output intent, every font inside and readable, nothing encrypted or active."""
    root = document.trailer["/Root"]
    claim = root["/Metadata"].get_object().get_data().decode()
    fonts = [font.get_object() for page in document.pages for font in page["/Resources"]["/Font"].values()]
    inner = [child.get_object() for font in fonts for child in font.get("/DescendantFonts", [])]
    descriptors = [font["/FontDescriptor"].get_object() for font in (*fonts, *inner) if "/FontDescriptor" in font]
    wanted = {
        "claim": "<pdfaid:part>2</pdfaid:part>" in claim and "<pdfaid:conformance>U</pdfaid:conformance>" in claim,
        "output intent": root["/OutputIntents"][0]["/S"] == "/GTS_PDFA1",
        "fonts inside": bool(descriptors) and all({"/FontFile2", "/FontFile3"} & set(one) for one in descriptors),
        "fonts readable": all("/ToUnicode" in font for font in fonts),
        "not encrypted": not document.is_encrypted,
        "nothing active": not {"/OpenAction", "/AA", "/AcroForm"} & set(root) and "/JavaScript" not in root.get("/Names", {}),
    }
    return [name for name, holds in wanted.items() if not holds]


def test_closing_files_the_dossier_by_itself_and_once(case: Case) -> None:
    case.close()
    assert case.file() == 0, "the last receipts still come in"
    case.house.now += SETTLE_MS
    assert (case.file(Broken()), case.filed()) == (0, [])
    assert (case.file(), case.file()) == (1, 0)
    [filed] = case.filed()
    pdf = case.client.get(f"/api/v1/incidents/{case.ident}/dossiers/{filed['pdf_sha256']}.pdf")
    data = case.client.get(f"/api/v1/incidents/{case.ident}/dossiers/{filed['data_sha256']}.json")
    assert [hashlib.sha256(answer.content).hexdigest() for answer in (pdf, data)] == [filed["pdf_sha256"], filed["data_sha256"]]
    document = pypdf.PdfReader(io.BytesIO(pdf.content))
    text = "".join(page.extract_text() for page in document.pages)
    assert not_archival(document) == []
    for words in ("告警处置单", "空调滴水", "陈值班", "林一", "J102", filed["data_sha256"][:20], "漏水"):
        assert words in text.replace("\n", ""), words
    body = json.loads(data.content)
    assert (body["format"], body["incident"]["code"], body["alarms"][0]["number"]) == ("archivewatch-dossier/1", "human", case.alarm.number)
    assert body["alarms"][0]["messages"][0]["person_name"] == "林一"
    assert {one["quantity"] for one in body["readings"] if one["samples"]} >= {"leak", "temperature", "humidity"}
    assert body["incident"]["keep_until"] > body["incident"]["closed_at"]
    with case.house.db.read() as session:
        entry = audit.latest(session, action="incident.filed", subject=f"incident:{case.ident}")
        assert entry.detail["pdf_sha256"] == filed["pdf_sha256"]
        assert audit.latest(session, action="dossier.read", subject=f"incident:{case.ident}").actor == "陈值班"
        kinds = session.scalars(select(IncidentEntry.kind).where(IncidentEntry.incident == case.ident)).all()
        assert kinds[-1] == "filed"
    page = case.client.get(f"/incidents/{case.ident}").text
    assert filed["pdf_sha256"] in page


def test_what_is_added_later_is_filed_anew_and_a_damaged_file_is_not_given_out(case: Case) -> None:
    case.close()
    case.house.now += SETTLE_MS
    case.file()
    case.client.post(f"/api/v1/incidents/{case.ident}/log", json={"text": "次日复查无渗水"})
    case.house.now += M
    assert (case.file(), case.file()) == (1, 0)
    [second, first] = case.filed()
    assert (first["superseded"], second["superseded"]) == (True, False)
    path = f"/api/v1/incidents/{case.ident}/dossiers"
    assert "次日复查无渗水" in case.client.get(f"{path}/{second['data_sha256']}.json").text
    assert case.client.get(f"{path}/{first['pdf_sha256']}.pdf").status_code == 200
    file = path_of(case.house.folder / FOLDER, second["pdf_sha256"], "pdf")
    file.write_bytes(file.read_bytes() + b"x")
    assert case.client.get(f"{path}/{second['pdf_sha256']}.pdf").json()["code"] == "damaged"
    assert case.client.get(f"{path}/{'0' * 64}.pdf").status_code == 404
    assert case.client.get(f"{path}/{second['pdf_sha256']}.json").status_code == 404


def photograph(case: Case, content: bytes, **form: str):
    return case.client.post(f"/api/v1/incidents/{case.ident}/photos", files={"file": ("a.jpg", content, "image/jpeg")}, data=form)


def jpeg() -> bytes:
    picture, buffer = Image.new("RGB", (3000, 1000), (80, 90, 100)), io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Phone of 王工"
    picture.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_pictures_where_the_rooms_sheet_allows_them(case: Case) -> None:
    answer = photograph(case, jpeg(), note="水迹")
    assert answer.status_code == 201, answer.text
    [photo] = answer.json()
    assert (photo["by"], photo["note"]) == ("陈值班", "水迹")
    assert len(photograph(case, jpeg()).json()) == 1, "the same picture twice is one"
    shown = case.client.get(f"/api/v1/incidents/{case.ident}/photos/{photo['id']}")
    with Image.open(io.BytesIO(shown.content)) as picture:
        assert (picture.width, dict(picture.getexif())) == (2048, {})
    kept = next((case.house.folder / "photos" / "snapshots").rglob("*.jpg"))
    assert "王工".encode() not in kept.read_bytes()
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == photo["sha256"]
    assert photograph(case, b"GIF89a").status_code == 422
    assert case.client.get(f"/api/v1/incidents/{case.ident}/photos/999").status_code == 404
    case.close()
    case.house.now += SETTLE_MS
    case.file()
    with case.house.db.read() as session:
        row = session.scalar(select(Dossier).where(Dossier.incident == case.ident))
    assert photo["sha256"].encode() in path_of(case.house.folder / FOLDER, row.data_sha256, "json").read_bytes()
    document = pypdf.PdfReader(io.BytesIO(path_of(case.house.folder / FOLDER, row.pdf_sha256, "pdf").read_bytes()))
    [drawn] = [image.image for page in document.pages for image in page.images]
    assert (drawn.width, drawn.getpixel((10, 10))) == (720, (80, 90, 100)), "the picture itself is in the paper, not its hash alone"


def test_stills_are_in_the_paper_as_their_camera_is_covered(case: Case) -> None:
    content, sha256 = case.house.picture()
    with case.house.db.write() as session:
        session.add(
            Snapshot(
                room=ROOM,
                gateway="GW-1",
                device="cam",
                taken_at=case.house.now,
                received_at=case.house.now,
                sha256=sha256,
                bytes=len(content),
                reason="alarm",
            )
        )
        session.add(StillMask(gateway="GW-1", device="cam", areas=[[0, 0, 1, 0.5]], reason="隐私", by="管理员", at=case.house.now))
    stills.save(case.house.folder, content, sha256)
    case.close()
    case.house.now += SETTLE_MS
    case.file()
    with case.house.db.read() as session:
        row = session.scalar(select(Dossier).where(Dossier.incident == case.ident))
    document = pypdf.PdfReader(io.BytesIO(path_of(case.house.folder / FOLDER, row.pdf_sha256, "pdf").read_bytes()))
    [drawn] = [image.image.convert("RGB") for page in document.pages for image in page.images]
    upper = drawn.getpixel((drawn.width // 2, drawn.height // 4))
    assert max(abs(one - other) for one, other in zip(upper, (58, 64, 70), strict=True)) < 8, "what is covered shows nothing"


@pytest.mark.parametrize("rule", ["", "禁止拍照"])
def test_no_pictures_where_the_sheet_does_not_allow_them(case: Case, rule: str) -> None:
    with case.house.db.write() as session:
        session.get_one(RoomSheet, ROOM).body = {"photos": rule}
    answer = photograph(case, jpeg())
    assert (answer.status_code, rule in answer.json()["detail"]) == (409, True)
    assert not (case.house.folder / "photos").exists()
    assert "multipart/form-data" not in case.client.get(f"/incidents/{case.ident}").text
