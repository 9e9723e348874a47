"""HTTP of the SMS gateway: the routes of Twilio, and the application that serves them beside the control routes (sms_control)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from simulators import sms_control
from simulators.sms_front import Connections, Front
from simulators.sms_wire import API, ApiError


def protocol(connections: Connections) -> type[H11Protocol]:
    """uvicorn's HTTP protocol that also tells which transport belongs to which peer."""

    class Known(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connections[transport.get_extra_info("peername")[:2]] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.client or ("", 0), None)
            super().connection_lost(exc)

    return Known


def build(front: Front) -> FastAPI:
    """The application around the handlers; its lifespan runs the delivery loop."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.create_task(front.run())
        yield
        loop.cancel()
        await front.poster.close()

    app = FastAPI(title="SMS gateway (Twilio Messages API)", lifespan=lifespan, docs_url=None, redoc_url=None, telemetry={"auto_configure": False})
    app.add_exception_handler(ApiError, _refuse)
    base = f"/{API}/Accounts/{{account}}/Messages"
    app.add_api_route(f"{base}.json", front.create, methods=["POST"], response_model=None)
    app.add_api_route(f"{base}.json", front.listing, methods=["GET"], response_model=None)
    app.add_api_route(f"{base}/{{sid}}.json", front.fetch, methods=["GET"], response_model=None)
    base = f"/{API}/Accounts/{{account}}/Calls"
    app.add_api_route(f"{base}.json", front.create_call, methods=["POST"], response_model=None)
    app.add_api_route(f"{base}.json", front.list_calls, methods=["GET"], response_model=None)
    app.add_api_route(f"{base}/{{sid}}.json", front.fetch_call, methods=["GET"], response_model=None)
    sms_control.add_messages(app, front)
    sms_control.add_calls(app, front)
    return app


def _refuse(_request: Request, error: Exception) -> Coroutine[Any, Any, Response] | Response:
    if not isinstance(error, ApiError):
        raise error
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else None
    return JSONResponse(error.body(), error.status, headers)
