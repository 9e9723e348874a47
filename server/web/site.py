"""Builds the FastAPI application from services: routes, errors, pages, static files; and how it listens. Opens and closes nothing."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Lifespan

from server.web import api, callbacks, calls, pages, problems, stream
from server.web.assets import Assets, CachedFiles
from server.web.guard import SameOrigin
from server.web.rates import RateLimit
from server.web.routers import MOST_BODY, PREFIX, declared, routes_of
from server.web.screens import Screens
from server.web.services import Services
from server.web.whence import Whence


@cache
def routes() -> tuple[APIRoute, ...]:
    """All routes but the static files, in the order in which they are tried."""
    alone = (route for module in (callbacks, calls) for route in declared(module.router))
    return (*routes_of(api), *declared(stream.router), *routes_of(pages), *alone)


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
    app.router.routes.extend(routes())
    app.mount("/static", CachedFiles(directory=folder / "static"))
    app.add_middleware(RateLimit, rates=services.settings.rates, clock=services.clock)
    app.add_middleware(SameOrigin, most_body=MOST_BODY)
    app.add_middleware(Whence, trusted=services.settings.trusted_proxies)
    return app


def listening(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """How the server listens. What proxies say is for `whence` alone: uvicorn believes every proxy on this machine, and puts the client in
    the place of the proxy, after which no certificate that it hands on would be believed.
    """
    return uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=5, server_header=False, proxy_headers=False
    )
