"""GET /stream: server-sent events. The handler waits for the hub on behalf of one viewer; a named `ping` goes out when nothing else does.

Comments would not do as pings: a browser's EventSource does not show them to the page, and the page must know whether the line is alive.
"""

import asyncio
import contextlib
import json
import logging
from typing import Annotated, Literal

from fastapi import Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from server.live import wire
from server.live.hub import Client, Event
from server.web.api.common import PROBLEMS, Viewer
from server.web.auth import ServicesOf, principal_or_none, require_room
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

log = logging.getLogger("server.web")
router = api_router("stream", refusals=PROBLEMS)

RECHECK_MS = 60_000
RETRY_MS = 2_000
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def frame(event: Event) -> bytes:
    """One event as text; `data` is JSON and so has no line breaks."""
    head = "" if event.id is None else f"id: {event.id}\n"
    return f"{head}event: {event.name}\ndata: {event.data}\n\n".encode()


class EventStream(Response):
    """Sends to one viewer until he goes, his session ends or the hub says bye; always lets go of him in the hub."""

    media_type = "text/event-stream"

    def __init__(self, services: Services, client: Client, request: Request) -> None:
        super().__init__()
        self._services, self._client, self._request = services, client, request
        self._checked_at = services.clock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Serve the stream."""
        gone = asyncio.ensure_future(self._gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await self._body(send, f"retry: {RETRY_MS}\n\n".encode())
            await self._serve(send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            log.debug("a viewer went away while being sent to")
        finally:
            gone.cancel()
            self._services.hub.detach(self._client)

    async def _serve(self, send: Send, gone: "asyncio.Future[None]") -> None:
        while not gone.done():
            await self._wait(gone)
            now = self._services.clock()
            if gone.done():
                return
            if (reason := await self._over(now)) is not None:
                await self._body(send, frame(Event("bye", json.dumps({"reason": reason}))))
                return
            events = self._services.hub.take(self._client, now) or [Event("ping", json.dumps({"now": wire.iso(now)}))]
            await self._body(send, b"".join(frame(event) for event in events))
            if events[-1].name == "bye":
                return

    async def _wait(self, gone: "asyncio.Future[None]") -> None:
        """Until there is something to send, the viewer is gone, or a ping is due."""
        wake = asyncio.ensure_future(self._client.wake.wait())
        try:
            await asyncio.wait((wake, gone), timeout=self._services.settings.ping_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await wake

    async def _over(self, now: int) -> str | None:
        """Why he may not go on: "session" has ended, or its "rights" are others now (the page comes again and gets what they allow); None if he may.

        Asked for now and then, so that neither a revoked session or key nor a lost right goes on reading.
        """
        if now - self._checked_at < RECHECK_MS:
            return None
        self._checked_at = now
        who = await run_in_threadpool(principal_or_none, self._request, active=False)
        if who is None:
            return "session"
        return None if who.may(Action.VIEW) and not who.duty and who.unit == self._client.scope else "rights"

    @staticmethod
    async def _gone(receive: Receive) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()

    @staticmethod
    async def _body(send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})


@router.get(
    "/stream",
    operation_id="stream",
    response_class=Response,
    responses={200: {"description": "events snapshot, tiles, alarm, notice, ping, bye", "content": {"text/event-stream": {}}}},
)
async def stream(
    request: Request,
    who: Viewer,
    services: ServicesOf,
    room: Annotated[str, Query(max_length=16, description="only this room")] = "",
    alarms: Annotated[Literal["", "all"], Query(description="`all`: alarms of everywhere also with `room`")] = "",
    last_event_id: Annotated[str, Header(max_length=32)] = "",
) -> Response:
    """The live board as server-sent events. `id` is a revision; `Last-Event-ID` resumes, or a snapshot comes when it is too old."""
    if room:
        require_room(services, who, room)
    client = services.hub.attach(who.unit, services.clock(), room=room or None, all_alarms=alarms == "all", last_event_id=last_event_id)
    return EventStream(services, client, request)
