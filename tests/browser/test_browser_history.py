"""History in a real browser: the range stands in the address, whether it came from a brush, the inputs, a key or a link; export to the end."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from server.series import Row
from server.store.tables import Alarm, Point
from server.store.tables_papers import ManualReading
from tests.browser.test_browser_live import CHROMIUM, SWITCHES, WAIT, Desk, needs_assets
from tests.web.house import COUNTY, OTHER, QUIET, ROOM, House

MINUTE, DAY_MS = 60_000, 86_400_000
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run the browser tests"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, free_port_of_module: int) -> Iterator[Desk]:
    """A house with a week behind it."""
    folder: Path = tmp_path_factory.mktemp("history")
    house = House(folder, now=None, ping_ms=1_000)
    house.birth()
    house.calm()
    house.calm(OTHER)
    _week(house)
    with sync_playwright() as playwright:
        running: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        made = Desk(house, free_port_of_module, running)
        made.start()
        yield made
        running.close()
    made.stop()
    house.close()


@pytest.fixture(scope="module")
def free_port_of_module() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _week(house: House) -> None:
    now = house.now
    with house.db.read() as session:
        points = {(row.room, row.quantity): row.id for row in session.query(Point).filter(Point.room.in_((ROOM, OTHER)), Point.channel != "outdoor")}
    instants = range(now - 7 * DAY_MS, now - DAY_MS // 2, 10 * MINUTE)
    levels = {"temperature": 20.5, "humidity": 55.0}
    house.store.write([Row(ident, at, levels[quantity], 2, at) for (_, quantity), ident in points.items() if quantity in levels for at in instants])
    opened = now - 3 * DAY_MS
    door = points[ROOM, "door"]
    house.store.write([Row(door, opened, 1.0, 2, opened), Row(door, opened + 20 * MINUTE, 0.0, 2, opened + 20 * MINUTE)])
    with house.db.write() as session:
        session.add(
            Alarm(
                subject=f"{ROOM}:humidity", rule="humidity_high", kind="threshold", quantity="humidity", room=ROOM, unit=COUNTY, state="normal",
                level="alarm", raised_at=now - 4 * DAY_MS, cleared_at=now - 4 * DAY_MS + 3_600_000, closed_at=now - 4 * DAY_MS + 3_600_000,
                number="H1",
            )
        )  # fmt: skip


def drawn(page: Page) -> None:
    """Both charts are there."""
    expect(page.locator(".chart canvas")).to_have_count(2, timeout=WAIT)


def shown(page: Page) -> tuple[int, int]:
    chart = page.locator(".chart").first
    return int(chart.get_attribute("data-start") or 0), int(chart.get_attribute("data-end") or 0)


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


@needs_assets
def test_a_brush_goes_into_the_address_and_back(desk: Desk) -> None:
    page = desk.open(f"/rooms/{ROOM}/history")
    drawn(page)
    whole = shown(page)
    plot = page.locator(".chart .u-over").first.bounding_box()
    assert plot is not None
    page.mouse.move(plot["x"] + plot["width"] * 0.25, plot["y"] + 60)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.5, plot["y"] + 80, steps=5)
    with page.expect_navigation():
        page.mouse.up()
    drawn(page)
    start, end = shown(page)
    width = whole[1] - whole[0]
    assert abs(start - (whole[0] + 0.25 * width)) < 0.02 * width
    assert abs(end - (whole[0] + 0.5 * width)) < 0.02 * width
    assert {"since", "until", "quantity"} <= asked(page).keys()
    page.reload()
    drawn(page)
    assert shown(page) == (start, end), "the address is the state"
    page.go_back()
    drawn(page)
    assert abs(shown(page)[0] - whole[0]) < 5 * MINUTE
    assert desk.complaints == []


@needs_assets
def test_inputs_keys_comparison_and_the_copied_link(desk: Desk) -> None:
    page = desk.open(f"/rooms/{ROOM}/history")
    drawn(page)
    since, until = page.input_value("#since"), page.input_value("#until")
    page.fill("#since", f"{since[:10]}T12:00")
    with page.expect_navigation():
        page.click("[data-range]")
    assert asked(page)["since"] == [f"{since[:10]}T12:00"]
    assert asked(page)["until"] == [until]
    with page.expect_navigation():
        page.select_option("select[name=beside]", OTHER)
    drawn(page)
    assert asked(page)["beside"] == [OTHER]
    expect(page.locator(".u-legend").first).to_contain_text("二号库房")
    before = shown(page)
    page.locator(".chart").first.focus()
    with page.expect_navigation():
        page.keyboard.press("ArrowLeft")
    drawn(page)
    assert shown(page)[0] < before[0]
    assert asked(page)["beside"] == [OTHER]
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("已复制")
    assert desk.complaints == []


@needs_assets
def test_alarms_and_doors_are_drawn_and_listed(desk: Desk) -> None:
    page = desk.open(f"/rooms/{ROOM}/history")
    drawn(page)
    box = page.locator(".chart").first
    assert "-alarm" in (box.get_attribute("data-alarms") or "")  # a slow machine adds sensors that were silent for a while
    assert len((box.get_attribute("data-doors") or "").split(",")) == 1
    expect(page.locator("#happened")).to_contain_text(re.compile("告警 [1-9][0-9]* 条，开门 1 次"))
    # The bars: the alarm's colour on the uppermost row of the plot, somewhere.
    colours = page.evaluate(
        """() => { const u = document.querySelector('.chart canvas'); const w = u.width, d = u.getContext('2d').getImageData(0, 0, w, u.height).data;
        const want = getComputedStyle(document.documentElement).getPropertyValue('--alarm').trim().match(/[0-9a-f]{2}/gi).map((h) => parseInt(h, 16));
        let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i] === want[0] && d[i + 1] === want[1] && d[i + 2] === want[2]) n += 1; return n; }"""
    )
    assert colours >= 5
    page.locator("#happened summary").first.click()
    expect(page.locator("#happened table").first).to_contain_text("湿度过高")


def test_an_export_is_a_job_with_a_file_at_its_end(desk: Desk) -> None:
    page = desk.open(f"/rooms/{ROOM}/history")
    form = page.locator("form[action$='/history/export']")
    form.locator("[name=format]").select_option("json")
    form.locator("button.primary").click()
    page.wait_for_url("**/papers?job=*")
    expect(page.locator("#jobs")).to_contain_text("排队")
    assert desk.house.desk.run_once(desk.house.now) is not None
    link = page.locator("#jobs tr.waiting a[download]")
    expect(link).to_be_visible(timeout=WAIT)
    with page.expect_download() as coming:
        link.click()
    rows = json.loads(Path(coming.value.path()).read_text("utf-8"))
    assert {row["quantity"] for row in rows} >= {"温度", "湿度"}
    assert len({row["time"] for row in rows}) > 900


def test_a_reading_is_entered_on_a_phone(desk: Desk) -> None:
    page = desk.open(f"/rooms/{QUIET}/readings")
    page.set_viewport_size({"width": 390, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the phone"
    page.fill("[name=temperature]", "21.5")
    page.fill("[name=humidity]", "54")
    page.locator("form[action$='/readings'] button[type=submit]").first.click()
    expect(page.locator("main")).to_contain_text("21.5", timeout=WAIT)
    with desk.house.db.read() as session:
        (entry,) = session.query(ManualReading).filter_by(room=QUIET).all()
        assert (entry.temperature, entry.humidity) == (21.5, 54.0)
