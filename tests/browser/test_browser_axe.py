"""Everybody can use the main pages: axe-core finds nothing serious on them, and a phone shows them whole."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.page_faults import faults
from tests.browser.test_browser_live import CHROMIUM
from tests.web.house import OTHER, ROLES, ROOM, House, serving

AXE = Path(__file__).parents[2] / "dashboards/web/node_modules/axe-core/axe.min.js"
PAGES = {
    "duty": ("/", "/alarms", "/alarms/1", f"/rooms/{ROOM}", "/incidents", "/duty", "/papers", "/me/security"),
    "in_charge": (f"/rooms/{ROOM}/stills", "/performance"),
    "system": ("/units", "/gateways", "/imports"),
    "security": ("/people", "/visitors", "/level3", "/audit"),
    None: ("/login",),
}
LOOK = """async () => {
  const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"], resultTypes: ["violations"]});
  return found.violations.filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run the browser tests"),
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: run make assets"),
]


@pytest.mark.long
def test_axe_finds_nothing_serious_on_the_main_pages_and_a_phone_shows_them_whole(tmp_path: Path, port_factory, browser: Browser) -> None:
    house = House(tmp_path, now=None, ping_ms=1_000)
    house.birth()
    house.calm()
    house.calm(OTHER)
    house.smoke()
    found: list[str] = []
    with serving(house, port_factory()) as url:
        for login, addresses in PAGES.items():
            context = browser.new_context(viewport={"width": 1366, "height": 768})
            if login is not None:
                token = house.client(login).cookies["aw_session"]
                context.add_cookies([{"name": "aw_session", "value": token, "url": url}])
            page = context.new_page()
            for address in addresses:
                page.set_viewport_size({"width": 1366, "height": 768})
                page.goto(f"{url}{address}", wait_until="domcontentloaded")
                assert page.url.endswith(address), f"{login} is not let to {address}"
                page.evaluate(AXE.read_text("utf-8"))  # past the page's own policy, which lets no foreign script in
                found += [f"{address} as {login}: {fault}" for fault in (*page.evaluate(LOOK), *faults(page, ROLES))]
            context.close()
    house.close()
    assert found == [], "\n".join(found)
