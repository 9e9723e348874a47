"""Builds the FastAPI application from services: routes, errors, pages, static files. Opens and closes nothing."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Lifespan

from server.web import api, callbacks, calls, pages, problems
from server.web.api import PREFIX, health
from server.web.assets import Assets, CachedFiles
from server.web.flat import flat
from server.web.guard import SameOrigin
from server.web.rates import RateLimit
from server.web.screens import Screens
from server.web.services import Services
from server.web.whence import Whence

MOST_BODY = 8 * 1024 * 1024


@cache
def _routes() -> tuple[APIRoute, ...]:
    return tuple(flat((health.router, api.router(), pages.router(), callbacks.router, calls.router), most_body=MOST_BODY))


def build(services: Services, *, lifespan: Lifespan[Any] | None = None, dashboards: Path | None = None) -> FastAPI:
    """The application. `lifespan` starts and stops what the composition root owns; `hub.run(clock)` must run in the application's event loop."""
    folder = Path(str(files("dashboards"))) if dashboards is None else dashboards
    app = FastAPI(
        title="ArchiveWatch 档案用房智能值守",
        version=services.settings.version or "0",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry={"auto_configure": False},
        max_body_size=MOST_BODY,
    )
    assets = Assets(folder / "static")
    app.state.services = services
    app.state.screens = Screens(folder / "templates", assets)
    problems.install(app)
    app.router.routes.extend(_routes())
    app.mount("/static", CachedFiles(directory=folder / "static"))
    app.add_middleware(RateLimit, rates=services.settings.rates, clock=services.clock)
    app.add_middleware(SameOrigin, most_body=MOST_BODY)
    app.add_middleware(Whence, trusted=services.settings.trusted_proxies)
    return app
