"""Walks every route of the application with everybody, and says who got what he should not. Used by test_web_rights.py."""

import asyncio
import contextlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import pytest
from pypdf import PdfReader

from server.web.rights import Action
from tests.web.walk_examples import LAST, OWN, PUBLIC, SPECIAL, Place
from tests.web.walk_routes import SAFE, Route, UnknownParameterError, content, meaning, points_elsewhere, routes, targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """Who asks: how he signs in, his role, whether his rights reach a place, and the marks he must never read."""

    name: str
    role: str
    headers: Mapping[str, str]
    own: Place
    reaches: frozenset[str]
    forbidden: tuple[str, ...] = ()
    only_reads: bool = False
    """Changes nothing at his own place, so that whatever changes there is somebody else's deed."""


@dataclass(slots=True)
class Answer:
    """What came back; a stream is cut after its first events."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Everything that can be read in it, also inside workbooks, documents and PDFs."""
        kind = self.headers.get("content-type", "")
        if self.body[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(self.body)) as archive:
                return " ".join(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())
        if "pdf" in kind:
            return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(self.body)).pages)
        return self.body.decode("utf-8", "replace") + " ".join(self.headers.values())


async def ask(app: Any, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", *, chunks: int = 2) -> Answer:
    """One request straight into the application; a stream's viewer leaves after `chunks` pieces."""
    path, _, query = target.partition("?")
    started: dict[str, Any] = {}
    pieces: list[bytes] = []
    enough = asyncio.Event()
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            started["endless"] = any(b"event-stream" in value for _, value in message["headers"])
        else:
            pieces.append(message.get("body", b""))
            if (len(pieces) >= chunks and started["endless"]) or not message.get("more_body"):
                enough.set()

    raw = [(name.lower().encode(), value.encode()) for name, value in {"host": "testserver", "content-length": str(len(body)), **headers}.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": raw, "client": ("127.0.0.1", 5), "server": ("testserver", 80), "scheme": "http",
    }  # fmt: skip
    await app(scope, receive, send)
    found = {name.decode(): value.decode("latin-1") for name, value in started["headers"]}
    return Answer(started["status"], found, b"".join(pieces))


@contextlib.contextmanager
def in_line() -> Iterator[None]:
    """Routes that are no coroutines run where they are asked: one request at a time needs no threads, and switching was much of the time."""

    async def run(call: Callable[..., Any], *arguments: Any, **_limits: Any) -> Any:
        return call(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio.to_thread, "run_sync", run)
        yield


@dataclass(slots=True)
class Walk:
    """A walk through all routes. `faults` are sentences; `reached` counts who got through where; `recorded` says of each route that changed
    something (2xx, 303) whether a new entry of the audit log was there afterwards, which `entries` counts.
    """

    app: Any
    entries: Callable[[], int] = lambda: 0
    faults: list[str] = field(default_factory=list)
    reached: dict[str, set[str]] = field(default_factory=dict)
    recorded: dict[str, bool] = field(default_factory=dict)
    asked: int = 0

    async def all(self, characters: list[Character], places: Mapping[str, Place], stranger: Character, only: Sequence[str] = ()) -> None:
        """Everybody asks every route (or `only` these paths) for what is his and for what is not."""
        with in_line():
            for route in routes(self.app):
                if not only or route.path in only:
                    await self._known(route, characters, places, stranger)

    async def _known(self, route: Route, characters: list[Character], places: Mapping[str, Place], stranger: Character) -> None:
        """Walk one route, or say what keeps it from being walked."""
        self.reached.setdefault(route.key, set())
        if route.key not in PUBLIC | OWN and not (route.signed and route.actions):
            self.faults.append(
                f"{route.key}: names no action. Give it `who: Annotated[Principal, Depends(require(Action.…))]`, or list it in PUBLIC or OWN of"
                f" tests/web/walk_examples.py and say why."
            )
        for name in (*route.path_names, *(name for name, _ in route.query), *route.body):
            try:
                meaning(route, name)
            except UnknownParameterError as error:
                self.faults.append(str(error))
                break
        else:
            await self._route(route, characters, places, stranger)

    async def _route(self, route: Route, characters: list[Character], places: Mapping[str, Place], stranger: Character) -> None:
        await self._one(route, stranger, stranger.own, stranger.own)
        if route.key in PUBLIC:
            return
        for who in characters:
            if route.method in SAFE or not who.only_reads:
                await self._one(route, who, who.own, who.own)
        if route.key in LAST:
            return
        has_place = points_elsewhere(route) or any(meaning(route, name) is not None for name, _ in route.query)
        # Whoever has not the action was refused at his own place already.
        able = [who for who in characters if all(who_may(who, action) for action in route.actions)]
        for who in able if has_place else ():
            for place in places.values():
                if place.key not in who.reaches:
                    await self._one(route, who, place, place)
                    if route.path_names and any(meaning(route, name) is not None for name in route.body) and route.key not in SPECIAL:
                        await self._one(route, who, who.own, place)

    async def _one(self, route: Route, who: Character, place: Place, inside: Place) -> None:
        body, kind = content(route, inside)
        foreign = place.key not in who.reaches or inside.key not in who.reaches
        for target in targets(route, place, filtered=foreign):
            told = route.method in SAFE or self.recorded.get(route.key, False)  # one entry is proof enough: then nobody counts again
            before = 0 if told else self.entries()
            answer = await ask(self.app, route.method, target, {**who.headers, **kind}, body)
            self.asked += 1
            if not told and answer.status < 400 and not _refused(answer):
                self.recorded[route.key] = self.entries() > before
            self._judge(route, who, target, body, answer, foreign=foreign)

    def _judge(self, route: Route, who: Character, target: str, body: bytes, answer: Answer, *, foreign: bool) -> None:
        where = f"{route.key} as {who.name} at {target}: {answer.status}"
        refused = _refused(answer)
        if answer.status >= 500:
            self.faults.append(f"{where}, a fault of ours: {answer.text[:200]}")
        # About oneself a wrong example (password, code) is refused as content: rights were passed all the same.
        if not refused and answer.status not in ((404,) if route.key in OWN else (404, 422)):
            self.reached[route.key].add(who.role)
        if route.key not in PUBLIC and who.role == "stranger" and not refused:
            self.faults.append(f"{where}, but he has not signed in")
        if not all(who_may(who, action) for action in route.actions) and not refused:
            self.faults.append(f"{where}, but the role {who.role} has not all of {sorted(route.actions)}")
        if foreign and points_elsewhere(route) and not refused and answer.status not in (400, 404, 409, 422):
            self.faults.append(f"{where}, but that is not below his unit")
        text = answer.text
        if not any(mark in text for mark in who.forbidden):
            return
        for said in (target, body.decode("utf-8", "replace")):  # what he said himself he may read again
            for part in re.findall(r"[\w-]{6,}", said):
                text = text.replace(part, "")
        for mark in who.forbidden:
            if mark in text:
                self.faults.append(f"{where}, and he reads {mark!r}: …{text[max(0, text.find(mark) - 60) :][:140]!r}")


def who_may(who: Character, action: Action) -> bool:
    """Whether the character's role has an action."""
    from server.web import rights  # noqa: PLC0415 - late, so that a test may break it on purpose

    return rights.allows(who.role, action)


def _refused(answer: Answer) -> bool:
    """Refused for want of a right; what the watch says about an alarm's state is no refusal."""
    if answer.status == 303 and answer.headers.get("location", "").startswith("/login"):
        return True
    return answer.status in (401, 403) and not re.search(r'"code":"(not_allowed|unclaimed)"|data-code="(not_allowed|unclaimed)"', answer.text)
