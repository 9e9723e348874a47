"""The HTTP interface for programs, `/api/v1`: each module holds the routes of one noun; a module with a `router` is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter

from server.web import stream

PREFIX = "/api/v1"


def router() -> APIRouter:
    """All routes under the prefix, in the order of the modules' names."""
    whole = APIRouter(prefix=PREFIX)
    for found in iter_modules(__path__):
        module = import_module(f"{__name__}.{found.name}")
        if hasattr(module, "router") and found.name != "health":  # its routes stand beside the interface, without the prefix
            whole.include_router(module.router)
    whole.include_router(stream.router)
    return whole
