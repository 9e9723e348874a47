"""Camera stills: delivered by gateways, looked at by people."""

from typing import Annotated

from fastapi import Depends, File, Form, Query, Response, UploadFile

from server import stills, watermark
from server.live import wire
from server.store import audit, snapshots
from server.store.tables import Snapshot
from server.web.api.common import PROBLEMS, Instant, at, ms
from server.web.api.models import SnapshotReceipt
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("snapshots", refusals=PROBLEMS)

LOOK_MS = 10 * 60_000
Picturing = Annotated[Principal, Depends(require(Action.PICTURES))]


@router.post("/snapshots", operation_id="deliverSnapshot", status_code=201)
def deliver(
    who: Annotated[Principal, Depends(require(Action.UPLOAD))],
    services: ServicesOf,
    file: Annotated[UploadFile, File(description="JPEG or PNG")],
    sha256: Annotated[str, Form(pattern="^[0-9a-fA-F]{64}$", description="of the file")],
    device: Annotated[str, Form(min_length=1, max_length=60)],
    taken_at: Annotated[Instant, Form(description="ISO 8601 with offset")],
    room: Annotated[str, Form(max_length=16, description="proposed; the server's own assignment wins")] = "",
    reason: Annotated[str, Form(max_length=24)] = "",
) -> SnapshotReceipt:
    """Take a still from the gateway whose key is used. Delivering the same still twice is one still."""
    content = file.file.read(stills.MOST_BYTES + 1)
    try:
        stills.check(content, sha256)
    except stills.StillRefusedError as refusal:
        raise ProblemError(422, str(refusal), code=refusal.code) from refusal
    now, digest = services.clock(), sha256.lower()
    # A clock that runs ahead must not make one picture the newest for ever.
    taken = min(ms(taken_at), now)
    with services.db.read() as session:
        if not snapshots.claimed(session, who.name):
            raise ProblemError(403, "这个网关还没有归属单位。", code="unclaimed")
    stills.save(services.settings.data_folder, content, digest)
    with services.db.write() as session:
        row = snapshots.same(session, who.name, device, taken, digest)
        if row is None:
            place = snapshots.room_of(session, who.name, device, room)
            row = Snapshot(
                gateway=who.name, device=device, room=place, taken_at=taken, received_at=now, sha256=digest, bytes=len(content), reason=reason
            )
            session.add(row)
            session.flush()
        return SnapshotReceipt(id=row.id, sha256=row.sha256, room=row.room, taken_at=at(row.taken_at))


@router.get(
    "/rooms/{code}/snapshot",
    operation_id="getSnapshot",
    response_class=Response,
    responses={200: {"description": "a still", "content": {"image/jpeg": {}}}},
)
def shown(
    code: str, who: Picturing, services: ServicesOf, snapshot: Annotated[int | None, Query(ge=1, lt=1 << 63, description="not the newest")] = None
) -> Response:
    """A still of a room as people see it: covered where its camera is, with the viewer's name and the time across it.

    `X-Taken-At` says when it was taken, `X-Sha256` is the original's.
    """
    require_room(services, who, code)
    now = services.clock()
    with services.db.read() as session:
        row = snapshots.of_room(session, code, snapshot)
        covered = [] if row is None else snapshots.areas(session, row)
    content, sha256, taken_at = original(services, row)
    _seen(services, who, code, sha256, now)
    headers = {"X-Taken-At": wire.iso(taken_at) or "", "X-Sha256": sha256, "Cache-Control": "private, no-store"}
    marked = watermark.still(content, watermark.line(who.name, who.unit or "", now), covered)
    return Response(marked, media_type="image/jpeg", headers=headers)


def original(services: Services, row: Snapshot | None) -> tuple[bytes, str, int]:
    """What the gateway delivered, its SHA-256 and when it was taken. Raises ProblemError 404."""
    found = None if row is None else stills.find(services.settings.data_folder, row.sha256)
    if row is None or found is None:
        raise ProblemError(404, "这间库房没有这张画面。")
    return found[0].read_bytes(), row.sha256, row.taken_at


def _seen(services: Services, who: Principal, room: str, sha256: str, now: int) -> None:
    """Put on record who looked at which picture; a page that shows it again and again within ten minutes is one look."""
    subject = f"room:{room}"
    with services.db.read() as session:
        looks = audit.about(session, subject, ("still_view",), actor=who.name, since=now - LOOK_MS + 1)
    if any(look.detail.get("still") == sha256 and look.session == who.session for look in looks):
        return
    with services.db.write() as session:
        audit.append(session, who.name, "still_view", subject, {"still": sha256}, now, unit=room[:12])
