"""Cells that a spreadsheet would run, addresses that must not be called, names across pictures."""

import csv
import io

import pytest
from PIL import Image, ImageChops

from server import net_guard, safe_cells, watermark

FORMULAS = [
    "=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "＝1+1", "＋1", "－1", "＠x", "=HYPERLINK(\"http://e\")",
    "|calc", "%0A=1", "=cmd|' /C calc'!A0", "\u202e=1",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_would_run_is_inert(text: str) -> None:
    assert safe_cells.cell(text) == f"'{text}"
    row = next(csv.reader(io.StringIO(safe_cells.csv_text([[text, -3.5, 7]]).removeprefix("\ufeff"), newline="")))
    assert row[0].startswith("'")
    assert row[1:] == ["-3.5", "7"]


@pytest.mark.parametrize("value", ["甲库", "1 号 = 西", "", None, -3, 2.5, "a-b", "'=1"])
def test_everything_else_is_left_alone(value: object) -> None:
    assert safe_cells.cell(value) == value


DEVICES = ("10.20.0.0/16",)
NAMES = {
    "camera.example": ["10.20.3.4"],
    "both.example": ["10.20.3.4", "127.0.0.1"],
    "meta.example": ["169.254.169.254"],
    "six.example": ["::ffff:127.0.0.1"],
}


def resolve(host: str, port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    return net_guard._resolve(host, port)  # numbers only: nothing is asked


@pytest.mark.parametrize("url", ["http://camera.example/snap", "https://10.20.255.1:8443/x", "http://[::ffff:10.20.1.1]/"])
def test_addresses_of_the_device_network_are_pinned(url: str) -> None:
    target = net_guard.check(url, DEVICES, resolve=resolve)
    assert target.address.removeprefix("::ffff:").startswith("10.20.")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://0.0.0.0/", "http://0/", "http://169.254.169.254/latest", "http://2130706433/", "http://0x7f000001/",
        "http://0177.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://127.1/", "http://both.example/", "http://meta.example/", "http://six.example/",
        "http://10.20.1.1@127.0.0.1/", "http://user:pw@10.20.1.1/", "http://10.20.1.1\\@127.0.0.1/", "http://10.20.1.1 /", "http://10.21.0.1/",
        "file:///etc/passwd", "unix:/run/x.sock", "gopher://10.20.1.1/", "//10.20.1.1/", "http:///x", "http://[fe80::1]/", "http://10.20.1.1:99999/",
        "http://[2002:7f00:1::]/", "http://224.0.0.1/",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(net_guard.ForbiddenTargetError):
        net_guard.check(url, (*DEVICES, "0.0.0.0/0", "::/0") if "169.254" in url or "224." in url or "fe80" in url else DEVICES, resolve=resolve)


def test_a_name_is_across_the_picture_and_the_original_is_untouched() -> None:
    plain = Image.new("RGB", (640, 360), (90, 90, 90))
    buffer = io.BytesIO()
    plain.save(buffer, "PNG")
    content = buffer.getvalue()
    text = watermark.line("陈值班", "350102000000", 1_790_000_000_000)
    assert text == "陈值班 350102000000 2026-09-21 22:13:20"
    marked = Image.open(io.BytesIO(watermark.still(content, text)))
    difference = ImageChops.difference(marked, plain).convert("L").point(lambda value: 255 if value > 20 else 0)
    quarters = [(0, 0, 320, 180), (320, 0, 640, 180), (0, 180, 320, 360), (320, 180, 640, 360)]
    assert all(difference.crop(quarter).getbbox() for quarter in quarters), "cropping any part away leaves the name on the rest"
    assert buffer.getvalue() == content
    assert "&lt;b&gt;" in watermark.svg("<b>")
