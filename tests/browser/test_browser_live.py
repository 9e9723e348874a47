"""The screens in a real browser: what a duty officer sees, and what he sees when the line is dead."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from server.series import Row
from server.store.tables import Point
from tests.web.house import OTHER, PASSWORD, ROOM, House, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BUILT = (Path(__file__).parents[2] / "dashboards/static/vendor/manifest.json").exists()
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--autoplay-policy=document-user-activation-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 30_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run the browser tests"),
]
needs_assets = pytest.mark.skipif(not BUILT, reason="third-party files are not built: run make assets")


class Desk:
    """A duty officer's browser in front of a living house."""

    def __init__(self, house: House, port: int, browser: Browser) -> None:
        self.house, self.port, self._browser = house, port, browser
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._server = ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server.enter_context(serving(self.house, self.port))

    def stop(self) -> None:
        self._server.close()

    def open(self, address: str = "/", *, login: str = "duty", **options: object) -> Page:
        """A page, signed in through the form."""
        context = self._browser.new_context(viewport={"width": 1366, "height": 768}, **options)  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{self.url}/login?next={address}")
        page.fill("[name=login]", login)
        page.fill("[name=password]", PASSWORD)
        page.click("button.primary")
        page.wait_for_url(f"{self.url}{address}")
        return page


@pytest.fixture
def desk(tmp_path: Path, free_port: int, browser: Browser) -> Iterator[Desk]:
    house = House(tmp_path, now=None, ping_ms=1_000)
    house.birth()
    house.calm()
    house.calm(OTHER)
    desk = Desk(house, free_port, browser)
    desk.start()
    yield desk
    for context in browser.contexts:
        context.close()
    desk.stop()
    house.close()


def tile(page: Page, room: str = ROOM):
    return page.locator(f'[data-room="{room}"]')


def test_the_board_is_live_and_asks_nobody_else(desk: Desk) -> None:
    page = desk.open()
    expect(page.locator("#link")).to_have_text("实时")
    expect(tile(page)).to_contain_text("正常")
    expect(tile(page).locator('[data-quantity="temperature"] [data-f="value"]')).to_have_text("21.4")
    assert {urlsplit(address).netloc for address in desk.requests} == {urlsplit(desk.url).netloc}
    assert desk.complaints == []


def test_a_tile_follows_its_room_without_a_reload(desk: Desk) -> None:
    page = desk.open()
    expect(page.locator("#link")).to_have_text("实时")
    page.evaluate("window.same = true")
    desk.house.send(temperature=23.9, humidity=64)
    expect(tile(page).locator('[data-quantity="temperature"] [data-f="value"]')).to_have_text("23.9", timeout=WAIT)
    expect(tile(page).locator('[data-quantity="humidity"] [data-f="side"]')).to_have_text("高于范围")
    desk.house.smoke(OTHER)
    expect(tile(page, OTHER)).to_have_attribute("data-state", "critical", timeout=WAIT)
    expect(page.locator(".tile").first).to_contain_text("二号库房")
    expect(page.locator('[data-group="critical"] [data-f="count"]')).to_have_text("1")
    expect(page).to_have_title("(1) 值守台 · 档案用房智能值守")
    assert page.evaluate("window.same")


def test_ages_tick_and_a_value_past_its_deadline_turns_stale(desk: Desk) -> None:
    page = desk.open()
    value = tile(page).locator('[data-quantity="temperature"]')
    expect(value).to_contain_text("有效")
    expect(page.locator("#link")).to_have_text("实时")  # the first snapshot has come: nothing brings the time back
    # The page itself must know, even if no event came: its own clock is moved, the server's is not.
    page.evaluate("document.querySelectorAll('[data-until]').forEach((e) => { e.dataset.until = '1'; })")
    expect(value).to_contain_text("过期")
    expect(value).to_have_class("reading q-stale")


def test_a_dead_line_turns_the_page_grey_and_a_new_one_brings_it_back(desk: Desk) -> None:
    page = desk.open()
    expect(page.locator("#link")).to_have_text("实时")
    desk.stop()
    expect(page.locator("#link")).to_have_text("重连中", timeout=WAIT)
    expect(page.locator("#lost")).to_contain_text("数据停止于", timeout=WAIT)
    expect(page.locator("#link")).to_contain_text("已断开")
    expect(page.locator("body")).to_contain_class("link-dead")
    expect(tile(page).locator(".mark")).to_be_hidden()  # nothing says 正常 without fresh data
    assert page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    desk.house.calm()
    desk.start()
    expect(page.locator("#link")).to_have_text("实时", timeout=60_000)
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("body")).not_to_contain_class("link-dead")
    expect(tile(page).locator(".mark")).to_be_visible()


@needs_assets
def test_taking_over_with_a_note_and_undoing_it(desk: Desk) -> None:
    ident = desk.house.smoke()
    page = desk.open("/alarms")
    row = page.locator(f'[data-alarm-row="{ident}"]')
    expect(row).to_contain_text("告警·待接手")
    row.get_by_text("接手", exact=True).click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("烟感告警")
    dialog.get_by_label("已到场查看").check()
    dialog.get_by_label("补充说明").fill("门外无烟味")
    dialog.get_by_role("button", name="接手").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#toast")).to_contain_text("已接手")
    expect(row).to_contain_text("告警·已接手")
    expect(row).to_contain_text("陈值班")
    assert desk.house.alarm(ROOM, "smoke").note == "已到场查看；门外无烟味"
    page.locator("#toast").get_by_role("button", name="撤销").click()
    expect(page.locator("#toast")).to_contain_text("已撤销接手")
    expect(row).to_contain_text("告警·待接手")
    assert desk.house.alarm(ROOM, "smoke").acked_by == ""
    assert desk.complaints == []


@needs_assets
def test_a_refusal_is_said_inside_the_dialog(desk: Desk) -> None:
    ident = desk.house.smoke()
    page = desk.open("/alarms")
    row = page.locator(f'[data-alarm-row="{ident}"]')
    row.get_by_role("link", name="接手").click()
    dialog = page.locator("dialog")
    taken = desk.house.client("in_charge").post(f"/api/v1/alarms/{ident}/acknowledge", json={"note": ""})
    assert taken.status_code == 200
    dialog.get_by_role("button", name="接手").last.click()
    expect(dialog.get_by_role("alert")).to_contain_text("已由in_charge接手，你的答复已记录。")
    expect(dialog).to_be_visible()


@needs_assets
def test_what_one_person_may_not_pause_is_not_offered_and_the_page_says_why(desk: Desk) -> None:
    ident = desk.house.smoke()
    page = desk.open("/alarms")
    row = page.locator(f'[data-alarm-row="{ident}"]')
    expect(row.get_by_role("link", name="接手")).to_be_visible()
    expect(row.get_by_text("暂停提醒")).to_have_count(0)
    row.get_by_role("link", name="不能暂停").click()
    expect(page.locator("#commands")).to_contain_text("可由两人共同停用")
    expect(page.locator("#shelve")).to_have_count(0)


@needs_assets
def test_a_room_shows_charts_values_and_tables(desk: Desk) -> None:
    _fill(desk.house)
    page = desk.open(f"/rooms/{ROOM}")
    expect(page.locator(".chart canvas")).to_have_count(4)
    expect(page.locator(".u-legend").first).to_contain_text("室外参考")
    desk.house.send(temperature=22.7)
    expect(page.locator(".points")).to_contain_text("22.7", timeout=WAIT)
    page.locator("summary", has_text="表格").first.click()
    expect(page.locator(".chartbox tbody tr").first).to_be_visible()
    assert desk.complaints == []


def test_everything_works_without_scripts(desk: Desk) -> None:
    ident = desk.house.smoke()
    page = desk.open(java_script_enabled=False)
    assert tile(page).inner_text().count("21.4") == 1
    page.goto(f"{desk.url}/alarms")
    page.locator(f'[data-alarm-row="{ident}"]').get_by_text("接手", exact=True).click()
    page.locator("#acknowledge").get_by_label("已报修").check()
    page.locator("#acknowledge").get_by_role("button", name="接手").click()
    assert "已接手。" in page.locator(".said").inner_text()
    assert desk.house.alarm(ROOM, "smoke").note == "已报修"


def test_an_ended_session_is_said(desk: Desk) -> None:
    page = desk.open()
    expect(page.locator("#link")).to_have_text("实时")
    page.context.clear_cookies()
    desk.stop()
    desk.start()
    expect(page.locator("#lost")).to_contain_text("登录已过期", timeout=60_000)


@pytest.mark.parametrize("address", ["/", "/alarms", "/sms", f"/rooms/{ROOM}", "/alarms/1", "/?lang=en"])
def test_no_page_overflows_or_complains(desk: Desk, address: str, check: Callable[[Page], None]) -> None:
    desk.house.tell(desk.house.smoke())
    page = desk.open(address)
    check(page)
    page.set_viewport_size({"width": 360, "height": 740})
    check(page)
    assert desk.complaints == []


@pytest.fixture
def check() -> Callable[[Page], None]:
    """Nothing sticks out sideways, every control has a name, targets are large enough (WCAG 2.2: 24 px)."""
    script = """() => {
      const wrong = [];
      if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wrong.push(`wide ${document.documentElement.scrollWidth}`);
      for (const e of document.querySelectorAll('main button, main .button, main input:not([type=hidden]), main select, header button')) {
        if (e.closest('details:not([open])')) continue;
        const box = e.getBoundingClientRect();
        const label = e.closest('label') || e;
        const name = (label.innerText || e.getAttribute('aria-label') || e.placeholder || '').trim();
        if (box.width && !name) wrong.push(`no name: ${e.outerHTML.slice(0, 90)}`);
        if (box.width && label.getBoundingClientRect().height < 24) wrong.push(`small: ${e.outerHTML.slice(0, 90)}`);
      }
      return wrong;
    }"""

    def run(page: Page) -> None:
        assert page.evaluate(script) == []

    return run


def _fill(house: House) -> None:
    """Thirty days of history, a point an hour, for the inside and the outside probe."""
    with house.db.read() as session:
        points = session.query(Point).filter(Point.room == ROOM, Point.quantity.in_(("temperature", "humidity"))).all()
    first = house.now - house.now % 3_600_000 - 30 * 86_400_000
    house.store.write([Row(p.id, first + 600_000 * i, 20.0 + i % 7 / 2, 2, first + 600_000 * i) for p in points for i in range(30 * 144)])


def test_a_click_on_the_floor_plan_marks_a_point_there(desk: Desk, tmp_path: Path) -> None:
    address = f"/rooms/{ROOM}/sheet"
    picture, _ = desk.house.picture()
    (tmp_path / "plan.jpg").write_bytes(picture)
    page = desk.open(address, login="system")
    page.locator("details", has_text="上传平面图").locator("summary").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "plan.jpg")
    page.get_by_role("button", name="上传").click()
    plan = page.locator("[data-plan]")
    plan.scroll_into_view_if_needed()
    box = plan.bounding_box()
    assert box is not None
    plan.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
    form = page.locator("[data-marking] form")
    expect(form).to_be_visible()
    x, y = (float(form.locator(f"[name='cell.{name}']").input_value()) for name in "xy")
    assert (round(x), round(y)) == (25, 50)
    expect(plan.locator("circle.new")).to_have_count(1)
    chosen = form.locator("select option").nth(1).inner_text()
    form.locator("select").select_option(index=1)
    for reason in form.locator("[name=reason]").all():
        reason.fill("新装探头")
    form.get_by_role("button", name="保存").click()
    circle = page.locator("[data-plan] circle:not(.new)")
    expect(circle).to_have_count(1)
    assert abs(float(circle.get_attribute("cx") or 0) - 160) < 2, "a quarter of 640"
    assert chosen in (circle.locator("title").text_content() or "")
    assert desk.complaints == []
