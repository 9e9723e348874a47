"""遥控: writes on devices behind a gateway, ordered with a reason, held for a second person where the profile demands one, with their outcome."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import Form, Request
from starlette.responses import RedirectResponse, Response

from contract.offers import Offer, Offers
from contract.writing import MAY
from server.store import gateway_events
from server.store.tables import Gateway, GatewayCommand
from server.web.api import control
from server.web.api.control import Confirmation, Controller, WriteOrder
from server.web.auth import Principal, ServicesOf
from server.web.i18n import Words
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError, invalid
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services

router = page_router()

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that the asker may order on one device; `model` is what people call it."""

    device: str
    model: str
    offer: Offer

    @property
    def name(self) -> str:
        """What the form sends."""
        return f"{self.device}/{self.offer.id}"

    @property
    def pair(self) -> bool:
        """Whether the profile demands a second person."""
        return self.offer.danger == "high"

    def allowed(self, words: Words) -> str:
        """What may be written, in a language."""
        if self.offer.range is not None:
            return f"{self.offer.range[0]:g}–{self.offer.range[1]:g}"
        return words.listed(words.of("switch", "on" if word else "off") if isinstance(word, bool) else str(word) for word in self.offer.words)


def offered(gateway: Gateway) -> list[Choice]:
    """What the gateway's last birth offers, by device, whoever may order it."""
    told = msgspec.convert(gateway.offers or {}, Offers)
    return [Choice(name, f"{device.title} · {device.profile}", offer) for name, device in sorted(told.items()) for offer in device.writes]


def choices(gateway: Gateway, role: str) -> list[Choice]:
    """What a role may order."""
    return [choice for choice in offered(gateway) if role in MAY.get(choice.offer.role, ())]


def _page(
    code: str, request: Request, screens: Screens, services: Services, who: Principal, status: int = 200, error: str = "", typed: object = None
) -> Response:
    with services.db.read() as session:
        gateway = control.gateway_of(session, who, code)
        silent, everything, mine = gateway.offers is None, offered(gateway), choices(gateway, who.role)
        orders = [_shown(row) for row in gateway_events.writes(session, code, before=None, limit=_SHOWN)]
        entries = gateway_events.page(session, code, before=None, limit=_SHOWN)
        told = [(row.at, row.kind, row.detail) for row in entries]
    outcomes = {detail.get("order", ""): detail for _, kind, detail in told if kind == "write"}
    now = services.clock()
    held = [order for order in orders if order["state"] == "held" and order["expires_at"] > now]
    return screens.page(
        request, "control.html", status, who=who, code=code, silent=silent, choices=mine, offered=everything, orders=orders, held=held,
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
    write: Annotated[str, Form(max_length=140)] = "",
    value: Annotated[str, Form(max_length=60)] = "",
    reason: Annotated[str, Form(max_length=200)] = "",
    two_people: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    """Order a write. What the device does not offer stays in the form with the reason; a dangerous one waits for a second person."""
    with services.db.read() as session:
        mine = choices(control.gateway_of(session, who, code), who.role)
    chosen = next((choice for choice in mine if choice.name == write), None)
    try:
        if chosen is None:
            raise invalid("请选择要写什么。", "write", "unknown")
        if not reason.strip():
            raise invalid("请填写原因。", "reason", "required")
        word = chosen.offer.value_of(value)
        if word is None:
            raise invalid(f"{chosen.offer.id} 只能写 {chosen.allowed(screens.words(request))}。", "value", "not allowed")
        pair = chosen.pair or two_people == "1"
        body = WriteOrder(device=chosen.device, write=chosen.offer.id, value=word, reason=reason.strip(), two_people=pair)
        control.order(code, body, who, services)
    except ProblemError as refusal:
        typed = {"write": write, "value": value, "reason": reason}
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
