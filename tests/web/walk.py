"""Walks every route of the application with everybody, and says who got what he should not. Used by test_web_rights.py."""

import asyncio
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.routing import iter_route_contexts
from pypdf import PdfReader

from server.web.auth import principal
from server.web.rights import Action
from tests.web.walk_examples import CODE_OF, LAST, OF_PLACE, OWN, PLAIN, PUBLIC, ROUTES, SPECIAL, Of, Place

SAFE = ("GET", "HEAD")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route as the application knows it. `actions` are what its dependencies ask for; `signed` whether they ask for a sign-in at all."""

    method: str
    path: str
    actions: frozenset[Action]
    signed: bool
    path_names: tuple[str, ...]
    query: tuple[tuple[str, bool], ...]
    body: tuple[str, ...]
    form: bool
    json: Mapping[str, Any] | None

    @property
    def key(self) -> str:
        """E.g. "GET /rooms/{code}"."""
        return f"{self.method} {self.path}"


def routes(app: Any) -> list[Route]:
    """All routes with their parameters."""
    found = []
    document = app.openapi()
    for context in iter_route_contexts(app.routes):
        dependant, path = getattr(context, "dependant", None), getattr(context, "path", "")
        if dependant is None:
            continue
        flat = list(_dependants(dependant))
        actions = frozenset(item.call.action for item in flat if isinstance(getattr(item.call, "action", None), Action))
        query = {(param.alias, param.field_info.is_required()) for item in flat for param in item.query_params}
        fields = {param.alias for item in flat for param in item.body_params}
        form = any(type(param.field_info).__name__ in ("Form", "File") for item in flat for param in item.body_params)
        for method in sorted(context.methods - {"HEAD", "OPTIONS"}):
            schema = None if form else _schema(document, path, method)
            body = tuple(sorted(fields)) if form else tuple(sorted((schema or {}).get("properties", {})))
            found.append(
                Route(
                    method=method, path=path, actions=actions, signed=any(item.call is principal for item in flat),
                    path_names=tuple(re.findall(r"{(\w+)", path)), query=tuple(sorted(query)), body=body, json=schema,
                    form=form or (method not in SAFE and schema is None),
                )
            )  # fmt: skip
    return sorted(found, key=lambda route: (route.key in LAST, route.method not in SAFE, route.key))


def _dependants(dependant: Any) -> Iterator[Any]:
    yield dependant
    for child in dependant.dependencies:
        yield from _dependants(child)


def _schema(document: Mapping[str, Any], path: str, method: str) -> Mapping[str, Any] | None:
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    while schema is not None and ("$ref" in schema or "anyOf" in schema):
        schema = schema["anyOf"][0] if "anyOf" in schema else document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


class UnknownParameterError(AssertionError):
    """The walker's table does not know a parameter."""


def meaning(route: Route, name: str) -> str | None:
    """Which thing of a place a parameter points at; None for a plain one. Raises UnknownParameterError."""
    special = ROUTES.get(route.key, {}).get(name)
    if special is not None:
        return str(special) if isinstance(special, Of) else None
    before = re.search(r"/([\w-]+)/{" + re.escape(name) + r"(:\w+)?}", route.path)
    if name in ("code", "ident", "id") and before and before[1] in CODE_OF:
        return CODE_OF[before[1]]
    if name in OF_PLACE:
        return name
    if name in PLAIN:
        return None
    raise UnknownParameterError(
        f"{route.key}: the rights test does not know the parameter {name!r}. Add it to tests/web/walk_examples.py: to OF_PLACE when it points at"
        f" something of a unit (then foreign ones are tried), to PLAIN when it does not, or to ROUTES for this route alone."
    )


def value(route: Route, name: str, place: Place) -> Any:
    """The example of a parameter."""
    special = ROUTES.get(route.key, {}).get(name)
    if special is not None and not isinstance(special, Of):
        return special
    kind = meaning(route, name)
    return PLAIN[name] if kind is None else OF_PLACE[kind](place)


def targets(route: Route, place: Place, *, filtered: bool) -> Iterator[str]:
    """Addresses of a route with the ids of a place: with the required query parameters only, or with those that point at the place too."""
    choices: list[dict[str, Any]] = [{}]
    for name in route.path_names:
        example = value(route, name, place)
        options = example if isinstance(example, list) else [example]
        choices = [{**chosen, name: option} for chosen in choices for option in options]
    given = ROUTES.get(route.key, {})
    query = {
        name: value(route, name, place)
        for name, required in route.query
        if required or (filtered and meaning(route, name) is not None) or (name in given and not isinstance(given[name], Of))
    }
    for chosen in choices:
        path = re.sub(r"{(\w+)(:\w+)?}", lambda match, chosen=chosen: quote(str(chosen[match[1]]), safe=""), route.path)
        yield f"{path}?{urlencode(query)}" if query else path


def content(route: Route, place: Place) -> tuple[bytes, dict[str, str]]:
    """A body with the ids of a place, and its headers."""
    if route.method in SAFE:
        return b"", {}
    values = {name: value(route, name, place) for name in route.body if meaning(route, name) is not None or route.form or _needed(route, name)}
    values |= {name: example for name, example in ROUTES.get(route.key, {}).items() if name not in route.path_names and not isinstance(example, Of)}
    if not route.form:
        return json.dumps(values).encode(), {"content-type": "application/json"}
    files = {name: example for name, example in values.items() if isinstance(example, bytes)}
    if files:
        return _multipart({name: example for name, example in values.items() if name not in files}, files)
    if not route.body:  # reads the form itself: everything that forms of pages usually hold
        own = {name: value(route, name, place) for name, example in ROUTES.get(route.key, {}).items() if isinstance(example, Of)}
        values = {**PLAIN, **{name: of(place) for name, of in OF_PLACE.items()}, **own, **values}
        values = {name: example for name, example in values.items() if isinstance(example, str | int)}
    return urlencode(values).encode(), {"content-type": "application/x-www-form-urlencoded"}


def _needed(route: Route, name: str) -> bool:
    return name in (route.json or {}).get("required", ()) or name in ROUTES.get(route.key, {})


def _multipart(values: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[bytes, dict[str, str]]:
    lines = [f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode() for name, text in values.items()]
    for name, data in files.items():
        head = f'--frontier\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        lines.append(head.encode() + data + b"\r\n")
    return b"".join(lines) + b"--frontier--\r\n", {"content-type": "multipart/form-data; boundary=frontier"}


def points_elsewhere(route: Route) -> bool:
    """Whether an id in the path or the body decides what is touched, so that a foreign one must be refused."""
    return route.key not in SPECIAL and any(meaning(route, name) is not None for name in (*route.path_names, *route.body))


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
        for route in routes(self.app):
            if only and route.path not in only:
                continue
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
            before = 0 if route.method in SAFE else self.entries()
            answer = await ask(self.app, route.method, target, {**who.headers, **kind}, body)
            self.asked += 1
            if route.method not in SAFE and answer.status < 400 and not _refused(answer):
                self.recorded[route.key] = self.recorded.get(route.key, False) or self.entries() > before
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
        for said in (target, body.decode("utf-8", "replace")):
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
