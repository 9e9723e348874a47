"""The routes of the application with their parameters, and example addresses and bodies for them. Used by the tests that walk all routes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.routing import iter_route_contexts

from server.web.auth import principal
from server.web.rights import Action
from tests.web.walk_examples import CODE_OF, LAST, OF_PLACE, PLAIN, ROUTES, SPECIAL, Of, Place

SAFE = ("GET", "HEAD")


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
