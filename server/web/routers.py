"""Routers whose routes are whole where they are declared: prefix, refusals and the bound of a body are their router's own.

FastAPI builds what it knows of a route (each parameter a model) anew for every router that it is included in. With 280 routes that was most of a
server's start; and an included router is searched level by level for each request. So nothing is included: the site takes the routes as they are.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

PREFIX = "/api/v1"
"""Of the interface for programs."""
MOST_BODY = 8 * 1024 * 1024
"""Bytes."""


def api_router(*tags: str, refusals: Mapping[int | str, dict[str, Any]] | None = None) -> APIRouter:
    """For routes of the interface for programs; `refusals` are answers that each of them may give."""
    return APIRouter(prefix=PREFIX, tags=list(tags), responses=dict(refusals or {}), max_body_size=MOST_BODY)


def page_router(prefix: str = "") -> APIRouter:
    """For pages, which the description of the interface leaves out."""
    return APIRouter(prefix=prefix, include_in_schema=False, max_body_size=MOST_BODY)


def bare_router(tag: str, prefix: str = "") -> APIRouter:
    """For routes that stand beside the interface."""
    return APIRouter(prefix=prefix, tags=[tag], max_body_size=MOST_BODY)


def routes_of(package: ModuleType) -> Iterator[APIRoute]:
    """The routes of each module of a package that has a `router`, in the order of their names."""
    for found in iter_modules(package.__path__):
        router = getattr(import_module(f"{package.__name__}.{found.name}"), "router", None)
        yield from () if router is None else declared(router)


def declared(router: APIRouter) -> Iterator[APIRoute]:
    """The routes of one router."""
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route} is no route of a function: include no router in another")
        yield route
