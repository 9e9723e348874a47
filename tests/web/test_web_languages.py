"""Every page speaks one language: no Chinese in English mode and no foreign word in Chinese mode, but for names and data."""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from tests.web.house import ROLES
from tests.web.town import Town
from tests.web.walk import Route, ask, in_line, routes, targets

CHINESE = re.compile(r"[\u4e00-\u9fff、，。：；（）]+")
LATIN = re.compile(r"(?<![\w.-])[A-Za-z][A-Za-z0-9.+_-]*[A-Za-z0-9]")
_SHARED = """English RH PIN ID PM2.5 PM10 CO2 TVOC CSV JSON PDF HTML XLSX Excel Word ZIP JPEG PNG MB SHA-256 TLS HTTPS LDAP API IP A5 ISA-18.2 Ctrl+K
ArchiveWatch"""
_TYPED = "archivewatch archivewatch-edge replay claim backup https devices.yaml"
SPOKEN_BY_ALL = frozenset(f"{_SHARED} {_TYPED}".split())
"""Names of quantities, file formats and standards that are written so in Chinese texts too; commands and files that people type as they are."""
QUIET = frozenset(["code", "kbd", "pre", "script", "style"])
"""Elements whose text is no prose: addresses, keys, numbers of devices; so is what says its own language (`lang`)."""
VOID = frozenset(["input", "img", "br", "hr", "meta", "link", "source"])
SPOKEN_ATTRIBUTES = ("aria-label", "placeholder", "title", "alt", "data-label")
NO_PAGES = re.compile(r"/api/|/healthz|/readyz|/metrics|/help/|\.svg$|/file$|/snapshots/|/plan$")


class Spoken(HTMLParser):
    """What a page says: its texts and the attributes that are read out, piece by piece."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._quiet: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs) if tag != "html" else {}
        self.pieces += [given[name] or "" for name in SPOKEN_ATTRIBUTES if name in given]
        if tag in VOID:
            return
        if self._quiet:
            self._quiet += [tag] * (tag == self._quiet[0])
        elif tag in QUIET or "lang" in given or "code" in (given.get("class") or "").split():
            self._quiet = [tag]

    def handle_endtag(self, tag: str) -> None:
        if self._quiet and tag == self._quiet[-1]:
            self._quiet.pop()

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.pieces.append(data)


def decoded(cell: str) -> object:
    """A cell that holds JSON as its value, any other as nothing."""
    with contextlib.suppress(ValueError):
        return json.loads(cell)
    return None


def leaves(value: object) -> Iterator[str]:
    """Texts inside a JSON value."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        yield value


def data_of(town: Town) -> list[str]:
    """Whole texts of the database, the longest first: names, numbers, what people wrote."""
    found: set[str] = set()
    with town.db.read() as session:
        connection = session.connection()
        for (table,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").all():
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"'):
                for cell in row:
                    if isinstance(cell, str):
                        found.add(cell)
                        found.update(leaves(decoded(cell)))
    return sorted((text for text in found if len(text) > 1), key=len, reverse=True)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    made = Town(tmp_path_factory.mktemp("languages"))
    yield made
    made.close()


def pages(town: Town, language: str) -> Iterator[tuple[str, str]]:
    """(address and reader, page) of every page route, as the first who may see it."""
    readers = (*(f"own-{role}" for role in ROLES), "in_charge", "province-security")
    cookies = {who: f"aw_session={town.token(who)}; aw_lang={language}" for who in readers}
    for route in routes(town.app):
        if route.method == "GET" and not NO_PAGES.search(route.path) and not route.path.startswith("/api"):
            yield from first_seen(town, route, cookies)


def first_seen(town: Town, route: Route, cookies: dict[str, str]) -> Iterator[tuple[str, str]]:
    for target in targets(route, town.places["own"], filtered=False):
        for who, cookie in cookies.items():
            answer = asyncio.run(ask(town.app, "GET", target, {"cookie": cookie, "sec-fetch-site": "same-origin"}))
            if answer.status == 200 and "text/html" in answer.headers["content-type"]:
                yield f"{target} as {who}", answer.body.decode()
                break


def without(piece: str, names: list[str], foreign: re.Pattern[str]) -> str:
    """A text without the names in it."""
    for name in names:
        if not foreign.search(piece):
            break
        piece = piece.replace(name, " ")
    return piece


@pytest.mark.parametrize(("language", "foreign"), [("en", CHINESE), ("zh", LATIN)])
def test_every_page_speaks_one_language_but_for_names_and_data(town: Town, language: str, foreign: re.Pattern[str]) -> None:
    names = [text for text in data_of(town) if foreign.search(text)]
    found: list[str] = []
    seen = 0
    with in_line():
        shown = list(pages(town, language))
    for where, page in shown:
        seen += 1
        wrong: set[str] = set()
        for piece in Spoken(page).pieces:
            wrong.update(word for word in foreign.findall(without(piece, names, foreign)) if word not in SPOKEN_BY_ALL and word != "中文")
        found += [f"{where}: {word}" for word in sorted(wrong)]
    assert found == [], "\n" + "\n".join(found)
    assert seen > 50
