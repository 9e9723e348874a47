"""Edits and proposals, search, notices: one door for every change of units, people, rooms and devices."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from server.org import notices
from server.org.changes import APPROVED, OPEN, REFUSED, WITHDRAWN
from server.store import organisation, units
from server.store.tables_org import ChangeRequest, Notice
from server.web import edits, problems
from server.web.api.common import PROBLEMS, Cursor, Limit, Viewer, at, at_or_none, decode_id, page
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("organisation", refusals=PROBLEMS)

Proposer = Annotated[Principal, Depends(require(Action.PEOPLE))]
Organiser = Annotated[Principal, Depends(require(Action.ORGANISE))]


class Edit(Body):
    """A change: `kind` of row (units, people, rooms, devices, holdings, calibrations) or deed (leave, disable, enable, merge, sheet, strike)."""

    kind: str = Field(max_length=16)
    key: dict[str, str] = Field(max_length=8, description="what the row is found by, e.g. {code}")
    after: dict[str, str] = Field(max_length=40, description="the cells to change, as a person would type them")
    reason: str = Field(min_length=1, max_length=200)


class EditResult(BaseModel):
    """`done`, or `proposed` with the id of the proposal."""

    state: str
    request: int | None
    sentence: str


class Decision(Body):
    """Approve or refuse, with a remark."""

    approve: bool
    remark: str = Field(default="", max_length=200)


class RequestView(BaseModel):
    """A proposal of a data keeper."""

    id: int
    subject: str
    unit: str
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str
    proposed_by: str
    proposed_at: datetime
    state: str
    decided_by: str
    decided_at: datetime | None
    remark: str


class HitView(BaseModel):
    """Something that was found."""

    kind: str
    id: str
    name: str
    code: str
    unit: str


class NoticeView(BaseModel):
    """Something to be seen that is no alarm of a sensor."""

    id: int
    kind: str
    level: str
    unit: str
    subject: str
    sentence: str
    raised_at: datetime
    closed_at: datetime | None
    closed_by: str


@router.post("/changes", operation_id="changeOrganisation")
def change(body: Edit, who: Proposer, services: ServicesOf) -> EditResult:
    """Change a row or carry out a deed; a data keeper's change waits for the level above."""
    done = edits.edit(services, who, body.kind, body.key, body.after, body.reason)
    return EditResult(state=done.state, request=done.request, sentence=done.sentence)


@router.get("/changes", operation_id="listProposals")
def proposals(
    who: Proposer,
    request: Request,
    services: ServicesOf,
    state: Annotated[str, Query(pattern=f"^({OPEN}|{APPROVED}|{REFUSED}|{WITHDRAWN})?$")] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[RequestView]:
    """Proposals of the subtree, newest first."""
    with services.db.read() as session:
        rows = organisation.requests(session, who.unit, state=state, before=decode_id(cursor), limit=limit + 1)
        found = [_request(row) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.post("/changes/{ident}/decision", operation_id="decideProposal")
def decision(ident: int, body: Decision, who: Organiser, services: ServicesOf) -> EditResult:
    """Approve or refuse a proposal of a unit below the asker's own."""
    done = edits.decide(services, who, ident, approve=body.approve, remark=body.remark)
    return EditResult(state=done.state, request=done.request, sentence=done.sentence)


@router.get("/search", operation_id="search")
def search(
    who: Viewer, services: ServicesOf, q: Annotated[str, Query(max_length=40)] = "", limit: Annotated[int, Query(ge=1, le=50)] = 10
) -> list[HitView]:
    """Units, rooms and people by name, pinyin or code."""
    with services.db.read() as session:
        hits = organisation.search(session, who.unit, q, people=who.may(Action.PEOPLE), limit=limit)
    return [HitView(kind=hit.kind, id=hit.ident, name=hit.name, code=hit.code, unit=hit.unit) for hit in hits]


@router.get("/notices", operation_id="listNotices")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    standing: Annotated[bool, Query(description="only those that nobody has closed")] = True,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[NoticeView]:
    """Notices of the subtree, newest first."""
    with services.db.read() as session:
        rows = organisation.notices(session, who.unit, standing=standing, before=decode_id(cursor), limit=limit + 1)
        found = [_notice(row) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.post("/notices/{ident}/close", operation_id="closeNotice")
def close(ident: int, who: Annotated[Principal, Depends(require(Action.CLOSE_NOTICE))], services: ServicesOf) -> NoticeView:
    """Say that a notice has been seen to."""
    with services.db.write() as session:
        row = session.get(Notice, ident) if ident < 1 << 63 else None
        if row is None:
            raise ProblemError(404, "没有这条通告。")
        if not units.within(session, row.unit, who.unit):
            raise ProblemError(403, problems.NO_RIGHT)
        notices.close(session, row, who.name, services.clock())
        return _notice(row)


def _request(row: ChangeRequest) -> RequestView:
    return RequestView(
        id=row.id, subject=row.subject, unit=row.unit, before=row.before, after=row.after.get("cells", {}), reason=row.reason,
        proposed_by=row.proposed_by, proposed_at=at(row.proposed_at), state=row.state, decided_by=row.decided_by,
        decided_at=at_or_none(row.decided_at), remark=row.remark,
    )  # fmt: skip


def _notice(row: Notice) -> NoticeView:
    return NoticeView(
        id=row.id, kind=row.kind, level=row.level, unit=row.unit, subject=row.subject, sentence=row.sentence, raised_at=at(row.raised_at),
        closed_at=at_or_none(row.closed_at), closed_by=row.closed_by,
    )  # fmt: skip
