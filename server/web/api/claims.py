"""Claiming of new gateways: a box asks, a person types its code, the box takes its identity away. And the end and renewal of credentials."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from server.org import claiming, gateway_access
from server.org.claiming import Claim, NotClaimedError, TooManyError
from server.store import audit, units
from server.store import gateway_access as queries
from server.store.tables import Gateway
from server.store.tables_gateway import GatewayEnrolment
from server.web import edits, problems
from server.web.api.common import PROBLEMS, at
from server.web.api.models import Body
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("gateways", refusals=PROBLEMS)

Claimer = Annotated[Principal, Depends(require(Action.ORGANISE))]
POLL_S = 5
WRONG = "gateway.claim.wrong"


class Enrolment(BaseModel):
    """What a box says of itself."""

    public_key: str = Field(min_length=44, max_length=44, description="X25519, 32 bytes in base64")
    hint: str = Field(default="", max_length=60, description="host name or serial number, shown to people")
    version: str = Field(default="", max_length=20)


class EnrolmentAnswer(BaseModel):
    """`sealed` is there from the claim on; only the private key of `public_key` opens it. The code is not told: the box knows it by itself."""

    state: str = Field(description="waiting | claimed")
    poll_s: int
    sealed: dict[str, str] | None = None


class WaitingView(BaseModel):
    """A box that waits. Its code is on the box alone."""

    hint: str
    version: str
    address: str
    first_seen_at: datetime
    last_seen_at: datetime


class ClaimBody(Body):
    """Which box (by the code that it shows) goes to which unit."""

    code: str = Field(max_length=20)
    unit: str = Field(max_length=12, pattern=r"^\d{0,12}$")
    gateway: str = Field(default="", max_length=40, description="its code; empty takes the next one of the unit")
    name: str = Field(default="", max_length=120)
    replace: bool = Field(default=False, description="the box takes the place of another one, which loses its access")


class ClaimView(BaseModel):
    """The gateway that the box has become."""

    gateway: str
    unit: str
    group: str


class Reasoned(Body):
    """Why."""

    reason: str = Field(min_length=1, max_length=200)


class CredentialsView(BaseModel):
    """Shown this once."""

    username: str
    password: str
    token: str


@router.post("/gateways/enrolments", operation_id="enrolGateway", responses={429: PROBLEMS[401] | {"description": "too many wait"}})
def enrol(body: Enrolment, request: Request, services: ServicesOf) -> EnrolmentAnswer:
    """A box without an identity asks to be claimed, and asks again until it is. Needs no sign-in: nothing is given away but what is sealed."""
    address = request.client.host if request.client is not None else ""
    try:
        with services.db.write() as session:
            row = claiming.ask(session, body.public_key, hint=body.hint, version=body.version, address=address, now=services.clock())
            return EnrolmentAnswer(state="waiting" if row.claimed_at is None else "claimed", poll_s=POLL_S, sealed=row.sealed)
    except TooManyError as error:
        raise ProblemError(429, str(error), code="too_many", headers={"Retry-After": "600"}) from error
    except ValueError as error:
        raise invalid("公钥不对。", "public_key", "not an X25519 key") from error


@router.get("/gateways/enrolments", operation_id="listWaitingGateways")
def waiting(who: Claimer, services: ServicesOf) -> list[WaitingView]:
    """Boxes that wait, for whoever sees the whole province: they belong to no unit yet."""
    with services.db.read() as session:
        return [_waiting(row) for row in seen(session, who, services.clock())]


def seen(session: Session, who: Principal, now: int) -> list[GatewayEnrolment]:
    """Boxes that wait, as far as the asker may see them."""
    top = who.unit is None or len(units.path(session, who.unit)) == 1
    return list(queries.waiting(session, since=now - claiming.LIVING_MS)) if top else []


def _waiting(row: GatewayEnrolment) -> WaitingView:
    return WaitingView(
        hint=row.hint, version=row.version, address=row.address, first_seen_at=at(row.first_seen_at), last_seen_at=at(row.last_seen_at)
    )


@router.post("/gateways/claims", operation_id="claimGateway", status_code=201, responses={429: PROBLEMS[401] | {"description": "wrong codes"}})
def claim(body: ClaimBody, who: Claimer, services: ServicesOf) -> ClaimView:
    """Give the box that shows this code to a unit of the asker's subtree."""
    now = services.clock()
    with services.db.read() as session:
        require_unit(session, who, body.unit)
        _refuse_guessing(session, who, now)
    try:
        with services.db.write() as session:
            gateway, _ = claiming.claim(session, Claim(**body.model_dump()), services.reach, who.name, now)
            view = ClaimView(gateway=gateway.code, unit=body.unit, group=gateway.group_id)
    except NotClaimedError as error:
        with services.db.write() as session:
            audit.append(session, who.name, WRONG, f"claim:{who.account or who.name}", {"code": body.code[:20]}, now, unit=body.unit)
        raise ProblemError(422, str(error), code="not_claimed") from error
    except gateway_access.NoAccessError as error:
        raise invalid(str(error), "gateway", "no access") from error
    edits.reload(services, who.name, {"gateway": {view.gateway}})
    return view


def _refuse_guessing(session: Session, who: Principal, now: int) -> None:
    since = now - claiming.WRONG_MS
    if audit.count_since(session, action=WRONG, subject=f"claim:{who.account or who.name}", since=since, most=claiming.WRONG) >= claiming.WRONG:
        raise ProblemError(429, "输错的次数太多，请 15 分钟后再试。", code="too_many", headers={"Retry-After": str(claiming.WRONG_MS // 1000)})


@router.post("/gateways/{gateway}/credentials", operation_id="renewGatewayCredentials")
def renew(gateway: str, body: Reasoned, who: Claimer, services: ServicesOf) -> CredentialsView:
    """New credentials, shown this once; the ones before end at once."""
    try:
        with services.db.write() as session:
            made = gateway_access.issue(session, _own(session, who, gateway), who.name, services.clock(), reason=body.reason)
    except gateway_access.NoAccessError as error:
        raise invalid(str(error), "gateway", "no access") from error
    return CredentialsView(username=gateway, password=made.password, token=made.token)


@router.delete("/gateways/{gateway}/credentials", operation_id="revokeGatewayCredentials", status_code=204)
def revoke(gateway: str, body: Reasoned, who: Claimer, services: ServicesOf) -> None:
    """End a gateway's credentials: the broker puts it out within seconds."""
    end(services, who, gateway, body.reason)


def end(services: Services, who: Principal, gateway: str, reason: str) -> None:
    """Revoke; also for the page."""
    with services.db.write() as session:
        gateway_access.revoke(session, _own(session, who, gateway), who.name, services.clock(), reason=reason)


def _own(session: Session, who: Principal, code: str) -> Gateway:
    row = session.get(Gateway, code)
    if row is None:
        raise ProblemError(404, "没有这个网关。")
    if row.unit is None or not units.within(session, row.unit, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)
    return row
