"""Every page route in a real browser, as everybody who may open it: no error on the console, nothing that the policy of the page (CSP) forbids, no
request that fails. The routes come from the application itself, as in the rights walk: a new page is walked without a line here.
"""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, Page

from simulators.broker import free_port
from tests.browser.test_browser_live import BUILT, CHROMIUM
from tests.web import walk, walk_routes
from tests.web.house import serving
from tests.web.town import Town
from tests.web.walk import Character
from tests.web.walk_examples import PUBLIC

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run the browser tests"),
    pytest.mark.skipif(not BUILT, reason="third-party files are not built: run make assets"),
]
FEWEST = {"routes": 45, "pages": 55}
"""How much the walk must have seen to count."""
STANDING = ("own-in_charge", "own-keeper", "own-system", "own-security", "own-audit")
"""Who walks in every test run; the soak walks with everybody, inspectors, visitors and a board on the wall among them."""
_PATIENCE_MS = 200_000
"""A busy machine is not what is looked for."""


class Visit:
    """One browser tab; `faults` is what it complained about since it was last asked."""

    def __init__(self, page: Page) -> None:
        self.page, self._faults = page, list[str]()
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", lambda message: message.type in ("error", "warning") and self._faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self._faults.append(f"script: {error}"))
        page.on("response", lambda answer: answer.status >= 400 and self._faults.append(f"{answer.status} {answer.url}"))
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure or ""))

    def _failed(self, url: str, why: str) -> None:
        if "ERR_ABORTED" not in why:  # the stream of the page that we leave
            self._faults.append(f"{why} {url}")

    def open(self, url: str) -> list[str]:
        """Load a page; what is wrong with it."""
        self._faults.clear()
        self.page.goto(url, wait_until="load")
        return list(self._faults)


def _pages(town: Town, who: Character) -> list[tuple[str, str, str]]:
    """Route, address and content of each page that a character may open."""

    async def look() -> list[tuple[str, str, str]]:
        found = []
        for route in walk_routes.routes(town.app):
            if route.method == "GET" and not route.path.startswith("/api/") and route.key not in PUBLIC:
                for target in walk_routes.targets(route, who.own, filtered=False):
                    answer = await walk.ask(town.app, "GET", target, who.headers)
                    if answer.status == 200 and "<html" in answer.text[:200]:  # neither a file nor a part of a page
                        found.append((route.key, target, answer.text))
        return found

    with ThreadPoolExecutor(1) as aside:  # the browser's driver has a loop in this thread
        return aside.submit(asyncio.run, look()).result()


def _shape(text: str) -> frozenset[str]:
    """What a page asks of a browser: its elements, classes, scripts and switches, whatever it says. Two of one shape do the same there."""
    return frozenset(re.findall(r'<\w+|\bclass="[^"]*"|\bsrc="[^"?]*|\b(?:data|hx|aria)-[\w-]+(?==)', text))


def _walk(town: Town, url: str, browser: Browser, characters: list[Character], *, every: bool) -> tuple[list[str], set[str], int]:
    """What is wrong where, the routes that were seen, and how many pages were; not `every`: one of each shape."""
    found, routes, shapes, pages = list[str](), set[str](), set[tuple[str, frozenset[str]]](), 0
    for who in characters:
        name, _, value = who.headers["cookie"].partition("=")
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.add_cookies([{"name": name, "value": value, "url": url}])
        visit = Visit(context.new_page())
        for route, target, text in _pages(town, who):
            shape = (route, _shape(text))
            if every or shape not in shapes:
                shapes.add(shape)
                routes.add(route)
                pages += 1
                found += [f"{target} as {who.name}: {fault}" for fault in visit.open(f"{url}{target}")]
        context.close()
    return found, routes, pages


def _people(town: Town) -> list[Character]:
    return [who for who in (*town.characters(), *town.others()) if "cookie" in who.headers]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, str]]:
    """The town behind a real server, and its address."""
    town = Town(tmp_path_factory.mktemp("town"))
    with serving(town, free_port()) as url:
        yield town, url
    town.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_page_loads_without_a_complaint_of_the_browser(street: tuple[Town, str], browser: Browser) -> None:
    found, routes, pages = _walk(*street, browser, [who for who in _people(street[0]) if who.name in STANDING], every=False)
    assert found == [], "\n".join(found)
    assert len(routes) >= FEWEST["routes"]
    assert pages >= FEWEST["pages"]


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_every_page_loads_without_a_complaint_for_everybody(street: tuple[Town, str], browser: Browser) -> None:
    found, _routes, pages = _walk(*street, browser, _people(street[0]), every=True)
    assert found == [], "\n".join(found)
    assert pages >= 4 * FEWEST["pages"]


@pytest.mark.timeout(300)
def test_the_walk_finds_a_forbidden_script_a_missing_file_and_an_error(street: tuple[Town, str], browser: Browser) -> None:
    _, url = street
    context = browser.new_context()
    visit = Visit(context.new_page())
    assert visit.open(f"{url}/login") == []
    visit.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))")
    visit.page.evaluate("setTimeout(() => { throw new Error('broken') })")
    visit.page.evaluate("fetch('/static/missing.js').then(() => 1)")
    complaints = "\n".join(visit._faults)
    context.close()
    assert all(word in complaints for word in ("Content Security Policy", "broken", "404")), complaints
