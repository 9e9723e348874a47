"""Camera stills: delivered by gateways, looked at by people."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Response, UploadFile

from server import watermark
from server.live import wire
from server.store import audit, rooms, snapshots
from server.store.tables import Snapshot
from server.web import stills
from server.web.api.common import PROBLEMS, Instant, at, ms
from server.web.api.models import SnapshotReceipt
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.services import Services

router = APIRouter(tags=["snapshots"], responses=PROBLEMS)

LOOK_MS = 10 * 60_000


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
    responses={200: {"description": "the newest still", "content": {"image/jpeg": {}, "image/png": {}}}},
)
def latest(code: str, who: Annotated[Principal, Depends(require(Action.PICTURES))], services: ServicesOf) -> Response:
    """The newest still of a room with the viewer's name and the time across it; `X-Taken-At` says when it was taken, `X-Sha256` is the original's."""
    require_room(services, who, code)
    now = services.clock()
    with services.db.read() as session:
        row = rooms.latest_still(session, code)
        found = None if row is None else (row.sha256, row.taken_at)
    picture = None if found is None else stills.find(services.settings.data_folder, found[0])
    if found is None or picture is None:
        raise ProblemError(404, "这间库房还没有画面。")
    _seen(services, who, code, found[0], now)
    headers = {"X-Taken-At": wire.iso(found[1]) or "", "X-Sha256": found[0], "Cache-Control": "private, no-store"}
    marked = watermark.still(picture[0].read_bytes(), watermark.line(who.name, who.unit or "", now))
    return Response(marked, media_type="image/jpeg", headers=headers)


def _seen(services: Services, who: Principal, room: str, sha256: str, now: int) -> None:
    """Put on record who looked at which picture; a page that shows it again and again within ten minutes is one look."""
    subject = f"room:{room}"
    with services.db.read() as session:
        before = audit.latest(session, action="still_view", subject=subject, actor=who.name)
        same = before is not None and before.detail.get("still") == sha256 and before.session == who.session
        if same and before is not None and now - before.at < LOOK_MS:
            return
    with services.db.write() as session:
        audit.append(session, who.name, "still_view", subject, {"still": sha256}, now, unit=room[:12])
