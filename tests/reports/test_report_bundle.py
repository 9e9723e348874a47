"""Papers of many rooms as one ZIP: a PDF for each unit or county and an index whose hashes are those of the files; what is too long is refused."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypdf import PdfReader

from server.reports import bundle, desk
from server.reports.desk import Desk, Here, TooLargeError, Wanted
from server.reports.period import parse_period
from server.reports.sources import Sources
from server.series.embedded import EmbeddedStore
from server.store.session import Database
from server.store.tables import Room, Unit
from server.store.tables_papers import ExportJob
from tests.fresh import fresh

TOP, PERIOD = "350000000000", "2026-10-01..2026-10-02"
NOW = parse_period("2026-11").since


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two counties: one with two units of a room each, one with a unit of two rooms."""
    folder: Path = tmp_path_factory.mktemp("bundle")
    db, store = Database(fresh(folder / "aw.db")), EmbeddedStore(folder / "series")
    with db.write() as session:
        session.add(Unit(code=TOP, parent=None, level=1, name="省局", short_name="省局"))
        session.flush()
        for code, name in (("350102000000", "鼓楼分局"), ("350102010000", "东街所"), ("350103000000", "台江分局")):
            session.add(Unit(code=code, parent=TOP, level=3, name=name, short_name=name))
        session.flush()
        for code in ("350102000000-01", "350102010000-01", "350103000000-01", "350103000000-02"):
            session.add(Room(code=code, unit=code[:12], name=f"库房{code[-2:]}", short_name="库", sms_place="库"))
    sources = Sources(db=db, store=store, bands=lambda _room: {}, generator="test")
    yield Desk(sources, Here(), folder / "papers")
    store.close()
    db.close()


def wanted(**values: object) -> Wanted:
    return Wanted(**({"kind": "register", "code": TOP, "period": PERIOD, "ending": "zip", "by": "李检查", "options": {}} | values))  # type: ignore[arg-type]


def opened(office: Desk, job: ExportJob) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    assert job.state == "done", job.error
    with zipfile.ZipFile(office.path(job)) as book:
        assert book.testzip() is None
        files = {name: book.read(name) for name in book.namelist()}
    return files, list(csv.DictReader(io.StringIO(files["目录.csv"].decode("utf-8-sig"))))


def test_a_document_for_each_unit_and_an_index_that_proves_them(office: Desk) -> None:
    job = office.make_now(wanted(), NOW)
    files, index = opened(office, job)
    assert [(row["名称"], row["库房数"], row["页数"]) for row in index] == [("鼓楼分局", "1", "1"), ("东街所", "1", "1"), ("台江分局", "2", "2")]
    for row in index:
        assert hashlib.sha256(files[row["文件"]]).hexdigest() == row["文件 SHA-256"]
    assert files.keys() == {*(row["文件"] for row in index), "目录.csv", "目录.pdf"}
    assert job.digest == hashlib.sha256(files["目录.csv"]).hexdigest()
    assert (job.done, job.total, job.file_name) == (4, 4, f"省局_档案库房温湿度登记表_{PERIOD}.zip")
    pages = PdfReader(io.BytesIO(files["0003_台江分局.pdf"])).pages
    assert len(pages) == 2
    assert "李检查" in pages[0].extract_text(), "who made it stands on every page"
    assert "台江分局" in PdfReader(io.BytesIO(files["目录.pdf"])).pages[0].extract_text()


def test_many_units_come_by_county(office: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_UNITS", 2)
    _, index = opened(office, office.make_now(wanted(), NOW))
    assert [(row["编号"], row["库房数"]) for row in index] == [("350102000000", "2"), ("350103000000", "2")]


def test_what_is_too_long_for_one_document_is_refused_with_the_way_out(office: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.bundle, "MOST_SHEETS", 3)
    with pytest.raises(TooLargeError, match="ZIP"):
        office.order(wanted(ending="pdf"), NOW)
    assert office.make_now(wanted(ending="csv"), NOW).state == "done", "data files have no pages"
    with pytest.raises(TooLargeError, match="只有一份"):
        office.order(wanted(kind="inspection"), NOW)
