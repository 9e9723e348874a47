"""The audit log for programs: lists, exports, anchors. An auditor reads what concerns his unit and those below; the whole chain only the top does."""

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import Depends, Query, Request
from sqlalchemy import select
from starlette.responses import Response, StreamingResponse

from server import watermark
from server.live import wire
from server.safe_cells import csv_text
from server.store import anchors, audit, units
from server.store.tables import AuditEntry
from server.web.api.common import PROBLEMS, Cursor, From, Limit, To, at, decode_id, ms, page
from server.web.api.models import AnchorView, AuditView, Page
from server.web.auth import Principal, ServicesOf, require
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("audit", refusals=PROBLEMS)

Auditor = Annotated[Principal, Depends(require(Action.AUDIT))]
Text = Annotated[str, Query(max_length=60)]
MOST_ROWS = 200_000


def wanted(
    who: Auditor,
    services: ServicesOf,
    actor: Text = "",
    action: Annotated[str, Query(max_length=40)] = "",
    q: Annotated[str, Query(max_length=60, description="part of actor, subject or reason")] = "",
    start: From = None,
    end: To = None,
) -> audit.Wanted:
    """Dependency: the filter, never wider than what the asker may see."""
    with services.db.read() as session:
        scope = None if who.unit is None or len(units.path(session, who.unit)) == 1 else who.unit
    since, until = None if start is None else ms(start), None if end is None else ms(end)
    return audit.Wanted(scope=scope, actor=actor, action=action, text=q, since=since, until=until)


Chosen = Annotated[audit.Wanted, Depends(wanted)]


@router.get("/audit", operation_id="listAudit")
def log(_who: Auditor, chosen: Chosen, request: Request, services: ServicesOf, limit: Limit = 100, cursor: Cursor = "") -> Page[AuditView]:
    """The audit log, newest first."""
    with services.db.read() as session:
        found = [_entry(row) for row in audit.page(session, before=decode_id(cursor), limit=limit + 1, wanted=chosen)]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get(
    "/audit/export",
    operation_id="exportAudit",
    response_class=Response,
    responses={200: {"description": "JSON lines as stored, or CSV", "content": {"application/x-ndjson": {}, "text/csv": {}}}},
)
def export(who: Auditor, chosen: Chosen, services: ServicesOf, kind: Annotated[Literal["jsonl", "csv"], Query(alias="format")] = "jsonl") -> Response:
    """All entries that the filter leaves, oldest first. Unfiltered and from the top, the JSON lines can be checked by the stand-alone script."""
    now = services.clock()
    with services.db.write() as session:
        audit.append(session, who.name, "audit_export", kind, {}, now)
    headers = {"Content-Disposition": f'attachment; filename="audit-{wire.iso(now)[:10] if wire.iso(now) else now}.{kind}"'}  # type: ignore[index]
    if kind == "jsonl":
        return StreamingResponse(_lines(services, chosen), media_type="application/x-ndjson", headers=headers)
    with services.db.read() as session:
        rows = session.scalars(audit.filtered(select(AuditEntry), chosen).order_by(AuditEntry.id).limit(MOST_ROWS)).all()
        text = csv_text([_HEAD, *(_cells(row) for row in rows), (watermark.line(who.name, who.unit or "", now),)])
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/audit/anchors", operation_id="listAnchors")
def listing(
    _who: Auditor,
    chosen: Chosen,
    services: ServicesOf,
    day: Annotated[str, Query(pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="empty: the newest")] = "",
) -> list[AnchorView]:
    """Anchors of a day for the asker's unit and every unit below it."""
    with services.db.read() as session:
        return [AnchorView(**anchors.as_line(anchor) | {"made_at": at(anchor.made_at)}) for anchor in anchors.of_day(session, day, chosen.scope)]


_HEAD = ("编号", "时间", "谁", "做了什么", "对象", "内容", "单位", "地址", "会话", "之前", "之后", "原因", "链值")


def _cells(row: AuditEntry) -> tuple[object, ...]:
    documents = [str(value) if value else "" for value in (row.detail, row.before, row.after)]
    return (
        row.id, wire.iso(row.at), row.actor, row.action, row.subject, documents[0], row.unit, row.address, row.session, documents[1], documents[2],
        row.reason, row.chain,
    )  # fmt: skip


def _lines(services: ServicesOf, chosen: audit.Wanted) -> Iterator[str]:
    with services.db.read() as session:
        for row in session.execute(audit.filtered(audit.stored(), chosen)):
            yield audit.as_line(row) + "\n"


def _entry(row: AuditEntry) -> AuditView:
    return AuditView(
        id=row.id, at=at(row.at), actor=row.actor, action=row.action, subject=row.subject, detail=row.detail, chain=row.chain, unit=row.unit,
        address=row.address, session=row.session, before=row.before, after=row.after, reason=row.reason,
    )  # fmt: skip
