"""Three in the morning, on a phone, in one pass: from the text that wakes somebody to the paper that files itself."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from server.duty.calendar import Workdays
from server.duty.cards import default_cards
from server.duty.clock import BEIJING
from server.duty.escalation import default_escalation
from server.duty.incidents import Incidents
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher
from server.reports.desk import Here
from server.reports.filing import Filing
from server.watch.commands import Reopen
from simulators.sms_gateway import SmsGateway
from tests.browser.test_browser_live import WAIT, needs_assets, pytestmark  # noqa: F401 - the marks of all browser tests
from tests.web.house import PASSWORD, ROOM, House, serving

MINUTE = 60_000
NIGHT = round(datetime(2026, 11, 28, 3, 0, tzinfo=BEIJING).timestamp() * 1000)
PHONE = "+8613900001234"


class Night:
    """The house at night, with its dispatcher, its incidents and their papers; time passes when the test says so."""

    def __init__(self, house: House, sms: SmsGateway) -> None:
        self.house, self.sms = house, sms
        channel = TwilioSms(account_sid=sms.account, token=sms.token, sender="+8613900009999", base_url=sms.url, timeout_s=3)
        self.dispatcher = Dispatcher(house.db, [channel], default_escalation(), workdays=Workdays())
        self.incidents = Incidents(house.db, house.store, default_cards(), self._reopen)
        self.filing = Filing(house.db, house.store, default_cards(), Here(), house.folder, "ArchiveWatch 0.1.0")

    def _reopen(self, alarm: int, sentence: str) -> None:
        self.house.watch.submit(Reopen(alarm=alarm, by="系统", note=sentence)).result(20)

    def texts(self) -> list[str]:
        """What the person on call finds on his phone."""
        return [str(message["body"]) for message in self.sms.messages(to=PHONE)]

    def work(self) -> None:
        """What the server does by itself, once."""
        self.house.history.run_once(self.house.now)
        self.incidents.run_once(self.house.now)
        self.dispatcher.run_once(self.house.now)
        self.filing.run_once(self.house.now)

    def minutes(self, count: int, **values: float) -> None:
        """Time passes with a full set of readings each minute."""
        for _ in range(count):
            self.house.now += MINUTE
            self.house.send(**{"temperature": 21.4, "humidity": 52, "smoke": 0, "leak": 0, "door": 0, "outdoor": 12} | values)
        self.work()


class Thumb:
    """Somebody's thumb, counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.taps = page, 0

    def tap(self, what: Locator) -> None:
        self.taps += 1
        what.tap()
        self.page.wait_for_load_state()


@pytest.fixture
def night(tmp_path) -> Iterator[Night]:
    house = House(tmp_path, now=NIGHT)
    with SmsGateway(clock=lambda: house.now) as sms:
        made = Night(house, sms)
        house.birth()
        house.calm()
        yield made
        made.dispatcher.close()
    house.close()


@needs_assets
@pytest.mark.long
def test_from_the_text_to_the_paper_on_a_phone(night: Night, free_port: int, browser: Browser) -> None:
    house = night.house
    with serving(house, free_port) as address:
        context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, accept_downloads=True)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        thumb = Thumb(page)
        alarm = house.smoke()
        night.work()
        assert [text.partition("编号")[2][:6] for text in night.texts()] == [house.alarm(ROOM, "smoke").number], "woken once, by the number"

        page.goto(address)
        page.get_by_label("登录名").fill("duty")
        page.get_by_label("密码").fill(PASSWORD)
        thumb.tap(page.get_by_role("button", name="登录"))
        thumb.tap(page.locator(".tile").first.get_by_role("link", name="烟感告警"))
        thumb.tap(page.get_by_role("button", name="接手", exact=True))
        expect(page.locator("main")).to_contain_text("告警·已接手")
        assert thumb.taps == 3, "from the sign-in to the take-over"

        thumb.tap(page.get_by_role("link", name="处置卡"))
        expect(page.locator(".card")).to_contain_text("119")
        expect(page.locator("main")).not_to_contain_text("queued")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing to push sideways"
        third = page.locator("#step-3")
        thumb.tap(third.get_by_role("button", name="做了"))
        expect(third).to_contain_text("陈值班")
        expect(third, "who ticks a step finds himself where he was").to_be_in_viewport()
        expect(page.locator("#link")).to_have_text("实时")
        thumb.tap(page.locator(".answers").get_by_text("到场"))
        house.now += 1_000
        house.send(smoke=0)
        answer = page.locator("dialog").get_by_role("button", name="到场")
        expect(answer, "the sensor recovers while the question is open").to_be_visible()
        thumb.tap(answer)
        expect(page.locator("main")).to_contain_text("锁定·待复位")
        thumb.tap(page.locator(".answers").get_by_text("复位"))
        thumb.tap(page.locator("dialog").get_by_role("button", name="复位"))
        expect(page.locator("#list")).not_to_contain_text("待复位")
        thumb.tap(page.get_by_label("误报"))
        page.get_by_label("原因和措施").fill("保洁喷雾，两人进库看过")
        thumb.tap(page.get_by_role("button", name="报告", exact=True))
        expect(page.locator(".verdict")).to_contain_text("恢复正常还不满")

        night.minutes(32)
        night.minutes(2)
        page.reload()
        expect(page.locator("main")).to_contain_text("已办结")
        with page.expect_download() as paper:
            thumb.tap(page.get_by_role("link", name="告警处置单"))
        assert paper.value.path().read_bytes().startswith(b"%PDF-1.7")
        assert thumb.taps == 12
        assert house.client("duty").get(f"/api/v1/alarms/{alarm}").json()["state"] == "normal"
        answered = ["已有人接手" in text for text in night.texts()]
        assert answered == sorted(answered), "nobody is called behind the take-over"
        assert answered[-1], "who is no longer needed is told"
        context.close()
