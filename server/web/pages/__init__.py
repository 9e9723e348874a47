"""The screens: what people see in a browser. They read the same stores as the API and send commands through the same door.

A module with a `router` is found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter


def router() -> APIRouter:
    """All pages, in the order of the modules' names."""
    whole = APIRouter(include_in_schema=False)
    for found in iter_modules(__path__):
        module = import_module(f"{__name__}.{found.name}")
        if hasattr(module, "router"):
            whole.include_router(module.router)
    return whole
