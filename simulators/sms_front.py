"""The request handlers of the SMS gateway, with the faults that strike a request, and the loop that moves messages and calls."""

import asyncio
import base64
import contextlib
import hmac
import logging
import socket
import struct
from collections.abc import Callable
from xml.etree import ElementTree

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from simulators.sms_calls import Calls
from simulators.sms_core import Core, refusal
from simulators.sms_poster import Poster
from simulators.sms_query import ListQuery
from simulators.sms_wire import ApiError, resource

log = logging.getLogger("simulators.sms")
_TICK_S = 0.05
Connections = dict[tuple[str, int], asyncio.BaseTransport]


class Front:
    """The request handlers; `connections` maps a peer to its transport so that a fault can cut it."""

    def __init__(self, core: Core, token: str, inbound: str, clock: Callable[[], int], connections: Connections, hold_s: float) -> None:
        self.core = core
        self.inbound = inbound
        self.poster = Poster(token)
        self.calls = Calls(core.account)
        self._credentials = base64.b64encode(f"{core.account}:{token}".encode()).decode()
        self._clock = clock
        self._connections = connections
        self._hold_s = hold_s

    def authorize(self, request: Request, account: str) -> None:
        """Basic auth, account sid and token. Raises ApiError 20003."""
        given = request.headers.get("authorization", "")
        good = hmac.compare_digest(given.encode(), f"Basic {self._credentials}".encode())
        if not good or account != self.core.account:
            raise ApiError(401, 20003, "Authenticate")

    async def create(self, request: Request, account: str) -> Response:
        """POST Messages.json."""
        return await self._create(request, account, lambda form, kind: resource(self.core.accept(form, kind, self._clock()), account))

    async def fetch(self, request: Request, account: str, sid: str) -> Response:
        """GET Messages/{sid}.json."""
        self.authorize(request, account)
        if stopped := await self._fault(request, "fetch"):
            return stopped
        found = self.core.store.find(sid=sid)
        if not found:
            raise ApiError(404, 20404, f"The requested resource {request.url.path} was not found")
        return JSONResponse(resource(found[0], account))

    async def listing(self, request: Request, account: str) -> Response:
        """GET Messages.json: To, From, DateSent, DateSent<, DateSent>, PageSize, newest first; pages are stable while messages arrive."""
        self.authorize(request, account)
        if stopped := await self._fault(request, "list"):
            return stopped
        query = ListQuery.parse(request.url.query)
        found = self.core.store.find(limit=query.size + 1, **query.filters)
        return JSONResponse(query.page_of(request.url.path, account, found))

    async def cut(self, request: Request, kind: str) -> Response:
        """Never answer: hold the line (timeout) or reset it at once."""
        if kind.startswith("timeout"):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._hold_s):
                    while (await request.receive())["type"] != "http.disconnect":
                        pass
        self._reset(request)
        return Response(status_code=204)  # to a closed connection: uvicorn drops it

    async def incoming(self, sender: str, to: str, body: str) -> dict[str, object]:
        """A person writes to the application; its TwiML answer is sent back as a message."""
        message, callback = self.core.receive(sender, to, body, self.inbound, self._clock())
        answer = await self.poster.post(callback) if callback else None
        replies = [] if answer is None or not answer.is_success else _twiml(answer.text)
        for text in replies:
            self.core.answer(message, text, self._clock())
        return {"sid": message.sid, "webhook_status": answer.status_code if answer else None, "replies": replies}

    async def create_call(self, request: Request, account: str) -> Response:
        """POST Calls.json."""
        return await self._create(request, account, lambda form, _kind: self.calls.resource(self.calls.accept(form, self._clock())))

    async def fetch_call(self, request: Request, account: str, sid: str) -> Response:
        """GET Calls/{sid}.json."""
        self.authorize(request, account)
        found = self.calls.find(sid=sid)
        if not found:
            raise ApiError(404, 20404, f"The requested resource {request.url.path} was not found")
        return JSONResponse(self.calls.resource(found[0]))

    async def list_calls(self, request: Request, account: str) -> Response:
        """GET Calls.json."""
        self.authorize(request, account)
        if stopped := await self._fault(request, "list"):
            return stopped
        return JSONResponse(self.calls.page(request.url.path, self.calls.find(to=request.query_params.get("To"))))

    async def press(self, sid: str, digit: str) -> dict[str, object]:
        """The callee presses a key; what he hears next."""
        callback = self.calls.press(sid, digit)
        answer = await self.poster.post(callback) if callback else None
        heard = self.calls.hears(sid, answer.text) if answer is not None and answer.is_success else ()
        return {"webhook_status": answer.status_code if answer else None, "heard": list(heard)}

    async def run(self) -> None:
        """Move messages and post callbacks until cancelled; an error is logged, the next tick goes on."""
        while True:
            try:
                for callback in [*self.core.run_once(self._clock()), *self.calls.run_once(self._clock())]:
                    self.poster.enqueue(callback)
            except Exception:
                log.exception("the delivery loop failed once")
            await asyncio.sleep(_TICK_S)

    async def _create(self, request: Request, account: str, accept: Callable[[dict[str, str], str | None], dict[str, object]]) -> Response:
        """A fault ordered for creation strikes before the order is taken, or after it, when the answer is due."""
        self.authorize(request, account)
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        kind = self.core.faults.take("create", form.get("To"))
        if error := refusal(kind, form.get("To", "")):
            raise error
        if kind in ("timeout_before", "reset"):
            return await self.cut(request, kind)
        taken = accept(form, kind)
        if kind in ("timeout_after", "reset_after"):
            return await self.cut(request, kind)
        return JSONResponse(taken, 201)

    async def _fault(self, request: Request, on: str) -> Response | None:
        kind = self.core.faults.take(on, None)
        if error := refusal(kind, ""):
            raise error
        return await self.cut(request, kind) if kind else None

    def _reset(self, request: Request) -> None:
        peer = request.client
        transport = self._connections.get((peer.host, peer.port)) if peer else None
        if isinstance(transport, asyncio.Transport):
            # linger 0: the kernel sends RST instead of FIN
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()


def _twiml(text: str) -> list[str]:
    """The texts of <Response><Message>…; an answer that is not TwiML has none."""
    try:
        root = ElementTree.fromstring(text)  # nosec # noqa: S314 - the answer of the configured application; expat refuses entity bombs
    except ElementTree.ParseError:
        return []
    return [words for m in root.iter("Message") if (words := "".join(m.itertext()).strip())]
