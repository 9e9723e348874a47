"""Routes of the SMS gateway that Twilio does not have: a test or the demo reads what arrived, orders faults, and plays the people."""

from dataclasses import asdict
from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from simulators.sms_calls import call_record
from simulators.sms_core import KINDS, Fault
from simulators.sms_front import Front
from simulators.sms_wire import Message, segments


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


def add_messages(app: FastAPI, front: Front) -> None:
    """The page, the oracle of messages, the faults that a test orders, and what a person writes."""
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
        return await front.incoming(body.sender, body.to, body.body)


def add_calls(app: FastAPI, front: Front) -> None:
    """The oracle of calls, and what a callee does."""

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
