"""What a person on duty does at three in the morning, in a real browser: take over for who answered by phone, answer an incident in
place, read the card without the network; and by day, put a rotation together by name."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from server.duty.cards import default_cards
from server.duty.incidents import Incidents
from server.store.tables import Alarm, EscalationStep, Notification, Person
from server.store.tables_duty import Roster
from server.store.tables_incident import Incident
from tests.browser.test_browser_live import WAIT, Desk, needs_assets, pytestmark  # noqa: F401 - the marks of all browser tests
from tests.web.house import COUNTY, House


@pytest.fixture
def desk(tmp_path, free_port: int, browser: Browser) -> Iterator[Desk]:
    house = House(tmp_path, now=None)
    house.birth()
    house.calm()
    made = Desk(house, free_port, browser)
    made.start()
    yield made
    made.stop()
    house.close()


def damp(nth: int) -> Alarm:
    return Alarm(
        open_key=f"damp-{nth}", subject=f"unit:{COUNTY}", rule="humidity_high", kind="threshold", quantity="humidity", unit=COUNTY,
        state="active_unacked", level="alarm", raised_at=nth, number=f"00000{nth}",
    )  # fmt: skip


@needs_assets
def test_taking_over_for_who_answered_by_phone_is_two_clicks(desk: Desk) -> None:
    ident = desk.house.smoke()
    with desk.house.db.write() as session:
        alarm, step = session.get_one(Alarm, ident), session.scalar(select(EscalationStep.id).where(EscalationStep.alarm == ident))
        session.add(
            Notification(
                escalation_step=step, alarm=ident, unit=alarm.unit, reason="raised", step=0, person=1, person_name="林一", phone="+8613900001111",
                channel="twilio_voice", number=alarm.number, text="", created_at=desk.house.now, due=desk.house.now, state="sent",
            )
        )  # fmt: skip
        session.add(damp(1))
    page = desk.open("/alarms")
    # What was ticked with the keys stays ticked and in focus while the list goes on: an alarm that is raised meanwhile is seen.
    box = page.locator('input[name="alarm"]')
    expect(box).to_have_count(1)
    box.focus()
    page.keyboard.press("Space")
    with desk.house.db.write() as session:
        session.add(damp(2))
    page.evaluate("document.dispatchEvent(new Event('aw:snapshot'))")
    expect(box).to_have_count(2, timeout=WAIT)
    expect(page.locator('input[name="alarm"]:checked:focus')).to_have_count(1)
    page.evaluate("window.clicks = 0; document.addEventListener('click', () => { window.clicks += 1; }, true)")
    row = page.locator(f'[data-alarm-row="{ident}"]')
    row.get_by_text("接手", exact=True).click()
    page.locator("dialog").get_by_role("button", name="林一").click()
    expect(row).to_contain_text("告警·已接手", timeout=WAIT)
    expect(row).to_contain_text("林一")
    assert page.evaluate("window.clicks") == 2


def test_the_cards_are_read_without_the_network_until_signing_out(desk: Desk) -> None:
    page = desk.open()
    page.evaluate("async () => { while (!(await caches.match('/duty/cards/kept-at'))) await new Promise((done) => setTimeout(done, 50)); }")
    desk.stop()
    page.goto(f"{desk.url}/incidents")
    expect(page.locator("h1")).to_contain_text("处置卡夹")
    expect(page.locator("body")).to_contain_text("如果现在连不上中心")
    page.locator("summary").first.click()
    expect(page.locator(".card").first).to_contain_text("烟感告警")
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderTopStyle") == "solid", "with its style sheet"
    desk.start()
    page.goto(f"{desk.url}/incidents")
    expect(page.locator("h1")).to_have_text("事件")
    page.get_by_role("button", name="退出").click()
    page.wait_for_url("**/login")
    assert not page.evaluate("() => caches.match('/duty/cards').then((found) => found !== undefined)"), "names and numbers do not stay behind"


@needs_assets
def test_an_incident_is_answered_in_place_and_by_the_same_digits(desk: Desk) -> None:
    ident = desk.house.smoke()
    Incidents(desk.house.db, desk.house.store, default_cards(), lambda _alarm, _note: None).run_once(desk.house.now)
    with desk.house.db.read() as session:
        incident = session.scalars(select(Incident.id)).one()
    page = desk.open(f"/incidents/{incident}")
    expect(page.locator(".answers kbd")).to_have_text(["1", "2", "3", "4", "5"])
    page.keyboard.press("1")
    page.locator("dialog").get_by_role("button", name="接手", exact=True).click()
    expect(page.locator("#list")).to_contain_text("告警·已接手", timeout=WAIT)
    assert page.url.endswith(f"/incidents/{incident}")
    with desk.house.db.read() as session:
        assert session.get_one(Alarm, ident).acked_by == "陈值班"


def test_a_rotation_is_put_together_by_name_and_pinyin(desk: Desk) -> None:
    with desk.house.db.write() as session:
        session.add(Person(id=900, code="d900", name="周夜", unit=COUNTY))
        session.add(Person(id=901, code="d901", name="吴昼", unit=COUNTY))
    page = desk.open("/duty")
    form = page.locator("#roster form")
    form.get_by_label("班次").fill("夜班")
    while (out := form.get_by_label("去掉")).count():
        out.first.click()
    for turn, typed in ((1, "zhouye"), (1, "wz"), (2, "d901")):
        field = form.get_by_label(f"第 {turn} 轮")
        field.fill(typed)
        field.press("Enter")
    form.get_by_role("button", name="保存班次").click()
    expect(page.locator(".month")).to_contain_text("周夜 吴昼", timeout=WAIT)
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    expect(page.locator(".month th.today")).to_be_in_viewport(ratio=0.9)
    with desk.house.db.read() as session:
        assert session.scalars(select(Roster)).one().people == [[900, 901], [901]]
    page.locator(".month a", has_text="夜班").click()
    expect(page.locator("#roster summary")).to_have_text("修改班次 夜班")
    expect(page.locator("#roster .chip")).to_have_text(["周夜×", "吴昼×", "吴昼×"])
