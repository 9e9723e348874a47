"""Papers as files, read back by other libraries: PDF by pypdf, XLSX by calamine, DOCX by python-docx."""

import csv
import io
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import docx
import pytest
from pypdf import PdfReader
from python_calamine import CalamineWorkbook

from server.pool import Pool
from server.reports.paper import Curve, Facts, Line, Text
from server.reports.period import HOUR_MS, parse_period
from server.reports.render import FORMATS, render
from server.reports.render.parts import FormError, svg
from tests.reports.test_report_parts import paper

EVIL = ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx")


def rich() -> object:
    made = paper()
    curve = Curve(
        title="温度", unit="℃", since=parse_period("2026-10").since, step_ms=HOUR_MS, low=14, high=24,
        lines=(Line(name="库内 <b>", values=(20.0, None, 22.5)), Line(name="室外", values=(None, None, None), dashed=True)),
    )  # fmt: skip
    sheet = made.sheets[0]
    blocks = (*sheet.blocks, Text(title="结论", paragraphs=("多耗 11 天 <script>",), numbered=True), Facts(pairs=(("覆盖", "98.1 %"),)), curve)
    return paper(kind="climate", sheets=(type(sheet)(title=sheet.title, subject="#[evil] *", blocks=blocks, signatures=("编制",)),))


@pytest.mark.parametrize("make", [paper, rich])
def test_pdf_is_archivable_chinese_and_carries_its_digest(make: object) -> None:
    made = make()  # type: ignore[operator]
    content = render(made, "pdf")
    reader = PdfReader(io.BytesIO(content))
    assert b"pdfaid:part" in content or "pdfaid" in str(reader.xmp_metadata and reader.trailer["/Root"]["/Metadata"].get_object().get_data())
    text = "".join(page.extract_text() for page in reader.pages)
    assert "登记表" in text
    assert made.digest[:16] in text
    fonts = {str(font.get_object()["/BaseFont"]) for page in reader.pages for font in page["/Resources"]["/Font"].values()}
    assert any("NotoSerifSC" in name for name in fonts)
    assert render(made, "pdf") == content  # the same paper is the same file


def test_xlsx_holds_numbers_as_numbers_and_text_as_text() -> None:
    made = paper()
    rows = CalamineWorkbook.from_filelike(io.BytesIO(render(made, "xlsx"))).get_sheet_by_index(0).to_python()
    flat = [cell for row in rows for cell in row]
    assert 1.25 in flat
    assert "缺测" in flat
    assert "'=1+1" in flat
    assert any(made.digest in str(cell) for cell in flat)


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_no_spreadsheet_runs_a_text(evil: str, ending: str) -> None:
    sheet = paper().sheets[0]
    made = paper(subject=evil, sheets=(type(sheet)(title=evil, subject=evil, pairs=((evil, evil),), notes=(evil,), signatures=()),))
    content = render(made, ending)
    if ending == "csv":
        cells = [cell for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for cell in row]
    else:
        cells = [str(cell) for row in CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python() for cell in row]
        assert b"<f>" not in content
    assert cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]


def test_csv_has_the_mark_that_excel_wants() -> None:
    content = render(paper(), "csv")
    assert content.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in content
    assert "甲,1.25" in content.decode("utf-8-sig")


def test_json_carries_the_digest_and_what_it_covers() -> None:
    made = paper()
    document = json.loads(render(made, "json"))
    assert document["digest"] == made.digest
    assert document["sheets"][0]["blocks"][0]["rows"] == [["甲", 1.25], ["=1+1", None]]


def test_html_is_escaped_and_stands_alone() -> None:
    text = render(rich(), "html").decode()  # type: ignore[arg-type]
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "库内 &lt;b&gt;" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_docx_can_be_edited_and_takes_a_letterhead(tmp_path: Path) -> None:
    letterhead = docx.Document()
    letterhead.add_paragraph("福州市公安局文件")
    letterhead.save(str(tmp_path / "paper.docx"))
    document = docx.Document(io.BytesIO(render(rich(), "docx", tmp_path)))  # type: ignore[arg-type]
    texts = [paragraph.text for paragraph in document.paragraphs]
    assert texts[0] == "福州市公安局文件"
    assert "1. 多耗 11 天 <script>" in texts
    assert [cell.text for cell in document.tables[0].rows[1].cells] == ["甲", "1.2"]


def test_an_operators_form_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "register.typ").write_text('#import "base.typ": *\n#show: form\n本局自用格式 #paper.subject', "utf-8")
    text = PdfReader(io.BytesIO(render(paper(), "pdf", tmp_path))).pages[0].extract_text()
    assert "本局自用格式" in text
    assert "一号库房" in text
    (tmp_path / "register.typ").write_text("#nonsense()", "utf-8")
    with pytest.raises(FormError, match=r"register\.typ"):
        render(paper(), "pdf", tmp_path)
    (tmp_path / "paper.html").write_text("{{ paper.subject }", "utf-8")
    with pytest.raises(FormError, match=r"paper\.html"):
        render(paper(), "html", tmp_path)


def test_a_curve_leaves_gaps_open() -> None:
    drawn = svg(Curve(title="", unit="", since=0, step_ms=1, lines=(Line(name="x", values=(1.0, 2.0, None, 3.0, 4.0)),)))
    path = next(part for part in drawn.split("<path ") if "stroke-linejoin" in part)
    assert path.count("M") == 2


def test_the_worker_renders_and_comes_back_after_its_death(tmp_path: Path) -> None:
    pool = Pool()
    try:
        assert pool.run(render, paper(), "csv", None) == render(paper(), "csv")
        with pytest.raises(KeyError):
            pool.run(render, paper(), "odt", None)
        assert pool.run(_die_once, str(tmp_path / "died")) == "alive"
    finally:
        pool.close()


def test_a_closed_pool_does_not_wait_for_its_worker(tmp_path: Path) -> None:
    pool = Pool()
    begun = tmp_path / "begun"
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(pool.run, _hang, str(begun))
        while not begun.exists():
            assert not waiting.done(), waiting.exception()
        pool.close()
        with pytest.raises(BrokenProcessPool):
            waiting.result()
    with pytest.raises(BrokenProcessPool):
        pool.run(render, paper(), "csv", None)


def _hang(begun: str) -> None:
    Path(begun).touch()
    threading.Event().wait()


def _die_once(mark: str) -> str:
    path = Path(mark)
    if not path.exists():
        path.write_text("x")
        os._exit(1)
    return "alive"


def test_every_ending_has_a_media_type() -> None:
    assert set(FORMATS) == {"pdf", "xlsx", "docx", "html", "csv", "json"}
