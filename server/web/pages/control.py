"""遥控: writes on devices behind a gateway, ordered with a reason, held for a second person where the profile demands one, with their outcome."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from contract.profile import catalogue
from contract.profile_models import Raw, Write
from contract.writing import MAY, WriteRefusedError, steps
from server.store import gateway_events, gateways
from server.store.tables import GatewayCommand
from server.web.api import control
from server.web.api.control import Confirmation, Controller, WriteOrder
from server.web.auth import Principal, ServicesOf
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError, invalid
from server.web.screens import Screens
from server.web.services import Services

router = APIRouter()

_SHOWN = 30
_ON, _OFF = frozenset({"开", "on", "true", "1"}), frozenset({"关", "off", "false", "0"})


@dataclass(frozen=True, slots=True)
class Choice:
    """A write of a profile that the asker's role may order. `allowed` is what may be written, `pair` says that it needs a second person."""

    name: str
    device: str
    write: Write
    allowed: str

    @property
    def pair(self) -> bool:
        """Whether the profile demands a second person."""
        return self.write.danger == "high"


def choices(role: str) -> Iterator[Choice]:
    """Every write of the catalogue that the role may order, in the order of the profiles."""
    for profile in catalogue().values():
        for write in profile.writes:
            if role in MAY[write.role]:
                yield Choice(f"{profile.id}/{write.id}", f"{profile.vendor} {profile.model}", write, _allowed(write))


def _allowed(write: Write) -> str:
    if write.range:
        return f"{write.range[0]:g}–{write.range[1]:g}"
    return "、".join("开" if key is True else "关" if key is False else str(key) for key in write.values)


def _value(write: Write, text: str) -> Raw | float:
    """What somebody typed, as the profile spells it. Raises ProblemError 422."""
    word = text.strip().lower()
    for key in write.values:
        if (key is True and word in _ON) or (key is False and word in _OFF) or (not isinstance(key, bool) and word == str(key).lower()):
            return key
    try:
        value: Raw | float = float(word) if write.range else word
        steps(write, value)
    except (ValueError, WriteRefusedError):
        raise invalid(f"{write.id} 只能写 {_allowed(write)}。", "value", "not allowed") from None
    return value


def _page(
    code: str, request: Request, screens: Screens, services: Services, who: Principal, status: int = 200, error: str = "", typed: object = None
) -> Response:
    with services.db.read() as session:
        control.gateway_of(session, who, code)
        devices = gateways.devices(session, code)
        orders = [_shown(row) for row in gateway_events.writes(session, code, before=None, limit=_SHOWN)]
        entries = gateway_events.page(session, code, before=None, limit=_SHOWN)
        told = [(row.at, row.kind, row.detail) for row in entries]
    outcomes = {detail.get("order", ""): detail for _, kind, detail in told if kind == "write"}
    now = services.clock()
    held = [order for order in orders if order["state"] == "held" and order["expires_at"] > now]
    return screens.page(
        request, "control.html", status, who=who, code=code, devices=devices, choices=list(choices(who.role)), orders=orders, held=held,
        outcomes=outcomes, told=told, error=error, typed=typed or {},
    )  # fmt: skip


def _shown(row: GatewayCommand) -> dict[str, Any]:
    """An order for the template; a switch is spelled on or off."""
    value = row.body.get("value", "")
    word = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
    whole = {key: row.body.get(key, "") for key in ("device", "write", "by", "second", "reason")}
    return whole | {"id": row.id, "state": row.state, "created_at": row.created_at, "expires_at": row.expires_at, "value": word}


@router.get("/gateways/{code}/control")
def look(code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Controller) -> Response:
    """What can be ordered, what waits for a second person, and what became of the last orders."""
    return _page(code, request, screens, services, who)


@router.post("/gateways/{code}/control")
def order(
    code: str,
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Controller,
    device: Annotated[str, Form(max_length=60)] = "",
    write: Annotated[str, Form(max_length=120)] = "",
    value: Annotated[str, Form(max_length=60)] = "",
    reason: Annotated[str, Form(max_length=200)] = "",
    two_people: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    """Order a write. What the profile does not allow stays in the form with the reason; a dangerous one waits for a second person."""
    chosen = next((choice for choice in choices(who.role) if choice.name == write), None)
    try:
        if chosen is None:
            raise invalid("请选择要写什么。", "write", "unknown")
        if not device.strip() or not reason.strip():
            raise invalid("请填写设备和原因。", "device", "required")
        pair = chosen.pair or two_people == "1"
        body = WriteOrder(device=device.strip(), write=chosen.write.id, value=_value(chosen.write, value), reason=reason.strip(), two_people=pair)
        control.order(code, body, who, services)
    except ProblemError as refusal:
        typed = {"device": device, "write": write, "value": value, "reason": reason}
        return _page(code, request, screens, services, who, refusal.status, refusal.detail, typed)
    return RedirectResponse(f"/gateways/{code}/control", 303)


@router.post("/gateways/{code}/control/confirm")
def confirm(
    code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Controller, order: Annotated[int, Form(ge=1, lt=1 << 53)]
) -> Response:
    """A second person confirms."""
    try:
        control.confirm(code, Confirmation(order=order), who, services)
    except ProblemError as refusal:
        if refusal.status != 409:
            raise
        return _page(code, request, screens, services, who, refusal.status, refusal.detail)
    return RedirectResponse(f"/gateways/{code}/control", 303)
