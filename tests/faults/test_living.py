"""The whole way on real processes: a register changes on the simulated sensor, a pixel changes in Chromium, an SMS reaches the gateway."""

import json
import shutil
import time

import pytest
from playwright.sync_api import sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
GATEWAY = "GW-350102-01"


@pytest.fixture
def page():
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 1366, "height": 768})
        browser.close()


def test_a_register_change_reaches_the_tile_and_the_phone(make_slice, page, wait_until, record_property):
    living = make_slice(only=GATEWAY)
    living.demo.start()
    site, room = living.site, living.site.gateways[GATEWAY][0]
    wait_until(lambda: living.lines()[GATEWAY] > 20, 60, "samples are accepted")
    page.goto(f"{site.url}/login")
    page.fill("input[name=login]", "duty")
    page.fill("input[name=password]", site.secrets["duty"])
    page.click("button[type=submit]")
    tile = page.locator(f"li[data-room='{room}']")
    tile.wait_for(timeout=30_000)
    assert tile.get_attribute("data-state") != "critical"

    changed = time.time()
    living.state(room, "smoke", 1)
    page.wait_for_selector(f"li[data-room='{room}'][data-state='critical']", timeout=30_000)
    painted = time.time()
    assert "特急" in tile.inner_text()
    wait_until(lambda: any("烟感告警" in message["body"] for message in living.messages()), 30, "the SMS has arrived")
    message = next(message for message in living.messages() if "烟感告警" in message["body"])
    assert message["body"].startswith("【档案值守】特急：鼓楼01库于")
    figures = {"sensor_to_pixel_s": round(painted - changed, 2), "sensor_to_sms_s": round(message["created_at"] / 1000 - changed, 2)}
    record_property("latencies", json.dumps(figures))
    print(f"\nmeasured: {figures}")

    # Taking over in the browser stops the escalation: the second step is due after 60 s and must have gone.
    page.goto(f"{site.url}/alarms")
    row = page.locator("[data-alarm-row]", has_text="烟感告警")
    row.get_by_text("接手", exact=True).click()
    page.locator("#dialog").get_by_role("button", name="接手").click()
    wait_until(lambda: any(alarm.rule == "smoke" and alarm.state == "active_acked" for alarm in living.open_alarms("smoke")), 20, "taken over")
    pending = [step for step in living.judge_steps()[1] if step.step > 0]
    assert pending == []
