"""Every percentage names its denominator: all pages are read, and each paper as data."""

import asyncio
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.web import walk, walk_routes
from tests.web.town import Town

SHARE = re.compile(r"\d\s?%(?!\s?RH)")
KINDS = ("register", "climate", "analysis", "performance", "inspection", "scorecard", "drills", "changes")
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Shares(HTMLParser):
    """The shares of a page that stand in no element with `data-of`, and those denominators that the page does not say in words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[tuple[str, str]] = []
        self._words: list[str] = []
        self._named: set[str] = set()
        self.found, self.bare = 0, list[str]()
        self.feed(text)
        said = " ".join(self._words)
        self.unsaid = [named for named in self._named if named not in said]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("data-of") or ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if any(tag in ("script", "style") for tag, _ in self._open):
            return
        self._words.append(" ".join(data.split()))
        if SHARE.search(data):
            self.found += 1
            of = next((of for _, of in reversed(self._open) if of), "")
            self._named |= {of} - {""}
            self.bare += [] if of else [" ".join(data.split())]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    made = Town(tmp_path_factory.mktemp("town"))
    made.history.run_once(made.now)
    yield made
    made.close()


def pages(town: Town, who: walk.Character) -> Iterator[tuple[str, str]]:
    for route in walk_routes.routes(town.app):
        if route.method == "GET" and not route.path.startswith(("/api/", "/static/")) and "stream" not in route.path:
            for target in walk_routes.targets(route, town.places["up"], filtered=True):
                answer = asyncio.run(walk.ask(town.app, "GET", target, who.headers))
                if answer.status == 200 and "text/html" in answer.headers.get("content-type", ""):
                    yield target, answer.body.decode()


def test_no_page_shows_a_share_without_its_denominator(town: Town) -> None:
    seen: dict[str, Shares] = {}
    for name in ("province-in_charge", "province-audit"):
        who = next(one for one in town.characters() if one.name == name)
        seen |= {target: Shares(page) for target, page in pages(town, who)}
    assert len(seen) > 30
    assert {target: page.bare for target, page in seen.items() if page.bare} == {}
    assert {target: page.unsaid for target, page in seen.items() if page.unsaid} == {}
    assert sum(page.found for page in seen.values()) > 50, "there are shares to be looked at"


def test_the_reader_of_pages_sees_what_it_is_there_for() -> None:
    assert Shares("<p>值守覆盖 97.5 %</p>").bare == ["值守覆盖 97.5 %"]
    assert Shares('<p data-of="在用库房">值守覆盖 97.5 %</p>').unsaid == ["在用库房"]
    named = Shares('<p data-of="在用库房">值守覆盖 <b>97.5 %</b>，分母为在用库房</p><p>湿度 55 %RH</p>')
    assert (named.found, named.bare, named.unsaid) == (1, [], [])


def _bare(block: dict[str, Any]) -> Iterator[str]:
    """What a block of a paper says in percent without saying of what."""
    notes = " ".join(block.get("notes") or ())
    for column in block.get("columns", []) if block["type"] == "table" else []:
        title = column["title"]
        if any("占" in group for group in (*column["groups"], title)) and "占比" not in title:
            continue
        name = next((one.removesuffix(" %") for one in (title, *column["groups"]) if one.endswith(" %")), "")
        if name and f"{name} % 为" not in notes:
            yield f"column {title}"
    whole = any("比例" in column["title"] for column in block.get("columns", [])) if block["type"] == "table" else False
    texts = [*(f"{name} {value}" for name, value in block.get("pairs", [])), *block.get("paragraphs", [])]
    texts += [] if whole else [cell for row in block.get("rows", []) for cell in row if isinstance(cell, str)]
    for text in texts:
        if SHARE.search(text) and not re.search(r"[（占]", text) and "含水率" not in text:
            yield text


@pytest.mark.parametrize("kind", KINDS)
def test_no_paper_shows_a_share_without_its_denominator(town: Town, kind: str) -> None:
    target = f"/api/v1/reports/{kind}?code={town.places['up'].unit}&period=2026-09&format=json"
    who = next(one for one in town.characters() if one.name == "province-in_charge")
    answer = asyncio.run(walk.ask(town.app, "GET", target, who.headers))
    assert answer.status == 200, answer.text
    blocks = [block for sheet in json.loads(answer.body)["sheets"] for block in sheet["blocks"]]
    assert blocks
    assert [text for block in blocks for text in _bare(block)] == []
