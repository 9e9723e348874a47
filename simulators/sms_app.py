"""HTTP of the SMS gateway: the Twilio routes, the control routes for tests and demo, the page, and the posts to the application."""

import asyncio
import base64
import contextlib
import hmac
import logging
import socket
import struct
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from uvicorn.protocols.http.h11_impl import H11Protocol

from simulators.sms_calls import Calls, call_record
from simulators.sms_core import KINDS, Callback, Core, Fault, refusal
from simulators.sms_query import ListQuery
from simulators.sms_wire import API, ApiError, Message, resource, segments, sign

log = logging.getLogger("simulators.sms")
_TICK_S = 0.05
Connections = dict[tuple[str, int], asyncio.BaseTransport]


class FaultOrder(BaseModel):
    """Body of POST /control/faults."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    count: int = 1
    to: str | None = None
    on: str = "create"


class Incoming(BaseModel):
    """Body of POST /control/inbound: a person sends `body` from `sender` to the number `to` of the application."""

    sender: str
    to: str
    body: str


class Key(BaseModel):
    """Body of POST /control/calls/{sid}/press: the key that the callee presses."""

    digit: str


class End(BaseModel):
    """Body of PUT /control/calls/{to}/end: completed, busy, no-answer or failed."""

    end: str


class Webhook(BaseModel):
    """Body of PUT /control/webhook: where incoming messages are posted; '' = nowhere."""

    url: str


class Poster:
    """Posts signed forms to the application: one order per message, one retry when nothing was answered, as Twilio does."""

    def __init__(self, token: str, timeout_s: float = 15.0) -> None:
        self._token = token
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)
        self._tails: dict[str, asyncio.Task[None]] = {}

    def enqueue(self, callback: Callback) -> None:
        """Post later, after what was queued before for the same message."""
        before = self._tails.get(callback.order)
        task = asyncio.create_task(self._after(before, callback))
        self._tails[callback.order] = task
        task.add_done_callback(lambda done: self._tails.pop(callback.order) if self._tails.get(callback.order) is done else None)

    async def post(self, callback: Callback) -> httpx.Response | None:
        """Post now; None when nobody answered twice."""
        headers = {
            "X-Twilio-Signature": sign("forged" if callback.forged else self._token, callback.url, callback.form),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
            "User-Agent": "TwilioProxy/1.1",
        }
        for attempt in (1, 2):
            try:
                return await self._client.post(callback.url, data=dict(callback.form), headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                log.warning("callback to %s failed (attempt %d): %s", callback.url, attempt, error)
        return None

    async def close(self) -> None:
        """Drop what is queued and close the connections."""
        for task in list(self._tails.values()):
            task.cancel()
        await self._client.aclose()

    async def _after(self, before: asyncio.Task[None] | None, callback: Callback) -> None:
        if before is not None:
            await asyncio.wait([before])
        answer = await self.post(callback)
        if answer is not None and not answer.is_success:
            log.warning("callback to %s answered %d", callback.url, answer.status_code)


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
        self.authorize(request, account)
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        kind = self.core.faults.take("create", form.get("To"))
        if error := refusal(kind, form.get("To", "")):
            raise error
        if kind in ("timeout_before", "reset"):
            return await self.cut(request, kind)
        message = self.core.accept(form, kind, self._clock())
        if kind in ("timeout_after", "reset_after"):
            return await self.cut(request, kind)
        return JSONResponse(resource(message, account), 201)

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

    async def incoming(self, order: Incoming) -> dict[str, object]:
        """A person writes to the application; its TwiML answer is sent back as a message."""
        message, callback = self.core.receive(order.sender, order.to, order.body, self.inbound, self._clock())
        answer = await self.poster.post(callback) if callback else None
        replies = [] if answer is None or not answer.is_success else _twiml(answer.text)
        for text in replies:
            self.core.answer(message, text, self._clock())
        return {"sid": message.sid, "webhook_status": answer.status_code if answer else None, "replies": replies}

    async def create_call(self, request: Request, account: str) -> Response:
        """POST Calls.json."""
        self.authorize(request, account)
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        kind = self.core.faults.take("create", form.get("To"))
        if error := refusal(kind, form.get("To", "")):
            raise error
        if kind in ("timeout_before", "reset"):
            return await self.cut(request, kind)
        call = self.calls.accept(form, self._clock())
        if kind in ("timeout_after", "reset_after"):
            return await self.cut(request, kind)
        return JSONResponse(self.calls.resource(call), 201)

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
    _add_control(app, front)
    _add_voice_control(app, front)
    return app


def _add_control(app: FastAPI, front: Front) -> None:
    core = front.core

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return files("simulators").joinpath("sms_page.html").read_text(encoding="utf-8")

    @app.get("/control/messages")
    async def messages(to: str | None = None, after: int | None = None) -> list[dict[str, object]]:
        return [record(m) for m in reversed(core.store.find(to=to, above=after))]

    @app.delete("/control/messages", status_code=204)
    async def forget() -> None:
        core.store.clear()

    @app.get("/control/faults")
    async def faults() -> dict[str, object]:
        return {"ordered": [asdict(f) for f in core.faults.listing()], "kinds": KINDS}

    @app.post("/control/faults", status_code=201, response_model=None)
    async def order(body: FaultOrder) -> Response:
        try:
            core.faults.order(Fault(body.kind, body.count, body.to, body.on))
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse(body.model_dump(), 201)

    @app.delete("/control/faults", status_code=204)
    async def behave() -> None:
        core.faults.clear()

    @app.put("/control/webhook")
    async def webhook(body: Webhook) -> dict[str, str]:
        front.inbound = body.url
        return {"url": front.inbound}

    @app.post("/control/inbound", status_code=201)
    async def inbound(body: Incoming) -> dict[str, object]:
        return await front.incoming(body)


def _add_voice_control(app: FastAPI, front: Front) -> None:
    @app.get("/control/calls")
    async def calls(to: str | None = None) -> list[dict[str, object]]:
        return [call_record(call) for call in reversed(front.calls.find(to=to))]

    @app.post("/control/calls/{sid}/press", status_code=201)
    async def press(sid: str, body: Key) -> dict[str, object]:
        return await front.press(sid, body.digit)

    @app.put("/control/calls/{to}/end", status_code=204)
    async def pick_up(to: str, body: End) -> None:
        front.calls.pick_up(body.end, to)


def record(message: Message) -> dict[str, object]:
    """A message as the oracle tells it: own field names, times in UTC ms."""
    hidden = ("callback", "fate", "due_at", "expires_at", "sender")
    kept = {name: value for name, value in asdict(message).items() if name not in hidden}
    return {**kept, "from": message.sender, "segments": segments(message.body)}


def _refuse(_request: Request, error: Exception) -> Coroutine[Any, Any, Response] | Response:
    if not isinstance(error, ApiError):
        raise error
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else None
    return JSONResponse(error.body(), error.status, headers)


def _twiml(text: str) -> list[str]:
    """The texts of <Response><Message>…; an answer that is not TwiML has none."""
    try:
        root = ElementTree.fromstring(text)  # nosec # noqa: S314 - the answer of the configured application; expat refuses entity bombs
    except ElementTree.ParseError:
        return []
    return [words for m in root.iter("Message") if (words := "".join(m.itertext()).strip())]
