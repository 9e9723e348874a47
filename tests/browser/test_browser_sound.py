"""The horn of the page in a real browser: heard by level until taken over or silenced, heard again for what is new, and honest when it is blocked."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from server.store.tables import EscalationStep
from tests.browser.test_browser_live import WAIT, Desk, desk, pytestmark
from tests.web.house import OTHER, ROOM

__all__ = ["desk", "pytestmark"]

SPY = """
window.tones = [];
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (at) { window.tones.push([this.frequency.value, this.context.state]); return start.call(this, at); };
"""
CRITICAL = 988


def listen(desk: Desk, address: str = "/") -> Page:
    page = desk.open(address)
    page.add_init_script(SPY)
    page.reload()
    page.mouse.click(5, 300)
    expect(page.locator("#link")).to_have_text("实时")
    return page


def tones(page: Page) -> list[float]:
    """The notes that were really started on a context that may sound."""
    return [hertz for hertz, state in page.evaluate("window.tones") if state == "running"]


def wait_for(page: Page, told: Callable[[], bool]) -> None:
    """Until something is so, at most WAIT; the pages forbid the browser to evaluate texts."""
    for _ in range(WAIT // 100):
        if told():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it never came")


def test_it_sounds_until_it_is_silenced_and_again_for_what_is_new(desk: Desk) -> None:
    page = listen(desk, "/alarms")
    assert tones(page) == []
    desk.house.smoke()
    wait_for(page, lambda: CRITICAL in tones(page))
    expect(page.locator("#horn")).to_contain_text("鸣响告警 1 条，最高特急")
    before = len(tones(page))
    wait_for(page, lambda: len(tones(page)) > before)  # it goes on while nobody answers
    page.click("#horn button")
    expect(page.locator("#horn")).to_be_hidden()
    page.evaluate("window.tones.length = 0")
    page.reload()  # silenced is silenced on the next page too
    expect(page.locator("#link")).to_have_text("实时")
    page.mouse.click(5, 300)
    wait_for(page, lambda: page.title().startswith("(1)"))
    expect(page.locator("#horn")).to_be_hidden()
    assert tones(page) == []
    desk.house.smoke(OTHER)
    wait_for(page, lambda: CRITICAL in tones(page))
    expect(page.locator("#horn")).to_contain_text("鸣响告警 1 条")
    assert {desk.house.alarm(room, "smoke").acked_by for room in (ROOM, OTHER)} == {""}, "silencing takes over nothing"
    with desk.house.db.read() as session:
        assert session.query(EscalationStep).filter_by(state="pending").count() == 2, "nor does it hold anybody back who is still to be told"


def test_a_level_is_chosen_and_off_is_off(desk: Desk) -> None:
    page = listen(desk)
    page.select_option("#sound select", "off")
    desk.house.smoke()
    wait_for(page, lambda: page.title().startswith("(1)"))
    expect(page.locator("#horn")).to_be_hidden()
    assert tones(page) == []
    page.select_option("#sound select", "critical")
    wait_for(page, lambda: CRITICAL in tones(page))


def test_a_browser_that_does_not_let_it_sound_is_said(desk: Desk) -> None:
    page = desk.open()
    fresh = page.context.new_page()
    fresh.add_init_script(SPY)
    fresh.goto(f"{desk.url}/")
    expect(fresh.locator("#link")).to_have_text("实时")
    desk.house.smoke()
    expect(fresh.locator("#horn")).to_contain_text("浏览器还不让本页发声")
    assert tones(fresh) == []
    fresh.mouse.click(5, 300)
    wait_for(fresh, lambda: CRITICAL in tones(fresh))
    expect(fresh.locator("#horn")).not_to_contain_text("浏览器还不让本页发声")


def test_the_horn_moves_nothing_under_the_thumb_and_fits_a_phone(desk: Desk) -> None:
    page = desk.open()
    fresh = page.context.new_page()
    fresh.add_init_script("Object.defineProperty(BaseAudioContext.prototype, 'state', {get: () => 'suspended'})")  # so that its text is the longest
    fresh.set_viewport_size({"width": 390, "height": 844})
    fresh.goto(f"{desk.url}/alarms?lang=en")  # the longer language
    expect(fresh.locator("#link")).to_have_text("live")

    def tops() -> list[float]:
        return [box["y"] for name in ("main", ".bar nav", "h1") if (box := fresh.locator(name).first.bounding_box())]

    quiet = tops()
    desk.house.smoke()
    horn = fresh.locator("#horn")
    expect(horn).to_contain_text("The browser lets nothing sound")
    assert tops() == quiet
    assert fresh.locator("#sound").evaluate("box => box.scrollHeight <= box.clientHeight"), "it is not cut either"
    assert fresh.evaluate("document.documentElement.scrollWidth") == 390
    fresh.get_by_role("button", name="Silence (is not taking over)").click()
    expect(horn).to_be_hidden()
    assert tops() == quiet
