"""One flat list of routes. FastAPI looks through an included router once to find it and again to enter it, level by level: with some forty modules
three rounds of regular expressions for every request. It also builds what it knows of each route anew for every application.
"""

from collections.abc import Iterable, Iterator
from inspect import signature

from fastapi import APIRouter
from fastapi.routing import APIRoute, iter_route_contexts

_OPTIONS = tuple(name for name in signature(APIRoute.__init__).parameters if name != "self")


def flat(routers: Iterable[APIRouter], *, most_body: int) -> Iterator[APIRoute]:
    """The routes of routers and of those included in them, in their order, with everything that inclusion adds. `most_body` in bytes."""
    whole = APIRouter(max_body_size=most_body)
    for router in routers:
        whole.include_router(router)
    for context in iter_route_contexts(whole.routes):
        yield APIRoute(**{name: getattr(context, name) for name in _OPTIONS if hasattr(context, name)})
