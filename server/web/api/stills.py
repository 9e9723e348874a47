"""Privacy of camera stills: lists, covered areas, how long they are kept, originals with a reason, and who has looked at what."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.org import still_keeping
from server.org.still_keeping import LONGEST_DAYS, MOST_AREAS
from server.store import audit, snapshots
from server.store.tables import AuditEntry, Snapshot
from server.web.api.common import PROBLEMS, Cursor, Limit, at, decode_id, page
from server.web.api.models import Body, Page
from server.web.api.snapshots import Picturing, original
from server.web.auth import Principal, ServicesOf, require, require_room, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("snapshots", refusals=PROBLEMS)
Privacy = Annotated[Principal, Depends(require(Action.PRIVACY))]
Original = Annotated[Principal, Depends(require(Action.ORIGINAL))]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Share = Annotated[float, Field(ge=0, le=1)]
LOOKS = ("still_view", "still_original")


class StillView(BaseModel):
    """A still; `kept`: with the dossier of an incident; `until`: when it is deleted otherwise."""

    id: int
    gateway: str
    device: str
    taken_at: datetime
    sha256: str
    reason: str
    kept: bool
    until: datetime | None


class Area(Body):
    """A rectangle as shares of the picture's width and height, from its upper left corner."""

    left: Share
    top: Share
    width: Share
    height: Share


class MaskBody(Body):
    """What is covered from now on in all pictures of a camera; an empty list uncovers it."""

    gateway: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    device: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    areas: list[Area] = Field(max_length=MOST_AREAS)
    reason: Reason


class MaskView(BaseModel):
    """A camera of a room with what is covered in its pictures."""

    gateway: str
    device: str
    areas: list[Area]
    still: int
    reason: str
    by: str


class PolicyBody(Body):
    """How long a unit and those below it keep stills; null: as the unit above."""

    keep_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None
    reason: Reason


class PolicyView(BaseModel):
    """What holds for a unit, and which unit says so; null: the settings of the server."""

    keep_days: int
    said_by: str | None
    reason: str


class LookView(BaseModel):
    """Who looked at which picture when, from where; `original`: at what lies under the covered areas, with the reason given."""

    id: int
    at: datetime
    who: str
    unit: str
    address: str
    sha256: str
    original: bool
    reason: str


class OriginalBody(Body):
    """Why the original is needed."""

    reason: Reason


@router.get("/rooms/{code}/snapshots", operation_id="listSnapshots")
def listing(code: str, who: Picturing, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[StillView]:
    """Stills of a room, newest first."""
    require_room(services, who, code)
    with services.db.read() as session:
        found = stills(session, services, code, decode_id(cursor), limit + 1)
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


def stills(session: Session, services: Services, code: str, before: int | None, limit: int) -> list[StillView]:
    """The same for page and API."""
    rows = snapshots.page(session, code, before=before, limit=limit)
    kept = set(session.scalars(select(Snapshot.id).where(Snapshot.id.in_([row.id for row in rows]), snapshots.linked())))
    lasts_ms = policy_of(session, services, code[:12]).keep_days * 86_400_000
    return [
        StillView(
            id=row.id, gateway=row.gateway, device=row.device, taken_at=at(row.taken_at), sha256=row.sha256, reason=row.reason, kept=row.id in kept,
            until=None if row.id in kept else at(row.taken_at + lasts_ms),
        )
        for row in rows
    ]  # fmt: skip


@router.get("/rooms/{code}/masks", operation_id="listMasks")
def masks(code: str, who: Privacy, services: ServicesOf) -> list[MaskView]:
    """The cameras that have looked into a room, each with what is covered."""
    require_room(services, who, code)
    with services.db.read() as session:
        return masks_of(session, code)


def masks_of(session: Session, code: str) -> list[MaskView]:
    """The same for page and API."""
    found = []
    for (gateway, device), still in snapshots.cameras(session, code).items():
        row = snapshots.mask(session, gateway, device)
        areas = [Area(left=area[0], top=area[1], width=area[2], height=area[3]) for area in (row.areas if row is not None else ())]
        reason, by = (row.reason, row.by) if row is not None else ("", "")
        found.append(MaskView(gateway=gateway, device=device, areas=areas, still=still.id, reason=reason, by=by))
    return found


@router.put("/rooms/{code}/masks", operation_id="setMask")
def set_mask(code: str, body: MaskBody, who: Privacy, services: ServicesOf) -> list[MaskView]:
    """Cover areas in everything that a camera of this room has taken and will take. The stored originals stay as they are."""
    require_room(services, who, code)
    areas = [(area.left, area.top, area.width, area.height) for area in body.areas]
    with services.db.write() as session:
        still = snapshots.cameras(session, code).get((body.gateway, body.device))
        if still is None:
            raise ProblemError(404, "这间库房没有这台摄像机的画面。")
        try:
            still_keeping.cover(session, still, areas, body.reason, who.name, services.clock())
        except still_keeping.AreaError as error:
            raise invalid(str(error), "body.areas", "not inside the picture") from error
        return masks_of(session, code)


@router.get("/units/{code}/still-policy", operation_id="getStillPolicy")
def policy(code: str, who: Privacy, services: ServicesOf) -> PolicyView:
    """How long stills of a unit are kept."""
    with services.db.read() as session:
        require_unit(session, who, code)
        return policy_of(session, services, code)


@router.put("/units/{code}/still-policy", operation_id="setStillPolicy")
def set_policy(code: str, body: PolicyBody, who: Privacy, services: ServicesOf) -> PolicyView:
    """Change how long stills of a unit and those below are kept. The next night deletes what is older then."""
    with services.db.write() as session:
        require_unit(session, who, code)
        still_keeping.keep(session, code, body.keep_days, body.reason, who.name, services.clock())
        session.flush()
        return policy_of(session, services, code)


def policy_of(session: Session, services: Services, unit: str) -> PolicyView:
    """The same for page and API."""
    row = snapshots.policy(session, unit)
    if row is None:
        return PolicyView(keep_days=services.settings.still_days, said_by=None, reason="")
    return PolicyView(keep_days=row.keep_days, said_by=row.unit, reason=row.reason)


@router.get("/rooms/{code}/looks-at-stills", operation_id="listLooksAtStills")
def looks(code: str, who: Privacy, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[LookView]:
    """Who has looked at stills of a room, newest first."""
    require_room(services, who, code)
    with services.db.read() as session:
        found = [look(row) for row in audit.about(session, f"room:{code}", LOOKS, before=decode_id(cursor), limit=limit + 1)]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


def look(row: AuditEntry) -> LookView:
    """An entry of the audit log as a look."""
    return LookView(
        id=row.id, at=at(row.at), who=row.actor, unit=row.unit, address=row.address, sha256=row.detail.get("still", ""),
        original=row.action == "still_original", reason=row.reason,
    )  # fmt: skip


@router.post(
    "/rooms/{code}/snapshots/{snapshot}/original",
    operation_id="takeOriginal",
    response_class=Response,
    responses={200: {"description": "the picture as the camera gave it", "content": {"image/jpeg": {}, "image/png": {}}}},
)
def take_original(code: str, snapshot: Annotated[int, Path(ge=1, lt=1 << 63)], body: OriginalBody, who: Original, services: ServicesOf) -> Response:
    """The picture as it was delivered, nothing covered, nothing across it: its SHA-256 can be checked. Who took it, and why, is audited."""
    require_room(services, who, code)
    with services.db.write() as session:
        row = snapshots.of_room(session, code, snapshot)
        content, sha256, _ = original(services, row)
        audit.append(session, who.name, "still_original", f"room:{code}", {"still": sha256}, services.clock(), unit=code[:12], reason=body.reason)
    png = content.startswith(b"\x89PNG")
    headers = {
        "Content-Disposition": f'attachment; filename="{sha256[:16]}.{"png" if png else "jpg"}"', "X-Sha256": sha256,
        "Cache-Control": "private, no-store",
    }  # fmt: skip
    return Response(content, media_type="image/png" if png else "image/jpeg", headers=headers)
