"""Writes on devices behind a gateway, and the logbooks of gateways.

The server only passes an order on: what a device may be told, by whom, and whether it needs two people is in its profile and in the gateway's
devices.yaml, and the gateway refuses everything else. The outcome comes back in its logbook, is kept with the order and audited.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from server.store import audit, gateway_events, units
from server.store.tables import Gateway, GatewayCommand
from server.web import problems
from server.web.api.common import PROBLEMS, Cursor, Limit, at, decode_id, page
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("gateways", refusals=PROBLEMS)

_EXPIRES_MS = 60_000
_HELD_MS = 600_000
_MOST_WAITING = 20

Controller = Annotated[Principal, Depends(require(Action.CONTROL))]
Looker = Annotated[Principal, Depends(require(Action.GATEWAYS))]


class WriteOrder(Body):
    """What to write: a write of the device's profile and its value. `two_people` holds it until somebody else confirms it."""

    device: str = Field(min_length=1, max_length=60)
    write: str = Field(min_length=1, max_length=60)
    value: bool | int | float | Annotated[str, Field(max_length=60)]
    reason: str = Field(min_length=1, max_length=200)
    two_people: bool = False


class Confirmation(Body):
    """The order that a second person confirms."""

    order: int = Field(ge=1, lt=1 << 53)


class WriteView(BaseModel):
    """An ordered write. `state`: held, pending, sent, expired, or its outcome: done, refused, failed, unknown."""

    id: int
    device: str
    write: str
    value: bool | int | float | str
    by: str
    second: str
    reason: str
    state: str
    created_at: datetime
    expires_at: datetime


class EventView(BaseModel):
    """An entry of a gateway's logbook."""

    id: int
    at: datetime
    received_at: datetime
    kind: str
    detail: dict[str, Any]


def gateway_of(session: Session, who: Principal, code: str) -> Gateway:
    """A gateway of the asker's subtree. Raises ProblemError 404 or 403."""
    gateway = session.get(Gateway, code)
    if gateway is None:
        raise ProblemError(404, "没有这台网关。")
    if gateway.unit is None or not units.within(session, gateway.unit, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)
    return gateway


@router.post("/gateways/{code}/writes", operation_id="orderWrite", status_code=202)
def order(code: str, body: WriteOrder, who: Controller, services: ServicesOf) -> WriteView:
    """Order a write on a device; its outcome follows in the list of writes."""
    now = services.clock()
    with services.db.write() as session:
        gateway = gateway_of(session, who, code)
        if gateway_events.waiting(session, code) >= _MOST_WAITING:
            raise ProblemError(409, "这台网关还有太多没有结果的写指令，请稍后再试。")
        given = {"device": body.device, "write": body.write, "value": body.value, "by": who.name, "role": who.role, "reason": body.reason}
        command = GatewayCommand(
            gateway=gateway.code, kind="write", body={}, created_at=now,
            expires_at=now + (_HELD_MS if body.two_people else _EXPIRES_MS), state="held" if body.two_people else "pending",
        )  # fmt: skip
        session.add(command)
        session.flush()
        command.body = given | {"id": str(command.id), "expires_at": command.expires_at, "second": ""}
        audit.append(session, who.name, "write.order", f"{code}/{body.device}", given | {"order": command.id}, now)
        return view(command)


@router.post("/gateways/{code}/writes/confirm", operation_id="confirmWrite")
def confirm(code: str, body: Confirmation, who: Controller, services: ServicesOf) -> WriteView:
    """A second person confirms a held write."""
    now = services.clock()
    with services.db.write() as session:
        gateway_of(session, who, code)
        command = session.get(GatewayCommand, body.order)
        if command is None or command.gateway != code or command.kind != "write":
            raise ProblemError(404, "没有这条写指令。")
        if command.state != "held" or command.expires_at <= now:
            raise ProblemError(409, "这条写指令不在等待确认。")
        if command.body["by"] == who.name:
            raise ProblemError(409, "要由另一个人确认。", code="same_person")
        command.state, command.expires_at = "pending", now + _EXPIRES_MS
        command.body = command.body | {"second": who.name, "expires_at": command.expires_at}
        audit.append(session, who.name, "write.confirm", f"{code}/{command.body['device']}", {"order": command.id}, now)
        return view(command)


@router.get("/gateways/{code}/writes", operation_id="listWrites")
def writes(code: str, who: Looker, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[WriteView]:
    """Ordered writes of a gateway with their outcomes, newest first."""
    with services.db.read() as session:
        gateway_of(session, who, code)
        found = [view(row) for row in gateway_events.writes(session, code, before=decode_id(cursor), limit=limit + 1)]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/gateways/{code}/events", operation_id="listGatewayEvents")
def events(code: str, who: Looker, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[EventView]:
    """The logbook of a gateway, newest first."""
    with services.db.read() as session:
        gateway_of(session, who, code)
        rows = gateway_events.page(session, code, before=decode_id(cursor), limit=limit + 1)
        found = [EventView(id=row.id, at=at(row.at), received_at=at(row.received_at), kind=row.kind, detail=row.detail) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


def view(row: GatewayCommand) -> WriteView:
    """An order as people and programs see it."""
    body = {key: row.body.get(key, "") for key in ("device", "write", "value", "by", "second", "reason")}
    return WriteView(id=row.id, state=row.state, created_at=at(row.created_at), expires_at=at(row.expires_at), **body)
